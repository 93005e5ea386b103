"""The forest's storage: how large it is, what it is said to be, and that a search stays within it."""

import re
import resource
from pathlib import Path

import numpy as np
import pytest

from keima import games
from keima.mcts import tree
from keima.mcts.rollout import RolloutEvaluator
from keima.mcts.search import Search, SearchSettings
from keima.mcts.tree import EDGE, NODE, TREE, allocate, default_max_edges

ROOT_POLICIES = ["gumbel", "puct"]


def test_the_sizes_are_those_the_docstring_states():
    node, place, edge = map(
        int, re.search(r"(\d+) bytes a node, (\d+) .* and (\d+) bytes an edge", tree.__doc__).groups()
    )
    assert (NODE.itemsize, np.dtype(np.int32).itemsize, EDGE.itemsize) == (node, place, edge)
    forest = [
        allocate(3, nodes, edges, 4, 7, np.zeros(3, np.uint64)).nbytes
        for nodes, edges in ((10, 50), (11, 50), (10, 51))
    ]
    assert forest[1] - forest[0] == 3 * (node + place)
    assert forest[2] - forest[0] == 3 * edge


def test_records_lie_on_borders_of_8_bytes():
    for record in (NODE, EDGE, TREE):
        assert record.itemsize % 8 == 0
        assert all(offset % dtype.itemsize == 0 for dtype, offset in record.fields.values())


def test_nbytes_counts_every_array():
    forest = allocate(5, 20, 60, 4, 7, np.zeros(5, np.uint64))
    per_tree = 24 + 20 * 48 + 60 * 32 + 4 * 8 + 7 * 8 + 20 * 4 + 8
    assert forest.nbytes == 5 * per_tree


def test_edges_for_every_legal_move_until_trees_are_large():
    assert default_max_edges(34, 7) >= 34 * 7
    assert default_max_edges(34, 225) >= 34 * 225
    assert default_max_edges(802, 362) >= 802 * 362
    assert default_max_edges(10_000_000, 218) <= 10_000_000 * 64 + 218  # 64 a node
    for max_legal in (1, 7, 64, 65, 225, 4672):
        sizes = [default_max_edges(nodes, max_legal) for nodes in (1, 2, 10, 100, 10_000, 1_000_000)]
        assert sizes == sorted(sizes)
        assert sizes[0] >= max_legal  # the root's at least


@pytest.mark.parametrize("root_policy", ROOT_POLICIES)
@pytest.mark.parametrize("name", [*games.names(), "gomoku:19", "hex:13"])
def test_a_search_of_any_game_makes_all_its_simulations(name, root_policy):
    game = games.load(name)
    search = Search(game, SearchSettings(simulations=100, root_policy=root_policy))
    search.start(game.new_state())
    search.run(RolloutEvaluator(game))
    assert search.root().visits.sum() == 100
    assert not search._forest.trees[0]["full"]


@pytest.mark.parametrize("root_policy", ROOT_POLICIES)
@pytest.mark.parametrize("leaves", [1, 8])
@pytest.mark.parametrize("max_edges", [49, 60, 100, 300])
def test_a_search_stays_within_its_storage(root_policy, leaves, max_edges):
    """With neighbours on both sides in memory, whose storage must stay as it was."""
    game = games.load("breakthrough")
    settings = SearchSettings(simulations=200, root_policy=root_policy, leaves_per_batch=leaves)
    search = Search(game, settings, 3, max_edges=max_edges)
    forest, before = search._forest, search.nbytes
    over = game.new_state()  # the first and last tree are of a position that is over, and so stay empty
    rng = np.random.default_rng(0)
    while game.outcome(over) == -1:
        over = game.after(over, int(rng.choice(game.legal(over))))
    search.start(np.stack([over, game.new_state(), over]))
    kept = [(forest.nodes[b].copy(), forest.edges[b].copy()) for b in (0, 2)]
    search.run(RolloutEvaluator(game))
    middle = forest.trees[1]
    assert middle["num_nodes"] <= forest.nodes.shape[1]
    assert middle["num_edges"] <= max_edges
    assert middle["full"] == 1
    assert middle["virtual_loss"] == 0
    assert not forest.edges[1]["virtual_loss"].any()
    for (nodes, edges), b in zip(kept, (0, 2), strict=True):
        assert np.array_equal(forest.nodes[b], nodes)
        assert np.array_equal(forest.edges[b], edges)
    assert search.chosen_actions()[1] in game.legal(game.new_state())
    assert search.nbytes == before


def memory_in_use():
    """Bytes of this process that are in memory; where there is no /proc, the most there ever were."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_storage_that_is_not_used_is_not_touched():
    """A large limit must not cost what it allows: only address space."""
    game = games.load("connect4")
    before = memory_in_use()
    search = Search(game, SearchSettings(simulations=2_000_000, root_policy="puct"))
    search.start(game.new_state())
    calls = iter(range(100))
    search.run(RolloutEvaluator(game), should_stop=lambda: next(calls) >= 50)
    assert search.nbytes > 500e6
    assert memory_in_use() - before < 100e6
