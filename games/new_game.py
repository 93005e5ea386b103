"""The game file that `keima new` writes: a small game with comments, to be turned into another one."""

import keyword
import re
from pathlib import Path

from keima.games.errors import GameError

TEMPLATE = '''"""NAME: stones on a board; three in a row win. Turn it into your own game.

`keima doctor ./FILE` says what is wrong with it, `keima train ./FILE --minutes 5` trains a net,
`keima play ./FILE` plays. games/contract.py has the whole contract.
"""

from dataclasses import dataclass

import numpy as np

from keima.games.contract import DRAW, ONGOING, PLAYER, Game, cell_symmetries, kernel

ROWS, COLUMNS, IN_A_ROW = 4, 4, 3
# A position is one row of int64, and everything that the rules depend on is in it. state[PLAYER], the first entry, is
# the side to move, 0 or 1; the rest is yours. Here: how many stones lie, then a code for each cell, row by row from the
# top: 0 empty, 1 the first player's, 2 the second's.
STONES, CELLS = 1, 2


@dataclass(frozen=True)
class NAME(Game):
    """NAME. Moves are cells, a1 in the bottom left corner."""

    shape = (ROWS, COLUMNS)
    state_size = CELLS + ROWS * COLUMNS
    num_actions = ROWS * COLUMNS  # actions are the numbers from 0 to num_actions - 1
    max_plies = ROWS * COLUMNS  # no game is longer: end yours as a draw where the rules would go on
    num_planes = 2  # what the network sees
    policy_planes = 1  # action a is cell a; take the line out where moves are no cells

    def board(self, state):  # what people see: codes, which `pieces` (by default ".XO") turns into characters
        return np.array(state[CELLS:]).reshape(self.shape)

    def symmetries(self):  # ways to turn the board that the rules do not notice; take it out where there are none
        return cell_symmetries(self, rotations=True)

    def set_up(self, codes, player):  # a position from text, for `keima play --position`; may be left out
        state = self.new_state()
        state[PLAYER], state[STONES], state[CELLS:] = player, (codes > 0).sum(), codes.reshape(-1)
        return state


# Functions marked @kernel are compiled by numba: numbers, loops, tuples and arrays only.


@kernel
def reset(state, parameters):
    state[:] = 0


@kernel
def legal_actions(state, actions):  # lists them and returns how many there are; a side without any has to pass by one
    n = 0
    for cell in range(ROWS * COLUMNS):
        if state[CELLS + cell] == 0:
            actions[n] = cell
            n += 1
    return n


@kernel
def play(state, action):
    state[CELLS + action] = 1 + state[PLAYER]
    state[STONES] += 1
    state[PLAYER] = 1 - state[PLAYER]  # leave it as it is where the same side moves again


@kernel
def has_line(state, code):
    for row in range(ROWS):
        for column in range(COLUMNS):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                n, r, c = 0, row, column
                while r < ROWS and 0 <= c < COLUMNS and state[CELLS + r * COLUMNS + c] == code:
                    n, r, c = n + 1, r + down, c + right
                if n >= IN_A_ROW:
                    return True
    return False


@kernel
def outcome(state):  # the winner's number, whoever is to move: 0 the first player, 1 the second; or DRAW, or ONGOING
    for player in range(2):
        if has_line(state, 1 + player):
            return player
    return DRAW if state[STONES] == ROWS * COLUMNS else ONGOING


@kernel
def encode(state, planes):  # writes every cell of every plane, 0 to 1, as the side to move sees it: mine, then theirs
    me = state[PLAYER]
    for cell in range(ROWS * COLUMNS):
        planes[0, cell // COLUMNS, cell % COLUMNS] = state[CELLS + cell] == 1 + me
        planes[1, cell // COLUMNS, cell % COLUMNS] = state[CELLS + cell] == 2 - me
'''


def write_new_game(path: Path) -> str:
    """Writes the template under `path`; returns the class's name, which comes from the file's.

    Raises GameError for a name that no game file can have and for a file that exists.
    """
    if path.suffix != ".py":
        raise GameError(f"{path}: expected a file that ends in .py, as {path.stem or 'mygame'}.py")
    name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[_\W]+", path.stem))
    if not name.isidentifier() or keyword.iskeyword(name) or name == "Game":
        raise GameError(f"{path}: expected a file's name that begins with a letter and is not Game, as mygame.py")
    if not path.parent.is_dir():
        raise GameError(f"{path}: there is no folder {path.parent}; make it first")
    text = TEMPLATE.replace("NAME", name).replace("./FILE", f"./{path.name}")
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise GameError(f"{path}: exists already; give the new game another name, or delete the file first") from None
    return name
