"""What a sweep or an ablation is asked to do: its config file, checked before anything is trained.

    base = "connect4"                 # what `keima train` takes: a game or a config file
    minutes = 5                       # of training from zero, the same for every trial
    set.selfplay.actors = 2           # options for all of them, perhaps
    [measure]                         # what is measured at the end
    simulations = [0, 64]

A sweep searches a space for the options that make the strongest net:

    trials = 40
    [space]
    learner.learning_rate = { low = 1e-3, high = 1e-2, log = true }
    network.channels = { choices = [32, 48] }

An ablation trains each of a few variants, and the base as it is, several times:

    seeds = [0, 1]
    [measure]
    simulations = [64]
    among = 6                         # or as above: here the nets play each other, six games any two of them
    [variants.no-openings]
    selfplay.opening_random_fraction = 0
"""

import importlib.resources
import json
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keima.agent.analysis.evaluation import find_positions, read_positions
from keima.games import load
from keima.games.contract import GameError
from keima.selfplay.config.loader import expected_in_words, load_config, parse_toml, read_text, to_toml_value
from keima.selfplay.config.renamed import flat_with_new_names, tell_new_names
from keima.selfplay.config.schema import SECTIONS, ConfigError, TrainConfig, fixed, options

BASE = "base"
"""The variant without overrides."""
NEVER_MINUTES = 1e9
"""A trial is measured at its end, by whoever judges it: measuring on the way would take from its time."""
Overrides = dict[str, Any]
"""Options by their full names: `{"learner.learning_rate": 0.004}`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
_SHIPPED = ("sweeps/", "ablations/")
_FIXED = {  # options that a sweep says in its own way
    "game": "`base` says which game",
    "seed": "`seeds` (an ablation) or `seed` (a sweep) says it",
    "run.minutes": "`minutes` says it, the same for all",
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measure(_Table):
    """How the strength of a trial's net is measured: on exact results where there are any, or in games."""

    simulations: list[Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        [0, 64], min_length=1, description="Simulations a move; each is a measurement of its own. 0: the policy alone."
    )
    objective: int | None = Field(
        None, description="The one of these that a sweep makes as strong as it can; by default the last."
    )
    positions: str | None = Field(
        None,
        description="A file of positions with exact scores, or the name of a shipped one, as connect4_judging; by "
        "default those that come with the game.",
    )
    playouts: int = Field(200, ge=1, le=1_000_000, description="Where there are none: the opponent's random playouts.")
    games: int = Field(100, ge=2, description="Where there are none: games played; an even number, sides swapped.")
    among: int = Field(
        0,
        ge=0,
        description="An ablation, in place of all this: once its nets are trained they play so many games with each "
        "other, any two of them; an even number. Their strength is Elo then.",
    )

    @property
    def target(self) -> int:
        """The simulations at which a sweep's nets are compared."""
        return self.simulations[-1] if self.objective is None else self.objective


class Range(_Table):
    """The values that a sweep tries for an option: from low to high, or a few choices."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Whether the logarithm is drawn evenly: for what matters by factors, as a learning rate does."""
    step: int | float | None = None
    choices: list[bool | int | float | str] | None = None

    def ends(self) -> list[Any]:
        """Values that an option must be able to have for the range to make sense."""
        return self.choices if self.choices is not None else [self.low, self.high]


class SweepConfig(_Table):
    """A sweep (`space`) or an ablation (`variants`)."""

    base: str = Field(description="What is varied: a game or a config file, as `keima train` takes it.")
    minutes: float = Field(gt=0, description="How long each trial trains, in minutes.")
    set: Overrides = Field(default_factory=dict, description="Options that all trials have.")
    measure: Measure = Field(Measure(), description="How strength is measured.")
    trials: int = Field(40, ge=1, description="A sweep's trials.")
    seed: int = Field(0, ge=0, lt=1 << 31, description="A sweep's seed.")
    space: dict[str, Range] = Field(default_factory=dict, description="A sweep's options with their ranges.")
    seeds: list[Annotated[int, Field(ge=0, lt=1 << 63)]] = Field(
        [0, 1], min_length=1, description="An ablation's seeds: every variant is trained with each."
    )
    variants: dict[str, Overrides] = Field(
        default_factory=dict, description="An ablation's variants: what they do otherwise than the base."
    )

    @property
    def is_ablation(self) -> bool:
        return bool(self.variants)

    def train_config(self, overrides: Overrides, seed: int) -> TrainConfig:
        """What a trial trains with. Raises ConfigError where that cannot be."""
        always: Overrides = {"run.measure_every_minutes": NEVER_MINUTES, "run.measure_simulations": 0}
        always |= {"run.checkpoint_minutes": NEVER_MINUTES}  # a trial's only net is its last
        return _with(self.base, always | self.set | overrides | {"run.minutes": self.minutes, "seed": seed})

    def result_config(self, overrides: Overrides) -> TrainConfig:
        """What to train with where a trial's overrides were found good: for as long as the base does."""
        return _with(self.base, {k: v for k, v in (self.set | overrides).items() if not k.startswith("run.")})


