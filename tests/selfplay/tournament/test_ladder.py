"""The ladder as text, JSON and CSV."""

import csv
import io
import json

import pytest

from keima.selfplay.tournament.ladder import (
    WIDTH,
    as_csv,
    as_dict,
    cross_csv,
    cross_table,
    ladder_table,
    percent,
    score_matrix,
    shortened,
    signed,
)
from keima.selfplay.tournament.ratings import PairResult, rate

RESULTS = [
    PairResult("strong", "middle", 8, 1, 1),
    PairResult("middle", "strong", 3, 0, 7),
    PairResult("strong", "weak", 10, 0, 0),
    PairResult("weak", "strong", 0, 0, 10),
    PairResult("middle", "weak", 10, 0, 0),
    PairResult("weak", "middle", 0, 0, 10),
]
RATINGS = rate(RESULTS, anchors={"middle": 1000})


def test_the_ladder():
    lines = ladder_table(RATINGS).splitlines()
    assert lines[0].split() == ["player", "Elo", "95", "%", "games", "score", "draws", ">", "next"]
    assert set(lines[1]) == {"─"}
    first, second, third = (line.split() for line in lines[2:5])
    strong = RATINGS["strong"]
    assert first[:3] == ["1", "strong", f"{strong.elo:+.0f}"]
    assert first[3:6] == [f"{strong.low:+.0f}", "to", f"{strong.high:+.0f}"]
    assert first[6:9] == ["40", "88.8", "%"]
    assert second[:4] == ["2", "middle", "+1000", "anchor"]
    assert third[1] == "weak"
    assert third[3].endswith("~")  # lost everything: the lower end is the prior's
    assert not third[5].endswith("~")
    assert lines[6].startswith("Moving first is worth ")
    assert lines[7].startswith("~ won or lost everything")


def test_the_likelihood_beside_a_player_is_against_the_next():
    line = ladder_table(RATINGS).splitlines()[2]
    assert line.endswith(percent(RATINGS.superiority("strong", "middle")))


def test_groups_and_those_without_games_are_pointed_out():
    text = ladder_table(
        rate([*RESULTS, PairResult("x", "y", 3, 0, 2), PairResult("y", "x", 2, 0, 3), PairResult("z", "x")])
    )
    assert "No games link the groups between the lines" in text
    assert "Without games: z." in text
    lines = text.splitlines()
    assert lines[5] == ""
    assert lines[6].split()[:2] == ["4", "x"]


def test_the_cross_table():
    text = cross_table(RATINGS, RESULTS)
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["player", "1", "2", "3"]
    assert rows[2] == ["1", "strong", "-", "77.5", "100.0"]
    assert rows[3] == ["2", "middle", "22.5", "-", "100.0"]
    assert text.splitlines()[-1].endswith("20 games a pair.")
    uneven = cross_table(RATINGS, RESULTS[:-1])
    assert uneven.splitlines()[3].split() == ["20", "20"]
    assert uneven.splitlines()[5].split() == ["20", "10"]


@pytest.mark.parametrize("count", [2, 9, 10, 11, 30])
def test_no_line_is_too_wide(count):
    names = [f'uci:"an-engine --option {i} --and another" nodes=100000 name="{i}"' for i in range(count)]
    results = [PairResult(a, b, 1, 1, i) for i, a in enumerate(names) for b in names if a != b]
    ratings = rate(results)
    for text in (ladder_table(ratings), cross_table(ratings, results)):
        assert max(map(len, text.splitlines())) <= WIDTH
    # Every column is there, in one of the tables.
    heads = [
        line.split()[1:] for line in cross_table(ratings, results).splitlines() if line.strip().startswith("player")
    ]
    assert [int(number) for head in heads for number in head] == list(range(1, count + 1))


def test_points_count_from_both_sides():
    points, games = score_matrix(["strong", "middle"], RESULTS)
    assert points.tolist() == [[0, 15.5], [4.5, 0]]
    assert games.tolist() == [[0, 20], [20, 0]]


def test_json_has_everything():
    found = json.loads(json.dumps(as_dict(RATINGS, RESULTS)))
    assert found == as_dict(RATINGS, RESULTS)
    assert [player["name"] for player in found["players"]] == ["strong", "middle", "weak"]
    strong = found["players"][0]
    assert strong["elo"] == pytest.approx(RATINGS["strong"].elo, abs=0.01)
    assert (strong["wins"], strong["draws"], strong["losses"], strong["games"]) == (35, 1, 4, 40)
    assert found["players"][1]["anchored"]
    assert found["players"][2]["lost_all"]
    superiority = found["superiority"]
    assert superiority[0][1] == pytest.approx(RATINGS.superiority("strong", "middle"), abs=1e-5)
    assert superiority[0][1] + superiority[1][0] == pytest.approx(1, abs=1e-4)
    assert superiority[2][2] == 0.5
    assert len(found["covariance"]) == 3
    assert found["results"][0] == {"first": "strong", "second": "middle", "first_wins": 8, "draws": 1, "second_wins": 1}
    again = rate([PairResult(**result) for result in found["results"]], anchors={"middle": 1000})
    assert again["strong"].elo == RATINGS["strong"].elo


def test_csv_can_be_read_back():
    rows = list(csv.DictReader(io.StringIO(as_csv(RATINGS))))
    assert [row["name"] for row in rows] == ["strong", "middle", "weak"]
    assert float(rows[0]["low"]) == pytest.approx(RATINGS["strong"].low, abs=0.01)
    assert rows[1]["anchored"] == "True"
    pairs = list(csv.DictReader(io.StringIO(cross_csv(RATINGS, RESULTS))))
    assert len(pairs) == 6
    assert pairs[0] == {"player": "strong", "opponent": "middle", "points": "15.5", "games": "20"}


def test_names_keep_their_ends():
    assert shortened("abc", 3) == "abc"
    assert shortened("run at step 120000", 9) == "run …0000"
    assert [len(shortened("x" * 50, width)) for width in (1, 2, 3, 20)] == [1, 2, 3, 20]


def test_likelihoods_are_never_certain():
    assert percent(1.0) == "> 99.9 %"
    assert percent(0.0) == "< 0.1 %"
    assert percent(0.876) == "87.6 %"


def test_elo_has_a_sign_unless_it_is_zero():
    assert [signed(elo) for elo in (12.4, -0.3, 0.4, -12.6)] == ["+12", "0", "0", "-13"]
