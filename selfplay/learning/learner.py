"""The learner: trains the network on batches, keeps its EMA network, and can be stopped and continued.

The EMA network (exponential moving average of the weights over steps) is the one that plays and that is saved as the
model. The learner's whole state (weights, averages, optimizer, counters) is one safetensors file. A run that loads it
makes the same next step, to the bit on the same machine.

No step reads the clock. A run's progress is the fraction of its minutes that had passed when the newest segment of
games came in, which is kept with that segment (`begin_segment`), or the fraction of `run.max_steps`, whichever is more.
The learning rate's schedule and the network's growth follow it. A run that is resumed with more minutes has made less
progress than before: its learning rate rises again (a warm restart). A network that has grown stays as it is.
"""

import copy
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from keima.agent.inference.torch_evaluator import default_device, has_fast_bfloat16
from keima.agent.nets import fused
from keima.agent.nets.checkpoint import CheckpointError, read_tensors, write_tensors
from keima.agent.nets.network import ConvNorm, Network, Outputs, with_current_names
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import Game
from keima.selfplay.config.schema import LearnerConfig, TrainConfig
from keima.selfplay.learning.growth import grow, mix_in_answers
from keima.selfplay.learning.muon import Muon
from keima.selfplay.replay.sampling import Batch

STATE_FORMAT = "keima-learner-2"
_NEVER = -1  # the step at which a network has grown that has not


@dataclass(frozen=True)
class Losses:
    """One step's losses on its batch before the step, unweighted, in nats or squares."""

    policy: float  # KL(target || network) over the legal actions
    value: float  # cross-entropy of win, draw, loss
    ownership: float  # mean squared error, 0 where the game has none
    score: float  # -log of the probability given to the final score, 0 where the game has none
    opponent_policy: (
        float  # KL(target || network) over all actions, 0 where the next move is not known or not asked for
    )
    soft_policy: float  # as the policy's, of the softened target; 0 where not asked for
    total: float  # weighted sum, which is descended
    gradient_norm: float


