"""Gomoku against OpenSpiel, whose rules are the same: `connect` or more in a row win."""

import numpy as np
import pytest

from keima import games
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, GameError
from tests.games.drivers import perft, played
from tests.games.openspiel import assert_same_games


@pytest.mark.parametrize(
    ("spec", "spiel_name", "count"),
    [
        ("gomoku", "gomoku", 10_000),
        # Small boards with short rows: more wins of every kind, overlines among them, and draws.
        ("gomoku:7,win=4", "gomoku(size=7,connect=4)", 5_000),
        ("gomoku:5,win=5", "gomoku(size=5,connect=5)", 5_000),
    ],
)
def test_the_same_games_as_openspiel(spec, spiel_name, count, sized):
    assert_same_games(spec, spiel_name, count=sized(count, count // 10))


def test_three_in_a_row_is_tictactoe():
    assert perft(games.load("gomoku:3,win=3"), 9) == perft(games.load("tictactoe"), 9)


def test_five_in_each_direction():
    for line in ("c3 d3 e3 f3 g3", "c3 c4 c5 c6 c7", "c3 d4 e5 f6 g7", "c7 d6 e5 f4 g3"):
        for last in line.split():  # the winning stone at either end or inside
            others = line.replace(last, "").split()
            moves = " ".join(f"{cell} {away}" for cell, away in zip(others, ("a15", "c15", "e15", "g15"), strict=True))
            assert played("gomoku", moves).outcome == ONGOING
            assert played("gomoku", f"{moves} {last}").outcome == FIRST_WINS
            assert played("gomoku", f"o1 {moves} {last}").outcome == SECOND_WINS


def test_an_overline_wins():
    position = played("gomoku", "a1 a9 b1 c9 c1 e9 e1 g9 f1 i9")
    assert position.outcome == ONGOING
    position.play_text("d1")
    assert position.outcome == FIRST_WINS


def test_rows_do_not_run_around_the_edge():
    position = played("gomoku:6", "c2 a5 d2 a6 e2 c6 f2 e5 a1")
    assert position.outcome == ONGOING


def test_a_full_board_is_a_draw():
    position = played("gomoku:3,win=3", "a1 b1 c1 a2 b2 a3 c2 c3")
    assert position.outcome == ONGOING
    position.play_text("b3")
    assert position.outcome == DRAW


def test_planes_show_the_board_to_the_side_to_move():
    position = played("gomoku", "h8 h9 a1")
    board, planes = position.game.board(position.state), position.game.planes(position.state)
    assert (board[7, 7], board[6, 7], board[14, 0]) == (1, 2, 1)
    assert np.array_equal(planes, [board == 2, board == 1])


def test_a_row_longer_than_the_board_is_refused():
    with pytest.raises(GameError, match="gomoku: win is at most the size, 4, got 5"):
        games.load("gomoku:4")
