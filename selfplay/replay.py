"""The replay buffer: every game of a run on disk until no training needs it, the newest ones in memory.

`ReplayStore` is a folder of segments (`segment-00000012.safetensors`), each written whole or not at all, with a
checksum that every read verifies. `ReplayWindow` holds the newest games in flat arrays for a compiled sampler.
Both count training positions: plies with a policy target.
"""

import errno
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.storage import remove_unfinished, write_atomically
from games.contract import GameError
from selfplay.segment import (
    ARRAYS,
    HAS_POLICY_TARGET,
    DamagedSegment,
    OutdatedSegment,
    Segment,
    SegmentInfo,
    header_bytes,
    read_header,
    segment_from_bytes,
    segment_to_bytes,
)

_DAMAGED = ".damaged"
_NAME = re.compile(rf"segment-(\d{{8}})\.safetensors({_DAMAGED})?")


def window_size(total_positions: int, c: int, alpha: float, beta: float) -> int:
    """How many of the newest positions to train on once `total_positions` have been played.

    Everything up to `c` positions, then c * (1 + beta * ((total / c)^alpha - 1) / alpha): early, poor games are
    left behind while the window still grows (KataGo, arXiv 1902.10565, appendix C). For 0 < alpha <= 1 and
    0 <= beta <= 1 the window's oldest position never moves back, so what has left it is never needed again.
    """
    grown: float = c * (1 + beta * ((total_positions / c) ** alpha - 1) / alpha)
    return max(c, round(grown))


WHOLE_WEIGHT = 1 << 16
"""The mean weight of a position. Weights are integers: their sums are exact, wherever in a run a window begins."""


def sample_weights(segment: Segment, surprise_share: float) -> NDArray[np.int64]:
    """How often each training position of a segment is to be drawn, against WHOLE_WEIGHT; int64 [T].

    Of each game's weight, which is as many times WHOLE_WEIGHT as it has training positions, `surprise_share` is spread
    in proportion to the positions' surprises and the rest evenly (policy surprise weighting, KataGo's methods).
    """
    training = segment.flags & HAS_POLICY_TARGET != 0
    game = np.repeat(np.arange(segment.num_games), segment.game_lengths)[training]
    surprises = segment.surprises[training].astype(np.float64)
    counts = np.bincount(game, minlength=segment.num_games)
    sums = np.bincount(game, surprises, minlength=segment.num_games)
    relative = np.ones(len(game))  # as it stays in a game that surprised nobody
    np.divide(surprises * counts[game], sums[game], out=relative, where=sums[game] > 0)
    return np.rint(WHOLE_WEIGHT * (1 - surprise_share + surprise_share * relative)).astype(np.int64)


@dataclass(frozen=True)
class _StoredSegment:
    index: int
    size: int
    """bytes"""
    positions: int


