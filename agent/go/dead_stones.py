"""Which stones of a Go position are dead: the answer to GTP's final_status_list and final_score.

The answer is exact for chains that cannot be captured (Benson), for stones in territory where nobody can live beside
such chains, and for seki of the usual kind, in which whoever moves puts himself into atari. In seki the capture is
played out, because a dead shape filled from inside looks the same. All other answers are estimates, see
`keima.agent.contracts.territory`: a stone is dead if it is more likely than not to end up as the opponent's.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keima.agent.contracts.territory import Territory
from keima.games.contract import PLAYER, Game, State
from keima.games.position import Position

MOST_POSITIONS = 3000
"""How many positions are looked at for whether a chain can be captured; what takes more is left to the estimate."""
LARGEST_FILLING = 6
"""Stones inside an eye that leave it one eye once they are captured, at most; who captures more lives."""

Board = NDArray[np.int64]
"""[H, W]: 0 empty, 1 Black, 2 White."""
Cells = tuple[int, ...]
"""A chain's cells in the order of the board."""


class Status(Enum):
    """What becomes of a chain; GTP's words."""

    ALIVE = "alive"
    SEKI = "seki"
    DEAD = "dead"


@dataclass(frozen=True)
class Judged:
    """A chain and what becomes of it."""

    cells: Cells
    """Its stones, in the order of the board."""
    player: int
    status: Status


def knows_dead_stones(game: Game) -> bool:
    """Whether stones may be dead on the board in this game, and its rules tell which cannot be."""
    return hasattr(game, "pass_alive") and hasattr(game, "without")


def judge_chains(position: Position, territory: Territory) -> list[Judged]:
    """All chains on the board with their status, in the order of the board; passes at the end change nothing."""
    before = before_passes(position)
    return judged_by(before, territory.estimate([before.state])[0].ownership)


def judged_by(position: Position, ownership: NDArray[Any]) -> list[Judged]:
    """The same from an estimate: who will own each cell, +1 the first player, [H * W]."""
    game, state = position.game, position.state
    board, owners = game.board(state), owners_for_sure(game, state)
    in_seki = _chains_in_seki(game, state, board, owners)
    judged = []
    for cells in _all_chains(board):
        player = int(board.flat[cells[0]]) - 1
        sign = 1 - 2 * player
        known = float(sign * owners[cells[0]])
        if known == 0:
            known = float(sign * ownership[list(cells)].mean())
        status = Status.SEKI if cells in in_seki else Status.ALIVE if known >= 0 else Status.DEAD
        judged.append(Judged(cells, player, status))
    return judged


def dead_cells(judged: list[Judged], player: int | None = None) -> list[int]:
    """The cells of dead chains, of a player's alone if one is given."""
    return [
        cell
        for chain in judged
        if chain.status is Status.DEAD and player in (None, chain.player)
        for cell in chain.cells
    ]


def points_without_dead(position: Position, judged: list[Judged]) -> float:
    """The first player's points less the second's, once dead stones are off the board."""
    game: Any = position.game
    return float(game.points(game.without(position.state, dead_cells(judged))))


def before_passes(position: Position) -> Position:
    """The position before the passes that it ends with, where the game went on."""
    earlier = position.copy()
    passing = position.game.shape[0] * position.game.shape[1]
    while earlier.actions and earlier.actions[-1] == passing:
        earlier.undo()
    return earlier


def owners_for_sure(game: Any, state: State) -> NDArray[np.int8]:
    """Who owns each cell whatever happens, [H * W]; see `keima.games.go.Go.pass_alive`."""
    return np.asarray(game.pass_alive(state), np.int8).reshape(-1)


def liberties(board: Board, cells: Cells) -> list[int]:
    """The empty cells beside a chain, in the order of the board."""
    return sorted({n for cell in cells for n in _neighbours(board, cell) if board.flat[n] == 0})


