"""Where a board's cells are on the screen, and so which cell a click hits."""

from dataclasses import dataclass

from keima.agent.terminal.screen.move_cells import draws_itself, labels, row_shift, shows_texts
from keima.games.contract import Game

LARGEST = 8
"""Lines that a cell has at most."""
LEAST_WITH_TEXTS = 2
"""Lines that a cell has at least where a text stands in it, which two characters would not hold with a space."""
LINES_OF_MOVES = 3
"""Lines below a game's own drawing, for its moves."""
MOVES_WIDTH = 44
"""Columns that these get where there is room."""


@dataclass(frozen=True)
class Geometry:
    """Where a board's cells are on a canvas of characters; `height` is a cell's, its width is twice that."""

    rows: int
    columns: int
    height: int
    shift: int  # half cells each row stands to the right of the one above
    label_width: int  # characters left of the cells

    @property
    def width(self) -> int:
        """A cell's, in characters."""
        return 2 * self.height

    @property
    def size(self) -> tuple[int, int]:
        """Characters across and lines, the labels included."""
        shifted = self.shift * (self.rows - 1) * self.width // 2
        return self.label_width + self.columns * self.width + shifted, self.rows * self.height + 1

    def left(self, row: int) -> int:
        """The first character of a row's first cell."""
        return self.label_width + self.shift * row * self.width // 2

    def cell_at(self, x: int, y: int) -> int | None:
        """The cell drawn at a character."""
        row = y // self.height
        if not 0 <= row < self.rows or x < self.left(row):
            return None
        column = (x - self.left(row)) // self.width
        return row * self.columns + column if column < self.columns else None


def label_width(game: Game) -> int:
    """Characters that the labels of rows take, with the space after them; none where rows have no names."""
    longest = max(map(len, labels(game).rows))
    return longest + 1 if longest else 0


def board_size(game: Game, width: int, height: int, largest: int = LARGEST) -> tuple[int, int] | None:
    """Columns and lines that a game's board takes of so many, what stands below it included; None where it does not
    fit."""
    if draws_itself(game):
        lines = game.render(game.new_state()).splitlines()
        size = max(map(len, lines), default=0), len(lines) + LINES_OF_MOVES
        return size if size[0] <= width and size[1] <= height else None
    below = len(game.beside(game.new_state()))
    geometry = fitting(game, width, height - below, largest)
    return None if geometry is None else (geometry.size[0], geometry.size[1] + below)


def fitting(game: Game, width: int, height: int, largest: int = LARGEST) -> Geometry | None:
    """The largest geometry for so many characters and lines; None where even the smallest does not fit."""
    rows, columns = game.shape
    shift, beside = row_shift(game), label_width(game)
    for lines in range(largest, LEAST_WITH_TEXTS - 1 if shows_texts(game) else 0, -1):
        geometry = Geometry(rows, columns, lines, shift, beside)
        if geometry.size[0] <= width and geometry.size[1] <= height:
            return geometry
    return None
