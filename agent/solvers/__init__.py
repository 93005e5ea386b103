"""Exact solvers, found by the name of their game: `solvers/connect4.py` solves `games/connect4.py`.

Games that end after a few moves need no solver of their own: they are solved by exhaustion.
"""

import importlib
import importlib.util
from typing import Protocol

from keima.games.contract import Game, State

EXHAUSTIBLE_PLIES = 9
"""Games at most this long are solved by exhaustion."""


class Solver(Protocol):
    """Knows the exact result of every position of its game."""

    def scores(self, state: State) -> list[tuple[int, int]]:
        """Every legal action with its score from the side to move's point of view; nothing when the game is over.

        A larger score is better; it is positive for a win, 0 for a draw, negative for a loss.
        """
        ...

    def best_actions(self, state: State) -> list[int]:
        """Every legal action with the best score; none when the game is over."""
        ...


def find_solver(game: Game) -> Solver | None:
    """The solver of a game, or None where there is none.

    A module here named after a shipped game has a function `make_solver(game)`, which may return None too: for
    rules that it does not know.
    """
    if game.source == game.name and importlib.util.find_spec(f"{__name__}.{game.name}"):
        solver: Solver | None = importlib.import_module(f"{__name__}.{game.name}").make_solver(game)
        return solver
    if game.max_plies <= EXHAUSTIBLE_PLIES:
        from keima.agent.solvers.exhaustive import ExhaustiveSolver

        return ExhaustiveSolver(game)
    return None
