"""How a game of Go is expected to end, by random playouts in which nobody fills his own eyes; it needs no network."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.agent.contracts.territory import Estimate, as_it_stands
from keima.games import go_board
from keima.games.compilation import LEGAL_ACTIONS, OWNERSHIP, PLAY, compiled_for
from keima.games.contract import ONGOING, PLAYER, Game, kernel
from keima.mcts.random import next_below, seeded

PLAYOUTS = 256
"""Random games for an estimate: a share of them is known to 3 %."""


class PlayoutTerritory:
    """Random playouts of Go that fill no eyes, for players without a network."""

    def __init__(self, game: Game, *, playouts: int = PLAYOUTS, seed: int = 0) -> None:
        """Raises ValueError for another game than Go."""
        if not has_playouts(game):
            raise ValueError(f"no playouts of {game.label}")
        self._game = game
        self._playouts = playouts
        self._rng = seeded(seed, 1)
        cells = game.shape[0] * game.shape[1]
        # The same board without anything that would end or change a playout: its row has room for the moves.
        free: dict[str, Any] = {"komi": 0.0, "rules": "tromp-taylor", "ko": "simple", "suicide": "no"}
        self._free: Game = dataclasses.replace(game, **free | {"handicap": 0, "limit": 4 * cells})

    def estimate(self, states: Sequence[NDArray[np.int64]]) -> list[Estimate]:
        """See `Territory`."""
        return [self._estimate(state) for state in states]

    def _estimate(self, state: NDArray[np.int64]) -> Estimate:
        put_stone: Any = go_board.put_stone
        game, free, size = self._game, self._free, self._game.shape[0]
        if game.outcome(state) != ONGOING:
            return as_it_stands(game, state)
        start = free.new_state()
        for cell, code in enumerate(game.board(state).reshape(-1)):
            if code:  # no stone is captured on the way: a chain that has a liberty has one without some of its stones
                put_stone(start, int(code) - 1, go_board.point_of(size, cell))
        start[PLAYER] = state[PLAYER]
        owners = np.zeros(size * size, np.int64)
        margins = np.zeros(self._playouts)
        k = free.kernels
        # Where the rows keep the stones goes in at run time: compiled code would not notice it change.
        black, white = (int(go_board.bitboard_at(start, player)) + 1 for player in (go_board.BLACK, go_board.WHITE))
        state, actions = start.copy(), np.zeros(free.max_legal, np.int32)
        owners_here = np.zeros(size * size, np.int8)
        _play_out(
            k.legal_actions, k.play, k.ownership, start, black, white, size, self._rng, owners, margins,
            state, actions, owners_here,
        )  # fmt: skip
        ownership = (owners / self._playouts).astype(np.float32)
        return Estimate(ownership, float(margins.mean()) - _komi(game), float(margins.std()))


def has_playouts(game: Game) -> bool:
    """Whether there are playouts of the game that end as games between players do."""
    return game.source == "go"


def _komi(game: Game) -> float:
    """What White gets beside the board's points."""
    return float(getattr(game, "komi", 0.0) + getattr(game, "handicap_bonus", 0))


@kernel
def _is_mine(state, first_row, size, row, column):
    """Whether a point is the side's, the edge being everybody's."""
    outside = row < 0 or row >= size or column < 0 or column >= size
    return outside or state[first_row + row] >> column & 1 == 1


@kernel
def _fills_eye(state, mine, theirs, size, cell):
    """Whether an empty point is an eye of the side to move: its own stones all around it, and the opponent's on no
    more than one of the corners, on none at the edge.

    mine, theirs: where the bits of the board's first row stand, of its stones and of the opponent's.
    """
    row, column = cell // size, cell % size
    for step_row, step_column in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if not _is_mine(state, mine, size, row + step_row, column + step_column):
            return False
    corners, outside = 0, 0
    for step_row, step_column in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        there_row, there_column = row + step_row, column + step_column
        if there_row < 0 or there_row >= size or there_column < 0 or there_column >= size:
            outside = 1
        else:
            corners += state[theirs + there_row] >> there_column & 1
    return corners + outside < 2


# Many parameters: the rules arrive as compiled functions and the buffers as arrays, for nothing is allocated here.
@compiled_for(
    types.void(
        *(LEGAL_ACTIONS, PLAY, OWNERSHIP, types.int64[::1], types.int64, types.int64, types.int64),
        *(types.uint64[::1], types.int64[::1], types.float64[::1]),
        *(types.int64[::1], types.int32[::1], types.int8[::1]),
    ),
)
def _play_out(
    legal_actions, play, ownership, start, black, white, size, rng, owners, margins, state, actions, owners_here
):
    """Adds up owners[cell] over len(margins) random games from `start`; margins[i] is Black's area less White's."""
    passing = size * size
    for i in range(len(margins)):
        state[:] = start
        passes = 0
        for _ in range(3 * passing):
            mine, theirs = (black, white) if state[PLAYER] == 0 else (white, black)
            left = legal_actions(state, actions)
            action = passing
            while left > 0:
                k = next_below(rng, 0, left)
                if actions[k] != passing and not _fills_eye(state, mine, theirs, size, actions[k]):
                    action = actions[k]
                    break
                left -= 1
                actions[k] = actions[left]
            play(state, action)
            passes = passes + 1 if action == passing else 0
            if passes == 2:
                break
        ownership(state, owners_here)
        for cell in range(passing):
            owners[cell] += owners_here[cell]
            margins[i] += owners_here[cell]
