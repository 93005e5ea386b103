"""Ladders of Go: whether a chain with one or two liberties is captured by ataris alone, whatever its owner does.

The attacker takes one of the chain's two liberties; the owner extends by the other, or captures a chain beside his own
that is in atari; and so on, until the chain is captured, or has three liberties, or two and the move. This is what a
player reads out first in any fight and what a network of a few layers cannot see, since it may run over the whole
board. Kos are not looked at: both sides take back at once.

A reader is one row of int64 for all that a reading needs, of `reader_size` words. It begins with a board of one word a
point, EMPTY, EDGE or STONE + player, in rows of `length` words with an edge around them, as in games/go.py. A reading
plays on it and takes all moves back. What else there is follows, see below.
"""

from keima.games.contract import kernel

EMPTY, EDGE, STONE = 0, 1, 2
# What is not read to its end counts as escaped. The limits are of a line and not of all positions together, so that
# what is found does not depend on the order in which moves are tried: it is the same in every image of a position.
MOST_MOVES = 100
MOST_BRANCHES = 6  # at which the attacker had two ataris to choose from, or the owner captured
MOST_REPLIES = 8  # of the owner's in a position: the extension, and captures

# Parts of a reader, of one word a point each, so that they begin at multiples of the number of points.
MARKS = 1  # which `fill` was there last; of the first point, an edge: how many there were
CHAIN = 2  # the stones that `fill` has found for a reading
BESIDE = 3  # and for a chain beside it
LOG = 4  # two such parts and 2 * MOST_MOVES words: of each move its point, then what it captured

# After that, see `path_at`, PATH_WIDTH words for each depth of a search.
COUNT = 0  # moves to try
TRIED = 1  # how many of them have been tried
PAIR = 2  # where the attacker moves: the sum of the two liberties, so that one tells the other
TOP = 3  # where the log of the moves that led there ends
BRANCHES = 4  # those of MOST_BRANCHES on the way there
MOVES = 5  # the moves to try
PATH_WIDTH = MOVES + MOST_REPLIES


@kernel
def path_at(length):
    """Where the path begins."""
    return (LOG + 2) * length * (length + 1) + 2 * MOST_MOVES


@kernel
def reader_size(length):
    return path_at(length) + (MOST_MOVES + 2) * PATH_WIDTH


@kernel
def fill(reader, length, stone, part, enough):
    """Finds a chain's stones, written into a part, and liberties; says how many of each, and the last two liberties.

    Done as soon as there are `enough` liberties.
    """
    num_points = length * (length + 1)
    marks, stones = MARKS * num_points, part * num_points
    colour = reader[stone]
    mark = reader[marks] + 1
    reader[marks] = mark
    reader[marks + stone] = mark
    reader[stones] = stone
    num_stones, num_liberties, done, last, other = 1, 0, 0, 0, 0
    while done < num_stones:
        here = reader[stones + done]
        done += 1
        for step in (-length, -1, 1, length):
            point = here + step
            if reader[point] == EMPTY:
                if reader[marks + point] != mark:
                    reader[marks + point] = mark
                    last, other = point, last
                    num_liberties += 1
                    if num_liberties == enough:
                        return num_stones, num_liberties, last, other
            elif reader[point] == colour and reader[marks + point] != mark:
                reader[marks + point] = mark
                reader[stones + num_stones] = point
                num_stones += 1
    return num_stones, num_liberties, last, other


@kernel
def num_empty_beside(reader, length, point):
    """How many of the four points beside one are empty."""
    count = 0
    for step in (-length, -1, 1, length):
        count += reader[point + step] == EMPTY
    return count


@kernel
def room_beside(reader, length, liberty, taken):
    """How many liberties a chain wins, at least, by extending to one of two after the other has been taken."""
    return num_empty_beside(reader, length, liberty) - (liberty - taken in (-length, -1, 1, length))


@kernel
def put(reader, length, colour, point, begin):
    """Plays a move, logged from `begin` on; returns where its entry ends: at `begin` where that were suicide."""
    num_points = length * (length + 1)
    log, others = LOG * num_points, BESIDE * num_points
    reader[point] = colour
    reader[log + begin] = point
    end = begin + 1
    for step in (-length, -1, 1, length):
        beside = point + step
        if reader[beside] == 2 * STONE + 1 - colour and num_empty_beside(reader, length, beside) == 0:
            num_stones, num_liberties, _, _ = fill(reader, length, beside, BESIDE, 1)
            if num_liberties == 0:
                for i in range(num_stones):
                    stone = reader[others + i]
                    reader[stone] = EMPTY
                    reader[log + end] = stone
                    end += 1
    is_alive = end > begin + 1 or num_empty_beside(reader, length, point) > 0
    if is_alive or fill(reader, length, point, BESIDE, 1)[1] > 0:
        return end
    reader[point] = EMPTY
    return begin


@kernel
def take_back(reader, length, begin, end):
    """Undoes the move that is logged from `begin` to `end`."""
    log = LOG * length * (length + 1)
    point = reader[log + begin]
    captured = 2 * STONE + 1 - reader[point]
    reader[point] = EMPTY
    for i in range(begin + 1, end):
        reader[reader[log + i]] = captured


