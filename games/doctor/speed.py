"""How fast a game's kernels are, and what random games are like: compiled loops, as the search calls the kernels.

Kept apart because numba compiles it on import.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import ENCODE, LEGAL_ACTIONS, OUTCOME, OWNERSHIP, PLAY, RESET, SCORE, compiled_for
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, Game

SHORTEST_S = 0.02
"""A measurement is repeated with more calls until it takes as long."""
LONGEST_PLIES = 100_000

_ROW = types.int64[::1]
_ROWS = types.int64[:, ::1]


@compiled_for(types.int64(RESET, _ROW, _ROW, types.int64))
def _time_reset(reset, state, parameters, rounds):
    for _ in range(rounds):
        reset(state, parameters)
    return rounds


@compiled_for(types.int64(LEGAL_ACTIONS, _ROWS, types.int32[::1], types.int64))
def _time_legal_actions(legal_actions, states, actions, rounds):
    for _ in range(rounds):
        for i in range(len(states)):
            legal_actions(states[i], actions)
    return rounds * len(states)


@compiled_for(types.int64(PLAY, _ROWS, _ROW, _ROW, types.int64))
def _time_play(play, states, actions, state, rounds):
    """Copying the row is in it: without, there would be nothing to play from."""
    for _ in range(rounds):
        for i in range(len(states)):
            state[:] = states[i]
            play(state, actions[i])
    return rounds * len(states)


@compiled_for(types.int64(OUTCOME, _ROWS, types.int64))
def _time_outcome(outcome, states, rounds):
    total = 0
    for _ in range(rounds):
        for i in range(len(states)):
            total += outcome(states[i])
    return rounds * len(states)


@compiled_for(types.int64(ENCODE, _ROWS, types.float32[:, :, ::1], types.int64))
def _time_encode(encode, states, planes, rounds):
    for _ in range(rounds):
        for i in range(len(states)):
            encode(states[i], planes)
    return rounds * len(states)


@compiled_for(types.int64(OWNERSHIP, _ROWS, types.int8[::1], types.int64))
def _time_ownership(ownership, states, owners, rounds):
    for _ in range(rounds):
        for i in range(len(states)):
            ownership(states[i], owners)
    return rounds * len(states)


@compiled_for(types.int64(SCORE, _ROWS, types.int64))
def _time_score(score, states, rounds):
    for _ in range(rounds):
        for i in range(len(states)):
            score(states[i])
    return rounds * len(states)


@compiled_for(
    types.int64(RESET, LEGAL_ACTIONS, PLAY, OUTCOME, _ROW, types.int64, types.int64, _ROW, types.int32[::1], _ROWS),
)
def _play_games(reset, legal_actions, play, outcome, parameters, seed, longest, state, actions, results):
    """Fills results[g] with a random game's plies, outcome, legal actions in all and most of them; returns plies."""
    np.random.seed(seed)
    total = 0
    for g in range(len(results)):
        reset(state, parameters)
        plies, legal, most = 0, 0, 0
        code = outcome(state)
        while code == ONGOING and plies < longest:
            count = legal_actions(state, actions)
            legal += count
            most = max(most, count)
            play(state, actions[np.random.randint(count)])
            plies += 1
            code = outcome(state)
        results[g, 0], results[g, 1], results[g, 2], results[g, 3] = plies, code, legal, most
        total += plies
    return total


def random_games(game: Game, count: int, seed: int) -> dict[str, Any]:
    """What `count` games of uniformly random moves are like, and how many moves a second they make."""
    rules = game.kernels
    results = np.zeros((count, 4), np.int64)
    start_s = time.perf_counter()
    plies = _play_games(
        *(rules.reset, rules.legal_actions, rules.play, rules.outcome, game.parameter_row()),
        *(seed & 0xFFFF_FFFF, min(game.max_plies, LONGEST_PLIES), np.zeros(game.state_size, np.int64)),
        *(np.zeros(game.max_legal, np.int32), results),
    )
    seconds = time.perf_counter() - start_s
    lengths, outcomes, legal, most = results.T
    return {
        "games": count,
        "plies_mean": float(lengths.mean()),
        "plies_max": int(lengths.max()),
        "legal_mean": float(legal.sum() / max(1, plies)),
        "legal_max": int(most.max()),
        "first_player_wins": float((outcomes == FIRST_WINS).mean()),
        "second_player_wins": float((outcomes == SECOND_WINS).mean()),
        "draws": float((outcomes == DRAW).mean()),
        "moves_per_second": round(plies / seconds),
    }


def kernel_times(
    game: Game, states: NDArray[np.int64], actions: NDArray[np.int64], finished: NDArray[np.int64]
) -> dict[str, float]:
    """Nanoseconds a call of each kernel, the mean over `states` [n, S], where actions [n] are legal.

    finished: games that are over [m, S], for ownership and score.
    """
    rules, row = game.kernels, np.zeros(game.state_size, np.int64)
    loops: dict[str, Callable[[int], int]] = {
        "reset": lambda rounds: _time_reset(rules.reset, row, game.parameter_row(), rounds * len(states)),
        "legal_actions": lambda rounds: _time_legal_actions(
            rules.legal_actions, states, np.zeros(game.max_legal, np.int32), rounds
        ),
        "play": lambda rounds: _time_play(rules.play, states, actions, row, rounds),
        "outcome": lambda rounds: _time_outcome(rules.outcome, states, rounds),
        "encode": lambda rounds: _time_encode(
            rules.encode, states, np.zeros((game.num_planes, *game.shape), np.float32), rounds
        ),
    }
    if game.has_ownership:
        owners = np.zeros(game.shape[0] * game.shape[1], np.int8)
        loops["ownership"] = lambda rounds: _time_ownership(rules.ownership, finished, owners, rounds)
    if game.has_score:
        loops["score"] = lambda rounds: _time_score(rules.score, finished, rounds)
    return {name: _nanoseconds(loop) for name, loop in loops.items()}


def _nanoseconds(loop: Callable[[int], int]) -> float:
    """The best of three measurements of `loop(rounds)`, which returns the calls it made."""
    rounds, best = 1, float("inf")
    measured = 0
    while measured < 3:
        start_s = time.perf_counter()
        calls = loop(rounds)
        seconds = time.perf_counter() - start_s
        if seconds < SHORTEST_S:
            rounds *= max(2, min(1000, int(1.2 * SHORTEST_S / max(seconds, 1e-6))))
            continue
        measured += 1
        best = min(best, 1e9 * seconds / calls)
    return round(best, 1)
