"""An actor: one process that plays games with the newest weights and hands them over in segments.

It talks to the training run over a pipe in small messages; weights come as files whose version the run announces.
It ends when told to, and when the run is gone.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from selfplay.segment import Segment

BEAT_SECONDS = 1.0
"""How often an actor shows that it is alive and what it has done."""


@dataclass(frozen=True)
class Announce:
    """From the run: these weights are ready."""

    version: int
    path: Path


@dataclass(frozen=True)
class Beat:
    """From an actor: alive; work since the last beat. The first one says that everything is compiled and loaded."""

    evaluations: int
    moves: int
    waited_s: float


@dataclass(frozen=True)
class Failed:
    """From an actor: it ends because of this."""

    reason: str


Message = Beat | Segment | Failed


@dataclass(frozen=True)
class ActorTask:
    """What an actor is to do."""

    config: Path
    actor: int
    seed: tuple[int, ...]
    lockstep: bool
    """Whether weights change only between segments, and always to the same version: then one actor's games depend
    on the seed alone. Otherwise the newest are taken as they come."""


def run_actor(task: ActorTask, connection: Connection) -> None:
    """The process's entry point."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run decides what follows
    if hasattr(os, "nice"):
        os.nice(5)  # so that the learner gets the time it needs, and the replay ratio is kept
    try:
        _play(task, connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the run is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            connection.send(Failed(f"{type(error).__name__}: {error}"))
        raise SystemExit(1) from None


def _play(task: ActorTask, connection: Connection) -> None:
    # Imported here: the pool's process imports this module too, and needs none of it.
    import torch

    from agent.checkpoint import CheckpointError, load_checkpoint
    from agent.inference import TorchEvaluator
    from games import load
    from selfplay.config import load_config
    from selfplay.generation import SelfPlay

    torch.set_num_threads(1)
    config = load_config(str(task.config))
    game = load(config.game)
    games = SelfPlay(game, config.search, config.selfplay, task.seed)
    first: Announce = connection.recv()
    evaluator = TorchEvaluator(load_checkpoint(first.path, game).network)
    version = first.version
    connection.send(Beat(0, 0, 0.0))
    last_beat, evaluations, moves, waited_s = time.monotonic(), 0, 0, 0.0

    def beat() -> None:
        nonlocal last_beat, evaluations, moves, waited_s
        if time.monotonic() - last_beat > BEAT_SECONDS:
            connection.send(Beat(games.evaluations - evaluations, games.moves - moves, waited_s))
            last_beat, evaluations, moves, waited_s = time.monotonic(), games.evaluations, games.moves, 0.0

    def take(announced: Announce) -> None:
        nonlocal version
        try:
            evaluator.update(load_checkpoint(announced.path, game).network)
            version = announced.version
        except CheckpointError:
            # Newer weights took the file's place while it was being read; they have been announced too.
            if task.lockstep:
                raise

    segments = 0
    while True:
        if not task.lockstep and connection.poll():
            while connection.poll():
                newest: Announce = connection.recv()
            take(newest)
        games.step(evaluator)
        beat()
        if games.finished_positions >= config.selfplay.segment_positions:
            before = time.monotonic()
            connection.send(games.take_finished(task.actor, version))
            segments += 1
            # One segment behind: while this actor plays, the learner works on the segment before.
            while task.lockstep and version < first.version + segments - 1:
                if connection.poll(BEAT_SECONDS):
                    take(connection.recv())
                beat()
            waited_s += time.monotonic() - before
