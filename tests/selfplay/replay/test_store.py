import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keima.agent.system.storage import StorageFull
from keima.games.contract import GameError
from keima.selfplay.config.schema import window_size
from keima.selfplay.replay.segment import ARRAYS, FAST_SEARCH, HAS_POLICY_TARGET, DamagedSegment, Segment
from keima.selfplay.replay.store import ReplayStore
from keima.selfplay.replay.window import WHOLE_WEIGHT, ReplayWindow, sample_weights


def random_segment(random, games=5, game="connect4", longest=20):
    """Games of random content: what a store or a window must keep, not what the rules allow."""
    lengths = random.integers(1, longest + 1, games, dtype=np.int32)
    plies = int(lengths.sum())
    counts = random.integers(1, 8, plies, dtype=np.int32)
    return Segment(
        game_lengths=lengths,
        outcomes=random.integers(0, 3, games, dtype=np.int8),
        actions=random.integers(0, 7, plies, dtype=np.int32),
        legal_counts=counts,
        policies=random.random(int(counts.sum())).astype(np.float16),
        root_values=random.random(plies, dtype=np.float32),
        surprises=random.exponential(size=plies).astype(np.float16),
        flags=random.integers(0, 4, plies, dtype=np.uint8),
        proven=random.integers(-1, 3, plies, dtype=np.int8),
        actor=int(random.integers(4)),
        weights_version=int(random.integers(100)),
        game=game,
        rules_version=1,
    )


def assert_same(one, other):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.actor, one.weights_version) == (other.actor, other.weights_version)


def open_store(folder, max_disk_bytes=10**9, window=lambda total: 10**9, game="connect4"):
    return ReplayStore(folder, game, 1, max_disk_bytes=max_disk_bytes, window=window)


def file_names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def random():
    return np.random.default_rng(5)


# --- window_size


def test_window_is_everything_up_to_c():
    assert window_size(0, 1000, 0.75, 0.4) == 1000
    assert window_size(1000, 1000, 0.75, 0.4) == 1000


def test_window_grows_as_published():
    # The paper's constants, at 4 c: c * (1 + 0.4 * (4^0.75 - 1) / 0.75) = 1.97516 c.
    assert window_size(1_000_000, 250_000, 0.75, 0.4) == 493_790
    assert window_size(4000, 1000, 1.0, 0.5) == 2500


@pytest.mark.parametrize(("alpha", "beta"), [(0.75, 0.4), (1.0, 1.0), (0.1, 0.9), (0.5, 0.0)])
def test_window_never_shrinks_and_its_oldest_position_never_moves_back(alpha, beta):
    totals = range(0, 200_000, 701)
    sizes = np.array([window_size(total, 5000, alpha, beta) for total in totals])
    oldest = np.maximum(0, np.array(totals) - sizes)
    assert (np.diff(sizes) >= 0).all()
    assert (np.diff(oldest) >= 0).all()


# --- the store


def test_append_and_read(tmp_path, random):
    store = open_store(tmp_path / "replay")
    segments = [random_segment(random) for _ in range(3)]
    assert [store.append(segment) for segment in segments] == [0, 1, 2]
    assert file_names(store.folder)[2] == "segment-00000002.safetensors"
    assert_same(store.read(1), segments[1])
    for read, written in zip(store.read_all(), segments, strict=True):
        assert_same(read, written)
    assert store.total_games == 15
    assert store.total_positions == store.num_positions == sum(segment.num_positions for segment in segments)
    assert store.disk_bytes == sum(path.stat().st_size for path in store.folder.iterdir())


def test_reopened_as_it_was(tmp_path, random):
    store = open_store(tmp_path)
    segments = [random_segment(random) for _ in range(3)]
    for segment in segments:
        store.append(segment)
    again = open_store(tmp_path)
    for name in ("indices", "total_games", "total_positions", "num_positions", "disk_bytes", "messages"):
        assert getattr(again, name) == getattr(store, name)
    assert again.append(random_segment(random)) == 3


