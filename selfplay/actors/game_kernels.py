"""Self-play: many games side by side, each with a tree of its own, all of their leaves in one batch.

A slot plays games one after the other. One `step` hands every slot its evaluated leaf, lets it simulate, move, finish
its game and begin the next, all compiled, until it has exactly one leaf to evaluate again: so every batch is full
and Python runs once a batch. Dimensions: B slots, R records (finished games wait in theirs until they are taken).
"""

import math
from typing import NamedTuple

import numba
import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import ENCODE, LEGAL_ACTIONS, OUTCOME, PLAY, RESET, SCORE
from keima.games.contract import ONGOING
from keima.mcts.cache import CACHE_TYPE, NOT_FOUND, find, keep, position_key, recall
from keima.mcts.compiled import compiled, search_kernel
from keima.mcts.random import next_below, next_exponential, next_uniform
from keima.mcts.search import FOREST_TYPES, SETTINGS_TYPE
from keima.mcts.selection import GUMBEL, choose_root_edge, root_value, write_improved_policy, write_pruned_visits
from keima.mcts.simulation import expand, is_finished, simulate, start_tree
from keima.mcts.tree import ROOT, Forest
from keima.selfplay.replay.segment import (
    CHECKED,
    FAST_SEARCH,
    FIRST_GIVEN_UP,
    HAS_POLICY_TARGET,
    RANDOM_OPENING,
    SECOND_GIVEN_UP,
)

NO_LEAF = -1

# What a slot's tree is for; also the row of the search's settings.
FULL_KIND = 0  # a search with noise, whose result is a policy target
FAST_KIND = 1  # one with fewer simulations and without noise, for the move alone
RAW_POLICY_KIND = 2  # the root's evaluation, from which an opening move is drawn

SLOT = np.dtype(
    [
        ("record", np.int32),  # the record its game is written to
        ("leaf", np.int32),  # the node that waits for the evaluator, or NO_LEAF
        ("policy_plies_left", np.int32),  # opening moves still to be drawn from the raw policy
        ("kind", np.int32),  # of its tree: FULL_KIND, FAST_KIND or RAW_POLICY_KIND
        (
            "decided_streak",
            np.int32,
        ),  # searched plies in a row that held the game for won by the first player; -: by the second
        ("resign_flags", np.int32),  # flags of its plies: who was given up, and whether that is being checked
        ("key", np.uint64),  # of the leaf's position in the evaluation cache
    ],
    align=True,
)
RECORD = np.dtype(
    [
        ("plies", np.int32),
        ("policies", np.int32),  # entries of the policy targets so far
        ("outcome", np.int32),
    ],
    align=True,
)
PLY = np.dtype(
    [
        ("action", np.int32),
        ("legal_count", np.int32),
        ("root_value", np.float32),
        ("surprise", np.float32),
        ("proven", np.int32),
        ("flags", np.int32),
    ],
    align=True,
)
PLAY_SETTINGS = np.dtype(
    [
        ("simulations", np.int64),
        ("fast_simulations", np.int64),
        ("full_search_share", np.float64),
        ("opening_random_share", np.float64),
        ("opening_random_mean_plies", np.float64),
        ("opening_policy_mean_plies", np.float64),
        ("opening_policy_temperature", np.float64),
        ("move_temperature", np.float64),
        ("move_temperature_plies", np.int64),
        ("decided_value", np.float64),
        ("decided_plies", np.int64),
        ("decided_full_share", np.float64),
        ("decided_check_share", np.float64),
    ],
    align=True,
)


class Records(NamedTuple):
    """Games being written. Memory is touched only as far as games go, and so taken only that far."""

    records: NDArray[np.void]  # RECORD [R]
    plies: NDArray[np.void]  # PLY [R, max_plies]
    policies: NDArray[np.float32]  # [R, max_plies * max_legal], the plies' targets one after the other
    queues: NDArray[np.int32]  # [2, R]: free records (a stack), finished records
    counts: NDArray[np.int64]  # [2]: how many are in each


FREE, FINISHED = 0, 1


