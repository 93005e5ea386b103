"""Positions as text: the cells row by row from the top, then the side to move, as in `X.O/.X./... O`.

A cell is a character of the game's `pieces`. What is read may also have `-` or `_` for an empty cell, a number for so
many of them, as in FEN, letters of either case where the pieces differ without, and no `/` between the rows or spaces
in its place. The side to move is written as its piece, and read as its piece, its name or the name's first letter.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keima.games.errors import GameError

Codes = NDArray[np.int64]
"""[H, W]: a board as `Game.board` has it, numbers into `Game.pieces`, the top row first."""


def side_text(player: int, pieces: str, players: Sequence[str]) -> str:
    """The side to move as it is written: its piece where each side has one kind, else its name."""
    return pieces[1 + player] if len(pieces) == 3 else players[player].replace(" ", "").lower()


def board_text(codes: Codes, pieces: str) -> str:
    """The cells, rows from the top with `/` between them."""
    return "/".join("".join(pieces[code] for code in row) for row in codes)


def looks_like_board(text: str, shape: tuple[int, int], pieces: str) -> bool:
    """Whether a text is meant for a board, rather than for moves."""
    first = text.split()[0]
    is_cells = all(c in pieces + "-_." or c.isdecimal() for c in first) and not first.isdecimal() and len(first) > 1
    return "/" in first or (is_cells and (any(c in "-_." for c in first) or len(first) == shape[0] * shape[1]))


def read_board(text: str, shape: tuple[int, int], pieces: str, players: Sequence[str]) -> tuple[Codes, int]:
    """The codes and the side to move that a text stands for. Raises GameError: what was expected, what came."""
    height, width = shape
    tokens = re.sub(r"\s*/\s*", "/", text).split()
    if len(tokens) < 2:
        raise GameError(f"position {shown(text)}: expected the side to move after the board, {_sides(pieces, players)}")
    side = _read_side(tokens[-1], pieces, players)
    if side is None:
        raise GameError(
            f"position {shown(text)}: expected the side to move, {_sides(pieces, players)}, got {shown(tokens[-1])}"
        )
    rows = [part for token in tokens[:-1] for part in token.split("/")]
    if len(rows) == 1 and height > 1:  # without anything between the rows
        cells = _read_cells(rows[0], pieces, text)
        if len(cells) != height * width:
            raise GameError(
                f"position {shown(text)}: expected {height * width} cells, {height} rows of {width}, got {len(cells)}"
            )
        return np.array(cells, np.int64).reshape(shape), side
    if len(rows) != height:
        raise GameError(f"position {shown(text)}: expected {height} rows with / between them, got {len(rows)}")
    board = [_read_cells(row, pieces, text) for row in rows]
    for number, cells in enumerate(board, 1):
        if len(cells) != width:
            raise GameError(
                f"position {shown(text)}: expected {width} cells in row {number} from the top, got {len(cells)}"
            )
    return np.array(board, np.int64), side


def check_alternation(codes: Codes, player: int, pieces: str) -> None:
    """Raises GameError where stones that are put down in turns, and stay, cannot be as many of each side."""
    first, second = int((codes == 1).sum()), int((codes == 2).sum())
    if first - second != player:
        expected = "as many of both" if player == 0 else f"one {pieces[1]} more than {pieces[2]}"
        raise GameError(
            f"position: expected {expected} where {pieces[1 + player]} is to move, got {first} {pieces[1]} and "
            f"{second} {pieces[2]}"
        )


def shown(text: str) -> str:
    """A text as messages quote it."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _read_cells(row: str, pieces: str, text: str) -> list[int]:
    cells: list[int] = []
    for run in re.findall(r"[0-9]+|.", row) if not any(c.isdigit() for c in pieces) else row:
        if run.isdecimal() and run.isascii() and run not in pieces:
            cells += [0] * min(int(run[:4]), 1000)
        else:
            cells.append(_read_cell(run, pieces, text))
    return cells


def _read_cell(character: str, pieces: str, text: str) -> int:
    if character in pieces:
        return pieces.index(character)
    if character in "-_.":
        return 0
    folded = [code for code, piece in enumerate(pieces) if piece.lower() == character.lower()]
    if len(folded) == 1:
        return folded[0]
    raise GameError(f"position {shown(text)}: expected cells of {' '.join(pieces)}, got {character!r}")


def _read_side(text: str, pieces: str, players: Sequence[str]) -> int | None:
    wanted = text.lower()
    sides = [{name.lower(), name.replace(" ", "").lower()} for name in players]
    if players[0][:1].lower() != players[1][:1].lower():
        sides = [names | {name[:1].lower()} for names, name in zip(sides, players, strict=True)]
    if len(pieces) == 3 and pieces[1].lower() != pieces[2].lower():
        pieces_of = [{pieces[1].lower()}, {pieces[2].lower()}]
        sides = [names | own - other for names, own, other in zip(sides, pieces_of, pieces_of[::-1], strict=True)]
    found = [player for player in range(2) if wanted in sides[player]]
    return found[0] if len(found) == 1 else None


def _sides(pieces: str, players: Sequence[str]) -> str:
    return " or ".join(side_text(player, pieces, players) for player in range(2))
