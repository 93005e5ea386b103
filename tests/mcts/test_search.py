"""The compiled search against its naive twin, to the last visit; and what the twin cannot show."""

import hashlib

import numpy as np
import pytest

from keima import games
from keima.games.contract import ONGOING, SECOND_WINS
from keima.games.position import position_after
from keima.mcts.evaluator import Evaluate
from keima.mcts.rollout import RolloutEvaluator
from keima.mcts.search import PLAY_SETTINGS, PLAYOUT_SETTINGS, Search, SearchSettings, choose_actions
from keima.mcts.selection import write_pruned_visits
from keima.mcts.tree import ROOT, UNVISITED
from tests import paths
from tests.judged import Judged
from tests.mcts.naive import NaiveSearch, Node


class HashEvaluator(Evaluate):
    """A made-up network: logits and value drawn from a hash of the planes. float32, as a network's would be."""

    def __init__(self, game, value_scale=0.8, score_weight=0.0):
        self.score_weight = score_weight
        self.num_actions = game.num_actions
        self.value_scale = value_scale
        self.batches = []

    def judge(self, planes):
        seed = int.from_bytes(hashlib.blake2b(np.ascontiguousarray(planes).tobytes(), digest_size=8).digest(), "big")
        random = np.random.default_rng(seed)
        logits = random.normal(size=self.num_actions).astype(np.float32) * np.float32(1.5)
        return logits, np.float32(self.value_scale * np.tanh(random.normal()))

    def __call__(self, planes):
        self.batches.append(len(planes))
        answers = [self.judge(p) for p in planes]
        return np.stack([a[0] for a in answers]), np.array([a[1] for a in answers], np.float32)


def random_states(game, count, seed, longest):
    random = np.random.default_rng(seed)
    states = []
    while len(states) < count:
        state = game.new_state()
        for _ in range(random.integers(longest + 1)):
            if game.outcome(state) == ONGOING:
                state = game.after(state, int(random.choice(game.legal(state))))
        if game.outcome(state) == ONGOING:
            states.append(state)
    return np.stack(states)


def assert_same_tree(forest, b, node: Node, index=ROOT):
    """Compares every node and edge below `index` of tree b with the twin's."""
    nodes, edges = forest.nodes[b], forest.edges[b]
    found = nodes[index]
    assert found["result"] == node.result
    assert found["player"] == node.player
    assert found["visits"] == len(node.values)
    assert found["value_sum"] == pytest.approx(sum(node.values), abs=1e-5)
    own = edges[found["first_edge"] : found["first_edge"] + found["num_edges"]]
    if not node.evaluated:
        assert not node.children
        return
    assert own["action"].tolist() == node.actions
    assert own["visits"].tolist() == [node.visits[a] for a in node.actions]
    assert not own["virtual_loss"].any()
    assert [c != UNVISITED for c in own["child"]] == [a in node.children for a in node.actions]
    for edge in own:
        assert edge["value_sum"] == pytest.approx(node.value_sums[int(edge["action"])], abs=1e-5)
        assert edge["result"] == (ONGOING if edge["child"] == UNVISITED else nodes[edge["child"]]["result"])
        if edge["child"] != UNVISITED:
            assert_same_tree(forest, b, node.children[int(edge["action"])], int(edge["child"]))


CASES = [
    ("tictactoe", 6, 60, 0),
    ("connect4", 34, 90, 0),
    ("othello:6", 26, 50, 0),
    ("othello:6", 28, 40, 0.4),
    ("go:3,komi=1", 24, 60, 0.1),
]
SETTINGS = [
    SearchSettings(root_policy="gumbel", gumbel_scale=1.0),
    SearchSettings(root_policy="gumbel", gumbel_scale=1.0, max_considered=4, c_visit=20, c_scale=0.3),
    SearchSettings(root_policy="gumbel", leaves_per_batch=4),
    SearchSettings(root_policy="puct"),
    SearchSettings(root_policy="puct", c_puct=3.0, c_puct_base=50.0, fpu_reduction=0.4),
    SearchSettings(root_policy="puct", leaves_per_batch=6),
    SearchSettings(root_policy="puct", forced_playouts=2.0),
    SearchSettings(root_policy="puct", forced_playouts=0.5, leaves_per_batch=6),
    SearchSettings(root_policy="gumbel", gumbel_scale=1.0, look_ahead=False),
    SearchSettings(root_policy="puct", leaves_per_batch=6, look_ahead=False),
]


