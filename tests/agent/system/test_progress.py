"""What is said of what takes long."""

import io
import threading

import pytest

from keima.agent.system import progress as module
from keima.agent.system.progress import Progress


@pytest.mark.parametrize("live", [True, False])
def test_progress_speaks_of_what_takes_long_only(live: bool):
    written, now_s = io.StringIO(), [10.0]
    progress = Progress(written.write, live=live, clock=lambda: now_s[0])

    def lasts(stage: str, *seconds: float) -> None:
        progress.begin(stage)
        for passing_s in seconds:
            now_s[0] += passing_s
            progress._tell_stage()

    lasts("compiling the search, once", 0.9)
    assert written.getvalue() == ""
    lasts("compiling the search, once", 0.9, 0.2, 1.0)
    lasts("something quick", 0.9)
    lasts("loading", 1.0)
    if live:
        assert written.getvalue() == (
            "\r\033[Kcompiling the search, once ... 1 s"
            "\r\033[Kcompiling the search, once ... 2 s"
            "\r\033[Kloading ... 1 s"
        )
    else:
        assert written.getvalue() == "compiling the search, once ...\nloading ...\n"


@pytest.mark.parametrize("live", [True, False])
def test_progress_is_shown_while_the_block_runs(monkeypatch, live: bool):
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    written: list[str] = []
    told = threading.Event()

    def write(text: str) -> None:
        written.append(text)
        told.set()

    progress = Progress(write, live=live)
    progress.begin("loading")
    with progress.shown():
        told.wait()
    if live:
        assert written[0] == "\r\033[Kloading ... 0 s"
        assert written[-1] == "\r\033[K"  # nothing is left of it
    else:
        assert written == ["loading ...\n"]
    monkeypatch.setattr(module, "PATIENCE_S", 1e6)
    written.clear()
    with progress.shown():
        pass
    assert written == []
