"""What a run tells TensorBoard and its progress file."""

import io
import json
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
from torch.utils.tensorboard.summary import scalar
from torch.utils.tensorboard.summary import text as as_summary

from keima.agent.system.storage import telling_of_full_disk
from keima.games.contract import Game
from keima.selfplay.learning.learner import Losses
from keima.selfplay.replay.segment import FAST_SEARCH, RANDOM_OPENING, Segment
from keima.selfplay.run.diagnosis import Health

PROGRESS_FILE = "progress.jsonl"
"""One JSON object a line for each state of the run that was saved; the last one is where it stands."""

_RATE_S = 5.0


class Telemetry:
    """A run's TensorBoard events and progress file; both continue where an earlier start of the run stopped.

    What is reported is on disk when the call returns, whatever happens to the process then. Raises StorageFull (see
    keima.agent.system.storage) on a full disk.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """step: the training steps made. What an earlier start reported of later steps, which were not saved, is
        removed.
        """
        events = folder / "tensorboard"
        events.mkdir(exist_ok=True)
        # TensorBoard reads the files in the order of their names.
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}"
        self._events = (events / name).open("xb", buffering=0)
        self._write_event(Event(file_version="brain.Event:2"))
        self._write_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        path = folder / PROGRESS_FILE
        self._progress = path.open("ab", buffering=0)
        self._progress.truncate(path.read_bytes().rfind(b"\n") + 1)  # a full disk may have left half a line

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Figures by name, `group/name`; those that are not finite are left out."""
        found = [scalar(name, value).value[0] for name, value in values.items() if math.isfinite(value)]  # type: ignore[no-untyped-call]
        self._write_event(Event(step=step, summary=Summary(value=found)))

    def text(self, name: str, text: str, step: int) -> None:
        """A text, kept as it is laid out."""
        laid_out = "\n".join("    " + line for line in text.splitlines())
        self._write_event(Event(step=step, summary=as_summary(name, laid_out)))  # type: ignore[no-untyped-call]

    def progress(self, values: dict[str, Any]) -> None:
        """Appends a line to the progress file."""
        _append(self._progress, (json.dumps(values) + "\n").encode())

    def close(self) -> None:
        self._events.close()
        self._progress.close()

    def _write_event(self, event: Event) -> None:
        # Not by SummaryWriter: it keeps events back for minutes, and a full disk ends its thread with a traceback.
        event.wall_time = time.time()
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        _append(self._events, record.getvalue())


def _append(file: io.FileIO, data: bytes) -> None:
    with telling_of_full_disk(Path(file.name), len(data)):
        rest = memoryview(data)
        while rest:  # a write may take less than it is given
            rest = rest[file.write(rest) :]


class Rates:
    """Speeds over the last few seconds."""

    def __init__(self, positions: int, clock: Callable[[], float] = time.monotonic) -> None:
        """positions: how many there were at the start."""
        self._clock = clock
        self._updated = clock()
        self._before = (0, 0, 0, positions, 0.0)
        self.evaluations_per_s = math.nan
        self.simulations_per_s = math.nan
        self.cache_hit_share = math.nan
        """The share of looked-up evaluations that actors' caches had."""
        self.positions_per_s = math.nan
        self.actors_waiting = 0.0
        """The share of their time that actors waited for the learner."""

    def update(self, evaluations: int, simulations: int, cache_hits: int, positions: int, waited_s: float) -> None:
        """Takes the totals so far; waited_s: the mean actor's.

        Actors report their work once a second, and games come in segments. A rate over less than _RATE_S would show how
        these happen to fall.
        """
        passed = self._clock() - self._updated
        if passed < _RATE_S:
            return
        totals = (evaluations, simulations, cache_hits, positions, waited_s)
        done = [now - before for now, before in zip(totals, self._before, strict=True)]
        self.evaluations_per_s, self.simulations_per_s = done[0] / passed, done[1] / passed
        self.cache_hit_share = done[2] / max(done[0] + done[2], 1)
        self.positions_per_s = done[3] / passed
        self.actors_waiting = min(done[4] / passed, 1.0)
        self._updated += passed
        self._before = totals


