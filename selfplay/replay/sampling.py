"""Training batches: positions drawn from the replay window, replayed from their game's first move, and encoded.

The window holds moves, not positions. Replaying costs microseconds, keeps a game small whatever the size of its state
row, and lets an encoder change without throwing games away. Dimensions: n samples, C planes, H x W cells, A actions.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import KERNELS_TYPE, compiled_for
from keima.games.contract import DRAW, ONGOING, PLAYER, Game, kernel
from keima.mcts.selection import result_value, saturated_score
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.replay.segment import HAS_POLICY_TARGET, NO_START
from keima.selfplay.replay.window import WindowArrays

NO_ACTION = -1
"""In place of an action, behind the last of a sample that has fewer than others."""


class Batch(NamedTuple):
    """Training samples, seen by the side to move. Policies are sparse: of L actions at most, not of all A."""

    planes: NDArray[np.float32]  # [n, C, H, W]
    actions: NDArray[np.int32]  # [n, L] what is legal, then NO_ACTION
    probabilities: NDArray[np.float32]  # [n, L] the policy target of `actions`, sums to 1
    outcome: NDArray[np.float32]  # [n, 3] win, draw, loss; sums to 1
    ownership: NDArray[np.float32]  # [n, H * W] at the end of the game: +1 own, -1 the opponent's, 0 nobody's
    score: NDArray[np.float32]  # [n] at the end of the game, over the game's score_unit
    opponent_actions: NDArray[np.int32]  # [n, L] what is legal at the next ply, then NO_ACTION
    opponent_probabilities: NDArray[np.float32]  # [n, L] that ply's policy target; all 0 where there is none

    def policy(self, num_actions: int) -> NDArray[np.float32]:
        """The policy targets as [n, A]."""
        return _dense(self.actions, self.probabilities, num_actions)

    def legal(self, num_actions: int) -> NDArray[np.bool_]:
        """What is legal, [n, A]."""
        return _dense(self.actions, np.ones(self.actions.shape, np.bool_), num_actions)

    def opponent_policy(self, num_actions: int) -> NDArray[np.float32]:
        """The policy targets of the next ply as [n, A]."""
        return _dense(self.opponent_actions, self.opponent_probabilities, num_actions)

    def with_policy(self, policy: NDArray[np.float32]) -> "Batch":
        """The batch with these policy targets [n, A], which are 0 for what is not legal."""
        chosen = np.take_along_axis(policy, np.maximum(self.actions, 0), 1)
        return self._replace(probabilities=np.where(self.actions >= 0, chosen, 0.0).astype(np.float32))


def _dense(actions: NDArray[np.int32], entries: NDArray[Any], num_actions: int) -> NDArray[Any]:
    rows = np.zeros((len(actions), num_actions + 1), entries.dtype)  # the last column takes what is of no action
    np.put_along_axis(rows, np.where(actions >= 0, actions, num_actions), entries, 1)
    return rows[:, :num_actions]


@kernel
def half_to_float(bits):
    """The value of a float16 that is finite and not negative, from its bits: compiled code knows no float16."""
    exponent, mantissa = bits >> 10, bits & 1023
    if exponent == 0:
        return math.ldexp(float(mantissa), -24)
    return math.ldexp(1024.0 + mantissa, exponent - 25)


class _Moves(NamedTuple):
    """The part of a WindowArrays that compiled code reads."""

    game_starts: NDArray[np.int64]
    game_lengths: NDArray[np.int32]
    outcomes: NDArray[np.int8]
    actions: NDArray[np.int32]
    game_of_ply: NDArray[np.int64]
    legal_starts: NDArray[np.int64]
    root_values: NDArray[np.float32]
    flags: NDArray[np.uint8]
    proven: NDArray[np.int8]
    policies: NDArray[np.uint16]  # the bits of float16
    starts: NDArray[np.int64]
    start_rows: NDArray[np.int64]


class _Symmetries(NamedTuple):
    """A game's symmetries as tables."""

    cells: NDArray[np.int64]  # [S, H * W] see keima.games.contract.Symmetry
    new_actions: NDArray[np.int64]  # [S, A] what becomes of an action: the inverse of Symmetry.actions


