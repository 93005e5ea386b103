"""How a game is expected to end: whose each point will be, and by how much, for games with ownership and score.

    estimate = territory.estimate([position.state])[0]

A network's heads say it where there is a network; else random playouts, see `keima.agent.go.playouts`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import ONGOING, PLAYER, Game

if TYPE_CHECKING:
    from keima.agent.nets.network import Network

LOGISTIC_DEVIATION = math.pi / math.sqrt(3)
"""A logistic distribution's standard deviation over its scale."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """How a game is expected to end, as the FIRST player sees it."""

    ownership: NDArray[np.float32]
    """Whose each cell will be, [H * W]: +1 the first player's, -1 the second's."""
    points: float
    """His points less the other's."""
    deviation: float
    """Their standard deviation, in points."""


class Territory(Protocol):
    """Who can make estimates."""

    def estimate(self, states: Sequence[NDArray[np.int64]]) -> list[Estimate]:
        """One for each state. A game that is over is as it stands, which is no estimate."""


class NetTerritory:
    """A network's ownership and score heads, in float32."""

    def __init__(self, game: Game, network: "Network") -> None:
        """Raises ValueError for a network without these heads."""
        if network.ownership is None or not game.has_score:
            raise ValueError("a network without ownership and score")
        self._game = game
        self._network = network.for_inference().cpu().float()

    def estimate(self, states: Sequence[NDArray[np.int64]]) -> list[Estimate]:
        """See `Territory`."""
        import torch

        planes = torch.from_numpy(np.stack([self._game.planes(state) for state in states]))
        threads = torch.get_num_threads()
        # A few positions, on a machine that may be busy: threads would wait for each other longer than they compute.
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                said = self._network(planes)
        finally:
            torch.set_num_threads(threads)
        unit = self._game.score_unit / self._game.score_per_point
        estimates = []
        for k, state in enumerate(states):
            sign = 1 if state[PLAYER] == 0 else -1
            deviation = float(said.score_spread[k]) * unit * LOGISTIC_DEVIATION
            found = Estimate(sign * said.ownership[k].numpy(), sign * float(said.score[k]) * unit, deviation)
            estimates.append(found if self._game.outcome(state) == ONGOING else as_it_stands(self._game, state))
        return estimates


def as_it_stands(game: Game, state: NDArray[np.int64]) -> Estimate:
    """The count of a position as the rules have it."""
    owners = np.zeros(game.shape[0] * game.shape[1], np.int8)
    game.kernels.ownership(state, owners)
    return Estimate(owners.astype(np.float32), game.points(state), 0.0)
