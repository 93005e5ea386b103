"""Hex against OpenSpiel, which numbers the cells of both players as the first one sees them."""

import numpy as np
import pytest

from keima.games.contract import FIRST_WINS, ONGOING, SECOND_WINS
from tests.games.drivers import played
from tests.games.openspiel import assert_same_games


@pytest.mark.parametrize(("size", "count"), [(3, 5_000), (5, 5_000), (11, 10_000), (19, 100)])
def test_the_same_games_as_openspiel(size, count, sized):
    cells = np.arange(size * size).reshape(size, size)
    actions = np.array([cells.reshape(-1), cells.T.reshape(-1)])
    assert_same_games(f"hex:{size}", f"hex(board_size={size})", actions, count=sized(count, count // 10))


def test_goals_and_neighbours():
    assert played("hex:3", "a1 b1 a2 b2 a3").outcome == FIRST_WINS  # top to bottom
    assert played("hex:3", "a1 a2 b1 b2 c1").outcome == ONGOING  # left to right is not Red's goal
    assert played("hex:3", "a1 a2 b1 b2 a3 c2").outcome == SECOND_WINS
    assert played("hex:2", "b1 a1 a2").outcome == FIRST_WINS  # b1 and a2 touch
    assert played("hex:2", "a1 b1 b2").outcome == ONGOING  # a1 and b2 do not


def test_a_stone_that_joins_two_chains():
    """Red's chain from d4 goes up to c3 before it comes down to a5, and is joined to the top only by e2."""
    position = played("hex:5", "d4 a1 c4 b1 c3 c1 b3 d1 a4 a2 a5 b2 e3 c2 e1 d2")
    assert position.outcome == ONGOING
    position.play_text("e2")
    assert position.outcome == FIRST_WINS


def test_blue_sees_the_board_with_rows_and_columns_exchanged():
    position = played("hex:4", "b1")
    game = position.game
    board, planes = game.board(position.state), game.planes(position.state)
    assert board[0, 1] == 1
    assert np.array_equal(planes, [board.T == 2, board.T == 1])
    assert game.action_to_text(position.state, 1) == "a2"
    position.play_text("a2")
    board, planes = game.board(position.state), game.planes(position.state)
    assert (board[0, 1], board[1, 0]) == (1, 2)
    assert np.array_equal(planes, [board == 1, board == 2])


def test_the_drawing_is_skewed():
    position = played("hex:3", "b1 a3")
    assert position.game.render(position.state).splitlines() == [
        "  a b c",
        " 1 . R .",
        "  2 . . .",
        "   3 B . .",
    ]
