"""Self-play against a plain loop of naive searches, and what must hold of every game it hands over."""

import functools
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from keima import games
from keima.games.contract import DRAW, ONGOING, PLAYER, GameError
from keima.mcts.temperature import draw, draw_at_temperature
from keima.selfplay.actors.game_kernels import FINISHED, FREE, MAX_FINISHED
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.config.schema import SearchConfig, SelfplayConfig
from keima.selfplay.replay.segment import (
    ARRAYS,
    CHECKED,
    FAST_SEARCH,
    FIRST_GIVEN_UP,
    HAS_POLICY_TARGET,
    RANDOM_OPENING,
    SECOND_GIVEN_UP,
)
from tests.selfplay.naive import LinearEvaluator, NaiveSelfPlay, games_of

GUMBEL = SearchConfig(simulations=12)
PUCT = SearchConfig(simulations=20, root_policy="puct")


def options(**changes):
    return SelfplayConfig(**({"parallel_games": 1, "cache_mb": 0} | changes))


def played(game, search=GUMBEL, play=None, seed=0, num_games=20, evaluate=None):
    """A segment of at least `num_games` games, and who played them."""
    self_play = SelfPlay(game, search, play or options(parallel_games=16), seed)
    evaluate = evaluate or LinearEvaluator(game)
    while len(self_play._finished) < num_games:
        self_play.step(evaluate)
    return self_play.take_finished(actor=3, weights_version=8), self_play


def same_segments(one, other):
    return all(np.array_equal(getattr(one, n), getattr(other, n), equal_nan=n == "root_values") for n in ARRAYS)


# --- against the naive twin

TWINS = {
    "gumbel": (GUMBEL, options(opening_random_fraction=0, opening_policy_mean_plies=0)),
    "gumbel, no noise": (
        SearchConfig(simulations=9, gumbel_scale=0, c_scale=0.2, max_considered=3),
        options(opening_random_fraction=0.5, opening_random_mean_plies=2),
    ),
    "gumbel, temperature": (
        SearchConfig(simulations=6, c_scale=0.02),
        options(move_temperature_plies=6, move_temperature=0.7, opening_policy_mean_plies=1),
    ),
    "openings": (
        SearchConfig(simulations=3),
        options(
            opening_random_fraction=0.7,
            opening_random_mean_plies=30,
            opening_policy_mean_plies=3,
            opening_policy_temperature=1.5,
        ),
    ),
    "puct": (PUCT, options(move_temperature_plies=4)),
    "puct, no noise": (
        SearchConfig(simulations=30, root_policy="puct", dirichlet_weight=0, c_puct=2.5, fpu_reduction=0.3),
        options(opening_random_fraction=1, opening_random_mean_plies=4, move_temperature_plies=3, move_temperature=0.5),
    ),
    "puct, forced playouts": (
        SearchConfig(simulations=60, root_policy="puct", dirichlet_weight=0.5, forced_playouts=2),
        options(move_temperature_plies=4),
    ),
    "gumbel, fast searches": (
        SearchConfig(simulations=20),
        options(full_search_fraction=0.4, fast_simulations=5, move_temperature_plies=2),
    ),
    "puct, fast searches": (
        SearchConfig(simulations=30, root_policy="puct", forced_playouts=4),
        options(full_search_fraction=0.25, fast_simulations=7, opening_random_fraction=0.5),
    ),
    "decided games": (
        SearchConfig(simulations=12),
        options(decided_value=0.3, decided_plies=2, decided_full_fraction=0.3, decided_check_fraction=0.3),
    ),
    "decided games, fast searches": (
        SearchConfig(simulations=16, root_policy="puct"),
        options(
            decided_value=0.5, decided_plies=1, full_search_fraction=0.7, fast_simulations=3, decided_check_fraction=0
        ),
    ),
    "scores count": (SearchConfig(simulations=16, score_weight=0.3), options(opening_random_fraction=0.5)),
    "scores count, puct": (SearchConfig(simulations=20, root_policy="puct", score_weight=0.1), options()),
    "fast searches of one simulation": (GUMBEL, options(full_search_fraction=0.5, fast_simulations=1)),
    "fast searches as long as full ones": (GUMBEL, options(full_search_fraction=0.5, fast_simulations=1000)),
}


