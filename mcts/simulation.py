"""The steps of one simulation: descend, add a leaf, expand it with the evaluator's answer, back its value up.

All of these work on ONE tree: `nodes` and `edges` are its rows of the forest, `tree` its header.
"""

import math

from keima.games.contract import DRAW, ONGOING, PLAYER
from keima.mcts.compiled import search_kernel
from keima.mcts.random import next_gamma, next_gumbel
from keima.mcts.selection import (
    GUMBEL,
    PUCT,
    is_avoided,
    result_value,
    select_gumbel_interior,
    select_gumbel_root,
    select_puct,
    terminal_value,
    write_schedule,
)
from keima.mcts.tree import EVALUATED, NO_PARENT, ROOT, UNVISITED, WAITING, WON_AT_ONCE

# What a simulation came to, where it is not a leaf's index (>= 0) that waits for the evaluator.
SETTLED = -1  # it ended in a position whose result is known; counted, nothing to evaluate
BLOCKED = -2  # it ran into a leaf that already waits; nothing changed
OUT_OF_STORAGE = -3  # the tree has no room for the leaf; nothing changed

NONE_WINS = -1  # in place of an edge


@search_kernel
def copy_row(row, into):
    """Copies a state row; numba's own slice assignment allocates where rows might overlap."""
    for i in range(len(row)):
        into[i] = row[i]


@search_kernel
def add_node(legal_actions, outcome, tree, nodes, edges, state, parent, parent_edge, actions):
    """Adds the node of the position `state`; returns its index, or OUT_OF_STORAGE. `actions` is scratch [max_legal]."""
    index = tree["num_nodes"]
    if index == len(nodes):
        return OUT_OF_STORAGE
    result = outcome(state)
    count = 0
    if result == ONGOING:
        count = legal_actions(state, actions)
        if tree["num_edges"] + count > len(edges):
            return OUT_OF_STORAGE
    node = nodes[index]
    node["value_sum"] = 0.0
    node["value"] = 0.0
    node["parent"] = parent
    node["parent_edge"] = parent_edge
    node["first_edge"] = tree["num_edges"]
    node["num_edges"] = count
    node["visits"] = 0
    node["player"] = state[PLAYER]
    node["result"] = result
    node["status"] = WAITING if result == ONGOING else EVALUATED
    node["resolved"] = 0.0 if result == ONGOING else result_value(result, state[PLAYER])
    for k in range(count):
        edge = edges[tree["num_edges"] + k]
        edge["value_sum"] = 0.0
        edge["action"] = actions[k]
        edge["child"] = UNVISITED
        edge["visits"] = 0
        edge["virtual_loss"] = 0
        edge["result"] = ONGOING
        edge["logit"] = 0.0
        edge["prior"] = 0.0
    tree["num_edges"] += count
    tree["num_nodes"] += 1
    if parent_edge != NO_PARENT:
        edges[parent_edge]["child"] = index
        edges[parent_edge]["result"] = result
    return index


@search_kernel
def start_tree(legal_actions, outcome, tree, nodes, edges, root_state, simulations, actions):
    """Empties the tree and plants its root at `root_state`, to be searched to `simulations` root visits.

    The root's own evaluation is not a simulation. A root whose game is over is resolved at once.
    """
    tree["num_nodes"] = 0
    tree["num_edges"] = 0
    tree["simulations"] = simulations
    tree["virtual_loss"] = 0
    tree["full"] = 0
    tree["scheduled"] = 0
    add_node(legal_actions, outcome, tree, nodes, edges, root_state, NO_PARENT, NO_PARENT, actions)


@search_kernel
def is_finished(tree, nodes):
    """Whether there is nothing left to simulate: visits reached, root proven, or the tree full."""
    root = nodes[ROOT]
    if root["result"] != ONGOING or tree["full"]:
        return True
    # The root's visits count its own evaluation too.
    return root["status"] == EVALUATED and root["visits"] - 1 + tree["virtual_loss"] >= tree["simulations"]


@search_kernel
def back_up(nodes, edges, index, value):
    """Adds `value` (seen by the side to move at node `index`) to the node and to everything above it."""
    while True:
        node = nodes[index]
        node["visits"] += 1
        node["value_sum"] += value
        if node["parent"] == NO_PARENT:
            return
        parent = nodes[node["parent"]]
        if parent["player"] != node["player"]:
            value = -value
        edge = edges[node["parent_edge"]]
        edge["visits"] += 1
        edge["virtual_loss"] -= 1
        edge["value_sum"] += value
        index = node["parent"]


@search_kernel
def revert_virtual_loss(nodes, edges, index):
    """Takes back the virtual losses on the way to node `index`."""
    while nodes[index]["parent"] != NO_PARENT:
        edges[nodes[index]["parent_edge"]]["virtual_loss"] -= 1
        index = nodes[index]["parent"]


