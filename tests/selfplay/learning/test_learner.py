"""The learner: that it learns, what its losses mean, and that it can be put down and taken up again to the bit."""

import json
import math

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.nets.checkpoint import CheckpointError, Metadata, read_tensors, save_checkpoint, write_tensors
from keima.agent.nets.network import Outputs
from keima.agent.nets.network_config import NetworkConfig
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.config.schema import LearnerConfig, RunConfig, SearchConfig, SelfplayConfig, TrainConfig
from keima.selfplay.learning.learner import Learner, _divergence, softened
from keima.selfplay.replay.sampling import Batch, Sampler
from keima.selfplay.replay.window import ReplayWindow
from tests.selfplay.naive import LinearEvaluator

NETWORK = NetworkConfig(blocks=2, channels=16, pooled_channels=4, policy_channels=4, value_channels=4, value_hidden=16)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of so small a network wait for each other
    yield
    torch.set_num_threads(threads)


def make_learner(name="tictactoe", seed=0, network=NETWORK, **options):
    config = TrainConfig(game=name, seed=seed, network=network, learner=LearnerConfig(**options))
    return Learner(games.load(name), config)


def window_of(name, num_games=40):
    """A window of games played by a made-up network."""
    game = games.load(name)
    self_play = SelfPlay(
        game, SearchConfig(simulations=8), SelfplayConfig(parallel_games=16, opening_random_fraction=0.5)
    )
    evaluator = LinearEvaluator(game)
    while len(self_play._finished) < num_games:
        self_play.step(evaluator)
    window = ReplayWindow()
    window.append(self_play.take_finished(0, 0))
    return window.views()


def batches_of(name, count, size=32, replies=False):
    window, sampler = window_of(name), Sampler(games.load(name), seed=0, value_mix=0.25, replies=replies)
    return [sampler.draw(window, step, size) for step in range(count)]


def distinct_positions(name, size):
    """A batch in which no position is twice, so that it can be learned by heart."""
    window = window_of(name)
    batch = Sampler(games.load(name), seed=0).fill(
        window, window.training_plies, np.zeros(len(window.training_plies), np.int64)
    )
    _, first = np.unique(batch.planes.reshape(len(batch.planes), -1), axis=0, return_index=True)
    return Batch(*(array[np.sort(first)[:size]] for array in batch))


def dense(learner, batch):
    return {name: tensor.numpy() for name, tensor in learner.targets(batch).items()}


