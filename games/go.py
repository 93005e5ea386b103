"""Go: surround points, capture what has no liberty left; two passes end the game, and the larger area wins.

Cells and actions, size 3:    0 1 2     Points, size 3, with an edge     0  1  2  3     A cell's point is
                              3 4 5     around them (what is left of     4  .  .  .     (row + 1) * (size + 1)
                              6 7 8     a row is also right of the one   8  .  .  .     + column + 1.
                                        above):                         12  .  .  .
                                                                        16 17 18 19
Action size * size passes.

State: the entries PLAYER to RECENT, see below. Bitboards of one word a row, bit c for column c, between two words for
the edge: the players' stones, the stones in atari (of chains with a single liberty), and where each player has ever
lost a stone. Grids of one word a point: CHAIN, NEXT, SUMS. The hashes of the positions so far, the current one last,
and before them a filter that tells most others from them.

A chain is known by one of its stones, its head: CHAIN[stone] is 2 * head + colour, its name. NEXT[stone] leads around
the ring of its stones. SUMS[head] is the sum of `liberty(point)` over all pairs of a stone and an empty point beside
it, and of ONE_STONE for each stone. So a move changes a few sums, and atari is seen without looking at the board.
"""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import (
    DRAW,
    FIRST_WINS,
    ONGOING,
    PLAYER,
    SECOND_WINS,
    Game,
    GameError,
    cell_symmetries,
    kernel,
    parameter,
)
from keima.games.ladders import STONE, read_ladder, reader_size

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


@dataclass(frozen=True)
class Go(Game):
    """Go. Moves are points, a1 in the bottom left corner, without a column i; or `pass`.

    Rules. What counts: `tromp-taylor`, `chinese` and `aga` count area, the stones on the board and the empty points
    that only one side's stones reach; all stones count as alive, so dead ones have to be captured, which costs nothing.
    White gets a point for each handicap stone by `chinese` rules, for each but the first by `aga`, as the American,
    British and French ones have it. `japanese` counts territory and prisoners, and nothing for stones;
    stones inside the opponent's unconditionally alive territory are taken off first, as prisoners, and other dead
    stones by who knows them, with `without`. Under every rule a game that reaches `limit` is counted as it stands.

    `ko` is what a move must not repeat: an earlier position on the board (`positional` superko), one with the same side
    to move (`situational`), or just the position before the opponent's last move (`simple`). A pass is always legal.
    `suicide=yes` allows to take away one's own chain of two stones or more; a single stone's would be a pass.

    Handicap: `fixed` placement begins with Black's stones on the points where GTP's fixed_handicap puts them. With
    `free` placement Black's first `handicap` moves are those stones: White does not move between them and there is no
    pass; so records, undo and GTP's set_free_handicap need nothing but moves. White is the next to move either way.
    """

    size: int = parameter(9, "rows and columns", 2, 19)
    komi: float = parameter(7.5, "points that White gets for moving second", -400, 400)
    rules: str = parameter(
        "tromp-taylor", "what counts in the end", choices=("tromp-taylor", "chinese", "japanese", "aga")
    )
    ko: str = parameter("positional", "what is not repeated", choices=("positional", "situational", "simple"))
    suicide: str = parameter("no", "whether one may capture one's own stones", choices=("no", "yes"))
    handicap: int = parameter(0, "stones that Black begins with, 0 or from 2", 0, 360)
    placement: str = parameter("fixed", "who places them, the rules or Black", choices=("fixed", "free"))
    limit: int = parameter(0, "moves after which the game ends; 0: three for each point", 0, 10_000)

    players = ("Black", "White")
    column_letters = "abcdefghjklmnopqrst"
    num_planes = NUM_PLANES
    policy_planes = 1
    score_per_point = 2
    looks_ahead = False

    def __post_init__(self):
        most = self.size**2 - 1
        if self.handicap and self.placement == "fixed":
            most = most_fixed_stones(self.size)
        if self.handicap == 1 or self.handicap > most:
            expected = f"0 or from 2 to {most}" if most else "0"
            raise GameError(
                f"go: {self.placement} handicap of size {self.size} is {expected} stones, got {self.handicap}"
            )
        if 0 < self.limit <= self.handicap:
            raise GameError(f"go: limit is more than the {self.handicap} handicap stones, got {self.limit}")

    @property
    def shape(self):
        return self.size, self.size

    @property
    def num_actions(self):
        return self.size**2 + 1

    @property
    def max_plies(self):
        return self.limit or 3 * self.size**2

    @property
    def state_size(self):
        boards_and_grids = (self.size + 2) * (NUM_BITBOARDS + NUM_GRIDS * (self.size + 1))
        return BITBOARDS + boards_and_grids + FILTER_WORDS + self.max_plies + 1

    @property
    def handicap_bonus(self):
        """Points that White gets for handicap stones."""
        return {"chinese": self.handicap, "aga": max(self.handicap - 1, 0)}.get(self.rules, 0)

    @property
    def max_score(self):
        prisoners = self.max_plies if self.rules == "japanese" else 0
        return round(2 * (self.size**2 + prisoners + abs(self.komi) + self.handicap))

    def board(self, state):
        stones = state[BITBOARDS:][: 2 * (self.size + 2)].reshape(2, self.size + 2, 1)
        black, white = stones[:, 1:-1] >> np.arange(self.size) & 1
        return black + 2 * white

    def symmetries(self):
        return cell_symmetries(self, rotations=True)

    def text_to_action(self, state, text):
        """See `Game`. Says why a point is illegal, too."""
        try:
            return super().text_to_action(state, text)
        except GameError:
            cells = {self.cell_to_text(cell): cell for cell in range(self.size**2)}
            cell = cells.get(text.strip().lower())
            if cell is None or self.outcome(state) != ONGOING:
                raise
            if self.board(state).flat[cell]:
                reason = "there is a stone"
            elif self.planes(state)[FORBIDDEN].flat[cell]:
                reason = f"it would repeat a position ({self.ko} ko rule)"
            else:
                reason = "the stone would have no liberty"
            raise GameError(f"illegal move {text.strip()!r}: {reason}") from None

    def pass_alive(self, state):
        """Whose each cell is whatever happens, [H, W]: +1 Black's, -1 White's, 0 not known; see `mark_pass_alive`."""
        owners = np.zeros(self.size**2, np.int8)
        mark_pass_alive(state, owners)
        return owners.reshape(self.shape)

    def without(self, state, cells):
        """A new row: the position with the chains on these cells taken off the board, as prisoners.

        For counting when it is agreed what is dead: `points` of the result. Cells without a stone are passed over.
        """
        cleared = state.copy()
        for cell in cells:
            name = cleared[grid_at(cleared, CHAIN) + point_of(self.size, cell)]
            if name > EDGE:
                remove_chain(cleared, name)
        return cleared


