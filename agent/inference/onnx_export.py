"""Networks as ONNX files, for other programs: written by torch's exporter, run by another runtime before they are kept.

What a file takes and gives, N positions at a time, N being any number (C planes, H x W board, A actions):

    planes        [N, C, H, W] float32    in: positions as the game's `encode` draws them, seen by the side to move
    policy        [N, A]                  out: a logit for each action, illegal ones too, which the caller leaves out
    value         [N]                     the expected result of the side to move: -1 a loss, 0 a draw, +1 a win
    outcome       [N, 3]                  probabilities of win, draw and loss; value is the first less the last
    ownership     [N, H * W]              where the game has it: whose each cell will be, -1 the opponent's to +1
    score         [N]                     where the game has it: the final score's mean, in points
    score_spread  [N]                     and the scale of its logistic distribution, in points

The file's metadata says the same for the game at hand.
"""

import importlib.util
import inspect
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.nets.checkpoint import Checkpoint
from keima.agent.nets.network import Network
from keima.games.contract import Game, GameError

PACKAGES = ("onnx", "onnxscript")
"""What torch's exporter needs and nothing else here does."""
OPSET = 18
"""The operations' version: what torch's exporter writes without converting, and what runtimes have known since 2023."""
TOLERANCE = 1e-3
"""How far an answer may lie from torch's, as a share of the largest answer of its kind or of 1; float32 rounds to
some 1e-6 of it, and a wrong weight or a wrong operation is seen in the first digit."""
MAX_BYTES = 2**31 - 2**20
"""What a file's format has room for, less some for everything but weights."""
CHECKED_BATCHES = (1, 2, 5, 64, 256)
"""The numbers of positions, of random games, at which a file is compared with torch."""


@dataclass(frozen=True)
class Exported:
    """An ONNX file that agrees with its network."""

    data: bytes
    largest_difference: float
    """From torch's answers, as `TOLERANCE` counts it."""
    positions: int
    """How many were compared."""


class _Answers(nn.Module):
    """What an exported network answers."""

    def __init__(self, network: Network, game: Game) -> None:
        super().__init__()
        self.network = network
        self.names = [
            *("policy", "value", "outcome"),
            *(["ownership"] if game.has_ownership else []),
            *(["score", "score_spread"] if game.has_score else []),
        ]
        self.points = game.score_unit / game.score_per_point

    def forward(self, planes: Tensor) -> tuple[Tensor, ...]:
        """Planes [N, C, H, W] -> the answers in the order of `names`."""
        outputs = self.network(planes)
        outcome = torch.softmax(outputs.value, 1)
        answers = {
            "policy": outputs.policy,
            "value": outcome[:, 0] - outcome[:, 2],
            "outcome": outcome,
            "ownership": outputs.ownership,
        }
        if outputs.score is not None and outputs.score_spread is not None:
            answers |= {"score": outputs.score * self.points, "score_spread": outputs.score_spread * self.points}
        return tuple(answers[name] for name in self.names)


