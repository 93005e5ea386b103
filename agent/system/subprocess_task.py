"""Work in a process of its own, and what is done when this one ends, however that is."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keima.games.contract import GameError


def work_apart(module: str, task: dict[str, Any], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Has a fresh process run a module on a task, and returns its answer. Raises GameError where it fails.

    module: its dotted name. It is run as a program with the task as one JSON object, the last argument, and prints its
    answer, one JSON object, as the last line. The process ends when this one does, however that is. environment: in
    place of this process's.
    """
    given = {**task, "started_s": time.monotonic()}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, json.dumps(given)],
        stdin=subprocess.PIPE,  # held open: its end is the worker's
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C is for this process to answer
    )
    assert process.stdout is not None
    try:
        lines = process.stdout.read().splitlines()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    answer = json.loads(lines[-1]) if lines else {"error": f"ended with exit code {process.returncode}"}
    if "error" in answer:
        raise GameError(f"measuring {task['what']} in a process of its own failed: {answer['error']}")
    return dict(answer)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted after the block, and also when the process ends within it, killed or by Ctrl-C."""
    folder = tempfile.mkdtemp(prefix="keima-")
    with done_at_the_end("import shutil; shutil.rmtree(sys.argv[1], ignore_errors=True)", folder):
        yield Path(folder)


@contextmanager
def done_at_the_end(script: str, *arguments: str) -> Iterator[None]:
    """Has Python statements run after the block, and also when the process ends within it, however that is."""
    waits = "import sys; sys.stdin.read()"
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", f"{waits}\n{script}", *arguments],
        stdin=subprocess.PIPE,  # ends when this process does
        start_new_session=True,  # Ctrl-C is not meant for it
    )
    try:
        yield
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait()
