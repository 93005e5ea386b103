"""The player that asks a network once and does not search."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from keima.agent.contracts.player import Outcomes
from keima.agent.contracts.thinking import InfoCallback, Limit, PrincipalVariation, SearchInfo, ShouldStop, Thinker
from keima.agent.players.move_choice import checked_temperature, draw_move, legal_actions, legal_policy, win_draw_loss
from keima.games.contract import Game
from keima.games.position import Position

if TYPE_CHECKING:
    from keima.mcts.evaluator import Evaluate


class PolicyPlayer(Thinker):
    """A network's first thought: its most probable legal action, without search."""

    def __init__(
        self,
        name: str,
        game: Game,
        evaluate: "Evaluate",
        *,
        temperature: float = 0.0,
        seed: int = 0,
        outcomes: Outcomes | None = None,
    ) -> None:
        """`temperature` T: plays each action with probability to the power 1/T; 0 always plays the most probable.

        `outcomes`: win, draw and loss by the same network, for those who watch.
        """
        self.name = name
        self._game = game
        self._evaluate = evaluate
        self._temperature = checked_temperature(temperature)
        self._random = np.random.default_rng(seed)
        self.outcomes = outcomes

    def choose(self, position: Position) -> int:
        """See `keima.agent.contracts.player.Player`."""
        return self.pick(self._search_info(position))

    def think(
        self,
        position: Position,
        limit: Limit | None = None,
        *,
        should_stop: ShouldStop | None = None,
        report: InfoCallback | None = None,
    ) -> SearchInfo:
        """See `keima.agent.contracts.thinking.Thinker`; one evaluation is all there is to it, whatever the limit."""
        start_s = time.monotonic()
        only = None if limit is None else limit.actions
        info = self._search_info(position, win_draw_loss(self.outcomes, position), only)
        info = replace(info, seconds=time.monotonic() - start_s)
        if report is not None:
            report(info)
        return info

    def pick(self, info: SearchInfo) -> int:
        """See `keima.agent.contracts.thinking.Thinker`."""
        return draw_move(info, self._temperature, self._random)

    def _search_info(
        self,
        position: Position,
        wdl: tuple[float, float, float] | None = None,
        only: frozenset[int] | None = None,
    ) -> SearchInfo:
        actions = legal_actions(position)
        if only is not None:
            actions = actions[np.isin(actions, list(only))]
        logits, values = self._evaluate(self._game.planes(position.state)[None])
        priors = legal_policy(logits[0], actions)
        order = np.argsort(-priors, kind="stable")
        best, value = order[0], float(values[0])
        if wdl is not None and self._evaluate.score_weight > 0:
            value = wdl[0] - wdl[2]
        # The network judges the position, not each action: its value is told beside the action it would play.
        lines = tuple(
            PrincipalVariation(int(actions[k]), 0, value if k == best else None, float(priors[k]), (int(actions[k]),))
            for k in order
        )
        return SearchInfo(lines, 0, 0.0, value, wdl, ((0, lines[0].action),))
