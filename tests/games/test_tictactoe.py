"""Tic-tac-toe against OpenSpiel and the known counts of its tree."""

from pathlib import Path

import numpy as np

from keima import games
from keima.games import tictactoe
from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS
from tests.games.drivers import perft, played
from tests.games.openspiel import assert_same_games


def test_the_same_games_as_openspiel():
    assert_same_games("tictactoe", "tic_tac_toe", count=10_000)


def test_the_whole_tree():
    lines, finished = perft(games.load("tictactoe"), 9)
    assert lines[:5] == [9, 72, 504, 3024, 15120]
    assert finished == [0, 0, 0, 0, 1440, 5328, 47952, 72576, 127872]
    assert sum(finished) == 255168


def test_outcomes():
    assert played("tictactoe", "a1 a2 b2 b3 c3").outcome == FIRST_WINS
    assert played("tictactoe", "a1 a2 b1 b2 a3 c2").outcome == SECOND_WINS
    assert played("tictactoe", "a1 b1 c1 a2 b2 a3 c2 c3 b3").outcome == DRAW
    # The last cell completes a line: a win, not a draw.
    assert played("tictactoe", "a1 b1 c1 a2 b2 c2 b3 a3 c3").outcome == FIRST_WINS


def test_its_file_stays_short():
    """It is what people read before they write a game of their own."""
    assert len(Path(tictactoe.__file__).read_text().splitlines()) < 80


def test_planes_show_the_board_to_the_side_to_move():
    position = played("tictactoe", "a3 b2 c1")
    board, planes = position.game.board(position.state), position.game.planes(position.state)
    assert board.tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 1]]
    assert np.array_equal(planes, [board == 2, board == 1])
