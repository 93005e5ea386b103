"""The evaluator for a GPU: its packing and its staging_buffers on the processor, the rest where there is a GPU."""

import threading

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.inference.cuda_evaluator import CudaEvaluator, pack_bits, prepared, unpack_bits
from keima.agent.inference.factory import make_evaluator
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.inference.torch_evaluator import TorchEvaluator
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import GameError

CPU, GPU = torch.device("cpu"), torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]

SMALL = NetworkConfig(blocks=2, channels=16)
GAMES = ["tictactoe", "connect4", "othello:6", "breakthrough:5,5", "gomoku:7", "hex:5"]


def make_network(game, seed=0, config=SMALL) -> Network:
    torch.manual_seed(seed)
    network = Network(game, config)
    network(torch.from_numpy(random_positions_planes(game, 64, seed)))  # the normalizations see something
    return network


def make_cuda_evaluator(game, network, batch_size=32, device=CPU, precision="f32", **options) -> CudaEvaluator:
    return CudaEvaluator(game, network, precision, batch_size, device=device, **options)


def float32(network):
    """The evaluator whose answers are right."""
    return TorchEvaluator(network, CPU, torch.float32)


def assert_same(found, expected, tolerance=1e-4):
    for own, right in zip(found, expected, strict=True):
        assert own.dtype == np.float32
        assert own.flags.c_contiguous
        assert own.shape == right.shape
        np.testing.assert_allclose(own, right, atol=tolerance)


# --- bits


