"""Growth: the larger network says what the smaller one said, learns with all it has, and goes on to the bit."""

import copy

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.nets.checkpoint import CheckpointError, Metadata, load_checkpoint, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.selfplay.config.schema import GrowthConfig, LearnerConfig, RunConfig, TrainConfig
from keima.selfplay.learning.growth import TEACHER_SHARE, grow, mix_in_answers
from keima.selfplay.learning.learner import Learner
from keima.selfplay.replay.sampling import Sampler
from keima.selfplay.replay.window import ReplayWindow
from tests.selfplay.fake_actors import tictactoe_segment

SMALL = NetworkConfig(blocks=2, channels=8, pooled_channels=12, policy_channels=4, value_channels=3, value_hidden=16)
GROWTH = GrowthConfig(at_progress=0.5, blocks=3, channels=12, distill_steps=4)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def used_network(game, config=SMALL):
    """A network none of whose weights are as they are made."""
    torch.manual_seed(1)
    network = Network(game, config)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_var", "norm.weight")):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.3)
    return network


@pytest.mark.parametrize("name", ["tictactoe", "connect4", "othello:6", "breakthrough:5,5"])
@pytest.mark.parametrize(
    "larger", [{"blocks": 5}, {"channels": 20}, {"blocks": 4, "channels": 9}], ids=["deeper", "wider", "both"]
)
def test_a_grown_network_says_the_same(name, larger):
    game = games.load(name)
    config = SMALL.model_copy(update={"opponent_policy_head": True, "soft_policy_head": True})
    network = used_network(game, config)
    before = copy.deepcopy(network.state_dict())
    grown = grow(network, game, config.model_copy(update=larger), seed=3)
    assert grown.num_parameters > network.num_parameters
    planes = torch.rand(9, game.num_planes, *game.shape)
    for mode in ("eval", "train"):
        one, other = getattr(network, mode)(), getattr(grown, mode)()
        with torch.no_grad():
            for own, found in zip(one(planes), other(planes), strict=True):
                if own is not None:
                    torch.testing.assert_close(found, own, atol=2e-4, rtol=1e-3)
        network.load_state_dict(before)
    again = grow(network, game, config.model_copy(update=larger), seed=3).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in before.items() if again[name].shape == tensor.shape)


def test_a_grown_network_says_the_same_on_every_board_of_a_mixture():
    """Go's, with ownership and score, trained on two boards at once."""
    first, other = games.load("go:4"), games.load("go:6")
    network = used_network(first)
    grown = grow(network, first, SMALL.model_copy(update={"blocks": 4, "channels": 12}), seed=3)
    for game in (first, other):
        planes = torch.rand(5, game.num_planes, *game.shape)
        with torch.no_grad():
            for own, found in zip(network.eval()(planes), grown.eval()(planes), strict=True):
                assert (own is None) == (found is None)
                if own is not None:
                    torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-4)


def test_everything_that_is_new_learns():
    game = games.load("connect4")
    grown = grow(used_network(game), game, SMALL.model_copy(update={"blocks": 4, "channels": 12}), seed=0).train()
    start = {name: p.detach().clone() for name, p in grown.named_parameters()}
    optimizer = torch.optim.SGD(grown.parameters(), lr=0.1)
    random = torch.Generator().manual_seed(0)
    for _ in range(3):
        outputs = grown(torch.rand(32, game.num_planes, *game.shape, generator=random))
        optimizer.zero_grad()
        (outputs.policy.square().mean() + outputs.value.square().mean()).backward()
        optimizer.step()
    for name, parameter in grown.named_parameters():
        moved = (
            (parameter.detach() - start[name]).abs().flatten(1).sum(1)
            if parameter.ndim > 1
            else parameter - start[name]
        )
        assert (moved != 0).float().mean() > 0.9, name


def test_the_seed_alone_makes_what_is_new():
    game, config = games.load("tictactoe"), SMALL.model_copy(update={"channels": 16})
    network = used_network(game)
    one = grow(network, game, config, seed=5).state_dict()
    torch.rand(10)
    state = torch.get_rng_state()
    other = grow(network, game, config, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], other[name]) for name in one)
    third = grow(network, game, config, seed=6).state_dict()
    assert not torch.equal(one["stem.convolution.weight"], third["stem.convolution.weight"])


# --- in the learner


def make_learner(growth=GROWTH, seed=0, max_steps=0, **options):
    learner = LearnerConfig(warmup_steps=3, **options)
    run = RunConfig(max_steps=max_steps)
    config = TrainConfig(game="tictactoe", seed=seed, network=SMALL, growth=growth, learner=learner, run=run)
    return Learner(games.load("tictactoe"), config)


def batches(count):
    window = ReplayWindow()
    window.append(tictactoe_segment((1,)))
    sampler = Sampler(games.load("tictactoe"), seed=0)
    return [sampler.draw(window.views(), step, 32) for step in range(count)]


