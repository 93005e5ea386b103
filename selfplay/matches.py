"""Games between two players, all of them side by side, so that each player's network calls share batches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.evaluation import Choose
from games.contract import DRAW, ONGOING, PLAYER, Game


@dataclass(frozen=True)
class MatchResult:
    """Games counted from the first named player's side."""

    wins: int
    draws: int
    losses: int
    distinct: int
    """How many of the games were different sequences of actions."""

    @property
    def games(self) -> int:
        return self.wins + self.draws + self.losses

    @property
    def score(self) -> float:
        """Points a game, a draw half a point."""
        return (self.wins + self.draws / 2) / max(self.games, 1)


def play_match(game: Game, ours: Choose, theirs: Choose, pairs: int, opening_plies: int, seed: int) -> MatchResult:
    """Plays `pairs` random openings twice each, sides swapped.

    An opening is `opening_plies` uniformly random moves; one that ends the game is drawn again.
    """
    random = np.random.default_rng(seed)
    openings = [_opening(game, opening_plies, random) for _ in range(pairs)]
    states = np.stack([state for state, _ in openings for _ in range(2)])
    histories = [list(moves) for _, moves in openings for _ in range(2)]
    our_side = np.tile([0, 1], pairs)
    outcomes = np.full(len(states), ONGOING)
    while (going := np.flatnonzero(outcomes == ONGOING)).size:
        for choose, mine in ((ours, True), (theirs, False)):
            turn = going[(states[going, PLAYER] == our_side[going]) == mine]
            if turn.size == 0:
                continue
            for i, action in zip(turn, choose(states[turn]), strict=True):
                game.kernels.play(states[i], int(action))
                histories[i].append(int(action))
                outcomes[i] = game.outcome(states[i])
            going = np.setdiff1d(going, turn)
    wins = int(np.count_nonzero(outcomes == our_side))
    draws = int(np.count_nonzero(outcomes == DRAW))
    return MatchResult(wins, draws, len(states) - wins - draws, len({tuple(h) for h in histories}))


def _opening(game: Game, plies: int, random: np.random.Generator) -> tuple[NDArray[np.int64], list[int]]:
    while True:
        state = game.new_state()
        moves: list[int] = []
        while len(moves) < plies and game.outcome(state) == ONGOING:
            moves.append(int(random.choice(game.legal(state))))
            game.kernels.play(state, moves[-1])
        if game.outcome(state) == ONGOING:
            return state, moves
        plies -= 1  # so short a game that this may never end otherwise
