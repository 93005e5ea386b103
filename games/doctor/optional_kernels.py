"""The checks of kernels that a game may offer to the search, against those that every game has.

Each reports what is wrong and returns what it has looked at.
"""

import contextlib

import numpy as np

from keima.games.contract import ONGOING
from keima.games.doctor.report import ERROR
from keima.games.doctor.subject import MANY, Stopped, Subject


def check_legal_or_over(subject: Subject) -> str:
    """That the one kernel says what the two do."""
    if not subject.kernels.has_legal_or_over:
        return "the game offers no legal_or_over"
    indices = subject.shallow_first(MANY)
    for _, sample in subject.visit(indices):
        with contextlib.suppress(Stopped):
            found, actions = subject.legal_or_over(sample.state)
            expected = len(sample.legal) if sample.outcome == ONGOING else -1 - sample.outcome
            if found != expected:
                subject.report(
                    ERROR,
                    "legal or over",
                    "count",
                    found=f"legal_or_over returns {found}",
                    expected=f"{expected}: "
                    + ("so many legal actions" if expected >= 0 else f"-1 - {sample.outcome}, the outcome"),
                    remedy="return the number of actions while outcome is ONGOING, then -1 - outcome",
                )
            elif not np.array_equal(actions, sample.legal[: len(actions)]):
                subject.report(
                    ERROR,
                    "legal or over",
                    "actions",
                    found=f"legal_or_over lists {actions.tolist()[:12]}",
                    expected=f"legal_actions' own, in its order: {sample.legal.tolist()[:12]}",
                    remedy="have both call one function that lists them",
                )
    return f"{len(indices)} positions"


def check_hash(subject: Subject) -> str:
    """That positions which look different to the search have different hashes."""
    if not subject.kernels.has_position_hash:
        return "the game offers no position_hash"
    looks: dict[int, bytes] = {}
    indices = subject.shallow_first(MANY, ongoing=True)
    for _, sample in subject.visit(indices):
        with contextlib.suppress(Stopped):
            look, found = (
                subject.planes(sample.state).tobytes() + sample.legal.tobytes(),
                subject.position_hash(sample.state),
            )
            if looks.setdefault(found, look) != look:
                subject.report(
                    ERROR,
                    "hash",
                    "collision",
                    found=f"position_hash is {found} here and in another position with other planes or legal moves",
                    expected="another number: the search would take one position's evaluation for the other's",
                    remedy="let it depend on all that encode and legal_actions read",
                )
    return f"{len(indices)} positions"
