"""The sequential probability ratio test: two players play until it is decided which of two strengths fits better.

H0 says that the player's score is that of `elo0`, H1 that it is that of `elo1`, by the usual 1 / (1 + 10^(-Elo / 400)).
After every pair of games, one opening from both sides, the log-likelihood ratio of the two is compared with Wald's
bounds

    log(beta / (1 - alpha))  <  LLR  <  log((1 - beta) / alpha),

and the test is over once it is outside (Wald 1945, Ann. Math. Statist. 16, 117-186). alpha is how often H1 is accepted
though H0 is true, beta how often H0 though H1 is true.

The unit is the pair, with 0, 1/2, 1, 3/2 or 2 points (pentanomial): its two games depend on each other through the
opening, pairs do not. A score alone does not say how likely each of the five is, so each hypothesis is given the most
likely distribution that has its mean (generalized SPRT; Li, Liu and Ying 2014, Sequential Analysis 33, 21-49; proposed
for engine matches by M. Van den Bergh). With f_i the share of pairs seen with the score a_i, 0 to 1, that is

    p_i = f_i / (1 + t (a_i - s))  with t such that  sum_i p_i (a_i - s) = 0,

s the score of the hypothesis, and LLR = N sum_i f_i log(p1_i / p0_i). To the five counts is added a little
(`PRIOR_PAIRS`), so that what has not been seen yet does not count as impossible. The bounds on the errors hold for a
stream of like pairs; see the tests for how well.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import GameError

SCORES = np.array([0, 0.25, 0.5, 0.75, 1])
"""Points of a pair, of the two there are, as a share."""
PRIOR_PAIRS = 0.05
"""Added to each of the five counts."""
_BISECTIONS = 40
_OVERSHOOT = 0.5826
"""Standard deviations of a step by which a random walk goes on average beyond a bound."""


class Verdict(Enum):
    """What a test has come to."""

    GOES_ON = "undecided"
    H0 = "H0"
    H1 = "H1"


@dataclass(frozen=True)
class SprtState:
    """Where a test stands."""

    verdict: Verdict
    llr: float
    """log(likelihood under H1 / likelihood under H0)."""
    lower: float
    """H0 is accepted at this LLR or below."""
    upper: float
    """H1 is accepted at this LLR or above."""
    games: int
    score: float
    """The first named player's points a game; NaN before the first pair."""
    expected_games: float
    """How many games such a test takes, from its start, if the player is as strong as its score so far says; before the
    first pair that of the harder hypothesis without draws."""

    @property
    def elo(self) -> float:
        """What the score so far means in Elo; infinite where everything was won or lost."""
        return elo_of_score(self.score)

    @property
    def text(self) -> str:
        """In one line."""
        if self.games == 0:
            return f"no pairs yet; LLR from {self.lower:.2f} to {self.upper:.2f} goes on"
        said = {Verdict.H0: "H0 accepted", Verdict.H1: "H1 accepted", Verdict.GOES_ON: "undecided"}[self.verdict]
        wait = f", about {self.expected_games:,.0f} in all" if self.verdict is Verdict.GOES_ON else ""
        return (
            f"{said}: LLR {self.llr:.2f} ({self.lower:.2f} to {self.upper:.2f}), score {100 * self.score:.1f} % "
            f"({self.elo:+.0f} Elo) in {self.games:,} games{wait}"
        )


