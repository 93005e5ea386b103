"""The command line itself: the app that commands join, exit codes, and how bad input is told.

`keima games`, `play` and the others that need no more than a player are in agent/commands.py, those that train, measure
and rate in selfplay/commands/, where a command line begins. Each command imports what it needs when it runs, which
is why `keima --help` answers at once. The help is drawn from the docstrings.

Exit codes: 0; 1 where the doctor found errors; 2 for bad usage, bad input and closed pipes, with one line on stderr;
130 after Ctrl-C.
"""

import contextlib
import os
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import App, CoercionError, CycloptsError, MissingArgumentError, Parameter, ValidationError
from cyclopts.exceptions import RepeatArgumentError, UnusedCliTokensError

from keima.agent.system.interrupts import INTERRUPTED
from keima.agent.system.progress import LOADER, Progress
from keima.games import blamed_on_game
from keima.games.errors import GameError

BAD_INPUT = 2
CLOSED = "the output was closed before its end"


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


@dataclass(frozen=True)
class Within:
    """An option's number, from `low` to `high`."""

    low: float
    high: float

    def __call__(self, kind: Any, value: float | None) -> None:
        """Raises ValueError, as cyclopts asks of what checks a value."""
        if value is not None and not self.low <= value <= self.high:  # so is what is not a number
            raise ValueError(f"{_in_words(type(value))} from {self.low} to {self.high}")


MOST_SEED = 2**63 - 1
Simulations = Annotated[int | None, Parameter(validator=Within(0, 1_000_000))]
Seconds = Annotated[float | None, Parameter(validator=Within(0.001, 86_400))]
Seed = Annotated[int, Parameter(validator=Within(0, MOST_SEED))]
Flag = Parameter(negative="")
Json = Annotated[bool, Parameter(name="--json", negative="")]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line; returns the exit code. Commands return theirs, or None for 0."""
    code = _run(arguments)
    loading = any(thread.name == LOADER for thread in threading.enumerate())
    if loading or (arguments is None and "keima.agent.terminal.opponent" in sys.modules):
        # A player that is still being loaded may be inside a compiler: its thread cannot be stopped, and the
        # interpreter must not be taken down under it. And what nets need takes seconds to be taken down in order, in
        # which a user who has left a game waits for his prompt.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):  # closed, or none
                stream.flush()
        os._exit(code)
    return code


def _run(arguments: list[str] | None) -> int:
    if sys.stderr is None:  # closed: what is meant for it would go to stdout, or into the next file that is opened
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    if sys.stdout is None:
        return _complain(CLOSED)
    try:
        _refuse_empty(sys.argv[1:] if arguments is None else arguments)
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal's own ^C stands on the line
        return _complain("interrupted", INTERRUPTED)
    except (BrokenPipeError, SystemExit) as error:  # rich, which prints the help, exits where a pipe breaks
        if (said := blamed_on_game(error)) is not None:
            return _complain(said)
        # What is buffered cannot be written any more; without this the interpreter tries again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain(CLOSED)
    except CycloptsError as error:
        return _complain(_usage(error))
    except Exception as error:
        if not _is_for_the_user(error):
            said = blamed_on_game(error)
            if said is None:
                raise
            return _complain(said)
        return _complain(_os_problem(error) if isinstance(error, OSError) else str(error))


def _is_for_the_user(error: Exception) -> bool:
    """Whether an error's message says what the user should know; anything else is a defect, shown as it is."""
    return isinstance(error, (OSError, GameError))


def _os_problem(error: OSError) -> str:
    """An error of the operating system in its own words, with the file it is about."""
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _refuse_empty(arguments: list[str]) -> None:
    """Raises CycloptsError for an empty text, which no command has a use for: a path of it is the folder one is in."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.partition("=")
        if not argument.strip() or (name.startswith("--") and equals and not value.strip()):
            place = name if equals else before
            place = f"{place}: " if place.startswith("--") else ""
            raise CycloptsError(f"{place}expected a value, got an empty text")


def _usage(error: CycloptsError) -> str:
    """A complaint about usage, in the style of the others."""
    error.verbose = False
    command = " ".join(["keima", *(error.command_chain or ())])
    message = str(error)
    match error:
        case UnusedCliTokensError():
            message = f"unexpected: {' '.join(error.unused_tokens or ())}; see `{command} --help`"
        case RepeatArgumentError():
            message = f"{error.token.keyword}: expected once, got it again"
        case ValidationError() if error.argument is not None and error.argument.tokens:
            message = f"{_place(error)}: expected {error.exception_message}, got {error.argument.tokens[0].value!r}"
        case CoercionError() if error.token is not None:
            message = f"{_place(error)}: expected {_in_words(error.target_type)}, got {error.token.value!r}"
        case MissingArgumentError() if error.argument is not None:
            count = error.argument.token_count()[0]
            if not error.argument.name.startswith("--"):
                message = f"expected {_place(error)}; see `{command} --help`"
            elif count == 1:
                message = f"{_place(error)}: expected a value"
            else:
                message = f"{_place(error)}: expected {count} values, got {len(error.tokens_so_far) % count}"
    return f"{message[:1].lower()}{message[1:]}" if message[1:2].islower() else message


def _place(error: CycloptsError) -> str:
    """The option that an error is about, as it was written, or the argument."""
    argument, token = error.argument, getattr(error, "token", None)
    assert argument is not None
    tokens = [token] if token is not None else argument.tokens
    written = getattr(error, "keyword", None) or next((t.keyword for t in tokens if t.keyword), None)
    return str(written or (argument.name if argument.name.startswith("--") else argument.name.upper()))


def _in_words(kind: Any) -> str:
    """What a text is to be converted to."""
    if typing.get_origin(kind) is typing.Literal:
        *others, last = map(str, typing.get_args(kind))
        return f"{', '.join(others)} or {last}" if others else last
    return {int: "a whole number", float: "a number", bool: "yes or no"}.get(kind, "something else")


def _complain(message: str, code: int = BAD_INPUT) -> int:
    # What it quotes may come from a file: nothing of that is to speak to the terminal.
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    with contextlib.suppress(OSError):
        print(f"keima: {line}", file=sys.stderr, flush=True)
    return code


@contextlib.contextmanager
def shown(stage: str) -> Iterator[Callable[[str], None]]:
    """Says on stderr what is being done, once it takes long; yields what is told of each later stage."""

    def write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    progress = Progress(write, live=sys.stderr.isatty())
    progress.begin(stage)
    with progress.shown():
        yield progress.begin
