"""When a player passes, in games that end by agreement after passes: Go.

A search under rules by which every stone on the board counts knows how to win, but not when to stop: all moves of a won
game are as good, in its own territory, too. The policy chooses among moves that change nothing. Where area counts:

  * after the opponent's pass, a pass that wins as the stones stand is played at once; where players agree on what is
    dead (all but Tromp-Taylor rules), only if it wins then, too, or nothing is left to be played for;
  * a move on a point whose owner nothing can change is worth a pass, and so is a pass played;
  * in a settled position, in which nobody has anything to gain, the side that wins as it stands passes;
  * no pass lets the opponent end a game that he wins only because dead stones of his are still on the board.

Where territory counts (Japanese rules), dead stones stay where they are, and a move among them costs a point:

  * after the opponent's pass, a pass that wins once dead stones are off the board is played at once;
  * nobody plays where the owner is as good as certain even if the opponent moves next: the best of the other moves is
    played if the game is lost without it, else a pass.

In other games the search decides alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keima.agent.contracts.territory import Territory, as_it_stands
from keima.agent.contracts.thinking import PrincipalVariation
from keima.agent.go.dead_stones import (
    before_passes,
    judge_chains,
    judged_by,
    knows_dead_stones,
    owners_for_sure,
    points_without_dead,
)
from keima.games.contract import ONGOING, PLAYER, Game, GameError, State
from keima.games.position import Position

SURE_OWNER = 0.85
"""A point is settled where the estimate is as sure as this whose it will be."""
AGREED_OWNER = 0.5
"""As sure as this is enough where players agree: the opponent's stone is dead, and after his pass one's own territory
needs no move."""
SURE_VALUE = 0.8
"""And the search as sure as this who wins; in [-1, 1]."""


class PassPolicy:
    """When to pass; see the module's docstring. `None` from `pass_policy_of` for other games."""

    def __init__(self, game: Any, territory: Territory | None) -> None:
        """territory: who judges what is settled; without, only what is certain counts."""
        self._game = game
        self._territory = territory
        self._passing: int = game.shape[0] * game.shape[1]
        self._agrees_on_dead = getattr(game, "rules", "") != "tromp-taylor"
        self._counts_stones = getattr(game, "rules", "") != "japanese"

    def chosen(self, position: Position, lines: Sequence[PrincipalVariation], value: float | None) -> int:
        """The action to play, where a search found these lines, the best first, and this value for the side to move."""
        game, state, best = self._game, position.state, lines[0].action
        if all(line.action != self._passing for line in lines):
            return best
        if not self._counts_stones and self._territory is not None:
            return self._chosen_by_territory(position, lines, self._territory)
        after = game.after(state, self._passing)
        is_win = game.outcome(after) == position.player
        if is_win and self._stays_won(position):
            return self._passing
        pointless = self._pointless(state, position.player)
        playable = [line for line in lines if line.action != self._passing and line.action not in pointless]
        margin = float((1 if position.player == 0 else -1) * game.points(state))
        if not playable or self._is_settled(position, margin, value):
            return self._passing
        if is_win:  # the search was content with it, and has hardly looked at anything else
            return playable[0].action
        # Dead stones count until they are off the board: a pass may end a game that the next moves would win.
        if margin < 0 and self._counts_stones:
            if best != self._passing:
                return best
            tried = [line for line in lines if line.visits > 0 and line.action != self._passing]
            return (tried or playable)[0].action
        return self._passing if best in pointless else best

    def _chosen_by_territory(
        self, position: Position, lines: Sequence[PrincipalVariation], territory: Territory
    ) -> int:
        """The action to play where territory counts.

        The search counts games as they stand, in which a dead stone makes all the territory around it nobody's.
        """
        best, before, sign = lines[0].action, before_passes(position).state.copy(), 1 - 2 * position.player
        before[PLAYER] = 1 - position.player  # what holds even if the opponent moves next needs no move
        sure = owners_for_sure(self._game, before)
        owners = np.where(sure != 0, sure, territory.estimate([before])[0].ownership)
        has_passed = position.actions[-1:] == [self._passing]
        needless = (np.abs(owners) >= SURE_OWNER) | (has_passed & (sign * owners >= AGREED_OWNER))
        pointless = {self._passing, *np.flatnonzero(needless).tolist()}
        if best not in pointless and not has_passed:
            return best
        if self._agreed_points(position, owners) > 0:
            return self._passing
        others = [line for line in lines if line.action not in pointless and (line.visits > 0 or line is lines[0])]
        return others[0].action if others else self._passing

    def _agreed_points(self, position: Position, owners: NDArray[Any]) -> float:
        """By how much the side to move wins once the dead stones are off the board that both agree on."""
        sign = 1 - 2 * position.player
        agreed = [
            chain
            for chain in judged_by(before_passes(position), owners)
            if chain.player == position.player or sign * owners[list(chain.cells)].mean() >= AGREED_OWNER
        ]
        return sign * points_without_dead(position, agreed)

    def _stays_won(self, position: Position) -> bool:
        """Whether a game that the side to move wins as it stands is still won once dead stones are off the board."""
        if not self._agrees_on_dead or self._territory is None:
            return True
        points = points_without_dead(position, judge_chains(position, self._territory))
        return (points if position.player == 0 else -points) > 0

    def _pointless(self, state: State, player: int) -> set[int]:
        """Points whose owner nothing can change; those apart beside which stones are still to be captured."""
        owners = owners_for_sure(self._game, state)
        stones = np.asarray(self._game.board(state)).reshape(-1)
        own_space = (owners == 1 - 2 * player) & (stones != player + 1)
        inside = _region_with(stones == 2 - player, own_space, self._game.shape)
        return set(np.flatnonzero((owners != 0) & ~inside).tolist())

    def _is_settled(self, position: Position, margin: float, value: float | None) -> bool:
        """Whether the estimate knows every point's owner, the search the winner, and more moves change neither."""
        if self._territory is None or value is None or abs(value) < SURE_VALUE:
            return False
        game, before = self._game, before_passes(position)
        ownership = self._territory.estimate([before.state])[0].ownership
        if np.abs(ownership).min() < SURE_OWNER:
            return False
        if margin > 0:
            return value > 0
        sign = 1 if position.player == 0 else -1
        # Lost as it stands: there is nothing to capture that would turn it.
        missed = sign * float(np.sign(ownership).sum() - as_it_stands(game, before.state).ownership.sum())
        return value < 0 and margin + missed <= 0


