"""Principal variations: the play that a search expects after each move at the root, read out of its tree."""

import numba
from numba.core import types

from keima.games.contract import DRAW, ONGOING
from keima.mcts.compiled import compiled, search_kernel
from keima.mcts.selection import SETTINGS, edge_q, is_avoided
from keima.mcts.tree import EDGE, NODE, ROOT, UNVISITED

NO_EDGE = -1
"""What `preferred_edge` answers where nothing was tried."""


@search_kernel
def preferred_edge(nodes, edges, index, settings):
    """The place in `edges` of the move that the side to move at node `index` would play; NO_EDGE where none was tried.

    A PUCT root's rule (`choose_root_edge`), anywhere in the tree: a proven win before anything, proven losses only
    when nothing else is left, a proven draw where no more can be had; else the most visited, ties going to the
    higher Q.
    """
    node = nodes[index]
    player, result = node["player"], node["result"]
    all_lost = result not in (ONGOING, DRAW) and result != player
    best, best_visits, best_q = NO_EDGE, 0, -1.0
    for place in range(node["first_edge"], node["first_edge"] + node["num_edges"]):
        edge = edges[place]
        if edge["result"] == player:
            return place
        if edge["visits"] == 0 or (not all_lost and is_avoided(edge, player, settings)):
            continue
        if result == DRAW and edge["result"] != DRAW:
            continue
        q = edge_q(edge, player, settings)
        if edge["visits"] > best_visits or (edge["visits"] == best_visits and q > best_q):
            best, best_visits, best_q = place, edge["visits"], q
    return best


@compiled(
    types.void(
        *(types.Array(numba.from_dtype(NODE), 1, "C"), types.Array(numba.from_dtype(EDGE), 1, "C")),
        *(types.Array(numba.from_dtype(SETTINGS), 1, "C"), types.int32[:, ::1], types.int64[::1]),
    ),
)
def write_variations(nodes, edges, settings, variations, lengths):
    """Fills variations[k, :lengths[k]] with the k-th root edge's action and the play expected after it.

    For one tree that no leaf waits in. A line ends where nothing was tried, or after variations.shape[1] actions.
    """
    root = nodes[ROOT]
    for k in range(root["num_edges"]):
        place, length = root["first_edge"] + k, 0
        while place != NO_EDGE and length < variations.shape[1]:
            variations[k, length] = edges[place]["action"]
            length += 1
            child = edges[place]["child"]
            place = NO_EDGE if child == UNVISITED else preferred_edge(nodes, edges, child, settings[0])
        lengths[k] = length
