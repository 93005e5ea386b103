"""Go's count: areas, territory, and the stones that live whatever happens."""

import numpy as np

from keima.games.contract import kernel
from keima.games.go_board import (
    BLACK,
    CHAIN,
    EDGE,
    EMPTY,
    JAPANESE,
    NEXT,
    NOBODY,
    PRISONERS,
    RULE,
    SIZE,
    WHITE,
    bitboard_at,
    grid_at,
    is_of,
    point_of,
)
from keima.games.go_repetition import beside


@kernel
def num_bits(bits):
    """How many of the lowest 32 bits are set."""
    bits = bits - (bits >> 1 & 0x55555555)
    bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333)
    bits = bits + (bits >> 4) & 0x0F0F0F0F
    return bits * 0x01010101 >> 24 & 0xFF


@kernel
def spread(areas, player):
    """Adds to a player's area, see `count_points`, the empty cells that are connected to it by such."""
    last = areas.shape[1] - 2
    area, empty = areas[player], areas[NOBODY]
    changed = True
    while changed:
        changed = False
        for i in range(2 * last):  # down and up again
            row = i + 1 if i < last else 2 * last - i
            grown = area[row] | empty[row] & beside(area[row - 1], area[row], area[row + 1])
            while grown != area[row]:
                changed = True
                area[row] = grown
                grown |= empty[row] & beside(0, grown, 0)


@kernel
def count_points(state, areas):
    """Fills areas[player] with the cells that are each one's; returns Black's points less White's, without komi.

    areas: int64 [3, size + 2], all 0; bits as in the bitboards, but none above and below the board. The third one gets
    the empty cells. By area, points are cells. By territory they are empty cells and prisoners, what stands in the
    opponent's unconditionally alive territory among them: a prisoner, and an empty cell where it was.
    """
    size, by_territory = state[SIZE], state[RULE] == JAPANESE
    points = state[PRISONERS] if by_territory else 0
    for player in range(2):
        for row in range(1, size + 1):
            areas[player, row] = state[bitboard_at(state, player) + row]
    if by_territory:
        owners = np.zeros(size * size, np.int8)
        mark_pass_alive(state, owners)
        for cell in range(size * size):
            row, bit = cell // size + 1, 1 << cell % size
            for player in range(2):
                sign = 1 - 2 * player
                if areas[player, row] & bit and owners[cell] == -sign:
                    areas[player, row] ^= bit
                    points -= sign
    for row in range(1, size + 1):
        areas[NOBODY, row] = ((1 << size) - 1) & ~(areas[BLACK, row] | areas[WHITE, row])
    for player in range(2):
        spread(areas, player)
    for row in range(1, size + 1):
        black, white = areas[BLACK, row] & ~areas[WHITE, row], areas[WHITE, row] & ~areas[BLACK, row]
        areas[BLACK, row], areas[WHITE, row] = black, white
        counted = areas[NOBODY, row] if by_territory else -1
        points += num_bits(black & counted) - num_bits(white & counted)
    return points


@kernel
def mark_pass_alive(state, owners):
    """Fills owners[cell] with whose it is however often he passes: +1 Black's, -1 White's, 0 nobody's so far.

    Chains that cannot be captured (D. Benson, "Life in the game of Go", 1976), and the regions they enclose of whose
    empty points every one is beside them, in which the opponent cannot live.
    """
    owners[:] = 0
    for player in range(2):
        mark_pass_alive_of(state, player, owners)


@kernel
def mark_pass_alive_of(state, player, owners):
    size, chain, length = state[SIZE], grid_at(state, CHAIN), state[SIZE] + 1
    region = np.zeros(length * (size + 2), np.int64)  # of a point; 0 for the player's stones and the edge
    num_regions = number_regions(state, player, region)
    num_empty, num_beside = np.zeros((2, num_regions + 1), np.int64)  # points, and those beside the player's stones
    for point in range(len(region)):
        if state[chain + point] == EMPTY:
            num_empty[region[point]] += 1
            num_beside[region[point]] += is_beside(state, point, player)
    is_alive = np.ones(len(region), np.bool_)  # of a head
    is_enclosed = np.ones(num_regions + 1, np.bool_)  # by chains that are all alive
    changed = True
    while changed:
        changed = False
        for head in range(len(region)):
            if state[chain + head] == 2 * head + player and is_alive[head]:
                is_alive[head] = num_vital_regions(state, head, region, num_empty, is_enclosed) >= 2
                changed |= not is_alive[head]
        for stone in range(len(region)):
            if is_of(state[chain + stone], player) and not is_alive[state[chain + stone] >> 1]:
                for step in (-length, -1, 1, length):
                    is_enclosed[region[stone + step]] = False
    for cell in range(size * size):
        point = point_of(size, cell)
        inside = region[point]
        if inside == 0:
            is_safe = is_alive[state[chain + point] >> 1]
        else:
            is_safe = is_enclosed[inside] and num_beside[inside] == num_empty[inside]
        if is_safe:
            owners[cell] = 1 - 2 * player


@kernel
def is_beside(state, point, player):
    """Whether a stone of the player's is beside a point."""
    chain, length = grid_at(state, CHAIN), state[SIZE] + 1
    found = False
    for step in (-length, -1, 1, length):
        found |= is_of(state[chain + point + step], player)
    return found


@kernel
def number_regions(state, player, region):
    """Numbers the connected regions of points without a stone of the player's from 1; returns how many there are."""
    chain, length = grid_at(state, CHAIN), state[SIZE] + 1
    stack = np.zeros(len(region), np.int64)
    count = 0
    for start in range(len(region)):
        if region[start] > 0 or state[chain + start] == EDGE or is_of(state[chain + start], player):
            continue
        count += 1
        region[start], stack[0], height = count, start, 1
        while height > 0:
            height -= 1
            here = stack[height]
            for step in (-length, -1, 1, length):
                point = here + step
                if region[point] == 0 and state[chain + point] != EDGE and not is_of(state[chain + point], player):
                    region[point] = count
                    stack[height] = point
                    height += 1
    return count


@kernel
def num_vital_regions(state, head, region, num_empty, is_enclosed):
    """Of how many enclosed regions a chain has every empty point for a liberty."""
    chain, following, length = grid_at(state, CHAIN), grid_at(state, NEXT), state[SIZE] + 1
    is_seen, num_seen = np.zeros(len(region), np.bool_), np.zeros(len(num_empty), np.int64)
    count = 0
    stone = head
    while True:
        for step in (-length, -1, 1, length):
            point = stone + step
            if state[chain + point] == EMPTY and not is_seen[point]:
                is_seen[point] = True
                num_seen[region[point]] += 1
                count += is_enclosed[region[point]] and num_seen[region[point]] == num_empty[region[point]]
        stone = state[following + stone]
        if stone == head:
            return count
