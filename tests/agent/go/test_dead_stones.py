"""Dead stones in textbook positions, by what is exact and by random playouts."""

import numpy as np
import pytest

from keima.agent.contracts.territory import Estimate
from keima.agent.go.dead_stones import (
    before_passes,
    dead_cells,
    is_capturable,
    is_self_atari,
    judge_chains,
    knows_dead_stones,
    points_without_dead,
)
from keima.agent.go.playouts import PlayoutTerritory
from keima.games import load
from keima.games.position import Position
from tests.games.test_go import set_up

SEKI_WITH_EYES = [".XXO.", "XXXOO", "XX.OO", "XXXOO", "XXXOO"]
SEKI_WITHOUT_EYES = [
    "XX.OOX.X.",
    "XXXOOXXXX",
    "XX.OOX.X.",
    "XXXOOXXXX",
    "OOOXXXXXX",
    ".OOOOOOOO",
    "OO.OOOOOO",
    "OOOOOOOOO",
    "OOOOOOO.O",
]
FILLED_FROM_INSIDE = [  # three points in a row, Black's stone on the vital one
    "XO.X.OX..",
    "XOOOOOX..",
    "XXXXXXX..",
    ".........",
    ".........",
    "OOOOOOOOO",
    ".........",
    ".........",
    ".........",
]
DEAD_IN_TERRITORY = [
    "....XO...",
    "....XO...",
    "..O.XO.X.",
    "....XO...",
    "....XO...",
    "...XXOO..",
    "....XO...",
    ".O..XO.X.",
    "....XO...",
]
AFTER_A_SNAPBACK = [  # White's throw-in has taken the liberty of the four black stones
    ".....",
    "OOOO.",
    "O.XO.",
    "OOXXO",
    "..OXO",
]


class Certain:
    """An estimate that gives everything to one side."""

    def __init__(self, owner: int) -> None:
        self._owner = owner

    def estimate(self, states):
        return [Estimate(np.full(400, self._owner, np.float32), 0.0, 0.0) for _ in states]


def statuses(rows: list[str], territory=None, spec: str = "") -> dict[str, set[str]]:
    """By status, a stone of each chain (its first in the order of the board)."""
    position = set_up(spec or f"go:{len(rows)}", *rows)
    found: dict[str, set[str]] = {}
    for chain in judge_chains(position, territory or PlayoutTerritory(position.game)):
        assert all(position.game.board(position.state).flat[cell] == chain.player + 1 for cell in chain.cells)
        found.setdefault(chain.status.value, set()).add(position.game.cell_to_text(chain.cells[0]))
    return found


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (SEKI_WITH_EYES, {"seki": {"b5", "d5"}}),
        (SEKI_WITHOUT_EYES, {"seki": {"a9", "d9"}, "alive": {"f9", "a5"}}),
        (FILLED_FROM_INSIDE, {"dead": {"b9"}, "alive": {"a9", "d9", "a4"}}),
        (DEAD_IN_TERRITORY, {"dead": {"c7", "h7", "b2", "h2"}, "alive": {"e9", "f9"}}),
        (AFTER_A_SNAPBACK, {"dead": {"c3"}, "alive": {"a4", "e2", "c1"}}),
    ],
    ids=["seki with eyes", "seki without", "filled from inside", "dead in territory", "after a snapback"],
)
def test_textbook_positions(rows, expected, mirrored):
    """As drawn, and with the colours exchanged."""
    drawn = ["".join({"X": "O", "O": "X"}.get(c, c) for c in row) for row in rows] if mirrored else rows
    assert statuses(drawn) == expected


def test_what_is_certain_needs_no_estimate():
    # Whatever is estimated, a chain with two eyes lives and what stands inside them is dead.
    two_eyes = ["XOX.X", "X.XXX", "XXXOO", "XXOO.", "XXO.O"]
    for owner in (1, -1):
        found = statuses(two_eyes, Certain(owner))
        assert "a5" in found["alive"]
        assert "b5" in found["dead"]


def test_an_estimate_decides_the_rest():
    rows = [".....", ".X.O.", ".X.O.", ".X.O.", "....."]
    assert statuses(rows, Certain(1)) == {"alive": {"b4"}, "dead": {"d4"}}
    assert statuses(rows, Certain(-1)) == {"alive": {"d4"}, "dead": {"b4"}}


def test_a_chain_in_a_seki_cannot_be_captured_and_a_filled_one_can():
    for rows, cell, expected in (
        (SEKI_WITHOUT_EYES, 0, False),
        (SEKI_WITHOUT_EYES, 3, False),
        (FILLED_FROM_INSIDE, 1, True),
        (FILLED_FROM_INSIDE, 3, False),
    ):
        position = set_up(f"go:{len(rows)}", *rows)
        chains = judge_chains(position, Certain(1))
        cells = next(chain.cells for chain in chains if cell in chain.cells)
        assert is_capturable(position.game, position.state, cells) is expected


def test_self_atari():
    board = np.array([[0, 1, 0], [2, 1, 1], [0, 0, 2]])
    assert is_self_atari(board, 0, 1)
    assert is_self_atari(board, 6, 0)
    assert not is_self_atari(board, 7, 0)
    assert not is_self_atari(np.array([[0, 1, 2], [2, 2, 2], [1, 1, 1]]), 0, 1)  # it captures


def test_dead_stones_are_taken_off_before_counting_and_passes_change_nothing():
    position = set_up("go:9,komi=6.5", *DEAD_IN_TERRITORY)
    before = judge_chains(position, PlayoutTerritory(position.game))
    for _ in range(2):
        position.play(81)
    judged = judge_chains(position, PlayoutTerritory(position.game))
    assert judged == before
    assert len(before_passes(position).actions) == len(position.actions) - 2
    assert [position.game.cell_to_text(cell) for cell in dead_cells(judged, 1)] == ["c7", "b2"]
    assert points_without_dead(position, judged) == 45 - 36 - 6.5


def test_only_go_has_dead_stones():
    assert knows_dead_stones(load("go"))
    assert not knows_dead_stones(load("othello"))
    assert before_passes(Position(load("go:5"))).actions == []
