"""Ratings that can be trusted: known strengths are recovered, intervals cover the truth, others' numbers agree."""

import math

import choix
import numpy as np
import pytest
import scipy.optimize

from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS, GameError
from keima.selfplay.tournament.ratings import ELO, PairResult, Ratings, bounded_players, rate, tally


def probabilities(difference: float, advantage: float, nu: float) -> np.ndarray:
    """Of the first one's win, a draw, and its loss; Elo. Written apart from what is tested."""
    odds = 10 ** ((difference + advantage) / 400)
    return np.array([odds, nu * math.sqrt(odds), 1]) / (odds + nu * math.sqrt(odds) + 1)


def simulate(random, elo, advantage: float, nu: float, games: np.ndarray) -> list[PairResult]:
    """A tournament of players p0, p1, ... with games[i, j] games in which i moves first."""
    return [
        PairResult(f"p{i}", f"p{j}", *random.multinomial(games[i, j], probabilities(elo[i] - elo[j], advantage, nu)))
        for i, j in np.argwhere(games * (1 - np.eye(len(elo), dtype=int)) > 0)
    ]


def by_number(ratings: Ratings, count: int) -> list[float]:
    return [ratings[f"p{i}"].elo for i in range(count)]


# --- trust


def test_known_strengths_are_recovered():
    elo = np.array([400.0, 250, 100, 0, -50, -100, -200, -400])
    ratings = rate(simulate(np.random.default_rng(1), elo, 70, 0.8, np.full((8, 8), 4000)))
    assert by_number(ratings, 8) == pytest.approx(elo, abs=8)
    assert ratings.first_move_advantage == pytest.approx(70, abs=4)
    assert ratings.nu == pytest.approx(0.8, rel=0.02)
    assert ratings.draw_share == pytest.approx(0.8 / 2.8, rel=0.02)


def balanced(random):
    games = np.full((6, 6), random.integers(1, 8))
    return random.normal(0, 150, 6), random.normal(30, 60), random.choice([0, 0.3, 1, 4]), games


def unbalanced(random):
    """Some pairs never meet, some often; some play nearly all their games with the first move."""
    games = random.poisson(random.gamma(0.5, 8, (6, 6)))
    games[range(5), range(1, 6)] += 1  # everyone is linked to everyone
    return random.normal(0, 250, 6), random.normal(30, 60), random.choice([0, 0.3, 1, 4]), games


def won_everything(random):
    """The first player is far ahead, and wins all of its few games in about half of the tournaments."""
    elo = random.normal(0, 150, 6)
    elo[0] = random.uniform(300, 1500)
    return elo, random.normal(30, 60), 0.3, np.full((6, 6), random.integers(1, 4))


def far_apart(random):
    return random.normal(0, 600, 6), 30.0, 0.3, np.full((6, 6), 2)


@pytest.mark.parametrize("kind", [balanced, unbalanced, won_everything, far_apart])
def test_intervals_cover_the_truth(kind, sized):
    """Of many tournaments 95 % of the players' intervals cover what is true, 93 to 97 % by chance and rounding."""
    random, tournaments = np.random.default_rng(7), 2000 if kind is far_apart else sized(2000, 1000)
    covered, covered_below, covered_above, first_player, advantages, extreme = [], [], [], [], [], []
    for _ in range(tournaments):
        elo, advantage, nu, games = kind(random)
        truth = elo - elo.mean()
        ratings = rate(simulate(random, elo, advantage, nu, games))
        assert len(ratings.players) == 6
        for player in ratings.players:
            true = truth[int(player.name[1:])]
            assert -6000 < player.low < player.elo < player.high < 6000
            covered.append(player.low <= true <= player.high)
            covered_below.append(player.low <= true)
            covered_above.append(true <= player.high)
            if player.name == "p0":
                first_player.append(covered[-1])
            if player.won_all or player.lost_all:
                extreme.append(covered[-1])
        low, high = ratings.first_move_interval
        advantages.append(low <= advantage <= high)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(covered_below) >= 0.96
    assert np.mean(covered_above) >= 0.96
    assert 0.93 <= np.mean(first_player) <= 0.97
    assert 0.93 <= np.mean(advantages) <= 0.98
    if kind in (won_everything, far_apart):
        assert len(extreme) > tournaments / 3
        assert np.mean(extreme) >= 0.93


