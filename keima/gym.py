"""Importing this makes Keima's environments known to gymnasium: `gymnasium.make("keima.gym:keima/ConnectFour-v0")`.

A game of your own goes by its file: `gymnasium.make("keima.gym:keima/Game-v0", game="./mygame.py")`.
"""

from keima.agent.environment import SIDES, GameEnvironment, register_environments

register_environments()

__all__ = ["SIDES", "GameEnvironment"]