class Smoothed:
    """A figure as it was over the last minute or so, in which one odd moment does not count for much."""

    SECONDS = 60.0

    def __init__(self) -> None:
        self._value = math.nan
        self._updated_s = 0.0

    def update(self, value: float, now_s: float) -> float:
        """Takes the figure as it was from the last update to now, and returns the smoothed one."""
        if math.isfinite(value):
            kept = math.exp(-(now_s - self._updated_s) / self.SECONDS) if math.isfinite(self._value) else 0.0
            self._value = value if not kept else kept * self._value + (1 - kept) * value
            self._updated_s = now_s
        return self._value


def figures(health: Health, losses: Losses, measured: tuple[float, list[float]]) -> dict[str, float]:
    """A run's figures by the names they have in TensorBoard. `measured`: what `calibration` returned."""
    games, batch, (error, means) = health.games, health.batch, measured
    first, second, draw = games.outcome_shares
    found = {f"loss/{name}": float(value) for name, value in asdict(losses).items()}
    if batch is not None:
        found["loss/value_of_a_constant"] = batch.constant_value_loss
        found["policy/network_entropy"] = batch.policy_entropy
        found["value/spread"] = batch.value_spread
    width = 2 / max(len(means), 1)
    for i, mean in enumerate(means):
        found[f"value/outcome_where_value_is_{-1 + (i + 0.5) * width:+.1f}"] = mean
    return found | {
        "policy/target_entropy": games.target_entropy,
        "policy/surprise": games.surprise,
        "value/calibration_error": error,
        "games/plies": games.mean_plies,
        "games/first_player_wins": first,
        "games/second_player_wins": second,
        "games/draws": draw,
        "games/distinct_fraction": games.distinct_share,
        "games/fast_fraction": games.fast_share,
        "games/false_resignations": health.resignations.false_share,
        "speed/learner_waiting": health.learner_waiting,
        "speed/actors_waiting": health.actors_waiting,
        "replay/ratio": health.replay_ratio,
    }


def calibration(
    predicted: NDArray[np.floating], targets: NDArray[np.floating], num_bins: int = 10
) -> tuple[float, list[float]]:
    """How well predicted values agree with what happened.

    predicted, targets: probabilities of win, draw and loss [n, 3]. Positions are put into bins by their predicted
    value. Returns the mean over positions of |mean target - mean prediction| of the position's bin, and the mean target
    value of each bin (NaN for empty ones), from values of -1 to values of 1.
    """
    value, wanted = predicted[:, 0] - predicted[:, 2], targets[:, 0] - targets[:, 2]
    bins = np.clip(((value + 1) / 2 * num_bins).astype(int), 0, num_bins - 1)
    error, means = 0.0, []
    for b in range(num_bins):
        inside = bins == b
        means.append(float(wanted[inside].mean()) if inside.any() else math.nan)
        if inside.any():
            error += inside.mean() * abs(float(wanted[inside].mean() - value[inside].mean()))
    return float(error), means


def game_as_text(game: Game, segment: Segment, index: int) -> str:
    """A game of a segment: its moves with the search's values, and the final board."""
    start = int(segment.game_lengths[:index].sum())
    first = segment.start_of(index)
    state, lines = game.new_state() if first is None else first.copy(), []
    if first is not None:
        lines += [game.render(state), ""]
    for ply in range(start, start + int(segment.game_lengths[index])):
        side = game.players[int(state[0])]
        value = segment.root_values[ply]
        note = "random opening" if segment.flags[ply] & RANDOM_OPENING else f"value {value:+.2f}"
        if segment.flags[ply] & FAST_SEARCH:
            note += " (fast)"
        action = int(segment.actions[ply])
        lines.append(f"{ply - start + 1:3d}. {side} {game.action_to_text(state, action):6s} {note}")
        game.kernels.play(state, action)
    outcome = int(segment.outcomes[index])
    result = f"{game.players[outcome]} wins" if outcome in (0, 1) else "draw"
    return "\n".join([*lines, "", game.render(state), "", result])
