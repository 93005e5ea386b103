"""Files that are written whole or not at all, whatever happens meanwhile: a kill, a crash, a full disk."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from keima.games.contract import GameError

RESUME = "go on with `keima train --resume RUN`"
"""What is to be done where a run has found the disk full, once there is space."""
_TEMPORARY = ".writing"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class StorageFull(GameError):  # noqa: N818 (a state of the disk, not a mistake)
    """The disk, or the user's share of it, is full. The files that were on it before are unchanged."""


def write_atomically(path: Path, data: bytes, remedy: str = RESUME) -> None:
    """Writes `data` to `path` so that a reader, or the next start after a power cut, finds all of it or the old file.

    remedy: for the message of a full disk, what the user can do once there is room. The folder must exist. Raises
    StorageFull where there is no room and OSError for anything else; then no part of the new file is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    try:
        with telling_of_full_disk(path, len(data), remedy):
            _write_and_sync(temporary, data)
            os.replace(temporary, path)
            sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def telling_of_full_disk(path: Path, size: int, remedy: str = RESUME) -> Iterator[None]:
    """Around writing `size` bytes to `path`: raises StorageFull where there is no room for them."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(
            f"disk full: {path} needs {_amount(size)}, {_amount(shutil.disk_usage(path.parent).free)} "
            f"free; nothing written before is lost: free some space, then {remedy}"
        ) from error


def check_folder(path: Path, option: str) -> None:
    """Raises GameError where a folder that an option names cannot be made or written to; makes nothing."""
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if not nearest.is_dir():
        raise GameError(f"{option} {path}: expected a folder, but {nearest} is none")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise GameError(f"{option} {path}: expected a folder that can be written to, but {nearest} cannot")


def _write_and_sync(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:  # a write may take less than it is given
            rest = rest[os.write(file, rest) :]
        # Before the rename: else a power cut may leave the new name with none of its content.
        os.fsync(file)
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Makes renames and deletions in `folder` survive a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, and renames are written through
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove_unfinished(folder: Path) -> list[Path]:
    """Deletes what a killed `write_atomically` left in `folder`, and returns it. Only for the folder's one writer."""
    leftovers = sorted(folder.glob(f".*{_TEMPORARY}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def _amount(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
