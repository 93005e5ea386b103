"""Alpha-beta search for any game, to a depth: an opponent without a network, known to everybody.

Iterative deepening, a table of positions met, killer moves and the history heuristic; values are the first player's.
Where the search ends before the game does, a game with a `score` is judged by that (Othello: discs, Go: area); one in
which pieces move (more than one policy plane) by mobility, the number of legal moves of the side to move, for that
side, which falls as pieces are lost: in Breakthrough it won 95 % of games at 4 plies against no judgement. Any other
is not judged at all: where every empty cell is a move, mobility says nothing, and in Connect Four, where it counts the
columns that are not full, having none won 63 % of 300 games.

Of moves that look equally good the one nearest to the board's centre is played, one of those drawn by a seed.

Marsland, "A review of game-tree pruning" (ICCA Journal 9, 1986).
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.agent.contracts.player import Player
from keima.agent.contracts.player_spec import PlayerSpec
from keima.games.compilation import LEGAL_ACTIONS, OUTCOME, PLAY, SCORE, compiled_for
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, Game, GameError, kernel
from keima.games.position import Position
from keima.mcts.random import mix

DEFAULT_DEPTH = 4
"""Plies, where neither depth nor time nor nodes are given."""
MAX_DEPTH = 1000
"""Plies, also where time alone is given."""
WIN = 1 << 40
"""A win at once; a win n plies from the root is WIN - n. Scores are far smaller."""
DECIDED = WIN >> 1
"""Values beyond it are results, not estimates."""
INFINITY = WIN << 1
TABLE_SIZE = 1 << 17
MAX_HASHED_STATE = 128
"""Words of a state row above which no table is kept: hashing would take longer than what it saves."""
SLICE = 20_000
"""Nodes between two looks at the clock."""
SCORE_ESTIMATE, MOBILITY_ESTIMATE = 0, 1  # the score is 0 in games without one

# What is known of the position at a ply: columns of `frames` [depth + 1, NUM_COLUMNS].
ALPHA, BETA, BEST, BEST_ACTION, NEXT, COUNT, KEY, FIRST_ALPHA, FIRST_BETA = range(9)
NUM_COLUMNS = 9
# What is known of the search: entries of `control`.
PLY, RESUMES, NODES, REACHED_HORIZON, DEPTH, GENERATION, ESTIMATE, IS_DONE = range(8)
NUM_ENTRIES = 8
# Columns of the table [TABLE_SIZE, 3]; a note is generation, depth, bound and action in one word.
TABLE_KEY, TABLE_VALUE, TABLE_NOTE = 0, 1, 2
EXACT, AT_LEAST, AT_MOST = 0, 1, 2
NO_ACTION = -1
TABLE_MOVE, KILLER_MOVE = 1 << 60, 1 << 58  # weights of moves to try first


@kernel
def result_worth(result, ply):
    """A finished game's value for the first player: sooner wins and later losses are better."""
    if result == DRAW:
        return 0
    return WIN - ply if result == FIRST_WINS else ply - WIN


@kernel
def hash_of(state):
    """A position's key: every word of the row sways it."""
    key = np.uint64(0)
    for word in state:
        key = mix(key ^ np.uint64(word))
    return np.int64(key)


@kernel
def from_root(value, ply):
    """A value as seen from `ply` plies below the root, seen from the root: results come that much later."""
    if value > DECIDED:
        return value - ply
    return value + ply if value < -DECIDED else value


@kernel
def look_up(table, key, remaining, generation, frame, ply):
    """(whether the table has the answer, the answer, the best action it knows); narrows nothing.

    Only what this very iteration searched to the same depth is an answer, so that the value is the one that a search
    without a table would have found. Whatever is there says which move to try first.
    """
    entry = table[key & (len(table) - 1)]
    if entry[TABLE_KEY] != key or entry[TABLE_NOTE] == 0:
        return False, 0, NO_ACTION
    note = entry[TABLE_NOTE]
    action, bound, depth = (note & 0xFFFFFF) - 1, note >> 24 & 3, note >> 26 & 0x7FF
    if depth != remaining or note >> 37 != generation:
        return False, 0, action
    value = from_root(entry[TABLE_VALUE], ply)
    answers = (
        bound == EXACT or (bound == AT_LEAST and value >= frame[BETA]) or (bound == AT_MOST and value <= frame[ALPHA])
    )
    return answers, value, action


