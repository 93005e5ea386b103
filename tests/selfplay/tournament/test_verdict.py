"""What a referee said, and how it is kept."""

import pytest

from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS
from keima.selfplay.tournament.verdict import Verdict, outcome_of, points_of


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("B+3.5", 3.5),
        ("w+0.5", -0.5),
        ("W+12", -12.0),
        (" B+2. ", 2.0),
        ("0", 0.0),
        ("Draw", 0.0),
        ("Jigo", 0.0),
        ("B+R", None),
        ("B+", None),
        ("", None),
        ("+3", None),
        ("W+3.5 (upper bound: 3.5)", None),
    ],
)
def test_scores_of_gtp(text, points):
    assert points_of(text) == points


def test_who_won_by_points():
    assert [outcome_of(points) for points in (0.5, -0.5, 0.0)] == [FIRST_WINS, SECOND_WINS, DRAW]


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict("Judge 2", FIRST_WINS, 2.5, SECOND_WINS, -4.5, ("a1", "b2"), "W+4.5"),
        Verdict("Judge 2", SECOND_WINS, -2.5, FIRST_WINS, 0.5),
        Verdict("Judge 2", DRAW, 0.0, DRAW, 0.0, own_count="0"),
        Verdict("Judge 2", DRAW, 0.0, failure='it "hung"; twice'),
    ],
)
def test_a_verdict_is_read_as_it_was_written(verdict):
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_who_decides():
    same = Verdict("Judge", FIRST_WINS, 2.5, FIRST_WINS, 9.5, own_count="B+9.5")
    other = Verdict("Judge", FIRST_WINS, 2.5, SECOND_WINS, -1.5, ("a1",), "B+0.5")
    none = Verdict("Judge", FIRST_WINS, 2.5, own_count="W+1.5", failure="crashed")
    assert [v.decides for v in (same, other, none)] == [True, True, False]
    assert [v.overrules for v in (same, other, none)] == [False, True, False]
    assert [v.contradicts_itself for v in (same, other, none)] == [False, True, False]
