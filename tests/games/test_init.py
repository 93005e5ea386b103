"""Finding games by name and by path, their parameters, what is said of bad input, and the cache of compiled kernels."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from keima import games
from keima.games.contract import GameError
from tests.paths import ROOT

COUNTDOWN = '''
"""Players take one from a heap in turns; who takes the last wins."""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import ONGOING, PLAYER, Game, kernel, parameter


@dataclass(frozen=True)
class Countdown(Game):
    heap: int = parameter(5, "how many there are", 1, 9)
    komi: float = parameter(0.5, "unused", 0.0, 2.0)
    mood: str = parameter("calm", "unused", choices=("calm", "wild"))

    shape = (1, 1)
    num_planes = 1
    num_actions = 1
    state_size = 2
    max_plies = 9

    def board(self, state):
        return np.zeros((1, 1), np.int64)


@kernel
def reset(state, parameters):
    state[0] = 0
    state[1] = parameters[0]


@kernel
def legal_actions(state, actions):
    actions[0] = 0
    return 1


@kernel
def play(state, action):
    state[1] -= 1
    state[PLAYER] = 1 - state[PLAYER]


@kernel
def outcome(state):
    return ONGOING if state[1] > 0 else 1 - state[PLAYER]


@kernel
def encode(state, planes):
    planes[:] = 0
'''

COUNT_PLIES = """
import sys
import games
from keima.games.position import Position

game = games.load(sys.argv[1])
position = Position(game)
while not position.is_over:
    position.play(0)
kernels = vars(sys.modules[type(game).__module__])
stats = [kernels[name].stats for name in ("reset", "legal_actions", "play", "outcome", "encode")]
print(len(position.actions), sum(sum(s.cache_hits.values()) for s in stats),
      sum(sum(s.cache_misses.values()) for s in stats))
