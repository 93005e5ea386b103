"""Settings that a resumed run may change: `keima train --resume RUN --set section.key=value`.

A change holds from the step at which the run is resumed. The run's config.toml is written anew, with the new values
and, in comments at its end, what was changed at which step: one file, written whole or not at all, so that a kill at
any moment leaves the run as it was or as it is to be.
"""

from collections.abc import Sequence
from pathlib import Path

from keima.agent.nets.checkpoint import CheckpointError, read_tensors, write_tensors
from keima.agent.system.storage import write_atomically
from keima.games.contract import GameError
from keima.selfplay.config.loader import load_config, parse_toml, read_text, to_toml, to_toml_value
from keima.selfplay.config.renamed import with_new_names
from keima.selfplay.config.schema import TrainConfig, options
from keima.selfplay.run.run_folder import CONFIG_FILE, STATE_FILE
from keima.selfplay.run.run_state import ratio

HISTORY = "# From step "
"""How the lines about changes begin, at the end of a run's config."""
_KEPT = {
    "game": "a run keeps its game",
    "board_mix": "a run keeps its boards",
    "seed": "a run keeps its seed",
    "start_from": "a run has begun already; it keeps what it began with",
    "network": "a run keeps its network, which the learner's state is of",
    "growth.blocks": "a run keeps what its network grows to",
    "growth.channels": "a run keeps what its network grows to",
    "search.score_weight": "a run keeps what its values mean",
}
"""Options, or whole sections, that are settled for good when a run begins."""
_OF_THE_NET = ("network", "growth", "learner", "search")
"""Sections whose options another run may have that begins with this one's net."""


def resumed_config(folder: Path, settings: Sequence[str] = ()) -> TrainConfig:
    """The config of the run in `folder`, which must be locked, with `settings` changed from now on.

    settings: `section.key=value`, as for `load_config`. Raises ConfigError, or GameError for what a run keeps; then the
    run is as it was.
    """
    path = folder / CONFIG_FILE
    config = load_config(str(path))
    changed = load_config(str(path), settings) if settings else config
    changes = _changes(config, changed)
    for key, (_, new) in changes.items():
        _check(key, config, f"--set {key}={to_toml_value(new)}", folder)
    _, old_names = with_new_names(parse_toml(str(path), read_text(path)))
    if changes or old_names:
        step = _remember_ratio(folder, config) if changes else 0
        told = [
            f"{HISTORY}{step}: {key} = {to_toml_value(new)}; before: {to_toml_value(old)}"
            for key, (old, new) in changes.items()
        ]
        history = [*history_of(folder), *told]
        text = to_toml(changed) + "".join(f"{line}\n" for line in (["", *history] if history else []))
        write_atomically(path, text.encode())
    return changed


def history_of(folder: Path) -> list[str]:
    """What was changed in a run since it began, a line each."""
    return [line for line in read_text(folder / CONFIG_FILE).splitlines() if line.startswith(HISTORY)]


def _changes(before: TrainConfig, after: TrainConfig) -> dict[str, tuple[object, object]]:
    found = {}
    for key in options():
        section, _, name = key.rpartition(".")
        old, new = (getattr(getattr(one, section) if section else one, name) for one in (before, after))
        if old != new:
            found[key] = (old, new)
    return found


def _check(key: str, config: TrainConfig, given: str, folder: Path) -> None:
    """Raises GameError where this option cannot be changed in a run."""
    reason = _KEPT.get(key) or _KEPT.get(key.partition(".")[0])
    if key == "run.minutes":
        raise GameError(f"{given}: to go on for longer, give --minutes, which counts from now")
    if key == "learner.muon_rate" and not (config.learner.muon_rate and float(given.rpartition("=")[2])):
        reason = "a run keeps its optimizers: Muon can be neither switched on nor off"
    if reason is None:
        return
    begin = f"keima train {folder / CONFIG_FILE}"
    if key.partition(".")[0] in _OF_THE_NET:
        begin += f" --from {folder} {given}"
    raise GameError(f"{given}: {reason}; for another begin a run, as with {begin}")


def _remember_ratio(folder: Path, config: TrainConfig) -> int:
    """The step from which a change holds; makes sure the saved state says how many steps a position has been due.

    States of earlier versions do not, and without it the run would make up for all that the new ratio asks for.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return 0
    try:
        tensors, metadata = read_tensors(path)
        step = int(metadata["step"])
        if "steps_due" not in metadata["progress"]:
            metadata["progress"]["steps_due"] = [*ratio(config), 0, 0]
            write_tensors(path, tensors, metadata)
        return step
    except (CheckpointError, KeyError, TypeError, ValueError):
        return 0  # who loads the state says what is wrong with it
