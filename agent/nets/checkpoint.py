"""Checkpoints: one safetensors file with a network's weights and the metadata needed to use them.

A checkpoint is data, whoever it comes from: reading one runs no code of its maker's, and takes no more memory than the
file's size. Metadata is one JSON text under the key "keima": the network's config, the game with its parameters and
rules version, the run, the step, the strength that was measured, and a checksum over all of it and the weights.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pydantic
import torch
from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from keima.agent.nets.network import Network, with_current_names
from keima.agent.nets.network_config import NetworkConfig
from keima.agent.nets.shipped import SHIPPED, require_shipped_net, shipped_for, shipped_net
from keima.agent.system.storage import write_atomically
from keima.games import load, names
from keima.games.contract import Game, GameError

FORMAT = 1
MODEL_FILE = "model.safetensors"
"""The newest EMA network in a run's folder; what actors play with and what a user is pointed to."""
STUB = 0.05
"""The newest net is passed over where an older one has learnt from so many times as many games (1 / STUB)."""


MAX_NAME = 200
"""Characters of a run's name."""
MAX_REASON = 300
"""Characters of a message that a checkpoint's maker may have had a hand in."""


class CheckpointError(GameError):
    """A checkpoint cannot be used. The message is for the user."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("printable", "expected printable characters")
    return text


_Count = Annotated[int, Field(ge=0, le=10**15)]
_Text = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_printable)]  # shown on terminals


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Metadata:
    """What a checkpoint's file says about the network."""

    game: Annotated[str, Field(max_length=1000)]  # the game's label, parameters included
    rules_version: _Count
    network: dict[str, Any]  # NetworkConfig
    run: _Text = ""
    step: _Count = 0  # training steps behind it
    games: _Count = 0  # self-play games behind it
    strength: dict[str, float] = field(default_factory=dict)  # measured figures by name
    # The network's: it plays as it was trained.
    score_weight: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A network with its metadata."""

    network: Network
    metadata: Metadata
    game: Game
    path: Path


def save_checkpoint(path: Path, network: Network, metadata: Metadata) -> None:
    """Writes weights and metadata atomically: after a crash the file is the old one or the new one, whole."""
    write_tensors(path, network.state_dict(), {"format": FORMAT, **asdict(metadata)})


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], values: dict[str, Any]) -> None:
    """Writes tensors and JSON values, with a checksum over both, as one safetensors file; atomically."""
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({**values, "checksum": _checksum(own, values)})
    write_atomically(path, save(own, {"keima": text}))


def _checksum(tensors: Mapping[str, torch.Tensor], values: dict[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)} ".encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and values that `write_tensors` wrote. Raises CheckpointError.

    A file without a checksum, such as another program's, is accepted.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("keima", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path}: expected a checkpoint, but it cannot be read ({_one_line(error)})") from None
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        reason = _one_line(error)
        raise CheckpointError(f"{path}: expected a safetensors checkpoint, but it is damaged ({reason})") from None
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        raise CheckpointError(f"{path}: expected a checkpoint of Keima; its metadata is missing or broken") from None
    checksum = values.pop("checksum", None)
    if checksum is not None and checksum != _checksum(tensors, values):
        raise CheckpointError(f"{path}: expected the checkpoint that was written, but it is damaged (wrong checksum)")
    return tensors, values


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def resolve(path: Path) -> Path:
    """The checkpoint that a path names: the file itself, or a run folder's newest model."""
    return path / MODEL_FILE if path.is_dir() else path


def read_metadata(path: Path) -> Metadata:
    """A checkpoint's metadata alone. Raises CheckpointError."""
    return _parse_metadata(path, read_tensors(resolve(path))[1])


def _parse_metadata(path: Path, values: dict[str, Any]) -> Metadata:
    if values.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}; made by another version of Keima")
    try:
        return Metadata(**values)
    except ValidationError as error:
        raise _unfit_metadata(path, "", error) from None


