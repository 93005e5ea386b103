"""A run's folder: its files, its lock for one process at a time, and its deletion, which spares what is not the run's.

config.toml             every option, as the run uses it
learner.safetensors     the learner's state and the run's counters
model.safetensors       the newest EMA network: the one to play with
start.safetensors       the net that the run began with, if it began with one
checkpoints/            the EMA network at earlier times
games/                  the replay store
weights/                the newest EMA networks, numbered, for the actors; old ones are deleted
tensorboard/, progress.jsonl, run.log
ratings.sqlite, ratings/    added by `keima rate`
"""

import fcntl
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from keima.games.contract import GameError
from keima.selfplay.config.loader import parse_toml, read_text
from keima.selfplay.config.renamed import with_new_names
from keima.selfplay.config.schema import ConfigError, TrainConfig

CONFIG_FILE = "config.toml"
STATE_FILE = "learner.safetensors"
LOG_FILE = "run.log"
LOCK_FILE = ".lock"
_EVENTS = ("events.out.tfevents.*",)
MADE = {
    "": (
        *(CONFIG_FILE, STATE_FILE, LOG_FILE, LOCK_FILE, "model.safetensors", "start.safetensors", "progress.jsonl"),
        *("ratings.sqlite", "ratings.sqlite-wal", "ratings.sqlite-shm", ".ratings.sqlite.lock"),
    ),
    "checkpoints": ("step-*.safetensors",),
    "games": ("segment-*.safetensors", "segment-*.safetensors.damaged"),
    "weights": ("*.safetensors",),
    "tensorboard": _EVENTS,
    "tensorboard/ratings": _EVENTS,
    "ratings": ("ladder.*", "cross.csv", "levels.toml", "progress.png"),
}
"""Every name that a run's folder may have, by folder; besides, anywhere, what a kill leaves of a file being written."""
_UNFINISHED = ".*.writing"


def is_run(folder: Path) -> bool:
    """Whether this is a run's folder: it holds a run's config, and a run has been begun in it."""
    try:
        values = parse_toml("", read_text(folder / CONFIG_FILE))
    except ConfigError:
        return False
    # Not every option is looked at: a run of another version is one, too. A config alone may be anybody's.
    values, _ = with_new_names(values)
    is_config = isinstance(values.get("game"), str) and set(values) <= set(TrainConfig.model_fields)
    return is_config and any((folder / name).is_file() for name in (LOCK_FILE, STATE_FILE, LOG_FILE))


def delete_run(folder: Path) -> None:
    """Deletes a run to make room for another.

    Raises GameError, before anything is deleted, where the folder is no run's, where the run is being trained, and
    where the folder holds a file that no run makes.
    """
    if not is_run(folder):
        raise GameError(f"{folder}: expected a run's folder, but it is none; nothing was deleted")
    with lock(folder):
        folders, files = _content(folder)
        # To the last moment it is a run's folder, which the same command deletes the rest of after a kill.
        last = (CONFIG_FILE, LOCK_FILE)
        for path in sorted(files, key=lambda path: (path.parent == folder and path.name in last, path.name)):
            path.unlink()
        for inner in folders:
            inner.rmdir()
        if not folder.is_symlink():
            folder.rmdir()


def lock(folder: Path) -> IO[str]:
    """Holds the run's folder for this process as long as the returned file is open."""
    file = (folder / LOCK_FILE).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise GameError(f"{folder}: this run is being trained by another process") from None
    return file


def _content(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders within, the inner ones first, and all files. Raises GameError for what no run makes."""
    inner_folders, files = [], []
    for here, names_of_folders, names_of_files in os.walk(folder):
        inner = os.path.relpath(here, folder)
        inner = "" if inner == "." else inner
        for name in names_of_folders:
            path = Path(here, name)
            if os.path.join(inner, name) not in MADE or path.is_symlink():  # what a link leads to is somebody's
                raise _foreign(folder, path)
            inner_folders.append(path)
        for name in names_of_files:
            if not any(fnmatchcase(name, pattern) for pattern in (*MADE[inner], _UNFINISHED)):
                raise _foreign(folder, Path(here, name))
            files.append(Path(here, name))
    return inner_folders[::-1], files


def _foreign(folder: Path, path: Path) -> GameError:
    return GameError(
        f"{folder}: holds {path.relative_to(folder)}, which is not a run's: move it away, or give the new run another "
        "name with --run; nothing was deleted"
    )
