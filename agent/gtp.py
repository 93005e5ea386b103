"""The Go Text Protocol, version 2, for every game in the game's own notation: lines in, lines out, no I/O in here.

    engine = GtpEngine(game, player_for)
    engine.handle("1 genmove b")  ->  "=1 4\\n\\n"

GTP's colours mean who moves first: `black` (or `b`) is the game's first player, whatever the game calls him. Moves
alternate as the rules say, so a colour that is not to move is refused. Specification: Gunnar Farnebäck, "GTP Version
2, draft 2" (2002); sections are cited below.
"""

import contextlib
import dataclasses
import importlib.metadata
import re
from collections.abc import Callable

import numpy as np

from agent.players import Player, PlayerFor
from games.contract import DRAW, FIRST_WINS, ONGOING, Game, GameError, parse_parameters
from games.position import Position

COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
COLOUR_NAMES = ("black", "white")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_INTEGER = re.compile(r"[0-9]{1,9}", re.ASCII)


class GtpError(Exception):
    """A command fails; the message is the protocol's, after the question mark."""


class GtpEngine:
    """One game played by one player over GTP."""

    def __init__(self, game: Game, player_for: PlayerFor) -> None:
        """`player_for` is called once here, and again where `boardsize` or `komi` make it another game."""
        self._player_for = player_for
        self._player: Player = player_for(game)
        self._position = Position(game)
        self.finished = False
        """Whether `quit` was received."""
        self._commands: dict[str, Callable[[list[str]], str]] = {
            "protocol_version": lambda _: "2",
            "name": lambda _: "Keima",
            "version": lambda _: importlib.metadata.version("keima"),
            "known_command": self._known_command,
            "list_commands": lambda _: "\n".join(self._commands),
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
            "time_left": self._time_left,
        }

    @property
    def position(self) -> Position:
        """The position on the board; not to be changed."""
        return self._position

    def handle(self, line: str) -> str | None:
        """The response to one line, ready to be written; None where the protocol asks for none (an empty line)."""
        words = _words(line)
        if not words:
            return None
        number = ""
        if _INTEGER.fullmatch(words[0]):
            number = words.pop(0)
        try:
            if not words:
                raise GtpError("syntax error")
            command = self._commands.get(words[0])
            if command is None:
                raise GtpError("unknown command")
            return _response("=", number, command(words[1:]))
        except (GtpError, GameError) as error:
            return _response("?", number, str(error))

    # --- administration, section 6.3.1

    def _known_command(self, arguments: list[str]) -> str:
        (name,) = _exactly(1, arguments)
        return "true" if name in self._commands else "false"

    def _quit(self, arguments: list[str]) -> str:
        self.finished = True
        return ""

    # --- setup, section 6.3.2

    def _boardsize(self, arguments: list[str]) -> str:
        """Clears the board, too. A game without a size takes its own number of columns only."""
        (text,) = _exactly(1, arguments)
        if not _INTEGER.fullmatch(text):
            raise GtpError("boardsize not an integer")
        game = self._position.game
        if _has_parameter(game, "size"):
            game = self._changed("size", text, "unacceptable size")
        elif int(text) != game.shape[1]:
            raise GtpError("unacceptable size")
        self._position = Position(game)
        return ""

    def _clear_board(self, arguments: list[str]) -> str:
        self._position = Position(self._position.game)
        return ""

    def _komi(self, arguments: list[str]) -> str:
        """Accepted by every game, as the protocol asks; obeyed, moves kept, by one that has a komi."""
        (text,) = _exactly(1, arguments)
        _number(text)
        if _has_parameter(self._position.game, "komi"):
            position = Position(self._changed("komi", text, "unacceptable komi"))
            for action in self._position.actions:
                position.play(action)
            self._position = position
        return ""

    def _changed(self, parameter: str, value: str, refusal: str) -> Game:
        """The game with one parameter changed, its player ready. Raises GtpError where the game or player cannot."""
        game = self._position.game
        values = {field.name: getattr(game, field.name) for field in dataclasses.fields(game)} | {parameter: value}
        try:
            changed = parse_parameters(type(game), ",".join(f"{name}={v}" for name, v in values.items()))
            if changed != game:
                self._player = self._player_for(changed)
        except GameError:
            raise GtpError(refusal) from None
        return changed

    # --- core play, section 6.3.3

    def _play(self, arguments: list[str]) -> str:
        if len(arguments) < 2:
            raise GtpError("syntax error")
        colour, move = _colour(arguments[0]), " ".join(arguments[1:]).lower()
        if self._position.is_over:
            if move in ("pass", "resign"):  # controllers hand one engine's answer after the end to the other
                return ""
            raise GtpError("illegal move")
        self._expect_turn(colour, "illegal move: ")
        try:
            action = self._position.game.text_to_action(self._position.state, move)
        except GameError:
            raise GtpError("illegal move" if self._names_a_move(move) else "invalid color or coordinate") from None
        self._position.play(action)
        return ""

    def _genmove(self, arguments: list[str]) -> str:
        action, text = self._choose(arguments)
        if action is not None:
            self._position.play(action)
        return text

    def _reg_genmove(self, arguments: list[str]) -> str:
        return self._choose(arguments)[1]

    def _undo(self, arguments: list[str]) -> str:
        if not self._position.undo():
            raise GtpError("cannot undo")
        return ""

    def _choose(self, arguments: list[str]) -> tuple[int | None, str]:
        """The player's action for a colour and its name. After the end: the loser resigns, others pass."""
        (text,) = _exactly(1, arguments)
        colour, position = _colour(text), self._position
        if position.is_over:
            return None, "resign" if position.outcome == 1 - colour else "pass"
        self._expect_turn(colour, "")
        action = self._player.choose(position)
        return action, position.game.action_to_text(position.state, action)

    def _expect_turn(self, colour: int, prefix: str) -> None:
        if colour != self._position.player:
            raise GtpError(f"{prefix}{COLOUR_NAMES[self._position.player]} is to move")

    def _names_a_move(self, text: str) -> bool:
        """Whether the game writes any of its actions like this, be it legal here or not."""
        game, state = self._position.game, self._position.state
        for action in range(game.num_actions):
            # A game owes a name to legal actions only; what it makes of others, an error even, is no match.
            with contextlib.suppress(Exception):
                if game.action_to_text(state, action).lower() == text:
                    return True
        return False

    # --- tournament and debug, sections 6.3.4 to 6.3.6

    def _time_settings(self, arguments: list[str]) -> str:
        """Accepted: the player searches the same number of simulations whatever the clock says."""
        for text in _exactly(3, arguments):
            if not _INTEGER.fullmatch(text):
                raise GtpError("syntax error")
        return ""

    def _time_left(self, arguments: list[str]) -> str:
        colour, *numbers = _exactly(3, arguments)
        _colour(colour)
        if not all(_INTEGER.fullmatch(text) for text in numbers):
            raise GtpError("syntax error")
        return ""

    def _final_score(self) -> str:
        """`B+4` in points where the game counts them, else `B+` for a win; `0` for a draw."""
        position = self._position
        game, outcome = position.game, position.outcome
        if outcome == ONGOING:
            raise GtpError("cannot score: the game is not over")
        if game.has_score:
            points = int(game.kernels.score(position.state))
            return "0" if points == 0 else f"{'B' if points > 0 else 'W'}+{abs(points)}"
        if outcome == DRAW:
            return "0"
        return "B+" if outcome == FIRST_WINS else "W+"

    def _showboard(self) -> str:
        position = self._position
        board = position.game.render(position.state)
        turn = "over" if position.is_over else f"{COLOUR_NAMES[position.player]} to move"
        return "\n" + "\n".join(line for line in [*board.splitlines(), turn] if line.strip())


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


def _has_parameter(game: Game, name: str) -> bool:
    return any(field.name == name for field in dataclasses.fields(game))
