"""Games whose moves are no cells: by the contract's texts and cells, and drawn by themselves."""

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from keima.agent.terminal.match_setup import PlayerChoice, Setting
from keima.agent.terminal.screen.app import KeimaApp
from keima.agent.terminal.screen.cell_positions import board_size
from keima.agent.terminal.screen.move_cells import (
    LegalMoves,
    MoveCells,
    draws_itself,
    labels,
    plays_columns,
    shows_texts,
)
from keima.agent.terminal.screen.own_drawing import OwnDrawing
from keima.games import load

TicTacToe = type(load("tictactoe"))


@dataclass(frozen=True)
class Pits(TicTacToe):  # type: ignore[valid-type,misc]
    """Tic-tac-toe whose cells are numbers, with names that are no cells' and a line below the board."""

    __module__ = TicTacToe.__module__  # where its kernels are
    column_labels = ("one", "two", "three")

    def action_to_text(self, state, action):
        return str(action + 1)

    def cell_texts(self, state):
        return [[str(10 * code) for code in row] for row in self.board(state)]

    def action_cells(self, state, action):
        return (8 - action,)

    def beside(self, state):
        return [f"to move: {state[0]}"]


@dataclass(frozen=True)
class Sentences(TicTacToe):  # type: ignore[valid-type,misc]
    """Tic-tac-toe that draws itself in words."""

    __module__ = TicTacToe.__module__

    def action_to_text(self, state, action):
        return str(action + 1)

    def render(self, state):
        return (
            f"crosses: {np.count_nonzero(self.board(state) == 1)}\nnoughts: {np.count_nonzero(self.board(state) == 2)}"
        )


def shown(board) -> str:
    return "\n".join(board.render_line(y).text.rstrip() for y in range(board.size.height))


@pytest.fixture
def on_screen(monkeypatch):
    """Runs `steps(pilot, table)` on a screen with one of the games above."""

    def run(game, steps):
        monkeypatch.setattr("keima.agent.terminal.line_mode.load", lambda text: game)

        async def play():
            app = KeimaApp(Setting("mine", (None, None), PlayerChoice("random")), is_chosen=True)
            async with app.run_test(size=(100, 30)) as pilot:
                while app.table is None or not app.table.is_begun:
                    await pilot.pause(0.01)
                await pilot.pause()
                await steps(pilot, app.table)

        asyncio.run(play())

    return run


def test_which_games_are_drawn_how():
    assert [draws_itself(game) for game in (Pits(), Sentences(), load("connect4"), load("hex:5"))] == [0, 1, 0, 0]
    assert [shows_texts(game) for game in (Pits(), Sentences(), load("go:9"))] == [1, 0, 0]
    assert not plays_columns(Pits())
    assert labels(Pits()).columns == ("one", "two", "three")
    assert board_size(Pits(), 100, 30, largest=2)[1] == 3 * 2 + 1 + 1  # the labels, and what stands below
    assert board_size(Sentences(), 5, 30) is None


def test_a_game_says_where_its_moves_are():
    game = Pits()
    legal = LegalMoves(game, game.new_state())
    assert legal.cells[0] == MoveCells(None, 8)
    assert legal.at(8) == [0]


def test_texts_cells_and_what_stands_beside_the_board(on_screen):
    async def steps(pilot, table):
        assert "one" in shown(table.board)
        assert "to move: 0" in shown(table.board)
        await pilot.press("right", "right", "enter")  # the cursor begins in the middle
        await pilot.pause()
        assert table.scheduler.session.position.actions == [8 - 5]
        assert "10" in shown(table.board)
        assert "to move: 1" in shown(table.board)

    on_screen(Pits(), steps)


def test_a_game_that_draws_itself_has_its_moves_below(on_screen):
    async def steps(pilot, table):
        assert "crosses: 0" in shown(table.board)
        assert " 1    2    3 " in shown(table.board)
        await pilot.press("right", "right", "down", "enter")
        await pilot.pause()
        assert table.scheduler.session.position.actions == [2]
        assert "crosses: 1" in shown(table.board)
        board = table.board
        line = next(y for y in range(board.size.height) if " 9" in board.render_line(y).text)
        await pilot.click(board, offset=(board.render_line(line).text.index("9"), line))
        await pilot.pause()
        assert table.scheduler.session.position.actions == [2, 8]

    on_screen(Sentences(), steps)


def test_its_moves_carry_the_heat():
    game = Sentences()
    board = OwnDrawing(game, coloured=False)
    board.show(LegalMoves(game, game.new_state()), None, {0: 0.25, 8: 0.75}, may_point=True)
    text = "\n".join(strip.text for strip in board._moves_below())
    assert "1 25%" in text
    assert "9 75%" in text
