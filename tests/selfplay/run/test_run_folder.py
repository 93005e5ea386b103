"""What a run's folder is, and that deleting one deletes nothing else."""

from pathlib import Path

import pytest

from keima.games.contract import GameError
from keima.selfplay.config.loader import to_toml
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.run.run_folder import CONFIG_FILE, LOCK_FILE, STATE_FILE, delete_run, is_run, lock

FILES = (
    *("learner.safetensors", "model.safetensors", "run.log", ".lock", ".model.safetensors.7.writing"),
    *("checkpoints/step-00000009.safetensors", "games/segment-00000001.safetensors", "ratings/ladder.csv"),
    *("games/segment-00000002.safetensors.damaged", "weights/00000001.safetensors", "ratings.sqlite"),
    *("tensorboard/events.out.tfevents.1.host.7", "tensorboard/ratings/events.out.tfevents.2.host.8"),
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run's, with something of everything."""
    folder = tmp_path / "mine"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / CONFIG_FILE).write_text(to_toml(TrainConfig(game="connect4")))
    return folder


def test_a_run_is_deleted_with_all_it_made(folder):
    delete_run(folder)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["notes.txt", "games/mine.csv", "other/segment-1.safetensors", ".git/config"])
def test_what_no_run_makes_stops_it(folder, name: str):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = sorted(folder.rglob("*"))
    with pytest.raises(GameError, match="which is not a run's: move it away, or give the new run another name"):
        delete_run(folder)
    assert sorted(folder.rglob("*")) == before


def test_what_links_lead_to_is_left(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "segment-00000001.safetensors").touch()
    link = tmp_path / "link"
    link.symlink_to(folder)
    (folder / "weights" / "00000001.safetensors").unlink()
    (folder / "weights").rmdir()
    (folder / "weights").symlink_to(elsewhere)
    with pytest.raises(GameError, match="holds weights, which is not a run's"):
        delete_run(folder)
    (folder / "weights").unlink()
    delete_run(link)
    assert list(folder.iterdir()) == []
    assert list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "config", ['game = "connect4"\nplayers = ["random"]', "game = 4", "[tool.ruff]", "not TOML", None]
)
def test_another_programs_folder_is_no_run(folder, config: str | None):
    (folder / CONFIG_FILE).unlink()
    if config is not None:
        (folder / CONFIG_FILE).write_text(config)
    assert not is_run(folder)
    with pytest.raises(GameError, match="expected a run's folder, but it is none; nothing was deleted"):
        delete_run(folder)


def test_a_config_alone_is_no_run(folder):
    assert is_run(folder)
    for name in (LOCK_FILE, STATE_FILE, "run.log"):
        (folder / name).unlink()
    assert not is_run(folder)


def test_a_run_that_is_being_trained_is_left(folder):
    with lock(folder), pytest.raises(GameError, match="this run is being trained by another process"):
        delete_run(folder)
    assert (folder / STATE_FILE).exists()
