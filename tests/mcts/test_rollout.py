"""Random playouts against the exact chances of random play."""

from collections import Counter
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from keima import games
from keima.games.contract import DRAW, ONGOING, PLAYER
from keima.games.position import position_after
from keima.mcts.rollout import RolloutEvaluator

tictactoe = games.load("tictactoe")


@cache
def chances(player, x, o):
    """The chances of X winning, O winning and a draw when both sides play at random."""
    state = np.array([player, x, o])
    result = tictactoe.outcome(state)
    if result != ONGOING:
        return tuple(Fraction(result == code) for code in (0, 1, DRAW))
    below = [chances(*tictactoe.after(state, a).tolist()) for a in tictactoe.legal(state)]
    return tuple(sum(part) / len(below) for part in zip(*below, strict=True))


def test_the_twin_is_right():
    assert [float(c) for c in chances(0, 0, 0)] == pytest.approx([0.58492, 0.28810, 0.12698], abs=1e-5)


@pytest.mark.parametrize("moves", [[], ["b2"], ["a1", "b2"], ["a1", "b1", "b2"], ["b2", "a2", "a1", "c3"]])
def test_values_follow_the_exact_chances(moves):
    state = position_after("tictactoe", moves).state
    x, o, draw = (float(chance) for chance in chances(*state.tolist()))
    mine, theirs = (x, o) if state[PLAYER] == 0 else (o, x)
    _, values = RolloutEvaluator(tictactoe, seed=1)(np.tile(state, (20_000, 1)))
    shares = {value: count / 20_000 for value, count in Counter(values.tolist()).items()}
    assert set(shares) <= {-1.0, 0.0, 1.0}
    for value, chance in ((1.0, mine), (0.0, draw), (-1.0, theirs)):
        assert shares.get(value, 0) == pytest.approx(chance, abs=0.015)


def test_values_are_seen_by_the_side_to_move():
    """X threatens twice over and cannot lose; O, to move, sees that as bad."""
    for moves, sign in ((["a1", "b1", "a2", "b3"], 1), (["a1", "b1", "a2", "b3", "c3"], -1)):
        state = position_after("tictactoe", moves).state
        _, values = RolloutEvaluator(tictactoe)(np.tile(state, (500, 1)))
        assert np.sign(values.mean()) == sign


def test_finished_games_have_their_result():
    won = position_after("tictactoe", ["a1", "a2", "b1", "b2", "c1"]).state  # X has won, O is to move
    drawn = position_after("tictactoe", ["a1", "b2", "c3", "b1", "b3", "a3", "c1", "c2", "a2"]).state
    _, values = RolloutEvaluator(tictactoe)(np.stack([won, drawn]))
    assert values.tolist() == [-1, 0]


def test_every_position_is_played_out_by_itself():
    """Between positions that are over, one that is not: its neighbours keep their results."""
    won = position_after("tictactoe", ["a1", "a2", "b1", "b2", "c1"]).state
    states = np.stack([won, tictactoe.new_state()] * 200)
    _, values = RolloutEvaluator(tictactoe, seed=3)(states)
    assert (values[::2] == -1).all()
    assert len(set(values[1::2].tolist())) == 3


@pytest.mark.parametrize("name", [*games.names(), "othello:4", "gomoku:5,win=4"])
def test_answers_for_every_game(name):
    game = games.load(name)
    states = np.tile(game.new_state(), (40, 1))
    kept = states.copy()
    logits, values = RolloutEvaluator(game, seed=2)(states)
    assert (logits.shape, logits.dtype) == ((40, game.num_actions), np.float32)
    assert (values.shape, values.dtype) == ((40,), np.float32)
    assert not logits.any()
    assert set(values.tolist()) <= {-1.0, 0.0, 1.0}
    assert len(set(values.tolist())) > 1
    np.testing.assert_array_equal(states, kept)


def test_one_seed_one_series():
    states = np.tile(tictactoe.new_state(), (100, 1))

    def series(seed):
        evaluator = RolloutEvaluator(tictactoe, seed)
        return [evaluator(states)[1].tolist() for _ in range(3)]

    assert series(1) == series(1) != series(2)
    assert len({tuple(values) for values in series(1)}) == 3  # it goes on, it does not repeat itself


def test_asks_for_states():
    assert RolloutEvaluator.needs_states
