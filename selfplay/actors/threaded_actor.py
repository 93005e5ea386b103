"""An actor on a GPU: one process whose threads play, so that one CUDA context evaluates the positions of all of them.

Compiled self-play releases Python's lock, so threads are as fast as processes, and they share the memory that a GPU
keeps for each process. Each thread has two groups of games and alternates between them:

    the thread   search A   | search B   | search A   | search B | ...
    the GPU                 | evaluate A | evaluate B | evaluate A | ...

The GPU evaluates one group's leaves while the thread searches in the other. So the thread waits only where evaluating
takes longer than searching, and the GPU can choose among the batches of several threads. One group's batch is large
enough by itself; to gather those of several threads in one would make all of them wait for the slowest.

The main thread plays nothing. It loads new weights, sends heartbeats, and ends the actor when a thread fails.
"""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection

import torch

from keima.agent.inference.cuda_evaluator import CudaEvaluator, prepared
from keima.agent.nets.checkpoint import CheckpointError, load_checkpoint
from keima.agent.nets.network import Network
from keima.games.contract import Game
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.actors.messages import (
    HEARTBEAT_SECONDS,
    UPDATE_SHARE,
    ActorTask,
    Heartbeat,
    Message,
    newest_version,
    weights_path,
)
from keima.selfplay.actors.start_positions import starts_for
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import TrainConfig, fixed
from keima.selfplay.replay.board_mix import BoardMix

GROUPS = 2
"""Of games a thread plays in turn: one is searched while the other is judged."""
LOOK_SECONDS = 0.02
"""How often the main thread looks for failures and new weights."""
END_SECONDS = 10.0
"""How long threads get to finish their turn when the actor ends."""


class Player:
    """One thread's groups of games, of which all but one at a time are with the evaluator."""

    def __init__(self, groups: Iterable[SelfPlay], evaluator: CudaEvaluator) -> None:
        """The evaluator has a staging_buffer for every group."""
        self.groups = list(groups)
        self.evaluator = evaluator
        self.turns = 0
        """Batches received so far."""
        self.waited_s = 0.0
        """Seconds it has waited for the evaluator so far."""
        self._submitted: deque[SelfPlay] = deque()

    def submit(self, games: SelfPlay) -> None:
        """Searches in this group until it has a batch of leaves, and sends them off."""
        self.evaluator.submit(games.search())
        self._submitted.append(games)

    def receive(self) -> SelfPlay:
        """Waits for the oldest batch's answers and hands them to its group, which is returned."""
        games = self._submitted.popleft()
        before = time.monotonic()
        answers = self.evaluator.collect()
        self.waited_s += time.monotonic() - before
        games.receive(*answers)
        self.turns += 1
        return games


def make_players(
    games: Sequence[Game], config: TrainConfig, network: Network, backend: str, seed: tuple[int, ...]
) -> list[Player]:
    """A player for each thread, with groups of `selfplay.parallel_games` games each that share `selfplay.cache_mb`.

    games: what each plays. backend: one of keima.agent.inference.factory.BACKENDS that torch runs. seed: (*seed,
    thread, group) is each group's own.
    """
    runtime, _, precision = backend.partition("-")
    device = torch.device("cuda" if runtime == "cuda" else "cpu")
    parallel_games = fixed(config.selfplay.parallel_games)
    play = config.selfplay.model_copy(update={"cache_mb": config.selfplay.cache_mb / GROUPS})
    return [
        Player(
            [
                SelfPlay(game, config.search, play, (*seed, thread, group), starts_for(game, config))
                for group in range(GROUPS)
            ],
            CudaEvaluator(game, network, precision, parallel_games, device=device, staging_buffers=GROUPS),
        )
        for thread, game in enumerate(games)
    ]


class _Ended(Exception):  # noqa: N818 (what happened)
    """Raised in a thread that would send something after the actor's end."""


