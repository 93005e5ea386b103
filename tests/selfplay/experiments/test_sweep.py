"""Sweeps and ablations from beginning to end: mostly with trials that only claim to train, once with real ones."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from keima.agent.nets.checkpoint import load_checkpoint
from keima.games.contract import GameError
from keima.selfplay import commands
from keima.selfplay.config.loader import load_config
from keima.selfplay.experiments import ablation_games
from keima.selfplay.experiments import sweep as sweep_module
from keima.selfplay.experiments.sweep import begin, resume
from tests.selfplay.kill_and_resume import KEIMA, children, command_line, is_alive, wait_until

PREPARE = """
import json, os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
trial = json.loads((folder / "trial.json").read_text())
with (folder.parent.parent / "order.txt").open("a") as file:
    file.write(trial["name"] + "\\n")
for name in ("games", "weights", "checkpoints"):
    (folder / name).mkdir(exist_ok=True)
for name in ("games/1", "learner.safetensors", "model.safetensors"):
    (folder / name).touch()
def finish():
    share = 50 + 20 * bool(trial["overrides"]) + trial["seed"]
    result = {key: trial[key] for key in ("variant", "seed", "overrides", "starts")}
    result |= {"trial": trial["name"], "minutes": 1, "cores": 2, "steps": 7, "positions": 900, "evaluations": 60000}
    result["measurements"] = [
        {"simulations": n, "what": "positions", "successes": share + n, "count": 100}
        for n in trial["measure"]["simulations"]
    ]
    (folder / "result.json").write_text(json.dumps(result))
"""
"""Leaves what a run leaves. A trial's process needs no second for this, as it imports nothing of ours."""

ABLATION = """
base = "tictactoe"
minutes = 1
seeds = {seeds}
measure.simulations = [0, 8]
set.learner.batch_size = {batch_size}
[variants.fast]
learner.learning_rate = 0.01
[variants.wide]
network.channels = 24
"""


@pytest.fixture
def worker(monkeypatch):
    """Sets what a trial's process does after PREPARE."""

    def use(code: str) -> None:
        monkeypatch.setattr(sweep_module, "WORKER", PREPARE + code)

    use("finish()")
    return use


def ablation(seeds=(0, 1), batch_size=64, more=""):
    return ABLATION.format(seeds=[*seeds], batch_size=batch_size) + more, "mine.toml"


def order(folder: Path) -> list[str]:
    return (folder / "order.txt").read_text().split()


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


ALL = ["base-0", "fast-0", "wide-0", "base-1", "fast-1", "wide-1"]


# --- the loop


def test_an_ablation_from_beginning_to_end(tmp_path, worker, capsys):
    folder = tmp_path / "a"
    assert begin(*ablation(), folder)
    assert order(folder) == ALL
    assert [line["trial"] for line in lines(folder)] == ALL
    assert lines(folder)[1]["overrides"] == {"learner.learning_rate": 0.01}
    assert {line["starts"] for line in lines(folder)} == {1}
    for name in ALL:
        kept = {path.name for path in (folder / "trials" / name).iterdir()}
        assert kept == {"config.toml", "model.safetensors", "output.txt", "result.json", "trial.json"}
        config = load_config(str(folder / "trials" / name / "config.toml"))
        assert (config.seed, config.learner.batch_size, config.run.minutes) == (int(name[-1]), 64, 1)
    said = capsys.readouterr().out
    # Shares 50, 51 and 70, 71: the spread's square is 0.005^2 * 2 in each of three variants, over 3 degrees.
    half = 3.18245 * (3 * 2 * 0.005**2 / 3) ** 0.5
    row = f"| fast | 2 | 70.5 % (68.9 to 72.1) | 78.5 % (76.9 to 80.1) | **+20.0** ({20 - 100 * half:+.1f} to +22.3) |"
    assert row in (folder / "results.md").read_text()
    assert "+20.0 (+17.7 to +22.3)" in said.replace("**", "")
    assert "tictactoe, 1 minute each from zero on 2 cores, seeds 0, 1." in said
    assert "3 degrees of freedom" in said
    assert "Go on:" not in said
    for _ in range(2):  # nothing is left to do, and so nothing is done
        assert begin(*ablation(), folder)
        assert resume(folder)
    assert order(folder) == ALL


