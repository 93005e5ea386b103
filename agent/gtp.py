"""The Go Text Protocol, version 2, for every game in the game's own notation: lines in, lines out, no I/O in here.

    engine = GtpEngine(game, player_for)
    engine.handle("1 genmove b")  ->  "=1 4\\n\\n"

GTP's colours mean who moves first: `black` (or `b`) is the game's first player, whatever the game calls him. Moves
alternate as the rules say, so a colour that is not to move is refused. Specification: Gunnar Farnebäck, "GTP Version
2, draft 2" (2002); sections are cited below. Beyond it: Leela Zero's and KataGo's analysis (see `agent.gtp_analysis`),
and the time settings of the Kiseido Go Server.
"""

import contextlib
import importlib.metadata
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from agent.clock import Clock, TimeControl, gtp_control, moves_to_come
from agent.gtp_analysis import AnalysisRequest, analysis_line, parse_request
from agent.gtp_lines import Lines
from agent.gtp_table import Table, black_points, is_empty
from agent.players import PlayerFor
from agent.thinking import Limit, Report, Thinker, Thoughts
from games.contract import DRAW, FIRST_WINS, ONGOING, Game, GameError
from games.position import Position

COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
COLOUR_NAMES = ("black", "white")
ANALYSIS_S = 24 * 3600.0
"""How long an analysis lasts that nobody ends, in seconds; a tree that is full ends it sooner."""
_KGS_NUMBERS = {"none": 0, "absolute": 1, "byoyomi": 3, "canadian": 3}
"""How many numbers follow each kind of kgs-time_settings."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_INTEGER = re.compile(r"[0-9]{1,9}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)

Write = Callable[[str], Any]


class GtpError(Exception):
    """A command fails; the message is the protocol's, after the question mark."""


class _NoLines:
    """Where nothing else comes: an analysis ends with its first report."""

    def next(self) -> str | None:
        return None

    def wait(self) -> None:
        pass

    def is_ready(self) -> bool:
        return True


