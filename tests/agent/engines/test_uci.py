"""UCI engines, with faults and without, playing a game that is chess: python-chess's board behind our contract."""

import os
import shlex
import sys
import time
from dataclasses import dataclass

import chess
import numpy as np
import pytest

from keima.agent.engines import EngineError, Fault, program_and_arguments
from keima.agent.engines.uci import UciPlayer, require_chess
from keima.agent.engines.uci_client import GoLimit
from keima.agent.players.factory import make_player
from keima.games import load
from keima.games.contract import DRAW, ONGOING, PLAYER, Game, GameError
from keima.games.position import Position, position_after
from tests.paths import DATA

SCRIPT = DATA / "engines" / "uci_engine.py"
LONG_S = 60.0
NUM_MOVES = 1


@dataclass(frozen=True)
class Chess(Game):
    """Chess in Python alone. State: [side to move, number of moves, the moves]; a move is from + 64 * to + ..."""

    name = "chess"
    shape = (8, 8)

    def new_state(self):
        return np.zeros(1000, np.int64)

    def board_after(self, state) -> chess.Board:
        board = chess.Board()
        for action in state[2 : 2 + state[NUM_MOVES]]:
            board.push(self.move(int(action)))
        return board

    @staticmethod
    def move(action: int) -> chess.Move:
        return chess.Move(action % 64, action // 64 % 64, action // 4096 or None)

    def legal(self, state):
        moves = self.board_after(state).legal_moves
        return np.array([m.from_square + 64 * m.to_square + 4096 * (m.promotion or 0) for m in moves], np.int32)

    def after(self, state, action):
        following = state.copy()
        following[2 + state[NUM_MOVES]] = action
        following[NUM_MOVES] += 1
        following[PLAYER] ^= 1
        return following

    def outcome(self, state):
        outcome = self.board_after(state).outcome()
        if outcome is None:
            return ONGOING
        return DRAW if outcome.winner is None else int(outcome.winner == chess.BLACK)

    def action_to_text(self, state, action):
        return self.move(int(action)).uci()


CHESS = Chess()


def command(fault: str, moves: str = "", *arguments: str) -> str:
    return shlex.join([sys.executable, "-I", str(SCRIPT), "uci", fault, moves, *arguments])


def player(fault: str, moves: str = "", *arguments: str, **options) -> UciPlayer:
    options = {"timeout_s": LONG_S, **options}
    return UciPlayer(command(fault, moves, *arguments), CHESS, GoLimit(nodes=5), **options)


def choose(player: UciPlayer, *moves: str) -> str:
    position = position_after(CHESS, list(moves))
    return CHESS.action_to_text(position.state, player.choose(position))


def has_stockfish() -> bool:
    try:
        program_and_arguments("stockfish")
    except GameError:
        return False
    return True


@pytest.mark.parametrize("fault", ["honest", "flood stderr"])
def test_a_game(fault: str):
    honest = player(fault, "e2e4 e7e5 g1f3 b8c6", options={"style": "wild"})
    assert honest.name == "Faulty 1.0"
    assert choose(honest) == "e2e4"
    assert choose(honest, "d2d4", "e7e5") == "g1f3"
    client = honest.client
    with pytest.raises(GameError, match="the game is over"):
        choose(honest, "f2f3", "e7e5", "g2g4", "d8h4")
    if fault == "honest":
        assert "setoption name Style value wild" in client.complaints
        assert client.complaints[-2:] == ["position startpos moves d2d4 e7e5", "go nodes 5"]
    honest.close()
    honest.close()
    assert choose(honest) == "e2e4"  # started anew
    honest.close()


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("crash", Fault.CRASHED, r"Faulty 1\.0 crashed: it ended with exit code 3; its last words: Traceback"),
        ("illegal", Fault.ILLEGAL, "played an illegal move, 'a1a8', after 2 moves"),
        ("unreadable", Fault.ILLEGAL, "played an illegal move, 'zz99', after 2 moves"),
        ("none", Fault.ILLEGAL, "found no move after 2 moves"),
        ("nonsense", Fault.ILLEGAL, "found no move"),
    ],
)
def test_faults_are_named_and_the_engine_is_started_anew(fault: str, kind: Fault, message: str):
    faulty = player(fault)
    for _ in range(2):
        with pytest.raises(EngineError, match=message) as caught:
            choose(faulty, "e2e4", "e7e5")
        assert caught.value.fault is kind
        assert "\n" not in str(caught.value)
    faulty.close()


def test_an_engine_that_hangs_is_ended():
    hanging = player("hang", timeout_s=0.3)
    client = hanging.client
    with pytest.raises(EngineError, match=r"hung: it did not move after 0 moves within 0\.3 s") as caught:
        choose(hanging)
    assert caught.value.fault is Fault.HUNG
    assert not client.is_running
    while os.path.exists(f"/proc/{client.pid}"):  # until it is gone
        time.sleep(0.01)


def test_after_a_crash_the_next_move_is_played_by_a_new_process(tmp_path):
    unlucky = player("crash once", "e2e4 e7e5 g1f3", str(tmp_path / "marker"))
    with pytest.raises(EngineError, match="crashed"):
        choose(unlucky)
    assert choose(unlucky, "e2e4", "e7e5") == "g1f3"
    unlucky.close()


def test_an_engine_that_does_not_start_is_said():
    with pytest.raises(EngineError, match="exit code 1; its last words: no licence"):
        player("no start")
    with pytest.raises(EngineError, match=r"did not answer `uci` within 0\.3 s"):
        UciPlayer(command("silent"), CHESS, GoLimit(nodes=1), timeout_s=0.3)
    with pytest.raises(GameError, match=r"Faulty 1\.0 has no option 'Hash'; it has: Skill Level, Style"):
        player("honest", options={"Hash": "16"})
    with pytest.raises(GameError, match="expected integer from 0 to 20 for spin option 'Skill Level', got 'high'"):
        player("honest", options={"Skill Level": "high"})
    with pytest.raises(GameError, match="no program 'no-such-engine'"):
        UciPlayer("no-such-engine", CHESS, GoLimit(nodes=1))


def test_other_games_are_refused():
    require_chess(CHESS)
    with pytest.raises(GameError, match="uci: expected a game with the moves of chess, as e2e4; connect4 has others"):
        UciPlayer(command("honest"), load("connect4"), GoLimit(nodes=1))


@pytest.mark.skipif(not has_stockfish(), reason="stockfish is not installed")
def test_stockfish_mates():
    stockfish = UciPlayer("stockfish", CHESS, GoLimit(nodes=500), options={"Hash": "4"}, timeout_s=LONG_S)
    assert stockfish.name.startswith("Stockfish")
    assert choose(stockfish, "f2f3", "e7e5", "g2g4") == "d8h4"
    position = Position(CHESS)
    for _ in range(4):
        position.play(stockfish.choose(position))
    stockfish.begin_game(seed=1)
    position.play_text("a2a3" if position.player == 0 else "a7a6")
    position.play(stockfish.choose(position))
    stockfish.close()


@pytest.mark.skipif(not has_stockfish(), reason="stockfish is not installed")
def test_stockfish_is_set_up_by_its_text():
    player = make_player('uci:"stockfish" level=3 nodes=50 set="clear hash=, threads=1"', CHESS)
    assert choose(player) in {CHESS.action_to_text(CHESS.new_state(), a) for a in CHESS.legal(CHESS.new_state())}
    player.close()
    with pytest.raises(GameError, match=r"Stockfish.*: expected integer from 0 to 20 for spin option"):
        make_player("uci:stockfish level=21", CHESS)
