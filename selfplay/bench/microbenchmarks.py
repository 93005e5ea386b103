"""Parts of self-play's compiled step run on their own, so that a benchmark can say what each costs.

The compiled search cannot be timed from within, because a clock would cost more than most of what it does. So the rules
and the evaluation cache are run here as often as a step runs them, on positions of self-play, and nothing else with
them. The rest of a step's time is the tree's: selection, expansion, backing up.
"""

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import KERNELS_TYPE
from keima.games.contract import ONGOING, Game
from keima.mcts.cache import CACHE_TYPE, EvaluationCache, find, keep, position_key, recall
from keima.mcts.compiled import compiled
from keima.mcts.leaf_loop import LEAF_INPUTS_TYPE, LeafInputs
from keima.mcts.simulation import copy_row
from keima.mcts.tree import FOREST_TYPE, SCRATCH_TYPE, Forest, allocate_scratch
from keima.selfplay.replay.segment import Segment


@compiled(
    types.int64(
        *(KERNELS_TYPE, types.int64[::1], types.int32[::1], types.int32[::1], types.int64, types.float64),
        *(types.boolean, SCRATCH_TYPE, types.float32[:, :, ::1]),
    ),
)
def _replay(kernels, parameters, game_lengths, actions, repeats, depth, with_planes, scratch, planes):
    """Of each ply's position: `repeats` copies of its row, played on and looked at as simulations do it.

    depth: moves played on, on average over the repeats; they are the game's own, as far as it goes on. Returns how
    many were looked at.
    """
    root, state = scratch.states[0], scratch.states[1]
    first, positions = 0, 0
    for length in game_lengths:
        kernels.reset(root, parameters)
        for ply in range(length - 1):  # after the last move nothing is searched
            for repeat in range(repeats):
                copy_row(root, state)
                moves = int(depth * (repeat + 1)) - int(depth * repeat)
                for k in range(ply, min(ply + moves, length - 1)):
                    kernels.play(state, actions[first + k])
                if kernels.outcome(state) == ONGOING:
                    kernels.legal_actions(state, scratch.actions)
                if with_planes:
                    kernels.encode(state, planes)
                positions += 1
            kernels.play(root, actions[first + ply])
        first += length
    return positions


def replay(game: Game, games: Segment, repeats: int, depth: float, *, with_planes: bool) -> int:
    """The rules' part of searching every position of these games; see `_replay`. with_planes: encodes them too."""
    return int(
        _replay(
            *(game.kernels, game.parameter_row(), games.game_lengths, games.actions, repeats, depth, with_planes),
            allocate_scratch(game.state_size, game.max_legal, game.num_actions),
            np.zeros((game.num_planes, *game.shape), np.float32),
        )
    )


@compiled(
    types.int64(
        *(FOREST_TYPE, CACHE_TYPE, LEAF_INPUTS_TYPE, types.int32[::1]),
        *(types.float32[:, ::1], types.float32[::1], types.boolean),
    ),
)
def _use_cache(forest, cache, inputs, leaves, logits, values, keeping):
    """Looks up each tree's leaf, or keeps its evaluation; returns how many."""
    used = 0
    for b in range(len(leaves)):
        if leaves[b] < 0:
            continue
        edges, node = forest.edges[b], forest.nodes[b, leaves[b]]
        key = position_key(cache, inputs.plane_bits[b], edges, node)
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
    inputs: LeafInputs,
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
    return int(_use_cache(forest, cache, inputs, leaves, *answers, keeping))
