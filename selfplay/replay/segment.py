"""A segment: a batch of finished games as an actor sends them, and the file that holds it.

Dimensions: G games, P plies of all games together, L legal actions of all plies together.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from keima.games.contract import GameError

HAS_POLICY_TARGET = 1
"""Bit of `flags`: the ply was searched in full and is a training position."""
RANDOM_OPENING = 2
"""Bit of `flags`: the move was drawn to vary the opening, without a search."""
FAST_SEARCH = 4
"""Bit of `flags`: the ply was searched with fewer simulations, only to find a move: it has a value and no target."""

FIRST_GIVEN_UP, SECOND_GIVEN_UP = 8, 16
"""Bits of `flags`: by this ply the search had once held the game for decided, the first player's or second's loss."""
CHECKED = 32
"""Bit of `flags`: that made no difference to how the ply was searched, so as to see whether it was true."""

MAX_SURPRISE = float(np.finfo(np.float16).max)

ARRAYS: dict[str, type[np.generic]] = {
    "game_lengths": np.int32,
    "outcomes": np.int8,
    "actions": np.int32,
    "legal_counts": np.int32,
    "policies": np.float16,
    "root_values": np.float32,
    "surprises": np.float16,
    "flags": np.uint8,
    "proven": np.int8,
}
"""A segment's arrays and their types, in the order they are checksummed."""

START_ARRAYS: dict[str, type[np.generic]] = {"starts": np.int32, "start_rows": np.int64}
"""Those that a segment has, too, where games in it began elsewhere than with the game's own first position."""
NO_START = -1
"""In `starts`: the game began with its own first position."""

_FORMAT = "keima-replay-2"
_FORMAT_WITH_STARTS = "keima-replay-3"
"""Of a segment with START_ARRAYS, which an earlier version would replay from the wrong position."""
_EARLIER_FORMATS = ("keima-replay-1",)  # without surprises
_MAX_HEADER_BYTES = 1 << 20


class DamagedSegment(ValueError):  # noqa: N818 (the file's state; the reader goes on without it)
    """A segment's file is cut short or its content is not what was written."""


class OutdatedSegment(GameError):  # noqa: N818 (as above)
    """A segment's file is sound, but in the format of an earlier version of Keima. The message is for the user."""


@dataclass(frozen=True)
class Segment:
    """Finished games, their arrays concatenated over games. A training position is a ply with HAS_POLICY_TARGET."""

    game_lengths: NDArray[np.int32]  # [G] plies, at least 1
    outcomes: NDArray[np.int8]  # [G] FIRST_WINS, SECOND_WINS or DRAW
    actions: NDArray[np.int32]  # [P] the action played
    legal_counts: NDArray[np.int32]  # [P] legal actions, at least 1
    policies: NDArray[np.float16]  # [L] policy target over the legal actions in the game's order; 0 where there is none
    root_values: NDArray[np.float32]  # [P] the search's value, seen by the side to move; NaN where there was no search
    surprises: NDArray[np.float16]  # [P] KL(policy target || network's policy), in nats; 0 where there is no target
    flags: NDArray[np.uint8]  # [P] HAS_POLICY_TARGET, RANDOM_OPENING, FAST_SEARCH, and what comes of decided games
    proven: NDArray[np.int8]  # [P] the outcome the search proved, else ONGOING
    actor: int
    weights_version: int  # of the network that finished the games
    game: str  # the game's label
    rules_version: int
    progress: float = 0.0  # fraction of the run's minutes that had passed when the segment came in, 0 to 1
    starts: NDArray[np.int32] | None = None  # [G] the row of start_rows each game began with, or NO_START; None: all
    start_rows: NDArray[np.int64] | None = None  # [K, state_size]

    def start_of(self, game: int) -> NDArray[np.int64] | None:
        """The row that a game began with; None for the game's own first position."""
        if self.starts is None or self.start_rows is None or self.starts[game] == NO_START:
            return None
        row: NDArray[np.int64] = self.start_rows[self.starts[game]]
        return row

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that it has, by name, in the order they are checksummed."""
        names = [*ARRAYS, *(START_ARRAYS if self.starts is not None else ())]
        return {name: getattr(self, name) for name in names}

    @property
    def num_games(self) -> int:
        return len(self.game_lengths)

    @property
    def num_plies(self) -> int:
        return len(self.actions)

    @property
    def num_positions(self) -> int:
        """Training positions."""
        return int(np.count_nonzero(self.flags & HAS_POLICY_TARGET))

    def check(self) -> None:
        """Raises ValueError unless types and lengths fit together."""
        for name, dtype in ARRAYS.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != 1:
                expected = np.dtype(dtype).name
                raise ValueError(f"{name}: expected {expected}[n], got {array.dtype}{list(array.shape)}")
        lengths = {"outcomes": self.num_games} | {
            name: int(self.game_lengths.sum())
            for name in ("actions", "legal_counts", "root_values", "surprises", "flags", "proven")
        }
        lengths["policies"] = int(self.legal_counts.sum())
        for name, expected_length in lengths.items():
            if len(getattr(self, name)) != expected_length:
                raise ValueError(f"{name}: expected {expected_length} values, got {len(getattr(self, name))}")
        if self.game_lengths.min(initial=1) < 1 or self.legal_counts.min(initial=1) < 1:
            raise ValueError("expected games of at least one ply and plies of at least one legal action")
        if not (self.surprises >= 0).all() or np.isinf(self.surprises).any():
            raise ValueError("surprises: expected finite values of at least 0")
        if (self.starts is None) != (self.start_rows is None):
            raise ValueError("expected starts and start_rows, or neither")
        if self.starts is not None and self.start_rows is not None:
            fits = self.starts.dtype == np.int32 and self.start_rows.dtype == np.int64 and self.start_rows.ndim == 2
            if not fits or self.starts.shape != (self.num_games,):
                raise ValueError("expected starts as int32[games] and start_rows as int64[rows, state_size]")
            if self.starts.min(initial=0) < NO_START or self.starts.max(initial=-1) >= len(self.start_rows):
                raise ValueError(f"starts: expected rows below {len(self.start_rows)}")


@dataclass(frozen=True)
class SegmentInfo:
    """What a segment's file says of itself, beside the games."""

    index: int
    """Its place in the run: 0 for the first segment ever written."""
    games: int
    positions: int
    total_games: int
    """Games ever written in the run, this segment's included."""
    total_positions: int
    actor: int
    weights_version: int
    game: str
    rules_version: int
    progress: float
    """The fraction of the run's minutes that had passed when the segment came in."""