class Learner:
    """A network in training."""

    def __init__(self, game: Game, config: TrainConfig, device: torch.device | None = None) -> None:
        self.game = game
        self.config = config
        self.device = device or default_device()
        self._fast_bfloat16 = has_fast_bfloat16(self.device)
        torch.manual_seed(config.seed)  # the initial weights' seed
        network = Network(game, config.network)
        self._take_over(network, copy.deepcopy(network))
        self.teacher: Network | None = None
        """While a network that has grown learns from the smaller one: that one's EMA network."""
        self.grown_at = _NEVER
        """The step at which the network grew."""
        self.step = 0
        """Training steps made."""
        self.segment_progress = 0.0
        """The fraction of the run's minutes that had passed when the segment came in whose steps are being made."""

    def _take_over(self, network: Network, ema_network: Network) -> None:
        """Continues with these networks and a fresh optimizer."""
        # Channels last and bfloat16 arithmetic (the weights stay float32) train 3.3 times as fast on a Zen 5 core.
        self.network, self.ema_network = (
            model.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for model in (network, ema_network)
        )
        self.network.score_weight = self.ema_network.score_weight = self.config.search.score_weight
        self.ema_network.eval().requires_grad_(False)
        self._parameters = list(self.network.parameters())
        options = self.config.learner
        normalized = [m.convolution for m in self.network.modules() if isinstance(m, ConvNorm)]
        filters = [convolution.weight for convolution in normalized if isinstance(convolution, nn.Conv2d)]
        self.muon = Muon(filters, options.muon_rate) if options.muon_rate else None
        by_muon = {id(p) for p in filters} if self.muon else set()
        others = [p for p in self._parameters if id(p) not in by_muon]
        decayed = [p for p in others if p.ndim > 1]
        rest = [p for p in others if p.ndim <= 1]  # biases and normalizations are left alone
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=options.learning_rate,
            fused=True,
        )
        self._buffers = list(self.network.buffers())
        self._buffers_before = [torch.empty_like(buffer) for buffer in self._buffers]
        pairs = list(zip(self.ema_network.state_dict().values(), self.network.state_dict().values(), strict=True))
        self._ema_values, self._ema_sources = _unzipped(p for p in pairs if p[0].is_floating_point())
        self._copies, self._copied_values = _unzipped(p for p in pairs if not p[0].is_floating_point())

    def begin_with(self, network: Network) -> None:
        """Takes over a trained network's weights, before the first step; growth makes it a network of this config."""
        self._take_over(*(grow(network, self.game, self.config.network, self.config.seed) for _ in range(2)))

    def warm_up(self) -> None:
        """Compiles what the first step would have to compile: seconds on the first run of all."""
        if self.device.type == "cpu":
            fused.warm_up(torch.bfloat16 if self._fast_bfloat16 else torch.float32)

    @property
    def acting_network(self) -> Network:
        """The network that actors play with: the EMA network, or the smaller one that it still learns from."""
        return self.ema_network if self.teacher is None else self.teacher

    @property
    def progress(self) -> float:
        """How far the run has come, 0 to 1; see the module's docstring."""
        max_steps = self.config.run.max_steps
        return min(1.0, max(self.segment_progress, self.step / max_steps if max_steps else 0.0))

    @property
    def learning_rate(self) -> float:
        """AdamW's in the next step."""
        return self.config.learner.learning_rate * self._rate_fraction

    @property
    def _rate_fraction(self) -> float:
        """The fraction of the learning rates that the next step has."""
        since = self.step if self.grown_at == _NEVER else self.step - self.grown_at
        options = self.config.learner
        return min(1.0, (since + 1) / max(options.warmup_steps, 1)) * scheduled(options, self.progress)

    def begin_segment(self, progress: float) -> bool:
        """Call this before the steps that a segment allows; True where the network grows with it.

        progress: the fraction of the run's minutes that had passed when the segment came in.
        """
        self.segment_progress = progress
        growth = self.config.growth
        if not growth.at_progress or self.grown_at != _NEVER or self.progress < growth.at_progress:
            return False
        config, smaller = growth.network(self.config.network), self.ema_network
        grown = [grow(network, self.game, config, self.config.seed) for network in (self.network, smaller)]
        self._take_over(*grown)
        self.grown_at = self.step
        self.teacher = smaller if growth.distill_steps else None
        return True

    def train(self, batch: Batch) -> Losses:
        """One step on a batch. The losses are those before the step."""
        options = self.config.learner
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        if self.muon is not None:
            self.muon.param_groups[0]["lr"] = options.muon_rate * self._rate_fraction
        torch._foreach_copy_(self._buffers_before, self._buffers)
        tensors = self.targets(batch)
        planes = self._on_device(batch.planes).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._fast_bfloat16):
            if self.teacher is not None:
                mix_in_answers(tensors, self.teacher, planes)
            outputs: Outputs = self.network(planes).float()
        parts = self._losses(outputs, tensors)
        total = torch.stack([weight * parts[name] for name, weight in self._weights().items()]).sum()
        for parameter in self._parameters:
            parameter.grad = None
        total.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        # All that is told of the step is fetched at once, before the weights are touched: the only time that the host
        # waits for a GPU, which goes on with the step while the next batch is drawn.
        shown = {**parts, "total": total, "gradient_norm": length}
        losses = Losses(**dict(zip(shown, torch.stack(list(shown.values())).tolist(), strict=True)))
        norm = losses.gradient_norm
        if math.isfinite(norm):
            if norm > options.max_gradient_norm:
                torch._foreach_mul_(gradients, options.max_gradient_norm / norm)
            for optimizer in self.optimizers().values():
                optimizer.step()
            self._average()
        else:  # a step along NaN would end the run; the diagnosis tells of it
            torch._foreach_copy_(self._buffers, self._buffers_before)  # the normalizations have seen the NaN
        self.step += 1
        if self.teacher is not None and self.step - self.grown_at >= self.config.growth.distill_steps:
            self.teacher = None
        return losses

    @torch.no_grad()
    def predict(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The EMA network's probabilities of win, draw and loss [n, 3], and of the legal actions [n, A]."""
        outputs: Outputs = self.ema_network(self._on_device(batch.planes))
        policies = torch.softmax(outputs.policy.masked_fill(~self.targets(batch)["legal"], -1e9), 1)
        return torch.softmax(outputs.value, 1).cpu().numpy(), policies.cpu().numpy()

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """What the network learns from a batch, on the device, where policies [n, A] and legal moves become dense.

        A is the number of actions on the batch's board, which need not be the run's own.
        """
        # In a mix of boards each has its cells' actions, and the same ones that stand for no cell.
        rows, columns = self.game.shape
        more_cells = batch.planes.shape[2] * batch.planes.shape[3] - rows * columns
        num_actions = self.game.num_actions + self.game.policy_planes * more_cells
        own = {name: self._on_device(array) for name, array in batch._asdict().items() if name != "planes"}
        actions, opponent_actions = own.pop("actions"), own.pop("opponent_actions")
        own["legal"] = _dense(actions, torch.ones_like(actions, dtype=torch.bool), num_actions)
        own["policy"] = _dense(actions, own.pop("probabilities"), num_actions)
        own["opponent_policy"] = _dense(opponent_actions, own.pop("opponent_probabilities"), num_actions)
        return own

    def _on_device(self, array: NDArray[Any]) -> Tensor:
        """For a GPU by way of pinned memory, from which it copies while the host goes on."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _weights(self) -> dict[str, float]:
        """Of the parts of the loss."""
        options = self.config.learner
        return {
            "policy": 1.0,
            "value": options.value_weight,
            "ownership": options.ownership_weight,
            "score": options.score_weight,
            "opponent_policy": options.opponent_policy_weight,
            "soft_policy": options.soft_policy_weight,
        }

    def _losses(self, outputs: Outputs, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        target, illegal = batch["policy"], ~batch["legal"]
        parts = {
            "policy": _divergence(target, outputs.policy.masked_fill(illegal, -1e9)),
            "value": -(batch["outcome"] * torch.log_softmax(outputs.value, 1)).sum(1).mean(),
        }
        if outputs.ownership is not None:
            parts["ownership"] = functional.mse_loss(outputs.ownership, batch["ownership"])
        if outputs.score is not None:
            assert outputs.score_spread is not None
            point = self.game.score_per_point / self.game.score_unit
            parts["score"] = score_negative_log_likelihood(
                batch["score"], outputs.score, outputs.score_spread, point
            ).mean()
        if outputs.reply is not None:
            # Over all actions: which are legal depends on a move that the network is not told.
            parts["opponent_policy"] = _divergence(batch["opponent_policy"], outputs.reply)
        if outputs.soft_policy is not None:
            parts["soft_policy"] = _divergence(softened(target), outputs.soft_policy.masked_fill(illegal, -1e9))
        zero = torch.zeros((), device=self.device)
        return {name: parts.get(name, zero) for name in self._weights()}

    @torch.no_grad()
    def _average(self) -> None:
        decay = self.config.learner.ema_decay
        if not self.config.start_from:  # a start that was trained is worth remembering
            # Early on the average of the few steps there are: a decay of 0.999 would remember a random start for long.
            decay = min(decay, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(self._ema_values, self._ema_sources, 1 - decay)
        torch._foreach_copy_(self._copies, self._copied_values)

    # --- the state on disk

    def save_state(self, path: Path, progress: dict[str, Any]) -> None:
        """Writes everything needed to go on, with the run's own `progress` (JSON values) in the same file."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.ema_network.state_dict().items()}
        if self.teacher is not None:
            tensors |= {f"teacher.{name}": tensor for name, tensor in self.teacher.state_dict().items()}
        for kind, optimizer in self.optimizers().items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{kind}.{index}.{name}": tensor for name, tensor in state.items()}
        values = {"step": self.step, "grown_at": self.grown_at, "segment_progress": self.segment_progress}
        write_tensors(path, tensors, {"format": STATE_FORMAT, **values, "progress": progress})

    def load_state(self, path: Path) -> dict[str, Any]:
        """Restores a saved state and returns the run's progress. Raises CheckpointError."""
        tensors, metadata = read_tensors(path)
        # As states have them that were saved under the names of before.
        tensors = {re.sub(r"^averaged\.", "ema.", name): tensor for name, tensor in tensors.items()}
        if "time_share" in metadata:
            metadata["segment_progress"] = metadata.pop("time_share")
        try:
            if metadata["format"] != STATE_FORMAT:
                raise KeyError("format")
            step, grown_at, small = int(metadata["step"]), int(metadata["grown_at"]), self.config.network
            if not _NEVER <= grown_at <= step:
                raise ValueError(f"grown at step {grown_at} of {step}")
            config = small if grown_at == _NEVER else self.config.growth.network(small)
            networks = [self._built(config, _under(name, tensors)) for name in ("network", "ema")]
            teacher = _under("teacher", tensors)
            self._take_over(*networks)
            self.teacher = self._built(small, teacher).to(self.device).eval().requires_grad_(False) if teacher else None
            if self.teacher is not None:
                self.teacher.score_weight = self.config.search.score_weight
            for kind, optimizer in self.optimizers().items():
                state: dict[int, dict[str, Tensor]] = {}
                for name, tensor in _under(kind, tensors).items():
                    index, _, part = name.partition(".")
                    state.setdefault(int(index), {})[part] = tensor
                self._load_optimizer(optimizer, state)
            self.step, self.grown_at = step, grown_at
            self.segment_progress = float(metadata["segment_progress"])
            return dict(metadata["progress"])
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{path}: does not hold the state of this run's learner ({reason})") from None

    def _built(self, config: NetworkConfig, tensors: dict[str, Tensor]) -> Network:
        network = Network(self.game, config)
        network.load_state_dict(with_current_names(tensors))
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """By what their state on disk is named."""
        return {"optimizer": self.optimizer} | ({} if self.muon is None else {"muon": self.muon})

    def _load_optimizer(self, optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Tensor]]) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if state and state.keys() != set(range(len(parameters))):
            raise ValueError(f"an optimizer of {len(state)} parameters, expected {len(parameters)}")
        for index, parts in state.items():
            parameter = parameters[index]
            if isinstance(optimizer, Muon):
                expected = Muon.new_state(parameter)
            else:
                # Laid out as the parameter is: the fused optimizer goes by the place in memory.
                moments = {name: torch.empty_like(parameter, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
                expected = {**moments, "step": torch.zeros((), device=self.device)}
            for name, tensor in expected.items():
                if parts[name].shape != tensor.shape:
                    raise ValueError(f"{index}.{name}: {list(parts[name].shape)}")
                tensor.copy_(parts[name])
            optimizer.state[parameter] = expected


def scheduled(options: LearnerConfig, share: float) -> float:
    """The factor that a schedule puts on the learning rate when the run's progress is `share`, 0 to 1."""
    left = {"constant": 1.0, "linear": 1.0 - share, "cosine": 0.5 + 0.5 * math.cos(math.pi * share)}[options.schedule]
    return options.final_learning_rate_fraction + (1.0 - options.final_learning_rate_fraction) * left


def softened(policy: Tensor) -> Tensor:
    """Policies [n, A] at temperature 4: p^(1/4), made to sum to 1. Lesser moves weigh more; moves at 0 stay at 0.

    KataGo's soft policy target (KataGoMethods, "Auxiliary Soft Policy Target"). A small error of a logit is 1 / 16 as
    large in this divergence as in the policy's own, which is why KataGo weighs it by 8. While errors are large the
    difference is smaller (after a minute of Connect Four it is 0.4 of the policy's): a weight of 2 makes it count about
    as much.
    """
    weights = policy.pow(0.25)
    return weights / weights.sum(1, keepdim=True)


def score_negative_log_likelihood(scores: Tensor, means: Tensor, spreads: Tensor, step: float) -> Tensor:
    """-log of the probability [n], in nats, of each score's step of a logistic distribution; scores `step` apart.

    Of the step from half of it below a score to half of it above, and not the density there: that would grow beyond
    all bounds where the score is certain. And logistic, not normal, so that a game that turns round at its end does
    not outweigh a hundred others: far from the mean the loss grows as the distance, not as its square.
    """
    # sigmoid(high) - sigmoid(low) = sigmoid(high) * sigmoid(-low) * (1 - exp(low - high)), which does not cancel out.
    low, high = (scores - step / 2 - means) / spreads, (scores + step / 2 - means) / spreads
    return functional.softplus(-high) + functional.softplus(low) - torch.log(-torch.expm1(-step / spreads))


def _divergence(target: Tensor, logits: Tensor) -> Tensor:
    """Mean KL(target || softmax(logits)), of [n, A]; rows of zeros count as 0. Not cross-entropy: 0 is perfect."""
    return (torch.xlogy(target, target) - target * torch.log_softmax(logits, 1)).sum(1).mean()


def _unzipped(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    left, right = zip(*pairs, strict=True)
    return list(left), list(right)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix + "."): t for name, t in tensors.items() if name.startswith(prefix + ".")}


def _dense(actions: Tensor, entries: Tensor, num_actions: int) -> Tensor:
    """Rows [n, num_actions] with the entries [n, L] at their actions, 0 elsewhere; negative actions are none."""
    rows = entries.new_zeros(len(actions), num_actions + 1)  # the last column takes what is of no action
    return rows.scatter_(1, torch.where(actions < 0, num_actions, actions.long()), entries)[:, :num_actions]
