"""The check of what encode hides: positions that look the same are to be the same to whoever plays on."""

import contextlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, ONGOING, PLAYER
from keima.games.doctor.exchange import exchange_of
from keima.games.doctor.report import ERROR, WARNING
from keima.games.doctor.subject import MANY, OUTCOME_REMEDY, Sample, Stopped, Subject

FOLLOWED_PLIES = 6


class Difference(NamedTuple):
    """What tells two positions apart that look the same."""

    kind: str
    """"outcome", "legal" or "planes"."""
    said: str
    actions: tuple[int, ...] = ()
    """Those played in both of them before it showed."""


def check_distinctness(subject: Subject) -> str:
    """That positions which look the same are the same to whoever plays on."""
    if any(check == "point of view" for (check, _), f in subject.findings.items() if f.severity == ERROR):
        subject.judge("distinctness", "what looks the same", "planes are seen from the wrong side")
        return "not looked at"
    first_with: dict[bytes, int] = {}
    pairs: list[tuple[int, int]] = []
    ends: list[tuple[int, int, Difference]] = []
    for index, sample in subject.visit(subject.shallow_first(len(subject.samples))):
        with contextlib.suppress(Stopped):
            other = first_with.setdefault(subject.planes(sample.state).tobytes(), index)
            if other == index:
                continue
            twin = subject.samples[other]
            differs = difference(twin, sample)
            if differs is None:
                if not np.array_equal(twin.state, sample.state):
                    pairs.append((other, index))
            elif ONGOING not in (sample.outcome, twin.outcome):
                ends.append((other, index, differs))
            else:
                # A game over for one alone: a limit on moves that the planes do not show, which a game may mean.
                severity = WARNING if ONGOING in (sample.outcome, twin.outcome) and differs.kind == "outcome" else ERROR
                _report(subject, severity, other, index, differs)
    if ("outcome", "mover") not in subject.findings and not _report_whose_outcome(subject, ends):
        for other, index, differs in ends:
            _report(subject, ERROR, other, index, differs)
    followed = pairs[:: max(1, len(pairs) // MANY)]
    if ("outcome", "mover") in subject.findings:
        followed = []  # they would end otherwise
    for other, index in followed:
        with contextlib.suppress(Stopped):
            subject.here = (index, ())
            later = follow(subject, subject.samples[other], subject.samples[index], index)
            if later is not None:
                _report(subject, WARNING, other, index, later)
    subject.here = None
    return f"{len(first_with)} of {len(subject.samples)} positions look different, the others are alike to who plays on"


def _relative(sample: Sample) -> int:
    """The outcome as the side to move sees it: ONGOING, 0 won, 1 lost, DRAW."""
    return sample.outcome if sample.outcome in (ONGOING, DRAW) else int(sample.outcome != sample.state[PLAYER])


def difference(one: Sample, other: Sample) -> Difference | None:
    """What differs for whoever is to move: the result, or what is legal."""
    names = {ONGOING: "goes on", 0: "is won", 1: "is lost", DRAW: "is drawn"}
    if _relative(one) != _relative(other):
        said = f"for its side to move, the one {names[_relative(one)]} and the other {names[_relative(other)]}"
        return Difference("outcome", said)
    if set(one.legal.tolist()) != set(other.legal.tolist()):
        alone = sorted(set(one.legal.tolist()) ^ set(other.legal.tolist()))
        return Difference("legal", f"action {alone[0]} is legal in one of them only")
    return None


def follow(
    subject: Subject,
    one: Sample,
    two: Sample,
    seed: int,
    plies: int = FOLLOWED_PLIES,
    shown: NDArray[np.bool_] | None = None,
) -> Difference | None:
    """Plays the same random actions in two positions that look the same; how they come to differ, None if they do not.

    shown: the planes [C] that are compared; all of them by default.
    """
    random = np.random.default_rng(seed)
    index = subject.here[0] if subject.here else -1
    which = np.ones(subject.game.num_planes, bool) if shown is None else shown
    actions: list[int] = []
    for _ in range(plies):
        if not len(one.legal):
            return None
        actions.append(int(random.choice(one.legal)))
        subject.here = (index, tuple(actions))
        after = []
        for before in (one, two):
            state = subject.play(before.state, actions[-1])
            outcome = subject.outcome(state)
            legal = subject.legal(state) if outcome == ONGOING else np.empty(0, np.int32)
            after.append(Sample(state, -1, actions[-1], before.ply + 1, legal, outcome))
        one, two = after
        differs = difference(one, two)
        if differs is None and not np.array_equal(subject.planes(one.state)[which], subject.planes(two.state)[which]):
            differs = Difference("planes", "the planes differ")
        if differs is not None:
            return differs._replace(actions=tuple(actions))
    return None


def _report(subject: Subject, severity: str, other: int, index: int, differs: Difference) -> None:
    subject.here = (index, differs.actions)
    moves = " ".join(subject.moves_text(other)) or "(the start)"
    played = ", ".join(f"action {a}" for a in differs.actions)
    after = f" after the same moves ({played})" if played else ""
    subject.report(
        severity,
        "distinctness",
        "later" if played else severity,
        found=f"the position after these moves has the same planes as the one after: {moves}; but{after} "
        f"{differs.said}",
        expected="positions with equal planes to be equal for whoever plays on: the net answers the same for both",
        remedy="add a plane for what the rules look at and encode does not show (rights, the last move, how many moves "
        "are left); number actions as encode draws the board; outcome's codes are absolute, never the side to move's",
    )


def _report_whose_outcome(subject: Subject, ends: list[tuple[int, int, Difference]]) -> bool:
    """Reports an outcome seen by a side where that is what the ends which look the same come from."""
    movers = [{int(subject.samples[i].state[PLAYER]) for i in end[:2]} for end in ends]
    exchange = exchange_of(subject)
    if not ends or exchange.why_not or not exchange.sees_the_mover or any(len(both) < 2 for both in movers):
        return False
    other, index, differs = ends[0]
    subject.here = (index, ())
    subject.report(
        ERROR,
        "outcome",
        "mover",
        found=f"the end after these moves looks to its side to move as the one after: "
        f"{' '.join(subject.moves_text(other))} looks to the other side; but {differs.said}",
        expected="an outcome that is absolute: positions which look the same to either side are won or lost for both",
        remedy=OUTCOME_REMEDY,
    )
    return True
