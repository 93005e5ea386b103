"""The fused operations against the plain ones of torch in float64, value by value and gradient by gradient."""

import copy

import pytest
import torch
from torch import nn

from keima.agent.nets import fused

SHAPES = [(5, 32, 6, 7), (3, 8, 3, 3), (2, 1, 4, 4), (7, 3, 5, 5), (2, 700, 2, 3), (40, 16, 9, 9)]
TYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def activations(shape, dtype, seed=0, offset=0.0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=random) * 2 + offset + torch.randn(1, shape[1], 1, 1, generator=random)
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def normalization(channels):
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(channels)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def exact(tensor):
    return tensor.detach().double().requires_grad_()


def assert_close(found, expected, dtype):
    """bfloat16 has 8 bits; what is compared is a sum of several values that were rounded to it."""
    tolerance = 2e-5 if dtype == torch.float32 else 1.5e-2
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(found.double(), expected.double(), rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_normalize_and_rectify_is_batch_norm_residual_and_relu(shape, with_residual, dtype):
    x = activations(shape, dtype, offset=3.0).requires_grad_()
    residual = activations(shape, dtype, 1).requires_grad_() if with_residual else None
    norm = normalization(shape[1])
    reference = copy.deepcopy(norm).double()
    own_x, own_residual = exact(x), None if residual is None else exact(residual)
    assert fused.suits(x)
    y = fused.batch_norm_relu(x, norm, residual)
    expected = reference(own_x)
    expected = torch.relu(expected if own_residual is None else expected + own_residual)
    assert y.dtype == dtype
    assert_close(y, expected, dtype)
    assert (y >= 0).all()
    assert (y == 0).any()

    # Where rounding decides whether something passes the ReLU, the gradients differ by all of it: not compared there.
    gradient = activations(shape, dtype, 2) * ((y > 0) == (expected > 0))
    y.backward(gradient)
    expected.backward(gradient.double())
    assert_close(x.grad, own_x.grad, dtype)
    if residual is not None:
        assert_close(residual.grad, own_residual.grad, dtype)
    assert_close(norm.weight.grad, reference.weight.grad, dtype)
    assert_close(norm.bias.grad, reference.bias.grad, dtype)
    assert_close(norm.running_mean, reference.running_mean, torch.float32)
    assert_close(norm.running_var, reference.running_var, torch.float32)
    assert norm.num_batches_tracked == 1


def test_a_mean_far_from_zero_costs_no_digits_of_the_variance():
    x = activations((64, 8, 6, 6), torch.float32, offset=1000.0)
    norm = nn.BatchNorm2d(8)
    for _ in range(100):  # the running mean comes near
        fused.batch_norm_relu(x, norm)
    found = fused.batch_norm_relu(x, norm)
    expected = torch.relu(nn.BatchNorm2d(8).double()(x.double()))
    torch.testing.assert_close(found.double(), expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_same_input_gives_the_same_bits(dtype):
    results = []
    for _ in range(2):
        x, norm = activations((64, 32, 6, 7), dtype).requires_grad_(), normalization(32)
        y = fused.batch_norm_relu(x, norm, x)
        y = fused.broadcast_add(y, fused.pool(y, 32)[1])
        y.backward(activations((64, 32, 6, 7), dtype, 3))
        results.append((y, x.grad, norm.weight.grad, norm.bias.grad, norm.running_var))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("dtype", TYPES)
def test_nan_stays_nan(dtype):
    x = activations((4, 8, 3, 3), dtype)
    x[0, 2, 1, 1] = torch.nan
    y = fused.batch_norm_relu(x.requires_grad_(), normalization(8))
    assert y[:, 2].isnan().all()
    assert not y[:, :2].isnan().any()
    y.backward(activations((4, 8, 3, 3), dtype, 1))
    assert x.grad[:, 2].isnan().all()
    assert not x.grad[:, 3:].isnan().any()
    assert fused.pool(y, 8)[0][:, 2].isnan().all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_pool_is_mean_and_maximum(shape, dtype):
    x = torch.relu(activations(shape, dtype)).detach().requires_grad_()  # with ties at 0
    channels = max(1, shape[1] // 2)
    mean, most = fused.pool(x, channels)
    own = exact(x)
    expected_mean, expected_most = own[:, :channels].mean((2, 3)), own[:, :channels].amax((2, 3))
    assert mean.shape == most.shape == (shape[0], channels)
    assert_close(mean, expected_mean, torch.float32)
    assert torch.equal(most.double(), expected_most)
    weights = torch.randn(2, shape[0], channels, generator=torch.Generator().manual_seed(4))
    (mean * weights[0] + most * weights[1]).sum().backward()
    (expected_mean * weights[0] + expected_most * weights[1]).sum().backward()
    assert_close(x.grad, own.grad, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_add_everywhere(shape, dtype):
    x = activations(shape, dtype).requires_grad_()
    by_position = torch.randn(shape[:2], generator=torch.Generator().manual_seed(5)).to(dtype).requires_grad_()
    own, own_by_position = exact(x), exact(by_position)
    y = fused.broadcast_add(x, by_position)
    expected = own + own_by_position[:, :, None, None]
    assert_close(y, expected, dtype)
    gradient = activations(shape, dtype, 6)
    y.backward(gradient)
    expected.backward(gradient.double())
    assert torch.equal(x.grad.double(), own.grad)
    assert by_position.grad.dtype == dtype
    assert_close(by_position.grad, own_by_position.grad, dtype)


@pytest.mark.parametrize("operation", ["normalize", "pool", "add"])
def test_a_gradient_laid_out_otherwise(operation):
    def gradients(layout):
        x = activations((3, 8, 4, 5), torch.float32).requires_grad_()
        if operation == "normalize":
            y = fused.batch_norm_relu(x, normalization(8), x)
        elif operation == "pool":
            y = torch.stack(fused.pool(x, 8))
        else:
            y = fused.broadcast_add(x, x.mean((2, 3)))
        gradient = torch.randn(y.shape, generator=torch.Generator().manual_seed(7))
        y.backward(gradient.transpose(-1, -2).contiguous().transpose(-1, -2) if layout == "otherwise" else gradient)
        return x.grad

    assert torch.equal(gradients("plain"), gradients("otherwise"))


def test_what_it_does_not_suit():
    x = activations((2, 8, 4, 4), torch.float32)
    assert fused.suits(x)
    assert not fused.suits(x.double())
    assert not fused.suits(x.half())
    assert not fused.suits(x.contiguous(memory_format=torch.contiguous_format))
    assert not fused.suits(x[:, :4])
    assert not fused.suits(x.to("meta"))
    torch.set_num_threads(64)
    assert not fused.suits(x)


@pytest.mark.parametrize("dtype", TYPES)
def test_warming_up_compiles_what_training_calls(dtype):
    fused.warm_up(dtype)
    compiled = [len(kernel.signatures) for kernel in (fused._forward, fused._backward, fused._pool, fused._spread)]
    x = activations((2, 8, 4, 4), dtype).requires_grad_()
    y = fused.batch_norm_relu(x, normalization(8))
    fused.broadcast_add(
        fused.batch_norm_relu(y, normalization(8), x), fused.pool(y, 4)[0].repeat(1, 2)
    ).sum().backward()
    assert compiled == [len(k.signatures) for k in (fused._forward, fused._backward, fused._pool, fused._spread)]
