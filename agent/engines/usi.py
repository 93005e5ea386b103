"""Engines that speak USI as players.

The moves are the game's own notation, which for shogi is to be USI's (`7g7f`, `P*5e`).
"""

from keima.agent.contracts.player import MoveResult, Resignation
from keima.agent.engines.uci import UciPlayer
from keima.agent.engines.uci_client import USI
from keima.games.contract import Game
from keima.games.position import Position


class UsiPlayer(UciPlayer):
    """An engine that speaks USI, playing one of our games."""

    _dialect = USI

    def _check_game(self, game: Game) -> None:
        """USI is shogi's; whether a game is that, nothing says as yet."""

    def _result(self, position: Position, answer: str) -> MoveResult:
        """See `UciPlayer`; engines of shogi may resign."""
        if answer == "resign":
            return Resignation(f"{self.name} resigned after {len(position.actions)} moves")
        return super()._result(position, answer)
