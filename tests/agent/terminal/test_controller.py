"""Commands, done for a face that only remembers."""

import pytest

from keima.agent.contracts.thinking import Limit
from keima.agent.system.progress import Progress
from keima.agent.terminal.command_table import BY_NAME, named_command
from keima.agent.terminal.controller import ANALYSIS_S, Controller, analysis_limit
from keima.agent.terminal.match import Match
from keima.agent.terminal.match_setup import PlayerChoice
from keima.games import load
from keima.games.contract import GameError


class Remembering:
    """A face that keeps what it is told, in order."""

    def __init__(self):
        self.told = []

    def say(self, text):
        self.told.append(text)

    def show_position(self):
        self.told.append("SHOWN")

    def note_change(self):
        self.told.append("CHANGED")

    def ask_adviser(self, work, answer):
        self.told.append("ASKED")

    def analyse(self, limit):
        self.told.append(limit)

    def show_help(self):
        self.told.append("HELP")

    def leave(self):
        self.told.append("LEFT")


@pytest.fixture
def table():
    """A match of a user with himself, its controller and its face."""
    match = Match(load("tictactoe"), (None, None), PlayerChoice("random"), Progress(print, live=False))
    face = Remembering()
    return match, Controller(match, face), face


def test_every_command_is_done_by_the_controller(table, tmp_path):
    _, controller, _ = table
    file = tmp_path / "game.keima.txt"
    lines = [
        "moves",
        "board",
        "hint",
        "analyse",
        "explain",
        "b2",
        "back",
        "forward",
        "start",
        "go",
        "b2",
        "undo",
        "end",
    ]
    lines += ["resign", f"save {file}", "new", f"load {file}", "help", "quit"]
    for line in lines:
        controller.run_line(line)
    done = {command.name for line in lines if (command := named_command(line)) is not None}
    assert done == set(BY_NAME) - {"swap"}  # which needs another player


def test_what_each_tells_the_face(table):
    match, controller, face = table
    for line, told in (
        ("b2", ["SHOWN"]),
        ("", []),
        ("moves", ["a3 b3 c3 a2 c2 a1 b1 c1"]),
        ("analyse", [Limit(seconds=ANALYSIS_S)]),
        ("hint", ["ASKED"]),
        ("explain", ["ASKED"]),
        ("back", ["SHOWN"]),
        ("go", ["CHANGED"]),
        ("?", ["HELP"]),
        ("resign", ["SHOWN"]),
        ("q", ["LEFT"]),
    ):
        face.told.clear()
        controller.run_line(line)
        assert face.told == told, line
    assert match.session.resigned == 0
    controller.run_line("undo")
    controller.play(0)
    controller.show_ply(0)
    assert (match.session.plies, match.session.shown_ply) == (1, 0)


def test_what_cannot_be_done_raises_and_changes_nothing(table):
    match, controller, face = table
    for line, said in (
        ("swap", "nobody to swap with"),
        ("explain z9", "illegal move 'z9'"),
        ("analyse soon", "expected a number of seconds above 0, got 'soon'"),
        ("explian", "did you mean `explain`"),
    ):
        with pytest.raises(GameError, match=said):
            controller.run_line(line)
    assert face.told == []
    assert match.session.plies == 0


def test_how_long_an_analysis_may_take():
    assert analysis_limit("0.5") == Limit(seconds=0.5)
    for wrong in ("-1", "0", "x"):
        with pytest.raises(GameError, match="above 0"):
            analysis_limit(wrong)
