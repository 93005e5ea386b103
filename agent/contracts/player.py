"""What a player is: one who is asked for moves, and may answer that it gives the game up."""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Resignation:
    """The answer of a player who gives the game up."""

    message: str
    """Who resigned, for the user and for records, as `GNU Go 3.8 resigned after 42 moves`."""


MoveResult = int | Resignation
"""What a player answers when it is asked for a move: an action, or a resignation."""


@runtime_checkable
class Player(Protocol):
    """One who chooses moves.

    A class that derives from it needs a `name` and `choose`; the other methods do nothing unless it says otherwise.
    """

    name: str
    """What it is called in tables and on screens."""

    def choose(self, position: Position) -> MoveResult:
        """The answer for the side to move; `position` is not over and is left as it is.

        Raises GameError where the game is over, and `keima.agent.engines.EngineError` where a program fails.
        """
        ...

    def begin_game(self, seed: int) -> None:
        """Tells the player that the next position is of a new game.

        `seed`: of what it draws in that game, for programs that can be told; players of ours are seeded when they are
        made.
        """
        return

    def close(self) -> None:
        """Ends what the player has started outside of the caller's thread, as a program. May be called twice."""
        return