@kernel
def add_captures(reader, length, stone, path):
    """Adds to an owner's moves, of which there is one, the captures of chains beside his own; False for too many."""
    num_points = length * (length + 1)
    stones, moves = CHAIN * num_points, path + MOVES
    attacker = 2 * STONE + 1 - reader[stone]
    num_stones, _, _, _ = fill(reader, length, stone, CHAIN, 3)
    count = 1
    for i in range(num_stones):
        for step in (-length, -1, 1, length):
            beside = reader[stones + i] + step
            if reader[beside] == attacker and num_empty_beside(reader, length, beside) < 2:
                _, num_liberties, point, _ = fill(reader, length, beside, BESIDE, 2)
                if num_liberties == 1:
                    is_new = True
                    for k in range(count):
                        is_new &= reader[moves + k] != point
                    if is_new:
                        if count == MOST_REPLIES or reader[path + BRANCHES] == MOST_BRANCHES:
                            return False
                        reader[moves + count] = point
                        count += 1
    reader[path + COUNT] = count
    return True


@kernel
def set_ataris(reader, length, first, second, path):
    """Sets an attacker's moves: the liberties of two that it may pay to take.

    Not the one that leaves the owner another where he escapes at once. First the one where he would get more room.
    """
    room_at_first = room_beside(reader, length, first, second)
    room_at_second = room_beside(reader, length, second, first)
    if room_at_second > room_at_first:
        first, second, room_at_first, room_at_second = second, first, room_at_second, room_at_first
    count = 0
    if room_at_second < 3:
        reader[path + MOVES] = first
        count = 1
    if room_at_first < 3:
        reader[path + MOVES + count] = second
        count += 1
    if count == 2:
        reader[path + BRANCHES] += 1
        if reader[path + BRANCHES] > MOST_BRANCHES:
            count = 0
    reader[path + COUNT], reader[path + TRIED], reader[path + PAIR] = count, 0, first + second


@kernel
def is_captured(reader, length, stone, extension, begin):
    """Whether the chain of a stone, in atari with its owner to move, is captured.

    extension: its liberty. begin: from where on the log is free.

    A search to the end without recursion. At even depths the owner moves and looks for a reply that escapes, at odd
    ones the attacker, who looks for an atari that captures; the first one found decides a position.
    """
    owner = reader[stone]
    path, depth = path_at(length), 0
    reader[path + COUNT], reader[path + TRIED], reader[path + TOP] = 1, 0, begin
    reader[path + BRANCHES], reader[path + MOVES] = 0, extension
    while True:
        by_owner = depth & 1 == 0
        descended = False
        # In favour of who is to move.
        decided = by_owner and reader[path + TRIED] == 0 and num_empty_beside(reader, length, reader[path + MOVES]) >= 3
        while not (decided or descended):
            if by_owner and reader[path + TRIED] == 1 and reader[path + COUNT] == 1:
                decided = not add_captures(reader, length, stone, path)
            if decided or reader[path + TRIED] >= reader[path + COUNT]:
                break
            move = reader[path + MOVES + reader[path + TRIED]]
            reader[path + TRIED] += 1
            begin = reader[path + TOP]
            end = put(reader, length, owner if by_owner else 2 * STONE + 1 - owner, move, begin)
            if end == begin:
                continue
            following = path + PATH_WIDTH
            reader[following + TOP] = end
            reader[following + BRANCHES] = reader[path + BRANCHES] + (by_owner and reader[path + TRIED] > 1)
            if depth + 1 == MOST_MOVES:
                decided = by_owner
                take_back(reader, length, begin, end)
            elif by_owner:
                _, num_liberties, first, second = fill(reader, length, stone, CHAIN, 3)
                if num_liberties == 2:
                    set_ataris(reader, length, first, second, following)
                    descended = True
                else:
                    decided = num_liberties == 3
                    take_back(reader, length, begin, end)
            else:
                reader[following + COUNT], reader[following + TRIED] = 1, 0
                reader[following + MOVES] = reader[path + PAIR] - move
                descended = True
        if descended:
            path += PATH_WIDTH
            depth += 1
            continue
        # Back to where something is left to try: who has failed gives the move back to the other, for whom it decides.
        while True:
            if depth == 0:
                return not decided
            depth -= 1
            path -= PATH_WIDTH
            take_back(reader, length, reader[path + TOP], reader[path + PATH_WIDTH + TOP])
            decided = not decided
            if not decided:
                break


@kernel
def read_ladder(reader, length, stone):
    """Whether a ladder captures the chain of a stone, and two points where it begins, 0 for none.

    With two liberties its opponent moves first, with one its owner, so that no move is needed; with more it escapes.
    """
    _, num_liberties, first, second = fill(reader, length, stone, CHAIN, 3)
    if num_liberties == 3:
        return False, 0, 0
    if num_liberties == 1:
        return is_captured(reader, length, stone, first, 0), 0, 0
    begins = begins_ladder(reader, length, stone, first, second), begins_ladder(reader, length, stone, second, first)
    return begins[0] or begins[1], first if begins[0] else 0, second if begins[1] else 0


@kernel
def begins_ladder(reader, length, stone, move, extension):
    """Whether taking the one of a chain's two liberties and leaving it the other begins a ladder that captures it."""
    if room_beside(reader, length, extension, move) >= 3:
        return False
    end = put(reader, length, 2 * STONE + 1 - reader[stone], move, 0)
    if end == 0:
        return False
    found = is_captured(reader, length, stone, extension, end)
    take_back(reader, length, 0, end)
    return found
