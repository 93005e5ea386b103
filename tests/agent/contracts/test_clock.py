"""Clocks: what is left, and that a side which keeps to its share never loses on time."""

import random

import pytest

from keima.agent.contracts.clock import FEWEST_MOVES, LATENCY_S, LEAST_S, Clock, TimeControl, gtp_control, moves_to_come
from keima.games import load


def test_gtps_settings():
    assert gtp_control(300, 30, 0) == TimeControl()  # a period for no moves means no limit at all
    assert gtp_control(300, 0, 0) == gtp_control(300, 0, 5) == TimeControl("absolute", 300)
    assert gtp_control(300, 30, 5) == TimeControl("canadian", 300, 30, 5)
    assert Clock(TimeControl()).share_s(10) is None


@pytest.mark.parametrize(
    ("control", "moves", "share_s"),
    [
        (TimeControl("absolute", 100), 20, 5),
        (TimeControl("absolute", 100), 1, 100 / FEWEST_MOVES),
        (TimeControl("absolute", 2), 20, 0.05 + LATENCY_S),  # half of what there is
        (TimeControl("absolute", 0), 20, LEAST_S + LATENCY_S),
        (TimeControl("canadian", 0, 50, 10), 20, 4),
        (TimeControl("canadian", 100, 50, 10), 20, 9),
        (TimeControl("byoyomi", 100, 10, periods=3), 20, 13),
        (TimeControl("byoyomi", 0, 10, periods=1), 20, 8),
    ],
)
def test_shares(control: TimeControl, moves: int, share_s: float):
    assert Clock(control).share_s(moves) == pytest.approx(share_s - LATENCY_S)


def test_what_others_say_is_left_counts():
    clock = Clock(TimeControl("canadian", 100, 50, 10))
    clock.set_left(20, 5)  # of a period
    assert clock.share_s(20) == pytest.approx(20 / 5 * 0.8 - LATENCY_S)
    clock.set_left(40, 0)  # of the main time, with a whole period behind it
    assert clock.share_s(20) == pytest.approx(40 / 20 + 50 / 10 * 0.8 - LATENCY_S)
    clock = Clock(TimeControl("byoyomi", 0, 10, periods=3))
    clock.set_left(6, 2)
    assert clock.share_s(20) == pytest.approx(6 * 0.8 - LATENCY_S)
    clock.spend(3)
    assert clock.share_s(20) == pytest.approx(10 * 0.8 - LATENCY_S)  # a period that was not used up begins again


def test_it_runs_by_itself():
    clock = Clock(TimeControl("canadian", 10, 20, 2))
    clock.spend(4)
    assert clock.share_s(20) == pytest.approx(6 / 20 + 8 - LATENCY_S)
    clock.spend(8)  # 2 seconds into the first period
    assert clock.share_s(20) == pytest.approx(18 * 0.8 - LATENCY_S)
    clock.spend(5)  # its last move
    assert clock.share_s(20) == pytest.approx(10 * 0.8 - LATENCY_S)


class Referee:
    """Holds a side to its time, by the rules and not by its own clock."""

    def __init__(self, control: TimeControl) -> None:
        self.control, self.main_s = control, control.main_s
        self.period_s, self.stones, self.periods = control.period_s, control.stones, control.periods

    def allows(self, seconds: float) -> bool:
        """Whether a move that took so long was in time."""
        beyond_s = max(0.0, seconds - self.main_s)
        self.main_s = max(0.0, self.main_s - seconds)
        if beyond_s == 0:
            return True
        if self.control.kind == "canadian":
            self.period_s -= beyond_s
            self.stones -= 1
            is_in_time = self.period_s >= 0
            if self.stones == 0:
                self.period_s, self.stones = self.control.period_s, self.control.stones
            return is_in_time
        if self.control.kind == "byoyomi":
            self.periods -= int(beyond_s // self.control.period_s)
            return self.periods > 0
        return False


@pytest.mark.parametrize(
    "control",
    [
        TimeControl("absolute", 60),
        TimeControl("absolute", 600),
        TimeControl("canadian", 0, 20, 10),
        TimeControl("canadian", 60, 20, 10),
        TimeControl("byoyomi", 0, 1, periods=1),
        TimeControl("byoyomi", 60, 5, periods=3),
    ],
)
def test_whoever_takes_their_share_is_never_late(control: TimeControl):
    generator = random.Random(1)
    clock, referee = Clock(control), Referee(control)
    for ply in range(0, 400, 2):
        share_s = clock.share_s(max(1, (361 - ply) // 2))
        assert share_s is not None
        overhead_s = 0.004 if control.kind == "absolute" else LATENCY_S * 0.9  # the main time has to pay for all moves
        taken_s = share_s * generator.uniform(0.7, 1.0) + overhead_s * generator.random()
        assert referee.allows(taken_s), ply
        clock.spend(taken_s)


def test_moves_to_come():
    connect4, go = load("connect4"), load("go:9")
    assert moves_to_come(connect4, 0) == 21
    assert moves_to_come(connect4, 41) == 1
    assert moves_to_come(connect4, 42) == 1
    assert moves_to_come(go, 0) == 40
    assert moves_to_come(go, 200) == 1