def test_what_is_added_later_is_run_and_what_is_done_stays(tmp_path, worker):
    folder = tmp_path / "a"
    assert begin(*ablation(seeds=[0]), folder)
    assert begin(*ablation(seeds=[0, 1], more="[variants.deep]\nnetwork.blocks = 3\n"), folder)
    assert order(folder) == [*ALL[:3], "deep-0", *ALL[3:], "deep-1"]
    assert resume(folder)
    assert len(lines(folder)) == 8


def test_another_config_is_not_mixed_in(tmp_path, worker, monkeypatch):
    folder = tmp_path / "a"
    assert begin(*ablation(seeds=[0]), folder)
    for text in (
        ablation(batch_size=128)[0],
        ablation()[0].replace("minutes = 1", "minutes = 2"),
        ablation()[0].replace("[0, 8]", "[0, 9]"),
        'base = "tictactoe"\nminutes = 1\n[space]\nsearch.simulations = {low = 1, high = 9}\n',
    ):
        with pytest.raises(GameError, match=r"begun with another .* than mine.toml has now: --resume .* --run NAME"):
            begin(text, "mine.toml", folder)
    with pytest.raises(
        GameError, match=r"fast-0: trained with learner.learning_rate = 0.01, and would now be with 0.0"
    ):
        begin(ablation()[0].replace("= 0.01", "= 0.02"), "mine.toml", folder)
    assert resume(folder)  # as it was begun
    assert order(folder) == ALL[:3]


def test_a_sweep_from_beginning_to_end(tmp_path, worker, capsys):
    folder = tmp_path / "s"
    text = (
        'base = "tictactoe"\nminutes = 1\ntrials = 3\nmeasure.simulations = [0]\n'
        "[space]\nsearch.simulations = {low = 4, high = 64}\n"
    )
    assert begin(text, "mine.toml", folder)
    said = capsys.readouterr().out
    assert order(folder) == ["trial-000", "trial-001", "trial-002"]
    assert "Best:     trial 002: --set search.simulations=" in said  # the made-up strength grows with the seed
    assert f"train {folder / 'best.toml'}" in said
    assert (
        load_config(str(folder / "best.toml")).search.simulations == lines(folder)[2]["overrides"]["search.simulations"]
    )
    assert begin(text.replace("trials = 3", "trials = 4"), "mine.toml", folder)
    assert order(folder)[3:] == ["trial-003"]


# --- trials that fail


def test_a_failing_trial_is_told_of_and_the_others_are_run(tmp_path, worker, capsys):
    folder = tmp_path / "a"
    worker(
        "if trial['name'] == 'fast-0': print('the reason'); sys.exit(2)\n"
        "if trial['name'] == 'wide-0': os.kill(os.getpid(), signal.SIGKILL)\n"
        "if trial['name'] == 'base-1': raise ValueError('a defect')\n"
        "finish()"
    )
    with pytest.raises(
        GameError, match=r"3 trials in a row failed, the last with: ended with exit code 1: ValueError: a"
    ):
        begin(*ablation(), folder)
    found = {line["trial"]: line["error"] for line in lines(folder)}
    assert found == {
        "base-0": "",
        "fast-0": "the reason",
        "wide-0": "killed by SIGKILL, perhaps short of memory",
        "base-1": "ended with exit code 1: ValueError: a defect",
    }
    assert f"fast, seed 0: failed: the reason (see {folder / 'trials' / 'fast-0' / 'output.txt'})" in (
        capsys.readouterr().out
    )
    # The next start tries them again, from the beginning.
    (folder / "trials" / "fast-0" / "games" / "of the failed one").touch()
    worker("assert not (folder / 'games' / 'of the failed one').exists()\nfinish()")
    assert resume(folder)
    assert order(folder)[4:] == ["fast-0", "wide-0", "base-1", "fast-1", "wide-1"]
    assert not any(line["error"] for line in lines(folder))
    assert {line["starts"] for line in lines(folder)} == {1}


