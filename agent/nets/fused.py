"""Batch normalization, residual and ReLU in one pass over memory each way, for training on a CPU.

Torch runs these as operations of their own between two convolutions, and each reads and writes all activations. In a
small network they take as long as the convolutions. numba compiles them where they run; torch.compile would need a C++
compiler there. Sums have one fixed order, so the same input gives the same output to the bit.

Dimensions: N positions, C channels, H x W board; R = N * H * W rows of C channels, as they lie in memory with channels
last. A lane is a run of whole rows that are worked on at once, so that loops are long whatever C is.
"""

from typing import Any

import numba
import numpy as np
import torch
from numba.core import types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor, nn

from keima.games.contract import kernel

_LANE = 512
"""Elements of a lane, about: enough for vector instructions, few enough for the fastest cache."""
_FLUSH = 256
"""Lanes that are summed up in float32 before the sums go to float64."""
_MOST_THREADS = 4
"""torch spreads its operations over its threads, these kernels run in one: with more threads torch gains on them."""


def suits(x: Tensor) -> bool:
    """Whether `batch_norm_relu` can take these activations, and is faster than torch."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.bfloat16, torch.float32)
        and x.ndim == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and torch.get_num_threads() <= _MOST_THREADS
    )


def batch_norm_relu(x: Tensor, norm: nn.BatchNorm2d, residual: Tensor | None = None) -> Tensor:
    """relu(norm(x) + residual) of a normalization in training mode, whose running statistics are brought up to date.

    x, residual: [N, C, H, W], such that `suits`. Differentiable by x, the residual and the normalization's weights.
    """
    if residual is not None:
        residual = residual.to(x.dtype).contiguous(memory_format=torch.channels_last)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return _BatchNormReLU.apply(x, norm.weight, norm.bias, residual, norm)  # type: ignore[no-any-return, no-untyped-call]


class _BatchNormReLU(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, norm: nn.BatchNorm2d
    ) -> Tensor:
        y = torch.empty_like(x)
        mean, scale = np.empty(x.shape[1], np.float32), np.empty(x.shape[1], np.float32)
        _forward(
            *(_rows(x), _rows(x if residual is None else residual), residual is not None, x.shape[1]),
            *(_rows(weight), _rows(bias), norm.eps, norm.momentum),
            *(norm.running_mean.numpy(), norm.running_var.numpy(), _rows(y), mean, scale),  # type: ignore[union-attr]
        )
        context.save_for_backward(x, weight, y)
        context.statistics, context.has_residual = (mean, scale), residual is not None
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, y = context.saved_tensors
        mean, scale = context.statistics
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        of_x = torch.empty_like(x)
        of_residual = torch.empty_like(x) if context.has_residual else None
        of_weight, of_bias = torch.empty_like(weight), torch.empty_like(weight)
        _backward(
            *(_rows(gradient), _rows(x), _rows(y), x.shape[1], _rows(weight), mean, scale),
            *(_rows(of_x), _rows(of_x if of_residual is None else of_residual), context.has_residual),
            *(of_weight.numpy(), of_bias.numpy()),
        )
        return of_x, of_weight, of_bias, of_residual, None


def pool(x: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """The mean and the maximum over the board of the first `channels` of x [N, C, H, W]: float32 [N, channels] each."""
    found: Tensor = _Pool.apply(x, channels)  # type: ignore[no-untyped-call]
    return found[:, :channels], found[:, channels:]


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, channels: int) -> Tensor:  # type: ignore[override]
        found = torch.empty(x.shape[0], 2 * channels)
        _pool(_rows(x), x.shape[0], x.shape[1], channels, found.numpy())
        context.save_for_backward(x, found)
        context.channels = channels
        return found

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        x, found = context.saved_tensors
        of_x = torch.empty_like(x)
        gradient = gradient.contiguous()
        positions, channels = x.shape[:2]
        _spread(_rows(x), positions, channels, context.channels, found.numpy(), gradient.numpy(), _rows(of_x))
        return of_x, None


def broadcast_add(x: Tensor, by_position: Tensor) -> Tensor:
    """x [N, C, H, W] with by_position [N, C] added in every cell of the board."""
    return _BroadcastAdd.apply(x, by_position)  # type: ignore[no-any-return, no-untyped-call]


class _BroadcastAdd(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, by_position: Tensor) -> Tensor:  # type: ignore[override]
        context.dtype = by_position.dtype
        y = torch.empty_like(x)
        _add_everywhere(_rows(x), by_position.detach().float().contiguous().numpy(), _rows(y))
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        sums = torch.empty(gradient.shape[:2])
        _sum_everywhere(_rows(gradient), sums.numpy())
        return gradient, sums.to(context.dtype)


def warm_up(dtype: torch.dtype) -> None:
    """Compiles what is here for this type (seconds), or reads it from the cache (milliseconds)."""
    x = torch.zeros(2, 4, 1, 1, dtype=dtype, requires_grad=True)
    y = batch_norm_relu(x, nn.BatchNorm2d(4), x)
    broadcast_add(y, pool(y, 4)[0]).sum().backward()  # type: ignore[no-untyped-call]


def _rows(x: Tensor) -> NDArray[Any]:
    """A dense tensor's elements as they lie in memory; bfloat16 as uint16, for numpy knows no such type.

    Only where gradients are not recorded. One operation of torch, for these calls add up.
    """
    flat = torch.as_strided(x, (x.numel(),), (1,))
    return (flat.view(torch.uint16) if flat.dtype == torch.bfloat16 else flat).numpy()


def _widened(value):
    """An element as float32."""


def _narrowed(value, like):
    """A float32 as an element of the array `like`, rounded to the nearest, ties to even."""


@overload(_widened, inline="always")
def _(value):
    if isinstance(value, types.Float):
        return lambda value: value
    return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)


@overload(_narrowed, inline="always")
def _(value, like):
    if isinstance(like.dtype, types.Float):
        return lambda value, like: value

    def to_bfloat16(value, like):
        bits = np.float32(value).view(np.uint32)
        return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    return to_bfloat16


@kernel
def _add_up(sums, totals):
    """Adds a lane's sums to the channels' totals, and begins them anew."""
    for j in range(len(sums)):
        totals[j % len(totals)] += sums[j]
        sums[j] = 0.0


# Many parameters: the arrays of one layer, all of them read or filled in a single pass.
@kernel
def _forward(
    x, residual, has_residual, channels, weight, bias, epsilon, momentum, running_mean, running_var, y, mean, scale
):
    """Fills y, and the batch's mean and 1 / standard deviation by channel; brings the running statistics up to date."""
    lane = channels * max(1, _LANE // channels)
    rows = len(x) // channels
    # Sums of x - shift: the running mean is near the mean, so that squares do not lose what they are to show.
    shift = np.empty(lane, np.float32)
    for j in range(lane):
        shift[j] = running_mean[j % channels]
    sums, squares = np.zeros(lane, np.float32), np.zeros(lane, np.float32)
    total, total_squares = np.zeros(channels), np.zeros(channels)
    for number, start in enumerate(range(0, len(x), lane)):
        part = x[start : start + lane]
        for j in range(len(part)):
            value = _widened(part[j]) - shift[j]
            sums[j] += value
            squares[j] += value * value
        if number % _FLUSH == _FLUSH - 1:
            _add_up(sums, total)
            _add_up(squares, total_squares)
    _add_up(sums, total)
    _add_up(squares, total_squares)

    factor, offset = np.empty(lane, np.float32), np.empty(lane, np.float32)
    for c in range(channels):
        off = total[c] / rows
        variance = max(total_squares[c] / rows - off * off, 0.0)
        mean[c] = running_mean[c] + off
        scale[c] = 1.0 / np.sqrt(variance + epsilon)
        factor[c] = weight[c] * scale[c]
        offset[c] = bias[c] - mean[c] * factor[c]
        running_mean[c] += momentum * off
        running_var[c] += momentum * (variance * rows / max(rows - 1, 1) - running_var[c])
    for j in range(channels, lane):
        factor[j], offset[j] = factor[j - channels], offset[j - channels]

    for start in range(0, len(x), lane):
        part, out, other = x[start : start + lane], y[start : start + lane], residual[start : start + lane]
        if has_residual:
            for j in range(len(part)):
                value = _widened(part[j]) * factor[j] + offset[j] + _widened(other[j])
                out[j] = _narrowed(np.float32(0.0) if value <= 0.0 else value, out)  # NaN stays NaN
        else:
            for j in range(len(part)):
                value = _widened(part[j]) * factor[j] + offset[j]
                out[j] = _narrowed(np.float32(0.0) if value <= 0.0 else value, out)


@numba.njit(inline="always")
def _let_through(gradient, y, passed):
    """Fills a lane of the gradients where y > 0, else 0; NaN stays NaN."""
    for j in range(len(gradient)):
        passed[j] = np.float32(0.0) if _widened(y[j]) <= 0.0 else _widened(gradient[j])


@kernel
def _backward(gradient, x, y, channels, weight, mean, scale, of_x, of_residual, has_residual, of_weight, of_bias):
    """Fills the gradients by x, by the residual where there is one, and by weight and bias.

    With g the gradient where y > 0 and n = (x - mean) * scale: d bias = sum g, d weight = sum g n and
    d x = weight * scale * (g - mean(g) - n * mean(g n)), as by Ioffe and Szegedy (arXiv 1502.03167).
    """
    lane = channels * max(1, _LANE // channels)
    rows = len(x) // channels
    means = np.empty(lane, np.float32)
    for j in range(lane):
        means[j] = mean[j % channels]
    passed = np.empty(lane, np.float32)  # a lane of g
    sums, products = np.zeros(lane, np.float32), np.zeros(lane, np.float32)
    total, total_products = np.zeros(channels), np.zeros(channels)
    for number, start in enumerate(range(0, len(x), lane)):
        part = x[start : start + lane]
        _let_through(gradient[start : start + lane], y[start : start + lane], passed)
        for j in range(len(part)):
            sums[j] += passed[j]
            products[j] += passed[j] * (_widened(part[j]) - means[j])
        if number % _FLUSH == _FLUSH - 1:
            _add_up(sums, total)
            _add_up(products, total_products)
    _add_up(sums, total)
    _add_up(products, total_products)

    by_gradient, by_x, constant = np.empty(lane, np.float32), np.empty(lane, np.float32), np.empty(lane, np.float32)
    for c in range(channels):
        of_bias[c] = total[c]
        of_weight[c] = total_products[c] * scale[c]
        by_gradient[c] = weight[c] * scale[c]
        by_x[c] = -by_gradient[c] * scale[c] * of_weight[c] / rows
        constant[c] = -by_gradient[c] * of_bias[c] / rows - by_x[c] * mean[c]
    for j in range(channels, lane):
        by_gradient[j], by_x[j] = by_gradient[j - channels], by_x[j - channels]
        constant[j] = constant[j - channels]

    for start in range(0, len(x), lane):
        part, result = x[start : start + lane], of_x[start : start + lane]
        _let_through(gradient[start : start + lane], y[start : start + lane], passed)
        if has_residual:
            other = of_residual[start : start + lane]
            for j in range(len(part)):
                other[j] = _narrowed(passed[j], other)
        for j in range(len(part)):
            value = passed[j] * by_gradient[j] + _widened(part[j]) * by_x[j] + constant[j]
            result[j] = _narrowed(value, result)


@kernel
def _pool(x, positions, channels, pooled, found):
    """Fills [N, 2 * pooled]: the mean and the maximum over the board of each position's first channels."""
    size = len(x) // positions
    cells = size // channels
    for n in range(positions):
        sums, most = found[n, :pooled], found[n, pooled:]
        sums[:] = 0.0
        most[:] = -np.inf
        for start in range(n * size, (n + 1) * size, channels):
            row = x[start : start + pooled]
            for c in range(pooled):
                value = _widened(row[c])
                sums[c] += value
                most[c] = max(most[c], value)
        for c in range(pooled):
            sums[c] /= cells


@kernel
def _spread(x, positions, channels, pooled, found, gradient, of_x):
    """The gradient by x from that by what `_pool` found; a maximum's is shared by all that have it."""
    size = len(x) // positions
    cells = size // channels
    of_x[:] = 0
    ties = np.empty(pooled, np.float32)
    for n in range(positions):
        most, of_mean, of_most = found[n, pooled:], gradient[n, :pooled], gradient[n, pooled:]
        ties[:] = 0.0
        for start in range(n * size, (n + 1) * size, channels):
            row = x[start : start + pooled]
            for c in range(pooled):
                ties[c] += np.float32(1.0) if _widened(row[c]) == most[c] else np.float32(0.0)
        for start in range(n * size, (n + 1) * size, channels):
            row, out = x[start : start + pooled], of_x[start : start + pooled]
            for c in range(pooled):
                own = of_most[c] / ties[c] if _widened(row[c]) == most[c] else np.float32(0.0)
                out[c] = _narrowed(of_mean[c] / np.float32(cells) + own, out)


@kernel
def _add_everywhere(x, by_position, y):
    """y = x + by_position[n, c] in every cell."""
    positions, channels = by_position.shape
    size = len(x) // positions
    for n in range(positions):
        added = by_position[n]
        for start in range(n * size, (n + 1) * size, channels):
            row, out = x[start : start + channels], y[start : start + channels]
            for c in range(channels):
                out[c] = _narrowed(_widened(row[c]) + added[c], out)


@kernel
def _sum_everywhere(x, sums):
    """sums[n, c] = the sum of x over the cells."""
    positions, channels = sums.shape
    size = len(x) // positions
    for n in range(positions):
        total = sums[n]
        total[:] = 0.0
        for start in range(n * size, (n + 1) * size, channels):
            row = x[start : start + channels]
            for c in range(channels):
                total[c] += _widened(row[c])
