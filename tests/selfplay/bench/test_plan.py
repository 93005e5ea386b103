"""What is chosen from a measurement, how fast a run is by it, and that "auto" becomes numbers in a run's own config."""

import dataclasses
import json

import pytest

from keima.agent.command_line import BAD_INPUT
from keima.games import load
from keima.selfplay import commands
from keima.selfplay.actors.actor_pool import num_actors
from keima.selfplay.bench import plan as plan_module
from keima.selfplay.bench.curves import parse_curves
from keima.selfplay.bench.plan import (
    Pace,
    balanced,
    choose_actors,
    choose_batch_size,
    decide,
    forecasts,
    make_plan,
    settled,
    threads_of_learner,
)
from keima.selfplay.bench.plan_measurement import (
    ActorsRate,
    LearnerRate,
    Measured,
    NetworkRate,
    ParallelGamesRate,
    choose_parallel_games,
    with_values,
)
from keima.selfplay.bench.plan_report import about, in_words
from keima.selfplay.config.loader import load_config, to_toml
from keima.selfplay.config.schema import ConfigError, fixed
from keima.selfplay.run import start as run_module
from keima.selfplay.run.start import resume

GAME = load("tictactoe")
MEASURED = Measured(
    cores=4,
    load_average=0.1,
    memory_bytes=8_000_000_000,
    learner_apart=False,
    backend="torch-f32",
    parallel_games=[
        ParallelGamesRate(32, 8000.0),
        ParallelGamesRate(64, 9800.0),
        ParallelGamesRate(128, 10_000.0),
        ParallelGamesRate(256, 9900.0),
    ],
    actors=[ActorsRate(1, 1000.0), ActorsRate(3, 2900.0), ActorsRate(4, 3600.0)],
    learner=[
        *(LearnerRate(size, 1, rate) for size, rate in ((64, 5000.0), (128, 8000.0), (256, 9500.0), (512, 10_000.0))),
        *(LearnerRate(size, 3, 2 * rate) for size, rate in ((64, 5000.0), (128, 8000.0), (256, 9500.0))),
    ],
    networks=[NetworkRate(4, 32, 12_000.0), NetworkRate(4, 16, 18_000.0), NetworkRate(4, 64, 4000.0)],
    actor_peak_bytes=500_000_000,
    learner_peak_bytes=600_000_000,
    window_bytes_a_position=300.0,
)
NETWORK = ("network.blocks=4", "network.channels=32")
CURVES = """
game = "tictactoe"
[[curve]]
measured = "one run"
positions = [100_000, 1_000_000]
[curve.settings]
network.channels = 32
search.simulations = 32
[[curve.strength]]
name = "the net alone"
shares = [0.7, 0.8]
levels = [0.7, 0.8, 0.9]
"""


@pytest.fixture
def config():
    return load_config("tictactoe", [*NETWORK, "learner.batch_size=256"])


@pytest.fixture
def nothing_measured(monkeypatch):
    def measure(*_, **__):
        raise AssertionError("measured")

    monkeypatch.setattr(plan_module, "measured_here", measure)


@pytest.fixture
def given(monkeypatch):
    """The measurement above stands in for one; what was asked for."""
    asked = []

    def measure(game, config, *, again, tell):
        asked.append((config, again))
        return MEASURED

    monkeypatch.setattr(plan_module, "measured_here", measure)
    return asked


def test_the_fewest_slots_that_are_as_fast():
    assert choose_parallel_games(MEASURED.parallel_games) == 64
    assert (
        choose_parallel_games([ParallelGamesRate(32, 1.0), ParallelGamesRate(64, 2.0), ParallelGamesRate(128, 4.0)])
        == 128
    )


def test_the_smallest_batch_that_is_as_fast():
    assert choose_batch_size(MEASURED.learner) == 256  # of those with one thread


def test_the_most_actors_that_are_as_fast():
    assert choose_actors({1: 900.0, 3: 1000.0, 4: 975.0}) == 4
    assert choose_actors({1: 900.0, 3: 1000.0, 4: 900.0}) == 3


def test_the_learner_has_what_the_actors_leave():
    assert [threads_of_learner(4, actors) for actors in (1, 3, 4, 8)] == [3, 1, 1, 1]


def test_a_learner_with_cores_to_itself_costs_the_actors_nothing():
    assert balanced(MEASURED, 1, 256, 4.0) == 1000.0  # it could take 19,000 / 4
    assert balanced(MEASURED, 3, 256, 4.0) == 9500 / 4  # it holds them up
    assert balanced(MEASURED, 3, 256, 1.0) == 2900.0


