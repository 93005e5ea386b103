"""The graph against the network it is written from, in every precision; quantization against a twin made of torch."""

import copy

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.inference import openvino_evaluator as openvino_inference
from keima.agent.inference.openvino_evaluator import (
    RECALIBRATE_AT,
    REMEMBER_EVERY,
    OpenVinoEvaluator,
    activation_ranges,
)
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import GameError

GAMES = ["tictactoe", "connect4", "othello:6", "gomoku:7", "hex:5", "breakthrough:5,5"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_network(game, **sizes):
    """A network whose normalizations and biases are not those it begins with."""
    torch.manual_seed(3)
    network = Network(game, NetworkConfig(**{"blocks": 2, "channels": 16, **sizes}))
    planes = torch.from_numpy(random_positions_planes(game, 128))
    for _ in range(3):
        network(planes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def answers_of(network, planes):
    with torch.inference_mode():
        logits, values = network.judge(torch.from_numpy(planes))
    return logits.numpy(), values.numpy()


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("sizes", [{}, {"global_pooling_every": 0, "blocks": 1}, {"global_pooling_every": 1}], ids=str)
def test_float32_is_the_network(name, sizes):
    game = games.load(name)
    network = make_network(game, **sizes)
    planes = random_positions_planes(game, 40, seed=1)
    found = OpenVinoEvaluator(game, network, "f32")(planes)
    for own, expected in zip(found, answers_of(network, planes), strict=True):
        assert own.shape == expected.shape
        assert own.dtype == np.float32
        np.testing.assert_allclose(own, expected, atol=2e-4)


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8"])
@pytest.mark.parametrize("name", ["othello:6", "go:5"])
def test_the_score_is_part_of_the_values(name, precision):
    game = games.load(name)
    network = make_network(game, channels=32)
    planes = random_positions_planes(game, 40, seed=1)
    network.score_weight = 0.5
    evaluator = OpenVinoEvaluator(game, network, precision)
    assert evaluator.score_weight == 0.5
    difference = np.abs(evaluator(planes)[1] - answers_of(network, planes)[1]).mean()
    assert difference < (1e-5 if precision == "f32" else 0.03)
    network.score_weight = 0.0
    evaluator.update(network)
    assert evaluator.score_weight == 0
    difference = np.abs(evaluator(planes)[1] - answers_of(network, planes)[1]).mean()
    assert difference < (1e-5 if precision == "f32" else 0.03)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("name", ["connect4", "othello:6"])
def test_lower_precision_is_nearly_the_network(name, precision):
    game = games.load(name)
    network = make_network(game, channels=32)
    planes = random_positions_planes(game, 300, seed=1)
    logits, values = OpenVinoEvaluator(game, network, precision)(planes)
    expected_logits, expected_values = answers_of(network, planes)
    spread = expected_logits.std()
    assert 0 < np.abs(logits - expected_logits).mean() < 0.05 * spread
    assert np.abs(values - expected_values).mean() < 0.03


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_any_number_of_positions(precision):
    game = games.load("connect4")
    evaluator = OpenVinoEvaluator(game, make_network(game), precision, batch_size=16)
    planes = random_positions_planes(game, 48, seed=1)
    whole = evaluator(planes)
    for size in (1, 5, 16):
        for start in range(0, 48 - size + 1, size):
            for own, all_of_them in zip(evaluator(planes[start : start + size]), whole, strict=True):
                np.testing.assert_allclose(own, all_of_them[start : start + size], atol=0.02)


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_update_takes_the_weights_as_they_are_and_other_sizes_too(precision):
    game = games.load("connect4")
    network = make_network(game)
    planes = random_positions_planes(game, 16, seed=1)
    evaluator = OpenVinoEvaluator(game, network, precision, batch_size=16)
    before = evaluator(planes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.05)
    np.testing.assert_array_equal(evaluator(planes)[0], before[0])  # its own copy
    for changed in (network, make_network(game, blocks=3, channels=24)):
        evaluator.update(changed)
        logits, _ = evaluator(planes)
        np.testing.assert_allclose(logits, answers_of(changed, planes)[0], atol=0.15 if precision == "int8" else 2e-4)


def test_quantization_is_what_it_says(monkeypatch):
    """The 8-bit graph against torch with weights and activations rounded in the same places."""
    game = games.load("connect4")
    network = make_network(game, channels=32)
    monkeypatch.setattr(openvino_inference, "has_fast_bfloat16", lambda device: False)  # else the rest is rounded too
    evaluator = OpenVinoEvaluator(game, network, "int8")
    planes = random_positions_planes(game, 200, seed=1)

    twin = network.for_inference()
    ranges = activation_ranges(twin, random_positions_planes(game, openvino_inference.CALIBRATION_POSITIONS))
    assert len(ranges) == 2 * network.config.blocks
    assert all(low <= 0 or low >= 0 for low, _ in ranges.values())

    def rounded(x, low, high):
        steps = max(-low / 128, high / 127) if low < 0 else high / 255
        lowest, highest = (-128, 127) if low < 0 else (0, 255)
        return (x / steps).round().clamp(lowest, highest) * steps

    for name, block in twin.blocks.named_children():
        for part in (block.first, block.second):
            weight = part.convolution.weight
            step = weight.abs().amax((1, 2, 3), keepdim=True) / 127
            weight.copy_((weight / step).round() * step)
        ranges_of_block = ranges[f"{name}.first"], ranges[f"{name}.second"]
        # The shortcut carries the rounded input too.
        block.register_forward_pre_hook(lambda _, x, bounds=ranges_of_block[0]: (rounded(x[0], *bounds),))
        block.second.convolution.register_forward_pre_hook(
            lambda _, x, bounds=ranges_of_block[1]: (rounded(x[0], *bounds),)
        )
    logits, values = evaluator(planes)
    exact_logits, exact_values = answers_of(network, planes)
    twin_logits, twin_values = answers_of(twin, planes)
    # A value that lies between two steps may be rounded either way: so not to the bit, but far closer than the network.
    assert np.abs(logits - twin_logits).mean() < 0.15 * np.abs(logits - exact_logits).mean()
    assert np.abs(values - twin_values).mean() < 0.15 * np.abs(values - exact_values).mean()


def test_ranges_hold_what_goes_into_each_convolution():
    game = games.load("othello:6")
    network = make_network(game, global_pooling_every=1).for_inference()
    planes = random_positions_planes(game, 64)
    ranges = activation_ranges(network, planes)
    x = torch.relu(network.stem(torch.from_numpy(planes)))
    for index, block in enumerate(network.blocks):
        assert ranges[f"{index}.first"] == (float(x.min()), float(x.max()))
        x = block(x)
    assert any(
        ranges[f"{index}.second"][0] < 0 for index in range(len(network.blocks))
    )  # a pooled bias may be negative
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_calibration_remembers_what_was_asked():
    game = games.load("connect4")
    evaluator = OpenVinoEvaluator(game, make_network(game), "int8", batch_size=8)
    asked = random_positions_planes(game, 8 * (REMEMBER_EVERY + 1), seed=5)
    for start in range(0, len(asked), 8):
        evaluator(asked[start : start + 8])
    np.testing.assert_array_equal(evaluator._positions[:8], asked[-8:])


def test_ranges_are_looked_at_again_once_the_weights_have_moved():
    game = games.load("connect4")
    network = make_network(game)
    evaluator = OpenVinoEvaluator(game, network, "int8", batch_size=8)
    first = evaluator._ranges
    planes = random_positions_planes(game, 8, seed=2)
    before, _ = evaluator(planes)

    def scaled(factor):
        """The network with its tower's weights, once folded, so many times as large."""
        larger = copy.deepcopy(network)
        for part in (larger.stem, larger.blocks):
            for name, parameter in part.named_parameters():
                if not name.endswith("convolution.weight"):  # these are scaled by their normalization's
                    parameter.data *= factor
        return larger

    evaluator.update(scaled(1 + RECALIBRATE_AT / 2))
    assert evaluator._ranges is first
    logits, _ = evaluator(planes)  # the weights are the new ones all the same
    assert not np.array_equal(logits, before)
    # What has moved little by little since the ranges were seen has moved, too.
    evaluator.update(scaled(1 + 0.9 * RECALIBRATE_AT))
    assert evaluator._ranges is first
    evaluator.update(scaled(1 + 1.1 * RECALIBRATE_AT))
    assert evaluator._ranges is not first
    evaluator.update(make_network(game, blocks=1))
    assert len(evaluator._ranges) == 2


@pytest.mark.parametrize("head", ["policy", "value"])
def test_answers_that_are_no_numbers_are_an_error(head):
    game = games.load("connect4")
    network = make_network(game)
    layer = network.policy.dense if head == "policy" else network.value.outcome
    layer.bias.data[0] = float("nan")
    with pytest.raises(GameError, match="not numbers"):
        OpenVinoEvaluator(game, network, "f32")(random_positions_planes(game, 4))


def test_the_time_of_every_layer_is_told():
    game = games.load("tictactoe")
    torch.manual_seed(0)
    evaluator = OpenVinoEvaluator(game, Network(game, NetworkConfig(blocks=2, channels=8)).eval(), "f32")
    layers = evaluator.layer_times(random_positions_planes(game, 16), calls=3)
    assert sum(layer.kind == "Convolution" for layer in layers) >= 5  # the stem's, and two a block
    times = [layer.microseconds for layer in layers]
    assert times == sorted(times, reverse=True)
    assert times[0] > 0
    assert len({layer.name for layer in layers}) == len(layers)