def test_old_segments_go_once_outside_the_window(tmp_path, random):
    store = open_store(tmp_path, window=lambda total: total // 2)
    positions = []
    for _ in range(30):
        segment = random_segment(random)
        positions.append(segment.num_positions)
        store.append(segment)
        kept = positions[len(positions) - len(store.indices) :]
        needed = sum(positions) // 2
        assert sum(kept) == store.num_positions >= needed
        assert sum(kept[1:]) < needed
    assert len(store.indices) < 20
    assert store.indices == list(range(store.indices[0], 30))
    again = open_store(tmp_path)
    assert (again.total_games, again.total_positions) == (150, sum(positions))
    assert again.append(random_segment(random)) == 30


def test_disk_bound_holds_and_the_newest_stays(tmp_path, random):
    store = open_store(tmp_path, max_disk_bytes=8000)
    for _ in range(20):
        store.append(random_segment(random))
        assert store.disk_bytes <= 8000
    assert len(store.indices) > 1
    store = open_store(tmp_path, max_disk_bytes=1)
    assert store.append(random_segment(random)) == 20
    assert store.indices == [20]


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_damaged_content_is_set_aside_on_reading(tmp_path, random):
    store = open_store(tmp_path)
    for _ in range(3):
        store.append(random_segment(random))
    flip_last_byte(tmp_path / "segment-00000001.safetensors")
    store = open_store(tmp_path)
    total = store.total_positions
    assert len(list(store.read_all())) == 2
    assert store.indices == [0, 2]
    assert "segment-00000001.safetensors.damaged" in file_names(tmp_path)
    assert len(store.messages) == 1
    assert "segment-00000001.safetensors is damaged (its checksum does not fit its content)" in store.messages[0]
    assert store.total_positions == total
    assert open_store(tmp_path).messages == []


def test_damaged_newest_is_set_aside_on_opening_and_its_index_not_used_again(tmp_path, random):
    store = open_store(tmp_path)
    segments = [random_segment(random) for _ in range(3)]
    for segment in segments:
        store.append(segment)
    flip_last_byte(tmp_path / "segment-00000002.safetensors")
    store = open_store(tmp_path)
    assert len(store.messages) == 1
    assert store.indices == [0, 1]
    assert store.total_positions == sum(segment.num_positions for segment in segments[:2])
    assert store.append(random_segment(random)) == 3


@pytest.mark.parametrize("length", [0, 5, 100, 1500])
def test_truncated_is_set_aside_on_opening(tmp_path, random, length):
    store = open_store(tmp_path)
    for _ in range(3):
        store.append(random_segment(random))
    path = tmp_path / "segment-00000000.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    store = open_store(tmp_path)
    assert store.indices == [1, 2]
    assert len(store.messages) == 1
    assert "\n" not in store.messages[0]


def test_a_segment_under_another_number_is_set_aside(tmp_path, random):
    store = open_store(tmp_path)
    store.append(random_segment(random))
    (tmp_path / "segment-00000004.safetensors").write_bytes((tmp_path / "segment-00000000.safetensors").read_bytes())
    store = open_store(tmp_path)
    assert store.indices == [0]
    assert "written as segment 0" in store.messages[0]


def test_vanished_segment_is_reported(tmp_path, random):
    store = open_store(tmp_path)
    store.append(random_segment(random))
    (tmp_path / "segment-00000000.safetensors").unlink()
    with pytest.raises(DamagedSegment):
        store.read(0)
    assert "is gone" in store.messages[0]


def test_everything_gone_totals_restored_from_a_checkpoint(tmp_path, random):
    store = open_store(tmp_path)
    store.append(random_segment(random))
    store.raise_totals(100, 2000, next_index=9)
    assert store.append(random_segment(random)) == 9  # what was folded is not taken for new
    assert store.total_games == 105
    assert open_store(tmp_path).total_games == 105
    store.raise_totals(1, 1)
    assert store.total_games == 105


def test_leftovers_of_a_kill_are_removed_and_other_files_left_alone(tmp_path, random):
    open_store(tmp_path).append(random_segment(random))
    (tmp_path / ".segment-00000001.safetensors.77.writing").write_bytes(b"half")
    (tmp_path / "segment-notes.txt").write_text("mine")
    store = open_store(tmp_path)
    assert file_names(tmp_path) == ["segment-00000000.safetensors", "segment-notes.txt"]
    assert store.messages == []
    assert store.indices == [0]


def test_another_games_folder_is_refused(tmp_path, random):
    open_store(tmp_path).append(random_segment(random))
    with pytest.raises(GameError, match=r"expected games of othello .* got connect4"):
        open_store(tmp_path, game="othello")
    assert file_names(tmp_path) == ["segment-00000000.safetensors"]
    with pytest.raises(GameError, match="the segment: expected games of connect4"):
        open_store(tmp_path).append(random_segment(random, game="hex"))


def test_an_earlier_versions_folder_is_refused_and_left_alone(tmp_path, random):
    store = open_store(tmp_path)
    for _ in range(3):
        store.append(random_segment(random))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"keima-replay-2", b"keima-replay-1"))
    before = file_names(tmp_path)
    with pytest.raises(GameError, match=r"segment-00000000.safetensors: games in the format keima-replay-1 .*new run"):
        open_store(tmp_path)
    assert file_names(tmp_path) == before


