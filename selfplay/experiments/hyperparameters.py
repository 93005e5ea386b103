"""A sweep: optuna proposes options, trials say how strong they make the net, and the strongest is written down.

Optuna's study lies in the sweep's folder, in SQLite, which a kill leaves whole (`optuna-dashboard` shows it). A
trial's number there is its folder's; a trial that a kill left running is run again with the options it had. What
optuna draws depends on the sweep's seed, the trial's number and the results so far, so that an interrupted sweep
proposes what an uninterrupted one would have. The first trial has the base's own options.
"""

import contextlib
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keima.agent.system.storage import write_atomically
from keima.games.contract import GameError
from keima.selfplay.config.loader import to_toml, to_toml_value
from keima.selfplay.config.renamed import RENAMED
from keima.selfplay.experiments.ablation import Estimate, share_in_words
from keima.selfplay.experiments.sweep_config import Overrides, Range, SweepConfig
from keima.selfplay.experiments.trial import Result, Trial, measured_interval, read_result, with_simulations

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

STUDY_FILE, BEST_FILE, CONFIRM_FILE = "optuna.db", "best.toml", "confirm.toml"
MIN_FOR_IMPORTANCES = 10
"""Fewer trials say nothing of what matters."""
CONFIRMED = 3
"""How many of the strongest trials, and seeds of each, are proposed to be trained again."""


