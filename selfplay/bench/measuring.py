"""What `keima bench` and `keima plan` measure with: contenders that take turns, self-play with its parts timed, actors.

A machine is seldom quiet. What is to be compared is therefore run in turns of a twentieth of a second, so that noise
hits all alike; turns make rounds, and a figure is the best and the median of its rounds.
"""

import os
import platform
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from keima.agent.inference.autotuning import gpu_name, processor_name, version_of
from keima.agent.inference.evaluator import Evaluator
from keima.agent.nets.checkpoint import Metadata, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.system.processes import available_cores
from keima.agent.system.subprocess_task import done_at_the_end
from keima.games.contract import Game, GameError
from keima.mcts.cache import EvaluationCache
from keima.mcts.leaf_loop import HITS, LOOK_UPS, NO_LEAF, LeafInputs
from keima.mcts.tree import Forest
from keima.selfplay.actors.actor_pool import ActorPool
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.actors.messages import Heartbeat, Message, weights_path
from keima.selfplay.config.loader import to_toml
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.replay.segment import HAS_POLICY_TARGET, Segment, segment_to_bytes

TURN_SECONDS = 0.05
SETTLE_BEATS = 1
"""Beats of an actor that are passed over when a measurement begins: they tell of the time before it."""
KEPT_GAMES = 1000
"""Finished games that measured self-play keeps at least, to be learnt from."""
BUSY = 0.5
"""A load average above this says that other work is going on, and that rates are too low."""
PACKAGES = ("keima", "torch", "openvino", "numba", "numpy")

Tell = Callable[[str], None]
"""Is told in words what is being done."""


@dataclass(frozen=True)
class Spread:
    """A rate over several rounds; its unit is in the name of what holds it."""

    best: float
    median: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        return cls(max(values), statistics.median(values))


class Workload(Protocol):
    """Something to be measured."""

    def run(self) -> None:
        """Works once, for milliseconds."""

    def counts(self) -> dict[str, float]:
        """What it has done so far, by name. Not timed."""


Round = dict[str, float]
"""What a contender did in a round, by name, and its `seconds`."""


def interleave(contenders: Mapping[Any, Workload], seconds: float, rounds: int) -> dict[Any, list[Round]]:
    """Runs every contender for `seconds` in all, in rounds, one turn after another; each works once a turn at least."""
    found: dict[Any, list[Round]] = {name: [] for name in contenders}
    of_round = seconds / rounds
    for _ in range(rounds):
        before = {name: contender.counts() for name, contender in contenders.items()}
        spent = dict.fromkeys(contenders, 0.0)
        while min(spent.values()) < of_round:
            for name, contender in contenders.items():
                spent[name] += _turn(contender, min(TURN_SECONDS, of_round))
        for name, contender in contenders.items():
            done = {key: count - before[name][key] for key, count in contender.counts().items()}
            found[name].append({**done, "seconds": spent[name]})
    return found


def _turn(contender: Workload, seconds: float) -> float:
    """Runs it for at least so long; how long it was."""
    start_s = time.perf_counter()
    while True:
        contender.run()
        passed_s = time.perf_counter() - start_s
        if passed_s >= seconds:
            return passed_s


def rate(rounds: list[Round], what: str) -> Spread:
    """How many a second."""
    return Spread.of([done[what] / done["seconds"] for done in rounds])


def total(rounds: list[Round], what: str) -> float:
    return sum(done[what] for done in rounds)


class Work:
    """A contender made of one function, which returns how many it has done."""

    def __init__(self, name: str, work: Callable[[], int]) -> None:
        self._name = name
        self._work = work
        self._done = 0.0

    def run(self) -> None:
        self._done += self._work()

    def counts(self) -> dict[str, float]:
        return {self._name: self._done}


class Ceiling:
    """A backend that is asked for nothing but evaluations, of one batch after another."""

    def __init__(self, evaluate: Evaluator, batches: list[NDArray[np.float32]]) -> None:
        self._evaluate = evaluate
        self._batches = batches
        self._calls = 0
        evaluate(batches[0])  # what it makes ready on the first call

    def run(self) -> None:
        self._evaluate(self._batches[self._calls % len(self._batches)])
        self._calls += 1

    def counts(self) -> dict[str, float]:
        return {"evaluations": float(self._calls * len(self._batches[0]))}


