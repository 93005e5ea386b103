"""The GTP client against engines with faults, against ourselves, and against GNU Go where it is installed."""

import shlex
import sys
from pathlib import Path

import pytest

from keima.agent.contracts.player import Resignation
from keima.agent.engines import EngineError, Fault, program_and_arguments
from keima.agent.engines.gtp import GtpClient, GtpPlayer, RefusedError, kgs_rules
from keima.agent.players.factory import make_player
from keima.games import load
from keima.games.contract import GameError
from keima.games.position import Position, position_after
from tests.paths import DATA

SCRIPT = DATA / "engines" / "gtp_engine.py"
LONG_S = 60.0
TICTACTOE = load("tictactoe")


def command(fault: str = "none", *arguments: str) -> str:
    return shlex.join([sys.executable, "-I", str(SCRIPT), fault, *arguments])


@pytest.fixture
def player_for():
    """Makes players with a fault, and closes them."""
    made = []

    def make(fault: str = "none", *arguments: str, **options) -> GtpPlayer:
        made.append(GtpPlayer(command(fault, *arguments), TICTACTOE, timeout_s=LONG_S, **options))
        return made[-1]

    yield make
    for player in made:
        player.close()


def choose(player: GtpPlayer, *moves: str) -> str:
    position = position_after(TICTACTOE, list(moves))
    return TICTACTOE.action_to_text(position.state, player.choose(position))


def has_gnugo() -> bool:
    try:
        program_and_arguments("gnugo")
    except GameError:
        return False
    return True


@pytest.mark.parametrize("fault", ["none", "quirky", "flood stderr"])
def test_a_game_with_moves_taken_back_and_begun_anew(player_for, fault: str):
    player = player_for(fault)
    assert player.name.lower() == "faulty 1.0"
    assert choose(player) == "a3"
    assert choose(player, "a3", "b3") == "c3"
    assert choose(player, "a3", "b3", "c3", "a2") == "b2"
    assert choose(player, "a3", "b3") == "c3"  # three moves back
    assert choose(player, "b3") == "a3"  # another game
    assert choose(player) == "a3"
    assert choose(player, "a3", "b3", "c3", "a2", "b1", "c2") == "b2"


def test_what_the_engine_is_told(player_for, tmp_path):
    log = tmp_path / "log"
    player = player_for("log", str(log), seconds=2.5)
    choose(player, "a1")
    choose(player, "a1", "a3", "c1")
    choose(player, "a1", "b1")
    player.close()
    told = log.read_text().splitlines()
    assert told == [
        *("name", "version", "list_commands", "boardsize 3", "clear_board"),
        *("play b a1", "genmove w", "play b c1", "genmove w"),
        *("undo", "undo", "undo", "play w b1", "genmove b", "quit"),
    ]


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("crash", Fault.CRASHED, "Faulty crashed: it ended with exit code 3; its last words: Traceback: out of luck"),
        ("killed", Fault.CRASHED, r"ended by signal 9 \(SIGKILL\)"),
        ("orphan", Fault.CRASHED, "ended with exit code 4"),
        ("nonsense", Fault.NONSENSE, "answered 'genmove b' with what is no answer, as 'I would rather not'"),
        ("illegal", Fault.ILLEGAL, "Faulty 1.0 played an illegal move, 'c3', after 2 moves"),
        ("refuse", Fault.NONSENSE, r"refused the legal move c3 \(number 1\): illegal move"),
    ],
)
def test_faults_are_named_and_the_engine_is_started_anew(player_for, fault: str, kind: Fault, message: str):
    player = player_for(fault)
    for _ in range(2):
        with pytest.raises(EngineError, match=message) as caught:
            choose(player, "c3", "b3")
        assert caught.value.fault is kind
        assert "\n" not in str(caught.value)


def test_an_engine_that_resigns_has_not_failed(player_for):
    player = player_for("resign")
    for _ in range(2):
        position = position_after(TICTACTOE, ["c3", "b3"])
        assert player.choose(position) == Resignation("Faulty 1.0 resigned after 2 moves")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("hang", r"Faulty hung: it did not answer 'genmove b' within 0\.3 s; its last words: thinking hard"),
        ("children", "did not answer 'genmove b'"),
        ("half", "did not finish an answer to 'genmove b' within .* it wrote 'a3'"),
        ("flood stdout", "answer"),
        ("endless line", "answer"),
    ],
)
def test_an_engine_that_hangs_is_ended(player_for, fault: str, message: str):
    player = player_for(fault)
    player.timeout_s = 0.3
    with pytest.raises(EngineError, match=message):
        choose(player)
    assert player._client is not None
    assert not player._client.is_running


def test_after_a_crash_the_next_move_is_played_by_a_new_process(player_for, tmp_path):
    player = player_for("crash once", str(tmp_path / "marker"))
    assert player._client is not None
    first = player._client.pid
    with pytest.raises(EngineError, match="crashed"):
        choose(player, "c3", "b3")
    assert choose(player, "c3", "b3", "a3", "a2") == "b2"
    assert player._client.pid != first


