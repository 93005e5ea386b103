"""Positions that games of self-play may begin with, in place of the game's own first one: `selfplay.start_positions`.

A file of text, a position a line, as `Game.text_to_position` reads it: a board with the side to move, or moves from the
start. Empty lines and those that begin with # are comments.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import ONGOING, Game, GameError
from keima.selfplay.config.schema import TrainConfig


def starts_for(game: Game, config: TrainConfig) -> NDArray[np.int64] | None:
    """The rows [N, state_size] that a run's games of one of its boards may begin with; None for no others than its own.

    The file is of the run's own board; games on the others of its mix begin as they do. Raises GameError.
    """
    file = config.selfplay.start_positions
    if not file or game.spec != config.game:
        return None
    return read_start_positions(Path(file), game)


def read_start_positions(path: Path, game: Game) -> NDArray[np.int64]:
    """The rows of a file's positions, [N, state_size]. Raises GameError naming the line that is wrong."""
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise GameError(f"selfplay.start_positions: {path}: expected a file of positions, but {reason}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            state = game.text_to_position(line)
        except GameError as error:
            raise GameError(f"{path}, line {number}: {error}") from error
        if game.outcome(state) != ONGOING:
            raise GameError(f"{path}, line {number}: expected a position to play on from, but the game is over in it")
        rows.append(state)
    if not rows:
        raise GameError(f"{path}: expected a position a line, got none")
    return np.array(rows, np.int64)
