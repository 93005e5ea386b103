"""Engines that speak the Universal Chess Interface, through python-chess, for games that are chess.

A game is chess where the moves that begin it, in its own notation, are those of python-chess's board, as `e2e4`.
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import chess
import chess.engine

from keima.agent.contracts.player import Player
from keima.agent.engines import DEFAULT_TIMEOUT_S, EngineError, Fault, program_and_arguments
from keima.agent.engines.process import KEPT_COMPLAINTS
from keima.agent.engines.usi import GoLimit
from keima.games.contract import Game, GameError
from keima.games.position import Position

EXIT_S = 1.0
"""How long an engine may take to end after it was told to, in seconds, before it is killed."""
T = TypeVar("T")

# What python-chess warns of, as lines that it does not understand, would be printed over a full-screen terminal.
chess.engine.LOGGER.addHandler(logging.NullHandler())


class _Protocol(chess.engine.UciProtocol):
    """UCI whose stderr is kept for error messages."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: deque[str] = deque(maxlen=KEPT_COMPLAINTS)

    def error_line_received(self, line: str) -> None:
        self.complaints.append(line[:500])


class _Engine:
    """A running engine. What python-chess does is done by a thread in the background, for all engines together."""

    def __init__(self, arguments: list[str], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.name = os.path.basename(arguments[0])
        try:
            # A session of its own is a process group of its own, too: Ctrl-C is not for it, and it is killed whole.
            popen = _Protocol.popen(arguments, start_new_session=True)
            self._transport, self._protocol = asyncio.run_coroutine_threadsafe(popen, _loop()).result()
        except OSError as error:
            detail = f"does not start: {error.strerror or error}".lower()
            raise EngineError(self.name, Fault.CRASHED, detail) from error
        self._finalizer = weakref.finalize(self, _kill, self._transport.get_pid())
        self.call(self._protocol.initialize(), timeout_s, "answer `uci`")
        self.name = self._protocol.id.get("name", self.name)

    @property
    def is_running(self) -> bool:
        return self._finalizer.alive and not self._protocol.returncode.done()

    def configure(self, options: Mapping[str, str]) -> None:
        """Sets the engine's own options. Raises GameError for one that it does not have, or another value."""
        names = {name.lower(): name for name in self._protocol.options}  # in the engine's own letters
        options = {names.get(name.lower(), name): value for name, value in options.items()}
        try:
            self.call(self._protocol.configure(options), self._timeout_s, "take its options")
        except chess.engine.EngineError as error:
            self.close()
            raise GameError(f"{self.name}: {error}") from None
        self.call(self._protocol.ping(), self._timeout_s, "answer `isready`")

    def play(self, board: chess.Board, limit: chess.engine.Limit, game: int) -> chess.Move | None:
        """The engine's move. Raises EngineError."""
        after = f"after {len(board.move_stack)} moves"
        try:
            result = self.call(
                self._protocol.play(board, limit, game=game), self._timeout_s + (limit.time or 0.0), f"move {after}"
            )
        except chess.engine.EngineError as error:
            self.close()
            if isinstance(error.args[0], ValueError):  # python-chess read the move, and it is none
                detail = str(error).partition(" in ")[0]
                raise EngineError(self.name, Fault.ILLEGAL, f"played an illegal move, {detail}, {after}") from None
            raise EngineError(self.name, Fault.NONSENSE, f"does not keep to UCI: {error}") from None
        return result.move

    def call(self, coroutine: Coroutine[Any, Any, T], limit_s: float, task: str) -> T:
        """What `coroutine` returns. Raises EngineError where the engine ends or takes too long for its `task`."""
        future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
        try:
            return future.result(limit_s)
        except TimeoutError:
            future.cancel()
            self.close()
            detail = f"hung: it did not {task} within {limit_s:g} s{self._last_complaint()}"
            raise EngineError(self.name, Fault.HUNG, detail) from None
        except chess.engine.EngineTerminatedError:
            code = asyncio.run_coroutine_threadsafe(_awaited(self._protocol.returncode), _loop()).result(EXIT_S)
            self.close()
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            detail = f"crashed: it {how}{self._last_complaint()}"
            raise EngineError(self.name, Fault.CRASHED, detail) from None

    def close(self, *, politely: bool = False) -> None:
        """Ends the engine with all that it started; it may be called twice."""
        if not self._finalizer.alive:
            return
        if politely:
            with contextlib.suppress(TimeoutError, chess.engine.EngineError):
                asyncio.run_coroutine_threadsafe(self._protocol.quit(), _loop()).result(EXIT_S)
        self._finalizer()
        _loop().call_soon_threadsafe(self._transport.close)

    def _last_complaint(self) -> str:
        for line in reversed(self._protocol.complaints):
            if line.strip():
                return f"; its last words: {line.strip()}"
        return ""


class UciPlayer(Player):
    """An engine that speaks UCI, playing a game that is chess."""

    def __init__(
        self,
        command: str,
        game: Game,
        limit: GoLimit,
        *,
        options: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Starts the engine. `timeout_s`: how long an answer may take beyond the time that it is given.

        Raises GameError where the game is not chess, or for no such program or option, EngineError where it fails.
        """
        require_chess(game)
        self._arguments = program_and_arguments(command)
        self._options = dict(options or {})
        self._limit = chess.engine.Limit(nodes=limit.nodes, depth=limit.depth, time=limit.seconds)
        self._timeout_s = timeout_s
        self._game_number = 0
        self._last: list[int] = []  # the moves after which it was asked
        self._engine = self._start()
        self.name = self._engine.name

    def choose(self, position: Position) -> int:
        """The engine's move. Raises EngineError; the engine is started anew when it is asked again."""
        if position.is_over:
            raise GameError("the game is over: there is no move to choose")
        if not self._engine.is_running:
            self._engine = self._start()
        if position.actions[: len(self._last)] != self._last:
            self._game_number += 1
        self._last = list(position.actions)
        board = chess.Board()
        for text in position.moves_text():
            board.push_uci(text)
        move = self._engine.play(board, self._limit, self._game_number)
        if move is None:
            raise EngineError(self.name, Fault.ILLEGAL, f"found no move after {len(position.actions)} moves")
        return position.game.text_to_action(position.state, move.uci())

    def close(self) -> None:
        """Ends the engine; it may be called twice."""
        self._engine.close(politely=True)

    def _start(self) -> _Engine:
        engine = _Engine(self._arguments, self._timeout_s)
        engine.configure(self._options)
        return engine


def require_chess(game: Game) -> None:
    """Raises GameError for a game whose first moves are not those of chess in UCI's notation."""
    state = game.new_state()
    ours = {game.action_to_text(state, int(action)) for action in game.legal(state)}
    if ours != {move.uci() for move in chess.Board().legal_moves}:
        raise GameError(f"uci: expected a game with the moves of chess, as e2e4; {game.label} has others")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Where python-chess's coroutines run; in a thread that does not keep the interpreter from ending."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="uci engines", daemon=True).start()
    return loop


async def _awaited(future: "asyncio.Future[T]") -> T:
    return await asyncio.shield(future)


def _kill(pid: int) -> None:
    """Kills a process and all of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
