"""Runs that are resumed with other settings. Their actors are those that stand in."""

import os
import signal

import pytest
import torch

from keima.games.contract import GameError
from keima.selfplay.actors import actor_pool as pool_module
from keima.selfplay.config.loader import load_config, to_toml
from keima.selfplay.run import training_run as run_module
from keima.selfplay.run.changed_settings import history_of, resumed_config
from keima.selfplay.run.start import resume, train
from tests.selfplay import fake_actors
from tests.selfplay.kill_and_resume import CONFIG, look, state_of


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's folder that has a config and nothing else."""
    (tmp_path / "given.toml").write_text(CONFIG.format(actors=1))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(load_config(str(tmp_path / "given.toml"))))
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays)
    threads = torch.get_num_threads()
    yield folder
    torch.set_num_threads(threads)


def test_nothing_changed_leaves_the_config_alone(run):
    before = (run / "config.toml").read_bytes()
    config = resumed_config(run)
    assert resumed_config(run, [f"search.simulations={config.search.simulations}"]) == config
    assert (run / "config.toml").read_bytes() == before
    assert history_of(run) == []


def test_changes_are_kept_with_their_step_and_so_are_earlier_ones(run):
    before = resumed_config(run).search.simulations
    resumed_config(run, ["search.simulations=9"])
    config = resumed_config(run, ["replay.samples_per_position=1.5", "selfplay.opening_random_fraction=0.5"])
    assert (config.search.simulations, config.replay.samples_per_position) == (9, 1.5)
    assert load_config(str(run / "config.toml")) == config
    assert history_of(run)[0] == f"# From step 0: search.simulations = 9; before: {before}"
    assert [line.partition(" =")[0] for line in history_of(run)[1:]] == [
        "# From step 0: selfplay.opening_random_fraction",
        "# From step 0: replay.samples_per_position",
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("game=connect4", "a run keeps its game"),
        ("seed=7", "a run keeps its seed"),
        ("network.blocks=7", r"a run keeps its network.*--from .*run --set network\.blocks=7"),
        ("learner.muon_rate=0.05", "Muon can be neither switched on nor off"),
        ("run.minutes=7", "give --minutes"),
        ("search.simulatoins=7", "the nearest there is: search.simulations"),
        ("search.simulations=0", "at least 1"),
    ],
)
def test_what_a_run_keeps_is_refused_in_a_line(run, setting, message):
    before = (run / "config.toml").read_bytes()
    with pytest.raises(GameError, match=message) as caught:
        resumed_config(run, ["search.simulations=8", setting])
    assert "\n" not in str(caught.value)
    assert (run / "config.toml").read_bytes() == before


def test_the_config_of_an_earlier_version_is_written_with_the_names_of_today(run, capsys):
    path = run / "config.toml"
    path.write_text(path.read_text().replace("parallel_games =", "slots ="))
    assert resumed_config(run).selfplay.parallel_games == 16
    assert "selfplay.slots is now selfplay.parallel_games" in capsys.readouterr().err
    assert "parallel_games = 16" in path.read_text()


@pytest.mark.parametrize("is_old", [False, True])
def test_a_resumed_run_trains_as_it_is_told_from_then_on(run, monkeypatch, is_old):
    (run / "config.toml").unlink()
    step = run_module.TrainingRun._step

    def interrupted_step(running):
        step(running)
        if running.learner.step in (20, 30):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_module.TrainingRun, "_step", interrupted_step)
    config = load_config(str(run.parent / "given.toml"), ["run.max_steps=60", "run.measure_every_minutes=600"])
    assert not train(config, run)
    seen = look(run, None)
    if is_old:  # a state that does not say how many steps were due
        tensors, metadata = saved_state(run)
        del metadata["progress"]["steps_due"]
        write(run, tensors, metadata)
    samples, batch_size = config.replay.samples_per_position, config.learner.batch_size
    assert not resume(run, None, [f"replay.samples_per_position={samples / 2}", "learner.learning_rate=0.001"])
    first = state_of(run)[2]["steps_due"]
    assert first[:2] == [samples / 2, batch_size]
    assert first[2:] == [seen.counters["positions"], 20]
    assert resume(run)
    assert state_of(run)[2]["steps_due"] == first  # nothing was lost by stopping
    log = (run / "run.log").read_text()
    assert log.count("From step 20: learner.learning_rate = 0.001") == 1


def saved_state(run):
    from keima.agent.nets.checkpoint import read_tensors

    return read_tensors(run / "learner.safetensors")


def write(run, tensors, metadata):
    from keima.agent.nets.checkpoint import write_tensors

    write_tensors(run / "learner.safetensors", tensors, metadata)
