"""The window: beginning, dialogs, sizes, leaving; one whole game in a real terminal."""

import asyncio
import sys
from pathlib import Path

import pytest

from keima.agent.players import factory
from keima.agent.terminal.match_setup import PlayerChoice, Setting
from keima.agent.terminal.screen.app import KeimaApp
from keima.agent.terminal.screen.app import play as play_on_screen
from keima.agent.terminal.screen.dialogs import HelpScreen, StartDialog
from keima.games import blamed_on_game
from keima.games.contract import GameError
from tests.agent.terminal.screen.driving import (
    click_cell,
    moves,
    said,
    table_of,
    top,
    type_line,
    until,
)
from tests.paths import ROOT


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
