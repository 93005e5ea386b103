"""Connect Four against OpenSpiel and published counts of positions."""

from pathlib import Path

import numpy as np

from keima import games
from keima.games import connect4
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS
from tests.games.drivers import played
from tests.games.openspiel import assert_same_games

POSITIONS = [1, 7, 49, 238, 1120, 4263, 16422, 54859]
"""Distinct positions after so many plies: https://oeis.org/A212693 (John Tromp)."""


def test_the_same_games_as_openspiel(sized):
    assert_same_games("connect4", "connect_four", count=sized(10_000, 2_000))


def test_the_number_of_positions():
    game = games.load("connect4")
    states = {tuple(game.new_state().tolist())}
    for expected in POSITIONS[:-1]:
        assert len(states) == expected
        rows = [np.array(state) for state in states]
        states = {tuple(game.after(row, action).tolist()) for row in rows for action in game.legal(row)}
    assert len(states) == POSITIONS[-1]


def test_outcomes():
    for column in "1234567":  # four in a column
        other = "2" if column == "1" else "1"
        assert played("connect4", 3 * f"{column} {other} ").outcome == ONGOING
        assert played("connect4", 3 * f"{column} {other} " + column).outcome == FIRST_WINS
    assert played("connect4", "4 4 5 5 6 6 3").outcome == FIRST_WINS
    assert played("connect4", "1 2 2 3 3 4 3 4 4 7 4").outcome == FIRST_WINS  # rising diagonal
    assert played("connect4", "7 6 6 5 5 4 5 4 4 1 4").outcome == FIRST_WINS  # falling diagonal
    assert played("connect4", "1 7 2 7 1 7 2 7").outcome == SECOND_WINS


def test_a_full_board_without_four_is_a_draw():
    # Columns filled two by two, so that colours repeat in no line of four.
    moves = "1 2 1 2 1 2 2 1 2 1 2 1 3 4 3 4 3 4 4 3 4 3 4 3 5 6 5 6 5 6 6 5 6 5 6 5 7 7 7 7 7"
    position = played("connect4", moves)
    assert position.outcome == ONGOING
    position.play_text("7")
    assert position.outcome == DRAW


def test_lines_do_not_run_around_the_edge():
    # The three at the top of column 1 and the one at the bottom of column 2 are no four.
    position = played("connect4", "2 1 7 1 6 1 1 7 1 7 1")
    assert position.game.board(position.state)[:, :2].tolist() == [[1, 0], [1, 0], [1, 0], [2, 0], [2, 0], [2, 1]]
    assert position.outcome == ONGOING
    assert position.legal_actions() == [1, 2, 3, 4, 5, 6]  # column 1 is full


def test_its_file_stays_short():
    assert len(Path(connect4.__file__).read_text().splitlines()) < 120


def test_planes_show_the_board_to_the_side_to_move():
    position = played("connect4", "4 4 1")
    board, planes = position.game.board(position.state), position.game.planes(position.state)
    assert (board[5, 3], board[4, 3], board[5, 0]) == (1, 2, 1)
    assert np.array_equal(planes, [board == 2, board == 1])
