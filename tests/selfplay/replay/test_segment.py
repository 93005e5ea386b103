import dataclasses

import numpy as np
import pytest

from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS
from keima.selfplay.replay.segment import (
    ARRAYS,
    HAS_POLICY_TARGET,
    NO_START,
    RANDOM_OPENING,
    DamagedSegment,
    OutdatedSegment,
    Segment,
    segment_from_bytes,
    segment_to_bytes,
)


def small_segment(**changes):
    """Two games, of 2 plies and of 1."""
    segment = Segment(
        game_lengths=np.array([2, 1], np.int32),
        outcomes=np.array([SECOND_WINS, FIRST_WINS], np.int8),
        actions=np.array([3, 1, 0], np.int32),
        legal_counts=np.array([2, 3, 1], np.int32),
        policies=np.array([0, 0, 0.5, 0.25, 0.25, 1], np.float16),
        root_values=np.array([np.nan, -0.5, 1], np.float32),
        surprises=np.array([0, 0.25, 1.5], np.float16),
        flags=np.array([RANDOM_OPENING, HAS_POLICY_TARGET, HAS_POLICY_TARGET], np.uint8),
        proven=np.array([ONGOING, DRAW, FIRST_WINS], np.int8),
        actor=1,
        weights_version=7,
        game="connect4",
        rules_version=1,
    )
    return dataclasses.replace(segment, **changes)


def test_counts():
    segment = small_segment()
    segment.check()
    assert (segment.num_games, segment.num_plies, segment.num_positions) == (2, 3, 2)


def test_round_trip():
    segment = small_segment(progress=0.28125)
    read, info = segment_from_bytes(segment_to_bytes(segment, 12, 100, 900))
    for name, dtype in ARRAYS.items():
        np.testing.assert_array_equal(getattr(read, name), getattr(segment, name))
        assert getattr(read, name).dtype == dtype
    assert (read.actor, read.weights_version, read.game, read.rules_version) == (1, 7, "connect4", 1)
    assert read.progress == info.progress == 0.28125
    assert (info.index, info.games, info.positions) == (12, 2, 2)
    assert (info.total_games, info.total_positions) == (100, 900)


def test_round_trip_of_games_that_began_elsewhere():
    starts, rows = np.array([NO_START, 0], np.int32), np.array([[1, 1, 8, 0]])
    segment = small_segment(starts=starts, start_rows=rows)
    segment.check()
    assert segment.start_of(0) is None
    assert np.array_equal(segment.start_of(1), rows[0])
    data = segment_to_bytes(segment, 12, 100, 900)
    read, _ = segment_from_bytes(data)
    assert np.array_equal(read.starts, starts)
    assert np.array_equal(read.start_rows, rows)
    assert segment_from_bytes(segment_to_bytes(small_segment(), 12, 100, 900))[0].starts is None
    # Who does not know of them must not replay them from the first position.
    assert b"keima-replay-3" in data
    assert b"keima-replay-2" not in data
    for cut in range(0, len(data), 7):
        with pytest.raises(DamagedSegment):
            segment_from_bytes(data[:cut])
    flipped = bytearray(data)
    flipped[-3] ^= 1
    with pytest.raises(DamagedSegment):
        segment_from_bytes(bytes(flipped))
    with pytest.raises(ValueError, match="expected rows below 1"):
        small_segment(starts=np.array([1, 0], np.int32), start_rows=rows).check()


def test_same_games_same_bytes():
    assert segment_to_bytes(small_segment(), 1, 2, 2) == segment_to_bytes(small_segment(), 1, 2, 2)


def test_every_flipped_byte_and_every_truncation_is_noticed():
    data = segment_to_bytes(small_segment(), 12, 100, 900)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x04
        with pytest.raises(DamagedSegment):
            segment_from_bytes(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(DamagedSegment):
            segment_from_bytes(data[:length])
    with pytest.raises(DamagedSegment, match="bytes"):
        segment_from_bytes(data + b"\0")


def test_totals_are_under_the_checksum():
    data = segment_to_bytes(small_segment(), 12, 100, 900)
    changed = data.replace(b'total_positions\\": 900', b'total_positions\\": 901')
    assert changed != data
    with pytest.raises(DamagedSegment, match="checksum"):
        segment_from_bytes(changed)


def test_a_file_of_an_earlier_version_is_outdated_not_damaged():
    data = segment_to_bytes(small_segment(), 12, 100, 900).replace(b"keima-replay-2", b"keima-replay-1")
    with pytest.raises(OutdatedSegment, match=r"format keima-replay-1 of an earlier version.*: start a new run"):
        segment_from_bytes(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": np.zeros(3, np.int64)}, r"actions: expected int32\[n\], got int64"),
        ({"actions": np.zeros((3, 1), np.int32)}, r"actions: expected"),
        ({"actions": np.zeros(4, np.int32)}, "actions: expected 3 values, got 4"),
        ({"outcomes": np.zeros(3, np.int8)}, "outcomes: expected 2 values, got 3"),
        ({"policies": np.zeros(5, np.float16)}, "policies: expected 6 values, got 5"),
        ({"surprises": np.zeros(2, np.float16)}, "surprises: expected 3 values, got 2"),
        ({"surprises": np.array([0, 1, -1], np.float16)}, "surprises: expected finite values of at least 0"),
        ({"surprises": np.array([0, 1, np.inf], np.float16)}, "surprises: expected finite"),
        ({"surprises": np.array([0, 1, np.nan], np.float16)}, "surprises: expected finite"),
        ({"game_lengths": np.array([3, 0], np.int32)}, "at least one ply"),
    ],
)
def test_check_refuses_what_does_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        small_segment(**changes).check()
