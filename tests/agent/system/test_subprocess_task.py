"""Processes of their own, and folders that are deleted however the process ends that made them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keima.agent.system import subprocess_task as apart
from keima.agent.system.subprocess_task import temporary_folder, work_apart
from keima.games.contract import GameError
from keima.selfplay.bench.measuring import WORKER
from tests.paths import ROOT
from tests.selfplay.kill_and_resume import wait_until

HOLDS_A_FOLDER = """
import sys
from keima.agent.system.subprocess_task import temporary_folder
with temporary_folder() as folder:
    (folder / "file").write_text("something")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_temporary_folder_is_deleted_however_it_ends(tmp_path):
    with temporary_folder() as folder:
        (folder / "below").mkdir()
    assert not folder.exists()
    for number in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS_A_FOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        held = Path(process.stdout.readline().decode().strip())
        assert (held / "file").exists()
        process.send_signal(number)
        process.wait()
        wait_until(lambda held=held: not held.exists(), 60, "the folder is still there")


def test_a_worker_s_error_is_told(tmp_path):
    task = {"what": "the start", "folder": str(tmp_path / "nosuch"), "backend": "torch-f32"}
    with pytest.raises(GameError, match=r"measuring the start .* failed: .*no such config file"):
        work_apart(WORKER, task)


def test_a_worker_that_crashes_is_told(monkeypatch, tmp_path):
    # No such module, as where the installation is broken.
    monkeypatch.setattr(apart.sys, "executable", "false")
    with pytest.raises(GameError, match="measuring the start in a process of its own failed: ended with exit code"):
        work_apart(WORKER, {"what": "the start", "folder": str(tmp_path)})
