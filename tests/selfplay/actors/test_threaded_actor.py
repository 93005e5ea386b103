"""The actor for a GPU, whose threads play with a network on the processor here."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from keima.agent.inference.evaluator import NOT_NUMBERS
from keima.agent.nets.checkpoint import Metadata, save_checkpoint
from keima.agent.nets.network import Network
from keima.games import load
from keima.games.contract import ONGOING, GameError
from keima.selfplay.actors.actor import run_actor
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.actors.messages import ActorTask, Failed, Heartbeat, weights_path
from keima.selfplay.actors.threaded_actor import GROUPS, ThreadedActor, make_players, play_in_threads
from keima.selfplay.config.loader import load_config, to_toml
from keima.selfplay.replay.segment import ARRAYS, Segment
from tests.selfplay.kill_and_resume import CONFIG

BACKEND, THREADS, SEED = "torch-f32", 2, (7, 0)
PATIENCE_S = 600.0  # the first time it compiles


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    """A tiny run's config with weights of version 0."""
    (tmp_path / "given.toml").write_text(CONFIG.format(actors=THREADS))
    (tmp_path / "config.toml").write_text(to_toml(load_config(str(tmp_path / "given.toml"))))
    write_weights(tmp_path, 0)
    return tmp_path


def write_weights(folder, version, *, overflowing=False):
    """Weights made from the version; or such that no answer is a number, though they are."""
    config = load_config(str(folder / "config.toml"))
    game = load(config.game)
    torch.manual_seed(version)
    network = Network(game, config.network)
    if overflowing:
        network.policy.spatial_logits.weight.data[:] = 3e38
        network.policy.spatial_logits.bias.data[:] = 3e38
    metadata = Metadata(game.label, game.rules_version, config.network.model_dump())
    save_checkpoint(weights_path(folder, version), network, metadata)


@pytest.fixture
def started():
    """Starts a task. However a test ends, the task's threads are gone before the next begins."""
    running = []

    def start(task):
        running.append(Running(task))
        return running[-1]

    yield start
    for one in running:
        one.connection.close()
        one.join()


def task_for(folder):
    return ActorTask(folder / "config.toml", folder, BACKEND, 0, SEED, None, THREADS)


def players_of(folder, game, threads=THREADS):
    config = load_config(str(folder / "config.toml"))
    torch.manual_seed(0)
    return make_players([game] * threads, config, Network(game, config.network), BACKEND, SEED), config


def plain_games(game, config, thread, group):
    """What a thread's group plays, with as large a cache: how far a batch takes it depends on what is found there."""
    play = config.selfplay.model_copy(update={"cache_mb": config.selfplay.cache_mb / GROUPS})
    return SelfPlay(game, config.search, play, (*SEED, thread, group))


def same_segments(one, other):
    return all(np.array_equal(getattr(one, n), getattr(other, n), equal_nan=n == "root_values") for n in ARRAYS)


class Running:
    """`play_in_threads` in a thread of this process, at the other end of a pipe."""

    def __init__(self, task):
        self.connection, theirs = multiprocessing.Pipe(duplex=False)
        self.raised: list[BaseException] = []
        self.beats: list[Heartbeat] = []
        self._thread = threading.Thread(target=self._run, args=(task, theirs), daemon=True)
        self._thread.start()

    def _run(self, task, connection):
        try:
            play_in_threads(task, connection)
        except BaseException as error:
            self.raised.append(error)

    def segment(self) -> Segment:
        deadline = time.monotonic() + PATIENCE_S
        while not self.raised and time.monotonic() < deadline:
            if self.connection.poll(0.05):
                message = self.connection.recv()
                if isinstance(message, Segment):
                    return message
                self.beats.append(message)
        raise AssertionError(f"no segment came: {self.raised}")

    def ended_with(self) -> BaseException:
        """What it raised, when it and its threads have ended. Its messages are read till then."""
        deadline = time.monotonic() + PATIENCE_S
        while self._thread.is_alive():
            assert time.monotonic() < deadline
            if not self.connection.closed and self.connection.poll(0.05):
                self.connection.recv()
        assert not any(thread.name.startswith("player-") for thread in threading.enumerate())
        return self.raised[0]

    def join(self):
        self._thread.join(PATIENCE_S)

    def leave(self):
        """The run is gone."""
        self.connection.close()
        assert isinstance(self.ended_with(), BrokenPipeError)


