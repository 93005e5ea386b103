"""A game in the terminal, line by line: the board, a prompt, a move or a command, the answer.

`TerminalGame` is the controller's plain face, handed what reads and writes lines; `play` connects it to the terminal.
The rules are all that the first board waits for: players are made ready in the background while the user thinks.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from keima.agent.analysis.advice import analysis_text
from keima.agent.contracts.player import Resignation
from keima.agent.contracts.thinking import Limit, ShouldStop
from keima.agent.records.files import load as load_record
from keima.agent.records.record import GameRecord
from keima.agent.system.progress import Progress, Write
from keima.agent.terminal.command_table import help_text
from keima.agent.terminal.controller import Controller
from keima.agent.terminal.match import Match
from keima.agent.terminal.match_setup import Setting
from keima.agent.terminal.opponent import Adviser
from keima.games import load
from keima.games.contract import Game, GameError

COLOURS = ("\033[33m", "\033[36m")  # yellow, cyan: apart in every common palette, on light and dark
COLOUR_OFF = "\033[0m"

Read = Callable[[str], str | None]
"""Shows a prompt and returns the line typed, or None at the end of the input."""


class TerminalGame:
    """The plain face: what the user types is answered below it."""

    def __init__(self, match: Match, *, read: Read, write: Write, interactive: bool, colour: bool = False) -> None:
        """`interactive`: whether somebody is at a keyboard, for whom the first board comes before the players are
        ready, and who may leave when he likes."""
        self._match = match
        self._game = match.game
        self._read = read
        self._write = write
        self._interactive = interactive
        self._colour = colour
        self._controller = Controller(match, self)
        self._is_left = False
        self._refused: list[str] = []  # what was wrong with lines

    def run(self, *, wait_first: bool = False) -> None:
        """Plays until the user leaves or the input ends. A mistake is told, and the line asked for again.

        Raises GameError at the end of a pipe's input where that came before the game's end or a line was refused, so
        that who wrote the lines hears of it. `wait_first`: waits for the players once the board is shown, rather than
        when they have to move.
        """
        session = self._match.session
        if not self._interactive:  # nobody looks at a board meanwhile: an opponent that cannot be made is told alone
            self._wait_for_players()
        self._write("Type a move, or help.\n")
        self.show_position()
        if wait_first:
            self._wait_for_players()
        while not self._is_left:
            self._introduce()
            self._let_agents_move()
            self._match.ponder()
            line = self._read(self._prompt())
            if line is None:
                if not self._interactive and not session.is_over and any(session.humans):
                    raise GameError(f"the input ended before the game, after {session.plies} moves{self._refusals()}")
                self.leave()
                break
            try:
                self._controller.run_line(line)
            except GameError as error:
                self._refused.append(str(error))
                self._write(f"{error}\n")
        if self._refused and not self._interactive:
            raise GameError(self._refusals().removeprefix("; "))

    def _refusals(self) -> str:
        count = len(self._refused)
        lines = "1 line was refused" if count == 1 else f"{count} lines were refused, the first"
        return f"; {lines}: {self._refused[0]}" if count else ""

    # --- a face: see `keima.agent.terminal.controller.Face`

    def say(self, text: str) -> None:
        self._write(f"{text}\n")

    def show_position(self) -> None:
        session = self._match.session
        text = self._game.render(session.shown.state)
        self._write(f"\n{self._coloured(text) if self._colour else text}\n\n")
        if comment := session.comments.get(session.shown_ply):
            self._write(f"{comment}\n")
        if session.moves_again:
            self._write(f"{self._game.players[session.shown.player]} moves again.\n")
        if session.is_at_end and (verdict := session.verdict()):
            self._write(f"{verdict}\n")

    def note_change(self) -> None:
        """The next prompt tells it."""

    def ask_adviser(self, work: Callable[[Adviser, ShouldStop], Any], answer: Callable[[Any], None]) -> None:
        answer(work(self._match.adviser, lambda: False))

    def analyse(self, limit: Limit) -> None:
        position = self._match.session.shown
        self.say(analysis_text(position, self._match.adviser.think(position, limit)))

    def show_help(self) -> None:
        self.say(help_text())

    def leave(self) -> None:
        self._write("Goodbye.\n")
        self._is_left = True

    # --- players

    def _wait_for_players(self) -> None:
        for agent in self._match.players():
            agent.player()
        self._introduce()

    def _introduce(self) -> None:
        for introduction in self._match.introductions():
            self.say(introduction)

    def _let_agents_move(self) -> None:
        """Lets players move for as long as it is their turn, and says how the game stands."""
        session = self._match.session
        while session.awaits_agent:
            agent, position = self._match.mover(), session.position
            agent.player()
            self._introduce()
            with agent.thinking():
                result = agent.choose(position)
            if not isinstance(result, Resignation):
                side = self._game.players[position.player]
                self.say(f"{side} plays {self._game.action_to_text(position.state, result)}")
            self._match.play(result)
            self.show_position()

    def _prompt(self) -> str:
        session = self._match.session
        if not session.is_at_end:
            return f"after {session.shown_ply} of {session.plies} moves> "
        if session.is_over:
            return "new, undo or quit> "
        if session.is_paused and session.only_human is not None:
            return f"{self._game.players[session.position.player]}, a move or go> "
        if session.only_human is not None:
            return f"{self._game.players[session.only_human]} (you)> "
        return f"{self._game.players[session.position.player]}> "

    def _coloured(self, board: str) -> str:
        """The board with both sides' pieces in colour, where each has one kind, written as a capital."""
        pieces = self._game.pieces[1:]
        if len(pieces) == 2 and pieces.isupper():
            for piece, colour in zip(pieces, COLOURS, strict=True):
                board = re.sub(rf"(?<!\S){re.escape(piece)}(?!\S)", f"{colour}{piece}{COLOUR_OFF}", board)
        return board