def test_full_disk_leaves_the_store_as_it_was(tmp_path, random, monkeypatch):
    store = open_store(tmp_path)
    store.append(random_segment(random))
    before = (store.indices, store.total_games, store.total_positions, file_names(tmp_path))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for call in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(StorageFull, match=r"disk full: .*segment-00000001.*free some space"):
                store.append(random_segment(random))
        assert (store.indices, store.total_games, store.total_positions, file_names(tmp_path)) == before
    assert store.append(random_segment(random)) == 1
    assert len(list(open_store(tmp_path).read_all())) == 2


WRITER = """
import pathlib, runpy, sys
import numpy as np
helpers = runpy.run_path(sys.argv[2])
store = helpers["open_store"](pathlib.Path(sys.argv[1]), window=lambda total: 300)
random = np.random.default_rng(store.total_games)
while True:
    store.append(helpers["random_segment"](random))
    print(store.total_games, store.total_positions, flush=True)
"""


def test_kills_lose_nothing_that_was_appended(tmp_path):
    seen_games = 0
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), __file__], stdout=subprocess.PIPE, text=True
        )
        first = process.stdout.readline()
        time.sleep(0.02 + 0.017 * attempt)
        process.send_signal(signal.SIGKILL)
        told_games, told_positions = map(int, (first + process.stdout.read()).splitlines()[-1].split())
        process.wait()
        process.stdout.close()
        assert told_games > seen_games
        store = open_store(tmp_path, window=lambda total: 300)
        # One more may have been written than was told of.
        assert store.total_games in (told_games, told_games + 5)
        assert store.total_positions >= told_positions
        assert store.num_positions >= min(300, store.total_positions)
        assert len(list(store.read_all())) == len(store.indices)
        assert store.messages == []
        seen_games = store.total_games


# --- the window


def games_of(segment):
    """The segment's games one by one: (outcome, plies), a ply being all that is known of it."""
    games, ply, legal = [], 0, 0
    for length, outcome in zip(segment.game_lengths, segment.outcomes, strict=True):
        plies = []
        for _ in range(length):
            count = segment.legal_counts[ply]
            plies.append(
                (
                    segment.actions[ply],
                    segment.root_values[ply],
                    segment.surprises[ply],
                    segment.flags[ply],
                    segment.proven[ply],
                    segment.policies[legal : legal + count].tolist(),
                )
            )
            ply, legal = ply + 1, legal + count
        games.append((outcome, plies))
    return games


def games_in(arrays):
    games = []
    for game in range(arrays.first_game, len(arrays.game_starts)):
        start = arrays.game_starts[game]
        plies = []
        for ply in range(start, start + arrays.game_lengths[game]):
            assert arrays.game_of_ply[ply] == game
            legal = arrays.legal_starts[ply]
            plies.append(
                (
                    arrays.actions[ply],
                    arrays.root_values[ply],
                    arrays.surprises[ply],
                    arrays.flags[ply],
                    arrays.proven[ply],
                    arrays.policies[legal : legal + arrays.legal_counts[ply]].tolist(),
                )
            )
        games.append((arrays.outcomes[game], plies))
    return games


def count_positions(games):
    return sum(bool(flags & HAS_POLICY_TARGET) for _, plies in games for _, _, _, flags, _, _ in plies)


def naive_weights(games, surprise_fraction):
    """The games' training positions' weights, the mean one 1."""
    weights = []
    for _, plies in games:
        surprises = [float(surprise) for _, _, surprise, flags, _, _ in plies if flags & HAS_POLICY_TARGET]
        for surprise in surprises:
            part = surprise / sum(surprises) if sum(surprises) > 0 else 1 / len(surprises)
            weights.append(len(surprises) * ((1 - surprise_fraction) / len(surprises) + surprise_fraction * part))
    return weights


