"""What suits this machine, and how long training takes here: what `keima plan` says and the config's "auto" means.

A minute's measurement is kept on disk, by machine, game, network, search and versions. What is chosen follows from it
by the rules below, each of which says why in a line with its figures.

How fast a run gets on is a balance. All actors together play P positions a second while nobody learns, on C cores; a
thread of the learner makes S samples a second, of which a position asks for r. Where the learner has a core or a GPU
to itself, min(P, S / r) positions a second come of it. Where it shares the actors' cores, a position takes C / P
seconds of a core to play and r / S to learn: C / (C / P + r / S) come of it, and not more than S / r.

A run whose network grows is measured with the network that it begins with. Afterwards it is taken to be slower as that
network's evaluations are faster than the grown one's.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from keima.games import load
from keima.games.contract import Game
from keima.selfplay.actors.actor_pool import num_actors
from keima.selfplay.bench.curves import Curve, Strength, shipped_curves
from keima.selfplay.bench.measuring import BUSY, Tell, machine
from keima.selfplay.bench.plan_measurement import (
    PARALLEL_GAMES_TOLERANCE,
    LearnerRate,
    Measured,
    choose_parallel_games,
    measured_here,
    sizes_of,
    with_values,
)
from keima.selfplay.config.schema import TrainConfig

BATCH_TOLERANCE = 0.1
"""Smaller batches are better while they cost no more than this: more steps are made of the same positions."""
ACTORS_TOLERANCE = 0.03
"""More actors are better while they cost no more than this: what waits is made use of when the balance changes."""
LEAST_WINDOW = 1000
"""Positions: no smaller window is proposed, however little memory there is."""
MEMORY_SHARE = 0.5
"""How much of the machine's memory a run may take."""


@dataclass(frozen=True)
class Choice:
    """What a setting should be."""

    option: str  # as in the config; "learner threads" follow from the actors
    value: int
    why: str
    in_config: int | str  # what the config has, "auto" or a number


@dataclass(frozen=True)
class Pace:
    """Training positions a second of a run, which change when its network grows."""

    positions_per_s: float
    grown_positions_per_s: float  # the same where it does not grow
    grows_after_minutes: float

    def positions_after(self, minutes: float) -> float:
        early = min(minutes, self.grows_after_minutes)
        return 60 * (early * self.positions_per_s + (minutes - early) * self.grown_positions_per_s)

    def minutes_until(self, positions: float) -> float:
        early = min(positions, self.positions_after(self.grows_after_minutes))
        return early / self.positions_per_s / 60 + (positions - early) / self.grown_positions_per_s / 60


@dataclass(frozen=True)
class Forecast:
    """When a strength is reached. None where the curve ends before that."""

    strength: str
    level: float
    positions: float | None
    minutes: float | None


@dataclass(frozen=True)
class Plan:
    """What suits this machine; with --json, one object of these keys. Positions are training positions."""

    game: str
    machine: dict[str, Any]
    measured: Measured
    choices: list[Choice]
    network: str  # in words: the config's, and what others would cost
    pace: Pace  # of a run with the config, "auto" replaced by the choices
    positions_in_its_minutes: float
    minutes: float  # the config's
    learner_share: float  # of a thread's time, at first
    curve: str  # what was measured where, in words; empty where there is none
    forecasts: list[Forecast]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def value(self, option: str) -> int:
        return next(choice.value for choice in self.choices if choice.option == option)


def make_plan(config: TrainConfig, *, again: bool = False, tell: Tell) -> Plan:
    """Measures, or reads what was measured before, and chooses. again: measures in any case."""
    game = load(config.game)
    measured = measured_here(game, config, again=again, tell=tell)
    return decide(game, config, measured, shipped_curves(game))


def settled(config: TrainConfig, tell: Tell) -> TrainConfig:
    """The config with a number for every "auto" whose value a run must keep; measures only where there is need to.

    "auto" for the actors alone is what keima.selfplay.actors.actor_pool.num_actors says. The backend stays "auto":
    another machine may need another one.
    """
    wanted = {
        "selfplay.actors": config.selfplay.actors,
        "selfplay.parallel_games": config.selfplay.parallel_games,
        "learner.batch_size": config.learner.batch_size,
    }
    open_ = [option for option, value in wanted.items() if value == "auto"]
    if open_ == ["selfplay.actors"]:
        return with_values(config, {"selfplay.actors": num_actors(config.selfplay)})
    if not open_:
        return config
    plan = make_plan(config, tell=tell)
    return with_values(config, {option: plan.value(option) for option in open_})


# --- choosing


