"""An ablation: variants trained alike; how strong each became, how far from the base, and how sure that is.

Nets trained twice with nothing changed but the seed differ in strength. How much they do is estimated from all
variants together, each one's seeds about its own mean, taking the spread to be the same for all (the analysis of
variance): two seeds of eight variants give eight degrees of freedom where two seeds alone give one. The intervals
are Student's for that spread. All nets are measured on the same positions or openings, whose difficulty is therefore
no part of a difference; what a net happens to know of them is part of the spread. Or they play each other, where
`measure.among` says so (see `keima.selfplay.experiments.ablation_games`), and strength is Elo.

With a single seed each there is no spread to be seen: then the intervals are those of the measurement alone (Wilson's,
and Newcombe's for differences), and the table says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keima.games import load
from keima.selfplay.config.loader import load_config
from keima.selfplay.experiments import ablation_games
from keima.selfplay.experiments.sweep_config import BASE, Overrides, SweepConfig
from keima.selfplay.experiments.trial import Measurement, Result, Trial, measured_interval, read_result


class Ablation:
    """The trials of an ablation; see `keima.selfplay.experiments.sweep.TrialSource`.

    All variants are trained with one seed before the next seed begins. So whatever drifts on the machine meanwhile
    affects all variants alike, and an ablation that is not yet done compares all variants.
    """

    def __init__(self, folder: Path, config: SweepConfig) -> None:
        self._folder = folder
        self._config = config
        self._variants: dict[str, Overrides] = {BASE: {}, **config.variants}
        self._tried: set[str] = set()
        """Trials of this start: one that fails is tried again only by the next."""

    @property
    def total(self) -> int:
        return len(self._variants) * len(self._config.seeds)

    def results(self) -> list[Result]:
        found = (read_result(self._folder / "trials" / trial.name) for trial in self._trials())
        return [result for result in found if result is not None]

    def next_trial(self) -> Trial | None:
        done = {result.trial for result in self.results() if not result.error} | self._tried
        trial = next((trial for trial in self._trials() if trial.name not in done), None)
        if trial is not None:
            self._tried.add(trial.name)
        return trial

    def options_now(self, result: Result) -> Overrides:
        return self._variants[result.variant]

    def take(self, result: Result) -> None:
        """Nothing is kept but the trials' own results."""

    def label(self, trial: Trial) -> str:
        return f"{trial.variant}, seed {trial.seed}"

    def headline(self) -> tuple[str, tuple[float, ...]]:
        """Nothing while it runs: a variant's figures alone say little before the base's."""
        return "", ()

    def report(self) -> tuple[str, list[list[str]], str]:
        """What was done, the table of variants, and what its figures are."""
        results = self.results()
        figures, unit = self._figures(results)
        rows = summarize(results, [*self._variants], figures, unit)
        seeds = f"seed{'s' * (len(self._config.seeds) > 1)} {', '.join(map(str, self._config.seeds))}"
        failures = [result.trial for result in results if result.error]
        title = seeds + (f"; failed: {', '.join(failures)}" if failures else "")
        notes = notes_in_words(results)
        if self._config.measure.among and not all(figures.values()):
            notes = "The nets play each other once all trials are done."
        return title, table_cells(rows, self._config.measure.simulations, len(self._config.seeds), unit), notes

    def finish(self) -> bool:
        """Plays the games between the nets, where strength is measured so; False where Ctrl-C stopped them."""
        measure, trained = self._config.measure, [r for r in self.results() if not r.error]
        if not measure.among or len(trained) < 2:
            return True
        game = load(load_config(self._config.base).game)
        return ablation_games.play(self._folder, game, [r.trial for r in trained], measure)

    def conclude(self) -> list[str]:
        """Nothing is left to be said but the table."""
        return []

    def _figures(self, results: Sequence[Result]) -> "tuple[Figures, Unit]":
        """The strength of each trial's net, as far as it is known."""
        measure, done = self._config.measure, [result for result in results if not result.error]
        if not measure.among:
            return shares_of(done, measure.simulations), SHARE
        base = [result.trial for result in done if result.variant == BASE]
        found: Figures = {}
        for n in measure.simulations:
            elo = ablation_games.elo(self._folder, n, base)
            found[n] = {r.trial: Estimate(*elo[r.trial]) for r in done if r.trial in elo}
        return found, ELO

    def _trials(self) -> list[Trial]:
        return [
            Trial(f"{name}-{seed}", name, seed, overrides, self._config.measure)
            for seed in self._config.seeds
            for name, overrides in self._variants.items()
        ]


