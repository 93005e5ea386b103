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

from keima.agent.system.storage import remove_unfinished, write_atomically
from keima.games.contract import GameError
from keima.selfplay.replay.segment import (
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


@dataclass(frozen=True)
class _StoredSegment:
    index: int
    size: int
    """bytes"""
    positions: int


class ReplayStore:
    """A run's games on disk. One process may have a folder open at a time.

    After each append the oldest segments are deleted until at most `max_disk_bytes` remain, or until one more would cut
    into the training window. So the folder holds at most `max_disk_bytes` and the segment being written, and fewer
    positions than the window and one segment. (Damaged files are set aside for a person to look at, and not counted.)
    """

    def __init__(
        self,
        folder: Path,
        game: str,
        rules_version: int,
        *,
        max_disk_bytes: int,
        window: Callable[[int], int],
        other_boards: Collection[str] = (),
    ) -> None:
        """Opens a folder, new or of an earlier run, however that run ended.

        game, rules_version: the label and rules version that every segment must have; or one of `also`'s labels.
        window: total positions -> positions that training needs; see `window_size`. Raises GameError where the folder
        holds another game's segments, or an earlier version's. Damage is no error: see `messages`.
        """
        self.folder = folder
        self.game = game
        self.rules_version = rules_version
        self._labels = {game, *other_boards}
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

        Raises StorageFull (see keima.agent.system.storage) on a full disk; the store is then as it was before.
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
