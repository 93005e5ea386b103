"""SGF: there and back, files that other programs write, and what is damaged or no such game."""

import numpy as np
import pytest

from keima.agent.records.files import load, save
from keima.agent.records.keima_text import from_text, to_text
from keima.agent.records.record import RESULTS, GameRecord, record_of
from keima.agent.records.sgf import from_sgf, to_sgf
from keima.games import load as load_game
from keima.games.contract import GameError
from keima.games.position import Position, position_after


def random_game(game, seed: int, plies: int) -> Position:
    random, position = np.random.default_rng(seed), Position(game)
    while not position.is_over and len(position.actions) < plies:
        position.play(int(random.choice(position.legal_actions())))
    return position


def replayed(game, actions: list[int]) -> Position:
    return GameRecord(game, actions).position()


GAMES = [
    "gomoku",
    "gomoku:5,win=4",
    "gomoku:19",
    "go",
    "go:5",
    "go:19,komi=6.5,rules=chinese,ko=simple",
    "go:9,komi=-3,suicide=yes",
    "go:9,handicap=4,komi=0.5",
    "go:9,handicap=3,placement=free",
]


@pytest.mark.parametrize("name", GAMES)
def test_games_come_back_as_they_were(name, tmp_path):
    game = load_game(name)
    for seed, plies in enumerate((0, 1, 2, 25, 400)):
        position = random_game(game, seed, plies)
        if getattr(game, "placement", "") == "free":  # SGF keeps those stones in no order
            position = replayed(game, sorted(position.actions[:3]) + position.actions[3:])
        record = record_of(position, ("Schwarz [ä]", "White \\ :"))
        # Freely placed stones are no moves in SGF: what is said of them is said of the beginning.
        last = len(position.actions)
        record.comments = {last: "the end] of\nit"} if last > 3 else {}
        path = tmp_path / f"{seed}.sgf"
        save(record, path)
        assert load(path) == record
        assert load(path, game).position().state.tolist() == position.state.tolist()


def test_the_file_is_what_others_read():
    record = record_of(position_after("gomoku:9", ["e5", "a1", "i9"]), ("Ada", "Grace"), result="1-0", ending="time")
    record.comments = {2: "far away"}
    text = to_sgf(record).decode().replace("\n", "")
    assert text.startswith("(;FF[4]")
    for part in ("GM[4]", "SZ[9]", "CA[UTF-8]", "PB[Ada]", "PW[Grace]", "RE[B+T]", ";B[ee];C[far away]W[ai];B[ia])"):
        assert part in text


def test_a_file_of_another_program_is_read():
    data = """(;GM[1]FF[4]SZ[9]KM[6.5]RU[Japanese]PB[Black Joe]PW[Zoë]DT[2024-02-29]RE[W+3.5]GN[x]
      C[Before it all];B[ee]C[Tengen];W[cc](;B[gc]N[main];C[nothing played];W[])(;B[aa]))"""
    record = from_sgf(data.encode())
    assert record.game == load_game("go:9,komi=6.5,rules=japanese,ko=simple")
    assert record.position().moves_text() == position_after(record.game, ["e5", "c7", "g7", "pass"]).moves_text()
    assert record.players == ("Black Joe", "Zoë")
    assert (record.result, record.ending, record.date) == ("0-1", "3.5 points", "2024-02-29")
    assert record.comments == {0: "Before it all", 1: "Tengen", 3: "nothing played"}
    assert from_sgf(to_sgf(record)) == record


def test_encodings():
    assert from_sgf("(;SZ[9]CA[ISO-8859-1]PB[Zoë])".encode("latin-1")).players[0] == "Zoë"
    assert from_sgf("(;SZ[9]PB[Zoë])".encode("latin-1")).players[0] == "Zoë"
    assert from_sgf("(;SZ[9]PB[本因坊])".encode()).players[0] == "本因坊"


