"""Games that end by passes are counted without the stones that the referee calls dead; one that fails leaves the rules.

The board of most of these games, 5x5, Black to win by the rules alone, komi 0.5:

    5 . . . . .
    4 . X X X .      a1 is White's and cannot live. By the rules nobody owns what both
    3 . X . X .      colours reach: 8 stones and the eye against one stone.
    2 . X X X .
    1 O . . . .
"""

import shlex
import sys

import pytest

from keima import games
from keima.agent.contracts.player import Player
from keima.agent.engines import program_and_arguments
from keima.games.contract import FIRST_WINS, SECOND_WINS, GameError
from keima.games.position import position_after
from keima.selfplay.tournament.arena import Arena, GameTask, PlayedGame
from keima.selfplay.tournament.contestants import AskedAtOnce
from keima.selfplay.tournament.match import play_all
from keima.selfplay.tournament.referee import Referee, RefereesDesk, judged
from keima.selfplay.tournament.verdict import Verdict
from tests.paths import DATA

SCRIPT = DATA / "engines" / "go_referee.py"
GO = games.load("go:5,komi=0.5")
RING = ["b4", "a1", "c4", "pass", "d4", "pass", "b3", "pass", "d3", "pass", "b2", "pass", "c2", "pass", "d2", "pass"]
MOVES = [*RING, "pass"]


def actions(moves=MOVES, game=GO):
    return position_after(game, moves).actions


def text(fault="none", dead="", score="?", *further, options="timeout=3600"):
    command = shlex.join([sys.executable, "-I", str(SCRIPT), fault, dead, score, *map(str, further)])
    quoted = command.replace("\\", "\\\\").replace('"', '\\"')
    return f'gtp:"{quoted}" {options}'


@pytest.fixture
def referee_for():
    """Makes referees, and closes them."""
    made = []

    def make(*arguments, game=GO, **options):
        made.append(Referee(game, text(*arguments, **options)))
        return made[-1]

    yield make
    for referee in made:
        referee.close()


def test_dead_stones_are_taken_off_and_the_rules_count(referee_for):
    verdict = referee_for("none", "A1", "B+24.5").judge(actions())
    assert verdict == Verdict("Judge 2", FIRST_WINS, 7.5, FIRST_WINS, 24.5, ("a1",), "B+24.5")
    # Nobody checks the referee: what it calls dead is dead, in whatever lines it says so.
    ring = referee_for("none", "B4 C4 D4 D3\nD2 C2 B2 B3 ", "W+25.5").judge(actions())
    assert (ring.by_rules, ring.outcome, ring.points) == (FIRST_WINS, SECOND_WINS, -25.5)
    assert ring.overrules
    assert sorted(ring.dead) == sorted(["b4", "c4", "d4", "d3", "d2", "c2", "b2", "b3"])


def test_komi_and_handicap_are_the_games_own(referee_for):
    game = games.load("go:7,komi=3.5,rules=chinese,handicap=2")
    moves = ["a1", "pass", "pass"]
    verdict = referee_for("none", "a1", game=game).judge(actions(moves, game))
    # Black has the board; White has komi and, by Chinese rules, a point for each of the two stones.
    assert verdict.points == 49 - 3.5 - 2


def test_without_a_list_of_stones_its_own_count_decides(referee_for):
    verdict = referee_for("none", "?", "W+2.5").judge(actions())
    assert verdict == Verdict("Judge 2", FIRST_WINS, 7.5, SECOND_WINS, -2.5, (), "W+2.5")


def test_where_it_says_nothing_the_rules_decide(referee_for):
    verdict = referee_for("none", "?", "?").judge(actions())
    assert not verdict.decides
    assert verdict.failure == "Judge 2 says neither which stones are dead nor who won"
    unreadable = referee_for("none", "?", "B+Resign").judge(actions())
    assert not unreadable.decides
    assert unreadable.own_count == "B+Resign"


@pytest.mark.parametrize(
    ("fault", "dead", "options", "reason"),
    [
        ("crash", "a1", "timeout=3600", "exit code 1; its last words: out of its depth"),
        ("hang", "a1", "timeout=1", "hung: it did not answer"),
        ("none", "c3", "timeout=3600", "said that 'c3' is dead, where there is no stone"),
        ("none", "nowhere", "timeout=3600", "said that 'nowhere' is dead"),
    ],
)
def test_a_referee_that_fails_leaves_the_rules_and_says_why(referee_for, fault, dead, options, reason):
    verdict = referee_for(fault, dead, options=options).judge(actions())
    assert not verdict.decides
    assert reason in verdict.failure
    assert (verdict.by_rules, verdict.points_by_rules) == (FIRST_WINS, 7.5)


