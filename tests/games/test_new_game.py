"""The game that `keima new` writes: sound, short, named after its file, and never written over another file."""

import re

import pytest

from keima import games
from keima.games.contract import GameError
from keima.games.doctor.examination import examine
from keima.games.doctor.report import CHECKS
from keima.games.new_game import TEMPLATE, write_new_game


def test_the_doctor_finds_nothing_in_it(tmp_path):
    path = tmp_path / "my_game.py"
    assert write_new_game(path) == "MyGame"
    report = examine(str(path), num_games=50, seed=0)
    assert report.findings == []
    assert not [check for check in CHECKS if report.status(check) not in ("ok", "") and check != "learner"]
    assert "`keima doctor ./my_game.py`" in path.read_text()


def test_it_is_short_and_its_class_is_named_after_the_file(tmp_path):
    assert len(TEMPLATE.splitlines()) < 120
    path = tmp_path / "kalah2.py"
    write_new_game(path)
    game = games.load(str(path))
    assert (type(game).__name__, game.name) == ("Kalah2", "kalah2")
    text = "XO../.X../..../.... O"
    assert game.position_to_text(game.text_to_position(text)) == text


def test_a_file_that_exists_is_left_alone(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("precious")
    with pytest.raises(GameError, match="exists already; give the new game another name"):
        write_new_game(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mygame", "expected a file that ends in .py, as mygame.py"),
        ("7.py", "begins with a letter"),
        ("game.py", "is not Game"),
        ("nowhere/mine.py", "there is no folder"),
    ],
)
def test_names_that_no_game_can_have(tmp_path, name, message):
    with pytest.raises(GameError, match=re.escape(message)):
        write_new_game(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
