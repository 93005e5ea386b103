"""Connect Four solved exactly: alpha-beta over bitboards, and the openings solved beforehand.

A score is from the side to move's point of view: 0 a draw; k > 0 a win with the winner's k-th stone from the end of
his supply, 22 minus the number of stones he has played when he wins, so the sooner the larger; negative likewise for
a loss. Bits are numbered as in games/connect4.py, seven to a column:

     5 12 19 26 33 40 47
     4 11 18 25 32 39 46     Cells (one or many) are ints with those bits. `own` are the stones of the side to move,
     3 10 17 24 31 38 45     `stones` those of both. `ply` is the number of stones on the board.
     2  9 16 23 30 37 44
     1  8 15 22 29 36 43     The seventh bit of a column is empty on the board, so no line runs from one column into
     0  7 14 21 28 35 42     the next, and `own + stones` is a different number for every position.

The search only ever asks "is the score greater than alpha?"; the exact score is closed in on by such questions, each
of which finds the answers of the last one in the table. What is searched are moves that do not lose at once, those
that make most threats first. The kernel keeps its stack in an array, so that it can stop after a number of nodes and
go on where it was: that is where Ctrl-C and progress get in.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from games.connect4 import STONES
from games.contract import PLAYER, Game, State

# The kernels use nothing from games/: numba's cache would not notice an edit there.
COLUMNS = 7
CELLS = 42
FULL_COLUMN = 0b111111
BOTTOM_ROW = 0b0000001_0000001_0000001_0000001_0000001_0000001_0000001
BOARD = BOTTOM_ROW * FULL_COLUMN
FROM_THE_CENTRE = (3, 2, 4, 1, 5, 0, 6)

MAX_SCORE = 18  # a win with the winner's fourth stone, 22 - 4
UNKNOWN = 127  # no score
# A stored bound is UPPER_BOUND + score or LOWER_BOUND + score: 1 to 74. An empty entry is 0.
UPPER_BOUND = 1 + MAX_SCORE
LOWER_BOUND = UPPER_BOUND + 2 * MAX_SCORE + 1
FIRST_LOWER_BOUND = LOWER_BOUND - MAX_SCORE
BOUND_BITS = 7

# Two tables, because most of the time goes into waiting for memory: positions of many stones, which are most of all
# and soon done with, stay in one that a core's own cache holds (three times as fast as one table for all). An entry
# is (rest of the hash << BOUND_BITS) | bound; the hash is a permutation of 49 bits, so index and rest together
# identify the position and a hit is never another one. 49 - 24 + 7 bits fill the 32 of an entry exactly.
KEY_BITS = 49
LARGE_BITS = 24  # uint32: 64 MiB
SMALL_BITS = 18  # int64: 2 MiB
SMALL_FROM_PLY = 23
NOT_STORED_FROM_PLY = 37
THOROUGH_PLIES = 16  # below, it pays to merge mirror images and to look every reply up before searching one

# One row of the stack for every ply below the root, and what the kernel keeps between two slices.
OWN, STONES_ON_BOARD, BEST, HASH, MOVE_COUNT, NEXT_MOVE, MOVES = range(7)  # MOVES: the first of seven
STACK_SHAPE = (CELLS + 2, MOVES + COLUMNS)
DEPTH, ENTERING, ALPHA, ROOT_PLY, NODES, VALUE = range(6)
CONTROL_SIZE = 6
SLICE_NODES = 2_000_000  # 0.1 s on a fast core, and well under half a second on a slow one

OPENING_PLIES = 3
OPENINGS = Path(__file__).with_name("connect4_openings.txt")

_kernel = numba.njit(cache=True, nogil=True)
_inlined = numba.njit(cache=True, nogil=True, inline="always")


@_inlined
def _count(bits):
    """The number of bits set; LLVM makes one instruction of it."""
    bits = bits - (bits >> 1 & 0x5555555555555555)
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (bits * 0x0101010101010101) >> 56 & 127


@_inlined
def _winning_cells(own, stones):
    """The empty cells that would complete four of `own`, whether a stone can be dropped there now or not."""
    cells = own << 1 & own << 2 & own << 3  # above three in a column
    for step in (6, 7, 8):  # down-right, right, up-right
        pairs = own << step & own << 2 * step
        cells |= pairs & own << 3 * step  # 1 1 1 _
        cells |= pairs & own >> step  # 1 1 _ 1
        pairs = own >> step & own >> 2 * step
        cells |= pairs & own << step  # 1 _ 1 1
        cells |= pairs & own >> 3 * step  # _ 1 1 1
    return cells & (BOARD ^ stones)


@_inlined
def _playable(stones):
    """The cell on top of each column that is not full."""
    return (stones + BOTTOM_ROW) & BOARD


@_inlined
def _mirrored(cells):
    """The cells left to right; also of a sum of cells, for a column's sum stays below 2**7."""
    column = 127
    return (
        (cells & column) << 42
        | (cells & column << 7) << 28
        | (cells & column << 14) << 14
        | cells & column << 21
        | cells >> 14 & column << 14
        | cells >> 28 & column << 7
        | cells >> 42
    )


