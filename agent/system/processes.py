"""Processes of this program: started without hearing Ctrl-C, how they ended, and how many cores they have."""

import os
import signal
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess


def start_deaf_to_interrupts(process: BaseProcess) -> None:
    """Starts a process that Ctrl-C, which reaches the whole group, does not interrupt: not even before its first line.

    Signals that are blocked stay blocked in a child. Multiprocessing's tracker unblocks them when it starts, so it is
    started first.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ending_in_words(exit_code: int | None) -> str:
    """How a process ended, by its exit code as multiprocessing gives it."""
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
    return f"{name}, perhaps short of memory" if -exit_code == signal.SIGKILL else name


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
