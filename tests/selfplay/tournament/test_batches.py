"""A position's evaluation does not depend on its batch, and batches are of sizes that suit the graphs."""

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.inference.factory import available_backends
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.selfplay.tournament.batches import FULL_ENOUGH, SIZES, SizedEvaluator


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return Network(games.load("tictactoe"), NetworkConfig(blocks=1, channels=8)).eval()


@pytest.mark.parametrize("backend", [b for b in available_backends() if not b.startswith("cuda")])
def test_answers_are_the_same_to_the_bit_in_every_batch(network, backend):
    game = games.load("tictactoe")
    planes = random_positions_planes(game, 70)
    evaluate = SizedEvaluator(game, network, backend)
    logits, values = evaluate(planes)
    assert logits.shape == (70, game.num_actions)
    assert values.shape == (70,)
    for start, count in ((0, 1), (5, 8), (9, 33), (3, 64)):
        part = evaluate(np.ascontiguousarray(planes[start : start + count]))
        if backend.startswith("openvino"):
            np.testing.assert_array_equal(part[0], logits[start : start + count])
            np.testing.assert_array_equal(part[1], values[start : start + count])
        else:  # torch picks its kernels by the size
            np.testing.assert_allclose(part[0], logits[start : start + count], atol=0.05)


def test_batches_are_cut_or_filled_up(network):
    evaluate = SizedEvaluator(games.load("tictactoe"), network, "torch-f32")
    for count in range(1, 2000):
        taken = evaluate.batch_of(count)
        assert 1 <= taken <= count
        size = next((size for size in SIZES if size >= taken), taken)
        assert taken >= FULL_ENOUGH * size or size == SIZES[0]
        assert taken >= count / 4 - 1 or count > SIZES[-1]  # never a small part of what waits
