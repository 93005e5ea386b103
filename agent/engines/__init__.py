"""Other programs as players: each is a process that speaks GTP, UCI or USI over its standard input and output.

    player = GtpPlayer("gnugo --mode gtp --level 1", game)
    player.choose(position)  # an action, or a Resignation
    player.close()

An engine that crashes, hangs, answers nonsense or plays an illegal move raises an `EngineError` and is ended with all
processes it has started; the next move that is asked of the player starts it anew.
"""

import os
import shlex
import shutil
from enum import Enum
from pathlib import Path

from keima.games.contract import GameError

FURTHER_FOLDERS = ("/usr/games", "/usr/local/games")
"""Where Debian puts engines, which PATH often leaves out."""
DEFAULT_TIMEOUT_S = 60.0
"""How long an engine may take for an answer beyond the time it was given, in seconds."""


class Fault(Enum):
    """What an engine did."""

    CRASHED = "crashed"
    HUNG = "hung"
    NONSENSE = "nonsense"  # what it wrote is not the protocol, or it refused what it has to do
    ILLEGAL = "illegal move"


class EngineError(GameError):
    """An engine did not play on. The message names the engine, what it did, and what is known of the reason.

    Whoever plays a game has the engine lose it; the player itself can be asked for moves again.
    """

    def __init__(self, engine: str, fault: Fault, detail: str) -> None:
        """`detail` follows the engine's name in the message, as "crashed with exit code 3"."""
        super().__init__(f"{engine} {' '.join(detail.split())}")
        self.fault = fault


def program_and_arguments(command: str) -> list[str]:
    """A command line as the operating system takes it, split as a shell would but never run by one.

    Raises GameError where there is no such program, on PATH nor where Debian puts games.
    """
    words = shlex.split(command)
    if not words:
        raise GameError("expected the command of an engine, got an empty text")
    program = os.path.expanduser(words[0])
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *FURTHER_FOLDERS])
    found = shutil.which(program, path=path)
    if found is None:
        if os.sep in program:
            problem = "is not executable" if Path(program).is_file() else "no such program"
            raise GameError(f"{program}: {problem}")
        raise GameError(f"no program {program!r} on PATH nor in {' nor '.join(FURTHER_FOLDERS)}")
    return [found, *words[1:]]
