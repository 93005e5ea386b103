"""The sequential test: its formulas against naive twins, its error rates over 2,000 simulated matches."""

import math

import numpy as np
import pytest
import scipy.optimize

from keima.games.contract import GameError
from keima.selfplay.tournament.sprt import (
    PRIOR_PAIRS,
    SCORES,
    Sprt,
    Verdict,
    count_pairs,
    elo_of_score,
    log_likelihood_ratio,
    score_of_elo,
)

MATCHES = 2000
MAX_PAIRS = 20_000


def pair_shares(elo: float, draws: float, opening_elo: float) -> np.ndarray:
    """How often a pair gives 0, 1/2, ... 2 points, [5], for a player whose mean score is that of `elo`.

    Each opening favours one side by `opening_elo`, as often the first as the second; the two games of a pair are played
    from it with sides swapped.
    """

    def shares(strength: float) -> np.ndarray:
        found = np.zeros(5)
        for favour in (opening_elo, -opening_elo):
            games = []
            for advantage in (favour, -favour):
                win = score_of_elo(strength + advantage)
                games.append([(1 - win) * (1 - draws), draws, win * (1 - draws)])
            found += np.convolve(*games) / 2
        return found

    def excess(strength: float) -> float:
        return float(shares(strength) @ SCORES - score_of_elo(elo))

    return shares(scipy.optimize.brentq(excess, -3000, 3000))


def simulate(test: Sprt, shares: np.ndarray, random) -> tuple[float, float, int]:
    """The share of matches that end with H1, the mean number of games, how many did not end: all side by side."""
    counts = np.zeros((MATCHES, 5))
    going, accepted, games = np.arange(MATCHES), 0, 0
    lower, upper = test.bounds
    for pairs in range(1, MAX_PAIRS):
        counts[going, random.choice(5, size=going.size, p=shares)] += 1
        ratios = log_likelihood_ratio(counts[going], score_of_elo(test.elo0), score_of_elo(test.elo1))
        over = (ratios <= lower) | (ratios >= upper)
        accepted += int((ratios >= upper).sum())
        games += 2 * pairs * int(over.sum())
        going = going[~over]
        if going.size == 0:
            break
    return accepted / MATCHES, games / MATCHES, going.size


@pytest.mark.parametrize(
    ("draws", "opening_elo"), [(0.0, 0.0), (0.5, 0.0), (0.1, 300.0)], ids=["no draws", "draws", "openings decide"]
)
@pytest.mark.parametrize(("elo0", "elo1"), [(0, 80), (-40, 40)])
def test_errors_are_within_their_bounds(elo0, elo1, draws, opening_elo):
    test = Sprt(elo0, elo1, alpha=0.05, beta=0.1)
    random = np.random.default_rng(11)
    slack = 2.5 * math.sqrt(0.05 * 0.95 / MATCHES), 2.5 * math.sqrt(0.1 * 0.9 / MATCHES)  # chance of 2,000 matches
    shares = pair_shares(elo0, draws, opening_elo)
    wrong, games, unfinished = simulate(test, shares, random)
    assert unfinished == 0
    assert wrong <= 0.05 + slack[0]
    variance = float(shares @ (SCORES - shares @ SCORES) ** 2)
    assert games == pytest.approx(test.expected_games(elo0, variance), rel=0.25)
    shares = pair_shares(elo1, draws, opening_elo)
    right, games, unfinished = simulate(test, shares, random)
    assert unfinished == 0
    assert 1 - right <= 0.1 + slack[1]
    variance = float(shares @ (SCORES - shares @ SCORES) ** 2)
    assert games == pytest.approx(test.expected_games(elo1, variance), rel=0.25)


def test_a_much_stronger_player_is_told_soon():
    right, games, _ = simulate(Sprt(0, 50), pair_shares(250, 0.2, 0), np.random.default_rng(1))
    assert right > 0.999
    assert games < 80


