"""Whether the learner can learn a few of a game's positions by heart: the last check of `keima doctor`.

Any sound game passes: a small net with the usual learner drives the losses on a fixed batch close to 0 in seconds.
Where that fails, the planes hide or blur what the targets depend on, or targets contradict each other. The batch is
made as a training run makes it: self-play, segments, the window, the sampler.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import Game, State
from keima.games.doctor.report import ERROR, NOTE, WARNING, Finding, Report
from keima.mcts.rollout import RolloutEvaluator
from keima.mcts.search import Search, SearchSettings
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.config.schema import LearnerConfig, SearchConfig, SelfplayConfig, TrainConfig
from keima.selfplay.learning.learner import Learner
from keima.selfplay.replay.sampling import Batch, Sampler
from keima.selfplay.replay.window import ReplayWindow

POSITIONS = 128
PLAYED_POSITIONS = 8 * POSITIONS
"""Positions that are played before POSITIONS of them are taken, far apart from each other."""
PLAYOUTS = 64
"""Random playouts of the search whose policy is to be learnt."""
MAX_STEPS = 400
"""Shipped games take 20 to 200."""
POLICY_BOUND, VALUE_BOUND = 0.05, 0.1
"""Losses, in nats, at which the batch counts as known by heart."""
SECONDS = 60.0
TELL_EVERY_S = 5.0
ALIKE = 1e-3
"""Planes that differ by less than this in every cell are as good as equal."""

NETWORK = NetworkConfig(blocks=2, channels=32, pooled_channels=8)
LEARNER = LearnerConfig(learning_rate=5e-3, warmup_steps=20, weight_decay=0.0)


@dataclass(frozen=True)
class Overfit:
    """The result of learning by heart. Losses are in nats, on the batch that was trained on."""

    positions: int
    lookalikes: int
    """Positions left out because another one's planes are the same."""
    steps: int
    seconds: float
    policy_before: float
    policy_after: float
    value_before: float
    value_after: float
    closest: float
    """The largest difference between two positions' planes, in the pair where it is smallest."""

    @property
    def has_learnt(self) -> bool:
        return self.policy_after <= POLICY_BOUND and self.value_after <= VALUE_BOUND

    def add_to(self, report: Report) -> None:
        """Adds the figures and what they say about the game to the doctor's report."""
        report.overfit = {**asdict(self), "has_learnt": self.has_learnt}
        for finding in findings_of(self):
            report.add(finding)
        if self.has_learnt:
            report.said["learner"] = (
                f"{self.positions} positions known by heart after {self.steps} steps in {self.seconds:.0f} s: policy "
                f"loss {self.policy_before:.2f} -> {self.policy_after:.2f}, value loss {self.value_before:.2f} -> "
                f"{self.value_after:.2f}"
            )