class ReplayStore:
    """A run's games on disk. One process may have a folder open at a time.

    After each append the oldest segments go until at most `max_disk_bytes` remain, or until one more would cut into
    the training window: so the folder holds at most `max_disk_bytes` and one segment more while it is written, and
    fewer positions than the window and one segment. (Files set aside as damaged are left for a person to look at.)
    """

    def __init__(
        self,
        folder: Path,
        game: str,
        rules_version: int,
        *,
        max_disk_bytes: int,
        window: Callable[[int], int],
        also: Collection[str] = (),
    ) -> None:
        """Opens a folder, new or of an earlier run, after whatever ended that one.

        game, rules_version: the label and rules version every segment must have; or one of `also`'s labels.
        window: total positions -> positions training needs; see `window_size`.
        Raises GameError where the folder holds another game's segments, or an earlier version's. Damage is no error:
        see `messages`.
        """
        self.folder = folder
        self.game = game
        self.rules_version = rules_version
        self._labels = {game, *also}
        self.messages: list[str] = []
        """What was found damaged since the start, in words for the user."""
        self.total_games = 0
        """Games ever appended, those deleted since included."""
        self.total_positions = 0
        """Training positions ever appended, those deleted since included."""
        self._max_disk_bytes = max_disk_bytes
        self._window = window
        self._segments: list[_StoredSegment] = []
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        names = [match for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))]
        # A damaged segment's index is not used again either.
        self._next_index = max((int(name[1]) for name in names), default=-1) + 1
        self._open_segments([int(name[1]) for name in names if not name[2]])

    @property
    def indices(self) -> list[int]:
        """The segments on disk, oldest first."""
        return [segment.index for segment in self._segments]

    @property
    def disk_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    @property
    def num_positions(self) -> int:
        """Training positions on disk."""
        return sum(segment.positions for segment in self._segments)

    def append(self, segment: Segment) -> int:
        """Writes a segment, returns its index, and deletes the oldest ones beyond the bounds.

        Raises StorageFull (see agent.storage) on a full disk; the store is then as it was before.
        """
        segment.check()
        self._check_game(segment.game, segment.rules_version, "the segment")
        index = self._next_index
        games, positions = segment.num_games, segment.num_positions
        data = segment_to_bytes(segment, index, self.total_games + games, self.total_positions + positions)
        write_atomically(self._path(index), data)
        self._next_index += 1
        self.total_games += games
        self.total_positions += positions
        self._segments.append(_StoredSegment(index, len(data), positions))
        self._delete_old()
        return index

    def read(self, index: int) -> Segment:
        """A segment, its checksum verified. Raises DamagedSegment, after moving the file aside."""
        try:
            return self._read_verified(index)[0]
        except DamagedSegment as error:
            self._set_aside(index, str(error))
            raise

    def read_all(self) -> Iterator[Segment]:
        """The segments on disk, oldest first; damaged ones are moved aside and left out, see `messages`."""
        for index in self.indices:
            try:
                segment = self.read(index)
            except DamagedSegment:
                continue
            yield segment

    def raise_totals(self, games: int, positions: int, next_index: int = 0) -> None:
        """Sets the totals to at least what a checkpoint remembers: its segments may since be damaged or deleted."""
        self.total_games = max(self.total_games, games)
        self.total_positions = max(self.total_positions, positions)
        self._next_index = max(self._next_index, next_index)

    def _path(self, index: int) -> Path:
        return self.folder / f"segment-{index:08d}.safetensors"

    def _open_segments(self, indices: list[int]) -> None:
        for index in indices:
            try:
                info = self._read_info(index)
                self._segments.append(_StoredSegment(index, self._path(index).stat().st_size, info.positions))
            except DamagedSegment as error:
                self._set_aside(index, str(error))
        # The newest segment carries the totals, so it is read in full; the others when they are asked for.
        while self._segments:
            try:
                info = self._read_verified(self._segments[-1].index)[1]
            except DamagedSegment as error:
                self._set_aside(self._segments[-1].index, str(error))
            else:
                self.total_games, self.total_positions = info.total_games, info.total_positions
                break

    def _read_info(self, index: int) -> SegmentInfo:
        path = self._path(index)
        with path.open("rb") as file:
            start = file.read(8)
            start += file.read(header_bytes(start))
        try:
            info, _ = read_header(start, path.stat().st_size)
        except OutdatedSegment as error:
            raise OutdatedSegment(f"{path}: {error}") from None
        if info.game not in self._labels or info.rules_version != self.rules_version:
            self._read_verified(index)  # another game's segment, or ours with a damaged header?
        return info

    def _read_verified(self, index: int) -> tuple[Segment, SegmentInfo]:
        path = self._path(index)
        try:
            data = path.read_bytes()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EIO):
                raise
            raise DamagedSegment(error.strerror or "unreadable") from error
        segment, info = segment_from_bytes(data)
        if info.index != index:
            raise DamagedSegment(f"it was written as segment {info.index}")
        self._check_game(info.game, info.rules_version, str(path))
        return segment, info

    def _check_game(self, game: str, rules_version: int, where: str) -> None:
        if game not in self._labels or rules_version != self.rules_version:
            raise GameError(
                f"{where}: expected games of {self.game} (rules version {self.rules_version}), got {game} "
                f"(rules version {rules_version}); give the run a folder of its own"
            )

    def _set_aside(self, index: int, reason: str) -> None:
        path = self._path(index)
        self._segments = [segment for segment in self._segments if segment.index != index]
        if path.exists():
            path.rename(path.with_name(path.name + _DAMAGED))
            self.messages.append(
                f"replay: {path.name} is damaged ({reason}): its games are left out of training, "
                f"the file is kept as {path.name}{_DAMAGED}"
            )
        else:
            self.messages.append(f"replay: {path.name} is gone: its games are left out of training")

    def _delete_old(self) -> None:
        needed = self._window(self.total_positions)
        # Never the newest: it carries the totals.
        while len(self._segments) > 1:
            oldest = self._segments[0]
            if self.num_positions - oldest.positions < needed and self.disk_bytes <= self._max_disk_bytes:
                break
            self._path(oldest.index).unlink(missing_ok=True)
            self._segments.pop(0)


class WindowArrays(NamedTuple):
    """The window as flat arrays, for compiled code: start from `training_plies`, and from `first_game` for games.

    What lies before `first_game`, and before its first ply, has left the window and waits to be overwritten. A
    snapshot: later appends and drops do not change what it shows. Dimensions: G games, P plies, L legal actions,
    T training positions.
    """

    game_starts: NDArray[np.int64]  # [G] index of the game's first ply
    game_lengths: NDArray[np.int32]  # [G] plies
    outcomes: NDArray[np.int8]  # [G]
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

    def __init__(self, surprise_share: float = 0.0) -> None:
        """surprise_share: how much of the positions' weights follows their surprises; see `sample_weights`."""
        self._surprise_share = surprise_share
        self._games = _Columns(game_starts=np.int64, game_lengths=np.int32, outcomes=np.int8)
        kept = {n: ARRAYS[n] for n in ("actions", "legal_counts", "root_values", "surprises", "flags", "proven")}
        self._plies = _Columns(game_of_ply=np.int64, legal_starts=np.int64, **kept)
        self._policies = _Columns(policies=np.float16)
        self._training = _Columns(training_plies=np.int64, weight_starts=np.int64)
        self._weight_end = 0

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
        )

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
