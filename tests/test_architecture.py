"""The order of the folders, held by reading every module's imports; and what must never be imported at all."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from keima import games
from tests.paths import ROOT

FLOORS = ["games", "mcts", "agent", "selfplay"]
ROOMS = [
    *("games", "games.doctor"),
    "mcts",
    *("agent.system", "agent.contracts", "agent.nets", "agent.inference", "agent.solvers", "agent.go"),
    *("agent.engines", "agent.players", "agent.records", "agent.analysis", "agent.protocols.gtp"),
    *("agent.terminal", "agent.terminal.screen", "agent"),
    *("selfplay.config", "selfplay.replay", "selfplay.actors", "selfplay.learning", "selfplay.tournament"),
    *("selfplay.run", "selfplay.bench", "selfplay.experiments", "selfplay.commands", "selfplay"),
]
"""Each room may import itself and those before it. A floor's own files, as agent/commands.py, come after its rooms."""
TOP = "selfplay.commands"  # where a command line begins
TOP_LEVEL = {*FLOORS, "keima", "configs", "tests", "pyproject.toml", "README.md", "Makefile", "LICENSE"}
TOP_LEVEL |= {"CONTRIBUTING.md", "CHANGELOG.md"}
RUNS_FOREIGN_CODE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
IGNORED = {"runs", "build", "dist", "__pycache__"}


