"""Go over GTP by transcripts: colours out of turn, rules, dead stones, scores, cleaning up, resigning."""

import json
import time

import numpy as np
import pytest

from keima.agent.contracts.player import Resignation
from keima.agent.contracts.territory import Estimate
from keima.agent.engines.process import LineProcess
from keima.agent.players.factory import make_player
from keima.agent.protocols.gtp.engine import GtpEngine
from keima.games import load
from keima.games.contract import GameError
from tests.agent.protocols.gtp.test_engine import LONG_S, Aloud, FirstMove, engine, transcript

DEAD_IN_TERRITORY = [
    *(f"play {colour} {column}{row}" for row in (5, 4, 3, 2, 1) for colour, column in ("bc", "wd")),
    *("play b e3", "play w a3"),
]


class Judging(Aloud):
    """Thinks aloud, and is sure that the left three columns are Black's."""

    outcomes = None

    class territory:
        @staticmethod
        def estimate(states):
            return [Estimate(np.tile(np.array([1, 1, 1, -1, -1], np.float32), 5), 3.5, 2.0) for _ in states]


def test_a_side_may_move_twice_and_undo_takes_back_what_was_played():
    transcript(
        "go:5",
        """
        > play b c3
        =
        > play b c2
        =
        > play b c2
        ? illegal move
        > play w d3
        =
        > undo
        =
        > undo
        =
        > showboard
        =
          a b c d e
        5 . . . . .
        4 . . . . .
        3 . . X . .
        2 . . . . .
        1 . . . . .
        white to move
        > genmove b
        = A5
        > play w pass
        =
        > play w d3
        =
        > undo
        =
        > undo
        =
        > undo
        =
        > undo
        =
        > undo
        ? cannot undo
        > play w c3
        =
        > genmove w
        = A5
        """,
    )


def test_a_game_goes_on_after_two_passes():
    transcript(
        "go:5",
        """
        > play b c3
        =
        > play w pass
        =
        > play b pass
        =
        > play w pass
        =
        > genmove w
        = pass
        > play b c4
        =
        > final_score
        = B+17.5
        > undo
        =
        > final_score
        = B+17.5
        > undo
        =
        > undo
        =
        > showboard
        =
          a b c d e
        5 . . . . .
        4 . . . . .
        3 . . X . .
        2 . . . . .
        1 . . . . .
        white to move
        """,
    )


def test_games_know_no_limit_but_one_that_was_asked_for():
    """By default a game in training has 75 on this board, with the passes of who is left out."""
    fill = [f"play w {column}{row}" for column in "abcde" for row in range(5, 0, -1)][:-1]
    lines = [*fill, "play b e1", *fill]
    for name, is_refused in (("go:5,ko=simple", False), ("go:5,ko=simple,limit=75", True)):
        gtp = engine(name)
        answers = [gtp.handle(line) for line in lines]
        assert ("? illegal move\n\n" in answers) == is_refused
        assert (set(answers) == {"=\n\n"}) != is_refused
        assert (len(gtp.position.actions) == 4 * len(fill)) != is_refused
        for _ in range(3):
            assert gtp.handle("undo") == "=\n\n"
        assert gtp.handle("clear_board") == "=\n\n"
        assert gtp.position.game == load(name)


def test_rules_by_name_and_in_json():
    transcript(
        "go:5",
        """
        > kata-get-rules
        = {"hasButton":false,"ko":"POSITIONAL","scoring":"AREA","suicide":false,"tax":"NONE","whiteHandicapBonus":"0"}
        > play b c3
        =
        > kata-set-rules japanese
        =
        > kata-get-rules
        = {"hasButton":false,"ko":"SIMPLE","scoring":"TERRITORY","suicide":false,"tax":"NONE","whiteHandicapBonus":"0"}
        > kata-set-rules {"scoring": "AREA", "ko": "SITUATIONAL", "suicide": true, "whiteHandicapBonus": "N-1"}
        =
        > kata-get-rules
        = {"hasButton":false,"ko":"SITUATIONAL","scoring":"AREA","suicide":true,"tax":"NONE","whiteHandicapBonus":"N-1"}
        > kata-set-rules martian
        ? unknown rules 'martian': expected one of tromp-taylor, chinese, chinese-ogs, chinese-kgs, japanese, korean, \
aga, bga, french, new-zealand, new_zealand, or a JSON object
        > kata-set-rules
        ? syntax error
        > kata-set-rules {"ko"
        ? rules: expected a JSON object
        > kata-set-rules {"suicide": 1}
        ? rules: suicide is true or false here, got 1
        > kata-set-rules {"hasButton": true}
        ? rules: hasButton is false here, got true
        > kata-set-rule hasButton true
        ? rules: hasButton is false here, got true
        > kata-set-rule scoring TERRITORY
        =
        > kata-set-rule suicide false
        =
        > kata-get-rules
        = {"hasButton":false,"ko":"SITUATIONAL","scoring":"TERRITORY","suicide":false,"tax":"NONE",\
"whiteHandicapBonus":"0"}
        > kata-set-rule friendlyPassOk true
        ? unknown rule 'friendlyPassOk'
        > kata-set-rule ko
        ? syntax error
        > kgs-rules chinese
        =
        > kgs-rules ing
        ? unknown rules: expected one of chinese, japanese, aga, new_zealand
        > undo
        =
        > undo
        ? cannot undo
        """,
    )


