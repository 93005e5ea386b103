"""Tournaments with real worker processes: to the end, on after any end, whatever the players do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from keima import games
from keima.games.contract import FIRST_WINS, SECOND_WINS, GameError
from keima.games.position import Position, position_after
from keima.selfplay import commands
from keima.selfplay.tournament.report import parse_anchors, standings
from keima.selfplay.tournament.store import Store
from keima.selfplay.tournament.tournament import Settings, begin
from tests.paths import ROOT

ENGINE = f"{sys.executable} {ROOT}/tests/data/engines/gtp_engine.py"
PATIENCE_S = 300


def play(path, game, texts, **options):
    """Plays a tournament to its end in one worker; its standings and games."""
    with begin(path, game and games.load(game), texts, workers=1, **options) as tournament:
        tournament.prepare(lambda stage: None)
        assert tournament.play()
        return standings(tournament.store), list(tournament.store.games())


def start(path, *arguments):
    """`keima tournament` in a process of its own, in a session of its own."""
    script = "import sys; from keima.selfplay.commands import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", script, "tournament", *arguments, "--file", str(path), "--workers", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_games(path, count):
    """Waits until so many games are on file."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if path.exists():
            try:
                with Store(path, read_only=True) as store:
                    if store.num_games() >= count:
                        return store.num_games()
            except GameError:  # it is just being made
                pass
        time.sleep(0.02)
    raise AssertionError("no games came in")


def check_round_robin(path, per_pair):
    """Every pair has its games, each opening from both sides, and the moves are those of a whole game."""
    with Store(path) as store:
        game, played = store.game, list(store.games())
        ids = [player.id for player in store.players()]
    keys = Counter((g.first, g.second, g.moves[: g.opening]) for g in played)
    assert set(keys.values()) == {1}
    assert len(played) == per_pair * len(ids) * (len(ids) - 1) // 2
    for first, second, opening in keys:
        assert keys[second, first, opening] == 1
    for g in played:
        assert position_after(game, list(g.moves)).outcome == g.outcome
    return played


def test_a_killed_tournament_goes_on_where_it_was(tmp_path):
    path = tmp_path / "t.sqlite"
    players = ["tictactoe", "random", "rollout:20", "rollout:2000"]
    process = start(path, *players, "--games", "60", "--opening-plies", "2", "--seed", "3")
    kept = wait_for_games(path, 1)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    with Store(path) as store:
        before = list(store.games())
    assert kept <= len(before) <= 180
    # Now to the end; the file says how. Its openings are few, and come again.
    with begin(path, None, [], workers=1) as tournament:
        tournament.prepare(lambda stage: None)
        assert tournament.play()
        after = list(tournament.store.games())
    assert after[: len(before)] == before
    assert len(after) == 180
    sides = Counter((g.first, g.second, g.moves[: g.opening]) for g in after)
    assert all(sides[a, b, opening] == sides[b, a, opening] for a, b, opening in sides)
    # The same games as if nothing had happened.
    play(tmp_path / "whole.sqlite", "tictactoe", players[1:], games=60, opening_plies=2, seed=3)
    with Store(tmp_path / "whole.sqlite") as whole:
        assert Counter(whole.games()) == Counter(after)


def test_ctrl_c_stops_in_order_and_says_how_to_go_on(tmp_path):
    path = tmp_path / "my t.sqlite"
    process = start(path, "connect4", "rollout:3000", "rollout:2000", "--games", "1000")
    wait_for_games(path, 1)
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, errors
    assert f"this goes on: keima tournament --file '{path}'" in errors
    assert "Traceback" not in errors
    assert "rollout:3000" in out  # the ladder so far


