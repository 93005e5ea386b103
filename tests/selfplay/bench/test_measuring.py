"""Measuring: turns, self-play with its parts timed, actors, processes of their own. No test asks for a speed."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keima.agent.inference import autotuning as backends
from keima.agent.inference.factory import make_evaluator
from keima.games import load
from keima.games.contract import GameError
from keima.mcts.tree import ROOT
from keima.selfplay.actors import actor_pool as pool_module
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.bench import measuring
from keima.selfplay.bench.measuring import (
    Actors,
    Ceiling,
    MeasuredSelfPlay,
    Spread,
    Work,
    interleave,
    machine,
    peak_memory_bytes,
    random_network,
    rate,
    total,
    write_run,
)
from keima.selfplay.config.loader import load_config
from keima.selfplay.replay.segment import HAS_POLICY_TARGET, segment_from_bytes
from tests import paths
from tests.selfplay import fake_actors
from tests.selfplay.kill_and_resume import CONFIG, children, is_alive, wait_until

GAME = load("tictactoe")
STOPS_AN_ACTOR = """
import sys
from pathlib import Path
from keima.selfplay.actors import actor_pool
from keima.selfplay.bench.measuring import Actors
from tests.selfplay import fake_actors
if __name__ == "__main__":
    actor_pool.run_actor = fake_actors.plays
    with Actors(Path(sys.argv[1]), 2, "torch-f32", 0) as actors:
        print("ready", flush=True)
        actors.measure(1, 1000.0)