def state_of(learner):
    """Every tensor that a learner holds, by name."""
    state = {f"network.{name}": tensor for name, tensor in learner.network.state_dict().items()}
    state |= {f"ema.{name}": tensor for name, tensor in learner.ema_network.state_dict().items()}
    for kind, optimizer in learner.optimizers().items():
        for index, parts in optimizer.state_dict()["state"].items():
            state |= {f"{kind}.{index}.{name}": tensor for name, tensor in parts.items()}
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def assert_same_state(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


# --- learning


@pytest.mark.parametrize("name", ["connect4", "othello:4"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_learns_a_small_batch_by_heart(name, bfloat16):
    learner = make_learner(name, learning_rate=1e-2, warmup_steps=10)
    learner._fast_bfloat16 = bfloat16
    batch = distinct_positions(name, 24)
    first = learner.train(batch)
    for _ in range(120):
        last = learner.train(batch)
    assert first.policy > 0.3
    assert last.policy < 0.03
    assert first.value > 0.5
    assert last.value < 0.05
    if learner.game.has_ownership:
        assert last.ownership < 0.15 * first.ownership
        assert last.score < 0.15 * first.score
    assert last.total < 0.15 * first.total
    assert learner.step == 121


def test_the_averaged_network_learns_too():
    learner = make_learner("connect4", learning_rate=1e-2, warmup_steps=10, ema_decay=0.9)
    batch = distinct_positions("connect4", 24)
    for _ in range(100):
        learner.train(batch)
    outcomes, policies = learner.predict(batch)
    kl = (
        dense(learner, batch)["policy"]
        * (np.log(np.maximum(dense(learner, batch)["policy"], 1e-30)) - np.log(policies + 1e-30))
    ).sum(1)
    assert kl.mean() < 0.1
    assert (outcomes.argmax(1) == batch.outcome.argmax(1)).mean() > 0.9


def test_one_seed_one_training():
    batches = batches_of("tictactoe", 5)
    states = []
    for seed in (1, 1, 2):
        learner = make_learner(seed=seed)
        for batch in batches:
            learner.train(batch)
        states.append(state_of(learner))
    assert_same_state(states[1], states[0])
    assert not torch.equal(states[2]["network.stem.convolution.weight"], states[0]["network.stem.convolution.weight"])


# --- losses


def random_outputs(learner, batch, seed=0):
    random = torch.Generator().manual_seed(seed)
    return Outputs(
        torch.randn((len(batch.planes), learner.game.num_actions), generator=random).requires_grad_(),
        torch.randn(batch.outcome.shape, generator=random).requires_grad_(),
        torch.rand(batch.ownership.shape, generator=random) * 2 - 1,
        torch.randn(batch.score.shape, generator=random),
        torch.rand(batch.score.shape, generator=random) + 0.01,
        torch.randn((len(batch.planes), learner.game.num_actions), generator=random),
        torch.randn((len(batch.planes), learner.game.num_actions), generator=random),
    )


def test_losses_by_hand():
    learner = make_learner("othello:4")
    batch = batches_of("othello:4", 1, replies=True)[0]
    known = dense(learner, batch)
    assert known["opponent_policy"].any(1).any()
    assert not known["opponent_policy"].any(1).all()
    outputs = random_outputs(learner, batch)
    parts = learner._losses(outputs, learner.targets(batch))
    policy = value = ownership = score = reply = soft_policy = 0.0
    for i in range(32):
        legal = np.flatnonzero(known["legal"][i])
        logits = outputs.policy.detach().numpy()[i, legal].astype(float)
        own = np.exp(logits) / np.exp(logits).sum()
        policy += sum(t * math.log(t / p) for t, p in zip(known["policy"][i, legal], own, strict=True) if t > 0)
        wdl = np.exp(outputs.value.detach().numpy()[i].astype(float))
        value -= float((batch.outcome[i] * np.log(wdl / wdl.sum())).sum())
        ownership += float(((outputs.ownership[i].numpy() - batch.ownership[i]) ** 2).mean())
        mean, spread = float(outputs.score[i]), float(outputs.score_spread[i])
        # log(f(x + h) - f(x - h)) of f(x) = 1 / (1 + exp(-x)), where the difference may be too small for a number.
        x, h = (batch.score[i] - mean) / spread, 1 / 8 / spread
        score -= math.log(2 * math.sinh(h)) - float(np.logaddexp.reduce([x, -x, h, -h]))
        foreseen = np.exp(outputs.reply[i].numpy().astype(float))
        foreseen /= foreseen.sum()  # over all actions
        reply += sum(t * math.log(t / p) for t, p in zip(known["opponent_policy"][i], foreseen, strict=True) if t > 0)
        soft = known["policy"][i, legal].astype(float) ** 0.25
        own = np.exp(outputs.soft_policy[i].numpy()[legal].astype(float))
        pairs = zip(soft / soft.sum(), own / own.sum(), strict=True)
        soft_policy += sum(t * math.log(t / p) for t, p in pairs if t > 0)
    expected = {"policy": policy, "value": value, "ownership": ownership, "score": score}
    expected |= {"opponent_policy": reply, "soft_policy": soft_policy}
    assert {name: 32 * part.item() for name, part in parts.items()} == pytest.approx(expected, rel=1e-4)


def test_policy_loss_is_zero_where_the_network_says_the_target():
    learner = make_learner("connect4")
    batch = batches_of("connect4", 1)[0]
    outputs = random_outputs(learner, batch)
    said = (
        torch.softmax(outputs.policy.masked_fill(~torch.from_numpy(dense(learner, batch)["legal"]), -math.inf), 1)
        .detach()
        .numpy()
    )
    parts = learner._losses(outputs, learner.targets(batch.with_policy(said)))
    assert parts["policy"].item() == pytest.approx(0, abs=1e-6)
    one_hot = np.eye(7, dtype=np.float32)[dense(learner, batch)["policy"].argmax(1)]
    sure = outputs._replace(policy=torch.from_numpy(one_hot * 100))
    assert learner._losses(sure, learner.targets(batch.with_policy(one_hot)))["policy"].item() == pytest.approx(0)


def test_illegal_moves_have_no_part_in_the_policy():
    learner = make_learner("othello:4")
    batch = batches_of("othello:4", 1)[0]
    outputs = random_outputs(learner, batch)
    learner._losses(outputs, learner.targets(batch))["policy"].backward()
    assert not outputs.policy.grad[~torch.from_numpy(dense(learner, batch)["legal"])].any()
    several = torch.from_numpy(
        dense(learner, batch)["legal"] & (dense(learner, batch)["legal"].sum(1, keepdims=True) > 1)
    )
    assert outputs.policy.grad[several].abs().min() > 0
    raised = outputs.policy.detach().masked_fill(~torch.from_numpy(dense(learner, batch)["legal"]), 50.0)
    before = learner._losses(outputs, learner.targets(batch))["policy"]
    after = learner._losses(outputs._replace(policy=raised), learner.targets(batch))["policy"]
    assert after.item() == pytest.approx(before.item())


def test_a_game_without_auxiliary_targets_has_no_such_losses():
    losses = make_learner("connect4").train(batches_of("connect4", 1)[0])
    assert (losses.ownership, losses.score, losses.opponent_policy, losses.soft_policy) == (0, 0, 0, 0)
    assert losses.total == pytest.approx(losses.policy + 1.5 * losses.value)


def test_the_total_is_the_weighted_sum():
    batch = batches_of("othello:4", 1)[0]
    losses = make_learner("othello:4", value_weight=2, ownership_weight=0.5, score_weight=3).train(batch)
    expected = losses.policy + 2 * losses.value + 0.5 * losses.ownership + 3 * losses.score
    assert losses.total == pytest.approx(expected, rel=1e-5)
    assert losses.ownership > 0
    assert losses.score > 0


def test_a_head_whose_loss_weighs_nothing_stays_as_it_is():
    learner = make_learner("othello:4", ownership_weight=0, weight_decay=0)
    before = learner.network.ownership.weight.detach().clone()
    for batch in batches_of("othello:4", 3):
        learner.train(batch)
    assert torch.equal(learner.network.ownership.weight, before)


TEACHING_HEADS = NETWORK.model_copy(update={"opponent_policy_head": True, "soft_policy_head": True})


@pytest.mark.parametrize("name", ["connect4", "othello:4"])
def test_the_heads_that_teach_learn(name):
    learner = make_learner(name, network=TEACHING_HEADS, learning_rate=1e-2, warmup_steps=10)
    batch = batches_of(name, 1, size=24, replies=True)[0]
    losses = [learner.train(batch) for _ in range(150)]
    assert losses[-1].opponent_policy < 0.5 * losses[0].opponent_policy
    assert losses[-1].soft_policy < 0.2 * losses[0].soft_policy
    total = losses[-1].policy + 1.5 * losses[-1].value + 0.15 * losses[-1].opponent_policy + 2 * losses[-1].soft_policy
    total += 1.5 * losses[-1].ownership + 0.1 * losses[-1].score
    assert losses[-1].total == pytest.approx(total, rel=1e-4)
    assert learner.predict(batch)[1].shape == (len(batch.planes), learner.game.num_actions)


def test_a_softened_policy_by_hand():
    policy = torch.tensor([[0.81, 0.16, 0.0, 0.03], [0.0, 1.0, 0.0, 0.0]])
    found = softened(policy)
    roots = [0.81**0.25, 0.16**0.25, 0.0, 0.03**0.25]
    torch.testing.assert_close(found[0], torch.tensor(roots) / sum(roots))
    torch.testing.assert_close(found[1], policy[1])


def test_at_temperature_4_an_error_weighs_a_sixteenth():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(1000, 8, generator=random)
    target = torch.softmax(logits, 1)
    off = logits + 0.05 * torch.randn(1000, 8, generator=random)
    # Logits near each other, so that both targets weigh the actions about alike.
    near = torch.softmax(0.1 * logits, 1)
    plain = _divergence(near, 0.1 * logits + off - logits)
    soft = _divergence(softened(near), (0.1 * logits + off - logits) / 4)
    assert soft.item() == pytest.approx(plain.item() / 16, rel=0.03)
    assert _divergence(target, logits).item() == pytest.approx(0, abs=1e-6)


# --- steps


def test_the_learning_rate_warms_up():
    learner = make_learner(learning_rate=1e-2, warmup_steps=4)
    rates = []
    for batch in batches_of("tictactoe", 6):
        learner.train(batch)
        rates.append({group["lr"] for group in learner.optimizer.param_groups})
    assert rates == [{0.0025}, {0.005}, {0.0075}, {0.01}, {0.01}, {0.01}]
    learner = make_learner(learning_rate=1e-2, warmup_steps=0)
    learner.train(batches_of("tictactoe", 1)[0])
    assert learner.optimizer.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0.0: 1.0, 0.25: 1.0, 1.0: 1.0}),
        ("linear", {0.0: 1.0, 0.25: 0.775, 0.5: 0.55, 1.0: 0.1}),
        ("cosine", {0.0: 1.0, 0.25: 0.1 + 0.9 * 0.853553, 0.5: 0.55, 1.0: 0.1}),
    ],
)
def test_the_schedules_by_hand(schedule, expected):
    learner = make_learner(learning_rate=0.01, warmup_steps=0, schedule=schedule, final_learning_rate_fraction=0.1)
    for share, factor in expected.items():
        assert not learner.begin_segment(share)
        assert learner.learning_rate == pytest.approx(0.01 * factor, rel=1e-5)
        learner.train(batches_of("tictactoe", 1)[0])
        assert learner.optimizer.param_groups[1]["lr"] == pytest.approx(0.01 * factor, rel=1e-5)