def test_every_pair_plays_and_later_players_join(tmp_path, capsys):
    path = tmp_path / "t.sqlite"
    _, before = play(path, "connect4", ["random", "rollout:30"], games=4)
    check_round_robin(path, 4)
    assert commands.main(["tournament", "--file", str(path), "rollout:5", "--workers", "1"]) == 0
    capsys.readouterr()
    found, after = play(path, None, [])
    assert after[: len(before)] == before
    check_round_robin(path, 4)
    assert [player.name for player in found.ratings.players][-1] == "random"
    assert found.notes == []
    # The file knows its game: what the command names are further players.
    assert commands.main(["tournament", "--file", str(path), "nobody", "--workers", "1"]) == 2
    assert "no player 'nobody'" in capsys.readouterr().err
    # The same again plays nothing, and the command tells of it all.
    assert commands.main(["tournament", "--file", str(path), "--report", "--json", "--anchor", "random=-500"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["games"] == 12
    assert {p["name"]: p["elo"] for p in told["players"]}["random"] == -500
    assert commands.main(["tournament", "--file", str(path), "--output", str(tmp_path / "out"), "--report"]) == 0
    assert "rollout:30" in capsys.readouterr().out
    assert {"ladder.txt", "ladder.json", "ladder.csv", "cross.csv"} <= {f.name for f in (tmp_path / "out").iterdir()}


def test_a_report_writes_nothing_even_of_a_tournament_under_way(tmp_path, capsys, monkeypatch):
    path = tmp_path / "t.sqlite"
    line = ["tournament", "--file", str(path), "--report"]
    assert commands.main(line) == 2
    assert "no such tournament" in capsys.readouterr().err
    with begin(path, games.load("tictactoe"), ["random", "rollout:5 name=Ada"], games=4, workers=1) as tournament:
        for anchors, message in ([], "no games yet"), (["--anchor", "Adda=0"], "no such player (did you mean 'Ada'?)"):
            assert commands.main([*line, *anchors]) == 2
            assert message in capsys.readouterr().err
        tournament.prepare(lambda stage: None)
        assert tournament.play()
        before = path.read_bytes()
        monkeypatch.setattr(
            "keima.selfplay.tournament.tournament.enter", None
        )  # its players need not be there any more
        assert commands.main([*line, "--anchor", "Ada=100", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["games"] == 4
        assert path.read_bytes() == before
    assert commands.main([*line, "--merge", "other.sqlite"]) == 2
    assert "--report plays nothing and adds nothing: expected it without --merge" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_games(tmp_path):
    def lines(name, **options):
        _, played = play(tmp_path / name, "connect4", ["random", "rollout:20", "alphabeta:2"], games=6, **options)
        return Counter((g.first, g.second, g.moves, g.outcome) for g in played)

    found = lines("1.sqlite", seed=5)
    assert found == lines("2.sqlite", seed=5) != lines("3.sqlite", seed=6)


def test_engines_that_fail_forfeit_and_the_tournament_goes_on(tmp_path):
    engines = [
        f'gtp:"{ENGINE} none" name=sound',
        f'gtp:"{ENGINE} crash" name=crashing',
        f'gtp:"{ENGINE} hang" name=hanging timeout=0.5',
        f'gtp:"{ENGINE} illegal" name=cheating',
    ]
    found, played = play(tmp_path / "t.sqlite", "tictactoe", ["random", *engines], games=2, opening_plies=1)
    assert len(played) == 20
    by = Counter()
    for (name, _), count in found.forfeits.items():
        by[name] += count
    assert set(by) == {"crashing", "hanging", "cheating"}
    reasons = dict(found.forfeits.keys())
    assert "crash" in reasons["crashing"] or "exit" in reasons["crashing"]
    sound = [g for g in played if not g.reason]
    assert len(sound) == 2  # random against the sound one; whoever fails first loses all the others
    assert found.notes[0] == "18 of 20 games were forfeited:"


JUDGE = f"{sys.executable} -I {ROOT}/tests/data/engines/go_referee.py"


def test_a_referee_decides_games_that_end_on_the_board(tmp_path, capsys):
    """After one move Black has the board by the rules, if that was no pass; the referee says White won."""
    path = tmp_path / "t.sqlite"
    arguments = ["go:2,komi=0.5,limit=1", "random", "random seed=2", "--games", "4", "--opening-plies", "0"]
    referee = ["--referee", f'gtp:"{JUDGE} none ? W+1.5" timeout=3600']
    command = ["tournament", *arguments, *referee, "--file", str(path), "--workers", "1", "--json"]
    assert commands.main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["referee"]["asked"], told["referee"]["decided"]) == (4, 4)
    assert told["referee"]["names"] == ["Judge 2"]
    with Store(path) as store:
        played = list(store.games())
        assert store.settings["referee"].startswith("gtp:")
    assert [game.outcome for game in played] == [SECOND_WINS] * 4
    assert all(game.verdict.own_count == "W+1.5" for game in played)
    overruled = sum(position_after(store.game, list(game.moves)).outcome == FIRST_WINS for game in played)
    assert told["referee"]["overruled"] == overruled > 0
    # The file knows its referee, and takes no other one for further games.
    assert commands.main(["tournament", "--file", str(path), "--games", "6", "--workers", "1"]) == 0
    assert "Judge 2 decided 6 of the 6 games" in capsys.readouterr().out
    other = ["tournament", "--file", str(path), "--referee", f'gtp:"{JUDGE} none a1 ?"']
    assert commands.main(other) == 2
    assert "expected the same again, or another file" in capsys.readouterr().err


def test_a_referee_that_fails_leaves_the_rules_and_the_report_says_so(tmp_path):
    found, played = play(
        tmp_path / "t.sqlite",
        "go:2,komi=0.5,limit=2",
        ["random", "random seed=2"],
        games=2,
        opening_plies=0,
        referee=f'gtp:"{JUDGE} crash a1 ?" timeout=3600',
    )
    assert all(position_after(games.load("go:2,komi=0.5,limit=2"), list(g.moves)).outcome == g.outcome for g in played)
    assert not any(game.verdict.decides for game in played)
    assert found.notes[0].startswith("the referee decided 0 of the 2 games")
    assert "2 x decided by the rules: Judge crashed: it ended with exit code 1" in found.notes[1]


def test_a_config_is_a_tournament_that_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(
        'game = "tictactoe"\nplayers = ["random", "rollout:5"]\noptional = ["gtp:no-such-engine name=absent"]\n'
        "games = 2\nopening_plies = 1\n[anchors]\nrandom = 100\nabsent = 5\n"
    )
    command = ["tournament", "--config", "small.toml", "--workers", "1"]
    assert commands.main([*command, "--json"]) == 0
    out, errors = capsys.readouterr()
    assert "without absent: no program 'no-such-engine'" in errors
    told = json.loads(out)
    assert told["games"] == 2
    assert {p["name"]: p["elo"] for p in told["players"]}["random"] == 100
    assert (tmp_path / "runs" / "ladder-small" / "ladder.json").is_file()
    # The command has the last word, and its players join.
    assert commands.main([*command, "rollout:9", "--games", "4", "--anchor", "random=50", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["games"] == 12
    assert {p["name"]: p["elo"] for p in told["players"]}["random"] == 50


def test_an_engine_that_crashed_is_started_again(tmp_path):
    flag = tmp_path / "crashed"
    engine = f"gtp:\"{ENGINE} 'crash once' {flag}\" name=unlucky"
    found, played = play(tmp_path / "t.sqlite", "tictactoe", ["random", engine], games=6, opening_plies=1)
    assert flag.exists()
    assert sum(found.forfeits.values()) == 1
    assert sum(not game.reason for game in played) == 5


def test_a_worker_that_dies_is_replaced_and_its_games_are_played(tmp_path, monkeypatch):
    from keima.selfplay.tournament import driver

    events, killed = [], []
    original = driver.Driver._hand_out

    def hand_out(self, worker):
        self._on_event = events.append
        if killed or not worker.tables:
            return original(self, worker)
        os.kill(worker.process.pid, signal.SIGSTOP)  # however fast it is, it has no game to the end
        original(self, worker)
        assert len(worker.under_way) == 8
        killed.append(worker.process.pid)
        os.kill(worker.process.pid, signal.SIGKILL)
        return None

    monkeypatch.setattr(driver.Driver, "_hand_out", hand_out)
    path = tmp_path / "t.sqlite"
    play(path, "connect4", ["random", "rollout:200"], games=8)
    check_round_robin(path, 8)
    assert events == ["worker 0 died (SIGKILL, perhaps short of memory); a new one takes its place"]


def test_workers_that_all_die_end_it(tmp_path, monkeypatch):
    from keima.selfplay.tournament import driver

    monkeypatch.setattr(driver, "run_worker", os._exit)  # it is no exit code that it is given
    with pytest.raises(GameError, match="workers die before they get anywhere"):
        play(tmp_path / "t.sqlite", "connect4", ["random", "rollout:200"], games=8)


def test_a_test_of_two_players_stops_once_it_is_decided(tmp_path, capsys):
    path = tmp_path / "t.sqlite"
    arguments = ["connect4", "rollout:60", "random", "--sprt", "0", "100", "--file", str(path), "--workers", "1"]
    assert commands.main(["tournament", *arguments]) == 0
    out = capsys.readouterr().out
    assert "SPRT of rollout:60 against random: H1 accepted" in out
    with Store(path) as store:
        assert store.num_games() < 1000
        assert store.settings["sprt"] == [0, 100]


def test_games_that_repeat_are_counted(tmp_path):
    # Without openings players who always do the same play two games.
    found, _ = play(
        tmp_path / "t.sqlite", "connect4", ["alphabeta:1 seed=1", "alphabeta:2 seed=1"], games=8, opening_plies=0
    )
    assert found.tally.repeated == 6
    assert found.notes[0].startswith("6 of 8 games repeat another one")
    assert "more plies of opening" in found.notes[1]


def test_a_book_of_positions_from_both_sides_and_gone_on_with(tmp_path):
    book, text = tmp_path / "book.txt", "XO./.../... X"
    book.write_text(f"{text}\nb2 a1\n")
    for games_a_pair in (4, 8):  # the second time the first games are known
        _, stored = play(
            tmp_path / "t.sqlite", "tictactoe", ["random", "rollout:5"], games=games_a_pair, book=str(book), seed=1
        )
        assert len(stored) == games_a_pair
        assert sum(game.position == text for game in stored) == games_a_pair // 2
        sides = {game.first for game in stored if game.position}
        assert len(sides) == 2
    for game in stored:
        tictactoe = games.load("tictactoe")
        position = Position.from_text(tictactoe, game.position) if game.position else Position(tictactoe)
        for move in game.moves:
            position.play_text(move)
        assert position.outcome == game.outcome


def test_two_files_are_put_together(tmp_path):
    play(tmp_path / "1.sqlite", "tictactoe", ["random", "rollout:5"], games=4, opening_plies=1, seed=1)
    play(tmp_path / "2.sqlite", "tictactoe", ["rollout:9", "random"], games=6, opening_plies=1, seed=2)
    with begin(tmp_path / "1.sqlite", None, [], merge=[tmp_path / "2.sqlite"]) as tournament:
        assert tournament.store.num_games() == 10
        found = standings(tournament.store)
    assert sorted(found.names) == ["random", "rollout:5", "rollout:9"]
    assert {player.name: player.games for player in found.ratings.players}["random"] <= 10


def test_a_gauntlet_and_adaptive_pairing(tmp_path):
    _, played = play(
        tmp_path / "g.sqlite", "tictactoe", ["rollout:5", "random", "rollout:9"], games=2, pairing="gauntlet"
    )
    assert len(played) == 4
    assert all(1 in (g.first, g.second) for g in played)
    _, played = play(
        tmp_path / "a.sqlite", "tictactoe", ["rollout:5", "random", "rollout:9"], games=10, pairing="adaptive"
    )
    assert len(played) == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["connect4", "random"], "expected at least two players"),
        (["connect4", "random", "random"], "expected at least two players, got random; equal ones count once"),
        (["connect4", "random", "raw", "--backend", "zzz"], "backend zzz is none of Keima's: expected one of"),
        (["connect4", "random", "rollout:5", "--backend", "zzz"], "backend zzz is none of Keima's: expected one of"),
        (["connect4", "random", "raw", "--opening-plies", "1000"], "--opening-plies 1000: expected fewer: games"),
        (["tictactoe", "random", "rollout:5", "--opening-plies", "8"], "--opening-plies 8: expected fewer: games of"),
        (["connect4", "random", "raw", "--output", "/dev/null/x"], "expected a folder, but /dev/null is none"),
        (["connect4", "random", "rollout:5", "--games", "3"], "expected an even number"),
        (["connect4", "random", "rollout:5", "raw", "--sprt", "0", "5"], "--sprt is for two players, got 3"),
        (["connect4", "random", "rollout:5", "--sprt", "5", "0"], "expected elo0 below elo1"),
        (["connect4", "random", "rolout:5"], "no player 'rolout:5'"),
        (["connect4", "random", "rollout:5", "--book", "none.txt"], "none.txt: expected a book of openings"),
        (["connect4", "random", "rollout:5", "--anchor", "random"], "--anchor: expected NAME=ELO"),
        (["connect4", "random", "rollout:5", "--anchor", "rndom=0"], "no such player (did you mean 'random'?)"),
        (["connect4", "random", "rollout:5", "--file", "/"], "/: expected a tournament's file, but it is no file"),
        (["connect4", "random", "rollout:5", "--file", "."], "expected a tournament's file, but it is no file"),
        (["bogus", "random", "rollout:5"], "unknown game"),
        (["connect4", "random", "rollout:5", "--referee", "gtp:x"], "connect4 needs none"),
        (["go:5", "random", "rollout:5", "--referee", "random"], "expected a program that speaks GTP"),
        (["connect4", "random", "rollout:5", "--sides", "first", "--pairing", "adaptive"], "--sides first: expected"),
        (["--config", "none.toml"], "none.toml: no such config file"),
        (["--report"], "expected a game and players, or --file FILE"),
        (["--file", "none.sqlite"], "no such tournament"),
    ],
)
def test_what_is_wrong_gets_one_line_and_leaves_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert commands.main(["tournament", *arguments]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("keima: ") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_anchors():
    assert parse_anchors(["rollout:5=0", "shipped simulations=5=-12.5"]) == {
        "rollout:5": 0,
        "shipped simulations=5": -12.5,
    }
    for text in ("a", "=5", "a=b", ""):
        with pytest.raises(GameError, match="expected NAME=ELO"):
            parse_anchors([text])


def test_settings_are_kept_and_changed():
    settings = Settings().changed(games=6, sprt=(0, 5), seed=None)
    assert settings == Settings(games=6, sprt=(0, 5))
    assert Settings.from_json({"games": 6, "sprt": [0, 5], "of a later version": 1}) == settings
