"""Players without a search or a network: at random, and by an exact solver."""

import copy
from typing import TYPE_CHECKING, Self

import numpy as np

from keima.agent.contracts.player import Player
from keima.agent.players.move_choice import legal_actions
from keima.games.position import Position

if TYPE_CHECKING:
    from keima.agent.solvers import Solver


class RandomPlayer(Player):
    """Plays any legal action, each as likely."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)

    def choose(self, position: Position) -> int:
        """See `keima.agent.contracts.player.Player`."""
        return int(self._random.choice(legal_actions(position)))


class ExactPlayer(Player):
    """Plays by a solver: always an action with the best score there is, any of several as likely.

    Connect Four's scores say how soon, too: it wins as early as it can, and loses as late.
    """

    name = "exact"

    def __init__(self, solver: "Solver", seed: int = 0) -> None:
        self._solver = solver
        self._random = np.random.default_rng(seed)

    def choose(self, position: Position) -> int:
        """See `keima.agent.contracts.player.Player`."""
        legal_actions(position)
        return int(self._random.choice(self._solver.best_actions(position.state)))

    def seeded(self, seed: int) -> Self:
        """The same player with chance of its own. Both use one solver: they are for one thread."""
        player = copy.copy(self)
        player._random = np.random.default_rng(seed)
        return player
