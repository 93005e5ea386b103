"""Connect Four solved exactly, with the openings solved beforehand.

A score is from the side to move's point of view. 0 is a draw; k > 0 a win with the winner's k-th stone from the end of
his supply, that is 22 minus the number of stones he has played when he wins, so quicker wins score higher; a loss is
the negative of the opponent's score.

The compiled search in connect4_search.py answers whether a score is greater than a given number. The exact score is
found by a series of such questions, each of which finds the answers of the earlier ones in the table.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keima.agent.solvers.connect4_search import (
    ALPHA,
    CELLS,
    COLUMNS,
    CONTROL_SIZE,
    DEPTH,
    ENTERING,
    FULL_COLUMN,
    LARGE_BITS,
    NODES,
    OWN,
    ROOT_PLY,
    SLICE_NODES,
    SMALL_BITS,
    STACK_SHAPE,
    STONES_ON_BOARD,
    VALUE,
    count_bits,
    is_won,
    mirrored,
    playable,
    search,
    winning_cells,
)
from keima.games.connect4 import STONES
from keima.games.contract import PLAYER, Game, State

OPENINGS = Path(__file__).with_name("connect4_openings.txt")


class Connect4Solver:
    """The exact score of positions; see the module's docstring. Not to be shared between threads.

    It keeps what it found (66 MiB), so further positions of the same game are solved more quickly. Ctrl-C is answered
    within half a second and leaves the solver usable.
    """

    def __init__(self, on_progress: Callable[[int], None] | None = None, *, use_openings: bool = True) -> None:
        """`on_progress(nodes)` is called every few million nodes with the number searched since the solver was made.

        `use_openings`: whether the openings' scores are read from the file of those solved beforehand.
        """
        self.nodes = 0
        self._on_progress = on_progress
        self._large = np.zeros(1 << LARGE_BITS, np.uint32)
        self._small = np.zeros(1 << SMALL_BITS, np.int64)
        self._stack = np.zeros(STACK_SHAPE, np.int64)
        self._control = np.zeros(CONTROL_SIZE, np.int64)
        self._openings = _read_openings() if use_openings else {}

    def column_scores(self, state: State) -> list[int | None]:
        """The score of dropping into each of the seven columns; None where it is full, or the game is over."""
        own, stones = _cells(state)
        if is_won(own ^ stones):
            return [None] * COLUMNS
        return [None if not move else self._score_after(own, stones, move) for move in _moves(stones)]

    def scores(self, state: State) -> list[tuple[int, int]]:
        """Each legal action and its score; nothing when the game is over."""
        return [(column, score) for column, score in enumerate(self.column_scores(state)) if score is not None]

    def score(self, state: State) -> int:
        """The position's score, also of a finished game."""
        own, stones = _cells(state)
        if is_won(own ^ stones):
            return int(count_bits(own ^ stones)) - 22
        return self._score(own, stones)

    def best_actions(self, state: State) -> list[int]:
        """Every action with the best score; none when the game is over. This is much less work than all the scores."""
        own, stones = _cells(state)
        if is_won(own ^ stones):
            return []
        best = self._score(own, stones)
        return [c for c, move in enumerate(_moves(stones)) if move and self._reaches(own, stones, move, best)]

    def _reaches(self, own: int, stones: int, move: int, score: int) -> bool:
        """Whether a move scores at least `score`."""
        if winning_cells(own, stones) & move:
            return True
        after = own ^ stones, stones | move
        lowest, highest = self._bounds(*after)
        return highest <= -score or (lowest <= -score and self._bound(*after, -score) <= -score)

    def _score_after(self, own: int, stones: int, move: int) -> int:
        if winning_cells(own, stones) & move:
            return _winning_score(stones)
        return -self._score(own ^ stones, stones | move)

    def _score(self, own: int, stones: int) -> int:
        """The score of a position without four in a row."""
        lowest, highest = self._bounds(own, stones)
        while lowest < highest:
            alpha = (lowest + highest) // 2
            bound = self._bound(own, stones, alpha)
            if bound > alpha:
                lowest = bound
            else:
                highest = bound
        return lowest

    def _bounds(self, own: int, stones: int) -> tuple[int, int]:
        """The lowest and the highest score that are possible, found without search; equal where the score is known."""
        known = self._openings.get(_opening_key(own, stones)) if self._openings else None
        if known is not None:
            return known, known
        if winning_cells(own, stones) & playable(stones):
            return (_winning_score(stones),) * 2
        ply = stones.bit_count()
        return -((CELLS - ply) // 2), max(0, CELLS - 1 - ply) // 2

    def _bound(self, own: int, stones: int, alpha: int) -> int:
        """A lower bound of the score that is greater than alpha, or an upper bound that is not.

        The side to move cannot win at once.
        """
        self._stack[0, OWN], self._stack[0, STONES_ON_BOARD] = own, stones
        control = self._control
        control[DEPTH], control[ENTERING], control[ALPHA], control[ROOT_PLY] = 0, 1, alpha, stones.bit_count()
        while control[ENTERING] or control[DEPTH]:
            control[NODES] = 0
            search(self._stack, control, self._large, self._small, SLICE_NODES)
            self.nodes += int(control[NODES])
            if self._on_progress is not None:
                self._on_progress(self.nodes)
        return int(control[VALUE])


def make_solver(game: Game) -> Connect4Solver:
    """The solver of the shipped game, which has no parameters."""
    return Connect4Solver()


def _cells(state: State) -> tuple[int, int]:
    """A state row of games/connect4.py as (own, stones)."""
    own, other = int(state[STONES + state[PLAYER]]), int(state[STONES + 1 - state[PLAYER]])
    return own, own | other


def _moves(stones: int) -> list[int]:
    """The cell a stone dropped into each column falls to; 0 where it is full."""
    cells = playable(stones)
    return [cells & FULL_COLUMN << 7 * column for column in range(COLUMNS)]


def _winning_score(stones: int) -> int:
    """The score of winning with the next stone."""
    return (CELLS + 1 - stones.bit_count()) // 2


# --- openings


def _opening_key(own: int, stones: int) -> int:
    """A number that is the same for a position and its mirror image."""
    key = own + stones
    return min(key, int(mirrored(key)))


def openings(plies: int) -> list[str]:
    """The moves to every position after `plies` moves, one of each pair of mirror images; at most six plies."""
    found = {_opening_key(0, 0): ""}
    for _ in range(plies):
        found = {
            _opening_key(own ^ stones, stones | move): moves + str(column + 1)
            for moves, (own, stones) in ((moves, _cells_after(moves)) for moves in found.values())
            for column, move in enumerate(_moves(stones))
        }
    return list(found.values())


def write_openings(path: Path, plies: int, solver: Connect4Solver) -> None:
    """Solves every position after `plies` moves and writes them in the format of agent/analysis/evaluation.py.

    A file that exists already is continued. This is how connect4_openings.txt was made:

        write_openings(OPENINGS, 1, Connect4Solver(use_openings=False))
    """
    done = path.read_text().splitlines() if path.exists() else []
    solved = _scores_of_lines(done)
    for moves in openings(plies)[len(done) :]:
        own, stones = _cells_after(moves)
        scores = []
        for move in _moves(stones):
            key = _opening_key(own ^ stones, stones | move)
            if key not in solved:
                solved[key] = solver._score(own ^ stones, stones | move)
            scores.append(-solved[key])
        with path.open("a") as file:
            file.write(" ".join([moves or "-", *map(str, scores)]) + "\n")


@functools.cache
def _read_openings() -> dict[int, int]:
    """By `_opening_key`, the scores of the positions in the file, of those a move later and of all before them."""
    lines = OPENINGS.read_text().splitlines()
    solved = _scores_of_lines(lines)
    for plies in reversed(range(len(lines[0].split()[0].strip("-")))):
        for moves in openings(plies):
            own, stones = _cells_after(moves)
            replies = [solved[_opening_key(own ^ stones, stones | move)] for move in _moves(stones)]
            solved[_opening_key(own, stones)] = -min(replies)
    return solved


def _scores_of_lines(lines: list[str]) -> dict[int, int]:
    """The scores of the positions of `write_openings`' lines and of those a move later, by `_opening_key`."""
    solved = {}
    for line in lines:
        moves, *scores = line.split()
        own, stones = _cells_after(moves.strip("-"))
        solved[_opening_key(own, stones)] = max(map(int, scores))
        for move, score in zip(_moves(stones), scores, strict=True):
            solved[_opening_key(own ^ stones, stones | move)] = -int(score)
    return solved


def _cells_after(moves: str) -> tuple[int, int]:
    """(own, stones) after moves written as the columns' numbers."""
    own = stones = 0
    for column in moves:
        own, stones = own ^ stones, stones | _moves(stones)[int(column) - 1]
    return own, stones
