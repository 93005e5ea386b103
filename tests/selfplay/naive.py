"""Slow, obvious twins of self-play and of the sampler, and what tests of both need."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from keima.games.contract import DRAW, ONGOING, PLAYER, Game
from keima.mcts.random import next_below, next_exponential, next_gamma, next_gumbel, next_uniform, seeded
from keima.mcts.search import SearchSettings
from keima.selfplay.actors.generation import search_settings
from keima.selfplay.config.schema import SearchConfig, SelfplayConfig
from keima.selfplay.replay.segment import (
    CHECKED,
    FAST_SEARCH,
    FIRST_GIVEN_UP,
    HAS_POLICY_TARGET,
    RANDOM_OPENING,
    SECOND_GIVEN_UP,
    Segment,
)
from tests.mcts.naive import NaiveSearch, softmax


class LinearEvaluator:
    """A made-up network, a fixed random matrix: quick, and without an opinion that a test could know."""

    def __init__(self, game: Game, seed: int = 0, scale: float = 1.0):
        random = np.random.default_rng(seed)
        inputs = game.num_planes * game.shape[0] * game.shape[1]
        self.weights = random.normal(size=(inputs, game.num_actions + 1)) * scale
        self.calls: list[int] = []

    def __call__(self, planes):
        self.calls.append(len(planes))
        # No matrix product, whose rounding would depend on the size of the batch.
        answers = np.stack([(p.reshape(-1, 1) * self.weights).sum(0) for p in planes]).astype(np.float32)
        return answers[:, :-1].copy(), np.tanh(answers[:, -1])

    def judge(self, planes):
        logits, values = self(planes[None])
        return logits[0], values[0]


@dataclass
class PlayedGame:
    """One game as a segment has it, a list entry a ply."""

    actions: list[int] = field(default_factory=list)
    policies: list[list[float]] = field(default_factory=list)
    root_values: list[float] = field(default_factory=list)
    surprises: list[float] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    proven: list[int] = field(default_factory=list)
    outcome: int = ONGOING

    def add(self, action, policy, value, surprise, flags, proven):
        self.actions.append(int(action))
        self.policies.append(list(policy))
        self.root_values.append(float(value))
        self.surprises.append(float(surprise))
        self.flags.append(int(flags))
        self.proven.append(int(proven))


def games_of(segment: Segment) -> list[PlayedGame]:
    """A segment taken apart."""
    found = []
    ply = entry = 0
    for length, outcome in zip(segment.game_lengths, segment.outcomes, strict=True):
        game = PlayedGame(outcome=int(outcome))
        for p in range(ply, ply + length):
            policy = segment.policies[entry : entry + segment.legal_counts[p]].tolist()
            entry += int(segment.legal_counts[p])
            facts = (segment.root_values[p], segment.surprises[p], segment.flags[p], segment.proven[p])
            game.add(segment.actions[p], policy, *facts)
        ply += int(length)
        found.append(game)
    assert (ply, entry) == (segment.num_plies, len(segment.policies))
    return found


class NaiveSelfPlay:
    """The games of one slot, one after the other, with one search object a move."""

    def __init__(self, game: Game, search: SearchConfig, play: SelfplayConfig, judge, seed, slots: int, slot: int):
        self.game = game
        self.settings = search_settings(search)
        self.score_weight = search.score_weight
        fewer = min(search.simulations, play.fast_simulations)
        self.fast = replace(
            self.settings, simulations=fewer, gumbel_scale=0.0, dirichlet_weight=0.0, forced_playouts=0.0
        )
        self.options = play
        self.judge = judge
        self.rng = seeded(seed, slots)[slot : slot + 1].copy()

    def play_game(self) -> PlayedGame:
        played = PlayedGame()
        state = self.opening(played)
        policy_plies = 0
        if self.options.opening_policy_mean_plies > 0:
            policy_plies = int(next_exponential(self.rng, 0, self.options.opening_policy_mean_plies) + 0.5)
        o = self.options
        checked = o.decided_value > 0 and next_uniform(self.rng, 0) < o.decided_check_fraction
        winners: list[int | None] = []  # whom each searched ply so far held for the winner
        given_up = None
        while self.game.outcome(state) == ONGOING:
            decided = self.winner_of(winners) is not None
            share = o.full_search_fraction * (o.decided_full_fraction if decided and not checked else 1)
            if policy_plies > 0:
                policy_plies -= 1
                action = self.policy_move(self.evaluated_root(state, self.fast), played)
            else:
                full = share == 1 or next_uniform(self.rng, 0) < share
                root = self.evaluated_root(state, self.settings if full else self.fast)
                action = self.searched_move(root, played, full=full)
                if o.decided_value > 0:
                    value = played.root_values[-1] * (1 if state[PLAYER] == 0 else -1)
                    winners.append(None if abs(value) < o.decided_value else int(value < 0))
                    winner = self.winner_of(winners)
                    if given_up is None and winner is not None:
                        given_up = FIRST_GIVEN_UP if winner == 1 else SECOND_GIVEN_UP
                    played.flags[-1] |= (CHECKED if checked else 0) | (given_up or 0)
            state = self.game.after(state, action)
        played.outcome = self.game.outcome(state)
        return played

    def winner_of(self, winners: list[int | None]) -> int | None:
        """Whom the last `decided_plies` of them all name."""
        last = winners[-self.options.decided_plies :]
        return last[0] if len(last) == self.options.decided_plies and len(set(last)) == 1 else None

    def opening(self, played: PlayedGame):
        """Uniformly random moves; fewer where the game ended on the way."""
        plies = 0
        if next_uniform(self.rng, 0) < self.options.opening_random_fraction:
            plies = 1 + int(next_exponential(self.rng, 0, self.options.opening_random_mean_plies))
            plies = min(plies, self.game.max_plies - 1)
        while True:
            state, moves = self.game.new_state(), []
            while len(moves) < plies and self.game.outcome(state) == ONGOING:
                legal = self.game.legal(state)
                moves.append((int(legal[next_below(self.rng, 0, len(legal))]), len(legal)))
                state = self.game.after(state, moves[-1][0])
            if self.game.outcome(state) == ONGOING:
                break
            plies = next_below(self.rng, 0, plies)
        for action, count in moves:
            played.add(action, [0.0] * count, math.nan, 0.0, RANDOM_OPENING, ONGOING)
        return state

    def evaluated_root(self, state, s: SearchSettings) -> NaiveSearch:
        """A search whose root has been evaluated, with its noise."""
        search = NaiveSearch(self.game, s, state, score_weight=self.score_weight)
        search.expand(search.simulate(), lambda at: self.judge(self.game.planes(at)))
        actions = search.root.actions
        if s.root_policy == "gumbel":
            search.noise = dict.fromkeys(actions, 0.0)
            if s.gumbel_scale > 0:
                search.noise = {a: s.gumbel_scale * next_gumbel(self.rng, 0) for a in actions}
        elif s.dirichlet_weight > 0:
            noise = [next_gamma(self.rng, 0, s.dirichlet_total / len(actions)) for _ in actions]
            for a, part in zip(actions, noise, strict=True):
                own = (1 - s.dirichlet_weight) * search.root.priors[a]
                search.root.priors[a] = own + s.dirichlet_weight * part / sum(noise)
        return search

    def policy_move(self, search: NaiveSearch, played: PlayedGame) -> int:
        logits = search.root.logits
        weights = softmax({a: x / self.options.opening_policy_temperature for a, x in logits.items()})
        action = self.drawn(weights)
        played.add(action, [0.0] * len(weights), math.nan, 0.0, RANDOM_OPENING, ONGOING)
        return action

    def searched_move(self, search: NaiveSearch, played: PlayedGame, *, full: bool) -> int:
        search.run(lambda at: self.judge(self.game.planes(at)))
        root = search.root
        target = search.improved_policy(root) if self.settings.root_policy == "gumbel" else self.visit_shares(search)
        if len(played.actions) < self.options.move_temperature_plies and self.options.move_temperature > 0:
            action = self.drawn({a: p ** (1 / self.options.move_temperature) for a, p in target.items()})
        else:
            action = search.chosen_action()
        value = search.root_value()
        if full:
            surprise = sum(p * (math.log(p) - root.logits[a]) for a, p in target.items() if p > 0)
            played.add(action, target.values(), value, surprise, HAS_POLICY_TARGET, root.result)
        else:
            played.add(action, [0.0] * len(target), value, 0.0, FAST_SEARCH, root.result)
        return action

    def visit_shares(self, search: NaiveSearch) -> dict[int, float]:
        root = search.root
        if root.result == root.player:
            weights = {a: float(search.result_of(root, a) == root.player) for a in root.actions}
        else:
            weights = search.pruned_visits()
        total = sum(weights.values())
        return {a: w / total if total else 1 / len(weights) for a, w in weights.items()}

    def drawn(self, weights: dict[int, float]) -> int:
        threshold = sum(weights.values()) * next_uniform(self.rng, 0)
        for action, weight in weights.items():
            threshold -= weight
            if weight > 0 and threshold <= 0:
                return action
        return max(a for a in weights if weights[a] > 0)


def symmetric(array, permutation):
    """The contract's definition: after[i] = before[permutation[i]]."""
    return np.array([array[j] for j in permutation])


