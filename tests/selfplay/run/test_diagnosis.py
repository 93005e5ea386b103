import contextlib
import copy
import dataclasses
import math
import re

import numpy as np
import pytest
import torch

from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games import load
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS
from keima.selfplay.config.loader import load_config
from keima.selfplay.replay.segment import (
    CHECKED,
    FAST_SEARCH,
    FIRST_GIVEN_UP,
    HAS_POLICY_TARGET,
    RANDOM_OPENING,
    SECOND_GIVEN_UP,
    Segment,
)
from keima.selfplay.replay.store import ReplayStore
from keima.selfplay.replay.window import ReplayWindow
from keima.selfplay.run.diagnosis import (
    Health,
    RecentBatch,
    RecentGames,
    WaitMeter,
    diagnose,
    recent_batch,
    recent_games,
    resignations,
)

CONFIG = load_config("connect4", ["replay.samples_per_position=4"])
CONNECT4 = load("connect4")
NAN = math.nan


def play(random, game=CONNECT4, moves=None):
    """One game, moves drawn at random or as given: (states, legal actions of each, actions, outcome)."""
    states, legals, actions = [game.new_state()], [], []
    while game.outcome(states[-1]) == ONGOING:
        legals.append(game.legal(states[-1]))
        actions.append(int(random.choice(legals[-1])) if moves is None else moves[len(actions)])
        states.append(game.after(states[-1], actions[-1]))
    return states[:-1], legals, actions, game.outcome(states[-1])


def even(legal):
    return np.full(len(legal), 1 / len(legal))


def one_hot(legal):
    return np.eye(len(legal))[0]


def segment_of(games, target=even):
    """The games as an actor hands them over, every ply a training position with `target(legal actions)`."""
    legals = [legal for _, game_legals, _, _ in games for legal in game_legals]
    return Segment(
        game_lengths=np.array([len(actions) for _, _, actions, _ in games], np.int32),
        outcomes=np.array([outcome for *_, outcome in games], np.int8),
        actions=np.concatenate([actions for _, _, actions, _ in games]).astype(np.int32),
        legal_counts=np.array([len(legal) for legal in legals], np.int32),
        policies=np.concatenate([target(legal) for legal in legals]).astype(np.float16),
        root_values=np.zeros(len(legals), np.float32),
        surprises=np.zeros(len(legals), np.float16),
        flags=np.full(len(legals), HAS_POLICY_TARGET, np.uint8),
        proven=np.full(len(legals), ONGOING, np.int8),
        actor=0,
        weights_version=0,
        game="connect4",
        rules_version=1,
    )


def window_of(games, target=even):
    window = ReplayWindow()
    window.append(segment_of(games, target))
    return window


@pytest.fixture(scope="module")
def random():
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def games(random):
    return [play(random) for _ in range(300)]


@dataclasses.dataclass
class Positions:
    """Training positions of games: planes [N, C, H, W], outcomes for the side to move [N, 3], legal [N, A]."""

    planes: torch.Tensor
    outcomes: torch.Tensor
    legal: torch.Tensor


@pytest.fixture(scope="module")
def positions(games):
    states = [state for game_states, *_ in games for state in game_states]
    outcomes = torch.zeros(len(states), 3)
    legal = torch.zeros(len(states), CONNECT4.num_actions, dtype=torch.bool)
    row = 0
    for game_states, legals, _, outcome in games:
        for state, actions in zip(game_states, legals, strict=True):
            outcomes[row, 1 if outcome == DRAW else 0 if outcome == state[PLAYER] else 2] = 1
            legal[row, actions] = True
            row += 1
    return Positions(torch.from_numpy(np.stack([CONNECT4.planes(state) for state in states])), outcomes, legal)


def outputs(network, positions):
    with torch.no_grad():
        return network(positions.planes)


def judge(network, positions):
    """What the network says of the positions, measured."""
    said = outputs(network, positions)
    policies = said.policy.masked_fill(~positions.legal, -torch.inf).softmax(1)
    return recent_batch(
        said.value.softmax(1).numpy(), positions.outcomes.numpy(), policies.numpy(), positions.legal.numpy()
    )


