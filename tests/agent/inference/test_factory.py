"""The evaluator against the network it holds: types, precision, fresh weights, batches of any size."""

import importlib.util

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.inference import factory, torch_evaluator
from keima.agent.inference.factory import BACKENDS, available_backends, default_backend, make_evaluator
from keima.agent.inference.outcome_judge import OutcomeJudge
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.inference.torch_evaluator import TorchEvaluator, default_device, has_fast_bfloat16
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import ONGOING, GameError

SMALL = NetworkConfig(blocks=2, channels=16)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of so small a network wait for each other
    yield
    torch.set_num_threads(threads)


def make_network(game, seed=0):
    torch.manual_seed(seed)
    network = Network(game, SMALL)
    network(torch.from_numpy(random_planes(game, 64, seed)))  # in training mode: the normalizations see something
    return network


def random_planes(game, count, seed=0):
    """Planes [count, C, H, W] of random positions."""
    random = np.random.default_rng(seed)
    planes = []
    while len(planes) < count:
        state = game.new_state()
        for _ in range(random.integers(20)):
            if game.outcome(state) == ONGOING:
                state = game.after(state, int(random.choice(game.legal(state))))
        planes.append(game.planes(state))
    return np.stack(planes)


def expected_answers(network, planes):
    """What the network itself says in evaluation mode."""
    training = network.training
    with torch.no_grad():
        logits, values = network.eval().judge(torch.from_numpy(planes))
    network.train(training)
    return logits.numpy(), values.numpy()


