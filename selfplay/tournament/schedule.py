"""Schedules: who plays whom with which opening, in a round robin, a gauntlet, or where a game tells most.

Games come in rounds. An opening is played from both sides in the same round, so the sides are balanced. All pairs get
the same openings. A schedule knows the games that are played already and plans the rest; so a tournament continues
after a kill, and a player who joins later plays what the others have played.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS
from keima.selfplay.tournament.openings import Opening, Openings, actions_of, start_text_of
from keima.selfplay.tournament.ratings import ELO, PairResult, rate

Pair = tuple[int, int]
"""Two players' numbers."""
SPREAD = 800.0
"""Elo: how far apart players are taken to be while nothing is known of them."""
LIKELY = 0.02
"""The least that is expected of a player against another, when games are weighed: a rating may be wrong, too."""
ROUNDS = 12
"""Adaptive pairing looks at the results about so often."""
ROUND_SIZES = (8, 256)
"""Pairs of games in such a round, at least and at most."""


@dataclass(frozen=True)
class Pairing:
    """A game to be played."""

    first: int
    second: int
    opening: Opening

    @property
    def order(self) -> tuple[int, int, str, tuple[int, ...]]:
        """What pairings are sorted by."""
        return self.first, self.second, start_text_of(self.opening), actions_of(self.opening)


@dataclass(frozen=True)
class Result:
    """How a game ended."""

    pairing: Pairing
    outcome: int


class Schedule(Protocol):
    """What is to be played."""

    total: int
    """Games of the whole tournament, those played before included."""
    played: int
    """How many of them there are already."""

    @property
    def decided(self) -> bool:
        """Whether there is no need of any more games, not even of those under way."""
        ...

    def draw(self) -> list[Pairing] | None:
        """The next round; empty while it depends on results that are still to come, None when there is no more."""

    def enter(self, result: Result) -> None:
        """Takes the result of a game that was drawn."""


class FixedSchedule:
    """So many games for each of some pairs, opening by opening."""

    decided = False

    def __init__(
        self,
        pairs: Sequence[Pair],
        games: int,
        openings: Openings,
        history: Iterable[Pairing],
        sides: Literal["both", "first", "second"] = "both",
    ) -> None:
        """games: for each pair, an even number. history: games played before; those of other openings do not count.

        sides: `both` plays each opening from both sides. `first` and `second` say which side the first player of each
        pair always has, for games with a handicap, where the stronger player must be the one that gives it.
        """
        self._sides = (False, True) if sides == "both" else (sides == "second",)  # whether a pair's players are swapped
        self._pairs = list(pairs)
        self._openings = openings
        self._rounds = games // len(self._sides)
        self._round = 0
        self._history = Counter(history)
        self.total = games * len(self._pairs)
        self.played = self._num_played()

    def draw(self) -> list[Pairing] | None:
        while self._round < self._rounds:
            left = []
            for pairing in self._drawn_up(self._round):
                if self._history[pairing] > 0:
                    self._history[pairing] -= 1
                else:
                    left.append(pairing)
            self._round += 1
            if left:
                return left
        return None

    def enter(self, result: Result) -> None:
        pass

    def _num_played(self) -> int:
        """Of the rounds' games those in the history. Looks no further than that: drawing thousands of openings takes
        long, and a test is mostly decided before them."""
        left, in_all, number, played = self._history.copy(), self._history.total(), 0, 0
        while played < in_all and number < self._rounds:
            for pairing in self._drawn_up(number):
                if left[pairing] > 0:
                    left[pairing] -= 1
                    played += 1
            number += 1
        return played

    def _drawn_up(self, number: int) -> list[Pairing]:
        opening = self._openings[number]
        return [
            Pairing(b, a, opening) if swapped else Pairing(a, b, opening)
            for a, b in self._pairs
            for swapped in self._sides
        ]


class SprtSchedule(FixedSchedule):
    """Games of two players until a test is decided.

    The test is given pairs of games, one opening from both sides, in the order of the openings and not in the order in
    which games end: short games end first, and would make the test wrong.
    """

    def __init__(
        self,
        test: Callable[[Sequence[tuple[int, int]]], bool],
        games: int,
        openings: Openings,
        history: Sequence[Result],
    ) -> None:
        """test: whether it is decided, from (outcome, outcome) of each pair of games: of player 0 against player 1, and
        of the same opening with sides swapped; outcomes as in keima.games.contract. games: at most. history: as
        ever."""
        super().__init__([(0, 1)], games, openings, [result.pairing for result in history])
        self._test = test
        self._outcomes: dict[Pairing, deque[int]] = {}
        self._in_order: list[tuple[int, int]] = []
        for result in history:
            self._outcomes.setdefault(result.pairing, deque()).append(result.outcome)
        self._look()

    @property
    def pairs(self) -> Sequence[tuple[int, int]]:
        """What the test has been told."""
        return self._in_order

    def draw(self) -> list[Pairing] | None:
        return None if self.decided else super().draw()

    def enter(self, result: Result) -> None:
        self._outcomes.setdefault(result.pairing, deque()).append(result.outcome)
        self._look()

    def _look(self) -> None:
        while not self.decided and len(self._in_order) < self._rounds:
            games = [self._outcomes.get(pairing) for pairing in self._drawn_up(len(self._in_order))]
            if not all(games):
                return
            first, second = (outcomes.popleft() for outcomes in games if outcomes)
            self._in_order.append((first, second))
            self.decided = self._test(self._in_order)


