"""Thinking aloud: what a player is asked to spend on a move, what it thinks meanwhile, and thinking in the background.

    info = player.think(position, Limit(seconds=2), report=show)
    move = player.pick(info)  # an action, or a Resignation

A `Thinker` runs in its caller's thread and tells of itself by `report`; compiled search and networks release the GIL,
so a screen in another thread stays responsive. `Ponderer` has one think on the opponent's time.
"""

import atexit
import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keima.agent.contracts.player import MoveResult, Outcomes, Player
from keima.agent.contracts.territory import Territory
from keima.games.contract import GameError
from keima.games.position import Position

PONDERING = "pondering"
"""The name of the thread that ponders."""
REPORT_EVERY_S = 0.075
"""How often a thinker reports, in seconds, where a batch of its search does not take longer."""


@dataclass(frozen=True)
class Limit:
    """What a move may cost; the search ends with whatever is reached first. At least one of the first two is set.

    Raises GameError for a limit that allows nothing, or none at all.
    """

    simulations: int | None = None
    """Visits of the position, those kept from earlier searches among them."""
    seconds: float | None = None
    """Wall time. The batch of evaluations that is under way when it is up is waited for."""
    actions: frozenset[int] | None = None
    """The only actions that are looked at, one of which is legal; None: every legal one."""

    def __post_init__(self) -> None:
        if self.simulations is None and self.seconds is None:
            raise GameError("a limit for a move: expected simulations or seconds, got neither")
        if self.simulations is not None and self.simulations < 1:
            raise GameError(f"simulations: expected at least 1, got {self.simulations}")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise GameError(f"seconds: expected a number above 0, got {self.seconds:g}")


@dataclass(frozen=True)
class PrincipalVariation:
    """One candidate: a legal action, and what is thought of it."""

    action: int
    visits: int
    """How often the search tried it; 0 for a player that does not search."""
    value: float | None
    """In [-1, 1] for the side to move at the root; None where nothing is known of it."""
    prior: float
    """The probability that the policy gives it before any search."""
    actions: tuple[int, ...]
    """The play expected: `action` and what follows it, as far as it was searched."""
    proven: bool = False
    """Whether `value` is the exact result, found by playing everything out that matters."""


@dataclass(frozen=True)
class SearchInfo:
    """What a player thinks of a position at one moment."""

    variations: tuple[PrincipalVariation, ...]
    """Every legal action, the best first: what would be played without temperature."""
    visits: int
    """Simulations that the position has seen, those kept from earlier searches among them."""
    seconds: float
    """How long this search has lasted."""
    value: float | None
    """Of the position, in [-1, 1] for the side to move."""
    wdl: tuple[float, float, float] | None
    """Win, draw and loss of the side to move as the net alone sees them; None without a net."""
    changes: tuple[tuple[int, int], ...]
    """(visits, action) each time the move it would play became another. The first is (0, what the policy likes best)
    and is there before any search; where a tree was kept from an earlier position, its own changes are not known, and
    what it holds for best comes with the visits it came with."""
    is_decided: bool = False
    """Whether the first variation is to be played whatever the temperature, as a pass that ends a won game."""
    is_hopeless: bool = False
    """Whether the player gives the game up here, as its `pick` answers."""

    @property
    def policy_move(self) -> int:
        """The action that the policy likes best, before any search."""
        return max(self.variations, key=lambda line: line.prior).action


InfoCallback = Callable[[SearchInfo], None]
ShouldStop = Callable[[], bool]


@runtime_checkable
class Thinker(Player, Protocol):
    """A player that can be given a limit, stopped, and watched while it thinks. Not for two threads at once.

    A class that derives from it needs a `name`, `choose`, `think` and `pick`.
    """

    limit: Limit = Limit(simulations=1)
    """What a move may cost where `think` is asked for nothing else."""
    last_info: SearchInfo | None = None
    """What the last `choose` found; None where it looked at no more than the move to play."""
    outcomes: Outcomes | None = None
    """Win, draw and loss as the network sees them; None without a network."""
    territory: Territory | None = None
    """How games are expected to end; None where the game has no ownership or score, or nothing judges them."""

    def think(
        self,
        position: Position,
        limit: Limit | None = None,
        *,
        should_stop: ShouldStop | None = None,
        report: InfoCallback | None = None,
    ) -> SearchInfo:
        """Thinks about `position` until the limit (by default the player's own) is reached or `should_stop()`.

        `report` is called in this thread about every REPORT_EVERY_S seconds, first after the first evaluation.
        However soon it is stopped, there is a first evaluation. Raises GameError for a position that is over.
        """
        ...

    def forget(self) -> None:
        """Drops what it kept of earlier positions: the next `think` starts from nothing, and knows all its changes."""
        return

    def pick(self, info: SearchInfo) -> MoveResult:
        """The answer after thinking so: the first variation's action, or one drawn where the player has a temperature;
        a resignation where `info` is hopeless."""
        ...