def assert_same_game(found, expected):
    assert found.actions == expected.actions
    assert found.flags == expected.flags
    assert found.proven == expected.proven
    assert found.outcome == expected.outcome
    np.testing.assert_allclose(found.root_values, expected.root_values, atol=1e-5)
    np.testing.assert_allclose(found.surprises, expected.surprises, rtol=2e-3, atol=1e-4)
    for own, other in zip(found.policies, expected.policies, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-3)  # a segment keeps them as float16


@pytest.mark.parametrize(("name", "count"), [("tictactoe", 25), ("connect4", 8), ("othello:4", 8)])
@pytest.mark.parametrize("case", TWINS)
def test_plays_the_games_of_its_naive_twin(name, count, case):
    game = games.load(name)
    search, play = TWINS[case]
    play = play.model_copy(update={"cache_mb": 1.0})  # which changes no game, see below
    segment, _ = played(game, search, play, seed=(4, 2), num_games=count)
    twin = NaiveSelfPlay(game, search, play, LinearEvaluator(game).judge, seed=(4, 2), slots=1, slot=0)
    for found in games_of(segment):
        assert_same_game(found, twin.play_game())


def test_slots_do_not_disturb_each_other():
    game, play = games.load("connect4"), options(parallel_games=3)
    segment, _ = played(game, GUMBEL, play, seed=9, num_games=9)
    twins = [NaiveSelfPlay(game, GUMBEL, play, LinearEvaluator(game).judge, 9, 3, slot) for slot in range(3)]
    following = [twin.play_game() for twin in twins]
    for found in games_of(segment):
        slot = next(i for i, game in enumerate(following) if game.actions == found.actions)
        assert_same_game(found, following[slot])
        following[slot] = twins[slot].play_game()


# --- what holds of every segment

EVERY_GAME = {
    "tictactoe": 200,
    "connect4": 60,
    "othello:6": 30,
    "gomoku:7,win=4": 30,
    "hex:5": 40,
    "breakthrough:5,5": 40,
}


@pytest.mark.parametrize("full_search_fraction", [1.0, 0.5])
@pytest.mark.parametrize("search", [GUMBEL, PUCT], ids=["gumbel", "puct"])
@pytest.mark.parametrize("name", EVERY_GAME)
def test_a_segment_holds_what_it_promises(name, search, full_search_fraction):
    game = games.load(name)
    changes = {"opening_random_fraction": 0.5, "opening_policy_mean_plies": 1, "move_temperature_plies": 3}
    play = options(parallel_games=16, full_search_fraction=full_search_fraction, **changes)
    segment, _ = played(game, search, play, num_games=EVERY_GAME[name])
    segment.check()
    assert (segment.actor, segment.weights_version) == (3, 8)
    assert (segment.game, segment.rules_version) == (game.label, game.rules_version)
    for one in games_of(segment):
        state = game.new_state()
        searched = False
        for ply, action in enumerate(one.actions):
            legal = game.legal(state).tolist()
            policy = one.policies[ply]
            assert action in legal
            assert len(policy) == len(legal)
            assert one.flags[ply] in (HAS_POLICY_TARGET, FAST_SEARCH, RANDOM_OPENING)
            if one.flags[ply] == HAS_POLICY_TARGET:
                assert sum(policy) == pytest.approx(1, abs=3e-3)
                assert min(policy) >= 0
                assert one.surprises[ply] >= 0
            else:
                assert not any(policy)
                assert one.surprises[ply] == 0
            if one.flags[ply] != RANDOM_OPENING:
                searched = True
                assert -1 <= one.root_values[ply] <= 1
                if one.proven[ply] != ONGOING:
                    sign = 1 if one.proven[ply] == state[PLAYER] else -1
                    assert one.root_values[ply] == (0 if one.proven[ply] == DRAW else sign)
            else:
                assert not searched  # openings come first
                assert np.isnan(one.root_values[ply])
                assert one.proven[ply] == ONGOING
            state = game.after(state, action)
        assert game.outcome(state) == one.outcome != ONGOING
    assert len({tuple(one.actions) for one in games_of(segment)}) > 0.5 * segment.num_games


