"""Game records: every game to a file and back, whatever is damaged said in one line, and a game judged throughout."""

import os
import re

import numpy as np
import pytest

from keima.agent.records.files import MAX_BYTES, load, save
from keima.agent.records.keima_text import from_text, to_text
from keima.agent.records.record import RESULTS, GameRecord, record_of, wdl_over_game
from keima.agent.system.storage import StorageFull
from keima.games import load as load_game
from keima.games import names
from keima.games.contract import GameError
from keima.games.position import Position, position_after
from tests.paths import ROOT

NOTAKTO = re.search(r"```python\n(\"\"\"Notakto.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
SOUND = """\
Keima game record, version 1
game: connect4
first: shipped, 200 simulations
second: Ada
date: 2025-11-21
result: 0-1
ending: resignation
moves: 3

; Nothing to see yet.
1. 4
2. 4
; The usual answer.
;   There is a better one.
3. 1
"""


def random_game(game, seed: int, plies: int | None = None) -> Position:
    random, position = np.random.default_rng(seed), Position(game)
    while not position.is_over and (plies is None or len(position.actions) < plies):
        position.play(int(random.choice(position.legal_actions())))
    return position


def error_of(text: str, **options) -> str:
    with pytest.raises(GameError) as caught:
        from_text(text, source="x.keima.txt", **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("x.keima.txt")
    return message


@pytest.mark.parametrize("name", names())
def test_a_game_that_began_elsewhere_says_where(name, tmp_path):
    game = load_game(name)
    start = random_game(game, 1, 6).state
    position = Position(game, start)
    while not position.is_over and len(position.actions) < 9:
        position.play(position.legal_actions()[0])
    for path in [tmp_path / "x.keima.txt", *([tmp_path / "x.sgf"] if name in ("go", "gomoku") else [])]:
        save(record_of(position), path)
        loaded = load(path, game)
        assert np.array_equal(game.board(loaded.position().state), game.board(position.state))
        assert loaded.position().player == position.player
        if path.suffix != ".sgf":
            assert loaded.actions == position.actions
            assert loaded.start_text == position.start_text
            assert path.read_text().startswith("Keima game record, version 2\n")


def test_a_start_that_is_none_is_said():
    said = error_of(SOUND.replace("first: shipped", "position: X./.O X\nfirst: shipped"))
    assert said == "x.keima.txt line 3: position 'X./.O X': expected 6 rows with / between them, got 2"


def test_a_game_from_a_position_is_judged_from_there():
    game = load_game("tictactoe")

    def outcomes(planes):
        return np.stack([np.array([1, 0, 0], np.float32)] * len(planes))

    judged = wdl_over_game(game, [6], outcomes, start_text="XX./OO./... X")
    assert judged.shape == (2, 3)
    assert judged[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("name", names())
def test_games_of_every_kind_come_back_as_they_were(name, tmp_path):
    game = load_game(name)
    for seed in range(6):
        position = random_game(game, seed, None if seed < 2 else 5 * seed)
        record = record_of(position, ("the first", "the second"))
        record.comments = {0: "a beginning", len(position.actions): "an end\n\n1. a1\n; quoted"}
        path = tmp_path / f"{seed}.keima.txt"
        save(record, path)
        found = load(path)
        assert found == record
        assert found.position().state.tolist() == position.state.tolist()
        assert load(path, game) == record
        assert record.result == RESULTS[position.outcome]


def test_the_text_is_as_documented():
    record = from_text(SOUND)
    assert to_text(record) == SOUND.replace(";   There", "; There")
    assert record.actions == [3, 3, 0]
    assert record.players == ("shipped, 200 simulations", "Ada")
    assert record.comments == {0: "Nothing to see yet.", 2: "The usual answer.\nThere is a better one."}
    assert (record.result, record.ending, record.date) == ("0-1", "resignation", "2025-11-21")


def test_it_is_read_as_people_write_it():
    text = (
        "\ufeffKeima game record, version 1\r\nRound: 7\r\n game:connect4:\r\n\r\n1.4\r\n\r\n  2.  4  \r\n;no space\r\n"
    )
    record = from_text(text.removeprefix("\ufeff"))
    assert record.actions == [3, 3]
    assert record.headers == {"round": "7"}
    assert record.comments == {2: "no space"}
    assert (record.players, record.result, record.date) == (("", ""), "*", None)
    assert from_text(to_text(record)) == record


def test_a_byte_order_mark_is_no_damage(tmp_path):
    path = tmp_path / "x.KEIMA.TXT"
    path.write_bytes(b"\xef\xbb\xbf" + SOUND.encode())
    assert load(path) == from_text(SOUND)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2. 4", "2. 9", r"line 12: move 2: illegal move '9': expected one of 1, 2, 3, 4, 5, 6, 7$"),
        ("3. 1", "4. 1", r"line 15: expected move 3, got move 4"),
        ("2. 4\n", "", r"line 14: expected move 2, got move 3"),
        ("3. 1\n", "", r"expected 3 moves, found 2: the file is cut off"),
        ("moves: 3", "moves: many", r"moves: expected a number, got 'many'"),
        ("3. 1", "3 1", r"line 15: expected a move as `1. c4`, a comment after `;`; got '3 1'"),
        ("date: 2025", "date 2025", r"line 5: expected a move .* or a header as `date: .*; got 'date 2025-11-21'"),
        ("second: Ada", "first: Ada", r"line 4: first stands in line 3 already"),
        ("game: connect4", "game: conect4", r"line 2: unknown game 'conect4' \(did you mean connect4\?\)"),
        ("game: connect4\n", "", r"expected a line `game: NAME`, found none"),
        ("result: 0-1", "result: won", r"result: expected one of 1-0, 0-1, 1/2-1/2, \*, got 'won'"),
        ("Keima game", "[Event", r"line 1: expected `Keima game record, version 1`, got '\[Event"),
        ("version 1", "version 3", r"line 1: .*, got 'Keima game record, version 3': .*newer"),
        ("3. 1\n", "3. 1\nresult: 1-0\n", r"line 16: expected a move as .*; got 'result: 1-0'"),
        ("2. 4", "99999999999999999999. 4", r"line 12: expected a move as"),
    ],
)
def test_what_is_damaged_is_said(old, new, message):
    assert SOUND.count(old) >= 1
    assert re.search(message, error_of(SOUND.replace(old, new, 1)))


def test_moves_after_the_end_and_results_that_moves_contradict():
    won = to_text(record_of(position_after("connect4", ["4", "1", "4", "1", "4", "1", "4"])))
    assert "result: 1-0" in won
    told = error_of(won.replace("moves: 7", "") + "8. 1\n")
    assert told.endswith("move 8: the game was over before it (X has won)")
    told = error_of(won.replace("1-0", "0-1"))
    assert "expected 1-0, in which the moves end, got '0-1'; another one needs an `ending`" in told
    assert from_text(won.replace("1-0", "0-1\nending: cheating")).result == "0-1"
    assert from_text(won.replace("result: 1-0\n", "")).result == "1-0"


def test_no_damage_is_a_crash():
    """Sound or refused in one line: cut off anywhere, with bytes changed at random."""
    random = np.random.default_rng(5)
    sound = refused = 0
    for _ in range(1500):
        text = list(SOUND)
        for _ in range(random.integers(1, 4)):
            place = int(random.integers(len(text)))
            kind = random.integers(3)
            if kind == 0:
                del text[place:]
            elif kind == 1:
                text[place] = chr(int(random.choice([0, 9, 10, 27, 49, 58, 59, 233, 0x2028, 0x660, 0x1F600])))
            else:
                text.insert(place, str(random.choice(list("123.;:# \n"))))
            text = text or [" "]
        try:
            record = from_text("".join(text), source="x")
        except GameError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
        else:
            assert from_text(to_text(record)) == record
            sound += 1
    assert sound > 50
    assert refused > 500


def test_nothing_in_a_record_drives_the_terminal():
    record = from_text(SOUND.replace("Ada", "A\x1b[31m\x07da").replace("usual", "us\x1b]0;x\x07ual"))
    assert record.players[1] == "A[31mda"
    assert record.comments[2].startswith("The us]0;xual answer.")
    assert "\x1b" not in error_of(SOUND.replace("2. 4", "2. \x1b[31m"))
    odd = GameRecord(record.game, [], ("two\nlines", "\udcff"), comments={0: "a\r\nb\tc\u2028d"})
    assert odd.players == ("two lines", "?")
    assert odd.comments == {0: "a\nb cd"}
    assert from_text(to_text(odd)) == odd


def test_what_no_record_can_say_is_refused():
    game = load_game("connect4")
    with pytest.raises(GameError, match="result: expected one of"):
        GameRecord(game, [], result="2-0")
    with pytest.raises(GameError, match="a comment on move 2: expected a move from 0 to 1"):
        GameRecord(game, [3], comments={2: "x"})
    for name in ("game", "1. x", "", "a:b", "a ", "Ünde"):
        with pytest.raises(GameError, match="header"):
            GameRecord(game, [], headers={name: "x"})
    with pytest.raises(GameError, match="move 7: action 3 is not legal"):
        to_text(GameRecord(game, [3] * 7))


def test_a_game_in_a_file_of_code_is_loaded_by_who_names_it_alone(tmp_path):
    assert NOTAKTO is not None
    code = tmp_path / "notakto.py"
    code.write_text(NOTAKTO[1] + f"\nopen({str(tmp_path / 'was_run')!r}, 'w')\n")
    game = load_game(str(code))
    os.remove(tmp_path / "was_run")
    position = random_game(game, 1)
    path = tmp_path / "x.keima.txt"
    save(record_of(position, ("a", "b")), path)
    assert f"game: {code}\n" in path.read_text()
    with pytest.raises(
        GameError, match=r"line 2: of a game in .*notakto.py, which is code .* `keima play .*notakto.py`"
    ):
        load(path)
    with pytest.raises(GameError, match="line 2: a record of notakto, expected one of connect4"):
        load(path, load_game("connect4"))
    assert load(path, game).actions == position.actions
    assert not (tmp_path / "was_run").exists()


def test_a_record_of_another_game_than_asked_for_is_refused(tmp_path):
    path = tmp_path / "x.keima.txt"
    save(record_of(Position(load_game("othello:6"))), path)
    assert load(path, load_game("othello:size=6")).game == load_game("othello:6")
    with pytest.raises(GameError, match=r"a record of othello:size=6, expected one of othello$"):
        load(path, load_game("othello"))


def test_files_that_are_no_records(tmp_path):
    paths = {name: tmp_path / f"{name}.keima.txt" for name in ("missing", "folder", "large", "binary", "latin", "pipe")}
    paths["folder"].mkdir()
    paths["large"].write_bytes(b"; " * (MAX_BYTES // 2 + 1))
    paths["binary"].write_bytes(b"Keima game record\0")
    paths["latin"].write_bytes(SOUND.replace("Ada", "Zoë").encode("latin-1"))
    os.mkfifo(paths["pipe"])
    messages = {
        "missing": "no such file",
        "folder": "expected a file, found none",
        "large": "has more than 1048576 bytes",
        "binary": "holds binary data",
        "latin": "expected text in UTF-8, found none at byte",
        "pipe": "expected a file, found none",
    }
    for name, message in messages.items():
        with pytest.raises(GameError, match=message) as caught:
            load(paths[name])
        assert str(caught.value).startswith(str(paths[name]))
    for name in ("x.txt", "x", "x.json"):
        with pytest.raises(GameError, match=r"ends in \.keima\.txt \(any game\) or \.sgf"):
            load(tmp_path / name)
    (tmp_path / "x.pgn").write_text("1. e4")
    with pytest.raises(GameError, match="PGN is for chess"):
        load(tmp_path / "x.pgn")
    with pytest.raises(GameError, match="PGN is for chess"):
        save(record_of(Position(load_game("connect4"))), tmp_path / "y.pgn")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    record, path = from_text(SOUND), tmp_path / "x.keima.txt"
    save(record, path)
    with pytest.raises(GameError, match="there is no folder"):
        save(record, tmp_path / "none" / "x.keima.txt")
    (tmp_path / "folder.keima.txt").mkdir()
    with pytest.raises(GameError, match=r"folder\.keima\.txt: cannot be written"):
        save(record, tmp_path / "folder.keima.txt")
    record.comments = {0: "x" * MAX_BYTES}
    with pytest.raises(GameError, match="at most 1048576 bytes"):
        save(record, path)

    def full(path, data):
        raise StorageFull("disk full")

    monkeypatch.setattr("keima.agent.records.files.write_atomically", full)
    with pytest.raises(StorageFull):
        save(from_text(SOUND), path)
    assert load(path) == from_text(SOUND)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.keima.txt", "x.keima.txt"]


# --- a whole game judged


@pytest.mark.parametrize("moves", [[], ["4", "1", "4"], ["4", "1", "4", "1", "4", "1", "4"]])
def test_a_game_is_judged_from_the_first_players_side(moves):
    position = position_after("connect4", moves)
    batches = []

    def outcomes(planes):
        """Win and loss by the number of stones that either has; drawn to a tenth."""
        batches.append(len(planes))
        own, others = planes.sum((2, 3)).T
        win = 0.5 + (own - others) / 10
        return np.stack([win - 0.05, np.full(len(planes), 0.1), 0.95 - win], 1).astype(np.float32)

    judged = wdl_over_game(position.game, position.actions, outcomes)
    assert judged.shape == (len(moves) + 1, 3)
    assert batches == [len(moves) + (not position.is_over)]
    np.testing.assert_allclose(judged.sum(1), 1, atol=1e-6)
    for ply in range(len(moves) + (not position.is_over)):
        # After an odd number of moves the first player has one stone more.
        assert judged[ply].tolist() == pytest.approx([0.55, 0.1, 0.35] if ply % 2 else [0.45, 0.1, 0.45])
    if position.is_over:
        assert judged[-1].tolist() == [1.0, 0.0, 0.0]


def test_a_game_with_an_illegal_move_is_not_judged():
    with pytest.raises(GameError, match="move 2: action 9 is not legal"):
        wdl_over_game(load_game("connect4"), [3, 9], lambda planes: np.zeros((len(planes), 3), np.float32))
