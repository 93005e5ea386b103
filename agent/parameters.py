"""A game with other parameters than it has."""

import dataclasses

from games.contract import Game, parse_parameters


def changed(game: Game, **parameters: str) -> Game:
    """The game with some parameters changed, given as they are written. Raises GameError."""
    values = {field.name: getattr(game, field.name) for field in dataclasses.fields(game)} | parameters
    return parse_parameters(type(game), ",".join(f"{name}={value}" for name, value in values.items()))


def has_parameter(game: Game, name: str) -> bool:
    """Whether the rules have a parameter of this name."""
    return any(field.name == name for field in dataclasses.fields(game))
