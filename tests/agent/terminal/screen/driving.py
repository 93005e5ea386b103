"""What drives the running screen in tests: a player, waiting, typing, clicking; and a real terminal."""

import inspect
import os
import re
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path

from keima.agent.contracts.thinking import PrincipalVariation, SearchInfo, Thinker
from keima.agent.terminal.match_setup import PlayerChoice, Setting
from keima.agent.terminal.screen.app import KeimaApp

HANGS_S = 120
POLL_S = 0.01
AGAINST_FIRST = (None, PlayerChoice("first"))


class FirstMove(Thinker):
    """Plays the first legal action and has something to say about it."""

    name = "first"

    def __init__(self):
        self.thought_about = []  # how many moves there were in each position

    def choose(self, position):
        return position.legal_actions()[0]

    def think(self, position, limit=None, *, should_stop=None, report=None):
        self.thought_about.append(len(position.actions))
        first, *others = position.legal_actions()
        lines = [
            PrincipalVariation(first, 12, 0.5, 0.25, (first, *others[:1])),
            *(PrincipalVariation(a, 4, 0.0, 0.1, (a,)) for a in others),
        ]
        info = SearchInfo(tuple(lines), 12, 0.25, 0.5, (0.6, 0.3, 0.1), ((0, first),))
        if report is not None:
            report(info)
        return info

    def pick(self, info):
        return info.variations[0].action


async def until(pilot, condition) -> None:
    """Lets the app work until `condition()`."""
    end_s = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < end_s, inspect.getsource(condition)
        await pilot.pause(POLL_S)
    await pilot.pause()


@asynccontextmanager
async def table_of(game_text, sides=AGAINST_FIRST, size=(120, 36), **options):
    """A running app whose game has begun: the pilot and the table."""
    app = KeimaApp(Setting(game_text, sides, PlayerChoice("first"), **options), is_chosen=True)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.table is not None and app.table.is_begun)
        # Players are introduced when they are ready: before anything else is said.
        await until(pilot, lambda: said(app.table).count("Opponent: ") == 2 - sides.count(None))
        await until(
            pilot, lambda: not any(app.table.scheduler.session.humans) or not app.table.scheduler.session.awaits_agent
        )
        yield pilot, app.table


async def type_line(pilot, line: str) -> None:
    """Types a line and Enter, and lets the players answer."""
    app = pilot.app
    app.query_one("#command").value = line
    await pilot.press("enter")
    await until(pilot, lambda: not app.table.scheduler.session.awaits_agent and not app.table.scheduler.is_answering)


def moves(table) -> str:
    return " ".join(table.scheduler.session.position.moves_text())


def said(table) -> str:
    return str(table.query_one("#messages").content)


def top(app) -> str:
    return str(app.query_one("#top").content)


async def click_cell(pilot, table, cell: int) -> None:
    """Clicks into the middle of a cell."""
    board = table.board
    row, column = divmod(cell, table.game.shape[1])
    left, above = board._offset(board.geometry)
    x = left + board.geometry.left(row) + column * board.geometry.width + board.geometry.width // 2
    await pilot.click(board, offset=(x, above + row * board.geometry.height + board.geometry.height // 2))
    await until(pilot, lambda: not table.scheduler.session.awaits_agent)


class Tmux:
    """A command in a terminal of its own."""

    def __init__(self, folder: Path, command: str, size: tuple[int, int]) -> None:
        self._base = ["tmux", "-f", "/dev/null", "-S", str(folder / "tmux")]
        width, height = size
        kept = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        kept |= {"COLUMNS": "80", "LINES": "24"}  # as some programs leave them, and untrue
        # The shell outlives the command, so that what it leaves behind can be read.
        self._call("-u", "new-session", "-d", "-x", width, "-y", height, "sh", env={**os.environ, **kept}, cwd=folder)
        self.type(f"PS1='> '; clear; {command}; echo code $?\n")

    def _call(self, *arguments, **options) -> str:
        line = [*self._base, *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=HANGS_S, check=True, **options).stdout

    def type(self, text: str) -> None:
        self._call("send-keys", "-l", text.replace("\n", "\r"))

    def press(self, *keys: str) -> None:
        self._call("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._call("resize-window", "-x", width, "-y", height)

    def screen(self) -> str:
        return self._call("capture-pane", "-p")

    def wait_for(self, pattern: str) -> str:
        """Waits until the screen shows it; returns the screen."""
        end_s = time.monotonic() + HANGS_S
        while not re.search(pattern, shown := self.screen()):
            assert time.monotonic() < end_s, shown
            time.sleep(0.05)
        return shown

    def close(self) -> None:
        self._call("kill-server")