@pytest.fixture(scope="module")
def trained(positions):
    """A network that has learnt a little of who wins."""
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of so small a network wait for each other
    network = Network(CONNECT4, NetworkConfig(blocks=1, channels=8))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step in range(40):
        batch = slice(step * 256 % 4096, step * 256 % 4096 + 256)
        loss = torch.nn.functional.cross_entropy(network(positions.planes[batch]).value, positions.outcomes[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return network.eval()


@pytest.fixture
def network(trained):
    """A copy of it to break."""
    return copy.deepcopy(trained)


@pytest.fixture(scope="module")
def healthy(games, trained, positions):
    """A sound run, from real games and a real network, long enough under way to be judged."""
    return Health(
        elapsed_s=600.0,
        steps=3000,
        max_plies=CONNECT4.max_plies,
        players=CONNECT4.players,
        games=recent_games(window_of(games).views()),
        batch=judge(trained, positions),
        loss=1.9,
        learner_waiting=0.6,
        actors_waiting=0.05,
        replay_ratio=4.0,
    )


def the_diagnosis(health, config=CONFIG):
    """The one thing that is wrong; its remedies are options a run can be started with, and change something."""
    (diagnosis,) = diagnose(health, config)
    text = str(diagnosis)
    assert "\n" not in text
    assert diagnosis.message in text
    assert diagnosis.remedy
    for option in re.findall(r"--set (\S+?)[,;]?(?= |$)", diagnosis.remedy):
        changed = load_config("connect4", [option])
        assert changed != CONFIG, option
    return diagnosis


def test_a_sound_run_gets_none(healthy):
    assert diagnose(healthy, CONFIG) == []


def test_nothing_is_said_before_anything_is_known():
    window = ReplayWindow()
    health = Health(elapsed_s=0.0, steps=0, max_plies=42, players=("X", "O"), games=recent_games(window.views()))
    assert diagnose(health, CONFIG) == []


def test_a_bad_start_is_not_judged(random, games):
    """What is wrong in a long run is no news in a fresh one."""
    same = recent_games(window_of([games[0]] * 150, one_hot).views())
    assert same.distinct_share == 1 / 150
    batch = RecentBatch(value_spread=0.0, value_loss=1.1, constant_value_loss=1.0, policy_entropy=0.0)
    health = Health(60.0, 200, 42, ("X", "O"), same, batch, 2.0, 1.0, 1.0, 0.1)
    assert diagnose(health, CONFIG) == []


# --- each trouble, made on purpose


def test_duplicate_games(healthy, games):
    repeated = games[:24] + [games[0]] * 276
    measured = recent_games(window_of(repeated).views())
    assert measured.distinct_share == 24 / 300
    mixed = dataclasses.replace(measured, outcome_shares=healthy.games.outcome_shares)
    diagnosis = the_diagnosis(dataclasses.replace(healthy, games=mixed))
    assert diagnosis.code == "duplicate_games"
    assert diagnosis.message.startswith("92 % duplicate games among the last 300")
    assert "--set selfplay.opening_random_fraction=" in diagnosis.remedy


def test_a_tiny_game_may_repeat_itself(healthy, random):
    tictactoe = load("tictactoe")
    repeated = [play(random, tictactoe) for _ in range(30)] * 10
    measured = recent_games(window_of(repeated).views())
    assert measured.distinct_share <= 0.1
    health = dataclasses.replace(healthy, games=measured, max_plies=tictactoe.max_plies)
    assert diagnose(health, load_config("tictactoe")) == []


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ([0, 1, 0, 1, 0, 1, 0], "98 % of the last 300 games are won by X"),
        ([6, 0, 1, 0, 1, 0, 2, 0], "98 % of the last 300 games are won by O"),
    ],
)
def test_one_outcome(healthy, random, games, moves, message):
    outcome = play(random, moves=moves)[-1]
    others = [game for game in games if game[-1] != outcome][:6]
    measured = recent_games(window_of(others + [play(random, moves=moves)] * 294).views())
    assert max(measured.outcome_shares) == 0.98
    diagnosis = the_diagnosis(dataclasses.replace(healthy, games=dataclasses.replace(measured, distinct_share=0.9)))
    assert diagnosis.code == "one_outcome"
    assert diagnosis.message.startswith(message)


def test_only_draws(healthy):
    drawn = dataclasses.replace(healthy.games, outcome_shares=(0.02, 0.01, 0.97))
    diagnosis = the_diagnosis(dataclasses.replace(healthy, games=drawn))
    assert diagnosis.message.startswith("97 % of the last 300 games end in a draw")