def test_a_referee_that_crashed_is_started_anew_and_asked_again(referee_for, tmp_path):
    referee = referee_for("crash once", "a1", "B+24.5", tmp_path / "crashed")
    assert referee.judge(actions()).points == 24.5
    assert (tmp_path / "crashed").exists()
    assert referee.judge(actions()).decides  # and it stays


def test_what_it_is_told(referee_for, tmp_path):
    game = games.load("go:7,komi=3.5,handicap=2")
    referee = referee_for("log", "", "B+1", tmp_path / "log", game=game)
    referee.judge(actions(["a1", "pass", "pass"], game))
    referee.judge(actions(["b1", "c1", "pass", "pass"], game))
    referee.close()
    told = [line for line in (tmp_path / "log").read_text().splitlines() if line != "quit"]
    assert told == [
        *("name", "version", "list_commands", "boardsize 7", "clear_board", "fixed_handicap 2"),
        *("komi 3.5", "kgs-rules chinese"),
        *("play w a1", "play b pass", "play w pass", "final_status_list dead", "final_score"),
        *("undo", "undo", "undo"),
        *("play w b1", "play b c1", "play w pass", "play b pass", "final_status_list dead", "final_score"),
    ]


def test_what_is_no_referee(referee_for):
    for player in ("random", "uci:stockfish", "shipped"):
        with pytest.raises(GameError, match=r"--referee: expected a program that speaks GTP, as gtp:\"gnugo"):
            Referee(GO, player)
    with pytest.raises(GameError, match="it is for games that are counted when both pass; connect4 needs none"):
        Referee(games.load("connect4"), text())
    with pytest.raises(GameError, match="no program 'no-such-engine'"):
        Referee(GO, "gtp:no-such-engine").start()
    with pytest.raises(GameError, match="Judge 2 has neither final_status_list nor final_score"):
        referee_for("no judge").start()
    with pytest.raises(GameError, match="Judge does not play by chinese rules: cannot say"):
        referee_for("no rules").start()
    assert referee_for("no rules", options='set="kgs-rules=aga"').judge(actions()).failure  # asked for, refused as well


class Passes(Player):
    name = "passes"

    def choose(self, position):
        return position.game.num_actions - 1


def test_games_are_judged_beside_others(referee_for):
    played = play_all(
        Arena(GO, [AskedAtOnce(lambda seed: Passes())], 4),
        [GameTask(i, (0, 0), tuple(actions(RING)[: 2 + 2 * i]), i) for i in range(3)],
    )
    desk = RefereesDesk(referee_for("none", "a1"))
    assert not desk.busy
    assert desk.collect(1.0) == []  # nothing to wait for
    for game in played:
        desk.submit(game)
    found = []
    while desk.busy:
        found += desk.collect(0.1)
    assert [game.task for game in found] == [game.task for game in played]
    assert {game.outcome for game in found} == {FIRST_WINS}
    assert all(game.verdict.dead == ("a1",) for game in found)
    assert found[0].verdict.points == 24.5
    desk.close()


def test_closing_ends_a_question_under_way(referee_for):
    desk = RefereesDesk(referee_for("hang", options="timeout=3600"))
    desk.submit(PlayedGame(GameTask(0, (0, 0), (), 0), tuple(actions()), FIRST_WINS))
    desk.collect(1.0)
    desk.close()
    (found,) = desk.collect(60.0)
    assert not found.verdict.decides


def test_the_result_is_the_referees_where_there_is_one():
    played = PlayedGame(GameTask(0, (0, 1), (), 0), (), FIRST_WINS)
    assert judged(played, Verdict("J", FIRST_WINS, 1.0, SECOND_WINS, -1.0)).outcome == SECOND_WINS
    assert judged(played, Verdict("J", FIRST_WINS, 1.0, failure="hung")).outcome == FIRST_WINS


def has_gnugo():
    try:
        program_and_arguments("gnugo")
    except GameError:
        return False
    return True


@pytest.mark.skipif(not has_gnugo(), reason="gnugo is not installed")
def test_gnugo_judges():
    referee = Referee(GO, 'gtp:"gnugo --mode gtp --chinese-rules --level 1"')
    verdict = referee.judge(actions())
    assert (verdict.referee, verdict.outcome, verdict.points) == ("GNU Go 3.8", FIRST_WINS, 24.5)
    assert (verdict.dead, verdict.own_count) == (("a1",), "B+24.5")
    assert not verdict.contradicts_itself
    referee.close()
