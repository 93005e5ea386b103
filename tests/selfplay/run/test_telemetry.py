"""What a run tells, read back as TensorBoard reads it."""

import errno
import json
import math

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from keima import games
from keima.agent.system.storage import StorageFull
from keima.games.contract import DRAW, ONGOING, SECOND_WINS
from keima.selfplay.replay.segment import FAST_SEARCH, HAS_POLICY_TARGET, RANDOM_OPENING, Segment
from keima.selfplay.run.telemetry import PROGRESS_FILE, Rates, Telemetry, calibration, game_as_text


def events(folder):
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def curve(folder, name):
    """The points TensorBoard draws: [(step, value), ...]."""
    return [(event.step, event.value) for event in events(folder).Scalars(name)]


def texts(folder, name):
    found = events(folder).Tensors(f"{name}/text_summary")
    return [tensor_util.make_ndarray(event.tensor_proto)[0].decode() for event in found]


# --- events


def test_scalars_are_read_back(tmp_path):
    report = Telemetry(tmp_path, step=0)
    for step in (1, 2, 7):
        report.scalars({"loss/policy": 0.5 / step, "strength/raw": np.float32(0.25)}, step)
    report.close()
    np.testing.assert_allclose(curve(tmp_path, "loss/policy"), [(1, 0.5), (2, 0.25), (7, 0.5 / 7)], rtol=1e-6)
    assert curve(tmp_path, "strength/raw") == [(1, 0.25), (2, 0.25), (7, 0.25)]
    assert events(tmp_path).Tags()["scalars"] == ["loss/policy", "strength/raw"]


def test_figures_that_are_not_finite_are_left_out(tmp_path):
    report = Telemetry(tmp_path, step=0)
    report.scalars({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0}, 3)
    report.close()
    assert events(tmp_path).Tags()["scalars"] == ["d"]


def test_a_text_is_kept_as_it_is_laid_out(tmp_path):
    report = Telemetry(tmp_path, step=0)
    report.text("sample game", "1. X a1\n\n  . X *O*", 4)
    report.close()
    assert texts(tmp_path, "sample game") == ["    1. X a1\n    \n      . X *O*"]  # markdown: a block of code


def test_a_resumed_run_goes_on_where_its_saved_state_was(tmp_path):
    report = Telemetry(tmp_path, step=0)
    for step in range(1, 11):
        report.scalars({"loss": float(step)}, step)
    report.close()
    # Killed; the state saved last was that of step 6: steps 7 to 10 are made again.
    report = Telemetry(tmp_path, step=6)
    for step in range(7, 9):
        report.scalars({"loss": 100.0 + step}, step)
    report.close()
    assert curve(tmp_path, "loss") == [(s, float(s)) for s in range(1, 7)] + [(7, 107.0), (8, 108.0)]


def test_a_run_killed_before_it_saved_a_step_begins_anew(tmp_path):
    report = Telemetry(tmp_path, step=0)
    report.scalars({"loss": 9.0}, 0)
    report.scalars({"loss": 8.0}, 5)
    report.close()
    report = Telemetry(tmp_path, step=0)
    report.scalars({"loss": 7.0}, 3)
    report.close()
    assert curve(tmp_path, "loss") == [(0, 9.0), (3, 7.0)]


def test_what_is_told_is_on_disk_when_the_call_returns(tmp_path):
    """A killed run never closes its report."""
    report = Telemetry(tmp_path, step=0)
    for step in range(1, 4):
        report.scalars({"loss": float(step)}, step)
        assert curve(tmp_path, "loss")[-1] == (step, float(step))
    report.text("game", "1. a1", 3)
    assert texts(tmp_path, "game") == ["    1. a1"]
    again = Telemetry(tmp_path, step=3)  # while the killed one's file is as it was left
    again.scalars({"loss": 4.0}, 4)
    assert curve(tmp_path, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    report.close()
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [PROGRESS_FILE, "tensorboard"]


class FullDisk:
    """A file on a disk with room for so many more bytes."""

    def __init__(self, file, room):
        self.file, self.room, self.name = file, room, file.name

    def write(self, data):
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.file.write(data[: self.room])
        self.room -= written
        return written

    def close(self):
        self.file.close()


@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_full_disk_is_one_line_and_costs_only_what_was_being_told(tmp_path, room):
    report = Telemetry(tmp_path, step=0)
    report.scalars({"loss": 1.0}, 1)
    report.progress({"step": 1})
    report._events, report._progress = FullDisk(report._events, room), FullDisk(report._progress, min(room, 5))
    with pytest.raises(StorageFull, match="disk full"):
        report.scalars({"loss": 2.0}, 2)
    with pytest.raises(StorageFull, match="disk full"):
        report.progress({"step": 2})
    report.close()
    report = Telemetry(tmp_path, step=1)
    report.scalars({"loss": 3.0}, 2)
    report.progress({"step": 3})
    report.close()
    assert curve(tmp_path, "loss") == [(1, 1.0), (2, 3.0)]
    lines = (tmp_path / PROGRESS_FILE).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 3]


# --- the progress file


