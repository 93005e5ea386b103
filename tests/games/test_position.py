"""A game in progress: moves, the way back, and what it refuses."""

import numpy as np
import pytest

from keima import games
from keima.games.contract import FIRST_WINS, ONGOING, GameError
from keima.games.position import Position, position_after


def test_a_game_from_start_to_end():
    position = Position(games.load("tictactoe"))
    assert (position.player, position.outcome, position.is_over) == (0, ONGOING, False)
    for move in ["a3", "b3", "a2", "b2"]:
        position.play_text(move)
    assert position.player == 0
    position.play_text("a1")
    assert position.outcome == FIRST_WINS
    assert position.is_over
    assert position.legal_actions() == []
    assert position.actions == [0, 1, 3, 4, 6]
    assert position.moves_text() == ["a3", "b3", "a2", "b2", "a1"]


def test_undo_leads_back_to_every_earlier_state():
    position = Position(games.load("othello:6"))
    states = [position.state.copy()]
    while not position.is_over:
        position.play(position.legal_actions()[-1])
        states.append(position.state.copy())
    while states:
        assert np.array_equal(position.state, states.pop())
        assert position.undo() == bool(states)
    assert position.actions == []
    assert position.moves_text() == []


def test_an_illegal_move_changes_nothing():
    position = position_after("connect4", ["4", "4"])
    before = position.state.copy()
    for illegal in (7, -1):
        with pytest.raises(GameError, match=f"action {illegal} is not legal here"):
            position.play(illegal)
    with pytest.raises(GameError, match="illegal move '8': expected one of 1, 2, 3"):
        position.play_text("8")
    assert np.array_equal(position.state, before)
    assert position.actions == [3, 3]


def test_a_copy_is_played_on_apart():
    position = position_after("connect4", ["4", "4"])
    twin = position.copy()
    twin.play_text("1")
    position.undo()
    assert (twin.moves_text(), position.moves_text()) == (["4", "4", "1"], ["4"])
    assert np.array_equal(twin.state, position_after("connect4", ["4", "4", "1"]).state)


def test_positions_by_moves():
    assert position_after("hex:3", ["b2", "a3"]).moves_text() == ["b2", "a3"]
    assert position_after(games.load("hex:3"), []).actions == []
    with pytest.raises(GameError, match="illegal move 'b2'"):
        position_after("hex:3", ["b2", "b2"])
