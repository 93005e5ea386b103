"""What the documents show is run or checked: Python, commands and their options, settings, paths and links."""

import importlib.util
import itertools
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from keima import games
from keima.games.contract import ONGOING
from keima.selfplay.commands import app
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import options
from tests.games.drivers import record_games
from tests.installed import KEIMA
from tests.paths import ROOT

FOLDERS = ("games", "mcts", "agent", "selfplay", "configs", "tests")
"""Those of the front page, in its order."""
DOCUMENTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.md"))]
DOCUMENTS += [path for name in ("README.md", "CONTRIBUTING.md", "keima/README.md") if (path := ROOT / name).exists()]
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in DOCUMENTS}
README = TEXTS["README.md"]
RESULTS = TEXTS["configs/RESULTS.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STAND_INS = {"N": "64"}
"""What commands have in place of a number; other capitals stand for names, and may."""
NO_PATHS = {"tests/x/test_y.py"}
NO_SETTINGS = {"run.log"}


def python_blocks(text: str) -> list[str]:
    return [code for language, code in FENCED.findall(text) if language == "python"]


def code_spans(text: str) -> list[str]:
    """What stands between single backticks, each on one line, and every line of the blocks without a language."""
    lines = [line for language, code in FENCED.findall(text) if not language for line in code.splitlines()]
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))]
    return [*lines, *spans]


def commands(text: str, program: str) -> list[str]:
    """The command lines of a program that a document shows, without comments and stand-ins."""
    found = [span.partition(" #")[0].strip() for span in code_spans(text) if span.startswith(program + " ")]
    return [" ".join(STAND_INS.get(word, word) for word in command.split()) for command in found]


def every(program: str) -> list[str]:
    """All command lines of a program in all documents."""
    return sorted(
        {command for text in TEXTS.values() for command in commands(text, program)} - {"keima COMMAND --help"}
    )


COMMANDS = every("keima")


def anchors(text: str) -> set[str]:
    """The names under which GitHub links to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def example(tmp_path):
    """The README's own game, as a user would have it: a file somewhere."""
    (code,) = [code for code in python_blocks(README) if "(Game)" in code]
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


@pytest.mark.slow
def test_the_example_game_trains_and_plays(example, tmp_path):
    train = [KEIMA, "train", str(example), "--run", "notakto", "--minutes", "30"]
    settings = ["run.max_steps=20", "network.blocks=1", "network.channels=8", "selfplay.actors=1"]
    settings += ["selfplay.parallel_games=16", "selfplay.segment_positions=100", "learner.batch_size=64"]
    settings += ["run.measure_simulations=16"]
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


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 150


def test_folders_shown_are_there_in_order():
    shown = re.findall(r"^\| \[(\w+)/\]", README, re.MULTILINE)
    assert tuple(shown) == FOLDERS
    assert all((ROOT / name).is_dir() for name in shown)


@pytest.mark.parametrize(
    "code", [code for text in TEXTS.values() for code in python_blocks(text) if "(Game)" not in code]
)
def test_python_shown_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "a document", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_shown_are_understood(command):
    _, name, *arguments = shlex.split(command)
    if arguments:
        app.parse_args([name, *arguments], exit_on_error=False, print_error=False)
    else:
        assert name == "--help" or app[name], "a command that is only named"


@pytest.mark.parametrize("command", [command for command in COMMANDS if "--set" in command])
def test_settings_in_commands_are_the_schemas(command):
    words = shlex.split(command)
    overrides = [after for word, after in itertools.pairwise(words) if word == "--set"]
    assert {override.partition("=")[0] for override in overrides} <= set(options()), "today's names"
    load_config("connect4" if words[2].startswith("--") else words[2], overrides)


@pytest.mark.parametrize("command", every("python -m"))
def test_modules_shown_are_there(command):
    module, *arguments = shlex.split(command)[2:]
    assert importlib.util.find_spec(module)
    for argument in arguments:
        assert not argument.endswith(".py") or (ROOT / argument).is_file()


@pytest.mark.parametrize("command", every("make"))
def test_targets_shown_are_the_makefiles(command):
    makefile = (ROOT / "Makefile").read_text()
    targets = [word for word in shlex.split(command)[1:] if "=" not in word]
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", TEXTS)
def test_settings_shown_are_the_schemas(name):
    sections = {key.partition(".")[0] for key in options() if "." in key}
    for span in code_spans(TEXTS[name]):
        section, dot, rest = span.partition(".")
        if section in sections and dot and re.fullmatch(r"(?!py$)\w+(=.*)?", rest) and span not in NO_SETTINGS:
            assert span.partition("=")[0] in options(), span


@pytest.mark.parametrize("name", TEXTS)
def test_paths_shown_are_there(name):
    for span in code_spans(TEXTS[name]):
        # With a dot or a slash at its end: `games/distinct_share` is one of TensorBoard's names.
        if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./=-]*(\.\w+|/)", span) and span not in NO_PATHS:
            assert (ROOT / span).exists(), span


def test_names_shown_are_those_that_tensorboard_is_told():
    """Of the table in the run's README; `*` stands for the rest of a name."""
    told = "".join(path.read_text() for path in sorted((ROOT / "selfplay").rglob("*.py")))
    shown = re.findall(r"`([a-z]+/[a-z_]+)", TEXTS["selfplay/run/README.md"])
    assert len(shown) > 10
    assert [name for name in shown if name not in told and name.partition("/")[2] not in told] == []


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", FENCED.sub("", TEXTS[name])):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), target


RESULT = re.compile(r"^### (.*?)\n(.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("title", "text"), RESULT.findall(RESULTS))
def test_every_result_says_how_it_was_measured(title, text):
    (command, commit, sample) = re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)
    assert command.startswith("command: ")
    assert commit.startswith("commit")
    assert re.search(r"\b[0-9a-f]{7}\b", text), "no commit"
    assert re.search(r"Zen 5|Xeon", commit) or not re.search(r"\bkeima (train|bench|tournament)\b", command), (
        "no machine"
    )
    assert sample.startswith("sample: ")


def test_the_front_pages_figures_are_among_the_results():
    """So that a figure that is measured anew cannot stay on the front page as it was."""
    table = README[README.index("| what | result |") : README.index("## A game of your own")]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:] if row.startswith("|")]
    assert len(rows) == 5
    for what, result in rows:
        for figure in re.findall(r"\d[\d.,]*\d|\d", f"{what} {result}"):
            assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d.,]*\d)", RESULTS), (what, figure)


def test_paths_in_the_documents_are_those_of_the_checkout():
    """Nothing of one machine is in them."""
    for name, text in TEXTS.items():
        assert not re.search(r"(?<![\w.])/(work|home|root|tmp)/", text), name


def test_the_checks_above_would_notice():
    text = "# A: one, two\n`keima train\nx --set a.b=1` and `games/x.py`\n```\nkeima play N  # why\n```\n"
    assert commands(text, "keima") == ["keima play 64", "keima train x --set a.b=1"]
    assert "games/x.py" in code_spans(text)
    assert anchors(text) == {"a-one-two"}
    assert Path(DOCUMENTS[0]).suffix == ".md"
