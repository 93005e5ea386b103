"""The command line as a user meets it: help, bad usage, errors in one line, and which exit code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keima.agent import command_line
from keima.selfplay.commands import main
from tests.installed import HANGS_S, KEIMA, keima
from tests.paths import ROOT


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
        ("play", "expected GAME; see `keima play --help`"),
        ("play connect4 --simulations -1", "--simulations: expected a whole number from 0 to 1000000, got '-1'"),
        ("play connect4 --simulations many", "--simulations: expected a whole number, got 'many'"),
        ("play connect4 --side left", "--side: expected first, second or both, got 'left'"),
        ("play connect4 --simulations", "--simulations: expected a value"),
        ("play connect4 --seconds nan", "--seconds: expected a number from 0.001 to 86400, got 'nan'"),
        ("play connect4 --side both --side both", "--side: expected once, got it again"),
        ("play connect4 --plain=maybe", "--plain: expected yes or no, got 'maybe'"),
        ("games extra", "unexpected: extra; see `keima games --help`"),
        ("tournament connect4 --sprt 3", "--sprt: expected 2 values, got 1"),
        ("tournament connect4 --empty-sprt", "unknown option: --empty-sprt"),
        ("tournament connect4 random raw --seconds inf", "--seconds: expected a number from 0.001 to 86400, got 'inf'"),
        ("train connect4 --minutes inf", "--minutes: expected a number from 0.0001 to 1000000, got 'inf'"),
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
        ("train connect4 --minutes 0", "--minutes: expected a number from 0.0001 to 1000000, got '0'"),
        ("train connect4 --resume x", "--resume goes on with the run as it was begun"),
        ("train connect4 --set game=othello", "the argument connect4 and --set game=othello say the same"),
        ("train connect4 --set seed=1 --seed 2", "--seed 2 and --set seed=1 say the same: expected one of them"),
        ("train connect4 --set run.minutes=1 --minutes 2", "--minutes 2.0 and --set run.minutes=1 say the same"),
        ("train connect4 --set start_from=a --from b", "--from b and --set start_from=a say the same"),
        ("play go:komi=7.5,komi=8", "go: komi is said twice"),
        ("evaluate othello --positions connect4", "connect4: these are positions of connect4, expected positions of"),
        ("export connect4 --output /dev/null/x.onnx", "no such folder as /dev/null"),
        ("bench connect4 --profile /dev/null", "--profile /dev/null: expected a folder, but /dev/null is none"),
        ("train --resume x", "no run 'x'; under runs/ there is: none"),
        ("train connect4 --set search.simulation=8", "unknown option search.simulation; the nearest there is: search."),
        ("train connect4 --set search.simulations=few", 'expected a whole number, got "few"'),
        ("train nosuch.toml", "nosuch.toml: no such config file"),
        ("evaluate connect4 --positions nosuch.txt", "nosuch.txt"),
        ("evaluate connect4 --simulations -1", "--simulations: expected a whole number from"),
    ],
)
def test_bad_usage_is_told_in_one_line(capsys, monkeypatch, tmp_path, line: str, message: str):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("keima: ")
    assert said.count("\n") == 1
    assert message in said


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (["train", "connect4", "--run", ""], "--run: "),
        (["train", "connect4", "--run="], "--run: "),
        (["train", "connect4", "--from", " "], "--from: "),
        (["evaluate", "connect4", "--positions", ""], "--positions: "),
        (["export", "connect4", "--output", ""], "--output: "),
        (["tournament", "connect4", "random", "raw", "--file", ""], "--file: "),
        (["sweep", ""], ""),
        ([""], ""),
    ],
)
def test_an_empty_text_is_nothing_that_is_wanted(capsys, line: list[str], place: str):
    assert main(line) == 2
    assert capsys.readouterr().err == f"keima: {place}expected a value, got an empty text\n"


def test_what_a_message_quotes_does_not_speak_to_the_terminal(capsys):
    assert main(["play", "a\x1b[2J\nb"]) == 2
    assert "unknown game 'a\\x1b[2J" in capsys.readouterr().err


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


def test_without_streams(tmp_path):
    """A closed stderr leaves stdout alone; a closed stdout is told of."""
    said = subprocess.run(["sh", "-c", f"{KEIMA} trian 2>&-"], cwd=tmp_path, capture_output=True, timeout=HANGS_S)
    assert (said.returncode, said.stdout) == (2, b"")
    said = subprocess.run(["sh", "-c", f"{KEIMA} games >&-"], cwd=tmp_path, capture_output=True, timeout=HANGS_S)
    assert (said.returncode, said.stderr) == (2, b"keima: the output was closed before its end\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("    raise ValueError('boom\\nboom')", "mine.py, line 103: ValueError: boom boom; see `keima doctor"),
        ("    import sys; sys.exit(3)", "mine.py, line 103: SystemExit: 3; see `keima doctor"),
        ("    return [[9] * 3] * 3", "mine.py: IndexError: string index out of range; see `keima doctor"),
    ],
)
def test_what_a_game_of_ones_own_raises_is_its_fault(tmp_path, capsys, code: str, message: str):
    rules = (ROOT / "games" / "tictactoe.py").read_text()
    lines = [*rules.splitlines(), *[""] * 100][:101]
    (tmp_path / "mine.py").write_text("\n".join([*lines, "def fail(self, state):", code, "TicTacToe.board = fail"]))
    assert main(["play", str(tmp_path / "mine.py"), "--side", "both", "--plain"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"keima: {tmp_path}")
    assert said.count("\n") == 1
    assert message in said


def test_the_command_that_is_tested_is_the_one_installed_here():
    assert KEIMA.exists(), "make install puts the command beside this Python"
    assert Path(sys.executable).parent == KEIMA.parent
