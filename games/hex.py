"""Hex: Red joins the top edge to the bottom edge, Blue the left edge to the right edge. There is no swap rule.

Each row of cells is shifted half a cell to the right of the one above it, so a cell touches six others:

    Red's cells and actions, size 3:    0 1 2         Blue's:    0 3 6          4 touches 1 2 3 5 6 7, whoever
                                         3 4 5                    1 4 7         looks at it.
                                          6 7 8                    2 5 8

Blue sees the board with rows and columns exchanged, which keeps all neighbours and turns his left edge into the
top: the side to move always goes from top to bottom, and his actions are numbered as he sees them.

State: [side to move, size], then for each player three grids of one word a row, bit c for column c, all as that
player sees the board: his stones, the opponent's stones, and those of his stones that are joined to his top edge.
"""

import string
from dataclasses import dataclass

import numpy as np

from keima.games.contract import (
    FIRST_WINS,
    ONGOING,
    PLAYER,
    SECOND_WINS,
    Game,
    GameError,
    Symmetry,
    check_alternation,
    identity,
    kernel,
    parameter,
)

SIZE, GRIDS = 1, 2
OWN, OTHER, JOINED = 0, 1, 2


@dataclass(frozen=True)
class Hex(Game):
    """Hex without the swap rule; it cannot be drawn. Moves are cells, a1 in the top left corner."""

    size: int = parameter(11, "rows and columns", 2, 19)

    players = ("Red", "Blue")
    pieces = ".RB"
    rows_from_top = True
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
        return GRIDS + 6 * self.size

    @property
    def max_plies(self):
        return self.size**2

    def board(self, state):
        red, blue = state[GRIDS : GRIDS + 2 * self.size].reshape(2, self.size, 1) >> np.arange(self.size) & 1
        return red + 2 * blue

    def set_up(self, codes, player):
        check_alternation(codes, player, self.pieces)
        state = self.new_state()
        for who, board in enumerate((codes, codes.T)):  # each as that side sees it
            for cell in np.flatnonzero(board == 1 + who):
                state[PLAYER] = who
                play(state, cell)
        state[PLAYER] = player
        if self.outcome(state) == player:
            raise GameError(f"position: {self.players[player]}'s edges are joined, so the game ended before")
        return state

    def action_to_text(self, state, action):
        row, column = divmod(action, self.size)
        return self.cell_to_text(column * self.size + row if state[PLAYER] else action)

    def render(self, state):
        header = "  " + " ".join(string.ascii_lowercase[: self.size])
        rows = [
            f"{' ' * row}{row + 1:>2} {' '.join(self.pieces[code] for code in codes)}"
            for row, codes in enumerate(self.board(state))
        ]
        return "\n".join([header, *rows])

    def symmetries(self):
        turned = np.arange(self.size**2)[::-1].copy()
        return [identity(self), Symmetry(turned, turned)]


@kernel
def grid(state, player, index):
    """The rows [size] of one of a player's grids, a view."""
    size = state[SIZE]
    start = GRIDS + (3 * player + index) * size
    return state[start : start + size]


@kernel
def reset(state, parameters):
    state[:] = 0
    state[SIZE] = parameters[0]


@kernel
def legal_actions(state, actions):
    size, own, other = state[SIZE], grid(state, state[PLAYER], OWN), grid(state, state[PLAYER], OTHER)
    n = 0
    for row in range(size):
        stones = own[row] | other[row]
        for column in range(size):
            if not stones >> column & 1:
                actions[n] = row * size + column
                n += 1
    return n


@kernel
def beside_joined(joined, row):
    """The cells of a row that touch a joined stone or the top edge, some off the board; joined stones are in it."""
    above = joined[row - 1] if row > 0 else -1
    below = joined[row + 1] if row + 1 < len(joined) else 0
    return joined[row] << 1 | joined[row] | joined[row] >> 1 | above | above >> 1 | below | below << 1


@kernel
def play(state, action):
    size, me = state[SIZE], state[PLAYER]
    row, column = action // size, action % size
    own, joined = grid(state, me, OWN), grid(state, me, JOINED)
    own[row] |= 1 << column
    grid(state, 1 - me, OTHER)[column] |= 1 << row
    state[PLAYER] = 1 - me
    # Stones become joined to the top only when the new stone is; each does so once in a game.
    spreading = beside_joined(joined, row) >> column & 1
    while spreading:
        spreading = 0
        for r in range(size):
            reached = own[r] & beside_joined(joined, r)
            spreading |= reached ^ joined[r]
            joined[r] = reached


@kernel
def outcome(state):
    bottom = state[SIZE] - 1
    if grid(state, 0, JOINED)[bottom]:
        return FIRST_WINS
    return SECOND_WINS if grid(state, 1, JOINED)[bottom] else ONGOING


@kernel
def encode(state, planes):
    size, own, other = state[SIZE], grid(state, state[PLAYER], OWN), grid(state, state[PLAYER], OTHER)
    for row in range(size):
        for column in range(size):
            planes[0, row, column] = own[row] >> column & 1
            planes[1, row, column] = other[row] >> column & 1
