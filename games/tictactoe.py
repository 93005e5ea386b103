"""Tic-tac-toe: three in a row on a 3x3 board.

Cells and actions:   0 1 2      State: [side to move, the first player's cells, the second's], each player's cells
                     3 4 5      a set of bits, bit c for cell c.
                     6 7 8
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, ONGOING, PLAYER, Game, Symmetry, cell_symmetries, check_alternation, kernel

CELLS = 9
STONES = 1  # state[STONES + player]: that player's cells
FULL = 0b111_111_111
LINES = (0b111, 0b111_000, 0b111_000_000, 0b001_001_001, 0b010_010_010, 0b100_100_100, 0b100_010_001, 0b001_010_100)


@dataclass(frozen=True)
class TicTacToe(Game):
    """Tic-tac-toe on a 3x3 board."""

    shape = (3, 3)
    num_planes = 2
    num_actions = CELLS
    state_size = 3
    max_plies = CELLS
    policy_planes = 1

    def board(self, state: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array([(state[1] >> c & 1) + 2 * (state[2] >> c & 1) for c in range(CELLS)]).reshape(3, 3)

    def set_up(self, codes: NDArray[np.int64], player: int) -> NDArray[np.int64]:
        check_alternation(codes, player, self.pieces)
        return np.array([player, *((1 << np.flatnonzero(codes == code)).sum() for code in (1, 2))])

    def symmetries(self) -> list[Symmetry]:
        return cell_symmetries(self, rotations=True)


@kernel
def reset(state: NDArray[np.int64], parameters: NDArray[np.int64]) -> None:
    state[:] = 0


@kernel
def legal_actions(state: NDArray[np.int64], actions: NDArray[np.int32]) -> int:
    n = 0
    for cell in range(CELLS):
        if not (state[STONES] | state[STONES + 1]) >> cell & 1:
            actions[n] = cell
            n += 1
    return n


@kernel
def play(state: NDArray[np.int64], action: int) -> None:
    state[STONES + state[PLAYER]] |= 1 << action
    state[PLAYER] = 1 - state[PLAYER]


@kernel
def outcome(state: NDArray[np.int64]) -> int:
    for player in range(2):
        for line in LINES:
            if state[STONES + player] & line == line:
                return player
    return DRAW if state[STONES] | state[STONES + 1] == FULL else ONGOING


@kernel
def encode(state: NDArray[np.int64], planes: NDArray[np.float32]) -> None:
    me = state[PLAYER]
    for cell in range(CELLS):
        planes[0, cell // 3, cell % 3] = state[STONES + me] >> cell & 1
        planes[1, cell // 3, cell % 3] = state[STONES + 1 - me] >> cell & 1
