"""The players that `keima gtp` plays with: for each game that a controller sets up, the one the command line names."""

from collections.abc import Callable
from typing import Any

from keima.agent.contracts.player import Player
from keima.agent.contracts.player_spec import parse
from keima.agent.contracts.thinking import Limit, Thinker
from keima.agent.players.factory import default_player, make_player
from keima.agent.players.search_player import SearchPlayer
from keima.games.contract import Game
from keima.games.position import Position

RESIGN_BELOW = 0.03
"""The winning probability below which Go is given up, where the player was told nothing of it."""


class MatchPlayers:
    """Makes the players of a match; see `keima.agent.contracts.player.PlayerFor`."""

    def __init__(
        self,
        text: str | None,
        simulations: int | None,
        seconds: float | None,
        seed: int,
        log: Callable[[str], Any],
    ) -> None:
        """`text`: the player asked for; None for the newest net, of which `log` is told which one it is.

        `simulations`, `seconds`: what a move may cost where the text does not say. Raises GameError for a text that is
        none.
        """
        asked: dict[str, Any] = {"simulations": simulations, "seconds": seconds}
        if text is not None:
            asked |= parse(text).options
        self.simulations: int | None = asked["simulations"]
        """What was asked for, which holds whatever the time settings allow; None where these alone say how long a move
        takes."""
        self.seconds: float | None = asked["seconds"]
        """Likewise."""
        self._says_when_to_resign = "resign" in asked
        self._text, self._seed, self._log = text, seed, log
        self._limits: dict[str, Any] = {"simulations": simulations, "seconds": seconds}

    def player_for(self, game: Game) -> Player:
        """The player of a game, ready to move at once. Raises GameError where nobody plays it."""
        if self._text is not None:
            player = make_player(self._text, game, **self._limits, seed=self._seed)
        else:
            player, introduction = default_player(game, **self._limits, seed=self._seed)
            self._log(introduction)
        if isinstance(player, SearchPlayer) and game.name == "go" and not self._says_when_to_resign:
            player.resign_below(RESIGN_BELOW)
        if isinstance(player, Thinker):  # what compiles on first use does so before a clock runs
            player.think(Position(game), Limit(simulations=1))
            player.forget()
        return player
