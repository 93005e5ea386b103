"""A game with other parameters than it has."""

import dataclasses
import math

from keima.games.contract import Game, parse_parameters


def changed(game: Game, **parameters: str) -> Game:
    """The game with some parameters changed, given as they are written. Raises GameError."""
    values = {field.name: getattr(game, field.name) for field in dataclasses.fields(game)} | parameters
    return parse_parameters(type(game), ",".join(f"{name}={value}" for name, value in values.items()))


def has_parameter(game: Game, name: str) -> bool:
    """Whether the rules have a parameter of this name."""
    return any(field.name == name for field in dataclasses.fields(game))


def playable_komi(game: Game, komi: float) -> str:
    """The komi nearest to this one that the game's rules can have, as it is written: they count half points.

    Without komi scores are whole, so that by any number between two of them the same side wins as by the half.
    """
    limits = next(field.metadata for field in dataclasses.fields(game) if field.name == "komi")
    halves = komi if 2 * komi % 1 == 0 else math.floor(komi) + 0.5
    return f"{min(max(halves, limits['low']), limits['high']):g}"