@functools.cache
def true_result(x, o, player):
    """Tic-tac-toe's outcome code under perfect play."""
    game = games.load("tictactoe")
    state = np.array([player, x, o])
    if game.outcome(state) != ONGOING:
        return game.outcome(state)
    results = {true_result(*game.after(state, a)[[1, 2, 0]].tolist()) for a in game.legal(state)}
    return next(r for r in (player, DRAW, 1 - player) if r in results)


@pytest.mark.parametrize("search", [GUMBEL, SearchConfig(simulations=300, root_policy="puct")], ids=["gumbel", "puct"])
def test_what_is_proven_is_true(search):
    game = games.load("tictactoe")
    segment, _ = played(game, search, options(parallel_games=16, opening_random_fraction=1), num_games=150)
    proven = Counter()
    for one in games_of(segment):
        state = game.new_state()
        for ply, action in enumerate(one.actions):
            if one.proven[ply] != ONGOING:
                truth = true_result(int(state[1]), int(state[2]), int(state[PLAYER]))
                assert one.proven[ply] == truth
                following = true_result(*game.after(state, action)[[1, 2, 0]].tolist())
                assert following == truth or truth == 1 - state[PLAYER]  # and the move played keeps it
                proven[truth] += 1
            state = game.after(state, action)
    assert min(proven[result] for result in (0, 1, DRAW)) > 10


@pytest.mark.parametrize("search", [GUMBEL, PUCT], ids=["gumbel", "puct"])
def test_values_are_seen_by_the_side_to_move(search):
    """An evaluator that always thinks the first player better."""
    game = games.load("connect4")

    def evaluate(planes):
        first_to_move = planes[:, 0].sum((1, 2)) == planes[:, 1].sum((1, 2))
        return np.zeros((len(planes), 7), np.float32), np.where(first_to_move, 0.6, -0.6).astype(np.float32)

    segment, _ = played(game, search, num_games=20, evaluate=evaluate)
    compared = 0
    for one in games_of(segment):
        for ply, value in enumerate(one.root_values):
            if one.flags[ply] == HAS_POLICY_TARGET and one.proven[ply] == ONGOING and ply < 5:
                # Not 0.6 to the digit: some simulations see how the game may end. Later the second player has moves
                # that threaten to win, all answers to which are yet to be tried.
                assert 0.0 < (value if ply % 2 == 0 else -value) < 0.9
                compared += 1
    assert compared > 40


def test_a_proven_win_is_all_that_a_puct_target_wants():
    game = games.load("connect4")
    segment, _ = played(game, PUCT, num_games=40)
    seen = 0
    for one in games_of(segment):
        state = game.new_state()
        for ply, action in enumerate(one.actions):
            legal = game.legal(state)
            if one.proven[ply] == state[PLAYER]:
                wins_at_once = [game.outcome(game.after(state, a)) == state[PLAYER] for a in legal]
                if any(wins_at_once):
                    wanted = np.flatnonzero(one.policies[ply])
                    assert all(wins_at_once[k] for k in wanted)
                    seen += 1
            state = game.after(state, action)
    assert seen >= 20


# --- decided games


def test_decided_games_are_searched_fast_but_for_those_that_check_it():
    game = games.load("connect4")
    play = options(
        parallel_games=32,
        fast_simulations=2,
        decided_value=0.4,
        decided_plies=3,
        decided_full_fraction=0.25,
        decided_check_fraction=0.3,
    )
    segment, _ = played(game, SearchConfig(simulations=16), play, num_games=200)
    found, given_up = games_of(segment), FIRST_GIVEN_UP | SECOND_GIVEN_UP
    after = {False: [], True: []}  # by whether it is checked, the plies right after a side was given up
    for one in found:
        resign_flags = [flag & given_up for flag in one.flags]
        checked = {bool(flag & CHECKED) for flag in one.flags if not flag & RANDOM_OPENING}
        assert len(checked) <= 1
        assert len(set(resign_flags) - {0}) <= 1
        assert resign_flags == sorted(resign_flags)  # once given up, given up
        if any(resign_flags) and resign_flags.index(max(resign_flags)) + 1 < len(resign_flags):
            after[True in checked].append(one.flags[resign_flags.index(max(resign_flags)) + 1])
    assert np.mean([any(f & CHECKED for f in one.flags) for one in found]) == pytest.approx(0.3, abs=0.1)
    assert len(after[True]) >= 15
    assert all(flag & HAS_POLICY_TARGET for flag in after[True])
    assert np.mean([flag & HAS_POLICY_TARGET > 0 for flag in after[False]]) == pytest.approx(0.25, abs=0.15)