def naive_sample(
    game: Game, played: PlayedGame, ply: int, symmetry, value_mix: float, decay: float, score_weight: float = 0.0
):
    """The training sample of a game's ply, as Batch's fields, from the definitions."""
    state = game.new_state()
    for action in played.actions[:ply]:
        state = game.after(state, action)
    me, height_width = state[PLAYER], game.shape[0] * game.shape[1]
    planes = np.stack([symmetric(p.reshape(-1), symmetry.cells).reshape(game.shape) for p in game.planes(state)])

    policy, legal = np.zeros(game.num_actions), np.zeros(game.num_actions, bool)
    target = np.array(played.policies[ply], np.float64)
    policy[game.legal(state)] = target / target.sum()
    legal[game.legal(state)] = True

    reply = np.zeros(game.num_actions)
    if ply + 1 < len(played.actions) and played.flags[ply + 1] & HAS_POLICY_TARGET:
        after = game.after(state, played.actions[ply])
        if after[PLAYER] != me:
            target = np.array(played.policies[ply + 1], np.float64)
            reply[game.legal(after)] = target / target.sum()

    movers = {}
    for k in range(ply, len(played.actions)):
        movers[k] = state[PLAYER]
        state = game.after(state, played.actions[k])
    owners, points = np.zeros(height_width), 0.0
    if game.has_ownership:
        found = np.zeros(height_width, np.int8)
        game.kernels.ownership(state, found)
        owners = symmetric(found if me == 0 else -found, symmetry.cells)
    if game.has_score:
        points = game.kernels.score(state) * (1 if me == 0 else -1) / game.score_unit

    result = played.outcome if played.proven[ply] == ONGOING else played.proven[ply]
    outcome = np.array([result == me, result == DRAW, result == 1 - me], np.float64)
    if played.proven[ply] == ONGOING:
        score_weight = score_weight if game.has_score else 0.0
        worth = {me: 1.0, DRAW: 0.0, 1 - me: -1.0}
        value, left = 0.0, 1.0
        for k, mover in movers.items():
            if played.proven[k] != ONGOING:
                value, left = value + left * worth[played.proven[k]], 0.0
            elif not math.isnan(played.root_values[k]):
                utility = played.root_values[k] if mover == me else -played.root_values[k]
                win = (utility - score_weight * 2 / math.pi * math.atan(points / 2)) / (1 - score_weight)
                value, left = value + left * (1 - decay) * win, left * decay
        value = max(-1, min(1, value + left * worth[played.outcome]))
        searched = np.array([1 + value, 0, 1 - value]) / 2
        if result == DRAW:  # no more of it is won or lost than the search says
            searched = np.array([max(value, 0), 1 - abs(value), max(-value, 0)])
        outcome = (1 - value_mix) * outcome + value_mix * searched
    policy, legal, reply = (symmetric(row, symmetry.actions) for row in (policy, legal, reply))
    return planes, policy, legal, outcome, owners, points, reply
