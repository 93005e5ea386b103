"""Which edge a simulation follows: PUCT, or Gumbel's sequential halving at the root and its policy below.

Q is in [0, 1] here, 1 a win for the side to move at the node, as in the formulas' sources. A child whose result is
proven has exactly the value of that result. Edges that are proven losses are not followed while others are left; but
where values hold scores (`score_weight`) they are, and have the mean of what came back through them for Q.

Sources: Silver et al., "A general reinforcement learning algorithm that masters chess, shogi and Go" (Science 2018,
with its pseudocode) for PUCT; Danihelka et al., "Policy improvement by planning with Gumbel" (ICLR 2022) for Gumbel;
Wu, "Accelerating self-play learning in Go" (arXiv 1902.10565, section 3.2) for forced playouts and their pruning.
"""

import math

import numba
import numpy as np
from numba.core import types

from keima.games.contract import DRAW, ONGOING
from keima.mcts.compiled import inner_kernel, search_kernel
from keima.mcts.tree import ROOT

GUMBEL = 0
PUCT = 1

SETTINGS = np.dtype(
    [
        ("root_policy", np.int64),  # GUMBEL or PUCT; also decides how nodes below the root choose
        ("max_considered", np.int64),  # m: actions that enter sequential halving
        ("c_visit", np.float64),
        ("c_scale", np.float64),
        ("gumbel_scale", np.float64),  # 1 in training; 0, no noise, in play
        ("c_puct", np.float64),
        ("c_puct_base", np.float64),
        ("fpu_reduction", np.float64),  # below the root; at the root it is 0
        ("dirichlet_weight", np.float64),  # 0: no noise
        ("dirichlet_total", np.float64),  # alpha summed over the legal actions
        ("forced_playouts", np.float64),  # k at a PUCT root; 0: none are forced
        ("look_ahead", np.int64),  # whether new leaves are searched for a move that wins at once
        ("score_weight", np.float64),  # how much of a finished game's value is its score, as in the evaluator's values
        ("score_unit", np.float64),  # the game's, see Game.score_unit
    ],
    align=True,
)

SETTINGS_TYPE = types.Array(numba.from_dtype(SETTINGS), 1, "C")
"""The numba type of an array of SETTINGS."""

_NEVER = -1e30
_FORCED = 1e6  # above every PUCT score


@search_kernel
def result_value(result, player):
    """The value of a finished game for a player: 1, 0 or -1."""
    if result == DRAW:
        return 0.0
    return 1.0 if result == player else -1.0


@search_kernel
def saturated_score(score):
    """A score in the game's `score_unit` as a value: 2 / pi * atan(score / 2), between -1 and 1.

    A board's side of points is worth 0.3 and each further one less: so a large lead is not risked for a larger one
    (KataGo, arXiv 1902.10565, section 3.5 and its utility of the score, here always centred on 0).
    """
    return 2.0 / math.pi * math.atan(0.5 * score)


@inner_kernel
def terminal_value(result, points, player, settings):
    """What a finished game is worth for a player, in [-1, 1]: the result, and by `score_weight` the score.

    points: the first player's less the second's, as the game's `score` counts them.
    """
    weight = settings["score_weight"]
    score = saturated_score(points / settings["score_unit"])
    return (1.0 - weight) * result_value(result, player) + weight * (score if player == 0 else -score)


@inner_kernel
def is_lost(edge, player):
    """Whether following the edge is proven to lose for `player`."""
    result = edge["result"]
    return result not in (ONGOING, DRAW) and result != player


@inner_kernel
def is_avoided(edge, player, settings):
    """Whether the edge is not to be followed while others are left: a proven loss, but where scores count.

    There it matters by how much one loses: a side that has lost passes, where it would lose more by any other move.
    """
    return settings["score_weight"] == 0 and is_lost(edge, player)


@inner_kernel
def edge_q(edge, player, settings):
    """Q of an edge that has been visited or is being visited, in [0, 1] for `player`."""
    result = edge["result"]
    if result != ONGOING and (settings["score_weight"] == 0 or not is_lost(edge, player)):
        return 0.5 * result_value(result, player) + 0.5
    # A simulation under way counts as a loss, which sends the next one of the batch elsewhere.
    n = edge["visits"] + edge["virtual_loss"]
    return 0.5 * (edge["value_sum"] - edge["virtual_loss"]) / n + 0.5


