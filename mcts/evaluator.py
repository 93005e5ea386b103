"""What judges the leaves of a search: planes in, policy logits and values out."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Judge = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Planes [n, C, H, W] -> logits [n, num_actions], values [n] in [-1, 1] of the side to move."""


class Evaluate(Protocol):
    """What judges positions for a search.

    A class that derives from it needs `__call__`; the rest says what it needs and can do, where that is not the usual.
    """

    needs_states: bool = False
    """Whether it is handed state rows int64 [n, state_size] in place of planes."""
    score_weight: float = 0.0
    """How much of its values is the score; see keima.mcts.search."""

    def __call__(self, planes: NDArray[np.float32], /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Planes [n, C, H, W] -> logits [n, num_actions], values [n] in [-1, 1] of the side to move."""
        ...

    def batch_of(self, waiting: int) -> int:
        """How many of the positions that wait it had best be asked about at once: 1 to `waiting`."""
        return waiting