def test_the_ratio_is_that_of_the_most_likely_distributions():
    """Each hypothesis' distribution by a general optimizer, over all that have its mean."""
    counts = np.array([3, 8, 20, 12, 5])
    weights = counts + PRIOR_PAIRS

    def best(score: float) -> float:
        constraints = [
            {"type": "eq", "fun": lambda p: p.sum() - 1},
            {"type": "eq", "fun": lambda p: p @ SCORES - score},
        ]
        found = scipy.optimize.minimize(
            lambda p: -(weights @ np.log(p)),
            np.full(5, 0.2),
            method="SLSQP",
            bounds=[(1e-9, 1)] * 5,
            constraints=constraints,
            tol=1e-12,
        )
        return -found.fun

    for low, high in ((0.5, 0.6), (0.4, 0.55), (0.55, 0.7)):
        assert log_likelihood_ratio(counts, low, high) == pytest.approx(best(high) - best(low), abs=1e-3)


def test_the_ratio_of_many_tests_at_once_and_its_symmetry():
    counts = np.random.default_rng(2).integers(0, 30, (7, 5))
    together = log_likelihood_ratio(counts, 0.5, 0.6)
    assert together == pytest.approx([float(log_likelihood_ratio(row, 0.5, 0.6)) for row in counts])
    assert log_likelihood_ratio(counts[:, ::-1], 0.5, 0.4) == pytest.approx(together)
    assert log_likelihood_ratio(counts, 0.6, 0.5) == pytest.approx(-together)


def test_it_decides_and_says_so():
    test = Sprt(0, 100)
    lower, upper = test.bounds
    assert (lower, upper) == pytest.approx((-math.log(19), math.log(19)))
    start = test.state(np.zeros(5, int))
    assert (start.verdict, start.llr, start.games) == (Verdict.GOES_ON, 0, 0)
    assert start.expected_games > 10
    assert start.text.startswith("no pairs yet")
    undecided = test.state([5, 5, 5, 5, 5])
    assert undecided.verdict is Verdict.GOES_ON
    assert undecided.games == 50
    assert undecided.score == 0.5
    assert "50 games, about" in undecided.text
    won, lost = test.state([0, 5, 10, 40, 40]), test.state([40, 40, 10, 5, 0])
    assert (won.verdict, lost.verdict) == (Verdict.H1, Verdict.H0)
    assert won.llr >= upper
    assert lost.llr <= lower
    assert won.text.startswith("H1 accepted: LLR ")
    assert won.elo > 100 > 0 > lost.elo


def test_nothing_but_wins_or_draws_is_no_trouble():
    assert Sprt(0, 50).state([0, 0, 0, 0, 40]).verdict is Verdict.H1
    assert Sprt(0, 50).state([40, 0, 0, 0, 0]).verdict is Verdict.H0
    assert Sprt(0, 50).state([0, 0, 300, 0, 0]).verdict is Verdict.H0
    assert Sprt(-50, 50).state([0, 0, 300, 0, 0]).verdict is Verdict.GOES_ON
    assert math.isfinite(Sprt(0, 50).state([0, 0, 0, 0, 1]).llr)
    assert "+inf Elo" in Sprt(0, 50).state([0, 0, 0, 0, 1]).text


def test_pairs_are_counted_by_their_points():
    assert list(count_pairs([(0, 0), (1, 0), (0, 1), (0.5, 0.5), (1, 0.5), (1, 1)])) == [1, 0, 3, 1, 1]
    assert list(count_pairs([])) == [0, 0, 0, 0, 0]


def test_expected_games_are_most_in_the_middle():
    test = Sprt(0, 40)
    by_elo = [test.expected_games(elo, 0.1) for elo in (-2000, -60, 0, 20, 40, 100, 2000)]
    assert by_elo[3] == max(by_elo)
    assert by_elo[2] == pytest.approx(by_elo[4], rel=0.02)
    assert all(games > 0 for games in by_elo)
    assert test.expected_games(20.0001, 0.1) == pytest.approx(by_elo[3], rel=1e-3)


def test_elo_and_scores():
    assert score_of_elo(400) == pytest.approx(10 / 11)
    assert elo_of_score(score_of_elo(123)) == pytest.approx(123)
    assert (elo_of_score(0), elo_of_score(1)) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((50, 0), "expected elo0 below elo1, got 50 and 0"),
        ((5, 5), "expected elo0 below elo1"),
        ((0, math.nan), "expected elo0 below elo1"),
        ((0, 5000), "expected Elo from -1000 to 1000"),
        ((0, 50, 0), "expected alpha between 0 and 0.5, got 0"),
        ((0, 50, 0.05, 0.5), "expected beta between 0 and 0.5"),
    ],
)
def test_a_test_that_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(GameError, match=said):
        Sprt(*arguments)
