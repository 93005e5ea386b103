"""A match of two players within this process: counted, not kept."""

import itertools
from dataclasses import dataclass

from keima.games.contract import DRAW, Game
from keima.selfplay.tournament.arena import Arena, GameTask, PlayedGame
from keima.selfplay.tournament.contestants import Contestant
from keima.selfplay.tournament.openings import RandomOpenings


@dataclass(frozen=True)
class MatchResult:
    """The games of a match, counted from the first named player's side."""

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


def play_match(
    game: Game, ours: Contestant, theirs: Contestant, pairs: int, opening_plies: int, seed: int
) -> MatchResult:
    """Plays `pairs` random openings of so many plies, each from both sides. A game that is forfeited is lost."""
    openings = RandomOpenings(game, opening_plies, seed)
    tasks = [
        GameTask(2 * pair + side, (side, 1 - side), openings[pair], seed * 2 * pairs + 2 * pair + side)
        for pair in range(pairs)
        for side in (0, 1)
    ]
    arena = Arena(game, [ours, theirs], tables=min(len(tasks), 256), cache_mb=0)
    played = play_all(arena, tasks)
    wins = sum(p.outcome == p.task.players.index(0) for p in played)
    draws = sum(p.outcome == DRAW for p in played)
    return MatchResult(wins, draws, len(played) - wins - draws, len({p.actions for p in played}))


def play_all(arena: Arena, tasks: list[GameTask]) -> list[PlayedGame]:
    """Plays games to their end in the arena of this process; returns them in the order of the tasks' numbers."""
    waiting, played = iter(tasks), list[PlayedGame]()
    try:
        while len(played) < len(tasks):
            for task in itertools.islice(waiting, arena.free_tables):
                arena.begin(task)
            played += arena.step()
    finally:
        arena.close()
    return sorted(played, key=lambda p: p.task.number)
