"""Searching many positions at once: the Python shell that validates, allocates and calls the evaluator.

    search = Search(game, SearchSettings(simulations=64), num_trees=256)
    search.start(states)
    search.run(evaluate)
    actions = search.chosen_actions()

`evaluate(planes float32[n, C, H, W]) -> (logits float32[n, num_actions], values float32[n])`, values in [-1, 1] seen
by the side to move. One compiled search serves every game: its kernels arrive as first-class functions of exact
signature, which numba caches on disk and calls by address (a call costs some 5 ns more than a direct one).

The values of an evaluator with a `score_weight` w above 0 are utilities, (1 - w) * (win - loss) + w * s, of
the saturated score s (see selection.saturated_score). Games that are finished in the tree are then worth the same: so
who wins anyway wins by more, and who loses anyway by less. What is proven is the result alone.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numba
import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import KERNELS_TYPE
from keima.games.contract import ONGOING, Game, GameError
from keima.mcts.cache import CACHE_TYPE, allocate_cache
from keima.mcts.compiled import compiled
from keima.mcts.evaluator import Evaluate
from keima.mcts.leaf_loop import LEAF_INPUTS_TYPE, NO_LEAF, allocate_inputs, find_leaf, take_answer
from keima.mcts.random import seeded
from keima.mcts.selection import (
    GUMBEL,
    PUCT,
    SETTINGS,
    SETTINGS_TYPE,
    choose_root_edge,
    result_value,
    root_value,
    write_improved_policy,
)
from keima.mcts.simulation import copy_row, reuse_subtree, start_tree
from keima.mcts.tree import (
    EDGE,
    EVALUATED,
    FOREST_TYPE,
    NODE,
    ROOT,
    SCRATCH_TYPE,
    allocate,
    allocate_scratch,
    default_max_edges,
    tree_at,
)
from keima.mcts.variation import write_variations


@dataclass(frozen=True)
class SearchSettings:
    """How a tree is searched. Q is in [0, 1] in every constant below.

    The defaults are those of play with a network, PLAY_SETTINGS. Searches that play games out have PLAYOUT_SETTINGS.
    Self-play has its own defaults, with noise, in keima.selfplay.config.schema.SearchConfig.
    """

    simulations: int = 64
    root_policy: Literal["gumbel", "puct"] = "puct"
    leaves_per_batch: int = 1  # leaves of one tree evaluated together; more than 1 uses virtual loss
    max_considered: int = 16
    c_visit: float = 50.0
    c_scale: float = 1.0
    gumbel_scale: float = 0.0
    c_puct: float = 0.5  # in games of Othello, Go and Gomoku far ahead of AlphaZero's 1.25
    c_puct_base: float = 19652.0
    fpu_reduction: float = 0.1
    dirichlet_weight: float = 0.0
    dirichlet_total: float = 10.83
    forced_playouts: float = 0.0
    look_ahead: bool = True  # a leaf from which a move wins at once is a win, unasked; where values hold no scores

    def record(self, game: Game, score_weight: float = 0.0) -> NDArray[np.void]:
        """These settings as compiled code reads them, SETTINGS [1], for an evaluator with this weight of the score."""
        record = np.zeros(1, SETTINGS)
        known = {
            "root_policy": {"gumbel": GUMBEL, "puct": PUCT}[self.root_policy],
            "score_weight": score_weight if game.has_score else 0.0,
            "score_unit": game.score_unit,
            "look_ahead": self.look_ahead and game.looks_ahead,
        }
        for name in SETTINGS.names or ():
            record[name] = known[name] if name in known else getattr(self, name)
        return record


PLAY_SETTINGS = SearchSettings()
"""The search of a player with a network."""
PLAYOUT_SETTINGS = SearchSettings(c_puct=1.25, look_ahead=False)
"""The search of a player with random playouts: plain, with AlphaZero's constant. As a yardstick it stays what it is."""


@dataclass(frozen=True)
class RootSummary:
    """What a search found at a root; arrays are [number of legal actions], in the order of `actions`."""

    actions: NDArray[np.int32]
    visits: NDArray[np.int32]
    priors: NDArray[np.float32]
    values: NDArray[np.float64]  # each action's, in [-1, 1] for the side to move; NaN where it was never tried
    results: NDArray[np.int32]  # each action's proven outcome code, or ONGOING
    policy: NDArray[np.float64]  # the improved policy, what a network would be trained towards
    value: float  # of the position, in [-1, 1] for the side to move; the result, exactly, where `proven`
    proven: int  # outcome code, or ONGOING
    raw_value: float  # the evaluator's own value of the position


