"""A slow, obvious twin of the search: one object a node, dictionaries for edges, formulas as the papers print them.

It knows nothing of forests, first edges or kernels. Q is in [0, 1] for the side to move at the node.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from keima.games.contract import DRAW, ONGOING, PLAYER, Game
from keima.mcts.search import SearchSettings

Judge = Callable[[np.ndarray], tuple[np.ndarray, float]]
"""A state -> logits [num_actions], value of the side to move."""


@dataclass
class Node:
    state: np.ndarray
    player: int
    result: int
    actions: list[int] = field(default_factory=list)
    logits: dict[int, float] = field(default_factory=dict)
    priors: dict[int, float] = field(default_factory=dict)
    children: dict[int, "Node"] = field(default_factory=dict)
    visits: dict[int, int] = field(default_factory=dict)
    virtual_loss: dict[int, int] = field(default_factory=dict)
    value_sums: dict[int, float] = field(default_factory=dict)
    value: float = 0.0
    values: list[float] = field(default_factory=list)  # everything backed up into the node
    evaluated: bool = False
    won_at_once: bool = False
    proof_noted: bool = False  # by the edge to it


def softmax(logits: dict[int, float]) -> dict[int, float]:
    highest = max(logits.values())
    weights = {a: math.exp(x - highest) for a, x in logits.items()}
    total = sum(weights.values())
    return {a: w / total for a, w in weights.items()}


class NaiveSearch:
    """One tree. `noise`: the root's Gumbel noise, drawn elsewhere, by action. `score_weight`: the judge's."""

    def __init__(
        self,
        game: Game,
        settings: SearchSettings,
        state: np.ndarray,
        noise: dict[int, float] | None = None,
        score_weight: float = 0.0,
    ):
        self.game = game
        self.score_weight = score_weight if game.has_score else 0.0
        self.settings = settings
        self.root = self.make_node(state)
        self.noise = noise
        self.schedule: list[int] | None = None

    def make_node(self, state: np.ndarray) -> Node:
        node = Node(state, int(state[PLAYER]), self.game.outcome(state))
        node.actions = [int(a) for a in self.game.legal(state)]
        node.visits = dict.fromkeys(node.actions, 0)
        node.virtual_loss = dict.fromkeys(node.actions, 0)
        node.value_sums = dict.fromkeys(node.actions, 0.0)
        return node

    # --- Q and the like

    def result_of(self, node: Node, action: int) -> int:
        return node.children[action].result if action in node.children else ONGOING

    def exact(self, result: int, player: int) -> float:
        return 0.0 if result == DRAW else (1.0 if result == player else -1.0)

    def worth(self, node: Node) -> float:
        """What a node with a result is worth for its side to move: as the best of the children that prove it is."""
        if node.won_at_once:
            return 1.0
        if self.game.outcome(node.state) == ONGOING:
            best = [child for child in node.children.values() if child.result == node.result]
            return max(self.worth(child) * (1 if child.player == node.player else -1) for child in best)
        points = self.game.points(node.state) * (1 if node.player == 0 else -1)
        score = 2 / math.pi * math.atan(points / (2 * math.sqrt(self.game.shape[0] * self.game.shape[1])))
        return (1 - self.score_weight) * self.exact(node.result, node.player) + self.score_weight * score

    def lost(self, node: Node, action: int) -> bool:
        return self.result_of(node, action) == 1 - node.player

    def avoided(self, node: Node, action: int) -> bool:
        return not self.score_weight and self.lost(node, action)

    def count(self, node: Node, action: int) -> int:
        return node.visits[action] + node.virtual_loss[action]

    def q(self, node: Node, action: int) -> float:
        result = self.result_of(node, action)
        if result != ONGOING and not (self.score_weight and self.lost(node, action)):
            return (self.exact(result, node.player) + 1) / 2
        total = node.value_sums[action] - node.virtual_loss[action]
        return (total / self.count(node, action) + 1) / 2

    def completed_q(self, node: Node) -> dict[int, float]:
        visited = [a for a in node.actions if self.count(node, a) > 0]
        total = sum(self.count(node, a) for a in visited)
        v_mix = (node.value + 1) / 2
        if visited:
            mass = sum(node.priors[a] for a in visited)
            mean = sum(node.priors[a] * self.q(node, a) for a in visited) / mass
            v_mix = (v_mix + total * mean) / (1 + total)
        return {a: self.q(node, a) if a in visited else v_mix for a in node.actions}

    def root_value(self) -> float:
        """In [-1, 1] for the side to move: PUCT's mean, and for Gumbel what the improved policy is worth."""
        if self.root.result != ONGOING:
            return self.exact(self.root.result, self.root.player)
        if self.settings.root_policy == "puct":
            return float(np.mean(self.root.values))
        q, policy = self.completed_q(self.root), self.improved_policy(self.root)
        return sum(p * (2 * q[a] - 1) for a, p in policy.items())

    def sigma(self, node: Node, q: float) -> float:
        most = max(self.count(node, a) for a in node.actions)
        return (self.settings.c_visit + most) * self.settings.c_scale * q

    def improved_policy(self, node: Node) -> dict[int, float]:
        q = self.completed_q(node)
        return softmax({a: node.logits[a] + self.sigma(node, q[a]) for a in node.actions})

    # --- selection

    def select(self, node: Node) -> int:
        allowed = [a for a in node.actions if not self.avoided(node, a)]
        if self.settings.root_policy == "puct":
            return self.select_puct(node, allowed)
        if node is self.root:
            return self.select_gumbel_root(allowed)
        policy = self.improved_policy(node)
        total = sum(self.count(node, a) for a in node.actions)
        return max(allowed, key=lambda a: policy[a] - self.count(node, a) / (1 + total))

    def select_puct(self, node: Node, allowed: list[int]) -> int:
        s = self.settings
        total = sum(self.count(node, a) for a in node.actions)
        c = math.log((total + s.c_puct_base + 1) / s.c_puct_base) + s.c_puct
        urgency = (np.mean(node.values) + 1) / 2
        if node is not self.root:
            urgency -= s.fpu_reduction * math.sqrt(sum(node.priors[a] for a in node.actions if self.count(node, a)))

        def score(a: int) -> float:
            n = self.count(node, a)
            q = self.q(node, a) if n else urgency
            return q + c * node.priors[a] * math.sqrt(max(total, 1)) / (1 + n)

        def is_forced(a: int) -> bool:
            return node is self.root and 0 < self.count(node, a) < math.sqrt(s.forced_playouts * node.priors[a] * total)

        return max(allowed, key=lambda a: (is_forced(a), score(a)))

    def pruned_visits(self) -> dict[int, float]:
        """The root's visits without proven losses and without what forced playouts alone account for."""
        s, root = self.settings, self.root
        kept = {a: 0 if self.avoided(root, a) else root.visits[a] for a in root.actions}
        total = sum(root.visits.values())
        if not s.forced_playouts or not any(kept.values()):
            return kept
        c = math.log((total + s.c_puct_base + 1) / s.c_puct_base) + s.c_puct

        def score(a: int, visits: int) -> float:
            return self.q(root, a) + c * root.priors[a] * math.sqrt(total) / (1 + visits)

        best = max(root.actions, key=lambda a: kept[a])
        for a in root.actions:
            if a == best or not kept[a]:
                continue
            forced = math.sqrt(s.forced_playouts * root.priors[a] * total)
            fewest = root.visits[a]
            for fewer in range(root.visits[a] - 1, -1, -1):
                if root.visits[a] - fewer > forced or score(a, fewer) >= score(best, root.visits[best]):
                    break
                fewest = fewer
            kept[a] = fewest if fewest > 1 else 0
        return kept

    def gumbel_score(self, action: int) -> float:
        assert self.noise is not None
        q = self.completed_q(self.root)[action]
        return self.noise[action] + self.root.logits[action] + self.sigma(self.root, q)

    def select_gumbel_root(self, allowed: list[int]) -> int:
        root = self.root
        if self.schedule is None:
            self.schedule = sequential_halving(
                min(self.settings.max_considered, self.settings.simulations, len(allowed)), self.settings.simulations
            )
        wanted = self.schedule[sum(self.count(root, a) for a in root.actions)]
        return max(allowed, key=lambda a: (self.count(root, a) == wanted, self.gumbel_score(a)))

    # --- one simulation

    def simulate(self) -> list[tuple[Node, int | None]] | None:
        """The path to a leaf that needs evaluating, its nodes with the actions taken; None when nothing does."""
        path: list[tuple[Node, int | None]] = []
        node = self.root
        while True:
            if node.result != ONGOING:
                self.back_up(path, node, self.worth(node))
                self.prove(path)
                return None
            if not node.evaluated:
                return [*path, (node, None)]
            action = self.select(node)
            if node is self.root and len(node.values) == 1:
                action = next(iter(self.wins_at_once(node)), action)
            node.virtual_loss[action] += 1
            path.append((node, action))
            if action not in node.children:
                child = node.children[action] = self.make_node(self.game.after(node.state, action))
                if self.wins_at_once(child):
                    child.result, child.won_at_once = child.player, True
            node = node.children[action]

    def wins_at_once(self, node: Node, *, whatever_is_known: bool = False) -> list[int]:
        """The winning moves that are seen without a search."""
        looks = self.settings.look_ahead and self.game.looks_ahead and not self.score_weight
        if not looks or (node.result != ONGOING and not whatever_is_known):
            return []
        return [a for a in node.actions if self.game.outcome(self.game.after(node.state, a)) == node.player]

    def back_up(self, path: list[tuple[Node, int | None]], leaf: Node, value: float) -> None:
        leaf.values.append(value)
        for node, action in reversed(path):
            mine = value if node.player == leaf.player else -value
            node.visits[action] += 1
            node.virtual_loss[action] -= 1
            node.value_sums[action] += mine
            node.values.append(mine)

    def prove(self, path: list[tuple[Node, int | None]]) -> None:
        for node, action in reversed(path):
            child = node.children[action]
            if child.result != ONGOING and not child.proof_noted:
                mine = self.worth(child) if child.player == node.player else -self.worth(child)
                node.value_sums[action] = mine * node.visits[action]
                child.proof_noted = True
            results = [self.result_of(node, a) for a in node.actions]
            if node.player in results:
                node.result = node.player
            elif ONGOING not in results:
                node.result = DRAW if DRAW in results else 1 - node.player

    def expand(self, path: list[tuple[Node, int | None]], judge: Judge) -> None:
        *path, (leaf, _) = path
        logits, value = judge(leaf.state)
        leaf.priors = softmax({a: float(logits[a]) for a in leaf.actions})
        leaf.logits = {a: math.log(p) for a, p in leaf.priors.items()}
        leaf.value = float(value)
        leaf.evaluated = True
        self.back_up(path, leaf, leaf.value)

    def run(self, judge: Judge) -> None:
        """Batches of up to `leaves_per_batch` leaves; a batch ends early where a simulation meets one of its own."""
        while not self.finished(0):
            batch: list[list[tuple[Node, int | None]]] = []
            while len(batch) < self.settings.leaves_per_batch and not self.finished(len(batch)):
                path = self.simulate()
                if path is None:
                    continue
                if any(path[-1][0] is other[-1][0] for other in batch):
                    for node, action in path[:-1]:
                        node.virtual_loss[action] -= 1
                    break
                batch.append(path)
            for path in batch:
                self.expand(path, judge)

    def finished(self, under_way: int) -> bool:
        done = self.root.evaluated and len(self.root.values) - 1 + under_way >= self.settings.simulations
        return self.root.result != ONGOING or done

    def chosen_action(self) -> int:
        root = self.root
        for a in root.actions:
            if self.result_of(root, a) == root.player:
                return a
        allowed = [a for a in root.actions if not self.avoided(root, a)] or root.actions
        if root.result == DRAW:
            allowed = [a for a in allowed if self.result_of(root, a) == DRAW]
        if self.settings.root_policy == "gumbel":
            return max(allowed, key=lambda a: (root.visits[a], self.gumbel_score(a)))
        q = self.completed_q(root)
        return max(allowed, key=lambda a: (root.visits[a], q[a] if root.visits[a] else root.priors[a]))


def sequential_halving(considered: int, simulations: int) -> list[int]:
    """How often the action of each simulation has been visited before."""
    phases = max(1, math.ceil(math.log2(considered)))
    visits: list[int] = []
    done, k = 0, considered
    while len(visits) < simulations:
        for _ in range(max(1, simulations // (phases * k))):
            visits += [done] * k
            done += 1
        k = max(2, k // 2) if k > 1 else 1
    return visits[:simulations]
