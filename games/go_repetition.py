"""Go's legal moves: what has a liberty, and what repeats no position."""

from keima.games.contract import PLAYER, kernel
from keima.games.go_board import (
    ATARI,
    BITBOARDS,
    BLACK,
    CHAIN,
    COLUMN_OF_BIT,
    EDGE,
    EMPTY,
    FILTER,
    FILTER_WORDS,
    HASH,
    HASHES,
    KO_RULE,
    LOST,
    NEXT,
    SIMPLE,
    SITUATIONAL,
    SIZE,
    SUICIDE,
    SUMS,
    TURN,
    WHITE,
    WHITE_TO_MOVE,
    grid_at,
    has_one_liberty,
    history_at,
    is_of,
)


@kernel
def hash_of_captured(state, point, colour):
    """The hash of the colour's chains beside an empty point that have no other liberty; 0 where there are none."""
    chain, following, length = grid_at(state, CHAIN), grid_at(state, NEXT), state[SIZE] + 1
    first, second, third = EMPTY, EMPTY, EMPTY  # chains that are in it already
    code = 0
    for step in (-length, -1, 1, length):
        name = state[chain + point + step]
        if not is_of(name, colour) or name in (first, second, third):
            continue
        first, second, third = name, first, second
        head = name >> 1
        if has_one_liberty(state[grid_at(state, SUMS) + head]):
            stone = head
            while True:
                code ^= HASHES[colour, stone]
                stone = state[following + stone]
                if stone == head:
                    break
    return code


@kernel
def is_in_filter(state, code):
    """Whether a hash may be in the history; if not, it is not."""
    return state[grid_at(state, FILTER) + (code >> 5 & FILTER_WORDS - 1)] >> (code & 31) & 1


@kernel
def is_suicide(state, point):
    """Whether a stone of the side to move on an empty point would have no liberty."""
    chain, sums, me, length = grid_at(state, CHAIN), grid_at(state, SUMS), state[PLAYER], state[SIZE] + 1
    for step in (-length, -1, 1, length):
        name = state[chain + point + step]
        if name == EMPTY or (name != EDGE and has_one_liberty(state[sums + (name >> 1)]) == (name & 1 != me)):
            return False
    return True


@kernel
def code_after(state, point):
    """What the history would have of the position after a move of the side to move on an empty point."""
    me = state[PLAYER]
    code = state[HASH] ^ HASHES[me, point] ^ hash_of_captured(state, point, 1 - me)
    if state[SUICIDE] and is_suicide(state, point):
        code = state[HASH] ^ hash_of_captured(state, point, me)
    if state[KO_RULE] == SITUATIONAL and me == BLACK:
        code ^= WHITE_TO_MOVE
    return code


@kernel
def would_repeat(state, point):
    """Whether a move of the side to move on an empty point would be forbidden as a repetition."""
    turn, history = state[TURN], history_at(state)
    code = code_after(state, point)
    if state[KO_RULE] == SIMPLE:
        return turn > 0 and state[history + turn - 1] == code
    if is_in_filter(state, code):
        for i in range(turn):
            if state[history + i] == code:
                return True
    return False


@kernel
def beside(above, here, below):
    """The cells beside those of three rows' bits that are in the row of `here`."""
    return above | below | here << 1 | here >> 1


@kernel
def legal_and_doubtful(state, row):
    """Bits of a row, 1 to size: the empty cells where the side to move may play, and which of them might repeat.

    A stone must be beside an empty cell, a chain of its own side that is not in atari, or one of the other side that
    is. A move can only bring a position back where the mover had a stone and lost it since, or by suicide.
    """
    # Offsets and no views of the bitboards, which would cost more than all the rest of it.
    length, me, full = state[SIZE] + 2, state[PLAYER], (1 << state[SIZE]) - 1
    mine = BITBOARDS + me * length + row
    theirs = BITBOARDS + (1 - me) * length + row
    atari = BITBOARDS + ATARI * length + row
    # Above and below the board both players have stones everywhere, none of them in atari.
    mine_above, mine_here, mine_below = (
        state[mine - 1] & state[atari - 1],
        state[mine] & state[atari],
        state[mine + 1] & state[atari + 1],
    )
    theirs_above, theirs_here, theirs_below = (
        state[theirs - 1] & state[atari - 1],
        state[theirs] & state[atari],
        state[theirs + 1] & state[atari + 1],
    )
    empty = full & ~(state[mine] | state[theirs])
    legal = empty & beside(
        ~(mine_above | state[theirs - 1] ^ theirs_above),
        full & ~(mine_here | state[theirs] ^ theirs_here),
        ~(mine_below | state[theirs + 1] ^ theirs_below),
    )
    captures = legal & beside(theirs_above, theirs_here, theirs_below)
    suicides = empty & ~legal & beside(mine_above, mine_here, mine_below) if state[SUICIDE] else 0
    lost = state[BITBOARDS + (LOST + me) * length + row]
    doubtful = captures & lost | suicides
    # Without a capture the hash is known at once. None of these repeats the position before the opponent's last move.
    others = legal & lost & ~captures if state[KO_RULE] != SIMPLE else 0
    code = state[HASH] ^ (WHITE_TO_MOVE if state[KO_RULE] == SITUATIONAL and me == BLACK else 0)
    while others:
        bit = others & -others
        others ^= bit
        if is_in_filter(state, code ^ HASHES[me, row * (state[SIZE] + 1) + COLUMN_OF_BIT[bit % 37] + 1]):
            doubtful |= bit
    return legal | suicides, doubtful


@kernel
def forbidden_of(state, row, doubtful):
    """The cells among the doubtful ones of a row where a move would repeat a position."""
    forbidden = 0
    while doubtful:
        bit = doubtful & -doubtful
        doubtful ^= bit
        if would_repeat(state, row * (state[SIZE] + 1) + COLUMN_OF_BIT[bit % 37] + 1):
            forbidden |= bit
    return forbidden


@kernel
def remember(state):
    """Puts the position in its place in the history."""
    code = state[HASH]
    if state[KO_RULE] == SITUATIONAL and state[PLAYER] == WHITE:
        code ^= WHITE_TO_MOVE
    remember_code(state, code)


@kernel
def remember_code(state, code):
    """Puts a hash in the current position's place in the history."""
    state[history_at(state) + state[TURN]] = code
    state[grid_at(state, FILTER) + (code >> 5 & FILTER_WORDS - 1)] |= 1 << (code & 31)
