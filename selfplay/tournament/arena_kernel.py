"""The compiled part of games side by side: every table plays on until it needs something from outside.

A table is one game with one tree. What it can need is an evaluation of its leaf (WAITING), or the move of a player who
is asked and does not search here (ASKING). Searches with random playouts need nothing and are done in slices. Each
table has its own random numbers and one leaf under way at a time; so a game is the same whatever is played beside it.

Dimensions: B tables, P players, E evaluators, A actions.
"""

from typing import NamedTuple

import numba
import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import KERNELS_TYPE
from keima.games.contract import ONGOING, PLAYER
from keima.mcts.cache import CACHE_TYPE, EvaluationCache
from keima.mcts.compiled import compiled, inner_kernel
from keima.mcts.leaf_loop import LEAF_INPUTS_TYPE, NO_LEAF, find_leaf, take_answer
from keima.mcts.rollout import search_with_playouts
from keima.mcts.selection import SETTINGS_TYPE, choose_root_edge
from keima.mcts.simulation import is_finished, start_tree
from keima.mcts.temperature import draw_at_temperature
from keima.mcts.tree import FOREST_TYPE, ROOT, SCRATCH_TYPE, tree_at

# What a table does.
EMPTY = 0
OPENED = 1  # a game has been put here, its first move is still to be looked for
WAITING = 2  # its leaf waits for an evaluator
ASKING = 3  # a player who is asked is to move
ANSWERED = 4  # whose move is in
RUNNING = 5  # it can go on by itself
OVER = 6

# How a player plays.
NETWORK = 0
PLAYOUTS = 1
ASKED = 2

TABLE = np.dtype(
    [
        ("key", np.uint64),  # of the leaf's position in the evaluation cache
        ("status", np.int32),
        ("leaf", np.int32),  # the node that waits for the evaluator
        ("evaluator", np.int32),  # which one
        ("plies", np.int32),
        ("outcome", np.int32),
        ("answer", np.int32),  # the move of the player who was asked
        ("players", np.int32, (2,)),  # who moves first and second
        ("unused", np.int32),  # keeps records on 8-byte borders
    ],
    align=True,
)
CONTESTANT = np.dtype(
    [
        ("temperature", np.float64),  # 0: the best move
        ("kind", np.int32),  # NETWORK, PLAYOUTS or ASKED
        ("evaluator", np.int32),
        ("simulations", np.int32),  # 0: the network's policy alone
        ("unused", np.int32),
    ],
    align=True,
)


class Room(NamedTuple):
    """The tables and who plays at them."""

    tables: NDArray[np.void]  # TABLE [B]
    moves: NDArray[np.int32]  # [B, max_plies] of the games at the tables, so far
    contestants: NDArray[np.void]  # CONTESTANT [P]
    settings: NDArray[np.void]  # SETTINGS [P] of their searches
    generations: NDArray[np.uint64]  # [E], which tells the evaluators' entries in the one cache apart


ROOM_TYPE = types.NamedTuple(
    (
        types.Array(numba.from_dtype(TABLE), 1, "C"),
        types.int32[:, ::1],
        types.Array(numba.from_dtype(CONTESTANT), 1, "C"),
        SETTINGS_TYPE,
        types.uint64[::1],
    ),
    Room,
)
"""The numba type of a Room."""


@inner_kernel
def pick(tree, contestant, settings, scratch):
    """The edge to play, counted from the root's first: the best, or drawn where the player has a temperature.

    As keima.agent.players draws: in proportion to visits ** (1 / temperature), or to the policy's probabilities so
    raised where nothing was tried; a proven win is played at any temperature.
    """
    root, edges, weights = tree.nodes[ROOT], tree.edges, scratch.edge_values
    first, count = root["first_edge"], root["num_edges"]
    searched = contestant["simulations"] > 0
    best, tried = 0, False
    if searched:
        best = choose_root_edge(tree.nodes, edges, tree.root_noise, settings, weights)
        if edges[first + best]["result"] == root["player"]:
            return best
    for k in range(count):
        tried = tried or edges[first + k]["visits"] > 0
        if not searched and edges[first + k]["logit"] > edges[first + best]["logit"]:
            best = k
    if contestant["temperature"] <= 0:
        return best
    for k in range(count):
        visits = edges[first + k]["visits"]
        weights[k] = edges[first + k]["logit"]  # the logarithm of the prior
        if tried:
            weights[k] = np.log(visits) if visits > 0 else -np.inf
    return draw_at_temperature(weights, count, contestant["temperature"], tree.rng, 0)


