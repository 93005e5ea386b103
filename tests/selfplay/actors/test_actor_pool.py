"""The pool over actors that stand in for the real one, and misbehave; the real one is in test_actor.py."""

import os
import signal
import threading
import time

import pytest

from keima.selfplay.actors import actor_pool as pool_module
from keima.selfplay.actors.actor_pool import MAX_FAILURES, ActorPool, ActorsFailed, num_actors
from keima.selfplay.actors.messages import weights_path
from keima.selfplay.config.schema import SelfplayConfig
from keima.selfplay.replay.segment import Segment
from tests.selfplay import fake_actors
from tests.selfplay.kill_and_resume import is_alive


@pytest.fixture
def make_pool(tmp_path, monkeypatch):
    """A started pool of the given actors; `events` gets what it tells."""
    pools = []

    def make(actor, count=1, hung_seconds=60.0, complete_version=None, backend="torch-f32"):
        monkeypatch.setattr(pool_module, "run_actor", actor)
        events: list[str] = []
        pool = ActorPool(
            tmp_path / "config.toml", tmp_path, count, (5,), hung_seconds=hung_seconds, on_event=events.append
        )
        pools.append(pool)
        pool.start(backend, complete_version)
        return pool, events

    yield make
    for pool in pools:
        pool.stop()


def receive(pool, count=1, timeout_s=600.0) -> list[Segment]:
    """The next `count` segments at least."""
    segments: list[Segment] = []
    deadline = time.monotonic() + timeout_s
    while len(segments) < count:
        assert time.monotonic() < deadline, "no segments came"
        segments += pool.receive(0.1)
    return segments


def receive_until(pool, condition, timeout_s=600.0) -> list[Segment]:
    segments: list[Segment] = []
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        segments += pool.receive(0.1)
    return segments


def test_segments_and_figures_come_from_every_actor(make_pool):
    pool, events = make_pool(fake_actors.plays, count=2)
    seen: set[int] = set()
    receive_until(pool, lambda: pool.num_ready == 2)
    while seen != {0, 1}:
        seen |= {segment.actor for segment in receive(pool)}
    assert pool.states == ("playing", "playing")
    receive_until(pool, lambda: pool.evaluations >= 2000)
    assert pool.evaluations == 10 * pool.moves
    assert events == []


def test_a_killed_actor_is_replaced_by_one_that_plays_other_games(make_pool):
    pool, events = make_pool(fake_actors.plays)
    first = receive(pool)[0]
    os.kill(pool.process_ids[0], signal.SIGKILL)
    receive_until(pool, lambda: events)
    assert events == ["actor 0 died (SIGKILL, perhaps short of memory); a new one takes its place"]
    assert pool.restarts == 1
    replacements = receive(pool, 3)
    assert not any(segment.actions.tobytes() == first.actions.tobytes() for segment in replacements)


def test_a_stopped_actor_is_replaced(make_pool):
    pool, events = make_pool(fake_actors.plays, hung_seconds=1.5)
    receive(pool)
    stopped = pool.process_ids[0]
    os.kill(stopped, signal.SIGSTOP)
    receive_until(pool, lambda: not is_alive(stopped))
    # Once, or oftener where the machine was so busy that others were silent for as long.
    assert set(events) == {"actor 0 was silent for 2 s; a new one takes its place"}
    receive(pool, 3)


def test_an_actor_that_stops_in_the_middle_of_a_message_holds_up_nobody(make_pool):
    pool, events = make_pool(fake_actors.stops_in_a_message, hung_seconds=1.5)
    receive_until(pool, lambda: pool.num_ready)
    while not events:
        pool.receive(0.1)  # would never come back if it read the message to its end
    assert events[0].startswith("actor 0 was silent")
    receive(pool, 2)


def test_time_in_which_the_run_does_not_look_is_not_silence(make_pool, monkeypatch):
    pool, events = make_pool(fake_actors.plays)
    receive(pool)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000)  # as if Ctrl-Z had stopped the run for so long
    receive(pool, 5)
    assert events == []


def test_actors_wait_while_nobody_takes_their_segments(make_pool):
    pool, _ = make_pool(fake_actors.plays_large, count=2)
    receive(pool)
    time.sleep(1)
    assert pool._inbox.qsize() <= 4  # a segment and a sign of life of each
    receive(pool, 6)


