"""Published curves: how strong a net is after so many training positions, as measured on runs with a config.

configs/curves/GAME.toml holds a game's curves:

    game = "connect4"                        the game's label, with its parameters where they are not the usual ones
    [[curve]]                                one for each network or config that was measured
    measured = "..."                         in words: on what, by how many runs, how exact
    positions = [94_000, 250_000]            training positions played when the net was measured, ascending
    [curve.settings]                         options of the config on which the curve depends
    network.blocks = 4
    [[curve.strength]]                       one for each way of measuring
    name = "64 simulations"
    shares = [0.835, 0.840]                  what was measured, 0 to 1, for each of `positions`
    levels = [0.85, 0.90]                    the strengths to be named in a forecast

Between two points a curve is a straight line over the logarithm of the positions. A curve says nothing beyond its last
point.
"""

import importlib.resources
import math
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from keima.games.contract import Game
from keima.selfplay.config.loader import parse_toml, to_toml_value
from keima.selfplay.config.renamed import flat_with_new_names, tell_new_names
from keima.selfplay.config.schema import ConfigError, TrainConfig, options

Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Strength(_Strict):
    """One way of measuring, along a curve."""

    name: str
    shares: tuple[Share, ...]
    levels: tuple[Share, ...]


class Curve(_Strict):
    """Strength against training positions."""

    measured: str
    positions: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    """By option: `network.blocks`."""
    strength: tuple[Strength, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _flatten_settings(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("settings"), dict):
            settings, old_names = flat_with_new_names(_flat(values["settings"]))
            tell_new_names("a curve's settings", old_names)
            values = {**values, "settings": settings}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.positions) != sorted(set(self.positions)):
            raise ValueError("positions: expected ascending numbers")
        for strength in self.strength:
            if len(strength.shares) != len(self.positions):
                raise ValueError(f"{strength.name}: expected {len(self.positions)} shares, as many as positions")
        unknown = [name for name in self.settings if name not in options()]
        if unknown:
            raise ValueError(f"settings: unknown option {unknown[0]}")
        return self

    def positions_for(self, strength: Strength, level: float) -> float | None:
        """After how many positions a strength first comes to this level; None where the curve ends before that."""
        if strength.shares[0] >= level:
            return float(self.positions[0])
        for i in range(1, len(self.positions)):
            low, high = strength.shares[i - 1], strength.shares[i]
            if high >= level:
                part = (level - low) / (high - low)
                start, end = (math.log(number) for number in self.positions[i - 1 : i + 1])
                return math.exp(start + part * (end - start))
        return None

    def share_after(self, strength: Strength, positions: float) -> float:
        """The strength after so many positions; outside of the curve that of its end."""
        if positions <= self.positions[0]:
            return strength.shares[0]
        for i in range(1, len(self.positions)):
            if positions <= self.positions[i]:
                start, end = (math.log(number) for number in self.positions[i - 1 : i + 1])
                part = (math.log(positions) - start) / (end - start)
                return strength.shares[i - 1] + part * (strength.shares[i] - strength.shares[i - 1])
        return strength.shares[-1]

    def differences(self, config: TrainConfig) -> list[str]:
        """In what a config is unlike the one that was measured: `network.blocks 6 instead of 4`."""
        found = []
        for key, measured in self.settings.items():
            section, _, name = key.rpartition(".")
            value = getattr(getattr(config, section) if section else config, name)
            if value != measured:
                found.append(f"{key} {to_toml_value(value)} instead of {to_toml_value(measured)}")
        return found


class _CurveFile(_Strict):
    game: str
    curve: tuple[Curve, ...]


def parse_curves(text: str, source: str) -> tuple[str, tuple[Curve, ...]]:
    """The game's label and the curves in a file's text; `source` is where it is from. Raises ConfigError."""
    try:
        found = _CurveFile.model_validate(parse_toml(source, text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{source}: {where}: {first['msg']}") from None
    return found.game, found.curve


def shipped_curves(game: Game) -> tuple[Curve, ...]:
    """The published curves of a game with these parameters; none where nobody has measured any."""
    file = importlib.resources.files("keima.configs") / "curves" / f"{game.name}.toml"
    if game.source != game.name or not file.is_file():
        return ()
    label, curves = parse_curves(file.read_text(encoding="utf-8"), f"configs/curves/{game.name}.toml")
    return curves if label == game.label else ()


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
