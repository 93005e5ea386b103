"""The command line as a user meets it: what it prints, what it answers to bad input, and with which exit code."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from agent import commands
from agent.checkpoint import Metadata, save_checkpoint
from agent.network import Network
from agent.network_config import NetworkConfig
from games import load, names

KEIMA = Path(sysconfig.get_path("scripts")) / "keima"
HANGS_S = 900
"""So long nothing takes, on the busiest machine and with everything to compile: what has not ended never will."""
SMALLEST = NetworkConfig(blocks=1, channels=4, policy_channels=1, value_channels=1, value_hidden=1, pooled_channels=1)


def keima(*arguments: object, folder: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The installed command, run as a user would, with `typed` in a pipe."""
    return subprocess.run(
        [KEIMA, *map(str, arguments)], cwd=folder, input=typed, capture_output=True, text=True, timeout=HANGS_S
    )


def write_checkpoint(path: Path, game: str) -> Path:
    spec = load(game)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = Metadata(spec.spec, spec.rules_version, SMALLEST.model_dump(), run=path.parent.name, step=7)
    save_checkpoint(path, Network(spec, SMALLEST), metadata)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """An untrained net for Connect Four, in a run's folder."""
    return write_checkpoint(tmp_path_factory.mktemp("work") / "runs" / "tiny" / "model.safetensors", "connect4")


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command says on stderr, after its exit code was checked."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("keima: ")
    return lines[0]


# --- help


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
    assert commands.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: keima {command}")
    for option in options.split():
        assert re.search(rf"{option}\b[^-\n]* [A-Z].*", text), option
    assert "--no-" not in text
    assert "--empty-" not in text


def test_version(capsys):
    assert commands.main(["--version"]) == 0
    assert re.fullmatch(r"keima \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_games_lists_every_game_with_its_parameters(capsys):
    assert commands.main(["games"]) == 0
    text = capsys.readouterr().out
    for name in names():
        assert re.search(rf"^{name} +\S", text, re.MULTILINE)
    assert "size=8: rows and columns, an even number (4 to 16)" in text


# --- bad usage, in this process: the same function that the command runs


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
    assert commands.main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("keima: ")
    assert said.count("\n") == 1
    assert message in said


def test_defects_are_not_hidden(monkeypatch):
    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "app", lambda *_, **__: broken())
    with pytest.raises(ZeroDivisionError):
        commands.main(["games"])


def test_the_operating_systems_errors_are_told(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "runs/x")

    monkeypatch.setattr(commands, "app", full)
    assert commands.main(["games"]) == 2
    assert capsys.readouterr().err == "keima: runs/x: no space left on device\n"


def test_interruption_says_so(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "app", interrupted)
    assert commands.main(["games"]) == 130
    assert capsys.readouterr().err == "keima: interrupted\n"


# --- bad input, through the installed command


def test_unknown_game(tmp_path):
    said = complaint(keima("train", "conect4", folder=tmp_path))
    assert "unknown game 'conect4' (did you mean connect4?)" in said
    assert not (tmp_path / "runs").exists()


def test_broken_config_names_the_key(tmp_path):
    (tmp_path / "mine.toml").write_text('game = "connect4"\n[search]\nsimulations = "many"\n')
    said = complaint(keima("train", "mine.toml", folder=tmp_path))
    assert "mine.toml: search.simulations: expected a whole number" in said


def test_unknown_setting_names_the_nearest(tmp_path):
    said = complaint(keima("train", "connect4", "--set", "serch.simulations=8", folder=tmp_path))
    assert "serch.simulations" in said
    assert "search.simulations" in said


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


def test_an_existing_run_is_not_overwritten(tmp_path):
    model = write_checkpoint(tmp_path / "runs" / "mine" / "model.safetensors", "connect4")
    before = model.read_bytes()
    said = complaint(keima("train", "connect4", "--run", "mine", "--minutes", "0.1", folder=tmp_path))
    assert "runs/mine exists" in said
    assert "--resume" in said
    assert "--overwrite" in said
    assert model.read_bytes() == before


