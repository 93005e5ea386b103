"""One trial: how its net is measured, and what its folder says of it."""

import json

import numpy as np
import pytest

from keima.agent.analysis.evaluation import find_positions, losing_lines
from keima.games import load
from keima.games.contract import GameError
from keima.mcts.search import choose_actions
from keima.selfplay.experiments.sweep_config import Measure
from keima.selfplay.experiments.trial import (
    PROGRESS_TAIL,
    RESULT_FILE,
    Measurement,
    Result,
    Trial,
    failed,
    measure_strength,
    measured_interval,
    read_progress,
    read_result,
    save_result,
)
from keima.selfplay.run.telemetry import PROGRESS_FILE
from tests.judged import Judged


def prefers_high_numbers(game):
    """A network that is not one."""

    def evaluate(planes):
        logits = np.tile(np.arange(game.num_actions, dtype=np.float32), (len(planes), 1))
        return logits, np.zeros(len(planes), np.float32)

    return Judged(evaluate)


def test_a_small_game_is_measured_on_all_its_lines():
    game = load("tictactoe")
    raw, searched = measure_strength(game, prefers_high_numbers(game), Measure(simulations=[0, 32]))
    result = losing_lines(game, lambda states: choose_actions(game, prefers_high_numbers(game), states, None))
    assert raw == Measurement(0, "lines", result.lines - result.losses, result.lines)
    assert raw.share < searched.share <= 1
    assert measured_interval(raw) is None


def test_where_there_are_exact_positions_they_are_used(tmp_path):
    game = load("connect4")
    evaluate = prefers_high_numbers(game)
    (shipped,) = measure_strength(game, evaluate, Measure(simulations=[0]))
    lines = [line for line in find_positions(None, game).read_text().splitlines() if line and line[0] != "#"]
    assert (shipped.what, shipped.count) == ("positions", len(lines))
    # The last column keeps the value in the first of these, and not in the second.
    (tmp_path / "own.txt").write_text("145773277725 3 4 0 0 1 -2 1\n145773277725 3 4 0 0 1 -2 0\n")
    (own,) = measure_strength(game, evaluate, Measure(simulations=[0], positions=str(tmp_path / "own.txt")))
    assert own == Measurement(0, "positions", 1, 2)
    assert measured_interval(own) == pytest.approx((0.0945, 0.9055), abs=1e-4)  # Wilson's for 1 of 2


def test_otherwise_games_are_played_against_random_playouts():
    game = load("breakthrough:5")
    measure = Measure(simulations=[0], playouts=50, games=6)
    found = measure_strength(game, prefers_high_numbers(game), measure)
    assert [(m.what, m.count) for m in found] == [("games", 6)]
    assert 0 <= found[0].successes <= 6
    assert found == measure_strength(game, prefers_high_numbers(game), measure)


def test_a_trial_and_its_result_are_read_back(tmp_path):
    trial = Trial("a-1", "a", 1, {"learner.learning_rate": 0.01, "search.root_policy": "puct"}, Measure(), starts=2)
    trial.save(tmp_path)
    assert Trial.read(tmp_path) == trial
    assert read_result(tmp_path) is None
    result = Result(
        *("a-1", "a", 1, trial.overrides),
        measurements=[Measurement(64, "games", 7.5, 10)],
        minutes=0.5,
        evaluations=60_000,
    )
    for each in (result, failed(trial, "broken: é")):
        save_result(tmp_path, each)
        assert read_result(tmp_path) == each
        assert "\n" not in each.to_json()
    assert result.measured(64).share == 0.75
    assert result.evaluations_per_s == 2000
    assert failed(trial, "").evaluations_per_s == 0
    (tmp_path / RESULT_FILE).write_text("{")
    with pytest.raises(GameError, match=r"result.json: expected a trial's result, but it is damaged; delete it"):
        read_result(tmp_path)


def test_progress_is_the_last_line_that_was_written_whole(tmp_path):
    assert read_progress(tmp_path) == {}
    path = tmp_path / PROGRESS_FILE
    path.write_text('{"step": 1')
    assert read_progress(tmp_path) == {}
    lines = "".join(json.dumps({"step": step, "loss": None}) + "\n" for step in range(2000))
    assert len(lines) > 3 * PROGRESS_TAIL
    path.write_text(lines)
    assert read_progress(tmp_path)["step"] == 1999
    path.write_text(lines + '{"step": 20')
    assert read_progress(tmp_path)["step"] == 1999