@pytest.mark.parametrize("name", ["connect4", "othello:6", "breakthrough:5,5"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("count", [1, 3, 64])
def test_answers_are_what_the_compiled_search_takes(name, channels_last, count):
    game = games.load(name)
    network = make_network(game)
    if channels_last:  # as a learner's network lies in memory
        network.to(memory_format=torch.channels_last)
    for evaluator in (TorchEvaluator(network), TorchEvaluator(network, CPU, torch.float32)):
        logits, values = evaluator(random_planes(game, count))
        assert (logits.shape, values.shape) == ((count, game.num_actions), (count,))
        for array in (logits, values):
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
        assert np.abs(values).max() <= 1


@pytest.mark.parametrize("name", ["connect4", "othello:6"])
def test_float32_is_the_network(name):
    game = games.load(name)
    network = make_network(game)
    planes = random_planes(game, 100)
    found = TorchEvaluator(network, CPU, torch.float32)(planes)
    for own, expected in zip(found, expected_answers(network, planes), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)


def test_the_score_is_part_of_the_values():
    game = games.load("go:5")
    network, planes = make_network(game), random_planes(game, 30)
    plain = TorchEvaluator(network, CPU, torch.float32)
    network.score_weight = 0.6
    evaluator = TorchEvaluator(network, CPU, torch.float32)
    assert (plain.score_weight, evaluator.score_weight) == (0, 0.6)
    values = evaluator(planes)[1]
    np.testing.assert_allclose(values, expected_answers(network, planes)[1], atol=1e-5)
    assert np.abs(values - plain(planes)[1]).max() > 0.01


@pytest.mark.parametrize("name", ["connect4", "othello:6"])
def test_bfloat16_is_nearly_the_network(name):
    game = games.load(name)
    network = make_network(game)
    planes = random_planes(game, 200)
    logits, values = TorchEvaluator(network, CPU, torch.bfloat16)(planes)
    expected_logits, expected_values = expected_answers(network, planes)
    np.testing.assert_allclose(values, expected_values, atol=0.03)
    np.testing.assert_allclose(logits, expected_logits, atol=0.1)
    assert np.abs(logits - expected_logits).max() > 0  # it is another arithmetic


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_a_position_is_judged_alike_in_any_company(dtype, tolerance):
    game = games.load("connect4")
    evaluator = TorchEvaluator(make_network(game), CPU, dtype)
    planes = random_planes(game, 48)
    together = evaluator(planes)
    for size in (1, 5, 17):
        for start in range(0, 48, size):
            part = evaluator(planes[start : start + size])
            for own, whole in zip(part, together, strict=True):
                np.testing.assert_allclose(own, whole[start : start + size], atol=tolerance)


def test_the_same_batch_gives_the_same_bits():
    game = games.load("connect4")
    network, planes = make_network(game), random_planes(game, 33)
    first, second = TorchEvaluator(network)(planes), TorchEvaluator(network)(planes)
    for own, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(own, other)


def test_update_takes_the_weights_as_they_are_and_nothing_later():
    game = games.load("connect4")
    network, planes = make_network(game), random_planes(game, 8)
    evaluator = TorchEvaluator(network, CPU, torch.float32)
    before = evaluator(planes)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    np.testing.assert_array_equal(evaluator(planes)[0], before[0])  # its own copy
    evaluator.update(network)
    np.testing.assert_allclose(evaluator(planes)[0], expected_answers(network, planes)[0], atol=1e-5)
    assert np.abs(evaluator(planes)[0] - before[0]).max() > 1e-3
    other = make_network(game, seed=1)
    evaluator.update(other)
    np.testing.assert_allclose(evaluator(planes)[1], expected_answers(other, planes)[1], atol=1e-5)


def test_answers_are_no_views_of_what_the_next_call_overwrites():
    game = games.load("connect4")
    for backend in available_backends():
        evaluator = make_evaluator(game, make_network(game), backend)
        planes = random_planes(game, 8)
        logits, values = evaluator(planes)
        kept = logits.copy(), values.copy()
        planes[:] = 0
        evaluator(planes)
        np.testing.assert_array_equal(logits, kept[0])
        np.testing.assert_array_equal(values, kept[1])


def test_the_network_is_left_in_training():
    game = games.load("connect4")
    network = make_network(game)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    TorchEvaluator(network)(random_planes(game, 16))
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("head", ["policy", "value"])
def test_answers_that_are_no_numbers_are_an_error(head):
    game = games.load("connect4")
    network = make_network(game)
    weight = network.policy.dense.bias if head == "policy" else network.value.outcome.bias
    weight.data[0] = float("nan")
    with pytest.raises(GameError, match="not numbers"):
        TorchEvaluator(network)(random_planes(game, 4))


def test_precision_follows_the_processor(monkeypatch):
    network = make_network(games.load("tictactoe"))
    for fast, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        for module in (torch_evaluator, factory):
            monkeypatch.setattr(module, "has_fast_bfloat16", lambda device, fast=fast: fast)
        assert TorchEvaluator(network).dtype == dtype
        assert ("torch-bf16" in available_backends()) is fast
        assert ("openvino-bf16" in available_backends()) is fast
        assert "torch-f32" in available_backends()


def test_every_backend_that_is_available_works_and_says_its_name():
    game = games.load("connect4")
    network, planes = make_network(game), random_planes(game, 32)
    expected = expected_answers(network, planes)
    assert set(available_backends()) <= set(BACKENDS)
    for backend in available_backends():
        evaluator = make_evaluator(game, network, backend, batch_size=16)
        assert evaluator.backend == backend
        for own, right in zip(evaluator(planes), expected, strict=True):
            np.testing.assert_allclose(own, right, atol=0.2)
    assert make_evaluator(game, network).backend == default_backend()


def test_the_default_is_as_precise_as_is_fast(monkeypatch):
    for there, expected in (
        (["torch-f32", "openvino-f32", "openvino-int8"], "openvino-f32"),
        (["torch-f32", "torch-bf16", "openvino-f32", "openvino-bf16", "openvino-int8"], "openvino-bf16"),
        (["torch-f32", "torch-bf16"], "torch-bf16"),
        (["torch-f32", "openvino-f32", "cuda-f16"], "cuda-f16"),
    ):
        monkeypatch.setattr(factory, "available_backends", lambda there=there: there)
        assert default_backend() == expected


def test_a_backend_that_is_not_there_is_an_error(monkeypatch):
    game = games.load("tictactoe")
    monkeypatch.setattr(factory, "available_backends", lambda: ["torch-f32"])
    with pytest.raises(GameError, match="backend openvino-int8 cannot run here: expected one of torch-f32"):
        make_evaluator(game, make_network(game), "openvino-int8")
    with pytest.raises(GameError, match="backend tpu is none of Keima's"):
        make_evaluator(game, make_network(game), "tpu")


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
@pytest.mark.parametrize("name", ["connect4", "othello:6"])
def test_outcomes_are_the_value_head_s_and_agree_with_the_values(name, runtime, monkeypatch):
    if runtime == "torch":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    game = games.load(name)
    network, planes = make_network(game), random_planes(game, 50)
    outcomes = OutcomeJudge(game, network, at_once=16)(planes)
    with torch.inference_mode():
        expected = torch.softmax(network.eval()(torch.from_numpy(planes)).value, 1).numpy()
    assert outcomes.shape == (50, 3)
    np.testing.assert_allclose(outcomes, expected, atol=1e-5)
    _, values = TorchEvaluator(network, CPU, torch.float32)(planes)
    np.testing.assert_allclose(outcomes[:, 0] - outcomes[:, 2], values, atol=1e-5)


def test_outcomes_that_are_not_numbers_are_said():
    game = games.load("connect4")
    network = make_network(game)
    with torch.no_grad():
        network.value.outcome.bias[0] = float("nan")
    with pytest.raises(GameError, match="not numbers"):
        OutcomeJudge(game, network)(random_planes(game, 2))


def test_without_openvino_torch_does_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert all(backend.startswith(("torch", "cuda")) for backend in available_backends())
    assert default_backend() in available_backends()


@pytest.mark.parametrize("name", ["tictactoe", "connect4", "othello:6"])
def test_random_positions_are_the_game_s(name):
    game = games.load(name)
    planes = random_positions_planes(game, 100, seed=1)
    assert planes.shape == (100, game.num_planes, *game.shape)
    assert planes.dtype == np.float32
    assert np.isfinite(planes).all()
    assert len(np.unique(planes.reshape(100, -1), axis=0)) > 50
    np.testing.assert_array_equal(planes, random_positions_planes(game, 100, seed=1))


@pytest.mark.parametrize(
    ("capability", "flags", "fast"),
    [
        ("AVX512", {"avx512f", "avx512_bf16"}, True),
        ("AVX512", {"avx512f", "amx_bf16"}, True),
        ("AVX512", {"avx512f"}, False),
        ("AVX2", {"avx2"}, False),
        ("AVX2", {"avx512_bf16"}, False),  # torch was told to do without
        ("DEFAULT", set(), False),
    ],
)
def test_bfloat16_only_where_it_has_instructions(monkeypatch, capability, flags, fast):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch_evaluator, "_cpu_flags", lambda: flags)
    assert has_fast_bfloat16(CPU) is fast


def test_the_device_is_the_gpu_where_there_is_one(monkeypatch):
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert default_device().type == kind
