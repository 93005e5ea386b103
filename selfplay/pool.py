"""The actors' processes: started, listened to, replaced when they die or hang, stopped."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from games.contract import GameError
from selfplay.actor import ActorTask, Announce, Beat, Failed, Message, run_actor
from selfplay.segment import Segment

START_SECONDS = 300.0
"""How long an actor may take to load and, the first time, to compile, before it counts as hung."""
MAX_FAILURES = 5
"""Failures in a row, without a segment in between, after which a run gives up."""


class ActorsFailed(GameError):  # noqa: N818 (what happened, in the user's words)
    """Actors keep failing, so that a run cannot go on."""


@dataclass
class _Actor:
    number: int
    process: BaseProcess
    connection: Connection
    heard: float  # time.monotonic() of its last message
    ready: bool = False


class ActorPool:
    """The actors of a run."""

    def __init__(
        self,
        config: Path,
        count: int,
        seed: tuple[int, ...],
        *,
        lockstep: bool,
        hung_seconds: float,
        on_event: Callable[[str], None],
    ) -> None:
        """config: the run's config file. on_event: told in words when an actor is replaced."""
        self._context = multiprocessing.get_context("spawn")  # torch's and numba's threads do not survive a fork
        self._config = config
        self._seed = seed
        self._lockstep = lockstep
        self._hung_seconds = hung_seconds
        self._on_event = on_event
        self._count = count
        self._actors: list[_Actor] = []
        self._announced: Announce | None = None
        self._failures = 0
        self.restarts = 0
        """Actors replaced so far."""
        self.evaluations = 0
        """Network evaluations the actors report, all together."""
        self.moves = 0
        self.waited_s = 0.0
        """Seconds the actors report to have waited for the learner, all together."""

    def start(self, first: Announce) -> None:
        """Starts every actor with these weights."""
        self._announced = first
        self._actors = [self._spawn(number) for number in range(self._count)]

    @property
    def num_ready(self) -> int:
        """Actors that have finished loading."""
        return sum(actor.ready for actor in self._actors)

    @property
    def states(self) -> tuple[str, ...]:
        """What each actor does, in a word."""
        return tuple("playing" if actor.ready else "loading" for actor in self._actors)

    @property
    def process_ids(self) -> list[int]:
        return [actor.process.pid or 0 for actor in self._actors]

    def announce(self, weights: Announce) -> None:
        """Tells every actor of new weights."""
        self._announced = weights
        for actor in self._actors:
            with contextlib.suppress(OSError):  # it is dead, which `receive` sees to
                actor.connection.send(weights)

    def receive(self, timeout: float) -> list[Segment]:
        """The segments that have come in, waiting up to `timeout` seconds for the first message.

        Replaces actors that have died or hung. Raises ActorsFailed when that does not help.
        """
        segments = []
        for ready in wait([actor.connection for actor in self._actors], timeout):
            actor = next(a for a in self._actors if a.connection is ready)
            try:
                message: Message = actor.connection.recv()
            except (EOFError, OSError):
                self._replace(actor, "died")
                continue
            actor.heard = time.monotonic()
            if isinstance(message, Segment):
                self._failures = 0
                segments.append(message)
            elif isinstance(message, Beat):
                actor.ready = True
                self.evaluations += message.evaluations
                self.moves += message.moves
                self.waited_s += message.waited_s
            elif isinstance(message, Failed):
                self._replace(actor, f"failed ({message.reason})")
        self._replace_hung()
        return segments

    def excuse_silence(self) -> None:
        """Forgets how long actors have been silent: they were not listened to."""
        for actor in self._actors:
            actor.heard = time.monotonic()

    def stop(self) -> None:
        """Ends every actor; games under way are lost."""
        for actor in self._actors:
            actor.process.kill()
            actor.connection.close()
        for actor in self._actors:
            actor.process.join(10)
        self._actors = []

    def _spawn(self, number: int) -> _Actor:
        ours, theirs = self._context.Pipe()
        # The number of restarts makes a replacement play other games than those it replaces.
        task = ActorTask(self._config, number, (*self._seed, number, self.restarts), self._lockstep)
        process = self._context.Process(
            target=run_actor, args=(task, theirs), daemon=True, name=f"keima-actor-{number}"
        )
        process.start()
        theirs.close()  # so that the pipe ends with the actor
        ours.send(self._announced)
        return _Actor(number, process, ours, time.monotonic())

    def _replace_hung(self) -> None:
        now = time.monotonic()
        for actor in list(self._actors):
            allowed = self._hung_seconds if actor.ready else max(START_SECONDS, self._hung_seconds)
            if now - actor.heard > allowed:
                self._replace(actor, f"was silent for {allowed:.0f} s")

    def _replace(self, actor: _Actor, what: str) -> None:
        actor.process.kill()
        actor.process.join(10)
        actor.connection.close()
        self.restarts += 1
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise ActorsFailed(f"actors failed {self._failures} times in a row; the last one {what}")
        self._on_event(f"actor {actor.number} {what}; a new one takes its place")
        self._actors[self._actors.index(actor)] = self._spawn(actor.number)


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