@search_kernel
def begin_game(reset, legal_actions, play, outcome, parameters, state, slot, games, settings, rng, b, actions):
    """Puts a new game into the slot, some of them after random moves."""
    games.counts[FREE] -= 1
    slot["record"] = games.queues[FREE, games.counts[FREE]]
    record, plies = games.records[slot["record"]], games.plies[slot["record"]]
    record["policies"] = 0
    random_plies = 0
    if next_uniform(rng, b) < settings["opening_random_share"]:
        # No game is longer; one whose max_plies is wrong is found out by its next move, not by writing past the record.
        longest = len(plies) - 1
        random_plies = int(min(1 + next_exponential(rng, b, settings["opening_random_mean_plies"]), longest))
    while True:
        reset(state, parameters)
        record["plies"] = 0
        for _ in range(random_plies):
            count = legal_actions(state, actions)
            action = actions[next_below(rng, b, count)]
            write_ply(plies[record["plies"]], action, count, np.nan, 0.0, ONGOING, RANDOM_OPENING)
            record["plies"] += 1
            play(state, action)
            if outcome(state) != ONGOING:
                break
        if outcome(state) == ONGOING:
            break
        random_plies = next_below(rng, b, random_plies)  # it ended on the way: again, shorter
    for k in range(record["plies"]):  # no targets for these
        record["policies"] += plies[k]["legal_count"]
    games.policies[slot["record"], : record["policies"]] = 0.0  # the record's last game had some here
    slot["policy_plies_left"] = 0
    if settings["opening_policy_mean_plies"] > 0:
        policy_plies = next_exponential(rng, b, settings["opening_policy_mean_plies"]) + 0.5
        slot["policy_plies_left"] = int(min(policy_plies, len(plies)))
    slot["decided_streak"] = 0
    slot["resign_flags"] = 0
    if settings["decided_value"] > 0 and next_uniform(rng, b) < settings["decided_check_share"]:
        slot["resign_flags"] = CHECKED


@search_kernel
def begin_search(legal_actions, outcome, tree, nodes, edges, state, slot, settings, rng, b, actions):
    """Starts the tree for the slot's next move, and decides how far it is searched.

    Most moves may be searched fast: they bring games to their end, and so value targets, at a fraction of the price
    of a policy target (playout cap randomization, KataGo, arXiv 1902.10565, section 3.1). A game that is decided goes
    on like that, in place of a resignation, so that its final score and ownership come true.
    """
    share = settings["full_search_share"]
    if (
        settings["decided_value"] > 0
        and abs(slot["decided_streak"]) >= settings["decided_plies"]
        and not slot["resign_flags"] & CHECKED
    ):
        share *= settings["decided_full_share"]
    if slot["policy_plies_left"] > 0:
        slot["kind"], simulations = RAW_POLICY_KIND, 0
    elif share >= 1 or next_uniform(rng, b) < share:
        slot["kind"], simulations = FULL_KIND, settings["simulations"]
    else:
        slot["kind"], simulations = FAST_KIND, settings["fast_simulations"]
    start_tree(legal_actions, outcome, tree, nodes, edges, state, simulations, actions)


@search_kernel
def note_value(slot, value, player, settings):
    """Takes a searched position's value for its player into account: whether the game is decided.

    Once it is not held for decided any more, it is searched in full again; who was given up stays marked.
    """
    first = value if player == 0 else -value
    if first >= settings["decided_value"]:
        slot["decided_streak"] = max(slot["decided_streak"], 0) + 1
    elif first <= -settings["decided_value"]:
        slot["decided_streak"] = min(slot["decided_streak"], 0) - 1
    else:
        slot["decided_streak"] = 0
    if abs(slot["decided_streak"]) >= settings["decided_plies"] and not slot["resign_flags"] & (
        FIRST_GIVEN_UP | SECOND_GIVEN_UP
    ):
        slot["resign_flags"] |= SECOND_GIVEN_UP if slot["decided_streak"] > 0 else FIRST_GIVEN_UP


@search_kernel
def write_ply(ply, action, legal_count, root_value, surprise, proven, flags):
    """Fills a PLY record."""
    ply["action"] = action
    ply["legal_count"] = legal_count
    ply["root_value"] = root_value
    ply["surprise"] = surprise
    ply["proven"] = proven
    ply["flags"] = flags


@search_kernel
def draw(weights, count, rng, b):
    """An index below `count`, drawn in proportion to the weights, of which one at least is positive."""
    total = 0.0
    for k in range(count):
        total += weights[k]
    threshold = total * next_uniform(rng, b)
    last = 0
    for k in range(count):
        if weights[k] > 0:
            threshold -= weights[k]
            last = k
            if threshold <= 0:
                break
    return last