@pytest.mark.parametrize(
    ("stones", "placement"),
    [("[gc][cg]", "fixed"), ("[gc][dd]", "free")],
    ids=["where the rules put them", "elsewhere"],
)
def test_handicap_stones(stones, placement):
    record = from_sgf(f"(;GM[1]SZ[9]KM[0.5]HA[2]AB{stones};W[ee];B[aa])".encode())
    assert (record.game.handicap, record.game.placement) == (2, placement)
    position = record.position()
    assert (record.game.board(position.state) == 1).sum() == 3
    assert position.moves_text()[-2:] == ["e5", "a9"]
    assert position.player == 1
    assert from_sgf(to_sgf(record)) == record


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("B+R", ("1-0", "resignation")),
        ("W+Time", ("0-1", "time")),
        ("b+forfeit", ("1-0", "forfeit")),
        ("W+12.5", ("0-1", "12.5 points")),
        ("B+", ("1-0", "as recorded")),
        ("0", ("1/2-1/2", "as recorded")),
        ("Draw", ("1/2-1/2", "as recorded")),
        ("?", ("*", "")),
        ("Void", ("*", "")),
        ("", ("*", "")),
        ("nonsense", ("*", "")),
    ],
)
def test_results(written, expected):
    record = from_sgf(f"(;GM[1]SZ[5]RE[{written}];B[aa])".encode())
    assert (record.result, record.ending) == expected
    assert from_sgf(to_sgf(record)) == record


def black_and_white(position) -> tuple[int, int]:
    board = position.game.board(position.state)
    return int((board == 1).sum()), int((board == 2).sum())


@pytest.mark.parametrize(
    ("data", "stones", "to_move", "setup"),
    [
        ("(;GM[1]SZ[9]AB[aa][bb][cc]AW[ee])", (3, 1), 0, 6),
        ("(;GM[1]SZ[9]AB[aa][bb][cc]AW[ee]PL[W])", (3, 1), 1, 5),
        ("(;GM[1]SZ[9]AW[ee]PL[B])", (0, 1), 0, 2),
        ("(;GM[1]SZ[9]AW[ee]PL[W])", (0, 1), 1, 3),
        ("(;GM[1]SZ[9]PL[White])", (0, 0), 1, 1),
        ("(;GM[1]SZ[9]AB[ee];B[gc])", (2, 0), 1, 2),
        ("(;GM[1]SZ[9]HA[3]AB[aa][bb]AW[cc];W[ee])", (2, 2), 0, 3),
        ("(;GM[1]SZ[9]AB[aa:cc]AW[ee];W[ff])", (9, 2), 0, 17),
        ("(;GM[1]SZ[9];W[ee])", (0, 1), 0, 1),
        ("(;GM[1]SZ[9];AB[aa][bb]AW[ee];PL[W])", (2, 1), 1, 3),
        ("(;GM[1]SZ[9]AB[aa];AB[bb]AE[aa];AW[aa];W[ff])", (1, 2), 0, 3),
        ("(;GM[1]SZ[9]PL[B]HA[2]AB[dd][ee];B[cc])", (3, 0), 1, 3),
        ("(;GM[1]SZ[9]HA[2]AB[gc][cg];B[cc])", (3, 0), 1, 1),
    ],
)
def test_stones_set_up(data, stones, to_move, setup):
    """Their moves come before the game's, and are not told as such."""
    record = from_sgf(data.encode())
    position = record.position()
    assert black_and_white(position) == stones
    assert position.player == to_move
    assert record.setup == setup
    again = to_sgf(record)
    assert from_sgf(again) == record
    assert again.count(b";") == 1 + data.count(";B[") + data.count(";W[")
    assert from_text(to_text(record)) == record