class Search:
    """The trials of a sweep; see `keima.selfplay.experiments.sweep.TrialSource`."""

    def __init__(self, folder: Path, config: SweepConfig) -> None:
        """Takes up the study in the sweep's folder, or begins one. Raises GameError where optuna is missing."""
        try:
            import optuna
        except ImportError:
            raise GameError(
                "a sweep over a [space] needs optuna, which is not installed: pip install 'keima[tune]'"
            ) from None
        from sqlalchemy.engine import URL

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._folder = folder
        self._config = config
        self._space = {key: self._distribution(tried) for key, tried in config.space.items()}
        url = URL.create("sqlite", database=str(folder.absolute() / STUDY_FILE)).render_as_string()
        self._study = optuna.create_study(storage=url, study_name="sweep", direction="maximize", load_if_exists=True)
        self._in_study = self._names_in_study()
        self._left: list[FrozenTrial] = []
        """Trials that an earlier start left running."""
        if not self._study.get_trials(deepcopy=False):
            self._propose_base()
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == optuna.trial.TrialState.RUNNING:
                self._catch_up(trial)

    @property
    def total(self) -> int:
        return self._config.trials

    def results(self) -> list[Result]:
        trials = self._study.get_trials(deepcopy=False)
        found = (read_result(self._folder_of(_name(trial.number))) for trial in trials)
        return [result for result in found if result is not None]

    def next_trial(self) -> Trial | None:
        if self._left:
            trial = self._left.pop(0)
            return self._trial(trial.number, self._options(trial.params))
        if len(self.results()) >= self.total:
            return None
        number = len(self._study.get_trials(deepcopy=False))
        seed = np.random.SeedSequence((self._config.seed, number)).generate_state(1)[0]
        self._study.sampler = self._optuna.samplers.TPESampler(seed=int(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a range whose end no step meets
            asked = self._study.ask({self._in_study[key]: tried for key, tried in self._space.items()})
        return self._trial(asked.number, self._options(asked.params))

    def options_now(self, result: Result) -> Overrides:
        return result.overrides  # drawn once and for all

    def take(self, result: Result) -> None:
        number = int(result.trial.removeprefix("trial-"))
        if result.error:
            self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, result.measured(self._config.measure.target).share)

    def label(self, trial: Trial) -> str:
        return f"{_words(trial.name)}: {options_in_words(trial.overrides)}"

    def headline(self) -> tuple[str, tuple[float, ...]]:
        """The strongest trial so far, in words, and the strength of each."""
        target = self._config.measure.target
        done = [result for result in self.results() if not result.error]
        if not done:
            return "", ()
        best = max(done, key=lambda result: result.measured(target).share)
        words = f"{100 * best.measured(target).share:.1f} % {with_simulations(target)}"
        return f"{words}, the best so far ({_words(best.trial)})", tuple(
            result.measured(target).share for result in done
        )

    def report(self) -> tuple[str, list[list[str]], str]:
        """What was done, the table of trials, strongest first, and what else there is to say."""
        done = self._strongest_first()
        measure = self._config.measure
        others = [n for n in measure.simulations if n != measure.target]
        names = ["raw" if n == 0 else f"{n} simulations" for n in (measure.target, *others)]
        table = [["trial", *names, *self._space]]
        for result in done:
            measurements = [result.measured(n) for n in (measure.target, *others)]
            shares = [share_in_words(Estimate(m.share, measured_interval(m))) for m in measurements]
            table.append(
                [result.trial.removeprefix("trial-"), *shares, *(_value(result.overrides[k]) for k in self._space)]
            )
        failures = sum(bool(result.error) for result in self.results())
        title = f"{len(done)} of {self.total} trials{f' ({failures} failed)' if failures else ''}, strongest first"
        notes = []
        if any(measured_interval(m) for result in done for m in result.measurements):
            notes = [
                "In brackets: 95 % intervals of the measurement alone; training with another seed differs by more."
            ]
        importances = self._importances(len(done))
        if importances:
            shares_ = ", ".join(f"{name} {100 * share:.0f} %" for name, share in importances.items())
            notes.append(f"What made the difference between strong trials and others (PED-ANOVA): {shares_}.")
        return title, table, "\n".join(notes)

    def finish(self) -> bool:
        """Each trial was measured when it was trained."""
        return True

    def conclude(self) -> list[str]:
        """Writes the strongest trial's config, and an ablation of the strongest few; says what to do with them."""
        done = self._strongest_first()
        if not done:
            return []
        best = done[0]
        write_atomically(self._folder / BEST_FILE, to_toml(self._config.result_config(best.overrides)).encode())
        write_atomically(self._folder / CONFIRM_FILE, self._confirmation(done).encode())
        settings = " ".join(f"--set {key}={to_toml_value(value)}" for key, value in best.overrides.items())
        return [
            f"Best:     {_words(best.trial)}: {settings}",
            f"Train:    {{keima}} train {self._folder / BEST_FILE}",
            f"Confirm:  {{keima}} sweep {self._folder / CONFIRM_FILE}   (the best of many owes some of it to chance)",
        ]

    def _strongest_first(self) -> list[Result]:
        done = [result for result in self.results() if not result.error]
        return sorted(done, key=lambda result: -result.measured(self._config.measure.target).share)

    def _confirmation(self, done: Sequence[Result]) -> str:
        config = self._config
        first_seed = config.seed + config.trials  # the trials have had those before it
        lines = [
            f"# The strongest of {len(done)} trials and the base, trained anew with seeds of their own.",
            f"base = {to_toml_value(config.base)}",
            f"minutes = {to_toml_value(config.minutes)}",
            f"seeds = {to_toml_value([first_seed + i for i in range(CONFIRMED)])}",
            *_toml_table("set", config.set),
            *_toml_table("measure", config.measure.model_dump(exclude_none=True, exclude={"objective"})),
        ]
        base = self._base_values()
        for result in [result for result in done if result.overrides != base][:CONFIRMED]:
            lines += _toml_table(f"variants.{result.trial}", result.overrides)
        return "\n".join(lines) + "\n"

    def _trial(self, number: int, options: Overrides) -> Trial:
        ordered = {key: options[key] for key in self._space}
        return Trial(_name(number), _name(number), self._config.seed + number, ordered, self._config.measure)

    def _folder_of(self, name: str) -> Path:
        return self._folder / "trials" / name

    def _catch_up(self, trial: "FrozenTrial") -> None:
        """Tells the study what became of a trial that a kill kept from being told, or has it run again."""
        result = read_result(self._folder_of(_name(trial.number)))
        if result is not None:
            self.take(result)
        elif self._options(trial.params).keys() == self._space.keys():
            self._left.append(trial)
        else:  # killed while it was being drawn; another takes its place
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
            if trial.number == 0:
                self._propose_base()

    def _propose_base(self) -> None:
        values = self._base_values()
        if all(_holds(tried, values[key]) for key, tried in self._config.space.items()):
            self._study.enqueue_trial({self._in_study[key]: value for key, value in values.items()})

    def _names_in_study(self) -> dict[str, str]:
        """By option: its name in the study, which is the old one where the study was begun before it was renamed."""
        known = {name for trial in self._study.get_trials(deepcopy=False) for name in trial.params}
        old_names = {new: old for old, new in RENAMED.items() if old in known}
        return {key: old_names.get(key, key) for key in self._space}

    def _options(self, in_study: dict[str, Any]) -> Overrides:
        """The study's parameters by their options' names of today."""
        return {RENAMED.get(name, name): value for name, value in in_study.items()}

    def _base_values(self) -> Overrides:
        base = self._config.train_config({}, seed=0)
        values = {}
        for key in self._space:
            section, _, name = key.rpartition(".")
            values[key] = getattr(getattr(base, section) if section else base, name)
        return values

    def _distribution(self, tried: Range) -> "BaseDistribution":
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if tried.choices is not None:
            return CategoricalDistribution(tried.choices)
        assert tried.low is not None
        assert tried.high is not None
        if isinstance(tried.low, int) and isinstance(tried.high, int):
            return IntDistribution(tried.low, tried.high, log=tried.log, step=int(tried.step or 1))
        return FloatDistribution(tried.low, tried.high, log=tried.log, step=tried.step)

    def _importances(self, num_done: int) -> dict[str, float]:
        if num_done < MIN_FOR_IMPORTANCES or len(self._space) < 2:
            return {}
        with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError):
            warnings.simplefilter("error")  # it warns where it can tell nothing
            evaluator = self._optuna.importance.PedAnovaImportanceEvaluator()
            return self._options(self._optuna.importance.get_param_importances(self._study, evaluator=evaluator))
        return {}


def options_in_words(options: Overrides) -> str:
    """`learning_rate 0.004, channels 48`"""
    return ", ".join(f"{key.rpartition('.')[2]} {_value(value)}" for key, value in options.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _holds(tried: Range, value: Any) -> bool:
    """Whether the range has this value."""
    if tried.choices is not None:
        return value in tried.choices
    if isinstance(value, str) or tried.low is None or tried.high is None or not tried.low <= value <= tried.high:
        return False
    steps = (value - tried.low) / tried.step if tried.step else 0.0
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def _toml_table(name: str, values: Overrides) -> list[str]:
    return ["", f"[{name}]", *(f"{to_toml_value(key)} = {to_toml_value(value)}" for key, value in values.items())]


def _words(name: str) -> str:
    return name.replace("-", " ")


def _name(number: int) -> str:
    return f"trial-{number:03d}"