@search_kernel
def draw_at_temperature(logits, count, temperature, rng, b):
    """An index below `count`, drawn from softmax(logits / temperature). Overwrites logits[:count]."""
    highest = -np.inf
    for k in range(count):
        highest = max(highest, logits[k])
    for k in range(count):
        # Less the highest first: at a low temperature every weight would vanish otherwise.
        logits[k] = np.exp((logits[k] - highest) / temperature)
    return draw(logits, count, rng, b)


@search_kernel
def write_policy_target(nodes, edges, settings, target):
    """Fills target[:num_edges] with the policy to train towards.

    Gumbel: the improved policy. PUCT: visits less those that were forced, all of them on the proven wins where
    there is one, and none on proven losses while there is anything else.
    """
    root = nodes[ROOT]
    first, count, player = root["first_edge"], root["num_edges"], root["player"]
    if settings["root_policy"] == GUMBEL:
        write_improved_policy(edges, root, settings, target)
        return
    if root["result"] == player:
        for k in range(count):
            target[k] = 1.0 if edges[first + k]["result"] == player else 0.0
    else:
        write_pruned_visits(nodes, edges, settings, target)
    total = 0.0
    for k in range(count):
        total += target[k]
    for k in range(count):
        target[k] = target[k] / total if total > 0 else 1.0 / count


@search_kernel
def surprise_of(nodes, edges, target):
    """KL(target || the network's policy at the root, without noise), in nats."""
    first = nodes[ROOT]["first_edge"]
    surprise = 0.0
    for k in range(nodes[ROOT]["num_edges"]):
        if target[k] > 0:
            surprise += target[k] * (math.log(target[k]) - edges[first + k]["logit"])
    return max(surprise, 0.0)  # rounding


@search_kernel
def make_move(play, nodes, edges, state, slot, games, noise, settings, play_settings, rng, b, scratch, q):
    """Records the searched position, with its targets where it was searched in full, and plays the move on `state`."""
    root = nodes[ROOT]
    first, count, player = root["first_edge"], root["num_edges"], root["player"]
    record, policies = games.records[slot["record"]], games.policies[slot["record"]]
    ply = games.plies[slot["record"], record["plies"]]
    start = record["policies"]
    for k in range(count):
        policies[start + k] = 0.0
    if slot["kind"] == RAW_POLICY_KIND:
        slot["policy_plies_left"] -= 1
        for k in range(count):
            scratch[k] = edges[first + k]["logit"]
        chosen = draw_at_temperature(scratch, count, play_settings["opening_policy_temperature"], rng, b)
        action = edges[first + chosen]["action"]
        write_ply(ply, action, count, np.nan, 0.0, ONGOING, RANDOM_OPENING)
    else:
        write_policy_target(nodes, edges, settings, scratch)
        value = root_value(nodes, edges, settings, scratch, q)
        surprise, flags = 0.0, FAST_SEARCH
        if slot["kind"] == FULL_KIND:
            surprise, flags = surprise_of(nodes, edges, scratch), HAS_POLICY_TARGET
            for k in range(count):
                policies[start + k] = scratch[k]
        if record["plies"] < play_settings["move_temperature_plies"] and play_settings["move_temperature"] > 0:
            for k in range(count):
                scratch[k] = np.log(scratch[k])
            chosen = draw_at_temperature(scratch, count, play_settings["move_temperature"], rng, b)
        else:
            chosen = choose_root_edge(nodes, edges, noise, settings, scratch)
        action = edges[first + chosen]["action"]
        if play_settings["decided_value"] > 0:
            note_value(slot, value, player, play_settings)
            flags |= slot["resign_flags"]
        write_ply(ply, action, count, value, surprise, root["result"], flags)
    record["plies"] += 1
    record["policies"] += count
    play(state, action)


_RECORDS_TYPE = types.NamedTuple(
    (
        types.Array(numba.from_dtype(RECORD), 1, "C"),
        types.Array(numba.from_dtype(PLY), 2, "C"),
        types.float32[:, ::1],
        types.int32[:, ::1],
        types.int64[::1],
    ),
    Records,
)
MAX_FINISHED = 2
"""Games that a slot finishes in one step, at most; with an empty cache it finishes one."""
SIMULATIONS, LOOK_UPS, HITS = 0, 1, 2
"""What `step` counts."""

