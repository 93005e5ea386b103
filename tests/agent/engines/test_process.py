"""Lines to and from a subprocess, whatever it does; small programs are given on the command line."""

import os
import shlex
import sys
import threading
import time

import pytest

from keima.agent.engines import EngineError, Fault
from keima.agent.engines.process import KEPT_COMPLAINTS, MAX_LINE, LineProcess
from keima.games.contract import GameError

LONG_S = 60.0
"""A limit that is not reached."""


def python(program: str, *arguments: str) -> LineProcess:
    return LineProcess(shlex.join([sys.executable, "-I", "-u", "-c", program, *arguments]), name="program")


def receive(process: LineProcess) -> str | None:
    return process.receive(time.monotonic() + LONG_S)


def send_without_end(process: LineProcess, line: str, limit_s: float) -> None:
    while True:
        process.send(line, limit_s)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped by somebody else does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lines_go_in_and_come_out():
    process = python("import sys\nfor line in sys.stdin: print('got', line.strip(), end='\\r\\n')")
    for text in ("one", "zwei ü", ""):
        process.send(text, LONG_S)
        assert receive(process) == f"got {text}"
    assert process.is_running
    process.close()
    assert not process.is_running
    process.close()
    with pytest.raises(EngineError, match="program is not running"):
        process.send("x", LONG_S)


def test_farewell_is_obeyed():
    process = python("import sys\nsys.stdin.readline()\nprint('bye')\nsys.exit(0)")
    process.close("quit")
    assert process._process.returncode == 0


def test_what_was_written_before_the_end_is_read_and_then_the_end_is_an_error():
    process = python("import sys\nprint('a')\nprint('b', end='')\nprint('why', file=sys.stderr)\nsys.exit(3)")
    assert receive(process) == "a"
    assert receive(process) == "b"
    with pytest.raises(EngineError, match="program crashed: it ended with exit code 3; its last words: why") as caught:
        receive(process)
    assert caught.value.fault is Fault.CRASHED


def test_a_signal_is_named():
    process = python("import os\nos.kill(os.getpid(), 11)")
    with pytest.raises(EngineError, match=r"was ended by signal 11 \(SIGSEGV\)"):
        receive(process)


def test_closed_output_is_noticed():
    process = python("import os, time\nos.close(1)\ntime.sleep(3600)")
    with pytest.raises(EngineError, match="closed its output"):
        receive(process)
    assert not is_alive(process.pid)


def test_writing_to_what_has_ended_is_an_error():
    process = python("pass")
    with pytest.raises(EngineError, match="ended with exit code 0"):
        send_without_end(process, "x" * 1000, LONG_S)


def test_silence_is_none_at_the_deadline():
    process = python("import time\ntime.sleep(3600)")
    assert process.receive(time.monotonic() + 0.05) is None
    assert process.is_running
    error = process.hung("said nothing")
    assert error.fault is Fault.HUNG
    assert not is_alive(process.pid)


def test_a_program_that_reads_nothing_does_not_block():
    process = python("import time\ntime.sleep(3600)")
    with pytest.raises(EngineError, match=r"reads nothing for 0\.2 s"):
        send_without_end(process, "x" * 10_000, 0.2)
    assert not is_alive(process.pid)


def test_megabytes_on_stderr_do_not_block_and_are_not_kept():
    flood = "import sys\nfor i in range(300): sys.stderr.write(str(i) + 'x' * 30_000 + '\\n')\nprint('done')"
    process = python(f"{flood}\nsys.stdin.readline()")
    assert receive(process) == "done"
    process.close()
    assert len(process.complaints) <= KEPT_COMPLAINTS
    assert all(len(line) <= 500 for line in process.complaints)
    assert process.complaints[-1].startswith("299x")


def test_a_flood_on_stdout_is_cut_and_ends_with_the_process():
    process = python("import sys\nsys.stdout.write('y' * 3_000_000 + '\\nshort\\n')\nwhile True: print('z' * 100)")
    assert len(receive(process) or "") == MAX_LINE
    assert receive(process) == "short"
    assert receive(process) == "z" * 100
    process.close()
    assert not is_alive(process.pid)


def test_children_are_ended_too():
    child = "import time; time.sleep(3600)"
    process = python(
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)\n"
        "time.sleep(3600)",
        child,
    )
    pid = int(receive(process) or 0)
    assert is_alive(pid)
    process.close()
    deadline_s = time.monotonic() + LONG_S
    while is_alive(pid) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_an_end_is_noticed_though_a_child_holds_the_pipes_open():
    process = python(
        "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)\nsys.exit(4)",
        "import time; time.sleep(3600)",
    )
    assert receive(process)
    with pytest.raises(EngineError, match="ended with exit code 4"):
        receive(process)


def test_no_shell_sees_the_command(tmp_path):
    marker = tmp_path / "marker"
    process = LineProcess(f"{sys.executable} -I -c 'import sys; print(sys.argv[1:])' ; touch {marker}")
    assert receive(process) == str([";", "touch", str(marker)])
    process.close()
    assert not marker.exists()


def test_what_cannot_be_started_is_said(tmp_path, monkeypatch):
    with pytest.raises(GameError, match="no program 'no-such-engine' on PATH nor in /usr/games nor"):
        LineProcess("no-such-engine --level 3")
    with pytest.raises(GameError, match="no/such/engine: no such program"):
        LineProcess("no/such/engine")
    text = tmp_path / "text"
    text.write_text("no program")
    with pytest.raises(GameError, match="is not executable"):
        LineProcess(str(text))
    text.chmod(0o755)
    with pytest.raises(EngineError, match="does not start: exec format error"):
        LineProcess(str(text))
    # Where Debian puts games is looked into though PATH does not have it.
    monkeypatch.setattr("keima.agent.engines.FURTHER_FOLDERS", (str(tmp_path),))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="does not start"):
        LineProcess("text")


def test_who_waits_is_told_that_another_thread_has_closed_it():
    process = python("import time\ntime.sleep(3600)")
    threading.Timer(0.05, process.close).start()
    with pytest.raises(EngineError, match=r"ended by signal 9 \(SIGKILL\)"):
        receive(process)


def test_it_ends_when_it_is_forgotten():
    process = python("import time\ntime.sleep(3600)")
    pid = process.pid
    assert is_alive(pid)
    del process
    assert not is_alive(pid)
    assert os.path.exists("/proc/self")  # so that the above says something
