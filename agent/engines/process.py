"""A subprocess that is talked to in lines. It can neither block its owner nor outlive it."""

import contextlib
import os
import queue
import selectors
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from typing import IO

from keima.agent.engines import EngineError, Fault, program_and_arguments
from keima.agent.system.line_stream import lines_of

MAX_LINE = 1 << 20
"""Bytes of a line on stdout; what is longer is cut."""
MAX_WAITING_LINES = 10_000
"""Lines on stdout that are kept while nobody asks; after that the engine has to wait."""
MAX_COMPLAINT = 500
"""Bytes of a line on stderr; what is longer is cut."""
KEPT_COMPLAINTS = 20
"""Lines of stderr that are kept."""
EXIT_S = 1.0
"""How long a process may take to end after it was told to, in seconds, before it is killed."""
_CHECK_S = 0.1
"""How often a process that says nothing is looked at, in seconds: its children may hold its pipes open."""


class LineProcess:
    """A running program; lines go in and come out, each wait has a limit.

    Two threads read stdout and stderr as it comes, so however much a program writes, on either, both sides go on.
    Closing kills the program's whole process group. What it is fed by ends with this process in any case.
    """

    def __init__(self, command: str, name: str | None = None) -> None:
        """Starts `command`, which no shell sees. `name`: what errors call it. Raises GameError for no such program."""
        arguments = program_and_arguments(command)
        self.name = name or os.path.basename(arguments[0])
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # its own process group, to be killed whole; no Ctrl-C that was meant for us
            )
        except OSError as error:  # a script without an interpreter's name, say
            raise EngineError(self.name, Fault.CRASHED, f"does not start: {error.strerror or error}".lower()) from error
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        os.set_blocking(process.stdin.fileno(), False)
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_LINES)
        self._closing = threading.Event()
        self._complaints: deque[str] = deque(maxlen=KEPT_COMPLAINTS)
        self._readers = [
            threading.Thread(target=_read_lines, args=(process.stdout, self._lines, self._closing), daemon=True),
            threading.Thread(target=_read_complaints, args=(process.stderr, self._complaints), daemon=True),
        ]
        for thread in self._readers:
            thread.start()
        # Ends it with the interpreter, or when it is forgotten.
        self._finalizer = weakref.finalize(self, _kill, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it is neither closed nor has ended by itself."""
        return self._finalizer.alive and self._exit_code() is None

    @property
    def complaints(self) -> list[str]:
        """The last lines it wrote on stderr."""
        return list(self._complaints)

    def send(self, line: str, limit_s: float) -> None:
        """Writes a line. Raises EngineError where it has ended, or reads nothing for `limit_s` seconds."""
        if not self._finalizer.alive:
            raise EngineError(self.name, Fault.CRASHED, "is not running")
        assert self._process.stdin is not None
        descriptor, data = self._process.stdin.fileno(), f"{line}\n".encode()
        deadline_s = time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_WRITE)
            while data:
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0 or not selector.select(remaining_s):
                    raise self.hung(f"reads nothing for {limit_s:g} s")
                try:
                    data = data[os.write(descriptor, data) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise self.crashed() from None

    def receive(self, deadline_s: float) -> str | None:
        """The next line of stdout, without its end; None where none came until `deadline_s` (time.monotonic()).

        Raises EngineError where it has ended.
        """
        has_exited = False
        while True:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return None
            try:
                line = self._lines.get(timeout=min(remaining_s, _CHECK_S))
            except queue.Empty:
                # What it wrote before it ended has been read by the second look.
                if has_exited:
                    raise self.crashed() from None
                has_exited = self._exit_code() is not None
                continue
            if line is None:
                raise self.crashed()
            return line

    def crashed(self) -> EngineError:
        """The error that it has ended, or closed its output, by itself; ends what is left of it."""
        code = self._exit_code(EXIT_S)
        self.close()
        if code is None:
            detail = "closed its output"
        elif code < 0:
            detail = f"was ended by signal {-code} ({_signal_name(-code)})"
        else:
            detail = f"ended with exit code {code}"
        return EngineError(self.name, Fault.CRASHED, f"crashed: it {detail}{self._last_complaint()}")

    def hung(self, detail: str) -> EngineError:
        """The error that it took too long; ends it."""
        self.close()
        return EngineError(self.name, Fault.HUNG, f"hung: it {detail}{self._last_complaint()}")

    def nonsense(self, detail: str) -> EngineError:
        """The error that it does not keep to its protocol; ends it."""
        self.close()
        return EngineError(self.name, Fault.NONSENSE, f"{detail}{self._last_complaint()}")

    def close(self, farewell: str | None = None) -> None:
        """Ends it: with `farewell`, and a moment to obey it, or at once. A second call does nothing."""
        if not self._finalizer.alive:
            return
        if farewell is not None:
            with contextlib.suppress(EngineError):
                self.send(farewell, EXIT_S)
                self._exit_code(EXIT_S)
        self._closing.set()
        self._finalizer()
        for thread in self._readers:
            thread.join(EXIT_S)

    def _last_complaint(self) -> str:
        for line in reversed(self._complaints):
            if line.strip():
                return f"; its last words: {line.strip()}"
        return ""

    def _exit_code(self, wait_s: float = 0.0) -> int | None:
        """How it ended, negative for a signal; None while it runs, for at most `wait_s` seconds.

        Leaves the process to be waited for: until then its number, which `_kill` uses, is nobody else's.
        """
        deadline_s = time.monotonic() + wait_s
        while True:
            if self._process.returncode is not None:
                return self._process.returncode
            result = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if result is not None:
                return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
            if time.monotonic() >= deadline_s:
                return None
            time.sleep(0.01)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all of its group, and waits for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _read_lines(stream: IO[bytes], lines: "queue.Queue[str | None]", closing: threading.Event) -> None:
    """Hands on the lines of a stream, then None."""

    def put(line: str | None) -> None:
        while not closing.is_set():
            with contextlib.suppress(queue.Full):
                lines.put(line, timeout=_CHECK_S)
                return

    with stream:
        for line in lines_of(stream, MAX_LINE):
            put(_text(line))
            if closing.is_set():
                return
    put(None)


def _read_complaints(stream: IO[bytes], complaints: deque[str]) -> None:
    with stream:
        complaints.extend(map(_text, lines_of(stream, MAX_COMPLAINT)))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
