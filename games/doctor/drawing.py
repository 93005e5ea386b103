"""The checks of positions as text and of what draws a position for people.

Each reports what is wrong and returns what it has looked at. A board has H rows and W columns.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keima.games.contract import ONGOING, PLAYER, Game, GameError, State
from keima.games.doctor.report import ERROR, WARNING
from keima.games.doctor.subject import FEW, Subject, explain

LOST = 0.1
"""The share of positions whose legal moves a text may lose: what must not be repeated begins anew (superko)."""


def check_positions(subject: Subject) -> str:
    """Positions to text and back."""
    game = subject.game
    if type(game).set_up is Game.set_up and type(game).text_to_position is Game.text_to_position:
        return "a position is given by its moves; with set_up, boards could be given, too"
    lost: list[int] = []
    indices = subject.shallow_first(FEW)
    for index, sample in subject.visit(indices):
        text = game.position_to_text(sample.state.copy())
        if not isinstance(text, str) or not text.strip() or len(text.splitlines()) != 1:
            subject.report(
                ERROR,
                "positions",
                "text",
                found=f"position_to_text returns {text!r}",
                expected="a text of one line",
                remedy="leave position_to_text out (it writes the board and the side to move), or return one line",
            )
            return ""
        difference = _difference(subject, sample.state, text)
        if difference:
            subject.report(
                ERROR,
                "positions",
                "reading",
                found=f"the text {text!r} of this position is read otherwise: {difference}",
                expected="the same board, side to move and outcome again",
                remedy="have set_up write all of the row that a board tells: the codes, the side to move, what counts "
                "them; where a board does not say enough, write position_to_text and text_to_position",
            )
            return ""
        again = game.text_to_position(text)
        if subject.outcome(again) == ONGOING and set(subject.legal(again).tolist()) != set(sample.legal.tolist()):
            lost.append(index)
    if len(lost) > LOST * len(indices):
        subject.here = (lost[0], ())
        subject.report(
            WARNING,
            "positions",
            "legal",
            found=f"other moves are legal once the position was written as text and read again, here and in "
            f"{len(lost) - 1} others of {len(indices)}",
            expected="a text that says what the rules look at",
            remedy="add it to the text: write position_to_text and text_to_position",
        )
        subject.here = None
    try:
        game.text_to_position("no such position")
    except GameError:
        pass
    else:
        subject.report(
            ERROR,
            "positions",
            "nonsense",
            found="text_to_position takes 'no such position' for a position",
            expected="a GameError that says what was expected",
            remedy="raise GameError for a text that stands for no position",
            moves=[],
        )
    return f"{len(indices)} positions to text and back"


def _difference(subject: Subject, state: State, text: str) -> str:
    """What is another after a text was read; empty where nothing is that the text tells."""
    game = subject.game
    try:
        again: Any = game.text_to_position(text)
    except Exception as error:
        return f"{explain(error)}{subject.line_of(error)}"
    if not isinstance(again, np.ndarray) or again.shape != state.shape or again.dtype != np.int64:
        return f"as {again!r:.60}, no row of {len(state)} int64"
    if again[PLAYER] != state[PLAYER]:
        return "the other side is to move"
    if not np.array_equal(game.board(again.copy()), game.board(state.copy())):
        return "its board is another"
    before, after = subject.outcome(state), subject.outcome(again)
    if before != after:
        return f"outcome was {before} and is {after}"
    written = game.position_to_text(again.copy())
    return "" if written == text else f"it is written {written!r} then"


def check_drawing(subject: Subject) -> str:
    """What a terminal draws with: column labels, cells' texts, what stands beside the board, the cells of moves."""
    game = subject.game
    width, count = game.shape[1], 0
    labels = list(game.column_labels)
    if len(labels) != width or not all(isinstance(label, str) for label in labels):
        _report(
            subject, "columns", f"column_labels are {labels}", f"{width} texts, one for each column", "column_labels"
        )
        return ""
    indices = subject.shallow_first(FEW)
    for _, sample in subject.visit(indices):
        for kind, found, expected, name in _wrong(game, sample.state):
            _report(subject, kind, found, expected, name)
        for action in map(int, sample.legal):
            count += 1
            cells = game.action_cells(sample.state.copy(), action)
            if cells is None:
                continue
            size = game.shape[0] * width
            whole = isinstance(cells, tuple) and all(isinstance(c, (int, np.integer)) for c in cells)
            if not whole or len(set(cells)) < len(cells) or not all(0 <= c < size for c in cells):
                _report(
                    subject,
                    "cells",
                    f"action_cells gives {cells!r} for {subject.action_text(sample.state, action)}",
                    f"a tuple of different cells from 0 to {size - 1}, row by row from the top as `board` has them, "
                    "() for none, or None",
                    "action_cells",
                )
    return f"{len(indices)} positions, {count} moves"


def _wrong(game: Game, state: State) -> Iterator[tuple[str, str, str, str]]:
    """What is wrong with a position's drawing: kind, what was found, what was expected, and the method."""
    row = state.copy()
    texts: Any = game.cell_texts(row)
    shape = tuple(game.shape)
    if [len(line) for line in texts] != [shape[1]] * shape[0]:
        yield "cells' shape", f"cell_texts has rows of {[len(line) for line in texts]}", f"{shape} texts", "cell_texts"
    elif not all(isinstance(text, str) and text and text.isprintable() for line in texts for text in line):
        yield "cells' texts", "cell_texts has cells that are no text of one line", "a short text a cell", "cell_texts"
    beside: Any = game.beside(row)
    if not isinstance(beside, list) or not all(isinstance(line, str) and len(line.splitlines()) < 2 for line in beside):
        yield "beside", f"beside returns {beside!r:.80}", "a list of lines, [] where there is nothing", "beside"
    if not np.array_equal(row, state):
        yield "writes", "cell_texts or beside writes to the state", "drawing that only reads", "cell_texts or beside"


def _report(subject: Subject, kind: str, found: str, expected: str, name: str) -> None:
    subject.report(
        ERROR,
        "drawing",
        kind,
        found=found,
        expected=expected,
        remedy=f"correct {name}, or leave it out: it has a default",
    )
