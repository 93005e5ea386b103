"""Rule parameters as text: a game made from `size=9,komi=7.5`, and a game with other parameters than it has."""

import dataclasses
import math
from typing import Any

from keima.games.contract import Game, check_facts
from keima.games.errors import GameError


def parse_parameters(game_class: type[Game], text: str) -> Game:
    """A game from the part after the colon: `9`, `19,komi=7.5`, `size=6`. Raises GameError."""
    fields = {f.name: f for f in dataclasses.fields(game_class)}
    values: dict[str, Any] = {}
    for position, item in enumerate(part.strip() for part in text.split(",")) if text.strip() else ():
        if not item:
            raise GameError(f"{game_class.name}: expected parameters with a comma between each two, got {text!r}")
        key, equals, raw = item.partition("=")
        if not equals:
            if position >= len(fields):
                raise GameError(f"{game_class.name}: takes {len(fields)} parameters, got {text!r}")
            key, raw = list(fields)[position], item
        if key not in fields:
            known = ", ".join(fields) or "none"
            raise GameError(f"{game_class.name}: unknown parameter {key!r}; it has: {known}")
        value = _parse_parameter(game_class.name, fields[key], raw.strip())
        if values.setdefault(key, value) != value:
            raise GameError(f"{game_class.name}: {key} is said twice, as {values[key]} and as {value}")
    game = game_class(**values)
    check_facts(game)
    return game


def _parse_parameter(game: str, spec: dataclasses.Field[Any], raw: str) -> Any:
    meta = spec.metadata
    if meta["choices"]:
        if raw in meta["choices"]:
            return raw
        raise GameError(f"{game}: {spec.name} is one of {', '.join(meta['choices'])}; got {raw!r}")
    halves = isinstance(spec.default, float)
    try:
        value = float(raw) if halves else int(raw)
    except ValueError:
        expected = "a number" if halves else "a whole number"
        raise GameError(f"{game}: {spec.name} takes {expected}, got {raw!r}") from None
    low, high = meta["low"], meta["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        raise GameError(f"{game}: {spec.name} is from {low} to {high}, got {raw}")
    if halves and value * 2 % 1 != 0:  # so are infinity and "not a number"
        raise GameError(f"{game}: {spec.name} goes in steps of 0.5, got {raw}")
    return value


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
