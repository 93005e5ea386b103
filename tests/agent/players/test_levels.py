"""Levels by rating, read from tables of our own."""

import inspect

import pytest

from keima.agent.nets.shipped import shipped_name
from keima.agent.players import levels
from keima.agent.players.levels import Level, level_for, levels_file, nearest, read_levels
from keima.games import load
from keima.games.contract import GameError

TABLE = """
measured = "a tournament that was not played"

[[level]]
elo = 800
player = "shipped   simulations=2 temperature=1"

[[level]]
elo = 1200
player = "shipped simulations=16"
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "connect4.toml"
    path.write_text(TABLE)
    return path


def test_a_table_is_read(table):
    expected = [Level(800, "shipped simulations=2 temperature=1"), Level(1200, "shipped simulations=16")]
    assert read_levels(table) == expected


def test_the_nearest_level_is_taken(table, monkeypatch):
    monkeypatch.setattr(levels, "levels_file", lambda game: table)
    game = load("connect4")
    assert level_for(game, 1200).elo == 1200
    assert level_for(game, 990).elo == 800
    assert level_for(game, 1010).elo == 1200
    assert level_for(game, 1250).elo == 1200
    for beyond in (749, 1251):
        with pytest.raises(GameError, match=f"--elo: expected 800 to 1200, the levels measured, got {beyond}"):
            level_for(game, beyond)


def test_a_game_without_ratings_says_so():
    game = load("tictactoe")
    assert levels_file(game) is None
    with pytest.raises(GameError, match="--elo: no ratings are shipped for tictactoe"):
        level_for(game, 1200)


def test_a_users_own_file_has_none(tmp_path):
    path = tmp_path / "connect4.py"
    path.write_text(inspect.getsource(inspect.getmodule(type(load("connect4")))))
    assert shipped_name(load(str(path))) is None
    assert levels_file(load(str(path))) is None
    assert shipped_name(load("gomoku:9")) == "gomoku-size=9"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("level = 3", "expected entries [[level]] with elo and player, found none"),
        ("", "expected entries [[level]]"),
        ("[[level]]\nelo = 1", "level 1: expected elo and player"),
        ('[[level]]\nelo = "1"\nplayer = "random"', "level 1: expected elo as a whole number"),
        ('[[level]]\nelo = true\nplayer = "random"', "level 1: expected elo as a whole number"),
        ('[[level]]\nelo = 1\nplayer = "random moves=3"', "level 1: random: unknown option 'moves'"),
        ('[[level]]\nelo = 9\nplayer = "random"\n[[level]]\nelo = 9\nplayer = "exact"', "level 2: expected more than"),
        ("[[level", "levels.toml: "),
    ],
)
def test_a_wrong_table_says_where(tmp_path, text, said):
    path = tmp_path / "levels.toml"
    path.write_text(text)
    with pytest.raises(GameError) as error:
        read_levels(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_every_shipped_table_can_be_read_and_rises():
    from importlib.resources import files
    from pathlib import Path

    for path in Path(str(files("keima.configs"))).glob("levels/*.toml"):
        found = read_levels(path)
        assert nearest(found, found[0].elo) == found[0]
