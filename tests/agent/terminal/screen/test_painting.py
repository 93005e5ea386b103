"""Boards as coloured text."""

from dataclasses import dataclass

import numpy as np
import pytest
from rich.cells import cell_len

from keima.agent.terminal.screen.cell_positions import fitting
from keima.agent.terminal.screen.painting import Marks, Painter, contrasting, disc, mixed
from keima.games import load, names
from keima.games.position import position_after


def text_of(strips) -> str:
    return "\n".join(strip.text.rstrip() for strip in strips)


@pytest.mark.parametrize("name", sorted(names()))
@pytest.mark.parametrize("height", [1, 2, 3])
@pytest.mark.parametrize("coloured", [True, False])
def test_every_game_at_every_size(name, height, coloured):
    game = load(name)
    geometry = fitting(game, 1000, 1000, largest=height)
    assert geometry.height == height
    heat = {0: 0.999, 1: 0.004, 2: 0.25}
    marks = Marks(cursor=3, selected=4, last=frozenset({5}), hints=frozenset({6, 7}), heat=heat)
    strips = Painter(game, coloured=coloured).paint(game.board(game.new_state()), geometry, marks)
    assert len(strips) == geometry.size[1]
    for strip in strips:
        assert strip.cell_length <= geometry.size[0]
        assert strip.cell_length == cell_len(strip.text)


@pytest.mark.parametrize("spec", ["gomoku:19", "hex:11", "connect4", "breakthrough:8"])
def test_the_largest_board_that_fits_and_every_cell_found_again(spec):
    game = load(spec)
    for size in ((80, 24), (200, 60), (60, 30)):
        geometry = fitting(game, *size)
        assert geometry.size[0] <= size[0]
        assert geometry.size[1] <= size[1]
        for cell in range(game.shape[0] * game.shape[1]):
            row, column = divmod(cell, game.shape[1])
            for right in range(geometry.width):
                x = geometry.left(row) + column * geometry.width + right
                assert geometry.cell_at(x, row * geometry.height) == cell
        assert geometry.cell_at(geometry.left(0) - 1, 0) is None
        assert geometry.cell_at(geometry.left(0), geometry.rows * geometry.height) is None
        assert geometry.cell_at(geometry.size[0] + 1, 0) is None
    assert fitting(game, 10, 10) is None or game.shape[0] < 10


def test_19x19_fits_into_80_columns_and_24_lines():
    geometry = fitting(load("gomoku:19"), 80 - 36, 24 - 3)
    assert geometry is not None
    assert geometry.width == 2


def test_without_colours_there_are_letters():
    position = position_after("tictactoe", ["b2", "a3"])
    geometry = fitting(position.game, 20, 4, largest=1)
    painter = Painter(position.game, coloured=False)
    strips = painter.paint(position.game.board(position.state), geometry, Marks())
    assert text_of(strips) == "3 O . .\n2 . X .\n1 . . .\n  a b c"
    assert all(s.style is None or s.style.color is None for strip in strips for s in strip)
    large = fitting(position.game, 40, 7, largest=2)
    strips = painter.paint(
        position.game.board(position.state), large, Marks(cursor=4, last=frozenset({0}), heat={8: 0.5})
    )
    assert text_of(strips).replace(" ", "") == "3O*..\n\n2.[X].\n\n1..50\n\nabc"


def test_rows_of_hex_are_shifted():
    game = load("hex:3")
    geometry = fitting(game, 40, 4, largest=1)
    strips = Painter(game, coloured=False).paint(game.board(game.new_state()), geometry, Marks())
    assert text_of(strips) == "1 . . .\n2  . . .\n3   . . .\n    a b c"


def test_pieces_of_several_kinds_are_letters_on_discs():
    @dataclass(frozen=True)
    class Chess(type(load("tictactoe"))):  # type: ignore[misc]
        __module__ = type(load("tictactoe")).__module__  # where its kernels are
        players = ("White", "Black")
        pieces = ".KQkq"

    game = Chess()
    board = np.array([[1, 2, 3], [4, 0, 0], [0, 0, 0]])
    for height in (1, 2, 3):
        strips = Painter(game).paint(board, fitting(game, 100, 100, largest=height), Marks())
        shown = text_of(strips)
        assert [letter for letter in "KQkq" if letter in shown] == list("KQkq")


def test_discs():
    for size in (4, 6, 8, 10):
        cover = disc(size, 0.45)
        assert cover.shape == (size, size)
        assert (cover == cover[::-1]).all()
        assert (cover == cover.T).all()
        assert cover.mean() == pytest.approx(np.pi * 0.45**2, abs=0.02)
        assert cover[0, 0] < 0.5 < cover[size // 2, size // 2]


def test_colours():
    assert mixed((0, 0, 0), (200, 100, 50), 0.5) == (100, 50, 25)
    assert contrasting((255, 255, 255)) < (128, 128, 128) < contrasting((0, 0, 0))
