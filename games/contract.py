"""The contract every game file fulfils: a state row, a handful of kernels, and the facts about them.

A position is ONE row of `int64` (`state`): copying the row clones the game, and whatever the rules depend on
(repetition, superko, the last move) is in it. `state[PLAYER]` is the side to move, 0 or 1, in every game; the
rest of the row belongs to the game. Games whose size or rules vary read their parameters from the row too
(`reset` is handed them), so one compiled kernel serves every size.

Kernels are module-level functions marked `@kernel`, found by their names:

    reset(state, parameters)              writes the initial position; in place
    legal_actions(state, actions) -> n    fills actions[:n], in an order that depends on the position only
    play(state, action)                   in place; the action is legal; updates state[PLAYER]
    outcome(state) -> code                ONGOING, or FIRST_WINS, SECOND_WINS, DRAW: absolute, never "mine"
    encode(state, planes)                 writes every one of planes[C, H, W], 0 to 1, seen by the side to move

and, where a game has them to offer as training targets, read off a finished game:

    ownership(state, owners)              owners[cell] = +1 first player's, -1 second's, 0 nobody's
    score(state) -> points                the first player's points less the second's, see `Game.score_per_point`

and, where that is less work for the search than what stands in brackets:

    legal_or_over(state, actions) -> n    as legal_actions, but -1 - code where the game is over with that code
                                          (outcome, then legal_actions: where both find the same, as mate does)
    position_hash(state) -> number        an int64 for the evaluation cache: the same where planes and legal actions
                                          are, another where one of them differs (a look at every cell of every plane)

Actions are numbered the way `encode` draws the board: where a game shows the second player a turned board, the
second player's actions are turned with it. A game has at most `max_legal` legal actions in a position and ends
after at most `max_plies` moves. A side without a move passes by an action; the same side may move twice in a row.

Keep all kernels of a game in its one file: compiled code is cached, and numba compiles anew when the file of a kernel
was edited, but does not notice an edit of another file whose functions the kernel calls (those here apart).
"""

import dataclasses
import itertools
import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keima.games.compilation import Kernels, State, kernel, kernels_of
from keima.games.errors import GameError
from keima.games.position_text import (
    Codes,
    board_text,
    check_alternation,
    looks_like_board,
    read_board,
    shown,
    side_text,
)

# What a game file needs is found here, wherever it is written.
__all__ = [
    "DRAW",
    "FIRST_WINS",
    "ONGOING",
    "PLAYER",
    "SECOND_WINS",
    "Game",
    "GameError",
    "Kernels",
    "State",
    "Symmetry",
    "cell_symmetries",
    "check_alternation",
    "identity",
    "kernel",
    "parameter",
]

PLAYER = 0
"""Where every state row keeps the side to move: 0 the first player, 1 the second."""

ONGOING = -1
FIRST_WINS = 0
SECOND_WINS = 1
DRAW = 2
"""Outcome codes. A won game's code is its winner's number, so `code == state[PLAYER]` asks "did I win?"."""


class Symmetry(NamedTuple):
    """One symmetry of a game, for planes and policies as the side to move sees them.

    planes_after.flat[c] = planes_before.flat[cells[c]] for each plane; policy_after[a] = policy_before[actions[a]].
    """

    cells: NDArray[np.int64]  # [H * W]
    actions: NDArray[np.int64]  # [num_actions]


