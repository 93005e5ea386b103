"""The steps of one simulation: descend, add a leaf, expand it with the evaluator's answer, back its value up.

All of these work on ONE tree of the forest. `scratch` is working memory, see `keima.mcts.tree.Scratch`.
"""

import math

from keima.games.contract import DRAW, ONGOING, PLAYER
from keima.mcts.compiled import inlined, inner_kernel, search_kernel
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
RESOLVED = -1  # it ended in a position whose result is known; counted, nothing to evaluate
BLOCKED = -2  # it ran into a leaf that already waits; nothing changed
OUT_OF_STORAGE = -3  # the tree has no room for the leaf; nothing changed

NONE_WINS = -1  # in place of an edge


@inner_kernel
def copy_row(row, into):
    """Copies a state row; numba's own slice assignment allocates where rows might overlap."""
    for i in range(len(row)):
        into[i] = row[i]


@inlined
def add_node(kernels, tree, state, parent, parent_edge, actions):
    """Adds the node of the position `state`; returns its index, or OUT_OF_STORAGE. `actions` is scratch [max_legal]."""
    header, edges = tree.header[0], tree.edges
    index = header["num_nodes"]
    if index == len(tree.nodes):
        return OUT_OF_STORAGE
    count = 0
    if kernels.has_legal_or_over:
        found = kernels.legal_or_over(state, actions)
        result, count = (ONGOING, found) if found >= 0 else (-1 - found, 0)
    else:
        result = kernels.outcome(state)
        if result == ONGOING:
            count = kernels.legal_actions(state, actions)
    if header["num_edges"] + count > len(edges):
        return OUT_OF_STORAGE
    node = tree.nodes[index]
    node["value_sum"] = 0.0
    node["value"] = 0.0
    node["parent"] = parent
    node["parent_edge"] = parent_edge
    node["first_edge"] = header["num_edges"]
    node["num_edges"] = count
    node["visits"] = 0
    node["player"] = state[PLAYER]
    node["result"] = result
    node["status"] = WAITING if result == ONGOING else EVALUATED
    node["resolved"] = 0.0 if result == ONGOING else result_value(result, state[PLAYER])
    for k in range(count):
        edge = edges[header["num_edges"] + k]
        edge["value_sum"] = 0.0
        edge["action"] = actions[k]
        edge["child"] = UNVISITED
        edge["visits"] = 0
        edge["virtual_loss"] = 0
        edge["result"] = ONGOING
        edge["logit"] = 0.0
        edge["prior"] = 0.0
    header["num_edges"] += count
    header["num_nodes"] += 1
    if parent_edge != NO_PARENT:
        edges[parent_edge]["child"] = index
        edges[parent_edge]["result"] = result
    return index


@inner_kernel
def start_tree(kernels, tree, simulations, actions):
    """Empties the tree and adds the root of its root state, to be searched to `simulations` root visits.

    The root's own evaluation is not a simulation. A root whose game is over is resolved at once.
    """
    header = tree.header[0]
    header["num_nodes"] = 0
    header["num_edges"] = 0
    header["simulations"] = simulations
    header["virtual_loss"] = 0
    header["full"] = 0
    header["scheduled"] = 0
    add_node(kernels, tree, tree.root_state, NO_PARENT, NO_PARENT, actions)


@inner_kernel
def is_finished(header, root):
    """Whether there is nothing left to simulate: visits reached, root proven, or the tree full."""
    if root["result"] != ONGOING or header["full"]:
        return True
    # The root's visits count its own evaluation too.
    return root["status"] == EVALUATED and root["visits"] - 1 + header["virtual_loss"] >= header["simulations"]


@inner_kernel
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


@inner_kernel
def revert_virtual_loss(nodes, edges, index):
    """Takes back the virtual losses on the way to node `index`."""
    while nodes[index]["parent"] != NO_PARENT:
        edges[nodes[index]["parent_edge"]]["virtual_loss"] -= 1
        index = nodes[index]["parent"]


@inner_kernel
def resolved_for(node, player):
    """What a node with a result is worth for a player."""
    return node["resolved"] if node["player"] == player else -node["resolved"]


@inner_kernel
def propagate_result(nodes, edges, index):
    """Carries the proven result of node `index` up as far as it proves its parents' (MCTS-Solver, Winands 2008).

    A side to move wins with one winning move, and has proven a draw or a loss once every move's result is known. Of
    the moves with that result, the one that resolves it best says what the node is worth.
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


@inlined
def winning_edge(kernels, tree, index, state, ahead):
    """The first edge of node `index` that wins at once, or NONE_WINS. state: its position; ahead: scratch, as long."""
    node = tree.nodes[index]
    for e in range(node["first_edge"], node["first_edge"] + node["num_edges"]):
        copy_row(state, ahead)
        kernels.play(ahead, tree.edges[e]["action"])
        if kernels.outcome(ahead) == node["player"]:
            return e
    return NONE_WINS


@search_kernel
def looks_ahead(settings):
    """Whether moves that win at once are looked for; not where values hold scores, since the best win is searched."""
    return settings["look_ahead"] and settings["score_weight"] == 0


@inlined
def simulate(kernels, tree, settings, scratch):
    """Follows edges from the root to a leaf, whose position is left in scratch.states[0].

    Returns the index of a new node that waits for the evaluator, or RESOLVED, BLOCKED or OUT_OF_STORAGE. The root
    itself is the first such leaf.
    """
    header, nodes, edges, state = tree.header[0], tree.nodes, tree.edges, scratch.states[0]
    copy_row(tree.root_state, state)
    index = ROOT
    if nodes[ROOT]["status"] == WAITING:
        if header["virtual_loss"] > 0:
            return BLOCKED
        header["virtual_loss"] += 1
        return ROOT
    if settings["root_policy"] == GUMBEL and not header["scheduled"]:
        begin_schedule(tree, settings)
    while True:
        node = nodes[index]
        if node["result"] != ONGOING:
            back_up(nodes, edges, index, float(node["resolved"]))
            return RESOLVED
        if node["status"] == WAITING:
            revert_virtual_loss(nodes, edges, index)
            return BLOCKED
        chosen = select_edge(kernels, tree, index, settings, scratch)
        edge = edges[chosen]
        edge["virtual_loss"] += 1
        kernels.play(state, edge["action"])
        if edge["child"] == UNVISITED:
            return add_leaf(kernels, tree, index, chosen, settings, scratch)
        index = edge["child"]


@inner_kernel
def begin_schedule(tree, settings):
    """Writes a Gumbel root's schedule, once its moves are known."""
    root = tree.nodes[ROOT]
    candidates = 0
    for k in range(root["num_edges"]):
        if not is_avoided(tree.edges[root["first_edge"] + k], root["player"], settings):
            candidates += 1
    simulations = tree.header[0]["simulations"]
    write_schedule(tree.schedule, min(settings["max_considered"], simulations, max(candidates, 1)), simulations)
    tree.header[0]["scheduled"] = 1