def test_a_learner_that_shares_cores_takes_its_time_from_the_actors():
    # 4 cores: 4 / 3600 s of a core for a position, 2 / 9500 to learn from it twice.
    assert balanced(MEASURED, 4, 256, 2.0) == pytest.approx(4 / (4 / 3600 + 2 / 9500))
    assert balanced(MEASURED, 4, 256, 1e-9) == pytest.approx(3600)
    assert balanced(MEASURED, 4, 64, 100.0) == pytest.approx(5000 / 100)  # never more than it can learn
    apart = dataclasses.replace(MEASURED, learner_apart=True)
    assert balanced(apart, 4, 256, 2.0) == 3600.0


def test_forecasts_are_positions_over_speed():
    _, (curve,) = parse_curves(CURVES, "here")
    found = forecasts(curve, Pace(1000.0, 1000.0, 20.0))
    assert [(f.level, f.minutes and round(f.minutes, 3)) for f in found] == [(0.7, 1.667), (0.8, 16.667), (0.9, None)]
    assert found[1].positions == pytest.approx(1e6)


def test_a_run_slows_down_when_its_network_grows():
    pace = Pace(positions_per_s=1000.0, grown_positions_per_s=250.0, grows_after_minutes=10.0)
    assert [pace.positions_after(minutes) for minutes in (5, 10, 14)] == [300_000, 600_000, 660_000]
    for minutes in (0, 5, 10, 14, 100):
        assert pace.minutes_until(pace.positions_after(minutes)) == pytest.approx(minutes)
    settings = [*NETWORK, "learner.batch_size=256", "growth.at_progress=0.25", "growth.channels=64", "run.minutes=40"]
    plan = decide(GAME, load_config("tictactoe", settings), MEASURED, ())
    first = plan.pace.positions_per_s
    assert plan.pace == Pace(first, first * 4000 / 12_000, 10.0)
    assert plan.positions_in_its_minutes == pytest.approx(first * 60 * (10 + 30 / 3))
    assert "2,375 positions/s, about 792 after 10 minutes, when it grows" in " ".join(in_words(plan).split())


def test_a_plan_says_what_and_why(config):
    _, curves = parse_curves(CURVES, "here")
    plan = decide(GAME, config, MEASURED, curves)
    assert {c.option: c.value for c in plan.choices} == {
        "selfplay.actors": 4,
        "selfplay.parallel_games": 64,
        "learner.batch_size": 256,
        "learner threads": 1,
        "replay.window_min": config.replay.window_min,
    }
    rates = {n: balanced(MEASURED, n, 256, config.replay.samples_per_position) for n in (1, 3, 4)}
    assert plan.pace.positions_per_s == rates[4] == max(rates.values()) == 9500 / 4
    assert plan.pace.grown_positions_per_s == rates[4]
    assert plan.positions_in_its_minutes == pytest.approx(60 * config.run.minutes * rates[4])
    assert plan.learner_share == pytest.approx(rates[4] * config.replay.samples_per_position / 9500)
    assert plan.forecasts[0].minutes == pytest.approx(100_000 / rates[4] / 60)
    assert plan.notes == []
    assert json.loads(json.dumps(plan.as_json()))["choices"][1]["value"] == 64
    text = in_words(plan)
    assert "selfplay.parallel_games = 64 (the config has 128)" in text
    assert "32: 8,000, 64: 9,800" in text
    assert "which holds the actors up" in text
    assert "beyond the curve's end" in text
    assert "To use these: --set selfplay.parallel_games=64" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_config_s_own_numbers_are_what_a_forecast_is_of(config):
    fixed_ = with_values(config, {"selfplay.actors": 1, "learner.batch_size": 64})
    plan = decide(GAME, fixed_, MEASURED, ())
    assert plan.pace.positions_per_s == balanced(MEASURED, 1, 64, config.replay.samples_per_position)
    assert plan.value("selfplay.actors") != 1  # another would be better, with this batch too
    auto = with_values(config, {"learner.batch_size": "auto"})
    assert decide(GAME, auto, MEASURED, ()).pace == decide(GAME, config, MEASURED, ()).pace


def test_a_window_that_would_not_fit_is_made_smaller(config):
    plan = decide(GAME, config, MEASURED, ())
    needed = config.replay.window(int(plan.positions_in_its_minutes)) * MEASURED.window_bytes_a_position
    processes = 4 * MEASURED.actor_peak_bytes + MEASURED.learner_peak_bytes
    small = dataclasses.replace(MEASURED, memory_bytes=round(2 * (processes + 0.8 * needed)))
    choice = next(c for c in decide(GAME, config, small, ()).choices if c.option == "replay.window_min")
    assert 1000 <= choice.value < config.replay.window_min
    window = config.replay.model_copy(update={"window_min": choice.value}).window(int(plan.positions_in_its_minutes))
    assert window * small.window_bytes_a_position <= 0.8 * needed