@pytest.mark.parametrize("name", ["tromp-taylor", "chinese", "chinese-ogs", "japanese", "korean", "aga", "new-zealand"])
def test_rules_that_are_told_can_be_set_again(name):
    gtp = engine("go:5")
    assert gtp.handle(f"kata-set-rules {name}") == "=\n\n"
    told = (gtp.handle("kata-get-rules") or "")[2:].strip()
    game = gtp.position.game
    assert json.loads(told)["scoring"] in ("AREA", "TERRITORY")
    gtp.handle("kata-set-rules tromp-taylor")
    assert gtp.handle(f"kata-set-rules {told}") == "=\n\n"
    assert gtp.position.game == game


@pytest.mark.parametrize(("rules", "score"), [("chinese", "B+22.5"), ("aga", "B+23.5"), ("japanese", "B+21.5")])
def test_what_white_gets_for_handicap_stones(rules, score):
    """Beside the whole board by area, and by territory all of it but his three stones."""
    gtp = engine("go:5,komi=0.5", lambda game: make_player("rollout:4", game))
    for line in (f"kata-set-rules {rules}", "set_free_handicap b2 d4", "play w pass", "play b c3", "play w pass"):
        assert (gtp.handle(line) or "").startswith("="), line
    assert gtp.handle("final_score") == f"= {score}\n\n"


@pytest.mark.parametrize("rules", ["chinese", "japanese"])
def test_dead_stones_and_the_score_without_them(rules):
    gtp = engine(f"go:5,komi=0.5,rules={rules}", lambda game: Judging())
    for line in DEAD_IN_TERRITORY:
        assert gtp.handle(line) == "=\n\n"
    assert gtp.handle("final_status_list dead") == "= A3\nE3\n\n"
    assert gtp.handle("final_status_list alive") == "= C5 C4 C3 C2 C1\nD5 D4 D3 D2 D1\n\n"
    assert gtp.handle("final_status_list seki") == "=\n\n"
    assert gtp.handle("final_status_list") == "? missing status\n\n"
    assert gtp.handle("final_status_list undead") == "? invalid status\n\n"
    # 15 points to 10 by area; 10 and a prisoner to 5 and a prisoner by territory.
    assert gtp.handle("final_score") == "= B+4.5\n\n"
    for colour in "bw":
        assert gtp.handle(f"play {colour} pass") == "=\n\n"
    assert gtp.handle("final_score") == "= B+4.5\n\n"
    assert gtp.handle("kgs-game_over") == "=\n\n"


@pytest.mark.parametrize(
    ("komi", "score"), [("4.7", "B+0.3"), ("5.2", "W+0.2"), ("5", "0"), ("1e3", "W+995"), ("-3.25", "B+8.25")]
)
def test_scores_are_by_the_komi_that_was_told(komi, score):
    """Of 10 points to 5, whatever steps the rules count in; by these the same side wins."""
    gtp = engine("go:5,rules=japanese", lambda game: Judging())
    for line in (f"komi {komi}", *DEAD_IN_TERRITORY[:10]):
        assert gtp.handle(line) == "=\n\n"
    game = gtp.position.game
    assert gtp.handle("final_score") == f"= {score}\n\n"
    assert np.sign(game.points(gtp.position.state)) == np.sign(5 - float(komi))