@pytest.mark.parametrize(
    "settings",
    SETTINGS,
    ids=lambda s: f"{s.root_policy}-{s.c_scale}-{s.c_puct}-{s.leaves_per_batch}-{s.forced_playouts}-{s.look_ahead}",
)
@pytest.mark.parametrize(("name", "longest", "simulations", "score_weight"), CASES, ids=lambda x: str(x))
def test_agrees_with_the_naive_twin_to_the_last_visit(name, longest, simulations, score_weight, settings):
    game = games.load(name)
    states = random_states(game, 12, seed=5, longest=longest)
    evaluator = HashEvaluator(game, score_weight=score_weight)
    for n in (1, 2, 7, simulations):
        settings = SearchSettings(**{**settings.__dict__, "simulations": n})
        search = Search(game, settings, len(states), seed=3)
        search.start(states)
        search.run(evaluator)
        for b, state in enumerate(states):
            legal = [int(a) for a in game.legal(state)]
            noise = dict(zip(legal, search._forest.root_noise[b].tolist(), strict=False))
            twin = NaiveSearch(game, settings, state, noise, score_weight)
            twin.run(lambda s: evaluator.judge(game.planes(s)))
            assert_same_tree(search._forest, b, twin.root)
            assert search.chosen_actions()[b] == twin.chosen_action()
            if settings.root_policy == "puct":
                pruned = np.zeros(game.max_legal)
                write_pruned_visits(search._forest.nodes[b], search._forest.edges[b], search._record[0], pruned)
                kept = twin.pruned_visits()
                assert pruned[: len(legal)].tolist() == [kept[a] for a in legal]
            policy = twin.improved_policy(twin.root)
            found = search.root(b)
            np.testing.assert_allclose(found.policy, [policy[a] for a in legal], atol=1e-6)
            assert found.value == pytest.approx(twin.root_value(), abs=1e-6)


def likes_the_centre(planes):
    """Whoever has a stone at the bottom of the centre is well off; while nobody has, the second player is."""
    own, others = planes[:, 0], planes[:, 1]
    first_to_move = own.sum((1, 2)) == others.sum((1, 2))
    values = np.where(first_to_move, -0.6, 0.6)
    for centre, value in ((own[:, -1, 3], 0.6), (others[:, -1, 3], -0.6)):
        values = np.where(centre > 0, value, values)
    return np.zeros((len(planes), 7), np.float32), values.astype(np.float32)


def test_a_gumbel_root_is_worth_what_its_good_move_is_though_most_simulations_try_others():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=16, root_policy="gumbel", gumbel_scale=1.0))
    search.start(game.new_state())
    search.run(Judged(likes_the_centre))
    root = search.root()
    assert root.visits[3] <= 8
    assert np.dot(root.visits, root.values) / root.visits.sum() < 0.2
    assert root.value == pytest.approx(0.6, abs=0.05)


def test_gumbel_noise_follows_gumbels_distribution():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=1, root_policy="gumbel", gumbel_scale=1.0), 4000, seed=1)
    search.start(np.tile(game.new_state(), (4000, 1)))
    search.run(HashEvaluator(game))
    noise = search._forest.root_noise
    assert noise.mean() == pytest.approx(0.5772, abs=0.03)  # Euler's constant
    assert noise.var() == pytest.approx(np.pi**2 / 6, abs=0.08)


def test_dirichlet_noise_is_mixed_into_the_roots_priors():
    game = games.load("connect4")
    plain, noisy = (
        Search(game, SearchSettings(simulations=1, root_policy="puct", dirichlet_weight=w), 3000, seed=1)
        for w in (0.0, 0.25)
    )
    for search in (plain, noisy):
        search.start(np.tile(game.new_state(), (3000, 1)))
        search.run(HashEvaluator(game))
    before = plain.root(0).priors
    after = np.array([noisy.root(b).priors for b in range(3000)])
    noise = (after - 0.75 * before) / 0.25
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(noise.mean(0), 1 / 7, atol=0.01)
    alpha = 10.83 / 7  # the variance of a symmetric Dirichlet's parts
    np.testing.assert_allclose(noise.var(0), (1 / 7) * (6 / 7) / (7 * alpha + 1), rtol=0.1)


class LeftIsBest(Evaluate):
    """For whom the first player stands well with more of the left column than the second, whatever else there is."""

    def __init__(self, logits):
        self.logits = np.asarray(logits, np.float32)

    def __call__(self, planes):
        left = planes[:, :2, :, 0].sum(2)  # of the side to move, of the other
        return np.tile(self.logits, (len(planes), 1)), np.tanh(2 * (left[:, 0] - left[:, 1])).astype(np.float32)