def sources() -> dict[str, ast.Module]:
    """Every module of the four floors by its dotted name without `keima.`, parsed."""
    paths = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
    return {name_of(path): ast.parse(path.read_text(), str(path)) for path in paths}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import in a module, inside functions too: the line and the dotted name. `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


SOURCES = sources()
IS_PACKAGE = {name for name in SOURCES if (ROOT / name.replace(".", "/")).is_dir()}


def module_of(target: str) -> str:
    """The module of ours that an imported name is or belongs to; empty where it is none of ours."""
    name = target.removeprefix("keima.") if target.startswith("keima.") else ""
    while name and name not in SOURCES:
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str:
    room = module if module in IS_PACKAGE else module.rpartition(".")[0]
    while room not in ROOMS:
        room = room.rpartition(".")[0]
    return room


def test_every_floor_is_read():
    assert {name.partition(".")[0] for name in SOURCES} == set(FLOORS)
    assert TOP in SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_imports_go_down_the_list_of_rooms(name: str):
    room = ROOMS.index(room_of(name))
    for line, target in imports(SOURCES[name]):
        taken = module_of(target)
        if taken:
            assert ROOMS.index(room_of(taken)) <= room, f"{name} line {line}: {ROOMS[room]} must not import {target}"
            assert taken != TOP, f"{name} line {line}: nobody imports the top"
        assert target.partition(".")[0] != "tests", f"{name} line {line}: imports the tests"
        is_ours = target.partition(".")[0] == "keima"
        assert not is_ours or target.split(".")[1] in (*FLOORS, "configs"), f"{name} line {line}: the face is on top"


def test_every_folder_with_code_is_a_room_or_in_one():
    folders = {room_of(name) for name in SOURCES}
    assert folders == set(ROOMS), "a room without code, or code without a room"


def test_no_circle_of_files():
    """Imports inside functions and for type checkers alone count, too."""
    taken = {name: {module_of(target) for _, target in imports(tree)} - {"", name} for name, tree in SOURCES.items()}
    while True:  # whatever imports nothing that is left cannot be in a circle
        ends = {name for name, others in taken.items() if not others & taken.keys()}
        if not ends:
            break
        taken = {name: others for name, others in taken.items() if name not in ends}
    assert not taken, f"files that import each other, and those that import these: {sorted(taken)}"


def test_every_import_of_ours_is_by_its_one_name():
    """`import games` beside `import keima.games` would make the module twice."""
    paths = [path for folder in (*FLOORS, "keima", "tests", "configs") for path in (ROOT / folder).rglob("*.py")]
    for path in paths:
        for line, target in imports(ast.parse(path.read_text(), str(path))):
            assert target.partition(".")[0] not in FLOORS, f"{path.relative_to(ROOT)} line {line}: import {target}"


@pytest.mark.parametrize("name", [*games.names(), *games._SHARED])
def test_what_games_take_from_other_files_is_compiled_anew_after_an_edit(name: str):
    """numba looks at a game's own file alone; see games._choose_cache_folder."""
    taken = {module_of(target).partition(".")[2] for _, target in imports(SOURCES[f"games.{name}"])} - {""}
    assert taken or name not in games.names()
    assert taken - {"errors"} <= set(games._SHARED)  # what is raised is not compiled


@pytest.mark.parametrize("name", [name for name in SOURCES if name.partition(".")[0] in ("games", "mcts")])
def test_rules_and_search_know_nothing_of_torch(name: str):
    assert not [target for _, target in imports(SOURCES[name]) if target.partition(".")[0] == "torch"]


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_that_is_read_is_run(name: str):
    for line, target in imports(SOURCES[name]):
        assert target.partition(".")[0] not in RUNS_FOREIGN_CODE, f"{name} line {line}: {target}"
    for node in ast.walk(SOURCES[name]):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            assert call not in ("eval", "exec", "torch.load", "torch.save"), f"{name} line {node.lineno}: {call}"
            for keyword in node.keywords:
                assert keyword.arg != "allow_pickle", f"{name} line {node.lineno}: allow_pickle"


def test_the_rules_above_would_notice():
    tree = ast.parse("def f():\n    import torch.nn\n    from keima.selfplay.run.training_run import train, resume")
    assert list(imports(tree)) == [
        (2, "torch.nn"),
        (3, "keima.selfplay.run.training_run.train"),
        (3, "keima.selfplay.run.training_run.resume"),
    ]


def files_listed(readme: str) -> list[str]:
    """The Python files that a README's list of files names, in its order; several may share a line."""
    rows = [line.replace("\\", "").split(" | ")[0] for line in readme.splitlines() if line.startswith("| ")]
    return [name for row in rows for name in dict.fromkeys(re.findall(r"\w+(?=\.py)", row))]


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in ("agent", "selfplay")])
def test_a_rooms_readme_lists_its_files_in_the_order_of_dependence(room: str):
    """Every file once, and after all files of the room that it imports. `__init__.py` may be left out."""
    folder = ROOT / room.replace(".", "/")
    listed = files_listed((folder / "README.md").read_text())
    files = {path.stem for path in folder.glob("*.py")}
    assert sorted(set(listed) | {"__init__"}) == sorted(files)
    assert len(listed) == len(set(listed))
    for place, name in enumerate(listed):
        for _, target in imports(SOURCES[room if name == "__init__" else f"{room}.{name}"]):
            taken = module_of(target).rpartition(".")
            assert taken[0] != room or taken[2] not in listed[place + 1 :], f"{name}.py is listed before {taken[2]}.py"


def is_known(taken: str, own: str, said: str) -> bool:
    """Whether a paragraph on what a room knows of covers another room: by its name, its floor's, or all of a floor."""
    floor, own_floor = taken.partition(".")[0], own.partition(".")[0]
    return (
        f"{taken.replace('.', '/')}/" in said
        or re.search(rf"\b{floor}/(?!\w)", said) is not None
        or (taken == "games" and re.search(r"\bgames\b", said) is not None)
        or ("all rooms above it" in said and floor == own_floor)
        or ("the other floors" in said and floor != own_floor)
        or "knows everything;" in said
    )


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in ("agent", "selfplay")])
def test_a_rooms_readme_says_what_the_room_knows_of(room: str):
    paragraphs = (ROOT / room.replace(".", "/") / "README.md").read_text().split("\n\n")
    said = next(" ".join(paragraph.split()) for paragraph in paragraphs if re.search(r"\bknows\b", paragraph))
    taken = {module_of(target) for name in SOURCES if room_of(name) == room for _, target in imports(SOURCES[name])}
    rooms = {room_of(name) for name in taken - {""}} - {room}
    assert [other for other in sorted(rooms) if not is_known(other, room, said)] == []


def test_a_room_that_is_not_named_is_noticed():
    said = "It knows the games and agent/nets/."
    assert is_known("games", "agent.inference", said)
    assert is_known("agent.nets", "agent.inference", said)
    assert not is_known("agent.system", "agent.inference", said)
    assert not is_known("mcts", "agent.inference", said)


def test_a_list_of_files_is_read_as_it_stands():
    shown = (
        "| file | holds |\n|---|---|\n| [\\_\\_init\\_\\_.py](__init__.py) | a |\n| b.py, [c.py](c.py) | with d.py |\n"
    )
    assert files_listed(shown) == ["__init__", "b", "c"]


# --- sizes, and what every room says of itself

LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 450, 60, 12
"""Lines, lines and parameters. More is fine with a reason beside it: a comment that begins `# Long:`, above a file's
first function or class or above a function, or `# Many parameters:`, above a function."""
STILL_TOO_LARGE = {
    "games.doctor.subject",
    "games.doctor.rules.check_board",
    "games.doctor.drawing.check_positions",
    "games.doctor.symmetries.check_symmetries",
}
"""What is to become smaller; take off what has."""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def comments_above(text: str, node: ast.stmt) -> str:
    """The comments on the lines directly above a definition and between its decorators."""
    lines = text.splitlines()
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else []
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    last = node.lineno - 1
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return "\n".join(line.strip() for line in lines[first:last] if line.lstrip().startswith("#"))


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without self or cls."""
    taken = function.args
    named = [*taken.posonlyargs, *taken.args]
    is_method = bool(named) and named[0].arg in ("self", "cls")
    return len(named) - is_method + len(taken.kwonlyargs) + (taken.vararg is not None) + (taken.kwarg is not None)