def test_who_is_given_up_is_who_is_behind():
    """By an evaluator that holds the first player for lost, whoever is to move."""
    game = games.load("connect4")

    def evaluate(planes):
        second_to_move = planes[:, :2].sum((1, 2, 3)) % 2 == 1  # an odd number of stones
        return np.zeros((len(planes), 7), np.float32), np.where(second_to_move, 0.9, -0.9).astype(np.float32)

    play = options(
        parallel_games=8, decided_value=0.3, decided_plies=4, opening_random_fraction=0, opening_policy_mean_plies=0
    )
    segment, _ = played(game, SearchConfig(simulations=4), play, num_games=8, evaluate=evaluate)
    for one in games_of(segment):
        resign_flags = [flag & (FIRST_GIVEN_UP | SECOND_GIVEN_UP) for flag in one.flags]
        assert resign_flags[3:5] == [FIRST_GIVEN_UP] * 2
        assert not any(resign_flags[:3])


def test_without_decided_games_nothing_is_marked():
    segment, _ = played(games.load("connect4"), num_games=10)
    assert not (segment.flags & (CHECKED | FIRST_GIVEN_UP | SECOND_GIVEN_UP)).any()


# --- fast searches


@pytest.mark.parametrize("share", [0.25, 0.8])
def test_as_many_moves_are_searched_in_full_as_asked(share):
    game = games.load("connect4")
    play = options(parallel_games=32, full_search_fraction=share, fast_simulations=2, opening_policy_mean_plies=0)
    segment, self_play = played(game, SearchConfig(simulations=16), play, num_games=150)
    searched = segment.flags != RANDOM_OPENING
    assert segment.num_positions == np.count_nonzero(segment.flags == HAS_POLICY_TARGET)
    assert segment.num_positions / np.count_nonzero(searched) == pytest.approx(share, abs=0.05)
    # A search of n simulations takes up to n + 1 evaluations, fewer near the game's end.
    a_move = self_play.evaluations / self_play.moves
    assert 0.6 * (share * 17 + (1 - share) * 3) < a_move < share * 17 + (1 - share) * 3


def test_fast_searches_are_made_without_noise():
    """Every first move then is the same; with noise it is not."""
    game, evaluator = games.load("connect4"), LinearEvaluator(games.load("connect4"), scale=0.1)
    play = options(
        parallel_games=32,
        full_search_fraction=0.5,
        fast_simulations=12,
        opening_random_fraction=0,
        opening_policy_mean_plies=0,
    )
    for search in (GUMBEL, PUCT.model_copy(update={"dirichlet_weight": 0.9, "forced_playouts": 2.0})):
        firsts = games_of(played(game, search, play, num_games=150, evaluate=evaluator)[0])
        fast, full = (
            {one.actions[0] for one in firsts if one.flags[0] == kind} for kind in (FAST_SEARCH, HAS_POLICY_TARGET)
        )
        assert len(fast) == 1
        assert len(full) > 1


def test_how_fast_a_fast_search_is_changes_nothing_where_there_are_none():
    game = games.load("connect4")
    first, other = (played(game, play=options(parallel_games=8, fast_simulations=n), num_games=20)[0] for n in (1, 7))
    assert same_segments(first, other)


def test_surprise_is_what_the_search_adds_to_the_network():
    """None where it adds nothing; a proven win for which the network gave one chance in a hundred: ln(100)."""
    game = games.load("tictactoe")
    logits = np.log(np.array([0.92, *[0.01] * 8], np.float32))

    def evaluate(planes):
        return np.tile(logits, (len(planes), 1)), np.zeros(len(planes), np.float32)

    calm = SearchConfig(simulations=1, c_scale=1e-9, gumbel_scale=0)
    play = options(parallel_games=4, opening_random_fraction=0, opening_policy_mean_plies=0)
    segment, _ = played(game, calm, play, num_games=10, evaluate=evaluate)
    assert segment.surprises.max() < 1e-4
    play = options(parallel_games=16, opening_random_fraction=1)
    won = SearchConfig(simulations=60, root_policy="puct", dirichlet_weight=0.5)
    segment, _ = played(game, won, play, num_games=400, evaluate=evaluate)
    compared = 0
    for one in games_of(segment):
        state = game.new_state()
        for ply, action in enumerate(one.actions):
            policy, legal = one.policies[ply], game.legal(state)
            if max(policy) == 1 and legal[int(np.argmax(policy))] != 0 and 0 in legal:
                others = 0.01 * (len(legal) - 1)
                assert one.surprises[ply] == pytest.approx(np.log((0.92 + others) / 0.01), rel=2e-3)
                compared += 1
            state = game.after(state, action)
    assert compared > 10


