"""The cells of moves and what is printed beside a board, read off a game's own notation and drawing.

Nothing here knows a game. A move's cells are those that `Game.action_cells` says, where a game has it. Otherwise they
are those that its text names, as `c4`, `a2a3` or `Nf3`; where it names none or only where it goes, what its playing
changes on the board says the rest, so Connect Four's `4` is the cell where the stone lands.

Cells are numbered row by row from the top left corner of the drawn board, [H * W].
"""

import functools
import string
from dataclasses import dataclass

import numpy as np

from keima.games.contract import PLAYER, Game, State

EMPTY = 0
"""The code of an empty cell in every game's `board`."""


@dataclass(frozen=True)
class Labels:
    """What is printed beside a board."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]  # empty texts where moves are whole columns


@functools.cache
def plays_columns(game: Game) -> bool:
    """Whether a move is a column, as in Connect Four: no more actions than columns, each named as its column."""
    if game.num_actions != game.shape[1] or type(game).action_cells is not Game.action_cells:
        return False
    state = game.new_state()
    return all(game.action_to_text(state, a).lower() in _column_names(a) for a in map(int, game.legal(state)))


def _column_names(column: int) -> tuple[str, ...]:
    letters = string.ascii_lowercase
    return (str(column + 1), letters[column]) if column < len(letters) else (str(column + 1),)


@functools.cache
def labels(game: Game) -> Labels:
    """The names of columns and rows: what the names of their cells have in common."""
    height, width = game.shape
    if plays_columns(game):
        state = game.new_state()
        return Labels(tuple(game.action_to_text(state, column) for column in range(width)), ("",) * height)
    if type(game).column_labels is not Game.column_labels:
        return Labels(tuple(game.column_labels), tuple(str(game.row_label(row)) for row in range(height)))
    names = [[game.cell_to_text(row * width + column) for column in range(width)] for row in range(height)]
    rows = [_common_ending(row) for row in names]
    return Labels(tuple(name.removesuffix(rows[0]) for name in names[0]), tuple(rows))


def _common_ending(texts: list[str]) -> str:
    """The longest text that all of `texts` end with."""
    length = 0
    while length < min(map(len, texts)) and len({text[-length - 1] for text in texts}) == 1:
        length += 1
    return texts[0][len(texts[0]) - length :]


@functools.cache
def shows_texts(game: Game) -> bool:
    """Whether cells hold texts of the game's own, as a number of seeds, rather than pieces."""
    return type(game).cell_texts is not Game.cell_texts


@functools.cache
def draws_itself(game: Game) -> bool:
    """Whether the game is to be shown as it draws itself: its `render` is its own and shows other things than rows of
    pieces, and nothing else says where its moves are."""
    says_cells = type(game).action_cells is not Game.action_cells or shows_texts(game)
    return type(game).render is not Game.render and not says_cells and _starts_of_rows(game) is None


@functools.cache
def row_shift(game: Game) -> int:
    """By how many half cells each row stands to the right of the one above it: 1 where `render` draws it so (Hex)."""
    steps = set(np.diff(_starts_of_rows(game) or ()).tolist())
    return int(steps == {1})  # pieces are printed two characters apart


def _starts_of_rows(game: Game) -> list[int] | None:
    """Where the rows of the first position begin in the lines of `render`; None where they are not found there."""
    state = game.new_state()
    lines = game.render(state).splitlines()
    starts = []
    for codes in game.board(state):
        row = " ".join(game.pieces[code] for code in codes)
        while lines and not lines[0].endswith(row):
            lines.pop(0)
        if not lines:
            return None
        starts.append(len(lines.pop(0)) - len(row))
    return starts


@dataclass(frozen=True)
class MoveCells:
    """Where a move takes place."""

    source: int | None
    """The cell that a piece leaves; None where a piece is put on the board."""
    target: int | None
    """The cell that it goes to; None for a move without a place, as a pass."""


