"""A run is begun in a folder of its own, or gone on with, perhaps with other settings."""

from collections.abc import Sequence
from pathlib import Path

from keima.agent.inference.factory import check_backend
from keima.agent.system.storage import write_atomically
from keima.games.contract import GameError
from keima.selfplay.config.loader import to_toml
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.learning.initial_weights import keep_start, lies_in, load_start
from keima.selfplay.run.changed_settings import history_of, resumed_config
from keima.selfplay.run.run_folder import CONFIG_FILE, delete_run, lock
from keima.selfplay.run.training_run import TrainingRun


def train(config: TrainConfig, folder: Path, minutes: float | None = None, *, replace: bool = False) -> bool:
    """Starts a run in `folder`; see `TrainingRun.go` for what is returned.

    minutes: in place of the config's. replace: whether a run that is in `folder` is deleted first; otherwise the folder
    must hold none. Raises GameError where the run cannot begin, before anything is deleted.
    """
    if minutes is not None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"minutes": minutes})})
    start = load_start(config)
    if config.selfplay.backend != "auto":
        check_backend(config.selfplay.backend)
    if replace:
        if lies_in(config, folder):
            raise GameError(f"{folder}: holds the net to begin with; give the new run another name with --run")
        delete_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        if (folder / CONFIG_FILE).exists():
            raise GameError(f"{folder}: holds a run: go on with --resume {folder}, or name another")
        if start is not None:
            keep_start(start, folder)
        write_atomically(folder / CONFIG_FILE, to_toml(config).encode())
        return TrainingRun(folder, config).go()


def resume(folder: Path, minutes: float | None = None, settings: Sequence[str] = ()) -> bool:
    """Continues the run in `folder` to the end of its minutes, or for `minutes` more.

    settings: changes from now on, `section.key=value`. Raises GameError, before anything is changed, for settings that
    a run must keep; see keima.selfplay.run.changed_settings.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise GameError(f"{folder}: expected a run's folder, but it has no {CONFIG_FILE}")
    with lock(folder):
        changes_before = len(history_of(folder))
        run = TrainingRun(folder, resumed_config(folder, settings))
        run.monitor.settings_changed(history_of(folder)[changes_before:])
        return run.go(minutes)