def too_large(name: str) -> list[str]:
    """What in a module is above the sizes without a reason."""
    path, tree = ROOT / name.replace(".", "/"), SOURCES[name]
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    found = []
    num_lines = len(text.splitlines())
    first = next((node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)), None)
    top = text.splitlines()[: first.lineno - 1] if first is not None else text.splitlines()
    if num_lines > LONGEST_FILE and not any(line.startswith("# Long: ") for line in top):
        found.append(f"{name}: {num_lines} lines")
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        reasons = comments_above(text, function)
        if length > LONGEST_FUNCTION and "# Long: " not in reasons:
            found.append(f"{name}.{function.name}: {length} lines")
        if num_parameters(function) > MOST_PARAMETERS and "# Many parameters: " not in reasons:
            found.append(f"{name}.{function.name}: {num_parameters(function)} parameters")
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_is_too_large_without_a_reason(name: str):
    found = [line for line in too_large(name) if line.rpartition(":")[0] not in STILL_TOO_LARGE]
    assert not found, f"{found}: make two of it, or say why not: see LONGEST_FILE"


def test_the_sizes_above_would_be_noticed():
    source = (
        "# Long: why\n@decorated\n# Many parameters: too\ndef f(self, a, *, b, **c):\n    pass\n\n\ndef g(): pass\n"
    )
    f, g = functions(ast.parse(source))
    assert num_parameters(f) == 3
    assert comments_above(source, f) == "# Long: why\n# Many parameters: too"
    assert comments_above(source, g) == ""


def test_the_top_level_holds_the_agreed_entries_alone():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        entries = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    else:  # an unpacked archive
        entries = {path.name for path in ROOT.iterdir() if path.suffix != ".egg-info"} - IGNORED
    assert {entry for entry in entries if not entry.startswith(".")} - TOP_LEVEL == set()


def test_tests_mirror_the_modules():
    """x/y.py is tested by tests/x/test_y.py (__init__.py by test_init.py, __main__.py by test_main.py); a test of no
    module is a leftover."""
    dunders = {"init.py": "__init__.py", "main.py": "__main__.py"}
    for floor in (*FLOORS, "keima"):
        for path in (ROOT / "tests" / floor).rglob("test_*.py"):
            folder, name = ROOT / path.relative_to(ROOT / "tests").parent, path.name.removeprefix("test_")
            module = folder / dunders.get(name, name)
            assert module.exists() or module.with_suffix("").is_dir(), f"{path.relative_to(ROOT)}: no {module.name}"


def test_help_needs_neither_torch_nor_numba():
    script = (
        "import sys, keima.selfplay.commands as c\n"
        "for command in ([], ['games'], ['train'], ['evaluate'], ['play'], ['gtp']):\n"
        "    assert c.main([*command, '--help']) == 0\n"
        "print('LOADED', sorted({'torch', 'numba', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert "Usage: keima train" in done.stdout


def test_every_requirement_is_pinned_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {}
    for line in (ROOT / "configs" / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    assert pins["torch"] == "2.13.0"
    for requirement in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]):
        pinned = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"
