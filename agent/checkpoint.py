"""Checkpoints: one safetensors file of weights, with what must be known to use them in its metadata.

A checkpoint is data, whoever it comes from: reading one runs no code of its maker's. Metadata is one JSON text under
the key "keima": the network's config, the game with its parameters and rules version, the run, the step, and the
strength that was measured.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from agent.network import Network
from agent.network_config import NetworkConfig
from agent.storage import write_atomically
from games import load, names
from games.contract import Game, GameError

FORMAT = 1
MODEL_FILE = "model.safetensors"
"""The newest averaged network in a run's folder; what actors play with and what a user is pointed to."""


class CheckpointError(GameError):
    """A checkpoint cannot be used. The message is for the user."""


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says of itself."""

    game: str  # the game's label, parameters included
    rules_version: int
    network: dict[str, Any]  # NetworkConfig
    run: str = ""
    step: int = 0  # training steps behind it
    games: int = 0  # self-play games behind it
    strength: dict[str, float] = field(default_factory=dict)  # measured figures by name


@dataclass(frozen=True)
class Checkpoint:
    """A network with its metadata."""

    network: Network
    metadata: Metadata
    game: Game
    path: Path


def save_checkpoint(path: Path, network: Network, metadata: Metadata) -> None:
    """Writes weights and metadata atomically: after a crash the file is the old one or the new one, whole."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    text = json.dumps({"format": FORMAT, **asdict(metadata)})
    write_atomically(path, save(tensors, {"keima": text}))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A file's tensors and its metadata. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("keima", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a safetensors checkpoint, but it is damaged ({error})") from None
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise CheckpointError(f"{path}: expected a checkpoint of Keima; its metadata is missing or broken") from None
    return tensors, values


def resolve(path: Path) -> Path:
    """The checkpoint that a path means: itself, or a run folder's newest model."""
    return path / MODEL_FILE if path.is_dir() else path


def read_metadata(path: Path) -> Metadata:
    """A checkpoint's metadata alone. Raises CheckpointError."""
    return _parse_metadata(path, read_tensors(resolve(path))[1])


def _parse_metadata(path: Path, values: dict[str, Any]) -> Metadata:
    if values.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}; made by another version of Keima")
    try:
        return Metadata(**values)
    except TypeError as error:
        raise CheckpointError(f"{path}: its metadata is not what it should be: {error}") from None


def load_checkpoint(path: str | Path, game: Game | None = None) -> Checkpoint:
    """The checkpoint at `path` (a file, or a run's folder). Raises CheckpointError.

    With `game`, the checkpoint must be of that game, its parameters and its rules version; where the game's network
    does not depend on the board's size, only the parameters may differ.
    """
    file = resolve(Path(path))
    tensors, values = read_tensors(file)
    metadata = _parse_metadata(file, values)
    if game is None:
        # Only shipped games: a game file elsewhere is code, which a checkpoint must not be able to name and run.
        if metadata.game.partition(":")[0] not in names():
            raise CheckpointError(f"{file}: it is for the game {metadata.game!r}; give that game's file too")
        game = load(metadata.game)
    if metadata.game.partition(":")[0] != game.name:
        raise CheckpointError(f"{file}: expected a checkpoint of {game.name}, got one of {metadata.game}")
    if metadata.rules_version != game.rules_version:
        raise CheckpointError(
            f"{file}: made for version {metadata.rules_version} of {game.name}'s rules; these are {game.rules_version}"
        )
    if metadata.game != game.label and game.policy_planes == 0:
        raise CheckpointError(f"{file}: expected a checkpoint of {game.label}, got one of {metadata.game}")
    try:
        network = Network(game, NetworkConfig(**metadata.network))
        network.load_state_dict(tensors)
    except (ValidationError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{file}: its weights do not fit the network it describes ({reason})") from None
    return Checkpoint(network.eval(), metadata, game, file)


def latest_checkpoint(game_name: str, runs: Path = Path("runs")) -> Path | None:
    """The newest model of a game among the runs' folders; None where there is none."""
    for path in sorted(runs.glob(f"*/{MODEL_FILE}"), key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            if read_metadata(path).game.partition(":")[0] == game_name:
                return path
        except CheckpointError:
            continue
    return None