_SLOTS_TYPE = types.Array(numba.from_dtype(SLOT), 1, "C")
_PLAY_SETTINGS_TYPE = types.Array(numba.from_dtype(PLAY_SETTINGS), 1, "C")
_SCRATCH_TYPE = types.Tuple((types.int64[:, ::1], types.int32[::1], types.float64[::1], types.float64[::1]))


@compiled(
    types.int64(
        *(RESET, LEGAL_ACTIONS, PLAY, OUTCOME, SCORE, ENCODE, types.int64[::1]),
        *(types.NamedTuple(FOREST_TYPES, Forest), SETTINGS_TYPE, _PLAY_SETTINGS_TYPE, _SLOTS_TYPE, _RECORDS_TYPE),
        *(CACHE_TYPE, types.float32[:, :, :, ::1], types.uint32[:, ::1], types.float32[:, ::1], types.float32[::1]),
        *(_SCRATCH_TYPE, types.int64[::1]),
    ),
)
def step(
    reset, legal_actions, play, outcome, score, encode, parameters,
    forest, search_settings, all_play_settings, slots, games, cache, planes, plane_bits, logits, values,
    scratch_arrays, tally,
):  # fmt: skip
    """Takes logits[b], values[b] for each slot's leaf; fills planes[b] with its next. Returns moves made, or -1.

    -1: a game went on after max_plies. plane_bits: the memory of `planes`, the floats' bits, a row each. A slot of
    whose games the cache knows every position rests after a few until the next step, its row left as it was.
    """
    play_settings, rng = all_play_settings[0], forest.rng
    two_states, actions, scratch, q = scratch_arrays
    moves = 0
    for b in range(len(slots)):
        slot, tree, nodes, edges = slots[b], forest.trees[b], forest.nodes[b], forest.edges[b]
        state, noise = forest.root_states[b], forest.root_noise[b]
        if slot["leaf"] == NO_LEAF:
            begin_game(
                reset, legal_actions, play, outcome, parameters, state, slot, games, play_settings, rng, b, actions
            )
            begin_search(legal_actions, outcome, tree, nodes, edges, state, slot, play_settings, rng, b, actions)
        else:
            settings = search_settings[slot["kind"]]
            if len(cache.keys) > 0:
                keep(cache, slot["key"], edges, nodes[slot["leaf"]], logits[b], values[b])
            expand(tree, nodes, edges, slot["leaf"], logits[b], values[b], noise, settings, rng, b)
        slot["leaf"] = NO_LEAF
        finished = 0
        while slot["leaf"] == NO_LEAF:
            settings = search_settings[slot["kind"]]
            if not is_finished(tree, nodes):
                leaf = simulate(
                    legal_actions, play, outcome, score, tree, nodes, edges, state, forest.schedule[b], noise,
                    settings, two_states, actions, scratch,
                )  # fmt: skip
                tally[SIMULATIONS] += leaf != ROOT  # the root's own evaluation is none
                if leaf < 0:
                    continue
                encode(two_states[0], planes[b])
                if len(cache.keys) > 0:
                    tally[LOOK_UPS] += 1
                    slot["key"] = position_key(cache, plane_bits[b], edges, nodes[leaf])
                    place = find(cache, slot["key"])
                    if place != NOT_FOUND:
                        tally[HITS] += 1
                        value = recall(cache, place, edges, nodes[leaf], logits[b])  # the slot's answer was taken
                        expand(tree, nodes, edges, leaf, logits[b], value, noise, settings, rng, b)
                        continue
                slot["leaf"] = leaf
                continue
            make_move(play, nodes, edges, state, slot, games, noise, settings, play_settings, rng, b, scratch, q)
            moves += 1
            record = games.records[slot["record"]]
            result = outcome(state)
            if result != ONGOING:
                record["outcome"] = result
                games.queues[FINISHED, games.counts[FINISHED]] = slot["record"]
                games.counts[FINISHED] += 1
                finished += 1
                if finished == MAX_FINISHED:
                    break
                begin_game(
                    reset, legal_actions, play, outcome, parameters, state, slot, games, play_settings, rng, b, actions
                )
            elif record["plies"] == games.plies.shape[1]:
                return -1
            begin_search(legal_actions, outcome, tree, nodes, edges, state, slot, play_settings, rng, b, actions)
    return moves
