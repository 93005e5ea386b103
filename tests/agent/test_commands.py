"""`keima games`, `evaluate`, `play`, `gtp` and `export` as a user meets them: what they print, and which exit code."""

import json
import os
import pty
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest

from keima.games import names
from keima.selfplay.commands import main
from tests.installed import HANGS_S, KEIMA, complaint, keima, write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """An untrained net for Connect Four, in a run's folder."""
    return write_checkpoint(tmp_path_factory.mktemp("work") / "runs" / "tiny" / "model.safetensors", "connect4")


def test_games_lists_every_game_with_its_parameters(capsys):
    assert main(["games"]) == 0
    text = capsys.readouterr().out
    for name in names():
        assert re.search(rf"^{name} +\S", text, re.MULTILINE)
    assert "size=8: rows and columns, an even number (4 to 16)" in text
    listed = text.partition("\n\nParameters follow")[0]
    assert {line.split()[0] for line in listed.splitlines() if line[:1].strip()} == set(names())


def test_new_writes_a_game_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mygame.py"]) == 0
    assert "mygame.py: the game Mygame; see `keima doctor ./mygame.py`" in capsys.readouterr().out
    assert main(["new", "mygame.py"]) == 2
    assert "mygame.py: exists already" in capsys.readouterr().err


def test_corrupt_checkpoint(tmp_path, checkpoint):
    data = checkpoint.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    said = complaint(keima("play", "connect4", "--model", "cut.safetensors", folder=tmp_path))
    assert "cut.safetensors: expected a safetensors checkpoint, but it is damaged" in said


def test_checkpoint_of_another_game(tmp_path, checkpoint):
    said = complaint(keima("gtp", "tictactoe", "--model", checkpoint, folder=tmp_path))
    assert "expected a checkpoint of tictactoe, got one of 'connect4'" in said


def test_positions_file_with_a_bad_line(tmp_path, checkpoint):
    (tmp_path / "positions.txt").write_text("145773277725 3 4 0 0 1 -2 0\n14577327772 3 4 0 zero 1 -2 0\n")
    line = ["evaluate", "connect4", "--model", checkpoint, "--positions", "positions.txt"]
    said = complaint(keima(*line, folder=tmp_path))
    assert "positions.txt" in said
    assert "2" in said


def test_illegal_move_in_a_pipe(tmp_path):
    done = keima("play", "connect4", "--opponent", "random", folder=tmp_path, typed="4\n9\n")
    assert "illegal move '9': expected one of 1, 2, 3, 4, 5, 6, 7" in complaint(done)


