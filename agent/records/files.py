"""Record files: saved and loaded in the format that a file's suffix names."""

from pathlib import Path

from keima.agent.records.keima_text import from_text, to_text
from keima.agent.records.record import GameRecord
from keima.agent.system.storage import write_atomically
from keima.games.contract import Game, GameError

TEXT_SUFFIX = ".keima.txt"
SUFFIXES = (TEXT_SUFFIX, ".sgf", ".pgn")
MAX_BYTES = 1 << 20
"""No record is larger: a game of 10,000 moves with a line of comment on each takes less."""


def save(record: GameRecord, path: str | Path) -> None:
    """Writes a record in the format of the path's suffix; the file is the old one or the whole new one.

    Raises GameError for a suffix that is none, a game that the format cannot hold, illegal moves, or where the file
    cannot be written.
    """
    path = Path(path).expanduser()
    suffix = _suffix(path)
    if suffix == ".pgn":
        raise _no_chess(path)
    if suffix == ".sgf":
        from keima.agent.records.sgf import to_sgf

        data = to_sgf(record)
    else:
        data = to_text(record).encode()
    if len(data) > MAX_BYTES:
        raise GameError(
            f"{path}: a record has at most {MAX_BYTES} bytes, this one has {len(data)}: shorten its comments"
        )
    if not path.parent.is_dir():
        raise GameError(f"{path}: there is no folder {path.parent}")
    try:
        write_atomically(path, data)
    except OSError as error:
        raise GameError(f"{path}: cannot be written: {error.strerror or error}") from None


def load(path: str | Path, game: Game | None = None) -> GameRecord:
    """Reads a record in the format of the path's suffix.

    `game`: the game that it must be of. A record of a game given by path does not load without: that is code, and
    reading a record must run none. Raises GameError, saying which move on which line is wrong, and why.
    """
    path = Path(path).expanduser()
    suffix = _suffix(path)
    data = _read(path)
    if suffix == ".pgn":
        raise _no_chess(path)
    if suffix == ".sgf":
        from keima.agent.records.sgf import from_sgf

        return from_sgf(data, game, str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GameError(f"{path}: expected text in UTF-8, found none at byte {error.start}") from None
    return from_text(text, game, str(path))


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise GameError(f"{path}: expected a file name that ends in {TEXT_SUFFIX} (any game) or .sgf (Go, Gomoku)")


def _no_chess(path: Path) -> GameError:
    return GameError(f"{path}: PGN is for chess, which is not among the games; expected {TEXT_SUFFIX} or .sgf")


def _read(path: Path) -> bytes:
    """The file's bytes. Raises GameError for what is no file, too large, or no text."""
    if not path.is_file():  # nor a device or a pipe, which might never end
        raise GameError(f"{path}: no such file" if not path.exists() else f"{path}: expected a file, found none")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise GameError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise GameError(f"{path}: no game record: it has more than {MAX_BYTES} bytes")
    if b"\0" in data:
        raise GameError(f"{path}: no game record: it holds binary data")
    return data