def test_more_minutes_are_a_warm_restart():
    learner = make_learner(learning_rate=0.01, warmup_steps=0, schedule="linear", final_learning_rate_fraction=0)
    learner.begin_segment(0.9)
    assert learner.learning_rate == pytest.approx(0.001)
    learner.begin_segment(0.45)  # twice the minutes
    assert learner.learning_rate == pytest.approx(0.0055)


def test_steps_count_where_they_end_the_run_first():
    learner = make_learner(learning_rate=0.01, warmup_steps=0, schedule="linear", final_learning_rate_fraction=0)
    learner.config = learner.config.model_copy(update={"run": RunConfig(max_steps=10)})
    rates = []
    for batch in batches_of("tictactoe", 10):
        rates.append(learner.learning_rate)
        learner.train(batch)
    np.testing.assert_allclose(rates, 0.01 * (1 - np.arange(10) / 10))
    assert learner.learning_rate == 0
    learner.step = 2
    learner.begin_segment(0.7)
    assert learner.learning_rate == pytest.approx(0.003)


def test_only_matrices_and_filters_are_pulled_to_zero():
    decayed, rest = make_learner(weight_decay=0.1).optimizer.param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in rest["params"])
    learner = make_learner()
    count = sum(len(group["params"]) for group in learner.optimizer.param_groups)
    assert count == len(list(learner.network.parameters()))


