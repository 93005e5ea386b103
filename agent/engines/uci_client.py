"""A client of the Universal Chess Interface and of its sister, the Universal Shogi Interface.

An engine is handed all moves of the game, and answers with one. The two protocols differ in a few words alone, which a
`Dialect` holds. Lines that a client need not understand, as `info` of a search or words of a later version, are passed
over.

Specifications: Stefan Meyer-Kahlen, "Description of the universal chess interface" (April 2006); Tord Romstad, "The
Universal Shogi Interface", as kept at hgm.nubati.net/usi.html.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from keima.agent.engines import DEFAULT_TIMEOUT_S
from keima.agent.engines.process import LineProcess
from keima.games.contract import GameError

SKILL_LEVEL = "Skill Level"
"""What most engines call how well they are to play."""
INITIAL = "startpos"
"""The game's first position, where a position is named."""
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_OPTION_WORDS = ("type", "default", "min", "max", "var")


@dataclass(frozen=True)
class GoLimit:
    """What a move may cost, as engines of this family count it; at least one is set."""

    nodes: int | None = None
    depth: int | None = None
    """Plies."""
    seconds: float | None = None


@dataclass(frozen=True)
class Dialect:
    """The words in which the two protocols differ."""

    name: str
    """The first word that an engine is sent; it ends its answer with this and `ok`."""
    new_game: str
    move_time: str
    """How `go` limits a move's time, with {} for whole milliseconds."""
    position: str
    """What a position's text is called, see `Game.text_to_position`."""


UCI = Dialect("uci", "ucinewgame", "movetime {}", "fen")
USI = Dialect("usi", "usinewgame", "btime 0 wtime 0 byoyomi {}", "sfen")


@dataclass(frozen=True)
class EngineOption:
    """An option that an engine has, as it describes it."""

    name: str
    """As the engine writes it."""
    kind: str
    """`check`, `spin`, `combo`, `button` or `string`; USI's `filename`, too."""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: list[str]) -> "EngineOption":
        """The option in what follows `option name`: `Skill Level type spin default 20 min 0 max 20`."""
        fields: dict[str, list[str]] = {"name": []}
        choices: list[str] = []
        field = "name"
        for word in words:
            if word in _OPTION_WORDS and (word != "type" or field == "name"):
                field = word
                fields[field] = []
                choices += [""] if word == "var" else []
            else:
                fields[field].append(word)
                if field == "var":
                    choices[-1] = f"{choices[-1]} {word}".strip()
        low, high = (_integer(" ".join(fields.get(bound, []))) for bound in ("min", "max"))
        kind = " ".join(fields.get("type", ["string"]))
        return cls(" ".join(fields["name"]), kind, low, high, tuple(choices))

    def command(self, engine: str, value: str) -> str:
        """The line that sets it. Raises GameError, which begins with the engine's name, for a value of another type."""
        if self.kind == "button":
            return f"setoption name {self.name}"
        expected = ""
        if self.kind == "spin":
            number = _integer(value)
            if number is None or not self._is_within(number):
                expected = f"integer{self._bounds()}"
        elif self.kind == "check" and value not in ("true", "false"):
            expected = "true or false"
        elif self.kind == "combo" and value not in self.choices:
            expected = f"one of {', '.join(self.choices)}"
        if expected:
            raise GameError(f"{engine}: expected {expected} for {self.kind} option {self.name!r}, got {value!r}")
        return f"setoption name {self.name} value {value}"

    def _is_within(self, number: int) -> bool:
        return (self.low is None or self.low <= number) and (self.high is None or number <= self.high)

    def _bounds(self) -> str:
        return "" if self.low is None or self.high is None else f" from {self.low} to {self.high}"


class UciClient:
    """A running engine: the moves so far in, the next one out."""

    def __init__(
        self,
        command: str,
        dialect: Dialect,
        options: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Starts it. `options`: its own, set before the first game; names in upper or lower case.

        `timeout_s`: how long an answer may take beyond the time that the engine is given.
        Raises GameError for no such program, option or value, EngineError where it fails.
        """
        self._dialect = dialect
        self._timeout_s = timeout_s
        self._process = LineProcess(command)
        self.name = self._process.name
        try:
            known = self._introduction()
            for name, value in (options or {}).items():
                if name.lower() not in known:
                    has = ", ".join(option.name for option in known.values()) or "none"
                    raise GameError(f"{self.name} has no option {name!r}; it has: {has}")
                self._send(known[name.lower()].command(self.name, value))
            self._ready()
        except BaseException:
            self.close()
            raise

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def complaints(self) -> list[str]:
        """The last lines it wrote on stderr."""
        return self._process.complaints

    def new_game(self) -> None:
        """Tells the engine that what follows has nothing to do with what was."""
        self._send(self._dialect.new_game)
        self._ready()

    def best_move(self, moves: list[str], limit: GoLimit, start: str = INITIAL) -> str:
        """The word that the engine answers after `moves` from a position; '' where it says none.

        `start`: INITIAL, or `fen` or `sfen` and the position's text. Raises EngineError.
        """
        self._send(" ".join(["position", start, *(["moves", *moves] if moves else [])]))
        words = ["go"]
        words += [f"nodes {limit.nodes}"] if limit.nodes is not None else []
        words += [f"depth {limit.depth}"] if limit.depth is not None else []
        if limit.seconds is not None:
            words.append(self._dialect.move_time.format(max(1, round(1000 * limit.seconds))))
        self._send(" ".join(words))
        task = f"move after {len(moves)} moves"
        answer = self._wait_for("bestmove", task, self._timeout_s + (limit.seconds or 0.0)).split()
        return answer[0] if answer else ""

    def close(self) -> None:
        """Ends the engine; it may be called twice."""
        self._process.close("quit")

    def _introduction(self) -> dict[str, EngineOption]:
        """Asks who it is; its options by their names in lower case."""
        name, known = self._dialect.name, dict[str, EngineOption]()
        self._send(name)
        deadline_s = time.monotonic() + self._timeout_s
        while (words := self._line(f"answer `{name}`", deadline_s, self._timeout_s).split()) != [f"{name}ok"]:
            if words[:2] == ["id", "name"] and len(words) > 2:
                self.name = self._process.name = " ".join(words[2:])
            elif words[:2] == ["option", "name"]:
                option = EngineOption.parse(words[2:])
                known[option.name.lower()] = option
        return known

    def _ready(self) -> None:
        self._send("isready")
        self._wait_for("readyok", "answer `isready`", self._timeout_s)

    def _send(self, line: str) -> None:
        self._process.send(line, self._timeout_s)

    def _wait_for(self, word: str, task: str, limit_s: float) -> str:
        """What follows `word` on the first line that begins with it; others tell of the search."""
        deadline_s = time.monotonic() + limit_s
        while True:
            first, _, rest = self._line(task, deadline_s, limit_s).strip().partition(" ")
            if first == word:
                return rest.strip()

    def _line(self, task: str, deadline_s: float, limit_s: float) -> str:
        line = self._process.receive(deadline_s)
        if line is None:
            raise self._process.hung(f"did not {task} within {limit_s:g} s")
        return line


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None
