"""The evaluation cache against a dictionary, and what its keys tell apart."""

import numpy as np
import pytest

from keima import games
from keima.mcts.cache import NOT_FOUND, allocate_cache, find, hashed_key, keep, position_key, recall
from keima.mcts.random import seeded
from keima.mcts.simulation import add_node
from keima.mcts.tree import NO_PARENT, Tree, allocate


class Positions:
    """Positions as the search hands them to the cache: planes as bits, and a node with its edges."""

    def __init__(self, game):
        self.game = game
        self.forest = allocate(1, 1, game.max_legal, game.state_size, game.max_legal, seeded(0, 1))
        self.actions = np.zeros(game.max_legal, np.int32)

    def node(self, state):
        forest = self.forest
        tree = Tree(forest.trees[:1], *(rows[0] for rows in forest[1:-1]), forest.rng[:1])
        tree.header[0]["num_nodes"] = tree.header[0]["num_edges"] = 0
        add_node(self.game.kernels, tree, state, NO_PARENT, NO_PARENT, self.actions)
        return tree.edges, tree.nodes[0]

    def key(self, cache, state):
        bits = self.game.planes(state).reshape(-1).view(np.uint32)
        return np.uint64(position_key(cache, bits, *self.node(state)))  # which numba hands over as a Python int


def random_states(game, count, seed=0):
    random, state = np.random.default_rng(seed), game.new_state()
    for _ in range(count):
        yield state
        legal = game.legal(state)
        state = game.after(state, int(random.choice(legal))) if len(legal) else game.new_state()
        if not len(game.legal(state)):
            state = game.new_state()


@pytest.mark.parametrize("name", ["connect4", "othello:6"])
def test_finds_what_was_kept_until_its_place_is_taken(name):
    """A small table, so that places are fought for."""
    game = games.load(name)
    positions, cache = Positions(game), allocate_cache(64 * (12 + 4 * game.max_legal), game.max_legal)
    assert len(cache.keys) == 64
    random, naive, hits = np.random.default_rng(1), {}, 0
    for state in random_states(game, 6000):
        key = positions.key(cache, state)
        edges, node = positions.node(state)
        legal = game.legal(state)
        place, known = find(cache, key), naive.get(int(key) % 64)
        if known is not None and known[0] == state.tobytes():
            hits += 1
            found = np.full(game.num_actions, np.nan, np.float32)
            assert recall(cache, place, edges, node, found) == known[1]
            np.testing.assert_array_equal(found[legal], known[2][legal])
            assert np.isnan(np.delete(found, legal)).all()  # nothing is said of other actions
        else:
            assert place == NOT_FOUND
            logits, value = random.normal(size=game.num_actions).astype(np.float32), np.float32(random.uniform(-1, 1))
            keep(cache, key, edges, node, logits, value)
            naive[int(key) % 64] = (state.tobytes(), value, logits)
    assert 100 < hits < 5000


def test_different_positions_have_different_keys_and_the_same_the_same():
    game = games.load("connect4")
    positions, cache = Positions(game), allocate_cache(10**6, game.max_legal)
    states = list(random_states(game, 3000))
    keys = [int(positions.key(cache, state)) for state in states]
    by_position = {}
    for state, key in zip(states, keys, strict=True):
        assert by_position.setdefault(state.tobytes(), key) == key
    assert len(set(by_position.values())) == len(by_position) > 1500
    places = np.bincount([key % 64 for key in by_position.values()], minlength=64)
    assert places.min() > 0  # the low bits, which choose the place, are as good as any
    assert places.max() < 3 * places.mean()


def test_legal_actions_are_part_of_the_key():
    """In some games the planes do not tell what is legal: superko."""
    game = games.load("connect4")
    positions, cache = Positions(game), allocate_cache(10**6, game.max_legal)
    planes = game.planes(game.new_state()).reshape(-1).view(np.uint32)
    edges, node = positions.node(game.new_state())
    all_legal = position_key(cache, planes, edges, node)
    node["num_edges"] -= 1
    one_less = position_key(cache, planes, edges, node)
    node["num_edges"] += 1
    edges["action"][0] = 99
    another = position_key(cache, planes, edges, node)
    assert len({int(all_legal), int(one_less), int(another)}) == 3


def test_values_of_planes_are_part_of_the_key():
    game = games.load("tictactoe")
    positions, cache = Positions(game), allocate_cache(10**6, game.max_legal)
    edges, node = positions.node(game.new_state())
    planes = np.zeros(18, np.float32)
    keys = set()
    for cell in range(18):
        for value in (1.0, 0.5, -1.0, 2.0):
            planes[:] = 0
            planes[cell] = value
            keys.add(int(position_key(cache, planes.view(np.uint32), edges, node)))
    assert len(keys) == 18 * 4


def test_a_new_generation_knows_nothing_of_the_old():
    game = games.load("connect4")
    positions, cache = Positions(game), allocate_cache(10**6, game.max_legal)
    state = game.new_state()
    logits = np.arange(7, dtype=np.float32)
    keep(cache, positions.key(cache, state), *positions.node(state), logits, np.float32(0.25))
    assert find(cache, positions.key(cache, state)) != NOT_FOUND
    cache.generation[0] += np.uint64(1)
    assert find(cache, positions.key(cache, state)) == NOT_FOUND


@pytest.mark.parametrize(
    ("max_bytes", "entries"), [(0, 0), (600, 0), (640, 16), (1279, 16), (1280, 32), (10**6, 16384)]
)
def test_the_table_takes_no_more_than_it_may(max_bytes, entries):
    cache = allocate_cache(max_bytes, 7)  # 40 bytes an entry
    assert len(cache.keys) == len(cache.values) == len(cache.logits) == entries
    assert cache.nbytes <= max_bytes + 8


def test_a_games_own_hash_finds_what_the_planes_would():
    game = games.load("connect4")
    positions, cache = Positions(game), allocate_cache(10**6, game.max_legal)
    of_planes, of_hash = {}, {}
    for state in random_states(game, 3000):
        known = of_planes.setdefault(int(positions.key(cache, state)), state.tobytes())
        own = hashed_key(cache, game.kernels.position_hash(state))
        assert of_hash.setdefault(int(own), known) == known
    assert len(of_planes) == len(of_hash)
    cache.generation[0] += np.uint64(1)
    assert int(hashed_key(cache, game.kernels.position_hash(game.new_state()))) not in of_hash