_ponderers: "weakref.WeakSet[Ponderer]" = weakref.WeakSet()
"""Those that have begun to ponder."""


@atexit.register
def _end_pondering() -> None:
    """Ends it with the program, which would abort if a thread were in a network's library when all is torn down."""
    for ponderer in list(_ponderers):
        with contextlib.suppress(BaseException):
            ponderer.stop()


class Ponderer(Thinker):
    """A thinker that also thinks on the opponent's time, in a thread of its own.

    `ponder(position)` begins to think about a position in which the other side is to move; the next `think` or
    `choose` ends that and goes on in the tree it left. What went wrong meanwhile is raised then, or by `stop`.
    Its methods may be called by any thread: the thinker is at work in one at a time.
    """

    def __init__(self, thinker: Thinker, limit: Limit | None = None) -> None:
        """`limit`: how long it ponders at most; by default until it is stopped or its tree is full."""
        self.name, self.limit = thinker.name, thinker.limit
        self.outcomes, self.territory = thinker.outcomes, thinker.territory
        self._thinker = thinker
        self._limit = limit or Limit(seconds=24 * 3600.0)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._control = threading.Lock()  # held to begin or end pondering; never by the thread that ponders
        self._at_work = threading.Lock()  # held while the thinker is used

    @property
    def is_pondering(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def ponder(self, position: Position) -> None:
        """Begins to think about `position` as it is now; nothing where the game is over."""
        with self._control:
            self._end()
            if not position.is_over:
                self._stop.clear()
                _ponderers.add(self)
                self._thread = threading.Thread(target=self._run, args=(position.copy(),), name=PONDERING, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends pondering, within a batch of evaluations. Raises what went wrong in it, once."""
        with self._control:
            self._end()

    def choose(self, position: Position) -> MoveResult:
        """See `Player`."""
        with self._working():
            result = self._thinker.choose(position)
            self.last_info = self._thinker.last_info
            return result

    def think(
        self,
        position: Position,
        limit: Limit | None = None,
        *,
        should_stop: ShouldStop | None = None,
        report: InfoCallback | None = None,
    ) -> SearchInfo:
        """See `Thinker`."""
        with self._working():
            return self._thinker.think(position, limit, should_stop=should_stop, report=report)

    def pick(self, info: SearchInfo) -> MoveResult:
        """See `Thinker`."""
        return self._thinker.pick(info)

    def begin_game(self, seed: int) -> None:
        """See `Player`; ends pondering."""
        with self._working():
            self._thinker.begin_game(seed)

    def close(self) -> None:
        """See `Player`; ends pondering."""
        try:
            self.stop()
        finally:
            self._thinker.close()

    def forget(self) -> None:
        """See `Thinker`; ends pondering."""
        with self._working():
            self._thinker.forget()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """The thinker to itself for the block. Ends pondering, and what begins to ponder before it is its turn."""
        self.stop()
        while not self._at_work.acquire(timeout=0.02):
            self.stop()
        try:
            yield
        finally:
            self._at_work.release()

    def _end(self) -> None:
        """Ends pondering, for who holds `_control`. Raises what went wrong in it, once."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, position: Position) -> None:
        # Asked to stop while the thinker is still at work in another thread, it must not wait for that.
        while not self._at_work.acquire(timeout=0.02):
            if self._stop.is_set():
                return
        try:
            self._thinker.think(position, self._limit, should_stop=self._stop.is_set)
        except BaseException as error:  # raised by the thread that stops this one
            self._error = error
        finally:
            self._at_work.release()
