"""The likelihood of results between rated players, its maximum and how far it falls off: many problems at once.

The model is Davidson's (1970, J. Amer. Statist. Assoc. 65, 317-328) with the order effect of Davidson and Beaver
(1977, Biometrics 33, 693-702). With d = strength of who moves first - strength of the other + advantage of the first
move, all in natural units,

    P(first wins) : P(draw) : P(second wins)  =  exp(d / 2) : nu : exp(-d / 2).

Its logarithm is concave in the strengths, the advantage and log nu (it is a multinomial logit), so Newton's method
finds the one maximum there is.

Dimensions: K problems solved side by side, C kinds of game (who moves first, who second), P parameters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import kernel

Floats = NDArray[np.float64]

_MAX_STEP = 3.0
"""In natural units of d and log nu: what Newton's method may change at once."""
_MAX_ITERATIONS = 200
_EXACT = 1e-9


@dataclass(frozen=True)
class Evaluation:
    """The log-likelihood at K points."""

    value: Floats  # [K]
    gradient: Floats  # [K, P]
    information: Floats  # [K, P, P] minus the second derivatives


@dataclass(frozen=True)
class Likelihood:
    """Results, and how their probabilities depend on the parameters.

    `design` says what the parameters are: d = offset + design @ parameters. With `with_draws` the last parameter is log
    nu, which has no part in d. Without it nu is 0, its most likely value where nobody ever drew.
    """

    design: Floats  # [C, P]
    offset: Floats  # [C]
    first_wins: Floats  # [C] numbers of games; any number >= 0
    draws: Floats  # [C]
    second_wins: Floats  # [C]
    with_draws: bool
    precision: Floats  # [P] a normal prior around 0 for each parameter; 0 for none

    def evaluate(self, parameters: Floats) -> Evaluation:
        """parameters: [K, P]."""
        k, p = parameters.shape
        value, gradient, information = np.zeros(k), np.zeros((k, p)), np.zeros((k, p, p))
        arrays = (parameters, self.design, self.offset, self.first_wins, self.draws, self.second_wins, self.precision)
        # However they lie in memory, for each way would be compiled anew.
        _evaluate(*map(np.ascontiguousarray, arrays), self.with_draws, value, gradient, information)
        return Evaluation(value, gradient, information)

    def _probabilities(self, parameters: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Of the first player's win, a draw, the second's win; and the logarithm of what they are shares of: [K, C]."""
        half_d = (parameters @ self.design.T + self.offset) / 2
        log_total = np.logaddexp(half_d, -half_d)
        drawn = np.zeros_like(half_d)
        if self.with_draws:
            log_total = np.logaddexp(log_total, parameters[:, -1:])
            drawn = np.exp(parameters[:, -1:] - log_total)
        return np.exp(half_d - log_total), drawn, np.exp(-half_d - log_total), log_total

    def leverage(self, parameters: Floats) -> Floats:
        """How much of the parameters in d each kind of game determines: [C], summing to about their number.

        parameters: [P].
        """
        first, _, second, _ = self._probabilities(parameters[None])
        games = self.first_wins + self.draws + self.second_wins
        curvature = (games * (first + second - (first - second) ** 2) / 4)[0]
        covariance: Floats = np.linalg.inv(self.evaluate(parameters[None]).information[0])
        leverage: Floats = curvature * ((self.design @ covariance) * self.design).sum(1)
        return leverage

    def maximum(self, start: Floats) -> Floats:
        """The most likely parameters [P], by damped Newton steps. Raises ArithmeticError where there are none."""
        point = start[None]
        here = self.evaluate(point)
        for _ in range(_MAX_ITERATIONS):
            step = _capped(self, _solve(here.information, here.gradient))
            if np.abs(step).max() < _EXACT:
                found: Floats = point[0]
                return found
            there = self.evaluate(point + step)
            while there.value[0] < here.value[0] - _EXACT:
                step /= 2
                there = self.evaluate(point + step)
            point, here = point + step, there
        raise ArithmeticError("the likelihood has no maximum")

    def extremes(self, maximum: Floats, directions: Floats, drop: float) -> Floats:
        """How far up each of `directions` @ parameters goes before the log-likelihood has fallen by `drop`: [K].

        The other parameters are chosen to be as likely as possible at each point, so these are the ends of profile
        likelihood intervals. maximum: [P]; directions: [K, P], with their signs. Every step goes to where the quadratic
        that touches the log-likelihood has its end (Venzon and Moolgavkar 1988, Applied Statistics 37, 87-94).
        """
        goal = self.evaluate(maximum[None]).value[0] - drop
        points = np.repeat(maximum[None], len(directions), 0)
        for _ in range(_MAX_ITERATIONS):
            here = self.evaluate(points)
            to_top = _solve(here.information, here.gradient)  # of the quadratic
            outward = _solve(here.information, directions)
            height = here.value + (here.gradient * to_top).sum(1) / 2 - goal
            length = np.sqrt(2 * np.maximum(height, 0) / (directions * outward).sum(1))
            step = _capped(self, to_top + length[:, None] * outward)
            if np.abs(step).max() < 1e-6:
                ends: Floats = (directions * points).sum(1)
                return ends
            points = points + step
        raise ArithmeticError("the likelihood does not fall off")

    def falls(self, maximum: Floats, directions: Floats, offsets: Floats) -> Floats:
        """By how much the log-likelihood falls where directions @ parameters + offsets = 0 is imposed: [K]."""
        top = self.evaluate(maximum[None]).value[0]
        points = np.repeat(maximum[None], len(directions), 0)
        for _ in range(_MAX_ITERATIONS):
            here = self.evaluate(points)
            to_top = _solve(here.information, here.gradient)
            outward = _solve(here.information, directions)
            missing = (directions * (points + to_top)).sum(1) + offsets
            step = to_top - outward * (missing / (directions * outward).sum(1))[:, None]
            step = _capped(self, step)
            if np.abs(step).max() < 1e-6:
                falls: Floats = top - here.value
                return falls
            points = points + step
        raise ArithmeticError("the likelihood has no maximum")


@kernel
def _evaluate(
    parameters: Floats,
    design: Floats,
    offset: Floats,
    first_wins: Floats,
    draws: Floats,
    second_wins: Floats,
    precision: Floats,
    with_draws: bool,
    value: Floats,
    gradient: Floats,
    information: Floats,
) -> None:
    """Adds up what `Evaluation` has, in its arrays, which are 0.

    Compiled, for one rating takes dozens of evaluations, each of so few numbers that numpy's calls would be all of it.
    """
    last = parameters.shape[1] - 1  # log nu
    for k in range(len(parameters)):
        log_nu = parameters[k, last] if with_draws else 0.0
        for c in range(len(design)):
            games = first_wins[c] + draws[c] + second_wins[c]
            half_d = offset[c]
            for p in range(last + 1):
                half_d += design[c, p] * parameters[k, p]
            half_d /= 2
            log_total = _log_add(half_d, -half_d)
            drawn = 0.0
            if with_draws:
                log_total = _log_add(log_total, log_nu)
                drawn = np.exp(log_nu - log_total)
            first, second = np.exp(half_d - log_total), np.exp(-half_d - log_total)
            value[k] += (first_wins[c] - second_wins[c]) * half_d + draws[c] * log_nu - games * log_total
            by_d = (first_wins[c] - second_wins[c] - games * (first - second)) / 2
            curvature = games * (first + second - (first - second) ** 2) / 4
            mixed = -games * (first - second) * drawn / 2  # by d and log nu
            for p in range(last + 1):
                part = design[c, p]
                if part == 0:
                    continue
                gradient[k, p] += by_d * part
                for q in range(last + 1):
                    information[k, p, q] += curvature * part * design[c, q]
                if with_draws:
                    information[k, p, last] += mixed * part
                    information[k, last, p] += mixed * part
            if with_draws:
                gradient[k, last] += draws[c] - games * drawn
                information[k, last, last] += games * drawn * (1 - drawn)
        for p in range(last + 1):
            value[k] -= precision[p] * parameters[k, p] ** 2 / 2
            gradient[k, p] -= precision[p] * parameters[k, p]
            information[k, p, p] += precision[p]


@kernel
def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    return float(max(a, b) + np.log1p(np.exp(-abs(a - b))))


def _solve(matrices: Floats, vectors: Floats) -> Floats:
    solved: Floats = np.asarray(np.linalg.solve(matrices, vectors[..., None])[..., 0], np.float64)
    return solved


def _capped(likelihood: Likelihood, steps: Floats) -> Floats:
    """Steps [K, P] shortened to `_MAX_STEP` in every d and in log nu."""
    changes = np.abs(steps @ likelihood.design.T).max(1)
    if likelihood.with_draws:
        changes = np.maximum(changes, np.abs(steps[:, -1]))
    capped: Floats = steps / np.maximum(changes / _MAX_STEP, 1)[:, None]
    return capped
