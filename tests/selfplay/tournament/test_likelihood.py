"""Davidson's likelihood: its derivatives, its maximum and its profile against scipy's general optimizers."""

import numpy as np
import pytest
import scipy.optimize

from keima.selfplay.tournament.likelihood import Likelihood

PLAYERS = 5


def some_likelihood(seed: int, with_draws: bool = True) -> Likelihood:
    random = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(PLAYERS) for j in range(PLAYERS) if i != j]
    design = np.zeros((len(pairs), PLAYERS + with_draws))  # player 0 is fixed; then the advantage, then log nu
    for row, (i, j) in zip(design, pairs, strict=True):
        row[[k - 1 for k in (i,) if k]] = 1
        row[[k - 1 for k in (j,) if k]] = -1
        row[PLAYERS - 1] = 1
    counts = random.integers(0, 8, (3, len(pairs))).astype(float)
    if not with_draws:
        counts[1] = 0
    precision = np.zeros(design.shape[1])
    precision[PLAYERS - 1] = 0.3
    return Likelihood(design, random.normal(0, 0.2, len(pairs)), *counts, with_draws, precision)


def naive_value(likelihood: Likelihood, parameters: np.ndarray) -> float:
    """Game for game, by the formula as it stands in the paper."""
    nu = np.exp(parameters[-1]) if likelihood.with_draws else 0.0
    value = 0.0
    results = (likelihood.first_wins, likelihood.draws, likelihood.second_wins)
    for row, offset, wins, draws, losses in zip(likelihood.design, likelihood.offset, *results, strict=True):
        first = np.exp(row @ parameters + offset)  # the first one's worth, where the second's is 1
        total = first + 1 + nu * np.sqrt(first)
        value += wins * np.log(first / total) + losses * np.log(1 / total)
        value += draws * np.log(nu * np.sqrt(first) / total) if draws else 0
    return value - (likelihood.precision * parameters**2).sum() / 2


@pytest.mark.parametrize("with_draws", [True, False])
def test_value_and_derivatives(with_draws):
    likelihood = some_likelihood(1, with_draws)
    points = np.random.default_rng(2).normal(0, 1, (3, likelihood.design.shape[1]))
    found = likelihood.evaluate(points)
    for k, point in enumerate(points):
        assert found.value[k] == pytest.approx(naive_value(likelihood, point))
        numeric = scipy.optimize.approx_fprime(point, lambda p: naive_value(likelihood, p), 1e-6)
        assert found.gradient[k] == pytest.approx(numeric, abs=1e-3)
        second = scipy.optimize.approx_fprime(point, lambda p: likelihood.evaluate(p[None]).gradient[0], 1e-6)
        assert found.information[k] == pytest.approx(-second, abs=1e-3)


@pytest.mark.parametrize("with_draws", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_maximum_is_the_one_that_scipy_finds(with_draws, seed):
    likelihood = some_likelihood(seed, with_draws)
    start = np.zeros(likelihood.design.shape[1])
    expected = scipy.optimize.minimize(lambda p: -naive_value(likelihood, p), start, method="BFGS")
    assert likelihood.maximum(start) == pytest.approx(expected.x, abs=1e-4)
    assert likelihood.maximum(start + 8) == pytest.approx(likelihood.maximum(start), abs=1e-7)


def test_the_ends_of_a_profile_are_where_a_general_optimizer_finds_them():
    likelihood = some_likelihood(3)
    top = likelihood.maximum(np.zeros(likelihood.design.shape[1]))
    goal = naive_value(likelihood, top) - 1.9207
    direction = np.array([1, -0.5, 0, 0, 0, 0])
    found = likelihood.extremes(top, np.array([direction, -direction]), 1.9207)
    for end, sign in zip(found, (1, -1), strict=True):
        allowed = {"type": "ineq", "fun": lambda p: naive_value(likelihood, p) - goal}
        expected = scipy.optimize.minimize(
            lambda p, sign=sign: -sign * direction @ p, top, method="SLSQP", constraints=[allowed], tol=1e-10
        )
        assert end == pytest.approx(-expected.fun, abs=1e-4)


def test_how_far_it_falls_under_a_constraint():
    likelihood = some_likelihood(4)
    top = likelihood.maximum(np.zeros(likelihood.design.shape[1]))
    direction = np.array([1.0, -1, 0, 0, 0, 0])
    (fall,) = likelihood.falls(top, direction[None], np.array([0.3]))
    equal = {"type": "eq", "fun": lambda p: direction @ p + 0.3}
    expected = scipy.optimize.minimize(
        lambda p: -naive_value(likelihood, p), top, method="SLSQP", constraints=[equal], tol=1e-12
    )
    assert fall == pytest.approx(naive_value(likelihood, top) + expected.fun, abs=1e-5)


def test_leverage_adds_up_to_the_number_of_parameters():
    likelihood = some_likelihood(5, with_draws=False)
    free = Likelihood(*(getattr(likelihood, name) for name in FIELDS), with_draws=False, precision=np.zeros(PLAYERS))
    assert free.leverage(free.maximum(np.zeros(PLAYERS))).sum() == pytest.approx(PLAYERS)


FIELDS = ("design", "offset", "first_wins", "draws", "second_wins")


def test_without_a_maximum_it_says_so():
    one_sided = Likelihood(np.ones((1, 1)), np.zeros(1), np.ones(1), np.zeros(1), np.zeros(1), False, np.zeros(1))
    with pytest.raises((ArithmeticError, np.linalg.LinAlgError)):
        one_sided.maximum(np.zeros(1))