@_inlined
def _hash(own, stones, ply):
    """A number below 2**49, one for every position (and its mirror image in the opening)."""
    key = own + stones
    if ply < THOROUGH_PLIES:
        key = min(key, _mirrored(key))
    # Each line is a permutation: odd factors, and a shift of at least half the bits.
    key = key * 0x1D8AF0739B2C5 & (1 << KEY_BITS) - 1
    key ^= key >> 25
    key = key * 0x16A09E667F3BD & (1 << KEY_BITS) - 1
    return key ^ key >> 25


@_inlined
def _look_up(large, small, position_hash, ply):
    """The bound stored for a position, or 0."""
    if ply < SMALL_FROM_PLY:
        entry, rest = np.int64(large[position_hash & (1 << LARGE_BITS) - 1]), position_hash >> LARGE_BITS
    else:
        entry, rest = small[position_hash & (1 << SMALL_BITS) - 1], position_hash >> SMALL_BITS
    return entry & (1 << BOUND_BITS) - 1 if entry >> BOUND_BITS == rest else 0


@_inlined
def _store(large, small, position_hash, ply, bound):
    """Whatever lay there is lost: what was searched last is most likely to be met again."""
    if ply < SMALL_FROM_PLY:
        large[position_hash & (1 << LARGE_BITS) - 1] = position_hash >> LARGE_BITS << BOUND_BITS | bound
    elif ply < NOT_STORED_FROM_PLY:
        small[position_hash & (1 << SMALL_BITS) - 1] = position_hash >> SMALL_BITS << BOUND_BITS | bound


