"""The full screen, driven by keys and clicks; one whole game in a real terminal."""

import asyncio
import inspect
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keima.agent.contracts.player import Resignation
from keima.agent.contracts.thinking import PrincipalVariation, SearchInfo, Thinker
from keima.agent.players import factory
from keima.agent.terminal.match_setup import PlayerChoice, Setting
from keima.agent.terminal.screen.app import KeimaApp
from keima.agent.terminal.screen.app import play as play_on_screen
from keima.agent.terminal.screen.dialogs import HelpScreen, StartDialog
from keima.agent.terminal.screen.panels import Graph
from keima.games import blamed_on_game
from keima.games.contract import GameError
from tests.paths import ROOT

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


@pytest.fixture(autouse=True)
def first_move(monkeypatch):
    """All players are this one."""
    player = FirstMove()
    monkeypatch.setattr(factory, "make_player", lambda text, game, **options: player)
    monkeypatch.setattr(factory, "check_player", lambda text: None)
    return player


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


def test_a_whole_game_by_typing():
    async def play():
        async with table_of("tictactoe") as (pilot, table):
            for move in ("b2", "b3", "b1"):
                await pilot.press(*move, "enter")
                await until(pilot, lambda: not table.scheduler.session.awaits_agent)
            await until(pilot, lambda: moves(table) == "b2 a3 b3 c3 b1")
            await until(pilot, lambda: "X wins: you win." in top(pilot.app))
            await type_line(pilot, "a1")
            await until(pilot, lambda: "the game is over" in said(table))

    asyncio.run(play())


def test_arrows_and_enter():
    async def play():
        async with table_of("tictactoe") as (pilot, table):
            await pilot.press("down", "enter")  # the cursor appears in the middle
            await until(pilot, lambda: moves(table) == "b2 a3")
            await pilot.press("right", "down", "right", "enter")
            await until(pilot, lambda: moves(table) == "b2 a3 c1 b3")
            await pilot.press("enter")
            await until(pilot, lambda: "No move goes to c1 here." in said(table))

    asyncio.run(play())


def test_mouse_on_cells_columns_and_from_to():
    async def play():
        async with table_of("tictactoe", (None, None)) as (pilot, table):
            await click_cell(pilot, table, 4)
            await click_cell(pilot, table, 0)
            await click_cell(pilot, table, 0)
            await until(pilot, lambda: moves(table) == "b2 a3")
            await until(pilot, lambda: "No move goes to a3 here." in said(table))
        async with table_of("connect4", (None, None)) as (pilot, table):
            await click_cell(pilot, table, 3)  # the top of the column will do
            await click_cell(pilot, table, 6 * 5)
            await until(pilot, lambda: moves(table) == "4 3")
        async with table_of("breakthrough", (None, None)) as (pilot, table):
            cell = {table.game.cell_to_text(c): c for c in range(64)}
            await click_cell(pilot, table, cell["a3"])
            await until(pilot, lambda: "No move goes to a3 here." in said(table))
            await click_cell(pilot, table, cell["a2"])
            await until(pilot, lambda: table.board.selected == cell["a2"])
            await click_cell(pilot, table, cell["b3"])
            await click_cell(pilot, table, cell["d7"])
            await pilot.press("escape")
            await until(pilot, lambda: table.board.selected is None)
            await click_cell(pilot, table, cell["h7"])
            await click_cell(pilot, table, cell["h6"])
            await until(pilot, lambda: moves(table) == "a2b3 h7h6")
        async with table_of("hex:5", (None, None)) as (pilot, table):
            await click_cell(pilot, table, 7)
            await click_cell(pilot, table, 21)
            await until(pilot, lambda: moves(table) == "c2 b5")

    asyncio.run(play())


