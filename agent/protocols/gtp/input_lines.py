"""Where GTP's lines come from: a stream that is read by a thread, so that a search sees that the next line is there."""

import queue
import threading
from typing import Protocol

from keima.agent.system.line_stream import RawStream, lines_of

MAX_LINE = 1 << 16
"""Bytes of a line; what is longer is cut. No command comes near it."""
MAX_WAITING = 1000
"""Lines that are kept until they are asked for; whoever sends more has to wait."""


class Lines(Protocol):
    """Lines one after the other, and whether the next one is there."""

    def next(self) -> str | None:
        """The next line, waited for; None at the end."""

    def wait(self) -> None:
        """Returns once `is_ready`."""

    def is_ready(self) -> bool:
        """Whether there is a next line, or the end, without waiting."""


class StreamLines:
    """The lines of a stream of bytes, without their ends."""

    def __init__(self, stream: RawStream) -> None:
        """Begins to read, in a thread that does not keep the interpreter from ending.

        `stream`: not a buffered one, whose lock the thread would still hold when the interpreter ends, which aborts it.
        """
        self._queue: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._peeked: list[str | None] = []
        threading.Thread(target=self._read, args=(stream,), name="gtp input", daemon=True).start()

    def next(self) -> str | None:
        self.wait()
        return self._peeked.pop()

    def wait(self) -> None:
        if not self._peeked:
            self._peeked.append(self._queue.get())

    def is_ready(self) -> bool:
        return bool(self._peeked) or not self._queue.empty()

    def _read(self, stream: RawStream) -> None:
        try:
            for line in lines_of(stream, MAX_LINE):
                # Bytes that are no text are the protocol's business, which drops or refuses them.
                self._queue.put(line.decode(errors="replace"))
        except (OSError, ValueError):  # closed under way
            pass
        self._queue.put(None)
