"""Strength by rating: `configs/levels/GAME.toml` says which player is how strong, as measured in a tournament.

    measured = "2,400 games, keima tournament connect4 ..., on 2025-11-21"

    [[level]]
    elo = 800
    player = "shipped simulations=2 temperature=1"

    [[level]]
    elo = 1200
    player = "shipped simulations=16 temperature=0.4"

`elo` is the player's measured rating, a whole number; `player` its text as `keima.agent.contracts.player_spec` reads
it, with what a move may cost. Levels rise. The table belongs to the net that is shipped with the game: a new net needs
a new table. A game with parameters has its own, `gomoku-size=9.toml`, as the nets have.
"""

import importlib.resources
import tomllib
from dataclasses import dataclass
from pathlib import Path

from keima.agent.contracts.player_spec import parse
from keima.agent.nets.shipped import shipped_name
from keima.games.contract import Game, GameError

MARGIN = 50
"""Elo by which a level may be asked for beyond the first and the last one measured."""


@dataclass(frozen=True)
class Level:
    """A player whose strength was measured."""

    elo: int
    player: str


def levels_file(game: Game) -> Path | None:
    """The table that comes with a game and these parameters; None where none does."""
    name = shipped_name(game)
    if name is None:
        return None
    path = Path(str(importlib.resources.files("keima.configs"))) / "levels" / f"{name}.toml"
    return path if path.is_file() else None


def read_levels(path: Path) -> list[Level]:
    """The levels of a table, rising. Raises GameError, saying which entry is wrong."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise GameError(f"{path}: {' '.join(str(error).split())}") from error
    entries = table.get("level")
    if not isinstance(entries, list) or not entries:
        raise GameError(f"{path}: expected entries [[level]] with elo and player, found none")
    levels: list[Level] = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}: level {number}"
        if not isinstance(entry, dict) or set(entry) != {"elo", "player"}:
            raise GameError(f"{where}: expected elo and player, got {entry!r}")
        elo, player = entry["elo"], entry["player"]
        if not isinstance(elo, int) or isinstance(elo, bool) or not isinstance(player, str):
            raise GameError(f"{where}: expected elo as a whole number and player as text, got {entry!r}")
        if levels and elo <= levels[-1].elo:
            raise GameError(f"{where}: expected more than the {levels[-1].elo} Elo before it, got {elo}")
        try:
            levels.append(Level(elo, parse(player).text))
        except GameError as error:
            raise GameError(f"{where}: {error}") from error
    return levels


def level_for(game: Game, elo: int) -> Level:
    """The shipped level that is nearest to a rating. Raises GameError where there is none near it, or none at all."""
    path = levels_file(game)
    if path is None:
        raise GameError(f"--elo: no ratings are shipped for {game.spec}; choose by --simulations or --opponent")
    return nearest(read_levels(path), elo)


def nearest(levels: list[Level], elo: int) -> Level:
    """The level of `levels`, rising, nearest to a rating. Raises GameError for one beyond them."""
    low, high = levels[0].elo, levels[-1].elo
    if not low - MARGIN <= elo <= high + MARGIN:
        raise GameError(f"--elo: expected {low} to {high}, the levels measured, got {elo}")
    return min(levels, key=lambda level: abs(level.elo - elo))
