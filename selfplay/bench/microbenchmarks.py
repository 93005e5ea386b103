"""Parts of self-play's compiled step run on their own, so that a benchmark can say what each costs.

The compiled search cannot be timed from within, because a clock would cost more than most of what it does. So the rules
and the evaluation cache are run here as often as a step runs them, on positions of self-play, and nothing else with
them. The rest of a step's time is the tree's: selection, expansion, backing up.
"""

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import ENCODE, LEGAL_ACTIONS, OUTCOME, PLAY, RESET, compiled_for
from keima.games.contract import ONGOING, Game
from keima.mcts.cache import CACHE_TYPE, EvaluationCache, find, keep, position_key, recall
from keima.mcts.search import FOREST_TYPES
from keima.mcts.tree import Forest
from keima.selfplay.replay.segment import Segment


@compiled_for(
    types.int64(
        *(RESET, LEGAL_ACTIONS, PLAY, OUTCOME, ENCODE, types.int64[::1]),
        *(types.int32[::1], types.int32[::1], types.int64, types.float64, types.boolean),
        *(types.int64[::1], types.int64[::1], types.int32[::1], types.float32[:, :, ::1]),
    ),
)
def _replay(
    reset, legal_actions, play, outcome, encode, parameters,
    game_lengths, actions, repeats, depth, with_planes,
    root, state, found, planes,
):  # fmt: skip
    """Of each ply's position: `repeats` copies of its row, played on and looked at as simulations do it.

    depth: moves played on, on average over the repeats; they are the game's own, as far as it goes on. Returns how
    many were looked at.
    """
    first, positions = 0, 0
    for length in game_lengths:
        reset(root, parameters)
        for ply in range(length - 1):  # after the last move nothing is searched
            for repeat in range(repeats):
                state[:] = root
                moves = int(depth * (repeat + 1)) - int(depth * repeat)
                for k in range(ply, min(ply + moves, length - 1)):
                    play(state, actions[first + k])
                if outcome(state) == ONGOING:
                    legal_actions(state, found)
                if with_planes:
                    encode(state, planes)
                positions += 1
            play(root, actions[first + ply])
        first += length
    return positions


def replay(game: Game, games: Segment, repeats: int, depth: float, *, with_planes: bool) -> int:
    """The rules' part of searching every position of these games; see `_replay`. with_planes: encodes them too."""
    k = game.kernels
    return int(
        _replay(
            *(k.reset, k.legal_actions, k.play, k.outcome, k.encode, game.parameter_row()),
            *(games.game_lengths, games.actions, repeats, depth, with_planes),
            *(np.zeros(game.state_size, np.int64), np.zeros(game.state_size, np.int64)),
            *(np.zeros(game.max_legal, np.int32), np.zeros((game.num_planes, *game.shape), np.float32)),
        )
    )


@compiled_for(
    types.int64(
        *(types.NamedTuple(FOREST_TYPES, Forest), CACHE_TYPE, types.uint32[:, ::1], types.int32[::1]),
        *(types.float32[:, ::1], types.float32[::1], types.boolean),
    ),
)
def _use_cache(forest, cache, plane_bits, leaves, logits, values, keeping):
    """Looks up each tree's leaf, or keeps its evaluation; returns how many."""
    used = 0
    for b in range(len(leaves)):
        if leaves[b] < 0:
            continue
        edges, node = forest.edges[b], forest.nodes[b, leaves[b]]
        key = position_key(cache, plane_bits[b], edges, node)
        if keeping:
            keep(cache, key, edges, node, logits[b], values[b])
        else:
            place = find(cache, key)
            if place >= 0:
                recall(cache, place, edges, node, logits[b])
        used += 1
    return used


def use_cache(
    forest: Forest,
    cache: EvaluationCache,
    planes: NDArray[np.float32],
    leaves: NDArray[np.int32],
    answers: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    keeping: bool,
) -> int:
    """The cache's part of a step: each tree's leaf looked up or, with `keeping`, its evaluation kept.

    leaves: int32 [B], negative for none. answers: the evaluator's. Each call counts the cache's generation up, and so
    meets other places of the table, as other positions would; what the cache held is forgotten.
    """
    cache.generation[0] += np.uint64(1)
    bits = planes.reshape(len(planes), -1).view(np.uint32)
    return int(_use_cache(forest, cache, bits, leaves, *answers, keeping))
