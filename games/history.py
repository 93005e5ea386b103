"""Positions that a game has had, as hashes in a ring in its state row, for rules on repetition.

A ring of `length` words begins at `at` in the row. Positions are numbered from 0 as they come; number n is kept in word
n % length, where it takes the place of number n - length. How many have come the game counts itself, in a word of its
row. A move that can never be taken back, as a pawn's in chess, lets a game look no further back than that, so the ring
need be no longer than such a stretch may be: 100 plies by chess's fifty-move rule. Nothing is ever moved.

    remember(state, HISTORY, 101, state[PLIES], hash_of(state))
    repeated = occurrences(state, HISTORY, 101, state[LAST_PAWN_MOVE], state[PLIES], hash_of(state))

Hashes of 64 bits are taken for positions themselves: two different ones among a thousand share one in 3 * 10**-14.
"""

from keima.games.contract import kernel


@kernel
def remember(state, at, length, number, code):
    """Puts a position's hash in its place, in place."""
    state[at + number % length] = code


@kernel
def occurrences(state, at, length, first, number, code):
    """How many of the positions from number `first` up to, not including, `number` have this hash.

    Those that have left the ring, more than `length` before `number`, are not among them.
    """
    place, count = number % length, 0
    for _ in range(min(number - first, length)):
        place = place - 1 if place > 0 else length - 1
        count += state[at + place] == code
    return count
