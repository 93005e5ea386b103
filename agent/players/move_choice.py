"""How a move is chosen from what a search or a policy found: best first, or drawn with a temperature."""

import numpy as np
from numpy.typing import NDArray

from keima.agent.contracts.player import Outcomes
from keima.agent.contracts.thinking import SearchInfo
from keima.games.contract import GameError
from keima.games.position import Position
from keima.mcts.temperature import weigh_at_temperature

MAX_TEMPERATURE = 10.0
"""Nearly as even as chance."""


def checked_temperature(temperature: float) -> float:
    """The temperature as it is. Raises GameError for one that makes no sense."""
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise GameError(f"temperature: expected a number from 0 to {MAX_TEMPERATURE:g}, got {temperature:g}")
    return float(temperature)


def draw_move(info: SearchInfo, temperature: float, random: np.random.Generator) -> int:
    """The first line's action, or one drawn by visits to the power 1/temperature (by priors where nothing was tried).

    A won position is played out as it is: its search ended with the first win it saw, and its visits mean nothing.
    """
    if temperature == 0 or info.is_decided or (info.variations[0].proven and info.variations[0].value == 1.0):
        return info.variations[0].action
    weights = np.array([line.visits for line in info.variations], np.float64)
    if not weights.any():
        weights = np.array([line.prior for line in info.variations], np.float64)
    with np.errstate(divide="ignore"):
        weights = np.log(weights)
    weigh_at_temperature(weights, len(weights), temperature)
    return info.variations[int(random.choice(len(weights), p=weights / weights.sum()))].action


def legal_policy(logits: NDArray[np.float32], actions: NDArray[np.int32]) -> NDArray[np.float32]:
    """The probabilities [n] of some actions [n], by a network's logits [num_actions] and among these actions alone."""
    weights = np.exp(logits[actions] - logits[actions].max())
    policy: NDArray[np.float32] = weights / weights.sum()
    return policy


def win_draw_loss(outcomes: Outcomes | None, position: Position) -> tuple[float, float, float] | None:
    if outcomes is None:
        return None
    win, draw, loss = outcomes(position.game.planes(position.state)[None])[0].tolist()
    return win, draw, loss


def legal_actions(position: Position) -> NDArray[np.int32]:
    """The legal actions of a position that is going on. Raises GameError for one that is over."""
    actions = position.game.legal(position.state)
    if len(actions) == 0:
        raise GameError("the game is over: there is no move to choose")
    return actions
