"""What a network sees of a position of Go: the planes, and those of them that follow chains."""

import numpy as np

from keima.games.contract import PLAYER, kernel
from keima.games.go_board import CHAIN, EDGE, EMPTY, NEXT, NUM_RECENT, RECIPROCAL, SIZE, grid_at, point_of
from keima.games.ladders import STONE, read_ladder, reader_size

# The planes. Points in KOMI_PLANE are shown as 0.5 + points / 40, from 0 to 1.
MINE, THEIRS = 0, 1
LIBERTIES = 2  # stones of chains with one liberty, with two, with more
FORBIDDEN = 5  # empty points where a move would repeat a position
MOVES = 6  # the last NUM_RECENT moves, the last one first
PASSED = MOVES + NUM_RECENT  # everywhere: half where the last move was a pass, so that one more ends the game
KOMI_PLANE = PASSED + 1  # everywhere: the points the side to move gets, with prisoners where they count
TERRITORY = KOMI_PLANE + 1  # everywhere, where territory and prisoners count in place of area
LESS_SUPERKO = TERRITORY + 1  # everywhere: half for situational superko, one for the simple rule
MAY_SUICIDE = LESS_SUPERKO + 1  # everywhere, where that is legal
TO_PLACE = MAY_SUICIDE + 1  # everywhere: tenths of a handicap stone still to be placed, to 1
LADDERED = TO_PLACE + 1  # stones of chains with one or two liberties that a ladder captures, see games/ladders.py
LADDER_MOVES = LADDERED + 1  # empty points where the side to move begins one
NUM_PLANES = LADDER_MOVES + 1


@kernel
def encode_chains(state, planes):
    """Sets the planes of liberties and of ladders."""
    size, chain, length = state[SIZE], grid_at(state, CHAIN), state[SIZE] + 1
    reader = np.zeros(reader_size(length), np.int64)
    for point in range(length * (length + 1)):
        name = state[chain + point]
        reader[point] = STONE + (name & 1) if name > EDGE else name  # EMPTY and EDGE are the same there
    for cell in range(size * size):
        head = point_of(size, cell)
        name = state[chain + head]
        if name >> 1 != head:
            continue
        num_liberties = count_liberties(state, head, 3)
        mark_chain(state, head, planes[LIBERTIES - 1 + num_liberties])
        if num_liberties == 3:
            continue
        is_captured, first, second = read_ladder(reader, length, head)
        if is_captured:
            mark_chain(state, head, planes[LADDERED])
            if name & 1 != state[PLAYER]:
                for move in (first, second):
                    if move > 0:
                        mark_point(state, move, planes[LADDER_MOVES])


@kernel
def mark_point(state, point, plane):
    """Sets a plane to 1 at a point."""
    row = (point * state[RECIPROCAL] >> 16) - 1
    plane[row, point - (row + 1) * (state[SIZE] + 1) - 1] = 1


@kernel
def mark_chain(state, head, plane):
    """Sets a plane to 1 on a chain's stones."""
    following = grid_at(state, NEXT)
    stone = head
    while True:
        mark_point(state, stone, plane)
        stone = state[following + stone]
        if stone == head:
            return


@kernel
def count_liberties(state, head, enough):
    """How many liberties a chain has; counting stops at `enough`, 3 at most."""
    chain, following, length = grid_at(state, CHAIN), grid_at(state, NEXT), state[SIZE] + 1
    first = second = count = 0
    stone = head
    while True:
        for step in (-length, -1, 1, length):
            point = stone + step
            if state[chain + point] == EMPTY and point != first and point != second:
                first, second = point, first
                count += 1
                if count == enough:
                    return count
        stone = state[following + stone]
        if stone == head:
            return count
