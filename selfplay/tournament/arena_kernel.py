"""The compiled part of games side by side: every table plays on until it needs something from outside.

A table is one game with one tree. What it can need is an evaluation of its leaf (WAITING), or the move of a player who
is asked and does not search here (ASKING). Searches with random playouts need nothing and are done in slices. Each
table has its own random numbers and one leaf under way at a time; so a game is the same whatever is played beside it.

Dimensions: B tables, P players, E evaluators, A actions.
"""

import numba
import numpy as np
from numba.core import types

from keima.games.compilation import ENCODE, LEGAL_ACTIONS, OUTCOME, PLAY, SCORE, compiled_for
from keima.games.contract import ONGOING, PLAYER, kernel
from keima.mcts.cache import CACHE_TYPE, NOT_FOUND, EvaluationCache, find, keep, position_key, recall
from keima.mcts.random import next_uniform
from keima.mcts.rollout import play_out
from keima.mcts.search import FOREST_TYPES, SETTINGS_TYPE
from keima.mcts.selection import choose_root_edge, result_value
from keima.mcts.simulation import expand, is_finished, simulate, start_tree
from keima.mcts.tree import ROOT, Forest

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

EVALUATIONS, SIMULATIONS, HITS = 0, 1, 2
"""What `play_on` counts."""


@kernel
def pick(nodes, edges, contestant, noise, settings, rng, b, scratch):
    """The edge to play, counted from the root's first: the best, or drawn where the player has a temperature.

    As keima.agent.players.factory draws: in proportion to visits ** (1 / temperature), or to the policy's probabilities
    so raised where nothing was tried; a proven win is played at any temperature.
    """
    root = nodes[ROOT]
    first, count = root["first_edge"], root["num_edges"]
    searched = contestant["simulations"] > 0
    best, tried = 0, False
    if searched:
        best = choose_root_edge(nodes, edges, noise, settings, scratch)
        if edges[first + best]["result"] == root["player"]:
            return best
    for k in range(count):
        tried = tried or edges[first + k]["visits"] > 0
        if not searched and edges[first + k]["logit"] > edges[first + best]["logit"]:
            best = k
    if contestant["temperature"] <= 0:
        return best
    highest = -np.inf
    for k in range(count):
        visits = edges[first + k]["visits"]
        weight = edges[first + k]["logit"]  # the logarithm of the prior
        if tried:
            weight = np.log(visits) if visits > 0 else -np.inf
        scratch[k] = weight / contestant["temperature"]
        highest = max(highest, scratch[k])
    total = 0.0
    for k in range(count):
        # Less the highest first: at a low temperature every weight would vanish otherwise.
        scratch[k] = np.exp(scratch[k] - highest)
        total += scratch[k]
    threshold = total * next_uniform(rng, b)
    for k in range(count):
        threshold -= scratch[k]
        if scratch[k] > 0 and threshold <= 0:
            return k
    return best


@kernel
def begin_turn(legal_actions, outcome, table, tree, nodes, edges, state, contestants, actions):
    """Sees whether the game is over, and otherwise whose turn it is."""
    table["outcome"] = outcome(state)
    if table["outcome"] != ONGOING:
        table["status"] = OVER
        return
    contestant = contestants[table["players"][state[PLAYER]]]
    if contestant["kind"] == ASKED:
        table["status"] = ASKING
        return
    start_tree(legal_actions, outcome, tree, nodes, edges, state, contestant["simulations"], actions)
    table["status"] = RUNNING


@kernel
def make_move(play, table, moves, state, action):
    """Plays the action and writes it down."""
    moves[table["plies"]] = action
    table["plies"] += 1
    play(state, action)


_SCRATCH_TYPE = types.Tuple((types.int64[:, ::1], types.int32[::1], types.float64[::1], types.float32[::1]))