def pruned_visits(search):
    visits = np.zeros(search.game.max_legal)
    write_pruned_visits(search._forest.nodes[0], search._forest.edges[0], search._record[0], visits)
    return visits


def test_forced_playouts_are_made_and_pruned():
    """One move is good, and the others are tried for no other reason than their priors."""
    game = games.load("connect4")
    visits, pruned = {}, {}
    for k in (0.0, 2.0, 8.0):
        search = Search(game, SearchSettings(simulations=200, root_policy="puct", forced_playouts=k))
        search.start(game.new_state())
        search.run(LeftIsBest(np.log([0.4, 0.2, 0.1, 0.1, 0.1, 0.07, 0.03])))
        root = search.root()
        visits[k], pruned[k] = root.visits, pruned_visits(search)
        tried = root.visits > 1  # a move that has just been tried has not been forced yet
        # One visit less: the last may have raised the sum after a move had its share.
        assert (root.visits[tried] + 1 >= np.sqrt(k * root.priors[tried] * root.visits.sum())).all()
        assert root.visits.argmax() == 0
        assert pruned[k][0] == root.visits[0]
        assert (pruned[k] <= root.visits).all()
    np.testing.assert_array_equal(pruned[0.0], visits[0.0])
    others = {k: visits[k][1:].sum() for k in visits}
    assert others[8.0] > 1.5 * others[2.0] > 1.8 * others[0.0]
    for k in (2.0, 8.0):
        assert pruned[k][1:].sum() < 1.1 * others[0.0]  # about what they would have had
        assert visits[k][6] > pruned[k][6] == 0  # left with a single visit, a move goes altogether


def test_a_proven_loss_is_neither_forced_nor_a_target():
    position = position_after("tictactoe", ["a1", "b2", "c3"])  # X has two corners: O loses by taking a third
    search = Search(position.game, SearchSettings(simulations=150, root_policy="puct", forced_playouts=2.0))
    search.start(position.state)
    search.run(HashEvaluator(position.game))
    root = search.root()
    lost = root.results == 0
    assert lost.any()
    assert not pruned_visits(search)[: len(lost)][lost].any()


def test_one_seed_one_result_and_another_seed_another():
    game = games.load("connect4")
    states = random_states(game, 8, seed=1, longest=20)
    visits = []
    for seed in (1, 1, 2):
        search = Search(game, SearchSettings(simulations=40, root_policy="gumbel", gumbel_scale=1.0), 8, seed=seed)
        search.start(states)
        search.run(HashEvaluator(game))
        visits.append([search.root(b).visits.tolist() for b in range(8)])
    assert visits[0] == visits[1] != visits[2]


def test_trees_do_not_disturb_each_other():
    game = games.load("connect4")
    states = random_states(game, 6, seed=2, longest=20)
    settings = SearchSettings(simulations=50, root_policy="puct")
    together = Search(game, settings, 6)
    together.start(states)
    together.run(HashEvaluator(game))
    for b, state in enumerate(states):
        alone = Search(game, settings)
        alone.start(state)
        alone.run(HashEvaluator(game))
        assert alone.root().visits.tolist() == together.root(b).visits.tolist()


@pytest.mark.parametrize("root_policy", ["gumbel", "puct"])
def test_finds_and_proves_a_win_whatever_the_network_says(root_policy):
    position = position_after("connect4", ["3", "3", "4", "4", "5", "7"])  # 2 and 6 both win
    search = Search(position.game, SearchSettings(simulations=400, root_policy=root_policy))
    search.start(position.state)
    search.run(HashEvaluator(position.game))
    root = search.root()
    assert (root.proven, root.value) == (0, 1.0)
    assert search.chosen_actions()[0] in (1, 5)
    assert search.evaluations < 50  # it stopped once that was proven


def test_proves_a_loss_once_every_move_is_refuted():
    position = position_after("connect4", ["3", "3", "4", "4", "5"])  # whatever comes, 2 or 6 wins
    search = Search(position.game, SearchSettings(simulations=3000, root_policy="puct"))
    search.start(position.state)
    search.run(HashEvaluator(position.game))
    root = search.root()
    assert (root.proven, root.value) == (0, -1.0)  # seen by the second player, who is to move
    assert set(root.results.tolist()) == {0}


