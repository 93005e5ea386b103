"""The check of what encode writes: every cell, and numbers from 0 to 1."""

import contextlib

import numpy as np
from numpy.typing import NDArray

from keima.games.doctor.report import ERROR, NOTE, WARNING
from keima.games.doctor.subject import MANY, RUBBISH, Stopped, Subject


def check_encoding(subject: Subject, count: int = MANY) -> str:
    """That encode writes every cell with a number from 0 to 1, in up to `count` positions."""
    indices = subject.shallow_first(count)
    smallest, largest = np.inf, -np.inf
    always: NDArray[np.float32] | None = None
    varies = np.zeros((subject.game.num_planes, *subject.game.shape), bool)
    for _, sample in subject.visit(indices):
        with contextlib.suppress(Stopped):
            planes, again = (subject.planes(sample.state, rubbish) for rubbish in RUBBISH)
            unset = np.argwhere((planes == RUBBISH[0]) & (again == RUBBISH[1]))
            bad = np.argwhere(~((planes >= 0) & (planes <= 1)))
            if len(unset):
                subject.report(
                    ERROR,
                    "encoding",
                    "unset",
                    found=f"encode leaves {_cell(unset[0])} as it was, and {len(unset) - 1} more cells",
                    expected="every one of planes[C, H, W] written: they arrive with another position in them",
                    remedy="begin encode with planes[:] = 0, or write zeros too; adding (+=) takes that, too",
                )
            elif not np.array_equal(planes, again, equal_nan=True):
                subject.report(
                    ERROR,
                    "encoding",
                    "again",
                    found=f"encode writes {_cell(np.argwhere(planes != again)[0])} now this way and now that",
                    expected="planes that depend on the state row alone",
                    remedy="use nothing but the state row: no random numbers, no globals, no earlier `planes`",
                )
            elif len(bad):
                subject.report(
                    ERROR,
                    "encoding",
                    "range",
                    found=f"encode writes {planes[tuple(bad[0])]:g} to {_cell(bad[0])}",
                    expected="numbers from 0 to 1",
                    remedy="divide counts by their largest value; write 1 for yes and 0 for no",
                )
            else:
                always = planes if always is None else always
                varies |= planes != always
                smallest, largest = min(smallest, planes.min()), max(largest, planes.max())
    constant = np.flatnonzero(~varies.any((1, 2)))
    if len(constant) and len(indices) > 1:
        subject.report(
            WARNING if len(constant) == subject.game.num_planes else NOTE,
            "encoding",
            "constant",
            found=f"of {subject.game.num_planes} planes {constant.tolist()} look the same in all of {len(indices)} "
            "positions",
            expected="planes that tell positions apart",
            remedy="drop them, or find out why they never change; they cost time and say nothing",
        )
    return f"{len(indices)} positions: every cell written, {smallest:g} to {largest:g}"


def _cell(index: NDArray[np.int64]) -> str:
    return f"planes[{', '.join(str(i) for i in index)}]"
