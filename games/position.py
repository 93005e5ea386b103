"""A game in progress: the moves so far, the state they led to, and the way back."""

from keima.games import load
from keima.games.contract import ONGOING, PLAYER, Game, GameError, State


class Position:
    """A game being played move by move, for players, engine protocols and terminals."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.actions: list[int] = []
        self._states: list[State] = [game.new_state()]

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
        return twin

    def movers(self) -> list[int]:
        """Who made each of the moves so far: 0 or 1; not always in turn."""
        return [int(state[PLAYER]) for state in self._states[:-1]]

    def moves_text(self) -> list[str]:
        """The moves so far in the game's notation."""
        return [self.game.action_to_text(s, a) for s, a in zip(self._states, self.actions, strict=False)]


def position_after(game: str | Game, moves: list[str]) -> Position:
    """The position after moves written in the game's notation. Raises GameError."""
    position = Position(load(game) if isinstance(game, str) else game)
    for move in moves:
        position.play_text(move)
    return position