# --- interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_in_order_and_says_how_to_go_on(tmp_path, worker, capsys, number):
    """To this process alone, as the trial's is in a group of its own."""
    folder = tmp_path / "a"
    worker(
        "signal.signal(signal.SIGTERM, lambda *_: ((folder / 'saved').touch(), sys.exit(130)))\n"
        f"if trial['name'] == 'fast-0' and trial['starts'] == 1: os.kill(os.getppid(), {int(number)}); time.sleep(60)\n"
        "finish()"
    )
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert not begin(*ablation(seeds=[0]), folder)
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert (folder / "trials" / "fast-0" / "saved").exists()
    said = capsys.readouterr().out
    assert f"sweep --resume {folder}   (2 of 3 trials are left)" in said
    assert "50.0 %" in said  # of the one that is done
    assert resume(folder)
    assert order(folder) == ["base-0", "fast-0", "fast-0", "wide-0"]
    assert [line["starts"] for line in lines(folder)] == [1, 2, 1]


def test_games_between_the_nets_that_were_stopped_are_left(tmp_path, worker, monkeypatch, capsys):
    config = ablation(seeds=[0])[0].replace("[0, 8]", "[8]\nmeasure.among = 4"), "mine.toml"
    monkeypatch.setattr(ablation_games, "play", lambda *_: False)
    assert not begin(*config, tmp_path / "a")
    said = capsys.readouterr().out
    assert "games between all nets, 4 of any two" in said
    assert "games between the nets are left" in said
    played = []
    monkeypatch.setattr(ablation_games, "play", lambda folder, game, trials, measure: played.append(trials) or True)
    assert resume(tmp_path / "a")
    assert played == [ALL[:3]]
    assert "Go on:" not in capsys.readouterr().out


def test_ctrl_c_in_the_last_trial_begins_no_games(tmp_path, worker, monkeypatch, capsys):
    config = ablation(seeds=[0])[0].replace("[0, 8]", "[8]\nmeasure.among = 4"), "mine.toml"
    played = []
    monkeypatch.setattr(ablation_games, "play", lambda *_: played.append(1) or True)
    worker("if trial['name'] == 'wide-0': os.kill(os.getppid(), signal.SIGINT)\nfinish()")
    assert not begin(*config, tmp_path / "a")
    assert order(tmp_path / "a") == ALL[:3]
    assert not played
    assert "games between the nets are left" in capsys.readouterr().out


def test_a_second_ctrl_c_ends_the_trial_at_once(tmp_path, worker):
    folder = tmp_path / "a"
    worker(
        "signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGINT))\n"
        "(folder / 'pid').write_text(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "while True: time.sleep(0.1)"
    )
    with pytest.raises(KeyboardInterrupt):
        begin(*ablation(), folder)
    assert not is_alive(int((folder / "trials" / "base-0" / "pid").read_text()))
    worker("finish()")
    assert resume(folder)
    assert order(folder) == ["base-0", *ALL]


def test_a_sweep_belongs_to_one_process(tmp_path, worker):
    folder = tmp_path / "a"
    folder.mkdir()
    with sweep_module._lock(folder):
        with pytest.raises(GameError, match="this sweep is being run by another process"):
            begin(*ablation(), folder)
        (folder / "sweep.toml").write_text(ablation()[0])
        with pytest.raises(GameError, match="this sweep is being run by another process"):
            resume(folder)