class _Leaves(NamedTuple):
    """Which leaves are handed to the evaluator, a row each."""

    states: NDArray[np.int64]  # [n, state_size], or no rows where the evaluator takes planes
    trees: NDArray[np.int32]  # [n]
    nodes: NDArray[np.int32]  # [n]
    keys: NDArray[np.uint64]  # [n] in the evaluation cache


_LEAVES_TYPE = types.NamedTuple((types.int64[:, ::1], types.int32[::1], types.int32[::1], types.uint64[::1]), _Leaves)
_NODES_TYPE = types.Array(numba.from_dtype(NODE), 1, "C")
_EDGES_TYPE = types.Array(numba.from_dtype(EDGE), 1, "C")
_int = types.int64


@compiled(
    _int(
        *(KERNELS_TYPE, FOREST_TYPE, SETTINGS_TYPE, _int, CACHE_TYPE),
        *(LEAF_INPUTS_TYPE, _LEAVES_TYPE, SCRATCH_TYPE, types.int64[::1]),
    ),
)
def _collect_leaves(kernels, forest, settings, leaves_per_tree, cache, inputs, leaves, scratch, tally):
    """Simulates in every unfinished tree until it has leaves to evaluate; returns how many were collected.

    Fills the first rows of the inputs and of `leaves`.
    """
    n = np.int64(0)  # a literal 0 would have what is called with it compiled once more, for that alone
    for b in range(len(forest.trees)):
        tree = tree_at(forest, b)
        for _ in range(leaves_per_tree):
            leaf, key = find_leaf(kernels, tree, settings[0], cache, inputs, n, scratch, tally)
            if leaf == NO_LEAF:
                break
            if len(leaves.states) > 0:
                copy_row(scratch.states[0], leaves.states[n])
            leaves.trees[n], leaves.nodes[n], leaves.keys[n] = b, leaf, key
            n += 1
    return n


@compiled(
    types.void(
        *(FOREST_TYPE, SETTINGS_TYPE, CACHE_TYPE, _int, _LEAVES_TYPE),
        *(types.float32[:, ::1], types.float32[::1], types.int64[::1]),
    ),
)
def _expand_leaves(forest, settings, cache, n, leaves, logits, values, tally):
    """Hands the evaluator's answers to the leaves they belong to."""
    for i in range(n):
        tree = tree_at(forest, leaves.trees[i])
        take_answer(tree, leaves.nodes[i], leaves.keys[i], logits[i], values[i], settings[0], cache, tally)


@compiled(types.void(KERNELS_TYPE, FOREST_TYPE, _int, types.int32[::1]))
def _start_trees(kernels, forest, simulations, actions):
    for b in range(len(forest.trees)):
        start_tree(kernels, tree_at(forest, b), simulations, actions)


@compiled(types.void(FOREST_TYPE, SETTINGS_TYPE, types.float64[::1], types.int64[::1]))
def _choose(forest, settings, scratch, chosen):
    """Fills chosen[b] with the action to play in tree b, -1 where the game is over."""
    for b in range(len(forest.trees)):
        tree = tree_at(forest, b)
        chosen[b] = -1
        if tree.nodes[ROOT]["num_edges"] > 0:
            k = choose_root_edge(tree.nodes, tree.edges, tree.root_noise, settings[0], scratch)
            chosen[b] = tree.edges[tree.nodes[ROOT]["first_edge"] + k]["action"]


@compiled(types.float64(FOREST_TYPE, SETTINGS_TYPE, _int, types.float64[::1], types.float64[::1]))
def _improve(forest, settings, b, policy, scratch):
    """Fills policy[:n] with tree b's improved policy over the root's n edges; returns the root's value."""
    tree = tree_at(forest, b)
    write_improved_policy(tree.edges, tree.nodes[ROOT], settings[0], policy)
    return root_value(tree.nodes, tree.edges, settings[0], policy, scratch)


@compiled(types.boolean(FOREST_TYPE, _int, _NODES_TYPE, _EDGES_TYPE))
def _reuse(forest, action, spare_nodes, spare_edges):
    """Makes the child by `action` the root of the first tree; False where there is nothing to keep."""
    return reuse_subtree(tree_at(forest, 0), action, spare_nodes, spare_edges)


