"""How fast the learner learns here, and where its time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from keima.games import load
from keima.games.contract import Game
from keima.selfplay.bench.measuring import Round, interleave
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.learning.learner import Learner
from keima.selfplay.replay.sampling import samplers_of
from keima.selfplay.replay.segment import Segment, segment_from_bytes
from keima.selfplay.replay.window import ReplayWindow

MOST_POSITIONS = 200_000
"""The window that is learnt from holds no more, whatever the config says: more take longer to make than to measure."""
WARM_UP_STEPS = 3


class Learning(Learner):
    """A learner that keeps the time of its averaging."""

    def __init__(self, game: Game, config: TrainConfig) -> None:
        super().__init__(game, config)
        self.average_s = 0.0

    def _average(self) -> None:
        start_s = time.perf_counter()
        super()._average()
        self.average_s += time.perf_counter() - start_s


class Steps:
    """Training steps of one batch size, as a contender; see keima.selfplay.bench.measuring."""

    def __init__(self, learner: Learning, window: ReplayWindow, batch_size: int) -> None:
        config = learner.config
        self._learner = learner
        self._window = window.views()
        self._batch_size = batch_size
        (self._sampler,) = samplers_of([learner.game], config)
        self._steps = 0
        self._draw_s = self._average_s = 0.0

    def run(self) -> None:
        start_s, averaged_s = time.perf_counter(), self._learner.average_s
        batch = self._sampler.draw(self._window, self._steps, self._batch_size)
        self._draw_s += time.perf_counter() - start_s
        self._learner.train(batch)
        self._average_s += self._learner.average_s - averaged_s
        self._steps += 1

    def counts(self) -> dict[str, float]:
        samples = float(self._steps * self._batch_size)
        return {"samples": samples, "draw_s": self._draw_s, "average_s": self._average_s}


def filled_window(config: TrainConfig, games: list[Segment]) -> ReplayWindow:
    """A window of these games, over and over until it is as large as the config has it at first."""
    window = ReplayWindow(config.replay.surprise_fraction)
    wanted = min(config.replay.window_min, MOST_POSITIONS)
    while window.num_positions < wanted:
        for segment in games:
            window.append(segment)
    window.drop_oldest_to(wanted)
    return window


def read_games(folder: Path) -> list[Segment]:
    """Those that keima.selfplay.bench.measuring.write_run left."""
    return [segment_from_bytes(path.read_bytes())[0] for path in sorted(folder.glob("games-*.segment"))]


def measure(
    folder: Path, batch_sizes: list[int], threads: list[int], seconds: float, rounds: int
) -> list[dict[str, Any]]:
    """Rounds of every batch size with every number of threads, on the games in a folder of `write_run`."""
    config = load_config(str(folder / "config.toml"))
    game = load(config.game)
    window = filled_window(config, read_games(folder))
    learner = Learning(game, config)
    found: list[dict[str, Any]] = []
    for number in threads:
        with _threads(number):
            contenders = {size: Steps(learner, window, size) for size in batch_sizes}
            for contender in contenders.values():
                for _ in range(WARM_UP_STEPS):
                    contender.run()
            measured: dict[int, list[Round]] = interleave(contenders, seconds, rounds)
        found += [{"batch_size": size, "threads": number, "rounds": done} for size, done in measured.items()]
    return found


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
