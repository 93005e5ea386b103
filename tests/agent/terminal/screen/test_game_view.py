"""A game on the running screen, driven by keys and clicks."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from keima.agent.contracts.player import Resignation
from keima.agent.terminal.match_setup import PlayerChoice
from keima.agent.terminal.screen.panels import Graph
from tests.agent.terminal.screen.driving import (
    click_cell,
    moves,
    said,
    table_of,
    top,
    type_line,
    until,
)


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