def read_sweep(path_or_name: str) -> tuple[str, str]:
    """The text of a config file or of a shipped one (`sweeps/connect4`), and where it is from. Raises ConfigError."""
    path = Path(path_or_name).expanduser()
    if path_or_name.startswith(_SHIPPED) and not path.exists():
        shipped = importlib.resources.files("keima.configs") / f"{path_or_name.removesuffix('.toml')}.toml"
        if shipped.is_file():
            return shipped.read_text(encoding="utf-8"), path_or_name
    if path.suffix != ".toml":
        raise ConfigError(
            f"{path_or_name}: expected a sweep's config, a .toml file or a shipped one: {', '.join(shipped_sweeps())}"
        )
    return read_text(path), path_or_name


def shipped_sweeps() -> list[str]:
    """The names of the sweeps and ablations that come with Keima."""
    configs = importlib.resources.files("keima.configs")
    files = [(folder, file.name) for folder in _SHIPPED for file in (configs / folder.rstrip("/")).iterdir()]
    return sorted(f"{folder}{name.removesuffix('.toml')}" for folder, name in files if name.endswith(".toml"))


def parse_sweep(text: str, source: str) -> SweepConfig:
    """The config that a text is, with every trial it may lead to checked. Raises GameError, in one line."""
    values = parse_toml(source, text)
    if "game" in values and set(values) <= set(TrainConfig.model_fields):
        raise ConfigError(f"{source}: expected a sweep's config, but it is one for `keima train {source}`")
    for name in ("set", "space"):
        if isinstance(values.get(name), dict):
            values[name] = _with_new_names(_flat(values[name]), source)
    if isinstance(values.get("variants"), dict):
        values["variants"] = {
            name: _with_new_names(_flat(one), source) if isinstance(one, dict) else one
            for name, one in values["variants"].items()
        }
    try:
        config = SweepConfig.model_validate(values, strict=True)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from None
    _check_kind(config, values, source)
    _check_measure(config, source)
    _check_options(config.set, f"{source}: [set]")
    config = config.model_copy(
        update={"space": {k: _check_range(k, r, f"{source}: [space] {k}") for k, r in config.space.items()}}
    )
    _tried(config, {}, source)
    for name, overrides in config.variants.items():
        where = f"{source}: [variants.{name}]"
        _check_options(overrides, where)
        if not overrides:
            raise ConfigError(f"{where}: expected options that differ from the base's, got none")
        _tried(config, overrides, where)
    for key, tried in config.space.items():
        for value in tried.ends():
            _tried(config, {key: value}, f"{source}: [space]")
    return config


def _with(base: str, overrides: Mapping[str, Any]) -> TrainConfig:
    return load_config(base, [f"{key}={to_toml_value(value)}" for key, value in overrides.items()])


def _flat(table: Mapping[str, Any]) -> Overrides:
    """Options by their full names, whether the file has them as `a.b = 1` or as `"a.b" = 1`."""
    found: Overrides = {}
    for key, value in table.items():
        inner = value if key in SECTIONS and isinstance(value, dict) else {"": value}
        found |= {f"{key}.{name}" if name else key: each for name, each in inner.items()}
    return found


def _with_new_names(overrides: Overrides, source: str) -> Overrides:
    renamed, old_names = flat_with_new_names(overrides)
    tell_new_names(source, old_names)
    return renamed


def _tried(config: SweepConfig, overrides: Overrides, where: str) -> None:
    """Makes the config of a trial, to see that there can be one."""
    try:
        trial = config.train_config(overrides, seed=0)
        fixed(trial.selfplay.parallel_games)
        fixed(trial.learner.batch_size)
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix('--set ')}") from None
    except GameError as error:
        raise ConfigError(f"{where}: base: {error}") from None