@pytest.mark.parametrize(
    ("root_policy", "remedy"),
    [("gumbel", "--set search.c_scale=0.25"), ("puct", "--set search.dirichlet_weight=0.5")],
)
def test_targets_without_entropy(healthy, games, root_policy, remedy):
    measured = recent_games(window_of(games, one_hot).views())
    assert measured.target_entropy == 0
    config = load_config("connect4", [f"search.root_policy={root_policy}"])
    diagnosis = the_diagnosis(dataclasses.replace(healthy, games=measured), config)
    assert diagnosis.code == "entropy_collapsed"
    assert "the policy targets have 0 %" in diagnosis.message
    assert diagnosis.remedy == f"look around more: Ctrl-C, then keima train --resume RUN {remedy}"


def test_network_without_entropy(healthy, positions, network):
    assert judge(network, positions).policy_entropy > 0.8
    with torch.no_grad():  # column 4, whatever the position
        bias = next(p for n, p in reversed(list(network.policy.named_parameters())) if n.endswith("bias"))
        bias += torch.tensor([0, 20.0, 40.0, 99.0, 60.0, 10.0, 5.0])
    judged = judge(network, positions)
    diagnosis = the_diagnosis(dataclasses.replace(healthy, batch=judged))
    assert diagnosis.code == "entropy_collapsed"
    assert "the network's policy has 0 %" in diagnosis.message


def test_value_head_constant(healthy, positions, network):
    assert judge(network, positions).value_spread > 0.1
    with torch.no_grad():
        for parameter in network.value.outcome.parameters():
            parameter.zero_()
    judged = judge(network, positions)
    assert judged.value_spread < 1e-6
    assert judged.value_loss == pytest.approx(math.log(3), rel=1e-5)
    diagnosis = the_diagnosis(dataclasses.replace(healthy, batch=judged))
    assert diagnosis.code == "value_constant"
    assert diagnosis.message.startswith("value head constant")
    assert "1.099" in diagnosis.message


def test_a_constant_value_is_right_where_games_end_alike(healthy):
    batch = RecentBatch(value_spread=0.0, value_loss=0.05, constant_value_loss=0.05, policy_entropy=0.5)
    assert diagnose(dataclasses.replace(healthy, batch=batch), CONFIG) == []


def test_loss_not_finite(healthy, positions, network):
    with torch.no_grad():
        next(network.parameters()).fill_(1e38)
    loss = float(torch.nn.functional.cross_entropy(outputs(network, positions).value, positions.outcomes))
    diagnosis = the_diagnosis(dataclasses.replace(healthy, loss=loss, elapsed_s=1.0, steps=5))
    assert diagnosis.code == "loss_not_finite"
    assert diagnosis.message == "the loss is nan at step 5: the network is lost"
    assert "--set learner.learning_rate=" in diagnosis.remedy


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds


def waiting_share(working_s, waiting_s, rounds=50):
    clock = Clock()
    meter = WaitMeter(clock)
    for _ in range(rounds):
        clock.passes(working_s)
        with meter.waiting():
            clock.passes(waiting_s)
    return meter.take_share()


def test_learner_starved(healthy):
    diagnosis = the_diagnosis(dataclasses.replace(healthy, learner_waiting=waiting_share(0.02, 0.98)))
    assert diagnosis.code == "learner_starved"
    assert diagnosis.message == "learner starved: it waits for new games 98 % of the time"
    assert "--set replay.samples_per_position=8" in diagnosis.remedy
    assert f"--set search.simulations={CONFIG.search.simulations // 2}" in diagnosis.remedy


def test_learner_starved_with_nothing_left_to_turn(healthy):
    config = load_config("connect4", ["replay.samples_per_position=8", "search.simulations=16"])
    diagnosis = the_diagnosis(dataclasses.replace(healthy, learner_waiting=0.99, replay_ratio=8.0), config)
    assert "more actors" in diagnosis.remedy


def test_actors_throttled(healthy):
    diagnosis = the_diagnosis(dataclasses.replace(healthy, actors_waiting=waiting_share(0.5, 0.5)))
    assert diagnosis.code == "actors_throttled"
    assert "50 % of the time" in diagnosis.message
    assert "--set replay.samples_per_position=2" in diagnosis.remedy


