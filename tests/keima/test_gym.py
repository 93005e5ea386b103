"""Games by name and by path through gymnasium.make, as somebody who knows gymnasium alone would write it."""

import subprocess
import sys

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from keima import gym
from tests.paths import ROOT


def test_made_in_one_line_whatever_was_imported_before():
    code = "import keima, gymnasium; print(gymnasium.make('keima.gym:keima/ConnectFour-v0').spec.id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "keima/ConnectFour-v0\n"


def test_a_game_of_ones_own_by_path_passes_gymnasiums_checker(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text((ROOT / "games" / "tictactoe.py").read_text())
    environment = gymnasium.make("keima.gym:keima/Game-v0", game=str(path), opponent="rollout:10")
    assert isinstance(environment.unwrapped, gym.GameEnvironment)
    assert environment.unwrapped.game.source == str(path)
    check_env(environment.unwrapped)


@pytest.mark.parametrize(("game", "message"), [("./nowhere.py", "no such game file"), ("nim", "unknown game 'nim'")])
def test_a_game_that_is_none(game, message):
    from keima.games.contract import GameError

    with pytest.raises(GameError, match=message):
        gymnasium.make("keima.gym:keima/Game-v0", game=game)
