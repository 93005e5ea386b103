"""Warnings: figures that show that a run goes wrong, and what the user can do about it.

`recent_games`, `recent_batch` and `WaitMeter` measure the figures, which TensorBoard shows, too. `diagnose` compares
them with thresholds. The thresholds are set where no sound run has been seen to go, because a warning that comes and
goes is worse than none.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS
from keima.selfplay.config.schema import TrainConfig, fixed
from keima.selfplay.replay.segment import CHECKED, FAST_SEARCH, FIRST_GIVEN_UP, HAS_POLICY_TARGET, SECOND_GIVEN_UP
from keima.selfplay.replay.window import WindowArrays

# --- the figures


@dataclass(frozen=True)
class RecentGames:
    """The newest games of a window. NaN where there were none."""

    number: int
    distinct_share: float
    """Share of them that are different sequences of actions."""
    mean_plies: float
    outcome_shares: tuple[float, float, float]
    """First player wins, second wins, draw."""
    target_entropy: float
    """Mean entropy of the policy targets, 0 one sure action, 1 all legal ones alike; plies with a choice only."""
    surprise: float
    """Mean KL divergence of the policy targets from the network's policy at the time, in nats."""
    fast_share: float
    """Share of the searched plies that were searched fast, and so are not trained on."""


def recent_games(arrays: WindowArrays, last: int = 500) -> RecentGames:
    """Measures the newest `last` games of a replay window."""
    number = min(last, arrays.num_games)
    if number == 0:
        nan = math.nan
        return RecentGames(0, nan, nan, (nan, nan, nan), nan, nan, nan)
    starts, lengths = arrays.game_starts[-number:], arrays.game_lengths[-number:]
    played = {arrays.actions[start : start + length].tobytes() for start, length in zip(starts, lengths, strict=True)}
    outcomes = arrays.outcomes[-number:]
    first, second, draw = (float(np.mean(outcomes == code)) for code in (FIRST_WINS, SECOND_WINS, DRAW))
    flags, surprises = arrays.flags[starts[0] :], arrays.surprises[starts[0] :]
    full, fast = (flags & kind != 0 for kind in (HAS_POLICY_TARGET, FAST_SEARCH))
    return RecentGames(
        number=number,
        distinct_share=len(played) / number,
        mean_plies=float(lengths.mean()),
        outcome_shares=(first, second, draw),
        target_entropy=_target_entropy(arrays, int(starts[0])),
        surprise=float(surprises[full].mean(dtype=np.float64)) if full.any() else math.nan,
        fast_share=float(fast.sum() / max(fast.sum() + full.sum(), 1)),
    )


@dataclass(frozen=True)
class Resignations:
    """How often a side was given up wrongly, counted in a window's games that were searched in full all the same."""

    number: int
    """Such games in which a side was given up."""
    false_share: float
    """Share of them that this side did not lose; NaN where there were none."""


def resignations(arrays: WindowArrays) -> Resignations:
    """Counts them in a replay window; see `selfplay.decided_value` and `selfplay.decided_check_share`."""
    if arrays.num_games == 0:
        return Resignations(0, math.nan)
    first_ply = int(arrays.game_starts[arrays.first_game])
    flags = arrays.flags[first_ply:]
    plies = np.flatnonzero((flags & CHECKED != 0) & (flags & (FIRST_GIVEN_UP | SECOND_GIVEN_UP) != 0))
    found, first_of_game = np.unique(arrays.game_of_ply[first_ply:][plies], return_index=True)
    winners = np.where(flags[plies[first_of_game]] & FIRST_GIVEN_UP != 0, SECOND_WINS, FIRST_WINS)
    wrong = arrays.outcomes[found] != winners
    return Resignations(len(found), float(wrong.mean()) if len(found) else math.nan)


def _target_entropy(arrays: WindowArrays, first_ply: int) -> float:
    starts, counts = arrays.legal_starts[first_ply:], arrays.legal_counts[first_ply:]
    policies = arrays.policies[starts[0] :].astype(np.float64)
    surprise = -policies * np.log(np.maximum(policies, 1e-12))
    entropies = np.add.reduceat(surprise, starts - starts[0])
    plies = arrays.training_plies[np.searchsorted(arrays.training_plies, first_ply) :] - first_ply
    plies = plies[counts[plies] > 1]
    return float(np.mean(entropies[plies] / np.log(counts[plies]))) if len(plies) else math.nan


