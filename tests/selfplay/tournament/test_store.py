"""A tournament's file: what goes in comes out, two files make one, and nothing else is taken for one."""

import sqlite3
from pathlib import Path

import pytest

from keima import games
from keima.agent.system.storage import StorageFull
from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS, GameError
from keima.selfplay.tournament.contestants import Thinking
from keima.selfplay.tournament.store import ADDED_COLUMNS, SCHEMA_VERSION, Store, StoredGame, line_digest
from keima.selfplay.tournament.verdict import Verdict


def game_of(first, second, outcome=FIRST_WINS, moves=("4", "4", "1"), **changes):
    values = {"opening": 1, "reason": "", "resigned": False, "line": "abc", "seed": 5}
    return StoredGame(first, second, moves=moves, outcome=outcome, **{**values, **changes})


@pytest.fixture
def connect4():
    return games.load("connect4")


def make(path, game, players=("random", "rollout:100")):
    store = Store(path, game)
    ids = [store.add_player(text, text.upper(), "").id for text in players]
    return store, ids


def test_what_goes_in_comes_out(tmp_path, connect4):
    store, (a, b) = make(tmp_path / "t.sqlite", connect4)
    store.save_settings({"games": 4, "sprt": [0, 5]})
    session = store.begin_session({"workers": 2})
    played = [
        game_of(a, b),
        game_of(b, a, SECOND_WINS, reason='crashed; Tom\'s "engine"', line="x"),
        game_of(a, b, DRAW, moves=(), opening=0),
        game_of(a, b, resigned=True, reason="resigned", seed=2**56 - 1),
    ]
    store.record(played[:1], session)
    store.record(played[1:], session)
    store.close()
    with Store(tmp_path / "t.sqlite") as again:
        assert list(again.games()) == played
        assert [game.forfeited for game in again.games()] == [False, True, False, False]
        assert again.num_games() == 4
        assert [(p.id, p.text, p.name, p.weights) for p in again.players()] == [
            (a, "random", "RANDOM", ""),
            (b, "rollout:100", "ROLLOUT:100", ""),
        ]
        assert again.settings == {"games": 4, "sprt": [0, 5]}
        assert again.sessions() == [{"workers": 2}]
        assert again.game == connect4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.sqlite"]


def test_what_a_referee_said_and_how_long_was_thought(tmp_path, connect4):
    store, (a, b) = make(tmp_path / "t.sqlite", connect4)
    verdict = Verdict("Judge 2", FIRST_WINS, 2.5, SECOND_WINS, -1.5, ("a1", "b1"), "W+1.5")
    thinking = (Thinking(3, 1.5, 0.75), Thinking())
    games = [game_of(a, b, SECOND_WINS, verdict=verdict, thinking=thinking), game_of(a, b)]
    store.record(games, store.begin_session({}))
    assert [game.verdict for game in store.games()] == [verdict, None]
    assert [game.thinking for game in store.games()] == [thinking, None]
    query = "SELECT json_extract(referee, '$.by_rules') FROM games WHERE referee <> ''"
    assert store._database.execute(query).fetchall() == [(FIRST_WINS,)]
    store.close()


def of_version_1(path):
    """Makes a file as it was before there were referees."""
    database = sqlite3.connect(path)
    for name in ADDED_COLUMNS:
        database.execute(f"ALTER TABLE games DROP COLUMN {name}")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()


