"""The clock of one side in a game: what is left, and how much of it a move should take.

Four kinds of time control, as the Go Text Protocol and its extension for the Kiseido Go Server have them: none;
absolute, a time for the whole game; Canadian, after that a time for every so many moves; Japanese (`byoyomi`), after
that a time for each move, and so many of these that may be used up.
"""

from dataclasses import dataclass

from keima.games.contract import Game

LATENCY_S = 0.1
"""What a move takes beside thinking, in seconds: the batch of evaluations under way, messages, a busy machine."""
SAFE_SHARE = 0.8
"""Of what must not be exceeded a move takes at most this share."""
FEWEST_MOVES = 8
"""So many moves are always thought to be still to come: the time left shrinks, and is never all spent."""
LEAST_S = 0.001
"""Time for a single evaluation, where there is none left: the move has to be made."""


@dataclass(frozen=True)
class TimeControl:
    """How long a side may think; seconds."""

    kind: str = "none"
    """`none`, `absolute`, `canadian` or `byoyomi`."""
    main_s: float = 0.0
    period_s: float = 0.0
    stones: int = 0
    """Canadian: the moves in a period."""
    periods: int = 0
    """Japanese: how many periods there are; one is used up by a move that takes longer than it."""


def gtp_control(main_s: float, period_s: float, stones: int) -> TimeControl:
    """What GTP's time_settings mean: a period without moves is no limit at all, no period an absolute limit."""
    if period_s > 0 and stones == 0:
        return TimeControl()
    if period_s == 0:
        return TimeControl("absolute", main_s)
    return TimeControl("canadian", main_s, period_s, stones)


class Clock:
    """One side's clock. It runs by what it is told: how long each move took, and what others say is left."""

    def __init__(self, control: TimeControl) -> None:
        self._control = control
        self._main_s = control.main_s
        self._period_s = control.period_s  # left of the period under way
        self._stones = control.stones  # moves still to make in it
        self._periods = control.periods

    def set_left(self, seconds: float, stones: int) -> None:
        """What is left: of the main time where `stones` is 0, else of a period.

        `stones`: moves still to make in it or, in Japanese time, the periods left, this one among them.
        """
        if stones == 0:
            self._main_s = seconds
            self._period_s, self._stones = self._control.period_s, self._control.stones
            return
        self._main_s, self._period_s = 0.0, seconds
        if self._control.kind == "byoyomi":
            self._periods = stones
        else:
            self._stones = stones

    def spend(self, seconds: float) -> None:
        """Tells the clock how long a move took."""
        from_main_s = min(seconds, self._main_s)
        self._main_s -= from_main_s
        beyond_s = seconds - from_main_s
        if self._main_s > 0 or self._control.kind in ("none", "absolute"):
            return
        if self._control.kind == "canadian":
            self._period_s -= beyond_s
            self._stones -= 1 if beyond_s > 0 else 0
            if self._stones <= 0:
                self._period_s, self._stones = self._control.period_s, self._control.stones
        elif self._control.period_s > 0:
            self._periods = max(1, self._periods - int(beyond_s // self._control.period_s))
            self._period_s = self._control.period_s

    def share_s(self, moves_to_come: int) -> float | None:
        """How long the next move should take, of `moves_to_come` by this side; None where nothing limits it.

        Less than may be taken without losing on time.
        """
        kind = self._control.kind
        if kind == "none":
            return None
        moves = max(moves_to_come, FEWEST_MOVES)
        from_main_s = self._main_s / moves
        if kind == "absolute":
            return _less_latency(from_main_s)
        per_move_s = self._period_s / max(self._stones, 1) if kind == "canadian" else self._period_s
        return _less_latency(from_main_s + per_move_s * SAFE_SHARE)


def _less_latency(seconds: float) -> float:
    """What is left for thinking; in hasty games half of what there is."""
    return max(seconds - LATENCY_S, seconds / 2, LEAST_S)


def moves_to_come(game: Game, plies: int) -> int:
    """A guess at how many moves a side has still to make after `plies`: a game lasts about as long as its board is
    large, and never longer than the rules allow."""
    height, width = game.shape
    return max(1, min(height * width - plies, game.max_plies - plies + 1) // 2)
