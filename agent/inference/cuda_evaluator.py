"""Networks run by a CUDA GPU: batches are sent packed, and a captured graph evaluates them while the caller goes on.

A small network's layers take a GPU a few microseconds each, less than Python takes to start each of them. So the whole
network, from the bits of the planes to the search's answers, is captured as one CUDA graph for one batch size, and
started at once. Batches are copied from and to pinned memory beside the graph, in a stream of the evaluator's own:

    submit(planes) -> bits, pinned -> device -> graph: unpack, network, check -> answers, pinned -> collect()

Only `collect` waits. An evaluator has memory for `staging_buffers` batches at a time, so a caller that has two groups
of positions can search in one while the other is evaluated.

Dimensions: N positions of a batch, C planes of H x W cells, V = C * H * W values, A actions.
"""

import contextlib
import copy
import math
import threading
from collections import deque
from collections.abc import Iterator

import numba
import numpy as np
import torch
from numba.core import types
from numpy.typing import NDArray
from torch import Tensor

from keima.agent.inference.evaluator import NOT_NUMBERS, Evaluator
from keima.agent.inference.torch_evaluator import DTYPES
from keima.agent.nets.network import Network
from keima.games.compilation import compiled_for
from keima.games.contract import Game, GameError

LANES = 2
"""Batches that may be on their way at a time: one is judged while the next one is searched for."""
WARM_UP_RUNS = 3
"""Of the network before it is captured: libraries choose their algorithms and take their memory in the first ones."""

_ONE = np.uint32(0x3F800000)  # 1.0; 0.0 is all zeros
_ONES_BIT = np.uint32(29)  # set in 1.0, not in 0.0

_capturing = threading.Lock()
"""Held while a graph is captured, of which there can be one at a time in a process, and by what would disturb it."""


@numba.njit(inline="always")
def _packed(row, start, count):
    """A byte of row[start : start + count], bit k of value start + k, and bits that are 0 if these are 0.0 or 1.0."""
    byte = others = np.uint32(0)
    for k in range(count):
        bit = np.uint32(row[start + k] >> _ONES_BIT & np.uint32(1))
        # Cast, or it would be computed in 64 bits and half as many at a time.
        others = np.uint32(others | row[start + k] ^ np.uint32(bit * _ONE))
        byte = np.uint32(byte | bit << np.uint32(k))
    return byte, others


@compiled_for(
    types.boolean(types.uint32[:, ::1], types.uint8[:, ::1]),
)
def pack_bits(values, packed):
    """Packs the rows of `values` [N, V], floats given by their bits, into `packed` [N, ceil(V / 8)].

    Bit k of byte j is value 8 j + k; bits past the last value are 0. Returns whether every value was 0.0 or 1.0; what
    is in `packed` is of no use otherwise.
    """
    whole, rest = values.shape[1] >> 3, values.shape[1] & 7
    found = np.uint32(0)
    for i in range(len(values)):
        for j in range(whole):
            packed[i, j], others = _packed(values[i], 8 * j, 8)
            found |= others
        if rest:
            packed[i, whole], others = _packed(values[i], 8 * whole, rest)
            found |= others
    return found == 0


