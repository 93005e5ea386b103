"""A progress line for work that takes long: what is being done, and for how long."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

PATIENCE_S = 1.0
"""How long something may take in silence, in seconds."""
LOADER = "opponent"
"""The name of threads that make players ready or have them think; they cannot be stopped while they compile."""

Write = Callable[[str], None]


class Progress:
    """Shows a line on work that takes long: nothing for a second, then what is being done and for how long."""

    def __init__(self, write: Write, *, live: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`live`: the line may be rewritten, as on a terminal; otherwise each stage is printed once. `clock`:
        seconds.
        """
        self._write = write
        self._live = live
        self._clock = clock
        self._stage = ("", clock())
        self._told = ""

    def begin(self, stage: str) -> None:
        """Says what is being done from now on; may be called by any thread."""
        self._stage = (stage, self._clock())

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the stage, and for how many seconds it has lasted, while the block runs."""
        done = threading.Event()
        teller = threading.Thread(target=self._tell, args=(done,), daemon=True)
        teller.start()
        try:
            yield
        finally:
            done.set()
            teller.join()

    def _tell(self, done: threading.Event) -> None:
        with contextlib.suppress(OSError):  # a closed output is for the thread that plays to say
            self._told = ""
            wait_s = PATIENCE_S
            while not done.wait(wait_s):
                self._tell_stage()
                wait_s = 0.1
            if self._told and self._live:
                self._write("\r\033[K")

    def _tell_stage(self) -> None:
        stage, start_s = self._stage
        seconds = self._clock() - start_s
        if seconds >= PATIENCE_S and (self._live or stage != self._told):
            self._told = stage
            self._write(f"\r\033[K{stage} ... {seconds:.0f} s" if self._live else f"{stage} ...\n")
