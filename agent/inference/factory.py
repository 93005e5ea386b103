"""Networks as the search's evaluator: planes in, policy logits and values out.

Everything that can judge positions stands behind the one call `evaluate(planes) -> (logits, values)`. What can run a
network is called a backend and named after its runtime and precision: `BACKENDS` lists them, `available_backends`
those of this machine, `make_evaluator` makes one. agent/inference/autotuning.py measures which of them is the fastest
sound one.
"""

import importlib.util

import torch

from keima.agent.inference.evaluator import Evaluator
from keima.agent.inference.torch_evaluator import DTYPES, TorchEvaluator, has_fast_bfloat16
from keima.agent.nets.network import Network
from keima.games.contract import Game, GameError

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
        from keima.agent.inference.openvino_evaluator import OpenVinoEvaluator

        return OpenVinoEvaluator(game, network, precision, batch_size)
    if runtime == "cuda" and batch_size is not None:
        from keima.agent.inference.cuda_evaluator import CudaEvaluator

        return CudaEvaluator(game, network, precision, batch_size)
    # A graph is captured for one size of batch and takes a second to make: not for those who ask for a few positions.
    return TorchEvaluator(network, torch.device("cuda" if runtime == "cuda" else "cpu"), DTYPES[precision])
