"""Training runs: started, stopped in every way, resumed. Most with actors that stand in for the real one."""

import contextlib
import errno
import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from keima.agent.nets.checkpoint import load_checkpoint
from keima.agent.system import storage
from keima.agent.system.storage import StorageFull
from keima.games.contract import GameError
from keima.selfplay.actors import actor_pool as pool_module
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.replay.segment import segment_from_bytes, segment_to_bytes
from keima.selfplay.run import monitor as monitor_module
from keima.selfplay.run import training_run as run_module
from keima.selfplay.run.run_folder import lock
from keima.selfplay.run.start import resume, train
from keima.selfplay.run.strength import StrengthMeter
from tests.paths import ROOT
from tests.selfplay import fake_actors
from tests.selfplay.kill_and_resume import (
    CONFIG,
    Started,
    assert_is_uninterrupted_fold,
    assert_same_state,
    is_alive,
    kill_and_resume,
    look,
    progress_lines,
    state_of,
)

MAX_STEPS = 60


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where a run is to be; its actors are those that stand in."""
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays)
    threads = torch.get_num_threads()
    yield tmp_path / "run"
    torch.set_num_threads(threads)


def tiny(folder: Path, *overrides: str) -> TrainConfig:
    path = folder.parent / "given.toml"
    path.write_text(CONFIG.format(actors=1))
    return load_config(str(path), [f"run.max_steps={MAX_STEPS}", *overrides])


def test_a_run_ends_at_its_steps_and_leaves_a_net(folder, capsys):
    assert train(tiny(folder), folder)
    assert look(folder, None).counters["step"] == MAX_STEPS
    assert load_checkpoint(folder).metadata.step == MAX_STEPS
    assert_is_uninterrupted_fold(folder, folder / "games", folder.parent / "fold.safetensors")
    said = capsys.readouterr().out
    assert f"keima play tictactoe --model {folder / 'model.safetensors'}" in said
    assert "--resume" not in said
    with pytest.raises(GameError, match=f"already trained for its {MAX_STEPS} steps; raise them with"):
        resume(folder)


def test_a_run_without_a_game_does_not_pretend(folder, monkeypatch, capsys):
    monkeypatch.setattr(run_module.TrainingRun, "_train", lambda run: None)
    assert not train(tiny(folder), folder)
    said = capsys.readouterr().out
    assert "No game was finished in this time, so nothing was learnt." in said
    assert f"keima train --resume {folder}" in said
    assert "Net: " not in said
    assert "Strength" not in said


def test_a_finished_run_that_was_killed_before_it_saved_its_net_makes_up_for_it(folder, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StrengthMeter, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(folder, "run.measure_every_minutes=600"), folder)  # at its end alone, however slow the machine
    assert state_of(folder)[1] == MAX_STEPS
    segments = {path: path.read_bytes() for path in (folder / "games").iterdir()}
    assert resume(folder)
    assert load_checkpoint(folder).metadata.step == MAX_STEPS
    assert load_checkpoint(folder).metadata.strength
    assert segments == {path: path.read_bytes() for path in (folder / "games").iterdir()}
    with pytest.raises(GameError, match="already trained"):
        resume(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_a_resumed_run_goes_on(folder, monkeypatch, capsys, number):
    step = run_module.TrainingRun._step

    def interrupted_step(run):
        step(run)
        if run.learner.step == 20:  # in the middle of a segment
            os.kill(os.getpid(), number)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(run_module.TrainingRun, "_step", interrupted_step)
        assert not train(tiny(folder), folder)
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    seen = look(folder, None)
    assert seen.counters["step"] == 20
    assert f"keima train --resume {folder}" in capsys.readouterr().out
    assert resume(folder)
    assert look(folder, seen).counters["step"] == MAX_STEPS
    assert_is_uninterrupted_fold(folder, folder / "games", folder.parent / "fold.safetensors")


def test_false_resignations_are_told(folder, monkeypatch):
    assert train(tiny(folder), folder)
    assert progress_lines(folder)[-1]["false_resignations"] is None  # nobody was given up
    other = folder.with_name("other")
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays_and_gives_up)
    assert train(tiny(folder), other)
    share = progress_lines(other)[-1]["false_resignations"]
    assert 0.3 < share < 0.55  # the second player wins or draws four random games in ten


def test_ctrl_c_breaks_off_a_measurement(folder, monkeypatch):
    def endless(*_):
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(StrengthMeter, "measure", endless)
    assert not train(tiny(folder, "run.measure_every_minutes=0.0001"), folder)
    look(folder, None)


def test_the_last_step_is_measured_once(folder, monkeypatch):
    steps = []

    def measure(run):
        steps.append(run.learner.step)
        original(run)

    original = run_module.TrainingRun._measure
    monkeypatch.setattr(run_module.TrainingRun, "_measure", measure)
    assert train(tiny(folder, "run.max_steps=3", "run.measure_every_minutes=0.0001"), folder)
    assert steps[-1] == 3
    assert steps.count(3) == 1


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_actor(folder, monkeypatch):
    actors = []

    def interrupted_twice(run):
        actors.extend(run._pool.process_ids)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_module.TrainingRun, "_ingest_next", interrupted_twice)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(folder), folder)
    assert actors
    assert not any(map(is_alive, actors))
    monkeypatch.undo()
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays)
    assert resume(folder)


@pytest.mark.parametrize("writes", [0, 2, 5, 11])
def test_a_full_disk_ends_a_run_and_nothing_is_lost(folder, monkeypatch, writes):
    """The disk is full after so many files were written."""
    monkeypatch.setattr(run_module, "SAVE_SHARE", 1e9)  # saves after every segment
    left = [writes]
    write = storage._write_and_sync

    def write_until_full(path: Path, data: bytes) -> None:
        if left[0] <= 0:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        left[0] -= 1
        write(path, data)

    monkeypatch.setattr(storage, "_write_and_sync", write_until_full)
    config = tiny(folder)
    with pytest.raises(StorageFull, match=r"disk full: .* go on with `keima train --resume RUN`"):
        train(config, folder)
    monkeypatch.setattr(storage, "_write_and_sync", write)
    assert not list(folder.rglob("*.writing"))
    if not (folder / "config.toml").exists():
        assert train(config, folder)
    else:
        seen = look(folder, None) if (folder / "learner.safetensors").exists() else None
        assert resume(folder)
        look(folder, seen)
    assert_is_uninterrupted_fold(folder, folder / "games", folder.parent / "fold.safetensors")


def test_a_full_disk_under_the_progress_file(folder, monkeypatch):
    report = monitor_module.Telemetry
    told = []

    class FullLater(report):
        def progress(self, values):
            told.append(values)
            if len(told) == 2:
                os.write(self._progress.fileno(), b'{"step": 1')  # all there was room for
                with storage.telling_of_full_disk(Path(self._progress.name), 100):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().progress(values)

    monkeypatch.setattr(monitor_module, "Telemetry", FullLater)
    with pytest.raises(StorageFull):
        train(tiny(folder), folder)
    monkeypatch.setattr(monitor_module, "Telemetry", report)
    assert resume(folder)
    look(folder, None)
    assert len(progress_lines(folder)) >= 3


GROWING = (
    *("growth.at_progress=0.3", "growth.blocks=2", "growth.channels=12", "growth.distill_steps=15"),
    *("learner.schedule=cosine", "network.opponent_policy_head=true", "network.soft_policy_head=true"),
)


@pytest.mark.parametrize("growing", [(), GROWING], ids=["as it is", "growing"])
def test_a_run_of_two_boards_is_resumed(folder, monkeypatch, growing):
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays_two_boards)
    step, sizes = run_module.TrainingRun._step, set()

    def interrupted_step(run):
        step(run)
        sizes.add(run.monitor._last_batch.planes.shape[2])
        if run.learner.step in (7, 30):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_module.TrainingRun, "_step", interrupted_step)
    config = tiny(
        *(folder, "game=hex:3", 'board_mix={"hex:2"=0.3}'),
        # A window that no game leaves, however many are played while the learner takes its time: all are folded below.
        *("selfplay.backend=torch-f32", "replay.window_min=5000", "run.measure_every_minutes=600"),
        *growing,
    )
    assert not train(config, folder)
    seen = look(folder, None)
    assert not resume(folder)
    seen = look(folder, seen)
    assert resume(folder)
    look(folder, seen)
    assert sizes == {2, 3}
    assert {segment_from_bytes(path.read_bytes())[0].game for path in (folder / "games").iterdir()} == {
        "hex:size=3",
        "hex:size=2",
    }
    assert_is_uninterrupted_fold(folder, folder / "games", folder.parent / "fold.safetensors")
    assert load_checkpoint(folder).metadata.game == "hex:size=3"
    assert load_checkpoint(folder).network.config.channels == (12 if growing else 8)


def test_a_run_begins_with_anothers_net(folder, monkeypatch):
    assert train(tiny(folder, "run.max_steps=30"), folder)
    first = load_checkpoint(folder).network.state_dict()
    second = folder.parent / "second"
    config = tiny(folder, "run.max_steps=20", f"start_from='{folder}'", "network.channels=12", "seed=5")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module.TrainingRun, "_save", killed)  # before anything but the config was there
        with pytest.raises(KeyboardInterrupt):
            train(config, second)
    shutil.rmtree(folder)
    assert not (second / "learner.safetensors").exists()
    assert resume(second)
    assert_is_uninterrupted_fold(second, second / "games", folder.parent / "fold.safetensors")
    assert f"begins with {folder}, a net of tictactoe after 30 steps" in (second / "run.log").read_text()
    weights = load_checkpoint(sorted((second / "checkpoints").iterdir())[0]).network
    assert weights.config.channels == 12
    # Its first weights were the other run's.
    (second / "learner.safetensors").unlink()
    begun = run_module.TrainingRun(second, load_config(str(second / "config.toml")))
    begun.monitor.close()
    for part in (begun.learner.network, begun.learner.ema_network):
        assert torch.equal(part.stem.norm.running_mean[:8], first["stem.norm.running_mean"])


def test_what_cannot_be_begun_with_leaves_no_run(folder):
    with pytest.raises(GameError, match="no such checkpoint"):
        train(tiny(folder, f"start_from='{folder.parent / 'nothing'}'"), folder)
    assert not folder.exists()


# --- what cannot be resumed, or started


def test_a_run_belongs_to_one_process(folder):
    folder.mkdir()
    with lock(folder):
        with pytest.raises(GameError, match="this run is being trained by another process"):
            train(tiny(folder), folder)
        (folder / "config.toml").touch()
        with pytest.raises(GameError, match="this run is being trained by another process"):
            resume(folder)
    assert (folder / "config.toml").read_bytes() == b""


def test_an_existing_run_is_not_overwritten(folder):
    folder.mkdir()
    (folder / "config.toml").write_text("mine")
    with pytest.raises(GameError, match=f"holds a run: go on with --resume {folder}"):
        train(tiny(folder), folder)
    assert (folder / "config.toml").read_text() == "mine"


def test_a_folder_that_is_no_run(folder):
    folder.mkdir()
    with pytest.raises(GameError, match=f"{folder}: expected a run's folder, but it has no config.toml"):
        resume(folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2] + "\x00", "not valid TOML"),
        (
            lambda text: text.replace("parallel_games", "paralel_games"),
            "unknown option selfplay.paralel_games; the nearest there is: selfplay.parallel_games",
        ),
        (lambda text: text.replace("channels = 8", "channels = 16"), "not hold the state of this run's learner"),
    ],
)
def test_a_config_that_was_damaged(folder, damage, message):
    assert train(tiny(folder, "run.max_steps=5"), folder)
    path = folder / "config.toml"
    path.write_text(damage(path.read_text()))
    before = {file: file.read_bytes() for file in [*folder.glob("*.*"), *folder.glob("games/*")]}
    with pytest.raises(GameError, match=message) as raised:
        resume(folder)
    assert str(folder) in str(raised.value)
    assert before == {file: file.read_bytes() for file in before}


def test_a_damaged_state_is_told_and_training_is_made_again_from_the_games(folder):
    assert train(tiny(folder), folder)
    path = folder / "learner.safetensors"
    shutil.copy(path, folder.parent / "before.safetensors")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(GameError, match=r"damaged.* move it away, and --resume .* trains anew on the games"):
        resume(folder)
    path.unlink()
    assert resume(folder)
    assert_same_state(path, folder.parent / "before.safetensors")
    assert "trains anew on the" in (folder / "run.log").read_text()


def test_damaged_games_are_left_out(folder):
    assert train(tiny(folder, "run.max_steps=30"), folder)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("max_steps = 30", f"max_steps = {MAX_STEPS}"))
    next_segment = state_of(folder)[2]["next_segment"]
    files = sorted((folder / "games").glob("*.safetensors"))
    assert len(files) >= next_segment
    damaged = [files[0], *files[next_segment:]]  # one of the window, and all that are still to be folded
    for file in damaged:
        file.write_bytes(file.read_bytes()[:-7])
    assert resume(folder)
    assert state_of(folder)[1] == MAX_STEPS
    assert len(list((folder / "games").glob("*.damaged"))) == len(damaged)


# --- time


def test_minutes_are_counted_over_all_starts(folder):
    assert train(tiny(folder, "run.max_steps=0"), folder, minutes=0.01)
    elapsed_s = state_of(folder)[2]["elapsed_s"]
    assert elapsed_s >= 0.6
    assert load_config(str(folder / "config.toml")).run.minutes == 0.01
    with pytest.raises(GameError, match=r"already trained for its 0.0 minutes; give --minutes for more"):
        resume(folder)
    assert resume(folder, minutes=0.01)
    assert state_of(folder)[2]["elapsed_s"] >= elapsed_s + 0.6


def test_evaluations_are_counted_over_all_starts(folder):
    assert train(tiny(folder, "run.max_steps=30"), folder)
    first = state_of(folder)[2]["evaluations"]
    assert first >= 1000  # that the actor tells of after each segment
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("max_steps = 30", f"max_steps = {MAX_STEPS}"))
    assert resume(folder)
    assert state_of(folder)[2]["evaluations"] == progress_lines(folder)[-1]["evaluations"] >= first + 1000


def test_a_resumed_run_keeps_the_goal_it_was_given_last(folder, monkeypatch):
    assert train(tiny(folder, "run.max_steps=0"), folder, minutes=0.01)
    monkeypatch.setattr(run_module.TrainingRun, "_ingest_next", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert not resume(folder, minutes=2)  # long enough for a game to come in, however slow the machine
    monkeypatch.undo()
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays)
    goal_s = state_of(folder)[2]["budget_s"]
    assert goal_s >= 120 + 0.6
    fold = run_module.TrainingRun._ingest_next

    def fold_slowly(run):
        fold(run)
        run.state.elapsed_s += 60

    monkeypatch.setattr(run_module.TrainingRun, "_ingest_next", fold_slowly)
    assert resume(folder)
    assert state_of(folder)[2]["elapsed_s"] >= goal_s


def test_segments_keep_when_they_came(folder, monkeypatch):
    fold = run_module.TrainingRun._ingest_next
    seen = []

    def folded(run):
        fold(run)
        seen.append((run.state.next_segment - 1, run.learner.segment_progress))
        run.state.elapsed_s += 60

    monkeypatch.setattr(run_module.TrainingRun, "_ingest_next", folded)
    assert train(tiny(folder, "run.max_steps=0", "run.minutes=10", "run.measure_every_minutes=1000"), folder)
    for index, share in seen:
        data = (folder / "games" / f"segment-{index:08d}.safetensors").read_bytes()
        assert segment_from_bytes(data)[1].progress == share
    shares = [share for _, share in seen]
    assert shares[0] < 0.1
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] <= 1


@pytest.mark.slow
def test_a_run_that_grows_and_is_stopped_on_the_way_goes_on_to_the_bit(folder, monkeypatch, capsys):
    step = run_module.TrainingRun._step
    stopped = []

    def interrupted_step(run):
        step(run)
        grown = run.learner.grown_at
        after = run.learner.step - grown
        if grown >= 0 and after in (1, 14, 16) and after not in stopped:  # learning from the smaller one, and after it
            stopped.append(after)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_module.TrainingRun, "_step", interrupted_step)
    assert not train(tiny(folder, *GROWING), folder)
    seen = look(folder, None)
    assert load_checkpoint(folder).network.config.channels == 8  # which still plays
    assert not resume(folder)
    assert load_checkpoint(folder).network.config.channels == 8
    assert not resume(folder)
    assert load_checkpoint(folder).network.config.channels == 12
    assert resume(folder)
    assert stopped == [1, 14, 16]
    assert look(folder, seen).counters["step"] == MAX_STEPS
    network = load_checkpoint(folder).network
    assert (network.config.blocks, network.config.channels) == (2, 12)
    assert_is_uninterrupted_fold(folder, folder / "games", folder.parent / "fold.safetensors")
    log = (folder / "run.log").read_text()
    assert "the network grows to 2 blocks x 12 channels" in log
    assert "for 15 steps the smaller one teaches it, and plays" in log
    assert log.count("from now on the larger network plays") == 1


# --- with real actors, as commands


@pytest.mark.slow
def test_with_one_actor_a_run_repeats_itself_to_the_bit(tmp_path):
    """Two runs; the second one's learner and actor are held up now and then."""
    (tmp_path / "config.toml").write_text(CONFIG.format(actors=1))
    for name in ("plain", "held_up"):
        folder = tmp_path / name
        arguments = ["config.toml", "--run", folder, "--seed", "7", "--set", f"run.max_steps={2 * MAX_STEPS}"]
        with Started(tmp_path / "output.txt", *arguments, folder=folder) as run:
            if name == "held_up":
                run.wait_for_steps(0)
                (actor,) = run.actors()
                with contextlib.suppress(ProcessLookupError):  # a quick run has ended meanwhile
                    for stopped in (actor, run.process.pid, actor):
                        os.kill(stopped, signal.SIGSTOP)
                        time.sleep(0.4)
                        os.kill(stopped, signal.SIGCONT)
                        time.sleep(0.1)
            assert run.process.wait(600) == 0, run.output.read_text()
    left, right = tmp_path / "plain", tmp_path / "held_up"
    assert_same_state(left / "learner.safetensors", right / "learner.safetensors")
    segments = [path.name for path in sorted((left / "games").iterdir()) if (right / "games" / path.name).exists()]
    assert len(segments) >= 4
    for name in segments:
        one, other = (segment_from_bytes((folder / "games" / name).read_bytes())[0] for folder in (left, right))
        # All but the time at which it came in: the games, the versions of the weights that played them.
        assert segment_to_bytes(replace(one, progress=0.0), 0, 0, 0) == segment_to_bytes(
            replace(other, progress=0.0), 0, 0, 0
        ), name
    versions = [json.loads(line)["next_segment"] for line in (left / "progress.jsonl").read_text().splitlines()]
    assert versions[-1] >= 4


def test_a_game_that_breaks_its_own_promise_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    rules = (ROOT / "games" / "tictactoe.py").read_text()
    assert "max_plies = CELLS" in rules
    (tmp_path / "endless.py").write_text(rules.replace("max_plies = CELLS", "max_plies = 6"))
    with pytest.raises(GameError, match="no actor gets anywhere: endless: a game went on after max_plies = 6 moves"):
        train(load_config("./endless.py", ["selfplay.actors=1", "selfplay.parallel_games=8"]), tmp_path / "run")
    assert capfd.readouterr().err == ""  # of the actors: no traceback


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path, sized):
    """A few of what `python -m tests.selfplay.kill_and_resume` does fifty times."""
    assert "nothing lost" in kill_and_resume(tmp_path, kills=sized(3, 2), seed=1, actors=1, longest_s=1.0)