@_inlined
def _without_search(own, stones, ply, alpha):
    """What is known at sight of a position where the side to move cannot win at once.

    Returns (a score that answers "greater than alpha?", or UNKNOWN; the moves that do not lose at once).
    """
    loses_next = -((CELLS - ply) // 2)
    threats = _winning_cells(own ^ stones, stones)
    moves = _playable(stones)
    forced = moves & threats
    if forced & (forced - 1):
        return loses_next, 0
    if forced:
        moves = forced
    moves &= ~(threats >> 1)  # a stone below the opponent's threat hands it to him
    if moves == 0:
        return loses_next, 0
    if ply >= CELLS - 2:
        return 0, 0
    worst, best = -((CELLS - 2 - ply) // 2), (CELLS - 1 - ply) // 2
    if worst > alpha:
        return worst, 0
    if best <= alpha:
        return best, 0
    return UNKNOWN, moves


@_inlined
def _sort_moves(own, stones, moves, stack, depth):
    """Fills stack[depth, MOVES:] with the moves, those that make most threats first, then those nearest the centre.

    Returns their number; 0 where one of them makes two threats at once, which wins with the next stone.
    """
    count = 0
    for column in FROM_THE_CENTRE:
        move = moves & FULL_COLUMN << 7 * column
        if move:
            threats = _winning_cells(own | move, stones | move)
            at_once = threats & _playable(stones | move)
            if at_once & (at_once - 1):
                return 0
            # The rank travels in the bits above the board, so that sorting moves one number.
            ranked = _count(threats) << KEY_BITS | move
            place = count
            while place > 0 and stack[depth, MOVES + place - 1] >> KEY_BITS < ranked >> KEY_BITS:
                stack[depth, MOVES + place] = stack[depth, MOVES + place - 1]
                place -= 1
            stack[depth, MOVES + place] = ranked
            count += 1
    for i in range(count):
        stack[depth, MOVES + i] &= BOARD
    return count


@_kernel
def _search(stack, control, large, small, node_limit):
    """Goes on asking whether the root's score is greater than control[ALPHA], for at most node_limit nodes.

    Answered when control[ENTERING] == control[DEPTH] == 0: control[VALUE] is then a lower bound of the score where
    it is greater than alpha, an upper bound where it is not. Everything passed is modified in place.
    """
    depth, entering, nodes, value = control[DEPTH], control[ENTERING], 0, control[VALUE]
    while True:
        ply = control[ROOT_PLY] + depth
        # "greater than a?" is for the opponent "not greater than -a - 1?"
        alpha = control[ALPHA] if depth & 1 == 0 else -control[ALPHA] - 1
        if entering:
            if nodes == node_limit:
                break
            nodes += 1
            entering = 0
            own, stones = stack[depth, OWN], stack[depth, STONES_ON_BOARD]
            value, moves = _without_search(own, stones, ply, alpha)
            if value != UNKNOWN:
                continue
            if ply < NOT_STORED_FROM_PLY:
                position_hash = _hash(own, stones, ply)
                stack[depth, HASH] = position_hash
                bound = _look_up(large, small, position_hash, ply)
                if bound >= FIRST_LOWER_BOUND:
                    if bound - LOWER_BOUND > alpha:
                        value = bound - LOWER_BOUND
                        continue
                elif bound > 0 and bound - UPPER_BOUND <= alpha:
                    value = bound - UPPER_BOUND
                    continue
            count = _sort_moves(own, stones, moves, stack, depth)
            if count == 0:
                value = (CELLS - 1 - ply) // 2
                continue
            if ply < THOROUGH_PLIES:
                for i in range(count):
                    after = stones | stack[depth, MOVES + i]
                    bound = _look_up(large, small, _hash(own ^ stones, after, ply + 1), ply + 1)
                    if 0 < bound < FIRST_LOWER_BOUND and UPPER_BOUND - bound > alpha:
                        value = UPPER_BOUND - bound
                        break
                if value != UNKNOWN:
                    continue
            stack[depth, BEST] = -((CELLS - ply) // 2)
            stack[depth, MOVE_COUNT] = count
            stack[depth, NEXT_MOVE] = 1
            move = stack[depth, MOVES]
        elif depth == 0:
            break
        else:  # a reply's value is known: back to its parent
            depth -= 1
            ply -= 1
            alpha = -alpha - 1
            value = max(stack[depth, BEST], -value)
            if value > alpha:
                _store(large, small, stack[depth, HASH], ply, LOWER_BOUND + value)
                continue
            index = stack[depth, NEXT_MOVE]
            if index == stack[depth, MOVE_COUNT]:
                _store(large, small, stack[depth, HASH], ply, UPPER_BOUND + value)
                continue
            stack[depth, BEST] = value
            stack[depth, NEXT_MOVE] = index + 1
            move = stack[depth, MOVES + index]
            own, stones = stack[depth, OWN], stack[depth, STONES_ON_BOARD]
        depth += 1
        entering = 1
        stack[depth, OWN] = own ^ stones
        stack[depth, STONES_ON_BOARD] = stones | move
    control[DEPTH], control[ENTERING], control[VALUE] = depth, entering, value
    control[NODES] += nodes


@_kernel
def _is_won(cells):
    """Whether there are four in a row among them."""
    for step in (1, 6, 7, 8):
        pairs = cells & cells >> step
        if pairs & pairs >> 2 * step:
            return True
    return False


class Connect4Solver:
    """The exact score of positions; see the module's docstring. Not to be shared between threads.

    Keeps what it found (66 MiB), so positions of one game are solved the faster. Ctrl-C is answered within half a
    second and leaves the solver usable.
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
        if _is_won(own ^ stones):
            return [None] * COLUMNS
        return [None if not move else self._score_after(own, stones, move) for move in _moves(stones)]

    def scores(self, state: State) -> list[tuple[int, int]]:
        """Each legal action and its score; nothing when the game is over."""
        return [(column, score) for column, score in enumerate(self.column_scores(state)) if score is not None]

    def score(self, state: State) -> int:
        """The position's score, also of a finished game."""
        own, stones = _cells(state)
        if _is_won(own ^ stones):
            return int(_count(own ^ stones)) - 22
        return self._score(own, stones)

    def best_actions(self, state: State) -> list[int]:
        """Every action with the best score; none when the game is over. Much less work than all the scores."""
        own, stones = _cells(state)
        if _is_won(own ^ stones):
            return []
        best = self._score(own, stones)
        return [c for c, move in enumerate(_moves(stones)) if move and self._reaches(own, stones, move, best)]

    def _reaches(self, own: int, stones: int, move: int, score: int) -> bool:
        """Whether a move scores at least `score`."""
        if _winning_cells(own, stones) & move:
            return True
        after = own ^ stones, stones | move
        lowest, highest = self._bounds(*after)
        return highest <= -score or (lowest <= -score and self._bound(*after, -score) <= -score)

    def _score_after(self, own: int, stones: int, move: int) -> int:
        if _winning_cells(own, stones) & move:
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
        """The lowest and the highest score possible, seen without search; the same where it is known."""
        known = self._openings.get(_opening_key(own, stones)) if self._openings else None
        if known is not None:
            return known, known
        if _winning_cells(own, stones) & _playable(stones):
            return (_winning_score(stones),) * 2
        ply = stones.bit_count()
        return -((CELLS - ply) // 2), (CELLS - 1 - ply) // 2

    def _bound(self, own: int, stones: int, alpha: int) -> int:
        """A lower bound of the score that is greater than alpha, or an upper bound that is not.

        The side to move cannot win at once.
        """
        self._stack[0, OWN], self._stack[0, STONES_ON_BOARD] = own, stones
        control = self._control
        control[DEPTH], control[ENTERING], control[ALPHA], control[ROOT_PLY] = 0, 1, alpha, stones.bit_count()
        while control[ENTERING] or control[DEPTH]:
            control[NODES] = 0
            _search(self._stack, control, self._large, self._small, SLICE_NODES)
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
    playable = _playable(stones)
    return [playable & FULL_COLUMN << 7 * column for column in range(COLUMNS)]


def _winning_score(stones: int) -> int:
    """The score of winning with the next stone."""
    return (CELLS + 1 - stones.bit_count()) // 2


# --- openings


def _opening_key(own: int, stones: int) -> int:
    """The same number for a position and its mirror image."""
    key = own + stones
    return min(key, int(_mirrored(key)))


def openings(plies: int) -> list[str]:
    """The moves to every position after `plies` moves, one of each pair of mirror images, nobody having won."""
    found = {_opening_key(0, 0): ("", 0, 0)}
    for _ in range(plies):
        found = {
            _opening_key(own ^ stones, stones | move): (moves + str(column + 1), own ^ stones, stones | move)
            for moves, own, stones in found.values()
            for column, move in enumerate(_moves(stones))
            if move and not _is_won(own ^ stones)
        }
    return [moves for moves, own, stones in found.values() if not _is_won(own ^ stones)]


def write_openings(path: Path, plies: int, solver: Connect4Solver) -> None:
    """Solves every position after `plies` moves and writes them, a line each: the moves, the seven scores.

    A file that is there already is gone on with. This is how connect4_openings.txt was made:

        write_openings(OPENINGS, OPENING_PLIES, Connect4Solver(use_openings=False))
    """
    done = path.read_text().splitlines() if path.exists() else []
    solved = _scores_of_lines(done)
    for moves in openings(plies)[len(done) :]:
        own, stones = _cells_after(moves)
        scores = []
        for move in _moves(stones):
            key = _opening_key(own ^ stones, stones | move)
            if key not in solved:
                solved[key] = -solver._score_after(own, stones, move)
            scores.append(-solved[key])
        with path.open("a") as file:
            file.write(" ".join([moves, *map(str, scores)]) + "\n")


@functools.cache
def _read_openings() -> dict[int, int]:
    """The scores of all positions of up to OPENING_PLIES + 1 stones, by `_opening_key`."""
    solved = _scores_of_lines(OPENINGS.read_text().splitlines())
    for plies in reversed(range(OPENING_PLIES)):
        for moves in openings(plies):
            own, stones = _cells_after(moves)
            replies = [solved[_opening_key(own ^ stones, stones | move)] for move in _moves(stones) if move]
            solved[_opening_key(own, stones)] = -min(replies)
    return solved


def _scores_of_lines(lines: list[str]) -> dict[int, int]:
    """The scores of the positions of `write_openings`' lines and of those a move later, by `_opening_key`."""
    solved = {}
    for line in lines:
        moves, *scores = line.split()
        own, stones = _cells_after(moves)
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
