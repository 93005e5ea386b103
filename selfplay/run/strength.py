"""How strong a network is, by the best measure that there is for its game.

Three measures, the first one possible is used: positions with exact scores (`configs/positions/GAME.txt`); all lines of
play, where the game is small enough to be solved by exhaustion; games against random playouts.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from keima.agent.analysis.evaluation import (
    ScoredPosition,
    evaluate_positions,
    find_positions,
    losing_lines,
    read_positions,
)
from keima.agent.solvers import EXHAUSTIBLE_PLIES
from keima.games.contract import Game
from keima.mcts.evaluator import Evaluate
from keima.mcts.search import SearchSettings, choose_actions
from keima.selfplay.tournament.contestants import NetworkContestant, PlayoutContestant
from keima.selfplay.tournament.match import play_match

OPPONENTS = (200, 1000, 5000)
"""Random playouts a move of the opponents where strength is measured in games, the weakest first."""
BEATEN = 0.95
"""Who scores this much against an opponent meets the next one in later measurements."""
MOST_SECONDS = 30.0
"""But none against whom the games are expected to take longer."""
MATCH_PAIRS = 12
_SCORE = "score_against_rollout_"


@dataclass(frozen=True)
class Strength:
    """A measurement."""

    figures: dict[str, float]
    """By name, as TensorBoard and the checkpoint's metadata have them."""
    headline: float
    """The figure to watch, 0 to 1, larger is better."""
    text: str
    """In words."""


class StrengthMeter:
    """Measures networks of one game."""

    def __init__(self, game: Game, simulations: int, before: Mapping[str, float] | None = None) -> None:
        """simulations: a move, measured beside the raw policy; 0 measures the raw policy alone."""
        self.game = game
        self.simulations = simulations
        self._opponent = 0  # of OPPONENTS
        for number, playouts in enumerate(OPPONENTS):
            if (score := (before or {}).get(f"{_SCORE}{playouts}")) is not None:
                self._opponent = min(number + (score >= BEATEN), len(OPPONENTS) - 1)
        self._positions: list[ScoredPosition] = []
        file = find_positions(None, game)
        if file is not None:
            self._positions = read_positions(file, game)

    def measure(self, evaluate: Evaluate) -> Strength:
        """Measures a network; takes seconds, a few tens of thousands of evaluations."""
        if self._positions:
            return self._on_positions(evaluate)
        if self.game.max_plies <= EXHAUSTIBLE_PLIES:
            return self._on_all_lines(evaluate)
        return self._against_playouts(evaluate)

    def _choosers(self, evaluate: Evaluate) -> dict[int, partial]:  # type: ignore[type-arg]
        searches = {0: None} | ({self.simulations: SearchSettings(self.simulations)} if self.simulations else {})
        return {n: partial(choose_actions, self.game, evaluate, settings=s) for n, s in searches.items()}

    def _on_positions(self, evaluate: Evaluate) -> Strength:
        figures, words = {}, []
        for simulations, choose in self._choosers(evaluate).items():
            result = evaluate_positions(self._positions, choose)
            how = f"{simulations}_simulations" if simulations else "raw"
            figures[f"value_preserving_{how}"] = result.value_preserving
            figures[f"optimal_{how}"] = result.optimal
            words.append(f"{100 * result.value_preserving:.1f} % {_with(simulations)}")
        return Strength(
            figures,
            result.value_preserving,
            f"keeps the exact value in {', '.join(words)} of {len(self._positions)} positions that are easy to lose",
        )

    def _on_all_lines(self, evaluate: Evaluate) -> Strength:
        figures, words = {}, []
        for simulations, choose in self._choosers(evaluate).items():
            result = losing_lines(self.game, choose)
            how = f"{simulations}_simulations" if simulations else "raw"
            figures[f"lost_lines_{how}"] = result.losses / result.lines
            words.append(f"{result.losses} of {result.lines:,} {_with(simulations)}")
        return Strength(
            figures,
            1 - result.losses / result.lines,
            f"loses {', '.join(words)} of all lines against every opponent's move",
        )

    def _against_playouts(self, evaluate: Evaluate) -> Strength:
        simulations = self.simulations
        number, playouts = self._opponent, OPPONENTS[self._opponent]
        ours, theirs = NetworkContestant(evaluate, simulations), PlayoutContestant(playouts)
        start_s = time.monotonic()
        result = play_match(self.game, ours, theirs, MATCH_PAIRS, opening_plies=2, seed=1)
        text = (
            f"scores {100 * result.score:.0f} % {_with(simulations)} in {result.games} games against a search with "
            f"{playouts} random playouts"
        )
        stronger = OPPONENTS[number + 1 : number + 2]
        seconds = time.monotonic() - start_s
        if stronger and result.score >= BEATEN and seconds * stronger[0] / playouts <= MOST_SECONDS:
            self._opponent += 1
            text += f"; from now on {stronger[0]}"
        # So that the figure to watch rises when the opponent is changed.
        return Strength({f"{_SCORE}{playouts}": result.score}, (number + result.score) / len(OPPONENTS), text)


def _with(simulations: int) -> str:
    return f"with {simulations} simulations" if simulations else "without search"
