"""GTP by transcripts, and by thousands of lines that no controller would send."""

import importlib.metadata
import random
import shlex
import sys
import time

import pytest

from keima.agent.contracts.clock import LATENCY_S, LEAST_S
from keima.agent.contracts.player import Player
from keima.agent.contracts.thinking import Limit, PrincipalVariation, SearchInfo, Thinker
from keima.agent.engines.process import LineProcess
from keima.agent.players.factory import make_player
from keima.agent.protocols.gtp.analysis_formats import lower_bound
from keima.agent.protocols.gtp.engine import GtpEngine, serve
from keima.games import load
from keima.games.contract import Game, GameError

LONG_S = 60.0


class FirstMove(Player):
    """Plays the first legal action, so that transcripts do not depend on a search."""

    name = "first"

    def choose(self, position):
        return position.legal_actions()[0]


def engine(game: str, player_for=lambda game: FirstMove()) -> GtpEngine:
    return GtpEngine(load(game), player_for)


def transcript(game: str, text: str) -> None:
    """Plays a transcript: `> line`, then the response's lines, up to the next `>`; none where none is expected."""
    gtp = engine(game)
    for exchange in text.strip().split("> ")[1:]:
        line, _, expected = exchange.partition("\n")
        response = gtp.handle(line + "\n")
        if not expected.strip():
            assert response is None, line
        else:
            assert response is not None, line
            assert response.endswith("\n\n")
            assert "\n\n" not in response[:-2]
            shown = "\n".join(row.strip() for row in expected.strip().splitlines())
            assert "\n".join(row.strip() for row in response.strip().splitlines()) == shown, line


def test_connect4():
    transcript(
        "connect4",
        """
        > 1 protocol_version
        =1 2
        > name
        = Keima
        > 07 boardsize 7
        =07
        > boardsize 19
        ? unacceptable size
        > boardsize big
        ? boardsize not an integer
        > clear_board
        =
        > komi 6.5
        =
        > komi lots
        ? komi not a float
        > komi 1e9
        ? expected a komi from -1000 to 1000, got 1e9
        > komi -1000.5
        ? expected a komi from -1000 to 1000, got -1000.5
        > play black 4
        =
        > PLAY black 4
        ? unknown command
        > play black 4
        ? illegal move: white is to move
        > play W 4
        =
        > genmove b
        = 1
        > genmove b
        ? white is to move
        > 8 reg_genmove w
        =8 1
        > showboard
        =
        . . . . . . .
        . . . . . . .
        . . . . . . .
        . . . . . . .
        . . . O . . .
        X . . X . . .
        1 2 3 4 5 6 7
        white to move
        > undo
        =
        > undo
        =
        > undo
        =
        > undo
        ? cannot undo
        > final_score
        ? cannot score: the game is not over
        > time_settings 300 30 1
        =
        > time_left b 120 0
        =
        > quit
        =
        """,
    )


def test_tictactoe_to_the_end():
    transcript(
        "tictactoe",
        """
        > play b a1
        =
        > play w A1
        ? illegal move
        > play w B2
        =
        > play b a2
        =
        > play w d9
        ? invalid color or coordinate
        > play w pass
        ? invalid color or coordinate
        > play w c2
        =
        > play b a3
        =
        > final_score
        = B+
        > genmove w
        = resign
        > genmove b
        = pass
        > play w resign
        =
        > play w c3
        ? illegal move
        > showboard
        =
          a b c
        3 X . .
        2 X O O
        1 X . .
        over
        > undo
        =
        > genmove b
        = a3
        """,
    )


def test_othello_passes_and_counts():
    transcript(
        "othello:4",
        """
        > boardsize 5
        ? unacceptable size
        > boardsize 4
        =
        > play b d3
        =
        > play w pass
        ? illegal move
        > play w d2
        =
        > play b d1
        =
        > play w d4
        =
        > play b b4
        =
        > play w a1
        ? illegal move
        > genmove w
        = pass
        > undo
        =
        > play w PASS
        =
        > genmove b
        = a1
        > final_score
        = B+8
        > play w pass
        =
        > showboard
        =
          a b c d
        1 X . . X
        2 . X X X
        3 . X X X
        4 . X . O
        over
        > clear_board
        =
        > final_score
        ? cannot score: the game is not over
        """,
    )


