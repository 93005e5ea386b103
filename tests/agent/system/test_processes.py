"""Processes of the program: deaf to Ctrl-C from their first line on, and their endings in words."""

import multiprocessing
import os
import signal

import pytest

from keima.agent.system.processes import available_cores, ending_in_words, start_deaf_to_interrupts


def wait_for_word(connection):
    connection.send("ready")
    connection.recv()
    connection.send("still here")


def test_an_interrupt_does_not_reach_the_process_nor_stay_blocked_here():
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=wait_for_word, args=(theirs,), daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    start_deaf_to_interrupts(process)
    os.kill(process.pid, signal.SIGINT)  # before its first line
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == before
    assert ours.recv() == "ready"
    os.kill(process.pid, signal.SIGINT)
    ours.send("go on")
    assert ours.recv() == "still here"
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (None, "exit code None"),
        (-signal.SIGTERM, "SIGTERM"),
        (-signal.SIGKILL, "SIGKILL, perhaps short of memory"),
        (-200, "signal 200"),
    ],
)
def test_endings_in_words(code, words):
    assert ending_in_words(code) == words


def test_cores_are_those_the_process_may_use():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(before)})
            assert available_cores() == 1
        finally:
            os.sched_setaffinity(0, before)