def overfit(
    game: Game, seed: int = 0, *, seconds: float = SECONDS, tell: Callable[[str], None] = lambda stage: None
) -> Overfit:
    """Trains on a fixed batch until the network knows it by heart, for at most MAX_STEPS steps and `seconds`.

    tell: called with a line on what is being done. The losses of a batch without positions are NaN.
    """
    start_s = time.monotonic()
    tell("playing games to learn from")
    batch, lookalikes = positions_to_learn(game, seed)
    count, step = len(batch.planes), 0
    before = after = (float("nan"), float("nan"))
    if count > 1:
        tell("making the learner ready")
        learner = Learner(game, TrainConfig(game=game.spec, seed=seed, network=NETWORK, learner=LEARNER))
        told_s = 0.0
        with _one_thread():
            while step < MAX_STEPS and time.monotonic() - start_s < seconds:
                losses = learner.train(batch)
                after = losses.policy, losses.value
                before = after if step == 0 else before
                step += 1
                if after[0] <= POLICY_BOUND and after[1] <= VALUE_BOUND:
                    break
                if time.monotonic() - told_s >= TELL_EVERY_S:
                    told_s = time.monotonic()
                    tell(f"learning {count} positions by heart: policy loss {after[0]:.2f}, value loss {after[1]:.2f}")
    return Overfit(
        positions=count,
        lookalikes=lookalikes,
        steps=step,
        seconds=round(time.monotonic() - start_s, 2),
        policy_before=before[0],
        policy_after=after[0],
        value_before=before[1],
        value_after=after[1],
        closest=_closest(batch.planes),
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Threads of so small a network wait for each other, for long where the machine has other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def positions_to_learn(game: Game, seed: int) -> tuple[Batch, int]:
    """Up to POSITIONS samples of positions whose planes all differ, and how many were left out because they look alike.

    Policy targets are those of a search with random playouts, value targets those of the games' ends.
    """
    play = SelfPlay(
        game, SearchConfig(simulations=8), SelfplayConfig(parallel_games=16, opening_random_fraction=0.0), seed
    )

    def know_nothing(planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.zeros((len(planes), game.num_actions), np.float32), np.zeros(len(planes), np.float32)

    while play.finished_positions < PLAYED_POSITIONS:
        play.step(know_nothing)
    window = ReplayWindow()
    window.append(play.take_finished(0, 0))
    views = window.views()
    plies = np.random.default_rng(seed).permutation(views.training_plies)
    batch = Sampler(game, seed, augment=False).fill(views, plies, np.zeros(len(plies), np.int64))
    states = [_state_at(game, views.actions, int(views.game_starts[views.game_of_ply[ply]]), int(ply)) for ply in plies]
    chosen: dict[bytes, int] = {}
    rows: set[bytes] = set()
    lookalikes = 0
    for i, state in enumerate(states):
        if len(chosen) == POSITIONS:
            break
        if state.tobytes() not in rows and chosen.setdefault(batch.planes[i].tobytes(), i) != i:
            lookalikes += 1
        rows.add(state.tobytes())
    kept = np.array(list(chosen.values()))
    batch = Batch(*(array[kept] for array in batch))
    return batch.with_policy(_searched(game, np.array([states[i] for i in kept]), seed)), lookalikes


def _state_at(game: Game, actions: NDArray[np.int32], start: int, ply: int) -> State:
    state = game.new_state()
    for action in actions[start:ply]:
        game.kernels.play(state, int(action))
    return state


def _searched(game: Game, states: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    """The policies [n, A] that a search with random playouts comes to."""
    search = Search(game, SearchSettings(PLAYOUTS, root_policy="gumbel"), len(states), seed)
    search.start(states)
    search.run(RolloutEvaluator(game, seed))  # type: ignore[arg-type]
    policies = np.zeros((len(states), game.num_actions), np.float32)
    for i in range(len(states)):
        root = search.root(i)
        policies[i, root.actions] = root.policy / root.policy.sum()
    return policies


def _closest(planes: NDArray[np.float32]) -> float:
    flat = planes.reshape(len(planes), -1)
    pairs = [np.abs(flat[i + 1 :] - flat[i]).max(1).min() for i in range(len(flat) - 1)]
    return float(min(pairs, default=0.0))


def findings_of(result: Overfit) -> list[Finding]:
    """What the result says about the game."""
    losses = (
        f"policy loss {result.policy_before:.2f} -> {result.policy_after:.2f}, "
        f"value loss {result.value_before:.2f} -> {result.value_after:.2f} nats"
    )
    if result.positions < 2 or result.lookalikes > result.positions:
        return [
            Finding(
                ERROR if result.positions < 2 else WARNING,
                "learner",
                f"{result.lookalikes} of {result.positions + result.lookalikes} positions look like others to the net",
                "planes that tell positions apart",
                "have encode show what the position is: every piece, and every right the rules look at",
            )
        ]
    if result.has_learnt:
        return []
    if result.steps == 0 or (result.steps < MAX_STEPS and np.isfinite(result.policy_after)):
        return [
            Finding(
                NOTE,
                "learner",
                f"after {result.seconds:.0f} s and {result.steps} steps on {result.positions} positions: {losses}",
                f"losses under {POLICY_BOUND} and {VALUE_BOUND}",
                "none was drawn from it: try again where the machine has nothing else to do",
            )
        ]
    if not np.isfinite([result.policy_after, result.value_after]).all():
        found, remedy = f"losses that are no numbers: {losses}", "look for planes that are not finite or very large"
    elif result.closest < ALIKE:
        found = (
            f"{result.positions} positions are not known by heart after {result.steps} steps ({losses}); two of them "
            f"have planes that differ by no more than {result.closest:.1g} in any cell"
        )
        remedy = "scale what encode writes: what matters should differ by a good part of 1"
    else:
        found = f"{result.positions} positions are not known by heart after {result.steps} steps ({losses})"
        remedy = (
            "look at whether encode shows what moves and results depend on, in the cells where the actions are, and "
            "whether policy_planes fits how actions are numbered"
        )
    return [
        Finding(WARNING, "learner", found, f"losses under {POLICY_BOUND} and {VALUE_BOUND} on so few positions", remedy)
    ]