# --- openings and temperature


def test_openings_are_as_long_as_asked():
    game = games.load("othello:6")  # no game ends within so few plies
    search = SearchConfig(simulations=1)
    play = options(
        parallel_games=32, opening_random_fraction=0.5, opening_random_mean_plies=3, opening_policy_mean_plies=0
    )
    segment, _ = played(game, search, play, num_games=600)
    lengths = np.array([sum(flag == RANDOM_OPENING for flag in one.flags) for one in games_of(segment)])
    assert (lengths > 0).mean() == pytest.approx(0.5, abs=0.06)
    assert lengths[lengths > 0].mean() == pytest.approx(3.5, abs=0.5)  # at least one, 2.5 more on average
    play = options(parallel_games=32, opening_random_fraction=0, opening_policy_mean_plies=4)
    segment, _ = played(game, search, play, num_games=600)
    lengths = [sum(flag == RANDOM_OPENING for flag in one.flags) for one in games_of(segment)]
    assert np.mean(lengths) == pytest.approx(4, abs=0.5)


def test_openings_follow_the_networks_policy():
    game = games.load("connect4")
    logits = np.log(np.array([0.4, 0.3, 0.15, 0.08, 0.04, 0.02, 0.01], np.float32))

    def evaluate(planes):
        return np.tile(logits, (len(planes), 1)), np.zeros(len(planes), np.float32)

    for temperature, share in ((1.0, 0.4), (0.5, 0.16 / 0.2811), (1e-3, 1.0), (1e-300, 1.0)):
        play = options(
            parallel_games=64,
            opening_random_fraction=0,
            opening_policy_mean_plies=1e9,
            opening_policy_temperature=temperature,
        )
        segment, _ = played(game, GUMBEL, play, num_games=1500 if temperature > 0.1 else 64, evaluate=evaluate)
        first = [one.actions[0] for one in games_of(segment)]
        assert np.mean([action == 0 for action in first]) == pytest.approx(share, abs=0.05)
        assert segment.num_positions == 0


def test_moves_follow_the_target_while_it_is_early():
    game = games.load("connect4")
    play = options(parallel_games=32, opening_random_fraction=0, opening_policy_mean_plies=0, move_temperature_plies=1)
    search = SearchConfig(simulations=8, gumbel_scale=0, c_scale=0.01)
    segment, _ = played(game, search, play, num_games=800)
    firsts = games_of(segment)
    target = np.array(firsts[0].policies[0])
    assert all(one.policies[0] == firsts[0].policies[0] for one in firsts)  # without noise all searches are the same
    counts = np.bincount([one.actions[0] for one in firsts], minlength=7)
    np.testing.assert_allclose(counts / len(firsts), target, atol=0.06)
    cold = play.model_copy(update={"move_temperature": 1e-300})
    segment, _ = played(game, search, cold, num_games=50)
    assert {one.actions[0] for one in games_of(segment)} == {int(target.argmax())}


def test_draw_never_takes_what_has_no_weight():
    rng = np.array([5], np.uint64)
    weights = np.array([0.0, 0.2, 0.0, 0.3, 0.5, 0.0])
    counts = np.bincount([draw(weights, 6, rng, 0) for _ in range(4000)], minlength=6) / 4000
    np.testing.assert_allclose(counts, weights, atol=0.03)
    assert not counts[[0, 2, 5]].any()
    assert {draw(np.array([0.0, 1e-300, 0.0]), 3, rng, 0) for _ in range(50)} == {1}
    assert {draw(np.array([1.0, 1.0, 9.0]), 2, rng, 0) for _ in range(50)} == {0, 1}


