"""What a player is: one who chooses actions, and perhaps says what he thinks of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import Game
from keima.games.position import Position

if TYPE_CHECKING:
    pass

PlayerFor = Callable[[Game], "Player"]
"""Makes a player of a game: what engines need, whose board may change its size under way."""
Outcomes = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Planes [n, C, H, W] -> win, draw and loss of the side to move, [n, 3]; see
`keima.agent.inference.outcome_judge.OutcomeJudge`."""


@dataclass(frozen=True)
class Candidate:
    """What a player thinks of one action."""

    action: int
    visits: int  # how often the search tried it; 0 for a player that does not search
    value: float | None  # in [-1, 1] for the side to move; None where nothing is known
    prior: float  # the probability that the policy gives it before any search


@runtime_checkable
class Player(Protocol):
    """One who chooses actions."""

    name: str

    def choose(self, position: Position) -> int:
        """The action to play; `position` is not over and is left as it is."""


@runtime_checkable
class Analyst(Player, Protocol):
    """A player who can say why."""

    def analyse(self, position: Position) -> list[Candidate]:
        """The legal actions, best first."""
