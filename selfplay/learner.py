"""The learner: trains the network on batches, keeps its averaged twin, and can be put down and taken up again.

The averaged weights (an exponential moving average over steps) are what plays and what is saved as the model. The
learner's whole state (weights, averages, optimizer, counters) is one safetensors file; with it a run goes on with
the step it would have made next, to the bit on the same machine.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from agent.checkpoint import CheckpointError, read_tensors, write_tensors
from agent.inference import default_device, has_fast_bfloat16
from agent.network import Network, Outputs
from games.contract import Game
from selfplay.config import TrainConfig
from selfplay.sampling import Batch

STATE_FORMAT = "keima-learner-1"


@dataclass(frozen=True)
class Losses:
    """One step's losses on its batch before the step, unweighted, in nats or squares."""

    policy: float  # KL(target || network) over the legal actions
    value: float  # cross-entropy of win, draw, loss
    ownership: float  # mean squared error, 0 where the game has none
    score: float  # smooth L1, 0 where the game has none
    total: float  # weighted sum, which is descended
    gradient_norm: float


class Learner:
    """A network in training."""

    def __init__(self, game: Game, config: TrainConfig, device: torch.device | None = None) -> None:
        self.game = game
        self.config = config
        self.device = device or default_device()
        torch.manual_seed(config.seed)  # the initial weights' seed
        # Channels last and bfloat16 arithmetic (the weights stay float32) train 3.3 times as fast on a Zen 5 core.
        self.network = Network(game, config.network).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._fast_bfloat16 = has_fast_bfloat16(self.device)
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        options = config.learner
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]  # biases and normalizations are left alone
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=options.learning_rate,
        )
        self.step = 0
        """Training steps made."""

    def train(self, batch: Batch) -> Losses:
        """One step on a batch. The losses are those before the step."""
        self.network.train()
        options = self.config.learner
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * min(1.0, (self.step + 1) / max(options.warmup_steps, 1))
        statistics = [buffer.clone() for buffer in self.network.buffers()]
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in batch._asdict().items()}
        planes = tensors["planes"].contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._fast_bfloat16):
            outputs: Outputs = self.network(planes).float()
        parts = self._losses(outputs, tensors)
        weights = {
            "policy": 1.0,
            "value": options.value_weight,
            "ownership": options.ownership_weight,
            "score": options.score_weight,
        }
        total = torch.stack([weight * parts[name] for name, weight in weights.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), options.max_gradient_norm)
        if math.isfinite(float(norm)):
            self.optimizer.step()
            self._average()
        else:  # a step along NaN would end the run; the diagnosis tells of it
            for buffer, before in zip(self.network.buffers(), statistics, strict=True):
                buffer.copy_(before)  # the normalizations have seen the NaN
        self.step += 1
        shown = {name: float(value.detach()) for name, value in parts.items()}
        return Losses(**shown, total=float(total.detach()), gradient_norm=float(norm))

    @torch.no_grad()
    def judge(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The averaged network's probabilities of win, draw and loss [n, 3], and of the legal actions [n, A]."""
        outputs: Outputs = self.averaged(torch.from_numpy(batch.planes).to(self.device))
        legal = torch.from_numpy(batch.legal).to(self.device)
        policies = torch.softmax(outputs.policy.masked_fill(~legal, -1e9), 1)
        return torch.softmax(outputs.value, 1).cpu().numpy(), policies.cpu().numpy()

    def _losses(self, outputs: Outputs, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        log_policy = torch.log_softmax(outputs.policy.masked_fill(~batch["legal"], -1e9), 1)
        target = batch["policy"]
        zero = torch.zeros((), device=self.device)
        return {
            # KL, not cross-entropy: 0 is perfect, whatever the targets' entropy.
            "policy": (torch.xlogy(target, target) - target * log_policy).sum(1).mean(),
            "value": -(batch["outcome"] * torch.log_softmax(outputs.value, 1)).sum(1).mean(),
            "ownership": zero
            if outputs.ownership is None
            else functional.mse_loss(outputs.ownership, batch["ownership"]),
            "score": zero if outputs.score is None else functional.smooth_l1_loss(outputs.score, batch["score"]),
        }

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average of the few steps there are: a decay of 0.999 would remember the random start for long.
        decay = min(self.config.learner.ema_decay, (self.step + 1) / (self.step + 10))
        pairs = zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True)
        for average, value in pairs:
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    # --- the state on disk

    def save_state(self, path: Path, progress: dict[str, Any]) -> None:
        """Writes everything needed to go on, with the run's own `progress` (JSON values) in the same file."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
        write_tensors(path, tensors, {"format": STATE_FORMAT, "step": self.step, "progress": progress})

    def load_state(self, path: Path) -> dict[str, Any]:
        """Takes a saved state over and returns the run's progress. Raises CheckpointError."""
        tensors, metadata = read_tensors(path)
        try:
            if metadata["format"] != STATE_FORMAT:
                raise KeyError("format")
            self.network.load_state_dict(_under("network", tensors))
            self.averaged.load_state_dict(_under("averaged", tensors))
            state = self.optimizer.state_dict()
            state["state"] = {}
            for name, tensor in _under("optimizer", tensors).items():
                index, _, part = name.partition(".")
                state["state"].setdefault(int(index), {})[part] = tensor
            self.optimizer.load_state_dict(state)
            self.step = int(metadata["step"])
            return dict(metadata["progress"])
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{path}: does not hold the state of this run's learner ({reason})") from None


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix + "."): t for name, t in tensors.items() if name.startswith(prefix + ".")}