def test_the_version_is_the_packages_unless_another_is_asked_for():
    assert engine("connect4").handle("version") == f"= {importlib.metadata.version('keima')}\n\n"
    asked_for = GtpEngine(load("connect4"), lambda game: FirstMove(), version="0.17 of\n\nnobody")
    assert asked_for.handle("version") == "= 0.17 of nobody\n\n"


def test_what_controllers_ask_beside_the_game():
    gtp = engine("connect4")
    assert gtp.handle("7 stop") == "=7\n\n"
    answer = gtp.handle("cputime") or ""
    assert float(answer.removeprefix("= ")) > 0


def test_lines_are_preprocessed_as_the_protocol_asks():
    gtp = engine("connect4")
    assert gtp.handle("") is None
    assert gtp.handle(" \t \r\n") is None
    assert gtp.handle("# a comment\n") is None
    assert gtp.handle("3 # a comment\n") == "?3 syntax error\n\n"
    assert gtp.handle("\x07\x00 12\tna\x1bme # asks for it\r\n") == "=12 Keima\n\n"
    assert gtp.handle("12x name") == "? unknown command\n\n"
    assert gtp.handle("-1 name") == "? unknown command\n\n"
    assert gtp.handle("play") == "? syntax error\n\n"
    assert gtp.handle("play b") == "? syntax error\n\n"
    assert gtp.handle("play red 4") == "? invalid color or coordinate\n\n"
    assert gtp.handle("genmove") == "? syntax error\n\n"
    assert gtp.handle("time_settings 1 2") == "? syntax error\n\n"
    assert gtp.handle("time_left b soon 0") == "? syntax error\n\n"


def test_commands_are_listed_and_known():
    gtp = engine("connect4")
    listed = gtp.handle("list_commands")
    assert listed is not None
    commands = listed[2:].split()
    required = "protocol_version name version known_command list_commands quit boardsize clear_board komi play genmove"
    assert set(required.split()) <= set(commands)
    for command in commands:
        assert gtp.handle(f"known_command {command}") == "= true\n\n"
    assert gtp.handle("known_command loadsgf") == "= false\n\n"
    assert not gtp.finished
    assert gtp.handle("quit") == "=\n\n"
    assert gtp.finished


def test_another_board_size_is_another_game_with_its_own_player():
    sizes = []

    def player_for(game: Game):
        if game.shape[0] > 7:
            raise GameError("no net for that size")
        sizes.append(game.shape[0])
        return make_player("rollout:4", game)

    gtp = engine("hex:5", player_for)
    assert gtp.handle("play b a1") == "=\n\n"
    assert gtp.handle("boardsize 6") == "=\n\n"
    assert gtp.position.actions == []
    assert gtp.position.game.spec == "hex:size=6"
    assert gtp.handle("boardsize 8") == "? unacceptable size\n\n"
    assert gtp.handle("boardsize 0") == "? unacceptable size\n\n"
    assert gtp.position.game.spec == "hex:size=6"
    response = gtp.handle("genmove b")
    assert response is not None
    assert response.startswith("= ")
    assert sizes == [5, 6]


class Aloud(Thinker):
    """Plays the first legal action, and tells of its search_info: a report after each of three visits."""

    name = "aloud"

    def __init__(self, fails: bool = False):
        self.limits: list[Limit | None] = []
        self.fails = fails
        self.closed = False

    def choose(self, position):
        return self.pick(self.think(position))

    def think(self, position, limit=None, *, should_stop=None, report=None):
        self.limits.append(limit)
        actions = position.legal_actions()
        for visits in range(1, 4):
            lines = tuple(
                PrincipalVariation(
                    action, visits if k == 0 else 0, 0.5 if k == 0 else None, 1 / len(actions), (action,)
                )
                for k, action in enumerate(actions)
            )
            search_info = SearchInfo(lines, visits, 0.1 * visits, 0.5, None, ((0, actions[0]),))
            if report is not None:
                report(search_info)
            if self.fails:
                raise GameError("the network said what is no number")
            if should_stop is not None and should_stop():
                break
        self.last_info = search_info
        return search_info

    def pick(self, search_info):
        return search_info.variations[0].action

    def close(self):
        self.closed = True


class Script:
    """Lines as they come: the next one is there after so many questions whether it is."""

    def __init__(self, *lines: str, patience: int = 0):
        self._lines = list(lines)
        self._resignation_policy, self._asked = patience, 0

    def next(self):
        self._asked = 0
        return self._lines.pop(0) if self._lines else None

    def wait(self):
        self._asked = self._resignation_policy

    def is_ready(self):
        self._asked += 1
        return self._asked > self._resignation_policy


