"""What is to be played, as asked for by options or in a dialog: who plays each side, how strong.

Nothing here takes long to import: a screen is up before the rules are read.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keima.agent.contracts.player import Player
    from keima.games.contract import Game


@dataclass(frozen=True)
class PlayerChoice:
    """A player asked for."""

    text: str | None = None
    """As `keima.agent.players.factory.make_player` knows it; None for the newest net, or playouts where there is
    none."""
    simulations: int | None = None
    seconds: float | None = None
    """What a move may cost, where the text does not say."""
    seed: int = 0
    ponder: bool = False
    """Whether it thinks on the other side's time, too."""
    elo: int | None = None
    """The measured rating that it was chosen for."""

    def resolved(self, game: "Game") -> tuple["PlayerChoice", str]:
        """The same where it says all; otherwise, where there is no net of the game at all, random playouts, and a line
        on that. Looks at no network, which takes torch."""
        from keima.agent.nets.shipped import shipped_net
        from keima.agent.players.factory import any_model_under_runs

        if self.text is not None or any_model_under_runs() or shipped_net(game) is not None:
            return self, ""
        return replace(self, text="rollout"), (
            f"No net under runs/ yet (`keima train {game.spec}` makes one): the opponent searches by random playouts."
        )

    def adviser(self) -> "PlayerChoice":
        """The one to ask for advice where this one plays: the same net at full strength, not one that plays by chance,
        by exact solution or in another program, which have nothing to tell. Raises GameError for a text that is none.
        """
        from keima.agent.contracts.player_spec import CHECKPOINT, parse
        from keima.agent.nets.shipped import SHIPPED

        spec = parse(self.text) if self.text is not None else None
        if spec is None or spec.kind not in ("rollout", "raw", SHIPPED, CHECKPOINT):
            return PlayerChoice(seed=self.seed)
        if spec.kind == "raw":
            return PlayerChoice(spec.argument or SHIPPED, seed=self.seed)
        return PlayerChoice(replace(spec, options={}).text, seed=self.seed)

    def check(self) -> None:
        """Raises GameError for a text that names no player, as far as that is seen without making one."""
        from keima.agent.players.factory import check_player

        if self.text is not None:
            check_player(self.text)

    def make(self, game: "Game") -> tuple["Player", str]:
        """The player and a line on who it is. Raises GameError."""
        from keima.agent.contracts.thinking import Ponderer, Thinker
        from keima.agent.players.factory import default_player, make_player
        from keima.games.contract import GameError

        options: dict[str, Any] = {"simulations": self.simulations, "seconds": self.seconds, "seed": self.seed}
        if self.text is None:
            player, introduction = default_player(game, **options)
        else:
            player = make_player(self.text, game, **options)
            if self.elo is not None:
                player.name = f"about {self.elo} Elo, {player.name}"
            introduction = f"Opponent: {player.name}."
        if self.ponder:
            if not isinstance(player, Thinker):
                raise GameError(f"--ponder: {player.name} does not think ahead; a net or rollout does")
            player = Ponderer(player)
        return player, introduction


Sides = tuple[PlayerChoice | None, PlayerChoice | None]
"""Who plays each side; None where the user does."""


@dataclass(frozen=True)
class Setting:
    """What is played, as asked for on the command line."""

    game_text: str
    sides: Sides
    adviser: PlayerChoice
    """Whose advice the user gets, at full strength."""
    record: Path | None = None
    """A game to begin with."""
    start_text: str = ""
    """The position to begin with, as `Game.text_to_position` reads it; empty for the game's own first one."""
