"""A network for batches of all sizes: each batch is padded to one of a few sizes, and each size has a graph of its own.

Where several networks share the tables, every batch has another size. A graph for any size runs at half the speed then
(OpenVINO, 8 bits, Connect Four: 14,000 evaluations a second against 27,000), and in 8 bits its answers differ in the
last bits from those of a graph for one size. Graphs for one size agree, whatever the size is. So a position's
evaluation does not depend on what else is in its batch, nor a game on the games beside it.
"""

import numpy as np
from numpy.typing import NDArray

from keima.agent.inference.evaluator import Evaluator
from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.network import Network
from keima.games.contract import Game
from keima.mcts.evaluator import Evaluate

SIZES = (8, 32, 64, 128, 256, 512, 1024)
FULL_ENOUGH = 0.75
"""A batch this full is filled up to the next size; a smaller one is cut, and the rest comes with the next."""


class SizedEvaluator(Evaluate):
    """A network on one backend; see the module's docstring. Graphs are made when they are first needed."""

    def __init__(self, game: Game, network: Network, backend: str) -> None:
        self.backend = backend
        self._game = game
        self._network = network
        self.score_weight = network.score_weight
        self._evaluators: dict[int, Evaluator] = {}

    def batch_of(self, waiting: int) -> int:
        """How many of the waiting positions the next batch should have."""
        size = self._size(waiting)
        return waiting if waiting >= FULL_ENOUGH * size or size == SIZES[0] else SIZES[SIZES.index(size) - 1]

    def __call__(self, planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `keima.agent.inference.evaluator.Evaluator`."""
        count, size = len(planes), self._size(len(planes))
        if size not in self._evaluators:
            self._evaluators[size] = make_evaluator(self._game, self._network, self.backend, size)
        if count < size:
            filled = np.zeros((size, *planes.shape[1:]), np.float32)
            filled[:count] = planes
            planes = filled
        logits, values = self._evaluators[size](planes)
        return logits[:count], values[:count]

    @staticmethod
    def _size(count: int) -> int:
        """The smallest size for so many positions; their own number where there are more than in any."""
        return next((size for size in SIZES if size >= count), count)
