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

from keima.games.compilation import KERNELS_TYPE
from keima.games.contract import ONGOING
from keima.mcts.cache import CACHE_TYPE
from keima.mcts.compiled import compiled, inner_kernel
from keima.mcts.leaf_loop import LEAF_INPUTS_TYPE, NO_LEAF, find_leaf, take_answer
from keima.mcts.random import next_below, next_exponential, next_uniform
from keima.mcts.selection import (
    GUMBEL,
    SETTINGS_TYPE,
    choose_root_edge,
    root_value,
    write_improved_policy,
    write_pruned_visits,
)
from keima.mcts.simulation import start_tree
from keima.mcts.temperature import draw_at_temperature
from keima.mcts.tree import FOREST_TYPE, ROOT, SCRATCH_TYPE, tree_at
from keima.selfplay.replay.segment import (
    CHECKED,
    FAST_SEARCH,
    FIRST_GIVEN_UP,
    HAS_POLICY_TARGET,
    NO_START,
    RANDOM_OPENING,
    SECOND_GIVEN_UP,
)

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
        # searched plies in a row that held the game for won by the first player; negative: by the second
        ("decided_streak", np.int32),
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
        ("start", np.int32),  # the position it began with, an index into Records.starts, or NO_START
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
        ("full_search_fraction", np.float64),
        ("start_positions_fraction", np.float64),
        ("opening_random_fraction", np.float64),
        ("opening_random_mean_plies", np.float64),
        ("opening_policy_mean_plies", np.float64),
        ("opening_policy_temperature", np.float64),
        ("move_temperature", np.float64),
        ("move_temperature_plies", np.int64),
        ("decided_value", np.float64),
        ("decided_plies", np.int64),
        ("decided_full_fraction", np.float64),
        ("decided_check_fraction", np.float64),
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
    starts: NDArray[np.int64]  # [N, state_size] positions that games may begin with, beside the game's own


FREE, FINISHED = 0, 1


@inner_kernel
def begin_game(kernels, parameters, tree, slot, games, settings, actions):
    """Puts a new game into the slot, some of them after random moves."""
    rng = tree.rng
    games.counts[FREE] -= 1
    slot["record"] = games.queues[FREE, games.counts[FREE]]
    record, plies = games.records[slot["record"]], games.plies[slot["record"]]
    record["start"] = NO_START
    if len(games.starts) > 0 and next_uniform(rng, 0) < settings["start_positions_fraction"]:
        record["start"] = next_below(rng, 0, len(games.starts))
    random_plies = 0
    if next_uniform(rng, 0) < settings["opening_random_fraction"]:
        # No game is longer; one whose max_plies is wrong is found out by its next move, not by writing past the record.
        longest = len(plies) - 1
        random_plies = int(min(1 + next_exponential(rng, 0, settings["opening_random_mean_plies"]), longest))
    play_opening(kernels, parameters, tree, games.starts, record, plies, random_plies, actions)
    record["policies"] = 0
    for k in range(record["plies"]):  # no targets for these
        record["policies"] += plies[k]["legal_count"]
    games.policies[slot["record"], : record["policies"]] = 0.0  # the record's last game had some here
    slot["policy_plies_left"] = 0
    if settings["opening_policy_mean_plies"] > 0:
        policy_plies = next_exponential(rng, 0, settings["opening_policy_mean_plies"]) + 0.5
        slot["policy_plies_left"] = int(min(policy_plies, len(plies)))
    slot["decided_streak"] = 0
    slot["resign_flags"] = 0
    if settings["decided_value"] > 0 and next_uniform(rng, 0) < settings["decided_check_fraction"]:
        slot["resign_flags"] = CHECKED


@inner_kernel
def play_opening(kernels, parameters, tree, starts, record, plies, random_plies, actions):
    """Begins the record's game in the tree's root state with random moves, fewer where these would end it."""
    state = tree.root_state
    while True:
        if record["start"] == NO_START:
            kernels.reset(state, parameters)
        else:
            for i in range(len(state)):
                state[i] = starts[record["start"], i]
        record["plies"] = 0
        for _ in range(random_plies):
            count = kernels.legal_actions(state, actions)
            action = actions[next_below(tree.rng, 0, count)]
            write_ply(plies[record["plies"]], action, count, np.nan, 0.0, ONGOING, RANDOM_OPENING)
            record["plies"] += 1
            kernels.play(state, action)
            if kernels.outcome(state) != ONGOING:
                break
        if kernels.outcome(state) == ONGOING:
            return
        random_plies = next_below(tree.rng, 0, random_plies)  # it ended on the way: again, shorter