def parameter(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A rule parameter of a game class: an int, a float in half steps, or one of `choices`.

    Kernels see it in `reset`'s `parameters`, in the order of the class: an int as it is, a float doubled
    (komi 7.5 arrives as 15), a choice as its index.
    """
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": tuple(choices)})


@dataclass(frozen=True)
class Game:
    """What is known of a game besides its kernels. Subclass it once in a game file; see the module's docstring.

    Fields of the subclass made with `parameter(...)` are the rules' parameters: `othello:6` or `go:19,komi=7.5`.
    Everything else may be a class attribute, or a property where it depends on the parameters.
    """

    name: ClassVar[str] = ""
    """What it is called: the file's name without `.py`, set on loading."""
    source: ClassVar[str] = ""
    """What `games.load` was given to find it: the name, or the file's path; set on loading."""
    rules_version: ClassVar[int] = 1
    """Raise it when a state, an action or a plane changes its meaning: checkpoints of another version are refused."""
    players: ClassVar[tuple[str, str]] = ("X", "O")
    pieces: ClassVar[str] = ".XO"
    """What `board`'s codes are printed as; the text drawing of the board uses these."""
    rows_from_top: ClassVar[bool] = False
    """Whether row 1 is the top row (Othello, Hex) or the bottom row (chess, Go, Gomoku)."""
    board_colour: ClassVar[str] = ""
    """What the board is drawn in where there are colours: `green`, `wood`, `pale`, `blue` with holes; by default what
    suits the players' names."""
    has_crossings: ClassVar[bool] = False
    """Whether pieces stand on the crossings of lines, as in Go, rather than in cells."""
    column_letters: ClassVar[str] = string.ascii_lowercase
    """What the columns are called from left to right (Go leaves out the i)."""
    score_per_point: ClassVar[int] = 1
    """How many units of `score` make a point: 2 where there are half points."""

    looks_ahead: ClassVar[bool] = True
    """Whether a search plays every legal move of a new leaf to see if one wins at once, which is less work than
    evaluating it; not where hardly any move ends a game (Go)."""

    @property
    def shape(self) -> tuple[int, int]:
        """The board's rows and columns, H and W, as `encode` draws it."""
        raise NotImplementedError

    @property
    def num_planes(self) -> int:
        """C, the number of input planes."""
        raise NotImplementedError

    @property
    def num_actions(self) -> int:
        """Actions are 0 .. num_actions - 1."""
        raise NotImplementedError

    @property
    def state_size(self) -> int:
        """The length of the state row."""
        raise NotImplementedError

    @property
    def max_plies(self) -> int:
        """No game is longer."""
        raise NotImplementedError

    @property
    def max_legal(self) -> int:
        """No position has more legal actions."""
        return self.num_actions

    @property
    def policy_planes(self) -> int:
        """P > 0: action p * H * W + cell belongs to a cell, the P * H * W of them followed by those of no cell (a
        pass); the policy head is then convolutional and independent of the board's size. 0: a dense head."""
        return 0

    @property
    def max_score(self) -> int:
        """The largest `score` in absolute value, to which a game is held; only where it has `score`."""
        return self.shape[0] * self.shape[1]

    @property
    def score_unit(self) -> float:
        """How much of `score` the network counts as 1: a point for each cell of the board's side.

        Games of one kind end about as far apart in these on a small board as on a large one.
        """
        return float(self.score_per_point * (self.shape[0] * self.shape[1]) ** 0.5)

    def board(self, state: State) -> NDArray[np.int64]:
        """The pieces as [H, W] codes into `pieces`, drawn from the first player's side, top row first."""
        raise NotImplementedError

    def symmetries(self) -> list[Symmetry]:
        """The identity first. Every one maps positions to positions under the same rules (from the image of the start,
        where that is another one, as in Othello); used to augment training."""
        return [identity(self)]

    # --- text: the game's usual notation. Defaults suit games whose action is a cell, plus at most a pass.

    def action_to_text(self, state: State, action: int) -> str:
        """The action's name in this position."""
        if action == self.shape[0] * self.shape[1]:
            return "pass"
        return self.cell_to_text(action)

    def text_to_action(self, state: State, text: str) -> int:
        """The legal action that `text` names. Raises GameError, naming what would have been legal.

        A name is compared exactly first, and without its case only where that leaves one action: in chess `bxc4` is a
        pawn's move, `Bxc4` a bishop's.
        """
        wanted = text.strip()
        names = {self.action_to_text(state, int(a)): int(a) for a in self.legal(state)}
        if wanted in names:
            return names[wanted]
        folded = [name for name in names if name.lower() == wanted.lower()]
        if len(folded) == 1:
            return names[folded[0]]
        if folded:
            raise GameError(f"ambiguous move {wanted!r}: expected one of {', '.join(folded)}")
        listed = ", ".join(list(names)[:12]) + (", ..." if len(names) > 12 else "")
        raise GameError(f"illegal move {wanted!r}: expected one of {listed or 'no move (the game is over)'}")

    def set_up(self, codes: Codes, player: int) -> State:
        """A new row: the position with these codes on the board, see `board`, and `player` to move.

        What neither says, as a count of moves or what must not be repeated, is as if the game began there. A game
        that writes this has positions as text. Raises GameError for a board that the rules cannot go on from.
        """
        raise GameError(
            f"{self.name}: expected moves, since its class has no `set_up` that makes a position of a board"
        )

    def position_to_text(self, state: State) -> str:
        """The position in one line that `text_to_position` reads, see games/position_text.py; `X.O/.X./... O`.

        Raises GameError for a game without `set_up`.
        """
        if type(self).set_up is Game.set_up:
            raise GameError(f"{self.name}: has no text for positions, since its class has no `set_up`")
        side = side_text(int(state[PLAYER]), self.pieces, self.players)
        return f"{board_text(self.board(state), self.pieces)} {side}"

    def text_to_position(self, text: str) -> State:
        """A new row: the position that `text` stands for, a board with the side to move or moves from the start.

        Raises GameError, saying what was expected and what came.
        """
        text = " ".join(text.replace(",", " ").split())
        if not text:
            raise GameError("expected a position or moves, got nothing")
        if self.is_position(text):
            codes, player = read_board(text, self.shape, self.pieces, self.players)
            return np.ascontiguousarray(self.set_up(codes, player), np.int64)
        return self.after_moves(text)

    def is_position(self, text: str) -> bool:
        """Whether `text_to_position` takes a text that is not empty for a position, rather than for moves."""
        return looks_like_board(text, self.shape, self.pieces)

    def split_moves(self, text: str) -> list[str]:
        """Moves with spaces or commas between them; where every first move is one character nothing need be there."""
        moves, start = text.replace(",", " ").split(), self.new_state()
        if len(moves) == 1 and all(len(self.action_to_text(start, int(a))) == 1 for a in self.legal(start)):
            return list(moves[0])
        return moves

    def after_moves(self, text: str) -> State:
        """A new row: the position after moves from the start, see `split_moves`. Raises GameError."""
        state = self.new_state()
        for number, move in enumerate(self.split_moves(text), 1):
            try:
                state = self.after(state, self.text_to_action(state, move))
            except GameError as error:
                raise GameError(f"{shown(text)}: expected a position or moves; move {number}: {error}") from None
        return state

    def cell_to_text(self, cell: int) -> str:
        """A cell's column letter and row number, as `c4`."""
        row, column = divmod(cell, self.shape[1])
        return f"{self.column_letters[column]}{self.row_label(row)}"

    def row_label(self, row: int) -> int:
        """The number printed beside a row; row 0 is the top one."""
        return row + 1 if self.rows_from_top else self.shape[0] - row

    # --- drawing: defaults suit a board of pieces; people see the same in a terminal's line mode and full screen.

    @property
    def column_labels(self) -> Sequence[str]:
        """What is printed above or below each column, [W]."""
        return self.column_letters[: self.shape[1]]

    def cell_texts(self, state: State) -> list[list[str]]:
        """What each cell shows, [H][W]: its piece, or whatever a game has there, as a number of seeds."""
        return [[self.pieces[code] for code in row] for row in self.board(state)]

    def action_cells(self, state: State, action: int) -> tuple[int, ...] | None:
        """The cells of a move, as `board` has them, to be clicked and for heat maps: where it goes, or from and to.

        None: those that its text names, or that it changes on the board. (): it has none, as a pass.
        """
        return None

    def beside(self, state: State) -> list[str]:
        """What stands beside the board, a line each: hands, castling rights, counters; none for most games."""
        return []

    def render(self, state: State) -> str:
        """The board as text with its coordinates, and what stands beside it."""
        texts, labels = self.cell_texts(state), list(self.column_labels)
        margin, width = len(str(self.shape[0])), max(map(len, [*labels, *itertools.chain(*texts)]))
        rows = [
            f"{self.row_label(r):>{margin}} " + " ".join(f"{text:>{width}}" for text in row)
            for r, row in enumerate(texts)
        ]
        header = " " * (margin + 1) + " ".join(f"{label:>{width}}" for label in labels)
        return "\n".join([header, *rows, *self.beside(state)])

    # --- what follows is the same for every game

    @property
    def kernels(self) -> Kernels:
        """The compiled rules; compiled or read from the cache on first use (seconds or milliseconds)."""
        return kernels_of(sys.modules[type(self).__module__])

    @property
    def has_ownership(self) -> bool:
        return hasattr(sys.modules[type(self).__module__], "ownership")

    @property
    def has_score(self) -> bool:
        return hasattr(sys.modules[type(self).__module__], "score")

    @property
    def label(self) -> str:
        """The game's name and changed parameters, `othello:size=6`: what checkpoints and records say they are of."""
        changed = [
            f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self) if getattr(self, f.name) != f.default
        ]
        return self.name + (":" + ",".join(changed) if changed else "")

    @property
    def spec(self) -> str:
        """Like `label`, but as `games.load` finds the game again: with the path, for a game given by path."""
        return self.source + self.label.removeprefix(self.name)

    def parameter_row(self) -> NDArray[np.int64]:
        """The parameters as `reset` gets them; see `parameter`."""
        return np.array([_encode_parameter(f, getattr(self, f.name)) for f in dataclasses.fields(self)], np.int64)

    def new_state(self) -> State:
        """The initial position."""
        state = np.zeros(self.state_size, np.int64)
        self.kernels.reset(state, self.parameter_row())
        return state

    def legal(self, state: State) -> NDArray[np.int32]:
        """The legal actions; none when the game is over."""
        if self.outcome(state) != ONGOING:
            return np.empty(0, np.int32)
        actions = np.empty(self.max_legal, np.int32)
        return actions[: self.kernels.legal_actions(state, actions)]

    def after(self, state: State, action: int) -> State:
        """A new row: the position after a legal action."""
        following = state.copy()
        self.kernels.play(following, action)
        return following

    def outcome(self, state: State) -> int:
        """ONGOING, FIRST_WINS, SECOND_WINS or DRAW."""
        return int(self.kernels.outcome(state))

    def points(self, state: State) -> float:
        """The first player's points less the second's, with halves where the game has such; 0 where it has no score."""
        return int(self.kernels.score(state)) / self.score_per_point

    def planes(self, state: State) -> NDArray[np.float32]:
        """The network's input [C, H, W], seen by the side to move."""
        planes = np.empty((self.num_planes, *self.shape), np.float32)
        self.kernels.encode(state, planes)
        return planes


