"""What analysis looks like, and how it is asked for."""

import pytest

from agent.gtp_analysis import AnalysisRequest, analysis_line, parse_request
from agent.thinking import Line, Thoughts
from games.position import position_after

POSITION = position_after("connect4", ["4"])
THOUGHTS = Thoughts(
    lines=(
        Line(3, 60, 0.25, 0.5, (3, 2, 3)),
        Line(2, 40, -0.5, 0.25, (2,)),
        Line(0, 0, None, 0.125, (0,)),
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
        ("12.5 minmoves 2 rootInfo true ownership true", AnalysisRequest("kata", 0.125, 1000, 2, True)),
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
        ("50 avoid b a1 5", "avoid is not supported"),
    ],
)
def test_what_is_no_request(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_request("lz", text.split())


def test_leela_zeros_line():
    assert analysis_line(parse_request("lz", []), POSITION, THOUGHTS, str.upper) == (
        "info move 4 visits 60 winrate 6250 prior 5000 order 0 pv 4 3 4 "
        "info move 3 visits 40 winrate 2500 prior 2500 order 1 pv 3"
    )


def test_katagos_line():
    line = analysis_line(parse_request("kata", ["1", "minmoves", "3", "rootinfo", "true"]), POSITION, THOUGHTS, str)
    assert line == (
        "info move 4 visits 60 utility 0.25 winrate 0.625 prior 0.5 order 0 pv 4 3 4 "
        "info move 3 visits 40 utility -0.5 winrate 0.25 prior 0.25 order 1 pv 3 "
        "info move 1 visits 0 utility 0.1 winrate 0.55 prior 0.125 order 2 pv 1 "
        "rootInfo visits 100 winrate 0.55"
    )
    assert analysis_line(parse_request("kata", ["maxmoves", "1"]), POSITION, THOUGHTS, str).count("info move") == 1


def test_something_is_told_before_anything_was_tried():
    early = Thoughts((Line(3, 0, None, 0.5, (3,)), Line(2, 0, None, 0.5, (2,))), 0, 0.0, 0.0, None, ((0, 3),))
    line = analysis_line(parse_request("lz", []), POSITION, early, str)
    assert line == "info move 4 visits 0 winrate 5000 prior 5000 order 0 pv 4"