def test_without_a_curve_it_says_so(config):
    plan = decide(GAME, config, MEASURED, ())
    assert plan.forecasts == []
    assert "No curve of tictactoe has been published" in plan.notes[0]
    assert "no curve says" in plan.network
    assert "4 x 16 1.50 times, 4 x 64 0.33 times as fast" in plan.network


def test_what_a_curve_was_not_measured_with_is_said(config):
    _, curves = parse_curves(CURVES, "here")
    other = load_config("tictactoe", [*NETWORK, "search.simulations=64", "learner.batch_size=256"])
    assert "search.simulations 64 instead of 32" in decide(GAME, other, MEASURED, curves).notes[0]
    larger = load_config("tictactoe", [*NETWORK, "network.channels=64", "learner.batch_size=256"])
    plan = decide(GAME, larger, MEASURED, curves)
    assert plan.forecasts == []
    assert "curves are of networks of 4 x 32" in plan.notes[0]
    busy = decide(GAME, config, dataclasses.replace(MEASURED, load_average=2.5), curves)
    assert "busy when this was measured (load 2.5)" in busy.notes[-1]


def test_curves_of_several_networks_are_compared_at_this_machine_s_speed(config):
    second = (
        CURVES.partition("[[curve]]")[2].replace("channels = 32", "channels = 64").replace("[0.7, 0.8]", "[0.6, 0.9]")
    )
    _, curves = parse_curves(f"{CURVES}[[curve]]{second}", "here")
    plan = decide(GAME, config, MEASURED, curves)
    positions = plan.positions_in_its_minutes
    shares = [curves[0].share_after(curves[0].strength[0], positions)]
    shares.append(curves[1].share_after(curves[1].strength[0], positions * 4000 / 12_000))
    assert f"4 x 32 {shares[0]:.1%}, 4 x 64 {shares[1]:.1%}" in plan.network


def test_numbers_are_shown_as_exact_as_they_are():
    assert [about(number) for number in (2_603_745, 99_960, 5.3, 0.123)] == ["2,600,000", "100,000", "5", "0.12"]


# --- auto


def test_a_config_with_numbers_is_left_alone(config, nothing_measured):
    numbers = with_values(config, {"selfplay.actors": 3})
    assert settled(numbers, pytest.fail) == numbers


def test_actors_alone_are_one_a_core_without_measuring(config, nothing_measured):
    assert config.selfplay.actors == "auto"
    assert settled(config, pytest.fail).selfplay.actors == num_actors(config.selfplay)


def test_auto_becomes_what_the_plan_chooses(given):
    config = load_config("tictactoe", ["selfplay.parallel_games=auto", "learner.batch_size=auto", "selfplay.actors=3"])
    found = settled(config, pytest.fail)
    assert (found.selfplay.parallel_games, found.learner.batch_size, found.selfplay.actors) == (64, 256, 3)
    assert load_config("tictactoe", ["selfplay.parallel_games=auto"]).selfplay.parallel_games == "auto"
    assert 'parallel_games = "auto"' in to_toml(config)
    assert given == [(config, False)]
    both = settled(load_config("tictactoe", ["selfplay.parallel_games=auto"]), pytest.fail)
    assert (both.selfplay.parallel_games, both.selfplay.actors) == (64, 4)


def test_train_hands_a_run_numbers(given, monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(run_module, "train", lambda config, *_, **__: trained.append(config) or True)
    monkeypatch.chdir(tmp_path)
    assert commands.main(["train", "tictactoe", "--set", "selfplay.parallel_games=auto"]) == 0
    assert (trained[0].selfplay.parallel_games, trained[0].selfplay.actors) == (64, 4)
    assert (
        "auto"
        not in to_toml(trained[0]).replace('backend = "auto"', "").partition("parallel_games")[2].partition("\n")[0]
    )


def test_a_run_that_still_says_auto_is_refused(tmp_path):
    config = load_config("tictactoe", ["selfplay.parallel_games=auto", "learner.batch_size=auto"])
    (tmp_path / "config.toml").write_text(to_toml(config))
    with pytest.raises(ConfigError, match="keima plan"):
        resume(tmp_path)
    assert fixed(7) == 7


def test_the_command(given, capsys):
    assert commands.main(["plan", "tictactoe", "--json", "--again"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"]["cores"] == 4
    assert given[0][1]
    assert commands.main(["plan", "tictactoe"]) == 0
    assert "selfplay.parallel_games = 64" in capsys.readouterr().out
    assert not given[1][1]
    assert commands.main(["plan", "tictactoe:9"]) == BAD_INPUT


def test_make_plan_uses_the_shipped_curves(given):
    plan = make_plan(load_config("connect4", ["growth.at_progress=0"]), tell=pytest.fail)
    assert plan.forecasts
    assert "2,000 positions" in plan.curve