class _Scratch(NamedTuple):
    state: NDArray[np.int64]  # [state_size]
    legal: NDArray[np.int32]  # [max_legal]
    owners: NDArray[np.int8]  # [H * W]
    planes: NDArray[np.float32]  # [C, H, W]


_TARGETS = np.dtype(
    [
        ("to_the_end", np.int64),  # whether ownership and score are asked for
        ("with_replies", np.int64),
        ("score_unit", np.float64),
        ("value_mix", np.float64),
        ("value_decay", np.float64),
        ("score_weight", np.float64),
    ],
    align=True,
)
"""What a sample's targets are; see Sampler."""


@kernel
def write_target(kernels, moves, state, ply, new_actions, actions, probabilities, found):
    """Fills a sample's row with a ply's legal actions, as they are called after the symmetry, and its policy target.

    state: the ply's position; found: scratch [max_legal].
    """
    start, total = moves.legal_starts[ply], 0.0
    count = kernels.legal_actions(state, found)
    for k in range(count):
        total += half_to_float(moves.policies[start + k])
    for k in range(count):
        actions[k] = new_actions[found[k]]
        probabilities[k] = half_to_float(moves.policies[start + k]) / total


@kernel
def write_planes(kernels, state, cells, planes, plain):
    """Fills a sample's planes with the position as the symmetry turns it. plain: scratch, as large."""
    kernels.encode(state, plain)
    width = planes.shape[2]
    for c in range(planes.shape[0]):
        for cell in range(len(cells)):
            planes[c, cell // width, cell % width] = plain[c, cells[cell] // width, cells[cell] % width]


@kernel
def write_end(kernels, state, me, cells, score_unit, batch, i, plain):
    """Fills sample i's ownership and score with those of the finished game `state`, seen by `me`."""
    sign = 1.0 if me == 0 else -1.0
    kernels.ownership(state, plain)
    for cell in range(len(cells)):
        batch.ownership[i, cell] = sign * plain[cells[cell]]
    batch.score[i] = sign * kernels.score(state) / score_unit


@kernel
def play_to_the_end(kernels, moves, state, ply, played, me, mix, targets):
    """Plays the game of `ply` on; returns what the searches from there on said of it, seen by `me`.

    `state` is the position after the moves before `played`, a ply of the same game. Returns (values times their weights
    added up, these weights added up, proven results times theirs, the weight that is left for the game's outcome), of
    an average over the plies by TD(lambda).
    """
    decay, game = targets["value_decay"], moves.game_of_ply[ply]
    foreseen, weight, known, left = 0.0, 0.0, 0.0, 0.0
    if mix > 0:
        foreseen, weight, left = (1.0 - decay) * moves.root_values[ply], 1.0 - decay, decay
    if not (targets["to_the_end"] or left > 0):
        return foreseen, weight, known, left
    for k in range(played, moves.game_starts[game] + moves.game_lengths[game]):
        if k > ply and left > 0:
            if moves.proven[k] != ONGOING:
                known, left = left * result_value(moves.proven[k], me), 0.0
            elif not math.isnan(moves.root_values[k]):
                part = (1.0 - decay) * left
                foreseen += part * (moves.root_values[k] if state[PLAYER] == me else -moves.root_values[k])
                weight += part
                left -= part
        kernels.play(state, moves.actions[k])
    return foreseen, weight, known, left


@kernel
def write_outcome(row, moves, ply, me, mix, found, score, score_weight):
    """Fills a sample's win, draw and loss. found: as `play_to_the_end` returns it."""
    foreseen, weight, known, left = found
    # A result that the search has proven is true; the game's own may come of a later mistake.
    own = moves.outcomes[moves.game_of_ply[ply]]
    result = moves.proven[ply] if moves.proven[ply] != ONGOING else own
    win_less_loss, drawn = 0.0, 0.0
    if mix > 0:
        win_less_loss = (foreseen - weight * score_weight * saturated_score(score)) / (1.0 - score_weight)
        win_less_loss += known + left * result_value(own, me)
        win_less_loss = min(max(win_less_loss, -1.0), 1.0)
        # The search says win less loss alone. In a game that was drawn, what is neither counts as a draw.
        drawn = 1.0 - abs(win_less_loss) if result == DRAW else 0.0
    row[0] = (1.0 - mix) * (result == me) + mix * 0.5 * (1.0 - drawn + win_less_loss)
    row[1] = (1.0 - mix) * (result == DRAW) + mix * drawn
    row[2] = (1.0 - mix) * (result == 1 - me) + mix * 0.5 * (1.0 - drawn - win_less_loss)


_MOVES_TYPE = types.NamedTuple(
    (
        *(types.int64[::1], types.int32[::1], types.int8[::1], types.int32[::1], types.int64[::1]),
        *(types.int64[::1], types.float32[::1], types.uint8[::1], types.int8[::1], types.uint16[::1]),
        *(types.int64[::1], types.int64[:, ::1]),
    ),
    _Moves,
)
_BATCH_TYPE = types.NamedTuple(
    (
        *(types.float32[:, :, :, ::1], types.int32[:, ::1], types.float32[:, ::1], types.float32[:, ::1]),
        *(types.float32[:, ::1], types.float32[::1], types.int32[:, ::1], types.float32[:, ::1]),
    ),
    Batch,
)


@compiled_for(
    types.void(
        *(KERNELS_TYPE, types.int64[::1], types.Array(numba.from_dtype(_TARGETS), 1, "C"), _MOVES_TYPE),
        *(types.int64[::1], types.int64[::1]),
        types.NamedUniTuple(types.int64[:, ::1], 2, _Symmetries),
        _BATCH_TYPE,
        types.NamedTuple((types.int64[::1], types.int32[::1], types.int8[::1], types.float32[:, :, ::1]), _Scratch),
    ),
)
def _fill(kernels, parameters, all_targets, moves, chosen, turns, symmetries, batch, scratch):
    """Replays the game of each chosen ply up to it and fills the sample's rows, turned by its symmetry."""
    targets, state = all_targets[0], scratch.state
    for i in range(len(chosen)):
        ply = chosen[i]
        game = moves.game_of_ply[ply]
        cells, new_actions = symmetries.cells[turns[i]], symmetries.new_actions[turns[i]]
        if moves.starts[game] == NO_START:
            kernels.reset(state, parameters)
        else:
            state[:] = moves.start_rows[moves.starts[game]]
        for k in range(moves.game_starts[game], ply):
            kernels.play(state, moves.actions[k])
        me = state[PLAYER]
        write_planes(kernels, state, cells, batch.planes[i], scratch.planes)
        write_target(kernels, moves, state, ply, new_actions, batch.actions[i], batch.probabilities[i], scratch.legal)

        next_ply, end = ply, moves.game_starts[game] + moves.game_lengths[game]
        # Searched by the opponent; not after the last ply, nor where one plays twice, nor in an opening.
        if targets["with_replies"] and ply + 1 < end and moves.flags[ply + 1] & HAS_POLICY_TARGET:
            kernels.play(state, moves.actions[ply])
            next_ply = ply + 1
            if state[PLAYER] != me:
                actions, probabilities = batch.opponent_actions[i], batch.opponent_probabilities[i]
                write_target(kernels, moves, state, next_ply, new_actions, actions, probabilities, scratch.legal)

        is_mixed = moves.proven[ply] == ONGOING and not math.isnan(moves.root_values[ply])
        mix = targets["value_mix"] if is_mixed else 0.0
        found = play_to_the_end(kernels, moves, state, ply, next_ply, me, mix, targets)
        if targets["to_the_end"]:
            write_end(kernels, state, me, cells, targets["score_unit"], batch, i, scratch.owners)
        write_outcome(batch.outcome[i], moves, ply, me, mix, found, batch.score[i], targets["score_weight"])


class Sampler:
    """Draws batches from a window. The same window, seed and step give the same batch."""

    def __init__(
        self,
        game: Game,
        seed: int,
        *,
        augment: bool = True,
        value_mix: float = 0.0,
        value_decay: float = 0.0,
        score_weight: float = 0.0,
        replies: bool = False,
    ) -> None:
        """augment: turn every sample by a random symmetry of the game.

        value_mix: how much of the value target is the search's value instead of the game's outcome, 0 to 1.
        value_decay: lambda of the average that TD(lambda) learns from: the search's value is (1 - lambda) sum lambda^k
        v over the searches k plies later, up to a proven result or else the game's; 0 is this search alone.
        score_weight: the networks' that searched. What the score holds of the search's value is taken out of it, as far
        as it is the game's final score: where the score was foreseen rightly on average, so is what is left.
        replies: whether to fill the replies' targets.
        """
        self.game = game
        self.seed = seed
        symmetries = game.symmetries() if augment else game.symmetries()[:1]
        self._symmetries = _Symmetries(
            np.array([s.cells for s in symmetries], np.int64),
            np.argsort(np.array([s.actions for s in symmetries], np.int64), axis=1),
        )
        self._parameters = game.parameter_row()
        self._targets = np.zeros(1, _TARGETS)
        self._targets["to_the_end"] = game.has_ownership or game.has_score
        self._targets["with_replies"] = replies
        self._targets["score_unit"] = game.score_unit
        self._targets["value_mix"], self._targets["value_decay"] = value_mix, value_decay
        self._targets["score_weight"] = score_weight if game.has_score else 0.0

    def draw(self, window: WindowArrays, step: int, size: int) -> Batch:
        """A batch of `size` of the window's training positions, in proportion to their weights, with replacement."""
        random = np.random.default_rng([self.seed, step])
        first = window.weight_starts[0]
        marks = first + random.integers(window.weight_end - first, size=size)
        chosen = window.training_plies[np.searchsorted(window.weight_starts, marks, side="right") - 1]
        return self.fill(window, chosen, random.integers(len(self._symmetries.cells), size=size))

    def fill(self, window: WindowArrays, plies: NDArray[np.int64], symmetries: NDArray[np.int64]) -> Batch:
        """The samples of these plies, each turned by its symmetry."""
        game, n = self.game, len(plies)
        height, width = game.shape
        batch = Batch(
            planes=np.empty((n, game.num_planes, height, width), np.float32),
            actions=np.full((n, game.max_legal), NO_ACTION, np.int32),
            probabilities=np.zeros((n, game.max_legal), np.float32),
            outcome=np.empty((n, 3), np.float32),
            ownership=np.zeros((n, height * width), np.float32),
            score=np.zeros(n, np.float32),
            opponent_actions=np.full((n, game.max_legal), NO_ACTION, np.int32),
            opponent_probabilities=np.zeros((n, game.max_legal), np.float32),
        )
        moves = _Moves(
            *(window.game_starts, window.game_lengths, window.outcomes, window.actions, window.game_of_ply),
            *(window.legal_starts, window.root_values, window.flags, window.proven, window.policies.view(np.uint16)),
            *(window.starts, window.start_rows),
        )
        scratch = _Scratch(
            state=np.empty(game.state_size, np.int64),
            legal=np.empty(game.max_legal, np.int32),
            owners=np.empty(height * width, np.int8),
            planes=np.empty((game.num_planes, height, width), np.float32),
        )
        _fill(
            *(game.kernels, self._parameters, self._targets, moves, plies, symmetries, self._symmetries, batch),
            scratch,
        )
        return batch


def samplers_of(games: Iterable[Game], config: TrainConfig) -> list[Sampler]:
    """A sampler for each game of a run, with that run's targets."""
    return [
        Sampler(
            game,
            config.seed,
            value_mix=config.learner.value_target_mix,
            value_decay=config.learner.value_target_decay,
            score_weight=config.search.score_weight,
            replies=config.network.opponent_policy_head,
        )
        for game in games
    ]
