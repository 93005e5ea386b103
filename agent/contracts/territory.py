"""How a game is expected to end: whose each point will be, and by how much, for games with ownership and score.

    estimate = territory.estimate([position.state])[0]

A network's heads say it where there is a network (keima.agent.inference.net_territory), else random playouts
(keima.agent.go.playouts).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import Game


@dataclass(frozen=True, eq=False)
class Estimate:
    """How a game is expected to end, as the FIRST player sees it."""

    ownership: NDArray[np.float32]
    """Whose each cell will be, [H * W]: +1 the first player's, -1 the second's."""
    points: float
    """The first player's points less the second's."""
    deviation: float
    """Their standard deviation, in points."""


class Territory(Protocol):
    """Who can make estimates."""

    def estimate(self, states: Sequence[NDArray[np.int64]]) -> list[Estimate]:
        """One estimate for each state. A game that is over is counted as it stands."""
        ...


def as_it_stands(game: Game, state: NDArray[np.int64]) -> Estimate:
    """The count of a position as the rules have it."""
    owners = np.zeros(game.shape[0] * game.shape[1], np.int8)
    game.kernels.ownership(state, owners)
    return Estimate(owners.astype(np.float32), game.points(state), 0.0)
