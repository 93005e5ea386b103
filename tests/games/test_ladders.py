"""Ladders against a reader that follows their definition, and some that every player knows."""

import numpy as np
import pytest

from keima import games
from keima.games.contract import PLAYER
from keima.games.go_planes import LADDER_MOVES, LADDERED
from keima.games.ladders import MOST_BRANCHES
from keima.games.position import Position
from tests.games.drivers import record_games
from tests.games.test_go import play, set_up

Board = dict[tuple[int, int], int]
EMPTY = 0


class TooLong(Exception):  # noqa: N818 (no error: such a reading is left out)
    pass


def chain(board: Board, stone: tuple[int, int]) -> tuple[set, set]:
    """The stones of a stone's chain and its liberties."""
    stones, front, liberties = {stone}, [stone], set()
    while front:
        for point in neighbours(board, front.pop()):
            if board[point] == EMPTY:
                liberties.add(point)
            elif board[point] == board[stone] and point not in stones:
                stones.add(point)
                front.append(point)
    return stones, liberties


def neighbours(board: Board, point: tuple[int, int]) -> list[tuple[int, int]]:
    row, column = point
    return [p for p in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)) if p in board]


def after(board: Board, colour: int, point: tuple[int, int]) -> Board | None:
    """The board after a move; None for suicide."""
    board = {**board, point: colour}
    for beside in neighbours(board, point):
        if board[beside] == 3 - colour:
            stones, liberties = chain(board, beside)
            if not liberties:
                board |= dict.fromkeys(stones, EMPTY)
    return board if chain(board, point)[1] else None


def is_captured(board: Board, stone: tuple[int, int], owner_moves: bool, branches: int = 0) -> bool:
    """By definition, and every move to its end."""
    if branches > MOST_BRANCHES:
        raise TooLong
    owner = board[stone]
    stones, liberties = chain(board, stone)
    if len(liberties) > 2 or (len(liberties) == 2 and owner_moves):
        return False
    if len(liberties) == 1 and not owner_moves:
        return True
    moves = set(liberties)
    if owner_moves:
        for point in {p for s in stones for p in neighbours(board, s)}:
            if board[point] == 3 - owner and len(chain(board, point)[1]) == 1:
                moves |= chain(board, point)[1]
    branches += len(moves) > 1
    boards = [after(board, owner if owner_moves else 3 - owner, move) for move in sorted(moves)]
    ends = [is_captured(b, stone, not owner_moves, branches) for b in boards if b is not None]
    return all(ends) if owner_moves else any(ends)


def naive_planes(game, state) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LADDERED, LADDER_MOVES, and what of them to compare: not the chains whose reading is too long."""
    board = {(row, column): int(code) for (row, column), code in np.ndenumerate(game.board(state))}
    laddered, moves, known = np.zeros(game.shape), np.zeros(game.shape), np.ones(game.shape, bool)
    for stone in board:
        stones, liberties = chain(board, stone)
        if board[stone] == EMPTY or stone != min(stones) or len(liberties) > 2:
            continue
        starts = [None] if len(liberties) == 1 else sorted(liberties)
        try:
            for move in starts:
                begun = board if move is None else after(board, 3 - board[stone], move)
                if begun is not None and is_captured(begun, stone, True):
                    laddered[tuple(np.transpose(list(stones)))] = 1
                    if move is not None and board[stone] != state[PLAYER] + 1:
                        moves[move] = 1
        except TooLong:
            known[tuple(np.transpose(list(stones | liberties)))] = False
    return laddered, moves, known


def test_a_reader_by_the_definition_sees_the_same():
    compared = skipped = captured = begun = 0
    for spec, count in (("go:5", 300), ("go:9", 250), ("go:6,komi=0.5", 150)):
        game, generator = games.load(spec), np.random.default_rng(5)
        for number, recording in enumerate(record_games(game, count)):
            position = Position(game)
            for action in recording.actions[: int(generator.integers(4, game.size**2))]:
                position.play(int(action))
            state = position.state
            laddered, moves, known = naive_planes(game, state)
            planes = game.planes(state)
            assert (planes[LADDERED] == laddered)[known].all(), f"{spec} {number}\n{game.board(state)}"
            assert (planes[LADDER_MOVES] == moves)[known].all(), f"{spec} {number}\n{game.board(state)}"
            compared += known.sum()
            skipped += (~known).sum()
            captured += laddered[known].sum()
            begun += moves[known].sum()
    assert skipped < 0.2 * compared
    assert captured > 2000
    assert begun > 300


def seen(position: Position) -> list[str]:
    """The rows of the two planes: L a laddered stone, M a move that begins a ladder."""
    laddered, moves = position.game.planes(position.state)[[LADDERED, LADDER_MOVES]]
    return ["".join(row) for row in np.where(laddered > 0, "L", np.where(moves > 0, "M", "."))]


def diagram(size: int, **rows: str) -> list[str]:
    """The rows of a board, empty but for those that are given by their numbers from the top."""
    return [rows.get(f"row{row}", "").ljust(size, ".") for row in range(size)]


LADDER = {"row2": "..XX", "row3": ".XO"}


@pytest.mark.parametrize("size", [9, 19])
def test_a_ladder_runs_to_the_edge(size):
    position = set_up(f"go:{size}", *diagram(size, **LADDER))
    assert seen(position) == diagram(size, row3="..L", row4="..M")
    # It is shown to White, too, who would escape by moving; and his own moves begin none.
    assert seen(play(position, "pass")) == diagram(size, row3="..L")


@pytest.mark.parametrize(("size", "breaker"), [(9, "row7"), (19, "row16")])
def test_a_stone_in_the_way_breaks_it(size, breaker):
    rows = LADDER | {breaker: "O".rjust(int(breaker[3:]), ".")}
    assert seen(set_up(f"go:{size}", *diagram(size, **rows))) == diagram(size)


def test_a_capture_breaks_it():
    rows = LADDER | {"row3": "OXO"}
    assert seen(set_up("go:9", *diagram(9, **rows)))[3][2] == "L"
    rows |= {"row2": ".OXX"}  # now the stone at the ladder's left is in atari
    assert seen(set_up("go:9", *diagram(9, **rows)))[3][2] == "."


def test_liberties_in_plenty_are_no_ladder():
    assert seen(set_up("go:9", *diagram(9, row4="....O"))) == diagram(9)
    assert seen(set_up("go:9", *diagram(9, row4="...XO"))) == diagram(9)