@inner_kernel
def write_completed_q(edges, node, settings, q):
    """Fills q[k] in [0, 1] for the node's k-th edge: its Q, or v_mix where it was never visited (ICLR 2022, eq. 33).

    Returns (visits of the edges together, the largest of them), simulations under way included.
    """
    first, count, player = node["first_edge"], node["num_edges"], node["player"]
    total, most = 0, 0
    visited_prior, visited_prior_q = 0.0, 0.0
    for k in range(count):
        edge = edges[first + k]
        n = edge["visits"] + edge["virtual_loss"]
        if n > 0:
            q[k] = edge_q(edge, player, settings)
            visited_prior += edge["prior"]
            visited_prior_q += edge["prior"] * q[k]
            total += n
            most = max(most, n)
    v_mix = 0.5 * node["value"] + 0.5
    if total > 0:
        # A prior of exactly 0 on every visited edge would divide by zero.
        v_mix = (v_mix + total * visited_prior_q / max(visited_prior, 1e-12)) / (1 + total)
    for k in range(count):
        edge = edges[first + k]
        if edge["visits"] + edge["virtual_loss"] == 0:
            q[k] = v_mix
    return total, most


@inner_kernel
def write_improved_policy(edges, node, settings, policy):
    """Fills policy[k] with pi' = softmax(logits + sigma(completed Q)) over the node's edges; returns their visits.

    This is the policy that Gumbel search trains towards, and, below the root, follows.
    """
    first, count = node["first_edge"], node["num_edges"]
    total, most = write_completed_q(edges, node, settings, policy)
    scale = (settings["c_visit"] + most) * settings["c_scale"]
    highest = _NEVER
    for k in range(count):
        policy[k] = edges[first + k]["logit"] + scale * policy[k]
        highest = max(highest, policy[k])
    normalizer = 0.0
    for k in range(count):
        policy[k] = math.exp(policy[k] - highest)
        normalizer += policy[k]
    share = 1.0 / normalizer
    for k in range(count):
        policy[k] *= share
    return total


@inner_kernel
def root_value(nodes, edges, settings, policy, q):
    """What the search has found the root to be worth, in [-1, 1] for its side to move: the result where one is proven.

    PUCT: the mean of all simulations. Gumbel: sum pi'(a) Q(a) with completed Q, what the root is worth to one who plays
    the policy that the search teaches. The mean would be far below that, for half of a Gumbel root's simulations are
    the first ones of moves drawn with noise.

    policy: a Gumbel root's improved policy; q: scratch [max_legal].
    """
    node = nodes[ROOT]
    if node["result"] != ONGOING:
        return result_value(node["result"], node["player"])
    if settings["root_policy"] != GUMBEL:
        return node["value_sum"] / max(node["visits"], 1)
    write_completed_q(edges, node, settings, q)
    expected = 0.0
    for k in range(node["num_edges"]):
        expected += policy[k] * q[k]
    return 2.0 * expected - 1.0


@inner_kernel
def select_gumbel_interior(edges, node, settings, scratch):
    """The edge argmax pi'(a) - N(a) / (1 + sum N), which keeps visits in proportion to pi'."""
    first, player = node["first_edge"], node["player"]
    total = write_improved_policy(edges, node, settings, scratch)
    best, best_score, visit_share = -1, _NEVER, 1.0 / (1.0 + total)
    for k in range(node["num_edges"]):
        edge = edges[first + k]
        if is_avoided(edge, player, settings):
            continue
        score = scratch[k] - (edge["visits"] + edge["virtual_loss"]) * visit_share
        if score > best_score:
            best, best_score = first + k, score
    return best