def unpack_bits(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What `pack_bits` packed, uint8 [N, ceil(V / 8)], as uint8 [N, *shape] of 0 and 1."""
    eight = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = (packed[:, :, None] >> eight) & 1
    return bits.flatten(1)[:, : math.prod(shape)].reshape(-1, *shape)


def prepared(network: Network, device: torch.device, precision: str) -> Network:
    """A copy of a network as an evaluator runs it: for inference, on the device, in its precision.

    Evaluators in any threads may take it over once this has returned.
    """
    with _capturing:
        folded = network.for_inference().to(device, DTYPES[precision])
        folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
    return folded


class _StagingBuffer:
    """Host memory for one batch on its way."""

    def __init__(self, answers: int, *, pinned: bool) -> None:
        self.planes = torch.empty(0)  # as they are sent; see CudaEvaluator._set_up
        self._answers = torch.zeros(answers, pin_memory=pinned)
        self.answers: NDArray[np.float32] = self._answers.numpy()
        self.done = torch.cuda.Event(blocking=True) if pinned else None  # blocking: who waits leaves its core to others
        self.count = 0  # positions of the batch

    def bring(self, output: Tensor, stream: "torch.cuda.Stream | None") -> None:
        """Copies the answers here, as soon as all that the stream holds so far is done."""
        self._answers.copy_(output, non_blocking=True)
        if self.done is not None:
            self.done.record(stream)


class CudaEvaluator(Evaluator):
    """A network on a GPU; see the module's docstring. To be used by one thread at a time.

    Planes whose values are all 0 or 1 are sent as bits; once others have come, all of them are sent in the network's
    precision. With the device "cpu" the same is done without streams, graphs and pinned memory, for tests.
    """

    def __init__(
        self,
        game: Game,
        network: Network,
        precision: str,
        batch_size: int,
        *,
        device: torch.device | None = None,
        staging_buffers: int = LANES,
    ) -> None:
        """precision: "bf16", "f16" or "f32". batch_size: positions the graph is captured for; see `submit`.

        staging_buffers: batches that may be on their way at a time.
        Raises GameError where the GPU's memory does not hold them.
        """
        self.device = device or torch.device("cuda")
        on_gpu = self.device.type == "cuda"
        self.backend = f"{'cuda' if on_gpu else 'torch'}-{precision}"
        self.batch_size = batch_size
        self.precision = precision
        self._shape: tuple[int, ...] = (game.num_planes, *game.shape)
        self._num_actions = game.num_actions
        self._sends_bits = True
        self._stream = torch.cuda.Stream(self.device) if on_gpu else None
        self._graph: torch.cuda.CUDAGraph | None = None
        # Of every row the logits, then of every row the value, then whether all of them are numbers.
        answers = batch_size * (game.num_actions + 1) + 1
        self._free = deque(_StagingBuffer(answers, pinned=on_gpu) for _ in range(staging_buffers))
        self._submitted: deque[_StagingBuffer] = deque()
        self._network = prepared(network, self.device, precision)
        self.score_weight = network.score_weight
        with self._working():
            self._output = torch.zeros(answers, device=self.device)
            self._set_up()

    # --- the network

    def update(self, network: Network) -> None:
        """Takes over a network's weights as they are now; its sizes may differ from those before."""
        self.take_over(prepared(network, self.device, self.precision))

    def take_over(self, network: Network) -> None:
        """`update` with what `prepared` returned, of which it keeps nothing: the cheap part, a copy on the device.

        Batches submitted before are judged by the network before.
        """
        new, own = network.state_dict(), self._network.state_dict()
        with self._working():
            # The graph reads the weights from where they have always been; the score's weight is part of it.
            if _sizes(new) == _sizes(own) and network.score_weight == self.score_weight:
                torch._foreach_copy_(list(own.values()), list(new.values()))
                if self._stream is not None:
                    for tensor in new.values():
                        tensor.record_stream(self._stream)  # its memory is not to be used again before the copy is made
            else:
                self._finish()
                self._network = copy.deepcopy(network)
                self.score_weight = network.score_weight
                self._set_up()

    def _set_up(self) -> None:
        """Takes memory for batches as they are sent now, and captures the graph. No batch may be under way there."""
        on_gpu = self._stream is not None
        shape: tuple[int, ...]
        shape, dtype = (self.batch_size, *self._shape), DTYPES[self.precision]
        if self._sends_bits:
            shape, dtype = (self.batch_size, (math.prod(self._shape) + 7) // 8), torch.uint8
        try:
            self._input = torch.zeros(shape, dtype=dtype, device=self.device)
            for staging_buffer in (*self._free, *self._submitted):
                staging_buffer.planes = torch.zeros(shape, dtype=dtype, pin_memory=on_gpu)
            if self._stream is not None:
                self._graph = self._captured(self._stream)
        except torch.OutOfMemoryError:
            raise GameError(
                f"the GPU's memory does not hold batches of {self.batch_size} positions beside what is there: "
                "lower selfplay.parallel_games or selfplay.actors"
            ) from None

    def _captured(self, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        """The graph of `_judge`. Other threads may start theirs meanwhile."""
        self._graph = None  # its memory first: the new one takes as much
        graph = torch.cuda.CUDAGraph()
        with _capturing, torch.backends.cudnn.flags(enabled=True, benchmark=True):  # the fastest algorithms, measured
            for _ in range(WARM_UP_RUNS):
                self._judge()
            stream.synchronize()
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._judge()
        return graph

    def _judge(self) -> None:
        """Everything between the two copies of a batch: self._input -> self._output, on the device."""
        planes = unpack_bits(self._input, self._shape) if self._sends_bits else self._input
        planes = planes.to(DTYPES[self.precision], memory_format=torch.channels_last)
        logits, values = self._network.judge(planes)
        # A sum is not a finite number if any term is not; so the host has one number to look at.
        torch.cat([logits.flatten(), values, (logits.sum() + values.sum())[None]], out=self._output)

    # --- batches

    def submit(self, planes: NDArray[np.float32]) -> None:
        """Sends planes [N, C, H, W] off to be judged, which may be overwritten at once; `collect` has the answers.

        N is at most the batch size; fewer take as long. Raises RuntimeError where all staging_buffers are on their way.
        """
        if len(planes) > self.batch_size:
            raise ValueError(f"expected at most batch_size = {self.batch_size} positions, got {len(planes)}")
        if not self._free:
            raise RuntimeError(f"{len(self._submitted)} batches are on their way: collect() one before the next")
        planes = np.ascontiguousarray(planes, np.float32)
        if self._sends_bits and not self._pack(planes):
            with self._working():
                self._finish()
                self._sends_bits = False
                self._set_up()
        staging_buffer = self._free.popleft()
        staging_buffer.count = len(planes)
        with self._working():
            if not self._sends_bits:
                staging_buffer.planes[: len(planes)].copy_(torch.from_numpy(planes))
            # The rest of the rows is judged as well: positions of an earlier batch, whose answers nobody reads.
            self._input[: len(planes)].copy_(staging_buffer.planes[: len(planes)], non_blocking=True)
            if self._graph is None:
                self._judge()
            else:
                self._graph.replay()
            staging_buffer.bring(self._output, self._stream)
        self._submitted.append(staging_buffer)

    def collect(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The answers to the oldest batch that was submitted, for which it waits: as `__call__`'s.

        They lie in this evaluator's memory, and are valid until the next `submit`. Raises GameError where an answer
        is not a number, and RuntimeError where nothing was submitted.
        """
        if not self._submitted:
            raise RuntimeError("nothing was submitted that could be collected")
        staging_buffer = self._submitted.popleft()
        self._free.append(staging_buffer)
        if staging_buffer.done is not None:
            staging_buffer.done.synchronize()
        answers, values_start = staging_buffer.answers, self.batch_size * self._num_actions
        if not np.isfinite(answers[-1]):
            raise GameError(NOT_NUMBERS)
        logits = answers[: staging_buffer.count * self._num_actions].reshape(staging_buffer.count, self._num_actions)
        return logits, answers[values_start : values_start + staging_buffer.count]

    def __call__(self, planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `keima.agent.inference.evaluator.Evaluator`. Any number of positions; nothing may be submitted and not
        collected."""
        if self._submitted:
            raise RuntimeError(f"{len(self._submitted)} batches are on their way: collect() them first")
        logits = np.empty((len(planes), self._num_actions), np.float32)
        values = np.empty(len(planes), np.float32)
        for start in range(0, len(planes), self.batch_size):
            part = slice(start, start + self.batch_size)
            self.submit(planes[part])
            logits[part], values[part] = self.collect()
        return logits, values

    def _pack(self, planes: NDArray[np.float32]) -> bool:
        """Writes the planes to the next staging_buffer as bits; False where they cannot be."""
        bits = planes.reshape(len(planes), math.prod(self._shape)).view(np.uint32)
        return bool(pack_bits(bits, self._free[0].planes[: len(planes)].numpy()))

    def _finish(self) -> None:
        """Waits until every batch that was submitted has been judged and copied."""
        if self._stream is not None:
            self._stream.synchronize()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """What torch is asked for here goes to this evaluator's stream."""
        stream = contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
        with torch.inference_mode(), stream:
            yield


def _sizes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