def segment_to_bytes(segment: Segment, index: int, total_games: int, total_positions: int) -> bytes:
    """The segment as a safetensors file; the totals count this segment. The same games give the same bytes."""
    info = SegmentInfo(
        index=index,
        games=segment.num_games,
        positions=segment.num_positions,
        total_games=total_games,
        total_positions=total_positions,
        actor=segment.actor,
        weights_version=segment.weights_version,
        game=segment.game,
        rules_version=segment.rules_version,
        progress=segment.progress,
    )
    arrays = segment.arrays
    described = dataclasses.asdict(info) | {"checksum": _checksum(info, arrays)}
    # One metadata entry: safetensors writes several in an order that changes from process to process.
    name = _FORMAT if segment.starts is None else _FORMAT_WITH_STARTS
    return save_tensors(arrays, {name: json.dumps(described)})


def segment_from_bytes(data: bytes) -> tuple[Segment, SegmentInfo]:
    """Reads what `segment_to_bytes` wrote, checksum verified. Raises DamagedSegment, or OutdatedSegment."""
    info, checksum = read_header(data, len(data))
    try:
        arrays = load_tensors(data)
        if _checksum(info, arrays) != checksum:
            raise DamagedSegment("its checksum does not fit its content")
        segment = Segment(
            **{name: arrays[name] for name in ARRAYS},
            actor=info.actor,
            weights_version=info.weights_version,
            game=info.game,
            rules_version=info.rules_version,
            progress=info.progress,
            starts=arrays.get("starts"),
            start_rows=arrays.get("start_rows"),
        )
        segment.check()
    except (SafetensorError, KeyError, ValueError) as error:
        raise error if isinstance(error, DamagedSegment) else DamagedSegment(f"unreadable: {error}") from error
    return segment, info


def read_header(start: bytes, file_size: int) -> tuple[SegmentInfo, str]:
    """What a file's first bytes say of it, and its checksum, not verified here.

    Raises DamagedSegment, or OutdatedSegment.
    """
    try:
        header_size = header_bytes(start)
        header = json.loads(start[8 : 8 + header_size])
        metadata = header.pop("__metadata__")
        for earlier in _EARLIER_FORMATS:
            if earlier in metadata:
                raise OutdatedSegment(
                    f"games in the format {earlier} of an earlier version of Keima, expected {_FORMAT}: start a new "
                    "run, or go on with the version that played them"
                )
        described = json.loads(metadata.get(_FORMAT_WITH_STARTS) or metadata[_FORMAT])
        checksum = described.pop("checksum")
        if "time_share" in described:  # as `progress` was called when the format was new
            described["progress"] = described.pop("time_share")
        info = SegmentInfo(**described)
        expected_size = 8 + header_size + max(tensor["data_offsets"][1] for tensor in header.values())
    except OutdatedSegment:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedSegment("its header is unreadable") from error
    if file_size != expected_size:
        raise DamagedSegment(f"expected {expected_size} bytes, found {file_size}")
    return info, checksum


def header_bytes(start: bytes) -> int:
    """The length of the header that follows a file's first 8 bytes. Raises DamagedSegment."""
    size = int.from_bytes(start[:8], "little")
    if len(start) < 8 or size > _MAX_HEADER_BYTES:
        raise DamagedSegment("its header is unreadable")
    return size


def _checksum(info: SegmentInfo, arrays: dict[str, Any]) -> str:
    # With the name that `progress` had first, so that the segments of old runs keep their checksums.
    before, _, after = repr(info).rpartition("progress=")
    digest = hashlib.blake2b(f"{before}time_share={after}".encode(), digest_size=16)
    for name in [*ARRAYS, *(name for name in START_ARRAYS if name in arrays)]:
        # The type and length too, or bytes that move from one array to the next would go unseen.
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
