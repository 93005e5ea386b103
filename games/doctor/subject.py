"""A game under examination: its kernels called with care, so that whatever they do wrong is seen and told.

The same code serves kernels that are compiled and kernels that are plain Python (`NUMBA_DISABLE_JIT=1`), where an
index out of bounds is an exception with a line number and not a crash. Dimensions: S entries of the state row,
L = max_legal, C planes of H x W cells.
"""

import contextlib
import linecache
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, Game, GameError, State
from keima.games.doctor.report import ERROR, Finding

GUARD = 64
"""Entries before and behind every buffer that a kernel must leave alone."""
MARK = 99
RUBBISH = (-7, 12345)
"""What buffers hold before a kernel fills them: what it leaves unset shows as a difference."""
FEW, MANY = 60, 400
"""Positions for checks that are slow a position, and for those that are not."""
MIN_DECIDED = 40
"""Games with a winner from which on their being all of one kind is no chance."""
MIN_MOVES = 8
"""Moves of a side from which on what they have in common is no chance."""
KERNEL_SECONDS = 20.0
"""Processor time after which an uncompiled kernel's call is taken for endless."""
QUIET_SECONDS = 1.0
"""The same in positions that the rules may not be able to reach."""
OUTCOME_REMEDY = (
    "codes are absolute, never 'mine' or 'the last mover's': return who has won, FIRST_WINS (0) or SECOND_WINS (1), "
    "whoever is to move; where outcome knows only that the side to move has won, return state[PLAYER], where it has "
    "lost 1 - state[PLAYER]"
)


_CHECK_OF = {
    "outcome": "outcome",
    "legal_actions": "legal moves",
    "legal_or_over": "legal or over",
    "position_hash": "hash",
}
"""The check that tells of what a kernel returns, where that is no number."""


class Stopped(Exception):  # noqa: N818 (the finding was reported where it was made; what was under way ends)
    """A kernel did something after which nothing more can be learnt from this position."""


class NotPlain(Exception):  # noqa: N818
    """A kernel does not run as plain Python, though it may well compile."""


class _Endless(Exception):  # noqa: N818
    """An uncompiled kernel has used up its time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A position that was reached, and how."""

    state: State
    parent: int
    """The sample that it was reached from, -1 for the start."""
    action: int
    ply: int
    legal: NDArray[np.int32]
    """Empty when the game is over."""
    outcome: int


@dataclass(frozen=True)
class RandomGame:
    """A game of uniformly random moves."""

    actions: list[int]
    samples: list[int]
    """One for each ply, and one for the end. Where a shorter way to the same row is known, its sample."""


