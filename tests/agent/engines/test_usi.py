"""The USI client against engines with faults, and against Fairy-Stockfish where it is installed."""

import re
import shlex
import sys

import pytest

from keima.agent.contracts.player import Resignation
from keima.agent.engines import EngineError, Fault, program_and_arguments
from keima.agent.engines.uci_client import USI, GoLimit, UciClient
from keima.agent.engines.usi import UsiPlayer
from keima.games import load
from keima.games.contract import GameError
from keima.games.position import position_after
from tests.paths import DATA

SCRIPT = DATA / "engines" / "uci_engine.py"
LONG_S = 60.0
TICTACTOE = load("tictactoe")  # USI is shogi's, and the client leaves it to the game what its moves are called


def command(fault: str, moves: str = "", *arguments: str) -> str:
    return shlex.join([sys.executable, "-I", str(SCRIPT), "usi", fault, moves, *arguments])


def player(fault: str, moves: str = "", *arguments: str, **options) -> UsiPlayer:
    limit = options.pop("limit", GoLimit(nodes=5))
    options = {"timeout_s": LONG_S, **options}
    return UsiPlayer(command(fault, moves, *arguments), TICTACTOE, limit, **options)


def choose(player: UsiPlayer, *moves: str) -> str:
    position = position_after(TICTACTOE, list(moves))
    return TICTACTOE.action_to_text(position.state, player.choose(position))


def has_fairy_stockfish() -> bool:
    try:
        program_and_arguments("fairy-stockfish")
    except GameError:
        return False
    return True


@pytest.mark.parametrize("fault", ["honest", "flood stderr"])
def test_a_game(fault: str):
    honest = player(fault, "a1 b1 c1 a2 b2 c2 a3 b3 c3")
    assert honest.name == "Faulty 1.0"
    assert choose(honest) == "a1"
    assert choose(honest, "a1", "c3") == "c1"
    assert choose(honest, "b2", "c3") == "c1"
    with pytest.raises(GameError, match="the game is over"):
        choose(honest, "a1", "a2", "b1", "b2", "c1")
    honest.close()
    honest.close()
    assert choose(honest) == "a1"  # started anew
    honest.close()


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (GoLimit(nodes=5), "go nodes 5"),
        (GoLimit(depth=3), "go depth 3"),
        (GoLimit(seconds=0.25), "go btime 0 wtime 0 byoyomi 250"),
        (GoLimit(nodes=7, seconds=2), "go nodes 7 btime 0 wtime 0 byoyomi 2000"),
    ],
)
def test_what_the_engine_is_told(limit: GoLimit, expected: str):
    asked = player("honest", "a1 b1 c1", limit=limit, options={"skill level": "3"})
    choose(asked, "b2", "c2")
    client = asked.client  # it writes on stderr what it was told
    asked.close()
    assert client.complaints == ["setoption name Skill Level value 3", "position startpos moves b2 c2", expected]


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("crash", Fault.CRASHED, r"Faulty 1\.0 crashed: it ended with exit code 3; its last words: Traceback"),
        ("nonsense", Fault.ILLEGAL, "found no move after 2 moves"),
        ("illegal", Fault.ILLEGAL, "played an illegal move, 'a1a8', after 2 moves"),
        ("none", Fault.ILLEGAL, "found no move after 2 moves"),
    ],
)
def test_faults_are_named_and_the_engine_is_started_anew(fault: str, kind: Fault, message: str):
    faulty = player(fault)
    for _ in range(2):
        with pytest.raises(EngineError, match=message) as caught:
            choose(faulty, "a1", "b2")
        assert caught.value.fault is kind
    faulty.close()


def test_an_engine_that_resigns_has_not_failed():
    resigning = player("resign")
    position = position_after(TICTACTOE, ["a1", "b2"])
    assert resigning.choose(position) == Resignation(f"{resigning.name} resigned after 2 moves")
    assert resigning.client.is_running
    resigning.close()


def test_an_engine_that_hangs_is_ended():
    hanging = player("hang", timeout_s=0.3)
    with pytest.raises(EngineError, match=r"hung: it did not move after 0 moves within 0\.3 s") as caught:
        choose(hanging)
    assert caught.value.fault is Fault.HUNG
    assert not hanging.client.is_running


def test_after_a_crash_the_next_move_is_played_by_a_new_process(tmp_path):
    unlucky = player("crash once", "a1 b1 c1", str(tmp_path / "marker"))
    with pytest.raises(EngineError, match="crashed"):
        choose(unlucky)
    assert choose(unlucky, "a1", "b2") == "c1"
    unlucky.close()


def test_an_engine_that_does_not_start_is_said():
    with pytest.raises(EngineError, match="exit code 1; its last words: no licence"):
        player("no start")
    with pytest.raises(EngineError, match=r"did not answer `usi` within 0\.3 s"):
        UsiPlayer(command("silent"), TICTACTOE, GoLimit(nodes=1), timeout_s=0.3)
    with pytest.raises(GameError, match=r"Faulty 1\.0 has no option 'Hash'; it has: Skill Level, Style"):
        player("honest", options={"Hash": "16"})


@pytest.mark.skipif(not has_fairy_stockfish(), reason="fairy-stockfish is not installed")
def test_fairy_stockfish_plays_shogi():
    client = UciClient("fairy-stockfish", USI, {"threads": "1"}, LONG_S)
    assert client.name.startswith("Fairy-Stockfish")
    client.new_game()
    moves: list[str] = []
    for _ in range(6):
        moves.append(client.best_move(moves, GoLimit(nodes=200)))
    assert all(re.fullmatch(r"[1-9][a-i][1-9][a-i]\+?|[PLNSGBR]\*[1-9][a-i]", move) for move in moves)
    client.close()