def test_handicap_by_moves_and_by_agreement():
    """OGS lets Black place his stones by moves; some files say how many there are and not where."""
    by_moves = from_sgf(b"(;GM[1]SZ[9]KM[0.5]HA[2]RU[chinese];B[ee];B[cc];W[gg])")
    assert (by_moves.game.placement, by_moves.game.handicap, by_moves.game.rules) == ("free", 2, "chinese")
    assert by_moves.position().moves_text() == ["e5", "c7", "g3"]
    agreed = from_sgf(b"(;GM[1]SZ[9]KM[0.5]HA[2];W[ee])")
    assert (agreed.game.placement, agreed.game.handicap) == ("fixed", 2)
    unsaid = from_sgf(b"(;GM[1]SZ[9]AB[cc][gg][ee];W[aa])")
    assert (unsaid.game.placement, unsaid.game.handicap, unsaid.setup) == ("free", 3, 0)
    for text in ("HA[0]", "HA[1]", "HA[]"):
        assert from_sgf(f"(;GM[1]SZ[9]KM[0.5]{text};B[ee];W[cc])".encode()).game == load_game("go:9,komi=0.5")


def test_files_as_servers_write_them():
    """Properties of their own, times, sizes written twice, empty ones, odd komi, AGA rules, a byte order mark."""
    data = """﻿(;FF[4]CA[UTF-8]GM[1]AP[x:3]GN[friendly match]SZ[9:9]KM[]TM[600]OT[3x30 byo-yomi]RU[AGA]WR[5k]BR[?]
    XX[odd][two]MULTIGOGM[1]PC[https://example.org/game/1]C[Ada: gl\n];B[ee]BL[599.2]OB[3]LB[cc:A]TR[dd];W[cc]WL[1]
    (;B[gc]BM[1]MN[3]CR[aa])(;B[aa]C[variation]))"""
    record = from_sgf(data.encode())
    assert record.game == load_game("go:9,rules=aga,ko=situational")
    assert record.position().moves_text() == ["e5", "c7", "g7"]
    assert from_sgf(b"(;GM[1]SZ[9]KM[6,5];B[ee])").game.komi == 6.5
    for written, points in (("375", 7.5), ("3.75", 7.5), ("650", 6.5), ("0", 0), ("-5.5", -5.5), ("-325", -6.5)):
        assert from_sgf(f"(;GM[1]SZ[19]KM[{written}]RU[Chinese];B[ee])".encode()).game.komi == points, written
    assert from_sgf(b"(;GM[1]SZ[9]RU[NZ];B[ee])").game.suicide == "yes"


def test_rules_are_written_by_the_names_others_know():
    for rules, written in (
        ("chinese", b"RU[Chinese]"),
        ("japanese", b"RU[Japanese]"),
        ("tromp-taylor", b"RU[Tromp-Taylor]"),
        ("aga", b"RU[AGA]"),
    ):
        assert written in to_sgf(record_of(Position(load_game(f"go:9,rules={rules}"))))
    assert b"RU[" not in to_sgf(record_of(Position(load_game("gomoku:9"))))


def test_a_game_goes_on_from_before_two_passes():
    data = b"(;GM[1]SZ[5];B[cc];W[bb]C[fine];B[]C[done?];W[]C[no];B[dd];W[dc];B[];W[])"
    record = from_sgf(data)
    assert record.position().moves_text() == ["c3", "b4", "d2", "d3", "pass", "pass"]
    assert record.comments == {2: "fine\ndone?\nno"}


@pytest.mark.parametrize(
    ("data", "moves"),
    [
        ("(;GM[1]SZ[9];B[ee];B[cc];W[gg])", ["e5", "pass", "c7", "g3"]),
        ("(;GM[1]SZ[9];B[ee];W[gg];W[cc])", ["e5", "g3", "pass", "c7"]),
        ("(;GM[1]SZ[9];B[ee];W[];W[cc])", ["e5", "c7"]),
        ("(;GM[1]SZ[9];B[ee];B[])", ["e5", "pass", "pass"]),
    ],
)
def test_a_side_that_moves_twice_in_a_row(data, moves):
    """The other one passes in between, or its own pass before is none."""
    record = from_sgf(data.encode())
    assert record.position().moves_text() == moves
    assert from_sgf(to_sgf(record)) == record


