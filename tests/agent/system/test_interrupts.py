"""Ctrl-C in processes of their own, which it is to end."""

import os
import pty
import signal
import subprocess
import sys
import termios
import threading

import pytest

from keima.agent.system.interrupts import INTERRUPTED, ended_by_interrupts, stopped_in_order

# Python's signal handlers run in the main thread alone, when it comes to its next step. One that does not notice
# signals, because they are blocked there, stands for one that is in a compiler or about to wait for a line.
UNAWARE = """
import signal, sys
from keima.agent.system.interrupts import ended_by_interrupts
with ended_by_interrupts():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    print("ready", flush=True)
    sys.stdin.readline()
"""
HANDLES_IT_ITSELF = """
import signal
from keima.agent.system.interrupts import ended_by_interrupts
with ended_by_interrupts():
    signal.signal(signal.SIGINT, lambda number, frame: print("handled", flush=True))
    print("ready", flush=True)
    input()
"""
EDITS_A_LINE = """
import os, tty
from keima.agent.system.interrupts import ended_by_interrupts
os.login_tty(0)  # or it would not be the terminal's foreground process
with ended_by_interrupts():
    tty.setraw(0)
    os.write(1, b"ready")
    os.read(0, 1)
"""


def started(program: str) -> subprocess.Popen[str]:
    """A process that runs the program, once it says that it is ready."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("ignored_before", [False, True])
def test_it_is_answered_where_the_main_thread_notices_nothing(ignored_before: bool):
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" if ignored_before else ""
    with started(ignoring + UNAWARE) as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "keima: interrupted\n"
        assert process.wait() == INTERRUPTED


def test_it_is_left_to_whoever_handles_it_in_the_block():
    with started(HANDLES_IT_ITSELF) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "handled\n"
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait() == 0
        assert process.stderr.read() == ""


def test_the_terminal_is_left_as_it_was():
    main, terminal_end = pty.openpty()
    before = termios.tcgetattr(terminal_end)
    process = subprocess.Popen(
        [sys.executable, "-c", EDITS_A_LINE], stdin=terminal_end, stdout=terminal_end, stderr=terminal_end
    )
    shown = b""
    while b"ready" not in shown:
        shown += os.read(main, 100)
    assert termios.tcgetattr(terminal_end) != before
    process.send_signal(signal.SIGINT)
    assert process.wait() == INTERRUPTED
    assert termios.tcgetattr(terminal_end) == before
    while not shown.endswith(b"ready\r\nkeima: interrupted\r\n"):
        shown += os.read(main, 100)
    os.close(main)
    os.close(terminal_end)


def test_everything_is_as_before_after_the_block():
    handler, threads = signal.getsignal(signal.SIGINT), threading.active_count()
    files = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []
    with ended_by_interrupts():
        assert signal.getsignal(signal.SIGINT) is not handler
        assert threading.active_count() == threads + 1
        with ended_by_interrupts():
            pass
        assert threading.active_count() == threads + 1
    assert signal.getsignal(signal.SIGINT) is handler
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1
    assert files == (sorted(os.listdir("/proc/self/fd")) if files else [])


def test_errors_come_through():
    @ended_by_interrupts()
    def fails():
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fails()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_go_without():
    answers = []

    def run():
        with ended_by_interrupts():
            answers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert answers == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_in_order_and_a_second_ends_at_once(number):
    handler, stopped, told = signal.getsignal(number), threading.Event(), []
    with stopped_in_order(stopped, lambda: told.append(stopped.is_set())):
        signal.raise_signal(number)
        assert told == [True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert told == [True]
    assert signal.getsignal(number) is handler


def test_elsewhere_than_in_the_main_thread_nobody_is_stopped():
    before, inside = signal.getsignal(signal.SIGTERM), []

    def run():
        with stopped_in_order(threading.Event()):
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == [before]