@inner_kernel
def write_schedule(schedule, num_considered, simulations):
    """Sequential halving: simulation i goes to an action that has been visited schedule[i] times, the best such.

    Each phase gives max(1, simulations // (phases * k)) visits to each of the k actions left, then halves k,
    down to 2. Fills schedule[:simulations].
    """
    phases = 1
    while 1 << phases < num_considered:
        phases += 1
    k, visits, i = num_considered, 0, 0
    while i < simulations:
        for _ in range(max(1, simulations // (phases * k))):
            for _ in range(k):
                if i < simulations:
                    schedule[i] = visits
                    i += 1
            visits += 1
        if k > 1:
            k = max(2, k // 2)


@inner_kernel
def gumbel_score(edges, node, k, noise, scale, q):
    """g + logit + sigma(q) of the node's k-th edge, by which sequential halving ranks actions."""
    return noise[k] + edges[node["first_edge"] + k]["logit"] + scale * q[k]


@inner_kernel
def select_gumbel_root(nodes, edges, schedule, noise, settings, scratch):
    """The root's edge for the next simulation, by sequential halving's schedule."""
    node = nodes[ROOT]
    first, player = node["first_edge"], node["player"]
    total, most = write_completed_q(edges, node, settings, scratch)
    scale = (settings["c_visit"] + most) * settings["c_scale"]
    wanted = schedule[total]
    best, best_score, best_matches = -1, _NEVER, False
    for k in range(node["num_edges"]):
        edge = edges[first + k]
        if is_avoided(edge, player, settings):
            continue
        # Proven losses drop out, so the schedule may ask for a number of visits that no action has: then the
        # best of all that are left is taken.
        matches = edge["visits"] + edge["virtual_loss"] == wanted
        score = gumbel_score(edges, node, k, noise, scale, scratch)
        if (matches and not best_matches) or (matches == best_matches and score > best_score):
            best, best_score, best_matches = first + k, score, matches
    return best


@inner_kernel
def puct_exploration(total, settings):
    """c(s) sqrt(sum N), which a prior over 1 + N is multiplied by; `total` is sum N, the visits of all edges."""
    c = math.log((total + settings["c_puct_base"] + 1.0) / settings["c_puct_base"]) + settings["c_puct"]
    return c * math.sqrt(max(total, 1))


@inner_kernel
def select_puct(nodes, edges, index, settings):
    """The edge argmax Q(a) + c(s) P(a) sqrt(sum N) / (1 + N(a)) of node `index`.

    At the root an edge that was tried and has fewer than sqrt(k P(a) sum N) visits, k of `forced_playouts`, comes
    before all that have theirs: noise that puts a move forward also sees to it that the move is looked into.
    """
    node = nodes[index]
    first, count, player = node["first_edge"], node["num_edges"], node["player"]
    total, visited_prior = 0, 0.0
    for k in range(count):
        edge = edges[first + k]
        n = edge["visits"] + edge["virtual_loss"]
        total += n
        if n > 0:
            visited_prior += edge["prior"]
    exploration = puct_exploration(total, settings)
    forced = settings["forced_playouts"] * total if index == ROOT else 0.0
    # First play urgency: an action never tried is a little worse than the node has been so far.
    urgency = 0.5 * node["value_sum"] / max(node["visits"], 1) + 0.5
    if index != ROOT:
        urgency -= settings["fpu_reduction"] * math.sqrt(visited_prior)
    best, best_score = -1, _NEVER
    for k in range(count):
        edge = edges[first + k]
        if is_avoided(edge, player, settings):
            continue
        n = edge["visits"] + edge["virtual_loss"]
        q = edge_q(edge, player, settings) if n > 0 else urgency
        score = q + exploration * edge["prior"] / (1.0 + n)
        if n > 0 and n * n < forced * edge["prior"]:
            score += _FORCED
        if score > best_score:
            best, best_score = first + k, score
    return best


@search_kernel
def write_pruned_visits(nodes, edges, settings, visits):
    """Fills visits[k] with those of the root's k-th edge, less the forced playouts that it did not deserve.

    The most visited edge keeps its own. From each other one up to sqrt(k P(a) sum N) are taken, while its PUCT score
    stays below that edge's; what then has a single visit left loses that too. Proven losses keep nothing. For a
    search that is over; where no playouts were forced, the visits as they are.
    """
    node = nodes[ROOT]
    first, count, player = node["first_edge"], node["num_edges"], node["player"]
    total, best = 0, -1
    for k in range(count):
        edge = edges[first + k]
        total += edge["visits"]
        visits[k] = 0.0 if is_avoided(edge, player, settings) else edge["visits"]
        if visits[k] > 0 and (best < 0 or visits[k] > visits[best]):
            best = k
    if settings["forced_playouts"] == 0 or best < 0:
        return
    exploration = puct_exploration(total, settings)
    most = edges[first + best]
    best_score = edge_q(most, player, settings) + exploration * most["prior"] / (1.0 + most["visits"])
    for k in range(count):
        if k == best or visits[k] == 0:
            continue
        edge = edges[first + k]
        q, explored = edge_q(edge, player, settings), exploration * edge["prior"]
        least = visits[k] - math.sqrt(settings["forced_playouts"] * edge["prior"] * total)
        while visits[k] >= 1 and visits[k] - 1 >= least and q + explored / visits[k] < best_score:
            visits[k] -= 1
        if visits[k] <= 1:
            visits[k] = 0.0


@inner_kernel
def choose_root_edge(nodes, edges, noise, settings, scratch):
    """The index k among the root's edges of the action to play once the search is over.

    A proven win before anything; proven losses only when nothing else is left. Gumbel: among the most visited, the
    best by g + logit + sigma(q). PUCT: the most visited, ties going to the higher Q; before any visit by the prior.
    """
    node = nodes[ROOT]
    first, count, player = node["first_edge"], node["num_edges"], node["player"]
    all_lost = node["result"] not in (ONGOING, DRAW) and node["result"] != player
    _, most = write_completed_q(edges, node, settings, scratch)
    scale = (settings["c_visit"] + most) * settings["c_scale"]
    best, best_visits, best_score = 0, -1, _NEVER
    for k in range(count):
        edge = edges[first + k]
        if edge["result"] == player:
            return k
        if not all_lost and is_avoided(edge, player, settings):
            continue
        if node["result"] == DRAW and edge["result"] != DRAW:
            continue
        visits = edge["visits"]
        if settings["root_policy"] == GUMBEL:
            score = gumbel_score(edges, node, k, noise, scale, scratch)
        else:
            score = scratch[k] if visits > 0 else edge["prior"]
        if visits > best_visits or (visits == best_visits and score > best_score):
            best, best_visits, best_score = k, visits, score
    return best