@kernel
def keep(table, remaining, generation, frame, ply):
    """Writes what was found at a position into the table. In place."""
    entry = table[frame[KEY] & (len(table) - 1)]
    note = entry[TABLE_NOTE]
    if note >> 37 == generation and note >> 26 & 0x7FF > remaining:
        return  # a larger tree's answer is worth more
    value = frame[BEST]
    bound = EXACT
    if value >= frame[FIRST_BETA]:
        bound = AT_LEAST
    elif value <= frame[FIRST_ALPHA]:
        bound = AT_MOST
    entry[TABLE_KEY], entry[TABLE_VALUE] = frame[KEY], from_root(value, -ply)
    entry[TABLE_NOTE] = generation << 37 | remaining << 26 | bound << 24 | (frame[BEST_ACTION] + 1)


@kernel
def enter(legal_actions, outcome, score, control, frame, state, actions, weights, killers, history, centre, table):
    """Looks at the position of the current ply: (whether it has its value already, that value); else its moves."""
    ply = control[PLY]
    remaining = control[DEPTH] - ply
    control[NODES] += 1
    result = outcome(state)
    if result != ONGOING:
        return True, result_worth(result, ply)
    if remaining == 0:
        control[REACHED_HORIZON] = 1
        if control[ESTIMATE] == SCORE_ESTIMATE:
            return True, score(state)
        mobility = legal_actions(state, actions)
        return True, mobility if state[PLAYER] == 0 else -mobility
    first = NO_ACTION
    if len(table) > 0:
        frame[KEY] = hash_of(state)
        if ply > 0:
            answers, value, first = look_up(table, frame[KEY], remaining, control[GENERATION], frame, ply)
            if answers:
                return True, value
    frame[FIRST_ALPHA], frame[FIRST_BETA] = frame[ALPHA], frame[BETA]
    frame[BEST] = -INFINITY if state[PLAYER] == 0 else INFINITY
    frame[BEST_ACTION] = NO_ACTION
    frame[NEXT] = 0
    if ply > 0:  # the root's moves have their order
        frame[COUNT] = legal_actions(state, actions)
        for i in range(frame[COUNT]):
            action = actions[i]
            weights[i] = history[state[PLAYER], action] + centre[action]
            if action == first:
                weights[i] = TABLE_MOVE
            elif action == killers[0] or action == killers[1]:
                weights[i] = KILLER_MOVE
    return False, 0


@kernel
def next_action(frame, actions, weights):
    """The untried action of the largest weight, of equal ones the first; moves it to its place."""
    i = frame[NEXT]
    best = i
    for k in range(i + 1, frame[COUNT]):
        if weights[k] > weights[best]:
            best = k
    action, weight = actions[best], weights[best]
    for k in range(best, i, -1):  # the others keep their order
        actions[k], weights[k] = actions[k - 1], weights[k - 1]
    actions[i], weights[i] = action, weight
    frame[NEXT] = i + 1
    return action


@kernel
def take_over(frame, player, action, value):
    """Tells a position what one of its actions is worth; returns whether the others do not matter any more."""
    if player == 0:
        if value > frame[BEST]:
            frame[BEST], frame[BEST_ACTION] = value, action
        frame[ALPHA] = max(frame[ALPHA], value)
    else:
        if value < frame[BEST]:
            frame[BEST], frame[BEST_ACTION] = value, action
        frame[BETA] = min(frame[BETA], value)
    return frame[ALPHA] >= frame[BETA]


@kernel
def remember(killers, history, player, action, remaining):
    """Has an action that refuted a position be tried early elsewhere, too."""
    if killers[0] != action:
        killers[1], killers[0] = killers[0], action
    history[player, action] = min(history[player, action] + remaining * remaining * 1024, KILLER_MOVE >> 1)


