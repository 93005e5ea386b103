"""The replay window: the newest games of a run in memory, in flat arrays that training samples are drawn from."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keima.selfplay.replay.segment import ARRAYS, HAS_POLICY_TARGET, NO_START, Segment

WHOLE_WEIGHT = 1 << 16
"""The mean weight of a position. Weights are integers: their sums are exact, wherever in a run a window begins."""


def sample_weights(segment: Segment, surprise_fraction: float) -> NDArray[np.int64]:
    """How often each training position of a segment is to be drawn, relative to WHOLE_WEIGHT; int64 [T].

    A game's weight is WHOLE_WEIGHT times its number of training positions. `surprise_fraction` of it is spread in
    proportion to the positions' surprises and the rest evenly (policy surprise weighting, KataGo's methods).
    """
    training = segment.flags & HAS_POLICY_TARGET != 0
    game = np.repeat(np.arange(segment.num_games), segment.game_lengths)[training]
    surprises = segment.surprises[training].astype(np.float64)
    counts = np.bincount(game, minlength=segment.num_games)
    sums = np.bincount(game, surprises, minlength=segment.num_games)
    relative = np.ones(len(game))  # as it stays in a game that surprised nobody
    np.divide(surprises * counts[game], sums[game], out=relative, where=sums[game] > 0)
    return np.rint(WHOLE_WEIGHT * (1 - surprise_fraction + surprise_fraction * relative)).astype(np.int64)


class WindowArrays(NamedTuple):
    """The window as flat arrays, for compiled code: start from `training_plies`, and from `first_game` for games.

    Entries before `first_game`, and before its first ply, have left the window and wait to be overwritten. This is a
    snapshot: later appends and drops do not change what it shows. Dimensions: G games, P plies, L legal actions, T
    training positions.
    """

    game_starts: NDArray[np.int64]  # [G] index of the game's first ply
    game_lengths: NDArray[np.int32]  # [G] plies
    outcomes: NDArray[np.int8]  # [G]
    starts: NDArray[np.int64]  # [G] the row of start_rows that the game began with, or NO_START: its own first position
    actions: NDArray[np.int32]  # [P]
    game_of_ply: NDArray[np.int64]  # [P] index of the ply's game
    legal_starts: NDArray[np.int64]  # [P] index of the ply's first entry in `policies`
    legal_counts: NDArray[np.int32]  # [P] and how many there are
    root_values: NDArray[np.float32]  # [P] seen by the side to move; NaN where there was no search
    surprises: NDArray[np.float16]  # [P] KL(policy target || network's policy), in nats
    flags: NDArray[np.uint8]  # [P]
    proven: NDArray[np.int8]  # [P]
    policies: NDArray[np.float16]  # [L]
    training_plies: NDArray[np.int64]  # [T] the plies with a policy target, ascending
    weight_starts: NDArray[np.int64]  # [T] the weights of all training positions before it, added up from somewhere
    weight_end: int  # where the last one's weight ends
    first_game: int
    start_rows: NDArray[np.int64]  # [K, state_size]; K is 0 where all games began with their own first position

    @property
    def num_games(self) -> int:
        return len(self.game_starts) - self.first_game


class _Columns:
    """Equally long arrays that grow at the back and lose their front; the live rows are front .. back - 1."""

    def __init__(self, **dtypes: type[np.generic]) -> None:
        self.arrays: dict[str, NDArray[Any]] = {name: np.empty(0, dtype) for name, dtype in dtypes.items()}
        self.front = 0
        self.back = 0

    def __len__(self) -> int:
        return self.back - self.front

    def has_room(self, count: int) -> bool:
        return all(self.back + count <= len(array) for array in self.arrays.values())

    def move_to_larger(self, count: int) -> int:
        """Moves the live rows to the start of new arrays twice as long as they and `count` more need.

        New even where the old ones would do: snapshots keep showing those. Returns how far the rows moved.
        """
        moved, live = self.front, len(self)
        for name, old in self.arrays.items():
            self.arrays[name] = np.empty(2 * (live + count), old.dtype)
            self.arrays[name][:live] = old[self.front : self.back]
        self.front, self.back = 0, live
        return moved

    def append(self, **values: Any) -> None:
        count = len(next(iter(values.values())))
        for name, array in self.arrays.items():
            array[self.back : self.back + count] = values[name]
        self.back += count

    def up_to_back(self) -> dict[str, NDArray[Any]]:
        return {name: array[: self.back] for name, array in self.arrays.items()}


class ReplayWindow:
    """The newest games in memory: 32 bytes a ply, 16 a training position and 2 a legal action.

    Up to three times that while it grows.
    """

    def __init__(self, surprise_fraction: float = 0.0) -> None:
        """surprise_fraction: the fraction of the positions' weights that follows their surprises; see
        `sample_weights`.
        """
        self._surprise_share = surprise_fraction
        self._games = _Columns(game_starts=np.int64, game_lengths=np.int32, outcomes=np.int8, starts=np.int64)
        kept = {n: ARRAYS[n] for n in ("actions", "legal_counts", "root_values", "surprises", "flags", "proven")}
        self._plies = _Columns(game_of_ply=np.int64, legal_starts=np.int64, **kept)
        self._policies = _Columns(policies=np.float16)
        self._training = _Columns(training_plies=np.int64, weight_starts=np.int64)
        self._weight_end = 0
        # Every position once, however many games began with it: no more than the run's file has.
        self._start_rows = np.empty((0, 0), np.int64)
        self._row_numbers: dict[bytes, int] = {}

    @property
    def num_games(self) -> int:
        return len(self._games)

    @property
    def num_positions(self) -> int:
        """Training positions."""
        return len(self._training)

    def append(self, segment: Segment) -> None:
        """Adds a segment's games as the newest."""
        training = np.flatnonzero(segment.flags & HAS_POLICY_TARGET)
        self._make_room(segment.num_games, segment.num_plies, len(segment.policies), len(training))
        lengths, counts = segment.game_lengths, segment.legal_counts
        first_ply, first_game, first_legal = self._plies.back, self._games.back, self._policies.back
        self._games.append(
            game_starts=first_ply + np.cumsum(lengths, dtype=np.int64) - lengths,
            game_lengths=lengths,
            outcomes=segment.outcomes,
            starts=self._starts_of(segment),
        )
        self._plies.append(
            actions=segment.actions,
            game_of_ply=first_game + np.repeat(np.arange(segment.num_games), lengths),
            legal_starts=first_legal + np.cumsum(counts, dtype=np.int64) - counts,
            legal_counts=counts,
            root_values=segment.root_values,
            surprises=segment.surprises,
            flags=segment.flags,
            proven=segment.proven,
        )
        self._policies.append(policies=segment.policies)
        weights = sample_weights(segment, self._surprise_share)
        ends = self._weight_end + np.cumsum(weights)
        self._training.append(training_plies=first_ply + training, weight_starts=ends - weights)
        self._weight_end += int(weights.sum())

    def drop_oldest_to(self, num_positions: int) -> int:
        """Drops the oldest games while `num_positions` training positions remain; returns how many games went."""
        games, plies, training = self._games, self._plies, self._training
        excess = len(training) - num_positions
        if excess <= 0:
            return 0
        before = games.front
        if num_positions <= 0:
            for columns in (games, plies, self._policies, training):
                columns.front = columns.back
            return games.front - before
        # The game of the oldest position that must stay is the first to stay.
        oldest_ply = training.arrays["training_plies"][training.front + excess]
        games.front = int(plies.arrays["game_of_ply"][oldest_ply])
        plies.front = int(games.arrays["game_starts"][games.front])
        self._policies.front = int(plies.arrays["legal_starts"][plies.front])
        training.front = int(np.searchsorted(training.arrays["training_plies"][: training.back], plies.front))
        return games.front - before

    def views(self) -> WindowArrays:
        """The window as it is now, without a copy."""
        return WindowArrays(
            **self._games.up_to_back(),
            **self._plies.up_to_back(),
            **self._policies.up_to_back(),
            **{name: array[self._training.front :] for name, array in self._training.up_to_back().items()},
            weight_end=self._weight_end,
            first_game=self._games.front,
            start_rows=self._start_rows,
        )

    def _starts_of(self, segment: Segment) -> NDArray[np.int64]:
        """Which of the window's start rows each of a segment's games began with; new ones become the window's."""
        if segment.starts is None or segment.start_rows is None:
            return np.full(segment.num_games, NO_START)
        rows = segment.start_rows
        known = len(self._row_numbers)
        for row in rows:
            self._row_numbers.setdefault(row.tobytes(), len(self._row_numbers))
        if len(self._row_numbers) > known:  # a new array: snapshots keep the old one
            in_order = [np.frombuffer(row, np.int64) for row in self._row_numbers]
            self._start_rows = np.array(in_order)
        numbers = np.array([*(self._row_numbers[row.tobytes()] for row in rows), NO_START])
        return numbers[segment.starts]

    def _make_room(self, games: int, plies: int, policies: int, training: int) -> None:
        needs = ((self._games, games), (self._plies, plies), (self._policies, policies), (self._training, training))
        if all(columns.has_room(count) for columns, count in needs):
            return
        # All together, for they refer to each other by index.
        games_moved, plies_moved, policies_moved, _ = (columns.move_to_larger(count) for columns, count in needs)
        self._plies.arrays["game_of_ply"][: len(self._plies)] -= games_moved
        self._plies.arrays["legal_starts"][: len(self._plies)] -= policies_moved
        self._games.arrays["game_starts"][: len(self._games)] -= plies_moved
        self._training.arrays["training_plies"][: len(self._training)] -= plies_moved
