"""Uniformly random games of Go in Keima's compiled kernels and in OpenSpiel, in turns in one process.

    python -m tests.peers.go_playouts
    python -m tests.peers.go_playouts --sizes 9 --rounds 9

Both sides list every legal move of every position and draw one, pass included, until two passes or 2 * size**2 moves;
Keima under positional superko, OpenSpiel with its simple ko (a longer repetition ends its game). OpenSpiel is driven
through its Python API: `legal_actions` and `apply_action` of its C++ state for every move. As a second peer its C++
rollouts are timed, which a bot of one simulation plays without returning to Python; how many moves these make is taken
from the mean length of the games driven from Python.

Rates are by CPU time of this process. A rate's median and best are over the rounds; a ratio is taken in every round.
"""

import argparse
import platform
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import numba
import numpy as np
import pyspiel
from numba.core import types

from keima import games
from keima.agent.inference.autotuning import processor_name, version_of
from keima.games.compilation import LEGAL_ACTIONS, OUTCOME, PLAY, RESET
from keima.games.contract import ONGOING, Game
from keima.mcts.random import next_below, seeded

ROLLOUTS = 50  # of the bot at once

_ROW = types.int64[::1]


@numba.njit(
    types.int64(RESET, LEGAL_ACTIONS, PLAY, OUTCOME, _ROW, types.int64, types.uint64[::1], _ROW, types.int32[::1]),
    error_model="numpy",
)
def _play(reset, legal_actions, play, outcome, parameters, count, rng, state, actions):
    """Plays `count` games; returns how many moves that were."""
    moves = 0
    for _ in range(count):
        reset(state, parameters)
        while outcome(state) == ONGOING:
            play(state, actions[next_below(rng, 0, legal_actions(state, actions))])
            moves += 1
    return moves


Burst = Callable[[float], tuple[float, float]]
"""Plays for at least so many seconds of CPU time: how many moves, in what CPU time."""


def keima(game: Game) -> Burst:
    rules, parameters, rng = game.kernels, game.parameter_row(), seeded(0, 1)
    state, actions = game.new_state(), np.zeros(game.max_legal, np.int32)
    kernels = rules.reset, rules.legal_actions, rules.play, rules.outcome

    def burst(seconds: float) -> tuple[float, float]:
        moves, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            moves += _play(*kernels, parameters, 100, rng, state, actions)
        return moves, time.process_time() - start

    burst(0.0)  # compiles
    return burst


def openspiel_from_python(spiel: pyspiel.Game, lengths: list[int]) -> Burst:
    """Adds the lengths of its games to `lengths`."""

    def burst(seconds: float) -> tuple[float, float]:
        draw, moves, start = random.Random(1).random, 0, time.process_time()
        while time.process_time() - start < seconds:
            state, length = spiel.new_initial_state(), 0
            while not state.is_terminal():
                actions = state.legal_actions()
                state.apply_action(actions[int(draw() * len(actions))])
                length += 1
            lengths.append(length)
            moves += length
        return moves, time.process_time() - start

    return burst


def openspiel_rollouts(spiel: pyspiel.Game, lengths: list[int]) -> Burst:
    """Takes the mean of `lengths` for the length of its games."""
    evaluator = pyspiel.RandomRolloutEvaluator(ROLLOUTS, 1)
    bot = pyspiel.MCTSBot(spiel, evaluator, 1.0, 1, 100, False, 1, False)

    def burst(seconds: float) -> tuple[float, float]:
        rollouts, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            bot.step(spiel.new_initial_state())
            rollouts += ROLLOUTS
        return rollouts * statistics.mean(lengths), time.process_time() - start

    return burst


def measure(size: int, rounds: int, seconds: float) -> None:
    limit = 2 * size * size
    spiel = pyspiel.load_game(f"go(board_size={size},komi=7.5,max_game_length={limit})")
    lengths: list[int] = []
    contenders = {
        "keima": keima(games.load(f"go:{size},limit={limit}")),
        "OpenSpiel from Python": openspiel_from_python(spiel, lengths),
        "OpenSpiel's rollouts": openspiel_rollouts(spiel, lengths),
    }
    rates: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, burst in contenders.items():
            moves, cpu_s = burst(seconds)
            if number:  # the first round warms up
                rates[name].append(moves / cpu_s)
    for name, found in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rates["keima"], found, strict=True)]
        times = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if name != "keima" else ""
        print(f"| {size} | {name} | {statistics.median(found):,.0f} ({max(found):,.0f}) | {times} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 9, 19])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="a burst, at least, of CPU time")
    options = parser.parse_args()
    print(f"{processor_name()}, Python {platform.python_version()}, numba {version_of('numba')}")
    print("| size | who | moves a second: median (best) | times as many by Keima: median (lowest to highest) |")
    print("|---|---|---|---|")
    for size in options.sizes:
        measure(size, options.rounds, options.seconds)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
