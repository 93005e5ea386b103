"""The moves that GTP's engine makes: how long it may think, what it says of them, when it passes or resigns."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from keima.agent.analysis.advice import move_comment
from keima.agent.contracts.player import MoveResult, Resignation
from keima.agent.contracts.thinking import InfoCallback, Limit, Thinker
from keima.agent.protocols.gtp.board_setup import BoardSetup
from keima.agent.protocols.gtp.clocks import Clocks
from keima.agent.protocols.gtp.syntax import GtpError
from keima.games.contract import ONGOING, Game, GameError
from keima.games.position import Position


class Mover:
    """Has the table's player move."""

    def __init__(
        self,
        table: BoardSetup,
        clocks: Clocks,
        *,
        simulations: int | None = None,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`simulations`, `seconds`: what a move may cost at most, whatever the time settings allow."""
        self._table, self._clocks = table, clocks
        self._simulations, self._seconds = simulations, seconds
        self._now = clock

    def move(self, colour: int, report: InfoCallback | None = None, only: frozenset[int] | None = None) -> str:
        """Makes the player's move on the board and on the clock; returns its name, `resign` among them.

        `only`: the actions that a thinker may choose from, by default all.
        """
        if self._table.position.is_over:
            return self._after_the_end(colour)
        position = self.turned(colour)
        start_s = self._now()
        result, comment = self._decided(position, report, only)
        if isinstance(result, Resignation):
            return "resign"
        self._clocks.spend(colour, self._now() - start_s)
        name = name_of(position.game, position.game.action_to_text(position.state, result))
        self._table.play(colour, result, comment)
        return name

    def advice(self, colour: int, report: InfoCallback | None = None, only: frozenset[int] | None = None) -> str:
        """The move that the player likes best, without making it; outside of games, so clocks do not run, and who
        thinks does not resign. See `move`."""
        if self._table.position.is_over:
            return self._after_the_end(colour)
        position, player = self.turned(colour), self._table.player
        if isinstance(player, Thinker):
            limit = None if only is None else _restricted(player, None, only)
            action = player.think(position, limit, report=report).variations[0].action
        else:
            result = player.choose(position)
            if isinstance(result, Resignation):
                return "resign"
            action = result
        return name_of(position.game, position.game.action_to_text(position.state, action))

    def turned(self, colour: int, prefix: str = "") -> Position:
        """The position with this colour to move. Raises GtpError, which begins with `prefix`, where it cannot."""
        try:
            return self._table.turned(colour)
        except GameError as error:
            raise GtpError(f"{prefix}{error}") from None

    def _after_the_end(self, colour: int) -> str:
        """After the end the loser resigns, others pass, as everybody does where there are passes."""
        position = self._table.position
        return "resign" if position.outcome == 1 - colour and position.game.name != "go" else "pass"

    def _decided(
        self, position: Position, report: InfoCallback | None, only: frozenset[int] | None
    ) -> tuple[MoveResult, str]:
        """The player's answer, within its share of the time that is left, and what it says of it."""
        player = self._table.player
        if not isinstance(player, Thinker):
            return player.choose(position), ""
        limit = self._limit(position)
        if only is not None:
            limit = _restricted(player, limit, only)
        if limit is None and report is None:  # nobody watches, which would cost time between the simulations
            result, info = player.choose(position), player.last_info
        else:
            info = player.think(position, limit, report=report)
            result = player.pick(info)
        if info is None or isinstance(result, Resignation):
            return result, ""
        action = result
        if (
            position is not self._table.position
            and position.game.outcome(position.game.after(position.state, action)) != ONGOING
        ):
            # The pass before was not the opponent's, who was left out: it is no offer to end the game.
            others = [line.action for line in info.variations if line.action != action]
            action = others[0] if others else action
        estimate = player.territory.estimate([position.state])[0] if player.territory is not None else None
        return action, move_comment(position, info, None if estimate is None else estimate.points)

    def _limit(self, position: Position) -> Limit | None:
        share_s = self._clocks.share_s(position)
        if share_s is None:
            return None
        if len(position.legal_actions()) == 1:
            return Limit(simulations=1)
        return Limit(self._simulations or None, share_s if self._seconds is None else min(share_s, self._seconds))


def _restricted(player: Thinker, limit: Limit | None, only: frozenset[int]) -> Limit:
    """A limit, by default the player's own, with these actions alone."""
    return replace(limit or player.limit, actions=only)


def move_names(position: Position) -> set[str]:
    """How the game writes any of its actions, be they legal here or not, in lower case."""
    game, names = position.game, set[str]()
    for action in range(game.num_actions):
        # A game owes a name to legal actions only; what it makes of others, an error even, is no match.
        with contextlib.suppress(Exception):
            names.add(game.action_to_text(position.state, action).lower())
    return names


def name_of(game: Game, move: str) -> str:
    """A move as it is told: Go's interfaces expect points in capitals."""
    return move.upper() if game.name == "go" and move != "pass" else move


def names_of(game: Game, moves: list[str]) -> str:
    """Moves as they are told, in a line."""
    return " ".join(name_of(game, move) for move in moves)
