"""What is written of a tournament."""

from collections import Counter

import pytest

from agent.levels import read_levels
from selfplay.tournament.ratings import rate, tally
from selfplay.tournament.report import Standings, write

FILES = {"ladder.txt", "ladder.json", "ladder.csv", "cross.csv", "ladder.png"}


def standings(*names):
    """Everybody met everybody; the later one in the list won three games in four."""
    games = [
        (first, second, int((names.index(second) > names.index(first)) != (number % 4 == 0)), f"line {number}")
        for first in names
        for second in names
        if first != second
        for number in range(8)
    ]
    found = tally(games)
    return Standings("connect4", names, rate(found.results), found, Counter(), resigned=0)


def test_settings_of_one_net_become_levels(tmp_path):
    found = standings("random", "shipped simulations=1", "shipped simulations=16", "shipped simulations=64")
    assert {path.name for path in write(found, tmp_path)} == FILES | {"levels.toml"}
    levels = read_levels(tmp_path / "levels.toml")
    assert levels[0].player == "shipped simulations=1"
    assert levels[-1].player == "shipped simulations=64"
    assert levels[-1].elo == pytest.approx(found.ratings["shipped simulations=64"].elo, abs=1)
    assert f"{found.tally.games} games: keima tournament connect4 'random'" in (tmp_path / "levels.toml").read_text()


def test_other_players_do_not(tmp_path):
    found = standings("random", "rollout:10", "shipped simulations=16")
    assert {path.name for path in write(found, tmp_path)} == FILES