def test_an_engine_that_does_not_start_is_said():
    with pytest.raises(EngineError, match="exit code 1; its last words: no licence"):
        GtpPlayer(command("no start"), TICTACTOE, timeout_s=LONG_S)
    with pytest.raises(EngineError, match=r"did not answer 'name' within 0\.3 s"):
        GtpPlayer(command("silent"), TICTACTOE, timeout_s=0.3)
    with pytest.raises(EngineError, match="refused to set up the board: not now"):
        GtpPlayer(command("stubborn"), TICTACTOE, timeout_s=LONG_S)
    with pytest.raises(GameError, match="Faulty does not play hex:size=4: unacceptable size"):
        GtpPlayer(command("one size"), load("hex:4"), timeout_s=LONG_S)
    GtpPlayer(command("one size"), TICTACTOE, timeout_s=LONG_S).close()  # a game without sizes needs none
    with pytest.raises(GameError, match="Faulty has no level 3: unknown command"):
        GtpPlayer(command(), TICTACTOE, level=3, timeout_s=LONG_S)


GO_ENGINE = SCRIPT.with_name("go_referee.py")


def go_player(game: str, dead: str = "", score: str = "0", *, log: Path | None = None, **options) -> GtpPlayer:
    """An engine that knows Go's commands, and says what it is told to."""
    words = [sys.executable, "-I", str(GO_ENGINE), "log" if log else "none", dead, score, *([str(log)] if log else [])]
    return GtpPlayer(shlex.join(words), load(game), timeout_s=LONG_S, **options)


def settings_told(log: Path) -> list[str]:
    """What an engine was told before the first move."""
    told = log.read_text().splitlines()[3:]  # after name, version and list_commands
    return [line for line in told if line != "quit"]


def test_an_engine_is_told_the_rules_by_the_names_they_have_on_kgs(tmp_path):
    for number, (game, rules) in enumerate(
        [
            ("go:5", "chinese"),
            ("go:5,rules=chinese", "chinese"),
            ("go:5,rules=aga,ko=situational", "aga"),
            ("go:5,suicide=yes", "new_zealand"),
            ("go:5,rules=japanese", "japanese"),
        ]
    ):
        log = tmp_path / str(number)
        go_player(game, log=log).close()
        assert settings_told(log) == ["boardsize 5", "clear_board", "komi 7.5", f"kgs-rules {rules}"]
    assert kgs_rules(TICTACTOE) is None


def test_commands_that_are_asked_for_take_the_place_of_the_games(tmp_path):
    commands = {"kgs-rules": "aga", "komi": "6.5", "time_settings": "0 9 1", "set_random_seed": "3", "showboard": ""}
    log = tmp_path / "log"
    with pytest.raises(GameError, match="Judge refused 'showboard': cannot say"):
        go_player("go:5", log=log, seconds=2, level=4, commands=commands)
    log.unlink()
    del commands["showboard"]
    player = go_player("go:5", log=log, seconds=2, level=4, commands=commands)
    player.begin_game(77)
    player.final_score(Position(load("go:5")))
    player.close()
    start = ["boardsize 5", "clear_board", "level 4", "kgs-rules aga", "komi 6.5", "time_settings 0 9 1"]
    assert settings_told(log) == [*start, "set_random_seed 3", "clear_board", "final_score"]


def test_each_game_has_a_seed_of_its_own(tmp_path):
    log = tmp_path / "log"
    player = go_player("go:5", log=log)
    game = load("go:5")
    for seed in (5, 2**40 + 6):
        player.begin_game(seed)
        player.final_score(position_after(game, ["c3"]))
        player.final_score(position_after(game, ["c3", "b2"]))
    player.close()
    one_game = ["play b c3", "final_score", "play w b2", "final_score"]
    told = settings_told(log)[4:]
    assert told == ["clear_board", "set_random_seed 5", *one_game, "clear_board", "set_random_seed 6", *one_game]


def test_dead_stones_are_cells():
    game = load("go:5")
    position = position_after(game, ["c3", "a1", "d3"])
    player = go_player("go:5", "A1 C3\nd3 A1")
    assert player.dead_stones(position) == [12, 13, 20]
    player.close()
    refuses = go_player("go:5", "?", "?")
    assert refuses.dead_stones(position) is None
    assert refuses.final_score(position) is None
    assert refuses.knows("final_status_list")
    assert not refuses.knows("genmove")
    refuses.close()
    wrong = go_player("go:5", "b2")
    with pytest.raises(EngineError, match="Judge said that 'b2' is dead, where there is no stone"):
        wrong.dead_stones(position)
    wrong.close()


def test_no_move_is_asked_for_after_the_end(player_for):
    player = player_for()
    with pytest.raises(GameError, match="the game is over"):
        choose(player, "a1", "a2", "b1", "b2", "c1")