def test_overwriting_asks_what_it_would_delete(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "mine"
    model = write_checkpoint(folder / "model.safetensors", "connect4")
    line = ["train", "connect4", "--run", "mine", "--overwrite"]
    assert commands.main(line) == 2
    assert "expected a run's folder, but it has no config.toml; nothing was deleted" in capsys.readouterr().err
    (folder / "config.toml").write_text("")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert commands.main(line) == 2
    assert "this run is being trained by another process" in capsys.readouterr().err
    assert model.exists()
    started = []
    monkeypatch.setattr("selfplay.run.train", lambda config, folder, minutes: started.append((folder, minutes)) or True)
    assert commands.main([*line, "--minutes", "0.5"]) == 0
    assert started == [(Path("runs/mine"), 0.5)]
    assert not folder.exists()
    folder.mkdir()
    (folder / ".lock").touch()  # all that is left where a run was killed before it had a config
    assert commands.main(["train", "connect4", "--run", "mine"]) == 0


def test_a_run_without_a_name_gets_a_free_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = []

    def train(config, folder, minutes):
        folder.mkdir(parents=True)
        started.append((config.game, config.seed, str(folder)))
        return len(started) < 3

    monkeypatch.setattr("selfplay.run.train", train)
    assert commands.main(["train", "othello:6", "--seed", "5"]) == 0
    assert commands.main(["train", "othello:6", "--set", "seed=7", "--set", "search.simulations=8"]) == 0
    assert commands.main(["train", "othello:6"]) == 130  # stopped by Ctrl-C before its time
    assert started == [
        ("othello:size=6", 5, "runs/othello"),
        ("othello:size=6", 7, "runs/othello-2"),
        ("othello:size=6", 0, "runs/othello-3"),
    ]


def test_resume_takes_a_name_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    resumed = []
    monkeypatch.setattr("selfplay.run.resume", lambda folder, minutes: resumed.append((folder, minutes)) or True)
    assert commands.main(["train", "--resume", "mine"]) == 0
    assert commands.main(["train", "--resume", "runs/mine", "--minutes", "2"]) == 0
    assert resumed == [(Path("runs/mine"), None), (Path("runs/mine"), 2.0)]


# --- play and gtp


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


# --- evaluate


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
    assert commands.main([*line, "0", "--json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    assert raw["lines"] == raw["losses"] + raw["draws"] + raw["wins"]
    assert raw["losses"] > 0  # it never learnt anything
    assert commands.main([*line, "32"]) == 0
    said = capsys.readouterr().out
    assert "32 simulations" in said
    searched = re.search(r"loses (\d+) of (\d+) lines of play against every opponent's move", said)
    assert searched is not None
    assert int(searched[1]) / int(searched[2]) < raw["losses"] / raw["lines"]


def test_the_command_that_is_tested_is_the_one_installed_here():
    assert KEIMA.exists(), "make install puts the command beside this Python"
    assert Path(sys.executable).parent == KEIMA.parent


# --- doctor


CLAIM = (Path(__file__).parents[1] / "data" / "claim.py").read_text()


def test_help_of_the_doctor_explains_every_option(capsys):
    assert commands.main(["doctor", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: keima doctor")
    for option in ("--quick", "--games", "--seed", "--json"):
        assert re.search(rf"{option}\b[^-\n]* [A-Z].*", text), option
    assert "--no-" not in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("doctor tictactoo", "unknown game 'tictactoo' (did you mean tictactoe?)"),
        ("doctor othello:7", "othello: size is an even number, got 7"),
        ("doctor tictactoe --games 0", 'invalid value "0" for --games'),
    ],
)
def test_bad_input_is_not_for_the_doctor(capsys, line: str, message: str):
    assert commands.main(line.split()) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_broken_game_is_exit_code_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken.py").write_text(CLAIM.replace("state[PLAYER] = 1 - me", "state[PLAYER] = 2"))
    monkeypatch.chdir(tmp_path)
    assert commands.main(["doctor", "./broken.py"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^error +play ", said, re.MULTILINE)
    assert re.search(
        r"^ERROR: play\n  after +a3\n  found +state\[PLAYER\] is 2\n  expected .*\n(.*\n)?  to do ", said, re.M
    )
    assert said.splitlines()[-1].startswith("./broken.py: 1 error,")
    assert commands.main(["doctor", "./broken.py", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == 1
    assert report["findings"][0]["check"] == "play"
    assert report["findings"][0]["moves"] == ["a3"]


def test_a_sound_game_of_ones_own(tmp_path):
    """A folder named `games` beside it is not taken for Keima's."""
    (tmp_path / "claim.py").write_text(CLAIM)
    (tmp_path / "games").mkdir()
    (tmp_path / "games" / "__init__.py").write_text("raise SystemExit(3)")
    done = keima("doctor", "claim.py:2", "--quick", "--games", 20, "--json", folder=tmp_path)
    assert done.returncode == 0, (done.stdout, done.stderr)
    report = json.loads(done.stdout)
    assert (report["errors"], report["warnings"]) == (0, 0)
    assert report["random_games"]["games"] == 20
    assert report["checks"]["learner"] == "not run"
    assert report["overfit"] == {}
