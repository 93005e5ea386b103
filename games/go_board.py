"""Go's board: what a state row holds, and chains of stones that are put down and captured.

Cells and actions, size 3:    0 1 2     Points, size 3, with an edge     0  1  2  3     A cell's point is
                              3 4 5     around them (what is left of     4  .  .  .     (row + 1) * (size + 1)
                              6 7 8     a row is also right of the one   8  .  .  .     + column + 1.
                                        above):                         12  .  .  .
                                                                        16 17 18 19

State: the entries PLAYER to RECENT, see below. Bitboards of one word a row, bit c for column c, between two words for
the edge: the players' stones, the stones in atari (of chains with a single liberty), and where each player has ever
lost a stone. Grids of one word a point: CHAIN, NEXT, SUMS. The hashes of the positions so far, the current one last,
and before them a filter that tells most others from them.

A chain is known by one of its stones, its head: CHAIN[stone] is 2 * head + colour, its name. NEXT[stone] leads around
the ring of its stones. SUMS[head] is the sum of `liberty(point)` over all pairs of a stone and an empty point beside
it, and of ONE_STONE for each stone. So a move changes a few sums, and atari is seen without looking at the board.
"""

import numpy as np

from keima.games.contract import kernel

TROMP_TAYLOR, CHINESE, JAPANESE, AGA = 0, 1, 2, 3
POSITIONAL, SITUATIONAL, SIMPLE = 0, 1, 2
FIXED, FREE = 0, 1
BLACK, WHITE, NOBODY = 0, 1, 2

SIZE, RULE, KO_RULE, SUICIDE, LIMIT = 1, 2, 3, 4, 5
KOMI = 6  # in half points, with what White gets for handicap stones
PLACING = 7  # handicap stones that Black has still to place
PLIES = 8
PASSES = 9  # in a row, up to now
PRISONERS = 10  # stones that White has lost, less those that Black has
HASH = 11  # of the stones on the board
TURN = 12  # where the current position is in the history; the handicap's placement is no part of that
RECIPROCAL = 13  # point * RECIPROCAL >> 16 is point // (size + 1), and faster
RECENT = 14  # the last actions, the last one first, NONE before the first
NUM_RECENT = 5
NONE = -1
BITBOARDS = RECENT + NUM_RECENT

ATARI, LOST = 2, 3  # bitboards; BLACK and WHITE are the players' stones, LOST + player is where he lost some
NUM_BITBOARDS = 5
CHAIN, NEXT, SUMS = 0, 1, 2  # grids
NUM_GRIDS = 3
FILTER = 3  # comes after them: for each hash of the history, bit hash % 32 of the word hash // 32 % FILTER_WORDS is set
FILTER_WORDS = 128
EMPTY, EDGE = 0, 1  # in CHAIN; names of chains are larger

ONE_STONE = 1 << 48  # above what the sum of all liberties can reach
HASHES = np.random.default_rng(19).integers(1, 2**63 - 1, (2, 20 * 20))  # of a colour's stone on a point
WHITE_TO_MOVE = 0x5851F42D4C957F2D  # part of the hash where a situation must not be repeated
COLUMN_OF_BIT = np.zeros(37, np.int64)  # of 1 << c at (1 << c) % 37, which differs for all columns
COLUMN_OF_BIT[[(1 << column) % 37 for column in range(19)]] = range(19)


@kernel
def point_of(size, cell):
    """A cell's point."""
    row = cell // size
    return cell + row + size + 2


@kernel
def bitboard_at(state, index):
    """Where one of the bitboards begins; row r of the board is its word r + 1."""
    return BITBOARDS + index * (state[SIZE] + 2)


@kernel
def grid_at(state, index):
    """Where one of the grids begins, or FILTER, which comes after them."""
    size = state[SIZE]
    return BITBOARDS + (size + 2) * (NUM_BITBOARDS + (size + 1) * index)


@kernel
def history_at(state):
    """Where the hashes of the positions so far begin."""
    return grid_at(state, FILTER) + FILTER_WORDS


# --- chains


@kernel
def is_of(name, player):
    """Whether an entry of CHAIN names a chain of the player's."""
    return name > EDGE and name & 1 == player


@kernel
def liberty(point):
    """What an empty point beside a stone adds to its chain's sum: 1, the point and its square.

    Where n points have the sum s and squares that sum to q, they are all the same one if and only if n * q == s * s
    (Cauchy and Schwarz). One point is beside a chain's stones at most four times; so for n up to 4, where the parts
    of the sum have not run into each other, that says whether there is a single liberty.
    """
    return 1 + (point << 10) + (point * point << 21)


@kernel
def has_no_liberty(sums):
    return sums & 1023 == 0


