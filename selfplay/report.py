"""What a run tells TensorBoard and its progress file."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from games.contract import Game
from selfplay.segment import RANDOM_OPENING, Segment

PROGRESS_FILE = "progress.jsonl"
"""One JSON object a line for each state of the run that was saved; the last one is where it stands."""


class Report:
    """A run's TensorBoard events and progress file; both go on where an earlier start of the run left them."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: the training steps made; what an earlier start wrote of later ones, which were not saved, goes."""
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._progress = (folder / PROGRESS_FILE).open("a", encoding="utf-8")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Figures by name, `group/name`; those that are not finite are left out."""
        for name, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int) -> None:
        """A text, kept as it is laid out."""
        self._writer.add_text(name, "\n".join("    " + line for line in text.splitlines()), step)

    def progress(self, values: dict[str, Any]) -> None:
        """Appends a line to the progress file."""
        self._progress.write(json.dumps(values) + "\n")
        self._progress.flush()

    def close(self) -> None:
        self._writer.close()
        self._progress.close()


def calibration(
    predicted: NDArray[np.floating], targets: NDArray[np.floating], num_bins: int = 10
) -> tuple[float, list[float]]:
    """How far values are off where the network says them.

    predicted, targets: probabilities of win, draw and loss [n, 3]. Returns the mean over positions of
    |mean target - mean prediction| of the bin their predicted value is in, and the mean target value of each bin
    (NaN for empty ones), from values of -1 to values of 1.
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
    state, lines = game.new_state(), []
    for ply in range(start, start + int(segment.game_lengths[index])):
        side = game.players[int(state[0])]
        value = segment.root_values[ply]
        note = "random opening" if segment.flags[ply] & RANDOM_OPENING else f"value {value:+.2f}"
        action = int(segment.actions[ply])
        lines.append(f"{ply - start + 1:3d}. {side} {game.action_to_text(state, action):6s} {note}")
        game.kernels.play(state, action)
    outcome = int(segment.outcomes[index])
    result = f"{game.players[outcome]} wins" if outcome in (0, 1) else "draw"
    return "\n".join([*lines, "", game.render(state), "", result])
