import numpy as np
import pytest

from keima.mcts.random import mix, next_below, next_exponential, next_gamma, next_gumbel, next_uniform, seeded


def splitmix64(state):
    """The generator in plain Python integers: the next state and its 64 output bits."""
    mask = (1 << 64) - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return state, z ^ (z >> 31)


def test_is_splitmix64():
    # The first outputs for seed 1234567, as published with the reference implementation.
    state, published = 1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]
    rng = np.array([1234567], np.uint64)
    for expected in published:
        state, bits = splitmix64(state)
        assert bits == expected
        assert next_uniform(rng, 0) == ((bits >> 11) + 0.5) / 2**53
        assert int(rng[0]) == state


def test_mix_is_the_generator_s():
    for state in (0, 1, 0xFFFFFFFFFFFFFFFF, 1234567):
        z = np.uint64((state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
        assert int(mix(z)) == splitmix64(state)[1]


def draws(function, *arguments, count=200_000):
    rng = seeded(7, 1)
    return np.array([function(rng, 0, *arguments) for _ in range(count)])


def test_uniform_and_integers():
    u = draws(next_uniform)
    assert 0 < u.min() < u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=0.005)
    counts = np.bincount(draws(next_below, 6), minlength=6)
    assert len(counts) == 6
    np.testing.assert_allclose(counts / counts.sum(), 1 / 6, atol=0.005)


def test_moments_of_the_distributions():
    gumbel = draws(next_gumbel)
    assert gumbel.mean() == pytest.approx(0.5772, abs=0.015)
    assert gumbel.var() == pytest.approx(np.pi**2 / 6, rel=0.03)
    exponential = draws(next_exponential, 3.0)
    assert (exponential.mean(), exponential.std()) == (pytest.approx(3, rel=0.02), pytest.approx(3, rel=0.03))
    for shape in (0.3, 1.0, 4.5):
        gamma = draws(next_gamma, shape)
        assert (gamma.mean(), gamma.var()) == (pytest.approx(shape, rel=0.02), pytest.approx(shape, rel=0.05))


def test_streams_are_distinct_and_repeat():
    assert len(set(seeded(3, 1000).tolist())) == 1000
    assert seeded(3, 4).tolist() == seeded(3, 4).tolist() != seeded(4, 4).tolist()
    assert seeded((1, 2), 4).tolist() != seeded((2, 1), 4).tolist()
