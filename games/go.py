"""Go: surround points, capture what has no liberty left; two passes end the game, and the larger area wins.

Cells and actions, size 3:    0 1 2     Points, size 3, with an edge     0  1  2  3     A cell's point is
                              3 4 5     around them (what is left of     4  .  .  .     (row + 1) * (size + 1)
                              6 7 8     a row is also right of the one   8  .  .  .     + column + 1.
                                        above):                         12  .  .  .
                                                                        16 17 18 19
Action size * size passes.

The state row is explained in games/go_board.py.
"""

from dataclasses import dataclass, replace

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
from keima.games.go_board import (
    AGA,
    BITBOARDS,
    BLACK,
    CHAIN,
    CHINESE,
    EDGE,
    EMPTY,
    FILTER_WORDS,
    FREE,
    JAPANESE,
    KO_RULE,
    KOMI,
    LIMIT,
    NONE,
    NUM_BITBOARDS,
    NUM_GRIDS,
    NUM_RECENT,
    PASSES,
    PLACING,
    PLIES,
    PRISONERS,
    RECENT,
    RECIPROCAL,
    RULE,
    SIZE,
    SUICIDE,
    TURN,
    WHITE,
    bitboard_at,
    grid_at,
    point_of,
    put_stone,
    remove_chain,
)
from keima.games.go_counting import count_points, mark_pass_alive
from keima.games.go_planes import (
    FORBIDDEN,
    KOMI_PLANE,
    LESS_SUPERKO,
    MAY_SUICIDE,
    MINE,
    MOVES,
    NUM_PLANES,
    PASSED,
    TERRITORY,
    THEIRS,
    TO_PLACE,
    encode_chains,
)
from keima.games.go_repetition import forbidden_of, legal_and_doubtful, remember
from keima.games.go_set_up import FIELDS, fields_of, forbid, forbidden_cells, set_field, set_stones


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
    has_crossings = True
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

    def set_up(self, codes, player):
        state = replace(self, handicap=0).new_state()  # an empty board under the same rules
        state[KOMI] = self.new_state()[KOMI]
        set_stones(state, codes, player)
        return state

    def position_to_text(self, state):
        """See `Game`; with the fields of games/go_set_up.py."""
        fields = fields_of(state)
        if cells := forbidden_cells(state):
            fields["ko"] = ",".join(map(self.cell_to_text, cells))
        return " ".join([super().position_to_text(state), *(f"{name}={fields[name]}" for name in sorted(fields))])

    def text_to_position(self, text):
        """See `Game`; with the fields of games/go_set_up.py."""
        words = text.split()
        fields = dict(word.partition("=")[::2] for word in words if "=" in word)
        state = super().text_to_position(" ".join(word for word in words if "=" not in word))
        if fields and state[PLIES]:
            raise GameError(f"position: expected {', '.join(fields)} after a board alone, not after moves")
        for name, value in fields.items():
            if name not in FIELDS:
                raise GameError(f"position: expected fields of {', '.join(FIELDS)}, got {name!r}")
            if name != "ko":
                set_field(state, name, value, self.handicap if self.placement == "free" else 0)
        names = {self.cell_to_text(cell): cell for cell in range(self.size**2)}
        points = fields["ko"].lower().split(",") if "ko" in fields else []
        if unknown := [point for point in points if point not in names]:
            raise GameError(f"position: ko: expected points as {self.cell_to_text(0)}, got {unknown[0]!r}")
        forbid(state, [names[point] for point in points])
        return state

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
