"""The Go Text Protocol, version 2, for every game in the game's own notation: lines in, lines out, no I/O in here.

    engine = GtpEngine(game, player_for)
    engine.handle("1 genmove b")  ->  "=1 4\\n\\n"

GTP's colours mean who moves first: `black` (or `b`) is the game's first player, whatever the game calls him. In games
with passes a side may move twice in a row, the other one passes in between; in others a colour that is not to move is
refused. Specification: Gunnar Farnebäck, "GTP Version 2, draft 2" (2002); sections are cited below. Beyond it: Leela
Zero's and KataGo's analysis (see `keima.agent.protocols.gtp.analysis_commands`), and the Kiseido Go Server's commands.

Groups of commands have modules of their own: `gtp_go` handicap, rules and dead stones, `gtp_clocks` time settings.
"""

import importlib.metadata
import time
from collections.abc import Callable

from keima.agent.contracts.player import PlayerFor
from keima.agent.contracts.thinking import Thinker
from keima.agent.protocols.gtp.analysis_commands import Streams
from keima.agent.protocols.gtp.board_setup import BoardSetup
from keima.agent.protocols.gtp.clocks import Clocks
from keima.agent.protocols.gtp.go_commands import GoCommands, score_text
from keima.agent.protocols.gtp.input_lines import Lines
from keima.agent.protocols.gtp.move_commands import Mover, move_names
from keima.agent.protocols.gtp.syntax import (
    COLOUR_NAMES,
    INTEGER,
    Command,
    GtpError,
    Write,
    colour_of,
    exactly,
    komi_of,
    refused,
    response,
    words_of,
)
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, Game, GameError
from keima.games.position import Position