def naively_packed(rows) -> np.ndarray:
    """[N, V] of 0 and 1 -> [N, ceil(V / 8)]."""
    packed = np.zeros((len(rows), -(-rows.shape[1] // 8)), np.uint8)
    for i, row in enumerate(rows):
        for k, value in enumerate(row):
            if value:
                packed[i, k // 8] |= 1 << k % 8
    return packed


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 31, 84, 128])
def test_bits_are_packed_as_a_plain_loop_would_and_unpacked_to_what_they_were(size):
    rows = (np.random.default_rng(size).random((5, size)) < 0.4).astype(np.float32)
    packed = np.full((5, -(-size // 8)), 0xAA, np.uint8)  # whatever was there before
    assert pack_bits(rows.view(np.uint32), packed)
    np.testing.assert_array_equal(packed, naively_packed(rows))
    unpacked = unpack_bits(torch.from_numpy(packed), (size, 1, 1))
    assert unpacked.shape == (5, size, 1, 1)
    np.testing.assert_array_equal(unpacked.numpy().reshape(5, size), rows)


@pytest.mark.parametrize("size", [3, 8, 20])
@pytest.mark.parametrize("other", [0.5, -1.0, 2.0, 1.5, -0.0, 1e-30, np.nan, np.inf, np.nextafter(np.float32(1), 2)])
def test_any_other_value_anywhere_is_noticed(size, other):
    packed = np.zeros((2, -(-size // 8)), np.uint8)
    for place in range(2 * size):
        rows = np.ones((2, size), np.float32)
        rows.reshape(-1)[place] = other
        assert not pack_bits(rows.view(np.uint32), packed)


@pytest.mark.parametrize("name", GAMES)
def test_games_planes_survive_packing(name):
    game = games.load(name)
    planes = random_positions_planes(game, 40)
    values = planes[0].size
    packed = np.zeros((40, -(-values // 8)), np.uint8)
    assert pack_bits(planes.reshape(40, -1).view(np.uint32), packed)
    np.testing.assert_array_equal(unpack_bits(torch.from_numpy(packed), planes.shape[1:]).numpy(), planes)


# --- answers


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", GAMES)
def test_answers_are_the_networks(name, device):
    game = games.load(name)
    network, planes = make_network(game), random_positions_planes(game, 100)
    evaluator = make_cuda_evaluator(game, network, device=torch.device(device))
    for count in (32, 1, 31, 33, 100, 32):  # the batch's size, part of it, several and what is left
        # cuDNN's convolutions of float32 may round as TF32 does.
        assert_same(evaluator(planes[:count]), float32(network)(planes[:count]), 1e-5 if device == "cpu" else 5e-3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_lower_precisions_are_nearly_the_network(precision, device):
    game = games.load("connect4")
    network, planes = make_network(game), random_positions_planes(game, 64)
    evaluator = make_cuda_evaluator(game, network, 64, torch.device(device), precision)
    assert evaluator.backend == f"{'cuda' if device == 'cuda' else 'torch'}-{precision}"
    found = evaluator(planes)
    assert_same(found, float32(network)(planes), 0.1)
    assert np.abs(found[0] - float32(network)(planes)[0]).max() > 0  # it is another arithmetic


@pytest.mark.parametrize("device", DEVICES)
def test_planes_of_other_values_are_sent_as_they_are_from_then_on(device):
    game = games.load("connect4")
    network, planes = make_network(game), random_positions_planes(game, 32)
    evaluator = make_cuda_evaluator(game, network, 32, torch.device(device))
    shaded = planes * np.float32(0.37)
    tolerance = 1e-5 if device == "cpu" else 5e-3
    evaluator.submit(planes)  # on its way while the next batch turns out to be another kind
    for batch in (shaded, planes, shaded):
        evaluator.submit(batch)
        before = planes if batch is shaded else shaded
        assert_same(evaluator.collect(), float32(network)(before), tolerance)
    assert_same(evaluator.collect(), float32(network)(shaded), tolerance)


@pytest.mark.parametrize("device", DEVICES)
def test_answers_come_in_the_order_of_the_batches_and_of_the_planes_as_they_were(device):
    game = games.load("connect4")
    network, planes = make_network(game), random_positions_planes(game, 200)
    evaluator = make_cuda_evaluator(game, network, 20, torch.device(device), staging_buffers=3)
    right, memory, submitted, collected = float32(network), np.empty_like(planes[:20]), 0, 0
    for action in "ssscscccsscsscsccc":  # submit, collect
        if action == "s":
            memory[:] = planes[20 * submitted : 20 * submitted + 20]
            evaluator.submit(memory)
            memory[:] = np.nan
            submitted += 1
        else:
            part = planes[20 * collected : 20 * collected + 20]
            assert_same(evaluator.collect(), right(part), 1e-5 if device == "cpu" else 5e-3)
            collected += 1
    assert submitted == collected == 9


def test_what_is_returned_by_a_call_is_the_callers():
    game = games.load("connect4")
    evaluator = make_cuda_evaluator(game, make_network(game), 16)
    planes = random_positions_planes(game, 16)
    found = evaluator(planes)
    kept = [part.copy() for part in found]
    evaluator(planes[::-1])
    for own, before in zip(found, kept, strict=True):
        np.testing.assert_array_equal(own, before)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("other", [SMALL, NetworkConfig(blocks=3, channels=24)], ids=["same size", "grown"])
def test_an_update_is_for_batches_submitted_later(device, other):
    game = games.load("connect4")
    planes = random_positions_planes(game, 16)
    before, after = make_network(game), make_network(game, 1, other)
    evaluator = make_cuda_evaluator(game, before, 16, torch.device(device))
    tolerance = 1e-5 if device == "cpu" else 5e-3
    evaluator.submit(planes)
    evaluator.update(after)
    evaluator.submit(planes)
    assert_same(evaluator.collect(), float32(before)(planes), tolerance)
    assert_same(evaluator.collect(), float32(after)(planes), tolerance)
    evaluator.update(before)
    assert_same(evaluator(planes), float32(before)(planes), tolerance)


@pytest.mark.parametrize("config", [SMALL, NetworkConfig(blocks=1, channels=8)], ids=["same size", "other size"])
def test_one_prepared_network_serves_several_evaluators_and_is_none_of_theirs(config):
    game = games.load("connect4")
    planes = random_positions_planes(game, 16)
    first, second = (make_cuda_evaluator(game, make_network(game), 16) for _ in range(2))
    shared = make_network(game, 1, config)
    ready = prepared(shared, CPU, "f32")
    first.take_over(ready)
    second.take_over(ready)
    first.update(make_network(game, 2, config))
    assert_same(second(planes), float32(shared)(planes), 1e-5)
    assert_same(first(planes), float32(make_network(game, 2, config))(planes), 1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("head", ["policy", "value"])
def test_answers_that_are_no_numbers_are_an_error_and_it_goes_on_afterwards(head, device):
    game = games.load("connect4")
    network, planes = make_network(game), random_positions_planes(game, 4)
    evaluator = make_cuda_evaluator(game, network, 8, torch.device(device))
    broken = make_network(game)
    (broken.policy.dense.bias if head == "policy" else broken.value.outcome.bias).data[0] = float("nan")
    evaluator.update(broken)
    with pytest.raises(GameError, match="not numbers"):
        evaluator(planes)
    evaluator.update(network)
    evaluator(planes)


def test_misuse_is_named():
    game = games.load("tictactoe")
    evaluator, planes = make_cuda_evaluator(game, make_network(game), 4), random_positions_planes(game, 5)
    with pytest.raises(RuntimeError, match="nothing was submitted"):
        evaluator.collect()
    with pytest.raises(ValueError, match="at most batch_size = 4 positions, got 5"):
        evaluator.submit(planes)
    evaluator.submit(planes[:4])
    with pytest.raises(RuntimeError, match="1 batches are on their way"):
        evaluator(planes)
    evaluator.submit(planes[:4])
    with pytest.raises(RuntimeError, match="2 batches are on their way"):
        evaluator.submit(planes[:4])
    evaluator.collect()
    evaluator.collect()
    assert len(evaluator(planes[:0])[0]) == 0


def test_too_little_memory_is_said_in_a_line(monkeypatch):
    def no_memory(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has ...")

    game = games.load("tictactoe")
    evaluator = make_cuda_evaluator(game, make_network(game), 4)
    larger = prepared(make_network(game, 0, NetworkConfig(blocks=1, channels=24)), CPU, "f32")
    monkeypatch.setattr(torch, "zeros", no_memory)
    with pytest.raises(GameError, match=r"does not hold batches of 4 positions .* lower selfplay.parallel_games"):
        evaluator.take_over(larger)


def test_the_score_is_part_of_the_values_and_may_become_it():
    game = games.load("go:5")
    network, planes = make_network(game), random_positions_planes(game, 20)
    evaluator = make_cuda_evaluator(game, network)
    assert_same(evaluator(planes), float32(network)(planes))
    network.score_weight = 0.6
    evaluator.update(network)
    assert evaluator.score_weight == 0.6
    assert_same(evaluator(planes), float32(network)(planes))


# --- on a GPU alone


@needs_gpu
def test_the_graph_is_asked_for_by_a_batch_size():
    game = games.load("connect4")
    network, planes = make_network(game), random_positions_planes(game, 40)
    evaluator = make_evaluator(game, network, "cuda-f16", 16)
    assert isinstance(evaluator, CudaEvaluator)
    assert isinstance(make_evaluator(game, network, "cuda-f16"), TorchEvaluator)
    assert_same(evaluator(planes), float32(network)(planes), 0.1)


@needs_gpu
def test_an_update_of_the_same_size_captures_nothing_anew():
    game = games.load("connect4")
    evaluator = make_cuda_evaluator(game, make_network(game), 16, GPU)
    graph = evaluator._graph
    evaluator.update(make_network(game, 1))
    assert evaluator._graph is graph
    evaluator.update(make_network(game, 1, NetworkConfig(blocks=1, channels=8)))
    assert evaluator._graph is not graph


@needs_gpu
def test_evaluators_of_several_threads_do_not_disturb_each_other():
    """Even while one of them captures its graph anew."""
    game = games.load("connect4")
    planes = random_positions_planes(game, 64)
    networks = [make_network(game, seed, NetworkConfig(blocks=1 + seed, channels=16)) for seed in range(2)]
    right = [float32(network)(planes) for network in networks]
    failures: list[BaseException] = []

    def work(evaluator):
        try:
            for turn in range(12):
                evaluator.update(networks[turn % 2])
                for _ in range(20):
                    assert_same(evaluator(planes), right[turn % 2], 5e-3)
        except BaseException as error:
            failures.append(error)

    evaluators = [make_cuda_evaluator(game, networks[0], 64, GPU) for _ in range(4)]
    threads = [threading.Thread(target=work, args=(evaluator,)) for evaluator in evaluators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