def test_the_client_alone():
    client = GtpClient(command(), LONG_S)
    assert (client.name, client.version) == ("Faulty", "1.0")
    assert client.knows("genmove")
    assert not client.knows("loadsgf")
    with pytest.raises(RefusedError, match="unknown command"):
        client.ask("loadsgf x")
    client.close()
    client.close()
    with pytest.raises(EngineError, match="is not running"):
        client.ask("name")


def test_ourselves():
    """Every move of a random game arrives, passes too, and the result is agreed on."""
    game = "othello:4"
    loaded = load(game)
    keima = shlex.join([sys.executable, "-c", "import sys; from keima.selfplay.commands import main; sys.exit(main())"])
    player = make_player(f"gtp:{keima} gtp {game} --opponent random --seed 3", loaded)
    other = make_player("random", loaded, seed=4)
    assert player.name.startswith("Keima ")
    position = Position(loaded)
    while not position.is_over:
        action = (player if position.player == 0 else other).choose(position)
        position.play(action)
    assert isinstance(player, GtpPlayer)
    score = player.final_score(position)
    assert (score or "")[:2] == {0: "B+", 1: "W+", 2: "0"}[position.outcome]
    player.close()


def test_ourselves_from_a_position():
    loaded = load("tictactoe")
    keima = shlex.join([sys.executable, "-c", "import sys; from keima.selfplay.commands import main; sys.exit(main())"])
    player = make_player(f"gtp:{keima} gtp tictactoe --opponent random --seed 3", loaded)
    for text in ("XX./OO./... X", "XO./OX./X.. O"):
        position = Position.from_text(loaded, text)
        while not position.is_over:
            position.play(player.choose(position))  # an answer that were illegal here would fail
    player.close()


def test_an_engine_that_takes_no_positions_is_named(player_for):
    player = player_for()
    with pytest.raises(GameError, match="cannot be told of a position to begin with"):
        player.choose(Position.from_text(TICTACTOE, "XX./OO./... X"))


@pytest.mark.skipif(not has_gnugo(), reason="gnugo is not installed")
def test_gnugo_is_shown_a_position():
    game = load("go:5,komi=0.5")
    player = make_player("gtp:gnugo --mode gtp --level 1 --chinese-rules", game)
    position = Position.from_text(game, "XXXXX/.XOO./XXOOO/OOOO./.O.O. O")
    player.choose(position)
    assert isinstance(player, GtpPlayer)
    assert (player.final_score(position) or "")[:1] in ("B", "W")
    player.close()


@pytest.mark.skipif(not has_gnugo(), reason="gnugo is not installed")
def test_gnugo_is_understood():
    client = GtpClient("gnugo --mode gtp --level 1", LONG_S)
    assert client.name == "GNU Go"
    assert client.ask("boardsize 9") == ""
    assert client.knows("undo")
    assert "\n" in client.ask("showboard")
    client.close()


@pytest.mark.skipif(not has_gnugo(), reason="gnugo is not installed")
def test_gnugo_beats_chance():
    game = load("go:5,komi=0.5,limit=60")
    wins = 0
    for seed in range(4):
        gnugo = make_player(f"gtp:gnugo --mode gtp --level 1 --chinese-rules --never-resign --seed {seed}", game)
        chance = make_player("random", game, seed=seed)
        position = Position(game)
        while not position.is_over:
            position.play((gnugo if position.player == 1 else chance).choose(position))
        wins += position.outcome == 1
        assert isinstance(gnugo, GtpPlayer)
        gnugo.close()
    assert wins >= 3  # GNU Go knows nothing of rules under which stones that cannot live count


@pytest.mark.skipif(not has_gnugo(), reason="gnugo is not installed")
def test_gnugo_plays_by_the_seed_of_the_game():
    """Half a game again and again: the same for the same seed, whatever was played before, and others for others."""
    game = load("go:7")
    gnugo = make_player('gtp:"gnugo --mode gtp --level 1 --chinese-rules"', game)
    assert isinstance(gnugo, GtpPlayer)
    played = []
    for seed in (1, 2, 3, 4, 1):
        gnugo.begin_game(seed)
        position = Position(game)
        while len(position.actions) < 12:
            position.play(gnugo.choose(position))
        played.append(tuple(position.actions))
    gnugo.close()
    assert played[0] == played[-1]
    assert len(set(played)) > 1


@pytest.mark.skipif(not has_gnugo(), reason="gnugo is not installed")
def test_gnugo_is_told_of_handicap_and_komi():
    game = load("go:9,komi=0.5,handicap=3")
    gnugo = make_player('gtp:"gnugo --mode gtp --level 1 --chinese-rules --never-resign --seed 1" level=2', game)
    assert isinstance(gnugo, GtpPlayer)
    position = Position(game)
    position.play(gnugo.choose(position))  # White's
    assert gnugo._client is not None
    assert gnugo._client.ask("get_handicap") == "3"
    assert float(gnugo._client.ask("get_komi")) == 0.5
    board = gnugo._client.ask("list_stones black").lower().split()
    assert sorted(board) == ["c3", "c7", "g7"]
    gnugo.close()
