"""The one leaf loop: simulate, encode, look the position up in the cache, expand; until the evaluator must be asked.

Self-play, the arena and `keima.mcts.search.Search` all search by it. They differ in whose trees they are and in when
they ask: each has many trees, takes a leaf or a few of each, and hands all of these to the evaluator in one batch.

Dimensions: n rows of a batch, C planes, H x W board.
"""

from typing import NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.contract import Game
from keima.mcts.cache import NOT_FOUND, find, hashed_key, keep, position_key, recall
from keima.mcts.compiled import inlined
from keima.mcts.simulation import BLOCKED, expand, is_finished, simulate
from keima.mcts.tree import ROOT

NO_LEAF = -1
"""In place of a node: the tree needs nothing of the evaluator."""

SIMULATIONS, LOOK_UPS, HITS, EVALUATIONS = 0, 1, 2, 3
"""What is counted, in an int64 [4]: simulations, positions looked up in the cache, positions found there, answers."""


class LeafInputs(NamedTuple):
    """What the evaluator is asked about, a row a leaf; twice the same memory."""

    planes: NDArray[np.float32]  # [n, C, H, W]
    plane_bits: NDArray[np.uint32]  # [n, C * H * W], the floats' bits


LEAF_INPUTS_TYPE = types.NamedTuple((types.float32[:, :, :, ::1], types.uint32[:, ::1]), LeafInputs)
"""The numba type of LeafInputs."""


def allocate_inputs(game: Game, rows: int) -> LeafInputs:
    """Room for so many leaves."""
    planes = np.zeros((rows, game.num_planes, *game.shape), np.float32)
    return LeafInputs(planes, planes.reshape(rows, -1).view(np.uint32))


@inlined
def find_leaf(kernels, tree, settings, cache, inputs, row, scratch, tally):
    """Simulates in the tree until there is a leaf that the evaluator must be asked about.

    Returns (its node, its key in the cache), with what the network sees of it in `row` of the inputs and its position
    in scratch.states[0]; or (NO_LEAF, 0) where the tree is finished, is full, or ran into a leaf that waits already.
    """
    while not is_finished(tree.header[0], tree.nodes[ROOT]):
        leaf = simulate(kernels, tree, settings, scratch)
        tally[SIMULATIONS] += leaf != ROOT  # the root's own evaluation is none
        if leaf < 0:
            if leaf == BLOCKED:
                break
            continue
        kernels.encode(scratch.states[0], inputs.planes[row])
        if len(cache.keys) == 0:
            return leaf, np.uint64(0)
        tally[LOOK_UPS] += 1
        if kernels.has_position_hash:
            key = hashed_key(cache, kernels.position_hash(scratch.states[0]))
        else:
            key = position_key(cache, inputs.plane_bits[row], tree.edges, tree.nodes[leaf])
        place = find(cache, key)
        if place == NOT_FOUND:
            return leaf, key
        tally[HITS] += 1
        value = recall(cache, place, tree.edges, tree.nodes[leaf], scratch.logits)
        expand(tree, leaf, scratch.logits, value, settings)
    return NO_LEAF, np.uint64(0)


@inlined
def take_answer(tree, leaf, key, logits, value, settings, cache, tally):
    """Hands the evaluator's answer to the leaf that `find_leaf` returned with this key, and keeps it in the cache."""
    tally[EVALUATIONS] += 1
    if len(cache.keys) > 0:
        keep(cache, key, tree.edges, tree.nodes[leaf], logits, value)
    expand(tree, leaf, logits, value, settings)
