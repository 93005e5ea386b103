"""Evaluations kept for positions that are seen again, in another tree or another game.

A table of fixed size in which every position has one place: a newer one takes the place of an older. What is looked
up is what the network sees, its planes, together with the legal actions, or the game's own hash of these. So a hit is
right whatever else a game keeps in its state rows, and transpositions are hits. Positions are told apart by 64 bits:
among 10^12 look-ups in a table of 10^6 entries a wrong hit has a chance of 5 %.

Dimensions: E entries (a power of two; 0 switches the cache off), L most legal actions.
"""

from typing import NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.mcts.compiled import search_kernel
from keima.mcts.random import mix

NOT_FOUND = -1
_FIRST_KEY = np.uint64(1)  # 0 is the key of an entry that was never written
_ACTIONS = np.uint64(0xD1B54A32D192ED03)  # keeps actions apart from cells
_S32 = np.uint64(32)


class EvaluationCache(NamedTuple):
    """The table. Keys change with `generation`, so that counting it up forgets everything at once."""

    keys: NDArray[np.uint64]  # [E]
    values: NDArray[np.float32]  # [E] the evaluator's, seen by the side to move
    logits: NDArray[np.float32]  # [E, L] of the legal actions, in the game's order
    generation: NDArray[np.uint64]  # [1]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self)


CACHE_TYPE = types.NamedTuple(
    (types.uint64[::1], types.float32[::1], types.float32[:, ::1], types.uint64[::1]), EvaluationCache
)
"""The numba type of an EvaluationCache."""


def allocate_cache(max_bytes: int, max_legal: int) -> EvaluationCache:
    """A table of the largest power of two of entries that fits; none where not even 16 do."""
    entries = max_bytes // (12 + 4 * max_legal)
    entries = 1 << entries.bit_length() - 1 if entries >= 16 else 0
    return EvaluationCache(
        keys=np.zeros(entries, np.uint64),
        values=np.zeros(entries, np.float32),
        logits=np.zeros((entries, max_legal), np.float32),
        generation=np.zeros(1, np.uint64),
    )


@search_kernel
def position_key(cache, planes, edges, node):
    """The key of a position: of its planes (uint32 [C * H * W], the bits of the floats) and its legal actions."""
    key = mix(cache.generation[0])
    for i in range(len(planes)):
        if planes[i] != 0:
            # A sum, so that no term waits for the one before.
            key += mix(np.uint64(planes[i]) << _S32 | np.uint64(i))
    for k in range(node["num_edges"]):
        key += mix(_ACTIONS + np.uint64(edges[node["first_edge"] + k]["action"]))
    return max(mix(key), _FIRST_KEY)


@search_kernel
def hashed_key(cache, position_hash):
    """The key of a position, of the game's own hash of it."""
    return max(mix(mix(cache.generation[0]) + np.uint64(position_hash)), _FIRST_KEY)


@search_kernel
def _place(cache, key):
    return np.int64(key & np.uint64(len(cache.keys) - 1))


@search_kernel
def find(cache, key):
    """Where the position's evaluation is, or NOT_FOUND."""
    place = _place(cache, key)
    return place if cache.keys[place] == key else NOT_FOUND


@search_kernel
def recall(cache, place, edges, node, logits):
    """Fills logits[a] for the node's actions with what is kept at `place`; returns the value."""
    for k in range(node["num_edges"]):
        logits[edges[node["first_edge"] + k]["action"]] = cache.logits[place, k]
    return cache.values[place]


@search_kernel
def keep(cache, key, edges, node, logits, value):
    """Keeps logits[a] of the node's actions and the value, in place of what was there."""
    place = _place(cache, key)
    cache.keys[place] = key
    cache.values[place] = value
    for k in range(node["num_edges"]):
        cache.logits[place, k] = logits[edges[node["first_edge"] + k]["action"]]
