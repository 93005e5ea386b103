"""Engines that speak UCI as players, for games that are chess.

A game is chess where the moves that begin it, in its own notation, are those of chess in UCI's: `e2e4`, `g1f3`.
"""

from collections.abc import Callable, Mapping

from keima.agent.contracts.player import MoveResult, Player
from keima.agent.engines import DEFAULT_TIMEOUT_S, EngineError, Fault
from keima.agent.engines.uci_client import INITIAL, UCI, GoLimit, UciClient
from keima.games.contract import Game, GameError
from keima.games.position import Position

FIRST_MOVES = {f"{file}2{file}{rank}" for file in "abcdefgh" for rank in "34"} | {"b1a3", "b1c3", "g1f3", "g1h3"}
"""The moves that begin a game of chess."""
NO_MOVE = ("", "(none)", "0000")
"""What engines answer where they see no move, though there is one."""


class UciPlayer(Player):
    """An engine that speaks UCI, playing a game that is chess."""

    _dialect = UCI

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

        Raises GameError where it is not for this game, or for no such program, option or value, EngineError where it
        fails.
        """
        self._check_game(game)
        self._limit = limit
        self._start: Callable[[], UciClient] = lambda: UciClient(command, self._dialect, options, timeout_s)
        self._client = self._start()
        # The path of the position it was asked in; None where a new game begins.
        self._last: tuple[int | str, ...] | None = None
        self.name = self._client.name

    @property
    def client(self) -> UciClient:
        """The engine as it runs now; another one after it has failed."""
        return self._client

    def choose(self, position: Position) -> MoveResult:
        """The engine's answer. Raises EngineError; the engine is started anew when it is asked again."""
        if position.is_over:
            raise GameError("the game is over: there is no move to choose")
        if not self._client.is_running:
            self._client, self._last = self._start(), None
        if self._last is None or position.path[: len(self._last)] != self._last:
            self._client.new_game()
        self._last = position.path
        start = f"{self._dialect.position} {position.start_text}" if position.start_text else INITIAL
        return self._result(position, self._client.best_move(position.moves_text(), self._limit, start))

    def begin_game(self, seed: int) -> None:
        """See `keima.agent.contracts.player.Player`; these protocols know no seeds."""
        self._last = None

    def close(self) -> None:
        """Ends the engine; it may be called twice."""
        self._client.close()

    def _check_game(self, game: Game) -> None:
        """Raises GameError for a game that such engines do not play."""
        require_chess(game)

    def _result(self, position: Position, answer: str) -> MoveResult:
        """What an answer means. Raises EngineError, and ends the engine, where it is no legal move."""
        after = f"after {len(position.actions)} moves"
        try:
            if answer not in NO_MOVE:
                return position.game.text_to_action(position.state, answer)
            fault = f"found no move {after}"
        except GameError:
            fault = f"played an illegal move, {answer[:80]!r}, {after}"
        self._client.close()
        raise EngineError(self.name, Fault.ILLEGAL, fault)


def require_chess(game: Game) -> None:
    """Raises GameError for a game whose first moves are not those of chess in UCI's notation."""
    state = game.new_state()
    if {game.action_to_text(state, int(action)) for action in game.legal(state)} != FIRST_MOVES:
        raise GameError(f"uci: expected a game with the moves of chess, as e2e4; {game.label} has others")
