"""What commands do at the board: one controller for the line mode and the full screen.

A `Face` shows and tells; the controller parses lines, changes the match and says what came of it. Where the faces
differ (how a position is shown, where advice is worked out, what an analysis looks like), the face is asked.
"""

from collections.abc import Callable
from typing import Any, Protocol

from keima.agent.analysis.advice import hint_text
from keima.agent.contracts.thinking import Limit, ShouldStop
from keima.agent.terminal.command_table import count_of_moves, parse_command
from keima.agent.terminal.match import Match
from keima.agent.terminal.opponent import Adviser
from keima.games.contract import GameError

ANALYSIS_S = 2.0
"""How long `analyse` thinks where nothing else is asked for, in seconds."""


class Face(Protocol):
    """What shows the match to the user."""

    def say(self, text: str) -> None:
        """Tells the user something."""

    def show_position(self) -> None:
        """Shows the position looked at, which may be another one now."""

    def note_change(self) -> None:
        """Takes note that something else has changed: who plays which side, or that the game goes on."""

    def ask_adviser(self, work: Callable[[Adviser, ShouldStop], Any], answer: Callable[[Any], None]) -> None:
        """Has the adviser work on something that the user asked for; `answer` gets the result. Raises GameError where
        it does so at once."""

    def analyse(self, limit: Limit) -> None:
        """Analyses the position looked at. Raises GameError."""

    def show_help(self) -> None:
        """Shows what can be typed."""

    def leave(self) -> None:
        """Leaves the game."""


class Controller:
    """Does what lines ask for, commands and moves. Its methods raise GameError, with a line for the user."""

    def __init__(self, match: Match, face: Face) -> None:
        self._match = match
        self._face = face
        # By the names in `command_table.COMMANDS`; each takes what follows the name.
        self._commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: face.show_help(),
            "quit": lambda _: face.leave(),
            "moves": lambda _: face.say(self._moves_text()),
            "board": lambda _: face.show_position(),
            "hint": lambda _: self._hint(),
            "analyse": lambda seconds: face.analyse(analysis_limit(seconds)),
            "explain": self._explain,
            "undo": lambda _: self._and_show(match.session.undo),
            "swap": lambda _: self._swap(),
            "resign": lambda _: self._and_show(match.session.resign),
            "new": lambda _: self._and_show(match.new_game),
            "save": self._save,
            "load": self._load,
            "back": lambda moves: self._walk(-count_of_moves(moves)),
            "forward": lambda moves: self._walk(count_of_moves(moves)),
            "start": lambda _: self.show_ply(0),
            "end": lambda _: self.show_ply(match.session.plies),
            "go": lambda _: self._go(),
        }

    def run_line(self, line: str) -> None:
        """Does what a line asks for: a command or a move; nothing for an empty one."""
        parsed = parse_command(line)
        if parsed is not None:
            self._commands[parsed[0].name](parsed[1])
        elif line.strip():
            self._match.session.play_text(line.strip())
            self._face.show_position()

    def play(self, action: int) -> None:
        """Plays the user's move in the position looked at."""
        self._and_show(lambda: self._match.session.play(action))

    def show_ply(self, ply: int) -> None:
        """Looks at the position after so many moves."""
        self._and_show(lambda: self._match.session.show(ply))

    def _and_show(self, act: Callable[[], object]) -> None:
        act()
        self._face.show_position()

    def _walk(self, moves: int) -> None:
        self._and_show(lambda: self._match.session.walk(moves))

    def _go(self) -> None:
        self._match.session.go()
        self._face.note_change()

    def _moves_text(self) -> str:
        shown = self._match.session.shown
        names = [shown.game.action_to_text(shown.state, action) for action in shown.legal_actions()]
        return " ".join(names or ["none: the game is over"])

    def _hint(self) -> None:
        position = self._match.session.shown.copy()
        if position.is_over:
            raise GameError("the game is over: there is no move to hint at")
        self._face.ask_adviser(
            lambda adviser, should_stop: adviser.think(position),
            lambda info: self._face.say(hint_text(position, info)),
        )

    def _explain(self, about: str) -> None:
        position = self._match.session.shown.copy()
        if about and about.lower() != "position":
            position.game.text_to_action(position.state, about)  # says at once what is wrong with it
        self._face.ask_adviser(
            lambda adviser, should_stop: adviser.explain(position, about, should_stop),
            self._face.say,
        )

    def _swap(self) -> None:
        self._match.swap()
        human = self._match.session.only_human
        players = self._match.game.players
        self._face.say("The players changed sides." if human is None else f"You are {players[human]} now.")
        self._face.note_change()

    def _save(self, file: str) -> None:
        self._match.save(file)
        self._face.say(f"Saved to {file}.")

    def _load(self, file: str) -> None:
        self._face.say(self._match.load(file))
        self._face.show_position()


def analysis_limit(seconds: str) -> Limit:
    """How long `analyse` may think, of what was typed after it. Raises GameError for what is no time."""
    try:
        return Limit(seconds=float(seconds) if seconds else ANALYSIS_S)
    except ValueError:  # of float, or its subclass GameError
        raise GameError(f"analyse: expected a number of seconds above 0, got {seconds!r}") from None
