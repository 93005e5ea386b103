"""What the README shows is run: its game, its Python, its commands' options."""

import re
import shlex
import subprocess

import numpy as np
import pytest

from keima import games
from keima.games.contract import ONGOING
from tests.games.drivers import record_games
from tests.installed import KEIMA
from tests.paths import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line.partition("#")[0].strip()
    for language, code in BLOCKS
    if not language
    for line in code.splitlines()
    if line.startswith("keima ") and "COMMAND" not in line
]


@pytest.fixture
def example(tmp_path):
    """The README's own game, as a user would have it: a file somewhere."""
    (code,) = [code for code in PYTHON if "(Game)" in code]
    path = tmp_path / "notakto.py"
    path.write_text(code)
    return path


def test_the_example_game_is_a_game(example):
    game = games.load(str(example))
    assert game.spec == str(example)
    assert game.name == "notakto"
    assert {recording.outcome for recording in record_games(game, 500, seed=1)} == {0, 1}  # nobody draws
    state = game.new_state()
    for move in ("a1", "b2", "c3"):
        state = game.after(state, game.text_to_action(state, move))
    assert game.outcome(state) == 1  # the first player completed the diagonal
    assert len(game.symmetries()) == 8


def test_the_example_game_is_won_by_the_first_player(example):
    """Known: on one board the first player wins, by taking the centre."""
    game = games.load(str(example))
    values: dict[bytes, int] = {}

    def value(state: np.ndarray) -> int:
        """+1 or -1 for the side to move."""
        key = state.tobytes()
        if key not in values:
            outcome = game.outcome(state)
            if outcome != ONGOING:
                values[key] = 1 if outcome == state[0] else -1
            else:
                values[key] = max(-value(game.after(state, int(a))) for a in game.legal(state))
        return values[key]

    start = game.new_state()
    assert value(start) == 1
    assert [a for a in range(9) if value(game.after(start, a)) == -1] == [4]


def test_the_example_game_trains_and_plays(example, tmp_path):
    train = [KEIMA, "train", str(example), "--run", "notakto", "--minutes", "0.1"]
    settings = ["network.blocks=1", "network.channels=8", "selfplay.actors=1", "selfplay.slots=16"]
    settings += ["selfplay.segment_positions=100", "learner.batch_size=64", "run.measure_simulations=16"]
    options = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run([*train, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "Play it:" in done.stdout
    play = [KEIMA, "play", str(example), "--model", "runs/notakto"]
    done = subprocess.run(
        [*play, "--simulations", "30"], cwd=tmp_path, input="b2\nquit\n", capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("X") >= 2


@pytest.mark.parametrize("code", [code for code in PYTHON if "(Game)" not in code])
def test_python_shown_runs(code):
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_shown_are_understood(command):
    from keima.selfplay.commands import app

    app.parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


def test_folders_shown_are_there_in_order():
    shown = re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE)
    assert shown == ["games", "mcts", "agent", "selfplay", "configs", "tests"]
    assert all((ROOT / name).is_dir() for name in shown)