@dataclass(frozen=True)
class RecentBatch:
    """What the network in training answers on recent training positions."""

    value_spread: float
    """Standard deviation of the values, which are in [-1, 1]."""
    value_loss: float
    """Cross-entropy of win/draw/loss, in nats."""
    constant_value_loss: float
    """The least that one answer for every position would reach."""
    policy_entropy: float
    """Mean entropy of the policy, 0 one sure action, 1 all legal ones alike; positions with a choice only."""


def recent_batch(
    outcomes: NDArray[np.floating],
    outcome_targets: NDArray[np.floating],
    policies: NDArray[np.floating],
    legal: NDArray[np.bool_],
) -> RecentBatch:
    """Measures a batch of N positions with A actions.

    outcomes, outcome_targets: probabilities of win, draw and loss [N, 3]. policies: probabilities [N, A], 0 where
    not `legal` [N, A].
    """
    outcomes, outcome_targets, policies = (
        a.astype(np.float64, copy=False) for a in (outcomes, outcome_targets, policies)
    )
    mean_target = outcome_targets.mean(0)
    counts = legal.sum(1)
    choice = counts > 1
    entropies = -(policies * np.log(np.maximum(policies, 1e-12))).sum(1)
    return RecentBatch(
        value_spread=float((outcomes[:, 0] - outcomes[:, 2]).std()),
        value_loss=float(-(outcome_targets * np.log(np.maximum(outcomes, 1e-12))).sum(1).mean()),
        constant_value_loss=float(-(mean_target * np.log(np.maximum(mean_target, 1e-12))).sum()),
        policy_entropy=float(np.mean(entropies[choice] / np.log(counts[choice]))) if choice.any() else math.nan,
    )


class WaitMeter:
    """How much of its time someone waits for someone else.

    with meter.waiting():
        segment = queue.get()
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._waited_s = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time until the block ends as waiting."""
        start = self._clock()
        try:
            yield
        finally:
            # A wait that began before the last `take_share` counts from then on.
            self._waited_s += self._clock() - max(start, self._since)

    def take_share(self) -> float:
        """The fraction of the time since the last call that was spent waiting, 0 to 1."""
        now = self._clock()
        share = self._waited_s / (now - self._since) if now > self._since else 0.0
        self._since, self._waited_s = now, 0.0
        return share


# --- what they should be


@dataclass(frozen=True)
class Health:
    """A run's figures at one moment. NaN, or None, where something has not been measured yet."""

    elapsed_s: float
    """Time this run has trained."""
    steps: int
    """Training steps so far."""
    max_plies: int
    """The game's: no game is longer."""
    players: tuple[str, str]
    games: RecentGames
    batch: RecentBatch | None = None
    loss: float | None = None
    """The newest training loss, whole."""
    learner_waiting: float = math.nan
    """Share of its time that the learner has lately waited for new games."""
    actors_waiting: float = math.nan
    """Share of their time that the actors have lately waited for the learner."""
    replay_ratio: float = math.nan
    """Training samples so far for a position played."""
    replay_messages: tuple[str, ...] = ()
    """What ReplayStore.messages says is damaged."""
    actor_restarts: int = 0
    """Actors that had to be replaced, dead or hung, since the run was started or resumed."""
    resignations: Resignations = Resignations(0, math.nan)
    cores_an_actor: float = 1.0
    """How much of a core each actor can have beside a learner that takes one."""
    resume: str = "keima train --resume RUN"
    """The command that goes on with the run once it is stopped."""


@dataclass(frozen=True)
class Diagnosis:
    """Something wrong with a run, in words."""

    code: str
    """Names the kind of trouble, the same while it lasts: `duplicate_games`."""
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}"


# Before these, figures are few or a fresh network's, and say nothing of how the run will go.
_MIN_GAMES = 200
_MIN_STEPS = 300
_MIN_SECONDS = 120.0

# In a game of so few plies good play has few games to choose from; that they repeat is no fault.
_SMALL_GAME_PLIES = 12
_LEAST_DISTINCT = 0.5
_MOST_OF_ONE_OUTCOME = 0.95
# Of the most there could be. A strong network in a tactical game comes down to 0.1 or so.
_LEAST_ENTROPY = 0.03
_LEAST_VALUE_SPREAD = 0.02
# The network's loss over the constant answer's: near 1 it has learnt nothing from the position.
_NO_BETTER_THAN_CONSTANT = 0.99
# The learner is meant to wait: it shares the cores with the actors, who have most of the work.
_MOST_LEARNER_WAIT = 0.95
_MOST_ACTOR_WAIT = 0.3
_LEAST_OF_REPLAY_RATIO = 0.7
_MOST_RESTARTS = 3


