"""Networks run by OpenVINO: the network written as an OpenVINO graph, in float32, bfloat16 or with 8-bit convolutions.

The graph is written here, operation by operation, and not converted from torch's: that takes 0.05 s where tracing
takes a second or two, and self-play takes over new weights every few seconds. For the same reason the 8-bit graph is
made here. Its scheme is the usual one, which OpenVINO's plugins look for (a FakeQuantize before each input of a
convolution): weights symmetric in 8 bits, one scale an output channel; activations in 8 bits, one scale a tensor,
their ranges seen on positions of the game. The first convolution, whose inputs are few and cheap, and the heads, whose
errors nothing would average out, keep their precision.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset13 as ops
from torch import Tensor, nn

from keima.agent.inference.evaluator import Evaluator, checked
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.inference.torch_evaluator import has_fast_bfloat16
from keima.agent.nets.network import Block, ConvNorm, Network
from keima.games.contract import Game

CALIBRATION_POSITIONS = 512
"""Positions on which the ranges of activations are seen: half of them random, half as the evaluator was asked last."""
REMEMBER_EVERY = 64
"""How many calls lie between two whose positions are remembered for that."""
RECALIBRATE_AT = 0.03
"""How far the tower's weights may have moved, against their own length, before the ranges are looked at again. In
self-play weights come every few seconds and move by a fraction of that, and a look in float32 takes as long as
thousands of evaluations: looking each time took a fifth of an actor's time."""

Ranges = dict[str, tuple[float, float]]
"""The lowest and the highest input of each 3x3 convolution of the tower, by the module's name."""

_core: openvino.Core | None = None


class LayerTime(NamedTuple):
    """What a layer of a compiled graph takes a call."""

    name: str
    kind: str  # OpenVINO's name of the operation
    kernel: str  # what runs it, with the instructions and the precision it uses
    microseconds: float