def test_input_that_ends_before_the_game(tmp_path):
    done = keima("play", "connect4", "--plain", folder=tmp_path, typed="4\n")
    assert "the input ended before the game, after 2 moves" in complaint(done)


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [KEIMA, *arguments],
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(slave)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Reads until `text` was shown since the last wait."""
        start = len(self.shown)
        while text not in self.shown[start:]:
            assert select.select([self._master], [], [], HANGS_S)[0], self.shown
            try:
                self.shown += os.read(self._master, 4096).decode()
            except OSError:  # the other end was closed
                raise AssertionError(f"ended without {text!r}: {self.shown}") from None

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def finish(self) -> int:
        code = self.process.wait(HANGS_S)
        os.close(self._master)
        return code


def test_play_at_a_terminal(tmp_path):
    terminal = Terminal(tmp_path, "play", "tictactoe", "--opponent", "rollout:50", "--plain")
    terminal.wait_for("X (you)> ")
    terminal.type("b2\n")
    terminal.wait_for("X (you)> ")
    assert "\033" not in terminal.shown
    terminal.type("b2\n")
    terminal.wait_for("X (you)> ")
    assert "illegal move 'b2': expected one of" in terminal.shown
    terminal.type("quit\n")
    assert terminal.finish() == 0


def test_leaving_by_end_of_input_and_by_interrupt(tmp_path):
    for leave, code, said in (
        (lambda terminal: terminal.type("\x04"), 0, "Goodbye."),
        (lambda terminal: terminal.process.send_signal(signal.SIGINT), 130, "keima: interrupted"),
    ):
        terminal = Terminal(tmp_path, "play", "tictactoe", "--plain")
        terminal.wait_for("X (you)> ")  # perhaps before the opponent is ready: leaving does not wait for it
        leave(terminal)
        terminal.wait_for(said)
        assert terminal.finish() == code
        assert "Traceback" not in terminal.shown


def test_play_takes_the_newest_net_under_runs(checkpoint):
    work = checkpoint.parent.parent.parent
    done = keima("play", "connect4", "--plain", "--simulations", 8, "--side", "second", folder=work, typed="4\nquit\n")
    assert done.returncode == 0, done.stderr
    assert "Opponent: runs/tiny/model.safetensors (tiny at step 7, 8 simulations)." in done.stdout
    assert done.stdout.count("X plays") == 2


def test_gtp_ends_at_quit_though_its_input_stays_open(tmp_path):
    """As under a GUI or a match runner, which wait for the engine to end before they close its input."""
    process = subprocess.Popen(
        [KEIMA, "gtp", "tictactoe", "--opponent", "rollout:10"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdin.write(b"1 name\ngenmove b\n2 quit\n")
        process.stdin.flush()
        assert process.wait(HANGS_S) == 0
        assert process.stderr.read() == b""
        assert process.stdout.read().endswith(b"=2\n\n")


def test_gtp_with_a_net(checkpoint):
    typed = "1 name\ngenmove b\n\nshowboard\nquit\nname\n"
    done = keima("gtp", "connect4", "--model", checkpoint, "--simulations", 0, folder=checkpoint.parent, typed=typed)
    assert done.returncode == 0
    assert done.stderr == ""
    responses = done.stdout.split("\n\n")
    assert responses[0] == "=1 Keima"
    assert re.fullmatch("= [1-7]", responses[1])
    assert "white to move" in responses[2]
    assert responses[3:] == ["=", ""]


def test_evaluate_as_json(tmp_path, checkpoint):
    (tmp_path / "positions.txt").write_text(
        "145773277725 3 4 0 0 1 -2 0\n21512553411167226366 -10 -10 2 1 -10 -10 -10\n"
    )
    line = ["evaluate", "connect4", "--model", checkpoint, "--positions", "positions.txt", "--simulations", 0, "--json"]
    done = keima(*line, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["game"] == "connect4"
    assert result["step"] == 7
    assert result["positions"] == 2
    assert result["simulations"] == 0
    assert 0 <= result["optimal"] <= result["value_preserving"] <= 1
    low, high = result["value_preserving_interval"]
    assert 0 <= low <= result["value_preserving"] <= high <= 1


def test_evaluate_plays_every_line_of_tictactoe(tmp_path, monkeypatch, capsys):
    model = write_checkpoint(tmp_path / "model.safetensors", "tictactoe")
    monkeypatch.chdir(tmp_path)
    line = ["evaluate", "tictactoe", "--model", str(model), "--simulations"]
    assert main([*line, "0", "--json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    assert raw["lines"] == raw["losses"] + raw["draws"] + raw["wins"]
    assert raw["losses"] > 0  # it never learnt anything
    assert main([*line, "32"]) == 0
    said = capsys.readouterr().out
    assert "32 simulations" in said
    searched = re.search(r"loses (\d+) of (\d+) lines of play against every opponent's move", said)
    assert searched is not None
    assert int(searched[1]) / int(searched[2]) < raw["losses"] / raw["lines"]


def test_play_from_a_position(tmp_path):
    typed = "4\nsave x.keima.txt\nquit\n"
    start = "......./......./......./......./OOO..../XXX.... X"
    done = keima("play", "connect4", "--plain", "--side", "both", "--position", start, folder=tmp_path, typed=typed)
    assert done.returncode == 0, done.stderr
    assert "X wins" in done.stdout
    assert f"position: {start}" in (tmp_path / "x.keima.txt").read_text()
    said = complaint(keima("play", "connect4", "--position", "......./X X", folder=tmp_path))
    assert "expected 6 rows with / between them, got 2" in said
    over = complaint(keima("play", "tictactoe", "--position", "XXX/OO./... O", folder=tmp_path))
    assert "expected a position to play on from, but the game is over in it" in over
