"""How a network expects games to end, by its ownership and score heads."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from keima.agent.contracts.territory import Estimate, as_it_stands
from keima.agent.nets.network import Network
from keima.games.contract import ONGOING, PLAYER, Game

LOGISTIC_DEVIATION = math.pi / math.sqrt(3)
"""A logistic distribution's standard deviation over its scale."""


class NetTerritory:
    """A network's ownership and score heads, in float32."""

    def __init__(self, game: Game, network: Network) -> None:
        """Raises ValueError for a network without these heads."""
        if network.ownership is None or not game.has_score:
            raise ValueError("a network without ownership and score")
        self._game = game
        self._network = network.for_inference().cpu().float()

    def estimate(self, states: Sequence[NDArray[np.int64]]) -> list[Estimate]:
        """See `keima.agent.contracts.territory.Territory`."""
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
