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
from dataclasses import dataclass
from multiprocessing.connection import Connection
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
    from keima.agent.nets.checkpoint import CheckpointError, load_checkpoint
    from keima.selfplay.actors.generation import SelfPlay
    from keima.selfplay.config.loader import load_config
    from keima.selfplay.config.schema import fixed
    from keima.selfplay.replay.board_mix import BoardMix

    torch.set_num_threads(1)
    config = load_config(str(task.config))
    board_mix = BoardMix.of(config)
    groups = [
        _Group(SelfPlay(game, config.search, config.selfplay, (*task.seed, number) if number else task.seed))
        for number, game in enumerate(board_mix.games)
    ]
    group = groups[0]
    connection.send(Heartbeat())
    last_beat, waited_s, told = time.monotonic(), 0.0, (0, 0, 0, 0)

    def beat() -> None:
        nonlocal last_beat, waited_s, told
        if time.monotonic() - last_beat > HEARTBEAT_SECONDS:
            all_games = [one.games for one in groups]
            done = (
                sum(games.evaluations for games in all_games),
                sum(games.simulations for games in all_games),
                sum(games.cache_hits for games in all_games),
                sum(games.moves for games in all_games),
            )
            new = [now - before for now, before in zip(done, told, strict=True)]
            connection.send(Heartbeat(new[0], new[1], new[2], new[3], waited_s))
            last_beat, waited_s, told = time.monotonic(), 0.0, done

    def wait_for(wanted: int) -> None:
        nonlocal waited_s
        before = time.monotonic()
        while newest_version(task.weights) < wanted:
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            waited_s, before = waited_s + now - before, now
            beat()

    lockstep = task.first_version is not None
    version = task.first_version if task.first_version is not None else newest_version(task.weights)
    wait_for(version)
    network = load_checkpoint(weights_path(task.weights, version), board_mix.games[0]).network
    segments, next_update_s = 0, time.monotonic()
    while True:
        now = time.monotonic()
        if not lockstep and now >= next_update_s and (newest := newest_version(task.weights)) > version:
            with contextlib.suppress(CheckpointError):  # deleted since, for there are newer ones
                network = load_checkpoint(weights_path(task.weights, newest), board_mix.games[0]).network
                version = newest
                group.take_over(network, version)
                next_update_s = time.monotonic() + (time.monotonic() - now) / UPDATE_SHARE
        if group.evaluator is None:
            evaluator = make_evaluator(group.games.game, network, task.backend, fixed(config.selfplay.parallel_games))
            group.evaluator, group.version = evaluator, version
        elif group.version != version:
            group.take_over(network, version)
        group.games.step(group.evaluator)
        beat()
        if group.games.finished_positions < config.selfplay.segment_positions:
            continue
        segment = group.games.take_finished(task.actor, version)
        group.positions += segment.num_positions
        before = time.monotonic()
        connection.send(segment)
        waited_s += time.monotonic() - before
        segments += 1
        if lockstep and segments > 1:
            # One segment behind: while this actor plays, the learner works on the segment before.
            version += 1
            wait_for(version)
            network = load_checkpoint(weights_path(task.weights, version), board_mix.games[0]).network
        group = groups[board_mix.furthest_behind([one.positions for one in groups])]