def test_learner_behind(healthy):
    diagnosis = the_diagnosis(dataclasses.replace(healthy, replay_ratio=1.5, learner_waiting=0.0))
    assert diagnosis.code == "learner_behind"
    assert "1.5 times on each position instead of 4" in diagnosis.message
    assert diagnose(dataclasses.replace(healthy, replay_ratio=1.5, learner_waiting=0.5), CONFIG) == []


def test_replay_damaged(healthy, games, tmp_path):
    def open_store():
        return ReplayStore(tmp_path, "connect4", 1, max_disk_bytes=10**9, window=lambda total: 10**9)

    for _ in range(3):
        open_store().append(segment_of(games))
    for index in (0, 2):
        path = tmp_path / f"segment-0000000{index}.safetensors"
        data = bytearray(path.read_bytes())
        data[-9] ^= 1
        path.write_bytes(data)
    store = open_store()
    assert len(list(store.read_all())) == 1
    diagnosis = the_diagnosis(dataclasses.replace(healthy, replay_messages=tuple(store.messages)))
    assert diagnosis.code == "replay_damaged"
    assert "segment-00000002.safetensors is damaged" in diagnosis.message
    assert diagnosis.message.endswith("(and 1 more)")


def test_actors_dying(healthy):
    assert diagnose(dataclasses.replace(healthy, actor_restarts=1), CONFIG) == []
    diagnosis = the_diagnosis(dataclasses.replace(healthy, actor_restarts=5))
    assert diagnosis.code == "actors_dying"
    assert "5 times" in diagnosis.message
    assert f"--set selfplay.parallel_games={CONFIG.selfplay.parallel_games // 2}" in diagnosis.remedy


def test_several_at_once_the_worst_first(healthy):
    health = dataclasses.replace(healthy, loss=NAN, actors_waiting=0.9, actor_restarts=3)
    codes = [diagnosis.code for diagnosis in diagnose(health, CONFIG)]
    assert codes == ["loss_not_finite", "actors_dying", "actors_throttled"]


# --- the figures


def test_false_resignations_against_a_naive_count(games, random):
    """In games that are checked alone, and counted once a game; those that have left the window are forgotten."""
    segment, window, counted = segment_of(games[:200]), ReplayWindow(), []
    flags, start = segment.flags.copy(), 0
    for outcome, length in zip(segment.outcomes, segment.game_lengths, strict=True):
        checked, mark = random.random() < 0.5, int(random.choice([0, FIRST_GIVEN_UP, SECOND_GIVEN_UP]))
        since = random.integers(1, length)
        flags[start : start + length] |= CHECKED if checked else 0
        flags[start + since : start + length] |= mark
        if checked and mark:
            counted.append((start, outcome != (SECOND_WINS if mark == FIRST_GIVEN_UP else FIRST_WINS)))
        start += int(length)
    window.append(dataclasses.replace(segment, flags=flags))
    for dropped in (0, 900):
        window.drop_oldest_to(start - dropped)
        first_ply = window.views().game_starts[window.views().first_game]
        left = [wrong for ply, wrong in counted if ply >= first_ply]
        assert 0 < len(left) == resignations(window.views()).number
        assert resignations(window.views()).false_share == pytest.approx(np.mean(left))
    assert len(left) < len(counted)
    assert resignations(window_of(games).views()).number == 0
    assert math.isnan(resignations(window_of(games).views()).false_share)
    assert resignations(ReplayWindow().views()).number == 0