@inner_kernel
def begin_search(kernels, tree, slot, settings, actions):
    """Starts the tree for the slot's next move, and decides how far it is searched.

    Most moves may be searched fast: they bring games to their end, and so value targets, at a fraction of the price
    of a policy target (playout cap randomization, KataGo, arXiv 1902.10565, section 3.1). A game that is decided goes
    on like that, in place of a resignation, so that its final score and ownership come true.
    """
    full_fraction = settings["full_search_fraction"]
    if (
        settings["decided_value"] > 0
        and abs(slot["decided_streak"]) >= settings["decided_plies"]
        and not slot["resign_flags"] & CHECKED
    ):
        full_fraction *= settings["decided_full_fraction"]
    if slot["policy_plies_left"] > 0:
        slot["kind"], simulations = RAW_POLICY_KIND, 0
    elif full_fraction >= 1 or next_uniform(tree.rng, 0) < full_fraction:
        slot["kind"], simulations = FULL_KIND, settings["simulations"]
    else:
        slot["kind"], simulations = FAST_KIND, settings["fast_simulations"]
    start_tree(kernels, tree, simulations, actions)


@inner_kernel
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


@inner_kernel
def write_ply(ply, action, legal_count, root_value, surprise, proven, flags):
    """Fills a PLY record."""
    ply["action"] = action
    ply["legal_count"] = legal_count
    ply["root_value"] = root_value
    ply["surprise"] = surprise
    ply["proven"] = proven
    ply["flags"] = flags


@inner_kernel
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


@inner_kernel
def surprise_of(nodes, edges, target):
    """KL(target || the network's policy at the root, without noise), in nats."""
    first = nodes[ROOT]["first_edge"]
    surprise = 0.0
    for k in range(nodes[ROOT]["num_edges"]):
        if target[k] > 0:
            surprise += target[k] * (math.log(target[k]) - edges[first + k]["logit"])
    return max(surprise, 0.0)  # rounding


@inner_kernel
def make_move(kernels, tree, slot, games, settings, play_settings, scratch):
    """Records the searched position, with its targets where it was searched in full, and plays the move."""
    root, logs = tree.nodes[ROOT], scratch.edge_values
    first, count = root["first_edge"], root["num_edges"]
    record, policies = games.records[slot["record"]], games.policies[slot["record"]]
    ply = games.plies[slot["record"], record["plies"]]
    for k in range(count):
        policies[record["policies"] + k] = 0.0
    if slot["kind"] == RAW_POLICY_KIND:
        slot["policy_plies_left"] -= 1
        for k in range(count):
            logs[k] = tree.edges[first + k]["logit"]
        chosen = draw_at_temperature(logs, count, play_settings["opening_policy_temperature"], tree.rng, 0)
        write_ply(ply, tree.edges[first + chosen]["action"], count, np.nan, 0.0, ONGOING, RANDOM_OPENING)
    else:
        note_search(tree, slot, record, policies, ply, settings, play_settings, scratch)
    record["plies"] += 1
    record["policies"] += count
    kernels.play(tree.root_state, ply["action"])


@inner_kernel
def note_search(tree, slot, record, policies, ply, settings, play_settings, scratch):
    """Fills the ply, and the policy target of one searched in full, by what the search found; decides on its move."""
    nodes, edges, target = tree.nodes, tree.edges, scratch.edge_values
    root = nodes[ROOT]
    first, count = root["first_edge"], root["num_edges"]
    write_policy_target(nodes, edges, settings, target)
    value = root_value(nodes, edges, settings, target, scratch.q)
    surprise, flags = 0.0, FAST_SEARCH
    if slot["kind"] == FULL_KIND:
        surprise, flags = surprise_of(nodes, edges, target), HAS_POLICY_TARGET
        for k in range(count):
            policies[record["policies"] + k] = target[k]
    if record["plies"] < play_settings["move_temperature_plies"] and play_settings["move_temperature"] > 0:
        for k in range(count):
            target[k] = np.log(target[k])
        chosen = draw_at_temperature(target, count, play_settings["move_temperature"], tree.rng, 0)
    else:
        chosen = choose_root_edge(nodes, edges, tree.root_noise, settings, target)
    if play_settings["decided_value"] > 0:
        note_value(slot, value, root["player"], play_settings)
        flags |= slot["resign_flags"]
    write_ply(ply, edges[first + chosen]["action"], count, value, surprise, root["result"], flags)