"""


@pytest.fixture
def countdown(tmp_path):
    """The path of a game file outside the package."""
    path = tmp_path / "countdown.py"
    path.write_text(COUNTDOWN)
    return path


# --- by name


def test_the_shipped_games():
    assert (
        games.names().items()
        >= {
            "breakthrough": "Breakthrough",
            "connect4": "ConnectFour",
            "gomoku": "Gomoku",
            "hex": "Hex",
            "othello": "Othello",
            "tictactoe": "TicTacToe",
        }.items()
    )


@pytest.fixture
def other_folder(tmp_path, monkeypatch):
    """A folder that stands for games/ during the test."""
    monkeypatch.setattr(games, "_FOLDER", tmp_path)
    games.names.cache_clear()
    yield tmp_path
    games.names.cache_clear()


def test_a_file_in_the_folder_is_a_game_without_being_listed_anywhere(other_folder, countdown):
    (other_folder / "helper.py").write_text("class Helper: pass\n")
    assert games.names() == {"countdown": "Countdown"}


def test_a_broken_file_in_the_folder_is_named(other_folder):
    (other_folder / "broken.py").write_text("class Broken(Game:\n")
    with pytest.raises(GameError, match=r"broken\.py: SyntaxError: .* \(broken\.py, line 1\)$"):
        games.names()


def test_listing_the_games_compiles_and_imports_nothing_heavy():
    code = "import sys, games; games.names(); print([m for m in ('numba', 'numpy', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_loading_by_name():
    game = games.load(" othello:6 ")
    assert (game.name, game.source, game.label, game.spec) == ("othello", "othello", "othello:size=6", "othello:size=6")
    assert games.load("othello").spec == "othello"
    assert games.load("othello:size=8") == games.load("othello")
    assert games.load("gomoku:9,win=4") == games.load("gomoku: win=4 , size=9") == games.load("gomoku:9,4")


def test_an_unknown_game_names_the_nearest():
    with pytest.raises(GameError, match=r"unknown game 'conect4' \(did you mean connect4\?\); expected one of break"):
        games.load("conect4")
    with pytest.raises(GameError, match=r"unknown game 'zzz'; expected one of breakthrough, connect4, .*\.py file$"):
        games.load("zzz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("othello:big", "othello: size takes a whole number, got 'big'"),
        ("othello:6.0", "othello: size takes a whole number, got '6.0'"),
        ("othello:2", "othello: size is from 4 to 16, got 2"),
        ("othello:18", "othello: size is from 4 to 16, got 18"),
        ("othello:6,7", "othello: takes 1 parameters, got '6,7'"),
        ("gomoku:sise=9", "gomoku: unknown parameter 'sise'; it has: size, win"),
        ("gomoku:9,size=7", "gomoku: size is said twice, as 9 and as 7"),
        ("gomoku:win=4,win=5", "gomoku: win is said twice, as 4 and as 5"),
        ("go:9,,", "go: expected parameters with a comma between each two, got '9,,'"),
        ("othello:6,", "othello: expected parameters with a comma between each two, got '6,'"),
        ("tictactoe:3", "tictactoe: takes 0 parameters, got '3'"),
        ("tictactoe:size=3", "tictactoe: unknown parameter 'size'; it has: none"),
    ],
)
def test_bad_parameters(text, message):
    with pytest.raises(GameError) as error:
        games.load(text)
    assert str(error.value) == message


# --- by path


def test_loading_by_path(countdown):
    game = games.load(f"{countdown}:7,komi=1.5,mood=wild")
    assert (game.name, game.source) == ("countdown", str(countdown))
    assert game.spec == f"{countdown}:heap=7,komi=1.5,mood=wild"
    assert games.load(game.spec) == game
    assert game.parameter_row().tolist() == [7, 3, 1]
    assert game.new_state().tolist() == [0, 7]


def test_a_path_from_the_present_folder(countdown, monkeypatch):
    monkeypatch.chdir(countdown.parent)
    assert games.load("./countdown.py").source == str(countdown)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("komi=much", "komi takes a number, got 'much'"),
        ("komi=0.3", "komi goes in steps of 0.5, got 0.3"),
        ("komi=nan", "komi goes in steps of 0.5, got nan"),
        ("mood=sad", "mood is one of calm, wild; got 'sad'"),
    ],
)
def test_bad_parameters_of_other_kinds(countdown, parameters, message):
    with pytest.raises(GameError) as error:
        games.load(f"{countdown}:{parameters}")
    assert str(error.value) == f"countdown: {message}"


def edited(*replacements):
    text = COUNTDOWN
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "expected a class derived from Game, found none"),
        ("def f(:\n", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ("\0", "bad.py: SyntaxError: source code string cannot contain null bytes"),
        ("raise ValueError('two\\nlines')\nclass A(Game): pass\n", "ValueError: two lines"),
        ("import no_such_module\nclass A(Game): pass\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        (edited(("def play(state, action):", "def move(state, action):")), "expected a @kernel named play, found none"),
        (edited(("@kernel\ndef play", "def play")), "expected play to be a function marked @kernel, got function"),
        (edited(("def play(state, action)", "def play(state)")), "play does not compile: Signature mismatch: 2 arg"),
        (edited(("state[1] -= 1", "state.heap -= 1")), "play does not compile: Unknown attribute 'heap' of type array"),
        (edited(("@dataclass(frozen=True)\n", "")), "expected @dataclass(frozen=True) above class Countdown, "),
        ("from keima.games.contract import Game\nraise SystemExit(3)\nclass A(Game): pass\n", "line 2: SystemExit: 3"),
        (edited(("num_actions = 1", "num_actions = 'two'")), "its num_actions is 'two': expected a whole number"),
        (edited(("num_actions = 1", "num_actions = 0")), "its num_actions is 0: expected a whole number from 1; see"),
        (edited(("state_size = 2", "state_size = -2")), "its state_size is -2: expected a whole number from 1"),
        (edited(("state_size = 2", "state_size = 2.5")), "its state_size is 2.5: expected a whole number from 1"),
        (edited(("    state_size = 2\n", "    state_size = 2\n    policy_planes = -1\n")), "its policy_planes is -1"),
        (edited(("shape = (1, 1)", "shape = (1, -1)")), "its shape is (1, -1): expected two"),
        (edited(("shape = (1, 1)", "shape = 5")), "its shape is 5: expected two whole"),
        (edited(("    state_size = 2\n", "")), "expected class Countdown to say its state_size, found nothing"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(GameError) as error:
        games.load(str(path)).kernels  # noqa: B018 (they are compiled here)
    assert message in str(error.value)
    assert "bad" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_failed_is_read_again(tmp_path):
    path = tmp_path / "countdown.py"
    path.write_text("from keima.games.contract import Game\n\nclass Countdown(Game): pass\n\nraise ValueError\n")
    with pytest.raises(GameError, match="ValueError"):
        games.load(str(path))
    path.write_text(COUNTDOWN)
    assert games.load(str(path)).max_plies == 9


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "bad.py"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GameError, match="expected Python in UTF-8, got something that is not a text file"):
        games.load(str(path))


def test_a_missing_file(tmp_path):
    with pytest.raises(GameError, match=r"nowhere\.py: no such game file"):
        games.load(str(tmp_path / "nowhere.py"))


# --- the cache


def count_plies(path, cache):
    """In a fresh process: (plies of a game, kernels read from the cache, kernels compiled)."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", COUNT_PLIES, str(path)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in output.split())