def served(gtp: GtpEngine, *lines: str, patience: int = 0) -> str:
    written: list[str] = []
    serve(gtp, Script(*lines, patience=patience), written.append)
    return "".join(written)


def info(visits: int) -> str:
    """What is told after so many visits."""
    low = round(10_000 * lower_bound(0.75, visits))
    return f"info move 1 visits {visits} winrate 7500 prior 1429 lcb {low} order 0 pv 1\n"


def test_analysis_goes_on_until_the_next_line():
    assert served(engine("connect4", lambda game: Aloud()), "7 lz-analyze b 0", "name", patience=1) == (
        "=7\n" + info(1) + info(2) + "\n= Keima\n\n"
    )
    assert served(engine("connect4", lambda game: Aloud()), "lz-analyze 0", patience=99) == (
        "=\n" + info(1) + info(2) + info(3) + "\n"
    )


def test_analysis_is_told_at_its_interval_and_at_the_end():
    ticks = iter(range(100))
    gtp = GtpEngine(load("connect4"), lambda game: Aloud(), clock=lambda: float(next(ticks)))
    assert served(gtp, "lz-analyze b 1000", "quit", patience=99) == ("=\n" + info(1) + info(3) + "\n=\n\n")


def test_a_move_with_its_analysis():
    gtp = engine("connect4", lambda game: Aloud())
    assert served(gtp, "3 lz-genmove_analyze b 0") == ("=3\n" + info(1) + info(2) + info(3) + "play 1\n\n")
    assert gtp.position.actions == [0]
    answer = served(gtp, "kata-genmove_analyze w 0 maxmoves 1")
    low = lower_bound(0.75, 1)
    assert answer.startswith(
        "=\ninfo move 1 visits 1 utility 0.5 winrate 0.75 prior 0.142857 "
        f"lcb {low:.6g} utilityLcb {2 * low - 1:.6g} order 0 pv 1\n"
    )
    assert answer.endswith("\nplay 1\n\n")


def test_a_move_that_is_searched_and_not_made():
    gtp = engine("connect4", lambda game: make_player("rollout:20", game))
    for _ in range(2):
        answer = gtp.handle("kata-search_analyze b 1 allow b 3 1") or ""
        assert answer.startswith("=\ninfo move 3 visits ")
        assert answer.endswith("\nplay 3\n\n")
        assert gtp.position.actions == []


def test_a_moves_analysis_is_told_at_the_end_however_long_the_interval():
    gtp = engine("connect4", lambda game: Aloud())
    assert served(gtp, "lz-genmove_analyze b 100000") == ("=\n" + info(1) + info(3) + "play 1\n\n")


def test_analysis_that_cannot_be():
    gtp = engine("connect4")
    assert gtp.handle("lz-analyze b 10") == "? first has nothing to tell of its moves\n\n"
    assert "analyze" not in (gtp.handle("list_commands") or "")
    assert gtp.handle("known_command lz-analyze") == "= false\n\n"
    gtp = engine("connect4", lambda game: Aloud())
    assert gtp.handle("known_command kata-genmove_analyze") == "= true\n\n"
    assert gtp.handle("4 lz-analyze w 10") == "?4 black is to move\n\n"
    assert gtp.handle("lz-analyze b soon") == "? syntax error\n\n"
    assert gtp.handle("lz-analyze b 1 avoid b 1,2,3,4,5,6,7 5") == "? no move is left\n\n"
    assert gtp.handle("lz-genmove_analyze b 1 avoid b 8 5") == "? invalid color or coordinate\n\n"
    assert gtp.position.actions == []
    for move in "1122334":
        gtp.handle(f"play {'bw'[gtp.position.player]} {move}")
    assert gtp.position.is_over
    assert gtp.handle("lz-analyze b 10") == "? the game is over\n\n"
    assert gtp.handle("lz-genmove_analyze w 10") == "=\nplay resign\n\n"


