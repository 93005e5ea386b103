"""Games for the tests: from their moves, at random, and all there are.

The compiled loops take the kernels as first-class functions, as the search does, so they test that way of calling too.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba.core import types

from keima import games
from keima.games.compilation import LEGAL_ACTIONS, OUTCOME, PLAY, RESET
from keima.games.contract import ONGOING, PLAYER, Game
from keima.games.position import Position, position_after

_ROW = types.int64[::1]


class Recording(NamedTuple):
    """One game as it was played."""

    actions: np.ndarray  # [plies]
    players: np.ndarray  # [plies], the side to move
    legal: np.ndarray  # [total], the legal actions of all plies, one ply after the other
    legal_ends: np.ndarray  # [plies], where each ply's legal actions end in `legal`
    outcome: int


@numba.njit(
    types.UniTuple(types.int64, 2)(
        RESET, LEGAL_ACTIONS, PLAY, OUTCOME, _ROW, types.int64, _ROW, types.int32[::1], _ROW, _ROW, _ROW, _ROW
    ),
    cache=True,
)
def _play_randomly(
    reset, legal_actions, play, outcome, parameters, seed, state, legal_here, actions, players, legal, legal_ends
):
    np.random.seed(seed)
    reset(state, parameters)
    ply = total = 0
    while outcome(state) == ONGOING:
        n = legal_actions(state, legal_here)
        legal[total : total + n] = legal_here[:n]
        total += n
        actions[ply], players[ply], legal_ends[ply] = legal_here[np.random.randint(n)], state[PLAYER], total
        play(state, actions[ply])
        ply += 1
    return ply, outcome(state)


def played(spec: str, moves: str) -> Position:
    """The position after moves in the game's notation, with spaces between them."""
    return position_after(games.load(spec), moves.split())


def record_games(game: Game, count: int, seed: int = 0):
    """Yields `count` games played by uniformly random moves, as Recordings; valid until the next one is asked for."""
    kernels, parameters = game.kernels, game.parameter_row()
    state, legal_here = np.zeros(game.state_size, np.int64), np.zeros(game.max_legal, np.int32)
    actions, players, legal_ends = np.zeros((3, game.max_plies), np.int64)
    legal = np.zeros(game.max_plies * game.max_legal, np.int64)
    for number in range(count):
        plies, outcome = _play_randomly(
            kernels.reset, kernels.legal_actions, kernels.play, kernels.outcome, parameters, seed + number,
            state, legal_here, actions, players, legal, legal_ends,
        )  # fmt: skip
        end = legal_ends[plies - 1]
        yield Recording(actions[:plies], players[:plies], legal[:end], legal_ends[:plies], outcome)


@numba.njit(
    types.void(LEGAL_ACTIONS, PLAY, OUTCOME, types.int64[:, ::1], types.int32[:, ::1], _ROW, _ROW, _ROW, _ROW),
    cache=True,
)
def _walk(legal_actions, play, outcome, states, actions, listed, tried, lines, finished):
    depth, ply = len(lines) - 1, 0
    listed[0] = -1  # the actions of this ply are not listed yet
    while ply >= 0:
        if listed[ply] < 0:
            listed[ply] = tried[ply] = 0
            lines[ply] += 1
            if outcome(states[ply]) != ONGOING:
                finished[ply] += 1
            elif ply < depth:
                listed[ply] = legal_actions(states[ply], actions[ply])
        if tried[ply] == listed[ply]:
            ply -= 1
            continue
        states[ply + 1] = states[ply]
        play(states[ply + 1], actions[ply, tried[ply]])
        tried[ply] += 1
        ply += 1
        listed[ply] = -1


def perft(game: Game, depth: int) -> tuple[list[int], list[int]]:
    """How many lines of 1 .. `depth` moves the rules allow, and how many of each length are finished games."""
    states = np.zeros((depth + 1, game.state_size), np.int64)
    states[0] = game.new_state()
    actions = np.zeros((depth + 1, game.max_legal), np.int32)
    listed, tried, lines, finished = np.zeros((4, depth + 1), np.int64)
    rules = game.kernels
    _walk(rules.legal_actions, rules.play, rules.outcome, states, actions, listed, tried, lines, finished)
    return lines[1:].tolist(), finished[1:].tolist()
