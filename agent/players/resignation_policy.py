"""When a player resigns: after several moves of its own in a row in which its chance of winning is too small."""

from keima.games.position import Position

HOPELESS_MOVES = 3
"""A player resigns once this many of its own moves in a row were hopeless."""


class ResignationPolicy:
    """Decides when one player resigns; it remembers the values of the player's moves so far."""

    def __init__(self, threshold: float) -> None:
        """threshold: the probability of winning below which a position is hopeless; 0 never gives up."""
        self._hopeless_value = 2 * threshold - 1
        self._threshold = threshold
        self._actions: list[int] = []
        self._values: dict[int, float] = {}  # of positions in which one had to move, by their plies
        self._asked = self._actions, self._values  # the same with the position that was asked about last

    @property
    def has_end(self) -> bool:
        return self._threshold > 0

    def is_over(self, position: Position, value: float | None) -> bool:
        """Whether this position, of this value in [-1, 1] for the side to move, is one hopeless move too many.

        `count` makes it one of them: a position that was only looked at is no move.
        """
        self._asked = self._actions, self._values
        if not self._threshold or value is None:
            return False
        actions = position.actions
        follows = actions[: len(self._actions)] == self._actions  # else another game, or moves taken back
        values = {**(self._values if follows else {}), len(actions): value}
        self._asked = actions.copy(), values
        movers = [*position.movers(), position.player]
        own = [ply for ply in sorted(values) if movers[ply] == position.player]
        last = own[-HOPELESS_MOVES:]
        return len(last) == HOPELESS_MOVES and all(values[ply] < self._hopeless_value for ply in last)

    def count(self) -> None:
        """A move is made in the position that `is_over` was asked about last."""
        self._actions, self._values = self._asked