def test_moves_that_are_to_be_avoided_are_not_searched():
    gtp = engine("connect4", lambda game: make_player("rollout:40", game))
    answer = served(gtp, "lz-analyze b 0 avoid b 1,2,3,4,5 1", patience=50)
    assert "info move 6 visits" in answer
    assert "info move 4 visits" not in answer
    assert (gtp.handle("lz-genmove_analyze b 1 allow b 2 1") or "").endswith("\nplay 2\n\n")
    assert "info move 4 visits" in (gtp.handle("lz-genmove_analyze 1") or "")  # nothing of it is left
    raw = engine("connect4", lambda game: make_player("raw", game))
    answer = raw.handle("lz-genmove_analyze b 1 allow b 2,7 1") or ""
    assert answer.endswith(("\nplay 2\n\n", "\nplay 7\n\n"))


def test_what_goes_wrong_under_way_ends_the_answer_and_is_logged():
    logged: list[str] = []
    gtp = GtpEngine(load("connect4"), lambda game: Aloud(fails=True), log=logged.append)
    assert gtp.handle("lz-analyze b 10") == "=\n" + info(1) + "\n"
    assert logged == ["lz-analyze: the network said what is no number"]
    assert gtp.handle("genmove b") == "? the network said what is no number\n\n"
    assert gtp.position.actions == []


def limits(*lines: str, **options) -> list[Limit | None]:
    """What a player is asked to keep to; each move takes a second."""
    ticks = iter(range(1000))
    player = Aloud()
    gtp = GtpEngine(load("connect4"), lambda game: player, clock=lambda: float(next(ticks)), **options)
    for line in lines:
        response = gtp.handle(line)
        assert response is not None
        assert response.startswith("="), (line, response)
    return player.limits


def test_time_settings_limit_moves():
    assert (
        limits("genmove b", "time_settings 100 10 0", "genmove w", "kgs-time_settings none", "genmove b") == [None] * 3
    )
    share = 84 / 21 - LATENCY_S
    assert limits("time_settings 84 0 0", "genmove b") == [Limit(None, share)]
    assert limits("kgs-time_settings absolute 84", "genmove b") == [Limit(None, share)]
    assert limits("kgs-time_settings byoyomi 0 5 3", "genmove b") == [Limit(None, 4 - LATENCY_S)]
    assert limits("kgs-time_settings canadian 0 50 10", "genmove b") == [Limit(None, 4 - LATENCY_S)]
    assert limits("time_settings 0 50 10", "time_left b 20 5", "genmove b") == [Limit(None, 3.2 - LATENCY_S)]
    used = limits("time_settings 84 0 0", "genmove b", "genmove w", "genmove b")
    assert used == [Limit(None, share), Limit(None, 84 / 20 - LATENCY_S), Limit(None, 83 / 20 - LATENCY_S)]
    assert limits("time_settings 84 0 0", "time_left b -3 0", "genmove b") == [Limit(None, LEAST_S)]
    untold = limits("time_left b 84 0", "genmove b", "time_left w 20 5", "genmove w")
    assert untold == [Limit(None, share), Limit(None, 3.2 - LATENCY_S)]
    assert limits("kgs-time_settings none", "time_left b 10 0", "genmove b") == [None]
    again = limits("time_settings 84 0 0", "genmove b", "clear_board", "genmove b")
    assert again == [Limit(None, share)] * 2  # a new game, a full clock


def test_what_was_asked_for_holds_whatever_the_time_allows():
    assert limits("time_settings 84 0 0", "genmove b", simulations=50) == [Limit(50, 84 / 21 - LATENCY_S)]
    assert limits("time_settings 84 0 0", "genmove b", seconds=0.5) == [Limit(None, 0.5)]
    assert limits("genmove b", simulations=50) == [None]  # the player knows


def test_an_only_move_takes_no_time():
    player = Aloud()
    gtp = engine("othello:4", lambda game: player)
    for line in ("time_settings 100 0 0", "play b d3", "play w d2", "play b d1", "play w d4", "play b b4"):
        assert gtp.handle(line) == "=\n\n"
    assert gtp.handle("genmove w") == "= pass\n\n"
    assert player.limits == [Limit(simulations=1)]


def test_malformed_time_settings():
    gtp = engine("connect4")
    for line in (
        *(
            "time_settings 1 2 x",
            "time_settings -1 2 3",
            "time_settings nan 2 3",
            "time_left b 10",
            "time_left b 1e5 0",
        ),
        *("kgs-time_settings", "kgs-time_settings fischer 3 3", "kgs-time_settings byoyomi 3 3"),
        *("kgs-time_settings canadian 3 3 x", "kgs-time_settings absolute"),
    ):
        assert gtp.handle(line) == "? syntax error\n\n", line


