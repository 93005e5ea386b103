"""Boards as coloured text."""

from dataclasses import dataclass

import numpy as np
import pytest
from rich.cells import cell_len

from keima.agent.terminal.screen.cell_positions import Geometry, fitting
from keima.agent.terminal.screen.painting import (
    GREEN,
    Marks,
    Painter,
    Palette,
    contrasting,
    crossing_glyphs,
    disc,
    mixed,
    star_points,
)
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
    strips = Painter(game, coloured=coloured).paint(game.new_state(), geometry, marks)
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
    strips = painter.paint(position.state, geometry, Marks())
    assert text_of(strips) == "3 O . .\n2 . X .\n1 . . .\n  a b c"
    assert all(s.style is None or s.style.color is None for strip in strips for s in strip)
    large = fitting(position.game, 40, 7, largest=2)
    strips = painter.paint(position.state, large, Marks(cursor=4, last=frozenset({0}), heat={8: 0.5}))
    assert text_of(strips).replace(" ", "") == "3O*..\n\n2.[X].\n\n1..50\n\nabc"


def test_rows_of_hex_are_shifted():
    game = load("hex:3")
    geometry = fitting(game, 40, 4, largest=1)
    strips = Painter(game, coloured=False).paint(game.new_state(), geometry, Marks())
    assert text_of(strips) == "1 . . .\n2  . . .\n3   . . .\n    a b c"


def test_pieces_of_several_kinds_are_letters_on_discs():
    @dataclass(frozen=True)
    class Chess(type(load("tictactoe"))):  # type: ignore[misc]
        __module__ = type(load("tictactoe")).__module__  # where its kernels are
        players = ("White", "Black")
        pieces = ".KQkq"

        def board(self, state):
            return state if state.ndim == 2 else super().board(state)

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


@pytest.mark.parametrize(("height", "line"), [(1, "┌─┬─┬─┬─┬─┬─┬─┬─┐"), (3, "┌─────┬─────┬─────┬─────┬─────┬")])
def test_go_has_lines_and_stones_on_crossings(height, line):
    position = position_after("go:9", ["a9", "e5"])
    game = position.game
    geometry = fitting(game, 100, 100, largest=height)
    empty = text_of(Painter(game).paint(game.new_state(), geometry, Marks()))
    assert line in empty
    assert empty.count("•") == len(star_points(9, 9)) == 5
    drawn = text_of(Painter(game).paint(position.state, geometry, Marks()))
    assert drawn.count("•") == 4  # the middle is covered
    assert "┌" not in drawn


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5])
def test_lines_end_at_the_edges_and_meet_in_between(height):
    geometry = Geometry(9, 9, height, 0, 0)
    middle, across = (height - 1) // 2, height - 1
    top_left, inside, bottom_right = (crossing_glyphs(cell, geometry, False) for cell in (0, 40, 80))
    assert all(line >= middle and x >= across for line, x in top_left if top_left[line, x][0] != " ")
    assert all(line <= middle and x <= across for line, x in bottom_right if bottom_right[line, x][0] != " ")
    assert {x for line, x in inside if line == middle} == set(range(2 * height))
    assert {line for line, x in inside if x == across} == set(range(height))


def test_star_points():
    assert star_points(5, 5) == set()
    assert star_points(9, 9) == {(2, 2), (2, 6), (6, 2), (6, 6), (4, 4)}
    assert len(star_points(13, 13)) == 5
    assert len(star_points(19, 19)) == 9


def test_a_board_has_the_colour_that_its_game_asks_for():
    assert Palette.of(load("othello")).cells == GREEN
    assert len(set(Palette.of(load("go:9")).cells)) == 1
    assert Palette.of(load("connect4")).hole is not None