def test_likelihood_of_superiority_is_calibrated():
    """Between equals it is below 5 % in 5 % of all; and whom it calls stronger is so as often as it says."""
    random = np.random.default_rng(8)
    equal, claims, right = [], [], []
    for _ in range(1000):
        elo = random.normal(0, 120, 5)
        elo[1] = elo[0]
        ratings = rate(simulate(random, elo, 40, 0.5, np.full((5, 5), 6)))
        equal.append(ratings.superiority("p0", "p1"))
        claims.append(ratings.superiority("p2", "p3"))
        right.append(elo[2] > elo[3])
    assert np.mean(np.array(equal) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(np.array(equal) > 0.95) == pytest.approx(0.05, abs=0.02)
    assert np.mean(equal) == pytest.approx(0.5, abs=0.03)
    sure = np.array(claims) > 0.9
    assert np.mean(np.array(right)[sure]) == pytest.approx(np.mean(np.array(claims)[sure]), abs=0.03)


# --- others' numbers


def test_without_draws_and_with_balanced_sides_choix_agrees():
    random = np.random.default_rng(2)
    results = simulate(random, random.normal(0, 200, 7), 0, 0, np.full((7, 7), 100))
    pairs = []
    for result in results:
        i, j = int(result.first[1:]), int(result.second[1:])
        pairs += [(i, j)] * result.first_wins + [(j, i)] * result.second_wins
    ours = np.array(by_number(rate(results), 7))
    # The first move's advantage, of which choix knows nothing, is all but absent; so are our 3.5 virtual games.
    assert ours == pytest.approx(ELO * choix.ilsr_pairwise(7, pairs, max_iter=1000), abs=3)
    assert ours == pytest.approx(ELO * choix.opt_pairwise(7, pairs), abs=3)


def test_the_full_model_agrees_with_another_likelihood_maximized_by_scipy():
    random = np.random.default_rng(3)
    elo = random.normal(0, 200, 6)
    results = simulate(random, elo, 90, 1.2, random.integers(100, 600, (6, 6)))

    def minus_log_likelihood(parameters):
        strengths = np.append(parameters[:5], -parameters[:5].sum())
        total = 0.0
        for result in results:
            difference = strengths[int(result.first[1:])] - strengths[int(result.second[1:])]
            shares = probabilities(difference * 100, parameters[5] * 100, math.exp(parameters[6]))
            total -= np.log(shares) @ (result.first_wins, result.draws, result.second_wins)
        return total

    found = scipy.optimize.minimize(minus_log_likelihood, np.zeros(7), method="BFGS")
    ratings = rate(results)
    assert by_number(ratings, 5) == pytest.approx(100 * found.x[:5], abs=1.5)
    assert ratings.first_move_advantage == pytest.approx(100 * found.x[5], abs=1)
    assert math.log(ratings.nu) == pytest.approx(found.x[6], abs=0.01)
    # With this many games the profile is as good as normal: the intervals are those of the other's curvature.
    step = 0.02 * np.eye(7)
    curvature = [
        [
            sum(s * t * minus_log_likelihood(found.x + s * a + t * b) for s in (1, -1) for t in (1, -1)) / (4 * 0.02**2)
            for b in step
        ]
        for a in step
    ]
    deviations = 100 * np.sqrt(np.diag(np.linalg.inv(curvature)))
    for i in range(5):
        player = ratings[f"p{i}"]
        assert player.high - player.low == pytest.approx(3.92 * deviations[i], rel=0.02)
        place = [p.name for p in ratings.players].index(player.name)
        assert math.sqrt(ratings.covariance[place, place]) * 3.92 == pytest.approx(player.high - player.low, rel=0.02)


# --- the hard cases, by what they must be


def test_everything_won():
    ratings = rate([PairResult("a", "b", 5, 0, 0), PairResult("b", "a", 0, 0, 5)], anchors={"b": 0})
    a, b = ratings["a"], ratings["b"]
    # One quarter of a loss and of a win more: 10.25 to 0.25.
    assert a.elo == pytest.approx(400 * math.log10(10.25 / 0.25))
    assert a.won_all
    assert b.lost_all
    assert not a.lost_all
    assert 150 < a.low < 250
    assert 1500 < a.high < 3000
    assert (b.low, b.elo, b.high) == (0, 0, 0)
    assert b.anchored
    assert ratings.superiority("a", "b") > 0.999
    assert ratings.superiority("a", "b") + ratings.superiority("b", "a") == pytest.approx(1)


def test_more_wins_raise_the_lower_end():
    lows = [
        rate([PairResult("a", "b", n, 0, 0), PairResult("b", "a", 0, 0, n)], anchors={"b": 0})["a"].low
        for n in (1, 2, 5, 20, 200)
    ]
    assert lows == sorted(lows)
    assert lows[0] < 0 < lows[2]


def test_one_game_says_little():
    ratings = rate([PairResult("a", "b", 1, 0, 0)])
    assert ratings["a"].elo > 0
    assert ratings["a"].low < 0
    assert 0.5 < ratings.superiority("a", "b") < 0.9


def test_only_draws():
    ratings = rate([PairResult("a", "b", 0, 10, 0), PairResult("b", "a", 0, 10, 0)])
    assert [player.elo for player in ratings.players] == pytest.approx([0, 0], abs=1e-6)
    assert all(-2000 < player.low < -50 and 50 < player.high < 2000 for player in ratings.players)
    assert ratings.superiority("a", "b") == pytest.approx(0.5)
    assert ratings.draw_share > 0.9


def test_the_first_player_always_wins():
    ratings = rate([PairResult("a", "b", 50, 0, 0), PairResult("b", "a", 50, 0, 0)])
    assert ratings["a"].elo == pytest.approx(0, abs=1e-6)
    assert ratings.first_move_advantage > 400
    assert ratings["a"].high < 200


def test_an_advantage_is_not_taken_for_strength():
    """All of a's games with the first move, as the advantage, known from others' games, would have it."""
    others = [PairResult("b", "c", 300, 0, 100), PairResult("c", "b", 300, 0, 100)]
    ratings = rate([*others, PairResult("a", "b", 30, 0, 10)])
    assert ratings["a"].elo == pytest.approx(ratings["b"].elo, abs=10)
    assert ratings.first_move_advantage == pytest.approx(400 * math.log10(3), abs=5)


def test_groups_that_never_met_have_a_scale_each():
    ratings = rate([PairResult("a", "b", 3, 1, 2), PairResult("x", "y", 9, 2, 1), PairResult("y", "x", 2, 2, 9)])
    assert [player.group for player in ratings.players] == [0, 0, 1, 1]
    assert ratings["a"].elo + ratings["b"].elo == pytest.approx(0)
    assert ratings["x"].elo + ratings["y"].elo == pytest.approx(0)
    assert ratings.superiority("x", "a") == 0.5
    assert ratings.superiority("x", "y") > 0.95
    anchored = rate([PairResult("a", "b", 3, 1, 2), PairResult("x", "y", 9, 2, 1)], anchors={"y": 1000})
    assert anchored["a"].elo + anchored["b"].elo == pytest.approx(0)
    assert anchored["x"].elo > 1000


def test_anchors_hold_and_move_all_others():
    results = simulate(np.random.default_rng(4), [0, 100, 200, 300], 30, 0.3, np.full((4, 4), 30))
    free = rate(results)
    one = rate(results, anchors={"p2": 1500})
    assert one["p2"].low == one["p2"].high == 1500
    assert by_number(one, 4) == pytest.approx([elo - free["p2"].elo + 1500 for elo in by_number(free, 4)], abs=1e-3)
    # Against one player less is known than against all together.
    assert one["p0"].high - one["p0"].low > free["p0"].high - free["p0"].low
    two = rate(results, anchors={"p0": 0, "p3": 0})
    assert two["p0"].elo == two["p3"].elo == 0
    assert two.superiority("p0", "p3") == 0.5
    assert two.superiority("p2", "p1") > 0.95
    everyone = rate(results, anchors={"p0": 0, "p1": 10, "p2": 20, "p3": 30})
    assert everyone.superiority("p3", "p0") == 1
    assert everyone.nu > 0


def test_who_lost_everything_widens_no_one_else_s_interval_where_it_is_not_in_the_centre():
    results = simulate(np.random.default_rng(5), [0, 100, 200, 300], 30, 0.3, np.full((4, 4), 20))
    results += [PairResult("random", f"p{i}", 0, 0, 20) for i in range(4)]
    assert set(bounded_players(results)) == {"p0", "p1", "p2", "p3"}
    plain, centred = rate(results), rate(results, centre=bounded_players(results))
    assert sum(by_number(centred, 4)) == pytest.approx(0, abs=1e-6)
    assert sum(player.elo for player in plain.players) == pytest.approx(0, abs=1e-6)
    assert centred["random"].elo < -500
    for name in ("p0", "p3"):
        assert plain[name].high - plain[name].low > 150 + centred[name].high - centred[name].low
    assert plain.superiority("p0", "p1") == pytest.approx(centred.superiority("p0", "p1"), abs=1e-6)


def test_splitting_or_ordering_results_changes_nothing():
    results = simulate(np.random.default_rng(6), [0, 100, 200], 30, 0.3, np.full((3, 3), 9))
    whole = rate(results)
    halves = [PairResult(r.first, r.second, r.first_wins / 2, r.draws / 2, r.second_wins / 2) for r in results]
    parts = rate([*reversed(halves), *halves])
    assert by_number(parts, 3) == pytest.approx(by_number(whole, 3))
    assert [p.high for p in parts.players] == pytest.approx([p.high for p in whole.players])
    assert whole["p0"].games == 36
    assert sum(player.score * player.games for player in whole.players) == pytest.approx(54)


def test_those_without_games_are_named():
    ratings = rate([PairResult("a", "b", 1, 2, 3), PairResult("c", "a")])
    assert ratings.unplayed == ("c",)
    with pytest.raises(GameError, match="no rating of 'c': expected one of b, a"):
        ratings["c"]


@pytest.mark.parametrize(
    ("results", "anchors", "said"),
    [
        ([], {}, "no games to rate"),
        ([PairResult("a", "b")], {}, "no games to rate"),
        ([PairResult("a", "a", 1)], {}, "'a' played itself"),
        ([PairResult("a", "b", -1)], {}, "'a' against 'b': expected numbers of games"),
        ([PairResult("a", "b", math.nan)], {}, "expected numbers of games"),
        ([PairResult("rollout:100", "b", 1)], {"rollout:10": 0}, "did you mean 'rollout:100'"),
        ([PairResult("a", "b", 1)], {"a": math.inf}, "expected an Elo from -10000 to 10000"),
    ],
)
def test_what_makes_no_sense_is_refused(results, anchors, said):
    with pytest.raises(GameError, match=said):
        rate(results, anchors=anchors)


def test_anything_that_can_be_played_gets_finite_ratings():
    random = np.random.default_rng(9)
    rated = 0
    for number in range(300):
        count = random.integers(2, 8)
        games = random.poisson(random.gamma(0.3, [3, 30, 300][number % 3], (count, count)))
        elo = random.normal(0, random.choice([0, 100, 500, 1500]), count)
        results = simulate(random, elo, random.choice([0, 50, 400, -1000]), random.choice([0, 0.1, 1, 30, 1000]), games)
        if not results:
            continue
        names = sorted({name for result in results for name in (result.first, result.second)})
        anchors = {name: float(random.normal(0, 400)) for name in names if number % 2 and random.random() < 0.15}
        ratings = rate(results, anchors=anchors)
        rated += 1
        for player in ratings.players:
            assert np.isfinite([player.low, player.elo, player.high]).all()
            assert player.low < player.elo < player.high or player.anchored
        likely = ratings.superiorities([(a, b) for a in names for b in names])
        assert ((likely >= 0) & (likely <= 1)).all()
    assert rated > 150


# --- games that repeat each other


def test_a_repeated_game_counts_once():
    games = [("a", "b", FIRST_WINS, (1, 2, 3))] * 50 + [("b", "a", DRAW, (1, 2))] * 50
    found = tally(games)
    assert set(found.results) == {PairResult("a", "b", 1, 0, 0), PairResult("b", "a", 0, 1, 0)}
    assert (found.games, found.repeated) == (100, 98)
    assert rate(found.results)["a"].low < 0  # two games prove nothing, however often they are played


def test_repetition_keeps_the_shares_and_takes_the_weight():
    games = [("a", "b", FIRST_WINS, (0,))] * 7 + [("a", "b", SECOND_WINS, (i,)) for i in range(1, 4)]
    (result,) = tally(games).results
    assert (result.first_wins, result.draws, result.second_wins) == pytest.approx((2.8, 0, 1.2))
    (result,) = tally(games, discount=False).results
    assert (result.first_wins, result.draws, result.second_wins) == (7, 0, 3)


def test_games_without_moves_to_compare_count_in_full():
    (result,) = tally([("a", "b", SECOND_WINS, None)] * 3).results
    assert (result.first_wins, result.draws, result.second_wins) == (0, 0, 3)


def test_the_same_moves_with_sides_swapped_are_another_game():
    assert tally([("a", "b", DRAW, (1,)), ("b", "a", DRAW, (1,))]).repeated == 0
