"""The positions that were found, with the other side to move: what a kernel makes of both tells whose view it takes.

Such a position need not be one that the rules can reach, and a kernel may fail in it; what fails is left out. So this
is asked of plain Python only, where an index out of bounds is an exception and damages nothing.
Dimensions: C planes of H x W cells.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, ONGOING, PLAYER, State
from keima.games.doctor.subject import FEW, MIN_MOVES, NotPlain, Sample, Stopped, Subject

T = TypeVar("T")

NEARLY_ALL = 0.9
"""The share from which on a kernel does something as a rule; exceptions are positions that cannot be."""
MAX_SECONDS = 4.0
"""Of the process's own time, for games that are slow uncompiled."""


class Pair(NamedTuple):
    """A position where the game goes on, and the same one with the other side to move."""

    sample: int
    """Its number."""
    state: State
    """The other side is to move in it."""
    planes: NDArray[np.float32]  # [C, H * W] of the sample
    exchanged: NDArray[np.float32]  # [C, H * W] of the other state


class Exchange:
    """What encode makes of positions when the side to move is exchanged."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.pairs: list[Pair] = []
        self.why_not = ""
        """Why it cannot be told; empty where it can."""
        if not subject.interpreted:
            self.why_not = "the side to move is exchanged where kernels run as plain Python, which they do not"
            return
        self._telling = _entries_that_tell(subject)
        start_s = time.process_time()
        for index, sample in subject.visit(subject.shallow_first(FEW, ongoing=True)):
            if time.process_time() - start_s > MAX_SECONDS:
                break
            with subject.quietly(), contextlib.suppress(Stopped, NotPlain):
                state = self.exchanged(sample.state)
                both = (subject.planes(row).reshape(subject.game.num_planes, -1) for row in (sample.state, state))
                self.pairs.append(Pair(index, state, *both))
        movers = [int(subject.samples[pair.sample].state[PLAYER]) for pair in self.pairs]
        if min(movers.count(0), movers.count(1)) < MIN_MOVES:
            self.why_not = f"only {movers.count(0)} and {movers.count(1)} positions of either side can be exchanged"

    def exchanged(self, state: State) -> State:
        """The same row with the other side to move."""
        row = state.copy()
        row[PLAYER] = 1 - row[PLAYER]
        for entry, other in self._telling:
            row[entry] = other.get(int(row[entry]), row[entry] + 1)
        return row

    @cached_property
    def shows(self) -> NDArray[np.bool_]:
        """[C]: the planes that say more than whose turn it is: not those of one value throughout that only the mover
        decides."""
        planes = np.array([[pair.planes, pair.exchanged] for pair in self.pairs])  # [pairs, 2, C, H * W]
        movers = np.array([int(self.subject.samples[pair.sample].state[PLAYER]) for pair in self.pairs])
        shown = np.zeros(planes.shape[2], bool)
        for mover in (0, 1):
            side = np.concatenate([planes[movers == mover, 0], planes[movers != mover, 1]])  # [pairs, C, H * W]
            shown |= (side != side[:1, :, :1]).any((0, 2))
        return shown

    @cached_property
    def changes(self) -> NDArray[np.bool_]:
        """[C]: the planes that are other ones when the other side is to move."""
        changed = np.zeros(self.subject.game.num_planes, bool)
        for pair in self.pairs:
            changed |= (pair.planes != pair.exchanged).any(1)
        return changed

    @property
    def sees_the_mover(self) -> bool:
        """Whether a plane depends on who is to move, those apart that say nothing else.

        Where none does, the planes are seen by the first player; or the row keeps everything as the side to move sees
        it, or nothing in the game is anybody's (Nim). Only where `why_not` is empty.
        """
        return bool((self.shows & self.changes).any())

    @cached_property
    def boards_changed(self) -> list[bool]:
        """Of each pair, whether `board`, which is to be the first player's, draws the two positions otherwise."""
        draw = self.subject.game.board
        return [
            not np.array_equal(draw(self.subject.samples[pair.sample].state.copy()), draw(pair.state.copy()))
            for pair in self.pairs
        ]

    @property
    def board_turns(self) -> bool:
        """Whether the board turns with state[PLAYER]: a row that is kept as the side to move sees it, turned back."""
        return share(self.boards_changed) > 0.5

    def is_the_same_to_the_net(self, pair: Pair) -> bool:
        """Whether its planes are equal, those apart that say nothing but whose turn it is."""
        return np.array_equal(pair.planes[self.shows], pair.exchanged[self.shows])

    def answers(self, samples: Sequence[Sample], ask: Callable[[State], T]) -> list[tuple[Sample, T]]:
        """The samples and what `ask` says of each with the other side to move, without those where it fails."""
        answers = []
        for sample in samples:
            with self.subject.quietly(), contextlib.suppress(Stopped, NotPlain):
                answers.append((sample, ask(self.exchanged(sample.state))))
        return answers


@lru_cache(maxsize=1)
def exchange_of(subject: Subject) -> Exchange:
    """The exchange of the subject's samples, which are all there when it is asked for first."""
    return Exchange(subject)


def _entries_that_tell(subject: Subject) -> list[tuple[int, dict[int, int]]]:
    """Entries of the row besides PLAYER that say who is to move, and the values to put for theirs.

    A count of moves is even for one side and odd for the other (1 more is put); a second flag has few values, and none
    of them for both sides.
    """
    ongoing = [subject.samples[i].state for i in subject.shallow_first(4 * FEW, ongoing=True)]
    rows = [np.array([s for s in ongoing if s[PLAYER] == player]) for player in (0, 1)]
    if min(map(len, rows)) < MIN_MOVES:
        return []
    telling: list[tuple[int, dict[int, int]]] = []
    for entry in range(1, subject.game.state_size):
        first, second = (side[:, entry] for side in rows)
        if len(set((first % 2).tolist())) == len(set((second % 2).tolist())) == 1 and first[0] % 2 != second[0] % 2:
            telling.append((entry, {}))
            continue
        values, others = np.unique(first), np.unique(second)
        if len(values) + len(others) <= 4 and not np.isin(values, others).any():
            put = {int(v): int(others[k % len(others)]) for k, v in enumerate(values)}
            telling.append((entry, put | {int(v): int(values[k % len(values)]) for k, v in enumerate(others)}))
    return telling


def share(answers: list[bool]) -> float:
    """How many are true, 0 to 1; 0 of none."""
    return sum(answers) / len(answers) if answers else 0.0


def decided(subject: Subject) -> list[tuple[Sample, int]]:
    """Up to FEW finished games that have a winner, and who made the last move; more are played where there are few."""
    over = [subject.samples[i] for i in subject.shallow_first(2 * FEW, ongoing=False)]
    ends = [(s, int(subject.samples[s.parent].state[PLAYER])) for s in over if s.outcome != DRAW][:FEW]
    random, start_s = np.random.default_rng(0), time.process_time()
    while len(ends) < MIN_MOVES and subject.is_sound and time.process_time() - start_s < MAX_SECONDS:
        with subject.quietly(), contextlib.suppress(Stopped, NotPlain):
            state, mover, plies = subject.samples[0].state, 0, 0
            while (outcome := subject.outcome(state)) == ONGOING and plies < subject.game.max_plies:
                mover, plies = int(state[PLAYER]), plies + 1
                state = subject.play(state, int(random.choice(subject.legal(state))))
            if outcome not in (ONGOING, DRAW):
                ends.append((Sample(state, -1, -1, plies, np.empty(0, np.int32), outcome), mover))
    return ends
