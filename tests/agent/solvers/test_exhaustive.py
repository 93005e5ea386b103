"""Solving by exhaustion, and finding the solver of a game."""

import functools
import shutil
from pathlib import Path

import pytest

from keima import games
from keima.agent.solvers import find_solver
from keima.agent.solvers.connect4 import Connect4Solver
from keima.agent.solvers.exhaustive import ExhaustiveSolver
from keima.games import load
from keima.games.contract import GameError
from keima.games.position import position_after

TAKE_AWAY = '''
"""Take one, two or three from a heap of seven. Who takes the last wins; who takes two moves again."""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import ONGOING, PLAYER, Game, kernel

LEFT, WINNER = 1, 2


@dataclass(frozen=True)
class TakeAway(Game):
    shape = (1, 7)
    num_planes = 1
    num_actions = 3
    state_size = 3
    max_plies = 7

    def board(self, state):
        return (np.arange(7) < state[LEFT]).astype(np.int64)[None]


@kernel
def reset(state, parameters):
    state[PLAYER] = 0
    state[LEFT] = 7
    state[WINNER] = ONGOING


@kernel
def legal_actions(state, actions):
    n = min(3, state[LEFT])
    for i in range(n):
        actions[i] = i
    return n


@kernel
def play(state, action):
    state[LEFT] -= action + 1
    if state[LEFT] == 0:
        state[WINNER] = state[PLAYER]
    if action != 1:
        state[PLAYER] = 1 - state[PLAYER]


@kernel
def outcome(state):
    return state[WINNER]


@kernel
def encode(state, planes):
    planes[:] = 0
'''


@functools.cache
def mover_wins(left: int) -> bool:
    """Whether the side to move wins TAKE_AWAY with that many left."""
    return any(
        taken == left or (mover_wins(left - taken) if taken == 2 else not mover_wins(left - taken))
        for taken in range(1, min(3, left) + 1)
    )


def test_tictactoe_has_5478_positions_and_is_a_draw():
    game = load("tictactoe")
    solver = ExhaustiveSolver(game)
    assert solver.scores(game.new_state()) == [(action, 0) for action in range(9)]
    assert solver.best_actions(game.new_state()) == list(range(9))
    assert solver.score(game.new_state()) == 0
    assert solver.positions == 5478


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ("a1", {"a2": -1, "a3": -1, "b1": -1, "b2": 0, "b3": -1, "c1": -1, "c2": -1, "c3": -1}),  # only the centre
        ("b2 a2 a1", {"a3": -1, "b1": -1, "b3": -1, "c1": -1, "c2": -1, "c3": -1}),  # two threats are coming
        ("a1 b2 a2 c3", {"a3": 1, "b1": 1, "b3": 0, "c1": 1, "c2": -1}),  # wins at once, by two threats, not at all
        ("a1 b1 a2 b2 a3", {}),  # won
    ],
)
def test_scores_are_those_of_the_side_to_move(moves: str, expected: dict[str, int]):
    position = position_after("tictactoe", moves.split())
    solver = ExhaustiveSolver(position.game)
    named = {position.game.action_to_text(position.state, a): s for a, s in solver.scores(position.state)}
    assert named == expected
    best = {position.game.action_to_text(position.state, a) for a in solver.best_actions(position.state)}
    assert best == {name for name, score in expected.items() if score == max(expected.values())}


def test_a_side_may_move_twice_in_a_row(tmp_path):
    path = tmp_path / "takeaway.py"
    path.write_text(TAKE_AWAY)
    game = load(str(path))
    solver = find_solver(game)
    assert isinstance(solver, ExhaustiveSolver)
    pending = [game.new_state()]
    while pending:
        state = pending.pop()
        left = int(state[1])
        expected = [
            (taken - 1, 1 if taken == left or mover_wins(left - taken) == (taken == 2) else -1)
            for taken in range(1, min(3, left) + 1)
        ]
        assert solver.scores(state) == expected
        pending += [game.after(state, action) for action, _ in expected]


def test_too_many_positions_are_refused_in_one_line():
    game = load("tictactoe")
    solver = ExhaustiveSolver(game, max_positions=1000)
    with pytest.raises(GameError, match="tictactoe: expected at most 1,000 positions to solve by exhaustion, got more"):
        solver.scores(game.new_state())
    nearly_over = position_after(game, ["a1", "b1", "a2", "b2"]).state
    assert ExhaustiveSolver(game, max_positions=1000).best_actions(nearly_over) == [
        game.text_to_action(nearly_over, "a3")
    ]


def test_solvers_are_found_by_the_game(tmp_path):
    assert isinstance(find_solver(load("connect4")), Connect4Solver)
    assert isinstance(find_solver(load("tictactoe")), ExhaustiveSolver)
    assert isinstance(find_solver(load("hex:3")), ExhaustiveSolver)
    assert find_solver(load("hex:4")) is None
    assert find_solver(load("othello")) is None
    # A file of that name may hold other rules.
    shutil.copy(Path(games.__file__).parent / "connect4.py", tmp_path)
    assert find_solver(load(str(tmp_path / "connect4.py"))) is None