def decide(game: Game, config: TrainConfig, measured: Measured, curves: tuple[Curve, ...]) -> Plan:
    """The plan that follows from a measurement."""
    ratio = config.replay.samples_per_position
    parallel_games = choose_parallel_games(measured.parallel_games)
    batch_size = choose_batch_size(measured.learner)
    used_batch = batch_size if config.learner.batch_size == "auto" else config.learner.batch_size
    rates = {rate_.actors: balanced(measured, rate_.actors, used_batch, ratio) for rate_ in measured.actors}
    actors = choose_actors(rates)
    used_actors = actors if config.selfplay.actors == "auto" else config.selfplay.actors
    pace = pace_of(config, measured, rates[used_actors])
    learner = learner_rate(measured, used_actors, used_batch)
    positions = pace.positions_after(config.run.minutes)
    window_min, why_window = _window(config, measured, int(positions), used_actors)
    choices = [
        Choice("selfplay.actors", actors, _why_actors(measured, rates, actors), config.selfplay.actors),
        Choice(
            "selfplay.parallel_games",
            parallel_games,
            _why_parallel_games(measured, parallel_games),
            config.selfplay.parallel_games,
        ),
        Choice("learner.batch_size", batch_size, _why_batch(measured, batch_size), config.learner.batch_size),
        Choice(
            "learner threads",
            threads_of_learner(measured.cores, used_actors),
            f"what {used_actors} actors leave of {measured.cores} cores, and one at least: it goes before them",
            "auto",
        ),
        Choice(
            "replay.window_min",
            window_min,
            why_window,
            config.replay.window_min,
        ),
    ]
    own = (config.network.blocks, config.network.channels)
    curve = next((c for c in curves if sizes_of(c, config.network) == own), None)
    used = with_values(
        config, {"selfplay.parallel_games": parallel_games} if config.selfplay.parallel_games == "auto" else {}
    )
    used = with_values(used, {"learner.batch_size": used_batch})
    return Plan(
        game=game.label,
        machine=machine(),
        measured=measured,
        choices=choices,
        network=_network_in_words(config, measured, curves, pace),
        pace=pace,
        positions_in_its_minutes=positions,
        minutes=config.run.minutes,
        learner_share=pace.positions_per_s * ratio / learner,
        curve=curve.measured if curve is not None else "",
        forecasts=forecasts(curve, pace) if curve is not None else [],
        notes=[*_notes(game, used, curve, curves), *_busy(measured)],
    )


