"""A client of the Go Text Protocol, version 2: plays with any engine that speaks it, in any game that both know.

Engines differ in how they read the protocol, and harmless differences are tolerated: greetings and log lines on stdout
before an answer, answers without the number that was sent, commands that are missing (`known_command`, `undo`, time
settings), colours, vertices and `PASS` in either case, spaces and carriage returns.

Specification: Gunnar Farnebäck, "GTP Version 2, draft 2" (2002).
"""

import contextlib
import dataclasses
import math
import re
import time
from collections.abc import Mapping

import numpy as np

from keima.agent.contracts.player import MoveResult, Player, Resignation
from keima.agent.engines import DEFAULT_TIMEOUT_S, EngineError, Fault
from keima.agent.engines.process import LineProcess
from keima.games.contract import Game, GameError
from keima.games.position import Position

COLOURS = ("b", "w")
"""GTP's names of the first player and of the second."""
MAX_UNDO = 4
"""More moves than these are not taken back one by one: the game is played anew."""
MAX_STRAY_LINES = 1000
"""Lines before an answer that are no answer."""
MAX_SEED = 1 << 31
"""Seeds that engines are told are below this: GNU Go reads an int."""
_RESPONSE = re.compile(r"([=?])([0-9]*)[ \t]*(.*)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RefusedError(Exception):
    """The engine answered that a command fails; the message is its own."""


class GtpClient:
    """A running engine: commands in, answers out."""

    def __init__(self, command: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Starts it and asks who it is. Raises GameError for no such program, EngineError where it fails."""
        self._process = LineProcess(command)
        self._timeout_s = timeout_s
        self._number = 0
        try:
            self.name = self._ask_quietly("name") or self._process.name
            self.version = self._ask_quietly("version")
            listed = self._ask_quietly("list_commands")
        except BaseException:
            self.close()
            raise
        self._process.name = self.name
        self._listed = frozenset(listed.split())

    def knows(self, command: str) -> bool:
        """Whether the engine says that it has this command."""
        if self._listed:
            return command in self._listed
        return self._ask_quietly(f"known_command {command}").strip().lower() == "true"

    def ask(self, command: str, timeout_s: float | None = None) -> str:
        """The engine's answer to a command, its lines joined by line ends.

        Raises RefusedError where it says that the command fails, EngineError where it ended, answers nothing in time
        (by default the client's) or what is no answer; it is closed then.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        deadline_s = time.monotonic() + limit_s
        self._number += 1
        self._process.send(f"{self._number} {command}", limit_s)
        sign, first = self._first_line(command, deadline_s, limit_s)
        lines = [first]
        while line := self._line(command, deadline_s, limit_s, lines[0]).strip():
            lines.append(line)
        text = "\n".join(lines).strip()
        if sign == "?":
            raise RefusedError(text or "without a reason")
        return text

    def close(self) -> None:
        """Ends the engine; it may be called twice."""
        self._process.close("quit")

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    @property
    def pid(self) -> int:
        return self._process.pid

    def nonsense(self, detail: str) -> EngineError:
        """The error that the engine does not do what the protocol asks; closes it."""
        return self._process.nonsense(detail)

    def _ask_quietly(self, command: str) -> str:
        """The answer; empty where the engine refuses."""
        with contextlib.suppress(RefusedError):
            return self.ask(command)
        return ""

    def _first_line(self, command: str, deadline_s: float, limit_s: float) -> tuple[str, str]:
        """The sign and the text of the answer's first line. What comes before it is stray."""
        stray = ""
        for _ in range(MAX_STRAY_LINES):
            line = _CONTROL.sub("", self._line(command, deadline_s, limit_s, stray).replace("\t", " ")).strip()
            match = _RESPONSE.fullmatch(line)
            # A number that is not ours belongs to what went before. Numbers longer than any of ours are no numbers.
            if match and (not match[2] or match[2].lstrip("0") == str(self._number)):
                return match[1], match[3].strip()
            if line and not match:
                stray = line
        raise self._process.nonsense(f"answered {command!r} with what is no answer, as {stray[:80]!r}")

    def _line(self, command: str, deadline_s: float, limit_s: float, so_far: str) -> str:
        line = self._process.receive(deadline_s)
        if line is None:
            if so_far:
                raise self._process.nonsense(
                    f"did not finish an answer to {command!r} within {limit_s:g} s; it wrote {so_far[:80]!r}"
                )
            raise self._process.hung(f"did not answer {command!r} within {limit_s:g} s")
        return line


class GtpPlayer(Player):
    """An engine that speaks GTP, playing one of our games. The moves are the game's own notation."""

    def __init__(
        self,
        command: str,
        game: Game,
        *,
        seconds: float | None = None,
        level: int | None = None,
        commands: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Starts the engine. `seconds`: what it is told that a move may take. `level`: for those that have one.

        `commands`: GTP commands with their arguments, sent at the start after what the game asks for: `kgs-rules`,
        `komi`, `time_settings`, an engine's own; one that says what the game would have said takes its place.
        `timeout_s`: how much longer than `seconds` an answer may take; an attribute, too.
        Raises GameError where the engine does not play this game, EngineError where it fails.
        """
        self._command = command
        self._game = game
        self._seconds = seconds
        self._level = level
        self._commands = dict(commands or {})
        self.timeout_s = timeout_s
        self._client: GtpClient | None = None
        self._moves: list[str] = []  # what has been played on the engine's board
        self._start_text = ""  # what was put on it before, see `Position.start_text`
        self._is_stale = False  # whether the engine's board is to be cleared before it is asked again
        self._seed: int | None = None
        self.name = ""
        self._start()

    def choose(self, position: Position) -> MoveResult:
        """The engine's answer. Raises EngineError; the engine is started anew when it is asked again."""
        if position.is_over:
            raise GameError("the game is over: there is no move to choose")
        client = self._synchronized(position)
        colour = COLOURS[position.player]
        limit_s = self.timeout_s + (self._seconds or 0.0)
        try:
            if self._seconds is not None and client.knows("time_left"):
                with contextlib.suppress(RefusedError):
                    client.ask(f"time_left {colour} {_whole_seconds(self._seconds)} 1")
            text = " ".join(client.ask(f"genmove {colour}", limit_s).split()).lower()
        except RefusedError as refusal:
            raise client.nonsense(f"refused to make a move: {refusal}") from None
        if text == "resign":
            self._is_stale = True  # nobody knows what an engine makes of its board then
            return Resignation(f"{self.name} resigned after {len(position.actions)} moves")
        try:
            action = position.game.text_to_action(position.state, text)
        except GameError:
            client.close()
            raise EngineError(
                self.name,
                Fault.ILLEGAL,
                f"played an illegal move, {text[:80]!r}, after {len(position.actions)} moves",
            ) from None
        self._moves.append(position.game.action_to_text(position.state, action))
        return action

    def knows(self, command: str) -> bool:
        """Whether the engine says that it has this command. Raises EngineError."""
        return self._running().knows(command)

    def begin_game(self, seed: int) -> None:
        """The next position is of a new game. `seed`: of what the engine draws in it, where it can be told."""
        self._seed = seed % MAX_SEED
        self._is_stale = True

    def final_score(self, position: Position) -> str | None:
        """What the engine says of a position's result, as `B+3.5`; None where it says nothing. Raises EngineError."""
        client = self._synchronized(position)
        with contextlib.suppress(RefusedError):
            return client.ask("final_score")
        return None

    def dead_stones(self, position: Position) -> list[int] | None:
        """The cells of the stones that the engine says are dead; None where it says nothing. Raises EngineError.

        For a game whose actions on the board are its cells.
        """
        client = self._synchronized(position)
        try:
            words = client.ask("final_status_list dead").lower().split()
        except RefusedError:
            return None
        rows, columns = self._game.shape
        cells = {self._game.cell_to_text(cell).lower(): cell for cell in range(rows * columns)}
        stones = self._game.board(position.state).reshape(-1)
        for word in words:
            if word not in cells or not stones[cells[word]]:
                raise client.nonsense(f"said that {word[:80]!r} is dead, where there is no stone")
        return sorted({cells[word] for word in words})

    def close(self) -> None:
        """Ends the engine; it may be called twice."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def _start(self) -> GtpClient:
        """A new engine, ready to play the game from its beginning."""
        client = GtpClient(self._command, self.timeout_s)
        try:
            self._prepare(client)
        except BaseException:
            client.close()
            raise
        self._client = client
        self.name = self.name or f"{client.name} {client.version}".strip()
        return client

    def _running(self) -> GtpClient:
        """The engine, started anew where it has ended."""
        client = self._client
        return client if client is not None and client.is_running else self._start()

    def _prepare(self, client: GtpClient) -> None:
        """Tells it the game's size, komi and rules, the time and the level, and what it is to be told besides."""
        parameters = {field.name: getattr(self._game, field.name) for field in dataclasses.fields(self._game)}
        try:
            client.ask(f"boardsize {self._game.shape[1]}")
        except RefusedError as refusal:
            if "size" in parameters:  # other games have but one size, which the protocol need not know of
                raise GameError(f"{client.name} does not play {self._game.label}: {refusal}") from None
        self._clear(client)
        if "komi" in parameters and "komi" not in self._commands:
            _demand(client, f"komi {parameters['komi']:g}", f"does not take a komi of {parameters['komi']:g}")
        rules = kgs_rules(self._game)
        if rules is not None and "kgs-rules" not in self._commands and client.knows("kgs-rules"):
            _demand(client, f"kgs-rules {rules}", f"does not play by {rules} rules")
        if self._seconds is not None and "time_settings" not in self._commands and client.knows("time_settings"):
            with contextlib.suppress(RefusedError):
                client.ask(f"time_settings 0 {_whole_seconds(self._seconds)} 1")
        if self._level is not None:
            _demand(client, f"level {self._level}", f"has no level {self._level}")
        for name, arguments in self._commands.items():
            _demand(client, f"{name} {arguments}".rstrip(), f"refused {name!r}")

    def _clear(self, client: GtpClient) -> None:
        """Has the game begin anew, with what the rules place on the board; stones placed freely are moves."""
        stones = getattr(self._game, "handicap", 0) if getattr(self._game, "placement", None) == "fixed" else 0
        try:
            client.ask("clear_board")
            if stones:
                client.ask(f"fixed_handicap {stones}")
        except RefusedError as refusal:
            raise client.nonsense(f"refused to set up the board: {refusal}") from None
        # It plays the same game again otherwise, or no game twice.
        told = "set_random_seed" in self._commands
        if self._seed is not None and not told and client.knows("set_random_seed"):
            with contextlib.suppress(RefusedError):
                client.ask(f"set_random_seed {self._seed}")
        self._moves, self._is_stale, self._start_text = [], False, ""

    def _synchronized(self, position: Position) -> GtpClient:
        """The engine, running, with the position on its board: moves taken back or made, or the game played anew."""
        client = self._running()
        wanted, movers = position.moves_text(), position.movers()
        common = 0
        while common < min(len(wanted), len(self._moves)) and wanted[common] == self._moves[common]:
            common += 1
        is_other = self._start_text != position.start_text
        if self._is_stale or is_other or not self._taken_back(client, len(self._moves) - common):
            self._clear(client)
            self._set_up(client, position)
        for ply in range(len(self._moves), len(wanted)):
            try:
                client.ask(f"play {COLOURS[movers[ply]]} {wanted[ply]}")
            except RefusedError as refusal:
                raise client.nonsense(f"refused the legal move {wanted[ply]} (number {ply + 1}): {refusal}") from None
            self._moves.append(wanted[ply])
        return client

    def _set_up(self, client: GtpClient, position: Position) -> None:
        """Puts the position on the engine's empty board that the game begins with, where that is not the game's own.

        Keima takes its text. In Go a stone is a move, whoever's turn it is, and none is captured on the way.
        """
        if not position.start_text:
            return
        try:
            if client.knows("keima-position"):
                client.ask(f"keima-position {position.start_text}")
            elif position.game.name == "go" and "ko=" not in position.start_text:
                client.ask("clear_board")  # without a handicap
                cells = position.game.board(position.start).reshape(-1)
                for cell in np.flatnonzero(cells):
                    client.ask(f"play {COLOURS[cells[cell] - 1]} {position.game.cell_to_text(int(cell))}")
            else:
                raise GameError(f"{self.name} cannot be told of a position to begin with, which this game has")
        except RefusedError as refusal:
            raise client.nonsense(f"refused a position to begin with: {refusal}") from None
        self._start_text = position.start_text

    def _taken_back(self, client: GtpClient, count: int) -> bool:
        """Whether the last `count` moves could be undone."""
        if count > MAX_UNDO or (count and not client.knows("undo")):
            return False
        for _ in range(count):
            try:
                client.ask("undo")
            except RefusedError:
                return False
            self._moves.pop()
        return True


def kgs_rules(game: Game) -> str | None:
    """What KGS's extension of the protocol calls a game's rules, the nearest ones; None for a game without such."""
    rules = getattr(game, "rules", None)
    if rules in (None, "japanese", "aga"):
        return rules
    return "new_zealand" if getattr(game, "suicide", "no") == "yes" else "chinese"


def _demand(client: GtpClient, command: str, complaint: str) -> None:
    """Sends a command that has to succeed. Raises GameError: the engine's name, the complaint and its reason."""
    try:
        client.ask(command)
    except RefusedError as refusal:
        raise GameError(f"{client.name} {complaint}: {refusal}") from None


def _whole_seconds(seconds: float) -> int:
    """The protocol knows whole seconds only."""
    return max(1, math.floor(seconds))