def most_fixed_stones(size):
    """How many stones a fixed handicap may have."""
    return 0 if size < 7 else (9 if size % 2 and size > 7 else 4)


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


# --- what must not be repeated


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
def would_repeat(state, point):
    """Whether a move of the side to move on an empty point would be forbidden as a repetition."""
    me, turn, history = state[PLAYER], state[TURN], history_at(state)
    code = state[HASH] ^ HASHES[me, point] ^ hash_of_captured(state, point, 1 - me)
    if state[SUICIDE] and is_suicide(state, point):
        code = state[HASH] ^ hash_of_captured(state, point, me)
    if state[KO_RULE] == SIMPLE:
        return turn > 0 and state[history + turn - 1] == code
    if state[KO_RULE] == SITUATIONAL and me == BLACK:
        code ^= WHITE_TO_MOVE
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


# --- the contract's kernels


@kernel
def reset(state, parameters):
    size, komi, rules, ko, suicide, handicap, placement, limit = parameters
    state[:] = 0
    state[SIZE], state[RULE], state[KO_RULE], state[SUICIDE] = size, rules, ko, suicide
    state[LIMIT] = limit if limit > 0 else 3 * size * size
    if rules == CHINESE:
        komi += 2 * handicap
    elif rules == AGA and handicap > 0:
        komi += 2 * (handicap - 1)
    state[KOMI] = komi
    state[RECIPROCAL] = 65536 // (size + 1) + 1
    state[RECENT:BITBOARDS] = NONE
    for player in range(2):
        stones = bitboard_at(state, player)
        state[stones] = state[stones + size + 1] = (1 << size) - 1  # see legal_and_doubtful
    chain = grid_at(state, CHAIN)
    state[chain : grid_at(state, CHAIN + 1)] = EDGE
    for cell in range(size * size):
        state[chain + point_of(size, cell)] = EMPTY
    if placement == FREE:
        state[PLACING] = handicap
    elif handicap > 0:
        for number in range(handicap):
            put_stone(state, BLACK, fixed_point(size, handicap, number))
        state[PLAYER] = WHITE
    remember(state)


