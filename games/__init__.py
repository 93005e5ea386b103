"""The rules: one file is one game. Games are found by name (`connect4`, `othello:6`) or by path (`./mygame.py`).

There is no list of games to add to: every file here with a class derived from `Game` is one.
"""

import ast
import difflib
import functools
import hashlib
import importlib
import importlib.util
import multiprocessing
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keima.games.contract import Game, GameError

_FOLDER = Path(__file__).parent
_BY_PATH = "keima_game_"
"""What the names of modules begin with that are games given by path."""
_SHARED = (
    "compilation",
    "contract",
    "position_text",
    "history",
    "ladders",
    "go_board",
    "go_repetition",
    "go_counting",
    "go_planes",
    "go_set_up",
)
"""The modules here from which games take compiled functions, or numbers that are compiled into them."""


def cache_folder() -> Path:
    """Where Keima keeps what can be made again: compiled code, measurements of this machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keima"


def _choose_cache_folder() -> None:
    """Points numba's cache at a folder named after the sources that compiled code is built from.

    numba notices that a kernel's own file was edited, not that a file it takes functions from was. Those files
    are the contract's, the search's and Go's parts; their digest in the folder's name makes an edit or an upgrade of
    them compile anew, where numba alone would silently run the old code.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    digest = hashlib.sha256()
    shared = [_FOLDER / f"{name}.py" for name in _SHARED]
    for path in [*shared, *sorted((_FOLDER.parent / "mcts").glob("*.py"))]:
        digest.update(path.read_bytes())
    digest.update(os.environ.get("NUMBA_BOUNDSCHECK", "").encode())  # numba would take unchecked code from its cache
    os.environ["NUMBA_CACHE_DIR"] = str(cache_folder() / digest.hexdigest()[:12])
    if "numba" in sys.modules:  # it read the variable when it was imported
        sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


_choose_cache_folder()


def game_class_name(path: Path) -> str | None:
    """The name of the class derived from `Game` in a file, read without running it; None where there is none.

    Raises GameError for a file that is not Python.
    """
    try:
        statements = ast.parse(path.read_text(encoding="utf-8"), path.name).body
    except (SyntaxError, ValueError) as error:  # the latter for null bytes, and what is no text
        raise _game_error(path, error) from error
    for statement in statements:
        if isinstance(statement, ast.ClassDef) and any(
            isinstance(b, ast.Name) and b.id == "Game" for b in statement.bases
        ):
            return statement.name
    return None


def _game_error(path: Path, error: BaseException) -> "GameError":
    """Whatever reading or running a game file raised, in one line for the user."""
    from keima.games.contract import GameError  # here, since listing the games must not cost the import of numba

    if isinstance(error, UnicodeDecodeError):
        return GameError(f"{path}: expected Python in UTF-8, got something that is not a text file")
    lines = [line for file, line in _places(error) if file == str(path)]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    return GameError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}")


def _places(error: BaseException) -> list[tuple[str, int]]:
    """The files and lines that an exception has come through, the one that raised it last."""
    return [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]


def blamed_on_game(error: BaseException) -> str | None:
    """What to say of an exception that a game file of the user's has raised; None for any other."""
    files = [str(module.__file__) for name, module in list(sys.modules.items()) if name.startswith(_BY_PATH)]
    places = [file for file, _ in _places(error)]
    found = [file for file in files if file in places]
    if not found and places[-1:] in ([str(_FOLDER / f"{name}.py")] for name in ("contract", "compilation")):
        found = files[-1:]  # what fails in the contract itself fails for what the game has handed to it
    return f"{_game_error(Path(found[-1]), error)}; see `keima doctor {found[-1]}`" if found else None


@functools.cache
def names() -> dict[str, str]:
    """Every shipped game's name and the name of its class: {"connect4": "ConnectFour"}. Imports none of them."""
    found = {path.stem: game_class_name(path) for path in sorted(_FOLDER.glob("*.py")) if path.stem != "contract"}
    return {stem: name for stem, name in found.items() if name}


def _module_of_file(path: Path, module_name: str) -> ModuleType:
    """The module that a game file makes when it is run; run once a process, so that its kernels are compiled once."""
    if module_name in sys.modules:
        return sys.modules[module_name]
    _answer_to_old_names(path)
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up while the file runs
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _answer_to_old_names(path: Path) -> None:
    """Lets a file's `from games.contract import ...`, as it was called once, mean `keima.games.contract`, and says so.

    The old names stay in `sys.modules`, for imports in the file's functions.
    """
    old: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            old.add(node.module or "")
        elif isinstance(node, ast.Import):
            old |= {alias.name for alias in node.names}
    old = {name for name in old if name.partition(".")[0] == "games"}
    other = importlib.util.find_spec("games") if old else None
    if not old or (other is not None and Path(other.origin or "").resolve().parent != _FOLDER.resolve()):
        return  # or these are a package of the user's own
    for name in ("games", *sorted(old)):
        if importlib.util.find_spec(f"keima.{name}") is not None:
            sys.modules[name] = importlib.import_module(f"keima.{name}")
    if multiprocessing.parent_process() is None:  # once, not from every actor
        first = min(old)
        print(f"{path}: `{first}` is now called `keima.{first}`: write that in its imports", file=sys.stderr)


def load(text: str) -> "Game":
    """The game that `text` names: a name or a path ending in `.py`, then perhaps `:parameters`.

    A path is code and is run. Raises GameError with a message for the user.
    """
    from keima.games.contract import check_sizes

    game = find(text)
    check_sizes(game)
    return game


def find(text: str) -> "Game":
    """As `load`, but without a look at the game's sizes: for the doctor, who says more of them."""
    from keima.games.contract import GameError
    from keima.games.parameters import parse_parameters

    name, _, parameters = text.strip().partition(":")
    by_path = name.endswith(".py")
    if by_path:
        path = Path(name).expanduser().resolve()
        if not path.is_file():
            raise GameError(f"{name}: no such game file")
        class_name = game_class_name(path)
        if class_name is None:
            raise GameError(f"{path}: expected a class derived from Game, found none")
        name, module_name = path.stem, f"{_BY_PATH}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    else:
        if name not in names():
            close = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
            hint = f" (did you mean {close[0]}?)" if close else ""
            known = ", ".join(names())
            raise GameError(f"unknown game {name!r}{hint}; expected one of {known} or a path to a .py file")
        path, class_name, module_name = _FOLDER / f"{name}.py", names()[name], f"keima.games.{name}"
    try:
        module = _module_of_file(path, module_name) if by_path else importlib.import_module(module_name)
    except GameError:
        raise
    except (Exception, SystemExit) as error:
        raise _game_error(path, error) from error
    game_class = getattr(module, class_name)
    game_class.name, game_class.source = name, str(path) if by_path else name
    return parse_parameters(game_class, parameters)
