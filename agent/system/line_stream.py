"""The lines of a stream of bytes, as they come, in bounded memory."""

from collections.abc import Iterator
from typing import Protocol

CHUNK = 1 << 16
"""Bytes that are read at a time, at most."""


class RawStream(Protocol):
    """A stream that is not buffered: `read` returns what is there, and waits only where there is nothing."""

    def read(self, size: int = -1, /) -> bytes | None: ...


def lines_of(stream: RawStream, max_line: int) -> Iterator[bytes]:
    """The lines of a stream without their ends, each cut at `max_line` bytes; then what follows the last end."""
    line = b""
    while chunk := stream.read(CHUNK):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield (line + part)[:max_line]
            line = b""
        line = (line + rest)[:max_line]
    if line:
        yield line
