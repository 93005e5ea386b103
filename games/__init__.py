"""The rules: one file is one game. Games are found by name (`connect4`, `othello:6`) or by path (`./mygame.py`).

There is no list of games to add to: every file here with a class derived from `Game` is one.
"""

import ast
import difflib
import functools
import hashlib
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from games.contract import Game

_FOLDER = Path(__file__).parent


def _choose_cache_folder() -> None:
    """Points numba's cache at a folder named after the sources that compiled code is built from.

    numba notices that a kernel's own file was edited, not that a file it takes functions from was. Those files
    are the contract and the search; their digest in the folder's name makes an edit or an upgrade of them
    compile anew, where numba alone would silently run the old code.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    digest = hashlib.sha256()
    for path in [_FOLDER / "contract.py", *sorted((_FOLDER.parent / "mcts").glob("*.py"))]:
        digest.update(path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ["NUMBA_CACHE_DIR"] = str(base / "keima" / digest.hexdigest()[:12])
    if "numba" in sys.modules:  # it read the variable when it was imported
        sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


_choose_cache_folder()


def game_class_name(path: Path) -> str | None:
    """The name of the class derived from `Game` in a file, read without running it; None where there is none."""
    for statement in ast.parse(path.read_text(), str(path)).body:
        if isinstance(statement, ast.ClassDef) and any(
            isinstance(b, ast.Name) and b.id == "Game" for b in statement.bases
        ):
            return statement.name
    return None


@functools.cache
def names() -> dict[str, str]:
    """Every shipped game's name and the name of its class: {"connect4": "ConnectFour"}. Imports none of them."""
    found = {path.stem: game_class_name(path) for path in sorted(_FOLDER.glob("*.py")) if path.stem != "contract"}
    return {stem: name for stem, name in found.items() if name}


def load(text: str) -> "Game":
    """The game that `text` names: a name or a path ending in `.py`, then perhaps `:parameters`.

    A path is code and is run. Raises GameError with a message for the user.
    """
    from games.contract import GameError, load_module, parse_parameters

    name, _, parameters = text.strip().partition(":")
    if name.endswith(".py"):
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise GameError(f"{name}: no such game file")
        module_name = f"keima_game_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
        try:
            class_name = game_class_name(path)
            module = sys.modules.get(module_name) or load_module(str(path), module_name)
        except GameError:
            raise
        except Exception as error:  # whatever a user's file raises becomes one line
            sys.modules.pop(module_name, None)
            raise GameError(f"{name}: {type(error).__name__}: {error}") from error
        if class_name is None:
            raise GameError(f"{name}: expected a class derived from Game, found none")
        name, source = path.stem, str(path)
    else:
        if name not in names():
            close = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
            hint = f" (did you mean {close[0]}?)" if close else ""
            known = ", ".join(names())
            raise GameError(f"unknown game {name!r}{hint}; expected one of {known} or a path to a .py file")
        module, class_name, source = importlib.import_module(f"games.{name}"), names()[name], name
    game_class = getattr(module, class_name)
    game_class.name, game_class.source = name, source
    return parse_parameters(game_class, parameters)