def test_the_dialog_accepts_its_defaults_at_once_and_takes_others(first_move):
    async def play():
        app = KeimaApp(Setting("tictactoe", (None, PlayerChoice("first")), PlayerChoice()), is_chosen=False)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, StartDialog))
            await pilot.press("enter")
            await until(pilot, lambda: app.table is not None and app.table.is_begun)
            await until(pilot, lambda: app.table.scheduler.session.humans == (True, False))
            await pilot.press("ctrl+n")
            await until(pilot, lambda: isinstance(app.screen, StartDialog))
            await pilot.press("right", "tab", *"random", "tab", *"some", "enter")
            error, wrong = (
                app.screen.query_one("#error"),
                "simulations: expected a whole number from 0 to 1e+06, got 'some'",
            )
            await until(pilot, lambda: wrong in str(error.content))
            await pilot.press(*["backspace"] * 4, *"30", "enter")
            await until(pilot, lambda: moves(app.table) == "a3")
            await until(pilot, lambda: app.table.scheduler.session.humans == (False, True))
            await until(pilot, lambda: app.table.scheduler.match.agents[0].choice == PlayerChoice("random", 30))
            await pilot.press("ctrl+n")
            await until(pilot, lambda: isinstance(app.screen, StartDialog))
            await pilot.press("escape")
            await until(pilot, lambda: moves(app.table) == "a3")

    asyncio.run(play())


def test_elo_in_the_dialog_needs_a_table():
    async def play():
        app = KeimaApp(Setting("tictactoe", (None, PlayerChoice("first")), PlayerChoice()), is_chosen=False)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: app.table is not None)
            app.screen.query_one("#elo").value = "1200"
            await pilot.press("enter")
            error = app.screen.query_one("#error")
            await until(pilot, lambda: "no ratings are shipped for tictactoe" in str(error.content))

    asyncio.run(play())


def test_undo_swap_resign_new_and_walking():
    async def play():
        async with table_of("tictactoe") as (pilot, table):
            session = table.scheduler.session
            await type_line(pilot, "b2")
            await pilot.press("f6")
            await until(pilot, lambda: moves(table) == "")
            await type_line(pilot, "swap")
            await until(pilot, lambda: moves(table) == "a3")
            await type_line(pilot, "b2")
            await until(pilot, lambda: moves(table) == "a3 b2 b3")
            await pilot.press("pageup", "pageup")
            await until(pilot, lambda: session.shown_ply == 1)
            await until(pilot, lambda: "after move 1 of 3; O to move" in top(pilot.app))
            await pilot.press("ctrl+home")
            await until(pilot, lambda: session.shown_ply == 0)
            await pilot.press("pagedown")
            await until(pilot, lambda: session.shown_ply == 1)
            await type_line(pilot, "c2")
            await until(pilot, lambda: moves(table) == "a3 c2 b3")
            pilot.app.action_show_ply(2)
            await until(pilot, lambda: session.shown_ply == 2)
            await type_line(pilot, "end")
            await type_line(pilot, "resign")
            await until(pilot, lambda: "O resigns. X wins: you lose." in top(pilot.app))
            await type_line(pilot, "new")
            await until(pilot, lambda: moves(table) == "a3")

    asyncio.run(play())


def test_two_players_are_watched(monkeypatch):
    monkeypatch.setattr("keima.agent.terminal.screen.scheduler.WATCHED_MOVE_S", 0.0)

    async def play():
        async with table_of("tictactoe", (PlayerChoice("first"), PlayerChoice("first"))) as (pilot, table):
            await until(pilot, lambda: table.scheduler.session.is_over)
            await until(pilot, lambda: moves(table) == "a3 b3 c3 a2 b2 c2 a1")
            await until(pilot, lambda: top(pilot.app).endswith("X wins."))

    asyncio.run(play())


def test_hint_explain_moves_and_mistakes():
    async def play():
        async with table_of("tictactoe") as (pilot, table):
            await type_line(pilot, "b2")
            await pilot.press("f4")
            hint = "b3: score 75%, visits 12, policy 25%\nc3: score 50%, visits 4, policy 10%\n"
            await until(pilot, lambda: said(table).startswith(hint))
            await pilot.press("f5")
            await until(pilot, lambda: said(table).startswith("O's a3"))
            await type_line(pilot, "moves")
            await until(pilot, lambda: said(table).startswith("b3 c3 a2 c2 a1 b1 c1\n"))
            await type_line(pilot, "explian")
            await until(pilot, lambda: "did you mean `explain`?" in said(table))
            await type_line(pilot, "explain b2")
            await until(pilot, lambda: said(table).startswith("illegal move 'b2'"))

    asyncio.run(play())