_RECORDS_TYPE = types.NamedTuple(
    (
        types.Array(numba.from_dtype(RECORD), 1, "C"),
        types.Array(numba.from_dtype(PLY), 2, "C"),
        types.float32[:, ::1],
        types.int32[:, ::1],
        types.int64[::1],
        types.int64[:, ::1],
    ),
    Records,
)
MAX_FINISHED = 2
"""Games that a slot finishes in one step, at most; with an empty cache it finishes one."""

# What a slot's game has come to.
SEARCHING = 0  # its next move is being searched
GOES_ON = 1  # a move was made, and another follows
ENDED = 2
TOO_LONG = 3  # it is not over after max_plies

_SLOTS_TYPE = types.Array(numba.from_dtype(SLOT), 1, "C")
_PLAY_SETTINGS_TYPE = types.Array(numba.from_dtype(PLAY_SETTINGS), 1, "C")


@inner_kernel
def end_turn(kernels, tree, slot, games):
    """After a move: whether the slot's game goes on, ENDED (and then is put among the finished) or is TOO_LONG."""
    record = games.records[slot["record"]]
    result = kernels.outcome(tree.root_state)
    if result != ONGOING:
        record["outcome"] = result
        games.queues[FINISHED, games.counts[FINISHED]] = slot["record"]
        games.counts[FINISHED] += 1
        return ENDED
    return TOO_LONG if record["plies"] == games.plies.shape[1] else GOES_ON


@compiled(
    types.int64(
        *(KERNELS_TYPE, types.int64[::1], FOREST_TYPE, SETTINGS_TYPE, _PLAY_SETTINGS_TYPE, _SLOTS_TYPE, _RECORDS_TYPE),
        *(CACHE_TYPE, LEAF_INPUTS_TYPE, types.Tuple((types.float32[:, ::1], types.float32[::1]))),
        *(SCRATCH_TYPE, types.int64[::1]),
    ),
)
def step(
    kernels, parameters, forest, search_settings, all_play_settings, slots, games, cache, inputs, answers, scratch,
    tally,
):  # fmt: skip
    """Takes logits[b], values[b] for each slot's leaf; fills inputs[b] with its next. Returns moves made, or -1.

    -1: a game went on after max_plies. answers: (logits, values). A slot of whose games the cache knows every position
    rests after a few until the next step, its row left as it was.
    """
    play_settings = all_play_settings[0]
    logits, values = answers
    moves = 0
    for b in range(len(slots)):
        slot, tree = slots[b], tree_at(forest, b)
        finished, after = 0, ENDED
        if slot["leaf"] != NO_LEAF:
            settings, after = search_settings[slot["kind"]], SEARCHING
            take_answer(tree, slot["leaf"], slot["key"], logits[b], values[b], settings, cache, tally)
        while True:
            if after == ENDED:
                begin_game(kernels, parameters, tree, slot, games, play_settings, scratch.actions)
            if after != SEARCHING:
                begin_search(kernels, tree, slot, play_settings, scratch.actions)
            settings = search_settings[slot["kind"]]
            slot["leaf"], slot["key"] = find_leaf(kernels, tree, settings, cache, inputs, b, scratch, tally)
            if slot["leaf"] != NO_LEAF:
                break
            make_move(kernels, tree, slot, games, settings, play_settings, scratch)
            moves += 1
            after = end_turn(kernels, tree, slot, games)
            if after == TOO_LONG:
                return -1
            if after == ENDED:
                finished += 1
                if finished == MAX_FINISHED:
                    break
    return moves