def test_a_long_gradient_is_shortened_and_its_length_told(monkeypatch):
    batch = batches_of("tictactoe", 1)[0]
    free, short = make_learner(max_gradient_norm=1e9), make_learner(max_gradient_norm=1e-3)
    told = [learner.train(batch).gradient_norm for learner in (free, short)]
    assert told[0] == pytest.approx(told[1])
    norms = [
        math.sqrt(sum(float(p.grad.square().sum()) for p in learner.network.parameters())) for learner in (free, short)
    ]
    assert norms[0] == pytest.approx(told[0], rel=1e-4)
    assert norms[1] == pytest.approx(1e-3, rel=1e-2)


def test_the_average_is_the_moving_average_of_the_steps():
    learner = make_learner(ema_decay=0.5)
    expected = {name: tensor.clone().double() for name, tensor in learner.network.state_dict().items()}
    for step, batch in enumerate(batches_of("tictactoe", 20)):
        learner.train(batch)
        decay = min(0.5, (step + 1) / (step + 10))  # 0.1, 0.18, ... up to 0.5 from the ninth step on
        for name, tensor in learner.network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
    found = learner.ema_network.state_dict()
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            assert found[name] == 20
        else:
            torch.testing.assert_close(found[name].double(), tensor, atol=1e-6, rtol=1e-5)
    assert not learner.ema_network.training
    assert not any(parameter.requires_grad for parameter in learner.ema_network.parameters())