def test_the_panel_shows_candidates_the_graph_and_heat():
    async def play():
        async with table_of("tictactoe") as (pilot, table):
            await type_line(pilot, "b2")
            await until(pilot, lambda: not table.query_one(Graph).display)
            await pilot.press("f2")
            judgements = table.scheduler.session.judgements
            await until(pilot, lambda: set(judgements) == {0, 1, 2})
            await until(pilot, lambda: table.query_one(Graph).display)
            await until(pilot, lambda: (judgements[0].win, judgements[0].draw) == pytest.approx((0.6, 0.3)))
            assert judgements[1].loss > judgements[1].win  # as the first player sees it
            candidates = table.query_one("#candidates")
            await until(pilot, lambda: re.search(r"^b3 +12 +75%  +25%  c3", str(candidates.content), re.MULTILINE))
            await until(pilot, lambda: table.board._heat() == {})
            await pilot.press("f3")
            await until(pilot, lambda: table.board._heat().get(1) == pytest.approx(12 / (12 + 6 * 4)))
            await pilot.press("f3")
            await until(pilot, lambda: table.board._heat().get(1) == 0.25)
            await pilot.press("f3")
            await until(pilot, lambda: table.board._heat() == {})
            await pilot.press("f2")
            await until(pilot, lambda: not table.query_one(Graph).display)

    asyncio.run(play())


def test_saving_loading_and_a_record_to_begin_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def play():
        async with table_of("tictactoe") as (pilot, table):
            await type_line(pilot, "b2")
            await pilot.press("ctrl+s")
            await until(pilot, lambda: pilot.app.query_one("#command").value == "save tictactoe.keima.txt")
            await pilot.press("enter")
            await until(pilot, lambda: "Saved to tictactoe.keima.txt." in said(table))
            await type_line(pilot, "new")
            await pilot.press("ctrl+o", "enter")
            await until(pilot, lambda: moves(table) == "b2 a3")
            await until(pilot, lambda: "Loaded: human against first, 2 moves" in said(table))
            await type_line(pilot, "load nothing.keima.txt")
            await until(pilot, lambda: "no such file" in said(table))
        record = Path("tictactoe.keima.txt")
        async with table_of("tictactoe", (None, None), record=record) as (pilot, table):
            await until(pilot, lambda: moves(table) == "b2 a3")
            await until(pilot, lambda: set(table.scheduler.session.judgements) == {0, 1, 2})

    asyncio.run(play())


def test_a_damaged_record_is_told_after_leaving(tmp_path):
    record = tmp_path / "bad.keima.txt"
    record.write_text("Keima game record, version 1\ngame: tictactoe\nmoves: 2\n\n1. b2\n2. b2\n")

    async def play():
        app = KeimaApp(Setting("tictactoe", (None, None), PlayerChoice(), record), is_chosen=True)
        async with app.run_test() as pilot:
            await until(pilot, lambda: app.problem is not None)
        assert isinstance(app.problem, GameError)
        assert "line 6: move 2: illegal move 'b2'" in str(app.problem)

    asyncio.run(play())


def test_an_opponent_that_cannot_be_made(monkeypatch):
    def fails(text, game, **options):
        raise GameError("the file is damaged")

    monkeypatch.setattr(factory, "make_player", fails)

    async def play():
        app = KeimaApp(Setting("tictactoe", (None, PlayerChoice("x")), PlayerChoice()), is_chosen=True)
        async with app.run_test() as pilot:
            await until(pilot, lambda: app.problem is not None)
        assert str(app.problem) == "the file is damaged"
        # Chosen in the dialog it is no reason to leave.
        app = KeimaApp(Setting("tictactoe", (None, PlayerChoice("x")), PlayerChoice()), is_chosen=False)
        async with app.run_test() as pilot:
            await pilot.press("tab", *"random", "enter")
            await until(pilot, lambda: app.table is not None and app.table.is_begun)
            await pilot.press(*"b2", "enter")
            await until(pilot, lambda: "the file is damaged" in said(app.table))
            await until(pilot, lambda: moves(app.table) == "b2")

    asyncio.run(play())


