"""How players play in an arena: by a network or by playouts, searched side by side, or asked one move at a time.

A network's player is keima.agent.players.factory' SearchPlayer or PolicyPlayer: the same search with the same
constants, no noise, the same temperature. It differs in three ways. The tree is fresh for every move, so a move has
seen its number of simulations and not some of them in the search before; leaves of a tree are evaluated one after the
other, those of many games together, so there is no virtual loss; and the network runs on the fastest sound backend,
which the tournament's file names. Likewise for playouts.
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keima.agent.contracts.player import Player, Resignation
from keima.games.contract import GameError
from keima.games.position import Position
from keima.mcts.evaluator import Evaluate
from keima.mcts.search import PLAY_SETTINGS, SearchSettings


@dataclass(frozen=True, eq=False)
class NetworkContestant:
    """A search with a network; contestants with the same evaluator share its batches."""

    evaluate: Evaluate
    simulations: int
    """A move; 0: the network's policy alone."""
    temperature: float = 0.0
    settings: SearchSettings = PLAY_SETTINGS
    """Of its search, but for the number of simulations."""


@dataclass(frozen=True, eq=False)
class PlayoutContestant:
    """A search with random playouts."""

    simulations: int
    temperature: float = 0.0


@dataclass(frozen=True)
class Thinking:
    """How long a player thought about some moves: in a thread of its own, by the clock on the wall."""

    moves: int = 0
    seconds: float = 0.0
    longest_s: float = 0.0

    def __add__(self, other: "Thinking") -> "Thinking":
        longest_s = max(self.longest_s, other.longest_s)
        return Thinking(self.moves + other.moves, self.seconds + other.seconds, longest_s)


@dataclass(frozen=True)
class Answer:
    """What a player who was asked has answered."""

    table: int
    action: int = -1
    failure: str = ""
    """Why there is no action, for the user; the game is lost."""
    resigned: bool = False
    """Whether it gave the game up, and nothing is wrong."""
    seconds: float = 0.0
    """How long it thought, where it has a thread to itself."""


Answers = queue.SimpleQueue[Answer]


@runtime_checkable
class Asked(Protocol):
    """Players who are asked for one move at a time. Failing players fail in their answers, never in these methods."""

    capacity: int
    """Games it takes part in at the same time, at most."""

    def begin(self, table: int, seed: int) -> None:
        """A game begins at a table. seed: of what is drawn in it."""

    def ask(self, table: int, position: Position, answers: Answers) -> None:
        """Puts the answer into `answers`, now or later. The position is not changed before that."""

    def end(self, table: int) -> None:
        """The game at the table is over, or given up."""

    def close(self) -> None:
        """Ends what it has started."""


class AskedAtOnce:
    """Players who answer in no time, one for every game."""

    capacity = 1 << 30

    def __init__(self, make: Callable[[int], Player]) -> None:
        """make: a player whose chance is seeded so."""
        self._make = make
        self._players: dict[int, Player] = {}

    def begin(self, table: int, seed: int) -> None:
        self._players[table] = self._make(seed)

    def ask(self, table: int, position: Position, answers: Answers) -> None:
        answers.put(_answer(self._players[table], table, position))

    def end(self, table: int) -> None:
        self._players.pop(table, None)

    def close(self) -> None:
        self._players.clear()


class AskedInThread:
    """A thread for what thinks long or waits for another program: so much longer than a batch that games go on beside.

    The thread plays its games' moves in the order they are asked for. Players are told of
    each game, with the seed of what is drawn in it, and closed in the end.
    """

    def __init__(self, make: Callable[[int], Player], *, capacity: int, one_for_all: bool) -> None:
        """make: a player whose chance is seeded so; see `AskedAtOnce`.

        capacity: games at a time; 1 for an engine, which remembers the game it plays. one_for_all: whether one player
        plays all games, one after the other or at once; otherwise each game has its own.
        """
        self.capacity = capacity
        self._make = make
        self._one_for_all = one_for_all
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._players: dict[int, Player] = {}  # the thread's own
        self._seeds: dict[int, int] = {}
        self._begun: set[int] = set()  # tables whose player has been told of the game
        threading.Thread(target=self._work, name="player", daemon=True).start()

    def begin(self, table: int, seed: int) -> None:
        self._requests.put(lambda: self._note_game(table, seed))

    def ask(self, table: int, position: Position, answers: Answers) -> None:
        self._requests.put(lambda: answers.put(self._choose(table, position)))

    def end(self, table: int) -> None:
        if not self._one_for_all:
            self._requests.put(lambda: _close(self._players.pop(table, None)))

    def close(self) -> None:
        self._requests.put(None)
        # From here, for the thread may be waiting for a program that hangs; it ends with that.
        for player in list(self._players.values()):
            _close(player)

    def _note_game(self, table: int, seed: int) -> None:
        self._seeds[table] = seed
        self._begun.discard(table)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            request()

    def _choose(self, table: int, position: Position) -> Answer:
        key = 0 if self._one_for_all else table
        try:
            if key not in self._players:
                self._players[key] = self._make(self._seeds[table])
            if table not in self._begun:
                self._players[key].begin_game(self._seeds[table])
                self._begun.add(table)
        except GameError as error:
            return Answer(table, failure=str(error))
        start_s = time.monotonic()
        answer = _answer(self._players[key], table, position)
        return dataclasses.replace(answer, seconds=time.monotonic() - start_s)


def _close(player: Player | None) -> None:
    if player is not None:
        player.close()


def _answer(player: Player, table: int, position: Position) -> Answer:
    try:
        result = player.choose(position)
    except GameError as error:
        # An engine that has failed is started anew for the next move it is asked for.
        return Answer(table, failure=str(error))
    if isinstance(result, Resignation):
        return Answer(table, failure=result.message, resigned=True)
    return Answer(table, int(result))


Contestant = NetworkContestant | PlayoutContestant | Asked
