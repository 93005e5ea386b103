"""What a search remembers: B trees side by side, all storage allocated once, edges stored sparsely.

Dimensions: B trees, N nodes a tree, E edges a tree. A node's edges (its legal actions) lie next to each other in
`edges[b]`, from `first_edge` on, so a game of thousands of actions costs what its legal ones do. Positions are not
stored: a simulation replays the moves from the root's state row, which keeps a tree small even where a state row
carries a game's whole history.

The memory of one tree is bounded: 48 bytes a node, 4 for its place in the schedule, and 32 bytes an edge; a tree
that is full searches no further.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.mcts.compiled import inlined

ROOT = 0
"""The root is the first node of its tree."""
UNVISITED = -1
"""`child` of an edge that no simulation has followed."""
NO_PARENT = -1

# status of a node
WAITING = 0  # its position has been handed to the evaluator, whose answer is not in yet
EVALUATED = 1  # it has priors on its edges and a value
WON_AT_ONCE = 2  # a move from it wins; the evaluator was not asked, so its edges have no priors

NODE = np.dtype(
    [
        ("value_sum", np.float64),  # of all values backed up into it, seen by its side to move
        ("value", np.float32),  # the evaluator's, seen by its side to move
        ("parent", np.int32),
        ("parent_edge", np.int32),
        ("first_edge", np.int32),
        ("num_edges", np.int32),
        ("visits", np.int32),  # simulations that ended in it or went through it
        ("player", np.int32),  # side to move
        ("result", np.int32),  # the outcome code proven for it, ONGOING while none is
        ("status", np.int32),
        ("resolved", np.float32),  # once it has a result: what a visit is worth, seen by its side to move
    ],
    align=True,
)
EDGE = np.dtype(
    [
        ("value_sum", np.float64),  # of the values backed up through it, seen by the side that plays it
        ("action", np.int32),
        ("child", np.int32),
        ("visits", np.int32),
        ("virtual_loss", np.int16),  # simulations under way through it; each counts as a loss (virtual loss)
        ("result", np.int16),  # the outcome code proven for its child, ONGOING while none is
        ("logit", np.float32),  # the evaluator's
        ("prior", np.float32),  # softmax over the legal actions; at a PUCT root mixed with Dirichlet noise
    ],
    align=True,
)
TREE = np.dtype(
    [
        ("num_nodes", np.int32),
        ("num_edges", np.int32),
        ("simulations", np.int32),  # to how many root visits it is searched
        ("virtual_loss", np.int32),  # leaves handed to the evaluator
        ("full", np.int32),  # 1 once a leaf found no room
        ("scheduled", np.int32),  # 1 once the root's schedule of considered visits is written
    ],
    align=True,
)


class Forest(NamedTuple):
    """The storage of B trees."""

    trees: NDArray[np.void]  # TREE [B]
    nodes: NDArray[np.void]  # NODE [B, N]
    edges: NDArray[np.void]  # EDGE [B, E]
    root_states: NDArray[np.int64]  # [B, state_size]
    root_noise: NDArray[np.float64]  # [B, max_legal] Gumbel noise of the root's edges
    schedule: NDArray[np.int32]  # [B, N] visits an action must have to be simulated next; see selection.py
    rng: NDArray[np.uint64]  # [B]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(array.nbytes for array in self)


FOREST_TYPE = types.NamedTuple(
    (
        types.Array(numba.from_dtype(TREE), 1, "C"),
        types.Array(numba.from_dtype(NODE), 2, "C"),
        types.Array(numba.from_dtype(EDGE), 2, "C"),
        types.int64[:, ::1],
        types.float64[:, ::1],
        types.int32[:, ::1],
        types.uint64[::1],
    ),
    Forest,
)
"""The numba type of a Forest."""


class Tree(NamedTuple):
    """One tree of a forest: views of its rows. What is written to them is written to the forest."""

    header: NDArray[np.void]  # TREE [1]
    nodes: NDArray[np.void]  # NODE [N]
    edges: NDArray[np.void]  # EDGE [E]
    root_state: NDArray[np.int64]  # [state_size]
    root_noise: NDArray[np.float64]  # [max_legal]
    schedule: NDArray[np.int32]  # [N]
    rng: NDArray[np.uint64]  # [1]


@inlined
def tree_at(forest: Forest, b: int) -> Tree:
    """Tree b of the forest. For compiled code: to Python numba would hand the forest's own arrays, not the rows."""
    return Tree(
        forest.trees[b : b + 1],
        forest.nodes[b],
        forest.edges[b],
        forest.root_states[b],
        forest.root_noise[b],
        forest.schedule[b],
        forest.rng[b : b + 1],
    )


class Scratch(NamedTuple):
    """Working memory that trees searched one after the other share; nothing in it is kept from one call to the next."""

    states: NDArray[np.int64]  # [2, state_size]: the leaf's position, and one played on from there
    actions: NDArray[np.int32]  # [max_legal]
    edge_values: NDArray[np.float64]  # [max_legal]
    q: NDArray[np.float64]  # [max_legal]
    logits: NDArray[np.float32]  # [num_actions]


SCRATCH_TYPE = types.NamedTuple(
    (types.int64[:, ::1], types.int32[::1], types.float64[::1], types.float64[::1], types.float32[::1]), Scratch
)
"""The numba type of a Scratch."""


def allocate_scratch(state_size: int, max_legal: int, num_actions: int) -> Scratch:
    """Working memory for searches of a game of these sizes."""
    return Scratch(
        states=np.zeros((2, state_size), np.int64),
        actions=np.zeros(max_legal, np.int32),
        edge_values=np.zeros(max_legal, np.float64),
        q=np.zeros(max_legal, np.float64),
        logits=np.zeros(num_actions, np.float32),
    )


def default_max_edges(max_nodes: int, max_legal: int) -> int:
    """Edges for one tree: every legal action of every node, up to 2^20 edges (32 MB); 64 a node in larger trees.

    Storage that a tree does not come to use is never touched, and so costs address space but no memory.
    """
    everything = max_nodes * max_legal
    return max(min(everything, 1 << 20), max_nodes * min(max_legal, 64) + max_legal)


def allocate(
    num_trees: int, max_nodes: int, max_edges: int, state_size: int, max_legal: int, rng: NDArray[np.uint64]
) -> Forest:
    """Empty storage for `num_trees` trees of at most `max_nodes` nodes and `max_edges` edges each."""
    return Forest(
        trees=np.zeros(num_trees, TREE),
        nodes=np.zeros((num_trees, max_nodes), NODE),
        edges=np.zeros((num_trees, max_edges), EDGE),
        root_states=np.zeros((num_trees, state_size), np.int64),
        root_noise=np.zeros((num_trees, max_legal), np.float64),
        schedule=np.zeros((num_trees, max_nodes), np.int32),
        rng=rng,
    )