def test_keys_are_answered_while_a_player_thinks(monkeypatch, first_move):
    released, began = threading.Event(), threading.Event()
    think = first_move.think

    def slow(position, limit=None, *, should_stop=None, report=None):
        if position.actions:
            began.set()
            while not released.wait(0.01) and not should_stop():
                pass
        return think(position, limit, should_stop=should_stop, report=report)

    monkeypatch.setattr(first_move, "think", slow)

    async def play():
        async with table_of("tictactoe") as (pilot, table):
            await pilot.press(*"b2", "enter")
            await until(pilot, began.is_set)
            await until(pilot, lambda: "O is thinking" in top(pilot.app))
            await pilot.press("a", "left", "b")  # typed in the meantime
            await until(pilot, lambda: pilot.app.query_one("#command").value == "ba")
            await pilot.press("enter", *"c1", "enter")
            await until(pilot, lambda: "it is O's turn, who is thinking" in said(table))
            await pilot.press("f6")  # takes the move back that is being thought about
            await until(pilot, lambda: moves(table) == "" and not table.scheduler._worker.is_busy)
            released.set()
            await type_line(pilot, "c1")
            await until(pilot, lambda: moves(table) == "c1 a3")

    asyncio.run(play())


def test_pondering_on_the_users_time(first_move):
    async def play():
        async with table_of("tictactoe", (None, PlayerChoice("first", ponder=True))) as (pilot, _):
            await type_line(pilot, "b2")
            await until(pilot, lambda: 2 in first_move.thought_about)

    asyncio.run(play())


def test_a_player_who_gives_up_and_who_forgets_between_games(monkeypatch, first_move):
    forgotten = []

    def pick(info):
        if first_move.thought_about[-1] > 1:
            return Resignation("first resigns")
        return info.variations[0].action

    monkeypatch.setattr(first_move, "pick", pick)
    monkeypatch.setattr(first_move, "forget", lambda: forgotten.append(True))

    async def play():
        async with table_of("tictactoe") as (pilot, table):
            await type_line(pilot, "b2")
            await until(pilot, lambda: moves(table) == "b2 a3")
            await type_line(pilot, "b3")
            await until(pilot, lambda: top(pilot.app).endswith("O resigns. X wins: you win."))
            before = len(forgotten)
            await type_line(pilot, "new")
            await type_line(pilot, "b2")
            await until(pilot, lambda: moves(table) == "b2 a3")
            assert len(forgotten) == before + 1

    asyncio.run(play())


def test_a_tiny_window_says_so_and_recovers():
    async def play():
        async with table_of("gomoku:19", (None, None)) as (pilot, table):
            app = pilot.app
            small = app.query_one("#too-small")
            for size, is_small in (
                *(((80, 24), False), ((200, 60), False), ((40, 23), True), ((41, 23), False)),
                *(((41, 22), True), ((1, 1), True), ((80, 24), False), ((20, 3), True)),
            ):
                await pilot.resize_terminal(*size)
                await until(pilot, lambda is_small=is_small: small.display == is_small)
                if not is_small:
                    await until(pilot, lambda: table.board.geometry is not None)
            await until(pilot, lambda: "41 x 23 needed" in str(small.content))
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
            await until(pilot, lambda: not small.display and table.board.size.height == 21)
            await click_cell(pilot, table, 0)
            await until(pilot, lambda: moves(table) == "a19")
            await pilot.resize_terminal(41, 23)  # without room beside the board, messages stand above it
            await pilot.pause()
            await until(pilot, lambda: not table.query_one("#side").display)
            await type_line(pilot, "zz")
            await until(pilot, lambda: "illegal move 'zz'" in top(app))

    asyncio.run(play())


def test_sixty_columns_show_the_analysis_and_the_whole_explanation():
    async def play():
        async with table_of("tictactoe", size=(60, 24)) as (pilot, table):
            await type_line(pilot, "b2")
            side, messages = table.query_one("#side"), table.query_one("#messages-box")
            assert side.region.y == table.board.region.bottom
            await pilot.press("f2")
            await until(pilot, lambda: table.query_one("#candidates").region.height >= 3)
            table.say("\n".join(f"line {number}" for number in range(14)))
            await until(pilot, lambda: not table.board.display and messages.region.height >= 14)
            await until(pilot, lambda: top(pilot.app).endswith("Esc shows the board again"))
            await pilot.press("escape")
            await until(pilot, lambda: table.board.display and messages.region.height < 14)
        async with table_of("gomoku:19", size=(60, 24)) as (pilot, table):  # no room for anything below the board
            side = table.query_one("#side")
            assert not side.display
            await pilot.press("f2")
            await until(pilot, lambda: side.display and not table.board.display)
            await until(pilot, lambda: table.query_one("#candidates").region.height >= 3)
            await pilot.press("f2")
            await until(pilot, lambda: table.board.display and not side.display)

    asyncio.run(play())


