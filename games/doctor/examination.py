"""Runs every check but the learner's over a game.

The game runs in processes of its own (keima.games.doctor.worker), so one that crashes or hangs is a finding.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from keima.games.contract import GameError
from keima.games.doctor.report import CHECKS, ERROR, NOTE, WARNING, Finding, Report

STAGES = {
    "interpreted": "examining the rules, uncompiled",
    "checked": "compiling with bounds checked, and examining the rules",
    "compiled": "compiling and examining the rules",
}
"""The stages of keima.games.doctor.worker, in words."""
HUNG_S = 300.0
"""A process that tells of nothing for so long has hung: no check of a sound game takes a tenth of it."""


def examine(game: str, *, num_games: int, seed: int, begin: Callable[[str], None] = lambda stage: None) -> Report:
    """Runs every check but the learner's. begin: is told what is being done from now on.

    Raises GameError for a name or parameters that are bad input.
    """
    report = Report(game)
    with tempfile.TemporaryDirectory(prefix="keima-doctor-") as folder:
        is_plain = True
        for stage, words in STAGES.items():
            if stage == "checked" and is_plain:
                continue
            begin(words)
            is_plain = _run_stage(stage, folder, num_games, seed, report, begin)
            if not report.is_sound:
                # Compiled, a kernel with such a bug might do anything; and its findings would be the same again.
                break
    order = list(CHECKS)
    report.findings.sort(key=lambda f: ((ERROR, WARNING, NOTE).index(f.severity), order.index(f.check)))
    return report


def _run_stage(
    stage: str, folder: str, num_games: int, seed: int, report: Report, begin: Callable[[str], None]
) -> bool:
    """Adds what a stage finds to the report. False where the kernels do not run as plain Python."""
    check, done, is_plain = "loading", False, True
    with _worker(stage, folder, num_games, seed, report.game) as (process, lines):
        while True:
            try:
                line = lines.get(timeout=HUNG_S)
            except queue.Empty:
                report.add(_hung(check, stage))
                return is_plain
            if line is None:
                break
            for kind, value in json.loads(line).items():
                if kind == "refused":
                    raise GameError(value)
                if kind == "begin":
                    check = value
                    begin(f"{STAGES[stage]}: {value}")
                elif kind == "finding":
                    moves = value["moves"]
                    report.add(Finding(**value | {"moves": None if moves is None else tuple(moves)}))
                elif kind == "said":
                    report.say(*value)
                elif kind == "not plain":
                    is_plain = False
                    report.add(_not_plain(value))
                elif kind == "statistics":
                    report.statistics = value
                elif kind == "speed":
                    report.speed = value
                elif kind == "done":
                    done = True
        if not done:
            report.add(_died(check, stage, process.wait(), (Path(folder) / "stderr.txt").read_text(errors="replace")))
    return is_plain


@contextlib.contextmanager
def _worker(
    stage: str, folder: str, num_games: int, seed: int, game: str
) -> Iterator[tuple[subprocess.Popen[str], "queue.SimpleQueue[str | None]"]]:
    """The process of a stage, and its lines as they come, None after the last."""
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    environment["NUMBA_DISABLE_JIT"] = "1" if stage == "interpreted" else "0"
    if stage == "checked":
        # numba's cache does not tell code with bounds checked from code without.
        environment |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
    # -P: a folder named `games` below the one that the command is typed in is not ours.
    command = [sys.executable, "-P", "-m", "keima.games.doctor.worker", stage, folder, str(num_games), str(seed), game]
    with (Path(folder) / "stderr.txt").open("w") as stderr:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _not_plain(reason: str) -> Finding:
    return Finding(
        NOTE,
        "compiled as written",
        f"not compared with plain Python, as which the kernels do not run: {reason}",
        "kernels that also run uncompiled: there, every bug has a line number",
        "nothing has to be done; int(...) around comparisons and np.int64(...) around numbers of other types would do",
    )


def _hung(check: str, stage: str) -> Finding:
    return Finding(
        ERROR,
        "crash",
        f"nothing is heard for {HUNG_S:g} s during the check '{check}', {stage}",
        "kernels that take microseconds",
        "look for a loop in the kernels that does not end",
    )


def _died(check: str, stage: str, code: int, stderr: str) -> Finding:
    how = f"with exit code {code}"
    if code < 0:
        how = f"by {signal.Signals(-code).name}"
    last = [line for line in stderr.splitlines() if line.strip()][-1:]
    return Finding(
        ERROR,
        "crash",
        f"the process ended {how} during the check '{check}', {stage}{': ' + last[0].strip() if last else ''}",
        "a game that ends no process",
        "look for indices out of bounds in the kernels, memory used without end, or sys.exit in the file",
    )
