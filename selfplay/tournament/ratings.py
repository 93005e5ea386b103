"""Elo ratings from results: how strong each player most likely is, and how sure that is.

The model (see likelihood.py) has a strength for each player, the advantage of the first move and the drawishness nu,
all fitted together. With d the difference in strength plus the advantage, in Elo,

    P(win) : P(draw) : P(loss) of who moves first  =  10^(d / 800) : nu : 10^(-d / 800),

so that without draws 400 Elo are odds of ten to one, as usual. With draws the odds are those of wins to losses.

**Where zero is.** Anchored players keep the Elo they are given. Without an anchor the mean of all players is 0, or of
those named by `centre`, and an interval is that of a player against this mean. `random` is no anchor unless it is asked
for: it hardly ever scores, so what is not known of it would be in everyone's interval. For the same reason a ladder
with someone who won or lost everything reads best with `centre=bounded_players(results)`. Players that no chain of
games links are in different groups, each with a mean of 0 or its anchors; nothing is known of their difference, and
nothing is said.

**Who won everything.** The most likely strength of such a player is infinite. A weak prior keeps it finite: half as
many virtual games as there are strengths to find, shared out over the pairs in proportion to the games' leverage (how
much of the strengths they determine), each half won and half lost. That is half of Jeffreys' prior, which in the same
way adds one game a parameter (Firth 1993, Biometrika 80, 27-38): with all of it intervals end too early where players
are far apart (87 % of them covered the truth with strengths spread by 800 Elo and four games a pair), with half of it
they cover it in 94 to 98 % up to gaps of 1600 Elo. Who won 10 of 10 games is 645 Elo ahead, from 205 to 2156. The upper
end is then the prior's alone: `won_all` says so, and so does the ladder. The first move's advantage has a prior of 300
Elo around 0, which matters only where a player moved first in most of its games.

**Intervals** are of the profile likelihood: all a player could be for which the other strengths, the advantage and
the drawishness can be chosen so that twice the logarithm of the likelihood is within 3.84 of its maximum. So they
account for what is not known of the opponents, common or not, and are longer to the side where less is known.

**Games that repeat each other.** Two players that always choose the same moves play the same game again from the same
opening: no new evidence. `tally` counts the games of a pair, for each side that moved first, as a sample as large as
the number of distinct ones among them, with the shares of wins and draws of all. So nothing is gained by repeating,
and an opening or a line that really is more frequent still weighs more. Between players that vary their moves this
errs to the careful side: games that happen to be the same were evidence.
"""

import dataclasses
import difflib
import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS, GameError
from keima.selfplay.tournament.likelihood import Floats, Likelihood

ELO = 400 / math.log(10)
"""Elo in one natural unit of strength."""
ADVANTAGE_SPREAD = 300.0
"""Elo: the standard deviation of the prior of the first move's advantage."""
LARGEST_ANCHOR = 10_000
CONFIDENCE_DROP = 1.9207
"""By how much the log-likelihood falls to the end of a 95 % interval: half of the 95 % quantile of chi squared (1)."""
VIRTUAL_GAMES = 0.5
"""For each strength to be found; see the module's docstring."""
_LEVERAGE_ROUNDS = 3


Counts = dict[tuple[str, str], Floats]
"""For each pair, who moves first named first: its wins, draws, losses."""


@dataclass(frozen=True)
class PairResult:
    """Games between two players in which `first` moved first. The numbers may be weights: any number >= 0."""

    first: str
    second: str
    first_wins: float = 0
    draws: float = 0
    second_wins: float = 0


@dataclass(frozen=True)
class PlayerRating:
    """A player of a ladder. Elo is relative to the anchors or the mean of the player's group."""

    name: str
    elo: float
    low: float
    """The 95 % interval's lower end; the interval of an anchor is its Elo."""
    high: float
    games: float
    wins: float
    draws: float
    losses: float
    group: int
    """Players of different groups (from 0) are linked by no game, and their Elo cannot be compared."""
    anchored: bool = False

    @property
    def score(self) -> float:
        """Points a game, a draw half a point."""
        return (self.wins + self.draws / 2) / self.games

    @property
    def won_all(self) -> bool:
        """Whether the results give no upper end, and `high` is the prior's."""
        return self.wins == self.games

    @property
    def lost_all(self) -> bool:
        """Whether the results give no lower end, and `low` is the prior's."""
        return self.losses == self.games


