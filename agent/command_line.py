"""The command line itself: the app that commands join, exit codes, and how bad input is told.

`keima games`, `play` and the others that need no more than a player are in agent/commands.py, those that train, measure
and rate in selfplay/commands.py, where a command line begins. Each command imports what it needs when it runs, which
is why `keima --help` answers at once. The help is drawn from the docstrings.

Exit codes: 0; 1 where the doctor found errors; 2 for bad usage, bad input and closed pipes, with one line on stderr;
130 after Ctrl-C.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from agent.interrupts import INTERRUPTED

BAD_INPUT = 2


def _version() -> str:
    from importlib.metadata import version

    return f"keima {version('keima')}"


app = App(
    name="keima",
    help="Keima teaches itself a board game from its rules, and then plays it.",
    help_format="plaintext",
    version=_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says so in its own words
)

Simulations = Annotated[int | None, Parameter(validator=Number(gte=0, lte=1_000_000))]
Seconds = Annotated[float | None, Parameter(validator=Number(gt=0, lte=86_400))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
Flag = Parameter(negative="")
Json = Annotated[bool, Parameter(name="--json", negative="")]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line; returns the exit code. Commands return theirs, or None for 0."""
    code = _run(arguments)
    loading = any(thread.name == "opponent" for thread in threading.enumerate())
    if loading or (arguments is None and "agent.opponent" in sys.modules):
        # A player that is still being loaded may be inside a compiler: its thread cannot be stopped, and the
        # interpreter must not be taken down under it. And what nets need takes seconds to be taken down in order, in
        # which a user who has left a game waits for his prompt.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):  # closed, or none
                stream.flush()
        os._exit(code)
    return code


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal's own ^C stands on the line
        return _complain("interrupted", INTERRUPTED)
    except (BrokenPipeError, SystemExit):  # rich, which prints the help, exits where a pipe breaks
        # What is buffered cannot be written any more; without this the interpreter tries again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain("the output was closed before its end")
    except CycloptsError as error:
        error.verbose = False
        return _complain(_usage(str(error)))
    except Exception as error:
        if not _is_for_the_user(error):
            raise
        return _complain(_os_problem(error) if isinstance(error, OSError) else str(error))


def _is_for_the_user(error: Exception) -> bool:
    """Whether an error's message says what the user should know; anything else is a defect, shown as it is."""
    contract: Any = sys.modules.get("games.contract")  # not imported here: it takes numba along
    return isinstance(error, OSError) or (contract is not None and isinstance(error, contract.GameError))


def _os_problem(error: OSError) -> str:
    """An error of the operating system in its own words, with the file it is about."""
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _usage(message: str) -> str:
    """A complaint about usage, in the style of the others."""
    return f"{message[:1].lower()}{message[1:]}"


def _complain(message: str, code: int = BAD_INPUT) -> int:
    with contextlib.suppress(OSError):
        print(f"keima: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code


@contextlib.contextmanager
def shown(stage: str) -> Iterator[Callable[[str], None]]:
    """Says on stderr what is being done, once it takes long; yields what is told of each later stage."""
    from agent.terminal import Progress

    def write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    progress = Progress(write, live=sys.stderr.isatty())
    progress.begin(stage)
    with progress.shown():
        yield progress.begin
