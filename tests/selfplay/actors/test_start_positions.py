"""Positions that self-play may begin with: their file, and the games that begin with them."""

import numpy as np
import pytest

from keima import games
from keima.games.contract import GameError
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.actors.start_positions import read_start_positions, starts_for
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import SearchConfig, SelfplayConfig
from tests.selfplay.naive import LinearEvaluator

GAME = games.load("connect4")


def test_a_file_of_boards_and_moves(tmp_path):
    path = tmp_path / "starts.txt"
    board = "......./......./......./......./...O.../..XX... O"
    path.write_text(f"# two of them\n\n4453\n{board}\n")
    rows = read_start_positions(path, GAME)
    assert rows.shape == (2, GAME.state_size)
    assert GAME.position_to_text(rows[1]) == board


@pytest.mark.parametrize(("text", "message"), [
    ("44\n9\n", "line 2: '9': expected a position or moves"),
    ("......./X X\n", "line 1: position .* expected 6 rows"),
    ("1213141\n", "line 1: expected a position to play on from, but the game is over in it"),
    ("# nothing\n", "expected a position a line, got none"),
])  # fmt: skip
def test_what_is_wrong_with_a_file(text, message, tmp_path):
    (tmp_path / "starts.txt").write_text(text)
    with pytest.raises(GameError, match=message):
        read_start_positions(tmp_path / "starts.txt", GAME)
    with pytest.raises(GameError, match="No such file"):
        read_start_positions(tmp_path / "none.txt", GAME)


def test_a_runs_positions_are_of_its_own_board(tmp_path, monkeypatch):
    (tmp_path / "starts.txt").write_text("44\n")
    monkeypatch.chdir(tmp_path)
    config = load_config("connect4", ["selfplay.start_positions=starts.txt"])
    assert config.selfplay.start_positions == str(tmp_path / "starts.txt")
    assert len(starts_for(GAME, config)) == 1
    assert starts_for(games.load("othello"), config) is None
    assert starts_for(GAME, load_config("connect4")) is None


def played(starts, fraction):
    play = SelfplayConfig(parallel_games=8, start_positions_fraction=fraction, opening_random_fraction=0)
    self_play, evaluator = SelfPlay(GAME, SearchConfig(simulations=4), play, 3, starts), LinearEvaluator(GAME)
    while len(self_play._finished) < 60:
        self_play.step(evaluator)
    return self_play.take_finished(0, 0)


def test_a_fraction_of_games_begins_there():
    starts = np.array([GAME.text_to_position(text) for text in ("4453", "11")])
    segment = played(starts, 0.5)
    segment.check()
    began = [segment.start_of(number) for number in range(segment.num_games)]
    assert 0.25 < np.mean([row is None for row in began]) < 0.75
    assert {row.tobytes() for row in began if row is not None} == {row.tobytes() for row in starts}
    assert all(row is not None for row in map(played(starts, 1.0).start_of, range(60)))


def test_without_positions_nothing_changes():
    one, other = played(None, 0.5), played(None, 0.0)
    assert one.starts is None
    assert np.array_equal(one.actions, other.actions)
