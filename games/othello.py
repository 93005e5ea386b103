"""Othello (Reversi): enclose the opponent's discs in a line to turn them over; the more discs at the end wins.

Cells and actions, size 4:    0  1  2  3     State: [side to move, size, whether the game is over], then three grids
                              4  5  6  7     of one word a row with bit c for column c: the first player's discs, the
                              8  9 10 11     second's, and the cells where the side to move may play.
                             12 13 14 15

Action size * size passes; it is legal only where nothing else is. The game is over when neither side can play.
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
    GameError,
    cell_symmetries,
    kernel,
    parameter,
)

SIZE, OVER, DISCS = 1, 2, 3
DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Othello(Game):
    """Othello. Moves are written as cells, a1 in the top left corner, or `pass`."""

    size: int = parameter(8, "rows and columns, an even number", 4, 16)

    players = ("Black", "White")
    board_colour = "green"
    rows_from_top = True
    num_planes = 2
    policy_planes = 1

    def __post_init__(self):
        if self.size % 2:
            raise GameError(f"othello: size is an even number, got {self.size}")

    @property
    def shape(self):
        return self.size, self.size

    @property
    def num_actions(self):
        return self.size**2 + 1

    @property
    def state_size(self):
        return DISCS + 3 * self.size

    @property
    def max_plies(self):
        return 2 * (self.size**2 - 4)  # a disc each, and no two passes in a row

    @property
    def max_legal(self):
        return self.size**2 - 4

    def board(self, state):
        first, second = state[DISCS : DISCS + 2 * self.size].reshape(2, self.size, 1) >> np.arange(self.size) & 1
        return first + 2 * second

    def set_up(self, codes, player):
        state, middle = self.new_state(), slice(self.size // 2 - 1, self.size // 2 + 1)
        if not codes[middle, middle].all():
            raise GameError("position: expected discs on the four cells in the middle")
        state[PLAYER] = player
        for who in range(2):
            grid(state, who)[:] = (codes == who + 1) @ (1 << np.arange(self.size))
        if not mark_moves(state, player):
            state[OVER] = not mark_moves(state, 1 - player)
            grid(state, 2)[:] = 0
        return state

    def position_to_text(self, state):
        return super().position_to_text(state).replace("/", "")  # 64 characters and the side, as is usual

    def symmetries(self):
        return cell_symmetries(self, rotations=True)


@kernel
def grid(state, index):
    """The rows [size] of one of the state's grids, a view: 0 and 1 that player's discs, 2 the playable cells."""
    size = state[SIZE]
    return state[DISCS + index * size : DISCS + (index + 1) * size]


@kernel
def shifted(bits, columns):
    return bits << 1 if columns > 0 else (bits >> 1 if columns < 0 else bits)


@kernel
def mark_moves(state, player):
    """Writes the cells where `player` may play into the state; returns whether there are any.

    Every direction is swept row by row, a whole row at once: `run` is the opponent's discs so far in a line that
    began beside a disc of the player's; an empty cell next in that line is a move.
    """
    size = state[SIZE]
    mine, theirs, moves = grid(state, player), grid(state, 1 - player), grid(state, 2)
    full = (1 << size) - 1
    for row in range(size):
        moves[row] = 0
        for columns in (-1, 1):
            run = shifted(mine[row], columns) & theirs[row]
            while run:
                beyond = shifted(run, columns)
                moves[row] |= beyond
                run = beyond & theirs[row]
    for columns in (-1, 0, 1):
        for down in (True, False):
            run = beside = 0
            for i in range(size):
                row = i if down else size - 1 - i
                beyond = shifted(run, columns)
                moves[row] |= beyond
                run = (beyond | shifted(beside, columns)) & theirs[row]
                beside = mine[row]
    found = 0
    for row in range(size):
        moves[row] &= full & ~(mine[row] | theirs[row])
        found |= moves[row]
    return found != 0


@kernel
def reset(state, parameters):
    size = parameters[0]
    state[:] = 0
    state[SIZE] = size
    left = 1 << (size // 2 - 1)
    black, white = grid(state, 0), grid(state, 1)
    black[size // 2 - 1], black[size // 2] = left << 1, left
    white[size // 2 - 1], white[size // 2] = left, left << 1
    mark_moves(state, 0)


@kernel
def legal_actions(state, actions):
    size, moves = state[SIZE], grid(state, 2)
    n = 0
    for row in range(size):
        if moves[row]:
            for column in range(size):
                if moves[row] >> column & 1:
                    actions[n] = row * size + column
                    n += 1
    if n == 0:
        actions[0] = size * size
        n = 1
    return n


@kernel
def turn_discs(state, me, row, column):
    """Places a disc of player `me` and turns over what it encloses."""
    size, mine, theirs = state[SIZE], grid(state, me), grid(state, 1 - me)
    mine[row] |= 1 << column
    for down, right in DIRECTIONS:
        r, c, length = row + down, column + right, 0
        while 0 <= r < size and 0 <= c < size and theirs[r] >> c & 1:
            r, c, length = r + down, c + right, length + 1
        if 0 <= r < size and 0 <= c < size and mine[r] >> c & 1:
            for i in range(1, length + 1):
                disc = 1 << (column + i * right)
                mine[row + i * down] |= disc
                theirs[row + i * down] &= ~disc


@kernel
def play(state, action):
    size, me = state[SIZE], state[PLAYER]
    if action < size * size:
        turn_discs(state, me, action // size, action % size)
    state[PLAYER] = 1 - me
    if not mark_moves(state, 1 - me):
        state[OVER] = not mark_moves(state, me)
        grid(state, 2)[:] = 0


@kernel
def outcome(state):
    if not state[OVER]:
        return ONGOING
    points = score(state)
    return FIRST_WINS if points > 0 else (SECOND_WINS if points < 0 else DRAW)


@kernel
def encode(state, planes):
    size = state[SIZE]
    mine, theirs = grid(state, state[PLAYER]), grid(state, 1 - state[PLAYER])
    for row in range(size):
        for column in range(size):
            planes[0, row, column] = mine[row] >> column & 1
            planes[1, row, column] = theirs[row] >> column & 1


@kernel
def ownership(state, owners):
    size, first, second = state[SIZE], grid(state, 0), grid(state, 1)
    for cell in range(size * size):
        row, column = cell // size, cell % size
        owners[cell] = (first[row] >> column & 1) - (second[row] >> column & 1)


@kernel
def score(state):
    """The first player's discs less the second's; empty cells count for nobody."""
    size, first, second = state[SIZE], grid(state, 0), grid(state, 1)
    points = 0
    for row in range(size):
        for column in range(size):
            points += (first[row] >> column & 1) - (second[row] >> column & 1)
    return points