class Search:
    """B trees of one game, searched side by side with shared evaluator calls.

    With the same seed, positions and evaluator the result is the same. Memory is bounded and allocated here:
    `nbytes` says how much; a tree whose storage is used up stops searching and answers with what it has.
    """

    def __init__(
        self,
        game: Game,
        settings: SearchSettings,
        num_trees: int = 1,
        seed: int = 0,
        max_edges: int | None = None,
        max_simulations: int | None = None,
    ) -> None:
        """`max_edges`: storage for edges a tree; see `keima.mcts.tree.default_max_edges`.

        `max_simulations`: storage for so many a tree, where `run` may be asked for more than the settings say.
        """
        if settings.simulations < 1:
            raise GameError(f"simulations: expected at least 1, got {settings.simulations}")
        self.game = game
        self.settings = settings
        self._kernels = game.kernels
        max_nodes = max(settings.simulations, max_simulations or 0) + settings.leaves_per_batch + 1
        max_edges = max_edges or default_max_edges(max_nodes, game.max_legal)
        self._forest = allocate(
            num_trees, max_nodes, max_edges, game.state_size, game.max_legal, seeded(seed, num_trees)
        )
        self._record = settings.record(game)
        batch = num_trees * settings.leaves_per_batch
        self._inputs = allocate_inputs(game, batch)
        self._leaves = _Leaves(
            states=np.zeros((batch, game.state_size), np.int64),
            trees=np.zeros(batch, np.int32),
            nodes=np.zeros(batch, np.int32),
            keys=np.zeros(batch, np.uint64),
        )
        self._cache = allocate_cache(0, game.max_legal)
        self._scratch = allocate_scratch(game.state_size, game.max_legal, game.num_actions)
        self._tally = np.zeros(4, np.int64)
        self._spare: tuple[NDArray[np.void], NDArray[np.void]] | None = None
        self.evaluations = 0
        """Positions handed to the evaluator so far."""

    @property
    def nbytes(self) -> int:
        """Bytes of the trees' storage; `advance` takes as much again, once, to move a subtree through."""
        return self._forest.nbytes

    def start(self, states: NDArray[np.int64]) -> None:
        """Plants a fresh tree at each of `states` [num_trees, state_size]; a single row does for a single tree."""
        self._forest.root_states[:] = states
        _start_trees(self._kernels, self._forest, self.settings.simulations, self._scratch.actions)

    def restrict(self, actions: Iterable[int]) -> None:
        """Has only these of the legal actions searched at the only tree's root, which `start` has just planted."""
        root, edges = self._forest.nodes[0, ROOT], self._forest.edges[0]
        first, count = int(root["first_edge"]), int(root["num_edges"])
        kept = edges[first : first + count][np.isin(edges["action"][first : first + count], list(actions))]
        if len(kept) == 0:
            raise ValueError("restrict: expected a legal action, got none")
        edges[first : first + len(kept)] = kept
        root["num_edges"] = len(kept)

    def advance(self, action: int) -> None:
        """Plays `action` at the root of the only tree, keeping what was searched below it.

        A Gumbel root starts from nothing all the same: sequential halving counts visits from zero.
        """
        if len(self._forest.trees) != 1:
            raise ValueError("advance is for a search of one tree")
        forest, state = self._forest, self._forest.root_states[0]
        kept = False
        if self.settings.root_policy == "puct":
            if self._spare is None:
                # Not zeros_like, which would touch all of a storage that is seldom full.
                self._spare = np.zeros(forest.nodes.shape[1], NODE), np.zeros(forest.edges.shape[1], EDGE)
            kept = _reuse(forest, action, *self._spare)
        self._kernels.play(state, action)
        if not kept:
            self.start(state.copy())

    def run(
        self, evaluate: Evaluate, should_stop: Callable[[], bool] | None = None, simulations: int | None = None
    ) -> None:
        """Searches every tree to its number of root visits, or until `should_stop()`, asked before every batch.

        `simulations`: that number for this run and later ones, in place of the settings'; for PUCT roots, since a
        Gumbel root's schedule is made for a number. Raises ValueError for one of those.
        An evaluator that `needs_states` is handed state rows [n, state_size] in place of planes; of
        one with `score_weight` see the module's docstring.
        """
        if simulations is not None:
            if self.settings.root_policy != "puct":
                raise ValueError("another number of simulations is for PUCT roots")
            self._forest.trees["simulations"] = simulations
        needs_states = evaluate.needs_states
        self._record = self.settings.record(self.game, evaluate.score_weight)
        leaves = self._leaves if needs_states else self._leaves._replace(states=self._leaves.states[:0])
        asked = leaves.states if needs_states else self._inputs.planes
        while should_stop is None or not should_stop():
            n = _collect_leaves(
                *(self._kernels, self._forest, self._record, self.settings.leaves_per_batch, self._cache),
                *(self._inputs, leaves, self._scratch, self._tally),
            )
            if n == 0:
                return
            logits, values = evaluate(asked[:n])  # type: ignore[arg-type]
            self.evaluations += n
            _expand_leaves(self._forest, self._record, self._cache, n, leaves, logits, values, self._tally)

    def chosen_actions(self) -> NDArray[np.int64]:
        """The action to play in each tree, [num_trees]; -1 where the game is over."""
        chosen = np.empty(len(self._forest.trees), np.int64)
        _choose(self._forest, self._record, self._scratch.q, chosen)
        return chosen

    def root(self, tree: int = 0) -> RootSummary:
        """What was found at a tree's root."""
        nodes, edges = self._forest.nodes[tree], self._forest.edges[tree]
        root = nodes[ROOT]
        count, player, proven = int(root["num_edges"]), int(root["player"]), int(root["result"])
        own = edges[root["first_edge"] : root["first_edge"] + count].copy()
        children = nodes["result"][np.maximum(own["child"], 0)]
        results = np.where(own["child"] >= 0, children, ONGOING)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = own["value_sum"] / own["visits"]
        for i in np.flatnonzero(results != ONGOING):
            values[i] = result_value(int(results[i]), player)
        policy = np.zeros(self.game.max_legal)
        if count:
            value = _improve(self._forest, self._record, tree, policy, self._scratch.q)
        else:
            value = result_value(proven, player) if proven != ONGOING else 0.0
        return RootSummary(
            actions=own["action"],
            visits=own["visits"],
            priors=own["prior"],
            values=values,
            results=results,
            policy=policy[:count],
            value=value,
            proven=proven,
            raw_value=float(root["value"]),
        )

    def is_evaluated(self, tree: int = 0) -> bool:
        """Whether a tree's root has its priors and value, without which nothing can be said of it."""
        return int(self._forest.nodes[tree, ROOT]["status"]) == EVALUATED

    def visits(self, tree: int = 0) -> int:
        """How many simulations a tree's root has seen, those kept from earlier searches among them."""
        return max(int(self._forest.nodes[tree, ROOT]["visits"]) - 1, 0)  # its own evaluation is none

    def variations(self, tree: int = 0, longest: int = 64) -> list[tuple[int, ...]]:
        """For each legal action at a tree's root, in `root`'s order, that action and the play expected after it.

        At most `longest` actions each; the action alone where it was never tried. Not while a run is going on.
        """
        nodes, edges = self._forest.nodes[tree], self._forest.edges[tree]
        count = int(nodes[ROOT]["num_edges"])
        actions, lengths = np.empty((count, longest), np.int32), np.empty(count, np.int64)
        write_variations(nodes, edges, self._record, actions, lengths)
        return [tuple(line[:length]) for line, length in zip(actions.tolist(), lengths, strict=True)]

    @property
    def root_states(self) -> NDArray[np.int64]:
        """The trees' root positions [num_trees, state_size]; not to be written to."""
        return self._forest.root_states


def choose_actions(
    game: Game, evaluate: Evaluate, states: NDArray[np.int64], settings: SearchSettings | None, at_once: int = 256
) -> NDArray[np.int64]:
    """The action chosen in each of `states` [n, state_size], all of which go on; int64 [n].

    settings: None asks the raw policy alone. at_once: how many positions share evaluator calls.
    """
    chosen = np.empty(len(states), np.int64)
    for start in range(0, len(states), at_once):
        part = states[start : start + at_once]
        if settings is None:
            logits, _ = evaluate(np.stack([game.planes(state) for state in part]))
            legal = [game.legal(state) for state in part]
            chosen[start : start + len(part)] = [a[np.argmax(logits[i][a])] for i, a in enumerate(legal)]
        else:
            search = Search(game, settings, len(part))
            search.start(part)
            search.run(evaluate)
            chosen[start : start + len(part)] = search.chosen_actions()
    return chosen