def test_go_with_komi_and_handicap():
    transcript(
        "go:9",
        """
        > komi 0.5
        =
        > komi 0.3
        =
        > get_komi
        = 0.3
        > komi -1e3
        =
        > get_komi
        = -1000
        > komi 0.5
        =
        > fixed_handicap 2
        = G7 C3
        > fixed_handicap 2
        ? board not empty
        > undo
        ? cannot undo
        > genmove w
        = A9
        > clear_board
        =
        > fixed_handicap 1
        ? invalid number of stones
        > fixed_handicap 10
        ? invalid number of stones
        > fixed_handicap some
        ? handicap not an integer
        > place_free_handicap 3
        = C7 G7 C3
        > play w a1
        =
        > clear_board
        =
        > place_free_handicap 81
        ? invalid number of stones
        > set_free_handicap A1 B1 A1
        ? bad vertex list
        > set_free_handicap A1 pass
        ? bad vertex list
        > set_free_handicap A1
        ? bad vertex list
        > play b e5
        =
        > set_free_handicap A1 B2
        ? board not empty
        > undo
        =
        > set_free_handicap A1 B2
        =
        > play w PASS
        =
        > play b pass
        =
        > final_score
        = B+80.5
        > boardsize 5
        =
        > fixed_handicap 2
        ? invalid number of stones
        > showboard
        =
          a b c d e
        5 . . . . .
        4 . . . . .
        3 . . . . .
        2 . . . . .
        1 . . . . .
        black to move
        > known_command set_free_handicap
        = true
        """,
    )


def test_records(tmp_path):
    file = tmp_path / "game.sgf"
    logged: list[str] = []
    gtp = GtpEngine(load("go:5"), lambda game: FirstMove(), log=logged.append)
    for line in ("komi 3.5", "play b c3", "play w d3", "play b c2"):
        assert gtp.handle(line) == "=\n\n"
    printed = gtp.handle("printsgf")
    assert printed is not None
    assert printed.startswith("= (;")
    assert ";B[cc];W[dc];B[cd]" in printed.replace("\n", "")
    assert gtp.handle("printsgf -") == printed
    assert gtp.handle(f"printsgf {file}") == "=\n\n"
    for line, moves in ((f"loadsgf {file}", 3), (f"loadsgf {file} 2", 1), (f"loadsgf {file} 99", 3)):
        assert gtp.handle("boardsize 9") == "=\n\n"
        assert gtp.handle(line) == "=\n\n"
        assert len(gtp.position.actions) == moves
        assert gtp.position.game == load("go:5,komi=3.5")
    file.write_text("(;GM[1]SZ[5]AB[aa][bb]AW[cc];B[dd];W[ee])")
    assert gtp.handle("komi 7.5") == "=\n\n"
    for line, moves in ((f"loadsgf {file}", 2), (f"loadsgf {file} 2", 1), (f"loadsgf {file} 1", 0)):
        assert gtp.handle(line) == "=\n\n"
        assert (gtp.position.game.board(gtp.position.state) > 0).sum() == 3 + moves
        for _ in range(moves):
            assert gtp.handle("undo") == "=\n\n"
        assert gtp.handle("undo") == "? cannot undo\n\n"  # what is set up stays
    file.write_text("(;GM[1]SZ[5];B[cc];W[cc])")
    before = gtp.position
    assert gtp.handle(f"loadsgf {file}") == "? cannot load file\n\n"
    assert gtp.handle(f"loadsgf {tmp_path / 'none'}") == "? cannot load file\n\n"
    assert gtp.handle(f"loadsgf {tmp_path}") == "? cannot load file\n\n"
    assert gtp.handle(f"loadsgf {file} x") == "? syntax error\n\n"
    assert gtp.position is before
    assert "move 2: illegal move 'c3'" in logged[0]
    assert logged[1] == f"loadsgf: {tmp_path / 'none'}: expected an SGF file of at most 1048576 bytes"
    assert (gtp.handle(f"printsgf {tmp_path / 'game.txt'}") or "").startswith("? ")
    assert engine("connect4").handle("printsgf") == "? unknown command\n\n"