def test_draw_at_temperature_takes_logits_of_any_size():
    rng = np.array([5], np.uint64)
    for shift in (0.0, 1e4, -1e4):
        logits = np.log(np.array([0.1, 0.2, 0.7])) + shift
        counts = np.bincount([draw_at_temperature(logits.copy(), 3, 1.0, rng, 0) for _ in range(3000)], minlength=3)
        np.testing.assert_allclose(counts / 3000, [0.1, 0.2, 0.7], atol=0.03)
        assert {draw_at_temperature(logits.copy(), 3, 1e-9, rng, 0) for _ in range(20)} == {2}
    logits = np.array([-np.inf, 0.0, -np.inf])
    assert {draw_at_temperature(logits.copy(), 3, 1.0, rng, 0) for _ in range(20)} == {1}


# --- one seed, one run


@pytest.mark.parametrize("search", [GUMBEL, PUCT], ids=["gumbel", "puct"])
def test_one_seed_one_segment(search):
    game = games.load("connect4")
    first, again, other, tuple_seed = (played(game, search, seed=seed, num_games=30)[0] for seed in (1, 1, 2, (1, 1)))
    assert same_segments(first, again)
    assert not same_segments(first, other)
    assert not same_segments(first, tuple_seed)


# --- the machinery


class Counting(LinearEvaluator):
    """Counts the positions it is asked about."""

    def __init__(self, game):
        super().__init__(game)
        self.asked = []

    def __call__(self, planes):
        self.asked += [row.tobytes() for row in planes]
        return super().__call__(planes)


@pytest.mark.parametrize("name", ["connect4", "tictactoe", "othello:4"])
@pytest.mark.parametrize("search", [GUMBEL, PUCT], ids=["gumbel", "puct"])
def test_the_cache_changes_no_game_and_saves_evaluations(name, search):
    game = games.load(name)
    with_cache, without = Counting(game), Counting(game)
    cached, cached_player = played(game, search, options(cache_mb=1), evaluate=with_cache)
    plain, plain_player = played(game, search, options(cache_mb=0), evaluate=without)
    assert same_segments(cached, plain)
    assert plain_player.cache_hits == 0
    # The last game it has begun, and steps in which nothing new came up, aside.
    saved = cached_player.cache_hits / (cached_player.cache_hits + cached_player.evaluations)
    assert cached_player.evaluations / plain_player.evaluations == pytest.approx(1 - saved, abs=0.1)
    assert saved > 0.1


def test_what_the_cache_has_forgotten_is_asked_again():
    game = games.load("connect4")
    evaluate = Counting(game)
    play = options(cache_mb=1, opening_random_fraction=0, opening_policy_mean_plies=0)
    player = SelfPlay(game, GUMBEL, play, 0)
    empty_board = game.planes(game.new_state()).tobytes()
    for times in (1, 2):
        for _ in range(5):
            while not player._finished:
                player.step(evaluate)
            player.take_finished(0, 0)
        assert evaluate.asked.count(empty_board) == times
        player.forget_evaluations()


def test_a_slot_rests_where_the_cache_knows_everything():
    """In a game this small all positions are known soon: a step still ends, with records for all that finished."""
    game = games.load("tictactoe")
    player = SelfPlay(game, SearchConfig(simulations=2), options(parallel_games=4, cache_mb=1), 0)
    evaluator, most = LinearEvaluator(game), 0
    for _ in range(1000):
        player.step(evaluator)
        assert player._records.counts.tolist()[FINISHED] == 0
        if player._finished:
            most = max(most, player.take_finished(0, 0).num_games)
    assert 4 < most <= 4 * MAX_FINISHED


def test_simulations_are_counted():
    game = games.load("connect4")
    _, player = played(game, SearchConfig(simulations=12), options(parallel_games=16, opening_policy_mean_plies=0))
    assert 0.8 * 12 * player.moves < player.simulations <= 12 * (player.moves + 16)  # proven positions need fewer


def test_every_batch_is_full():
    game = games.load("tictactoe")
    self_play, evaluator = SelfPlay(game, GUMBEL, options(parallel_games=24)), LinearEvaluator(game)
    for _ in range(200):
        self_play.step(evaluator)
    assert evaluator.calls == [24] * 200
    assert self_play.evaluations == 24 * 200