@kernel
def has_one_liberty(sums):
    count, points, squares = sums & 1023, sums >> 10 & 2047, sums >> 21 & 0xFFFFF
    return 0 < count <= 4 and count * squares == points * points


@kernel
def row_and_bit(state, point):
    """The word of a bitboard and the bit in it that stand for a point."""
    row = point * state[RECIPROCAL] >> 16
    return row, 1 << (point - row * (state[SIZE] + 1) - 1)


@kernel
def flip(state, bits, point):
    """Adds a point to a bitboard, or takes it away."""
    row, bit = row_and_bit(state, point)
    state[bits + row] ^= bit


@kernel
def flip_chain(state, bits, head):
    """Adds a chain's stones to a bitboard, or takes them away."""
    following = grid_at(state, NEXT)
    stone = head
    while True:
        flip(state, bits, stone)
        stone = state[following + stone]
        if stone == head:
            return


@kernel
def update_atari(state, name):
    """Corrects the bitboard of the stones in atari for a chain whose liberties have changed."""
    head, bits = name >> 1, bitboard_at(state, ATARI)
    row, bit = row_and_bit(state, head)
    if has_one_liberty(state[grid_at(state, SUMS) + head]) != (state[bits + row] & bit != 0):
        flip_chain(state, bits, head)


@kernel
def join(state, one, other):
    """Makes one chain of two that touch; returns its name. Neither may be marked as in atari."""
    chain, following, sums = grid_at(state, CHAIN), grid_at(state, NEXT), grid_at(state, SUMS)
    if state[sums + (one >> 1)] < state[sums + (other >> 1)]:  # fewer stones get a new name
        one, other = other, one
    head, stone = one >> 1, other >> 1
    state[sums + head] += state[sums + stone]
    while state[chain + stone] != one:
        state[chain + stone] = one
        stone = state[following + stone]
    state[following + head], state[following + stone] = state[following + stone], state[following + head]
    return one


@kernel
def remove_chain(state, name):
    """Takes a chain off the board; its neighbours get its points for liberties."""
    chain, following, sums = grid_at(state, CHAIN), grid_at(state, NEXT), grid_at(state, SUMS)
    colour, head, length = name & 1, name >> 1, state[SIZE] + 1
    stones, atari, lost = bitboard_at(state, colour), bitboard_at(state, ATARI), bitboard_at(state, LOST + colour)
    stone = head
    while True:
        row, bit = row_and_bit(state, stone)
        state[stones + row] ^= bit
        state[atari + row] &= ~bit
        state[lost + row] |= bit
        state[chain + stone] = EMPTY
        state[HASH] ^= HASHES[colour, stone]
        state[PRISONERS] += colour - (1 - colour)
        for step in (-length, -1, 1, length):
            beside = state[chain + stone + step]
            if beside > EDGE and beside != name:
                state[sums + (beside >> 1)] += liberty(stone)
        stone = state[following + stone]
        if stone == head:
            break
    while True:
        for step in (-length, -1, 1, length):
            if state[chain + stone + step] > EDGE:
                update_atari(state, state[chain + stone + step])
        stone = state[following + stone]
        if stone == head:
            return


@kernel
def put_stone(state, player, point):
    """Puts a stone on an empty point and captures what has no liberty left, the opponent's chains before his own."""
    chain, following, sums = grid_at(state, CHAIN), grid_at(state, NEXT), grid_at(state, SUMS)
    atari, length = bitboard_at(state, ATARI), state[SIZE] + 1
    state[sums + point] = ONE_STONE
    for step in (-length, -1, 1, length):
        beside = state[chain + point + step]
        if beside == EMPTY:
            state[sums + point] += liberty(point + step)
        elif beside != EDGE:
            state[sums + (beside >> 1)] -= liberty(point)
    name = 2 * point + player
    state[chain + point] = name
    state[following + point] = point
    flip(state, bitboard_at(state, player), point)
    state[HASH] ^= HASHES[player, point]
    for step in (-length, -1, 1, length):
        beside = state[chain + point + step]
        if is_of(beside, player) and beside != name:
            row, bit = row_and_bit(state, beside >> 1)
            if state[atari + row] & bit:
                flip_chain(state, atari, beside >> 1)
            name = join(state, name, beside)
    for step in (-length, -1, 1, length):
        beside = state[chain + point + step]
        if is_of(beside, 1 - player):
            if has_no_liberty(state[sums + (beside >> 1)]):
                remove_chain(state, beside)
            else:
                update_atari(state, beside)
    if has_no_liberty(state[sums + (name >> 1)]):
        remove_chain(state, name)
    else:
        update_atari(state, name)