# Many parameters: the rules arrive as compiled functions, and the whole search is in arrays so that it can stop.
@compiled_for(
    types.void(
        *(LEGAL_ACTIONS, PLAY, OUTCOME, SCORE, types.int64[::1], types.int64[:, ::1], types.int64[:, ::1]),
        *(types.int32[:, ::1], types.int64[:, ::1], types.int32[:, ::1], types.int64[:, ::1], types.int64[::1]),
        *(types.int64[:, ::1], types.int64),
    ),
)
def _search(
    legal_actions, play, outcome, score, control, frames, states, actions, weights, killers, history, centre, table,
    max_nodes,
):  # fmt: skip
    """Searches on from where it stopped until it is done, or `max_nodes` nodes were looked at.

    The position at a ply is in states[ply], its moves in actions[ply]; there is no recursion, so that it can stop.
    """
    last_node = control[NODES] + max_nodes
    while True:
        ply = control[PLY]
        frame = frames[ply]
        if control[RESUMES] == 0:
            if control[NODES] >= last_node:
                return
            has_value, value = enter(
                legal_actions, outcome, score, control, frame, states[ply], actions[ply], weights[ply], killers[ply],
                history, centre, table,
            )  # fmt: skip
        else:
            control[RESUMES] = 0
            has_value, value = False, 0
        if not has_value and frame[NEXT] < frame[COUNT]:
            action = next_action(frame, actions[ply], weights[ply])
            states[ply + 1] = states[ply]
            play(states[ply + 1], action)
            frames[ply + 1, ALPHA], frames[ply + 1, BETA] = frame[ALPHA], frame[BETA]
            control[PLY] = ply + 1
            continue
        if not has_value:
            value = frame[BEST]
            if len(table) > 0:
                keep(table, control[DEPTH] - ply, control[GENERATION], frame, ply)
        if ply == 0:
            control[IS_DONE] = 1
            return
        above = frames[ply - 1]
        player = states[ply - 1, PLAYER]
        action = actions[ply - 1, above[NEXT] - 1]
        if take_over(above, player, action, value):
            remember(killers[ply - 1], history, player, action, control[DEPTH] - ply + 1)
            above[NEXT] = above[COUNT]
        control[PLY] = ply - 1
        control[RESUMES] = 1


