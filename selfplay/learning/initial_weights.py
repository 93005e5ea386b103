"""Initial weights: a run that begins with a trained net of the same game, perhaps of another board or a smaller one.

Where a network does not depend on the board's size (a game with `policy_planes`), what it has learnt on a small board,
where games are short, is worth most of what it would learn on a large one. The run keeps a copy of the net in its
folder, so it can begin again even if the original is gone.
"""

from pathlib import Path

from keima.agent.nets.checkpoint import Checkpoint, find_checkpoint, load_checkpoint, resolve
from keima.agent.nets.network_config import NetworkConfig
from keima.agent.system.storage import write_atomically
from keima.games import load
from keima.games.contract import GameError
from keima.selfplay.config.schema import TrainConfig

START_FILE = "start.safetensors"
"""The copy, in the run's folder."""
GROWING = ("blocks", "channels", "pooled_channels", "policy_channels", "value_channels", "value_hidden")
"""The sizes of a network that may be larger than those of the net it begins with; see
keima.selfplay.learning.growth."""


def grown_for_start(config: TrainConfig) -> TrainConfig:
    """The config for a run that begins with `config.start_from`.

    Where that net is larger than the network that the run would begin with, but not larger than what that grows to, the
    run begins with the grown network and grows no more. Raises GameError where there is no such net.
    """
    if not (config.start_from and config.growth.at_progress):
        return config
    game = load(config.game)
    found = load_checkpoint(find_checkpoint(config.start_from, game), game).network.config
    grown = config.growth.network(config.network)
    if _too_small(config.network, found) is None or _too_small(grown, found) is not None:
        return config
    return config.model_copy(update={"network": grown, "growth": config.growth.model_copy(update={"at_progress": 0.0})})


def load_start(config: TrainConfig) -> Checkpoint | None:
    """The net that a new run with this config begins with; None where it begins with random weights.

    Raises GameError where it is no net of the game, or its network cannot become the config's.
    """
    if not config.start_from:
        return None
    game = load(config.game)
    checkpoint = load_checkpoint(find_checkpoint(config.start_from, game), game)
    found, wanted = checkpoint.network.config, config.network
    if (name := _too_small(wanted, found)) is not None:
        raise GameError(_unfit(config, name, f"at least {getattr(found, name)}", found))
    if wanted.global_pooling_every != found.global_pooling_every:
        raise GameError(_unfit(config, "global_pooling_every", f"{found.global_pooling_every}", found))
    return checkpoint


def keep_start(checkpoint: Checkpoint, folder: Path) -> None:
    """Puts a copy of the net in a run's folder."""
    write_atomically(folder / START_FILE, checkpoint.path.read_bytes())


def kept_start(config: TrainConfig, folder: Path) -> Checkpoint | None:
    """The net that the run in `folder` began with; None where it began with random weights. Raises CheckpointError."""
    return load_checkpoint(folder / START_FILE, load(config.game)) if config.start_from else None


def in_words(checkpoint: Checkpoint, config: TrainConfig) -> str:
    """What the run began with."""
    metadata = checkpoint.metadata
    return f"{config.start_from}, a net of {metadata.game} after {metadata.step} steps"


def lies_in(config: TrainConfig, folder: Path) -> bool:
    """Whether the net that a run is to begin with lies in this folder, which is to be deleted."""
    path = resolve(Path(config.start_from).expanduser()).resolve()
    return bool(config.start_from) and path.is_relative_to(folder.resolve())


def _too_small(network: NetworkConfig, found: NetworkConfig) -> str | None:
    """The first size in which a network is too small for the net that was found; None where it is large enough."""
    return next((name for name in GROWING if getattr(network, name) < getattr(found, name)), None)


def _unfit(config: TrainConfig, name: str, expected: str, found: NetworkConfig) -> str:
    return (
        f"{config.start_from}: a net of {found.blocks} blocks x {found.channels} channels; to begin with it, expected "
        f"network.{name} of {expected}, got {getattr(config.network, name)}: --set network.{name}="
        f"{getattr(found, name)}"
    )
