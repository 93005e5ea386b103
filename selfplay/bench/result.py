"""What a benchmark's result holds: the JSON object that `keima bench GAME --json` prints, key for key.

Rates are a second's (`_per_s`), of the best round and of the median one; times are microseconds (`_us`) or seconds
(`_s`), memory is bytes, shares are from 0 to 1. A position is a training position, as in a run's own figures.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from keima.selfplay.bench.measuring import Spread


@dataclass(frozen=True)
class NetworkFacts:
    """The network that was measured."""

    weights: str  # the checkpoint's path, or "random"
    blocks: int
    channels: int
    parameters: int


@dataclass(frozen=True)
class BackendSpeed:
    """A backend's ceiling."""

    backend: str
    evaluations_per_s: Spread
    policy_distance: float  # from float32, mean total variation, 0 to 1
    value_distance: float  # from float32, mean, 0 to 2


@dataclass(frozen=True)
class BatchSpeed:
    """The chosen backend's ceiling with batches of another size."""

    batch_size: int
    evaluations_per_s: Spread


@dataclass(frozen=True)
class StepTime:
    """Where a step of self-play goes (one evaluator call for every slot), in microseconds of the median round."""

    total_us: float  # measured
    network_us: float  # measured: the evaluator's call
    search_us: float  # measured: the compiled step, of which the next four are parts
    rules_us: float  # measured apart: playing, asking and encoding as many positions
    cache_us: float  # measured apart: as many keys, look-ups and entries
    entering_us: float  # measured apart: handing the compiled step its arguments
    tree_us: float  # derived: the rest of the compiled step
    python_us: float  # derived: the rest of the step


@dataclass(frozen=True)
class SelfPlaySpeed:
    """One actor's self-play, in this process on one thread."""

    cache_mb: float
    evaluations_per_s: Spread
    simulations_per_s: Spread
    positions_per_s: Spread
    hit_share: float  # of the look-ups in the evaluation cache
    share_of_ceiling: Spread  # evaluations against the ceiling's in the same round
    network_evaluations_per_s: float  # while the network runs; below the ceiling where the search cools its caches
    positions_a_move: float  # training positions for each move: not all are searched in full
    step: StepTime


@dataclass(frozen=True)
class ActorsSpeed:
    """Real actors in processes of their own, without a learner: one of them alone, and all together."""

    actors: int
    evaluations_per_s: Spread
    simulations_per_s: Spread
    positions_per_s: Spread
    positions_per_s_of_one: Spread
    scaling: float  # all against one, medians
    peak_memory_bytes: int | None  # of the largest actor


@dataclass(frozen=True)
class LearnerSpeed:
    """Training at the config's batch size."""

    threads: int
    batch_size: int
    samples_per_s: Spread
    step_us: float  # of which:
    draw_us: float  # measured: drawing and encoding the batch
    average_us: float  # measured: bringing the averaged network up to date
    train_us: float  # derived: the rest, forward, backward and optimizer


@dataclass(frozen=True)
class Balance:
    """What the replay ratio asks of the learner while all actors play at full speed."""

    samples_per_position: float
    samples_per_s_asked: float
    learner_share: float  # of one thread; above 1 the learner would hold the actors up


@dataclass(frozen=True)
class StartUp:
    """Seconds from a process's start."""

    first_move_s: float  # to a net player's first move
    first_step_s: float  # to self-play's first step after that, in the same process


@dataclass(frozen=True)
class Bench:
    """Everything that was measured; see the module's docstring."""

    game: str
    machine: dict[str, Any]
    network: NetworkFacts
    settings: dict[str, float]  # those of the config that the figures depend on
    seconds: float  # a measurement
    rounds: int
    backend: str  # what the figures after the backends' were measured with
    backends: list[BackendSpeed]  # the fastest first
    batch_sizes: list[BatchSpeed]
    cache_off: SelfPlaySpeed
    cache_on: SelfPlaySpeed | None  # None where the config has no cache
    actors: ActorsSpeed
    learner: list[LearnerSpeed]  # with one thread, and with as many as there are cores
    learner_peak_memory_bytes: int | None
    learner_window_positions: int
    balance: Balance
    start_up_warm: StartUp
    start_up_cold: StartUp | None  # with nothing compiled yet; None where that was left out

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
