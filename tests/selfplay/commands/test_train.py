"""`keima train` and `doctor` as a user meets them: what they print, what they refuse, and which exit code."""

import fcntl
import json
import re
from pathlib import Path

import pytest

from keima.selfplay.commands import main
from tests.installed import complaint, keima, write_checkpoint
from tests.paths import DATA

CLAIM = (DATA / "claim.py").read_text()


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


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """The folder of a run called mine, below the one that one is in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "mine"
    write_checkpoint(folder / "model.safetensors", "connect4")
    (folder / "config.toml").write_text('game = "connect4"')
    (folder / ".lock").touch()
    return folder


def test_an_existing_run_is_not_overwritten(run):
    before = (run / "model.safetensors").read_bytes()
    said = complaint(keima("train", "connect4", "--run", "mine", "--minutes", "0.1", folder=run.parent.parent))
    assert "runs/mine exists" in said
    assert "--resume" in said
    assert "--overwrite" in said
    assert (run / "model.safetensors").read_bytes() == before


def test_overwriting(run, monkeypatch, capsys):
    line = ["train", "connect4", "--run", "mine", "--overwrite"]
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(line) == 2
    assert "this run is being trained by another process" in capsys.readouterr().err
    for refused, why in (
        (["--from", "nosuch.safetensors"], "nosuch.safetensors: no such checkpoint"),
        (["--from", "runs/mine"], "runs/mine: holds the net to begin with"),
        (["--set", "selfplay.backend=cuda-f16"], "backend cuda-f16 cannot run here"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("keima.agent.inference.factory.available_backends", lambda: ["torch-f32"])
            assert main([*line, "--set", "network.blocks=1", "--set", "network.channels=4", *refused]) == 2
        assert why in capsys.readouterr().err
    assert (run / "model.safetensors").exists()
    started = []

    class Run:
        def __init__(self, folder, config):
            assert sorted(path.name for path in folder.iterdir()) == [".lock", "config.toml"]
            started.append((folder, config.run.minutes))

        def go(self):
            return True

    monkeypatch.setattr("keima.selfplay.run.start.TrainingRun", Run)
    assert main([*line, "--minutes", "0.5"]) == 0
    assert started == [(Path("runs/mine"), 0.5)]
    (run / "config.toml").unlink()  # all that is left then is what a run was killed with before it had a config
    assert main(["train", "connect4", "--run", "mine"]) == 0


def test_only_a_run_is_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("keima.selfplay.run.start.TrainingRun")  # nothing may be begun
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.toml").write_text('game = "connect4"')
    (tmp_path / "config.toml").write_text('game = "connect4"')
    (tmp_path / ".lock").touch()
    for name in ("mine", "config.toml"):
        for overwrite in ([], ["--overwrite"]):
            assert main(["train", "connect4", "--run", f"./{name}", *overwrite]) == 2
            assert capsys.readouterr().err == f"keima: {name} exists and is no run's folder: name another with --run\n"
    for name in (".", "..", str(tmp_path), str(tmp_path.parent), "mine/.."):
        for line in (["train", "connect4", "--overwrite"], ["sweep", "ablations/connect4"]):
            assert main([*line, "--run", name]) == 2
            assert "a folder of the run's own, not the one that you are in" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".lock", "config.toml", "config.toml", "mine"]


def test_a_run_without_a_name_gets_a_free_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = []

    def train(config, folder, minutes, *, replace):
        assert not replace
        folder.mkdir(parents=True)
        started.append((config.game, config.seed, str(folder)))
        return len(started) < 3

    monkeypatch.setattr("keima.selfplay.run.start.train", train)
    assert main(["train", "othello:6", "--seed", "5"]) == 0
    assert main(["train", "othello:6", "--set", "seed=7", "--set", "search.simulations=8"]) == 0
    assert main(["train", "othello:6"]) == 130  # stopped by Ctrl-C before its time
    assert started == [
        ("othello:size=6", 5, "runs/othello"),
        ("othello:size=6", 7, "runs/othello-2"),
        ("othello:size=6", 0, "runs/othello-3"),
    ]


def test_resume_takes_a_name_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    resumed = []
    monkeypatch.setattr(
        "keima.selfplay.run.start.resume",
        lambda folder, minutes, settings: resumed.append((folder, minutes, settings)) or True,
    )
    assert main(["train", "--resume", "mine"]) == 0
    assert main(["train", "--resume", "runs/mine", "--minutes", "2", "--set", "search.simulations=8"]) == 0
    assert resumed == [(Path("runs/mine"), None, []), (Path("runs/mine"), 2.0, ["search.simulations=8"])]


def test_help_of_the_doctor_explains_every_option(capsys):
    assert main(["doctor", "--help"]) == 0
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
        ("doctor tictactoe --games 0", "--games: expected a whole number from 1 to 1000000, got '0'"),
    ],
)
def test_bad_input_is_not_for_the_doctor(capsys, line: str, message: str):
    assert main(line.split()) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_broken_game_is_exit_code_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken.py").write_text(CLAIM.replace("state[PLAYER] = 1 - me", "state[PLAYER] = 2"))
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "./broken.py"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^error +play ", said, re.MULTILINE)
    assert re.search(
        r"^ERROR: play\n  after +a3\n  found +state\[PLAYER\] is 2\n  expected .*\n(.*\n)?  to do ", said, re.M
    )
    assert said.splitlines()[-1].startswith("./broken.py: 1 error,")
    assert main(["doctor", "./broken.py", "--json"]) == 1
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