def assert_shows(arrays, games, surprise_fraction=0.0):
    assert games_in(arrays) == games
    assert arrays.num_games == len(games)
    first_ply = arrays.game_starts[arrays.first_game] if games else len(arrays.actions)
    expected = [ply for ply in range(first_ply, len(arrays.actions)) if arrays.flags[ply] & HAS_POLICY_TARGET]
    assert arrays.training_plies.tolist() == expected
    weights = np.diff([*arrays.weight_starts, arrays.weight_end]) if expected else []
    np.testing.assert_allclose(weights, WHOLE_WEIGHT * np.array(naive_weights(games, surprise_fraction)), atol=0.51)
    assert all(array.flags.c_contiguous for array in arrays if isinstance(array, np.ndarray))


@pytest.mark.parametrize("surprise_fraction", [0.0, 0.5, 1.0])
def test_window_agrees_with_a_list_of_games(random, surprise_fraction):
    window, games, snapshots = ReplayWindow(surprise_fraction), [], []
    for step in range(120):
        segment = random_segment(random, games=int(random.integers(1, 9)))
        window.append(segment)
        games += games_of(segment)
        if random.random() < 0.6:
            target = int(random.integers(0, 200))
            before = len(games)
            while games and count_positions(games[1:]) >= target:
                games.pop(0)
            assert window.drop_oldest_to(target) == before - len(games)
        assert window.num_games == len(games)
        assert window.num_positions == count_positions(games)
        if step % 8 == 0:
            assert_shows(window.views(), games, surprise_fraction)
            snapshots.append((window.views(), list(games)))
    for views, then in snapshots:  # and what was shown earlier still shows the same
        assert_shows(views, then, surprise_fraction)


def test_weights_by_hand():
    """A game of three training positions, one without surprise, and a fast ply; one that surprised nobody; a third."""
    segment = Segment(
        game_lengths=np.array([4, 2, 1], np.int32),
        outcomes=np.zeros(3, np.int8),
        actions=np.zeros(7, np.int32),
        legal_counts=np.ones(7, np.int32),
        policies=np.ones(7, np.float16),
        root_values=np.zeros(7, np.float32),
        surprises=np.array([0.5, 0, 0, 1.5, 0, 0, 9], np.float16),
        flags=np.array([1, FAST_SEARCH, 1, 1, 1, 1, 1], np.uint8),
        proven=np.full(7, -1, np.int8),
        actor=0,
        weights_version=0,
        game="connect4",
        rules_version=1,
    )
    segment.check()
    assert (sample_weights(segment, 0.0) == WHOLE_WEIGHT).all()
    assert (sample_weights(segment, 0.5) / WHOLE_WEIGHT).tolist() == [0.875, 0.5, 1.625, 1, 1, 1]
    assert (sample_weights(segment, 1.0) / WHOLE_WEIGHT).tolist() == [0.75, 0, 2.25, 1, 1, 1]


def test_empty_window():
    window = ReplayWindow()
    assert_shows(window.views(), [])
    assert window.drop_oldest_to(0) == 0


def test_drop_to_nothing_and_go_on(random):
    window = ReplayWindow()
    window.append(random_segment(random))
    assert window.drop_oldest_to(0) == 5
    assert_shows(window.views(), [])
    segment = random_segment(random)
    window.append(segment)
    assert_shows(window.views(), games_of(segment))


def test_a_game_without_training_positions_counts_for_nothing(random):
    window = ReplayWindow()
    segment = random_segment(random, games=1)
    segment.flags[:] = 0
    window.append(segment)
    newest = random_segment(random, games=1)
    newest.flags[:] = HAS_POLICY_TARGET
    window.append(newest)
    assert window.drop_oldest_to(newest.num_positions) == 0  # nothing to drop: no more positions than that
    assert window.drop_oldest_to(newest.num_positions - 1) == 1
    assert_shows(window.views(), games_of(newest))


def test_memory_stays_in_proportion_to_the_window(random):
    window = ReplayWindow()
    segment = random_segment(random, games=200)
    for _ in range(100):
        window.append(segment)
        window.drop_oldest_to(3 * segment.num_positions)
    views = window.views()
    for array, added in ((views.outcomes, 200), (views.actions, segment.num_plies)):
        assert len(array.base) <= 2 * 4 * added  # three segments live and one to come, twice
    assert len(views.policies.base) <= 2 * 4 * len(segment.policies)