class _Guarded:
    """A buffer with marked entries on both sides."""

    def __init__(self, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        size = int(np.prod(shape))
        self._all = np.full(size + 2 * GUARD, MARK, dtype)
        self.array = self._all[GUARD : GUARD + size].reshape(shape)

    def is_intact(self) -> bool:
        return bool((self._all[:GUARD] == MARK).all() and (self._all[-GUARD:] == MARK).all())

    def repair(self) -> None:
        self._all[:GUARD] = self._all[-GUARD:] = MARK


class Subject:
    """A game, its kernels, the positions found so far and what was found wrong."""

    def __init__(self, game: Game, *, interpreted: bool, seconds: float = KERNEL_SECONDS) -> None:
        """interpreted: the kernels are plain Python. seconds: see KERNEL_SECONDS."""
        self.game = game
        self.interpreted = interpreted
        self.kernels = game.kernels
        self.findings: dict[tuple[str, str], Finding] = {}
        self.samples: list[Sample] = []
        self.random_games: list[RandomGame] = []
        self.open_questions: dict[tuple[str, str], str] = {}
        """By check and question, why it could not be judged."""
        self.judged: set[tuple[str, str]] = set()
        """Checks and their questions that were judged."""
        self.here: tuple[int, tuple[int, ...]] | None = None
        """Where the examination is: a sample, and actions played after it."""
        height, width = game.shape
        self._seconds = seconds
        self._parameters = game.parameter_row()
        self._row = _Guarded((game.state_size,), np.int64)
        self._actions = _Guarded((game.max_legal,), np.int32)
        self._planes = _Guarded((game.num_planes, height, width), np.float32)
        self._owners = _Guarded((height * width,), np.int8)
        self._buffers = {
            "state": (self._row, "state_size"),
            "actions": (self._actions, "max_legal"),
            "planes": (self._planes, "shape or num_planes"),
            "owners": (self._owners, "shape"),
        }
        self._can_limit = interpreted and threading.current_thread() is threading.main_thread()
        if self._can_limit:
            signal.signal(signal.SIGVTALRM, _end)
        module = sys.modules[type(game).__module__]
        self.file = str(module.__file__)

    # --- findings

    @property
    def is_sound(self) -> bool:
        """Whether no error was found so far."""
        return all(finding.severity != ERROR for finding in self.findings.values())

    def report(
        self,
        severity: str,
        check: str,
        kind: str,
        *,
        found: str,
        expected: str,
        remedy: str,
        moves: Sequence[str] | None = None,
    ) -> None:
        """Keeps a finding. Of several of one check and kind, the one after the fewest moves is kept.

        moves: by default those that lead to `here`.
        """
        if moves is None and self.here is not None:
            moves = self.moves_text(*self.here)
        finding = Finding(severity, check, found, expected, remedy, None if moves is None else tuple(moves), kind)
        known = self.findings.get((check, kind))
        if known is None or len(finding.moves or ()) < len(known.moves or ()):
            self.findings[check, kind] = finding

    def stop(self, severity: str, check: str, kind: str, *, found: str, expected: str, remedy: str) -> Stopped:
        """Reports a finding after which the position is of no more use; to be raised."""
        self.report(severity, check, kind, found=found, expected=expected, remedy=remedy)
        return Stopped(f"{check}: {found}")

    def judge(self, check: str, question: str, why_not: str = "") -> bool:
        """Notes that a check has judged one of its questions, or why it could not; returns whether it has.

        What is open after one stage may be judged in another.
        """
        if why_not:
            self.open_questions[check, question] = why_not
        else:
            self.judged.add((check, question))
        return not why_not

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """What is found meanwhile is forgotten: of positions that the rules may not be able to reach."""
        findings, here, seconds = dict(self.findings), self.here, self._seconds
        self._seconds = min(seconds, QUIET_SECONDS)
        try:
            yield
        finally:
            self.findings, self.here, self._seconds = findings, here, seconds

    def moves_text(self, index: int, further: Sequence[int] = ()) -> list[str]:
        """The moves from the start to a sample and on, in the game's notation; `#7` for an action that has none."""
        path: list[tuple[State | None, int]] = []
        if index >= 0:
            path = [(self.samples[index].state if k == 0 else None, a) for k, a in enumerate(further)]
            while self.samples[index].parent >= 0:
                sample = self.samples[index]
                path.insert(0, (self.samples[sample.parent].state, sample.action))
                index = sample.parent
        return [self.action_text(state, action) for state, action in path]

    def action_text(self, state: State | None, action: int) -> str:
        """The action in the game's notation, or its number where the game cannot say."""
        if state is not None:
            with contextlib.suppress(Exception):
                text = self.game.action_to_text(state.copy(), action)
                if isinstance(text, str) and text:
                    return text
        return f"#{action}"

    def line_of(self, error: BaseException) -> str:
        """Where in the game's file an exception came from, with the source line."""
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == self.file]
        if not frames:
            return ""
        frame = frames[-1]
        return f" at line {frame.lineno} (`{linecache.getline(self.file, frame.lineno or 0).strip()}`)"

    # --- kernels

    def reset(self, rubbish: int = 0) -> State:
        """The initial position, written over `rubbish`."""
        self._row.array[:] = rubbish
        parameters = self._parameters.copy()
        self._call("reset", self._row.array, parameters)
        if not np.array_equal(parameters, self._parameters):
            self.report(
                ERROR,
                "purity",
                "parameters",
                found="reset writes to `parameters`",
                expected="parameters are read only: every later game is handed the same row",
                remedy="copy what reset needs into the state row",
            )
        return self._row.array.copy()

    def legal(self, state: State, rubbish: int = RUBBISH[0]) -> NDArray[np.int32]:
        """What legal_actions lists, in a buffer that held `rubbish`. Raises Stopped for a count that cannot be."""
        self._actions.array[:] = rubbish
        count = self._whole("legal_actions", self._ask("legal_actions", state, self._actions.array))
        if not 0 <= count <= self.game.max_legal:
            raise self.stop(
                ERROR,
                "legal moves",
                "count",
                found=f"legal_actions returns {count}",
                expected=f"the number of legal actions, 0 to max_legal = {self.game.max_legal}",
                remedy="return how many actions were written; raise max_legal if there can be that many",
            )
        return self._actions.array[:count].copy()

    def legal_or_over(self, state: State) -> tuple[int, NDArray[np.int32]]:
        """What legal_or_over returns, and the actions it lists."""
        self._actions.array[:] = RUBBISH[0]
        count = self._whole("legal_or_over", self._ask("legal_or_over", state, self._actions.array))
        return count, self._actions.array[: max(count, 0)].copy()

    def position_hash(self, state: State) -> int:
        """The game's own hash of the position."""
        return self._whole("position_hash", self._ask("position_hash", state))

    def play(self, state: State, action: int) -> State:
        """A new row: the position after the action."""
        self._row.array[:] = state
        self._call("play", self._row.array, np.int64(action))
        return self._row.array.copy()

    def outcome(self, state: State) -> int:
        """The outcome code. Raises Stopped for one outside the contract."""
        code = self._whole("outcome", self._ask("outcome", state))
        if code not in (ONGOING, FIRST_WINS, SECOND_WINS, DRAW):
            raise self.stop(
                ERROR,
                "outcome",
                "code",
                found=f"outcome returns {code}",
                expected="ONGOING (-1), FIRST_WINS (0), SECOND_WINS (1) or DRAW (2)",
                remedy="return the winner's number, or one of the contract's names",
            )
        return code

    def planes(self, state: State, rubbish: float = np.nan) -> NDArray[np.float32]:
        """The planes [C, H, W], encoded into a buffer that held `rubbish`."""
        self._planes.array[:] = rubbish
        self._ask("encode", state, self._planes.array)
        return self._planes.array.copy()

    def owners(self, state: State, rubbish: int = MARK) -> NDArray[np.int8]:
        """What ownership writes [H * W] into a buffer that held `rubbish`."""
        self._owners.array[:] = rubbish
        self._ask("ownership", state, self._owners.array)
        return self._owners.array.copy()

    def score(self, state: State) -> int:
        """The score in points."""
        return self._whole("score", self._ask("score", state))

    def _ask(self, name: str, state: State, *arguments: Any) -> Any:
        """Calls a kernel that must not write to the state, and sees whether it does."""
        self._row.array[:] = state
        result = self._call(name, self._row.array, *arguments)
        changed = np.flatnonzero(self._row.array != state)
        if len(changed):
            i = int(changed[0])
            self.report(
                ERROR,
                "purity",
                name,
                found=f"{name} writes to the state: state[{i}] was {state[i]} and is {self._row.array[i]} afterwards",
                expected="legal_actions, outcome, encode, ownership and score only read the state",
                remedy=f"have {name} work on local variables, or move the change into play",
            )
        return result

    def _whole(self, name: str, value: Any) -> int:
        if not isinstance(value, (int, np.integer, np.bool_)):
            raise self.stop(
                ERROR,
                _CHECK_OF.get(name, "targets"),
                f"{name} type",
                found=f"{name} returns {value!r}",
                expected="a whole number" if value is not None else "a whole number on every path, not nothing",
                remedy=f"end {name} with a return of an int (compiled code would cut the rest off)"
                if value is not None
                else f"end every path through {name} with a return",
            )
        return int(value)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Calls a kernel. Reports what it raises, time without end and writing past its buffers; raises Stopped.

        Raises NotPlain for an uncompiled kernel that may make sense compiled.
        """
        try:
            with np.errstate(all="ignore", divide="raise"), self._limited():
                result = getattr(self.kernels, name)(*arguments)
        except _Endless as error:
            raise self.stop(
                ERROR,
                "endless loops",
                name,
                found=f"{name} has not returned after {self._seconds:g} s{self.line_of(error)}",
                expected="kernels that take microseconds",
                remedy="look at the loop there: what should end it does not happen in this position",
            ) from error
        except Exception as error:
            if self.interpreted and isinstance(error, (TypeError, OverflowError)):
                # Some of what numba compiles is none of Python's: True - True, uint64 with int64, constants above 2^63.
                raise NotPlain(f"{name}{self.line_of(error)}: {explain(error)}") from error
            raise self._failed(name, error) from error
        for buffer, (guarded, fact) in self._buffers.items():
            # An uncompiled kernel gets an IndexError instead.
            if not self.interpreted and not guarded.is_intact():
                guarded.repair()
                raise self.stop(
                    ERROR,
                    "memory",
                    f"{name} {buffer}",
                    found=f"{name} writes outside of `{buffer}`",
                    expected=f"indices from 0 to the end of `{buffer}`, whose size comes from {fact}",
                    remedy=f"raise {fact}, or correct the index",
                )
        return result

    def _failed(self, name: str, error: Exception) -> Stopped:
        where, what = self.line_of(error), f"{type(error).__name__}: {' '.join(str(error).split())}"
        if isinstance(error, IndexError):
            buffer = self._buffer_exceeded(error)
            fact = self._buffers[buffer][1] if buffer else ""
            return self.stop(
                ERROR,
                "memory",
                f"{name} {buffer}",
                found=f"{name} goes past the end of {f'`{buffer}`' if buffer else 'an array'}{where}: {error}",
                expected="indices within the array; compiled code does not look and damages memory",
                remedy=f"raise {fact}, or correct the index" if fact else "correct the index",
            )
        if isinstance(error, FloatingPointError):
            return self.stop(
                ERROR,
                "memory",
                f"{name} division",
                found=f"{name} divides by zero{where}",
                expected="a divisor that is not 0; compiled code goes on with a number that means nothing",
                remedy="test for 0 before dividing",
            )
        return self.stop(
            ERROR,
            "exceptions",
            f"{name} {type(error).__name__}",
            found=f"{name} raises {what}{where}",
            expected="no exception: the search cannot catch one, and would go on with rubbish",
            remedy="give every variable a value on every path"
            if isinstance(error, UnboundLocalError)
            else "handle the case in the kernel; a position that cannot be is the game's bug to find here",
        )

    def _buffer_exceeded(self, error: IndexError) -> str:
        """The name of the buffer that an index did not fit into; empty where it was another array."""
        size = re.search(r"with size (\d+)", str(error))
        frame: FrameType | None = None
        for found, _ in traceback.walk_tb(error.__traceback__):
            if found.f_code.co_filename == self.file:
                frame = found
        if frame is None or size is None:
            return ""
        for value in frame.f_locals.values():
            if isinstance(value, np.ndarray) and int(size[1]) in value.shape:
                for name, (guarded, _) in self._buffers.items():
                    if np.shares_memory(value, guarded.array):
                        return name
        return ""

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """Raises _Endless in an uncompiled kernel that takes too long; compiled code cannot be interrupted."""
        if self._can_limit:  # the process's own time: a busy machine is no fault
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)
        try:
            yield
        finally:
            if self._can_limit:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    # --- positions

    def shallow_first(self, count: int, *, ongoing: bool | None = None) -> list[int]:
        """Up to `count` samples, half of them those nearest to the start, in the order of their plies.

        ongoing: only positions where the game goes on, or only those where it is over.
        """
        wanted = [i for i, s in enumerate(self.samples) if ongoing is None or (s.outcome == ONGOING) == ongoing]
        wanted.sort(key=lambda i: self.samples[i].ply)
        if len(wanted) > count:
            near, far = wanted[: count // 2], wanted[count // 2 :]
            wanted = near + [far[k * len(far) // (count - len(near))] for k in range(count - len(near))]
        return wanted

    def visit(self, indices: Sequence[int]) -> Iterator[tuple[int, Sample]]:
        """The samples one after the other, `here` set to each."""
        for index in indices:
            self.here = (index, ())
            yield index, self.samples[index]
        self.here = None


def views(game: Game) -> list[NDArray[np.int64]]:
    """The ways a board can be turned: view.flat[c] = board.flat[views[k][c]], the first of them as it is."""
    cells = np.arange(game.shape[0] * game.shape[1]).reshape(game.shape)
    turned = [cells, cells[::-1, ::-1], cells[::-1], cells[:, ::-1]]
    if game.shape[0] == game.shape[1]:
        turned += [view.T for view in turned]
    return [view.reshape(-1) for view in turned]


def _end(number: int, frame: FrameType | None) -> None:
    raise _Endless


def explain(error: BaseException) -> str:
    """An exception in one line; a GameError speaks for itself."""
    text = " ".join(str(error).split())
    return text if isinstance(error, GameError) else f"{type(error).__name__}: {text}"
