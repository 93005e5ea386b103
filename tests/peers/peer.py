"""The peer's process, as tests/peers/compare.py sees it; and Keima's network as the peer takes it."""

import json
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.network import Network
from keima.games.contract import Game, GameError

SCRIPT = Path(__file__).with_name("pgx_mctx.py")
RANDOM = "random"
"""The name of weights that each side draws for itself."""
JUDGED_MOVES = [2, 2, 3, 0, 0]
"""To a position that looks like no other seen in a mirror, from the other side, or upside down."""
TOLERANCE = 0.05
"""How far probabilities and values that bfloat16 gives may be from those in float32."""

Counts = dict[str, float]
"""What was done in a burst, by name; also the seconds it took, cpu_s and wall_s."""


class Peer:
    """One of the contenders in the peer's process."""

    def __init__(self, process: "PeerProcess", number: int, facts: Mapping[str, Any], weights: str) -> None:
        how = f"{facts['policy']}, {facts['precision']}, {facts['batch']} games"
        self.name = f"pgx with mctx: {how}, {weights} weights"
        self.weights = weights
        self.judgement: list[float] = facts["judgement"]
        self._process = process
        self._number = number

    def burst(self, seconds: float) -> Counts:
        """Works for at least so long."""
        done = self._process.ask(json.dumps([self._number, seconds]))
        return {name: done[name] for name in ("evaluations", "simulations", "moves", "cpu_s", "wall_s")}


class PeerProcess:
    """The peer, which works when it is asked to and otherwise waits. Ends with the block."""

    def __init__(self, python: str, core: int | None, options: list[str]) -> None:
        self._command = [
            python,
            str(SCRIPT),
            *options,
            f"--judge={','.join(map(str, JUDGED_MOVES))}",
            *([] if core is None else [f"--core={core}"]),
        ]

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                [*self._command, "--serve"],
                stdin=subprocess.PIPE,  # its end is the peer's
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for this process to answer
            )
        except OSError as error:
            raise GameError(f"--peer-python {self._command[0]}: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def contenders(self, weights: Mapping[str, str]) -> tuple[list[Peer], dict[str, str]]:
        """All there are, once they are compiled; and the versions of what the peer is made of.

        weights: the names of those that the peer was given, by its own name for them.
        """
        ready = self._answer()
        peers = [Peer(self, number, facts, weights[facts["weights"]]) for number, facts in enumerate(ready["ready"])]
        return peers, ready["versions"]

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise GameError(f"the peer ended with exit code {self._process.wait()}: {shlex.join(self._command)}")
        return dict(json.loads(line))


def weights_for_peer(network: Network) -> dict[str, np.ndarray]:
    """The network's weights as the peer takes them: channels last, otherwise its planes are Keima's."""
    folded: Any = network.for_inference().float()
    found: dict[str, Any] = {}

    def put(name: str, weight: torch.Tensor, bias: torch.Tensor) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = weight.numpy(), bias.numpy()

    def convolution(name: str, layer: Any) -> None:
        put(name, layer.convolution.weight.permute(2, 3, 1, 0), layer.convolution.bias)

    def of_cells(name: str, layer: Any, channels: int) -> None:
        by_cell = layer.weight.reshape(len(layer.weight), channels, 6, 7).permute(2, 3, 1, 0)
        put(name, by_cell.reshape(-1, len(layer.weight)), layer.bias)

    def one_by_one(name: str, layer: Any) -> None:
        put(name, layer.convolution.weight[:, :, 0, 0].T, layer.convolution.bias)

    convolution("stem", folded.stem)
    for index, block in enumerate(folded.blocks):
        convolution(f"{index}.first", block.first)
        convolution(f"{index}.second", block.second)
        if block.from_pool is not None:  # the mean's scaling by the board's width is part of the weights
            mean, scaled, largest = block.from_pool.weight.T.chunk(3)
            put(f"{index}.from_pool", torch.cat([mean + scaled * (42**0.5 - 14) * 0.1, largest]), block.from_pool.bias)
    one_by_one("policy.reduce", folded.policy.reduce)
    of_cells("policy.dense", folded.policy.dense, network.config.policy_channels)
    one_by_one("value.reduce", folded.value.reduce)
    of_cells("value.hidden", folded.value.hidden, network.config.value_channels)
    put("value.outcome", folded.value.outcome.weight.T, folded.value.outcome.bias)
    return found


def check(game: Game, networks: Mapping[str, Network], peers: list[Peer]) -> None:
    """Raises GameError where the peer's network is another than ours; random ones are."""
    state = game.new_state()
    for move in JUDGED_MOVES:
        state = game.after(state, move)
    for peer in peers:
        if peer.weights == RANDOM:
            continue
        logits, values = make_evaluator(game, networks[peer.weights], "torch-f32")(game.planes(state)[None])
        ours = [*torch.softmax(torch.from_numpy(logits[0]), 0).tolist(), float(values[0])]
        if not np.allclose(ours, peer.judgement, rtol=0, atol=TOLERANCE):
            raise GameError(f"{peer.name}: expected policy and value {ours}, got {peer.judgement}")
