"""Net growth: makes a larger network from a trained smaller one. It first computes the same, and can then learn more.

New blocks add nothing to their input, because the scale of their last normalization is 0. New channels are read by no
old filter, because the weights that would read them are 0. All other new weights begin as in a fresh network, so the
gradients reach all of them, and the network uses them as far as they help. (In Chen, Goodfellow and Shlens, "Net2Net",
ICLR 2016, new channels are copies; copies would stay alike.)

The first steps of a fresh optimizer could lose some of what the network knows. So for a number of steps half of the
target is the answer of the smaller network, which goes on playing meanwhile.

Dimensions: N positions, A actions, O outputs, I inputs.
"""

import torch
from torch import Tensor

from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import Game

TEACHER_SHARE = 0.5
"""How much of the targets are the smaller network's answers while the larger one learns from it."""


def grow(network: Network, game: Game, config: NetworkConfig, seed: int) -> Network:
    """A network of this config, in no size smaller than `network`, that answers what `network` answers.

    Heads that only teach may be left out or begin anew. The same seed makes the same network. It is in training mode,
    on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        larger = Network(game, config)
    fresh = larger.state_dict()
    kept = {name: own.cpu() for name, own in network.state_dict().items() if name in fresh}
    pooled = ("from_pool.weight", *(("global_logits.weight", "hidden.weight") if game.policy_planes else ()))
    state = {name: _placed(own, fresh[name], pooled=name.endswith(pooled)) for name, own in kept.items()}
    for block in range(network.config.blocks, config.blocks):
        state[f"blocks.{block}.second.norm.weight"] = torch.zeros(config.channels)
    larger.load_state_dict(fresh | state)
    return larger


def _placed(own: Tensor, fresh: Tensor, *, pooled: bool) -> Tensor:
    """A tensor of the larger network that does what `own` [O, I, ...] did: its first outputs ignore new inputs.

    pooled: whether the inputs are of `keima.agent.nets.network.pool`, where the channels lie three times one after the
    other.
    """
    if own.ndim == 0:  # a counter
        return own
    placed = fresh.clone()
    if own.ndim == 1:  # a bias [O], a normalization [O]
        placed[: len(own)] = own
        return placed
    outputs, inputs = own.shape[:2]
    placed[:outputs] = 0
    if pooled:
        wide = placed[:outputs].view(outputs, 3, -1, *own.shape[2:])
        wide[:, :, : inputs // 3] = own.reshape(outputs, 3, -1, *own.shape[2:])
    else:
        placed[:outputs, :inputs] = own
    return placed


@torch.no_grad()
def mix_in_answers(targets: dict[str, Tensor], teacher: Network, planes: Tensor) -> None:
    """Makes TEACHER_SHARE of the targets `policy` [N, A] and `outcome` [N, 3] what the teacher answers.

    targets: with `legal` [N, A]; its entries are replaced, the tensors left alone.
    """
    answers = teacher(planes).float()
    policy = torch.softmax(answers.policy.masked_fill(~targets["legal"], -1e9), 1)
    targets["policy"] = torch.lerp(targets["policy"], policy, TEACHER_SHARE)
    targets["outcome"] = torch.lerp(targets["outcome"], torch.softmax(answers.value, 1), TEACHER_SHARE)