@pytest.mark.parametrize("key", ["ctrl+c", "ctrl+q"])
def test_leaving_at_once(key):
    async def play():
        for is_chosen in (True, False):
            app = KeimaApp(Setting("tictactoe", (None, PlayerChoice("x")), PlayerChoice()), is_chosen=is_chosen)
            async with app.run_test() as pilot:
                await pilot.press(key)
                await until(pilot, lambda app=app: app._exit)
                assert app.problem is None
                assert app.is_interrupted == (key == "ctrl+c")

    asyncio.run(play())


def test_ctrl_c_is_told_to_who_began_it(monkeypatch):
    monkeypatch.setattr(KeimaApp, "run", KeimaApp.action_interrupt)
    with pytest.raises(KeyboardInterrupt):
        play_on_screen(Setting("tictactoe", (None, None), PlayerChoice()), is_chosen=True)


def test_a_game_that_fails_ends_it(tmp_path):
    rules = (ROOT / "games" / "tictactoe.py").read_text()
    file = tmp_path / "mine.py"
    file.write_text(f"{rules}\n\ndef fail(self, state):\n    raise ValueError('boom')\n\nTicTacToe.board = fail\n")

    async def play():
        app = KeimaApp(Setting(str(file), (None, None), PlayerChoice()), is_chosen=True)
        async with app.run_test() as pilot:
            await until(pilot, lambda: app._exit)
        assert "ValueError: boom" in blamed_on_game(app.problem)

    asyncio.run(play())


def test_the_keys_have_room_on_a_narrow_terminal():
    async def play():
        async with table_of("tictactoe", size=(80, 24)) as (pilot, _):
            shown = {key.description: key.region for key in pilot.app.query("FooterKey")}
            assert {"Help", "New", "Save", "Open", "Leave"} <= set(shown)
            assert max(region.right for region in shown.values()) <= 80

    asyncio.run(play())


def test_help_and_its_end():
    async def play():
        async with table_of("tictactoe") as (pilot, _):
            await pilot.press("f1")
            await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
            await pilot.press("f2", "pagedown", "escape")
            await until(pilot, lambda: not isinstance(pilot.app.screen, HelpScreen))
            await type_line(pilot, "help")
            await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))

    asyncio.run(play())


def test_without_colours(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    async def play():
        async with table_of("tictactoe") as (pilot, table):
            await type_line(pilot, "b2")
            await pilot.press("f2", "f3")
            await until(pilot, lambda: table.board._heat())
            board = table.board
            for y in range(board.size.height):
                for segment in board.render_line(y):
                    assert segment.style is None or segment.style.color is None or segment.style.color.is_default
            text = "\n".join(board.render_line(y).text for y in range(board.size.height))
            assert "X" in text
            assert "O" in text

    asyncio.run(play())


# --- a real terminal


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


@pytest.fixture
def tmux(tmp_path):
    """Starts commands in terminals."""
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux (Debian: apt install tmux)")
    started = []

    def start(command: str, size=(90, 30)) -> Tmux:
        terminal = Tmux(tmp_path, command, size)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close()


def test_a_whole_game_in_a_real_terminal(tmux):
    keima = Path(sys.executable).with_name("keima")
    terminal = tmux(f"{keima} play tictactoe --side both --opponent rollout:20")
    terminal.wait_for("Keima  tictactoe  ·  X to move")
    terminal.type("b2\n")
    terminal.wait_for("O to move")
    terminal.press("Up", "Up", "Enter")  # the cursor appears in the middle, then goes up
    terminal.wait_for(r"2\. b3")
    terminal.type("c3\nundo\n")
    terminal.wait_for("X to move")
    terminal.type("c3\na1\nc1\n")
    terminal.wait_for(r"5\. c1")
    terminal.resize(20, 4)
    terminal.wait_for("too small")
    terminal.resize(90, 30)
    terminal.type("c2\n")
    terminal.wait_for(r"6\. c2")
    terminal.type("a3\n")
    terminal.wait_for("X wins")
    terminal.press("C-c")
    shown = terminal.wait_for("code 130")
    assert "Keima  tictactoe" not in shown  # the terminal is as it was
    terminal.type("echo still $((20 + 3))\n")
    terminal.wait_for("still 23")