def test_a_proven_draw_is_exact():
    position = position_after("tictactoe", ["a1", "b2", "c3", "b1", "b3", "a3", "c1"])
    search = Search(position.game, SearchSettings(simulations=200, root_policy="puct"))
    search.start(position.state)
    search.run(HashEvaluator(position.game))
    root = search.root()
    assert (root.proven, root.value) == (2, 0.0)
    assert set(root.results.tolist()) <= {ONGOING, 2, 0}


def test_plays_the_least_bad_when_everything_loses():
    position = position_after("connect4", ["3", "3", "4", "4", "5"])
    chosen = choose_actions(position.game, HashEvaluator(position.game), position.state[None], SearchSettings(300))
    assert chosen[0] in position.legal_actions()
    position.play(int(chosen[0]))
    assert position.outcome != SECOND_WINS


def test_reused_subtree_is_the_subtree():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=300, root_policy="puct"))
    search.start(game.new_state())
    search.run(HashEvaluator(game))
    forest = search._forest
    action = int(search.chosen_actions()[0])

    def below(index):
        nodes, edges = forest.nodes[0], forest.edges[0]
        node = nodes[index]
        own = edges[node["first_edge"] : node["first_edge"] + node["num_edges"]]
        children = [None if e["child"] == UNVISITED else below(int(e["child"])) for e in own]
        kept = [own[name].tolist() for name in ("action", "visits", "value_sum", "prior", "logit")]
        return (int(node["visits"]), float(node["value_sum"]), int(node["result"]), kept, children)

    own = forest.edges[0][: forest.nodes[0][ROOT]["num_edges"]]
    expected = below(int(own[own["action"] == action]["child"][0]))
    before = search.evaluations
    search.advance(action)
    assert below(ROOT) == expected
    visits = int(search.root().visits.sum())
    search.run(HashEvaluator(game))
    assert search.root().visits.sum() == 300
    assert search.evaluations - before <= 300 - visits
    np.testing.assert_array_equal(search.root_states[0], game.after(game.new_state(), action))


def test_advancing_to_an_unvisited_move_starts_afresh():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=2, root_policy="puct"))
    search.start(game.new_state())
    search.run(HashEvaluator(game))
    untried = int(search.root().actions[search.root().visits == 0][0])
    search.advance(untried)
    assert search.root().visits.sum() == 0
    search.run(HashEvaluator(game))
    assert search.root().visits.sum() == 2


def test_only_some_of_the_roots_actions_are_searched():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=60))
    search.start(game.new_state())
    search.restrict([5, 2, 99])
    search.run(HashEvaluator(game))
    root = search.root()
    assert root.actions.tolist() == [2, 5]
    assert root.visits.sum() == 60
    assert root.priors.sum() == pytest.approx(1)
    assert [line[0] for line in search.variations()] == [2, 5]
    assert search.chosen_actions()[0] in (2, 5)
    search.start(game.new_state())
    assert len(search.root().actions) == 7
    with pytest.raises(ValueError, match="expected a legal action"):
        search.restrict([7])


def test_a_full_tree_stops_and_still_answers():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=5000, root_policy="puct"), max_edges=200)
    bytes_before = search.nbytes
    search.start(game.new_state())
    search.run(HashEvaluator(game))
    assert 0 < search.root().visits.sum() < 40
    assert search.chosen_actions()[0] in range(7)
    assert search.nbytes == bytes_before


def test_many_leaves_of_one_tree_share_a_batch():
    game = games.load("connect4")
    evaluator = HashEvaluator(game)
    search = Search(game, SearchSettings(simulations=400, root_policy="puct", leaves_per_batch=16))
    search.start(game.new_state())
    search.run(evaluator)
    assert max(evaluator.batches) == 16
    assert np.mean(evaluator.batches[1:]) > 8
    assert search.root().visits.sum() == 400


def test_stops_when_asked():
    game = games.load("connect4")
    # With a smaller c_puct it soon looks into finished games, which ask for nothing between two questions.
    search = Search(game, SearchSettings(simulations=10_000, root_policy="puct", c_puct=1.25))
    search.start(game.new_state())
    calls = iter(range(1000))
    search.run(HashEvaluator(game), should_stop=lambda: next(calls) >= 50)
    assert 40 <= search.evaluations <= 50
    assert 40 <= search.root().visits.sum() <= 50