class OpenVinoEvaluator(Evaluator):
    """A network run by OpenVINO on this processor, by as many threads as torch would use."""

    def __init__(self, game: Game, network: Network, precision: str, batch_size: int | None = None) -> None:
        """precision: "f32", "bf16" or "int8". batch_size: see `keima.agent.inference.factory.make_evaluator`."""
        self.game = game
        self.backend = f"openvino-{precision}"
        self._precision = precision
        self._batch_size = batch_size
        self._positions = random_positions_planes(game, CALIBRATION_POSITIONS) if precision == "int8" else None
        self._ranges: Ranges | None = None
        self._calibrated = torch.empty(0)
        """The tower's weights for which the ranges were seen."""
        self._calls = 0
        self.update(network)

    def update(self, network: Network) -> None:
        """Takes over the network's weights as they are now."""
        self._network = network.for_inference().cpu().float()
        self.score_weight = network.score_weight
        if self._positions is not None:
            self._calibrate(self._positions)
        self._requests: dict[int, Any] = {}
        if self._batch_size is not None:
            self._requests[self._batch_size] = self._compile(self._batch_size)

    def __call__(self, planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `keima.agent.inference.evaluator.Evaluator`."""
        if self._positions is not None and self._calls % REMEMBER_EVERY == 0:
            recent = planes[: CALIBRATION_POSITIONS // 2]
            self._positions[: len(recent)] = recent
        self._calls += 1
        # One graph for the usual number of positions, 5 % faster, and one for all others.
        size = len(planes) if len(planes) == self._batch_size else -1
        if size not in self._requests:
            self._requests[size] = self._compile(size)
        answers = self._requests[size].infer([planes], share_inputs=True, share_outputs=True)
        return checked(answers[0].copy(), answers[1].copy())  # its own arrays are overwritten by the next call

    def layer_times(self, planes: NDArray[np.float32], calls: int) -> list["LayerTime"]:
        """What every layer of the compiled graph takes a call with these positions, the longest first."""
        request = self._compile(len(planes), PERF_COUNT=True)
        layers: dict[str, LayerTime] = {}
        for call in range(calls + 1):
            request.infer([planes], share_inputs=True, share_outputs=True)
            if call == 0:  # some of it is made ready then
                continue
            for info in request.profiling_info:
                before = layers.get(info.node_name)
                microseconds = info.real_time.total_seconds() * 1e6 / calls + (before.microseconds if before else 0.0)
                layers[info.node_name] = LayerTime(info.node_name, info.node_type, info.exec_type, microseconds)
        return sorted(layers.values(), key=lambda layer: -layer.microseconds)

    def _calibrate(self, positions: NDArray[np.float32]) -> None:
        """Sees to it that the ranges are about those of the weights as they are now."""
        tower = (self._network.stem, self._network.blocks)
        weights = torch.cat([parameter.flatten() for part in tower for parameter in part.parameters()])
        if len(weights) == len(self._calibrated):
            moved = (weights - self._calibrated).norm() / self._calibrated.norm()
            if moved <= RECALIBRATE_AT:  # not so where one is no number
                return
        self._ranges, self._calibrated = activation_ranges(self._network, positions), weights

    def _compile(self, batch_size: int, **further: Any) -> Any:
        exact = self._precision == "f32" or not has_fast_bfloat16(torch.device("cpu"))
        options = {
            "INFERENCE_PRECISION_HINT": "f32" if exact else "bf16",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            # Several processes would all be pinned to the same first core.
            "ENABLE_CPU_PINNING": False,
            **further,
        }
        model = build_model(self._network, self.game, batch_size, self._ranges)
        return _the_core().compile_model(model, "CPU", options).create_infer_request()


@torch.inference_mode()
def activation_ranges(network: Network, planes: NDArray[np.float32]) -> Ranges:
    """What goes into each of the tower's convolutions on these positions [n, C, H, W]; the network is folded."""
    ranges: Ranges = {}

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            low, high = inputs[0].aminmax()
            ranges[name] = (float(low), float(high))

        return hook

    handles = [
        module.convolution.register_forward_pre_hook(look(name))
        for name, module in network.blocks.named_modules()
        if isinstance(module, ConvNorm)
    ]
    try:
        network.trunk(torch.from_numpy(planes))
    finally:
        for handle in handles:
            handle.remove()
    return ranges


def build_model(network: Network, game: Game, batch_size: int, ranges: Ranges | None = None) -> openvino.Model:
    """What `Network.judge` computes, as a graph: planes [n, C, H, W] -> logits [n, A], values [n].

    network: folded, in float32, on the CPU. batch_size: n, or -1 for any. ranges: quantizes the tower, by these.
    """
    planes = ops.parameter([batch_size, game.num_planes, *game.shape], np.float32, name="planes")
    x = _tower(planes, network, game, ranges)
    outputs = [ops.result(_policy(x, network, game)), ops.result(_value(x, network, game))]
    return openvino.Model(outputs, [planes], "keima")


def compile_outcomes(network: Network, game: Game) -> Any:
    """What `Network.outcomes` computes, compiled for any number of positions; a request as OpenVINO has them.

    network: folded, in float32, on the CPU. In one thread: it is asked for a position now and then, on a machine whose
    processors may be busy, where threads would wait for each other longer than they compute.
    """
    planes = ops.parameter([-1, game.num_planes, *game.shape], np.float32, name="planes")
    outcome = _outcome(_tower(planes, network, game, None), network, game)
    model = openvino.Model([ops.result(outcome)], [planes], "keima outcomes")
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return _the_core().compile_model(model, "CPU", options).create_infer_request()


def _the_core() -> openvino.Core:
    global _core
    _core = _core or openvino.Core()
    return _core


def _tower(planes: Any, network: Network, game: Game, ranges: Ranges | None) -> Any:
    x = ops.relu(_convolution(planes, network.stem))
    for index, block in enumerate(network.blocks):
        x = _block(x, block, game.shape, f"{index}", ranges)
    return x


def _block(x: Any, block: Any, shape: tuple[int, int], name: str, ranges: Ranges | None) -> Any:
    assert isinstance(block, Block)
    x = _quantized(x, ranges, f"{name}.first")
    y = ops.relu(_convolution(x, block.first, quantized=ranges is not None))
    if block.from_pool is not None:
        # The channels are picked after pooling: so much less is copied.
        mean, largest = (_first_channels(part, block.pooled_channels) for part in _pool(y, shape))
        bias = _after_pool(mean, largest, block.from_pool, shape)
        y = ops.add(y, _reshape(bias, [-1, block.from_pool.out_features, 1, 1]))
    y = _quantized(y, ranges, f"{name}.second")
    return ops.relu(ops.add(x, _convolution(y, block.second, quantized=ranges is not None)))


def _policy(x: Any, network: Network, game: Game) -> Any:
    head = network.policy
    y = ops.relu(_convolution(x, head.reduce))
    if not head.planes:
        return _linear(_flat(y), head.dense)
    mean, largest = _pool(y, game.shape)
    bias = _reshape(_after_pool(mean, largest, head.from_pool, game.shape), [-1, head.from_pool.out_features, 1, 1])
    logits = _flat(_convolution(ops.relu(ops.add(y, bias)), head.spatial_logits))
    if head.global_logits is None:
        return logits
    return ops.concat([logits, _after_pool(mean, largest, head.global_logits, game.shape)], 1)


def _outcome(x: Any, network: Network, game: Game) -> Any:
    """The probabilities of win, draw and loss, [n, 3]."""
    return ops.softmax(_linear(_hidden(x, network, game), network.value.outcome), 1)


def _hidden(x: Any, network: Network, game: Game) -> Any:
    """The value head's hidden layer."""
    head = network.value
    y = ops.relu(_convolution(x, head.reduce))
    hidden = (
        _linear(_flat(y), head.hidden) if head.dense else _after_pool(*_pool(y, game.shape), head.hidden, game.shape)
    )
    return ops.relu(hidden)


def _value(x: Any, network: Network, game: Game) -> Any:
    hidden = _hidden(x, network, game)
    of_score = network.value.score
    weight = 0.0 if of_score is None else network.score_weight
    outcome = ops.softmax(_linear(hidden, network.value.outcome), 1)
    of_outcome = (1.0 - weight) * np.array([[1], [0], [-1]], np.float32)  # win, draw, loss
    value = ops.matmul(outcome, ops.constant(of_outcome), False, False)
    if of_score is not None and weight:
        score = _mean_score(hidden, of_score)
        saturated = ops.atan(
            ops.multiply(score, ops.constant(np.float32(0.5)))
        )  # as keima.agent.nets.network.saturated_score
        value = ops.add(value, ops.multiply(saturated, ops.constant(np.float32(weight * 2.0 / np.pi))))
    return _reshape(value, [-1])


def _mean_score(hidden: Any, layer: nn.Linear) -> Any:
    """The score's mean [n, 1]; the layer's second output, its spread, is left out."""
    y = ops.matmul(hidden, _constant(layer.weight.numpy()[:1]), False, True)
    return ops.add(y, _constant(layer.bias.numpy()[None, :1]))


# --- layers


def _convolution(x: Any, layer: nn.Module, *, quantized: bool = False) -> Any:
    convolution = layer.convolution if isinstance(layer, ConvNorm) else layer
    assert isinstance(convolution, nn.Conv2d)
    weights = convolution.weight.numpy()
    padding = [weights.shape[2] // 2] * 2
    y = ops.convolution(
        x, _weights_in_8_bits(weights) if quantized else _constant(weights), [1, 1], padding, padding, [1, 1]
    )
    assert convolution.bias is not None
    return ops.add(y, _constant(convolution.bias.numpy().reshape(1, -1, 1, 1)))


def _linear(x: Any, layer: nn.Linear) -> Any:
    y = ops.matmul(x, _constant(layer.weight.numpy()), False, True)
    return ops.add(y, _constant(layer.bias.numpy()[None]))


def _pool(x: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Each channel's mean and maximum over the board, [n, C, 1, 1]."""
    # As pooling with a window of the whole board: reductions took seven times as long.
    mean = ops.avg_pool(x, [1, 1], [0, 0], [0, 0], list(shape), True)
    return mean, ops.max_pool(x, [1, 1], [1, 1], [0, 0], [0, 0], list(shape)).output(0)


def _after_pool(mean: Any, largest: Any, layer: nn.Linear, shape: tuple[int, int]) -> Any:
    """The layer on `keima.agent.nets.network.pool`'s output, [n, out]; the mean scaled by the board's width needs no
    column."""
    of_mean, of_scaled, of_largest = np.split(layer.weight.numpy(), 3, axis=1)
    weights = np.concatenate([of_mean + of_scaled * ((shape[0] * shape[1]) ** 0.5 - 14.0) * 0.1, of_largest], 1)
    y = ops.matmul(_flat(ops.concat([mean, largest], 1)), _constant(weights), False, True)
    return ops.add(y, _constant(layer.bias.numpy()[None]))


def _first_channels(x: Any, count: int) -> Any:
    begin, end, step, axis = (ops.constant(np.array([number])) for number in (0, count, 1, 1))
    return ops.slice(x, begin, end, step, axis)


def _flat(x: Any) -> Any:
    return ops.reshape(x, ops.constant(np.array([0, -1])), True)  # 0: as it is


def _reshape(x: Any, shape: Sequence[int]) -> Any:
    return ops.reshape(x, ops.constant(np.array(shape)), False)


def _constant(array: NDArray[np.float32]) -> Any:
    return ops.constant(np.ascontiguousarray(array, np.float32))


def _weights_in_8_bits(weights: NDArray[np.float32]) -> Any:
    """Weights [out, in, H, W] rounded to 255 steps, symmetric around 0, one scale an output channel."""
    highest = np.maximum(np.abs(weights).max((1, 2, 3), keepdims=True), 1e-8)
    low, high = _constant(-highest), _constant(highest)
    return ops.fake_quantize(_constant(weights), low, high, low, high, 255)


def _quantized(x: Any, ranges: Ranges | None, name: str) -> Any:
    """Activations rounded to 256 steps over their range: 0 to 255 where none is negative, else -128 to 127."""
    if ranges is None:
        return x
    low, high = ranges[name]
    if low < 0:
        step = max(-low / 128, high / 127, 1e-8)
        low, high = -128 * step, 127 * step
    else:
        low, high = 0.0, max(high, 1e-6)
    bounds = [_constant(np.full((1, 1, 1, 1), bound, np.float32)) for bound in (low, high)]
    return ops.fake_quantize(x, *bounds, *bounds, 256)
