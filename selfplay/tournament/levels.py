"""Calibrated strength: makes a table of players of known strength from a tournament of one net's settings.

`keima play --elo 1200` reads the table (agent/players/levels.py). The tournament has the net play with different
numbers of simulations and temperatures. Each setting must be no weaker by its nature than the one before: more
simulations, a lower temperature, or both. Measured ratings are noisy, so they are first made to rise along the settings
(isotonic regression, each rating weighted by its precision). A strength between two settings is then met by a setting
between them, interpolated in log(1 + simulations) and in the temperature.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keima.agent.contracts.player_spec import CHECKPOINT, PlayerSpec, parse
from keima.games.contract import GameError
from keima.selfplay.tournament.ratings import PlayerRating, Ratings

STEP = 50
"""Elo between the levels of a table, about."""
_NETS = ("shipped", CHECKPOINT)
_OPTIONS = {"simulations", "temperature"}


@dataclass(frozen=True)
class CalibratedLevel:
    """A player and its strength."""

    elo: int
    player: str
    """As agent/contracts/player_spec.py reads it."""
    low: int
    """The 95 % interval's lower end: of the setting that was measured, or between those of its neighbours."""
    high: int
    measured: bool
    """Whether this setting played; otherwise it is between two that did."""


@dataclass(frozen=True)
class _Setting:
    simulations: int
    temperature: float

    @property
    def effort(self) -> float:
        return math.log1p(self.simulations)


@dataclass(frozen=True)
class _Measured:
    setting: _Setting
    elo: float
    low: float
    high: float


def make_levels(
    ratings: Ratings, players: Mapping[str, str] | None = None, *, step: int = STEP
) -> list[CalibratedLevel]:
    """The levels that a ladder of one net's settings allows, rising, about every `step` Elo.

    players: the texts of the players that are settings of the net, by their names on the ladder; the ladder's other
    players, which are there for comparison, are not named. By default these are the players whose name is such a text:
    `shipped simulations=64 temperature=0.3`. Raises GameError where there are fewer than two, or where it is not clear
    which should be stronger.
    """
    if players is None:
        players = {player.name: player.name for player in ratings.players if _is_setting(player.name)}
    specs = {name: _checked(text) for name, text in players.items()}
    if len({(spec.kind, spec.argument) for spec in specs.values()}) > 1:
        raise GameError(f"levels: expected settings of one net, got {' and '.join(sorted(players.values()))}")
    path = _rising(_path([(_setting(spec), ratings[name]) for name, spec in specs.items()]))
    base = next(iter(specs.values()))
    found: dict[_Setting, CalibratedLevel] = {}
    for point in path:
        found[point.setting] = _level(base, point, measured=True)
    for before, after in itertools.pairwise(path):
        for elo in range(math.ceil(before.elo / step) * step, math.ceil(after.elo), step):
            if before.elo < elo < after.elo:
                point = _between(before, after, (elo - before.elo) / (after.elo - before.elo))
                found.setdefault(point.setting, _level(base, point, measured=False))
    levels: list[CalibratedLevel] = []
    # Of settings with the same Elo one that was measured stays.
    for level in sorted(found.values(), key=lambda level: (level.elo, not level.measured)):
        if not levels or level.elo > levels[-1].elo:
            levels.append(level)
    return levels


def levels_toml(levels: Sequence[CalibratedLevel], measured: str) -> str:
    """The table's text. measured: a sentence that names the tournament and the number of games."""
    lines = [f"measured = {json.dumps(measured, ensure_ascii=False)}"]
    for level in levels:
        how = "measured" if level.measured else "between two that were measured"
        lines += [
            "",
            "[[level]]",
            f"elo = {level.elo}  # {how}; 95 %: {level.low} to {level.high}",
            f"player = {json.dumps(level.player, ensure_ascii=False)}",
        ]
    return "\n".join(lines) + "\n"


def _is_setting(text: str) -> bool:
    try:
        spec = parse(text)
    except GameError:
        return False
    return spec.kind in _NETS and set(spec.options) in (_OPTIONS, {"simulations"})


def _checked(text: str) -> PlayerSpec:
    spec = parse(text)
    if spec.kind not in _NETS or set(spec.options) - _OPTIONS or "simulations" not in spec.options:
        raise GameError(f"levels: expected a net with simulations=N and perhaps temperature=T, got {text}")
    return spec


def _setting(spec: PlayerSpec) -> _Setting:
    return _Setting(int(spec.options["simulations"]), float(spec.options.get("temperature", 0)))


def _path(measured: Iterable[tuple[_Setting, PlayerRating]]) -> list[_Measured]:
    """From the weakest setting to the strongest."""
    ordered = sorted(measured, key=lambda pair: (pair[0].simulations, -pair[0].temperature))
    for (before, _), (after, rating) in itertools.pairwise(ordered):
        if after.temperature > before.temperature or after == before:
            raise GameError(
                f"levels: {rating.name} has more simulations but a higher temperature than {before.simulations} "
                f"simulations at {before.temperature:g}: expected settings of which each is stronger than the last"
            )
    if len(ordered) < 2:
        raise GameError(f"levels: expected at least two settings of one net on the ladder, got {len(ordered)}")
    if len({rating.group for _, rating in ordered}) > 1:
        raise GameError("levels: no games link the settings: their ratings cannot be compared")
    return [_Measured(setting, rating.elo, rating.low, rating.high) for setting, rating in ordered]


def _rising(path: Sequence[_Measured]) -> list[_Measured]:
    """The same with Elo that does not fall: neighbours in the wrong order get their weighted mean."""
    widths = np.array([max(point.high - point.low, 1.0) for point in path])
    fitted = isotonic([point.elo for point in path], 1 / widths**2)
    return [
        dataclasses.replace(point, elo=elo, low=point.low + elo - point.elo, high=point.high + elo - point.elo)
        for point, elo in zip(path, fitted, strict=True)
    ]


def isotonic(values: Sequence[float], weights: Sequence[float] | np.ndarray) -> list[float]:
    """The rising sequence that is nearest to `values` by weighted squares (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        blocks.append((float(value), float(weight), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, u, m), (b, v, n) = blocks[-2:]
            blocks[-2:] = [((a * u + b * v) / (u + v), u + v, m + n)]
    return [mean for mean, _, length in blocks for _ in range(length)]


def _between(before: _Measured, after: _Measured, part: float) -> _Measured:
    """The setting nearest to the fraction `part` of the way, 0 to 1, with the Elo at which it really is."""
    start, end = before.setting, after.setting
    simulations = round(math.expm1(start.effort + part * (end.effort - start.effort)))
    if end.simulations > start.simulations:
        # Simulations are whole: where few of them make a large step, the rest follows them.
        part = (math.log1p(simulations) - start.effort) / (end.effort - start.effort)
    temperature = round(start.temperature + part * (end.temperature - start.temperature), 2)
    if end.simulations == start.simulations:
        part = (temperature - start.temperature) / (end.temperature - start.temperature)
    ends = ((before.elo, after.elo), (before.low, after.low), (before.high, after.high))
    return _Measured(_Setting(simulations, temperature), *((1 - part) * a + part * b for a, b in ends))


def _level(base: PlayerSpec, point: _Measured, measured: bool) -> CalibratedLevel:
    options: dict[str, int | float | str] = {"simulations": point.setting.simulations}
    if point.setting.temperature > 0:
        options["temperature"] = point.setting.temperature
    player = dataclasses.replace(base, options=options).text
    return CalibratedLevel(round(point.elo), player, round(point.low), round(point.high), measured)
