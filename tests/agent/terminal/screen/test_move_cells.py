"""What is read off games' notation and drawings."""

from dataclasses import dataclass

import pytest

from keima.agent.terminal.screen.move_cells import (
    LegalMoves,
    MoveCells,
    labels,
    owners_of_pieces,
    plays_columns,
    row_shift,
)
from keima.games import load, names
from keima.games.position import position_after


def moves_of(game_text: str, *moves: str) -> tuple[LegalMoves, dict[str, int]]:
    """The legal moves after some, and every cell by its name."""
    position = position_after(game_text, list(moves))
    game = position.game
    cells = {game.cell_to_text(cell): cell for cell in range(game.shape[0] * game.shape[1])}
    return LegalMoves(game, position.state), cells


def test_labels():
    assert labels(load("connect4")).columns == tuple("1234567")
    assert labels(load("connect4")).rows == ("",) * 6
    assert labels(load("gomoku")).columns == tuple("abcdefghijklmno")
    assert labels(load("gomoku")).rows == tuple(str(row) for row in range(15, 0, -1))
    assert labels(load("othello:4")).rows == ("1", "2", "3", "4")


def test_labels_that_begin_with_a_number():
    @dataclass(frozen=True)
    class Shogi(type(load("tictactoe"))):  # type: ignore[misc]
        def cell_to_text(self, cell):
            row, column = divmod(cell, 3)
            return f"{3 - column}{'abc'[row]}"

    assert labels(Shogi()).columns == ("3", "2", "1")
    assert labels(Shogi()).rows == ("a", "b", "c")


def test_which_games_play_columns_and_which_shift_rows():
    loaded = [load(name) for name in names()]
    assert [game.name for game in loaded if plays_columns(game)] == ["connect4"]
    assert [game.name for game in loaded if row_shift(game)] == ["hex"]


@pytest.mark.parametrize("name", sorted(names()))
def test_every_first_move_of_every_game_can_be_pointed_at(name):
    game = load(name)
    legal = LegalMoves(game, game.new_state())
    for action, cells in legal.cells.items():
        if cells.target is None:
            assert game.action_to_text(legal.state, action) == "pass"
        else:
            assert action in legal.at(cells.target, cells.source)


def test_a_column_is_played_from_any_of_its_cells():
    legal, _ = moves_of("connect4", *"444444")
    assert legal.at(2) == [2]
    assert legal.at(5 * 7 + 2) == [2]
    assert legal.at(3) == []  # it is full
    assert legal.cells[2] == MoveCells(None, 5 * 7 + 2)


def test_from_and_to():
    legal, cells = moves_of("breakthrough", "a2a3")
    assert cells["b7"] in legal.sources()
    assert cells["b2"] not in legal.sources()
    assert legal.targets(cells["b7"]) == {cells["a6"], cells["b6"], cells["c6"]}
    (action,) = legal.at(cells["c6"], cells["b7"])
    assert legal.game.action_to_text(legal.state, action) == "b7c6"
    assert legal.at(cells["c6"]) == []


def test_a_pass_has_no_place():
    assert moves_of("othello:4")[0].without_place() == []
    legal, _ = moves_of("othello:4", "d3", "d2", "d1", "d4", "b4")
    (action,) = legal.without_place()
    assert legal.game.action_to_text(legal.state, action) == "pass"


def test_a_second_players_turned_action_is_where_its_text_says():
    legal, cells = moves_of("hex:5", "c3")
    (action,) = legal.at(cells["b5"])
    assert legal.game.action_to_text(legal.state, action) == "b5"


def test_a_move_that_names_only_where_it_goes_is_completed_from_the_board():
    @dataclass(frozen=True)
    class Short(type(load("breakthrough"))):  # type: ignore[misc]
        __module__ = type(load("breakthrough")).__module__  # where its kernels are

        def action_to_text(self, state, action):
            return "N" + super().action_to_text(state, action)[-2:]

    game = Short()
    long, cells = moves_of("breakthrough")
    legal = LegalMoves(game, long.state)
    assert legal.cells == long.cells
    assert len(legal.at(cells["b3"], cells["a2"])) == 1


def test_owners_of_pieces():
    @dataclass(frozen=True)
    class Chess(type(load("tictactoe"))):  # type: ignore[misc]
        pieces = ".PNpn"

    assert owners_of_pieces(load("tictactoe")) == (None, 0, 1)
    assert owners_of_pieces(Chess()) == (None, 0, 0, 1, 1)