def export(checkpoint: Checkpoint) -> Exported:
    """The checkpoint's network as an ONNX file, and how well another runtime's answers agree with torch's.

    Raises GameError where a package is missing, and where the answers do not agree.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise GameError(f"export needs {' and '.join(missing)}, which is not installed: pip install 'keima[export]'")
    if 4 * checkpoint.network.num_parameters > MAX_BYTES:
        raise GameError(f"export: expected at most {MAX_BYTES / 1e9:.1f} GB of weights: ONNX has room for no more")
    data = to_onnx(checkpoint)
    planes = random_positions_planes(checkpoint.game, sum(CHECKED_BATCHES))
    difference = largest_difference(data, checkpoint.network, checkpoint.game, planes)
    if not difference <= TOLERANCE:
        raise GameError(
            f"export: expected the file's answers within {TOLERANCE} of the network's, but OpenVINO's differ by "
            f"{difference:.2g}; nothing was written"
        )
    return Exported(data, difference, len(planes))


def to_onnx(checkpoint: Checkpoint) -> bytes:
    """The checkpoint's network, folded, with its metadata; not compared with anything yet."""
    game = checkpoint.game
    answers = _Answers(checkpoint.network.for_inference().cpu().float(), game).eval()
    with _quietly():
        program = torch.onnx.export(
            answers,
            (torch.zeros(2, game.num_planes, *game.shape),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["planes"],
            output_names=answers.names,
            dynamic_shapes=({0: torch.export.Dim("positions")},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: Any = program.model_proto
    _forget_how_it_was_made(model)
    model.producer_name, model.producer_version = "keima", version("keima")
    model.doc_string = f"A policy and value network for {game.label}. {inspect.getdoc(type(game)) or ''}".strip()
    described = describe(checkpoint)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.doc_string = described[tensor.name]
    for key, value in described.items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString(deterministic=True))


def describe(checkpoint: Checkpoint) -> dict[str, str]:
    """The file's metadata: what a stranger has to know to use it."""
    game, metadata = checkpoint.game, checkpoint.metadata
    rows, columns = game.shape
    shape = f"{game.num_planes}, {rows}, {columns}"
    if game.policy_planes:
        layout = f"{game.policy_planes} for each cell, plane by plane, row by row from the top"
        others = game.num_actions - game.policy_planes * rows * columns
        layout += f", then {others} of no cell (a pass)" if others else ""
    else:
        layout = "numbered as in the game's file"
    start = game.new_state()
    named = {str(action): game.action_to_text(start, int(action)) for action in game.legal(start)}
    described = {
        "game": game.label,
        "rules_version": str(game.rules_version),
        "run": metadata.run,
        "step": str(metadata.step),
        "num_planes": str(game.num_planes),
        "board": f"{rows}x{columns}",
        "num_actions": str(game.num_actions),
        "planes": f"float32 [positions, {shape}], any number of positions: the board as the game's encode() draws it, "
        "values 0 to 1, seen by the side to move",
        "actions_at_the_start": json.dumps(named),
        "policy": f"float32 [positions, {game.num_actions}]: a logit for each action ({layout}; numbered the way the "
        "planes are drawn), illegal ones too: leave those out before the softmax",
        "value": "float32 [positions]: the expected result of the side to move, -1 a loss, 0 a draw, +1 a win",
        "outcome": "float32 [positions, 3]: the side to move's probabilities of win, draw and loss",
    }
    if game.has_ownership:
        described["ownership"] = (
            f"float32 [positions, {rows * columns}]: whose each cell will be, -1 the opponent's, +1 the side to move's"
        )
    if game.has_score:
        described["score"] = "float32 [positions]: the side to move's final score less the opponent's, in points"
        described["score_spread"] = (
            "float32 [positions]: the scale of the score's logistic distribution, in points; a standard deviation is "
            "1.81 times that"
        )
        described["score_weight"] = (
            f"{checkpoint.network.score_weight:g}: this share w of a position's worth in Keima's search is its score, "
            f"(1 - w) * value + w * 2 / pi * atan(score / {2 * game.score_unit / game.score_per_point:g})"
        )
    return described


@torch.inference_mode()
def largest_difference(data: bytes, network: Network, game: Game, planes: NDArray[np.float32]) -> float:
    """How far an ONNX file's answers, by OpenVINO in float32, lie from those of the network as torch runs it.

    planes: [sum of CHECKED_BATCHES, C, H, W]. Returns the largest difference of any answer over the largest answer of
    its kind (or over 1 where none is larger); infinity where one is not a number.
    """
    core = openvino.Core()
    # Where there are instructions for it, OpenVINO would compute in bfloat16.
    compiled = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers = _Answers(network, game).eval()
    largest, start = 0.0, 0
    for count in CHECKED_BATCHES:
        batch = planes[start : start + count]
        start += count
        found = compiled([batch])
        for name, expected in zip(answers.names, answers(torch.from_numpy(batch)), strict=True):
            wanted, got = expected.numpy(), found[name]
            if wanted.shape != got.shape:
                return np.inf
            difference = np.abs(wanted - got).max() / max(1.0, np.abs(wanted).max())
            largest = max(largest, float(difference)) if np.isfinite(difference) else np.inf
    return largest


def _forget_how_it_was_made(model: Any) -> None:
    """Drops the exporter's notes: source lines with the paths of this machine, twice the size of a small network."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def _quietly() -> Iterator[None]:
    """Around the exporter, which speaks of packages it does without and of its own deprecated parts."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
