"""Judging a position by playing it out at random: search without a network, as before AlphaGo."""

from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import KERNELS_TYPE
from keima.games.contract import ONGOING, PLAYER, Game
from keima.mcts.compiled import compiled, search_kernel
from keima.mcts.evaluator import Evaluate
from keima.mcts.leaf_loop import SIMULATIONS
from keima.mcts.random import next_below, seeded
from keima.mcts.selection import result_value
from keima.mcts.simulation import copy_row, expand, is_finished, simulate
from keima.mcts.tree import ROOT


@search_kernel
def play_out(kernels, state, rng, i, actions):
    """Plays random moves on `state` to the game's end, with the numbers of rng[i]; returns the outcome code."""
    result = kernels.outcome(state)
    while result == ONGOING:
        kernels.play(state, actions[next_below(rng, i, kernels.legal_actions(state, actions))])
        result = kernels.outcome(state)
    return result


@search_kernel
def search_with_playouts(kernels, tree, settings, most, scratch, tally):
    """Makes at most `most` simulations in the tree, whose leaves are judged by a random game each; returns how many.

    The games' random numbers are the tree's. Other leaves go through keima.mcts.leaf_loop: these need no evaluator and
    no cache.
    """
    simulations, state = 0, scratch.states[0]
    while simulations < most and not is_finished(tree.header[0], tree.nodes[ROOT]):
        leaf = simulate(kernels, tree, settings, scratch)
        simulations += 1
        tally[SIMULATIONS] += leaf != ROOT  # the root's own evaluation is none
        if leaf >= 0:
            player = state[PLAYER]
            value = result_value(play_out(kernels, state, tree.rng, 0, scratch.actions), player)
            scratch.logits[:] = 0.0
            expand(tree, leaf, scratch.logits, value, settings)
    return simulations


@compiled(
    types.void(
        *(KERNELS_TYPE, types.int64[:, ::1], types.float32[::1]),
        *(types.uint64[::1], types.int64[::1], types.int32[::1]),
    ),
)
def _play_out(kernels, states, values, rng, state, actions):
    """Fills values[i] with a random game's result from states[i], seen by the side to move there."""
    for i in range(len(states)):
        copy_row(states[i], state)
        values[i] = result_value(play_out(kernels, state, rng, 0, actions), states[i][PLAYER])


class RolloutEvaluator(Evaluate):
    """An evaluator without knowledge: equal priors, and the result of one random game as the value."""

    needs_states = True

    def __init__(self, game: Game, seed: int = 0) -> None:
        self._game = game
        self._rng = seeded(seed, 1)
        self._state = np.zeros(game.state_size, np.int64)
        self._actions = np.zeros(game.max_legal, np.int32)

    def __call__(self, states: NDArray[Any], /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """State rows int64 [n, state_size] -> logits [n, num_actions], all 0, and values [n] in {-1, 0, 1}."""
        values = np.zeros(len(states), np.float32)
        _play_out(self._game.kernels, states, values, self._rng, self._state, self._actions)
        return np.zeros((len(states), self._game.num_actions), np.float32), values
