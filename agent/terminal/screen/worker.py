"""One thread beside the screen's, which thinks: a job at a time, each told when it is no longer wanted."""

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keima.agent.system.progress import LOADER

if TYPE_CHECKING:
    from keima.agent.contracts.thinking import ShouldStop

Work = Callable[["ShouldStop"], Any]
Done = Callable[[Any, BaseException | None], None]
PATIENCE_S = 0.5
"""How long leaving waits for the thread; one inside a compiler cannot be stopped."""


class Worker:
    """Runs jobs in its thread and hands their results back through `post`. Its methods are for the screen's thread."""

    def __init__(self, post: Callable[[Callable[[], None]], None]) -> None:
        """`post`: has the screen's thread call a function, from any thread."""
        self._post = post
        self._jobs: queue.SimpleQueue[tuple[Work, Done, threading.Event] | None] = queue.SimpleQueue()
        self._stop: threading.Event | None = None  # of the job that runs
        self._thread = threading.Thread(target=self._run, name=LOADER, daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        return self._stop is not None

    def start(self, work: Work, done: Done) -> None:
        """Has `work(should_stop)` run; then `done(result, error)`, one of them None, in the screen's thread."""
        assert not self.is_busy, "one job at a time"
        self._stop = threading.Event()
        self._jobs.put((work, done, self._stop))

    def stop(self) -> None:
        """Tells the job that it is no longer wanted; its result comes all the same."""
        if self._stop is not None:
            self._stop.set()

    def close(self) -> None:
        """Ends the thread, waiting for PATIENCE_S at most."""
        self.stop()
        self._jobs.put(None)
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done, stop = job
            result, error = None, None
            try:
                result = work(stop.is_set)
            except BaseException as raised:  # for the screen to tell
                error = raised
            self._post(lambda done=done, result=result, error=error: self._finish(done, result, error))  # type: ignore[misc]

    def _finish(self, done: Done, result: Any, error: BaseException | None) -> None:
        self._stop = None
        done(result, error)
