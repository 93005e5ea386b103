"""Where runs and tournaments are kept, and the names that they get."""

import os
from pathlib import Path

RUNS = Path("runs")
"""Where runs are kept: below the folder that the command is typed in."""
LOADING = "loading; the first time, compiling the search"
"""What is said while a command imports what it needs."""


def run_folder(text: str, *, must_exist: bool) -> Path:
    """The folder of a run given by name or by path; with `must_exist` one that is there, else one that may be made."""
    from keima.games.contract import GameError

    path = Path(text).expanduser()
    folder = path if path.is_dir() or os.sep in text else RUNS / text
    if must_exist and not folder.is_dir():
        known = sorted(p.name for p in RUNS.glob("*") if p.is_dir())
        raise GameError(f"no run {text!r}; under {RUNS}/ there is: {', '.join(known) or 'none'}")
    if not must_exist and Path.cwd().is_relative_to(folder.resolve()):
        raise GameError(f"--run {text}: expected a name, or a folder of the run's own, not the one that you are in")
    return folder


def new_run_folder(game: str) -> Path:
    """The first of runs/connect4, runs/connect4-2, ... that does not exist."""
    folder, number = RUNS / game, 1
    while folder.exists():
        number += 1
        folder = RUNS / f"{game}-{number}"
    return folder


def new_tournament(game: str) -> Path:
    """The first of runs/tournament-connect4.sqlite, runs/tournament-connect4-2.sqlite, ... that does not exist."""
    path, number = RUNS / f"tournament-{game}.sqlite", 1
    while path.exists():
        number += 1
        path = RUNS / f"tournament-{game}-{number}.sqlite"
    return path
