"""A tournament as a file: its players, options, referee and known ratings, so that one command plays it again.

    keima tournament --config ladders/go9

    game = "go:9"
    players = ['gtp:"gnugo --mode gtp --level 10" name="GNU Go 10"', "rollout:1000"]
    optional = ["shipped simulations=400"]    # left out with a message if they cannot be had
    games = 40
    [anchors]
    "GNU Go 10" = 431

The other names are those of the command's options. An option given to the command goes before the file. The games are
kept in runs/ladder-NAME.sqlite, the ladder in runs/ladder-NAME/, and the same command continues it.
"""

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keima.agent.contracts.player_spec import ENGINES, parse
from keima.agent.engines import program_and_arguments
from keima.games import load
from keima.games.contract import Game, GameError
from keima.selfplay.config.loader import expected_in_words, parse_toml, read_text
from keima.selfplay.config.schema import ConfigError
from keima.selfplay.tournament.lineup import enter

SETTINGS = ("games", "pairing", "sides", "opening_plies", "book", "referee", "seed")
LIMITS = ("simulations", "seconds", "nodes")
FOLDER = "ladders"
"""Where shipped ones are, below configs/."""


class TournamentConfig(BaseModel):
    """A tournament's file; None leaves a value to the command's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    game: str = Field(description="As `keima games` lists them, or a game file's path.")
    players: list[str] = Field(description="Who plays, as on the command line.")
    optional: list[str] = Field([], description="Who plays where it is to be had: programs, nets.")
    games: int | None = Field(None, ge=2, le=1_000_000, description="Games a pair, an even number.")
    pairing: Literal["round-robin", "gauntlet", "adaptive"] | None = None
    sides: Literal["both", "first", "second"] | None = None
    opening_plies: int | None = Field(None, ge=0, le=1000, description="Random moves before a game.")
    book: str | None = Field(None, description="A file of openings; beside the config, or a path.")
    referee: str | None = Field(None, description="Who says which stones are dead.")
    simulations: int | None = Field(None, ge=0, le=1_000_000, description="A move, of players that do not say.")
    seconds: float | None = Field(None, gt=0, description="A move, of players that do not say.")
    nodes: int | None = Field(None, ge=1, description="A move, of engines that do not say.")
    seed: int | None = Field(None, ge=0, lt=2**63)
    anchors: dict[str, float] = Field({}, description="Players' Elo that is fixed.")


@dataclass(frozen=True)
class TournamentPlan:
    """A config's tournament, ready to begin or to go on; None leaves a value to the command's default."""

    name: str
    game: Game
    players: tuple[str, ...]
    anchors: Mapping[str, float]
    settings: Mapping[str, Any]
    """For keima.selfplay.tournament.tournament.Settings."""
    limits: Mapping[str, Any]
    """What a move may cost, of players that do not say."""
    left_out: tuple[str, ...]
    """In words, who cannot play and why."""


def read_tournament(path_or_name: str) -> tuple[TournamentConfig, str]:
    """A config file, or a shipped one (`ladders/go9`), and its name. Raises ConfigError."""
    path = Path(path_or_name).expanduser()
    name = path.name.removesuffix(".toml")
    folder = Path(str(importlib.resources.files("keima.configs"))) / FOLDER
    if not path.exists() and path_or_name.removesuffix(".toml") in shipped_tournaments():
        path = folder / f"{name}.toml"
    if path.suffix != ".toml":
        shipped = ", ".join(shipped_tournaments())
        raise ConfigError(f"{path_or_name}: expected a tournament's config, a .toml file or a shipped one: {shipped}")
    values = parse_toml(path_or_name, read_text(path))
    try:
        config = TournamentConfig.model_validate(values, strict=True)
    except ValidationError as error:
        raise ConfigError(_explain(error, path_or_name)) from None
    if config.book is not None and (path.parent / config.book).exists():
        config = config.model_copy(update={"book": str((path.parent / config.book).absolute())})
    return config, name


def shipped_tournaments() -> list[str]:
    """The names of those that come with Keima."""
    files = (importlib.resources.files("keima.configs") / FOLDER).iterdir()
    return sorted(f"{FOLDER}/{file.name.removesuffix('.toml')}" for file in files if file.name.endswith(".toml"))


def plan(path_or_name: str) -> TournamentPlan:
    """The tournament that a config asks for, with those of its players that are available. Raises GameError."""
    config, name = read_tournament(path_or_name)
    game = load(config.game)
    found, missing = _to_be_had(config.optional, game)
    # The rating of somebody who is left out binds nobody.
    anchors = {player: elo for player, elo in config.anchors.items() if player not in missing}
    values = config.model_dump()
    return TournamentPlan(
        name=name,
        game=game,
        players=(*config.players, *found),
        anchors=anchors,
        settings={option: values[option] for option in SETTINGS},
        limits={option: values[option] for option in LIMITS},
        left_out=tuple(missing.values()),
    )


def _to_be_had(texts: Sequence[str], game: Game) -> tuple[list[str], dict[str, str]]:
    """Those of some players whose program or net is there; and for each of the others, by name, what is missing.

    Raises GameError for a text that is wrong on every machine.
    """
    found, missing = [], {}
    for text in texts:
        spec = parse(text)
        try:
            if spec.kind in ENGINES:
                program_and_arguments(spec.argument or "")
            enter([text], game)
            found.append(text)
        except GameError as error:
            missing[spec.label] = f"without {spec.label}: {error}"
    return found, missing


def _explain(error: ValidationError, source: str) -> str:
    """The first thing that is wrong, in one line."""
    errors = error.errors()
    key = str(errors[0]["loc"][0])
    mine = [e for e in errors if str(e["loc"][0]) == key]
    if mine[0]["type"] == "extra_forbidden":
        return f"{source}: unknown option {key}; the options are: {', '.join(TournamentConfig.model_fields)}"
    kinds = {"list_type": "a list", "dict_type": "a table"}
    expected = kinds.get(mine[0]["type"]) or expected_in_words(mine)
    got = "nothing" if mine[0]["type"] == "missing" else json.dumps(mine[0]["input"], ensure_ascii=False, default=str)
    return f"{source}: {key}: expected {expected}, got {got}"