def diagnose(health: Health, config: TrainConfig) -> list[Diagnosis]:
    """The warnings that the figures justify, the worst first; none while it is too early to tell."""
    checks = (
        _loss_not_finite,
        _replay_damaged,
        _actors_dying,
        _entropy_collapsed,
        _duplicate_games,
        _one_outcome,
        _value_constant,
        _learner_behind,
        _actors_throttled,
        _learner_starved,
    )
    return [diagnosis for check in checks if (diagnosis := check(health, config)) is not None]


def _advice(health: Health, words: str, settings: str, *others: tuple[str, str]) -> str:
    """A command that can be typed as it is, and what to set in place of its settings; settings: `--set a.b=1`."""
    first = f"{words}: Ctrl-C, then {health.resume} {settings}"
    return "; or ".join([first, *(f"{other}, with {instead}" for other, instead in others)])


def _set(key: str, value: float) -> str:
    return f"--set {key}={value}" if isinstance(value, int) else f"--set {key}={value:.3g}"


def _slower(config: TrainConfig, times: int) -> str:
    rates = {"learner.learning_rate": config.learner.learning_rate, "learner.muon_rate": config.learner.muon_rate}
    return " ".join(_set(key, rate / times) for key, rate in rates.items() if rate)


def _loss_not_finite(health: Health, config: TrainConfig) -> Diagnosis | None:
    if health.loss is None or math.isfinite(health.loss):
        return None
    return Diagnosis(
        "loss_not_finite",
        f"the loss is {health.loss} at step {health.steps}: the network is lost",
        _advice(health, "go on more slowly from what was saved last", _slower(config, 3)),
    )


def _replay_damaged(health: Health, config: TrainConfig) -> Diagnosis | None:
    if not health.replay_messages:
        return None
    others = len(health.replay_messages) - 1
    return Diagnosis(
        "replay_damaged",
        health.replay_messages[0] + (f" (and {others} more)" if others else ""),
        "training goes on without them; if this happens again, check the disk",
    )


