"""Positions as text: every way to write a board, what is said of bad ones, and arbitrary text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keima import games
from keima.games.contract import GameError
from keima.games.position import Position, position_after

TEXTS = {
    "tictactoe": "X.O/.X./... O",
    "connect4": "......./......./......./......./...O.../...X... X",
    "othello": "---------------------------OX------XO--------------------------- X",
    "gomoku:5,win=4": "...../..X../.OX../...../..... O",
    "hex:3": "R../.B./... R",
    "breakthrough:5,3": "BBB/BB./..B/.WW/WWW W",
    "go:5": "...../..X../.XO../..X../..... O",
}


@pytest.mark.parametrize(("spec", "text"), TEXTS.items())
def test_a_board_is_read_and_written_in_the_same_way(spec, text):
    game = games.load(spec)
    state = game.text_to_position(text)
    assert game.position_to_text(state) == text.replace("-", ".")


@pytest.mark.parametrize("text", [
    "X.O/.X./... O", "X.O.X.... O",
    "X-O_X---- o", "X1O/1X1/3 O", "x.o/.x./... O", "X.O .X. ... O", " X.O / .X. / ... O ",
])  # fmt: skip
def test_ways_to_write_a_board(text):
    game = games.load("tictactoe")
    assert game.position_to_text(game.text_to_position(text)) == "X.O/.X./... O"


@pytest.mark.parametrize("side", ["X", "x", "Black", "black", "b"])
def test_ways_to_write_the_side_to_move(side):
    game = games.load("othello:4")
    assert np.array_equal(game.text_to_position(f".... .OX. .XO. .... {side}"), game.new_state())


@pytest.mark.parametrize(("spec", "text", "moves"), [
    ("connect4", "4453", ["4", "4", "5", "3"]), ("connect4", "4 4, 5 3", ["4", "4", "5", "3"]),
    ("othello", "f5 d6", ["f5", "d6"]), ("go:5", "c3,pass b2", ["c3", "pass", "b2"]),
])  # fmt: skip
def test_moves_are_a_position_too(spec, text, moves):
    assert np.array_equal(games.load(spec).text_to_position(text), position_after(spec, moves).state)


@pytest.mark.parametrize(("spec", "text", "message"), [
    ("tictactoe", "", "expected a position or moves, got nothing"),
    ("tictactoe", "X.O/.X./...", "position 'X.O/.X./...': expected the side to move after the board, X or O"),
    ("tictactoe", "X.O/.X./... Z", "position 'X.O/.X./... Z': expected the side to move, X or O, got 'Z'"),
    ("tictactoe", "X.O/.X. O", "position 'X.O/.X. O': expected 3 rows with / between them, got 2"),
    ("tictactoe", "X.O/.X../... O", "position 'X.O/.X../... O': expected 3 cells in row 2 from the top, got 4"),
    ("tictactoe", "X.O.X... O", "position 'X.O.X... O': expected 9 cells, 3 rows of 3, got 8"),
    ("tictactoe", "X.Q/.X./... O", "position 'X.Q/.X./... O': expected cells of . X O, got 'Q'"),
    ("tictactoe", "X.O/.X./... X", "position: expected as many of both where X is to move, got 2 X and 1 O"),
    ("tictactoe", "b2 b2",
     "'b2 b2': expected a position or moves; move 2: illegal move 'b2': "
     "expected one of a3, b3, c3, a2, c2, a1, b1, c1"),
    ("connect4", "......./......./......./......./...O.../......X X",
     "position: expected every stone on another one or on the bottom row"),
    ("connect4", "......./......./......./......./OOO..../XXXX..O X",
     "position: X has four in a row, so the game ended before"),
    ("othello:4", "....|....", "'....|....': expected a position or moves; move 1: illegal move '....|....': "
     "expected one of b1, a2, d3, c4"),
    ("othello:4", "X.../.OX./..O./.... X", "position: expected discs on the four cells in the middle"),
    ("gomoku:5,win=3", "XXX../...../OO.O./...../..... X", "position: X has 3 in a row, so the game ended before"),
    ("hex:2", "RB/RB R", "position: Red's edges are joined, so the game ended before"),
    ("breakthrough:5,2", "BW/BB/../WW/W. W", "position: White stands on the far row, so the game ended before"),
    ("breakthrough:5,2", "../../../WW/W. W", "position: Black has no pieces, so the game ended before"),
    ("breakthrough:5,2", "BB/BB/B./WW/W. W", "position: expected at most 4 pieces a side, got 5"),
    ("go:3", "OX./X../... X", "position: expected stones that have a liberty each, got a chain without"),
    ("go:3", "..X/X../... X passes=3", "position: passes: expected a number from 0 to 2, got '3'"),
    ("go:3", "..X/X../... X colour=3", "position: expected fields of ko, passes, prisoners, placing, got 'colour'"),
    ("go:3", "..X/X../... X ko=z9", "position: ko: expected points as a3, got 'z9'"),
    ("go:3", "..X/X../... X ko=c3", "position: expected empty points after ko=, got one with a stone"),
    ("go:3", "a1 ko=b2", "position: expected ko after a board alone, not after moves"),
])  # fmt: skip
def test_bad_text_is_one_line_that_says_what_was_expected(spec, text, message):
    with pytest.raises(GameError) as error:
        games.load(spec).text_to_position(text)
    assert str(error.value) == message


def test_go_writes_what_a_board_does_not_say():
    game = games.load("go:5")
    position = position_after(game, ["c4", "d4", "b3", "e3", "c2", "d2", "d3", "c3"])  # White has taken the ko
    text = game.position_to_text(position.state)
    assert text == "...../..XO./.XO.O/..XO./..... X ko=d3"
    again = Position.from_text(game, text)
    assert set(again.legal_actions()) == set(position.legal_actions())
    again.play_text("a1"), again.play_text("a5")
    again.play_text("d3")
    assert game.position_to_text(again.state).endswith("O ko=c3")
    passed = game.text_to_position("...../..... /...../...../..... X passes=1".replace(" /", "/"))
    assert game.outcome(passed) == -1
    assert game.outcome(game.after(passed, 25)) >= 0


def test_go_counts_prisoners_and_places_handicaps_from_text():
    japanese = games.load("go:5,rules=japanese,komi=0.5")
    board = "..X../..X../..X../..X../..X.. O"
    assert japanese.points(japanese.text_to_position(f"{board} prisoners=-3")) == (
        japanese.points(japanese.text_to_position(board)) - 3
    )
    free = games.load("go:7,handicap=3,placement=free")
    text = f"{'/'.join(['.' * 7] * 6)}/......X X placing=2"
    position = Position.from_text(free, text)
    for move in ("b2", "c3"):
        assert position.player == 0
        position.play_text(move)
    assert position.player == 1


@given(st.text(alphabet="XO.-_/ 1239abz=,\n", max_size=40))
def test_any_text_is_read_or_refused(text):
    for name in ("tictactoe", "go:3"):
        game = games.load(name)
        try:
            state = game.text_to_position(text)
        except GameError:
            continue
        assert state.shape == game.new_state().shape
        assert np.array_equal(game.board(Position.from_text(game, text).state), game.board(state))