@pytest.mark.parametrize("field", ["planes", "probabilities", "outcome"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_batch_with_nan_changes_no_weight(field, value):
    learner = make_learner()
    good = batches_of("tictactoe", 4)
    learner.train(good[0])
    before = state_of(learner)
    bad = Batch(*(array.copy() for array in good[1]))
    getattr(bad, field).reshape(-1)[0] = value
    losses = learner.train(bad)
    assert not math.isfinite(losses.total)
    assert_same_state(state_of(learner), before)
    assert learner.step == 2  # counted, so that the run goes on
    assert math.isfinite(learner.train(good[2]).total)
    assert all(tensor.isfinite().all() for tensor in state_of(learner).values())


# --- judging


def test_judge_gives_the_averaged_networks_probabilities():
    learner = make_learner("connect4")
    for batch in batches_of("connect4", 3):
        learner.train(batch)
    outcomes, policies = learner.predict(batch)
    assert (outcomes.shape, policies.shape) == ((32, 3), (32, 7))
    assert outcomes.dtype == policies.dtype == np.float32
    np.testing.assert_allclose(outcomes.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(policies.sum(1), 1, atol=1e-5)
    assert not policies[~dense(learner, batch)["legal"]].any()
    with torch.no_grad():
        outputs = learner.ema_network(torch.from_numpy(batch.planes))
    np.testing.assert_allclose(outcomes, torch.softmax(outputs.value, 1), atol=1e-5)
    logits = outputs.policy.numpy()
    for i in range(32):
        own = np.exp(logits[i]) * dense(learner, batch)["legal"][i]
        np.testing.assert_allclose(policies[i], own / own.sum(), atol=1e-5)
    before = state_of(learner)
    learner.predict(batch)
    assert_same_state(state_of(learner), before)


# --- put down and taken up again


@pytest.mark.parametrize("name", ["tictactoe", "connect4", "othello:4"])
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("muon_rate", [0.0, 0.05])
def test_goes_on_to_the_bit(tmp_path, name, bfloat16, muon_rate):
    batches = batches_of(name, 10)
    path = tmp_path / "learner.safetensors"

    def trained(learner, batches):
        learner._fast_bfloat16 = bfloat16
        return [learner.train(batch) for batch in batches]

    through = make_learner(name, muon_rate=muon_rate)
    expected = trained(through, batches)
    first = make_learner(name, muon_rate=muon_rate)
    losses = trained(first, batches[:5])
    first.save_state(path, {})
    second = make_learner(name, seed=99, muon_rate=muon_rate)  # whatever it begins with
    second.load_state(path)
    assert second.step == 5
    assert_same_state(state_of(second), state_of(first))
    losses += trained(second, batches[5:])
    assert losses == expected
    assert_same_state(state_of(second), state_of(through))


def test_the_optimizer_is_adamw(tmp_path):
    """Against torch's plain one, also from a state on disk, where tensors have lost their layout."""
    learner = make_learner("connect4", weight_decay=0.01, max_gradient_norm=1e9)
    twins = [p.detach().clone().contiguous().requires_grad_() for p in learner._parameters]
    decayed = [twin for twin in twins if twin.ndim > 1]
    rest = [twin for twin in twins if twin.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    plain = torch.optim.AdamW(groups, foreach=False, fused=False)
    for number, batch in enumerate(batches_of("connect4", 6)):
        if number == 3:
            learner.save_state(tmp_path / "state", {})
            other = make_learner("connect4", seed=9, weight_decay=0.01, max_gradient_norm=1e9)
            other.load_state(tmp_path / "state")
            learner = other
        for group in plain.param_groups:
            group["lr"] = learner.learning_rate
        learner.train(batch)
        for twin, parameter in zip(twins, learner._parameters, strict=True):
            twin.grad = parameter.grad.clone().contiguous()
        plain.step()
        for twin, parameter in zip(twins, learner._parameters, strict=True):
            torch.testing.assert_close(parameter.detach(), twin.detach(), atol=1e-6, rtol=1e-5)


def test_a_state_before_the_first_step(tmp_path):
    path = tmp_path / "learner.safetensors"
    fresh, other = make_learner(seed=1), make_learner(seed=2)
    fresh.save_state(path, {"games": 0})
    other.train(batches_of("tictactoe", 1)[0])
    assert other.load_state(path) == {"games": 0}
    assert other.step == 0
    assert_same_state(state_of(other), state_of(fresh))


def test_progress_is_kept_beside_the_weights(tmp_path):
    path = tmp_path / "learner.safetensors"
    progress = {"games": 12, "elapsed_s": 3.25, "strengths": [[1.0, 0.5, "gewinnt 50 %"]], "none": None}
    make_learner().save_state(path, progress)
    assert make_learner().load_state(path) == progress


def test_saving_changes_nothing(tmp_path):
    learner = make_learner()
    learner.train(batches_of("tictactoe", 1)[0])
    before = state_of(learner)
    learner.save_state(tmp_path / "one", {})
    assert_same_state(state_of(learner), before)
    learner.save_state(tmp_path / "two", {})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def refusal(learner, path):
    with pytest.raises(CheckpointError) as caught:
        learner.load_state(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    return message


@pytest.fixture
def state_file(tmp_path):
    learner = make_learner()
    learner.train(batches_of("tictactoe", 1)[0])
    learner.save_state(tmp_path / "learner.safetensors", {"games": 1})
    return tmp_path / "learner.safetensors"


def test_a_damaged_state_is_refused(state_file):
    learner, data = make_learner(), state_file.read_bytes()
    for length in (0, 5, 8, 100, len(data) // 2, len(data) - 1):
        state_file.write_bytes(data[:length])
        refusal(learner, state_file)
    random = np.random.default_rng(0)
    for place in random.integers(len(data), size=30):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        state_file.write_bytes(damaged)
        refusal(learner, state_file)
    state_file.unlink()
    assert "no such checkpoint" in refusal(learner, state_file)


def test_the_state_of_another_network_is_refused(state_file):
    for other in (
        make_learner(network=NetworkConfig(blocks=1, channels=16)),
        make_learner(network=NETWORK.model_copy(update={"channels": 32})),
        make_learner("connect4"),
    ):
        assert "does not hold the state of this run's learner" in refusal(other, state_file)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "keima-learner-9"},
        {"format": None},
        {"step": "many"},
        {"step": None},
        {"progress": 3},
        {"grown_at": None},
        {"grown_at": 5},
        {"segment_progress": "noon"},
        {"progress": None},
    ],
    ids=json.dumps,
)
def test_another_state_is_refused(state_file, change):
    tensors, values = read_tensors(state_file)
    write_tensors(state_file, tensors, values | change)
    refusal(make_learner(), state_file)
    write_tensors(state_file, tensors, {name: value for name, value in values.items() if name not in change})
    refusal(make_learner(), state_file)


def test_a_model_is_no_state(state_file):
    learner = make_learner()
    game = learner.game
    save_checkpoint(state_file, learner.ema_network, Metadata(game.label, game.rules_version, NETWORK.model_dump()))
    assert "does not hold the state" in refusal(learner, state_file)


def test_a_state_that_lacks_tensors_is_refused(state_file):
    tensors, values = read_tensors(state_file)
    for prefix in ("network.", "ema."):
        write_tensors(state_file, {n: t for n, t in tensors.items() if not n.startswith(prefix)}, values)
        refusal(make_learner(), state_file)
    for wrong in ({"optimizer.x.exp_avg": torch.zeros(1)}, {"optimizer.999.exp_avg": torch.zeros(1)}):
        write_tensors(state_file, tensors | wrong, values)
        refusal(make_learner(), state_file)
    for name in ("optimizer.0.exp_avg", "optimizer.0.exp_avg_sq", "optimizer.0.step"):
        write_tensors(state_file, {n: t for n, t in tensors.items() if n != name}, values)
        refusal(make_learner(), state_file)
    write_tensors(state_file, tensors | {"optimizer.0.exp_avg": torch.zeros(1)}, values)
    refusal(make_learner(), state_file)


def test_muon_trains_what_is_normalized_and_adamw_the_rest(tmp_path):
    learner = make_learner("connect4", learning_rate=0.01, muon_rate=0.05, warmup_steps=4)
    assert make_learner("connect4").muon is None
    filters = learner.muon.param_groups[0]["params"]
    assert {tuple(p.shape[2:]) for p in filters} == {(1, 1), (3, 3)}
    by_adamw = [p for group in learner.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in filters} | {id(p) for p in by_adamw} == {id(p) for p in learner.network.parameters()}
    assert len(filters) + len(by_adamw) == len(list(learner.network.parameters()))
    lengths = [p.detach().norm().item() for p in filters]
    before = [p.detach().clone() for p in filters]
    first, second = batches_of("connect4", 2)
    learner.train(first)
    assert learner.muon.param_groups[0]["lr"] == pytest.approx(0.0125)  # warms up as AdamW's does
    learner.train(second)
    assert learner.muon.param_groups[0]["lr"] == pytest.approx(0.025)
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(0.005)
    assert [p.detach().norm().item() for p in filters] == pytest.approx(lengths, rel=1e-5)
    assert not any(torch.equal(p.detach(), old) for p, old in zip(filters, before, strict=True))
    # A state without what Muon remembers is that of another learner.
    learner.save_state(tmp_path / "state", {})
    assert "an optimizer of" in refusal(make_learner("connect4"), tmp_path / "state")
    tensors, values = read_tensors(tmp_path / "state")
    del tensors["muon.0.momentum"]
    write_tensors(tmp_path / "state", tensors, values)
    assert "momentum" in refusal(make_learner("connect4", muon_rate=0.05), tmp_path / "state")
