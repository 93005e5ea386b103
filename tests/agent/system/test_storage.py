import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from keima.agent.system import storage
from keima.agent.system.storage import StorageFull, check_folder, remove_unfinished, write_atomically
from keima.games.contract import GameError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomically(path, b"")
    assert path.read_bytes() == b""
    assert names(tmp_path) == ["a.bin"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:3]))
    write_atomically(tmp_path / "a.bin", b"0123456789")
    assert (tmp_path / "a.bin").read_bytes() == b"0123456789"


def test_order_content_synced_before_rename_before_folder(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def record(*arguments, name=name, real=real):
            calls.append(name)
            return real(*arguments)

        monkeypatch.setattr(os, name, record)
    write_atomically(tmp_path / "a.bin", b"x")
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call, code):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, lambda *_: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
        with pytest.raises(StorageFull) as caught:
            write_atomically(path, b"new and longer")
    assert isinstance(caught.value, GameError)
    message = str(caught.value)
    assert "\n" not in message
    assert "a.bin" in message
    assert "free some space" in message
    assert "--resume" in message
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "bad disk"), KeyboardInterrupt()])
def test_any_other_failure_passes_through_and_leaves_nothing(tmp_path, monkeypatch, error):
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "a.bin", b"new")
    assert names(tmp_path) == []


def test_remove_unfinished(tmp_path):
    write_atomically(tmp_path / "kept.bin", b"x")
    (tmp_path / f".a.bin.123{storage._TEMPORARY}").write_bytes(b"half")
    assert [path.name for path in remove_unfinished(tmp_path)] == [".a.bin.123.writing"]
    assert names(tmp_path) == ["kept.bin"]
    assert remove_unfinished(tmp_path) == []


WRITER = """
import pathlib, sys
from keima.agent.system.storage import write_atomically
path = pathlib.Path(sys.argv[1])
write_atomically(path, bytes(1_000_000))
print("ready", flush=True)
i = 1
while True:
    write_atomically(path, bytes([i % 256]) * 1_000_000)
    i += 1
"""


def test_kill_never_leaves_a_half_file(tmp_path):
    path = tmp_path / "a.bin"
    for attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        data = path.read_bytes()
        assert len(data) == 1_000_000
        assert len(set(data)) == 1
        remove_unfinished(tmp_path)
        assert names(tmp_path) == ["a.bin"]


def test_a_folder_that_cannot_be_made_is_known_before(tmp_path, monkeypatch):
    check_folder(tmp_path / "a" / "b", "--output")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(GameError, match=f"--output {path}: expected a folder, but {tmp_path / 'file'} is none"):
            check_folder(path, "--output")
    monkeypatch.setattr(storage.os, "access", lambda path, mode: False)  # as root, all can be written to
    with pytest.raises(GameError, match="expected a folder that can be written to"):
        check_folder(tmp_path / "a", "--output")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
