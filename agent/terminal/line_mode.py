"""A game in the terminal, line by line: the board, a prompt, a move or a command, the answer.

`TerminalGame` drives a `Session`, handed what reads and writes lines; `play` connects it to the terminal. The rules
are all that the first board waits for: players are made ready in the background while the user thinks.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable

from keima.agent.analysis.advice import analysis_text, hint_text
from keima.agent.contracts.player import Resignation
from keima.agent.contracts.thinking import Limit, Ponderer
from keima.agent.records.files import load as load_record
from keima.agent.records.files import save as save_record
from keima.agent.records.record import GameRecord
from keima.agent.system.progress import Progress, Write
from keima.agent.terminal.match_setup import Setting
from keima.agent.terminal.opponent import ADVICE, Adviser, Opponent
from keima.agent.terminal.session import Session, count_of_moves, help_text, parse_command
from keima.games import load
from keima.games.contract import Game, GameError

ANALYSIS_S = 2.0
"""How long `analyse` thinks where nothing else is asked for, in seconds."""
COLOURS = ("\033[33m", "\033[36m")  # yellow, cyan: apart in every common palette, on light and dark
COLOUR_OFF = "\033[0m"
HUMAN = "human"
"""What the user is called in records."""

Read = Callable[[str], str | None]
"""Shows a prompt and returns the line typed, or None at the end of the input."""
Agents = tuple[Opponent | None, Opponent | None]
"""Who plays each side; None where the user does."""


class TerminalGame:
    """Users and players at one board, game after game."""

    def __init__(
        self,
        session: Session,
        agents: Agents,
        adviser: Adviser,
        *,
        read: Read,
        write: Write,
        interactive: bool,
        colour: bool = False,
    ) -> None:
        """`interactive`: a mistake is explained and the move asked for again; otherwise, as in a pipe, it raises
        GameError."""
        self._session = session
        self._game = session.game
        self._agents = agents
        self._adviser = adviser
        self._read = read
        self._write = write
        self._interactive = interactive
        self._colour = colour
        self._commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: self._write(help_text() + "\n"),
            "moves": lambda _: self._show_moves(),
            "board": lambda _: self._show_board(),
            "hint": lambda _: self._hint(),
            "analyse": self._analyse,
            "explain": self._explain,
            "undo": lambda _: self._and_board(session.undo),
            "swap": lambda _: self._swap(),
            "resign": lambda _: self._and_board(session.resign),
            "new": lambda _: self._and_board(self._new_game),
            "save": self._save,
            "load": self._load,
            "back": lambda argument: self._and_board(lambda: session.walk(-count_of_moves(argument))),
            "forward": lambda argument: self._and_board(lambda: session.walk(count_of_moves(argument))),
            "start": lambda _: self._and_board(lambda: session.show(0)),
            "end": lambda _: self._and_board(lambda: session.show(session.plies)),
            "go": lambda _: session.go(),
        }

    def run(self, *, wait_first: bool = False) -> None:
        """Plays until the user leaves. Raises GameError where a pipe's input is wrong or ends too soon.

        `wait_first`: waits for the players once the board is shown, rather than when they have to move.
        """
        session = self._session
        self._write("Type a move, or help.\n")
        self._show_board()
        if wait_first:
            for agent in self._agents:
                if agent is not None:
                    agent.player()
            self._introduce()
        while True:
            self._let_agents_move()
            self._ponder()
            line = self._read(self._prompt())
            if line is None and not self._interactive and not session.is_over and any(session.humans):
                raise GameError(f"the input ended before the game, after {session.plies} moves")
            command = None if line is None else self._parsed(line)
            if line is None or (command is not None and command[0] == "quit"):
                self._write("Goodbye.\n")
                return
            self._introduce()
            try:
                self._handle(line.strip())
            except GameError as error:
                if not self._interactive:
                    raise
                self._write(f"{error}\n")

    def close(self) -> None:
        """Ends players that are programs of their own."""
        for agent in self._agents:
            if agent is not None:
                agent.close()

    def _parsed(self, line: str) -> tuple[str, str] | None:
        """The command in a line and what follows it; None for a move, and for a command that is wrong, which
        `_handle` says."""
        with contextlib.suppress(GameError):
            parsed = parse_command(line)
            return None if parsed is None else (parsed[0].name, parsed[1])
        return None

    def _handle(self, line: str) -> None:
        parsed = parse_command(line)
        if parsed is not None:
            self._commands[parsed[0].name](parsed[1])
        elif line:
            self._session.play_text(line)
            self._show_board()

    def _let_agents_move(self) -> None:
        """Lets players move for as long as it is their turn, and says how the game stands."""
        session = self._session
        while session.awaits_agent:
            agent = self._agents[session.position.player]
            assert agent is not None
            player = agent.player()
            self._introduce()
            with agent.thinking():
                result = player.choose(session.position)
            if isinstance(result, Resignation):
                session.agent_resigns()
                self._show_board()
                return
            side = self._game.players[session.position.player]
            self._write(f"{side} plays {self._game.action_to_text(session.position.state, result)}\n")
            session.play(result, by_human=False)
            self._show_board()

    def _new_game(self) -> None:
        """Begins another game, in which players remember nothing of the last one."""
        for agent in self._agents:
            if agent is not None:
                agent.forget()
        self._session.new()

    def _ponder(self) -> None:
        """Has players who think on the user's time do so, once they are ready."""
        session = self._session
        for agent in self._agents:
            if agent is not None and not agent.is_loading and session.is_at_end and not session.is_over:
                player = agent.player()
                if isinstance(player, Ponderer):
                    player.ponder(session.position)

    def _introduce(self) -> None:
        for agent in self._agents:
            if agent is not None and (introduction := agent.introduction()):
                self._write(introduction + "\n")

    def _prompt(self) -> str:
        session = self._session
        if not session.is_at_end:
            return f"after {session.shown_ply} of {session.plies} moves> "
        if session.is_over:
            return "new, undo or quit> "
        if session.is_paused and session.only_human is not None:
            return f"{self._game.players[session.position.player]}, a move or go> "
        if session.only_human is not None:
            return f"{self._game.players[session.only_human]} (you)> "
        return f"{self._game.players[session.position.player]}> "

    def _show_board(self) -> None:
        text = self._game.render(self._session.shown.state)
        self._write(f"\n{self._coloured(text) if self._colour else text}\n\n")
        if comment := self._session.comments.get(self._session.shown_ply):
            self._write(f"{comment}\n")
        if self._session.is_at_end and (verdict := self._session.verdict()):
            self._write(f"{verdict}\n")

    def _coloured(self, board: str) -> str:
        """The board with both sides' pieces in colour, where each has one kind, written as a capital."""
        pieces = self._game.pieces[1:]
        if len(pieces) == 2 and pieces.isupper():
            for piece, colour in zip(pieces, COLOURS, strict=True):
                board = re.sub(rf"(?<!\S){re.escape(piece)}(?!\S)", f"{colour}{piece}{COLOUR_OFF}", board)
        return board

    def _show_moves(self) -> None:
        shown = self._session.shown
        names = [self._game.action_to_text(shown.state, action) for action in shown.legal_actions()]
        self._write(" ".join(names or ["none: the game is over"]) + "\n")

    def _hint(self) -> None:
        position = self._session.shown
        if position.is_over:
            raise GameError("the game is over: there is no move to hint at")
        self._write(hint_text(position, self._adviser.think(position, ADVICE)) + "\n")

    def _analyse(self, argument: str) -> None:
        try:
            limit = Limit(seconds=float(argument) if argument else ANALYSIS_S)
        except ValueError:  # of float, or its subclass GameError
            raise GameError(f"analyse: expected a number of seconds above 0, got {argument!r}") from None
        position = self._session.shown
        self._write(analysis_text(position, self._adviser.think(position, limit)) + "\n")

    def _explain(self, about: str) -> None:
        self._write(self._adviser.explain(self._session.shown, about) + "\n")

    def _and_board(self, act: Callable[[], object]) -> None:
        act()
        self._show_board()

    def _swap(self) -> None:
        session = self._session
        session.swap()
        self._agents = (self._agents[1], self._agents[0])
        human = session.only_human
        self._write("The players changed sides.\n" if human is None else f"You are {self._game.players[human]} now.\n")

    def _save(self, file: str) -> None:
        save_record(self._session.record(names_of(self._agents)), file)
        self._write(f"Saved to {file}.\n")

    def _load(self, file: str) -> None:
        self._session.load(load_record(file, self._game))
        self._write(loaded_text(self._session) + "\n")
        self._show_board()


