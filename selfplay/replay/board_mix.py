"""Several boards in one run: a game and, beside it, the same one of other sizes or rules, each with a share.

Where nothing in a network depends on the board's size, one network may play and learn on several: small boards give
many short games, and so outcomes, for the price of a large one's. The shares are of the training positions:

    an actor      plays one game of the board_mix until it has a segment, then the one that is furthest behind its
    share;
                  on a GPU, whose graphs are of one size, each thread keeps to one
    the window    keeps the newest positions of all of them; a step's batch is of one, and every share gets its steps
    the rest      (what is measured, what a checkpoint says it is of) goes by the config's `game`

With that one game alone everything is as if there were no board_mix.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keima.games import load
from keima.games.contract import Game
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.replay.segment import Segment
from keima.selfplay.replay.window import ReplayWindow, WindowArrays

if TYPE_CHECKING:  # actors need no sampler, and would wait for its compiled code
    from keima.selfplay.replay.sampling import Batch, Sampler

GOLDEN = (math.sqrt(5) - 1) / 2
"""The parts of its multiples after the point are spread evenly over 0 to 1, wherever one begins to count."""


@dataclass(frozen=True)
class BoardMix:
    """The games of a run, the config's `game` first, and their shares, which sum to 1."""

    games: tuple[Game, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, config: TrainConfig) -> "BoardMix":
        """The board_mix of a config that `load_config` has checked."""
        others = [load(spec) for spec in config.board_mix]
        shares = list(config.board_mix.values())
        return cls((load(config.game), *others), (1.0 - sum(shares), *shares))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(game.label for game in self.games)

    def furthest_behind(self, positions: Sequence[int]) -> int:
        """The game, by number, that lacks the most positions to its share of them all."""
        total = sum(positions)
        lacking = [share * total - own for share, own in zip(self.shares, positions, strict=True)]
        return lacking.index(max(lacking))

    def among(self, threads: int) -> list[Game]:
        """What each of so many threads plays, all the time: as near to the shares as so many can be."""
        counts = [0] * len(self.games)
        for _ in range(threads):
            counts[self.furthest_behind(counts)] += 1
        return [game for game, count in zip(self.games, counts, strict=True) for _ in range(count)]

    def of_step(self, step: int, positions: Sequence[int]) -> int:
        """The game, by number, whose positions a training step is made of; the same for the same step.

        positions: how many the window has of each; where it has none of a game, the next one's turn comes.
        """
        mark = (step + 1) * GOLDEN % 1.0
        picked = 0
        while picked < len(self.shares) - 1 and mark >= self.shares[picked]:
            mark -= self.shares[picked]
            picked += 1
        while positions[picked] == 0:
            picked = (picked + 1) % len(positions)
        return picked


class MixedWindow:
    """The newest positions of a board_mix's games together: a window of each, dropped from in the order they came."""

    def __init__(self, board_mix: BoardMix, surprise_fraction: float = 0.0) -> None:
        """surprise_fraction: see `keima.selfplay.replay.window.ReplayWindow`."""
        self._board_mix = board_mix
        self._windows = [ReplayWindow(surprise_fraction) for _ in board_mix.games]
        self._order: deque[int] = deque()
        """The game of each segment that still has positions here, oldest first."""
        self._left: deque[int] = deque()
        """How many of each segment's positions may still be here, in the same order."""

    @property
    def num_positions(self) -> int:
        """Training positions."""
        return sum(window.num_positions for window in self._windows)

    def append(self, segment: Segment) -> None:
        """Adds a segment's games as the newest of theirs."""
        number = self._board_mix.labels.index(segment.game)
        self._windows[number].append(segment)
        self._order.append(number)
        self._left.append(segment.num_positions)

    def drop_oldest_to(self, num_positions: int) -> None:
        """Drops the oldest games while `num_positions` training positions remain."""
        excess = self.num_positions - num_positions
        while excess > 0:
            window = self._windows[self._order[0]]
            before, going = window.num_positions, min(excess, self._left[0])
            window.drop_oldest_to(before - going)
            dropped = before - window.num_positions  # fewer than `going` where a game's end is to stay
            if dropped < self._left[0]:
                self._left[0] -= dropped
                return
            excess -= dropped
            self._order.popleft()
            self._left.popleft()

    def views(self, number: int = 0) -> WindowArrays:
        """The window of one game as it is now."""
        return self._windows[number].views()

    def draw(self, samplers: "Sequence[Sampler]", step: int, size: int) -> "Batch":
        """The batch of a training step, of one game's positions. samplers: one a game."""
        number = self._board_mix.of_step(step, [window.num_positions for window in self._windows])
        return samplers[number].draw(self.views(number), step, size)