def state_of(learner):
    found = {f"network.{n}": t for n, t in learner.network.state_dict().items()}
    found |= {f"ema.{n}": t for n, t in learner.ema_network.state_dict().items()}
    if learner.teacher is not None:
        found |= {f"teacher.{n}": t for n, t in learner.teacher.state_dict().items()}
    for kind, optimizer in learner.optimizers().items():
        for index, parts in optimizer.state_dict()["state"].items():
            found |= {f"{kind}.{index}.{n}": t for n, t in parts.items()}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def assert_same_state(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_learner_grows_once_when_its_share_is_reached():
    learner = make_learner()
    given = batches(12)
    for share, batch in zip((0.0, 0.2, 0.4999), given, strict=False):
        assert not learner.begin_segment(share)
        learner.train(batch)
    small = learner.ema_network
    answers = learner.predict(given[0])
    assert learner.begin_segment(0.5)
    assert (learner.network.config.blocks, learner.network.config.channels) == (3, 12)
    assert learner.acting_network is learner.teacher is small
    assert learner.grown_at == 3
    for found, expected in zip(learner.predict(given[0]), answers, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    rates = []
    for number, batch in enumerate(given[3:7]):
        assert learner.acting_network is small, number
        rates.append(learner.learning_rate / learner.config.learner.learning_rate)
        learner.train(batch)
    np.testing.assert_allclose(rates, [1 / 3, 2 / 3, 1, 1])  # a new optimizer warms up
    assert learner.teacher is None
    assert learner.acting_network is learner.ema_network
    assert not learner.begin_segment(0.9)
    assert not learner.begin_segment(0.1)  # more minutes: it does not shrink, and does not grow again
    assert not learner.begin_segment(0.6)


def test_without_distilling_the_larger_network_plays_at_once():
    learner = make_learner(GROWTH.model_copy(update={"distill_steps": 0}))
    learner.train(batches(1)[0])
    assert learner.begin_segment(0.7)
    assert learner.teacher is None
    assert learner.acting_network is learner.ema_network
    assert learner.acting_network.config.channels == 12


def test_no_growth_without_being_asked():
    learner = make_learner(GrowthConfig(blocks=3))
    assert not learner.begin_segment(1.0)


def test_steps_may_bring_the_growth_too():
    learner = make_learner(max_steps=4)
    given = batches(2)
    learner.train(given[0])
    assert not learner.begin_segment(0.01)
    learner.train(given[1])
    assert learner.begin_segment(0.01)


def test_the_teachers_answers_are_half_of_the_targets():
    game, batch = games.load("tictactoe"), batches(1)[0]
    teacher = used_network(game).eval()
    targets, planes = make_learner().targets(batch), torch.from_numpy(batch.planes)
    before = targets["policy"].clone().numpy()
    mix_in_answers(targets, teacher, planes)
    outputs = teacher(planes)
    logits = outputs.policy.detach().numpy().astype(float)
    for i in range(len(planes)):
        answers = np.exp(logits[i]) * batch.legal(game.num_actions)[i]
        expected = (1 - TEACHER_SHARE) * before[i] + TEACHER_SHARE * answers / answers.sum()
        np.testing.assert_allclose(targets["policy"][i], expected, atol=1e-5)
    outcome = torch.softmax(outputs.value, 1).detach().numpy()
    np.testing.assert_allclose(targets["outcome"], 0.5 * batch.outcome + 0.5 * outcome, atol=1e-5)
    np.testing.assert_array_equal(batch.policy(game.num_actions), before)  # the batch is as it was


@pytest.mark.parametrize("muon_rate", [0.0, 0.05])
@pytest.mark.parametrize("stop", range(9))
def test_goes_on_to_the_bit_wherever_it_is_put_down(tmp_path, stop, muon_rate):
    given, shares = batches(8), [0.1, 0.3, 0.5, 0.6, 0.6, 0.7, 0.8, 0.9]
    path = tmp_path / "state"

    def fold(learner, first, last):
        for number in range(first, last):
            learner.begin_segment(shares[number])
            learner.train(given[number])

    through = make_learner(muon_rate=muon_rate)
    fold(through, 0, 8)
    first = make_learner(muon_rate=muon_rate)
    fold(first, 0, stop)
    if stop < 8:
        first.begin_segment(shares[stop])  # put down in the middle of a segment
    first.save_state(path, {})
    second = make_learner(seed=99, muon_rate=muon_rate)
    second.load_state(path)
    second.config = second.config.model_copy(update={"seed": 0})
    assert (second.grown_at, second.segment_progress) == (first.grown_at, first.segment_progress)
    assert_same_state(state_of(second), state_of(first))
    for number in range(stop, 8):
        if number > stop:
            second.begin_segment(shares[number])
        second.train(given[number])
    assert_same_state(state_of(second), state_of(through))


def test_a_state_of_other_sizes_is_refused(tmp_path):
    learner = make_learner()
    learner.begin_segment(0.5)
    learner.save_state(tmp_path / "state", {})
    other = make_learner(GROWTH.model_copy(update={"channels": 16}))
    with pytest.raises(CheckpointError, match="does not hold the state of this run's learner"):
        other.load_state(tmp_path / "state")


def test_a_checkpoint_says_which_network_it_holds(tmp_path):
    learner = make_learner(GROWTH.model_copy(update={"distill_steps": 0}))
    learner.begin_segment(0.5)
    game, path = learner.game, tmp_path / "model.safetensors"
    metadata = Metadata(game.label, game.rules_version, learner.acting_network.config.model_dump())
    save_checkpoint(path, learner.acting_network, metadata)
    loaded = load_checkpoint(path, game).network
    assert loaded.config == learner.network.config
    assert all(torch.equal(t, learner.ema_network.state_dict()[n]) for n, t in loaded.state_dict().items())
