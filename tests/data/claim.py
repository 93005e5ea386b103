"""Claim: a stone turns over the opponent's stones beside it; when the board is full, the more stones win.

The second player sees the board turned by half, and numbers actions as he sees it. State: [side to move, size, stones
on the board], then a code for each cell as the first player sees it: 0 empty, 1 the first player's, 2 the second's.
"""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import (
    DRAW,
    FIRST_WINS,
    ONGOING,
    PLAYER,
    SECOND_WINS,
    Game,
    cell_symmetries,
    kernel,
    parameter,
)

SIZE, STONES, CELLS = 1, 2, 3
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))
SIGNS = (0, 1, -1)  # what a cell's code counts for the first player


@dataclass(frozen=True)
class Claim(Game):
    """Claim. Moves are cells, a1 in the bottom left corner."""

    size: int = parameter(3, "rows and columns", 2, 4)

    num_planes = 2
    policy_planes = 1

    @property
    def shape(self):
        return self.size, self.size

    @property
    def num_actions(self):
        return self.size**2

    @property
    def state_size(self):
        return CELLS + self.size**2

    @property
    def max_plies(self):
        return self.size**2

    def board(self, state):
        return np.array(state[CELLS:]).reshape(self.shape)

    def action_to_text(self, state, action):
        return self.cell_to_text(int(cell_of(state, action)))

    def symmetries(self):
        return cell_symmetries(self, rotations=True)


@kernel
def cell_of(state, action):
    cells = state[SIZE] * state[SIZE]
    return cells - 1 - action if state[PLAYER] else action


@kernel
def reset(state, parameters):
    state[:] = 0
    state[SIZE] = parameters[0]


@kernel
def legal_actions(state, actions):
    n = 0
    for action in range(state[SIZE] * state[SIZE]):
        if state[CELLS + cell_of(state, action)] == 0:
            actions[n] = action
            n += 1
    return n


@kernel
def play(state, action):
    size, me = state[SIZE], state[PLAYER]
    cell = cell_of(state, action)
    row, column = cell // size, cell % size
    state[CELLS + cell] = 1 + me
    for down, right in STEPS:
        r, c = row + down, column + right
        if 0 <= r < size and 0 <= c < size and state[CELLS + r * size + c] == 2 - me:
            state[CELLS + r * size + c] = 1 + me
    state[STONES] += 1
    state[PLAYER] = 1 - me


@kernel
def outcome(state):
    if state[STONES] < state[SIZE] * state[SIZE]:
        return ONGOING
    points = score(state)
    return FIRST_WINS if points > 0 else (SECOND_WINS if points < 0 else DRAW)


@kernel
def encode(state, planes):
    size, me = state[SIZE], state[PLAYER]
    for action in range(size * size):
        code = state[CELLS + cell_of(state, action)]
        planes[0, action // size, action % size] = code == 1 + me
        planes[1, action // size, action % size] = code == 2 - me


@kernel
def ownership(state, owners):
    for cell in range(state[SIZE] * state[SIZE]):
        owners[cell] = SIGNS[state[CELLS + cell]]


@kernel
def score(state):
    points = 0
    for cell in range(state[SIZE] * state[SIZE]):
        points += SIGNS[state[CELLS + cell]]
    return points