@compiled_for(
    types.int64(
        *(LEGAL_ACTIONS, PLAY, OUTCOME, SCORE, ENCODE),
        *(types.NamedTuple(FOREST_TYPES, Forest), SETTINGS_TYPE),
        *(types.Array(numba.from_dtype(TABLE), 1, "C"), types.Array(numba.from_dtype(CONTESTANT), 1, "C")),
        *(types.int32[:, ::1], CACHE_TYPE, types.uint64[::1]),
        *(types.float32[:, :, :, ::1], types.uint32[:, ::1]),
        *(types.int64[::1], types.float32[:, ::1], types.float32[::1]),
        *(_SCRATCH_TYPE, types.int64, types.int64[::1]),
    ),
)
def play_on(
    legal_actions, play, outcome, score, encode, forest, all_settings, tables, contestants, moves, cache, generations,
    planes, plane_bits, turn, logits, values, scratch_arrays, slice_simulations, tally,
):  # fmt: skip
    """Plays on at the tables `turn`; logits[i], values[i] are for table turn[i] where that one was WAITING.

    Fills planes[b] of each table that is WAITING then. A search with playouts rests after `slice_simulations`, its
    table RUNNING. Returns 0, or -1 where a game went on after max_plies. all_settings: SETTINGS [P], a player's each;
    plane_bits: the memory of `planes`, the floats' bits, a row each; generations: uint64 [E], which tells the
    evaluators' entries in the cache apart.
    """
    rng = forest.rng
    two_states, actions, scratch, known_logits = scratch_arrays
    leaf_state = two_states[0]
    for i in range(len(turn)):
        b = turn[i]
        table, tree, nodes, edges = tables[b], forest.trees[b], forest.nodes[b], forest.edges[b]
        state, noise = forest.root_states[b], forest.root_noise[b]
        settings = all_settings[table["players"][state[PLAYER]]]
        if table["status"] == WAITING:
            e, leaf = table["evaluator"], table["leaf"]
            if len(cache.keys) > 0:
                keep(cache, table["key"], edges, nodes[leaf], logits[i], values[i])
            expand(tree, nodes, edges, leaf, logits[i], values[i], noise, settings, rng, b)
            table["status"] = RUNNING
            tally[EVALUATIONS] += 1
        elif table["status"] == ANSWERED:
            if table["plies"] == moves.shape[1]:
                return -1
            make_move(play, table, moves[b], state, table["answer"])
            begin_turn(legal_actions, outcome, table, tree, nodes, edges, state, contestants, actions)
        elif table["status"] == OPENED:
            begin_turn(legal_actions, outcome, table, tree, nodes, edges, state, contestants, actions)
        simulated = 0
        while table["status"] == RUNNING:
            contestant = contestants[table["players"][state[PLAYER]]]
            settings = all_settings[table["players"][state[PLAYER]]]
            if is_finished(tree, nodes):
                if table["plies"] == moves.shape[1]:
                    return -1
                k = pick(nodes, edges, contestant, noise, settings, rng, b, scratch)
                make_move(play, table, moves[b], state, edges[nodes[ROOT]["first_edge"] + k]["action"])
                begin_turn(legal_actions, outcome, table, tree, nodes, edges, state, contestants, actions)
                continue
            if contestant["kind"] == PLAYOUTS and simulated >= slice_simulations:
                break
            simulated += 1
            leaf = simulate(
                legal_actions, play, outcome, score, tree, nodes, edges, state, forest.schedule[b], noise, settings,
                two_states, actions, scratch,
            )  # fmt: skip
            tally[SIMULATIONS] += leaf != ROOT  # the root's own evaluation is none
            if leaf < 0:
                continue
            if contestant["kind"] == PLAYOUTS:
                player = leaf_state[PLAYER]
                result = play_out(legal_actions, play, outcome, leaf_state, rng, b, actions)
                known_logits[:] = 0.0
                expand(
                    tree, nodes, edges, leaf, known_logits, result_value(result, player), noise, settings, rng, b
                )  # fmt: skip
                continue
            e = contestant["evaluator"]
            encode(leaf_state, planes[b])
            if len(cache.keys) > 0:
                own = EvaluationCache(cache.keys, cache.values, cache.logits, generations[e : e + 1])
                table["key"] = position_key(own, plane_bits[b], edges, nodes[leaf])
                place = find(cache, table["key"])
                if place != NOT_FOUND:
                    tally[HITS] += 1
                    value = recall(cache, place, edges, nodes[leaf], known_logits)
                    expand(tree, nodes, edges, leaf, known_logits, value, noise, settings, rng, b)
                    continue
            table["leaf"], table["evaluator"], table["status"] = leaf, e, WAITING
    return 0