def test_actors_that_keep_dying_end_the_run(make_pool):
    pool, events = make_pool(fake_actors.crashes)
    with pytest.raises(ActorsFailed) as raised:
        receive(pool)
    assert str(raised.value) == "actor 0 and its replacements end before they get anywhere: it died (SIGSEGV)"
    assert events == ["actor 0 died (SIGSEGV); a new one takes its place"] * (MAX_FAILURES - 1)


def test_actors_that_all_fail_for_one_reason_end_the_run_with_it(make_pool):
    pool, events = make_pool(fake_actors.raises, count=3)
    with pytest.raises(ActorsFailed) as raised:
        receive(pool)
    assert str(raised.value) == "no actor gets anywhere: nosuch: a game went on after max_plies = 3 moves"
    assert len(events) == 1


def test_failures_are_counted_anew_after_a_segment(make_pool):
    pool, events = make_pool(fake_actors.plays)
    for number in range(MAX_FAILURES + 1):
        receive(pool, 2)
        os.kill(pool.process_ids[0], signal.SIGKILL)
        receive_until(pool, lambda: len(events) > number)  # noqa: B023 (called at once)
    receive(pool, 2)


def test_lockstep_counts_what_was_handed_over(make_pool, tmp_path, monkeypatch):
    weights_path(tmp_path, 7).touch()
    tasks = []
    real = pool_module.ActorTask
    monkeypatch.setattr(pool_module, "ActorTask", lambda *args: tasks.append(real(*args)) or tasks[-1])
    pool, events = make_pool(fake_actors.plays, complete_version=7)
    received = len(receive(pool, 2))  # it waits then, for weights that nobody makes
    os.kill(pool.process_ids[0], signal.SIGKILL)
    received += len(receive_until(pool, lambda: events))
    assert [task.first_version for task in tasks] == [7, 7 + received]
    assert tasks[0].seed != tasks[1].seed


def test_interrupts_do_not_reach_actors_even_before_their_first_line(make_pool):
    pool, events = make_pool(fake_actors.tells_of_signals)
    receive_until(pool, lambda: events)
    assert "SIGINT blocked: True" in events[0]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_nothing_is_replaced_when_the_end_is_expected(make_pool):
    pool, events = make_pool(fake_actors.plays)
    receive(pool)
    pool.expect_end()
    (actor,) = pool.process_ids
    os.kill(actor, signal.SIGTERM)
    for _ in range(10):
        pool.receive(0.1)
    assert events == []
    assert not is_alive(actor)


def test_stopping_leaves_no_process_and_no_thread(make_pool):
    pool, _ = make_pool(fake_actors.plays, count=2)
    receive(pool)
    time.sleep(0.5)  # until they have sent more than was asked for
    actors = pool.process_ids
    pool.stop()
    assert not any(map(is_alive, actors))
    deadline = time.monotonic() + 600
    while any(thread.name.startswith("reader-") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a thread still reads"
        time.sleep(0.05)


def test_on_a_gpu_one_process_has_a_thread_for_each(make_pool, monkeypatch):
    tasks = []
    real = pool_module.ActorTask
    monkeypatch.setattr(pool_module, "ActorTask", lambda *args: tasks.append(real(*args)) or tasks[-1])
    pool, _ = make_pool(fake_actors.plays, count=5, backend="cuda-bf16")
    receive(pool, 2)
    assert [(task.actor, task.threads) for task in tasks] == [(0, 5)]
    assert pool.states == ("playing",) * 5
    make_pool(fake_actors.plays, count=2)
    make_pool(fake_actors.plays, backend="cuda-bf16", complete_version=0)  # lockstep
    assert [(task.actor, task.threads) for task in tasks[1:]] == [(0, None), (1, None), (0, None)]


@pytest.mark.parametrize(
    ("actors", "backend", "cores", "gpu", "expected"),
    [
        (3, "auto", 16, True, 3),
        ("auto", "auto", 16, False, 16),
        ("auto", "torch-f32", 16, True, 16),
        ("auto", "auto", 16, True, 14),
        ("auto", "cuda-f16", 16, True, 14),
        ("auto", "auto", 2, True, 2),  # one would be in lockstep
        ("auto", "auto", 1, False, 1),
    ],
)
def test_so_many_play_side_by_side(monkeypatch, actors, backend, cores, gpu, expected):
    monkeypatch.setattr(pool_module, "available_cores", lambda: cores)
    monkeypatch.setattr(pool_module.torch.cuda, "is_available", lambda: gpu)
    assert num_actors(SelfplayConfig(actors=actors, backend=backend)) == expected
