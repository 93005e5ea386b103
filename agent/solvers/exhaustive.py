"""Solves small games by looking at every position that there is."""

from keima.games.contract import DRAW, ONGOING, PLAYER, Game, GameError, State

MAX_POSITIONS = 1_000_000
"""Positions remembered before a game is given up: some 200 MB and half a minute."""


class ExhaustiveSolver:
    """The exact result of every position of a game that has few enough positions.

    Scores are from the side to move's point of view: +1 a win, 0 a draw, -1 a loss. Every position is looked at once,
    however many moves lead to it.
    """

    def __init__(self, game: Game, max_positions: int = MAX_POSITIONS) -> None:
        self.game = game
        self.max_positions = max_positions
        self._values: dict[bytes, int] = {}  # by state row: the first player's result, +1, 0 or -1

    @property
    def positions(self) -> int:
        """How many different positions are solved so far, finished ones among them."""
        return len(self._values)

    def score(self, state: State) -> int:
        """The position's score, also of a finished game. Raises GameError where there are too many to look at."""
        value = self._first_player_value(state)
        return value if state[PLAYER] == 0 else -value

    def scores(self, state: State) -> list[tuple[int, int]]:
        """Every legal action and its score. Raises GameError where there are too many positions to look at."""
        sign = 1 if state[PLAYER] == 0 else -1  # the same side may be on the move afterwards
        return [
            (int(action), sign * self._first_player_value(self.game.after(state, int(action))))
            for action in self.game.legal(state)
        ]

    def best_actions(self, state: State) -> list[int]:
        """Every legal action with the best score; none when the game is over."""
        scores = self.scores(state)
        return [action for action, score in scores if score == max(s for _, s in scores)]

    def _first_player_value(self, root: State) -> int:
        # Depth first, with a stack of our own: Python's ends at a thousand.
        pending = [(root, self._following(root))] if root.tobytes() not in self._values else []
        while pending:
            state, following = pending[-1]
            unsolved = next((after for after in following if after.tobytes() not in self._values), None)
            if unsolved is not None:
                pending.append((unsolved, self._following(unsolved)))
                continue
            pending.pop()
            self._remember(state, following)
        return self._values[root.tobytes()]

    def _following(self, state: State) -> list[State]:
        return [self.game.after(state, int(action)) for action in self.game.legal(state)]

    def _remember(self, state: State, following: list[State]) -> None:
        if len(self._values) >= self.max_positions:
            raise GameError(
                f"{self.game.spec}: expected at most {self.max_positions:,} positions to solve by exhaustion, got more"
            )
        outcome = self.game.outcome(state)
        if outcome == ONGOING:
            results = [self._values[after.tobytes()] for after in following]
            value = max(results) if state[PLAYER] == 0 else min(results)
        else:
            value = 0 if outcome == DRAW else 1 - 2 * outcome
        self._values[state.tobytes()] = value
