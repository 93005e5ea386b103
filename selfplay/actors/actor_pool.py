"""The actors' processes: started, listened to, replaced when they die or hang, stopped."""

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from keima.agent.system.processes import available_cores, ending_in_words, start_deaf_to_interrupts
from keima.games.contract import GameError
from keima.selfplay.actors.actor import run_actor
from keima.selfplay.actors.messages import ActorTask, Failed, Heartbeat, Message
from keima.selfplay.config.schema import SelfplayConfig
from keima.selfplay.replay.segment import Segment

START_SECONDS = 300.0
"""How long an actor may take to load and, the first time, to compile, before it counts as hung."""
MAX_FAILURES = 3
"""Failures of an actor and its replacements in a row, without a segment in between, after which a run gives up."""


class ActorsFailed(GameError):  # noqa: N818 (what happened, in the user's words)
    """Actors keep failing, so that a run cannot go on."""


@dataclass(eq=False)
class _Actor:
    number: int
    process: BaseProcess
    connection: Connection
    silent_s: float = 0.0
    ready: bool = False
    taken: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released when its segment is taken out of the inbox."""
    gone: bool = False

    def end(self) -> None:
        """Kills the process. What it has sent whole still comes in."""
        self.process.kill()
        self.process.join(10)
        self.gone = True
        self.taken.release()


class ActorPool:
    """The actors of a run."""

    def __init__(
        self,
        config: Path,
        weights: Path,
        count: int,
        seed: tuple[int, ...],
        *,
        hung_seconds: float,
        on_event: Callable[[str], None],
    ) -> None:
        """config, weights: the run's config file and its folder of weights; see `ActorTask`.

        count: how many play side by side: a process each, or on a GPU the threads of one process.
        on_event: told in words when an actor is replaced.
        """
        self._context = multiprocessing.get_context("spawn")  # torch's and numba's threads do not survive a fork
        self._config = config
        self._weights = weights
        self._backend = ""
        self._threads: int | None = None
        self._seed = seed
        self._hung_seconds = hung_seconds
        self._on_event = on_event
        self._count = count
        self._actors: list[_Actor] = []
        self._inbox: queue.SimpleQueue[tuple[_Actor, Message | None]] = queue.SimpleQueue()
        self._complete: int | None = None
        self._looked = time.monotonic()
        self._failures = [0] * count  # of each actor, in a row
        self._reasons: set[str] | None = set()  # why actors failed, until the first segment comes
        self._ending = False
        self.restarts = 0
        """Actors replaced so far."""
        self.evaluations = 0
        """Network evaluations the actors report, all together."""
        self.simulations = 0
        self.cache_hits = 0
        """Evaluations that the actors' caches saved."""
        self.moves = 0
        self.waited_s = 0.0
        """Seconds the actors report to have waited for the learner, all together."""

    def start(self, backend: str, complete_version: int | None = None) -> None:
        """Starts every actor.

        backend: what runs the networks; see `ActorTask`.
        complete_version: for lockstep (see `ActorTask`), the weights' version when all segments handed over so far
        are trained on; each further segment makes one version more.
        """
        self._backend = backend
        self._complete = complete_version
        self._looked = time.monotonic()
        # One process, or each would have a context of its own on the GPU, which runs only one of them at a time.
        self._threads = self._count if backend.startswith("cuda") and complete_version is None else None
        self._actors = [self._spawn(number) for number in range(1 if self._threads else self._count)]

    @property
    def count(self) -> int:
        """How many play side by side: processes, or threads of one."""
        return self._count

    @property
    def num_ready(self) -> int:
        """Actors that have finished loading."""
        return sum(actor.ready for actor in self._actors)

    @property
    def states(self) -> tuple[str, ...]:
        """What each actor does, in a word."""
        return tuple("playing" if actor.ready else "loading" for actor in self._actors) * (self._threads or 1)

    @property
    def process_ids(self) -> list[int]:
        return [actor.process.pid or 0 for actor in self._actors]

    def receive(self, timeout: float) -> list[Segment]:
        """The segments that have come in, waiting up to `timeout` seconds for the first message.

        Replaces actors that have died or hung. Raises ActorsFailed when that does not help.
        """
        segments: list[Segment] = []
        try:
            self._handle(*self._inbox.get(timeout > 0, timeout or None), segments)
            for _ in range(self._inbox.qsize()):
                self._handle(*self._inbox.get_nowait(), segments)
        except queue.Empty:
            pass
        self._replace_hung()
        return segments

    def expect_end(self) -> None:
        """From now on actors are not replaced: what ends the run may have ended them too. For signal handlers."""
        self._ending = True

    def stop(self) -> None:
        """Ends every actor; games under way are lost."""
        self._ending = True
        for actor in self._actors:
            actor.process.kill()
        for actor in self._actors:
            actor.end()
        self._actors = []

    def _handle(self, actor: _Actor, message: Message | None, segments: list[Segment]) -> None:
        if isinstance(message, Segment):  # a good one, even where its actor has died since
            self._failures[actor.number] = 0
            self._reasons = None
            if self._complete is not None:
                self._complete += 1
            segments.append(message)
            actor.taken.release()
        if actor not in self._actors:
            return
        actor.silent_s = 0.0
        if isinstance(message, Heartbeat):
            actor.ready = True
            self.evaluations += message.evaluations
            self.simulations += message.simulations
            self.cache_hits += message.cache_hits
            self.moves += message.moves
            self.waited_s += message.waited_s
        elif isinstance(message, Failed):
            if self._reasons is not None and message.reason in self._reasons:
                raise ActorsFailed(f"no actor gets anywhere: {message.reason}")  # nor would the next one
            self._replace(actor, f"failed: {message.reason}")
            if self._reasons is not None:
                self._reasons.add(message.reason)
        elif message is None:
            actor.process.join(10)
            self._replace(actor, f"died ({ending_in_words(actor.process.exitcode)})")

    def _spawn(self, number: int) -> _Actor:
        ours, theirs = self._context.Pipe(duplex=False)
        # The number of restarts makes a replacement play other games than those it replaces.
        seed = (*self._seed, number, self.restarts)
        task = ActorTask(self._config, self._weights, self._backend, number, seed, self._complete, self._threads)
        process = self._context.Process(
            target=run_actor, args=(task, theirs), daemon=True, name=f"keima-actor-{number}"
        )
        start_deaf_to_interrupts(process)
        theirs.close()  # so that the pipe ends with the actor
        actor = _Actor(number, process, ours)
        threading.Thread(target=self._read, args=(actor,), daemon=True, name=f"reader-{number}").start()
        return actor

    def _read(self, actor: _Actor) -> None:
        """Brings an actor's messages to the inbox, None when there are no more.

        In a thread of its own, for an actor may stop in the middle of a message. One segment at a time: while it is
        not taken the pipe fills, and then the actor waits.
        """
        with actor.connection:
            try:
                while True:
                    message = actor.connection.recv()
                    self._inbox.put((actor, message))
                    if isinstance(message, Segment) and not actor.gone:
                        actor.taken.acquire()
            except (EOFError, OSError):
                self._inbox.put((actor, None))

    def _replace_hung(self) -> None:
        now = time.monotonic()
        # A long time between two looks is the run's own doing: it measured, or was stopped with Ctrl-Z. What actors
        # have sent since may not be in the inbox yet.
        passed = min(now - self._looked, self._hung_seconds / 10)
        self._looked = now
        for actor in list(self._actors):
            actor.silent_s += passed
            allowed = self._hung_seconds if actor.ready else max(START_SECONDS, self._hung_seconds)
            if actor.silent_s > allowed:
                self._replace(actor, f"was silent for {allowed:.0f} s")

    def _replace(self, actor: _Actor, what: str) -> None:
        if self._ending:
            return
        actor.end()
        self._actors.remove(actor)
        self.restarts += 1
        self._failures[actor.number] += 1
        if self._failures[actor.number] >= MAX_FAILURES:
            raise ActorsFailed(f"actor {actor.number} and its replacements end before they get anywhere: it {what}")
        self._on_event(f"actor {actor.number} {what}; a new one takes its place")
        self._actors.append(self._spawn(actor.number))


def num_actors(selfplay: SelfplayConfig) -> int:
    """How many play side by side in a run with this config here."""
    if selfplay.actors != "auto":
        return selfplay.actors
    on_gpu = selfplay.backend.startswith("cuda") or (selfplay.backend == "auto" and torch.cuda.is_available())
    # On a GPU the learner needs a core to keep it busy, and so does the thread that keeps the players supplied. Two
    # play even on two cores: one alone would play in lockstep with the learner, and wait for every batch.
    return max(2, available_cores() - 2) if on_gpu else available_cores()
