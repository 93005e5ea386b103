"""A tournament's worker: a process that plays games in an arena of its own and reports those that are over.

It receives games and sends results. It may be killed at any time; only the games under way are lost.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection

from keima.games import load
from keima.games.contract import GameError
from keima.selfplay.tournament.arena import Arena, GameTask, PlayedGame
from keima.selfplay.tournament.referee import Referee, RefereesDesk

REPORT_SECONDS = 0.25
"""How long a game that is over waits to be reported, at most, while others go on."""
WAIT_SECONDS = 60.0
"""How long a worker without games looks for new ones at a time."""
PATIENCE_SECONDS = 0.1
"""How long it waits for the referee before it looks for new games, where it has nothing else to do."""


@dataclass(frozen=True)
class WorkerTask:
    """What a worker is to do."""

    game: str
    players: tuple[tuple[str, str], ...]
    """Each player's text and its network's file; see keima.selfplay.tournament.lineup."""
    backends: dict[str, str]
    """What runs each player's network, by the player's text."""
    tables: int
    cache_mb: float
    referee: str = ""
    """Who says which stones are dead in games that end on the board; '' leaves it to the rules."""


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
        from keima.selfplay.tournament.lineup import make_contestants

        game = load(task.game)
        arena = Arena(game, make_contestants(game, task.players, task.backends), task.tables, task.cache_mb)
        desk = RefereesDesk(Referee(game, task.referee)) if task.referee else None
        threading.Thread(target=_end_with_tournament, args=(arena, desk), daemon=True).start()
        try:
            connection.send(Ready(arena.tables))
            _work(arena, desk, connection)
        finally:
            _close(arena, desk)
    except GameError as error:
        connection.send(Failed(str(error)))
    except (EOFError, BrokenPipeError):  # the tournament is gone
        pass
    finally:
        connection.close()
    # Threads of players may be inside a solver, which nothing ends.
    os._exit(0)


def _end_with_tournament(arena: Arena, desk: RefereesDesk | None) -> None:
    """Ends this process, and the programs it has started, when the tournament is gone."""
    tournament = multiprocessing.parent_process()
    assert tournament is not None
    tournament.join()
    _close(arena, desk)
    os._exit(1)


def _close(arena: Arena, desk: RefereesDesk | None) -> None:
    arena.close()
    if desk is not None:
        desk.close()


def _work(arena: Arena, desk: RefereesDesk | None, connection: Connection) -> None:
    queued: deque[GameTask] = deque()
    finished: list[PlayedGame] = []
    reported = arena.evaluations, arena.simulations
    last_s = time.monotonic()
    while True:
        judging = desk is not None and desk.busy
        idle = not arena.busy and not queued and not judging
        if connection.poll(WAIT_SECONDS if idle else 0):
            tasks = connection.recv()
            if tasks is None:
                break
            queued.extend(tasks)
        # At a single table moves may be limited by time: the referee does not think beside a game then.
        while queued and arena.free_tables and not (judging and arena.tables == 1):
            arena.begin(queued.popleft())
        over = arena.step() if arena.busy else []
        if desk is not None:
            for played in over:
                if not played.reason:
                    desk.submit(played)
            over = [played for played in over if played.reason] + desk.collect(0 if arena.busy else PATIENCE_SECONDS)
        finished += over
        idle = not arena.busy and not queued and not (desk is not None and desk.busy)
        if finished and (idle or time.monotonic() - last_s > REPORT_SECONDS):
            done = arena.evaluations, arena.simulations
            connection.send(Report(tuple(finished), done[0] - reported[0], done[1] - reported[1]))
            finished, reported, last_s = [], done, time.monotonic()
    if finished:
        connection.send(Report(tuple(finished)))
