"""The search that solves Connect Four: alpha-beta over bitboards, compiled.

Bits are numbered as in games/connect4.py, seven to a column:

     5 12 19 26 33 40 47
     4 11 18 25 32 39 46     Cells (one or many) are ints with those bits. `own` are the stones of the side to move,
     3 10 17 24 31 38 45     `stones` those of both. `ply` is the number of stones on the board. Scores are those of
     2  9 16 23 30 37 44     solvers/connect4.py, from the side to move's point of view.
     1  8 15 22 29 36 43
     0  7 14 21 28 35 42     The seventh bit of a column is empty on the board, so no line runs from one column into
                             the next, and `own + stones` is a different number for every position.

The search only ever asks "is the score greater than alpha?". It looks at the moves that do not lose at once, those
that make most threats first. It keeps its stack in an array, so that it can stop after a number of nodes and go on
where it was: that is where Ctrl-C and progress get in.
"""

import numba
import numpy as np

# The rules' numbers are stated again, not imported: numba's cache would not notice an edit there.
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

_kernel = numba.njit(cache=True, nogil=True)
_inlined = numba.njit(cache=True, nogil=True, inline="always")


@_inlined
def count_bits(bits):
    """The number of bits set; LLVM makes one instruction of it."""
    bits = bits - (bits >> 1 & 0x5555555555555555)
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (bits * 0x0101010101010101) >> 56 & 127


@_inlined
def winning_cells(own, stones):
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
def playable(stones):
    """The cell on top of each column that is not full."""
    return (stones + BOTTOM_ROW) & BOARD


@_inlined
def mirrored(cells):
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
        key = min(key, mirrored(key))
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
    """Stores a bound. It replaces the entry that was there: what was searched last is most likely to be met again."""
    if ply < SMALL_FROM_PLY:
        large[position_hash & (1 << LARGE_BITS) - 1] = position_hash >> LARGE_BITS << BOUND_BITS | bound
    elif ply < NOT_STORED_FROM_PLY:
        small[position_hash & (1 << SMALL_BITS) - 1] = position_hash >> SMALL_BITS << BOUND_BITS | bound


@_inlined
def _without_search(own, stones, ply, alpha):
    """What is known of a position without search, where the side to move cannot win at once.

    Returns (a score that answers "greater than alpha?", or UNKNOWN; the moves that do not lose at once).
    """
    loses_next = -((CELLS - ply) // 2)
    threats = winning_cells(own ^ stones, stones)
    moves = playable(stones)
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
            threats = winning_cells(own | move, stones | move)
            at_once = threats & playable(stones | move)
            if at_once & (at_once - 1):
                return 0
            # The rank travels in the bits above the board, so that sorting moves one number.
            ranked = count_bits(threats) << KEY_BITS | move
            place = count
            while place > 0 and stack[depth, MOVES + place - 1] >> KEY_BITS < ranked >> KEY_BITS:
                stack[depth, MOVES + place] = stack[depth, MOVES + place - 1]
                place -= 1
            stack[depth, MOVES + place] = ranked
            count += 1
    for i in range(count):
        stack[depth, MOVES + i] &= BOARD
    return count


# Long: one loop without recursion, so that it can stop and go on; its steps share a dozen local numbers.
@_kernel
def search(stack, control, large, small, node_limit):
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
def is_won(cells):
    """Whether there are four in a row among them."""
    for step in (1, 6, 7, 8):
        pairs = cells & cells >> step
        if pairs & pairs >> 2 * step:
            return True
    return False