def test_tromp_taylor_counts_a_game_that_is_over_as_it_stands():
    gtp = engine("go:5,komi=0.5", lambda game: Judging())
    for line in DEAD_IN_TERRITORY:
        gtp.handle(line)
    assert gtp.handle("final_score") == "= B+4.5\n\n"
    for colour in "bw":
        gtp.handle(f"play {colour} pass")
    assert gtp.handle("final_score") == "= W+0.5\n\n"  # nobody's territory, six stones each


def test_cleaning_up_captures_what_is_dead_and_then_passes():
    gtp = engine("go:5,komi=0.5,rules=chinese", lambda game: Judging())
    for line in [*DEAD_IN_TERRITORY, "play b pass", "play w pass"]:
        gtp.handle(line)
    moves = []
    while (answer := gtp.handle("kgs-genmove_cleanup b")) != "= pass\n\n":
        assert answer is not None
        moves.append(answer[2:].strip())
        assert len(moves) <= 4
    assert len(moves) == 3  # the liberties of the stone at a3
    assert (gtp.position.game.board(gtp.position.state) == 2).sum() == 5
    assert gtp.handle("kgs-genmove_cleanup x") == "? invalid color or coordinate\n\n"
    assert engine("othello:4").handle("kgs-genmove_cleanup b") == "? unknown command\n\n"


def test_the_estimate_of_a_player_who_has_none_is_by_playouts():
    gtp = engine("go:5,komi=0.5,rules=chinese")
    for line in DEAD_IN_TERRITORY:
        gtp.handle(line)
    first = gtp.handle("final_status_list dead")
    assert [gtp.handle("final_status_list dead") for _ in range(5)] == [first] * 5


def test_the_networks_first_thought():
    gtp = engine("go:5,komi=0.5", lambda game: Judging())
    assert gtp.handle("known_command kata-raw-nn") == "= true\n\n"
    assert gtp.handle("kata-raw-nn 0") == "? aloud has no network\n\n"
    assert engine("go:5").handle("kata-raw-nn 0") == "? unknown command\n\n"


def test_a_player_who_resigns():
    class Resigning(Aloud):
        def pick(self, search_info):
            return Resignation("enough")

    gtp = engine("go:5", lambda game: Resigning())
    assert gtp.handle("genmove b") == "= resign\n\n"
    assert gtp.position.actions == []
    assert gtp.handle("lz-genmove_analyze b 100").endswith("\nplay resign\n\n")  # type: ignore[union-attr]


def test_advice_and_analysis_are_no_hopeless_moves():
    """Black's position is lost, and whatever is asked about it he does not resign before his own third move."""
    gtp = engine("go:5,komi=30.5", lambda game: make_player("rollout:10 resign=0.2", game))
    for move in range(1, 4):
        for line in ("reg_genmove b", "lz-analyze b 1", "reg_genmove b"):
            answer = gtp.handle(line) or ""
            assert answer.startswith("="), line
            assert "resign" not in answer
        assert (gtp.handle("genmove b") == "= resign\n\n") == (move == 3)
        gtp.handle("play w pass")


def test_comments_of_moves_are_in_the_record():
    gtp = engine("go:5,komi=0.5", lambda game: Judging())
    for line in ("genmove b", "play w c3", "genmove b", "undo"):
        gtp.handle(line)
    printed = (gtp.handle("printsgf") or "").replace("\n", "")
    assert "B[aa]C[Black wins 75.0%; Black leads by 3.5; 3 simulations; expects a5]" in printed
    assert printed.count("C[") == 1
    assert "RU[Tromp-Taylor]" in printed
    gtp.handle("komi 5.5")
    assert "C[Black wins" in (gtp.handle("printsgf") or "")


def test_a_new_game_has_a_player_who_forgets():
    forgotten = []

    class Forgetful(Aloud):
        def forget(self):
            forgotten.append(True)

    gtp = engine("go:5", lambda game: Forgetful())
    gtp.handle("genmove b")
    assert not forgotten
    for line, times in (("clear_board", 1), ("boardsize 5", 2), ("clear_cache", 3)):
        assert gtp.handle(line) == "=\n\n"
        assert len(forgotten) == times


@pytest.mark.parametrize(
    ("size", "stones", "points"), [(6, 9, "E5 B2 E2 B5"), (5, 2, "D4 B2"), (3, 3, "C3 A1 C1"), (2, 3, "B2 A1 B1")]
)
def test_free_handicap_on_small_boards(size, stones, points):
    gtp = engine(f"go:{size}")
    assert gtp.handle(f"place_free_handicap {stones}") == f"= {points}\n\n"
    assert (gtp.position.game.board(gtp.position.state) == 1).sum() == len(points.split())
    assert gtp.position.player == 1


