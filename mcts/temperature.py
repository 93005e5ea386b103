"""Drawing a move: in proportion to weights, or to weights raised to the power 1 / temperature."""

import math

from keima.mcts.compiled import search_kernel
from keima.mcts.random import next_uniform


@search_kernel
def weigh_at_temperature(log_weights, count, temperature):
    """Replaces the first `count` logarithms of weights, in place, by these weights to the power 1 / temperature.

    The highest becomes 1: of the weights themselves all would vanish or overflow at a low temperature. -inf, which is
    the logarithm of 0, becomes 0; one entry at least is larger.
    """
    highest = -math.inf
    for k in range(count):
        highest = max(highest, log_weights[k])
    for k in range(count):
        log_weights[k] = math.exp((log_weights[k] - highest) / temperature)


@search_kernel
def draw(weights, count, rng, i):
    """An index below `count`, drawn in proportion to the weights, one of which at least is positive.

    Advances rng[i].
    """
    total = 0.0
    for k in range(count):
        total += weights[k]
    threshold = total * next_uniform(rng, i)
    last = 0
    for k in range(count):
        if weights[k] > 0:
            threshold -= weights[k]
            last = k
            if threshold <= 0:
                break
    return last


@search_kernel
def draw_at_temperature(log_weights, count, temperature, rng, i):
    """An index below `count`, drawn from softmax(log_weights / temperature). Overwrites log_weights[:count]."""
    weigh_at_temperature(log_weights, count, temperature)
    return draw(log_weights, count, rng, i)
