"""The network: a residual tower with global pooling, a policy head, a win/draw/loss head, a game's auxiliary heads.

It follows KataGo (arXiv 1902.10565): pooling over the board lets every other block see the whole of it, and lets heads
work at any board size. Where a game's policy is laid out over the board (`policy_planes`), nothing in the network
depends on the board's size. Otherwise (Connect Four's columns) policy and value heads are dense, which is stronger at
the one size that there is.

Dimensions: N positions, C channels, H x W board, A actions.
"""

import copy
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from keima.agent.nets import fused
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import Game

MIN_SCORE_SPREAD = 0.01
"""However sure of a score, so that a wrong one costs a gradient of 100 at most."""


class Outputs(NamedTuple):
    """The network's answers for N positions, each seen by its side to move."""

    policy: Tensor  # [N, A] logits
    value: Tensor  # [N, 3] logits of win, draw, loss
    ownership: Tensor | None  # [N, H * W] in [-1, 1]: the side to move's +1, the opponent's -1
    score: Tensor | None  # [N] final score over the game's score_unit: the mean of a logistic distribution
    score_spread: Tensor | None = None  # [N] its scale, in the same unit: a standard deviation is 1.81 times that
    reply: Tensor | None = None  # [N, A] logits of the opponent's next action, whatever one's own
    soft_policy: Tensor | None = None  # [N, A] logits of the policy at a temperature

    def float(self) -> "Outputs":
        """The same in float32."""
        return Outputs(*(None if part is None else part.float() for part in self))  # type: ignore[arg-type]


def pool(x: Tensor, channels: int | None = None) -> Tensor:
    """[N, C, H, W] -> [N, 3 C]: each channel's mean, mean scaled by the board's width, and maximum.

    channels: only of so many channels, the first ones.
    """
    if x.requires_grad and fused.suits(x):
        mean, most = fused.pool(x, x.shape[1] if channels is None else channels)
    else:
        mean, most = x[:, :channels].mean((2, 3)), x[:, :channels].amax((2, 3))
    width = (x.shape[2] * x.shape[3]) ** 0.5
    return torch.cat([mean, mean * ((width - 14.0) * 0.1), most], 1)


def broadcast_add(x: Tensor, by_position: Tensor) -> Tensor:
    """x [N, C, H, W] with by_position [N, C] added in every cell of the board."""
    if x.requires_grad and fused.suits(x):
        return fused.broadcast_add(x, by_position)
    return x + by_position[:, :, None, None]


class ConvNorm(nn.Module):
    """A convolution without bias and its batch normalization; `fold` merges the two into one convolution."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int) -> None:
        super().__init__()
        self.convolution: nn.Module = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x))  # type: ignore[no-any-return]

    def rectified(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """relu(self(x) + residual)."""
        x = self.convolution(x)
        if self.training and isinstance(self.norm, nn.BatchNorm2d) and fused.suits(x):
            return fused.batch_norm_relu(x, self.norm, residual)
        x = self.norm(x)
        return torch.relu(x if residual is None else residual + x)

    def fold(self) -> None:
        """Makes the normalization part of the convolution's weights; only right in evaluation mode."""
        self.convolution = fuse_conv_bn_eval(self.convolution, self.norm)  # type: ignore[type-var,arg-type]
        self.norm = nn.Identity()


class Block(nn.Module):
    """A residual block. With `pooled_channels`, that many of its channels are pooled over the board and added to all
    channels.
    """

    def __init__(self, channels: int, pooled_channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3)
        self.pooled_channels = min(pooled_channels, channels)
        self.from_pool = nn.Linear(3 * self.pooled_channels, channels) if pooled_channels else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.first.rectified(x)
        if self.from_pool is not None:
            y = broadcast_add(y, self.from_pool(pool(y, self.pooled_channels)))
        return self.second.rectified(y, residual=x)


class PolicyHead(nn.Module):
    """[N, C, H, W] -> [N, A] logits."""

    def __init__(self, game: Game, config: NetworkConfig) -> None:
        super().__init__()
        cells = game.shape[0] * game.shape[1]
        self.reduce = ConvNorm(config.channels, config.policy_channels, 1)
        self.planes = game.policy_planes
        if self.planes:
            others = game.num_actions - self.planes * cells
            self.from_pool = nn.Linear(3 * config.policy_channels, config.policy_channels)
            self.spatial_logits = nn.Conv2d(config.policy_channels, self.planes, 1)
            self.global_logits = nn.Linear(3 * config.policy_channels, others) if others else None
        else:
            self.dense = nn.Linear(config.policy_channels * cells, game.num_actions)

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce.rectified(x)
        if not self.planes:
            return self.dense(y.flatten(1))  # type: ignore[no-any-return]
        pooled = pool(y)
        logits = self.spatial_logits(torch.relu(broadcast_add(y, self.from_pool(pooled)))).flatten(1)
        return logits if self.global_logits is None else torch.cat([logits, self.global_logits(pooled)], 1)


