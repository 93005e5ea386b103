"""Gomoku, freestyle: five stones in a row win, more than five too; a full board is a draw.

Cells and actions, size 3:    0 1 2     State: [side to move, size, stones in a row that win, plies played, last
                              3 4 5     action], then two grids of one word a row with bit c for column c: the first
                              6 7 8     player's stones, the second's.
"""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import (
    DRAW,
    ONGOING,
    PLAYER,
    Game,
    GameError,
    cell_symmetries,
    check_alternation,
    kernel,
    parameter,
)

SIZE, WIN, PLIES, LAST, STONES = 1, 2, 3, 4, 5
LINES = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down, columns right


@dataclass(frozen=True)
class Gomoku(Game):
    """Gomoku, freestyle (an overline wins, no forbidden moves). Moves are cells, a1 in the bottom left corner."""

    size: int = parameter(15, "rows and columns", 3, 19)
    win: int = parameter(5, "stones in a row that win", 3, 19)

    players = ("Black", "White")
    has_crossings = True
    num_planes = 2
    policy_planes = 1

    def __post_init__(self):
        if self.win > self.size:
            raise GameError(f"gomoku: win is at most the size, {self.size}, got {self.win}")

    @property
    def shape(self):
        return self.size, self.size

    @property
    def num_actions(self):
        return self.size**2

    @property
    def state_size(self):
        return STONES + 2 * self.size

    @property
    def max_plies(self):
        return self.size**2

    def board(self, state):
        first, second = state[STONES:].reshape(2, self.size, 1) >> np.arange(self.size) & 1
        return first + 2 * second

    def set_up(self, codes, player):
        """See `Game`. The last move, through which a row is looked for, is one in a row where there is such."""
        check_alternation(codes, player, self.pieces)
        state, last = self.new_state(), None
        for who in (player, 1 - player):
            for cell in np.flatnonzero(codes == 1 + who):
                state[PLAYER] = who
                play(state, cell)
                last = cell if self.outcome(state) == who else last
            if who == player and last is not None:
                raise GameError(f"position: {self.pieces[1 + who]} has {self.win} in a row, so the game ended before")
        state[LAST] = state[LAST] if last is None else last
        return state

    def symmetries(self):
        return cell_symmetries(self, rotations=True)


@kernel
def stones_of(state, player):
    """A player's rows [size], a view."""
    size = state[SIZE]
    return state[STONES + player * size : STONES + (player + 1) * size]


@kernel
def reset(state, parameters):
    state[:] = 0
    state[SIZE] = parameters[0]
    state[WIN] = parameters[1]


@kernel
def legal_actions(state, actions):
    size, first, second = state[SIZE], stones_of(state, 0), stones_of(state, 1)
    n = 0
    for row in range(size):
        stones = first[row] | second[row]
        for column in range(size):
            if not stones >> column & 1:
                actions[n] = row * size + column
                n += 1
    return n


@kernel
def play(state, action):
    size = state[SIZE]
    stones_of(state, state[PLAYER])[action // size] |= 1 << action % size
    state[PLAYER] = 1 - state[PLAYER]
    state[PLIES] += 1
    state[LAST] = action


@kernel
def run_length(stones, row, column, down, right, enough):
    """How many stones follow the cell in one direction; counting stops at `enough`."""
    size, length = len(stones), 0
    row, column = row + down, column + right
    while length < enough and 0 <= row < size and 0 <= column < size and stones[row] >> column & 1:
        row, column, length = row + down, column + right, length + 1
    return length


@kernel
def outcome(state):
    if state[PLIES] == 0:
        return ONGOING
    # Only the last stone can have completed a row, so only the lines through it are looked at.
    size, win, mover = state[SIZE], state[WIN], 1 - state[PLAYER]
    row, column = state[LAST] // size, state[LAST] % size
    stones = stones_of(state, mover)
    for down, right in LINES:
        before = run_length(stones, row, column, -down, -right, win - 1)
        if before + 1 + run_length(stones, row, column, down, right, win - 1) >= win:
            return mover
    return DRAW if state[PLIES] == size * size else ONGOING


@kernel
def encode(state, planes):
    size = state[SIZE]
    mine, theirs = stones_of(state, state[PLAYER]), stones_of(state, 1 - state[PLAYER])
    for row in range(size):
        for column in range(size):
            planes[0, row, column] = mine[row] >> column & 1
            planes[1, row, column] = theirs[row] >> column & 1