def test_folders_that_are_none(tmp_path, worker):
    (tmp_path / "file").touch()
    with pytest.raises(GameError, match=r"exists and is no sweep's folder: name another with --run"):
        begin(*ablation(), tmp_path)
    with pytest.raises(GameError, match=r"expected a sweep's folder, but it has no sweep.toml"):
        resume(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- the command


def test_the_help_explains_it(capsys):
    assert commands.main(["sweep", "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Usage: keima sweep")
    for option in ("CONFIG", "--run STR", "--resume STR"):
        assert re.search(rf"{option} +[A-Z]", said), option


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sweep", "sweep: expected a config, perhaps with --run NAME, or --resume SWEEP alone"),
        ("sweep mine.toml --resume x", "or --resume SWEEP alone"),
        ("sweep --resume x --run y", "or --resume SWEEP alone"),
        ("sweep --resume x", "no run 'x'; under runs/ there is: none"),
        ("sweep nosuch.toml", "nosuch.toml: no such config file"),
        ("sweep conect4", "conect4: expected a sweep's config, a .toml file or a shipped one: ablations/connect4"),
        ("sweep wrong.toml", "wrong.toml: minutes: expected a value, got nothing"),
    ],
)
def test_bad_usage_is_told_in_one_line(tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.toml").write_text('base = "tictactoe"')
    assert commands.main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("keima: ")
    assert said.count("\n") == 1
    assert message in said
    assert not (tmp_path / "runs").exists()


def test_where_the_command_keeps_it(tmp_path, monkeypatch, worker, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(ablation(seeds=[0])[0])
    assert commands.main(["sweep", "mine.toml"]) == 0
    assert commands.main(["sweep", "mine.toml", "--run", "other"]) == 0
    assert commands.main(["sweep", "--resume", "other"]) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["ablation-mine", "other"]
    assert order(Path("runs/other")) == ALL[:3]
    monkeypatch.setattr("keima.selfplay.experiments.sweep.resume", lambda folder: False)
    assert commands.main(["sweep", "--resume", "runs/other"]) == 130


# --- with real trials

REAL = """
base = "tictactoe"
minutes = 600
seeds = [3]
[set]
run.max_steps = 120
selfplay.actors = 1
selfplay.parallel_games = 16
selfplay.segment_positions = 200
selfplay.backend = "torch-f32"
search.simulations = 8
network.blocks = 1
network.channels = 8
replay.window_min = 2000
learner.batch_size = 64
[measure]
simulations = [0, 8]
[variants.wide]
network.channels = 16
"""


@pytest.mark.slow
def test_an_ablation_that_was_killed_goes_on_with_the_trial_as_it_was(tmp_path):
    (tmp_path / "real.toml").write_text(REAL)
    folder = tmp_path / "runs" / "ablation-real"
    output = tmp_path / "output.txt"

    def started(*arguments: str) -> subprocess.Popen:
        with output.open("ab") as file:
            return subprocess.Popen([KEIMA, "sweep", *arguments], cwd=tmp_path, stdout=file, stderr=file)

    def steps(name: str) -> int:
        path = folder / "trials" / name / "progress.jsonl"
        whole = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
        return json.loads(whole[-1])["step"] if whole else 0

    def wait_for_training(sweep: subprocess.Popen, name: str) -> None:
        def trains() -> bool:
            assert sweep.poll() is None, output.read_text()
            return steps(name) > 0

        wait_until(trains, 120, f"{name} in training: {output.read_text()}")

    # Killed while the first trial trains: its processes end with it.
    sweep = started("real.toml")
    try:
        wait_for_training(sweep, "base-3")
        (trial,) = [pid for pid in children(sweep.pid) if b"keima.selfplay.experiments.trial" in command_line(pid)]
        processes = [trial, *children(trial)]
    finally:
        sweep.kill()
        sweep.wait()
    wait_until(lambda: not any(map(is_alive, processes)), 30, f"{processes} outlive the sweep")
    before = steps("base-3")
    assert 0 < before < 120
    assert not (folder / "trials" / "base-3" / "result.json").exists()

    sweep = started("real.toml")  # the same command goes on
    try:
        assert sweep.wait(180) == 0, output.read_text()
    finally:
        sweep.kill()
        sweep.wait()
    log = (folder / "trials" / "base-3" / "run.log").read_text()
    assert f"resumed at step {before}" in log
    assert "Traceback" not in output.read_text()
    found = lines(folder)
    assert [(line["trial"], line["starts"], line["error"]) for line in found] == [("base-3", 2, ""), ("wide-3", 1, "")]
    for line in found:
        assert line["steps"] == 120
        assert line["positions"] * 4 >= 120 * 64
        assert 0 < line["cores_used"] < 2 * line["cores"]
        assert [m["simulations"] for m in line["measurements"]] == [0, 8]
        checkpoint = load_checkpoint(folder / "trials" / line["trial"])
        assert checkpoint.metadata.step == 120
        assert checkpoint.metadata.network["channels"] == (16 if line["variant"] == "wide" else 8)
        assert not (folder / "trials" / line["trial"] / "games").exists()
    assert "| wide | 1 |" in (folder / "results.md").read_text()