def _unfit_metadata(path: Path, within: str, error: ValidationError) -> CheckpointError:
    """The first thing that is wrong, and where."""
    first = error.errors()[0]
    place = ".".join([*([within] if within else []), *map(str, first["loc"])])
    what = " ".join(f"{place}: {first['msg']}".split())
    return CheckpointError(f"{path}: its metadata is not what it should be: {what[:MAX_REASON]}")


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
        try:
            game = load(metadata.game)
        except GameError as error:
            raise CheckpointError(f"{file}: it is for a game that is not there ({_one_line(error)})") from None
    if metadata.game.partition(":")[0] != game.name:
        raise CheckpointError(f"{file}: expected a checkpoint of {game.name}, got one of {metadata.game!r}")
    if metadata.rules_version != game.rules_version:
        raise CheckpointError(
            f"{file}: made for version {metadata.rules_version} of {game.name}'s rules; these are {game.rules_version}"
        )
    if metadata.game != game.label and game.policy_planes == 0:
        raise CheckpointError(f"{file}: expected a checkpoint of {game.label}, got one of {metadata.game!r}")
    try:
        config = NetworkConfig(**metadata.network)
    except ValidationError as error:
        raise _unfit_metadata(file, "network", error) from None
    try:
        network = _build(game, config, tensors)
    except (ValueError, RuntimeError, TypeError) as error:
        reason = _one_line(error)
        raise CheckpointError(f"{file}: its weights do not fit the network it describes ({reason})") from None
    for name, tensor in network.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{file}: some of its weights are not numbers; use a checkpoint made before that")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise CheckpointError(f"{file}: {name}: expected variances, got some below 0; use another checkpoint")
    network.score_weight = metadata.score_weight
    return Checkpoint(network.eval(), metadata, game, file)


def _build(game: Game, config: NetworkConfig, tensors: Mapping[str, torch.Tensor]) -> Network:
    """The network of these weights. Raises ValueError or RuntimeError where they are not those of such a network."""
    tensors = with_current_names(tensors)
    with torch.device("meta"):  # shapes alone: a network that the file only claims to hold may be of any size
        network = Network(game, config)
    expected = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            wanted, got = expected.get(name, "nothing"), found.get(name, "nothing")
            raise ValueError(f"{name!r}: expected {wanted}, got {got}")
    network = network.to_empty(device="cpu")
    network.load_state_dict(tensors)
    return network


def find_checkpoint(model: str | None, game: Game) -> Path:
    """The checkpoint, or the run's folder, that is asked for: a path, `shipped`, or None for the default.

    The default is the newest of the game under runs/, else the shipped one. Raises GameError where there is none.
    """
    if model is not None:
        return require_shipped_net(game) if model == SHIPPED else Path(model).expanduser()
    path = latest_checkpoint(game) or shipped_net(game)
    if path is None:
        raise GameError(
            f"expected --model, a checkpoint or a run's folder: no net of {game.spec} under runs/, and none is shipped"
        )
    return path


def latest_checkpoint(game: Game, runs: Path = Path("runs")) -> Path | None:
    """The newest model of a game among the runs' folders; None where there is none.

    It has the game's parameters. Where there is no such model, not even a shipped one, it may have any parameters, if
    the game's network does not depend on the board's size. Runs that were begun and soon stopped are passed over.
    """
    return latest_of_runs(game, runs)[0]


def latest_of_runs(game: Game, runs: Path = Path("runs")) -> tuple[Path | None, list[Path]]:
    """What `latest_checkpoint` finds, and the newer models that are passed over as stubs.

    A stub has been trained on less than STUB of the games that an older one of its kind has been trained on.
    """
    own: list[tuple[Path, int]] = []
    others: list[tuple[Path, int]] = []
    for path in sorted(runs.glob(f"*/{MODEL_FILE}"), key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            metadata = read_metadata(path)
        except CheckpointError:
            continue
        if metadata.game == game.label:
            own.append((path, metadata.games))
        elif metadata.game.partition(":")[0] == game.name:
            others.append((path, metadata.games))
    found = own or (others if game.policy_planes and shipped_for(game) is None else [])
    enough = STUB * max((games for _, games in found), default=0)
    passed_over: list[Path] = []
    for path, games in found:
        if games >= enough:
            return path, passed_over
        passed_over.append(path)
    return None, passed_over
