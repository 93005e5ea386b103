"""Engines as players by their texts."""

import shlex
import sys

import pytest

from keima.agent.engines.factory import DEFAULT_SECONDS
from keima.agent.engines.gtp import GtpPlayer
from keima.agent.engines.uci_client import GoLimit
from keima.agent.engines.usi import UsiPlayer
from keima.agent.players.factory import make_player
from keima.games import load
from keima.games.contract import GameError
from keima.games.position import Position
from tests.paths import DATA

FOLDER = DATA / "engines"
TICTACTOE = load("tictactoe")


def quoted(*words: str) -> str:
    return '"' + shlex.join(words).replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_gtp():
    player = make_player(f"gtp:{quoted(sys.executable, str(FOLDER / 'gtp_engine.py'))} seconds=3 timeout=60", TICTACTOE)
    assert isinstance(player, GtpPlayer)
    assert player.name == "Faulty 1.0"
    assert player.timeout_s == 60
    assert player.choose(Position(TICTACTOE)) == 0
    player.close()


def test_gtp_commands_that_are_set():
    engine = quoted(sys.executable, str(FOLDER / "go_referee.py"), "none", "", "0")
    player = make_player(f'gtp:{engine} set="komi=3.5, kgs-rules=aga" timeout=3600', load("go:5"))
    assert isinstance(player, GtpPlayer)
    assert player._commands == {"komi": "3.5", "kgs-rules": "aga"}
    player.close()


def test_usi(monkeypatch):
    command = f"usi:{quoted(sys.executable, str(FOLDER / 'uci_engine.py'), 'usi', 'honest', 'b2')}"
    player = make_player(f'{command} name="an engine" level=7 set="style=wild" timeout=60', TICTACTOE)
    assert isinstance(player, UsiPlayer)
    assert player.name == "an engine"
    assert player._limit == GoLimit(seconds=DEFAULT_SECONDS)
    assert player.choose(Position(TICTACTOE)) == 4
    said = player.client
    player.close()
    assert said.complaints[:2] == ["setoption name Style value wild", "setoption name Skill Level value 7"]
    limited = make_player(f"{command} nodes=9 depth=2 seconds=0.5", TICTACTOE)
    assert isinstance(limited, UsiPlayer)
    assert limited._limit == GoLimit(9, 2, 0.5)
    limited.close()


def test_uci_is_for_chess():
    with pytest.raises(GameError, match="uci: expected a game with the moves of chess"):
        make_player("uci:stockfish nodes=10", TICTACTOE)


def test_no_such_program():
    with pytest.raises(GameError, match="no program 'no-such-engine'"):
        make_player("gtp:no-such-engine", TICTACTOE)
