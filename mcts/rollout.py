"""Judging a position by playing it out at random: search without a network, as before AlphaGo."""

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import LEGAL_ACTIONS, OUTCOME, PLAY, compiled_for
from keima.games.contract import ONGOING, PLAYER, Game, kernel
from keima.mcts.random import next_below, seeded
from keima.mcts.selection import result_value


@kernel
def play_out(legal_actions, play, outcome, state, rng, i, actions):
    """Plays random moves on `state` to the game's end, with the numbers of rng[i]; returns the outcome code."""
    result = outcome(state)
    while result == ONGOING:
        play(state, actions[next_below(rng, i, legal_actions(state, actions))])
        result = outcome(state)
    return result


@compiled_for(
    types.void(
        *(LEGAL_ACTIONS, PLAY, OUTCOME, types.int64[:, ::1], types.float32[::1]),
        *(types.uint64[::1], types.int64[::1], types.int32[::1]),
    ),
)
def _play_out(legal_actions, play, outcome, states, values, rng, state, actions):
    """Fills values[i] with a random game's result from states[i], seen by the side to move there."""
    for i in range(len(states)):
        state[:] = states[i]
        result = play_out(legal_actions, play, outcome, state, rng, 0, actions)
        values[i] = result_value(result, states[i][PLAYER])


class RolloutEvaluator:
    """An evaluator without knowledge: equal priors, and the result of one random game as the value."""

    needs_states = True

    def __init__(self, game: Game, seed: int = 0) -> None:
        self._game = game
        self._rng = seeded(seed, 1)
        self._state = np.zeros(game.state_size, np.int64)
        self._actions = np.zeros(game.max_legal, np.int32)

    def __call__(self, states: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """States [n, state_size] -> logits [n, num_actions], all 0, and values [n] in {-1, 0, 1}."""
        values = np.zeros(len(states), np.float32)
        k = self._game.kernels
        _play_out(k.legal_actions, k.play, k.outcome, states, values, self._rng, self._state, self._actions)
        return np.zeros((len(states), self._game.num_actions), np.float32), values
