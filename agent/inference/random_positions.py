"""Positions of random games, for measuring and calibrating evaluators."""

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import ONGOING, Game


def random_positions_planes(game: Game, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Planes float32 [count, C, H, W] of positions from games of random moves, for measuring and calibrating."""
    random = np.random.default_rng(seed)
    planes = np.empty((count, game.num_planes, *game.shape), np.float32)
    # Of a long game only some positions, so that these come from several games.
    share = min(1.0, 16 / game.max_plies)
    state, found = game.new_state(), 0
    while found < count:
        if game.outcome(state) != ONGOING:
            state = game.new_state()
        if random.random() < share:
            planes[found] = game.planes(state)
            found += 1
        state = game.after(state, int(random.choice(game.legal(state))))
    return planes