class GtpEngine:
    """One game played by one player over GTP."""

    def __init__(
        self,
        game: Game,
        player_for: PlayerFor,
        *,
        simulations: int | None = None,
        seconds: float | None = None,
        log: Write = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`player_for` is called once here, and again where a command makes it another game, as `boardsize` does.

        `simulations`, `seconds`: what a move may cost at most, whatever the time settings allow. `log` is told what
        went wrong where the protocol has no place for it.
        """
        self._table = Table(game, player_for)
        self._simulations, self._seconds = simulations, seconds
        self._log = log
        self._now = clock
        self._control = TimeControl()
        self._clocks = [Clock(self._control), Clock(self._control)]
        self.finished = False
        """Whether `quit` was received."""
        self._commands: dict[str, Callable[[list[str]], str]] = {
            "protocol_version": lambda _: "2",
            "name": lambda _: "Keima",
            "version": lambda _: importlib.metadata.version("keima"),
            "known_command": self._known_command,
            "list_commands": lambda _: "\n".join(self._names()),
            "quit": self._quit,
            "boardsize": self._boardsize,
            "clear_board": self._clear_board,
            "komi": self._komi,
            "play": self._play,
            "genmove": self._genmove,
            "reg_genmove": self._reg_genmove,
            "undo": self._undo,
            "showboard": lambda _: self._showboard(),
            "final_score": lambda _: self._final_score(),
            "time_settings": self._time_settings,
            "kgs-time_settings": self._kgs_time_settings,
            "time_left": self._time_left,
        }
        self._handicap_commands = {
            "fixed_handicap": self._fixed_handicap,
            "place_free_handicap": self._place_free_handicap,
            "set_free_handicap": self._set_free_handicap,
        }
        self._sgf_commands = {"loadsgf": self._loadsgf, "printsgf": self._printsgf}
        self._streams: dict[str, Callable[[list[str], Callable[[Write], None], Write, Lines], None]] = {
            "lz-analyze": lambda *rest: self._analyze("lz", *rest),
            "kata-analyze": lambda *rest: self._analyze("kata", *rest),
            "lz-genmove_analyze": lambda *rest: self._genmove_analyze("lz", *rest),
            "kata-genmove_analyze": lambda *rest: self._genmove_analyze("kata", *rest),
        }

    @property
    def position(self) -> Position:
        """The position on the board; not to be changed."""
        return self._table.position

    def handle(self, line: str) -> str | None:
        """The response to one line, ready to be written; None where the protocol asks for none (an empty line).

        An analysis ends with its first report; see `respond`.
        """
        parts: list[str] = []
        self.respond(line, parts.append, _NoLines())
        return "".join(parts) or None

    def respond(self, line: str, write: Write, lines: Lines) -> None:
        """Writes the response to one line. Of what is told under way each piece is written as it comes, and the rest
        once `lines` has another line."""
        words = _words(line)
        if not words:
            return
        number = ""
        if _INTEGER.fullmatch(words[0]):
            number = words.pop(0)
        if words and words[0] in self._streams:
            self._stream(number, words[0], words[1:], write, lines)
            return
        try:
            if not words:
                raise GtpError("syntax error")
            command = self._known().get(words[0])
            if command is None:
                raise GtpError("unknown command")
            write(_response("=", number, command(words[1:])))
        except (GtpError, GameError) as error:
            write(_response("?", number, str(error)))

    def close(self) -> None:
        """Ends what players may have started, other programs for one."""
        self._table.close()

    def _known(self) -> dict[str, Callable[[list[str]], str]]:
        """The commands that there are for this game, those apart that tell as they go."""
        known = dict(self._commands)
        known |= self._handicap_commands if self._table.has_handicap else {}
        known |= self._sgf_commands if self._table.has_sgf else {}
        return known

    def _names(self) -> list[str]:
        return [*self._known(), *(self._streams if isinstance(self._table.player, Thinker) else ())]

    # --- administration, section 6.3.1

    def _known_command(self, arguments: list[str]) -> str:
        (name,) = _exactly(1, arguments)
        return "true" if name in self._names() else "false"

    def _quit(self, arguments: list[str]) -> str:
        self.finished = True
        return ""

    # --- setup, section 6.3.2

    def _boardsize(self, arguments: list[str]) -> str:
        """Clears the board, too. A game without a size takes its own number of columns only."""
        (text,) = _exactly(1, arguments)
        if not _INTEGER.fullmatch(text):
            raise GtpError("boardsize not an integer")
        with _refused("unacceptable size"):
            self._table.resize(int(text))
        self._set_control(self._control)
        return ""

    def _clear_board(self, arguments: list[str]) -> str:
        self._table.begin()
        self._set_control(self._control)
        return ""

    def _komi(self, arguments: list[str]) -> str:
        """Accepted by every game, as the protocol asks; obeyed, moves kept, by one that has a komi."""
        (text,) = _exactly(1, arguments)
        komi = _number(text)
        with _refused("unacceptable komi"):
            self._table.set_komi(komi)
        return ""

    # --- core play, section 6.3.3

    def _play(self, arguments: list[str]) -> str:
        if len(arguments) < 2:
            raise GtpError("syntax error")
        colour, move = _colour(arguments[0]), " ".join(arguments[1:]).lower()
        if self.position.is_over:
            if move in ("pass", "resign"):  # controllers hand one engine's answer after the end to the other
                return ""
            raise GtpError("illegal move")
        self._expect_turn(colour, "illegal move: ")
        self.position.play(self._action(move))
        return ""

    def _action(self, move: str) -> int:
        """The legal action that a move names. Raises GtpError."""
        try:
            return self.position.game.text_to_action(self.position.state, move)
        except GameError:
            raise GtpError("illegal move" if self._names_a_move(move) else "invalid color or coordinate") from None

    def _genmove(self, arguments: list[str]) -> str:
        (text,) = _exactly(1, arguments)
        return self._moved(_colour(text), None)

    def _reg_genmove(self, arguments: list[str]) -> str:
        """Outside of games, so clocks do not run; see section 6.3.5."""
        (text,) = _exactly(1, arguments)
        colour, position = _colour(text), self.position
        if position.is_over:
            return self._after_the_end(colour)
        self._expect_turn(colour, "")
        return self._name_of(position.game.action_to_text(position.state, self._table.player.choose(position)))

    def _moved(self, colour: int, report: Report | None) -> str:
        """Makes the player's move on the board and on the clock; returns its name."""
        position = self.position
        if position.is_over:
            return self._after_the_end(colour)
        self._expect_turn(colour, "")
        start_s = self._now()
        action = self._decided(report)
        self._clocks[colour].spend(self._now() - start_s)
        text = position.game.action_to_text(position.state, action)
        position.play(action)
        return self._name_of(text)

    def _after_the_end(self, colour: int) -> str:
        """After the end the loser resigns, others pass."""
        return "resign" if self.position.outcome == 1 - colour else "pass"

    def _decided(self, report: Report | None) -> int:
        """The player's action, within its share of the time that is left."""
        player, position = self._table.player, self.position
        share_s = self._clocks[position.player].share_s(moves_to_come(position.game, len(position.actions)))
        if not isinstance(player, Thinker) or (share_s is None and report is None):
            return player.choose(position)
        limit = None
        if share_s is not None:
            seconds = share_s if self._seconds is None else min(share_s, self._seconds)
            limit = Limit(self._simulations or None, seconds)
            if len(position.legal_actions()) == 1:
                limit = Limit(simulations=1)
        return player.pick(player.think(position, limit, report=report))

    def _undo(self, arguments: list[str]) -> str:
        if not self.position.undo():
            raise GtpError("cannot undo")
        return ""

    def _expect_turn(self, colour: int, prefix: str) -> None:
        if colour != self.position.player:
            raise GtpError(f"{prefix}{COLOUR_NAMES[self.position.player]} is to move")

    def _names_a_move(self, text: str) -> bool:
        """Whether the game writes any of its actions like this, be it legal here or not."""
        game, state = self.position.game, self.position.state
        for action in range(game.num_actions):
            # A game owes a name to legal actions only; what it makes of others, an error even, is no match.
            with contextlib.suppress(Exception):
                if game.action_to_text(state, action).lower() == text:
                    return True
        return False

    def _name_of(self, move: str) -> str:
        """A move as it is told: Go's interfaces expect points in capitals."""
        return move.upper() if self.position.game.name == "go" and move != "pass" else move

    # --- handicap, section 4.1, for games that have the parameters `handicap` and `placement`

    def _fixed_handicap(self, arguments: list[str]) -> str:
        """Stones on the points that the protocol fixes; the game's rules know which."""
        stones = _stones(arguments)
        self._expect_empty_board()
        with _refused("invalid number of stones"):
            self._table.give_handicap(stones, "fixed")
        return self._names_of(black_points(self.position))

    def _place_free_handicap(self, arguments: list[str]) -> str:
        """The engine may place fewer stones than it is given, and does where there are more than fixed points."""
        stones = _stones(arguments)
        self._expect_empty_board()
        height, width = self.position.game.shape
        if stones >= height * width:
            raise GtpError("invalid number of stones")
        with _refused("invalid number of stones"):
            points = self._table.handicap_points(stones)
            self._table.place_handicap(points)
        return self._names_of(points)

    def _set_free_handicap(self, arguments: list[str]) -> str:
        if len(arguments) < 2:
            raise GtpError("bad vertex list")
        self._expect_empty_board()
        with _refused("bad vertex list"):
            self._table.place_handicap([text.lower() for text in arguments])
        return ""

    def _expect_empty_board(self) -> None:
        if self.position.actions or not is_empty(self.position):
            raise GtpError("board not empty")

    def _names_of(self, points: list[str]) -> str:
        return " ".join(self._name_of(point) for point in points)

    # --- records, section 6.3.6, for games that SGF knows

    def _loadsgf(self, arguments: list[str]) -> str:
        """The position before move `arguments[1]`, or after the last one."""
        if not arguments:
            raise GtpError("syntax error")
        moves = None
        if len(arguments) > 1:
            if not _INTEGER.fullmatch(arguments[1]):
                raise GtpError("syntax error")
            moves = max(int(arguments[1]) - 1, 0)
        try:
            self._table.load_sgf(arguments[0], moves)
        except GameError as error:
            self._log(f"loadsgf: {error}")
            raise GtpError("cannot load file") from None
        return ""

    def _printsgf(self, arguments: list[str]) -> str:
        """The game as SGF: the answer, or a file whose name ends in .sgf."""
        from agent.records import record_of, save
        from agent.sgf import to_sgf

        record = record_of(self.position)
        if arguments:
            save(record, arguments[0])
            return ""
        return "\n".join(line for line in to_sgf(record).decode().splitlines() if line.strip())

    # --- tournament and debug, sections 6.3.4 to 6.3.6

    def _time_settings(self, arguments: list[str]) -> str:
        main_s, period_s = map(_seconds, _exactly(3, arguments)[:2])
        if not _INTEGER.fullmatch(arguments[2]):
            raise GtpError("syntax error")
        self._set_control(gtp_control(main_s, period_s, int(arguments[2])))
        return ""

    def _kgs_time_settings(self, arguments: list[str]) -> str:
        """`none`, `absolute MAIN`, `byoyomi MAIN PERIOD PERIODS`, `canadian MAIN PERIOD STONES`."""
        kind, numbers = _exactly(1, arguments)[0].lower(), arguments[1:]
        if kind not in _KGS_NUMBERS:
            raise GtpError("syntax error")
        count = _KGS_NUMBERS[kind]
        main_s, period_s = [*map(_seconds, _exactly(count, numbers)[:2]), 0.0, 0.0][:2]
        if count == 3 and not _INTEGER.fullmatch(numbers[2]):
            raise GtpError("syntax error")
        if kind == "none":
            self._set_control(TimeControl())
        elif kind == "canadian":
            self._set_control(gtp_control(main_s, period_s, int(numbers[2])))
        else:  # an absolute time is one without periods
            periods = int(numbers[2]) if kind == "byoyomi" else 0
            self._set_control(TimeControl(kind, main_s, period_s, periods=periods))
        return ""

    def _time_left(self, arguments: list[str]) -> str:
        colour, left, stones = _exactly(3, arguments)
        number = _colour(colour)
        if not _INTEGER.fullmatch(stones):
            raise GtpError("syntax error")
        self._clocks[number].set_left(_seconds(left), int(stones))
        return ""

    def _set_control(self, control: TimeControl) -> None:
        self._control = control
        self._clocks = [Clock(control), Clock(control)]

    def _final_score(self) -> str:
        """`B+4` in points where the game counts them, else `B+` for a win; `0` for a draw."""
        position = self.position
        game, outcome = position.game, position.outcome
        if outcome == ONGOING:
            raise GtpError("cannot score: the game is not over")
        if game.has_score:
            points = game.points(position.state)
            return "0" if points == 0 else f"{'B' if points > 0 else 'W'}+{abs(points):g}"
        if outcome == DRAW:
            return "0"
        return "B+" if outcome == FIRST_WINS else "W+"

    def _showboard(self) -> str:
        position = self.position
        board = position.game.render(position.state)
        turn = "over" if position.is_over else f"{COLOUR_NAMES[position.player]} to move"
        return "\n" + "\n".join(line for line in [*board.splitlines(), turn] if line.strip())

    # --- analysis

    def _stream(self, number: str, name: str, arguments: list[str], write: Write, lines: Lines) -> None:
        """Answers a command that tells of its search: the sign and the number first, an empty line at the end."""
        is_begun = False

        def begin(write: Write) -> None:
            nonlocal is_begun
            if not is_begun:
                write(f"={number}\n")
            is_begun = True

        try:
            self._streams[name](arguments, begin, write, lines)
        except (GtpError, GameError) as error:
            if not is_begun:
                write(_response("?", number, str(error)))
                return
            self._log(f"{name}: {error}")
        write("\n")

    def _analyze(
        self, dialect: str, arguments: list[str], begin: Callable[[Write], None], write: Write, lines: Lines
    ) -> None:
        """Thinks until another line comes, and tells of it every so often."""
        colour, request = self._request(dialect, arguments)
        if self.position.is_over:
            raise GtpError("the game is over")
        self._expect_turn(colour, "")
        player = self._thinker()
        begin(write)
        report = self._reporter(request, write)
        limit = Limit(seconds=ANALYSIS_S)
        report(player.think(self.position, limit, should_stop=lines.is_ready, report=report), last=True)
        lines.wait()

    def _genmove_analyze(
        self, dialect: str, arguments: list[str], begin: Callable[[Write], None], write: Write, lines: Lines
    ) -> None:
        """Makes a move as `genmove` does, and tells of it every so often."""
        colour, request = self._request(dialect, arguments)
        if not self.position.is_over:
            self._expect_turn(colour, "")
        self._thinker()
        begin(write)
        write(f"play {self._moved(colour, self._reporter(request, write))}\n")

    def _request(self, dialect: str, arguments: list[str]) -> tuple[int, AnalysisRequest]:
        """The colour, by default the one to move, and what is asked for."""
        colour = self.position.player
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

    def _reporter(self, request: AnalysisRequest, write: Write) -> Callable[..., None]:
        """What writes thoughts where the interval is over, and the `last` ones unless they were written."""
        position = self.position.copy()
        written: tuple[float, Thoughts] | None = None

        def report(thoughts: Thoughts, last: bool = False) -> None:
            nonlocal written
            now_s = self._now()
            if written is not None:
                is_due = now_s - written[0] >= request.interval_s or last
                if not is_due or written[1].visits == thoughts.visits:
                    return
            written = now_s, thoughts
            write(analysis_line(request, position, thoughts, self._name_of) + "\n")

        return report


def serve(engine: GtpEngine, lines: Lines, write: Write) -> None:
    """Answers lines until `quit` or their end."""
    while not engine.finished and (line := lines.next()) is not None:
        engine.respond(line, write, lines)


def _words(line: str) -> list[str]:
    """A line's words, preprocessed as section 3.1 asks: control characters dropped, tabs spaces, comments cut off."""
    return _CONTROL.sub("", line).replace("\t", " ").split("#", 1)[0].split()


def _response(sign: str, number: str, text: str) -> str:
    """A response as in section 2.6: it ends with an empty line and has none inside."""
    gap = "" if not text or text.startswith("\n") else " "
    return f"{sign}{number}{gap}{text}\n\n"


def _exactly(count: int, arguments: list[str]) -> list[str]:
    """The arguments, which are at least `count`; what follows them is ignored, as most engines do."""
    if len(arguments) < count:
        raise GtpError("syntax error")
    return arguments[:count]


def _colour(text: str) -> int:
    if text.lower() not in COLOURS:
        raise GtpError("invalid color or coordinate")
    return COLOURS[text.lower()]


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise GtpError("komi not a float") from None
    if not np.isfinite(value):
        raise GtpError("komi not a float")
    return value


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text):
        raise GtpError("syntax error")
    return float(text)


def _stones(arguments: list[str]) -> int:
    (text,) = _exactly(1, arguments)
    if not _INTEGER.fullmatch(text):
        raise GtpError("handicap not an integer")
    if int(text) < 2:
        raise GtpError("invalid number of stones")
    return int(text)


@contextlib.contextmanager
def _refused(message: str) -> Iterator[None]:
    """Has the block's GameError answered by the protocol's own words."""
    try:
        yield
    except GameError:
        raise GtpError(message) from None
