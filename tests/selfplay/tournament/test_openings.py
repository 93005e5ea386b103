"""Openings: different ones, going on, not decided, the same for a seed; and books."""

import numpy as np
import pytest

from keima import games
from keima.games.contract import DRAW, GameError
from keima.games.position import Position, position_after
from keima.selfplay.tournament.openings import BookOpenings, RandomOpenings, begun, is_decided, parse_opening


@pytest.mark.parametrize(("name", "plies"), [("connect4", 0), ("connect4", 1), ("connect4", 8), ("othello:6", 4)])
def test_random_openings_are_legal_of_their_length_and_undecided(name, plies):
    game = games.load(name)
    openings = RandomOpenings(game, plies, seed=1)
    for number in range(40):
        position = Position(game)
        for action in openings[number]:
            position.play(action)
        assert len(position.actions) == plies
        assert not is_decided(game, position.state)


def test_positions_do_not_come_twice_while_there_are_others():
    game = games.load("connect4")
    openings = RandomOpenings(game, 2, seed=3)
    states = [position_after_actions(game, openings[i]).state.tobytes() for i in range(49)]
    assert len(set(states)) > 45  # of 49; the last ones take their time to be drawn
    assert len({openings[i] for i in range(49, 60)} | {openings[i] for i in range(49)}) <= 49
    # 3 2 and 2 3 with another stone between them can lead to one position.
    deeper = RandomOpenings(game, 3, seed=3)
    states = [position_after_actions(game, deeper[i]).state.tobytes() for i in range(150)]
    assert len(set(states)) == 150


def position_after_actions(game, actions):
    position = Position(game)
    for action in actions:
        position.play(action)
    return position


def test_the_same_seed_gives_the_same_openings_in_any_order():
    game = games.load("connect4")
    forwards, backwards = RandomOpenings(game, 5, 7), RandomOpenings(game, 5, 7)
    other = RandomOpenings(game, 5, 8)
    there = [forwards[i] for i in range(20)]
    assert there == [backwards[i] for i in reversed(range(20))][::-1]
    assert there != [other[i] for i in range(20)]


def test_openings_are_shorter_where_games_are():
    game = games.load("tictactoe")
    openings = RandomOpenings(game, 30, seed=1)
    lengths = {len(openings[i]) for i in range(30)}
    assert max(lengths) <= 7
    for i in range(30):
        assert not is_decided(game, position_after_actions(game, openings[i]).state)


def test_what_is_decided():
    game = games.load("tictactoe")
    assert not is_decided(game, game.new_state())
    assert is_decided(game, position_after(game, ["a1", "b1", "a2", "b2"]).state)  # wins at once
    assert is_decided(game, position_after(game, ["a1", "b1", "a2", "b2", "a3"]).state)  # is over
    # The last cell ends the game as a draw.
    full = position_after(game, ["a1", "b1", "c1", "a2", "b2", "c2", "b3", "a3"])
    assert [game.outcome(game.after(full.state, a)) for a in full.legal_actions()] in ([DRAW], [0])
    assert is_decided(game, full.state)


def test_a_book(tmp_path):
    game = games.load("connect4")
    path = tmp_path / "book.txt"
    path.write_text("# mine\n4 4 3\n\n44\n  # again\n1,2,3\n")
    book = BookOpenings(game, path)
    assert [book[i] for i in range(4)] == [(3, 3, 2), (3, 3), (0, 1, 2), (3, 3, 2)]
    assert "3 openings (book.txt" in book.text
    othello = games.load("othello")
    moves = [othello.action_to_text(othello.new_state(), int(a)) for a in othello.legal(othello.new_state())]
    assert parse_opening(othello, moves[0]) == (int(othello.legal(othello.new_state())[0]),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4 4\n4 9\n", "line 2: '4 9': expected a position or moves; move 2: illegal move '9'"),
        ("# nothing\n", "expected an opening a line, got none"),
        ("1 2 1 2 1 2 1\n", "line 1: the game is over after these moves"),
    ],
)
def test_what_is_wrong_with_a_book(tmp_path, text, message):
    path = tmp_path / "book.txt"
    path.write_text(text)
    with pytest.raises(GameError, match=message):
        BookOpenings(games.load("connect4"), path)


def test_a_book_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(GameError, match="but No such file"):
        BookOpenings(games.load("connect4"), tmp_path / "none.txt")
    (tmp_path / "book.bin").write_bytes(np.arange(256, dtype=np.uint8).tobytes())
    with pytest.raises(GameError, match="it is not text"):
        BookOpenings(games.load("connect4"), tmp_path / "book.bin")


def test_a_books_line_may_be_a_position(tmp_path):
    game = games.load("connect4")
    path = tmp_path / "book.txt"
    text = "......./......./......./......./...O.../..XX... O"
    path.write_text(f"44\n{text}\n")
    book = BookOpenings(game, path)
    assert (book[0], book[1]) == ((3, 3), (text,))
    position = begun(game, (text, 1))
    assert (position.start_text, position.actions) == (text, [1])
    assert begun(game, (3, 3)).actions == [3, 3]
    path.write_text("......./X X\n")
    with pytest.raises(GameError, match=r"line 1: position .*: expected 6 rows"):
        BookOpenings(game, path)
    path.write_text("......./......./......./......./XXXX.../OOO.... O\n")
    with pytest.raises(GameError, match="line 1"):
        BookOpenings(game, path)
