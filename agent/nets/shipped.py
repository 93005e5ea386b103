"""The nets that come with Keima: `configs/nets/GAME.safetensors`, `gomoku-size=9` for the game `gomoku:size=9`."""

import importlib.resources
from pathlib import Path

from keima.games.contract import Game, GameError

SHIPPED = "shipped"
"""How the shipped net of a game is called where a player or a checkpoint is asked for."""


def shipped_net(game: Game) -> Path | None:
    """The checkpoint that comes with a game: with these parameters, or with others where a net plays any board of the
    game.

    None where no net comes with the game.
    """
    exact = shipped_for(game)
    if exact is not None or game.source != game.name or not game.policy_planes:
        return exact
    others = [path for path in _folder().glob("*.safetensors") if path.stem.partition("-")[0] == game.name]
    return min(others, key=lambda path: path.stem, default=None)


def shipped_for(game: Game) -> Path | None:
    """The checkpoint that comes with a game and just these parameters; None where none does."""
    path = _folder() / f"{shipped_name(game)}.safetensors"
    return path if game.source == game.name and path.is_file() else None


def _folder() -> Path:
    return Path(str(importlib.resources.files("keima.configs"))) / "nets"


def shipped_name(game: Game) -> str | None:
    """The name of files that come with a game and these parameters. None for a user's own file, which may have a
    shipped game's name.
    """
    return game.spec.replace(":", "-").replace(",", "_") if game.source == game.name else None


def require_shipped_net(game: Game) -> Path:
    """As `shipped_net`, but raises GameError where none comes with the game."""
    path = shipped_net(game)
    if path is None:
        raise GameError(f"no net is shipped for {game.spec}; `keima train {game.spec}` makes one")
    return path
