"""The order of the folders, held by reading every module's imports; and what must never be imported at all."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import games

ROOT = Path(__file__).parent.parent
LAYERS = ["games", "mcts", "agent", "selfplay"]  # each may import itself and those before it
TOP = "selfplay.commands"  # where a command line begins
TOP_LEVEL = {*LAYERS, "configs", "tests", "pyproject.toml", "README.md", "Makefile"}
RUNS_FOREIGN_CODE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
IGNORED = {"runs", "build", "dist", "__pycache__"}


def sources() -> dict[str, ast.Module]:
    """Every module of our packages by its dotted name, parsed."""
    paths = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return {name: ast.parse(path.read_text(), str(path)) for name, path in zip(names, paths, strict=True)}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import in a module, inside functions too: the line and the dotted name. `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


SOURCES = sources()


def test_every_layer_is_read():
    assert {name.partition(".")[0] for name in SOURCES} == set(LAYERS)
    assert TOP in SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_imports_go_up_the_list_only(name: str):
    layer = LAYERS.index(name.partition(".")[0])
    for line, target in imports(SOURCES[name]):
        package = target.partition(".")[0]
        if package in LAYERS:
            assert LAYERS.index(package) <= layer, f"{name} line {line}: {LAYERS[layer]} must not import {target}"
        assert not f"{target}.".startswith(f"{TOP}."), f"{name} line {line}: nobody imports the top"
        assert package != "tests", f"{name} line {line}: imports the tests"


@pytest.mark.parametrize("name", games.names())
def test_what_games_take_from_other_files_is_compiled_anew_after_an_edit(name: str):
    """numba looks at a game's own file alone; see games._choose_cache_folder."""
    taken = {target.split(".")[1] for _, target in imports(SOURCES[f"games.{name}"]) if target.startswith("games.")}
    assert "contract" in taken
    assert taken <= set(games._SHARED)


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
    tree = ast.parse("def f():\n    import torch.nn\n    from selfplay.run import train, resume")
    assert list(imports(tree)) == [(2, "torch.nn"), (3, "selfplay.run.train"), (3, "selfplay.run.resume")]


def test_the_top_level_holds_the_agreed_entries_alone():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        entries = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    else:  # an unpacked archive
        entries = {path.name for path in ROOT.iterdir() if path.suffix != ".egg-info"} - IGNORED
    assert {entry for entry in entries if not entry.startswith(".")} - TOP_LEVEL == set()


def test_tests_mirror_the_modules():
    """x/y.py is tested by tests/x/test_y.py (__init__.py by test_init.py); a test of no module is a leftover."""
    for layer in LAYERS:
        for path in (ROOT / "tests" / layer).rglob("test_*.py"):
            folder, name = ROOT / path.relative_to(ROOT / "tests").parent, path.name.removeprefix("test_")
            module = folder / ("__init__.py" if name == "init.py" else name)
            assert module.exists() or module.with_suffix("").is_dir(), f"{path.relative_to(ROOT)}: no {module.name}"


def test_help_needs_neither_torch_nor_numba():
    script = (
        "import sys, selfplay.commands as c\n"
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
