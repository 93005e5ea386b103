"""What judges positions for a search: planes in, policy logits and values out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keima.agent.nets.network import Network
from keima.games.contract import GameError
from keima.mcts.evaluator import Evaluate

NOT_NUMBERS = "the network's answers are not numbers: its training failed, or its input is wrong"


class Evaluator(Evaluate, Protocol):
    """A network that judges positions. Holds its own copy of the network's weights."""

    backend: str
    """Which of BACKENDS it is."""

    def update(self, network: Network) -> None:
        """Takes over a network's weights as they are now; its sizes may differ from those before."""
        ...

    def __call__(self, planes: NDArray[np.float32], /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Planes float32 [n, C, H, W] -> logits float32 [n, A], values float32 [n] in [-1, 1] of the side to move.

        Values are those of Network.judge.

        Raises GameError where the network gives something that is not a number.
        """
        ...


def checked(
    logits: NDArray[np.float32], values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An evaluator's answers as they are. Raises GameError where one is not a number."""
    # A sum is not finite if any term is not, and takes no memory. A search would follow NaN nowhere and not come back.
    with np.errstate(all="ignore"):  # what numpy would warn of is what is asked here
        are_finite = np.isfinite(logits.sum()) and np.isfinite(values.sum())
    if not are_finite:
        raise GameError(NOT_NUMBERS)
    return logits, values
