"""Breakthrough: a piece steps one row forward, straight or diagonally; the first to reach the far row wins.

A diagonal step may capture, a straight one needs an empty cell. A side without pieces has lost.

Cells, 3 columns:    0 1 2     Actions: direction * rows * columns + the cell the piece leaves, with directions
                     3 4 5     0 forward to the left, 1 straight ahead, 2 forward to the right. Both sides see
                     6 7 8     themselves at the bottom, moving up: Black's rows are counted from the other end, his
                     ...       columns as they are (so his "left" is White's left, too).

State: [side to move, rows, columns], then two grids of one word a row with bit c for column c, each as that player
sees the board: White's pieces, Black's.
"""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import ONGOING, PLAYER, Game, GameError, Symmetry, identity, kernel, parameter

ROWS, COLUMNS, PIECES = 1, 2, 3
LEFT, STRAIGHT, RIGHT = 0, 1, 2


@dataclass(frozen=True)
class Breakthrough(Game):
    """Breakthrough; it cannot be drawn. Moves are written `a2a3`, captures `a2xb3`; White is at the bottom."""

    rows: int = parameter(8, "rows; two of each side's are filled at the start", 5, 16)
    columns: int = parameter(8, "columns", 2, 16)

    players = ("White", "Black")
    pieces = ".WB"
    num_planes = 2
    policy_planes = 3

    @property
    def shape(self):
        return self.rows, self.columns

    @property
    def num_actions(self):
        return 3 * self.rows * self.columns

    @property
    def state_size(self):
        return PIECES + 2 * self.rows

    @property
    def max_plies(self):
        # Every piece of both sides stands one step before its goal, having come rows - 2 or rows - 3 steps.
        return 2 * self.columns * (2 * self.rows - 5) + 1

    @property
    def max_legal(self):
        return 3 * 2 * self.columns

    def board(self, state):
        white, black = state[PIECES:].reshape(2, self.rows, 1) >> np.arange(self.columns) & 1
        return white + 2 * black[::-1]

    def set_up(self, codes, player):
        state, has_ended = self.new_state(), "so the game ended before"
        state[PLAYER] = player
        for who, board in enumerate((codes, codes[::-1])):  # each as that side sees it
            pieces = (board == 1 + who).sum()
            if pieces > 2 * self.columns:
                raise GameError(f"position: expected at most {2 * self.columns} pieces a side, got {pieces}")
            if who == player and (board[0] == 1 + who).any():
                raise GameError(f"position: {self.players[who]} stands on the far row, {has_ended}")
            if who != player and pieces == 0:
                raise GameError(f"position: {self.players[who]} has no pieces, {has_ended}")
            state[PIECES:].reshape(2, self.rows)[who] = (board == 1 + who) @ (1 << np.arange(self.columns))
        return state

    def action_to_text(self, state, action):
        direction, cell = divmod(action, self.rows * self.columns)
        row, column = divmod(cell, self.columns)
        target = column + direction - 1
        captures = state[other_row(state, state[PLAYER], row - 1)] >> target & 1
        from_row, to_row = (row, row - 1) if state[PLAYER] == 0 else (self.rows - 1 - row, self.rows - row)
        start, end = (self.cell_to_text(r * self.columns + c) for r, c in ((from_row, column), (to_row, target)))
        return f"{start}x{end}" if captures else f"{start}{end}"

    def symmetries(self):
        cells = np.arange(self.rows * self.columns).reshape(self.shape)
        mirrored_actions = np.arange(self.num_actions).reshape(3, *self.shape)[::-1, :, ::-1]
        return [identity(self), Symmetry(cells[:, ::-1].reshape(-1), mirrored_actions.reshape(-1))]


@kernel
def own_row(state, player, row):
    """Where the state keeps a player's row, as that player counts rows."""
    return PIECES + player * state[ROWS] + row


@kernel
def other_row(state, player, row):
    """Where the state keeps the opponent's pieces on a row, as `player` counts rows."""
    return PIECES + (1 - player) * state[ROWS] + state[ROWS] - 1 - row


@kernel
def reset(state, parameters):
    state[:] = 0
    state[ROWS] = parameters[0]
    state[COLUMNS] = parameters[1]
    for player in range(2):
        for row in (state[ROWS] - 2, state[ROWS] - 1):
            state[own_row(state, player, row)] = (1 << state[COLUMNS]) - 1


@kernel
def legal_actions(state, actions):
    rows, columns, me = state[ROWS], state[COLUMNS], state[PLAYER]
    n = 0
    for row in range(1, rows):
        pieces = state[own_row(state, me, row)]
        own_ahead, other_ahead = state[own_row(state, me, row - 1)], state[other_row(state, me, row - 1)]
        # For each direction, the columns from which it leads to a cell that may be entered.
        left = pieces & (~own_ahead << 1)
        straight = pieces & ~(own_ahead | other_ahead)
        right = pieces & (~(own_ahead | 1 << columns) >> 1)
        for column in range(columns):
            cell = row * columns + column
            if left >> column & 1:
                actions[n] = LEFT * rows * columns + cell
                n += 1
            if straight >> column & 1:
                actions[n] = STRAIGHT * rows * columns + cell
                n += 1
            if right >> column & 1:
                actions[n] = RIGHT * rows * columns + cell
                n += 1
    return n


@kernel
def play(state, action):
    rows, columns, me = state[ROWS], state[COLUMNS], state[PLAYER]
    direction, cell = action // (rows * columns), action % (rows * columns)
    row, column = cell // columns, cell % columns
    target = 1 << (column + direction - 1)
    state[own_row(state, me, row)] &= ~(1 << column)
    state[own_row(state, me, row - 1)] |= target
    state[other_row(state, me, row - 1)] &= ~target
    state[PLAYER] = 1 - me


@kernel
def outcome(state):
    mover = 1 - state[PLAYER]
    if state[own_row(state, mover, 0)]:
        return mover
    for row in range(state[ROWS]):
        if state[own_row(state, 1 - mover, row)]:
            return ONGOING
    return mover


@kernel
def encode(state, planes):
    me = state[PLAYER]
    for row in range(state[ROWS]):
        mine, theirs = state[own_row(state, me, row)], state[other_row(state, me, row)]
        for column in range(state[COLUMNS]):
            planes[0, row, column] = mine >> column & 1
            planes[1, row, column] = theirs >> column & 1
