"""The installed command as tests run it, what it refuses, and nets for it to find."""

import subprocess
import sysconfig
from pathlib import Path

from keima.agent.nets.checkpoint import Metadata, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games import load

KEIMA = Path(sysconfig.get_path("scripts")) / "keima"
HANGS_S = 900
"""So long nothing takes, on the busiest machine and with everything to compile: what has not ended never will."""
SMALLEST = NetworkConfig(blocks=1, channels=4, policy_channels=1, value_channels=1, value_hidden=1, pooled_channels=1)


def keima(*arguments: object, folder: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The installed command, run as a user would, with `typed` in a pipe."""
    return subprocess.run(
        [KEIMA, *map(str, arguments)], cwd=folder, input=typed, capture_output=True, text=True, timeout=HANGS_S
    )


def write_checkpoint(path: Path, game: str) -> Path:
    spec = load(game)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = Metadata(spec.spec, spec.rules_version, SMALLEST.model_dump(), run=path.parent.name, step=7)
    save_checkpoint(path, Network(spec, SMALLEST), metadata)
    return path


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command says on stderr, after its exit code was checked."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("keima: ")
    return lines[0]
