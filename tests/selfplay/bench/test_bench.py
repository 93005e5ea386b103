"""What a benchmark measures: that everything is there, of which kind, and that shares are right; no speeds."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch

from keima.agent.command_line import BAD_INPUT
from keima.agent.inference.autotuning import one_thread
from keima.agent.inference.factory import available_backends
from keima.games import load
from keima.games.contract import GameError
from keima.selfplay import commands
from keima.selfplay.bench import bench as bench_module
from keima.selfplay.bench.bench import balance, learner_speed, measure
from keima.selfplay.bench.learning_speed import Learning, Steps, filled_window, read_games
from keima.selfplay.bench.learning_speed import measure as measure_learner
from keima.selfplay.bench.measuring import Spread, random_network, write_run
from keima.selfplay.bench.profile import write_profiles
from keima.selfplay.bench.report import in_words
from keima.selfplay.bench.result import ActorsSpeed, Bench, LearnerSpeed, StartUp, StepTime
from keima.selfplay.config.loader import load_config
from tests.selfplay.fake_actors import tictactoe_segment
from tests.selfplay.kill_and_resume import CONFIG

GAME = load("tictactoe")
STEP = StepTime(1000.0, 800.0, 180.0, 20.0, 30.0, 40.0, 90.0, 20.0)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "given.toml"
    path.write_text(CONFIG.format(actors=1))
    return load_config(str(path))


@pytest.fixture(scope="module")
def measured(config) -> tuple[Bench, list[str]]:
    """A benchmark of a tiny run, all of it real but for its times; and what was told meanwhile."""
    told: list[str] = []
    return measure(config, seconds=0.02, quick=True, tell=told.append), told


def spreads(value) -> list[Spread]:
    """All spreads in a result."""
    if isinstance(value, Spread):
        return [value]
    if dataclasses.is_dataclass(value):
        return [s for field in dataclasses.fields(value) for s in spreads(getattr(value, field.name))]
    return [s for one in value for s in spreads(one)] if isinstance(value, list) else []


@pytest.mark.slow
def test_everything_is_measured(measured, config):
    bench, told = measured
    assert {speed.backend for speed in bench.backends} == set(available_backends())
    best = [speed.evaluations_per_s.best for speed in bench.backends]
    assert best == sorted(best, reverse=True)
    assert bench.backend in available_backends()
    assert [speed.batch_size for speed in bench.batch_sizes] == list(bench_module.BATCH_SIZES)
    assert all(0 < spread.median <= spread.best for spread in spreads(bench))
    assert len(spreads(bench)) > 20
    assert (bench.game, bench.network.weights, bench.network.channels) == ("tictactoe", "random", 8)
    assert bench.settings["selfplay.parallel_games"] == 16
    assert bench.learner_window_positions == config.replay.window_min
    assert bench.start_up_cold is None
    assert 0 < bench.start_up_warm.first_move_s < bench.start_up_warm.first_step_s
    for peak in (bench.actors.peak_memory_bytes, bench.learner_peak_memory_bytes):
        assert 1e7 < peak < 1e11
    assert {"self-play beside its ceiling", "the learner", "starting 1 actor"} <= set(told)


def test_the_parts_of_a_step_add_up(measured):
    bench, _ = measured
    for play in (bench.cache_off, bench.cache_on):
        step = play.step
        assert all(us >= 0 for us in dataclasses.astuple(step))
        # Medians of rounds, each by itself: they need not add up exactly.
        assert step.network_us + step.search_us + step.python_us >= 0.99 * step.total_us
        within = step.rules_us + step.cache_us + step.entering_us
        assert step.tree_us == pytest.approx(max(0.0, step.search_us - within))
        assert 0 < play.positions_a_move <= 1
    assert bench.cache_off.hit_share == bench.cache_off.cache_mb == bench.cache_off.step.cache_us == 0
    assert 0 < bench.cache_on.hit_share <= 1  # all of this game fits into the cache
    assert bench.cache_on.step.cache_us > 0
    assert bench.cache_on.cache_mb == 64


def test_shares_are_of_neighbours_in_time(config, monkeypatch):
    """The ceiling of the same round is what counts, not the best one of all."""
    with one_thread():
        bench = bench_module._Measurement(GAME, config, random_network(GAME, config), 0.001, 1, lambda stage: None)
        play = bench._plays[0.0]
        shared = {"steps": 2.0, "simulations": 2.0, "positions": 9.0, "moves": 10.0, "hits": 0.0, "look_ups": 0.0}
        shared |= {"network_s": 0.5, "search_s": 0.25}
        own = [{**shared, "evaluations": 90.0, "seconds": 1.0}, {**shared, "evaluations": 40.0, "seconds": 0.5}]
        ceiling = [{"evaluations": 100.0, "seconds": 1.0}, {"evaluations": 400.0, "seconds": 2.0}]
        speed = bench._selfplay_speed(0.0, play, own, ceiling)
    assert speed.share_of_ceiling == Spread(best=0.9, median=pytest.approx(0.65))
    assert speed.evaluations_per_s == Spread(best=90.0, median=85.0)
    assert speed.network_evaluations_per_s == 130.0
    assert speed.positions_a_move == 0.9
    assert speed.step.total_us == pytest.approx((0.5e6 + 0.25e6) / 2)
    assert speed.step.network_us == pytest.approx(0.25e6)
    assert speed.step.search_us == pytest.approx(0.125e6)
    assert speed.step.python_us == pytest.approx(0.0)


def test_scaling_is_of_medians(config, monkeypatch, tmp_path):
    class Played:
        """Actors of which all make 300 and 500 moves a second, and one 200."""

        def __init__(self, *_):
            self.together = iter((300.0, 500.0))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def measure(self, playing, seconds):
            moves = next(self.together) if playing == 2 else 200.0
            return {"evaluations": moves, "simulations": moves, "moves": moves, "seconds": 1.0}

        def peak_memory_bytes(self):
            return None

    monkeypatch.setattr(bench_module, "Actors", Played)
    two = config.model_copy(update={"selfplay": config.selfplay.model_copy(update={"actors": 2})})
    with one_thread():
        bench = bench_module._Measurement(GAME, two, random_network(GAME, two), 0.001, 1, lambda stage: None)
    speed = bench.actors(tmp_path, 0.5, turns=2)
    assert speed.positions_per_s == Spread(best=250.0, median=200.0)
    assert speed.positions_per_s_of_one == Spread(best=100.0, median=100.0)
    assert speed.scaling == 2.0
    assert bench.backend == "auto"  # not measured yet


def test_the_learner_s_balance(config):
    actors = ActorsSpeed(2, *[Spread(1.0, 1.0)] * 2, Spread(900.0, 500.0), Spread(1.0, 1.0), 1.0, None)
    learner = LearnerSpeed(1, 64, Spread(9000.0, 4000.0), 1.0, 0.0, 0.0, 1.0)
    found = balance(config, actors, learner)
    assert found.samples_per_s_asked == 500 * config.replay.samples_per_position
    assert found.learner_share == pytest.approx(500 * config.replay.samples_per_position / 4000)


def test_the_learner_s_time_is_split():
    rounds = [{"samples": 640.0, "seconds": 1.0, "draw_s": 0.1, "average_s": 0.2}]
    speed = learner_speed({"threads": 1, "batch_size": 64, "rounds": rounds})
    assert speed.samples_per_s == Spread(640.0, 640.0)
    assert (speed.step_us, speed.draw_us, speed.average_us) == (1e5, 1e4, 2e4)
    assert speed.train_us == pytest.approx(7e4)


def test_a_cold_start_finds_nothing_compiled(config, monkeypatch, tmp_path):
    seen = []

    def work(module, task, environment):
        folder = Path(environment["XDG_CACHE_HOME"])
        seen.append((task["what"], folder, list(folder.iterdir()), "NUMBA_CACHE_DIR" in environment))
        return {"first_move_s": 1.0, "first_step_s": 2.0}

    monkeypatch.setattr(bench_module, "work_apart", work)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    with one_thread():
        bench = bench_module._Measurement(GAME, config, random_network(GAME, config), 0.001, 1, lambda stage: None)
    assert bench.start_up_cold(tmp_path) == StartUp(1.0, 2.0)
    assert seen == [("the start", tmp_path / "cache", [], False)]
    assert os.environ["NUMBA_CACHE_DIR"] == "elsewhere"


def test_the_json_is_the_result_key_for_key(measured):
    bench, _ = measured
    found = json.loads(json.dumps(bench.as_json()))
    assert list(found) == [field.name for field in dataclasses.fields(Bench)]
    assert found["cache_off"]["evaluations_per_s"] == dataclasses.asdict(bench.cache_off.evaluations_per_s)
    assert found["learner"][0]["threads"] == 1
    for key, value in found.items():
        assert not isinstance(value, float) or key in ("seconds",), f"{key}: a number without a unit"


def test_the_report_shows_every_figure(measured):
    bench, _ = measured
    text = in_words(bench)
    for spread in (bench.cache_off.evaluations_per_s, bench.cache_on.simulations_per_s, bench.actors.positions_per_s):
        assert f"{spread.median:,.0f}" in text
        assert f"{spread.best:,.0f}" in text
    assert f"{bench.backend} (used below)" in text
    assert "random weights" in text
    assert "not measured" in text
    assert max(map(len, text.splitlines())) <= 120
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    changed = dataclasses.replace(
        bench, machine={**bench.machine, "load_average": 3.0}, cache_on=None, start_up_cold=StartUp(20.0, 31.5)
    )
    text = in_words(changed)
    assert "The machine was busy before it began (load 3)" in text
    assert "cache of" not in text
    assert "31.5" in text


def test_profiles_are_texts_with_a_headline(config, tmp_path):
    games = [tictactoe_segment((1,), games=50)]
    before = torch.get_num_threads()
    with one_thread():
        paths = write_profiles(tmp_path, GAME, config, random_network(GAME, config), "openvino-f32", games, 0.01, STEP)
    assert torch.get_num_threads() == before
    assert {path.name for path in paths} == {"actor.txt", "learner.txt", "learner-torch.txt", "layers.txt"}
    texts = {path.stem: path.read_text() for path in paths}
    assert all("Look at" in text.split("\n\n")[0].replace("\n", " ") for text in texts.values())
    assert "the network 80%, the compiled search 18%" in texts["actor"].replace("\n", " ")
    assert "_play_on" in texts["actor"]
    assert "run_backward" in texts["learner"]
    assert "convolution_backward" in texts["learner-torch"]
    assert "Convolution" in texts["layers"]


def test_a_profile_s_folder_is_refused_before_anything_is_measured(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        measure(config, profile=tmp_path / "file", tell=pytest.fail)


def test_a_trained_net_is_measured_with_its_own_sizes(config, tmp_path, monkeypatch):
    write_run(tmp_path, GAME, config, random_network(GAME, config), [])
    larger = load_config("tictactoe", ["network.channels=16"])

    class Stop(Exception):  # noqa: N818
        pass

    def stop(game, used, network, *_):
        assert used.network.channels == network.config.channels == 8
        raise Stop

    monkeypatch.setattr(bench_module, "_Measurement", stop)
    with pytest.raises(Stop):
        measure(larger, model=str(tmp_path / "00000000.safetensors"), tell=lambda stage: None)
    with pytest.raises(GameError, match="no such checkpoint"):
        measure(larger, model=str(tmp_path / "nosuch"), tell=lambda stage: None)


# --- the learner


def test_a_window_is_filled_with_what_there_is(config):
    games = [tictactoe_segment((1,), games=5)]
    window = filled_window(config, games)
    assert window.num_positions >= config.replay.window_min
    assert window.num_positions < config.replay.window_min + 10


def test_the_learner_s_steps_are_counted_and_timed(config):
    with one_thread():
        learner = Learning(GAME, config)
        steps = Steps(learner, filled_window(config, [tictactoe_segment((1,), games=5)]), 32)
        for _ in range(3):
            steps.run()
    counts = steps.counts()
    assert counts["samples"] == 96
    assert learner.step == 3
    assert 0 < counts["average_s"] == pytest.approx(learner.average_s)
    assert counts["draw_s"] > 0


def test_every_batch_size_is_measured_with_every_number_of_threads(config, tmp_path):
    games = [tictactoe_segment((k,), games=5) for k in range(2)]
    write_run(tmp_path, GAME, config, random_network(GAME, config), games)
    assert len(read_games(tmp_path)) == 2
    before = torch.get_num_threads()
    found = measure_learner(tmp_path, [16, 32], [1, 2], 0.001, 2)
    assert torch.get_num_threads() == before
    assert [(one["threads"], one["batch_size"]) for one in found] == [(1, 16), (1, 32), (2, 16), (2, 32)]
    assert all(len(one["rounds"]) == 2 and one["rounds"][0]["samples"] > 0 for one in found)


# --- the command


def test_the_command_prints_one_object_or_a_text(measured, monkeypatch, capsys, tmp_path):
    bench, _ = measured
    asked = {}

    def answer(config, **options):
        asked.update(options, actors=config.selfplay.actors)
        return bench

    monkeypatch.setattr(bench_module, "measure", answer)
    arguments = ["bench", "tictactoe", "--seconds", "0.5", "--quick", "--set", "selfplay.actors=1"]
    assert commands.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["game"] == "tictactoe"
    assert (asked["seconds"], asked["quick"], asked["model"], asked["actors"]) == (0.125, True, None, 1)
    assert commands.main([*arguments, "--profile", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Ceilings" in said
    assert "Profiles" in said
    assert commands.main(["bench", "nosuch"]) == BAD_INPUT
