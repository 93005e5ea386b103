"""Sow: a small Kalah, three pits a side; a last seed in one's own store moves again; whoever has more seeds wins.

Pits and stores hold numbers, so no piece on the board is a player's. State: [side to move, moves played], then the
first player's pits and store and the second player's.
"""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, Game, kernel

MOVES, HOLES = 1, 2
PITS, SEEDS = 3, 2
SIDE = PITS + 1
ALL = 2 * PITS * SEEDS


@dataclass(frozen=True)
class Sow(Game):
    """Sow. Moves are the pits 1 to 3, counted from the mover's left."""

    shape = (2, SIDE)
    num_planes = 2
    num_actions = PITS
    state_size = HOLES + 2 * SIDE
    max_plies = 60
    max_score = ALL
    pieces = ".123456789abc"

    def board(self, state):
        return np.stack([state[HOLES + SIDE :][::-1], state[HOLES : HOLES + SIDE]])

    def action_to_text(self, state, action):
        return str(action + 1)


@kernel
def reset(state, parameters):
    state[:] = 0
    for side in range(2):
        state[HOLES + side * SIDE : HOLES + side * SIDE + PITS] = SEEDS


@kernel
def legal_actions(state, actions):
    n = 0
    for pit in range(PITS):
        if state[HOLES + state[PLAYER] * SIDE + pit] > 0:
            actions[n] = pit
            n += 1
    return n


@kernel
def in_pits(state, side):
    return state[HOLES + side * SIDE : HOLES + side * SIDE + PITS].sum()


@kernel
def play(state, action):
    me = state[PLAYER]
    seeds, hole = state[HOLES + me * SIDE + action], action
    state[HOLES + me * SIDE + action] = 0
    for _ in range(seeds):
        hole = (hole + 1) % (2 * SIDE - 1)  # the last hole, the opponent's store, is left out
        state[HOLES + (me * SIDE + hole) % (2 * SIDE)] += 1
    if in_pits(state, 0) == 0 or in_pits(state, 1) == 0:
        for side in range(2):
            state[HOLES + side * SIDE + PITS] += in_pits(state, side)
            state[HOLES + side * SIDE : HOLES + side * SIDE + PITS] = 0
    state[MOVES] += 1
    if hole != PITS:
        state[PLAYER] = 1 - me


@kernel
def outcome(state):
    if in_pits(state, 0) + in_pits(state, 1) > 0:
        return ONGOING
    points = score(state)
    return FIRST_WINS if points > 0 else (SECOND_WINS if points < 0 else DRAW)


@kernel
def encode(state, planes):
    me = state[PLAYER]
    for row in range(2):
        side = me ^ row
        for hole in range(SIDE):
            planes[0, row, hole] = state[HOLES + side * SIDE + hole] / ALL
            planes[1, row, hole] = state[HOLES + side * SIDE + hole] > 0


@kernel
def score(state):
    return state[HOLES + PITS] - state[HOLES + SIDE + PITS]