def test_each_groups_games_are_those_of_the_plain_loop(folder):
    """Whatever other threads do, and although another group's batch is always under way."""
    game, turns = load("tictactoe"), 60
    players, config = players_of(folder, game)

    def play(player):
        for games in player.groups:
            player.submit(games)
        for _ in range(turns * GROUPS):
            player.submit(player.receive())

    threads = [threading.Thread(target=play, args=(player,)) for player in players]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    segments = []
    for number, player in enumerate(players):
        assert player.turns == turns * GROUPS
        for group, games in enumerate(player.groups):
            plain = plain_games(game, config, number, group)
            evaluator = players_of(folder, game, threads=1)[0][0].evaluator
            for _ in range(turns):
                plain.step(evaluator)
            plain.search()
            assert (games.evaluations, games.simulations) == (plain.evaluations, plain.simulations)
            segments.append(games.take_finished(0, 0))
            assert same_segments(segments[-1], plain.take_finished(0, 0))
    assert not any(same_segments(one, other) for k, one in enumerate(segments) for other in segments[:k])


def test_segments_come_from_every_group_and_are_valid_games(folder, started):
    game = load("tictactoe")
    config = load_config(str(folder / "config.toml"))
    evaluator = players_of(folder, game, threads=1)[0][0].evaluator
    expected = {}
    for thread in range(THREADS):
        for group in range(GROUPS):
            plain = plain_games(game, config, thread, group)
            while plain.finished_positions < config.selfplay.segment_positions:
                plain.step(evaluator)
            expected[plain.take_finished(0, 0).actions.tobytes()] = (thread, group)

    running = started(task_for(folder))
    positions, seen = 0, set()
    deadline = time.monotonic() + PATIENCE_S
    while seen != set(expected.values()):
        assert time.monotonic() < deadline
        segment = running.segment()
        assert (segment.actor, segment.weights_version, segment.game) == (0, 0, game.label)
        seen.add(expected.get(segment.actions.tobytes()))
        seen.discard(None)  # a group's second segment
        positions += segment.num_positions
        start = 0
        for length, outcome in zip(segment.game_lengths, segment.outcomes, strict=True):
            state = game.new_state()
            for action in segment.actions[start : start + length]:
                assert game.outcome(state) == ONGOING
                assert action in game.legal(state)
                state = game.after(state, int(action))
            assert game.outcome(state) == outcome
            start += length
    assert running.beats[0] == Heartbeat()
    while sum(beat.evaluations for beat in running.beats) < positions:
        running.segment()
    # One beat may bring nothing: every thread may be waiting for this one to take its segment.
    assert all(sum(getattr(beat, name) for beat in running.beats) > 0 for name in ("simulations", "moves"))
    running.leave()


def test_weights_are_taken_over_as_they_come(folder, started):
    running = started(task_for(folder))
    assert running.segment().weights_version == 0
    write_weights(folder, 3)
    weights_path(folder, 2).write_bytes(b"older, and not looked at")
    while running.segment().weights_version != 3:
        pass
    weights_path(folder, 4).write_bytes(b"deleted while it was being read")
    for _ in range(4):
        assert running.segment().weights_version in (0, 3)
    write_weights(folder, 5)
    while running.segment().weights_version != 5:
        pass
    running.leave()


def test_what_a_thread_raises_ends_them_all(folder, started):
    running = started(task_for(folder))
    running.segment()
    write_weights(folder, 1, overflowing=True)
    error = running.ended_with()
    assert isinstance(error, GameError)
    assert "not numbers" in str(error)


def test_the_actors_process_ends_with_the_reason_and_no_sooner(folder):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run_actor, args=(task_for(folder), theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_S)
        assert ours.recv() == Heartbeat()
        os.kill(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole group
        messages = [ours.recv() for _ in range(12)]
        assert any(isinstance(message, Segment) for message in messages)
        write_weights(folder, 1, overflowing=True)
        while not isinstance(messages[-1], Failed):
            messages.append(ours.recv())
        assert messages[-1].reason == NOT_NUMBERS
        with pytest.raises(EOFError):
            ours.recv()
        process.join(PATIENCE_S)
        assert process.exitcode == 1
    finally:
        process.kill()


def test_a_thread_that_hangs_shows_by_silence(folder):
    ours, theirs = multiprocessing.Pipe(duplex=False)
    actor = ThreadedActor(task_for(folder), theirs)
    assert not actor._all_have_moved()
    for player in actor._players:
        player.turns += 1
    assert actor._all_have_moved()
    actor._players[0].turns += 5
    assert not actor._all_have_moved()  # the other one has not since
    actor._is_handing_over[1] = True  # but it waits for the run
    assert actor._all_have_moved()
    actor._is_handing_over[1] = False
    actor._players[0].turns += 1
    actor._players[1].turns += 1
    assert actor._all_have_moved()
    actor.end()  # before it began
    ours.close()