def _window(config: TrainConfig, measured: Measured, positions: int, actors: int) -> tuple[int, str]:
    """replay.window_min that fits into memory when the run has so many positions at its end, and why."""
    window = config.replay.window(positions)
    bytes_left = MEMORY_SHARE * measured.memory_bytes
    bytes_left -= actors * (measured.actor_peak_bytes or 0) + (measured.learner_peak_bytes or 0)
    most = max(LEAST_WINDOW, int(bytes_left / measured.window_bytes_a_position))
    # Halved until what it has grown to by the end fits.
    window_min = config.replay.window_min
    while window > most and window_min > LEAST_WINDOW:
        window_min = max(LEAST_WINDOW, window_min // 2)
        window = config.replay.model_copy(update={"window_min": window_min}).window(positions)
    return window_min, (
        f"grown to {window:,} positions by the end, {window * measured.window_bytes_a_position / 1e6:,.0f} MB at most; "
        f"{MEMORY_SHARE:.0%} of {measured.memory_bytes / 1e9:.0f} GB less the processes leave room for {most:,}"
    )


def choose_batch_size(rates: list[LearnerRate]) -> int:
    """The smallest that learns as fast as any on one thread, but for BATCH_TOLERANCE."""
    single = [found for found in rates if found.threads == 1]
    best = max(found.samples_per_s for found in single)
    return min(found.batch_size for found in single if found.samples_per_s >= (1 - BATCH_TOLERANCE) * best)


def choose_actors(balanced_rates: dict[int, float]) -> int:
    """The most that get a run on as fast as any number, but for ACTORS_TOLERANCE. By actors, positions a second."""
    best = max(balanced_rates.values())
    return max(actors for actors, found in balanced_rates.items() if found >= (1 - ACTORS_TOLERANCE) * best)


def threads_of_learner(cores: int, actors: int) -> int:
    """As keima.selfplay.run.training_run has it."""
    return max(1, cores - actors)


def learner_rate(measured: Measured, actors: int, batch_size: int) -> float:
    """Samples a second of the learner beside so many actors."""
    threads = threads_of_learner(measured.cores, actors)
    of_size = [found for found in measured.learner if found.batch_size == batch_size]
    nearest = min(of_size, key=lambda found: abs(found.threads - threads))
    return nearest.samples_per_s


def balanced(measured: Measured, actors: int, batch_size: int, samples_per_position: float) -> float:
    """Positions a second of a run with so many actors; see the module's docstring."""
    played = next(found.positions_per_s for found in measured.actors if found.actors == actors)
    samples = learner_rate(measured, actors, batch_size)
    learnt = samples / samples_per_position
    if measured.learner_apart or actors < measured.cores:
        return min(played, learnt)
    shared = measured.cores / (measured.cores / played + samples_per_position / samples)
    return min(shared, learnt)


def pace_of(config: TrainConfig, measured: Measured, positions_per_s: float) -> Pace:
    """The pace of a run that begins with so many positions a second; see the module's docstring."""
    if not config.growth.at_progress:
        return Pace(positions_per_s, positions_per_s, config.run.minutes)
    speeds = {(found.blocks, found.channels): found.evaluations_per_s for found in measured.networks}
    grown = config.growth.network(config.network)
    slower = speeds[grown.blocks, grown.channels] / speeds[config.network.blocks, config.network.channels]
    return Pace(positions_per_s, positions_per_s * slower, config.growth.at_progress * config.run.minutes)


def forecasts(curve: Curve, pace: Pace) -> list[Forecast]:
    """When each of the curve's levels is reached at this pace."""
    found = []
    for strength in curve.strength:
        for level in strength.levels:
            positions = curve.positions_for(strength, level)
            minutes = None if positions is None else pace.minutes_until(positions)
            found.append(Forecast(strength.name, level, positions, minutes))
    return found


# --- in words


def _why_actors(measured: Measured, rates: dict[int, float], actors: int) -> str:
    played = {found.actors: found.positions_per_s for found in measured.actors}
    tried = "; ".join(
        f"{count}: {played[count]:,.0f} positions/s without the learner, {found:,.0f} with it"
        for count, found in rates.items()
    )
    return f"of {measured.cores} cores; {tried}"


def _why_parallel_games(measured: Measured, parallel_games: int) -> str:
    tried = ", ".join(f"{found.parallel_games}: {found.evaluations_per_s:,.0f}" for found in measured.parallel_games)
    return f"the fewest within {PARALLEL_GAMES_TOLERANCE:.0%} of the fastest; evaluations/s of an actor with {tried}"


def _why_batch(measured: Measured, batch_size: int) -> str:
    single = [found for found in measured.learner if found.threads == 1]
    tried = ", ".join(f"{found.batch_size}: {found.samples_per_s:,.0f}" for found in single)
    return f"the smallest within {BATCH_TOLERANCE:.0%} of the fastest; samples/s of a thread with {tried}"


def _network_in_words(config: TrainConfig, measured: Measured, curves: tuple[Curve, ...], pace: Pace) -> str:
    own, *others = measured.networks
    costs = ", ".join(
        f"{found.blocks} x {found.channels} {found.evaluations_per_s / own.evaluations_per_s:.2f} times"
        for found in others
    )
    text = f"{own.blocks} blocks x {own.channels} channels, {own.evaluations_per_s:,.0f} evaluations/s of a thread"
    text += f"; {costs} as fast"
    minutes = config.run.minutes
    expected: dict[tuple[int, int], tuple[str, float]] = {}
    for curve in curves:
        size = sizes_of(curve, config.network)
        speed = next((f.evaluations_per_s for f in measured.networks if (f.blocks, f.channels) == size), None)
        if speed is None:
            continue
        strength: Strength = curve.strength[0]
        positions = pace.positions_after(minutes) * speed / own.evaluations_per_s
        expected[size] = strength.name, curve.share_after(strength, positions)
    if len(expected) < 2:
        return f"{text}. What another net would be worth, no curve says: the config's stays"
    said = ", ".join(f"{size[0]} x {size[1]} {share:.1%}" for size, (_, share) in expected.items())
    name = next(iter(expected.values()))[0]
    return f"{text}. After {minutes:g} minutes, {name}, by the curves: {said}"


def _busy(measured: Measured) -> list[str]:
    if measured.load_average <= BUSY:
        return []
    return [
        f"The machine was busy when this was measured (load {measured.load_average:g}): it can do more, and how many "
        "actors it carries is uncertain; measure again with --again when it is idle."
    ]


def _notes(game: Game, config: TrainConfig, curve: Curve | None, curves: tuple[Curve, ...]) -> list[str]:
    if not curves:
        return [f"No curve of {game.label} has been published: how strong it gets in what time is for a run to say."]
    if curve is None:
        sizes = " and ".join(" x ".join(map(str, sizes_of(c, config.network))) for c in curves)
        return [f"The published curves are of networks of {sizes}: for another nothing can be foretold."]
    differences = curve.differences(config)
    if not differences:
        return []
    return [f"The curve was measured with other settings ({', '.join(differences)}): these minutes are a guess."]
