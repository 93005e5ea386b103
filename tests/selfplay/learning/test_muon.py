"""Muon against singular value decompositions, and against its own description written out."""

import numpy as np
import pytest
import torch

from keima.selfplay.learning.muon import Muon, orthogonalized


def random_matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(8, 8), (8, 72), (72, 8), (1, 5), (48, 432)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_singular_values_come_near_1_and_singular_vectors_stay(shape, scale):
    matrix = scale * random_matrix(*shape)
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonalized(matrix) @ vt.T  # diagonal where the vectors are the same
    diagonal = torch.diagonal(found)
    large = values > 0.02 * values[0]  # smaller ones take more iterations
    assert large.sum() >= 0.8 * len(values)
    assert diagonal[large].min() > 0.6
    assert diagonal.max() < 1.25
    torch.testing.assert_close(found, torch.diag(diagonal), atol=0.02, rtol=0)


def test_of_nothing_comes_nothing():
    assert torch.equal(orthogonalized(torch.zeros(3, 4)), torch.zeros(3, 4))
    parameter = torch.nn.Parameter(random_matrix(4, 2, 3, 3))
    before = parameter.detach().clone()
    optimizer = Muon([parameter], lr=0.1)
    optimizer.step()  # no gradient yet
    assert torch.equal(parameter, before)
    assert not optimizer.state
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), before)


def test_steps_are_those_described():
    parameter = torch.nn.Parameter(random_matrix(6, 3, 3, 3).contiguous(memory_format=torch.channels_last))
    optimizer = Muon([parameter], lr=0.05, momentum=0.8)
    twin = parameter.detach().reshape(6, 27).double().numpy()
    length, momentum = np.linalg.norm(twin), np.zeros_like(twin)
    for number in range(4):
        gradient = random_matrix(6, 3, 3, 3, seed=number + 1)
        parameter.grad = gradient.clone()
        optimizer.step()
        flat = gradient.reshape(6, 27).double().numpy()
        momentum = 0.8 * momentum + 0.2 * flat
        ahead = 0.8 * momentum + 0.2 * flat
        direction = orthogonalized(torch.from_numpy(ahead)).numpy()
        twin = twin - 0.05 * length * direction / np.sqrt(6)
        twin *= length / np.linalg.norm(twin)
        np.testing.assert_allclose(parameter.detach().reshape(6, 27).numpy(), twin, atol=1e-5)


def test_a_step_is_as_long_as_its_rate_says_and_the_length_stays():
    parameter = torch.nn.Parameter(7 * random_matrix(16, 8, 3, 3))
    length = parameter.detach().norm().item()
    optimizer = Muon([parameter], lr=0.02)
    for number in range(20):
        before = parameter.detach().clone()
        parameter.grad = random_matrix(16, 8, 3, 3, seed=number + 1)
        optimizer.step()
        assert parameter.detach().norm().item() == pytest.approx(length, rel=1e-5)
        assert (parameter.detach() - before).norm().item() / length == pytest.approx(0.02, rel=0.25)
