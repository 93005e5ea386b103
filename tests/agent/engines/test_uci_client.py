"""The client of UCI and USI, held to transcripts: what it sends, and what it makes of what it is sent."""

import shlex
import sys
import textwrap

import pytest

from keima.agent.engines.uci_client import UCI, USI, EngineOption, GoLimit, UciClient
from keima.games.contract import GameError
from tests.paths import DATA

SCRIPT = DATA / "engines" / "transcript_engine.py"
LONG_S = 60.0
OPTIONS = """\
< option name Hash type spin default 16 min 1 max 1024
< option name Clear Hash type button
< option name Ponder type check default false
< option name Analysis Contempt type combo default Both var Off var White side var Both
< option name Debug Log File type string default <empty>
"""


@pytest.fixture
def held(tmp_path):
    """Makes the command of an engine that holds its client to a transcript, and checks that all of it was said."""
    ends = []

    def command(transcript: str) -> str:
        script, end = tmp_path / f"{len(ends)}.txt", tmp_path / f"{len(ends)}.end"
        script.write_text(textwrap.dedent(transcript))
        ends.append(end)
        return shlex.join([sys.executable, "-I", str(SCRIPT), str(script), str(end)])

    yield command
    for end in ends:
        assert end.read_text() == "held"


def test_uci(held):
    transcript = """\
    > uci
    < Strange 2 by nobody: this line is none of the protocol's
    < id name Strange  2
    < id author nobody
    < option name Hash type spin default 16 min 1 max 1024
    < option name Clear Hash type button
    < uciok
    > setoption name Hash value 32
    > setoption name Clear Hash
    > isready
    < readyok
    > ucinewgame
    > isready
    < info string a new game
    < readyok
    > position startpos
    > go nodes 5
    < info depth 1 score cp 13 nodes 5 pv e2e4
    < bestmove e2e4 ponder e7e5
    > position startpos moves e2e4 e7e5
    > go nodes 7 depth 3 movetime 1500
    < bestmove g1f3
    > position fen 8/8/8/8/8/k7/p7/K7 w - - 0 1
    > go movetime 1
    < bestmove
    > quit
    """
    client = UciClient(held(transcript), UCI, {"hash": "32", "clear hash": ""}, LONG_S)
    assert client.name == "Strange 2"
    client.new_game()
    assert client.best_move([], GoLimit(nodes=5)) == "e2e4"
    assert client.best_move(["e2e4", "e7e5"], GoLimit(7, 3, 1.5)) == "g1f3"
    assert client.best_move([], GoLimit(seconds=0.0001), "fen 8/8/8/8/8/k7/p7/K7 w - - 0 1") == ""
    client.close()


def test_usi(held):
    transcript = """\
    > usi
    < id name Shogi
    < usiok
    > isready
    < readyok
    > usinewgame
    > isready
    < readyok
    > position startpos moves 7g7f
    > go btime 0 wtime 0 byoyomi 250
    < bestmove 3c3d
    > position startpos moves 7g7f 3c3d
    > go depth 2
    < bestmove resign
    > quit
    """
    client = UciClient(held(transcript), USI, timeout_s=LONG_S)
    client.new_game()
    assert client.best_move(["7g7f"], GoLimit(seconds=0.25)) == "3c3d"
    assert client.best_move(["7g7f", "3c3d"], GoLimit(depth=2)) == "resign"
    client.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"Threads": "2"}, "Typed has no option 'Threads'; it has: Hash, Clear Hash, Ponder, "),
        ({"Hash": "high"}, "Typed: expected integer from 1 to 1024 for spin option 'Hash', got 'high'"),
        ({"Hash": "0"}, "Typed: expected integer from 1 to 1024 for spin option 'Hash', got '0'"),
        ({"ponder": "yes"}, "Typed: expected true or false for check option 'Ponder', got 'yes'"),
        ({"Analysis Contempt": "Black"}, "expected one of Off, White side, Both for combo option 'Analysis Contempt'"),
    ],
)
def test_options_that_are_wrong(held, options: dict[str, str], message: str):
    command = held("> uci\n< id name Typed\n" + OPTIONS + "< uciok\n> quit\n")
    with pytest.raises(GameError, match=message):
        UciClient(command, UCI, options, LONG_S)


def test_options_are_read_as_they_are_described():
    lines = [line.removeprefix("< option name ").split() for line in OPTIONS.splitlines()]
    assert [EngineOption.parse(words) for words in lines] == [
        EngineOption("Hash", "spin", 1, 1024),
        EngineOption("Clear Hash", "button"),
        EngineOption("Ponder", "check"),
        EngineOption("Analysis Contempt", "combo", choices=("Off", "White side", "Both")),
        EngineOption("Debug Log File", "string"),
    ]