@dataclass(frozen=True)
class Sprt:
    """A test. Raises GameError for bounds that make none."""

    elo0: float
    elo1: float
    alpha: float = 0.05
    beta: float = 0.05

    def __post_init__(self) -> None:
        if not (math.isfinite(self.elo0) and math.isfinite(self.elo1) and self.elo0 < self.elo1):
            raise GameError(f"SPRT: expected elo0 below elo1, got {self.elo0:g} and {self.elo1:g}")
        if max(abs(self.elo0), abs(self.elo1)) > 1000:
            raise GameError(f"SPRT: expected Elo from -1000 to 1000, got {self.elo0:g} and {self.elo1:g}")
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if not 0 < value < 0.5:
                raise GameError(f"SPRT: expected {name} between 0 and 0.5, got {value:g}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The LLR at which H0 and H1 are accepted."""
        return math.log(self.beta / (1 - self.alpha)), math.log((1 - self.beta) / self.alpha)

    def state(self, counts: Sequence[int] | NDArray[np.int64]) -> SprtState:
        """Where a test stands after so many pairs with 0, 1/2, 1, 3/2 and 2 points; see `count_pairs`."""
        seen = np.asarray(counts, float)
        pairs = seen.sum()
        lower, upper = self.bounds
        llr = 0.0
        if pairs:
            llr = float(log_likelihood_ratio(seen, score_of_elo(self.elo0), score_of_elo(self.elo1)))
        verdict = Verdict.H0 if llr <= lower else Verdict.H1 if llr >= upper else Verdict.GOES_ON
        if pairs == 0:
            # Where the score is one or zero by chance alone, a pair's variance is an eighth.
            expected = max(self.expected_games(elo, 1 / 8) for elo in (self.elo0, self.elo1))
            return SprtState(verdict, llr, lower, upper, 0, math.nan, expected)
        score = float(seen @ SCORES / pairs)
        weights = seen + PRIOR_PAIRS
        mean = float(weights @ SCORES / weights.sum())
        variance = float(weights @ (SCORES - mean) ** 2 / weights.sum())
        expected = self.expected_games(elo_of_score(mean), variance)
        return SprtState(verdict, llr, lower, upper, 2 * round(pairs), score, expected)

    def expected_games(self, elo: float, variance: float) -> float:
        """How many games the test takes on average for a player of this strength.

        variance: of a pair's score, which is 0 to 1. The LLR is taken for a Brownian motion with the drift and the
        variance that a pair gives it (Wald's identities), between bounds that are wider by what a step goes beyond them
        (Siegmund 1985, Sequential Analysis, chapter 10). Within a quarter of what simulated matches take, from 40 games
        on; shorter tests take longer than it says, since they have to learn the variance.
        """
        s0, s1, score = score_of_elo(self.elo0), score_of_elo(self.elo1), score_of_elo(elo)
        drift = (s1 - s0) * (2 * score - s0 - s1) / (2 * variance)
        spread = (s1 - s0) ** 2 / variance
        low, high = self.bounds
        low, high = low - _OVERSHOOT * math.sqrt(spread), high + _OVERSHOOT * math.sqrt(spread)
        slope = 2 * drift / spread
        if abs(slope * (high - low)) < 1e-6:
            return -2 * low * high / spread
        # The share of tests that end at the bound towards which the LLR drifts.
        near = high if slope > 0 else -low
        steep = abs(slope)
        ahead = math.expm1(-steep * (high - low - near)) / math.expm1(-steep * (high - low))
        up = ahead if slope > 0 else 1 - ahead
        return 2 * (up * high + (1 - up) * low) / drift


def count_pairs(points: Iterable[tuple[float, float]]) -> NDArray[np.int64]:
    """Pairs of games by their points: [5]. Each pair: the player's points, 0, 1/2 or 1, in its two games."""
    return np.bincount([round(2 * (first + second)) for first, second in points], minlength=5)


def log_likelihood_ratio(counts: NDArray[np.floating], score0: float, score1: float) -> NDArray[np.float64]:
    """log(likelihood of score1 / likelihood of score0) of pairs counted by their points: [...] of counts [..., 5]."""
    weights = np.asarray(counts, float) + PRIOR_PAIRS
    # With p = f / (1 + t (a - s)) the logarithm of f cancels out.
    against0, against1 = (
        (weights * np.log1p(_tilt(weights, score) * (SCORES - score))).sum(-1) for score in (score0, score1)
    )
    return np.asarray(against0 - against1)


def _tilt(weights: NDArray[np.float64], score: float) -> NDArray[np.float64]:
    """The t with sum of w (a - s) / (1 + t (a - s)) = 0, [..., 1]: by bisection, since the sum falls in t.

    It is between the sum's poles, where all p are positive.
    """
    away = SCORES - score
    low = np.full((*weights.shape[:-1], 1), -1 / away[-1])
    high = np.full_like(low, -1 / away[0])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = (weights * away / (1 + middle * away)).sum(-1, keepdims=True) > 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def score_of_elo(elo: float) -> float:
    """Points a game."""
    return 1 / (1 + 10 ** (-elo / 400))


def elo_of_score(score: float) -> float:
    """Infinite for 0 and 1."""
    if score <= 0 or score >= 1:
        return math.copysign(math.inf, score - 0.5)
    return 400 * math.log10(score / (1 - score))
