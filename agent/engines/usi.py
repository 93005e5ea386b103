"""A client of the Universal Shogi Interface: an engine is handed all moves of the game, and answers with one.

The moves are the game's own notation, which for shogi is to be USI's (`7g7f`, `P*5e`); `startpos` is the game's first
position. Specification: "The Universal Shogi Interface" by Tord Romstad, as kept at hgm.nubati.net/usi.html.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from keima.agent.contracts.player import MoveResult, Player, Resignation
from keima.agent.engines import DEFAULT_TIMEOUT_S, EngineError, Fault
from keima.agent.engines.process import LineProcess
from keima.games.contract import Game, GameError
from keima.games.position import Position

SKILL_LEVEL = "Skill Level"
"""What most engines call how well they are to play."""


@dataclass(frozen=True)
class GoLimit:
    """What a move may cost, as engines of this family count it; at least one is set."""

    nodes: int | None = None
    depth: int | None = None
    seconds: float | None = None


@dataclass
class UsiClient:
    """A running engine: the moves so far in, the next one out."""

    command: str
    options: Mapping[str, str] = field(default_factory=dict)
    """The engine's own options, set before the first game."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """How long an answer may take beyond the time that the engine is given."""

    def __post_init__(self) -> None:
        """Starts it. Raises GameError for no such program or option, EngineError where it fails."""
        self._process = LineProcess(self.command)
        self.name = self._process.name
        self._known: dict[str, str] = {}  # the names of its options as it writes them, by those in lower case
        try:
            self._introduce()
        except BaseException:
            self.close()
            raise

    def new_game(self) -> None:
        """Tells the engine that what follows has nothing to do with what was."""
        self._send("usinewgame")
        self._ready()

    def best_move(self, moves: list[str], limit: GoLimit) -> str:
        """The engine's move after `moves` from the first position; `resign` and `win` are answers, too.

        Raises EngineError.
        """
        self._send("position startpos" + (f" moves {' '.join(moves)}" if moves else ""))
        words = ["go"]
        words += [f"nodes {limit.nodes}"] if limit.nodes is not None else []
        words += [f"depth {limit.depth}"] if limit.depth is not None else []
        if limit.seconds is not None:
            words.append(f"btime 0 wtime 0 byoyomi {max(1, round(1000 * limit.seconds))}")
        self._send(" ".join(words))
        answer = self._wait_for("bestmove", self.timeout_s + (limit.seconds or 0.0))
        if not answer:
            raise self._process.nonsense("answered `bestmove` without a move")
        return answer.split()[0]

    def close(self) -> None:
        """Ends the engine; it may be called twice."""
        self._process.close("quit")

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    def _introduce(self) -> None:
        self._send("usi")
        deadline_s = time.monotonic() + self.timeout_s
        while (line := self._line("usi", deadline_s, self.timeout_s).strip()) != "usiok":
            words = line.split()
            if words[:2] == ["id", "name"] and len(words) > 2:
                self.name = self._process.name = " ".join(words[2:])
            elif words[:2] == ["option", "name"]:
                name = " ".join(words[2:]).partition(" type ")[0]
                self._known[name.lower()] = name
        for name, value in self.options.items():
            if name.lower() not in self._known:
                known = ", ".join(self._known.values()) or "none"
                raise GameError(f"{self.name} has no option {name!r}; it has: {known}")
            self._send(f"setoption name {self._known[name.lower()]} value {value}")
        self._ready()

    def _ready(self) -> None:
        self._send("isready")
        self._wait_for("readyok", self.timeout_s)

    def _send(self, line: str) -> None:
        self._process.send(line, self.timeout_s)

    def _wait_for(self, word: str, limit_s: float) -> str:
        """What follows `word` on the first line that begins with it; others tell of the search."""
        deadline_s = time.monotonic() + limit_s
        while True:
            first, _, rest = self._line(word, deadline_s, limit_s).strip().partition(" ")
            if first == word:
                return rest.strip()

    def _line(self, expected: str, deadline_s: float, limit_s: float) -> str:
        line = self._process.receive(deadline_s)
        if line is None:
            raise self._process.hung(f"did not answer with `{expected}` within {limit_s:g} s")
        return line


class UsiPlayer(Player):
    """An engine that speaks USI, playing one of our games."""

    def __init__(
        self,
        command: str,
        game: Game,
        limit: GoLimit,
        *,
        options: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Starts the engine. Raises GameError for no such program or option, EngineError where it fails."""
        self._game = game
        self._limit = limit
        self._start = lambda: UsiClient(command, options or {}, timeout_s)
        self._client = self._start()
        self._last: list[int] | None = None  # the moves after which it was asked; None in a new process
        self.name = self._client.name

    def choose(self, position: Position) -> MoveResult:
        """The engine's answer. Raises EngineError; the engine is started anew when it is asked again."""
        if position.is_over:
            raise GameError("the game is over: there is no move to choose")
        if not self._client.is_running:
            self._client, self._last = self._start(), None
        if self._last is None or position.actions[: len(self._last)] != self._last:
            self._client.new_game()
        self._last = list(position.actions)
        text = self._client.best_move(position.moves_text(), self._limit)
        after = f"after {len(position.actions)} moves"
        if text == "resign":
            return Resignation(f"{self.name} resigned {after}")
        try:
            return position.game.text_to_action(position.state, text)
        except GameError:
            self._client.close()
            raise EngineError(self.name, Fault.ILLEGAL, f"played an illegal move, {text[:80]!r}, {after}") from None

    def close(self) -> None:
        """Ends the engine; it may be called twice."""
        self._client.close()
