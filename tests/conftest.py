"""What all tests share."""

import functools
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests.paths import ROOT

# A first call compiles, and machines are busy: how long an example takes says nothing. The same examples every time.
hypothesis.settings.register_profile(
    "keima", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("keima")

# Workers side by side have a core each; torch and its like would otherwise start a thread a core in every one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell without job control starts what is put in the background (`make test &` in a script) with Ctrl-C ignored,
# and so would be every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the slowest comparisons in full, not in part")
    parser.addoption("--touched", action="store_true", help="only the tests of files that the last change touches")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --touched, leaves out test files of modules that are as they were."""
    if not config.getoption("--touched") or collection_path.suffix != ".py":
        return None
    return collection_path not in touched_tests() or None


@functools.cache
def touched_tests() -> frozenset[Path]:
    """The tests of what is not committed yet, or else of the last commit; of the architecture in any case."""
    commands = (["git", "status", "--porcelain", "--no-renames", "-uall"], ["git", "diff", "--name-only", "HEAD~1"])
    found = (subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False) for command in commands)
    status, diff = ([line[cut:] for line in done.stdout.splitlines()] for done, cut in zip(found, (3, 0), strict=True))
    changed = [Path(name) for name in status or diff]
    tests = {path for path in changed if path.parts[0] == "tests"} | {Path("tests", "test_architecture.py")}
    for path in changed:
        tests.add(Path("tests", path.parent, f"test_{path.stem.strip('_')}.py"))
    return frozenset(ROOT / path for path in tests)


@pytest.fixture(scope="session")
def sized(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Of two numbers of games or positions the one to use: the first with --full, else the second."""
    is_full = request.config.getoption("--full")
    return lambda full, quick: full if is_full else quick
