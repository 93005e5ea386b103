"""What is written of a tournament."""

import json
from collections import Counter

import pytest

from keima.agent.players.levels import read_levels
from keima.games import load
from keima.games.contract import FIRST_WINS, SECOND_WINS
from keima.selfplay.tournament.contestants import Thinking
from keima.selfplay.tournament.ratings import rate, tally
from keima.selfplay.tournament.report import RefereeCount, Standings, as_dict, standings, write
from keima.selfplay.tournament.sprt import Sprt
from keima.selfplay.tournament.store import Store, StoredGame
from keima.selfplay.tournament.verdict import Verdict

FILES = {"ladder.txt", "ladder.json", "ladder.csv", "cross.csv", "ladder.png"}


def standings_of(*names):
    """Everybody met everybody; the later one in the list won three games in four."""
    games = [
        (first, second, int((names.index(second) > names.index(first)) != (number % 4 == 0)), f"line {number}")
        for first in names
        for second in names
        if first != second
        for number in range(8)
    ]
    found = tally(games)
    return Standings("connect4", names, rate(found.results), found, Counter(), resigned=0)


def test_settings_of_one_net_become_levels(tmp_path):
    found = standings_of("random", "shipped simulations=1", "shipped simulations=16", "shipped simulations=64")
    assert {path.name for path in write(found, tmp_path)} == FILES | {"levels.toml"}
    levels = read_levels(tmp_path / "levels.toml")
    assert levels[0].player == "shipped simulations=1"
    assert levels[-1].player == "shipped simulations=64"
    assert levels[-1].elo == pytest.approx(found.ratings["shipped simulations=64"].elo, abs=1)
    assert f"{found.tally.games} games: keima tournament connect4 'random'" in (tmp_path / "levels.toml").read_text()


def game_of(first, second, outcome=FIRST_WINS, verdict=None, thinking=None, reason="", resigned=False):
    return StoredGame(first, second, 0, ("a1",), outcome, reason, resigned, "line", 1, verdict, thinking)


def test_what_a_referee_did_is_counted():
    games = [
        game_of(1, 2),
        game_of(1, 2, reason="resigned", resigned=True),
        game_of(1, 2, verdict=Verdict("Judge 2", FIRST_WINS, 1.5, FIRST_WINS, 3.5, own_count="B+3.5")),
        game_of(1, 2, SECOND_WINS, Verdict("Judge 2", FIRST_WINS, 1.5, SECOND_WINS, -3.5, ("a1",), "B+0.5")),
        game_of(1, 2, verdict=Verdict("Judge 2", FIRST_WINS, 1.5, failure="Judge hung")),
    ]
    count = RefereeCount.of(games)
    assert count == RefereeCount(("Judge 2",), 3, 2, 1, 1, Counter(["Judge hung"]))
    assert count.notes == [
        "Judge 2 decided 2 of the 3 games that ended on the board; by the rules alone 1 of them would have another "
        "result",
        "  in 1 its own count has another winner than the stones it calls dead",
        "  1 x decided by the rules: Judge hung",
    ]
    assert json.loads(json.dumps(count.as_dict())) == {
        "names": ["Judge 2"],
        "asked": 3,
        "decided": 2,
        "overruled": 1,
        "contradicted": 1,
        "failures": [{"reason": "Judge hung", "games": 1}],
    }
    assert RefereeCount.of(games[:2]) is None


def test_the_report_of_a_file_has_referees_and_thinking_times(tmp_path):
    with Store(tmp_path / "t.sqlite", load("connect4")) as store:
        a, b = (store.add_player(name, name, "").id for name in ("random", "exact"))
        verdict = Verdict("Judge 2", FIRST_WINS, 1.5, SECOND_WINS, -3.5)
        thinking = (Thinking(0), Thinking(2, 3.0, 2.5))
        swapped = (Thinking(1, 1.0, 1.0), Thinking(4, 8.0, 4.0))
        games = [game_of(a, b, SECOND_WINS, verdict, thinking), game_of(b, a, FIRST_WINS, None, swapped)]
        store.record([*games, game_of(a, b, SECOND_WINS)], store.begin_session({}))
        found = standings(store)
    assert found.notes[0].startswith("Judge 2 decided 1 of the 1 games")
    assert found.notes[-1] == "seconds a move, and the longest: exact 1.33 (2.50), random 2.00 (4.00)"
    told = json.loads(json.dumps(as_dict(found)))
    assert told["referee"]["overruled"] == 1
    assert told["thinking"]["exact"] == {"moves": 3, "seconds": 4.0, "longest_s": 2.5}


def test_json_has_no_nan_before_the_first_pair_of_a_test():
    found, test = standings_of("random", "rollout:10"), Sprt(0, 20)
    told = as_dict(found, test.state([0, 0, 0, 0, 0]))
    assert json.loads(json.dumps(told, allow_nan=False))["sprt"]["score"] is None
    assert as_dict(found, test.state([0, 1, 0, 0, 0]))["sprt"]["score"] == 0.25


def test_other_players_do_not(tmp_path):
    found = standings_of("random", "rollout:10", "shipped simulations=16")
    assert {path.name for path in write(found, tmp_path)} == FILES