@pytest.mark.parametrize("root_policy", ["gumbel", "puct"])
def test_stopped_before_any_simulation_the_policy_decides(root_policy):
    game = games.load("othello:6")
    state = game.new_state()
    for _ in range(3):
        state = game.after(state, int(game.legal(state)[0]))
    evaluate = HashEvaluator(game)
    search = Search(game, SearchSettings(simulations=100, root_policy=root_policy))
    search.start(state)
    search.run(evaluate, should_stop=search.is_evaluated)
    assert search.visits() == 0
    (best,) = choose_actions(game, evaluate, state[None], None)
    assert search.chosen_actions()[0] == best != game.legal(state)[0]


def test_a_finished_game_has_no_action():
    position = position_after("tictactoe", ["a1", "a2", "b1", "b2", "c1"])
    search = Search(position.game, SearchSettings(simulations=10))
    search.start(position.state)
    search.run(HashEvaluator(position.game))
    assert search.chosen_actions().tolist() == [-1]
    assert search.evaluations == 0


def test_raw_policy_is_the_networks_best_legal_action():
    game = games.load("connect4")
    states = random_states(game, 50, seed=3, longest=30)
    evaluator = HashEvaluator(game)
    for state, action in zip(states, choose_actions(game, evaluator, states, None, at_once=7), strict=True):
        legal = game.legal(state)
        assert action == legal[np.argmax(evaluator.judge(game.planes(state))[0][legal])]


def test_rollouts_beat_chance_and_repeat_with_their_seed():
    game = games.load("tictactoe")
    settings = SearchSettings(simulations=300, root_policy="puct")
    for _ in range(2):
        visits = []
        for _ in range(2):
            search = Search(game, settings, seed=1)
            search.start(game.new_state())
            search.run(RolloutEvaluator(game, seed=4))
            visits.append(search.root().visits.tolist())
        assert visits[0] == visits[1]
    assert search.chosen_actions()[0] == 4  # the centre


def test_a_run_may_be_asked_for_more_simulations_than_the_last():
    game = games.load("connect4")
    search, at_once = (Search(game, SearchSettings(simulations=20), max_simulations=90) for _ in range(2))
    for s in (search, at_once):
        s.start(game.new_state()[None])
    evaluator = HashEvaluator(game)
    for simulations in (None, 50, 90, 90):
        search.run(evaluator, simulations=simulations)
        assert search.visits() == (simulations or 20)
    at_once.run(evaluator, simulations=90)
    assert search.root().visits.tolist() == at_once.root().visits.tolist()
    search.run(evaluator, simulations=10_000)
    assert search.visits() == 91  # all that it has room for beside the root: it answers with what it has
    assert search.chosen_actions()[0] >= 0


def test_only_puct_roots_take_another_number_of_simulations():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=20, root_policy="gumbel"))
    search.start(game.new_state()[None])
    with pytest.raises(ValueError, match="PUCT"):
        search.run(HashEvaluator(game), simulations=30)


def test_play_and_playouts_have_settings_of_their_own():
    game = games.load("connect4")
    assert PLAY_SETTINGS.record(game)["c_puct"] == 0.5
    assert PLAY_SETTINGS.record(game)["look_ahead"]
    assert PLAYOUT_SETTINGS.record(game)["c_puct"] == 1.25
    assert not PLAYOUT_SETTINGS.record(game)["look_ahead"]
    assert SearchSettings(c_puct=0.1).record(game)["c_puct"] == 0.1


LEGAL_OR_OVER = """

@kernel
def legal_or_over(state, actions):
    result = outcome(state)
    return legal_actions(state, actions) if result == ONGOING else -1 - result
"""


def test_outcome_and_legal_actions_asked_together_make_the_same_tree(tmp_path):
    """Of a game that offers both in one kernel, as one where mate needs the legal moves does."""
    path = tmp_path / "together.py"
    path.write_text((paths.ROOT / "games" / "tictactoe.py").read_text() + LEGAL_OR_OVER)
    found = []
    for name in ("tictactoe", str(path)):
        game = games.load(name)
        assert game.kernels.has_legal_or_over == (name != "tictactoe")
        search = Search(game, SearchSettings(simulations=300, root_policy="puct", look_ahead=False))
        search.start(game.after(game.new_state(), 0))
        search.run(RolloutEvaluator(game, seed=3))
        found.append((search.root().visits.tolist(), search.root().results.tolist(), search.evaluations))
    assert found[0] == found[1]
    assert found[0][2] < 300  # some simulations ended in finished games
