"""Connect Four: drop stones into seven columns of six; four in a row wins.

Action c drops into column c (0 is the leftmost, written "1"). Each player's stones are a set of bits, seven to a
column so that a line cannot run from the top of one column into the bottom of the next; the seventh bit stays empty:

    row of planes   0    5 12 19 26 33 40 47
                    1    4 11 18 25 32 39 46
                    2    3 10 17 24 31 38 45         State: [side to move, plies played,
                    3    2  9 16 23 30 37 44                 first player's bits, second player's bits]
                    4    1  8 15 22 29 36 43
                    5    0  7 14 21 28 35 42
"""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import DRAW, ONGOING, PLAYER, Game, GameError, Symmetry, check_alternation, identity, kernel

ROWS, COLUMNS = 6, 7
STRIDE = ROWS + 1  # bits a column
PLIES = 1
STONES = 2  # state[STONES + player]: that player's bits
BITS = np.array([[c * STRIDE + ROWS - 1 - r for c in range(COLUMNS)] for r in range(ROWS)])


@dataclass(frozen=True)
class ConnectFour(Game):
    """Connect Four, 7 columns by 6 rows. Moves are written as the column's number, 1 to 7."""

    shape = (ROWS, COLUMNS)
    num_planes = 2
    num_actions = COLUMNS
    state_size = 4
    max_plies = ROWS * COLUMNS

    def board(self, state):
        return (state[STONES] >> BITS & 1) + 2 * (state[STONES + 1] >> BITS & 1)

    def set_up(self, codes, player):
        check_alternation(codes, player, self.pieces)
        if ((codes[:-1] > 0) & (codes[1:] == 0)).any():
            raise GameError("position: expected every stone on another one or on the bottom row")
        stones = [(1 << BITS[codes == code]).sum() for code in (1, 2)]
        if has_four(stones[player]):
            raise GameError(f"position: {self.pieces[1 + player]} has four in a row, so the game ended before")
        return np.array([player, (codes > 0).sum(), *stones])

    def action_to_text(self, state, action):
        return str(action + 1)

    def render(self, state):
        rows = [" ".join(self.pieces[code] for code in row) for row in self.board(state)]
        return "\n".join([*rows, " ".join(str(c + 1) for c in range(COLUMNS))])

    def symmetries(self):
        mirrored_cells = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)[:, ::-1].reshape(-1)
        return [identity(self), Symmetry(mirrored_cells, np.arange(COLUMNS)[::-1].copy())]


@kernel
def reset(state, parameters):
    state[:] = 0


@kernel
def legal_actions(state, actions):
    stones = state[STONES] | state[STONES + 1]
    n = 0
    for column in range(COLUMNS):
        if not stones >> (column * STRIDE + ROWS - 1) & 1:
            actions[n] = column
            n += 1
    return n


@kernel
def play(state, action):
    stones = state[STONES] | state[STONES + 1]
    bottom = 1 << (action * STRIDE)
    # Adding the bottom bit to a column's stack of ones carries into its lowest empty cell.
    column = ((1 << ROWS) - 1) * bottom
    state[STONES + state[PLAYER]] |= ((stones & column) + bottom) & column
    state[PLAYER] = 1 - state[PLAYER]
    state[PLIES] += 1


@kernel
def has_four(bits):
    for step in (1, STRIDE, STRIDE - 1, STRIDE + 1):  # up, right, down-right, up-right
        pairs = bits & bits >> step
        if pairs & pairs >> 2 * step:
            return True
    return False


@kernel
def outcome(state):
    mover = 1 - state[PLAYER]
    if has_four(state[STONES + mover]):
        return mover
    return DRAW if state[PLIES] == ROWS * COLUMNS else ONGOING


@kernel
def encode(state, planes):
    mine, theirs = state[STONES + state[PLAYER]], state[STONES + 1 - state[PLAYER]]
    for row in range(ROWS):
        for column in range(COLUMNS):
            bit = column * STRIDE + ROWS - 1 - row
            planes[0, row, column] = mine >> bit & 1
            planes[1, row, column] = theirs >> bit & 1


@kernel
def position_hash(state):
    # A column of h stones alone is 2^h - 1, and with the mover's stones among them added less than 2^(h + 1) - 1.
    return state[STONES + state[PLAYER]] + (state[STONES] | state[STONES + 1])