def test_recent_games_against_a_naive_count(games, random):
    segment = segment_of(games, lambda legal: random.dirichlet(np.full(len(legal), 0.5)))
    has_target = random.random(segment.num_plies) < 0.6
    segment.flags[~has_target] = random.choice([RANDOM_OPENING, FAST_SEARCH], (~has_target).sum())
    segment.surprises[has_target] = random.exponential(size=has_target.sum())
    window = ReplayWindow()
    window.append(segment_of(games))
    window.append(segment)
    window.drop_oldest_to(segment.num_positions + 100)  # what has left the window stands before it
    measured = recent_games(window.views(), last=100)

    newest = games[-100:]
    assert measured.number == 100
    assert measured.mean_plies == pytest.approx(np.mean([len(actions) for _, _, actions, _ in newest]))
    assert measured.distinct_share == len({tuple(actions) for _, _, actions, _ in newest}) / 100
    for code in (FIRST_WINS, SECOND_WINS, DRAW):
        assert measured.outcome_shares[code] == sum(outcome == code for *_, outcome in newest) / 100
    policies = np.split(segment.policies, np.cumsum(segment.legal_counts)[:-1])
    plies = sum(len(actions) for _, _, actions, _ in newest)
    entropies = [
        -sum(float(p) * math.log(p) for p in policy if p > 0) / math.log(len(policy))
        for policy, counted in list(zip(policies, has_target, strict=True))[-plies:]
        if counted and len(policy) > 1
    ]
    assert measured.target_entropy == pytest.approx(np.mean(entropies), rel=1e-6)
    own = list(zip(segment.flags, segment.surprises, strict=True))[-plies:]
    surprises = [float(surprise) for flags, surprise in own if flags & HAS_POLICY_TARGET]
    fast = sum(flags == FAST_SEARCH for flags, _ in own)
    assert measured.surprise == pytest.approx(np.mean(surprises))
    assert measured.fast_share == pytest.approx(fast / (fast + len(surprises)))


def test_recent_games_of_fewer_than_asked_for(games):
    assert recent_games(window_of(games[:3]).views(), last=100).number == 3
    assert recent_games(window_of(games).views()).target_entropy == pytest.approx(1.0, abs=1e-3)
    nothing = recent_games(ReplayWindow().views())
    nan = nothing.mean_plies
    assert nothing == RecentGames(0, nan, nan, nothing.outcome_shares, *[nan] * 3)


def test_recent_batch_against_a_naive_count(random):
    outcomes, targets = random.dirichlet([1, 1, 1], 20), random.dirichlet([2, 1, 1], 20)
    legal = random.random((20, 5)) < 0.5
    legal[:, 0] = True
    policies = np.where(legal, random.random((20, 5)), 0)
    policies /= policies.sum(1, keepdims=True)
    measured = recent_batch(outcomes.astype(np.float32), targets, policies, legal)
    values = [win - loss for win, _, loss in outcomes]
    assert measured.value_spread == pytest.approx(np.std(values), rel=1e-5)
    pairs = list(zip(outcomes, targets, strict=True))
    losses = [-sum(t * math.log(o) for o, t in zip(outcome, target, strict=True)) for outcome, target in pairs]
    assert measured.value_loss == pytest.approx(np.mean(losses), rel=1e-5)
    # No constant answer has a lower loss than the one stated.
    for constant in [targets.mean(0), *random.dirichlet([2, 1, 1], 50)]:
        assert -(targets * np.log(constant)).sum(1).mean() >= measured.constant_value_loss - 1e-9
    assert measured.constant_value_loss == pytest.approx(-(targets * np.log(targets.mean(0))).sum(1).mean())
    entropies = [
        -sum(p * math.log(p) for p in policy if p > 0) / math.log(mask.sum())
        for policy, mask in zip(policies, legal, strict=True)
        if mask.sum() > 1
    ]
    assert measured.policy_entropy == pytest.approx(np.mean(entropies))


def test_wait_meter():
    clock = Clock()
    meter = WaitMeter(clock)
    assert meter.take_share() == 0
    clock.passes(3)
    with meter.waiting():
        clock.passes(1)
    assert meter.take_share() == 0.25
    clock.passes(1)
    assert meter.take_share() == 0  # since the last call only
    with contextlib.suppress(KeyError), meter.waiting():
        clock.passes(1)
        raise KeyError  # an interrupted wait counts as well
    assert meter.take_share() == 1


def test_a_wait_across_two_measurements_counts_once():
    clock = Clock()
    meter = WaitMeter(clock)
    with meter.waiting():
        clock.passes(10)
        meter.take_share()
        clock.passes(1)
    clock.passes(3)
    assert meter.take_share() == 0.25


def test_actors_that_share_their_cores_with_the_learner_may_wait_longer(healthy):
    two_on_two_cores = dataclasses.replace(healthy, actors_waiting=0.61, cores_an_actor=0.5)
    assert diagnose(two_on_two_cores, CONFIG) == []
    assert the_diagnosis(dataclasses.replace(two_on_two_cores, actors_waiting=0.7)).code == "actors_throttled"
    assert the_diagnosis(dataclasses.replace(two_on_two_cores, cores_an_actor=1.0)).code == "actors_throttled"