def test_a_file_of_the_first_version_is_read_and_goes_on(tmp_path, connect4):
    for name in ("1.sqlite", "2.sqlite"):
        store, (a, b) = make(tmp_path / name, connect4)
        store.record([game_of(a, b)], store.begin_session({}))
        store.close()
    of_version_1(tmp_path / "1.sqlite")
    with Store(tmp_path / "1.sqlite", read_only=True) as old, Store(tmp_path / "2.sqlite") as new:
        assert [game.verdict for game in old.games()] == [None]
        assert new.merge(old) == 1
        assert new.num_games() == 2
    with Store(tmp_path / "1.sqlite") as old, Store(tmp_path / "2.sqlite", read_only=True) as new:
        verdict = Verdict("Judge 2", FIRST_WINS, 2.5, FIRST_WINS, 1.5)
        old.record([game_of(a, b, verdict=verdict)], old.begin_session({}))
        assert [game.verdict for game in old.games()] == [None, verdict]
        assert old.merge(new) == 1
    of_version_1(tmp_path / "1.sqlite")
    with Store(tmp_path / "1.sqlite") as old, Store(tmp_path / "2.sqlite", read_only=True) as new:
        assert old.merge(new) == 0
        assert old.num_games() == 3


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, connect4):
    store, (a, b) = make(tmp_path / "t.sqlite", connect4)
    session = store.begin_session({})
    store.record([game_of(a, b)], session)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull, match=r"disk full: .* the same command with --file goes on"):
        store.record([game_of(a, b, moves=("1",) * 100_000)], session)
    assert store.num_games() == 1
    store._database.execute("PRAGMA max_page_count = 1000000")
    store.record([game_of(a, b)], session)
    assert store.num_games() == 2
    store.close()


def test_games_come_all_or_none(tmp_path, connect4):
    store, (a, b) = make(tmp_path / "t.sqlite", connect4)
    session = store.begin_session({})
    with pytest.raises(sqlite3.IntegrityError):
        store.record([game_of(a, b), game_of(a, b, moves=("1",), line=None)], session)
    assert store.num_games() == 0
    store.record([game_of(a, b)], session)
    assert store.num_games() == 1


def test_a_player_is_known_by_its_text(tmp_path, connect4):
    store = Store(tmp_path / "t.sqlite", connect4)
    first = store.add_player("runs/a", "a", "digest")
    assert store.add_player("runs/a", "other name", "digest").id == first.id
    assert store.players()[0].name == "other name"
    with pytest.raises(GameError, match=r"runs/a: another network has played by this name in .*t\.sqlite"):
        store.add_player("runs/a", "a", "changed")


def test_two_files_make_one_however_often(tmp_path, connect4):
    one, (a, b) = make(tmp_path / "1.sqlite", connect4, ("random", "raw"))
    two, (c, d, e) = make(tmp_path / "2.sqlite", connect4, ("exact", "raw", "random"))
    one.record([game_of(a, b, seed=1)], one.begin_session({"of": 1}))
    two.record([game_of(c, d, seed=2), game_of(d, e, seed=3)], two.begin_session({"of": 2}))
    assert one.merge(two) == 2
    assert one.merge(two) == 0
    assert [p.text for p in one.players()] == ["random", "raw", "exact"]
    assert [(g.first, g.second, g.seed) for g in one.games()] == [(a, b, 1), (3, b, 2), (b, a, 3)]
    assert one.sessions() == [{"of": 1}, {"of": 2}]
    assert two.merge(one) == 1
    key = lambda g: g.seed  # noqa: E731
    assert [g.moves for g in sorted(two.games(), key=key)] == [g.moves for g in sorted(one.games(), key=key)]
    two.record([game_of(c, d, seed=4)], two.begin_session({}))
    assert one.merge(two) == 1


def test_files_of_different_games_or_networks_do_not_mix(tmp_path, connect4):
    one, _ = make(tmp_path / "1.sqlite", connect4)
    two, _ = make(tmp_path / "2.sqlite", games.load("tictactoe"))
    with pytest.raises(GameError, match=r"its game is tictactoe; expected that of .*, connect4"):
        one.merge(two)
    three = Store(tmp_path / "3.sqlite", connect4)
    three.add_player("random", "random", "")
    three.add_player("shipped", "shipped", "old")
    one.add_player("shipped", "shipped", "new")
    players = one.players()
    with pytest.raises(GameError, match="shipped: another network has played by this name"):
        one.merge(three)
    assert one.players() == players  # nothing of it was taken over