@inner_kernel
def begin_turn(kernels, tree, table, contestants, actions):
    """Sees whether the game is over, and otherwise whose turn it is."""
    state = tree.root_state
    table["outcome"] = kernels.outcome(state)
    if table["outcome"] != ONGOING:
        table["status"] = OVER
        return
    contestant = contestants[table["players"][state[PLAYER]]]
    if contestant["kind"] == ASKED:
        table["status"] = ASKING
        return
    start_tree(kernels, tree, contestant["simulations"], actions)
    table["status"] = RUNNING


@inner_kernel
def make_move(kernels, tree, table, moves, action):
    """Plays the action and writes it down; False where the game has had max_plies already."""
    if table["plies"] == len(moves):
        return False
    moves[table["plies"]] = action
    table["plies"] += 1
    kernels.play(tree.root_state, action)
    return True


@inner_kernel
def own_part(cache, generations, evaluator):
    """The cache as an evaluator sees it: what others have kept is not found."""
    return EvaluationCache(cache.keys, cache.values, cache.logits, generations[evaluator : evaluator + 1])


@inner_kernel
def enter_answer(kernels, tree, room, b, cache, answers, i, scratch, tally):
    """What table b has waited for: the evaluator's answer in row i, an asked player's move, or to begin.

    False: see make_move.
    """
    table = room.tables[b]
    if table["status"] == WAITING:
        settings = room.settings[table["players"][tree.root_state[PLAYER]]]
        take_answer(tree, table["leaf"], table["key"], answers[0][i], answers[1][i], settings, cache, tally)
        table["status"] = RUNNING
    elif table["status"] == ANSWERED:
        if not make_move(kernels, tree, table, room.moves[b], table["answer"]):
            return False
        begin_turn(kernels, tree, table, room.contestants, scratch.actions)
    elif table["status"] == OPENED:
        begin_turn(kernels, tree, table, room.contestants, scratch.actions)
    return True


@compiled(
    types.int64(
        *(KERNELS_TYPE, FOREST_TYPE, ROOM_TYPE, CACHE_TYPE, LEAF_INPUTS_TYPE, types.int64[::1]),
        *(types.Tuple((types.float32[:, ::1], types.float32[::1])), SCRATCH_TYPE, types.int64, types.int64[::1]),
    ),
)
def play_on(kernels, forest, room, cache, inputs, turn, answers, scratch, slice_simulations, tally):
    """Plays on at the tables `turn`; the answers' rows i are for table turn[i] where that one was WAITING.

    answers: (logits, values). Fills the inputs' row b of each table b that is WAITING then. A search with playouts
    rests after `slice_simulations`, its table RUNNING. Returns 0, or -1 where a game went on after max_plies.
    """
    for i in range(len(turn)):
        b = turn[i]
        table, tree = room.tables[b], tree_at(forest, b)
        if not enter_answer(kernels, tree, room, b, cache, answers, i, scratch, tally):
            return -1
        left = slice_simulations
        while table["status"] == RUNNING:
            player = table["players"][tree.root_state[PLAYER]]
            contestant, settings = room.contestants[player], room.settings[player]
            if contestant["kind"] == PLAYOUTS:
                left -= search_with_playouts(kernels, tree, settings, left, scratch, tally)
                if not is_finished(tree.header[0], tree.nodes[ROOT]):
                    break
            else:
                own = own_part(cache, room.generations, contestant["evaluator"])
                leaf, key = find_leaf(kernels, tree, settings, own, inputs, b, scratch, tally)
                if leaf != NO_LEAF:
                    table["leaf"], table["key"], table["status"] = leaf, key, WAITING
                    table["evaluator"] = contestant["evaluator"]
                    break
            edge = tree.edges[tree.nodes[ROOT]["first_edge"] + pick(tree, contestant, settings, scratch)]
            if not make_move(kernels, tree, table, room.moves[b], edge["action"]):
                return -1
            begin_turn(kernels, tree, table, room.contestants, scratch.actions)
    return 0