class ValueHead(nn.Module):
    """[N, C, H, W] -> [N, 3] logits of win, draw and loss, and [N, 2] the score's mean and spread where it has one."""

    def __init__(self, game: Game, config: NetworkConfig) -> None:
        super().__init__()
        self.reduce = ConvNorm(config.channels, config.value_channels, 1)
        self.dense = game.policy_planes == 0
        cells = game.shape[0] * game.shape[1]
        inputs = config.value_channels * (cells if self.dense else 3)
        self.hidden = nn.Linear(inputs, config.value_hidden)
        self.outcome = nn.Linear(config.value_hidden, 3)
        self.score = nn.Linear(config.value_hidden, 2) if game.has_score else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        y = self.reduce.rectified(x)
        hidden = torch.relu(self.hidden(y.flatten(1) if self.dense else pool(y)))
        if self.score is None:
            return self.outcome(hidden), None
        mean, spread = self.score(hidden).unbind(1)
        return self.outcome(hidden), torch.stack([mean, nn.functional.softplus(spread) + MIN_SCORE_SPREAD], 1)


_OLD_NAMES = {".by_cell.": ".spatial_logits.", ".others.": ".global_logits."}


def with_current_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's tensors by name, those that an older version has called otherwise among them."""
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def saturated_score(score: Tensor) -> Tensor:
    """Scores in the game's score_unit as values in [-1, 1]; as keima.mcts.selection.saturated_score."""
    return torch.atan(0.5 * score) * (2.0 / math.pi)


class Network(nn.Module):
    """The policy and value network of one game; see the module's docstring."""

    def __init__(self, game: Game, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.score_weight = 0.0
        """How much of `judge`'s values is the score, where the game has one."""
        self.stem = ConvNorm(game.num_planes, config.channels, 3)
        every = config.global_pooling_every
        self.blocks = nn.ModuleList(
            Block(config.channels, config.pooled_channels if every and i % every == every - 1 else 0)
            for i in range(config.blocks)
        )
        self.policy = PolicyHead(game, config)
        self.value = ValueHead(game, config)
        self.ownership = nn.Conv2d(config.channels, 1, 1) if game.has_ownership else None
        # Heads of their own, for what they teach the tower (KataGo); made last, so that with or without them the
        # rest begins with the same weights.
        self.reply = PolicyHead(game, config) if config.opponent_policy_head else None
        self.soft_policy = PolicyHead(game, config) if config.soft_policy_head else None

    def trunk(self, planes: Tensor) -> Tensor:
        """[N, planes, H, W] -> [N, C, H, W]."""
        x = self.stem.rectified(planes)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, planes: Tensor) -> Outputs:
        x = self.trunk(planes)
        value, of_score = self.value(x)
        score, score_spread = (None, None) if of_score is None else of_score.unbind(1)
        ownership = None if self.ownership is None else torch.tanh(self.ownership(x).flatten(1))
        reply, soft_policy = (None if head is None else head(x) for head in (self.reply, self.soft_policy))
        return Outputs(self.policy(x), value, ownership, score, score_spread, reply, soft_policy)

    def judge(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """What the search needs, without the auxiliary heads: policy logits [N, A], values [N] in [-1, 1].

        A value is win - loss, or with a `score_weight` a utility: see keima.mcts.search.
        """
        x = self.trunk(planes)
        outcome, of_score = self.value(x)
        outcome = torch.softmax(outcome.float(), 1)
        values = outcome[:, 0] - outcome[:, 2]
        if self.score_weight and of_score is not None:
            values = torch.lerp(values, saturated_score(of_score[:, 0].float()), self.score_weight)
        return self.policy(x).float(), values

    def outcomes(self, planes: Tensor) -> Tensor:
        """The probabilities of win, draw and loss for the side to move, [N, 3]."""
        return torch.softmax(self.value(self.trunk(planes))[0].float(), 1)

    def for_inference(self) -> "Network":
        """A copy in evaluation mode: normalizations folded into the convolutions, heads that only teach left out."""
        folded = copy.deepcopy(self).eval().requires_grad_(False)
        folded.reply = folded.soft_policy = None
        for module in list(folded.modules()):
            if isinstance(module, ConvNorm):
                module.fold()
        return folded

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())
