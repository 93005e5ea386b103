"""Plays a schedule with worker processes: hands games out, takes results in, replaces workers that die."""

import contextlib
import hashlib
import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from keima.agent.system.processes import ending_in_words, start_deaf_to_interrupts
from keima.games.contract import GameError
from keima.selfplay.tournament.arena import GameTask, PlayedGame
from keima.selfplay.tournament.lineup import Entrant
from keima.selfplay.tournament.schedule import Pairing, Result, Schedule
from keima.selfplay.tournament.worker import Failed, Message, Ready, Report, WorkerTask, run_worker

MAX_FAILURES = 3
"""Workers that die in a row, without a game in between, after which a tournament gives up."""
LOOK_SECONDS = 0.2
"""How often it is looked whether to stop."""
PARTING_SECONDS = 5.0
"""How long workers have to report what is over when they are told to end."""


@dataclass(frozen=True)
class Finished:
    """A game that is over."""

    pairing: Pairing
    played: PlayedGame


@dataclass(eq=False)
class _Worker:
    number: int
    process: BaseProcess
    connection: Connection
    tables: int = 0  # 0 until it is ready
    under_way: dict[int, Pairing] = field(default_factory=dict)  # by the games' numbers


class Driver:
    """A tournament under way; a context manager, whose workers end with it."""

    def __init__(
        self,
        entrants: Sequence[Entrant],
        schedule: Schedule,
        task: WorkerTask,
        workers: int,
        seed: int,
        *,
        history: Iterable[Pairing] = (),
        on_event: Callable[[str], None],
    ) -> None:
        """entrants: in the order of the schedule's numbers and the task's players. history: the games played already.

        seed: together with the players and the opening, the seed of each game's random draws. on_event: called with a
        line when a worker is replaced.
        """
        self._entrants = list(entrants)
        self._schedule = schedule
        self._task = task
        self._seed = seed
        self._on_event = on_event
        self._context = multiprocessing.get_context("spawn")  # torch's and numba's threads do not survive a fork
        self._times = Counter(history)  # how often a pairing was played or begun
        self._pending: deque[Pairing] = deque()
        self._exhausted = False
        self._number = 0
        self._failures = 0
        self._count = workers
        self._workers: list[_Worker] = []
        self.evaluations = 0
        """Positions that networks were asked about."""
        self.simulations = 0
        self.was_ready = False
        """Whether any worker has finished loading."""

    def __enter__(self) -> "Driver":
        self._workers = [self._spawn(number) for number in range(self._count)]
        return self

    def __exit__(self, *about: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers = []

    @property
    def games_under_way(self) -> int:
        return sum(len(worker.under_way) for worker in self._workers)

    def receive(self) -> list[Finished] | None:
        """Hands out the games to play, and returns the games that have ended since the last call, perhaps none.

        None when everything is played, or decided. Raises GameError where workers keep failing.
        """
        if self._schedule.decided:
            return None
        for worker in self._workers:
            self._hand_out(worker)
        if self._exhausted and not self._pending and not self.games_under_way:
            return None
        return self._take(LOOK_SECONDS)

    def stop(self) -> list[Finished]:
        """Tells the workers to end; returns the last games that were over by then. Games under way are lost."""
        finished: list[Finished] = []
        for worker in self._workers:
            self._send(worker, None)
        end_s = time.monotonic() + PARTING_SECONDS
        while self._workers and time.monotonic() < end_s:
            finished += self._take(0.05, ending=True)
        return finished

    # --- handing out

    def _hand_out(self, worker: _Worker) -> None:
        if not worker.tables:
            return
        tasks = []
        while (pairing := self._next_for(worker)) is not None:
            self._number += 1
            worker.under_way[self._number] = pairing
            tasks.append(self._game(self._number, pairing))
        if tasks:
            self._send(worker, tuple(tasks))

    def _next_for(self, worker: _Worker) -> Pairing | None:
        """The next game that a worker has room for; None where there is none just now."""
        left = self._schedule.total - self._schedule.played
        # Some wait there, so that no table does; and none where others would go without.
        share = -(-left // self._count)
        if len(worker.under_way) >= max(1, min(worker.tables + worker.tables // 8, share)):
            return None
        busy = Counter(player for p in worker.under_way.values() for player in {p.first, p.second})
        full = {i for i, entrant in enumerate(self._entrants) if busy[i] >= entrant.games_at_once}
        looked = 0
        while True:
            while looked == len(self._pending):
                drawn = None if self._exhausted else self._schedule.draw()
                if not drawn:
                    self._exhausted = self._exhausted or drawn is None
                    return None
                self._pending.extend(drawn)
            pairing = self._pending[looked]
            if pairing.first not in full and pairing.second not in full:
                del self._pending[looked]
                return pairing
            looked += 1

    def _game(self, number: int, pairing: Pairing) -> GameTask:
        first, second = (self._entrants[player].text for player in (pairing.first, pairing.second))
        # A function of what the game is, not of when it is begun.
        what = repr((self._seed, first, second, pairing.opening, self._times[pairing]))
        self._times[pairing] += 1
        seed = int.from_bytes(hashlib.blake2b(what.encode(), digest_size=7).digest(), "big")
        return GameTask(number, (pairing.first, pairing.second), pairing.opening, seed)

    def _send(self, worker: _Worker, message: tuple[GameTask, ...] | None) -> None:
        with contextlib.suppress(OSError):  # it has died, which is noticed where it is listened to
            worker.connection.send(message)

    # --- taking in

    def _take(self, timeout: float, *, ending: bool = False) -> list[Finished]:
        finished: list[Finished] = []
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout):
            worker = by_connection[connection]  # type: ignore[index]  # wait returns what it was given
            try:
                message: Message = worker.connection.recv()
            except (EOFError, OSError):
                self._remove(worker)
                if not ending:
                    self._replace(worker)
                continue
            if isinstance(message, Failed):
                raise GameError(message.reason)
            if isinstance(message, Ready):
                worker.tables = message.tables
                self.was_ready = True
            elif isinstance(message, Report):
                finished += self._enter(worker, message)
        return finished

    def _enter(self, worker: _Worker, report: Report) -> list[Finished]:
        self._failures = 0
        self.evaluations += report.evaluations
        self.simulations += report.simulations
        finished = []
        for played in report.games:
            pairing = worker.under_way.pop(played.task.number)
            self._schedule.enter(Result(pairing, played.outcome))
            self._schedule.played += 1
            finished.append(Finished(pairing, played))
        return finished

    def _remove(self, worker: _Worker) -> None:
        worker.process.join(10)
        worker.connection.close()
        self._workers.remove(worker)

    def _replace(self, worker: _Worker) -> None:
        """Starts another worker in place of one that has died; its games are played again."""
        self._failures += 1
        how = ending_in_words(worker.process.exitcode)
        if self._failures >= MAX_FAILURES:
            raise GameError(f"workers die before they get anywhere: the last with {how}; the same command goes on")
        self._on_event(f"worker {worker.number} died ({how}); a new one takes its place")
        for pairing in worker.under_way.values():
            self._times[pairing] -= 1
        self._pending.extendleft(reversed(worker.under_way.values()))
        self._workers.append(self._spawn(worker.number))

    def _spawn(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=run_worker, args=(self._task, theirs), daemon=True, name=f"keima-tournament-{number}"
        )
        start_deaf_to_interrupts(process)
        theirs.close()  # so that the pipe ends with the worker
        return _Worker(number, process, ours)