def test_a_file_that_has_the_old_name_of_the_contract_loads_and_is_told_the_new_one(countdown):
    countdown.write_text(COUNTDOWN.replace("from keima.games.contract", "from games.contract"))
    command = [sys.executable, "-c", "from keima import games; print(games.load({!r}).new_state())"]
    command[2] = command[2].format(str(countdown))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for folder in (ROOT, countdown.parent):  # a checkout holds a folder games/, which must not become a second module
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "[0 5]\n"
        expected = f"{countdown}: `games.contract` is now called `keima.games.contract`: write that in its imports"
        assert done.stderr.splitlines() == [expected]


def test_a_package_of_the_users_own_called_games_is_left_alone(countdown):
    (countdown.parent / "games").mkdir()
    (countdown.parent / "games" / "__init__.py").write_text("HEAP = 7\n")
    countdown.write_text(COUNTDOWN.replace("import numpy as np", "import numpy as np\nimport games\nassert games.HEAP"))
    command = [sys.executable, "-c", "from keima import games; print(games.load('countdown.py').new_state())"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}"}
    done = subprocess.run(command, cwd=countdown.parent, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[0 5]\n", "")


def test_kernels_are_cached_and_right_after_an_edit(countdown, tmp_path):
    cache = tmp_path / "cache"
    assert count_plies(countdown, cache) == (5, 0, 5)
    assert count_plies(countdown, cache) == (5, 5, 0)
    countdown.write_text(edited(("state[1] -= 1", "state[1] -= 2")))  # a file of the same length
    assert count_plies(countdown, cache) == (3, 0, 5)
    assert count_plies(countdown, cache) == (3, 5, 0)


def test_the_cache_is_another_after_the_contract_or_the_search_changed(tmp_path, monkeypatch):
    """Kernels of a game's file are compiled with what the contract says: its edit must not find the old ones."""
    shared = [f"games/{name}.py" for name in games._SHARED]
    sources = [tmp_path / path for path in (*shared, "mcts/search.py")]
    for path in sources:
        path.parent.mkdir(exist_ok=True)
        path.write_text("a = 1\n")
    monkeypatch.setattr(games, "_FOLDER", tmp_path / "games")
    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)  # restored afterwards
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def chosen_folder():
        monkeypatch.delenv("NUMBA_CACHE_DIR")
        games._choose_cache_folder()
        assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR
        return Path(numba.config.CACHE_DIR)

    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    folders = [chosen_folder(), chosen_folder()]
    assert folders[0] == folders[1]
    assert folders[0].parent == tmp_path / "cache" / "keima"
    for path in sources:
        path.write_text("a = 2\n")
        folders.append(chosen_folder())
    assert len(set(folders)) == 1 + len(sources)


def test_a_cache_folder_that_was_asked_for_is_kept(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    games._choose_cache_folder()
    assert os.environ["NUMBA_CACHE_DIR"] == "mine"
