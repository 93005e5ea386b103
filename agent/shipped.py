"""The nets that come with Keima: `configs/nets/GAME.safetensors`, `gomoku-size=9` for the game `gomoku:size=9`."""

import importlib.resources
from pathlib import Path

from games.contract import Game, GameError

SHIPPED = "shipped"
"""How the shipped net of a game is called where a player or a checkpoint is asked for."""


def shipped_net(game: Game) -> Path | None:
    """The checkpoint that comes with a game and these parameters; None where none does."""
    name = shipped_name(game)
    if name is None:
        return None
    path = Path(str(importlib.resources.files("configs"))) / "nets" / f"{name}.safetensors"
    return path if path.is_file() else None


def shipped_name(game: Game) -> str | None:
    """How files that come with a game and these parameters are called; None for a user's own file, though that may be
    called as a game is."""
    return game.spec.replace(":", "-").replace(",", "_") if game.source == game.name else None


def require_shipped_net(game: Game) -> Path:
    """The same. Raises GameError where none comes with the game."""
    path = shipped_net(game)
    if path is None:
        raise GameError(f"no net is shipped for {game.spec}; `keima train {game.spec}` makes one")
    return path