def _encode_parameter(spec: dataclasses.Field[Any], value: Any) -> int:
    if spec.metadata["choices"]:
        return int(spec.metadata["choices"].index(value))
    return round(2 * value) if isinstance(spec.default, float) else int(value)


def check_facts(game: Game) -> None:
    """Raises GameError for a game class that lacks what the search must know before it can allocate."""
    name = type(game).__name__
    if any(isinstance(value, dataclasses.Field) for value in vars(type(game)).values()):
        raise GameError(f"{game.name}: expected @dataclass(frozen=True) above class {name}, which has parameters")
    for fact in ("shape", "num_planes", "num_actions", "state_size", "max_plies"):
        try:
            getattr(game, fact)
        except NotImplementedError:
            raise GameError(f"{game.name}: expected class {name} to say its {fact}, found nothing") from None


def check_sizes(game: Game) -> None:
    """Raises GameError for sizes that nothing can be allocated for. The doctor says more, and looks at all the rest."""
    rows_and_columns = game.shape if isinstance(game.shape, tuple) and len(game.shape) == 2 else (0, 0)
    least = {"num_planes": 1, "num_actions": 1, "state_size": 1, "max_plies": 1, "max_legal": 1, "policy_planes": 0}
    sizes = [(fact, getattr(game, fact), low) for fact, low in least.items()]
    for fact, value, low in (*sizes, *(("shape", size, 1) for size in rows_and_columns)):
        if not isinstance(value, (int, np.integer)) or value < low:
            expected = "two whole numbers, rows and columns" if fact == "shape" else f"a whole number from {low}"
            raise GameError(
                f"{game.name}: its {fact} is {getattr(game, fact)!r}: expected {expected}; see `keima doctor "
                f"{game.source}`"
            )


# --- symmetries that boards share


def identity(game: Game) -> Symmetry:
    """The symmetry that changes nothing."""
    return Symmetry(np.arange(game.shape[0] * game.shape[1]), np.arange(game.num_actions))


def cell_symmetries(game: Game, *, rotations: bool) -> list[Symmetry]:
    """Symmetries of a game whose first H * W actions are its cells, the rest standing for no cell.

    `rotations`: all eight of a square board (four of an oblong one); else the identity and the left-right mirror.
    """
    height, width = game.shape
    cells = np.arange(height * width).reshape(height, width)
    views = [cells, cells[:, ::-1]]
    if rotations:
        views += [view[::-1] for view in views]
        if height == width:
            views += [view.T for view in views]
    others = np.arange(height * width, game.num_actions)
    return [Symmetry(view.reshape(-1).copy(), np.concatenate([view.reshape(-1), others])) for view in views]
