"""What all tests share."""

import os
import signal
from collections.abc import Callable

import hypothesis
import pytest

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


@pytest.fixture(scope="session")
def sized(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Of two numbers of games or positions the one to use: the first with --full, else the second."""
    is_full = request.config.getoption("--full")
    return lambda full, quick: full if is_full else quick