@dataclass(frozen=True)
class Ratings:
    """A fitted tournament."""

    players: tuple[PlayerRating, ...]
    """Group by group, best first."""
    first_move_advantage: float
    """Elo that whoever moves first has for it."""
    first_move_interval: tuple[float, float]
    """95 %."""
    nu: float
    """Drawishness; 0 where nobody drew."""
    covariance: Floats
    """[players, players] Elo squared, in the order of `players`: of the normal distribution that touches the likelihood
    at its maximum. Poor where somebody won or lost everything; `low`, `high` and `superiority` do not use it."""
    unplayed: tuple[str, ...]
    """Those without a game: nothing is known of them."""
    _fit: "_Fit" = field(repr=False)

    def __getitem__(self, name: str) -> PlayerRating:
        """Raises GameError for one that is not rated."""
        for player in self.players:
            if player.name == name:
                return player
        raise GameError(f"no rating of {name!r}: expected one of {', '.join(p.name for p in self.players) or 'nobody'}")

    @property
    def draw_share(self) -> float:
        """How often two equal players draw, the first move's advantage apart."""
        return self.nu / (self.nu + 2)

    def superiority(self, a: str, b: str) -> float:
        """How likely it is that `a` is stronger than `b`, 0 to 1; 0.5 where no chain of games links them.

        Computed from the fall of the log-likelihood, over all strengths together, to where the two are equal: the
        signed root of twice that is normal to a good approximation, also where somebody won everything.
        """
        return float(self.superiorities([(a, b)])[0])

    def superiorities(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """`superiority` of many pairs at once."""
        left, right = ([self._fit.names.index(self[pair[side]].name) for pair in pairs] for side in (0, 1))
        groups = {player.name: player.group for player in self.players}
        linked = np.array([groups[a] == groups[b] for a, b in pairs], bool)
        return self._fit.superiorities(np.array(left, int), np.array(right, int), linked)


def rate(
    results: Iterable[PairResult],
    *,
    anchors: Mapping[str, float] | None = None,
    centre: Collection[str] | None = None,
) -> Ratings:
    """Fits the model to results.

    anchors: Elo by the names of the players that are to keep it. centre: the players whose mean is 0 in a group without
    an anchor; where it is not given, or names nobody in a group, all of the group. Raises GameError for results or
    anchors that make no sense.
    """
    anchors = anchors or {}
    counts, unplayed = _collect(results)
    names = list(dict.fromkeys(name for pair in counts for name in pair))
    if not names:
        raise GameError("no games to rate")
    check_anchors(anchors, [*names, *unplayed])
    groups = _groups(names, counts)
    fit = _Fit.of(names, counts, _strength_basis(names, groups, anchors, centre or ()), anchors)
    elo, covariance, (low, high) = fit.strengths(), fit.covariance(), fit.intervals()
    players = []
    for i, name in enumerate(names):
        record = _record(name, counts)
        players.append(
            PlayerRating(
                name,
                elo=float(elo[i]),
                low=float(low[i]),
                high=float(high[i]),
                games=float(record.sum()),
                wins=float(record[0]),
                draws=float(record[1]),
                losses=float(record[2]),
                group=groups[name],
                anchored=name in anchors,
            )
        )
    order = sorted(range(len(names)), key=lambda i: (players[i].group, -players[i].elo))
    return Ratings(
        players=tuple(players[i] for i in order),
        first_move_advantage=float(ELO * fit.parameters[fit.advantage]),
        first_move_interval=(float(low[-1]), float(high[-1])),
        nu=math.exp(fit.parameters[-1]) if fit.likelihood.with_draws else 0.0,
        covariance=covariance[np.ix_(order, order)],
        unplayed=unplayed,
        _fit=fit,
    )


@dataclass(frozen=True)
class Tally:
    """Games put together; see the module's docstring on games that repeat each other."""

    results: tuple[PairResult, ...]
    games: int
    repeated: int
    """How many of them were the same, move by move, as an earlier one between the same two with the same sides."""


def tally(games: Iterable[tuple[str, str, int, Hashable]], *, discount: bool = True) -> Tally:
    """Puts together (first, second, outcome, moves) of single games for `rate`.

    outcome: FIRST_WINS, DRAW or SECOND_WINS of keima.games.contract. moves: equal for games that are the same; None for
    a game that always counts in full (a forfeit says nothing of the moves). discount: False counts every game in full,
    which is right where both players choose at random.
    """
    outcomes: dict[tuple[str, str], Counter[int]] = {}
    distinct: dict[tuple[str, str], set[Hashable]] = {}
    played = 0
    for first, second, outcome, moves in games:
        pair = (first, second)
        outcomes.setdefault(pair, Counter())[outcome] += 1
        # A game is its own evidence where it has no moves to compare: its number is like no other's.
        distinct.setdefault(pair, set()).add(("game", played) if moves is None else ("moves", moves))
        played += 1
    results = []
    for pair, counter in outcomes.items():
        weight = len(distinct[pair]) / counter.total() if discount else 1
        results.append(PairResult(*pair, *(weight * counter[code] for code in (FIRST_WINS, DRAW, SECOND_WINS))))
    return Tally(tuple(results), played, played - sum(map(len, distinct.values())))


@dataclass(frozen=True)
class _Fit:
    """The maximum of a tournament's likelihood, in natural units."""

    names: list[str]
    likelihood: Likelihood
    basis: Floats  # [players, P]: strengths = fixed + basis @ parameters
    fixed: Floats  # [players]
    parameters: Floats  # [P]
    advantage: int  # which of the parameters is the first move's

    @classmethod
    def of(
        cls,
        names: list[str],
        counts: Counts,
        strengths: Floats,
        anchors: Mapping[str, float],
    ) -> "_Fit":
        place = {name: i for i, name in enumerate(names)}
        first = np.array([place[pair[0]] for pair in counts], int)
        second = np.array([place[pair[1]] for pair in counts], int)
        first_wins, draws, second_wins = np.array([*counts.values()]).reshape(-1, 3).T
        """strengths: the directions [players, free] in which they may go."""
        free = strengths.shape[1]
        with_draws = bool(draws.sum() > 0)
        basis = np.hstack([strengths, np.zeros((len(names), 1 + with_draws))])
        fixed = np.array([anchors.get(name, 0.0) / ELO for name in names], float)
        design = basis[first] - basis[second]
        design[:, free] = 1
        precision = np.zeros(basis.shape[1])
        precision[free] = (ELO / ADVANTAGE_SPREAD) ** 2
        offset = fixed[first] - fixed[second]
        results = Likelihood(design, offset, first_wins, draws, second_wins, with_draws, precision)
        # Leverage depends on the fit and the fit a little on where the virtual games are: begin with as many for each
        # player, in proportion to its games, and look again.
        games = first_wins + draws + second_wins
        mine = np.bincount(first, games, len(names)) + np.bincount(second, games, len(names))
        shares = games / mine[first] + games / mine[second]
        parameters = np.zeros(basis.shape[1])
        for _ in range(_LEVERAGE_ROUNDS):
            # Where all are anchored one is enough: only nu is to stay finite.
            virtual = VIRTUAL_GAMES * max(free, 1) * shares / shares.sum()
            likelihood = dataclasses.replace(
                results, first_wins=first_wins + virtual / 2, second_wins=second_wins + virtual / 2
            )
            parameters = likelihood.maximum(parameters)
            shares = results.leverage(parameters)
        return cls(names, likelihood, basis, fixed, parameters, free)

    def strengths(self) -> Floats:
        """Elo, [players]."""
        return ELO * (self.fixed + self.basis @ self.parameters)

    def covariance(self) -> Floats:
        """[players, players], Elo squared."""
        information = self.likelihood.evaluate(self.parameters[None]).information[0]
        return ELO**2 * self.basis @ np.linalg.inv(information) @ self.basis.T

    def intervals(self) -> tuple[Floats, Floats]:
        """Both ends in Elo, for each player and then for the first move's advantage: [players + 1]."""
        middle = np.append(self.strengths(), ELO * self.parameters[self.advantage])
        directions = np.vstack([self.basis, np.eye(self.basis.shape[1])[self.advantage]])
        free = np.flatnonzero(directions.any(1))  # not the anchors
        both = np.vstack([-directions[free], directions[free]])
        # They go as far up as their ends; so far from the maximum.
        reach = self.likelihood.extremes(self.parameters, both, CONFIDENCE_DROP) - both @ self.parameters
        below, above = np.split(ELO * reach, 2)
        low, high = middle.copy(), middle.copy()
        low[free] -= below
        high[free] += above
        return low, high

    def superiorities(self, left: NDArray[np.int64], right: NDArray[np.int64], linked: NDArray[np.bool_]) -> Floats:
        """Of pairs of players by their places."""
        differences = (self.fixed[left] - self.fixed[right]) + (self.basis[left] - self.basis[right]) @ self.parameters
        directions = self.basis[left] - self.basis[right]
        roots = np.where(differences > 0, math.inf, np.where(differences < 0, -math.inf, 0.0))  # of two anchors
        unknown = np.flatnonzero(linked & directions.any(1))
        if unknown.size:
            offsets = (self.fixed[left] - self.fixed[right])[unknown]
            falls = self.likelihood.falls(self.parameters, directions[unknown], offsets)
            roots[unknown] = np.sign(differences[unknown]) * np.sqrt(2 * np.maximum(falls, 0))
        roots[~linked] = 0
        return np.array([math.erfc(-root / math.sqrt(2)) / 2 for root in roots])


def bounded_players(results: Iterable[PairResult]) -> list[str]:
    """The players who neither won nor lost every game: for these the results give both an upper and a lower bound."""
    counts, _ = _collect(results)
    records = {name: _record(name, counts) for pair in counts for name in pair}
    return [name for name, (wins, draws, losses) in records.items() if wins + draws > 0 and draws + losses > 0]


def _collect(results: Iterable[PairResult]) -> tuple[Counts, tuple[str, ...]]:
    """The pairs that have played, and the players that have not. Raises GameError."""
    counts: Counts = {}
    for result in results:
        outcome = np.array([result.first_wins, result.draws, result.second_wins], float)
        if result.first == result.second:
            raise GameError(f"{result.first!r} played itself: such games say nothing of its strength; leave them out")
        if not (np.isfinite(outcome).all() and (outcome >= 0).all()):
            raise GameError(f"{result.first!r} against {result.second!r}: expected numbers of games, got {outcome}")
        pair = (result.first, result.second)
        counts[pair] = counts.get(pair, np.zeros(3)) + outcome
    played = {pair: outcome for pair, outcome in counts.items() if outcome.sum() > 0}
    rated = {name for pair in played for name in pair}
    return played, tuple(dict.fromkeys(name for pair in counts for name in pair if name not in rated))


def check_anchors(anchors: Mapping[str, float], names: Sequence[str]) -> None:
    """Raises GameError for an anchor of nobody, or one that is no Elo."""
    for name, elo in anchors.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise GameError(f"anchor {name!r}: no such player{hint}; expected one of {', '.join(names) or 'nobody'}")
        if not (math.isfinite(elo) and abs(elo) <= LARGEST_ANCHOR):
            raise GameError(f"anchor {name!r}: expected an Elo from -{LARGEST_ANCHOR} to {LARGEST_ANCHOR}, got {elo}")


def _groups(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The number of each player's group; the group of the first player is 0."""
    leader = {name: name for name in names}

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for first, second in pairs:
        leader[lead(first)] = lead(second)
    numbers: dict[str, int] = {}
    return {name: numbers.setdefault(lead(name), len(numbers)) for name in names}


def _strength_basis(
    names: Sequence[str], groups: Mapping[str, int], anchors: Mapping[str, float], centre: Collection[str]
) -> Floats:
    """The directions [players, free] in which strengths may go: never an anchor, nor the mean of a group's centre."""
    columns = []
    for group in dict.fromkeys(groups.values()):
        members = [i for i, name in enumerate(names) if groups[name] == group]
        loose = [i for i in members if names[i] not in anchors]
        fixed_mean: list[int] = []
        if len(loose) == len(members):
            fixed_mean = [i for i in members if names[i] in centre] or members
        columns += [_at(len(names), [i], [1.0]) for i in loose if i not in fixed_mean]
        columns += [  # Helmert's contrasts: orthogonal to each other and to the mean
            _at(len(names), fixed_mean[: k + 1], np.array([*[1.0] * k, -k]) / math.sqrt(k * (k + 1)))
            for k in range(1, len(fixed_mean))
        ]
    return np.array(columns).reshape(-1, len(names)).T


def _at(size: int, places: list[int], values: Sequence[float] | Floats) -> Floats:
    column = np.zeros(size)
    column[places] = values
    return column


def _record(name: str, counts: Counts) -> Floats:
    """A player's wins, draws and losses."""
    record = np.zeros(3)
    for (first, second), outcome in counts.items():
        if name == first:
            record += outcome
        elif name == second:
            record += outcome[::-1]
    return record