def pass_policy_of(game: Game, territory: Territory | None) -> PassPolicy | None:
    """When to pass in a game; None where there is nothing to it."""
    return PassPolicy(game, territory) if knows_dead_stones(game) else None


def is_end_by_passes(position: Position) -> bool:
    """Whether a game has ended by passes, after which it may go on if the players do not agree on what is dead."""
    passing = position.game.shape[0] * position.game.shape[1]
    return (
        knows_dead_stones(position.game) and position.outcome != ONGOING and position.actions[-2:] == [passing, passing]
    )


def turned(position: Position, player: int) -> Position | None:
    """The position with this player to move, or None where he cannot be; not to be changed.

    In games with passes the other side passes in between, and a game that passes ended goes on from before them.
    """
    if is_end_by_passes(position):
        position = position.copy()
        position.undo()
        position.undo()
    if position.is_over:
        return None
    if position.player == player:
        return position
    position = position.copy()
    movers = position.movers()
    if movers and movers[-1] == player and position.moves_text()[-1] == "pass":
        position.undo()  # another pass would end the game
        return position
    try:
        position.play_text("pass")
    except GameError:
        return None
    return position


def placed_stones(game: Game) -> int:
    """How many of a game's first moves place Black's handicap."""
    return int(getattr(game, "handicap", 0)) if getattr(game, "placement", "") == "free" else 0


def _region_with(seeds: NDArray[np.bool_], area: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The cells of an area that are connected within it to one of its seeds, [H * W]."""
    area = area.reshape(shape)
    found = seeds.reshape(shape) & area
    while True:
        grown = found.copy()
        grown[1:] |= found[:-1]
        grown[:-1] |= found[1:]
        grown[:, 1:] |= found[:, :-1]
        grown[:, :-1] |= found[:, 1:]
        grown &= area
        if (grown == found).all():
            return found.reshape(-1)
        found = grown
