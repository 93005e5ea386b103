"""The command line as a user meets it: help, bad usage, errors in one line, and which exit code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent import command_line
from selfplay.commands import main
from tests.installed import HANGS_S, KEIMA, keima


def test_help_is_instant(tmp_path, monkeypatch):
    """That is, it loads nothing that takes long to load: its seconds depend on the machine's other work too."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = keima("--help", folder=tmp_path)
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "cyclopts" in loaded
    assert not loaded & {"torch", "numba", "numpy", "scipy", "pydantic", "openvino", "onnx"}
    for name in ("games", "train", "evaluate", "play", "gtp", "--version"):
        assert re.search(rf"^\W*{name}\b", done.stdout, re.MULTILINE), name


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("games", ""),
        ("train", "--run --minutes --seed --set --resume --overwrite"),
        ("evaluate", "--model --positions --simulations --json"),
        ("play", "--model --opponent --elo --simulations --seconds --side --watch --record --ponder --plain"),
        ("gtp", "--model --simulations"),
        ("export", "--model --output"),
    ],
)
def test_help_of_each_command_explains_every_option(capsys, command: str, options: str):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: keima {command}")
    for option in options.split():
        assert re.search(rf"{option}\b[^-\n]* [A-Z].*", text), option
    assert "--no-" not in text
    assert "--empty-" not in text


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"keima \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian", 'unknown command "trian". Did you mean "train"?'),
        ("play connect4 --simulation 3", "unknown option: --simulation. Did you mean --simulations?"),
        ("play", 'command "play" parameter GAME requires an argument'),
        ("play connect4 --simulations -1", 'invalid value "-1" for --simulations'),
        ("play connect4 --simulations many", 'unable to convert "many" into int'),
        ("play connect4 --side left", 'invalid value "left" for --side. Choose from: "first", "second"'),
        ("play connect4 --model a --opponent random", "expected --model or --opponent, got both"),
        ("play connect4 --model no/such", "no/such: no such checkpoint or run folder"),
        ("play tictactoe --elo 1200", "--elo: no ratings are shipped for tictactoe; choose by --simulations"),
        ("play connect4 --elo 1200 --simulations 3", "--elo says how strong the opponent is: expected it without"),
        ("play tictactoe --record nosuch.keima.txt", "nosuch.keima.txt: no such file"),
        ("play othello:7", "othello: size is an even number, got 7"),
        ("play othello:size=big", "othello: size takes a whole number, got 'big'"),
        ("play nosuch.py", "nosuch.py: no such game file"),
        ("gtp conect4", "unknown game 'conect4' (did you mean connect4?)"),
        ("gtp connect4 --opponent rolout", "did you mean rollout?"),
        ("train", "expected a game or a config file, or --resume RUN"),
        ("train connect4 --minutes 0", 'invalid value "0.0" for --minutes'),
        ("train connect4 --resume x", "--resume goes on with the run's own settings"),
        ("train --resume x", "no run 'x'; under runs/ there is: none"),
        ("train connect4 --set search.simulation=8", "unknown option search.simulation; the nearest there is: search."),
        ("train connect4 --set search.simulations=few", 'expected a whole number, got "few"'),
        ("train nosuch.toml", "nosuch.toml: no such config file"),
        ("evaluate connect4 --positions nosuch.txt", "nosuch.txt"),
        ("evaluate connect4 --simulations -1", 'invalid value "-1" for --simulations'),
    ],
)
def test_bad_usage_is_told_in_one_line(capsys, monkeypatch, tmp_path, line: str, message: str):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("keima: ")
    assert said.count("\n") == 1
    assert message in said


def test_defects_are_not_hidden(monkeypatch):
    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "app", lambda *_, **__: broken())
    with pytest.raises(ZeroDivisionError):
        main(["games"])


def test_the_operating_systems_errors_are_told(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr(command_line, "app", full)
    assert main(["games"]) == 2
    assert capsys.readouterr().err == "keima: runs/x: no space left on device\n"


def test_interruption_says_so(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "app", interrupted)
    assert main(["games"]) == 130
    assert capsys.readouterr().err == "keima: interrupted\n"


@pytest.mark.parametrize("line", [["games"], ["--help"], ["play", "tictactoe"], ["gtp", "tictactoe"]])
def test_closed_output(tmp_path, line: list[str]):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [KEIMA, *line], cwd=tmp_path, input="name\n", stdout=writing, stderr=subprocess.PIPE, text=True, timeout=HANGS_S
    )
    os.close(writing)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "keima: the output was closed before its end"
    assert "Traceback" not in done.stderr


def test_the_command_that_is_tested_is_the_one_installed_here():
    assert KEIMA.exists(), "make install puts the command beside this Python"
    assert Path(sys.executable).parent == KEIMA.parent