@inlined
def select_edge(kernels, tree, index, settings, scratch):
    """The place in tree.edges of the edge that a simulation follows from node `index`; scratch.states[0] is there."""
    nodes, edges = tree.nodes, tree.edges
    if index == ROOT and nodes[ROOT]["visits"] == 1 and looks_ahead(settings):  # nothing but its own evaluation
        won = winning_edge(kernels, tree, index, scratch.states[0], scratch.states[1])
        if won != NONE_WINS:
            return won
    if settings["root_policy"] != GUMBEL:
        return select_puct(nodes, edges, index, settings)
    if index == ROOT:
        return select_gumbel_root(nodes, edges, tree.schedule, tree.root_noise, settings, scratch.edge_values)
    return select_gumbel_interior(edges, nodes[index], settings, scratch.edge_values)


@inlined
def add_leaf(kernels, tree, parent, parent_edge, settings, scratch):
    """Ends a simulation with a new node of the position in scratch.states[0]; returns what `simulate` does.

    Takes the virtual losses on the way back where it does not return the leaf.
    """
    nodes, edges, state = tree.nodes, tree.edges, scratch.states[0]
    leaf = add_node(kernels, tree, state, parent, parent_edge, scratch.actions)
    if leaf == OUT_OF_STORAGE:
        tree.header[0]["full"] = 1
        edges[parent_edge]["virtual_loss"] -= 1
        revert_virtual_loss(nodes, edges, parent)
        return OUT_OF_STORAGE
    node = nodes[leaf]
    if node["result"] != ONGOING:
        if settings["score_weight"] > 0:
            node["resolved"] = terminal_value(node["result"], kernels.score(state), node["player"], settings)
        back_up(nodes, edges, leaf, float(node["resolved"]))
        propagate_result(nodes, edges, leaf)
        return RESOLVED
    if looks_ahead(settings):
        won = winning_edge(kernels, tree, leaf, state, scratch.states[1])
        if won != NONE_WINS:
            node["status"], node["result"], node["resolved"] = WON_AT_ONCE, node["player"], 1.0
            edges[won]["result"] = edges[parent_edge]["result"] = node["player"]
            back_up(nodes, edges, leaf, 1.0)
            propagate_result(nodes, edges, leaf)
            return RESOLVED
    tree.header[0]["virtual_loss"] += 1
    return leaf


@inlined
def expand(tree, index, logits, value, settings):
    """Takes the evaluator's answer for node `index` and backs its value up.

    logits: float32[num_actions], of which the legal ones are read; value: seen by the side to move, in [-1, 1].
    """
    nodes, edges = tree.nodes, tree.edges
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
    tree.header[0]["virtual_loss"] -= 1
    if index == ROOT:
        add_root_noise(tree, settings)
    back_up(nodes, edges, index, float(value))


@inner_kernel
def add_root_noise(tree, settings):
    """Draws the root's Gumbel noise, or mixes Dirichlet noise into a PUCT root's priors."""
    root, noise = tree.nodes[ROOT], tree.root_noise
    first, count = root["first_edge"], root["num_edges"]
    if settings["root_policy"] == GUMBEL:
        for k in range(count):
            noise[k] = settings["gumbel_scale"] * next_gumbel(tree.rng, 0) if settings["gumbel_scale"] > 0 else 0.0
    elif settings["root_policy"] == PUCT and settings["dirichlet_weight"] > 0:
        total = 0.0
        for k in range(count):
            noise[k] = next_gamma(tree.rng, 0, settings["dirichlet_total"] / count)
            total += noise[k]
        weight = settings["dirichlet_weight"]
        for k in range(count):
            edge = tree.edges[first + k]
            edge["prior"] = (1.0 - weight) * edge["prior"] + weight * noise[k] / max(total, 1e-300)


@inner_kernel
def reuse_subtree(tree, action, spare_nodes, spare_edges):
    """Makes the root's child by `action` the root, keeping what is below it; False where that was never evaluated.

    Copies the subtree in breadth-first order through `spare_nodes` and `spare_edges`, storage of one tree's size.
    Must not be called while leaves wait. The caller plays the action on the root's state.
    """
    nodes, edges = tree.nodes, tree.edges
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
    tree.header[0]["num_nodes"] = num_nodes
    tree.header[0]["num_edges"] = num_edges
    tree.header[0]["full"] = 0
    tree.header[0]["scheduled"] = 0
    return True