def is_self_atari(board: Board, cell: int, player: int) -> bool:
    """Whether a stone on an empty cell would capture nothing and leave its chain at most one liberty."""
    after = board.copy()
    after.flat[cell] = player + 1
    for n in _neighbours(board, cell):
        if board.flat[n] == 2 - player and not liberties(after, chain_of(after, n)):
            return False
    return len(liberties(after, chain_of(after, cell))) < 2


def chain_of(board: Board, cell: int) -> Cells:
    """The cells connected to a cell that are as it is, itself among them, in the order of the board."""
    found, stack = {cell}, [cell]
    while stack:
        for n in _neighbours(board, stack.pop()):
            if n not in found and board.flat[n] == board.flat[cell]:
                found.add(n)
                stack.append(n)
    return tuple(sorted(found))


def _all_chains(board: Board) -> list[Cells]:
    chains, seen = [], set[int]()
    for cell in np.flatnonzero(board).tolist():
        if cell not in seen:
            chains.append(chain_of(board, cell))
            seen.update(chains[-1])
    return chains


def _chains_in_seki(game: Game, state: State, board: Board, owners: NDArray[np.int8]) -> set[Cells]:
    """Chains that are not safe by themselves, cannot be captured, and share a liberty with such a chain of the other
    side, where nobody can fill a liberty without putting himself into atari."""
    stuck = [cells for cells in _all_chains(board) if not owners[cells[0]] and _is_stuck(board, cells)]
    stable = {cells for cells in stuck if is_capturable(game, state, cells) is False}
    chain_at = {cell: cells for cells in stable for cell in cells}

    def shares(cells: Cells) -> bool:
        beside = {n for cell in liberties(board, cells) for n in _neighbours(board, cell)}
        return any(n in chain_at and board.flat[n] != board.flat[cells[0]] for n in beside)

    return {cells for cells in stable if shares(cells)}


def _is_stuck(board: Board, cells: Cells) -> bool:
    """Whether filling any of a chain's liberties puts either side into atari."""
    return all(is_self_atari(board, cell, side) for cell in liberties(board, cells) for side in (0, 1))


def is_capturable(game: Game, state: State, cells: Cells) -> bool | None:
    """Whether the other side, moving first, can capture a chain by moves around it; None where that takes too long.

    Both may pass; the moves are the cells of the chain, of opposing chains that share a liberty with it, and their
    liberties.
    """
    board = game.board(state)
    defender, passing = int(board.flat[cells[0]]) - 1, game.shape[0] * game.shape[1]
    near = set(cells) | set(liberties(board, cells))
    for cell in liberties(board, cells):
        for n in _neighbours(board, cell):
            if board.flat[n] == 2 - defender:
                chain = chain_of(board, n)
                near |= {*chain, *liberties(board, chain)}
    attackers = np.count_nonzero(board == 2 - defender)
    start = state.copy()
    start[PLAYER] = 1 - defender
    known: dict[tuple[bytes, int, bool], bool] = {}

    def falls(state: State, passed: bool) -> bool:
        """Whether the chain is captured with the best play from here; `passed`: the last move was a pass."""
        board, mover = game.board(state), int(state[PLAYER])
        if board.flat[cells[0]] != defender + 1:
            return True
        if np.count_nonzero(board == 2 - defender) < attackers - LARGEST_FILLING:
            return False
        key = board.tobytes(), mover, passed
        if key not in known:
            if len(known) == MOST_POSITIONS:
                raise TimeoutError
            known[key] = False  # a repetition captures nothing
            moves = [int(a) for a in game.legal(state) if int(a) in near]
            found = (falls(game.after(state, action), False) for action in moves)
            if mover == defender:
                known[key] = not passed and all(found) and falls(game.after(state, passing), True)
            else:
                known[key] = any(found) or (not passed and falls(game.after(state, passing), True))
        return known[key]

    try:
        return falls(start, False)
    except TimeoutError:
        return None


def _neighbours(board: Board, cell: int) -> list[int]:
    height, width = board.shape
    row, column = divmod(cell, width)
    beside = ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
    return [r * width + c for r, c in beside if 0 <= r < height and 0 <= c < width]
