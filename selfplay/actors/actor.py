"""An actor: one process that plays games with the newest weights and sends them in segments.

It sends small messages to the training run over a pipe. The run sends nothing to the actor: weights are numbered files,
and the actor looks for new ones. So the run never waits for an actor, whatever state the actor is in.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from keima.games.contract import GameError
from keima.selfplay.actors.messages import (
    HEARTBEAT_SECONDS,
    UPDATE_SHARE,
    ActorTask,
    Failed,
    Heartbeat,
    newest_version,
    weights_path,
)

if TYPE_CHECKING:
    from keima.agent.inference.evaluator import Evaluator
    from keima.agent.nets.network import Network
    from keima.selfplay.actors.generation import SelfPlay
    from keima.selfplay.replay.segment import Segment

LOOK_SECONDS = 0.005
"""How often an actor that waits for weights looks for them."""


def run_actor(task: ActorTask, connection: Connection) -> None:
    """The process's entry point."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run decides what follows
    threading.Thread(target=_end_with_run, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # so that the learner gets the time it needs, and the replay ratio is kept
    try:
        if task.threads is None:
            _play(task, connection)
        else:
            from keima.selfplay.actors.threaded_actor import play_in_threads

            play_in_threads(task, connection)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the run is gone
    except Exception as error:
        # CUDA's errors have many lines, of which the first says what happened.
        text = (str(error).strip().splitlines() or [""])[0]
        reason = text if isinstance(error, GameError) else f"{type(error).__name__}: {text}"
        with contextlib.suppress(OSError):
            connection.send(Failed(reason))
        raise SystemExit(1) from None


def _end_with_run() -> None:
    """Ends this process when the run is gone, even while it compiles."""
    run = multiprocessing.parent_process()
    assert run is not None  # actors are always started by a run
    run.join()
    os._exit(1)


@dataclass(eq=False)
class _Group:
    """The games an actor plays side by side of one of the run's games."""

    games: "SelfPlay"
    evaluator: "Evaluator | None" = None
    version: int = -1
    """Of the weights that the evaluator has."""
    positions: int = 0
    """Training positions handed over so far."""

    def take_over(self, network: "Network", version: int) -> None:
        """Plays with these weights from now on, where it has an evaluator already."""
        if self.evaluator is not None:
            self.evaluator.update(network)
            self.games.forget_evaluations()
            self.version = version


def _play(task: ActorTask, connection: Connection) -> None:
    # Imported here: the pool's process imports this module too, and needs none of it.
    import torch

    from keima.agent.inference.factory import make_evaluator
    from keima.agent.nets.checkpoint import load_checkpoint
    from keima.selfplay.actors.generation import SelfPlay
    from keima.selfplay.actors.start_positions import starts_for
    from keima.selfplay.config.loader import load_config
    from keima.selfplay.config.schema import fixed
    from keima.selfplay.replay.board_mix import BoardMix

    torch.set_num_threads(1)
    config = load_config(str(task.config))
    board_mix = BoardMix.of(config)
    groups = [
        _Group(
            SelfPlay(
                *(game, config.search, config.selfplay, (*task.seed, number) if number else task.seed),
                starts=starts_for(game, config),
            )
        )
        for number, game in enumerate(board_mix.games)
    ]
    connection.send(Heartbeat())
    reporter = _Reporter(connection, groups)
    weights = _Weights(task, reporter, lambda path: load_checkpoint(path, board_mix.games[0]).network)
    group, segments = groups[0], 0
    while True:
        before = time.monotonic()
        is_new = weights.take_newest()
        if group.evaluator is None:
            group.evaluator = make_evaluator(
                group.games.game, weights.network, task.backend, fixed(config.selfplay.parallel_games)
            )
            group.version = weights.version
        elif group.version != weights.version:
            group.take_over(weights.network, weights.version)
        if is_new:
            weights.taken_over(time.monotonic() - before)
        group.games.step(group.evaluator)
        reporter.beat()
        if group.games.finished_positions < config.selfplay.segment_positions:
            continue
        segment = group.games.take_finished(task.actor, weights.version)
        group.positions += segment.num_positions
        reporter.hand_over(segment)
        segments += 1
        if segments > 1:
            # One segment behind: while this actor plays, the learner works on the segment before.
            weights.go_on_in_lockstep()
        group = groups[board_mix.furthest_behind([one.positions for one in groups])]


class _Reporter:
    """Tells the run what an actor does."""

    def __init__(self, connection: Connection, groups: "list[_Group]") -> None:
        self._connection = connection
        self._groups = groups
        self._last_beat_s = time.monotonic()
        self._told = Heartbeat()
        self.waited_s = 0.0
        """Seconds that the actor has waited for the run so far."""

    def beat(self) -> None:
        """Sends a heartbeat where one is due."""
        if time.monotonic() - self._last_beat_s <= HEARTBEAT_SECONDS:
            return
        all_games = [group.games for group in self._groups]
        done = Heartbeat(
            evaluations=sum(games.evaluations for games in all_games),
            simulations=sum(games.simulations for games in all_games),
            cache_hits=sum(games.cache_hits for games in all_games),
            moves=sum(games.moves for games in all_games),
            waited_s=self.waited_s,
        )
        self._connection.send(done.since(self._told))
        self._last_beat_s, self._told = time.monotonic(), done

    def hand_over(self, segment: "Segment") -> None:
        before = time.monotonic()
        self._connection.send(segment)
        self.waited_s += time.monotonic() - before


class _Weights:
    """The weights that an actor plays with: the newest there are, or in lockstep those whose turn it is."""

    def __init__(self, task: ActorTask, reporter: _Reporter, load: "Callable[[Path], Network]") -> None:
        """Waits for the first ones. load: reads a file of weights, or raises CheckpointError."""
        self._folder = task.weights
        self._in_lockstep = task.first_version is not None
        self._reporter = reporter
        self._load = load
        self.version = newest_version(task.weights) if task.first_version is None else task.first_version
        self._wait()
        self.network = load(weights_path(task.weights, self.version))
        self._next_update_s = time.monotonic()

    def take_newest(self) -> bool:
        """Loads the newest weights, unless it plays in lockstep or did so a moment ago; returns whether it did."""
        from keima.agent.nets.checkpoint import CheckpointError

        now = time.monotonic()
        if self._in_lockstep or now < self._next_update_s or (newest := newest_version(self._folder)) <= self.version:
            return False
        with contextlib.suppress(CheckpointError):  # deleted since, for there are newer ones
            self.network = self._load(weights_path(self._folder, newest))
            self.version = newest
            return True
        return False

    def taken_over(self, seconds: float) -> None:
        """That took so long, which is to be no more than UPDATE_SHARE of the time."""
        self._next_update_s = time.monotonic() + seconds / UPDATE_SHARE

    def go_on_in_lockstep(self) -> None:
        """Waits for the next version and goes over to it; does nothing where there is no lockstep."""
        if self._in_lockstep:
            self.version += 1
            self._wait()
            self.network = self._load(weights_path(self._folder, self.version))

    def _wait(self) -> None:
        before = time.monotonic()
        while newest_version(self._folder) < self.version:
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            self._reporter.waited_s += now - before
            before = now
            self._reporter.beat()