def test_sizes_that_nobody_plays():
    logged: list[str] = []
    gtp = GtpEngine(load("go:5"), lambda game: FirstMove(), log=logged.append)
    assert gtp.handle("boardsize 25") == "? unacceptable size\n\n"
    assert logged == ["boardsize: go: size is from 2 to 19, got 25"]
    for size in (2, 19):
        assert gtp.handle(f"boardsize {size}") == "=\n\n"
        assert gtp.handle("genmove b") == f"= A{size}\n\n"


def test_ownership_and_scores_in_the_analysis_of_a_player_who_knows_them():
    gtp = engine("go:5,komi=0.5", lambda game: make_player("rollout:30", game))
    answer = gtp.handle("kata-genmove_analyze b 1 ownership true maxmoves 2 rootInfo true")
    assert answer is not None
    line = answer.split("\n")[1]
    assert line.startswith("info move ")
    assert " scoreLead " in line
    assert " rootInfo visits " in line
    owners = line.rpartition(" ownership ")[2].split()
    assert len(owners) == 25
    assert all(-1 <= float(owner) <= 1 for owner in owners)


@pytest.mark.parametrize(
    ("komi", "moves", "before", "after"),
    [
        (-9.5, " ".join(f"d{row} e{row}" for row in range(1, 10)) + " pass b5", "B+1.5", "B+0.5"),
        (
            14.5,
            "e5 c5 d6 c6 d4 b3 c7 g7 g5 h5 h4 h6 c3 g4 g3 h8 b4 f4 f3 h3 f5 j4 e4 e8 d8 h2 e7 e1 e2 f1 f8 b2 c2 c4 a4 "
            "b7 b8 a6 b1 d1 a2 h4 d2 g8 e9 g2 f2 g9 a8 f6 e6 f7 c1 g1 f9 g6 a7 pass",
            *("B+3.5", "B+3.5"),
        ),
    ],
    ids=["a hopeless stone", "the opponent has passed"],
)
def test_a_game_that_is_won_by_territory_is_not_filled_up(komi, moves, before, after):
    """The shipped net at work: an answer to White's last move at most, and nothing once he passes."""
    gtp = engine(f"go:9,rules=japanese,komi={komi}", lambda game: make_player("shipped simulations=16", game))
    for ply, move in enumerate(moves.split()):
        assert gtp.handle(f"play {'bw'[ply % 2]} {move}") == "=\n\n"
    assert gtp.handle("final_score") == f"= {before}\n\n"
    answers = [gtp.handle("genmove b"), gtp.handle("play w pass"), gtp.handle("genmove b")]
    assert answers[-1] == "= pass\n\n"
    assert gtp.handle("final_score") == f"= {after}\n\n"


@pytest.mark.parametrize("keima", ["b", "w"])
def test_a_whole_game_against_gnu_go_whose_count_is_ours(keima):
    """Over both programs' GTP. A passed game is counted the same by both once dead stones are agreed on."""
    try:
        gnu_go = LineProcess("gnugo --mode gtp --level 0 --chinese-rules --boardsize 5 --komi 0.5 --seed 1")
    except GameError:
        pytest.skip("GNU Go is not installed")

    def ask_gnu_go(line: str) -> str:
        gnu_go.send(line, LONG_S)
        answer = gnu_go.receive(time.monotonic() + LONG_S) or ""
        while (gnu_go.receive(time.monotonic() + LONG_S) or "") != "":
            pass
        return answer

    gtp = engine("go:5,komi=0.5,rules=chinese", lambda game: make_player("rollout:200 seed=1", game))
    colour, passes = "b", 0
    while passes < 2:
        asked, told = (ask_keima(gtp), ask_gnu_go) if colour == keima else (ask_gnu_go, ask_keima(gtp))
        answer = asked(f"genmove {colour}")
        assert answer.startswith("= "), answer
        assert told(f"play {colour} {answer[2:]}").startswith("="), answer
        passes = passes + 1 if answer[2:].lower() == "pass" else 0
        colour = "bw"[colour == "b"]
        assert len(gtp.position.actions) < 75
    assert gtp.position.is_over
    scores = [ask("final_score") for ask in (ask_keima(gtp), ask_gnu_go)]
    gnu_go.close("quit")
    assert scores[0] == scores[1]


def ask_keima(gtp: GtpEngine):
    return lambda line: (gtp.handle(line) or "").strip()