@dataclass(frozen=True)
class Estimate:
    """A strength, or a difference of two, with its 95 % interval; None where nothing is known of it."""

    value: float
    interval: tuple[float, float] | None

    @property
    def excludes_zero(self) -> bool:
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


Figures = dict[int, dict[str, Estimate]]
"""By simulations, then by trial: how strong its net is, with the interval of the measurement alone."""


@dataclass(frozen=True)
class Unit:
    """What strength is measured in."""

    factor: float
    """What it is multiplied by where it is shown."""
    digits: int
    is_relative: bool
    """Whether there are differences from the base alone."""
    against_base: str


SHARE = Unit(factor=100, digits=1, is_relative=False, against_base=f"against {BASE}")
ELO = Unit(factor=1, digits=0, is_relative=True, against_base=f"Elo against {BASE}")


def shares_of(results: Sequence[Result], simulations: Sequence[int]) -> Figures:
    """The strengths that trials which did not fail have measured themselves."""
    return {n: {r.trial: _share(r.measured(n)) for r in results} for n in simulations}


def _share(measured: Measurement) -> Estimate:
    return Estimate(measured.share, measured_interval(measured))


@dataclass(frozen=True)
class Row:
    """A variant's line of the table. Means over its seeds."""

    variant: str
    seeds: list[int]
    strengths: dict[int, Estimate]
    """By simulations; empty where there are differences from the base alone."""
    differences: dict[int, Estimate]
    """From the base; empty for the base, and where there is none yet."""
    positions: float
    steps: float
    evaluations_per_s: float
    cores_used: float


def summarize(results: Sequence[Result], variants: Sequence[str], figures: Figures, unit: Unit) -> list[Row]:
    """A row for each variant that has a result, in their order."""
    by_variant = {name: [r for r in results if r.variant == name and not r.error] for name in variants}
    by_variant = {name: found for name, found in by_variant.items() if found}
    strengths: dict[str, dict[int, Estimate]] = {name: {} for name in by_variant}
    differences: dict[str, dict[int, Estimate]] = {name: {} for name in by_variant}
    for n, by_trial in figures.items():
        measured = {}
        for name, found in by_variant.items():
            if known := [by_trial[r.trial] for r in found if r.trial in by_trial]:
                measured[name] = known
        spread = pooled_spread({name: [e.value for e in estimates] for name, estimates in measured.items()})
        for name, estimates in measured.items():
            if not unit.is_relative:
                strengths[name][n] = strength(estimates, *spread)
            if name != BASE and BASE in measured:
                differences[name][n] = difference(estimates, measured[BASE], *spread)
    return [
        Row(
            name,
            sorted(r.seed for r in found),
            strengths[name],
            differences[name],
            positions=_mean([r.positions for r in found]),
            steps=_mean([r.steps for r in found]),
            evaluations_per_s=_mean([r.evaluations_per_s for r in found]),
            cores_used=_mean([r.cores_used for r in found if r.cores_used] or [0.0]),
        )
        for name, found in by_variant.items()
    ]


