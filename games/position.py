"""A game in progress: where it began, the moves so far, the state they led to, and the way back."""

import numpy as np

from keima.games import load
from keima.games.contract import ONGOING, PLAYER, Game, GameError, State


class Position:
    """A game being played move by move, for players, engine protocols and terminals."""

    def __init__(self, game: Game, start: State | None = None, start_text: str = "") -> None:
        """start: the row that the game begins with, copied; the game's own first position where there is none.

        start_text: what `Game.text_to_position` makes it of; by default what `Game.position_to_text` says. Raises
        GameError for a row that is none of the game's, or which has no text.
        """
        self.game = game
        self.actions: list[int] = []
        self._states: list[State] = [game.new_state()]
        self.start_text = ""
        """The position the game began with, as text; empty for the game's own first position."""
        if start is not None and not np.array_equal(start, self.state):
            if start.shape != self.state.shape:
                raise GameError(f"{game.spec}: expected a row of {len(self.state)} numbers to start with")
            self.start_text = start_text or game.position_to_text(start)
            self._states = [np.array(start, np.int64)]

    @classmethod
    def from_text(cls, game: Game, text: str) -> "Position":
        """The game begun with the position that `text` stands for, see `Game.text_to_position`. Raises GameError."""
        start = game.text_to_position(text)
        return cls(game, start, position_text(game, start, text))

    @property
    def start(self) -> State:
        """The row that the game began with; not to be written to."""
        return self._states[0]

    @property
    def path(self) -> tuple[int | str, ...]:
        """What tells this position from others of the game, its history included: the start, then the moves."""
        return self.start_text, *self.actions

    def begun_again(self) -> "Position":
        """The same start without moves."""
        return Position(self.game, self.start, self.start_text)

    @property
    def state(self) -> State:
        """The current state row; not to be written to."""
        return self._states[-1]

    @property
    def player(self) -> int:
        """The side to move: 0 or 1."""
        return int(self.state[PLAYER])

    @property
    def outcome(self) -> int:
        """ONGOING, or how the game ended; see keima.games.contract."""
        return self.game.outcome(self.state)

    @property
    def is_over(self) -> bool:
        return self.outcome != ONGOING

    def legal_actions(self) -> list[int]:
        """The legal actions; none when the game is over."""
        return [int(action) for action in self.game.legal(self.state)]

    def play(self, action: int) -> None:
        """Plays a legal action. Raises GameError for any other."""
        if action not in self.legal_actions():
            raise GameError(f"action {action} is not legal here")
        self._states.append(self.game.after(self.state, action))
        self.actions.append(int(action))

    def play_text(self, text: str) -> None:
        """Plays the move that `text` names in the game's notation. Raises GameError."""
        self.play(self.game.text_to_action(self.state, text))

    def undo(self) -> bool:
        """Takes the last move back; False where there is none."""
        if not self.actions:
            return False
        self.actions.pop()
        self._states.pop()
        return True

    def copy(self) -> "Position":
        """The same game, to be played on apart from this one."""
        twin = Position.__new__(Position)
        twin.game, twin.actions, twin._states = self.game, self.actions.copy(), self._states.copy()
        twin.start_text = self.start_text
        return twin

    def movers(self) -> list[int]:
        """Who made each of the moves so far: 0 or 1; not always in turn."""
        return [int(state[PLAYER]) for state in self._states[:-1]]

    def moves_text(self) -> list[str]:
        """The moves so far in the game's notation."""
        return [self.game.action_to_text(s, a) for s, a in zip(self._states, self.actions, strict=False)]


def position_text(game: Game, state: State, text: str) -> str:
    """How the position that was read of `text` is written: as a board where that says all there is, else as `text`."""
    try:
        written = game.position_to_text(state)
        if np.array_equal(game.text_to_position(written), state):
            return written
    except GameError:  # the game has no text for boards
        pass
    return " ".join(text.replace(",", " ").split()) if "=" not in text else " ".join(text.split())


def position_after(game: str | Game, moves: list[str]) -> Position:
    """The position after moves written in the game's notation. Raises GameError."""
    position = Position(load(game) if isinstance(game, str) else game)
    for move in moves:
        position.play_text(move)
    return position