@kernel
def fixed_point(size, handicap, number):
    """Where a stone of a fixed handicap is placed (GTP, version 2, section 4.1.1; the sizes as in GNU Go)."""
    middle, low = size // 2, 2 if size < 12 else 3
    high = size - 1 - low
    row = column = middle
    if number < handicap - 1 or handicap < 5 or handicap % 2 == 0:  # else it is the last one, in the centre
        row = (low, high, low, high, middle, middle, low, high)[number]
        column = (high, low, low, high, low, high, middle, middle)[number]
    return point_of(size, row * size + column)


@kernel
def remember(state):
    """Puts the position in its place in the history."""
    code = state[HASH]
    if state[KO_RULE] == SITUATIONAL and state[PLAYER] == WHITE:
        code ^= WHITE_TO_MOVE
    state[history_at(state) + state[TURN]] = code
    state[grid_at(state, FILTER) + (code >> 5 & FILTER_WORDS - 1)] |= 1 << (code & 31)


@kernel
def legal_actions(state, actions):
    size = state[SIZE]
    n = np.uint64(0)  # compiled code would look at a signed index twice: a negative one counts from the end
    for row in range(size):
        legal, doubtful = legal_and_doubtful(state, row + 1)
        if doubtful:
            legal &= ~forbidden_of(state, row + 1, doubtful)
        for cell in range(row * size, (row + 1) * size):
            actions[n] = cell
            n += np.uint64(legal & 1)  # an action that is not legal is written over
            legal >>= 1
    if state[PLACING] == 0 or n == 0:
        actions[n] = size * size
        n += np.uint64(1)
    return np.int64(n)


@kernel
def play(state, action):
    size, me = state[SIZE], state[PLAYER]
    for i in range(BITBOARDS - 1, RECENT, -1):
        state[i] = state[i - 1]
    state[RECENT] = action
    state[PLIES] += 1
    if action == size * size:
        state[PASSES] += 1
    else:
        state[PASSES] = 0
        put_stone(state, me, point_of(size, action))
    if state[PLACING] > 0:
        state[PLACING] -= 1
        state[PLAYER] = BLACK if state[PLACING] > 0 else WHITE
    else:
        state[PLAYER] = 1 - me
        state[TURN] += 1
    remember(state)


@kernel
def outcome(state):
    if state[PASSES] < 2 and state[PLIES] < state[LIMIT]:
        return ONGOING
    points = score(state)
    return FIRST_WINS if points > 0 else (SECOND_WINS if points < 0 else DRAW)


@kernel
def score(state):
    """Half points, komi and what White gets for handicap stones in it; whether the game is over or not."""
    areas = np.zeros((3, state[SIZE] + 2), np.int64)
    return 2 * count_points(state, areas) - state[KOMI]


@kernel
def ownership(state, owners):
    size = state[SIZE]
    areas = np.zeros((3, size + 2), np.int64)
    count_points(state, areas)
    for cell in range(size * size):
        row, column = cell // size + 1, cell % size
        owners[cell] = (areas[BLACK, row] >> column & 1) - (areas[WHITE, row] >> column & 1)


@kernel
def encode(state, planes):
    size, me = state[SIZE], state[PLAYER]
    mine, theirs = bitboard_at(state, me), bitboard_at(state, 1 - me)
    planes[:] = 0
    for row in range(size):
        _, doubtful = legal_and_doubtful(state, row + 1)
        forbidden = forbidden_of(state, row + 1, doubtful)
        for column in range(size):
            planes[MINE, row, column] = state[mine + row + 1] >> column & 1
            planes[THEIRS, row, column] = state[theirs + row + 1] >> column & 1
            planes[FORBIDDEN, row, column] = forbidden >> column & 1
    encode_chains(state, planes)
    for i in range(NUM_RECENT):
        action = state[RECENT + i]
        if 0 <= action < size * size:
            planes[MOVES + i, action // size, action % size] = 1
    points = state[KOMI] / 2 - (state[PRISONERS] if state[RULE] == JAPANESE else 0)
    planes[KOMI_PLANE] = min(max(0.5 + (points if me == WHITE else -points) / 40, 0), 1)
    planes[PASSED] = state[PASSES] / 2
    planes[TERRITORY] = state[RULE] == JAPANESE
    planes[LESS_SUPERKO] = state[KO_RULE] / 2
    planes[MAY_SUICIDE] = state[SUICIDE]
    planes[TO_PLACE] = min(state[PLACING] / 10, 1)


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


# --- counting


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
