"""What analysis looks like, and how it is asked for."""

import numpy as np
import pytest

from keima.agent.contracts.territory import Estimate
from keima.agent.contracts.thinking import PrincipalVariation, SearchInfo
from keima.agent.protocols.gtp.analysis_formats import (
    AnalysisRequest,
    Restriction,
    analysis_line,
    lower_bound,
    parse_request,
    permitted,
)
from keima.games.position import position_after

POSITION = position_after("connect4", ["4"])
THOUGHTS = SearchInfo(
    variations=(
        PrincipalVariation(3, 60, 0.25, 0.5, (3, 2, 3)),
        PrincipalVariation(2, 40, -0.5, 0.25, (2,)),
        PrincipalVariation(0, 0, None, 0.125, (0,)),
    ),
    visits=100,
    seconds=1.0,
    value=0.1,
    wdl=None,
    changes=((0, 3),),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", AnalysisRequest("kata")),
        ("50", AnalysisRequest("kata", 0.5)),
        ("interval 25 maxmoves 3", AnalysisRequest("kata", 0.25, 3)),
        ("12.5 minmoves 2 rootInfo true ownership true", AnalysisRequest("kata", 0.125, 1000, 2, True, True)),
        ("ownership false pvVisits true movesOwnership true", AnalysisRequest("kata")),
        ("ownershipStdev true movesOwnershipStdev true pvEdgeVisits true noResultValue true", AnalysisRequest("kata")),
        (
            "50 avoid b D4,pass 1 allow W e5 30 minmoves 2",
            AnalysisRequest(
                *("kata", 0.5, 1000, 2),
                restrictions=(
                    Restriction(False, 0, frozenset({"d4", "pass"})),
                    Restriction(True, 1, frozenset({"e5"})),
                ),
            ),
        ),
    ],
)
def test_requests(text: str, expected: AnalysisRequest):
    assert parse_request("kata", text.split()) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "syntax error"),
        ("50 maxmoves", "syntax error"),
        ("50 maxmoves many", "syntax error"),
        ("50 zap 3", "syntax error"),
        ("-5", "syntax error"),
        ("50 avoid b a1", "syntax error"),
        ("50 avoid red a1 5", "syntax error"),
        ("50 avoid b a1 0", "syntax error"),
        ("50 allow b a1 soon", "syntax error"),
    ],
)
def test_what_is_no_request(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_request("lz", text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("avoid w a1,b1 1", {1, 4}),
        ("avoid w A1 1 avoid w pass 1", {1, 3}),
        ("allow w b1,a2 1", {3}),
        ("avoid b a1 1", None),
    ],
)
def test_moves_that_are_avoided_or_allowed(text, expected):
    """A stone of Black's on a2; b2, a1, b1 and a pass are left."""
    found = permitted(parse_request("lz", text.split()), position_after("go:2", ["a2"]))
    assert found == expected


def test_moves_that_there_are_not_cannot_be_avoided():
    for text, message in (("avoid w j9 1", "invalid color or coordinate"), ("allow w a2 1", "no move is left")):
        with pytest.raises(ValueError, match=message):
            permitted(parse_request("lz", text.split()), position_after("go:2", ["a2"]))


def low(win: float, visits: int) -> int:
    return round(10_000 * lower_bound(win, visits))


def bounds(win: float, visits: int) -> str:
    lowest = lower_bound(win, visits)
    return f"lcb {lowest:.6g} utilityLcb {2 * lowest - 1:.6g}"


def test_leela_zeros_line():
    assert analysis_line(parse_request("lz", []), POSITION, THOUGHTS, str.upper) == (
        f"info move 4 visits 60 winrate 6250 prior 5000 lcb {low(0.625, 60)} order 0 pv 4 3 4 "
        f"info move 3 visits 40 winrate 2500 prior 2500 lcb {low(0.25, 40)} order 1 pv 3"
    )


def test_katagos_line():
    line = analysis_line(parse_request("kata", ["1", "minmoves", "3", "rootinfo", "true"]), POSITION, THOUGHTS, str)
    assert line == (
        f"info move 4 visits 60 utility 0.25 winrate 0.625 prior 0.5 {bounds(0.625, 60)} order 0 pv 4 3 4 "
        f"info move 3 visits 40 utility -0.5 winrate 0.25 prior 0.25 {bounds(0.25, 40)} order 1 pv 3 "
        f"info move 1 visits 0 utility 0.1 winrate 0.55 prior 0.125 {bounds(0.55, 0)} order 2 pv 1 "
        "rootInfo visits 100 winrate 0.55"
    )
    assert analysis_line(parse_request("kata", ["maxmoves", "1"]), POSITION, THOUGHTS, str).count("info move") == 1


def test_nothing_is_told_before_anything_was_tried():
    early = SearchInfo(
        (PrincipalVariation(3, 0, None, 0.5, (3,)), PrincipalVariation(2, 0, None, 0.5, (2,))),
        0,
        0.0,
        0.0,
        None,
        ((0, 3),),
    )
    assert analysis_line(parse_request("lz", ["minmoves", "2"]), POSITION, early, str) == ""


def test_a_network_without_search_has_visited_its_best_move():
    first = SearchInfo(
        (PrincipalVariation(3, 0, 0.5, 0.5, (3,)), PrincipalVariation(2, 0, None, 0.5, (2,))),
        0,
        0.0,
        0.5,
        None,
        ((0, 3),),
    )
    line = analysis_line(parse_request("lz", []), POSITION, first, str)
    assert line == f"info move 4 visits 1 winrate 7500 prior 5000 lcb {low(0.75, 1)} order 0 pv 4"


def test_a_lower_bound_is_below_and_comes_nearer():
    assert lower_bound(0.6, 0) == 0
    bounds = [lower_bound(0.6, visits) for visits in (1, 10, 100, 10_000)]
    assert bounds == sorted(bounds)
    assert 0.59 < bounds[-1] < 0.6
    assert 0 < lower_bound(1.0, 1) < 0.6 < lower_bound(1.0, 20) < 1


def test_scores_and_ownership_are_told_as_the_side_to_move_sees_them():
    position = position_after("go:2", ["a1"])
    asked = []

    def judge(states):
        asked.append(len(states))
        return [Estimate(np.array([1, -0.5, 0.25, 0], np.float32), 3.5, 2.0) for _ in states]

    search_info = SearchInfo(
        (PrincipalVariation(0, 5, 0.5, 0.5, (0,)), PrincipalVariation(1, 0, None, 0.5, (1,))),
        5,
        1.0,
        0.5,
        None,
        ((0, 0),),
    )
    request = parse_request("kata", ["1", "ownership", "true", "rootInfo", "true"])
    line = analysis_line(request, position, search_info, str.upper, judge)
    score = "scoreMean -3.5 scoreStdev 2 scoreLead -3.5 scoreSelfplay -3.5"
    assert line == (
        f"info move A2 visits 5 utility 0.5 winrate 0.75 {score} prior 0.5 {bounds(0.75, 5)} order 0 pv A2 "
        f"rootInfo visits 5 winrate 0.75 {score} ownership -1 0.5 -0.25 0"
    )
    assert asked == [2]  # the position and the one move that was tried
    plain = analysis_line(parse_request("lz", ["1", "ownership", "true"]), position, search_info, str.upper, judge)
    assert "score" not in plain
    assert "ownership" not in plain
    assert asked == [2]