class _NoLines:
    """Where nothing else comes: an analysis ends as soon as it can."""

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
        version: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`player_for` is called once here, and again where a command makes it another game, as `boardsize` does.

        `simulations`, `seconds`: what a move may cost at most, whatever the time settings allow. `log` is told what
        went wrong where the protocol has no place for it. `version`: what to answer to that command.
        """
        self._table = BoardSetup(game, player_for)
        self._log = log
        self._clocks = Clocks()
        self._mover = Mover(self._table, self._clocks, simulations=simulations, seconds=seconds, clock=clock)
        self._go = GoCommands(self._table, self._mover, log)
        self._streams = Streams(self._table, self._mover, log, clock)
        self.finished = False
        """Whether `quit` was received."""
        self._commands: dict[str, Command] = {
            "protocol_version": lambda _: "2",
            "name": lambda _: "Keima",
            "version": lambda _: " ".join((version or importlib.metadata.version("keima")).split()),
            "known_command": self._known_command,
            "list_commands": lambda _: "\n".join(self._names()),
            "quit": self._quit,
            "boardsize": self._boardsize,
            "clear_board": self._clear_board,
            "komi": self._komi,
            "play": self._play,
            "genmove": lambda arguments: self._mover.move(colour_of(exactly(1, arguments)[0])),
            "reg_genmove": lambda arguments: self._mover.advice(colour_of(exactly(1, arguments)[0])),
            "undo": self._undo,
            "keima-position": self._position,
            "showboard": lambda _: self._showboard(),
            "final_score": lambda _: self._final_score(),
            "clear_cache": self._clear_cache,
            "stop": lambda _: "",  # any line ends an analysis
            "cputime": lambda _: f"{time.process_time():.2f}",
            **self._clocks.commands(),
        }
        self._sgf_commands: dict[str, Command] = {"loadsgf": self._loadsgf, "printsgf": self._printsgf}

    @property
    def position(self) -> Position:
        """The position on the board; not to be changed."""
        return self._table.position

    def handle(self, line: str) -> str | None:
        """The response to one line, ready to be written; None where the protocol asks for none (an empty line).

        An analysis ends as soon as it can, perhaps before there is anything to tell; see `respond`.
        """
        parts: list[str] = []
        self.respond(line, parts.append, _NoLines())
        return "".join(parts) or None

    def respond(self, line: str, write: Write, lines: Lines) -> None:
        """Writes the response to one line. Of what is told under way each piece is written as it comes, and the rest
        once `lines` has another line."""
        words = words_of(line)
        if not words:
            return
        number = ""
        if INTEGER.fullmatch(words[0]):
            number = words.pop(0)
        if words and self._streams.knows(words[0]):
            self._streams.answer(number, words[0], words[1:], write, lines)
            return
        try:
            if not words:
                raise GtpError("syntax error")
            command = self._known().get(words[0])
            if command is None:
                raise GtpError("unknown command")
            write(response("=", number, command(words[1:])))
        except (GtpError, GameError) as error:
            write(response("?", number, str(error)))

    def close(self) -> None:
        """Ends what players may have started, other programs for one."""
        self._table.close()

    def _known(self) -> dict[str, Command]:
        """The commands that there are for this game, those apart that tell as they go."""
        return self._commands | self._go.commands() | (self._sgf_commands if self._table.has_sgf else {})

    def _names(self) -> list[str]:
        return [*self._known(), *self._streams.names()]

    # --- administration, section 6.3.1

    def _known_command(self, arguments: list[str]) -> str:
        (name,) = exactly(1, arguments)
        return "true" if name in self._names() else "false"

    def _quit(self, arguments: list[str]) -> str:
        self.finished = True
        return ""

    def _clear_cache(self, arguments: list[str]) -> str:
        """KataGo's: what was searched before is forgotten."""
        if isinstance(self._table.player, Thinker):
            self._table.player.forget()
        return ""

    # --- setup, section 6.3.2

    def _boardsize(self, arguments: list[str]) -> str:
        """Clears the board, too. A game without a size takes its own number of columns only."""
        (text,) = exactly(1, arguments)
        if not INTEGER.fullmatch(text):
            raise GtpError("boardsize not an integer")
        try:
            self._table.resize(int(text))
        except GameError as error:
            self._log(f"boardsize: {error}")
            raise GtpError("unacceptable size") from None
        self._clocks.restart()
        return ""

    def _clear_board(self, arguments: list[str]) -> str:
        self._table.begin()
        self._clocks.restart()
        return ""

    def _komi(self, arguments: list[str]) -> str:
        """Accepted by every game, as the protocol asks; obeyed, moves kept, by one that has a komi."""
        (text,) = exactly(1, arguments)
        komi = komi_of(text)
        with refused("unacceptable komi"):  # where nobody plays with it
            self._table.set_komi(komi)
        return ""

    # --- core play, section 6.3.3

    def _play(self, arguments: list[str]) -> str:
        if len(arguments) < 2:
            raise GtpError("syntax error")
        colour, move = colour_of(arguments[0]), " ".join(arguments[1:]).lower()
        if self.position.is_over:
            if move in ("pass", "resign"):  # controllers hand one engine's answer after the end to the other
                return ""
            with refused("illegal move"):
                self._table.turned(colour)
        self._table.play(colour, self._action(self._mover.turned(colour, "illegal move: "), move))
        return ""

    def _action(self, position: Position, move: str) -> int:
        """The legal action that a move names. Raises GtpError."""
        try:
            return position.game.text_to_action(position.state, move)
        except GameError:
            raise GtpError("illegal move" if move in move_names(position) else "invalid color or coordinate") from None

    def _undo(self, arguments: list[str]) -> str:
        if not self._table.undo():
            raise GtpError("cannot undo")
        return ""

    # --- records, section 6.3.6, for games that SGF knows

    def _position(self, arguments: list[str]) -> str:
        """Sets a position up that is given as text, board and side to move or moves; without one, tells the text."""
        try:
            if not arguments:
                return self.position.game.position_to_text(self.position.state)
            self._table.set_position(" ".join(arguments))
        except GameError as error:
            raise GtpError(str(error)) from None
        return ""

    def _loadsgf(self, arguments: list[str]) -> str:
        """The position before move `arguments[1]`, or after the last one."""
        if not arguments:
            raise GtpError("syntax error")
        moves = None
        if len(arguments) > 1:
            if not INTEGER.fullmatch(arguments[1]):
                raise GtpError("syntax error")
            moves = max(int(arguments[1]) - 1, 0)
        try:
            self._table.load_sgf(arguments[0], moves, lambda line: self._log(f"loadsgf: {line}"))
        except GameError as error:
            self._log(f"loadsgf: {error}")
            raise GtpError("cannot load file") from None
        return ""

    def _printsgf(self, arguments: list[str]) -> str:
        """The game as SGF, with what the player thought of its moves: a file whose name ends in .sgf, or the answer,
        where none or `-` is named."""
        from keima.agent.records.files import save
        from keima.agent.records.record import record_of
        from keima.agent.records.sgf import to_sgf

        record = record_of(self.position)
        record.comments = self._table.comments()
        if arguments and arguments[0] != "-":
            save(record, arguments[0])
            return ""
        return "\n".join(line for line in to_sgf(record).decode().splitlines() if line.strip())

    # --- debug and the score, sections 6.3.4 to 6.3.6

    def _final_score(self) -> str:
        """`B+4` in points where the game counts them, else `B+` for a win; `0` for a draw.

        Where stones may be dead without being off the board, a game that goes on is counted, too.
        """
        score = self._go.final_score()
        if score is not None:
            return score
        position = self.position
        game, outcome = position.game, position.outcome
        if outcome == ONGOING:
            raise GtpError("cannot score: the game is not over")
        if game.has_score:
            return score_text(game.points(position.state))
        if outcome == DRAW:
            return "0"
        return "B+" if outcome == FIRST_WINS else "W+"

    def _showboard(self) -> str:
        position = self.position
        board = position.game.render(position.state)
        turn = "over" if position.is_over else f"{COLOUR_NAMES[position.player]} to move"
        return "\n" + "\n".join(line for line in [*board.splitlines(), turn] if line.strip())


def serve(engine: GtpEngine, lines: Lines, write: Write) -> None:
    """Answers lines until `quit` or their end."""
    while not engine.finished and (line := lines.next()) is not None:
        engine.respond(line, write, lines)