"""


@pytest.fixture(autouse=True)
def one_thread():
    with backends.one_thread():
        yield


@pytest.fixture
def config(tmp_path):
    (tmp_path / "given.toml").write_text(CONFIG.format(actors=1))
    return load_config(str(tmp_path / "given.toml"))


@pytest.fixture
def play(config):
    evaluate = make_evaluator(GAME, random_network(GAME, config), "torch-f32")
    return MeasuredSelfPlay(GAME, config, evaluate)


class Counted:
    """A contender that can tell when it was run."""

    def __init__(self, log, name):
        self.log, self.name, self.runs = log, name, 0

    def run(self):
        self.runs += 1
        self.log.append(self.name)

    def counts(self):
        return {"runs": self.runs, "twice": 2 * self.runs}


def test_contenders_take_turns_and_every_round_counts_its_own(monkeypatch):
    ticks = iter(range(100_000))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: 0.01 * next(ticks))  # a run takes 0.01 s
    log = []
    contenders = {name: Counted(log, name) for name in ("a", "b")}
    found = interleave(contenders, seconds=1.0, rounds=2)
    assert {name: len(rounds) for name, rounds in found.items()} == {"a": 2, "b": 2}
    for name, contender in contenders.items():
        assert total(found[name], "runs") == contender.runs
        assert total(found[name], "seconds") == pytest.approx(0.01 * contender.runs)
        assert total(found[name], "seconds") >= 1.0
        assert rate(found[name], "twice").median == pytest.approx(200)
    changes = sum(one != other for one, other in itertools.pairwise(log))
    assert changes >= 2 * 1.0 / measuring.TURN_SECONDS - 4  # turns are short


def test_even_no_time_at_all_runs_everyone_once_a_round():
    log = []
    found = interleave({name: Counted(log, name) for name in "ab"}, seconds=1e-9, rounds=3)
    assert log == ["a", "b"] * 3
    assert all(done["runs"] == 1 and done["seconds"] > 0 for rounds in found.values() for done in rounds)


def test_a_rate_is_the_best_and_the_median_of_rounds():
    rounds = [{"done": 10.0, "seconds": 1.0}, {"done": 10.0, "seconds": 2.0}, {"done": 90.0, "seconds": 3.0}]
    assert rate(rounds, "done") == Spread(best=30.0, median=10.0)
    work = Work("done", lambda: 7)
    work.run()
    work.run()
    assert work.counts() == {"done": 14.0}


def test_a_ceiling_asks_for_one_batch_after_another():
    asked = []
    ceiling = Ceiling(lambda planes: asked.append(planes[0, 0, 0, 0]), [np.full((4, 2, 3, 3), k) for k in range(3)])
    asked.clear()
    for _ in range(4):
        ceiling.run()
    assert asked == [0, 1, 2, 0]
    assert ceiling.counts() == {"evaluations": 16.0}


# --- self-play


def test_measured_self_play_plays_the_same_games(config, play):
    plain = SelfPlay(GAME, config.search, config.selfplay, config.seed)
    for _ in range(60):
        play.run()
        plain.step(play.evaluator)
    counts = play.counts()
    assert (counts["evaluations"], counts["simulations"], counts["moves"], counts["hits"], counts["steps"]) == (
        *(plain.evaluations, plain.simulations, plain.moves, plain.cache_hits),
        60,
    )
    assert counts["network_s"] > 0
    assert counts["search_s"] > 0


def test_positions_of_games_under_way_count(play):
    before = 0
    for _ in range(60):
        play.run()
        finished = play._taken_positions + play.finished_positions
        under_way = 0
        for slot in play._slots:
            if slot["leaf"] >= 0:
                record = play._records.records[slot["record"]]
                flags = [int(ply["flags"]) for ply in play._records.plies[slot["record"]][: record["plies"]]]
                under_way += sum(flag & HAS_POLICY_TARGET for flag in flags)
        positions = play.counts()["positions"]
        assert positions == finished + under_way
        assert before <= positions <= play.moves
        before = positions
    assert before > 100


def test_warming_up_finishes_games_and_keeps_them(play):
    play.warm_up(0.0)
    assert sum(segment.num_positions for segment in play.games) >= 1  # something to learn from
    play.warm_up(100.0)
    assert sum(segment.num_games for segment in play.games) >= len(play._slots)


def test_few_finished_games_are_kept(play, monkeypatch):
    monkeypatch.setattr(measuring, "KEPT_GAMES", 5)
    while len(play.games) < 3 or play.counts()["positions"] < 500:
        play.run()
        play._take_games()
    games = [segment.num_games for segment in play.games]
    assert sum(games) >= 5
    assert sum(games[1:]) < 5


def test_what_the_network_is_asked_is_recorded(play):
    batches = play.record(3)
    assert [batch.shape for batch in batches] == [(16, GAME.num_planes, *GAME.shape)] * 3
    assert not np.array_equal(batches[0], batches[2])
    play.run()
    assert len(batches) == 3


def test_mean_depth(play):
    assert play.mean_depth() == 1.0  # no tree has grown yet
    for _ in range(30):
        play.run()
    depths = []
    for tree, nodes in zip(play._forest.trees, play._forest.nodes, strict=True):
        for index in range(1, tree["num_nodes"]):
            depth = 0
            while index != ROOT:
                index, depth = nodes[index]["parent"], depth + 1
            depths.append(depth)
    assert play.mean_depth() == pytest.approx(np.mean(depths))


def test_entering_the_compiled_step_plays_nothing(play):
    for _ in range(5):
        play.run()
    before = play.counts(), play._inputs.planes.copy()
    assert play.enter_compiled() == 1
    assert play.counts() == before[0]
    np.testing.assert_array_equal(play._inputs.planes, before[1])


# --- processes


def test_actors_are_measured_alone_and_together(config, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays)
    write_run(tmp_path, GAME, config, random_network(GAME, config), [])
    with Actors(tmp_path, 2, "torch-f32", 0) as actors:
        for playing in (2, 1, 2):
            found = actors.measure(playing, 0.05)
            assert found["moves"] > 0
            # As much as a beat of theirs says.
            assert found["evaluations"] == pytest.approx(10 * found["moves"])
            assert found["simulations"] == pytest.approx(30 * found["moves"])
            assert found["hits"] == pytest.approx(15 * found["moves"])
            assert set(actors._pool.beats) >= set(range(playing))
        assert actors.peak_memory_bytes() > 1e6
        processes = actors._pool.process_ids
    assert not any(is_alive(process) for process in processes)


def test_an_actor_that_dies_ends_the_measurement(config, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.crashes)
    write_run(tmp_path, GAME, config, random_network(GAME, config), [])
    with pytest.raises(GameError, match="an actor did not live through the measurement: actor 0 died"):
        Actors(tmp_path, 1, "torch-f32", 0).__enter__()


def test_stopped_actors_end_with_a_killed_measurement(config, tmp_path):
    write_run(tmp_path, GAME, config, random_network(GAME, config), [])
    script = tmp_path / "stops.py"
    script.write_text(STOPS_AN_ACTOR)
    root = paths.ROOT
    process = subprocess.Popen(
        [sys.executable, script, tmp_path],
        cwd=root,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )

    def stopped() -> list[int]:
        return [pid for pid in children(process.pid) if Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "T"]

    try:
        assert process.stdout.readline() == b"ready\n"
        wait_until(lambda: len(stopped()) == 1, 60, "no actor was stopped")
        actors = children(process.pid)
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in actors), 60, "something outlives the measurement")


def test_what_a_run_needs_is_written(config, tmp_path):
    games = [fake_actors.tictactoe_segment((k,), games=5) for k in range(2)]
    write_run(tmp_path, GAME, config, random_network(GAME, config), games)
    assert load_config(str(tmp_path / "config.toml")) == config
    read = [segment_from_bytes(path.read_bytes())[0] for path in sorted(tmp_path.glob("games-*.segment"))]
    assert [segment.actions.tolist() for segment in read] == [segment.actions.tolist() for segment in games]


# --- the machine


def test_the_machine():
    facts = machine()
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 1e8
    assert set(facts["versions"]) == {"python", *measuring.PACKAGES}


def test_peak_memory():
    assert peak_memory_bytes() > 1e7
    assert peak_memory_bytes(os.getpid()) == pytest.approx(peak_memory_bytes(), rel=0.5)
    process = subprocess.Popen(["true"])
    process.wait()
    assert peak_memory_bytes(process.pid) is None


def test_actors_that_are_threads_are_measured_together(config, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays)
    write_run(tmp_path, GAME, config, random_network(GAME, config), [])
    with Actors(tmp_path, 3, "cuda-bf16", 0) as actors:
        assert len(actors._pool.process_ids) == 1
        for playing in (3, 1):
            assert actors.measure(playing, 0.05)["moves"] > 0