class MeasuredSelfPlay(SelfPlay):
    """Self-play in this process whose network and compiled search are timed, each by itself."""

    def __init__(self, game: Game, config: TrainConfig, evaluate: Evaluator) -> None:
        super().__init__(game, config.search, config.selfplay, config.seed)
        self.evaluator = evaluate
        self.games: list[Segment] = []
        """The newest finished games."""
        self.batches: list[NDArray[np.float32]] = []
        """What the evaluator was asked, while `recording`."""
        self.recording = False
        self._network_s = self._search_s = 0.0
        self._steps = 0
        self._taken_positions = 0

    def run(self) -> None:
        self.step(self._evaluate)
        self._steps += 1
        if self.finished_positions >= 4096:
            self._take_games()

    def warm_up(self, seconds: float) -> None:
        """Plays until as many games are finished as are played at once, for `seconds` at most."""
        start_s, games = time.perf_counter(), len(self._slots)
        while time.perf_counter() - start_s < seconds and self._num_finished() < games:
            self.run()
        while not self._taken_positions + self.finished_positions:  # there must be something to learn from
            self.run()
        self._take_games()

    def record(self, count: int) -> list[NDArray[np.float32]]:
        """The next `count` batches that the evaluator is asked for, [B, C, H, W] each."""
        self.recording = True
        while len(self.batches) < count:
            self.run()
        self.recording = False
        return self.batches

    def counts(self) -> dict[str, float]:
        """Also `positions`, training positions, those of games under way included; `*_s`, seconds."""
        return {
            "steps": self._steps,
            "evaluations": self.evaluations,
            "simulations": self.simulations,
            "look_ups": int(self._tally[LOOK_UPS]),
            "hits": int(self._tally[HITS]),
            "moves": self.moves,
            "positions": self._taken_positions + self.finished_positions + self._positions_under_way(),
            "network_s": self._network_s,
            "search_s": self._search_s,
        }

    def mean_depth(self) -> float:
        """The mean depth of the nodes below the roots of the trees as they are now: moves that a simulation plays."""
        nodes, counts = self._forest.nodes, self._forest.trees["num_nodes"]
        depths = np.zeros(nodes.shape, np.int64)
        rows = np.arange(len(nodes))
        for i in range(1, int(counts.max(initial=1))):
            depths[:, i] = depths[rows, nodes["parent"][:, i].clip(0)] + 1
        below = (np.arange(nodes.shape[1]) < counts[:, None]) & (np.arange(nodes.shape[1]) > 0)
        return float(depths[below].mean()) if below.any() else 1.0

    @property
    def parts(
        self,
    ) -> tuple[
        Forest,
        EvaluationCache,
        LeafInputs,
        NDArray[np.int32],
        tuple[NDArray[np.float32], NDArray[np.float32]],
    ]:
        """The forest, the cache, what the evaluator sees of the leaves, these leaves and its answers for them."""
        leaves = np.ascontiguousarray(self._slots["leaf"])
        answers = np.array(self._answers[0]), np.array(self._answers[1])
        return self._forest, self._cache, self._inputs, leaves, answers

    def enter_compiled(self) -> int:
        """Goes into the compiled step and out of it again, with no slot to play: what handing it everything costs."""
        slots, self._slots = self._slots, self._slots[:0]
        try:
            super()._play_on()
        finally:
            self._slots = slots
        return 1

    def _evaluate(self, planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        start_s = time.perf_counter()
        answers = self.evaluator(planes)
        self._network_s += time.perf_counter() - start_s
        if self.recording:
            self.batches.append(planes.copy())
        return answers

    def _play_on(self) -> None:
        start_s = time.perf_counter()
        super()._play_on()
        self._search_s += time.perf_counter() - start_s

    def _num_finished(self) -> int:
        return len(self._finished) + sum(segment.num_games for segment in self.games)

    def _take_games(self) -> None:
        if not self._finished:
            return
        self._taken_positions += self.finished_positions
        self.games.append(self.take_finished(0, 0))
        while sum(segment.num_games for segment in self.games[1:]) >= KEPT_GAMES:
            self.games.pop(0)

    def _positions_under_way(self) -> int:
        found = 0
        for record in self._slots["record"][self._slots["leaf"] != NO_LEAF]:
            plies = self._records.plies[record, : self._records.records[record]["plies"]]
            found += int(np.count_nonzero(plies["flags"] & HAS_POLICY_TARGET))
        return found


class _MeteredPool(ActorPool):
    """A pool that remembers when each actor's beats came."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.beats: dict[int, list[tuple[float, Heartbeat]]] = {}

    def _handle(self, actor: Any, message: Message | None, segments: list[Segment]) -> None:
        if isinstance(message, Heartbeat):
            self.beats.setdefault(actor.number, []).append((time.monotonic(), message))
        super()._handle(actor, message, segments)


_WAKE = """
import os, signal
for process in sys.argv[1:]:
    try:
        os.kill(int(process), signal.SIGCONT)
    except OSError:
        pass
"""


class Actors:
    """Real actors in processes of their own, with one network that does not change and no learner."""

    def __init__(self, folder: Path, count: int, backend: str, seed: int) -> None:
        """folder: of `write_run`."""
        self._pool = _MeteredPool(folder / "config.toml", folder, count, (seed,), hung_seconds=600, on_event=_fail)
        self._backend = backend

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._pool.stop)
            self._pool.start(self._backend)
            # Actors end with this process, but not while they are stopped.
            stack.enter_context(done_at_the_end(_WAKE, *map(str, self._pool.process_ids)))
            while self._pool.num_ready < len(self._pool.process_ids):
                self._pool.receive(0.1)
            self._at_exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._at_exit.close()

    def measure(self, playing: int, seconds: float) -> Round:
        """What the first `playing` actors do together in a second, while the others are stopped.

        On a GPU they are the threads of one process, and cannot be stopped: there all of them play, always.
        From one beat of each actor to another, `seconds` apart at least: what lies between is counted exactly.
        """
        processes = self._pool.process_ids
        playing, others = min(playing, len(processes)), processes[playing:]
        for process in others:
            os.kill(process, signal.SIGSTOP)
        try:
            self._pool.receive(0.0)
            self._pool.beats.clear()
            while not all(self._is_long_enough(number, seconds) for number in range(playing)):
                self._pool.receive(0.02)
        finally:
            for process in others:
                os.kill(process, signal.SIGCONT)
        found: Round = dict.fromkeys(("evaluations", "simulations", "hits", "moves"), 0.0)
        for number in range(playing):
            beats = self._pool.beats[number][SETTLE_BEATS:]
            passed_s = beats[-1][0] - beats[0][0]
            for _, beat in beats[1:]:
                for name, done in zip(
                    found, (beat.evaluations, beat.simulations, beat.cache_hits, beat.moves), strict=True
                ):
                    found[name] += done / passed_s
        return {**found, "seconds": 1.0}

    def peak_memory_bytes(self) -> int | None:
        """The most that any of the actors has had in memory so far; None where the system does not say."""
        peaks = [peak_memory_bytes(process) for process in self._pool.process_ids]
        return max((peak for peak in peaks if peak is not None), default=None)

    def _is_long_enough(self, number: int, seconds: float) -> bool:
        beats = self._pool.beats.get(number, [])[SETTLE_BEATS:]
        return len(beats) > 1 and beats[-1][0] - beats[0][0] >= seconds


def _fail(event: str) -> None:
    raise GameError(f"an actor did not live through the measurement: {event}")


WORKER = "keima.selfplay.bench.measuring_worker"
"""The module whose process measures what needs a fresh one; see keima.agent.system.subprocess_task.work_apart."""


def write_run(folder: Path, game: Game, config: TrainConfig, network: Network, games: list[Segment]) -> None:
    """What actors and the worker need: the config, the network as version 0 of the weights, games to learn from."""
    (folder / "config.toml").write_text(to_toml(config), encoding="utf-8")
    metadata = Metadata(
        *(game.label, game.rules_version, network.config.model_dump()),
        run="measurement",
        score_weight=network.score_weight,
    )
    save_checkpoint(weights_path(folder, 0), network, metadata)
    for index, segment in enumerate(games):
        (folder / f"games-{index}.segment").write_bytes(segment_to_bytes(segment, index, 0, 0))


# --- the machine


def peak_memory_bytes(process: int | None = None) -> int | None:
    """The most memory that this process, or another, has had so far; None where the system does not say."""
    # Not getrusage on Linux: a process begins with the peak of the one that started it there.
    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    if process is not None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine() -> dict[str, Any]:
    """What a measurement was made on. `load_average` is the last minute's, before it began."""
    return {
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": gpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}},
    }


def random_network(game: Game, config: TrainConfig) -> Network:
    """The network that a run with this config begins with."""
    torch.manual_seed(config.seed)
    network = Network(game, config.network).eval()
    network.score_weight = config.search.score_weight
    return network