def test_counters_agree_with_what_is_handed_over():
    game, play = games.load("tictactoe"), options(parallel_games=8, opening_random_fraction=0)
    self_play, evaluator = SelfPlay(game, GUMBEL, play), LinearEvaluator(game)
    positions = plies = 0
    for _ in range(600):
        self_play.step(evaluator)
        if len(self_play._finished) >= 10:
            expected = self_play.finished_positions
            segment = self_play.take_finished(0, 0)
            assert segment.num_positions == expected > 0
            assert self_play.finished_positions == 0
            positions += expected
            plies += segment.num_plies
    under_way = self_play._records.records["plies"][self_play._slots["record"]].sum()
    waiting = sum(len(plies) for plies, *_ in self_play._finished)
    assert self_play.moves == plies + waiting + under_way
    assert positions > 100


def test_records_are_recycled():
    """Of the records each is in play, or free, after every step: none is lost, none is used twice."""
    game = games.load("tictactoe")
    slots = 6
    self_play, evaluator = (
        SelfPlay(game, SearchConfig(simulations=1), options(parallel_games=slots)),
        LinearEvaluator(game),
    )
    addresses = [array.ctypes.data for array in self_play._records]
    finished = 0
    for _ in range(800):
        self_play.step(evaluator)
        queues, counts = self_play._records.queues, self_play._records.counts
        assert counts.tolist() == [slots, 0]
        free = queues[FREE, : counts[FREE]].tolist()
        assert sorted([*free, *self_play._slots["record"].tolist()]) == list(range(2 * slots))
        if self_play._finished:
            finished += self_play.take_finished(0, 0).num_games
    assert finished > 300
    assert [array.ctypes.data for array in self_play._records] == addresses
    assert counts[FINISHED] == 0


def test_a_segment_is_no_view_of_the_records():
    game = games.load("tictactoe")
    segment, self_play = played(game, num_games=20)
    kept = {name: getattr(segment, name).copy() for name in ARRAYS}
    for _ in range(300):
        self_play.step(LinearEvaluator(game))
    for name, array in kept.items():
        np.testing.assert_array_equal(getattr(segment, name), array)


def with_max_plies(name, plies):
    """A game that says a wrong max_plies."""
    game_class = type(games.load(name))
    return type("Liar", (game_class,), {"max_plies": plies, "__module__": game_class.__module__})()


@pytest.mark.parametrize("random_share", [0, 1])
@pytest.mark.parametrize("plies", [1, 5, 8])
def test_a_game_longer_than_it_says_is_an_error(plies, random_share):
    game = with_max_plies("tictactoe", plies)
    play = options(parallel_games=8, opening_random_fraction=random_share, opening_random_mean_plies=1000)
    with pytest.raises(GameError, match=f"went on after max_plies = {plies}"):
        played(game, SearchConfig(simulations=4), play, num_games=1000)


def test_max_plies_may_be_exact():
    game = with_max_plies("tictactoe", 9)
    segment, _ = played(game, num_games=100)
    assert segment.game_lengths.max() == 9


def test_searches_have_room_for_every_legal_move():
    """Gomoku's 225 legal moves a position: a tree with room for 64 would end a third of the way."""
    game = games.load("gomoku")
    self_play = SelfPlay(game, SearchConfig(simulations=32, root_policy="puct"), options(parallel_games=1))
    evaluator = LinearEvaluator(game)
    for _ in islice(range(1000), 33):
        self_play.step(evaluator)
    tree = self_play._forest.trees[0]
    assert not tree["full"]
    assert tree["num_nodes"] == 33


@pytest.mark.parametrize(
    ("logits", "values"),
    [
        (np.zeros((3, 9), np.float32), np.zeros(4, np.float32)),
        (np.zeros((4, 9)), np.zeros(4, np.float32)),
        (np.zeros((9, 4), np.float32).T, np.zeros(4, np.float32)),
        (np.zeros((4, 9), np.float32), np.zeros((4, 1), np.float32)),
    ],
    ids=["rows", "float64", "not contiguous", "a column"],
)
def test_answers_of_another_kind_are_refused(logits, values):
    self_play = SelfPlay(games.load("tictactoe"), SearchConfig(simulations=4), options(parallel_games=4))
    self_play.search()
    with pytest.raises(TypeError, match="evaluator: expected float32"):
        self_play.receive(logits, values)