def test_progress_is_a_line_a_time_and_goes_on(tmp_path):
    for start in (0, 2):
        report = Telemetry(tmp_path, step=start)
        for step in (start + 1, start + 2):
            report.progress({"step": step, "loss": None, "name": "Grüße"})
            # At once: what is told of a saved state must not wait in a buffer for a kill.
            last = (tmp_path / PROGRESS_FILE).read_text(encoding="utf-8").splitlines()[-1]
            assert json.loads(last) == {"step": step, "loss": None, "name": "Grüße"}
        report.close()
    lines = (tmp_path / PROGRESS_FILE).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


# --- calibration


def wdl(*values):
    """Win, draw and loss probabilities of these values, without draws."""
    return np.array([[(1 + v) / 2, 0, (1 - v) / 2] for v in values])


def test_calibration_by_hand():
    predicted = wdl(-0.95, -0.85, 0.1, 0.15, 0.95, 0.9)
    outcomes = np.eye(3)[[2, 0, 0, 1, 0, 0]]  # loss, win, win, draw, win, win: values -1, 1, 1, 0, 1, 1
    error, means = calibration(predicted, outcomes)
    # Bins of 0.2 from -1 on: {-0.95, -0.85} mean -0.9 against 0; {0.1, 0.15} 0.125 against 0.5; {0.95, 0.9} 0.925, 1.
    assert error == pytest.approx((2 * 0.9 + 2 * 0.375 + 2 * 0.075) / 6)
    assert [means[0], means[5], means[9]] == [0, 0.5, 1]
    assert all(math.isnan(means[b]) for b in (1, 2, 3, 4, 6, 7, 8))


def test_calibration_of_one_who_is_right_is_nought():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet([1, 1, 1], 20_000)
    assert calibration(probabilities, probabilities)[0] == pytest.approx(0, abs=1e-12)
    outcomes = np.array([random.multinomial(1, p) for p in probabilities])
    error, means = calibration(probabilities, outcomes)
    assert error < 0.03
    np.testing.assert_allclose(means, np.arange(-0.9, 1, 0.2), atol=0.15)
    sure = np.where(outcomes[:, ::-1] == 1, 0.98, 0.01)  # as wrong as can be
    assert calibration(sure, outcomes)[0] > 0.8


def test_calibration_at_the_ends_and_of_nothing():
    error, means = calibration(wdl(-1.0, 1.0), wdl(-1.0, 1.0), num_bins=2)
    assert (error, means) == (0, [-1, 1])
    over = np.array([[1.0000002, 0, 0], [0, 0, 1.0000002]], np.float32)  # as a softmax may round
    assert calibration(over, over)[1][9] == pytest.approx(1)
    error, means = calibration(np.zeros((0, 3)), np.zeros((0, 3)))
    assert error == 0
    assert all(math.isnan(mean) for mean in means)


# --- a game in text


def test_a_game_as_text():
    game = games.load("tictactoe")
    first, second = [0, 3, 1, 4, 8, 5], [0, 4, 8, 1, 7, 6, 2, 5, 3]
    lengths = [len(first), len(second)]
    segment = Segment(
        game_lengths=np.array(lengths, np.int32),
        outcomes=np.array([SECOND_WINS, DRAW], np.int8),
        actions=np.array(first + second, np.int32),
        legal_counts=np.array([9 - k for n in lengths for k in range(n)], np.int32),
        policies=np.zeros(sum(9 - k for n in lengths for k in range(n)), np.float16),
        root_values=np.array([np.nan, 0.25, -1, 1, -1, 1] + [0.0] * 9, np.float32),
        surprises=np.zeros(15, np.float16),
        flags=np.array([RANDOM_OPENING, FAST_SEARCH] + [HAS_POLICY_TARGET] * 13, np.uint8),
        proven=np.full(15, ONGOING, np.int8),
        actor=0,
        weights_version=0,
        game="tictactoe",
        rules_version=1,
    )
    segment.check()
    lines = game_as_text(game, segment, 0).splitlines()
    assert lines == [
        "  1. X a3     random opening",
        "  2. O a2     value +0.25 (fast)",
        "  3. X b3     value -1.00",
        "  4. O b2     value +1.00",
        "  5. X c1     value -1.00",
        "  6. O c2     value +1.00",
        "",
        "  a b c",
        "3 X X .",
        "2 O O O",
        "1 . . X",
        "",
        "O wins",
    ]
    drawn = game_as_text(game, segment, 1).splitlines()
    assert drawn[0] == "  1. X a3     value +0.00"
    assert drawn[-1] == "draw"
    assert len(drawn) == 9 + 4 + 3


def test_rates_are_those_of_the_last_seconds_and_of_this_start():
    time_s = 100.0
    rates = Rates(positions=1000, clock=lambda: time_s)
    assert math.isnan(rates.positions_per_s)
    time_s += 1
    rates.update(500, 900, 100, 1100, 0.5)
    assert math.isnan(rates.positions_per_s)  # too short a time to tell
    time_s += 9
    rates.update(5000, 9000, 15_000, 1200, 2.5)
    assert (rates.evaluations_per_s, rates.positions_per_s, rates.actors_waiting) == (500, 20, 0.25)
    assert (rates.simulations_per_s, rates.cache_hit_share) == (900, 0.75)
    time_s += 10
    rates.update(5000, 9000, 15_000, 1200, 22.5)
    assert (rates.evaluations_per_s, rates.positions_per_s, rates.actors_waiting) == (0, 0, 1)
    assert rates.cache_hit_share == 0
