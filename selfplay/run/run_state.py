"""Where a run stands: what is saved beside the learner's state, and what it says about the training steps that are due.

Steps are due as `samples_per_position` asks: so many samples of each position that came in. A resumed run may ask for
more or fewer samples than before; what is due then counts from where it was resumed, and nothing is made up for.
"""

from dataclasses import dataclass, field
from typing import Any

from keima.selfplay.config.schema import TrainConfig, fixed


@dataclass
class RunState:
    """A run's counters and figures. Changed in place as the run goes on."""

    budget_s: float
    """Where `elapsed_s` is to end."""
    samples_per_position: float
    """How many samples of each position that comes in are due; `batch_size` of them are a step."""
    batch_size: int
    games: int = 0
    """Ingested so far, as `positions`."""
    positions: int = 0
    next_segment: int = 0
    """The index of the first segment that is not ingested yet."""
    elapsed_s: float = 0.0
    """Time trained, in all starts of the run together."""
    evaluations: int = 0
    """Of the network by actors, in earlier starts and as far as they were saved."""
    strengths: list[tuple[float, float, str]] = field(default_factory=list)
    """Measurements of strength: after how many minutes, the figure to watch, in words."""
    figures: dict[str, float] = field(default_factory=dict)
    """Of the last measurement."""
    counted_from: tuple[int, int] = (0, 0)
    """The positions and the step from which these two hold."""

    @classmethod
    def new(cls, config: TrainConfig) -> "RunState":
        return cls(60 * config.run.minutes, *ratio(config))

    def load(self, saved: dict[str, Any], step: int) -> None:
        """Restores what `as_saved` returned in an earlier start. step: the learner's.

        Raises KeyError, TypeError or ValueError for anything else.
        """
        self.games, self.positions = int(saved["games"]), int(saved["positions"])
        self.next_segment, self.elapsed_s = int(saved["next_segment"]), float(saved["elapsed_s"])
        self.budget_s = max(self.budget_s, float(saved["budget_s"]))
        self.strengths = [tuple(entry) for entry in saved["strengths"]]
        self.figures = saved["figures"]
        # These two are not in states of earlier versions.
        self.evaluations = int(saved.get("evaluations", 0))
        now = [self.samples_per_position, self.batch_size]
        *before, positions, steps = saved.get("steps_due", [*now, 0, 0])
        self.counted_from = (int(positions), int(steps)) if before == now else (self.positions, step)

    def as_saved(self, evaluations: int) -> dict[str, Any]:
        """JSON values. evaluations: those of this start."""
        return {
            "games": self.games,
            "positions": self.positions,
            "next_segment": self.next_segment,
            "evaluations": self.evaluations + evaluations,
            "elapsed_s": self.elapsed_s,
            "budget_s": self.budget_s,
            "strengths": self.strengths,
            "figures": self.figures,
            "steps_due": [self.samples_per_position, self.batch_size, *self.counted_from],
        }

    @property
    def steps_due(self) -> int:
        """The steps that the games ingested so far allow."""
        positions, steps = self.counted_from
        return steps + int((self.positions - positions) * self.samples_per_position / self.batch_size)

    @property
    def progress(self) -> float:
        """The fraction of the run's minutes that has passed, 0 to 1."""
        return min(1.0, self.elapsed_s / self.budget_s)

    def replay_ratio(self, step: int) -> float:
        """Samples trained on for each position, counted from the last change of the number that is due. step: the
        learner's.
        """
        positions, steps = self.counted_from
        return (step - steps) * self.batch_size / max(self.positions - positions, 1)


def ratio(config: TrainConfig) -> tuple[float, int]:
    """The samples that are due for each position, and the number of samples in a step."""
    return config.replay.samples_per_position, fixed(config.learner.batch_size)
