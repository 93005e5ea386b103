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


def test_a_game_may_begin_anywhere():
    game = games.load("connect4")
    start = game.text_to_position("4453")
    position = Position(game, start)
    assert position.start_text == "......./......./......./......./...O.../..OXX.. X"
    assert (position.actions, position.player, position.undo()) == ([], 0, False)
    position.play_text("1")
    start[:] = 0  # a row of its own
    assert position.undo()
    assert np.array_equal(position.state, game.text_to_position("4453"))
    for twin in (position.copy(), position.begun_again(), Position.from_text(game, position.start_text)):
        assert twin.start_text == position.start_text
        assert np.array_equal(twin.start, position.start)


def test_the_games_own_start_has_no_text():
    game = games.load("othello")
    assert Position(game, game.new_state()).start_text == Position(game).start_text == ""
    assert Position.from_text(game, game.position_to_text(game.new_state())).start_text == ""


def test_what_a_board_does_not_say_keeps_its_moves():
    game = games.load("go:5")
    assert Position.from_text(game, "c3, c4").start_text == "c3 c4"  # superko has a history
    assert Position.from_text(games.load("gomoku"), "a1 a2 h8 h9").start_text == "a1 a2 h8 h9"  # and Gomoku a last move
    assert Position.from_text(games.load("othello"), "f5").start_text.endswith(" O")


def test_a_start_of_another_game_is_refused():
    with pytest.raises(GameError, match="expected a row of 4 numbers"):
        Position(games.load("connect4"), games.load("othello").new_state())


MINIMAL = """
from dataclasses import dataclass

from keima.games import tictactoe
from keima.games.contract import Game
from keima.games.tictactoe import encode, legal_actions, outcome, play, reset


@dataclass(frozen=True)
class Minimal(Game):
    shape, num_planes, num_actions, state_size, max_plies = (3, 3), 2, 9, 3, 9

    def board(self, state):
        return tictactoe.TicTacToe().board(state)
"""


def test_a_game_without_set_up_has_positions_by_moves_alone(tmp_path):
    path = tmp_path / "minimal.py"
    path.write_text(MINIMAL)
    game = games.load(str(path))
    position = Position.from_text(game, "b2 a1")
    assert position.start_text == "b2 a1"
    with pytest.raises(GameError, match="has no text for positions, since its class has no `set_up`"):
        Position(game, position.state)
    with pytest.raises(GameError, match="expected moves, since its class has no `set_up`"):
        game.text_to_position("X.O/.../... X")
