"""Positions of Go that are given rather than played to: stones on a row, and what a board does not say, as text.

A position given by text begins its game: superko's history holds nothing but itself and the points of `ko`, and the
count of moves, by which a game is limited, begins with these. Fields after the side to move, each left out where it
says what goes without saying:

    ko=c3,d4      points where the side to move may not play now, since that would repeat an earlier position
    passes=1      the last move was a pass; 2: so was the one before, and the game is over
    prisoners=-2  stones that White has lost less those that Black has; where rules count them
    placing=2     stones of a free handicap that Black has still to place
"""

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import PLAYER, State
from keima.games.errors import GameError
from keima.games.go_board import (
    BLACK,
    CHAIN,
    EMPTY,
    FILTER,
    FILTER_WORDS,
    JAPANESE,
    LOST,
    PASSES,
    PLACING,
    PLIES,
    PRISONERS,
    RECENT,
    RULE,
    SIZE,
    TURN,
    bitboard_at,
    flip,
    grid_at,
    point_of,
    put_stone,
)
from keima.games.go_repetition import code_after, forbidden_of, legal_and_doubtful, remember, remember_code

FIELDS = ("ko", "passes", "prisoners", "placing")


def set_stones(state: State, codes: NDArray[np.int64], player: int) -> None:
    """Puts stones [H, W] on the empty board of a row, in place. Raises GameError for a chain without a liberty."""
    size = int(state[SIZE])
    cells = codes.reshape(-1)
    # None is captured on the way: a chain that has a liberty in the end has one without some of the stones.
    for cell in np.flatnonzero(cells):
        put_stone(state, int(cells[cell]) - 1, point_of(size, cell))
    chains = state[grid_at(state, CHAIN) + np.array([point_of(size, cell) for cell in range(size * size)])]
    if ((chains > EMPTY) != (cells > 0)).any():
        raise GameError("position: expected stones that have a liberty each, got a chain without")
    state[PLAYER] = player
    begin_history(state)


def begin_history(state: State) -> None:
    """Makes the position the only one in its history, in place."""
    words = grid_at(state, FILTER)
    state[words : words + FILTER_WORDS] = 0
    state[TURN] = 0
    remember(state)


def forbid(state: State, cells: list[int]) -> None:
    """Makes moves on these cells repetitions, in place; each counts as a move played.

    Raises GameError for one that could not be.
    """
    size = int(state[SIZE])
    player = state[PLAYER]
    for cell in cells:
        point = point_of(size, cell)
        if state[grid_at(state, CHAIN) + point] != EMPTY:
            raise GameError("position: expected empty points after ko=, got one with a stone")
        remember_code(state, code_after(state, point))  # before the current position
        state[TURN] += 1
        state[PLIES] += 1
        flip(state, bitboard_at(state, LOST + player), point)  # a position comes back where a stone was lost
    remember(state)
    if forbidden_cells(state) != sorted(cells):
        raise GameError("position: expected points after ko= where a move would capture, or repeat by the ko rule")


def set_field(state: State, name: str, text: str, most: int) -> None:
    """Sets a field that is a number, in place. most: what `placing` may be at most. Raises GameError."""
    entry, low, high = {"passes": (PASSES, 0, 2), "prisoners": (PRISONERS, -9999, 9999), "placing": (PLACING, 0, most)}[
        name
    ]
    try:
        number = int(text)
    except ValueError:
        number = high + 1
    if not low <= number <= high:
        raise GameError(f"position: {name}: expected a number from {low} to {high}, got {text!r}")
    state[entry] = number
    if name == "passes" and number:
        state[RECENT] = state[SIZE] ** 2
    if name == "placing" and number and state[PLAYER] != BLACK:
        raise GameError("position: placing: expected Black to move, who places the stones of a handicap")


def fields_of(state: State) -> dict[str, str]:
    """The fields that are numbers and not 0."""
    entries = {"passes": PASSES, "prisoners": PRISONERS if state[RULE] == JAPANESE else None, "placing": PLACING}
    return {name: str(state[entry]) for name, entry in entries.items() if entry is not None and state[entry]}


def forbidden_cells(state: State) -> list[int]:
    """The cells where a move would repeat a position."""
    size = int(state[SIZE])
    rows = [int(forbidden_of(state, row + 1, legal_and_doubtful(state, row + 1)[1])) for row in range(size)]
    return [row * size + column for row, bits in enumerate(rows) for column in range(size) if bits >> column & 1]
