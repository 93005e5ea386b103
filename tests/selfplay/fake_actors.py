"""Actors that stand in for the real one: they start in a third of a second, and misbehave on purpose.

Each has `run_actor`'s signature and is put in its place by monkeypatch; a new process finds it by its name here.
"""

import dataclasses
import os
import pickle
import signal
import struct
import sys
import time
from multiprocessing.connection import Connection

import numpy as np

from keima.games import load
from keima.games.contract import Game
from keima.selfplay.actors.messages import ActorTask, Failed, Heartbeat, newest_version
from keima.selfplay.replay.segment import CHECKED, HAS_POLICY_TARGET, SECOND_GIVEN_UP, Segment


def tictactoe_segment(seed: tuple[int, ...], games: int = 30, actor: int = 0) -> Segment:
    """Random games of tic-tac-toe with made-up search results; the same for the same seed."""
    return random_segment(load("tictactoe"), seed, games, actor)


def random_segment(game: Game, seed: tuple[int, ...], games: int = 30, actor: int = 0) -> Segment:
    """The same of any game."""
    random = np.random.default_rng(seed)
    lengths, outcomes, actions, counts = [], [], [], []
    for _ in range(games):
        state, plies = game.new_state(), 0
        while (legal := game.legal(state)).size:
            actions.append(int(random.choice(legal)))
            counts.append(legal.size)
            game.kernels.play(state, actions[-1])
            plies += 1
        lengths.append(plies)
        outcomes.append(game.outcome(state))
    return Segment(
        game_lengths=np.array(lengths, np.int32),
        outcomes=np.array(outcomes, np.int8),
        actions=np.array(actions, np.int32),
        legal_counts=np.array(counts, np.int32),
        policies=(random.random(sum(counts)) + 0.01).astype(np.float16),
        root_values=random.uniform(-1, 1, len(actions)).astype(np.float32),
        surprises=random.exponential(size=len(actions)).astype(np.float16),
        flags=np.full(len(actions), HAS_POLICY_TARGET, np.uint8),
        proven=np.full(len(actions), -1, np.int8),
        actor=actor,
        weights_version=0,
        game=game.label,
        rules_version=game.rules_version,
    )


def plays_two_boards(task: ActorTask, connection: Connection) -> None:
    """Hands over segments of Hex of size 3 and of size 2 in turn, as fast as they are taken."""
    connection.send(Heartbeat())
    for number in range(sys.maxsize):
        game = load("hex:2" if number % 2 else "hex:3")
        connection.send(random_segment(game, (*task.seed, number), actor=task.actor))
        connection.send(Heartbeat(evaluations=1000, simulations=3000, cache_hits=1500, moves=100))


def plays(task: ActorTask, connection: Connection) -> None:
    """Hands over segments in lockstep, or as fast as they are taken."""
    connection.send(Heartbeat())
    for number in range(sys.maxsize):
        wanted = (task.first_version or 0) + max(0, number - 1)
        while task.first_version is not None and newest_version(task.weights) < wanted:
            time.sleep(0.01)
            connection.send(Heartbeat(waited_s=0.01))
        connection.send(tictactoe_segment((*task.seed, number), actor=task.actor))
        connection.send(Heartbeat(evaluations=1000, simulations=3000, cache_hits=1500, moves=100))


def plays_and_gives_up(task: ActorTask, connection: Connection) -> None:
    """Hands over games in which the second player is given up and everything is searched on, to see whether rightly."""
    connection.send(Heartbeat())
    for number in range(sys.maxsize):
        segment = tictactoe_segment((*task.seed, number), actor=task.actor)
        marks = np.uint8(CHECKED | SECOND_GIVEN_UP)
        connection.send(dataclasses.replace(segment, flags=segment.flags | marks))


def plays_large(task: ActorTask, connection: Connection) -> None:
    """Hands over segments larger than a pipe holds."""
    connection.send(Heartbeat())
    segment = tictactoe_segment(task.seed, games=2000, actor=task.actor)
    while True:
        connection.send(segment)


def raises(task: ActorTask, connection: Connection) -> None:
    """Finds something wrong with its game."""
    connection.send(Failed("nosuch: a game went on after max_plies = 3 moves"))
    sys.exit(1)


def crashes(task: ActorTask, connection: Connection) -> None:
    """Dies as compiled code does that writes where it must not."""
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def stops_in_a_message(task: ActorTask, connection: Connection) -> None:
    """At first sends the beginning of a message and no more; its replacement plays."""
    if task.seed[-1]:
        plays(task, connection)
    connection.send(Heartbeat())
    whole = pickle.dumps(tictactoe_segment(task.seed))
    os.write(connection.fileno(), struct.pack("!i", len(whole)) + whole[:1000])
    time.sleep(1000)


def tells_of_signals(task: ActorTask, connection: Connection) -> None:
    """Says whether Ctrl-C would have interrupted it before its first line."""
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    connection.send(Failed(f"SIGINT blocked: {blocked}"))
