"""Breakthrough against OpenSpiel, where the first player's pieces start at the top and go down.

OpenSpiel fills a single row of each side's on boards of fewer than six rows, this game always two, so those sizes
are not compared.
"""

import numpy as np
import pytest

from keima import games
from keima.games.contract import FIRST_WINS, ONGOING, SECOND_WINS
from keima.games.position import Position
from tests.games.drivers import played
from tests.games.openspiel import assert_same_games


def spiel_actions(rows, columns):
    """[player, action]: OpenSpiel's number of the move, less its last digit, which tells a capture from a step.

    OpenSpiel counts its rows from where the first player starts; directions 0 to 2 are his, 3 to 5 the other's.
    """
    actions = np.zeros((2, 3, rows, columns), np.int64)
    for player, direction, row, column in np.ndindex(actions.shape):
        spiel_row = row if player else rows - 1 - row
        actions[player, direction, row, column] = (spiel_row * columns + column) * 6 + 3 * player + direction
    return actions.reshape(2, -1)


@pytest.mark.parametrize(("rows", "columns", "count"), [(8, 8, 10_000), (6, 6, 5_000), (7, 2, 5_000), (6, 9, 1_000)])
def test_the_same_games_as_openspiel(rows, columns, count, sized):
    spiel_name = f"breakthrough(rows={rows},columns={columns})"
    actions, count = spiel_actions(rows, columns), sized(count, count // 10)
    assert_same_games(f"breakthrough:{rows},{columns}", spiel_name, actions, variants=2, count=count)


def test_first_moves():
    position = Position(games.load("breakthrough"))
    assert position.player == 0
    moves = {position.game.action_to_text(position.state, action) for action in position.legal_actions()}
    files = "abcdefgh"
    steps = {f"{a}2{b}3" for i, a in enumerate(files) for j, b in enumerate(files) if abs(i - j) <= 1}
    assert moves == steps


def test_steps_and_captures():
    position = played("breakthrough", "a2a3 b7b6 a3a4 b6b5")
    moves = [position.game.action_to_text(position.state, action) for action in position.legal_actions()]
    assert "a4xb5" in moves
    assert "a4a5" in moves
    assert "a4b5" not in moves
    position.play_text("a4xb5")
    assert position.game.board(position.state)[3].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    # Straight ahead nothing is captured, and nothing is entered that is not empty.
    blocked = played("breakthrough", "a2a3 a7a6 a3a4 a6a5")
    assert not {"a4a5", "a4xa5"} & {blocked.game.action_to_text(blocked.state, a) for a in blocked.legal_actions()}


def test_reaching_the_far_row_wins():
    moves = "a2b3 h7g6 b3b4 g6g5 b4b5 g5g4 b5b6 g4g3 b6xa7 g3xh2"
    assert played("breakthrough", moves).outcome == ONGOING
    assert played("breakthrough", f"{moves} a7xb8").outcome == FIRST_WINS
    assert played("breakthrough", f"{moves} c2c3 h2xg1").outcome == SECOND_WINS


def test_a_side_without_pieces_has_lost():
    game = games.load("breakthrough:5,2")
    state = game.new_state()
    board_rows = state[3:].reshape(2, 5)
    board_rows[:] = 0
    board_rows[0, 3] = 0b01  # White's on a2
    board_rows[1, 2] = 0b10  # Black's on b3, which he counts as his third row
    assert game.outcome(state) == ONGOING
    after = game.after(state, game.text_to_action(state, "a2xb3"))
    assert (game.board(after) == 2).sum() == 0
    assert game.outcome(after) == FIRST_WINS


def test_black_sees_the_board_from_his_side():
    position = played("breakthrough:6,5", "a2b3")
    game = position.game
    board, planes = game.board(position.state), game.planes(position.state)
    assert np.array_equal(planes, [board[::-1] == 2, board[::-1] == 1])
    assert planes[0, 4:].all()
    assert planes[1, 2].tolist() == [0, 1, 0, 0, 0]
    straight, cell = 1, 4 * 5 + 0
    assert game.action_to_text(position.state, straight * 30 + cell) == "a5a4"
    position.play_text("a5a4")
    board, planes = game.board(position.state), game.planes(position.state)
    assert np.array_equal(planes, [board == 1, board == 2])
