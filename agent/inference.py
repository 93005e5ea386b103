"""Networks as the search's evaluator: planes in, policy logits and values out.

Everything that can judge positions stands behind the one call `evaluate(planes) -> (logits, values)`. What can run a
network is called a backend and named after its runtime and precision: `BACKENDS` lists them, `available_backends`
those of this machine, `make_evaluator` makes one. agent/backends.py measures which of them is the fastest sound one.
"""

import importlib.util
import threading
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from agent.network import Network
from games.contract import ONGOING, Game, GameError

BACKENDS = {
    "torch-f32": "torch in float32",
    "torch-bf16": "torch in bfloat16",
    "openvino-f32": "OpenVINO in float32",
    "openvino-bf16": "OpenVINO in bfloat16",
    "openvino-int8": "OpenVINO with the tower's convolutions in 8 bits, the rest as precise as is fast",
    "cuda-bf16": "torch on a CUDA GPU, in bfloat16",
    "cuda-f16": "torch on a CUDA GPU, in float16",
}
"""What can run a network."""

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
"""Precisions by their names in BACKENDS."""

NOT_NUMBERS = "the network's answers are not numbers: its training failed, or its input is wrong"


class Evaluator(Protocol):
    """A network that judges positions. Holds its own copy of the network's weights."""

    backend: str
    """Which of BACKENDS it is."""
    score_weight: float
    """The network's: how much of the values is the score; see mcts.search."""

    def update(self, network: Network) -> None:
        """Takes over a network's weights as they are now; its sizes may differ from those before."""

    def __call__(self, planes: NDArray[np.float32], /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Planes float32 [n, C, H, W] -> logits float32 [n, A], values float32 [n] in [-1, 1] of the side to move.

        Values are those of Network.judge.

        Raises GameError where the network gives something that is not a number.
        """


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 has instructions of its own there; emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capability = torch.backends.cpu.get_cpu_capability()
    flags = _cpu_flags()
    return "AVX512" in capability and ("avx512_bf16" in flags or "amx_bf16" in flags)


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo") as file:
            return next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:  # not Linux
        return set()


def available_backends() -> list[str]:
    """The backends that can run here and are worth trying, without lower precisions that would be emulated."""
    runtimes = ["torch", *(["openvino"] if importlib.util.find_spec("openvino") is not None else [])]
    precisions = ["f32", *(["bf16"] if has_fast_bfloat16(torch.device("cpu")) else []), "int8"]
    found = [f"{runtime}-{precision}" for runtime in runtimes for precision in precisions]
    if torch.cuda.is_available():
        found += ["cuda-f16", *(["cuda-bf16"] if has_fast_bfloat16(torch.device("cuda")) else [])]
    return [backend for backend in found if backend in BACKENDS]


def default_backend() -> str:
    """What runs a network where nobody has measured: the fastest kind of those that lose no strength."""
    available = available_backends()
    order = ("cuda-bf16", "cuda-f16", "openvino-bf16", "torch-bf16", "openvino-f32", "torch-f32")
    return next(backend for backend in order if backend in available)


def check_backend(backend: str) -> None:
    """Raises GameError for a backend that is unknown or cannot run here."""
    if backend not in available_backends():
        what = "cannot run here" if backend in BACKENDS else "is none of Keima's"
        raise GameError(f"backend {backend} {what}: expected one of {', '.join(available_backends())}")


def make_evaluator(
    game: Game, network: Network, backend: str | None = None, batch_size: int | None = None
) -> Evaluator:
    """The evaluator of that name, by default of `default_backend`.

    batch_size: how many positions most calls will have; calls with any other number work too, and may be slower.
    Raises GameError for a backend that is unknown or cannot run here.
    """
    backend = backend or default_backend()
    check_backend(backend)
    runtime, _, precision = backend.partition("-")
    if runtime == "openvino":
        from agent.openvino_inference import OpenVinoEvaluator

        return OpenVinoEvaluator(game, network, precision, batch_size)
    if runtime == "cuda" and batch_size is not None:
        from agent.cuda_inference import CudaEvaluator

        return CudaEvaluator(game, network, precision, batch_size)
    # A graph is captured for one size of batch and takes a second to make: not for those who ask for a few positions.
    return TorchEvaluator(network, torch.device("cuda" if runtime == "cuda" else "cpu"), DTYPES[precision])


class TorchEvaluator:
    """A network run by torch, in bfloat16 where the processor has instructions for it."""

    def __init__(self, network: Network, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        self.device = device or default_device()
        self.dtype = dtype or (torch.bfloat16 if has_fast_bfloat16(self.device) else torch.float32)
        precision = next(name for name, dtype in DTYPES.items() if dtype == self.dtype)
        self.backend = f"{'cuda' if self.device.type == 'cuda' else 'torch'}-{precision}"
        self.update(network)

    def update(self, network: Network) -> None:
        """Takes over the network's weights as they are now."""
        self.score_weight = network.score_weight
        self._network = network.for_inference().to(self.device, self.dtype)
        # Convolutions of a few channels are a fifth to a third faster on a processor in this order.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Evaluator`."""
        with torch.inference_mode():
            on_device = torch.from_numpy(planes).to(self.device, self.dtype)
            logits, values = self._network.judge(on_device.contiguous(memory_format=torch.channels_last))
            return checked(logits.cpu().numpy(), values.cpu().numpy())


class OutcomeJudge:
    """What a network says of results: win, draw and loss apart, where an evaluator gives one value. In float32.

    By OpenVINO where it is installed: a single position on a busy machine took torch's threads half a second.
    """

    def __init__(self, game: Game, network: Network, at_once: int = 256) -> None:
        """`at_once`: how many positions are judged in one batch, which bounds the memory."""
        self._game = game
        self._network = network.for_inference().cpu().float()
        self._at_once = at_once
        self._request: Any = None
        self._lock = threading.Lock()  # one request, and a screen may ask from several threads

    def __call__(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Planes [n, C, H, W] -> probabilities [n, 3] of win, draw and loss for the side to move.

        Raises GameError where one is not a number.
        """
        with self._lock:
            parts = [self._judge(planes[i : i + self._at_once]) for i in range(0, len(planes), self._at_once)]
        outcomes = np.concatenate(parts)
        if not np.isfinite(outcomes).all():
            raise GameError(NOT_NUMBERS)
        return outcomes

    def _judge(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        if importlib.util.find_spec("openvino") is None:
            with torch.inference_mode():
                return self._network.outcomes(torch.from_numpy(planes)).numpy()
        if self._request is None:
            from agent.openvino_inference import compile_outcomes

            self._request = compile_outcomes(self._network, self._game)
        answers = self._request.infer([planes], share_inputs=True, share_outputs=True)
        return np.array(answers[0], np.float32)


def checked(
    logits: NDArray[np.float32], values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An evaluator's answers as they are. Raises GameError where one is not a number."""
    # A sum is not finite if any term is not, and takes no memory. A search would follow NaN nowhere and not come back.
    with np.errstate(all="ignore"):  # what numpy would warn of is what is asked here
        are_finite = np.isfinite(logits.sum()) and np.isfinite(values.sum())
    if not are_finite:
        raise GameError(NOT_NUMBERS)
    return logits, values


def random_positions_planes(game: Game, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Planes float32 [count, C, H, W] of positions from games of random moves, for measuring and calibrating."""
    random = np.random.default_rng(seed)
    planes = np.empty((count, game.num_planes, *game.shape), np.float32)
    # Of a long game only some positions, so that these come from several games.
    share = min(1.0, 16 / game.max_plies)
    state, found = game.new_state(), 0
    while found < count:
        if game.outcome(state) != ONGOING:
            state = game.new_state()
        if random.random() < share:
            planes[found] = game.planes(state)
            found += 1
        state = game.after(state, int(random.choice(game.legal(state))))
    return planes
