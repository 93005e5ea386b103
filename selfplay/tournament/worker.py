"""A tournament's worker: a process that plays games in an arena of its own and reports those that are over.

It is sent games and answers with results; so it may be killed at any time, and only games under way are lost.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection

from games import load
from games.contract import GameError
from selfplay.tournament.arena import Arena, GameTask, PlayedGame

REPORT_SECONDS = 0.25
"""How long a game that is over waits to be reported, at most, while others go on."""
WAIT_SECONDS = 60.0
"""How long a worker without games looks for new ones at a time."""


@dataclass(frozen=True)
class WorkerTask:
    """What a worker is to do."""

    game: str
    players: tuple[tuple[str, str], ...]
    """Each player's text and its network's file; see selfplay.tournament.lineup."""
    backends: dict[str, str]
    """What runs each network, by its file."""
    tables: int
    cache_mb: float


@dataclass(frozen=True)
class Ready:
    """From a worker: everything is loaded and compiled."""

    tables: int
    """Games at a time."""


@dataclass(frozen=True)
class Report:
    """From a worker: games that are over, and the work since the last report."""

    games: tuple[PlayedGame, ...]
    evaluations: int = 0
    simulations: int = 0


@dataclass(frozen=True)
class Failed:
    """From a worker: it ends because of this, and so would any other."""

    reason: str


Message = Ready | Report | Failed


def run_worker(task: WorkerTask, connection: Connection) -> None:
    """The process's entry point. It is sent tuples of `GameTask`, and None for the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the tournament decides
    try:
        from selfplay.tournament.lineup import make_contestants

        game = load(task.game)
        arena = Arena(game, make_contestants(game, task.players, task.backends), task.tables, task.cache_mb)
        threading.Thread(target=_end_with_tournament, args=(arena,), daemon=True).start()
        try:
            connection.send(Ready(arena.tables))
            _work(arena, connection)
        finally:
            arena.close()
    except GameError as error:
        connection.send(Failed(str(error)))
    except (EOFError, BrokenPipeError):  # the tournament is gone
        pass
    finally:
        connection.close()
    # Threads of players may be inside a solver, which nothing ends.
    os._exit(0)


def _end_with_tournament(arena: Arena) -> None:
    """Ends this process, and the programs it has started, when the tournament is gone."""
    tournament = multiprocessing.parent_process()
    assert tournament is not None
    tournament.join()
    arena.close()
    os._exit(1)


def _work(arena: Arena, connection: Connection) -> None:
    queued: deque[GameTask] = deque()
    finished: list[PlayedGame] = []
    reported = arena.evaluations, arena.simulations
    last_s = time.monotonic()
    while True:
        idle = not arena.busy and not queued
        if connection.poll(WAIT_SECONDS if idle else 0):
            tasks = connection.recv()
            if tasks is None:
                break
            queued.extend(tasks)
        while queued and arena.free_tables:
            arena.begin(queued.popleft())
        if arena.busy:
            finished += arena.step()
        idle = not arena.busy and not queued
        if finished and (idle or time.monotonic() - last_s > REPORT_SECONDS):
            done = arena.evaluations, arena.simulations
            connection.send(Report(tuple(finished), done[0] - reported[0], done[1] - reported[1]))
            finished, reported, last_s = [], done, time.monotonic()
    if finished:
        connection.send(Report(tuple(finished)))