def pooled_spread(samples: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within the samples, the same for all, and its degrees of freedom (0: none is known)."""
    freedom = sum(len(values) - 1 for values in samples.values())
    squares = sum((value - _mean(values)) ** 2 for values in samples.values() for value in values)
    return (math.sqrt(squares / freedom) if freedom else math.nan), freedom


def strength(measured: Sequence[Estimate], spread: float, freedom: int) -> Estimate:
    """A variant's mean share over its seeds. spread, freedom: what `pooled_spread` returned."""
    mean = _mean([e.value for e in measured])
    if not freedom:
        return Estimate(mean, measured[0].interval)
    half = student_quantile(freedom) * spread / math.sqrt(len(measured))
    return Estimate(mean, (max(0.0, mean - half), min(1.0, mean + half)))


def difference(measured: Sequence[Estimate], base: Sequence[Estimate], spread: float, freedom: int) -> Estimate:
    """How much larger a variant's mean strength is than the base's."""
    one, other = _mean([e.value for e in measured]), _mean([e.value for e in base])
    if freedom:
        half = student_quantile(freedom) * spread * math.sqrt(1 / len(measured) + 1 / len(base))
        return Estimate(one - other, (one - other - half, one - other + half))
    ours, theirs = measured[0].interval, base[0].interval
    if ours is None or theirs is None:
        return Estimate(one - other, None)
    # R. G. Newcombe, Interval estimation for the difference between independent proportions (1998), method 10. The
    # positions are shared, which makes it too wide rather than too narrow. The base's Elo is 0 and has no width.
    below = math.hypot(one - ours[0], theirs[1] - other)
    above = math.hypot(ours[1] - one, other - theirs[0])
    return Estimate(one - other, (one - other - below, one - other + above))


def student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with `freedom` degrees of freedom, at least 1."""
    low, high = 0.0, math.pi / 2  # of atan(t / sqrt(freedom))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, freedom) < 0.95 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _student_within(angle: float, freedom: int) -> float:
    """The probability that |t| < sqrt(freedom) tan(angle); Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def table_cells(rows: Sequence[Row], simulations: Sequence[int], num_seeds: int, unit: Unit) -> list[list[str]]:
    """The table, its head first. Differences are in percentage points or Elo; bold where their interval excludes 0."""
    names = ["raw" if n == 0 else f"{n} simulations" for n in simulations]
    absolute = [] if unit.is_relative else names
    head = ["variant", "seeds", *absolute, *(f"{name}, {unit.against_base}" for name in names)]
    table = [[*head, "positions", "steps", "evaluations/s", "cores used"]]
    for row in rows:
        missing = f" of {num_seeds}" if len(row.seeds) < num_seeds else ""
        table.append(
            [
                *(row.variant, f"{len(row.seeds)}{missing}"),
                *([] if unit.is_relative else [share_in_words(row.strengths[n]) for n in simulations]),
                *(_difference_in_words(row.differences.get(n), unit) for n in simulations),
                *(f"{row.positions:,.0f}", f"{row.steps:,.0f}", f"{row.evaluations_per_s:,.0f}"),
                f"{row.cores_used:.1f}",
            ]
        )
    return table


def share_in_words(estimate: Estimate) -> str:
    """`81.2 % (78.0 to 84.1)`"""
    if estimate.interval is None:
        return f"{100 * estimate.value:.1f} %"
    low, high = estimate.interval
    return f"{100 * estimate.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _difference_in_words(estimate: Estimate | None, unit: Unit) -> str:
    if estimate is None:
        return ""

    def shown(value: float) -> str:
        return f"{unit.factor * value:+.{unit.digits}f}"

    if estimate.interval is None:
        return shown(estimate.value)
    low, high = estimate.interval
    value = f"**{shown(estimate.value)}**" if estimate.excludes_zero else shown(estimate.value)
    return f"{value} ({shown(low)} to {shown(high)})"


def notes_in_words(results: Sequence[Result]) -> str:
    """What the table's intervals are, and which trials were not like the others."""
    done = [result for result in results if not result.error]
    freedom = len(done) - len({result.variant for result in done})
    resumed = sum(result.starts > 1 for result in done)
    interrupted = (
        f" Interrupted and resumed, with the games under way lost: {resumed} of {len(done)}." if resumed else ""
    )
    if not freedom:
        return (
            "In brackets: 95 % intervals of the measurement alone. With one seed each nothing is known of the chance "
            f"in training, which may well be larger.{interrupted}"
        )
    return (
        "In brackets: 95 % intervals for training with another seed, from the spread between the seeds of a variant, "
        f"taken as equal for all (Student's t, {freedom} degree{'s' * (freedom > 1)} of freedom). Bold: the interval "
        f"excludes no difference, which happens by chance once in twenty times.{interrupted}"
    )


def to_markdown(table: Sequence[Sequence[str]]) -> str:
    """The table as Markdown has it; the first row is its head."""
    head, *rows = ["| " + " | ".join(cells) + " |" for cells in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
