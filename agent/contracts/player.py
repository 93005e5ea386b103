"""What a player is: one who chooses actions, and perhaps says what he thinks of them."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import Game
from keima.games.position import Position

PlayerFor = Callable[[Game], "Player"]
"""Makes a player of a game: what engines need, whose board may change its size under way."""
Outcomes = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Planes [n, C, H, W] -> win, draw and loss of the side to move, [n, 3]; see
`keima.agent.inference.outcome_judge.OutcomeJudge`."""


@runtime_checkable
class Player(Protocol):
    """One who chooses actions."""

    name: str

    def choose(self, position: Position) -> int:
        """The action to play; `position` is not over and is left as it is."""
