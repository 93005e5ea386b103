"""What a run and its actors tell each other: a task, heartbeats, segments, failures, and the files of weights."""

import os
from dataclasses import dataclass, fields
from pathlib import Path

from keima.selfplay.replay.segment import Segment

HEARTBEAT_SECONDS = 1.0
"""How often an actor shows that it is alive and what it has done."""
UPDATE_SHARE = 0.04
"""The share of its time that an actor spends on taking over new weights, at most: 8-bit graphs take 0.2 s to make."""


@dataclass(frozen=True)
class Heartbeat:
    """From an actor: alive; work since the last beat. The first one says that everything is compiled."""

    evaluations: int = 0
    simulations: int = 0
    cache_hits: int = 0
    moves: int = 0
    waited_s: float = 0.0

    def since(self, before: "Heartbeat") -> "Heartbeat":
        """This total less an earlier one."""
        return Heartbeat(**{f.name: getattr(self, f.name) - getattr(before, f.name) for f in fields(Heartbeat)})


@dataclass(frozen=True)
class Failed:
    """From an actor: it ends because of this."""

    reason: str


Message = Heartbeat | Segment | Failed


@dataclass(frozen=True)
class ActorTask:
    """What an actor is to do."""

    config: Path
    weights: Path
    """The folder of weights; see `weights_path`."""
    backend: str
    """What runs the network; see keima.agent.inference.factory.BACKENDS."""
    actor: int
    seed: tuple[int, ...]
    first_version: int | None
    """None: play with the newest weights, taken as they come. Otherwise lockstep: begin with these, and change them
    only between segments, always to the same version, so that one actor's games depend on the seed alone."""
    threads: int | None = None
    """None: plays by itself, and waits for every batch. Otherwise so many threads play; see
    keima.selfplay.actors.threaded_actor."""


def weights_path(folder: Path, version: int) -> Path:
    """The file of a version of the weights."""
    return folder / f"{version:08d}.safetensors"


def newest_version(folder: Path) -> int:
    """The newest version of the weights there is; -1 where there is none."""
    versions = (name.removesuffix(".safetensors") for name in os.listdir(folder))
    return max((int(version) for version in versions if version.isdecimal()), default=-1)