def test_a_position_is_set_up_from_text():
    transcript(
        "tictactoe",
        """
        > keima-position
        = .../.../... X
        > keima-position X.O/.X./... O
        =
        > play b c1
        ? illegal move: white is to move
        > genmove w
        = b3
        > undo
        =
        > keima-position
        = X.O/.X./... O
        > keima-position a1 b2
        =
        > 1 keima-position X.O/.X. O
        ?1 position 'X.O/.X. O': expected 3 rows with / between them, got 2
        > keima-position XXX/OO./... O
        ? the game is over in this position
        > clear_board
        =
        > keima-position
        = .../.../... X
        """,
    )


def test_another_komi_keeps_the_position():
    gtp = engine("go:5")
    assert gtp.handle("keima-position ...../..X../...../...../..... O") == "=\n\n"
    assert gtp.handle("play w c2") == "=\n\n"
    assert gtp.handle("komi 0.5") == "=\n\n"
    assert gtp.handle("keima-position") == "= ...../..X../...../..O../..... X\n\n"


def test_what_a_record_does_not_say_stays_as_it_is(tmp_path):
    file = tmp_path / "game.sgf"
    logged: list[str] = []
    gtp = GtpEngine(load("go:9,rules=japanese,komi=6.5,limit=300"), lambda game: FirstMove(), log=logged.append)
    for said, then in (
        ("SZ[5]", "go:5,rules=japanese,komi=6.5"),
        ("SZ[9]KM[0.5]", "go:9,rules=japanese,komi=0.5"),
        ("SZ[9]RU[Chinese]", "go:9,rules=chinese,komi=0.5"),
        ("SZ[9]RU[House rules]KM[3]", "go:9,rules=chinese,komi=3"),
    ):
        file.write_text(f"(;GM[1]{said};B[cc])")
        assert gtp.handle(f"loadsgf {file}") == "=\n\n"
        assert gtp.position.game == load(then)
        assert gtp.handle("clear_board") == "=\n\n"
        assert gtp.position.game == load(f"{then},limit=300")
    assert logged == [f"loadsgf: {file}: rules that are not known, 'House rules': those there were are kept"]


def test_players_are_made_once_a_game_and_closed():
    made = {}

    def player_for(game):
        made.setdefault(game.label, []).append(Aloud())
        return made[game.label][-1]

    gtp = engine("go:5", player_for)
    for line in ("komi 5.5", "komi 7.5", "komi 5.5", "clear_board", "boardsize 6", "boardsize 7"):
        assert gtp.handle(line) == "=\n\n"
    assert {label: len(players) for label, players in made.items()} == dict.fromkeys(
        ("go:size=5", "go:size=5,komi=5.5", "go:size=6,komi=5.5", "go:size=7,komi=5.5"), 1
    )
    closed = [label for label, players in made.items() if players[0].closed]
    assert closed == ["go:size=5"]
    gtp.close()
    assert all(players[0].closed for players in made.values())


def test_a_search_that_is_watched_and_timed_in_a_process():
    """The real thing: output while it searches, which ends when a line comes; and moves on the clock."""
    script = "import sys; from keima.selfplay.commands import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "gtp", "connect4", "--opponent", "rollout:1000000"]
    process = LineProcess(shlex.join(words))

    def answer(line: str, until: str) -> list[str]:
        process.send(line, LONG_S)
        lines = [process.receive(time.monotonic() + LONG_S) or ""]
        while until not in lines[-1]:
            lines.append(process.receive(time.monotonic() + LONG_S) or "")
        return lines

    told = answer("7 kata-analyze b 1", "visits 1")  # of some move, one visit or a hundred
    assert told[0] == "=7"
    assert all(line.startswith("info move ") for line in told[1:])
    told = answer("8 name", "=8 Keima")
    assert told[-2] == ""  # the end of the analysis
    for k in range(6):
        assert answer("time_settings 2 0 0" if k == 0 else f"time_left {'bw'[k % 2]} 1 0", "=")
        assert answer(f"genmove {'bw'[k % 2]}", "= ")
    process.close("quit")
    assert process.complaints == []