class AdaptiveSchedule:
    """Plays the games that tell most: between players whose difference in strength is known least.

    A game tells most of the difference between two players where these are equal. What is known of a difference already
    is the sum of what all games told of it, those with common opponents included. Pairs are chosen one after the other,
    each as if the ones before had been played: always the pair by which log det of the information matrix of all
    strengths grows most (D-optimal design). Two rounds are under way at a time, to keep the tables full. When the first
    of them is over, the next one is drawn from its results and all earlier ones, and never from those of the second,
    which may have come in or not. So the same games are drawn however fast they are played.
    """

    decided = False

    def __init__(self, players: Sequence[int], games: int, openings: Openings, history: Iterable[Result]) -> None:
        """games: of all players together. history: games between these players played before."""
        self._players = list(players)
        self._openings = openings
        self.total = games
        self._results: list[Result] = list(history)
        self.played = len(self._results)
        self._left = max(0, games - self.played)
        low, high = ROUND_SIZES
        self._round_size = max(low, min(high, self.total // (2 * ROUNDS)))
        self._begun: Counter[Pairing] = Counter(result.pairing for result in self._results)
        self._rounds: list[Counter[Pairing]] = []  # under way, of the last two
        self._waiting: list[tuple[int, Result]] = []  # results of rounds that are not over

    def draw(self) -> list[Pairing] | None:
        if self._left <= 0:
            return None
        if len(self._rounds) == 2:
            if +self._rounds[0]:
                return []
            self._close_round()
        drawn: list[Pairing] = []
        for pair in self._choose(min(self._round_size, math.ceil(self._left / 2))):
            drawn += self._next_games(pair)
        self._left -= len(drawn)
        self._rounds.append(Counter(drawn))
        return drawn

    def enter(self, result: Result) -> None:
        for i, open_games in enumerate(self._rounds):
            if open_games[result.pairing] > 0:
                open_games[result.pairing] -= 1
                self._waiting.append((i, result))
                return

    def _close_round(self) -> None:
        """Counts the first round's results. Those of the second do not count yet, even if it is over: that depends
        on timing.
        """
        over = [result for i, result in self._waiting if i == 0]
        self._waiting = [(i - 1, result) for i, result in self._waiting if i > 0]
        self._results += sorted(over, key=lambda r: r.pairing.order)
        self._rounds.pop(0)

    def _next_games(self, pair: Pair) -> list[Pairing]:
        """The pair's next opening from both sides; or from one side, where the other has been played already."""
        number = 0
        while True:
            opening = self._openings[number]
            both = [Pairing(a, b, opening) for a, b in (pair, pair[::-1])]
            # An opening that comes again in the book counts as often as it came.
            times = sum(self._openings[i] == opening for i in range(number + 1))
            missing = [pairing for pairing in both if self._begun[pairing] < times]
            if missing:
                self._begun.update(missing)
                return missing
            number += 1

    def _choose(self, count: int) -> list[Pair]:
        pairs = list(combinations(self._players, 2))
        place = {player: i for i, player in enumerate(self._players)}
        information = np.eye(len(self._players)) / SPREAD**2
        value = self._value_of_a_game()
        games = [result.pairing for result in self._results] + [result.pairing for _, result in self._waiting]
        games += [pairing for open_games in self._rounds for pairing in open_games.elements()]
        # In the order of the pairs, so that rounding does not depend on who was ready first.
        for (a, b), times in sorted(Counter((game.first, game.second) for game in games).items()):
            i, j = place[a], place[b]
            information += times * value[i, j] * _squared_difference(i, j, len(self._players))
        covariance = np.linalg.inv(information)
        chosen = []
        left, right = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
        told = 2 * value[left, right]
        for _ in range(count):
            spread = covariance[left, left] + covariance[right, right] - 2 * covariance[left, right]
            best = int(np.argmax(told * spread))  # log det grows by log(1 + told * spread)
            chosen.append(pairs[best])
            i, j = left[best], right[best]
            column = covariance[:, i] - covariance[:, j]
            covariance = covariance - np.outer(column, column) * told[best] / (1 + told[best] * spread[best])
        return chosen

    def _value_of_a_game(self) -> NDArray[np.float64]:
        """[players, players]: the information, in 1 / Elo squared, of a game about the difference of two players."""
        names = [str(player) for player in self._players]
        elo, nu = np.zeros(len(names)), 0.0
        if self._results:
            ratings = rate(_pair_results(self._results))
            known = {player.name: player.elo for player in ratings.players}
            # Of those who have not played nothing is known but that they are players.
            elo = np.array([known.get(name, 0.0) for name in names])
            nu = ratings.nu
        odds = np.exp((elo[:, None] - elo[None, :]) / ELO / 2)
        total = odds + 1 / odds + nu
        score = np.clip((odds + nu / 2) / total, LIKELY, 1 - LIKELY)
        draws = nu / total
        # The variance of a game's points, a draw half a point; for Davidson's model that is the information.
        return np.maximum(score * (1 - score) - draws / 4, LIKELY / 4) / ELO**2


def _squared_difference(i: int, j: int, size: int) -> NDArray[np.float64]:
    """The matrix of the square of strength i less strength j."""
    vector = np.zeros(size)
    vector[i], vector[j] = 1, -1
    return np.outer(vector, vector)


def _pair_results(results: Iterable[Result]) -> list[PairResult]:
    counts = Counter((r.pairing.first, r.pairing.second, r.outcome) for r in results)
    pairs = sorted({(first, second) for first, second, _ in counts})
    return [
        PairResult(str(a), str(b), *(counts[a, b, outcome] for outcome in (FIRST_WINS, DRAW, SECOND_WINS)))
        for a, b in pairs
    ]


def round_robin(players: Sequence[int]) -> list[Pair]:
    """Everybody against everybody."""
    return list(combinations(players, 2))


def gauntlet(players: Sequence[int]) -> list[Pair]:
    """The first against each of the others."""
    return [(players[0], other) for other in players[1:]]