def test_a_repetition_that_the_files_rules_allowed():
    """A file that does not name its rules may be of a game without superko; one that does is held to them."""
    game, superko = load_game("go:3,ko=simple"), load_game("go:3")
    random = np.random.default_rng(1)
    while True:
        position = Position(game)
        while not position.is_over:
            position.play(int(random.choice(position.legal_actions())))
        try:
            GameRecord(superko, position.actions).position()
        except GameError as error:
            if "is not legal" in str(error):
                break
    data = to_sgf(record_of(position))
    unnamed = data.replace(b"KEIMA[go:size=3,ko=simple]", b"")
    assert from_sgf(unnamed).game.ko == "simple"
    assert from_sgf(unnamed).actions == position.actions
    with pytest.raises(GameError, match=r"move [0-9]+: illegal move .*repeat a position"):
        from_sgf(unnamed, superko)


@pytest.mark.parametrize("moves", [11, 12, 13, 30])
def test_a_long_game_goes_on_after_its_last_move(moves):
    """However many moves there are in training, here 12."""
    game = load_game("go:2,limit=60,ko=simple")
    random, position = np.random.default_rng(2), Position(game)
    while len(position.actions) < 30:
        position = Position(game)
        while not position.is_over and len(position.actions) < 30:
            position.play(int(random.choice(position.legal_actions())))
    data = to_sgf(record_of(replayed(game, position.actions[:moves])))
    record = from_sgf(data.replace(b"KEIMA[go:size=2,ko=simple,limit=60]", b""))
    assert record.actions == position.actions[:moves]
    assert not record.position().is_over
    assert record.result == "*"


def test_a_third_pass_and_a_result_that_people_agreed_on():
    data = b"(;GM[1]SZ[5]KM[0.5]RE[W+4];B[cc];W[];B[];W[tt])"
    record = from_sgf(data)
    assert record.position().is_over
    assert record.position().moves_text() == ["c3", "pass", "pass"]
    assert RESULTS[record.position().outcome] == "1-0"
    assert (record.result, record.ending) == ("0-1", "4 points")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("(;GM[1]SZ[9];B[ee];W[ee])", "move 2: illegal move 'e5'"),
        ("(;GM[4]SZ[9];B[ee];B[cc])", "move 2: it is White's turn, the move is Black's"),
        ("(;GM[4]SZ[9];W[ee])", "move 1: it is Black's turn, the move is White's"),
        ("(;GM[4]SZ[9];B[ee];W[])", "move 2: illegal move 'pass'"),
        (
            "(;GM[4]SZ[3]KEIMA[gomoku:3,win=3];B[aa];W[ba];B[ab];W[bb];B[ac];W[bc])",
            "move 6: the game was over before it",
        ),
        ("(;GM[1]SZ[9];B[ee];AB[aa])", "stones set up after move 1"),
        ("(;GM[1]SZ[3]AW[aa][ab][ba][bb]AB[ca][cb][cc][bc][ac])", "some have no liberty"),
        ("(;GM[4]SZ[9]AB[ee][ef])", "expected one X more than O where O is to move"),
        ("(;GM[2]SZ[8];B[ee])", r"expected Go \(GM\[1\]\) or Gomoku \(GM\[4\]\), got GM\[2\]"),
        ("(;GM[1]SZ[25])", "go: size is from 2 to 19, got 25"),
        ("(;GM[1]SZ[9]KM[many])", "no sound SGF"),
        ("(;GM[1]SZ[9]KM[inf])", "no sound SGF: KM: expected a number, got inf"),
        ("(;GM[1]SZ[9]KM[nan])", "no sound SGF: KM: expected a number, got nan"),
        ("(;GM[1]SZ[9]HA[inf])", "no sound SGF: HA: expected a number, got inf"),
        ("(;GM[1]SZ[nine])", "no sound SGF: bad SZ property"),
        ("(;GM[1]SZ[9];B[ee];W[zz])", "move 2: expected a point of the board or a pass, got 'zz'"),
        ("(;GM[1]SZ[9];B[ee];W[e])", "move 2: expected a point of the board or a pass, got 'e'"),
        ("(;GM[1]SZ[9];B[ee]", "no sound SGF"),
        ("(;GM[1]SZ[9]CA[KLINGON]PB[x];B[ee])", "no sound SGF"),
        ("(;GM[4]SZ[15]KEIMA[gomoku:9])", "a board of size 15, expected 9, that of gomoku:size=9"),
        ("nothing", "no sound SGF: no SGF data found"),
        ("", "no sound SGF"),
    ],
)
def test_what_is_damaged_or_no_such_game_is_said(data, message):
    with pytest.raises(GameError, match=message) as caught:
        from_sgf(data.encode(), source="x.sgf")
    assert str(caught.value).startswith("x.sgf: ")
    assert "\n" not in str(caught.value)