class _Outbox:
    """The connection to the run, for several threads: one message at a time, and none after the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._closed = False

    def send(self, message: Message) -> None:
        """Raises BrokenPipeError or ConnectionResetError when the run is gone."""
        with self._lock:
            if self._closed:
                raise _Ended
            self._connection.send(message)

    def close(self) -> None:
        """Returns when no message is under way; there will be no more."""
        with self._lock:
            self._closed = True


def play_in_threads(task: ActorTask, connection: Connection) -> None:
    """Plays for ever. Raises what a thread raised, when the threads have ended and nothing more is sent by them."""
    torch.set_num_threads(1)
    actor = ThreadedActor(task, connection)
    try:
        actor.play()
    finally:
        actor.end()


class ThreadedActor:
    """What the threads share, and what the main thread does for them."""

    def __init__(self, task: ActorTask, connection: Connection) -> None:
        assert task.threads is not None
        self._task = task
        self._outbox = _Outbox(connection)
        config = load_config(str(task.config))
        self._segment_positions = config.selfplay.segment_positions
        board_mix = BoardMix.of(config)
        self._game = board_mix.games[0]
        self._version = newest_version(task.weights)
        network = load_checkpoint(weights_path(task.weights, self._version), self._game).network
        self._players = make_players(board_mix.among(task.threads), config, network, task.backend, task.seed)
        self._newest: tuple[int, Network | None] = (self._version, None)
        """The weights to play with, by version, made ready for every player's evaluator; None: those they have."""
        self._failures: queue.SimpleQueue[Exception] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._handing_over_s = [0.0] * task.threads
        """Seconds each player has waited for the run to take its segments."""
        self._is_handing_over = [False] * task.threads
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True, name=f"player-{number}")
            for number in range(task.threads)
        ]
        self._turns = [0] * task.threads
        self._told = Heartbeat()

    def play(self) -> None:
        """The main thread's part. Returns only by what a thread raised."""
        self._outbox.send(Heartbeat())
        for thread in self._threads:
            thread.start()
        next_beat_s = next_update_s = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                raise self._failures.get(timeout=LOOK_SECONDS)
            now = time.monotonic()
            if now >= next_beat_s and self._all_have_moved():
                self._beat()
                next_beat_s = now + HEARTBEAT_SECONDS
            if now >= next_update_s and newest_version(self._task.weights) > self._version:
                self._load_weights()
                next_update_s = time.monotonic() + (time.monotonic() - now) / UPDATE_SHARE

    def end(self) -> None:
        """Ends the threads, but for one that is lost in the rules of a game."""
        self._ending.set()
        self._outbox.close()
        deadline_s = time.monotonic() + END_SECONDS
        for thread in self._threads:
            if thread.ident is not None:  # else it was never started
                thread.join(max(0.0, deadline_s - time.monotonic()))

    # --- in the main thread

    def _all_have_moved(self) -> bool:
        """Whether each player has, since this last said so, or waits for the run: one that hangs shows by silence."""
        turns = [player.turns for player in self._players]
        moved = all(
            now > before or waits for now, before, waits in zip(turns, self._turns, self._is_handing_over, strict=True)
        )
        if moved:
            self._turns = turns
        return moved

    def _beat(self) -> None:
        games = [group for player in self._players for group in player.groups]
        done = Heartbeat(
            evaluations=sum(group.evaluations for group in games),
            simulations=sum(group.simulations for group in games),
            cache_hits=sum(group.cache_hits for group in games),
            moves=sum(group.moves for group in games),
            waited_s=sum(self._handing_over_s),
        )
        self._outbox.send(done.since(self._told))
        self._told = done

    def _load_weights(self) -> None:
        newest = newest_version(self._task.weights)
        with contextlib.suppress(CheckpointError):  # deleted since, for there are newer ones
            network = load_checkpoint(weights_path(self._task.weights, newest), self._game).network
            evaluator = self._players[0].evaluator
            self._newest = newest, prepared(network, evaluator.device, evaluator.precision)
            self._version = newest

    # --- in a player's thread

    def _work(self, number: int) -> None:
        player = self._players[number]
        version = self._version
        try:
            for games in player.groups:
                player.submit(games)
            while not self._ending.is_set():
                games = player.receive()
                if games.finished_positions >= self._segment_positions:
                    self._hand_over(number, games, version)
                newest, network = self._newest
                if newest != version and network is not None:
                    player.evaluator.take_over(network)
                    for group in player.groups:
                        group.forget_evaluations()
                    version = newest
                player.submit(games)
        except _Ended:
            pass
        except Exception as error:
            self._failures.put(error)

    def _hand_over(self, number: int, games: SelfPlay, version: int) -> None:
        segment = games.take_finished(self._task.actor, version)
        before = time.monotonic()
        self._is_handing_over[number] = True
        try:
            self._outbox.send(segment)
        finally:
            self._is_handing_over[number] = False
            self._handing_over_s[number] += time.monotonic() - before