def read_setting(setting: Setting) -> tuple[Game, GameRecord | None]:
    """The game, its rules compiled, and the record to begin with. Raises GameError."""
    game = load(setting.game_text)
    # First what was named: a player that is none and a record of another game are refused before anything is compiled.
    for choice in setting.sides:
        if choice is not None:
            choice.check()
    record = None if setting.record is None else load_record(setting.record, game)
    _ = game.kernels
    return game, record


def play(setting: Setting, *, plain: bool = False) -> None:
    """Plays on stdin and stdout until the user leaves; `plain` leaves colours and rewritten lines out.

    Raises GameError: for an unknown game or opponent; where input from a pipe is wrong or ends before the game.
    """
    interactive = sys.stdin is not None and sys.stdin.isatty()
    decorated = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not plain
    progress = Progress(_write, live=decorated)
    progress.begin("compiling the rules, once (later starts find them compiled)")
    with progress.shown():
        game, record = read_setting(setting)
    match = Match(game, setting.sides, setting.adviser, progress, setting.start_text)
    terminal = TerminalGame(
        match,
        read=_read_typed if interactive else _read_piped,
        write=_write,
        interactive=interactive,
        colour=decorated and "NO_COLOR" not in os.environ,
    )
    try:
        for remark in match.remarks:
            terminal.say(remark)
        if record is not None:
            terminal.say(match.show_record(record))
        # A user at the keyboard thinks while the opponent loads; one who named it hears first if that fails.
        terminal.run(wait_first=any(choice is not None and choice.text is not None for choice in setting.sides))
    finally:
        match.close()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _read_typed(prompt: str) -> str | None:
    with contextlib.suppress(ImportError):
        import readline  # gives `input` its line editing

        # It would set a mode of the terminal that nobody takes back where Ctrl-C ends the process.
        readline.parse_and_bind("set enable-bracketed-paste off")
    try:
        return input(prompt)
    except EOFError:
        _write("\n")
        return None


def _read_piped(prompt: str) -> str | None:
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        return None
    _write(f"{prompt}{line.rstrip()}\n")  # as a terminal would have shown it
    return line