def _check_kind(config: SweepConfig, values: Mapping[str, Any], source: str) -> None:
    if bool(config.space) == bool(config.variants):
        got = "both" if config.space else "neither"
        raise ConfigError(f"{source}: expected [space], for a sweep, or [variants.NAME], for an ablation; got {got}")
    others, kind = (("trials", "seed"), "an ablation") if config.is_ablation else (("seeds",), "a sweep")
    for name in others:
        if name in values:
            raise ConfigError(f"{source}: {name}: not an option of {kind}")
    if config.is_ablation and config.measure.objective is not None:
        raise ConfigError(f"{source}: measure.objective: not an option of an ablation, which shows all it measures")
    for name in config.variants:
        if not _NAME.fullmatch(name) or name == BASE:
            raise ConfigError(
                f"{source}: [variants.{name}]: expected a name of letters, digits and _.+=- that is not {BASE!r}, "
                "which is what the others are compared with"
            )
    if len({*config.seeds}) < len(config.seeds):
        raise ConfigError(f"{source}: seeds: expected different ones, got {config.seeds}")


def _check_measure(config: SweepConfig, source: str) -> None:
    measure = config.measure
    if len({*measure.simulations}) < len(measure.simulations):
        raise ConfigError(f"{source}: measure.simulations: expected different ones, got {measure.simulations}")
    if measure.target not in measure.simulations:
        raise ConfigError(
            f"{source}: measure.objective: expected one of measure.simulations, {measure.simulations}, "
            f"got {measure.objective}"
        )
    for name in ("games", "among"):
        if getattr(measure, name) % 2:
            raise ConfigError(f"{source}: measure.{name}: expected an even number, got {getattr(measure, name)}")
    if measure.among:
        if not config.is_ablation:
            raise ConfigError(
                f"{source}: measure.among: not an option of a sweep, whose trials are measured one by one"
            )
        for name in ("positions", "playouts", "games"):
            if name in measure.model_fields_set:
                raise ConfigError(
                    f"{source}: measure.{name}: not beside measure.among, with which the nets play each other"
                )
    try:
        game = load(load_config(config.base).game)
        file = find_positions(measure.positions, game)
        if file is not None:
            read_positions(file, game)
    except GameError as error:
        raise ConfigError(f"{source}: {error}") from None


def _check_options(overrides: Overrides, where: str) -> None:
    for key in overrides:
        if key in _FIXED:
            raise ConfigError(f"{where}: {key}: not to be set here; {_FIXED[key]}")


def _check_range(key: str, tried: Range, where: str) -> Range:
    """The range with its ends as the option has them: 1 is 1.0 for a fraction."""
    _check_options({key: None}, where.rpartition(" ")[0])
    numbers = (tried.low, tried.high)
    if tried.choices is not None:
        if numbers != (None, None) or tried.log or tried.step is not None or len(tried.choices) < 2:
            raise ConfigError(f"{where}: expected low and high, or choices, two at least and nothing else")
        return tried
    if tried.low is None or tried.high is None or tried.low >= tried.high:
        raise ConfigError(f"{where}: expected low and a larger high, or choices; got {tried.low} and {tried.high}")
    if tried.log and (tried.low <= 0 or tried.step is not None):
        raise ConfigError(f"{where}: expected a low above 0, and no step, where log is true")
    if tried.step is not None and not 0 < tried.step <= tried.high - tried.low:
        raise ConfigError(f"{where}: expected a step above 0 and within the range, got {tried.step:g}")
    if key in options() and float in (options()[key].annotation, *typing.get_args(options()[key].annotation)):
        step = None if tried.step is None else float(tried.step)
        return tried.model_copy(update={"low": float(tried.low), "high": float(tried.high), "step": step})
    if isinstance(tried.step, float):
        raise ConfigError(f"{where}: expected a step that is a whole number, got {tried.step:g}")
    return tried


def _explain(error: ValidationError, source: str) -> str:
    """The first thing that is wrong, in one line."""
    errors = error.errors()
    key = _key_of(errors[0]["loc"])
    mine = [e for e in errors if _key_of(e["loc"]) == key]
    if mine[0]["type"] == "extra_forbidden":
        return f"{source}: unknown option {key}; the options are: {', '.join(_options_beside(mine[0]['loc']))}"
    if mine[0]["type"] in ("dict_type", "model_type"):
        expected = "a table"
    elif mine[0]["type"] == "list_type":
        expected = "a list"
    else:
        expected = expected_in_words(mine)
    got = "nothing" if mine[0]["type"] == "missing" else json.dumps(mine[0]["input"], ensure_ascii=False, default=str)
    return f"{source}: {key}: expected {expected}, got {got}"


def _key_of(location: tuple[int | str, ...]) -> str:
    """A location's option, without the list index and the parts that pydantic adds for the alternatives of a type."""
    depth = {"measure": 2, "variants": 2, "space": 3, "set": 2}.get(str(location[0]), 1)
    return ".".join(str(part) for part in location[:depth])


def _options_beside(location: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, type[BaseModel]] = {"measure": Measure, "space": Range}
    return [*tables.get(str(location[0]) if len(location) > 1 else "", SweepConfig).model_fields]
