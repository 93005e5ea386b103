"""Gymnasium environments: every game as a single-agent problem, the other side played by any player.

    environment = gymnasium.make("keima.gym:keima/ConnectFour-v0", opponent="rollout:200", agent_plays="first")
    observation, info = environment.reset(seed=1)
    action = environment.action_space.sample(info["action_mask"])
    observation, reward, terminated, truncated, info = environment.step(action)

Gymnasium from 1.0 on does not look for installed environments by itself, hence the module before the colon. There is
one environment for every shipped game, and `gymnasium.make("keima.gym:keima/Game-v0", game="./mygame.py")` for a game
of your own.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from keima import games

if TYPE_CHECKING:  # registering must not cost the seconds that numba takes to import
    from keima.agent.contracts.player import MoveResult, Player
    from keima.games.position import Position

SIDES = ("first", "second", "alternate", "random")
"""What `agent_plays` may be: always one side, the other side every game, or a side drawn for every game."""
ANY_GAME = "keima/Game-v0"
"""The environment that is told its game, by name or by a game file's path."""

Observation = NDArray[np.float32]


class GameEnvironment(gymnasium.Env[Observation, np.int64]):
    """One game after another against an opponent, who has moved already when the agent is asked.

    Observation: the game's planes, float32 [C, H, W] with values 0 to 1, seen by the agent even when the game is over.
    Action: one of the game's actions, numbered as the agent sees the board; `info["action_mask"]` (int8 [actions])
    has a 1 for every legal one, and none when the game is over.
    Reward: at the end of a game 1, 0 or -1 for the agent's win, draw or loss; otherwise 0. An opponent that resigns has
    lost.

    An illegal action loses the game at once: the reward is -1, the board stays as it was, and `info["result"]` is
    "illegal action" where it is otherwise "win", "draw" or "loss" (it is there at the end only).
    `info["player"]` is the agent's side, 0 or 1, which `agent_plays` decides.

    `reset(seed=...)` makes everything repeat: sides, and the opponent, who is made anew where text named him. Where
    sides alternate, the seed draws the first one, so that a seed at every reset gives both.

    With `render_mode="human"` the board is printed after every reset and step; with "ansi" `render` returns it.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "ansi"], "render_fps": 1}  # noqa: RUF012 (as gymnasium types it)

    def __init__(
        self,
        game: str,
        *,
        game_parameters: str = "",
        opponent: "str | Player | Callable[[Position], int]" = "random",
        simulations: int | None = None,
        agent_plays: str = "alternate",
        render_mode: str | None = None,
    ) -> None:
        """`game`, `game_parameters`: as `games.load` takes them, "othello" and "6" or "size=6".

        `opponent`: what `keima.agent.players.factory.make_player` takes, as "random" or a checkpoint's path, with
        `simulations` a move; or a player; or a function from a position to an action. `agent_plays`: see SIDES.
        Raises GameError.
        """
        from keima.agent.contracts.player import Player
        from keima.games.contract import GameError

        if agent_plays not in SIDES:
            raise GameError(f"agent_plays is one of {', '.join(SIDES)}; got {agent_plays!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise GameError(f"render_mode is human, ansi or None; got {render_mode!r}")
        if not (isinstance(opponent, str) or callable(opponent) or isinstance(opponent, Player)):
            raise GameError(f"opponent is text, a player or a function; got {type(opponent).__name__}")
        self.game = games.load(f"{game}:{game_parameters}" if game_parameters else game)
        self.observation_space = spaces.Box(0, 1, (self.game.num_planes, *self.game.shape), np.float32)
        self.action_space = spaces.Discrete(self.game.num_actions)
        self.render_mode = render_mode
        self._opponent, self._simulations, self._agent_plays = opponent, simulations, agent_plays
        self._made: Player | None = None  # the opponent that text named
        self._choose = self._opponents_choice(int(np.random.default_rng().integers(2**31)))
        self._next_agent = 0  # the agent's side in the next game, where sides alternate
        self._agent = 0  # the agent's side in the present game
        self._forfeited = False  # whether an illegal action ended the present game
        self._opponent_resigned = False  # whether that ended it
        self._position: Position | None = None  # None before the first reset

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begins a game and lets the opponent move until it is the agent's turn; there are no `options`."""
        from keima.games.position import Position

        super().reset(seed=seed)
        if seed is not None:
            self._next_agent = int(self.np_random.integers(2))
            self._choose = self._opponents_choice(int(self.np_random.integers(2**31)))
        self._agent = self._next_side()
        self._forfeited = self._opponent_resigned = False
        self._position = Position(self.game)
        self._let_opponent_move(self._position)
        self._show()
        return self._observation(self._position), self._info(self._position)

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Plays the agent's action and the opponent's answer, or answers, where the agent has no turn in between."""
        position = self._position
        if position is None or self._forfeited or self._opponent_resigned or position.is_over:
            raise gymnasium.error.ResetNeeded("the game is over or has not begun: call reset() before step()")
        if action in position.legal_actions():
            position.play(int(action))
            self._let_opponent_move(position)
        else:
            self._forfeited = True
        self._show()
        info = self._info(position)
        reward = {"win": 1.0, "loss": -1.0, "illegal action": -1.0}.get(info.get("result", ""), 0.0)
        return self._observation(position), reward, "result" in info, False, info

    def render(self) -> str | None:  # type: ignore[override]
        """The board as text and whose turn it is, for "ansi". None otherwise; for "human" it has been printed."""
        if self.render_mode is None:
            return None
        if self._position is None:
            raise gymnasium.error.ResetNeeded("no game has begun: call reset() before render()")
        return self._drawing(self._position) if self.render_mode == "ansi" else None

    def _show(self) -> None:
        """Prints the board for the one who watches."""
        if self.render_mode == "human" and self._position is not None:
            print(self._drawing(self._position), end="\n\n", flush=True)

    def _drawing(self, position: "Position") -> str:
        result = self._info(position).get("result")
        side = self.game.players[self._agent]
        status = f"The agent ({side}) is to move." if result is None else f"For the agent ({side}): {result}."
        return f"{self.game.render(position.state)}\n{status}"

    def close(self) -> None:
        """Ends an opponent that text named, which may be another program."""
        if self._made is not None:
            self._made.close()

    def _opponents_choice(self, seed: int) -> "Callable[[Position], MoveResult]":
        """The opponent as a function of the position; one named in text is made with the seed."""
        from keima.agent.contracts.player import Player
        from keima.agent.players.factory import make_player

        if isinstance(self._opponent, str):
            self.close()
            self._made = make_player(self._opponent, self.game, simulations=self._simulations, seed=seed)
            return self._made.choose
        return self._opponent.choose if isinstance(self._opponent, Player) else self._opponent

    def _next_side(self) -> int:
        if self._agent_plays == "random":
            return int(self.np_random.integers(2))
        if self._agent_plays == "alternate":
            side, self._next_agent = self._next_agent, 1 - self._next_agent
            return side
        return SIDES.index(self._agent_plays)

    def _let_opponent_move(self, position: "Position") -> None:
        from keima.agent.contracts.player import Resignation

        while not position.is_over and position.player != self._agent:
            result = self._choose(position)
            if isinstance(result, Resignation):
                self._opponent_resigned = True
                return
            position.play(result)

    def _observation(self, position: "Position") -> Observation:
        from keima.games.contract import PLAYER

        # The side to move of a finished game may be the opponent; the agent goes on seeing it with his own eyes.
        state = position.state.copy()
        state[PLAYER] = self._agent
        return self.game.planes(state)

    def _info(self, position: "Position") -> dict[str, Any]:
        from keima.games.contract import DRAW, ONGOING

        mask = np.zeros(self.game.num_actions, np.int8)
        info: dict[str, Any] = {"action_mask": mask, "player": self._agent}
        if self._forfeited:
            info["result"] = "illegal action"
        elif self._opponent_resigned:
            info["result"] = "win"
        elif (outcome := position.outcome) == ONGOING:
            mask[position.legal_actions()] = 1
        else:
            info["result"] = "draw" if outcome == DRAW else "win" if outcome == self._agent else "loss"
        return info


def register_environments() -> None:
    """Makes `keima/ConnectFour-v0` and its like known to gymnasium: one for every shipped game, by its class's name,
    and ANY_GAME."""
    shipped = {f"keima/{class_name}-v0": {"game": name} for name, class_name in games.names().items()}
    for identifier, arguments in {ANY_GAME: {}, **shipped}.items():
        if identifier not in gymnasium.registry:
            gymnasium.register(identifier, "keima.agent.environment:GameEnvironment", kwargs=arguments)


register_environments()
