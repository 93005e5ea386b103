"""Training batches: positions drawn from the replay window, replayed from their game's first move, and encoded.

The window holds moves, not positions. Replaying costs microseconds, keeps a game small whatever the size of its state
row, and lets an encoder change without throwing games away. Dimensions: n samples, C planes, H x W cells, A actions.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from keima.games.compilation import ENCODE, LEGAL_ACTIONS, OWNERSHIP, PLAY, RESET, SCORE, compiled_for
from keima.games.contract import DRAW, ONGOING, PLAYER, Game, kernel
from keima.mcts.selection import result_value, saturated_score
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.replay.segment import HAS_POLICY_TARGET
from keima.selfplay.replay.window import WindowArrays


class Batch(NamedTuple):
    """Training samples, everything seen by the side to move."""

    planes: NDArray[np.float32]  # [n, C, H, W]
    policy: NDArray[np.float32]  # [n, A] target, sums to 1
    legal: NDArray[np.bool_]  # [n, A]
    outcome: NDArray[np.float32]  # [n, 3] win, draw, loss; sums to 1
    ownership: NDArray[np.float32]  # [n, H * W] at the end of the game: +1 own, -1 the opponent's, 0 nobody's
    score: NDArray[np.float32]  # [n] at the end of the game, over the game's score_unit
    opponent_policy: NDArray[np.float32]  # [n, A] the next ply's policy target; sums to 1, or all 0 where there is none


@kernel
def half_to_float(bits):
    """The value of a float16 that is finite and not negative, from its bits: compiled code knows no float16."""
    exponent, mantissa = bits >> 10, bits & 1023
    if exponent == 0:
        return math.ldexp(float(mantissa), -24)
    return math.ldexp(1024.0 + mantissa, exponent - 25)


@kernel
def turn(row, renamed):
    """row[a] = row_before[renamed[a]], in place."""
    before = row.copy()
    for a in range(len(row)):
        row[a] = before[renamed[a]]


@kernel
def put_target(target, state, legal_actions, found, policies, start):
    """target[:] = the policy target of a state, whose entries begin at policies[start]; returns the legal actions.

    found: room for these, which are in it afterwards.
    """
    count = legal_actions(state, found)
    target[:] = 0.0
    total = 0.0
    for k in range(count):
        total += half_to_float(policies[start + k])
    for k in range(count):
        target[found[k]] = half_to_float(policies[start + k]) / total
    return count


@compiled_for(
    types.void(
        *(RESET, LEGAL_ACTIONS, PLAY, ENCODE, OWNERSHIP, SCORE, types.int64[::1], types.boolean, types.boolean),
        types.float64,
        *(types.int64[::1], types.int32[::1], types.int8[::1], types.int32[::1], types.int64[::1]),
        *(types.int64[::1], types.float32[::1], types.uint8[::1], types.int8[::1], types.uint16[::1]),
        *(types.int64[::1], types.int64[::1], types.int64[:, ::1], types.int64[:, ::1]),
        *(types.float64, types.float64, types.float64),
        *(types.float32[:, :, :, ::1], types.float32[:, ::1], types.boolean[:, ::1], types.float32[:, ::1]),
        *(types.float32[:, ::1], types.float32[::1], types.float32[:, ::1]),
        *(types.int64[::1], types.int32[::1], types.int8[::1], types.float32[:, :, ::1]),
    ),
)
def _fill(
    reset, legal_actions, play, encode, ownership, score, parameters, to_the_end, with_replies, score_unit,
    game_starts, game_lengths, outcomes, actions, game_of_ply, legal_starts, root_values, flags, proven, policies,
    chosen, symmetries, cell_maps, action_maps, value_mix, value_decay, score_weight,
    planes, policy, legal, outcome, owners, scores, replies, state, found, plain_owners, plain,
):  # fmt: skip
    """Replays the game of each chosen ply up to it and fills the sample's rows, turned by its symmetry."""
    width = planes.shape[3]
    for i in range(len(chosen)):
        ply = chosen[i]
        game = game_of_ply[ply]
        cells, renamed = cell_maps[symmetries[i]], action_maps[symmetries[i]]
        reset(state, parameters)
        for k in range(game_starts[game], ply):
            play(state, actions[k])
        me = state[PLAYER]

        encode(state, plain)
        for c in range(planes.shape[1]):
            for cell in range(len(cells)):
                planes[i, c, cell // width, cell % width] = plain[c, cells[cell] // width, cells[cell] % width]

        legal[i] = False
        for k in range(put_target(policy[i], state, legal_actions, found, policies, legal_starts[ply])):
            legal[i, found[k]] = True
        if symmetries[i] != 0:
            turn(policy[i], renamed)
            turn(legal[i], renamed)

        next_ply, end = ply, game_starts[game] + game_lengths[game]
        # Searched by the opponent; not after the last ply, nor where one plays twice, nor in an opening.
        if with_replies and ply + 1 < end and flags[ply + 1] & HAS_POLICY_TARGET:
            play(state, actions[ply])
            next_ply = ply + 1
            if state[PLAYER] != me:
                put_target(replies[i], state, legal_actions, found, policies, legal_starts[next_ply])
                if symmetries[i] != 0:
                    turn(replies[i], renamed)

        # A result that the search has proven is true; the game's own may come of a later mistake.
        result = proven[ply] if proven[ply] != ONGOING else outcomes[game]
        mix = value_mix if proven[ply] == ONGOING and not math.isnan(root_values[ply]) else 0.0
        # What the searches from here on said, seen by `me`: of their values and of proven results by their weights.
        foreseen, weight, known, left = 0.0, 0.0, 0.0, 0.0
        if mix > 0:
            foreseen, weight, left = (1.0 - value_decay) * root_values[ply], 1.0 - value_decay, value_decay
        if to_the_end or left > 0:
            for k in range(next_ply, end):
                if k > ply and left > 0:
                    if proven[k] != ONGOING:
                        known, left = left * result_value(proven[k], me), 0.0
                    elif not math.isnan(root_values[k]):
                        share = (1.0 - value_decay) * left
                        foreseen += share * (root_values[k] if state[PLAYER] == me else -root_values[k])
                        weight += share
                        left -= share
                play(state, actions[k])
        if to_the_end:
            sign = 1.0 if me == 0 else -1.0
            ownership(state, plain_owners)
            for cell in range(len(cells)):
                owners[i, cell] = sign * plain_owners[cells[cell]]
            scores[i] = sign * score(state) / score_unit

        win_less_loss, drawn = 0.0, 0.0
        if mix > 0:
            win_less_loss = (foreseen - weight * score_weight * saturated_score(scores[i])) / (1.0 - score_weight)
            win_less_loss += known + left * result_value(outcomes[game], me)
            win_less_loss = min(max(win_less_loss, -1.0), 1.0)
            # The search says win less loss alone. In a game that was drawn, what is neither counts as a draw.
            drawn = 1.0 - abs(win_less_loss) if result == DRAW else 0.0
        outcome[i, 0] = (1.0 - mix) * (result == me) + mix * 0.5 * (1.0 - drawn + win_less_loss)
        outcome[i, 1] = (1.0 - mix) * (result == DRAW) + mix * drawn
        outcome[i, 2] = (1.0 - mix) * (result == 1 - me) + mix * 0.5 * (1.0 - drawn - win_less_loss)


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
        self.value_mix = value_mix
        self.value_decay = value_decay
        self.score_weight = score_weight if game.has_score else 0.0
        self.replies = replies
        symmetries = game.symmetries() if augment else game.symmetries()[:1]
        self._cell_maps = np.array([s.cells for s in symmetries], np.int64)
        self._action_maps = np.array([s.actions for s in symmetries], np.int64)
        self._parameters = game.parameter_row()
        self._to_the_end = game.has_ownership or game.has_score

    def draw(self, window: WindowArrays, step: int, size: int) -> Batch:
        """A batch of `size` of the window's training positions, in proportion to their weights, with replacement."""
        random = np.random.default_rng([self.seed, step])
        first = window.weight_starts[0]
        marks = first + random.integers(window.weight_end - first, size=size)
        chosen = window.training_plies[np.searchsorted(window.weight_starts, marks, side="right") - 1]
        return self.fill(window, chosen, random.integers(len(self._cell_maps), size=size))

    def fill(self, window: WindowArrays, plies: NDArray[np.int64], symmetries: NDArray[np.int64]) -> Batch:
        """The samples of these plies, each turned by its symmetry."""
        game, n = self.game, len(plies)
        height, width = game.shape
        batch = Batch(
            planes=np.empty((n, game.num_planes, height, width), np.float32),
            policy=np.empty((n, game.num_actions), np.float32),
            legal=np.empty((n, game.num_actions), np.bool_),
            outcome=np.empty((n, 3), np.float32),
            ownership=np.zeros((n, height * width), np.float32),
            score=np.zeros(n, np.float32),
            opponent_policy=np.zeros((n, game.num_actions), np.float32),
        )
        k = game.kernels
        _fill(
            *(k.reset, k.legal_actions, k.play, k.encode, k.ownership, k.score, self._parameters),
            *(self._to_the_end, self.replies, game.score_unit),
            *(window.game_starts, window.game_lengths, window.outcomes, window.actions, window.game_of_ply),
            *(window.legal_starts, window.root_values, window.flags, window.proven, window.policies.view(np.uint16)),
            *(plies, symmetries, self._cell_maps, self._action_maps),
            *(self.value_mix, self.value_decay, self.score_weight),
            *batch,
            np.empty(game.state_size, np.int64),
            np.empty(game.max_legal, np.int32),
            np.empty(height * width, np.int8),
            np.empty((game.num_planes, height, width), np.float32),
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
