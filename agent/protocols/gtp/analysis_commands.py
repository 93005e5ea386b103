"""GTP's commands that tell of a search while it goes on, as Leela Zero and KataGo have them."""

from collections.abc import Callable
from typing import Literal

from keima.agent.contracts.thinking import InfoCallback, Limit, SearchInfo, Thinker
from keima.agent.protocols.gtp.analysis_formats import AnalysisRequest, Judge, analysis_line, parse_request, permitted
from keima.agent.protocols.gtp.board_setup import BoardSetup
from keima.agent.protocols.gtp.input_lines import Lines
from keima.agent.protocols.gtp.move_commands import Mover, name_of
from keima.agent.protocols.gtp.syntax import COLOURS, GtpError, Write, response
from keima.games.contract import GameError
from keima.games.position import Position

ANALYSIS_S = 24 * 3600.0
"""How long an analysis lasts that nobody ends, in seconds; a tree that is full ends it sooner."""
Dialect = Literal["lz", "kata"]


class Streams:
    """lz-analyze, kata-analyze and their kin."""

    def __init__(self, table: BoardSetup, mover: Mover, log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._table, self._mover, self._log = table, mover, log
        self._now = clock
        self._commands: dict[str, Callable[[list[str], Callable[[], None], Write, Lines], None]] = {
            "lz-analyze": lambda *rest: self._analyze("lz", *rest),
            "kata-analyze": lambda *rest: self._analyze("kata", *rest),
            "lz-genmove_analyze": lambda *rest: self._move_analyze("lz", self._mover.move, *rest),
            "kata-genmove_analyze": lambda *rest: self._move_analyze("kata", self._mover.move, *rest),
            "kata-search_analyze": lambda *rest: self._move_analyze("kata", self._mover.advice, *rest),
        }

    def names(self) -> list[str]:
        """The commands that there are with this player."""
        return list(self._commands) if isinstance(self._table.player, Thinker) else []

    def knows(self, name: str) -> bool:
        return name in self._commands

    def answer(self, number: str, name: str, arguments: list[str], write: Write, lines: Lines) -> None:
        """Answers a command: the sign and the number first, an empty line at the end."""
        is_begun = False

        def begin() -> None:
            nonlocal is_begun
            if not is_begun:
                write(f"={number}\n")
            is_begun = True

        try:
            self._commands[name](arguments, begin, write, lines)
        except (GtpError, GameError) as error:
            if not is_begun:
                write(response("?", number, str(error)))
                return
            self._log(f"{name}: {error}")
        write("\n")

    def _analyze(
        self, dialect: Dialect, arguments: list[str], begin: Callable[[], None], write: Write, lines: Lines
    ) -> None:
        """Thinks until another line comes, and tells of it every so often."""
        colour, request = self._request(dialect, arguments)
        position, player = self._mover.turned(colour), self._thinker()
        limit = Limit(seconds=ANALYSIS_S, actions=_only(request, position))
        begin()
        report = self._reporter(request, position, write)
        report(player.think(position, limit, should_stop=lines.is_ready, report=report), last=True)
        lines.wait()

    def _move_analyze(
        self,
        dialect: Dialect,
        move: Callable[[int, InfoCallback, frozenset[int] | None], str],
        arguments: list[str],
        begin: Callable[[], None],
        write: Write,
        lines: Lines,
    ) -> None:
        """Makes a move as `genmove` does, or finds one as `reg_genmove` does, and tells of it every so often."""
        colour, request = self._request(dialect, arguments)
        position, only = self._table.position, None
        if not position.is_over:
            position = self._mover.turned(colour)
            only = _only(request, position)
        self._thinker()
        begin()
        report, latest = self._reporter(request, position, write), list[SearchInfo]()

        def watch(info: SearchInfo) -> None:
            latest[:] = [info]
            report(info)

        name = move(colour, watch, only)
        for info in latest:
            report(info, last=True)
        write(f"play {name}\n")

    def _request(self, dialect: Dialect, arguments: list[str]) -> tuple[int, AnalysisRequest]:
        """The colour, by default the one to move, and what is asked for."""
        colour = self._table.position.player
        if arguments and arguments[0].lower() in COLOURS:
            colour = COLOURS[arguments[0].lower()]
            arguments = arguments[1:]
        try:
            return colour, parse_request(dialect, arguments)
        except ValueError as error:
            raise GtpError(str(error)) from None

    def _thinker(self) -> Thinker:
        if not isinstance(self._table.player, Thinker):
            raise GtpError(f"{self._table.player.name} has nothing to tell of its moves")
        return self._table.player

    def _reporter(self, request: AnalysisRequest, position: Position, write: Write) -> Callable[..., None]:
        """What writes thoughts where the interval is over, and the `last` ones unless they were written.

        Nothing is written before a move was tried: interfaces divide by the visits of all.
        """
        position, game = position.copy(), position.game
        territory = self._thinker().territory
        judge: Judge | None = None if territory is None else territory.estimate
        written: tuple[float, SearchInfo] | None = None

        def report(info: SearchInfo, last: bool = False) -> None:
            nonlocal written
            now_s = self._now()
            if written is not None:
                is_due, told = now_s - written[0] >= request.interval_s or last, written[1]
                is_new = (told.visits, told.variations[0].action) != (info.visits, info.variations[0].action)
                if not (is_due and is_new):
                    return
            if line := analysis_line(request, position, info, lambda move: name_of(game, move), judge):
                written = now_s, info
                write(line + "\n")

        return report


def _only(request: AnalysisRequest, position: Position) -> frozenset[int] | None:
    """The actions that a request leaves to the side to move; None: all."""
    try:
        return permitted(request, position)
    except ValueError as error:
        raise GtpError(str(error)) from None
