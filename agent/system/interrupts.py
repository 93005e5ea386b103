"""Ctrl-C, answered at once whatever the program is doing."""

import contextlib
import os
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""The exit code of what was interrupted, as shells give it."""
_NO_SIGNAL = b"\0"


@contextlib.contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """Within the block (or the function that this decorates) Ctrl-C ends the process, where nothing is lost by that.

    KeyboardInterrupt would not do. It is raised between two steps of Python code: too late where the main thread is
    in a compiler, never where the signal comes between the prompt and the wait for a line, which goes on until the
    next key; and where modules are loaded or code is compiled it may be swallowed. So a thread waits for the
    signal's number, which Python writes to a pipe the moment it arrives, and ends the process itself.

    Whoever handles SIGINT in the block, as a training run does, is left to it. Elsewhere than in the main thread,
    which alone may handle signals, the block is entered as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # Python asks for that: a signal must never wait
    watcher = threading.Thread(target=_watch, args=(reader, _terminal_modes()), name="interrupts", daemon=True)
    watcher.start()
    wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handler_before = signal.signal(signal.SIGINT, _leave_it_to_the_watcher)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler_before)
        signal.set_wakeup_fd(wakeup_before)
        os.write(writer, _NO_SIGNAL)
        watcher.join()
        os.close(writer)
        os.close(reader)


@contextlib.contextmanager
def stopped_in_order(stopped: threading.Event, then: Callable[[], None] | None = None) -> Iterator[None]:
    """Within the block the first Ctrl-C (or a polite kill) sets `stopped` and calls `then`; a second one ends at once.

    For what saves its work before it ends. `then` is called in the signal's handler, and may raise. The second one
    raises KeyboardInterrupt. Elsewhere than in the main thread the block is entered as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        if then is not None:
            then()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_it_to_the_watcher(number: int, frame: FrameType | None) -> None:
    """Handles SIGINT: only what Python handles is written to the pipe."""


def _watch(reader: int, modes: list[Any] | None) -> None:
    """Ends the process when the number of SIGINT is read; returns on `_NO_SIGNAL`."""
    while (number := os.read(reader, 1)) != _NO_SIGNAL:
        if number[0] == signal.SIGINT and signal.getsignal(signal.SIGINT) is _leave_it_to_the_watcher:
            _restore_terminal(modes)
            with contextlib.suppress(OSError):
                # On a terminal the ^C that it echoes stands on the line.
                os.write(2, b"\nkeima: interrupted\n" if os.isatty(2) else b"keima: interrupted\n")
            os._exit(INTERRUPTED)


def _terminal_modes() -> list[Any] | None:
    """How the terminal on stdin treats what is typed; None where there is none."""
    try:
        return termios.tcgetattr(0)
    except (OSError, termios.error):
        return None


def _restore_terminal(modes: list[Any] | None) -> None:
    """Undoes what editing a line does to the terminal: no echo, no line by line."""
    with contextlib.suppress(OSError, termios.error):
        # Not from the background, where the terminal is someone else's and setting it would stop the process.
        if modes is not None and os.tcgetpgrp(0) == os.getpgrp():
            termios.tcsetattr(0, termios.TCSANOW, modes)