def _actors_dying(health: Health, config: TrainConfig) -> Diagnosis | None:
    if health.actor_restarts < _MOST_RESTARTS:
        return None
    return Diagnosis(
        "actors_dying",
        f"actors died or hung {health.actor_restarts} times and were replaced",
        _advice(
            health,
            "play fewer games at once, if memory ran short",
            _set("selfplay.parallel_games", max(1, fixed(config.selfplay.parallel_games) // 2)),
            ("wait longer, if this machine is only slow", _set("run.hung_seconds", 4 * config.run.hung_seconds)),
        ),
    )


def _entropy_collapsed(health: Health, config: TrainConfig) -> Diagnosis | None:
    if health.games.number < _MIN_GAMES or health.steps < _MIN_STEPS:
        return None
    figures = {"the policy targets": health.games.target_entropy}
    if health.batch is not None:
        figures["the network's policy"] = health.batch.policy_entropy
    subject, entropy = min(figures.items(), key=lambda item: item[1] if item[1] == item[1] else 1.0)
    if not entropy < _LEAST_ENTROPY:
        return None
    if config.search.root_policy == "gumbel":
        remedy = _set("search.c_scale", config.search.c_scale / 4)
    else:
        remedy = _set("search.dirichlet_weight", min(0.5, 2 * config.search.dirichlet_weight or 0.25))
    return Diagnosis(
        "entropy_collapsed",
        f"entropy collapsed: {subject} {'have' if 'targets' in subject else 'has'} {_percent(entropy)} of the "
        "spread there could be, so no move but the first choice is tried any more",
        _advice(health, "look around more", remedy),
    )


def _more_openings(health: Health, config: TrainConfig) -> str:
    share = config.selfplay.opening_random_fraction
    more = max(0.2, min(2 * share, (1 + share) / 2))  # halfway to all of them where most are varied already
    policy_plies = max(2.0, 2 * config.selfplay.opening_policy_mean_plies)
    settings = (
        f"{_set('selfplay.opening_random_fraction', more)} {_set('selfplay.opening_policy_mean_plies', policy_plies)}"
    )
    return _advice(health, "vary the openings", settings)


def _duplicate_games(health: Health, config: TrainConfig) -> Diagnosis | None:
    games = health.games
    if games.number < _MIN_GAMES or health.max_plies <= _SMALL_GAME_PLIES or not games.distinct_share < _LEAST_DISTINCT:
        return None
    return Diagnosis(
        "duplicate_games",
        f"{_percent(1 - games.distinct_share)} duplicate games among the last {games.number}: "
        "the network learns a few games by heart",
        _more_openings(health, config),
    )


def _one_outcome(health: Health, config: TrainConfig) -> Diagnosis | None:
    games = health.games
    if games.number < _MIN_GAMES or not max(games.outcome_shares) >= _MOST_OF_ONE_OUTCOME:
        return None
    code = int(np.argmax(games.outcome_shares))
    result = "end in a draw" if code == DRAW else f"are won by {health.players[code]}"
    return Diagnosis(
        "one_outcome",
        f"{_percent(games.outcome_shares[code])} of the last {games.number} games {result}: "
        "there is little to learn from the results",
        _more_openings(health, config),
    )


def _value_constant(health: Health, config: TrainConfig) -> Diagnosis | None:
    batch = health.batch
    if batch is None or health.steps < _MIN_STEPS:
        return None
    # Where nearly every game ends alike the constant answer is right; `one_outcome` speaks of that.
    if batch.constant_value_loss < 0.1:
        return None
    no_better = batch.value_loss > _NO_BETTER_THAN_CONSTANT * batch.constant_value_loss
    if not (batch.value_spread < _LEAST_VALUE_SPREAD and no_better):
        return None
    return Diagnosis(
        "value_constant",
        f"value head constant: it says the same of every position (they differ by {batch.value_spread:.3f} in a range "
        f"of 2), its loss {batch.value_loss:.3f} where one answer for all has {batch.constant_value_loss:.3f}",
        _advice(
            health,
            "in a game of your own, check that encode() shows whose move it is; else make more of the value",
            f"{_set('learner.value_weight', max(1.5, 2 * config.learner.value_weight))} {_slower(config, 2)}",
        ),
    )


def _learner_behind(health: Health, config: TrainConfig) -> Diagnosis | None:
    target = config.replay.samples_per_position
    if health.elapsed_s < _MIN_SECONDS or health.learner_waiting > 0.1:
        return None
    if not health.replay_ratio < _LEAST_OF_REPLAY_RATIO * target:
        return None
    return Diagnosis(
        "learner_behind",
        f"the learner cannot keep up: it trains {health.replay_ratio:.1f} times on each position instead of {target:g}",
        _advice(
            health,
            "accept it",
            _set("replay.samples_per_position", health.replay_ratio),
            ("play less beside it", _set("search.simulations", 2 * config.search.simulations)),
        ),
    )


def _actors_throttled(health: Health, config: TrainConfig) -> Diagnosis | None:
    if (
        health.elapsed_s < _MIN_SECONDS
        or not health.actors_waiting > 1 - (1 - _MOST_ACTOR_WAIT) * health.cores_an_actor
    ):
        return None  # where learner and actors share the cores, an actor that waits leaves its core to the learner
    slower = config.replay.samples_per_position * (1 - min(health.actors_waiting, 0.9))
    return Diagnosis(
        "actors_throttled",
        f"the actors wait for the learner {_percent(health.actors_waiting)} of the time",
        _advice(
            health,
            "train less on each position",
            _set("replay.samples_per_position", slower),
            ("search more", _set("search.simulations", 2 * config.search.simulations)),
        ),
    )


def _learner_starved(health: Health, config: TrainConfig) -> Diagnosis | None:
    if health.elapsed_s < _MIN_SECONDS or not health.learner_waiting > _MOST_LEARNER_WAIT:
        return None
    more = min(8.0, 2 * config.replay.samples_per_position)
    fewer = max(16, config.search.simulations // 2)
    remedies = [
        *(
            [("train more on each position", _set("replay.samples_per_position", more))]
            * (more > config.replay.samples_per_position)
        ),
        *([("search less", _set("search.simulations", fewer))] * (fewer < config.search.simulations)),
    ]
    return Diagnosis(
        "learner_starved",
        f"learner starved: it waits for new games {_percent(health.learner_waiting)} of the time",
        _advice(health, *remedies[0], *remedies[1:]) if remedies else "more actors, on more cores, would help",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