class AlphaBetaPlayer(Player):
    """Looks ahead to a depth, or as deep as time or nodes allow; with the same seed it plays the same."""

    def __init__(
        self,
        game: Game,
        *,
        depth: int | None = None,
        seconds: float | None = None,
        nodes: int | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`depth`: plies at most; DEFAULT_DEPTH where no limit is given. `seconds`, `nodes`: a move, all depths of it.

        At least one ply is always searched to its end.
        """
        if depth is None and seconds is None and nodes is None:
            depth = DEFAULT_DEPTH
        said = [f"{seconds:g} s"] if seconds is not None else []
        said += [f"{nodes} nodes"] if nodes is not None else []
        self.name = f"alphabeta:{depth}" if depth is not None else "alphabeta"
        self.name += f", {' or '.join(said)}" if said else ""
        self._game = game
        self._depth = min(depth or MAX_DEPTH, MAX_DEPTH, game.max_plies)
        self._seconds = seconds
        self._nodes = nodes
        self._clock = clock
        self._random = np.random.default_rng(seed)
        plies = self._depth + 1
        self._control = np.zeros(NUM_ENTRIES, np.int64)
        self._control[ESTIMATE] = MOBILITY_ESTIMATE if judges_by_mobility(game) else SCORE_ESTIMATE
        self._frames = np.zeros((plies, NUM_COLUMNS), np.int64)
        self._states = np.zeros((plies, game.state_size), np.int64)
        self._actions = np.zeros((plies, game.max_legal), np.int32)
        self._weights = np.zeros((plies, game.max_legal), np.int64)
        self._killers = np.full((plies, 2), NO_ACTION, np.int32)
        self._history = np.zeros((2, game.num_actions), np.int64)
        self._centre = centrality(game)
        self._table = np.zeros((TABLE_SIZE if game.state_size <= MAX_HASHED_STATE else 0, 3), np.int64)
        self.value = 0
        """The last search's, for the first player: a result beyond DECIDED, else an estimate."""
        self.reached_depth = 0
        """How many plies the last search looked at to their end."""

    @property
    def searched_nodes(self) -> int:
        """How many positions the last search looked at."""
        return int(self._control[NODES])

    def choose(self, position: Position) -> int:
        """See `keima.agent.contracts.player.Player`."""
        start_s = self._clock()
        order = self._ordered(position)
        chosen = int(order[0])
        self._control[NODES] = self.reached_depth = 0
        self._history[:], self._killers[:] = 0, NO_ACTION
        for depth in range(1, self._depth + 1):
            is_done = self._search_to(depth, position, order, start_s)
            best = int(self._frames[0, BEST_ACTION])
            if best != NO_ACTION:  # an iteration that was cut short began with what was best before
                chosen = best
            if not is_done:
                break
            self.value, self.reached_depth = int(self._frames[0, BEST]), depth
            if abs(self.value) > DECIDED or not self._control[REACHED_HORIZON]:
                break
            place = int(np.flatnonzero(order == chosen)[0])
            order[: place + 1] = np.roll(order[: place + 1], 1)
        return chosen

    def _search_to(self, depth: int, position: Position, order: NDArray[np.int32], start_s: float) -> bool:
        """Searches to one depth; False where time or nodes were up before, which they are not for depth 1."""
        control, kernels = self._control, self._game.kernels
        control[[PLY, RESUMES, REACHED_HORIZON, IS_DONE]] = 0
        control[DEPTH] = depth
        control[GENERATION] = (control[GENERATION] + 1) % (1 << 26)
        if control[GENERATION] == 0:  # after years; what is kept is never mistaken for the present
            self._table[:] = 0
        self._frames[0, [ALPHA, BETA]] = -INFINITY, INFINITY
        self._frames[0, COUNT] = len(order)
        self._states[0] = position.state
        self._actions[0, : len(order)] = order
        self._weights[0] = 0
        while True:
            slice_nodes = SLICE
            if self._nodes is not None and depth > 1:
                slice_nodes = min(SLICE, self._nodes - self.searched_nodes)
                if slice_nodes <= 0:
                    return False
            _search(
                *(kernels.legal_actions, kernels.play, kernels.outcome, kernels.score, control, self._frames),
                *(self._states, self._actions, self._weights, self._killers, self._history, self._centre),
                *(self._table, slice_nodes),
            )
            if control[IS_DONE]:
                return True
            if self._seconds is not None and depth > 1 and self._clock() - start_s >= self._seconds:
                return False

    def _ordered(self, position: Position) -> NDArray[np.int32]:
        """The legal actions, those near the centre first, equally near ones in an order that is drawn."""
        actions = self._game.legal(position.state)
        if len(actions) == 0:
            raise GameError("the game is over: there is no move to choose")
        drawn = self._random.permutation(actions)
        return drawn[np.argsort(-self._centre[drawn], kind="stable")].astype(np.int32)


def judges_by_mobility(game: Game) -> bool:
    """Whether positions are judged by how many moves there are; see the module's docstring."""
    return not game.has_score and game.policy_planes > 1


def centrality(game: Game) -> NDArray[np.int64]:
    """How near each action's cell is to the board's centre, [num_actions], from 0 to 1000.

    Where there is an action a column, its column counts. 0 for what belongs to no cell, and where nothing is known.
    """
    height, width = game.shape
    rows, columns = np.mgrid[:height, :width]
    distances = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    nearness = (1000 * (1 - distances / max(distances.max(), 1))).astype(np.int64)
    found = np.zeros(game.num_actions, np.int64)
    if game.policy_planes:
        cells = game.policy_planes * height * width
        found[:cells] = np.tile(nearness.reshape(-1), game.policy_planes)
    elif game.num_actions == width:
        found[:] = nearness.max(axis=0)
    return found


def alphabeta_player(game: Game, spec: PlayerSpec, seed: int) -> AlphaBetaPlayer:
    """The player that a specification of kind `alphabeta` asks for."""
    given: Any = spec.options
    limits = {name: given[name] for name in ("depth", "seconds", "nodes") if name in given}
    return AlphaBetaPlayer(game, **limits, seed=seed)
