"""What stands where in windows of all sizes."""

import pytest

from keima.agent.terminal.screen.arrangement import (
    BELOW,
    BESIDE,
    INSTEAD,
    LINES_BELOW,
    NARROW_SIDE_WIDTH,
    OTHER_LINES,
    SIDE_WIDTH,
    SMALLEST,
    arrange,
)
from keima.agent.terminal.screen.cell_positions import fitting
from keima.games import load


@pytest.mark.parametrize(
    ("spec", "size", "panels"),
    [
        *(("connect4", (120, 36), BESIDE), ("connect4", (80, 24), BESIDE), ("connect4", (45, 24), BELOW)),
        *(("go:9", (62, 24), BESIDE), ("go:9", (60, 24), BELOW), ("gomoku:19", (60, 24), INSTEAD)),
        ("gomoku:19", (60, 31), BELOW),
    ],
)
def test_where_the_panels_are(spec, size, panels):
    assert arrange(load(spec), *size).panels == panels


@pytest.mark.parametrize("spec", ["connect4", "gomoku:19", "hex:11"])
def test_board_and_panels_have_room_in_every_window(spec):
    game = load(spec)
    for width in range(20, 210, 7):
        for height in range(5, 70, 5):
            chosen = arrange(game, width, height)
            assert chosen.is_too_small == (width < chosen.needed[0] or height < chosen.needed[1])
            if chosen.panels == BESIDE:
                assert chosen.side_width >= NARROW_SIDE_WIDTH
                assert fitting(game, width - chosen.side_width, height - OTHER_LINES) is not None
            elif chosen.panels == BELOW:
                assert fitting(game, width, chosen.board_height).size[1] == chosen.board_height
                assert height - OTHER_LINES - chosen.board_height >= LINES_BELOW


def test_panels_take_what_the_board_has_no_use_for():
    game = load("connect4")
    assert arrange(game, 120, 36).side_width >= SIDE_WIDTH
    assert arrange(game, 200, 36).side_width > 100


def test_without_a_game_only_the_least_is_asked_for():
    assert arrange(None, *SMALLEST).is_too_small is False
    assert arrange(None, 10, 3).is_too_small
