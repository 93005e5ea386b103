"""Openings: the moves that games begin with, so that players who always choose the same moves do not repeat one game.

Each opening is played from both sides. Openings are drawn at random, or read from a book: a text file with one opening
a line, its moves in the game's notation. Spaces or commas stand between the moves, or nothing where each move is one
character. A line may also be a position, a board with the side to move, as `Game.text_to_position` reads it. Empty
lines and those that begin with # are comments.
"""

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np

from keima.games.contract import DRAW, ONGOING, PLAYER, Game, GameError, State
from keima.games.position import Position

Opening = tuple[int | str, ...]
"""Its actions; before them, where they are not from the game's first position, that position as text."""
DEFAULT_PLIES = 6
ATTEMPTS = 300
"""Random openings in a row that are decided, or known, before shorter ones are drawn, or known ones again."""
_STREAM = 0x0BE1
"""Keeps openings apart from all else that is drawn with the same seed."""


def start_text_of(opening: Opening) -> str:
    """The position that an opening's moves are from, as text; empty for the game's own first one."""
    return str(opening[0]) if opening and isinstance(opening[0], str) else ""


def actions_of(opening: Opening) -> tuple[int, ...]:
    """An opening's moves."""
    return tuple(action for action in opening if isinstance(action, int))


def begun(game: Game, opening: Opening) -> Position:
    """The game after an opening. Raises GameError for what is illegal."""
    text = start_text_of(opening)
    position = Position.from_text(game, text) if text else Position(game)
    for action in actions_of(opening):
        position.play(action)
    return position


class Openings(Protocol):
    """Numbered openings, as many as one likes; the same number is always the same opening."""

    text: str
    """What they are, in words."""

    def __getitem__(self, number: int) -> Opening: ...


class RandomOpenings:
    """Openings of a number of random moves; no position comes twice while there are others.

    No opening is decided: the game goes on, and the side to move cannot win at once.
    """

    def __init__(self, game: Game, plies: int, seed: int) -> None:
        self.text = f"{plies} random plies"
        self._game = game
        self._plies = min(plies, game.max_plies)
        self._random = np.random.default_rng((_STREAM, seed))
        self._drawn: list[Opening] = []
        self._seen: set[bytes] = set()

    def __getitem__(self, number: int) -> Opening:
        while len(self._drawn) <= number:
            self._drawn.append(self._draw())
        return self._drawn[number]

    def _draw(self) -> Opening:
        while self._plies > 0:
            repeated = None
            for _ in range(ATTEMPTS):
                drawn = self.random_moves(self._plies)
                if drawn is None:
                    continue
                opening, state = drawn
                if state.tobytes() not in self._seen:
                    self._seen.add(state.tobytes())
                    return opening
                repeated = opening
            if repeated is not None:  # there are no others of this length, or hardly any
                return repeated
            self._plies -= 1  # games are so short
        return ()

    def random_moves(self, plies: int) -> tuple[Opening, State] | None:
        """Random moves and where they lead to; None where that is decided."""
        state = self._game.new_state()
        actions: list[int] = []
        for _ in range(plies):
            if self._game.outcome(state) != ONGOING:
                return None
            actions.append(int(self._random.choice(self._game.legal(state))))
            self._game.kernels.play(state, actions[-1])
        return None if is_decided(self._game, state) else (tuple(actions), state)


def check_plies(game: Game, plies: int) -> None:
    """Raises GameError where games are so short that no opening of so many random moves is found."""
    openings = RandomOpenings(game, plies, seed=0)
    if plies > game.max_plies or (plies > 0 and all(openings.random_moves(plies) is None for _ in range(ATTEMPTS))):
        raise GameError(f"--opening-plies {plies}: expected fewer: games of {game.spec} are decided by then")


class BookOpenings:
    """The lines of a book, in their order, and then from its beginning again."""

    def __init__(self, game: Game, path: Path) -> None:
        """Raises GameError naming the line that is wrong."""
        try:
            text = path.expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise GameError(f"{path}: expected a book of openings, but {reason}") from error
        self._lines: list[Opening] = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                try:
                    self._lines.append(parse_opening(game, line))
                except GameError as error:
                    raise GameError(f"{path}, line {number}: {error}") from error
        if not self._lines:
            raise GameError(f"{path}: expected an opening a line, got none")
        # By content: a book that was moved is the same book.
        digest = hashlib.blake2b(repr(self._lines).encode(), digest_size=4).hexdigest()
        self.text = f"a book of {len(self._lines)} openings ({path.name}, {digest})"

    def __getitem__(self, number: int) -> Opening:
        return self._lines[number % len(self._lines)]


def parse_opening(game: Game, line: str) -> Opening:
    """The opening that a book's line names. Raises GameError for what is illegal, and for a game that is over."""
    is_position = game.is_position(line)
    state = game.text_to_position(line)
    if game.outcome(state) != ONGOING:
        raise GameError("the game is over " + ("in this position" if is_position else "after these moves"))
    if is_position:
        start = Position.from_text(game, line)
        return (start.start_text,) if start.start_text else ()
    moves, actions = game.split_moves(line), []
    state = game.new_state()
    for move in moves:
        actions.append(game.text_to_action(state, move))
        game.kernels.play(state, actions[-1])
    return tuple(actions)


def is_decided(game: Game, state: State) -> bool:
    """Whether the game is over, or the side to move can end it with the next move without losing."""
    if game.outcome(state) != ONGOING:
        return True
    mover = int(state[PLAYER])
    return any(game.outcome(game.after(state, int(a))) in (mover, DRAW) for a in game.legal(state))