def test_no_file_is_named_to_be_run(tmp_path):
    """Keima's own property holds the game's parameters, and nothing else is taken from it."""
    code = tmp_path / "go.py"
    code.write_text("raise SystemExit('was run')")
    record = from_sgf(f"(;GM[1]SZ[9]KEIMA[{code}];B[ee])".encode())
    assert record.game == load_game("go:9")


def test_what_sgf_is_not_for_is_refused(tmp_path):
    with pytest.raises(GameError, match=r"SGF is for Go and Gomoku, not for connect4; .*\.keima\.txt"):
        save(record_of(Position(load_game("connect4"))), tmp_path / "x.sgf")
    with pytest.raises(GameError, match="move 2: action 3 is not legal"):
        to_sgf(GameRecord(load_game("gomoku:5"), [3, 3]))
    other = to_sgf(record_of(Position(load_game("gomoku:9"))))
    with pytest.raises(GameError, match=r"a record of gomoku:size=9, expected one of gomoku$"):
        from_sgf(other, load_game("gomoku"))
    with pytest.raises(GameError, match="a record of gomoku:size=9, expected one of connect4"):
        from_sgf(other, load_game("connect4"))


def test_what_a_file_does_not_say_is_the_callers():
    """A file of another program says nothing of suicide."""
    game = load_game("go:9,suicide=yes")
    assert from_sgf(b"(;GM[1]SZ[9];B[ee])", game).game == game


def test_no_damage_is_a_crash():
    sound = to_sgf(record_of(random_game(load_game("gomoku:9"), 3, 20), ("a", "b")))
    random, read, refused = np.random.default_rng(9), 0, 0
    for _ in range(800):
        data = bytearray(sound)
        for _ in range(random.integers(1, 4)):
            place = int(random.integers(len(data)))
            kind = random.integers(3)
            if kind == 0:
                del data[place:]
            elif kind == 1:
                data[place] = int(random.integers(256))
            else:
                data[place:place] = random.choice([b"(", b")", b";", b"[", b"]", b"\\", b"B[aa]", b"CA[x]", b"SZ[5]"])
            data = data or bytearray(b" ")
        try:
            from_sgf(bytes(data))
            read += 1
        except GameError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert read > 20
    assert refused > 200


def test_gomoku_may_begin_with_stones_set_up():
    record = from_sgf(b"(;GM[4]SZ[9]AB[ee][ef]AW[aa];W[bb];B[cc])")
    assert (
        record.start_text
        == "O......../........./........./........./....X..../....X..../........./........./......... O"
    )
    assert [record.game.action_to_text(record.game.new_state(), action) for action in record.actions] == ["b8", "c7"]
    assert from_sgf(to_sgf(record)).start_text == record.start_text
