"""Who plays, as asked for."""

import subprocess
import sys

import pytest

from keima.agent.contracts.thinking import Ponderer
from keima.agent.terminal.match_setup import PlayerChoice
from keima.games import load
from keima.games.contract import GameError


@pytest.mark.parametrize(
    ("text", "adviser"),
    [
        ("shipped simulations=3 temperature=1", "shipped"),
        ("raw", "shipped"),
        ("raw:runs/mine", "runs/mine"),
        ("runs/mine seconds=2", "runs/mine"),
        ("rollout:20 temperature=1", "rollout"),
        ("random", None),
        ("exact", None),
        ('gtp:"gnugo --mode gtp"', None),
        (None, None),
    ],
)
def test_advice_comes_from_the_same_net_at_full_strength(text, adviser):
    assert PlayerChoice(text, simulations=4, seconds=0.1, seed=3, ponder=True).adviser() == PlayerChoice(
        adviser, seed=3
    )


def test_where_there_is_no_net_the_opponent_searches_by_playouts(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    choice, remark = PlayerChoice(simulations=30).resolved(load("tictactoe"))
    assert choice == PlayerChoice("rollout", simulations=30)
    assert remark.startswith("No net under runs/ yet (`keima train tictactoe` makes one)")
    assert choice.make(load("tictactoe"))[0].name == "rollout:30"
    assert PlayerChoice().resolved(load("connect4")) == (PlayerChoice(), "")  # there is a shipped one
    assert PlayerChoice("random").resolved(load("tictactoe")) == (PlayerChoice("random"), "")


def test_only_who_thinks_can_ponder():
    player, introduction = PlayerChoice("rollout:5", ponder=True).make(load("tictactoe"))
    assert isinstance(player, Ponderer)
    assert introduction == "Opponent: rollout:5."
    with pytest.raises(GameError, match="--ponder: random does not think ahead"):
        PlayerChoice("random", ponder=True).make(load("tictactoe"))


def test_a_wrong_text_is_refused():
    with pytest.raises(GameError, match="no player 'rolout'"):
        PlayerChoice("rolout").make(load("tictactoe"))


def test_the_first_screen_needs_neither_numba_nor_torch():
    script = (
        "import sys, keima.agent.terminal.match_setup, keima.agent.terminal.screen.app\n"
        "print(sorted({'torch', 'numba', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
