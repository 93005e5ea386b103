"""The player that searches a tree, with a network or with random playouts."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from keima.agent.contracts.player import MoveResult, Outcomes, Resignation
from keima.agent.contracts.territory import Territory
from keima.agent.contracts.thinking import (
    REPORT_EVERY_S,
    InfoCallback,
    Limit,
    PrincipalVariation,
    SearchInfo,
    ShouldStop,
    Thinker,
)
from keima.agent.players.move_choice import checked_temperature, draw_move, legal_actions, win_draw_loss
from keima.agent.players.pass_policy import pass_policy_of
from keima.agent.players.resignation_policy import ResignationPolicy
from keima.games.contract import ONGOING, Game
from keima.games.position import Position

if TYPE_CHECKING:
    from keima.mcts.evaluator import Evaluate
    from keima.mcts.search import Search, SearchSettings

TIMED_SIMULATIONS = 250_000
"""Where a search limited by seconds alone ends, too: the tree's storage is allocated before it."""
TIMED_EDGES = 1 << 23
"""Legal actions of all its positions that such a search's tree has room for: 256 MB, as far as they come to be used."""
PIECE = 32
"""After how many batches' worth of simulations a search looks at the clock, though it needs no evaluations."""


class SearchPlayer(Thinker):
    """A tree search with an evaluator: a network, or random playouts.

    The tree is kept from move to move: where a position follows from the last one searched, what was found below it
    is searched on. Any other position starts afresh, and so does a search of some of the actions, which is not kept.
    Where the game has manners (see `keima.agent.players.pass_policy`) these have the last word on passing. Not for two
    threads at once.
    """

    def __init__(
        self,
        name: str,
        game: Game,
        evaluate: "Evaluate",
        limit: Limit | int,
        *,
        settings: "SearchSettings | None" = None,
        temperature: float = 0.0,
        seed: int = 0,
        outcomes: Outcomes | None = None,
        territory: Territory | None = None,
        resign: float = 0.0,
    ) -> None:
        """`limit`: what a move may cost where `think` is asked for nothing else; a number is one of simulations.

        `settings`: how the tree is searched, but for the number of simulations; None:
        `keima.mcts.search.PLAY_SETTINGS`. More leaves of the tree evaluated together are faster for a network and a bit
        weaker. `temperature` T: plays each action with its share of the visits to the power 1/T; 0 always plays the
        best. `outcomes`: win, draw and loss by the same network, for those who watch.
        `territory`: how the game is expected to end, where it has ownership and score.
        `resign`: the winning probability below which it gives up, after a few such moves in a row; 0: never.
        """
        from keima.mcts.search import PLAY_SETTINGS

        self.name = name
        self.territory = territory
        self._pass_policy = pass_policy_of(game, territory)
        self._resignation_policy = ResignationPolicy(resign)
        self.limit = limit if isinstance(limit, Limit) else Limit(limit)
        self.outcomes = outcomes
        self._game = game
        self._evaluate = evaluate
        self._temperature = checked_temperature(temperature)
        self._settings = PLAY_SETTINGS if settings is None else settings
        self._seed = seed
        self._random = np.random.default_rng(seed)
        self._searched: list[int | str] | None = None  # the tree's root, see `Position.path`; None where there is none
        self._changes: list[tuple[int, int]] = []  # of what would be played at its root; see SearchInfo.changes
        self._capacity = 0  # simulations that the tree has room for
        self._make_room(self.limit)

    def choose(self, position: Position) -> MoveResult:
        """See `keima.agent.contracts.player.Player`."""
        self._search_position(position, self.limit, None)
        # Without a temperature the tree's own answer does, and nothing else needs to be read out of it.
        if self._temperature > 0 or self._pass_policy is not None or self._resignation_policy.has_end:
            self.last_info = self._with_pass_policy(position, self._search_info(0.0, None))
            return self.pick(self.last_info)
        return int(self._search.chosen_actions()[0])

    def think(
        self,
        position: Position,
        limit: Limit | None = None,
        *,
        should_stop: ShouldStop | None = None,
        report: InfoCallback | None = None,
    ) -> SearchInfo:
        """See `keima.agent.contracts.thinking.Thinker`.

        A limit of seconds ends at TIMED_SIMULATIONS all the same, which bounds the tree's memory. The first limit
        that needs a larger tree than there is starts afresh.
        """
        start_s = time.monotonic()
        wdl = win_draw_loss(self.outcomes, position)
        reported_s = -REPORT_EVERY_S

        def look(search: "Search") -> None:
            nonlocal reported_s
            self._note_change(search)
            elapsed_s = time.monotonic() - start_s
            if report is not None and elapsed_s - reported_s >= REPORT_EVERY_S:
                reported_s = elapsed_s
                report(self._search_info(elapsed_s, wdl))

        self._search_position(position, limit or self.limit, should_stop, look, start_s)
        info = self._with_pass_policy(position, self._search_info(time.monotonic() - start_s, wdl))
        if report is not None:
            report(info)
        return info

    def pick(self, info: SearchInfo) -> MoveResult:
        """See `keima.agent.contracts.thinking.Thinker`."""
        self._resignation_policy.count()
        if info.is_hopeless:
            return Resignation(f"{self.name} resigns")
        return draw_move(info, self._temperature, self._random)

    def forget(self) -> None:
        """See `keima.agent.contracts.thinking.Thinker`."""
        self._searched = None

    def resign_below(self, probability: float) -> None:
        """Gives up from now on where its winning probability is below this, see `__init__`."""
        self._resignation_policy = ResignationPolicy(probability)

    def _with_pass_policy(self, position: Position, info: SearchInfo) -> SearchInfo:
        """The thoughts with what should be played first, where that is not what the search liked best."""
        info = replace(info, is_hopeless=self._resignation_policy.is_over(position, info.value))
        if self._pass_policy is None:
            return info
        chosen = self._pass_policy.chosen(position, info.variations, info.value)
        if chosen == info.variations[0].action:
            return info
        lines = tuple(sorted(info.variations, key=lambda line: line.action != chosen))
        return replace(info, variations=lines, is_decided=True)

    def _search_position(
        self,
        position: Position,
        limit: Limit,
        should_stop: ShouldStop | None,
        look: "Callable[[Search], None] | None" = None,
        start_s: float | None = None,
    ) -> None:
        """Searches on from the old tree where the position follows from it. `look` is called between batches."""
        start_s = time.monotonic() if start_s is None else start_s
        legal_actions(position)
        self._make_room(limit)
        search, moves, goal = self._search, list(position.path), limit.simulations or TIMED_SIMULATIONS
        kept = self._searched if limit.actions is None else None
        if kept is not None and moves[: len(kept)] == kept:
            for action in position.actions[len(kept) - 1 :]:
                search.advance(action)
                self._changes = []
        else:
            search.start(position.state[None])
            if limit.actions is not None:
                search.restrict(limit.actions)
            self._changes = []
        self._searched = None  # until all is well: an evaluation that fails leaves the tree half done

        def is_up() -> bool:
            # There must be thoughts however soon it is: the root is evaluated before anything may stop the search.
            if not search.is_evaluated():
                return False
            if look is not None:
                look(search)
            if limit.seconds is not None and time.monotonic() - start_s >= limit.seconds:
                return True
            return should_stop is not None and should_stop()

        # In pieces: simulations that end in finished games need no evaluator, and so come between two questions.
        piece = PIECE * self._settings.leaves_per_batch
        watched = look is not None or limit.seconds is not None or should_stop is not None
        while True:
            reached = min(goal, search.visits() + piece)
            search.run(self._evaluate, is_up if watched else None, reached)
            if search.visits() < reached or reached == goal:  # stopped, proven, or the tree is full; or done
                break
        if look is not None:
            look(search)
        self._searched = moves if limit.actions is None else None

    def _note_change(self, search: "Search") -> None:
        """Keeps the history of what it would play."""
        if not self._changes:
            root = search.root()
            self._changes = [(0, int(root.actions[np.argmax(root.priors)]))]
        chosen = int(search.chosen_actions()[0])
        if search.visits() > 0 and chosen != self._changes[-1][1]:
            self._changes.append((search.visits(), chosen))

    def _search_info(self, seconds: float, wdl: tuple[float, float, float] | None) -> SearchInfo:
        root, variations = self._search.root(), self._search.variations()
        chosen = int(self._search.chosen_actions()[0])
        weight = self._evaluate.score_weight

        def told(value: float, proven: int) -> float | None:
            """A value as win - loss: where it holds a score too, the network's own one and what the search changed."""
            if math.isnan(value):
                return None
            if weight == 0 or wdl is None or proven != ONGOING:
                return value
            return min(max(wdl[0] - wdl[2] + (value - root.raw_value) / (1 - weight), -1.0), 1.0)

        found = [
            PrincipalVariation(action, visits, told(value, result), prior, variation, result != ONGOING)
            for action, visits, value, prior, result, variation in zip(
                *(root.actions.tolist(), root.visits.tolist(), root.values.tolist(), root.priors.tolist()),
                *(root.results.tolist(), variations),
                strict=True,
            )
        ]
        lines = tuple(sorted(found, key=lambda line: (line.action != chosen, -line.visits, -line.prior)))
        value = told(root.value, root.proven)
        return SearchInfo(lines, self._search.visits(), seconds, value, wdl, tuple(self._changes))

    def _make_room(self, limit: Limit) -> None:
        """Sees to it that the tree has room for the limit; a tree that has not is given up."""
        from keima.mcts.search import Search
        from keima.mcts.tree import default_max_edges

        needed = limit.simulations or TIMED_SIMULATIONS
        if needed <= self._capacity:
            return
        settings = replace(self._settings, simulations=needed)
        edges = default_max_edges(needed, self._game.max_legal)
        if limit.simulations is None:
            edges = min(edges, TIMED_EDGES)
        self._search = Search(self._game, settings, seed=self._seed, max_edges=edges)
        self._capacity, self._searched = needed, None