@search_kernel
def resolved_for(node, player):
    """What a node with a result is worth for a player."""
    return node["resolved"] if node["player"] == player else -node["resolved"]


@search_kernel
def propagate_result(nodes, edges, index):
    """Carries the proven result of node `index` up as far as it proves its parents' (MCTS-Solver, Winands 2008).

    A side to move wins with one winning move, and has proven a draw or a loss once every move's result is known. Of
    the moves with that result, the one that settles it best says what the node is worth.
    """
    while nodes[index]["parent"] != NO_PARENT:
        result, resolved = nodes[index]["result"], resolved_for(nodes[index], nodes[nodes[index]["parent"]]["player"])
        proven = edges[nodes[index]["parent_edge"]]
        proven["value_sum"] = resolved * proven["visits"]  # in place of what was thought before
        index = nodes[index]["parent"]
        node = nodes[index]
        if node["result"] != ONGOING:
            return
        player = node["player"]
        if result != player:
            result, resolved = 1 - player, -math.inf
            for k in range(node["num_edges"]):
                edge = edges[node["first_edge"] + k]
                if edge["result"] == ONGOING:
                    return
                if edge["result"] == DRAW and result != DRAW:
                    result, resolved = DRAW, -math.inf
                if edge["result"] == result:
                    resolved = max(resolved, resolved_for(nodes[edge["child"]], player))
        node["result"] = result
        node["resolved"] = resolved
        if node["parent"] != NO_PARENT:
            edges[node["parent_edge"]]["result"] = result


@search_kernel
def winning_edge(play, outcome, nodes, edges, index, state, ahead):
    """The first edge of node `index` that wins at once, or NONE_WINS. state: its position; ahead: scratch, as long."""
    node = nodes[index]
    for e in range(node["first_edge"], node["first_edge"] + node["num_edges"]):
        copy_row(state, ahead)
        play(ahead, edges[e]["action"])
        if outcome(ahead) == node["player"]:
            return e
    return NONE_WINS


@search_kernel
def simulate(
    legal_actions, play, outcome, score, tree, nodes, edges, root_state, schedule, noise, settings, two_states,
    actions, scratch,
):  # fmt: skip
    """Follows edges from the root to a leaf. Leaves the leaf's position in two_states[0]; two_states[1] is scratch.

    Returns the index of a new node that waits for the evaluator, or SETTLED, BLOCKED or OUT_OF_STORAGE. The root itself
    is the first such leaf. `actions` and `scratch` are scratch [max_legal].
    """
    state, ahead = two_states[0], two_states[1]
    # Where values hold scores, which of the winning moves is best has to be searched.
    looks_ahead = settings["look_ahead"] and settings["score_weight"] == 0
    copy_row(root_state, state)
    index = ROOT
    if nodes[ROOT]["status"] == WAITING:
        if tree["virtual_loss"] > 0:
            return BLOCKED
        tree["virtual_loss"] += 1
        return ROOT
    gumbel = settings["root_policy"] == GUMBEL
    if gumbel and not tree["scheduled"]:
        candidates = 0
        for k in range(nodes[ROOT]["num_edges"]):
            if not is_avoided(edges[nodes[ROOT]["first_edge"] + k], nodes[ROOT]["player"], settings):
                candidates += 1
        considered = min(settings["max_considered"], tree["simulations"], max(candidates, 1))
        write_schedule(schedule, considered, tree["simulations"])
        tree["scheduled"] = 1
    while True:
        node = nodes[index]
        if node["result"] != ONGOING:
            back_up(nodes, edges, index, float(node["resolved"]))
            return SETTLED
        if node["status"] == WAITING:
            revert_virtual_loss(nodes, edges, index)
            return BLOCKED
        chosen = NONE_WINS
        if index == ROOT and looks_ahead and node["visits"] == 1:  # nothing but its own evaluation
            chosen = winning_edge(play, outcome, nodes, edges, index, state, ahead)
        if chosen == NONE_WINS:
            if not gumbel:
                chosen = select_puct(nodes, edges, index, settings)
            elif index == ROOT:
                chosen = select_gumbel_root(nodes, edges, schedule, noise, settings, scratch)
            else:
                chosen = select_gumbel_interior(edges, node, settings, scratch)
        edge = edges[chosen]
        edge["virtual_loss"] += 1
        play(state, edge["action"])
        if edge["child"] != UNVISITED:
            index = edge["child"]
            continue
        leaf = add_node(legal_actions, outcome, tree, nodes, edges, state, index, chosen, actions)
        if leaf == OUT_OF_STORAGE:
            tree["full"] = 1
            edge["virtual_loss"] -= 1
            revert_virtual_loss(nodes, edges, index)
            return OUT_OF_STORAGE
        result = nodes[leaf]["result"]
        if result != ONGOING:
            if settings["score_weight"] > 0:
                nodes[leaf]["resolved"] = terminal_value(result, score(state), nodes[leaf]["player"], settings)
            back_up(nodes, edges, leaf, float(nodes[leaf]["resolved"]))
            propagate_result(nodes, edges, leaf)
            return SETTLED
        if looks_ahead:
            won = winning_edge(play, outcome, nodes, edges, leaf, state, ahead)
            if won != NONE_WINS:
                player = nodes[leaf]["player"]
                nodes[leaf]["status"], nodes[leaf]["result"], nodes[leaf]["resolved"] = WON_AT_ONCE, player, 1.0
                edges[won]["result"] = edges[chosen]["result"] = player
                back_up(nodes, edges, leaf, 1.0)
                propagate_result(nodes, edges, leaf)
                return SETTLED
        tree["virtual_loss"] += 1
        return leaf