COMMANDS = [
    "protocol_version",
    "name",
    "version",
    "known_command",
    "list_commands",
    "boardsize",
    "clear_board",
    "komi",
    "play",
    "genmove",
    "reg_genmove",
    "undo",
    "showboard",
    "final_score",
    "time_settings",
    "kgs-time_settings",
    "time_left",
    "fixed_handicap",
    "place_free_handicap",
    "set_free_handicap",
    "loadsgf",
    "printsgf",
    "clear_cache",
    "get_komi",
    "kata-get-rules",
    "kata-set-rules",
    "kata-set-rule",
    "kgs-rules",
    "final_status_list",
    "kgs-genmove_cleanup",
    "kgs-game_over",
    "kata-raw-nn",
    "lz-analyze",
    "kata-analyze",
    "lz-genmove_analyze",
    "kata-genmove_analyze",
    "kata-search_analyze",
    "stop",
    "cputime",
    "quit",
]
ARGUMENTS = [
    *(
        "b",
        "w",
        "black",
        "WHITE",
        "pass",
        "resign",
        "a1",
        "b2",
        "j9",
        "i5",
        "c3xd4",
        "4",
        "7",
        "-3",
        "0",
        "1",
        "2",
        "9",
    ),
    *("1e999", "nan", "inf", "0.5", "6.5", "100", "30", "5", "#", "é", "\x00", "\x7f", "\t", "=1", "?", "²", "\udcff"),
    *("99999999999999999999", "none", "absolute", "byoyomi", "canadian", "interval", "maxmoves", "rootInfo", "true"),
    *(
        "chinese",
        "japanese",
        "aga",
        '{"ko":"SIMPLE"}',
        '{"ko":[]}',
        '{"scoring":"AREA","suicide":true}',
        "dead",
        "seki",
    ),
    *("undo", "genmove b", "play b", ".", "/", "x.sgf", "avoid", "\u2028", "\x85", "a" * 3000),
]


def mutated(line: str, generator: random.Random) -> str:
    """The line with some characters dropped, doubled, exchanged or changed."""
    characters = list(line)
    for _ in range(generator.randrange(1, 4)):
        if not characters:
            break
        place = generator.randrange(len(characters))
        kind = generator.randrange(4)
        if kind == 0:
            del characters[place]
        elif kind == 1:
            characters.insert(place, characters[place])
        elif kind == 2:
            other = generator.randrange(len(characters))
            characters[place], characters[other] = characters[other], characters[place]
        else:
            characters[place] = chr(generator.choice((generator.randrange(128), generator.randrange(0x3000), 0xFFFD)))
    return "".join(characters)


def likely_line(gtp: GtpEngine, generator: random.Random) -> str:
    """A line that may well be right, so that games move on."""
    position = gtp.position
    colour = "bw"[position.player]
    if generator.random() < 0.4:
        return f"genmove {colour}"
    actions = position.legal_actions()
    move = position.game.action_to_text(position.state, generator.choice(actions)) if actions else "pass"
    return f"{generator.randrange(10**6)} play {colour} {move}"


@pytest.mark.parametrize(
    ("game", "count"),
    [("connect4", 30_000), ("othello:4", 30_000), ("breakthrough:5,columns=3", 15_000), ("go:4", 30_000)],
)
def test_any_line_gets_a_wellformed_answer_or_none(game: str, count: int, sized, tmp_path, monkeypatch):
    count = sized(count, count // 5)
    monkeypatch.chdir(tmp_path)  # printsgf may write there
    generator = random.Random(7)

    def player_for(game: Game):
        if game.shape[0] > 9:
            raise GameError("nobody plays that")
        return Aloud() if generator.random() < 0.5 else FirstMove()

    gtp = engine(game, player_for)
    played = refused = 0
    for i in range(count):
        kind = generator.random()
        if kind < 0.3:
            line = likely_line(gtp, generator)
        elif kind < 0.6:
            line = " ".join([generator.choice(COMMANDS), *generator.choices(ARGUMENTS, k=generator.randrange(5))])
        elif kind < 0.9:
            line = mutated(likely_line(gtp, generator) if kind < 0.75 else generator.choice(COMMANDS), generator)
        else:
            line = generator.randbytes(generator.randrange(40)).decode(errors="replace")
        before = gtp.position
        moves = len(before.actions)
        response = gtp.handle(line)
        played += len(gtp.position.actions) > moves
        if response is not None:
            assert response[0] in "=?", line
            assert response.endswith("\n\n"), line
            assert "\n\n" not in response[:-2], line
            assert "\r" not in response, line
            if response[0] == "?":
                refused += 1
                assert gtp.position is before, line
                assert len(before.actions) == moves, line
        if gtp.position.is_over and i % 5 == 0:
            assert gtp.handle("clear_board") == "=\n\n"
    assert played > count // 10
    assert refused > count // 10