def test_a_tournament_is_open_once(tmp_path, connect4):
    store = Store(tmp_path / "t.sqlite", connect4)
    with pytest.raises(GameError, match="another process plays this tournament just now"):
        Store(tmp_path / "t.sqlite", connect4)
    with Store(tmp_path / "t.sqlite", read_only=True) as reader:
        assert reader.num_games() == 0
    store.close()
    Store(tmp_path / "t.sqlite", connect4).close()


def test_what_is_no_tournament(tmp_path, connect4):
    path = tmp_path / "t.sqlite"
    with pytest.raises(GameError, match="no such tournament"):
        Store(path)
    with pytest.raises(GameError, match="no such folder"):
        Store(tmp_path / "none" / "t.sqlite", connect4)
    path.write_text("This is no database, but long enough to be taken for one by those who look at lengths alone.")
    with pytest.raises(GameError, match="expected a tournament's file, but file is not a database"):
        Store(path, connect4)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE a (b)")
    other.commit()
    other.close()
    with pytest.raises(GameError, match="it is another database"):
        Store(path, connect4)


def test_another_game_other_rules_another_format(tmp_path, connect4):
    path = tmp_path / "t.sqlite"
    Store(path, connect4).close()
    with pytest.raises(GameError, match="it is a tournament of connect4, expected one of othello:size=6"):
        Store(path, games.load("othello:6"))
    database = sqlite3.connect(path)
    database.execute("UPDATE facts SET value = '0' WHERE name = 'rules_version'")
    database.commit()
    with pytest.raises(GameError, match="played by version 0 of connect4's rules"):
        Store(path)
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.close()
    with pytest.raises(GameError, match=f"expected format {SCHEMA_VERSION}, got 99"):
        Store(path)


def test_a_file_whose_making_was_cut_short_is_made_anew(tmp_path, connect4):
    path = tmp_path / "t.sqlite"
    cut = sqlite3.connect(path)
    cut.execute("PRAGMA journal_mode = WAL")
    cut.close()
    with Store(path, connect4) as store:
        assert store.num_games() == 0


@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_there_is_not_made_a_tournament_of(tmp_path, connect4, read_only: bool):
    path = tmp_path / "t.sqlite"
    path.touch()
    with pytest.raises(GameError, match="expected a tournament's file, but it is empty: delete it, or name another"):
        Store(path, connect4, read_only=read_only)
    assert path.read_bytes() == b""
    for folder in (tmp_path, Path("/")):
        with pytest.raises(GameError, match="expected a tournament's file, but it is no file"):
            Store(folder, connect4, read_only=read_only)
    assert list(tmp_path.iterdir()) == [path]


def test_reading_writes_nothing(tmp_path, connect4):
    path = tmp_path / "50% #1?.sqlite"
    with Store(path, connect4) as store:
        store.add_player("random", "random", "")
        before = sorted(tmp_path.iterdir()), path.read_bytes()
        with Store(path, read_only=True) as reader:  # what is not in the file yet, but in the log beside it
            assert [player.name for player in reader.players()] == ["random"]
        assert (sorted(tmp_path.iterdir()), path.read_bytes()) == before
    with Store(path, read_only=True) as reader:
        assert len(reader.players()) == 1
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(sqlite3.OperationalError):
            reader.save_settings({})
    assert list(tmp_path.iterdir()) == [path]


def test_lines_are_the_same_where_play_is(connect4):
    # Another order of the opening, the same position, the same play.
    assert line_digest(connect4, (0, 1, 2, 3, 5), 3) == line_digest(connect4, (2, 1, 0, 3, 5), 3)
    different = [
        line_digest(connect4, (0, 1, 2, 3, 5), 3),
        line_digest(connect4, (0, 1, 2, 3, 4), 3),
        line_digest(connect4, (0, 1, 2, 3), 3),
        line_digest(connect4, (0, 1, 2, 3, 5), 2),
    ]
    assert len(set(different)) == 4
