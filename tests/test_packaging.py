"""What is handed out: a wheel with the one name keima that plays, trains and rates without the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.installed import HANGS_S
from tests.paths import ROOT

LINKED = ("games", "mcts", "agent", "selfplay", "configs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources: setuptools leaves files where it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    for name in (*LINKED, "keima"):
        shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps", "--no-index"]
    run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(sources)], cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment that holds the wheel, and sees what this one has but keima."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    # A .pth file adds a folder behind the environment's own, and none of that folder's .pth files: what is editable
    # there stays unseen.
    (found,) = folder.glob("lib/python*/site-packages")
    (found / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    run([*pip, "--no-deps", "--no-index", str(wheel)], cwd=folder)
    return folder / "bin"


def run(command: list[str | Path], cwd: Path) -> str:
    """Runs a command that must succeed, without the checkout on Python's path; what it wrote to stdout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=HANGS_S)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_the_wheel_holds_keima_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {name.partition("/")[0] for name in names} == {"keima", f"keima-{version}.dist-info"}
    assert f"keima-{version}.dist-info/licenses/LICENSE" in names
    assert "keima/py.typed" in names


def test_the_wheel_holds_all_code_and_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("keima/") for name in archive.namelist()}
    there = [path for folder in LINKED for path in (ROOT / folder).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in there if path.suffix not in (".md", ".pyc")}
    # What else is pinned is for those who work on Keima.
    assert wanted - packed == {"configs/constraints.txt"} - packed


def test_what_is_installed_imports_without_the_checkout(scripts, tmp_path):
    code = "import keima, keima.games, keima.agent, keima.mcts, keima.selfplay as s; print(keima.__file__, s.__file__)"
    for file in run([scripts / "python", "-c", code], tmp_path).split():
        assert Path(file).is_relative_to(scripts.parent)
        assert "site-packages" in file


@pytest.mark.slow
def test_what_is_installed_plays_trains_and_rates(scripts, tmp_path):
    keima = scripts / "keima"
    settings = ["network.blocks=1", "network.channels=4", "selfplay.actors=1", "learner.batch_size=32"]
    settings += ["selfplay.segment_positions=64", "search.simulations=4"]
    options = [part for setting in settings for part in ("--set", setting)]
    run([keima, "train", "tictactoe", "--run", "mine", "--minutes", "0.08", *options], tmp_path)
    rated = run([keima, "rate", "mine", "--simulations", "4", "--games", "2", "--workers", "1", "--json"], tmp_path)
    assert json.loads(rated)
    code = (
        "import keima; match = keima.play_match('tictactoe', 'runs/mine simulations=4', 'random', games=2)\n"
        "print(match.wins + match.draws + match.losses, keima.load_net('connect4').game.label)"
    )
    assert run([scripts / "python", "-c", code], tmp_path) == "2 connect4\n"


def test_extras_are_named_where_they_are_missed():
    """Every message that says what to install names an extra that there is."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["sweep"] == extras["tune"]  # its former name
    sources = [path.read_text() for folder in LINKED[:4] for path in (ROOT / folder).rglob("*.py")]
    named = {name for text in sources for name in re.findall(r"keima\[(\w+)\]", text)}
    assert named == {"tune", "export"}
    assert named <= set(extras)
