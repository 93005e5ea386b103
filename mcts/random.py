"""Random numbers for compiled code: one 64-bit state a tree, so that results do not depend on which tree ran first.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): one addition and
a mix a number, any seed is a good seed, and the whole generator is one `uint64` that a checkpoint can hold.
"""

import math

import numpy as np
from numpy.typing import NDArray

from keima.mcts.compiled import search_kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)


@search_kernel
def mix(z):
    """A uint64 scrambled: a bijection in which every bit of the input sways every bit of the output."""
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@search_kernel
def next_uniform(rng, i):
    """A float64 uniform in (0, 1), never 0 or 1. Advances rng[i] in place."""
    rng[i] += _GOLDEN
    return (float(mix(rng[i]) >> _S11) + 0.5) / 9007199254740992.0  # 53 bits, centred in their cell


@search_kernel
def next_below(rng, i, n):
    """An integer uniform in 0 .. n - 1. Advances rng[i]."""
    return min(int(next_uniform(rng, i) * n), n - 1)


@search_kernel
def next_gumbel(rng, i):
    """A draw from Gumbel(0, 1). Advances rng[i]."""
    return -math.log(-math.log(next_uniform(rng, i)))


@search_kernel
def next_exponential(rng, i, mean):
    """A draw from the exponential distribution of this mean. Advances rng[i]."""
    return -mean * math.log(next_uniform(rng, i))


@search_kernel
def next_gamma(rng, i, shape):
    """A draw from Gamma(shape, 1), by Marsaglia and Tsang (2000). Advances rng[i]."""
    boost = 1.0
    if shape < 1.0:
        boost = next_uniform(rng, i) ** (1.0 / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        u1, u2 = next_uniform(rng, i), next_uniform(rng, i)
        normal = math.sqrt(-2.0 * math.log(u1)) * math.cos(2.0 * math.pi * u2)
        v = (1.0 + c * normal) ** 3
        if v > 0.0 and math.log(next_uniform(rng, i)) < 0.5 * normal * normal + d - d * v + d * math.log(v):
            return boost * d * v


def seeded(seed: int | tuple[int, ...], count: int) -> NDArray[np.uint64]:
    """States for `count` independent streams of one seed, uint64[count]."""
    return np.random.SeedSequence(seed).generate_state(count, np.uint64)  # type: ignore[return-value]