@search_kernel
def expand(tree, nodes, edges, index, logits, value, noise, settings, rng, rng_index):
    """Takes the evaluator's answer for node `index` and backs its value up.

    logits: float32[num_actions], of which the legal ones are read; value: seen by the side to move, in [-1, 1].
    """
    node = nodes[index]
    first, count = node["first_edge"], node["num_edges"]
    highest = -math.inf
    for k in range(count):
        edge = edges[first + k]
        edge["logit"] = logits[edge["action"]]
        highest = max(highest, edge["logit"])
    normalizer = 0.0
    for k in range(count):
        edge = edges[first + k]
        edge["prior"] = math.exp(edge["logit"] - highest)
        normalizer += edge["prior"]
    # Normalized, so that logits of different positions compare, and a softmax of them needs no maximum.
    shift, share = highest + math.log(normalizer), 1.0 / normalizer
    for k in range(count):
        edge = edges[first + k]
        edge["logit"] -= shift
        edge["prior"] *= share
    node["value"] = value
    node["status"] = EVALUATED
    tree["virtual_loss"] -= 1
    if index == ROOT:
        add_root_noise(nodes, edges, noise, settings, rng, rng_index)
    back_up(nodes, edges, index, float(value))


@search_kernel
def add_root_noise(nodes, edges, noise, settings, rng, rng_index):
    """Draws the root's Gumbel noise, or mixes Dirichlet noise into a PUCT root's priors."""
    root = nodes[ROOT]
    first, count = root["first_edge"], root["num_edges"]
    if settings["root_policy"] == GUMBEL:
        for k in range(count):
            noise[k] = settings["gumbel_scale"] * next_gumbel(rng, rng_index) if settings["gumbel_scale"] > 0 else 0.0
    elif settings["root_policy"] == PUCT and settings["dirichlet_weight"] > 0:
        total = 0.0
        for k in range(count):
            noise[k] = next_gamma(rng, rng_index, settings["dirichlet_total"] / count)
            total += noise[k]
        weight = settings["dirichlet_weight"]
        for k in range(count):
            edge = edges[first + k]
            edge["prior"] = (1.0 - weight) * edge["prior"] + weight * noise[k] / max(total, 1e-300)


@search_kernel
def reuse_subtree(tree, nodes, edges, action, spare_nodes, spare_edges):
    """Makes the root's child by `action` the root, keeping what is below it; False where that was never evaluated.

    Copies the subtree in breadth-first order through `spare_nodes` and `spare_edges`, storage of one tree's size.
    Must not be called while leaves wait. The caller plays the action on the root's state.
    """
    child = UNVISITED
    root = nodes[ROOT]
    for k in range(root["num_edges"]):
        edge = edges[root["first_edge"] + k]
        if edge["action"] == action:
            child = edge["child"]
    if child == UNVISITED or nodes[child]["status"] != EVALUATED:
        return False
    spare_nodes[0] = nodes[child]
    spare_nodes[0]["parent"] = NO_PARENT
    spare_nodes[0]["parent_edge"] = NO_PARENT
    num_nodes, num_edges, index = 1, 0, 0
    while index < num_nodes:
        node = spare_nodes[index]
        first = node["first_edge"]
        node["first_edge"] = num_edges
        for k in range(node["num_edges"]):
            spare_edges[num_edges] = edges[first + k]
            below = spare_edges[num_edges]["child"]
            if below != UNVISITED:
                spare_nodes[num_nodes] = nodes[below]
                spare_nodes[num_nodes]["parent"] = index
                spare_nodes[num_nodes]["parent_edge"] = num_edges
                spare_edges[num_edges]["child"] = num_nodes
                num_nodes += 1
            num_edges += 1
        index += 1
    for n in range(num_nodes):
        nodes[n] = spare_nodes[n]
    for e in range(num_edges):
        edges[e] = spare_edges[e]
    tree["num_nodes"] = num_nodes
    tree["num_edges"] = num_edges
    tree["full"] = 0
    tree["scheduled"] = 0
    return True
