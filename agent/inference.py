"""Networks as the search's evaluator: planes in, policy logits and values out.

Everything that can judge positions stands behind the one call `evaluate(planes) -> (logits, values)`; further
backends are further classes with this call.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from agent.network import Network
from games.contract import GameError


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


class TorchEvaluator:
    """A network run by torch, in bfloat16 where the processor has instructions for it.

    Holds its own folded copy of the network's weights; `update` takes over new ones.
    """

    def __init__(self, network: Network, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        self.device = device or default_device()
        self.dtype = dtype or (torch.bfloat16 if has_fast_bfloat16(self.device) else torch.float32)
        self.update(network)

    def update(self, network: Network) -> None:
        """Takes over the network's weights as they are now."""
        self._network = network.for_inference().to(self.device, self.dtype)

    def __call__(self, planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Planes float32 [n, C, H, W] -> logits float32 [n, A], values float32 [n] in [-1, 1] of the side to move.

        Raises GameError where the network gives something that is not a number.
        """
        with torch.inference_mode():
            logits, values = self._network.judge(torch.from_numpy(planes).to(self.device, self.dtype))
            if not (logits.isfinite().all() and values.isfinite().all()):
                # A search would follow NaN nowhere, and never come back.
                raise GameError("the network's answers are not numbers: its training failed, or its input is wrong")
            return logits.cpu().numpy(), values.cpu().numpy()


def make_evaluator(network: Network) -> TorchEvaluator:
    """The evaluator that suits this machine."""
    return TorchEvaluator(network)
