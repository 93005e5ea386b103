"""GTP's time settings, and both sides' clocks: how long the next move may take."""

from keima.agent.contracts.clock import Clock, TimeControl, gtp_control, moves_to_come
from keima.agent.protocols.gtp.syntax import INTEGER, Command, GtpError, colour_of, exactly, seconds_of
from keima.games.position import Position

_KGS_NUMBERS = {"none": 0, "absolute": 1, "byoyomi": 3, "canadian": 3}
"""How many numbers follow each kind of kgs-time_settings."""


class Clocks:
    """Both sides' clocks under the time control that was set."""

    def __init__(self) -> None:
        self._control = TimeControl()
        self._is_told = False
        self.restart()

    def commands(self) -> dict[str, Command]:
        return {
            "time_settings": self._time_settings,
            "kgs-time_settings": self._kgs_time_settings,
            "time_left": self._time_left,
        }

    def restart(self) -> None:
        """Both clocks as at a game's beginning."""
        self._clocks = [Clock(self._control), Clock(self._control)]

    def share_s(self, position: Position) -> float | None:
        """How long the side to move should take; None where nothing limits it."""
        return self._clocks[position.player].share_s(moves_to_come(position.game, len(position.actions)))

    def spend(self, colour: int, seconds: float) -> None:
        """Tells a side's clock how long its move took."""
        self._clocks[colour].spend(seconds)

    def _set(self, control: TimeControl) -> None:
        self._control, self._is_told = control, True
        self.restart()

    def _time_settings(self, arguments: list[str]) -> str:
        main_s, period_s = map(seconds_of, exactly(3, arguments)[:2])
        if not INTEGER.fullmatch(arguments[2]):
            raise GtpError("syntax error")
        self._set(gtp_control(main_s, period_s, int(arguments[2])))
        return ""

    def _kgs_time_settings(self, arguments: list[str]) -> str:
        """`none`, `absolute MAIN`, `byoyomi MAIN PERIOD PERIODS`, `canadian MAIN PERIOD STONES`."""
        kind, numbers = exactly(1, arguments)[0].lower(), arguments[1:]
        if kind not in _KGS_NUMBERS:
            raise GtpError("syntax error")
        count = _KGS_NUMBERS[kind]
        main_s, period_s = [*map(seconds_of, exactly(count, numbers)[:2]), 0.0, 0.0][:2]
        if count == 3 and not INTEGER.fullmatch(numbers[2]):
            raise GtpError("syntax error")
        if kind == "none":
            self._set(TimeControl())
        elif kind == "canadian":
            self._set(gtp_control(main_s, period_s, int(numbers[2])))
        else:  # an absolute time is one without periods
            periods = int(numbers[2]) if kind == "byoyomi" else 0
            self._set(TimeControl(kind, main_s, period_s, periods=periods))
        return ""

    def _time_left(self, arguments: list[str]) -> str:
        """Less than nothing is left where a side is late, which is no more than nothing. Where no settings were told
        it is as if they had been of what is left."""
        colour, left, stones = exactly(3, arguments)
        number, seconds = colour_of(colour), seconds_of(left.removeprefix("-"))
        if left.startswith("-"):
            seconds = 0.0
        if not INTEGER.fullmatch(stones):
            raise GtpError("syntax error")
        if not self._is_told:
            main_s, period_s = (0.0, seconds) if int(stones) else (seconds, 0.0)
            self._clocks[number] = Clock(gtp_control(main_s, period_s, int(stones)))
        self._clocks[number].set_left(seconds, int(stones))
        return ""