def names_of(agents: Agents) -> tuple[str, str]:
    """Both players' names, as records have them."""
    first, second = (HUMAN if agent is None else agent.name for agent in agents)
    return first, second


def loaded_text(session: Session) -> str:
    """What was loaded, in a line."""
    record = session.loaded
    assert record is not None
    first, second = (name or side for name, side in zip(record.players, session.game.players, strict=True))
    return f"Loaded: {first} against {second}, {session.plies} moves, {record.result}."


def read_setting(setting: Setting) -> tuple[Game, GameRecord | None]:
    """The game, its rules compiled, and the record to begin with. Raises GameError."""
    game = load(setting.game_text)
    # First the record: one of another game is refused before anything is compiled.
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
    choices = []
    for choice in setting.sides:
        settled, remark = (None, "") if choice is None else choice.settled(game)
        choices.append(settled)
        if remark:
            _write(f"{remark}\n")
    first, second = (None if choice is None else Opponent(game, choice, progress) for choice in choices)
    session = Session(game, (first is None, second is None))
    if record is not None:
        session.load(record)
    terminal = TerminalGame(
        session,
        (first, second),
        Adviser(game, setting.adviser.settled(game)[0], progress),
        read=_read_typed if interactive else _read_piped,
        write=_write,
        interactive=interactive,
        colour=decorated and "NO_COLOR" not in os.environ,
    )
    if record is not None:
        _write(loaded_text(session) + "\n")
    # A user at the keyboard thinks while the opponent loads; one who named it, or a pipe, hears first if that fails.
    named = any(choice is not None and choice.text is not None for choice in setting.sides)
    try:
        terminal.run(wait_first=named or not interactive)
    finally:
        terminal.close()


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