class LegalMoves:
    """The legal moves of a position by their cells, for pointing at them."""

    def __init__(self, game: Game, state: State, only: int | None = None) -> None:
        """`only`: a single one of them, where no others matter."""
        self.game = game
        self.state = state
        self.actions = [int(action) for action in game.legal(state)] if only is None else [only]
        self._by_columns = plays_columns(game)
        mover = int(state[PLAYER])
        self._own = np.array([owner == mover for owner in owners_of_pieces(game)])  # by code
        self.cells = {action: self._cells_of(action, cell_names(game)) for action in self.actions}

    def sources(self) -> set[int]:
        """The cells of pieces that can move."""
        return {cells.source for cells in self.cells.values() if cells.source is not None}

    def targets(self, source: int | None = None) -> set[int]:
        """The cells that a piece on `source` can go to, or where one can be put."""
        return {c.target for c in self.cells.values() if c.source == source and c.target is not None}

    def at(self, target: int, source: int | None = None) -> list[int]:
        """The actions that go to a cell, from `source` or from off the board; several where a piece promotes."""
        if self._by_columns:
            column = target % self.game.shape[1]
            return [column] if column in self.actions else []
        wanted = MoveCells(source, target)
        return [action for action, cells in self.cells.items() if cells == wanted]

    def without_place(self) -> list[int]:
        """Passes and their like."""
        return [action for action, cells in self.cells.items() if cells.target is None]

    def _cells_of(self, action: int, names: dict[str, int]) -> MoveCells:
        said = self.game.action_cells(self.state, action)
        if said is not None:
            return MoveCells(said[0] if len(said) > 1 else None, said[-1] if said else None)
        named = _cells_named(self.game.action_to_text(self.state, action), names)
        if len(named) >= 2:
            return MoveCells(named[0], named[1])
        if named and self.game.policy_planes == 1:  # actions are cells: nothing leaves another one
            return MoveCells(None, named[0])
        left, entered = self._changes(action)
        if named:
            return MoveCells(left[0] if len(left) == 1 else None, named[0])
        if len(entered) == 1 and len(left) <= 1:
            return MoveCells(left[0] if left else None, entered[0])
        return MoveCells(None, None)

    def _changes(self, action: int) -> tuple[list[int], list[int]]:
        """The cells that a piece of the side to move leaves by a move, and the empty cells that get a piece."""
        before = self.game.board(self.state).reshape(-1)
        after = self.game.board(self.game.after(self.state, action)).reshape(-1)
        left = np.flatnonzero(self._own[before] & (after == EMPTY))
        entered = np.flatnonzero((before == EMPTY) & (after != EMPTY))
        return left.tolist(), entered.tolist()


@functools.cache
def cell_names(game: Game) -> dict[str, int]:
    """Every cell by its name in lower case."""
    return {game.cell_to_text(cell).lower(): cell for cell in range(game.shape[0] * game.shape[1])}


def _cells_named(text: str, cells: dict[str, int]) -> list[int]:
    """The cells whose names stand in a move's text, from left to right; the longer name where two would do."""
    text, found, start = text.lower(), [], 0
    longest = max(map(len, cells))
    while start < len(text):
        for length in range(longest, 1, -1):
            name = text[start : start + length]
            if len(name) == length and name in cells:
                found.append(cells[name])
                start += length
                break
        else:
            start += 1
    return found


@functools.cache
def owners_of_pieces(game: Game) -> tuple[int | None, ...]:
    """Whose each code of `board` is: 0, 1, or None for the empty cell.

    Where letters tell the sides apart by case, as chess does, capitals are the first player's; otherwise the first
    half of the codes are.
    """
    pieces = game.pieces[1:]
    by_case = any(piece.islower() for piece in pieces) and any(piece.isupper() for piece in pieces)
    half = (len(pieces) + 1) // 2
    return None, *(int(piece.islower()) if by_case else int(i >= half) for i, piece in enumerate(pieces))
