"""Who can play: at random, by random playouts, exactly, or with a network, all behind one small interface.

Players are named in text, on the command line and elsewhere:

    random              any legal action
    rollout:1000        a tree search of 1000 random playouts a move, without a network
    exact               perfect play, where the game has a solver
    runs/name           the newest model of a run; or a checkpoint's file
    shipped             the net that comes with the game
    raw:runs/name       that network's policy alone, without search

torch is imported when a network is asked for, and not before: the terminal shows its first board without it.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agent.shipped import SHIPPED, require_shipped_net, shipped_net
from games.contract import Game, GameError
from games.position import Position

if TYPE_CHECKING:
    from agent.solvers import Solver
    from mcts.search import Evaluate

PlayerFor = Callable[[Game], "Player"]
"""Makes a player of a game: what engines need, whose board may change its size under way."""
DEFAULT_SIMULATIONS = 200
"""Simulations a move for a network, where nothing else is asked for."""
DEFAULT_PLAYOUTS = 500
"""Random playouts a move for `rollout` without a number."""
ACCEPTED = f"random, rollout:{DEFAULT_PLAYOUTS}, exact, shipped, a checkpoint or a run's folder, raw:CHECKPOINT"
"""What `make_player` understands, for messages."""


@dataclass(frozen=True)
class Candidate:
    """What a player thinks of one action."""

    action: int
    visits: int  # how often the search tried it; 0 for a player that does not search
    value: float | None  # in [-1, 1] for the side to move; None where nothing is known
    prior: float  # the probability that the policy gives it before any search


@runtime_checkable
class Player(Protocol):
    """One who chooses actions."""

    name: str

    def choose(self, position: Position) -> int:
        """The action to play; `position` is not over and is left as it is."""


@runtime_checkable
class Analyst(Player, Protocol):
    """A player who can say why."""

    def analyse(self, position: Position) -> list[Candidate]:
        """The legal actions, best first."""


class RandomPlayer:
    """Plays any legal action, each as likely."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)

    def choose(self, position: Position) -> int:
        return int(self._random.choice(_legal(position)))


class ExactPlayer:
    """Plays by a solver: always an action that keeps the best result it can have."""

    name = "exact"

    def __init__(self, solver: "Solver") -> None:
        self._solver = solver

    def choose(self, position: Position) -> int:
        _legal(position)
        return int(self._solver.best_actions(position.state)[0])


class PolicyPlayer:
    """A network's first thought: its most probable legal action, without search."""

    def __init__(self, name: str, game: Game, evaluate: "Evaluate") -> None:
        self.name = name
        self._game = game
        self._evaluate = evaluate

    def choose(self, position: Position) -> int:
        from mcts.search import choose_actions

        _legal(position)
        return int(choose_actions(self._game, self._evaluate, position.state[None], None)[0])

    def analyse(self, position: Position) -> list[Candidate]:
        actions = _legal(position)
        logits, values = self._evaluate(self._game.planes(position.state)[None])
        weights = np.exp(logits[0][actions] - logits[0][actions].max())
        priors = weights / weights.sum()
        order = np.argsort(-priors, kind="stable")
        best = order[0]
        # The network judges the position, not each action: its value is told beside the action it would play.
        return [Candidate(int(actions[k]), 0, float(values[0]) if k == best else None, float(priors[k])) for k in order]


class SearchPlayer:
    """A tree search with an evaluator: a network, or random playouts.

    The tree is kept from move to move: where a position follows from the last one searched, what was found below
    it is searched on. Any other position starts afresh.
    """

    def __init__(
        self, name: str, game: Game, evaluate: "Evaluate", simulations: int, *, leaves_per_batch: int = 1, seed: int = 0
    ) -> None:
        """`leaves_per_batch`: leaves of the tree evaluated together, which is faster for a network and a bit weaker."""
        from mcts.search import Search, SearchSettings

        self.name = name
        self._evaluate = evaluate
        settings = SearchSettings(simulations=simulations, root_policy="puct", leaves_per_batch=leaves_per_batch)
        self._search = Search(game, settings, seed=seed)
        self._searched: list[int] | None = None  # the moves that lead to the tree's root; None before the first search

    def choose(self, position: Position) -> int:
        self._think(position)
        return int(self._search.chosen_actions()[0])

    def analyse(self, position: Position) -> list[Candidate]:
        self._think(position)
        root = self._search.root()
        chosen = int(self._search.chosen_actions()[0])
        found = [
            Candidate(int(action), int(visits), None if np.isnan(value) else float(value), float(prior))
            for action, visits, value, prior in zip(root.actions, root.visits, root.values, root.priors, strict=True)
        ]
        return sorted(found, key=lambda c: (c.action != chosen, -c.visits, -c.prior))

    def _think(self, position: Position) -> None:
        """Searches `position` to the end of the simulations, from the old tree where it follows from that."""
        _legal(position)
        moves = list(position.actions)
        if self._searched is not None and moves[: len(self._searched)] == self._searched:
            for action in moves[len(self._searched) :]:
                self._search.advance(action)
        else:
            self._search.start(position.state[None])
        self._searched = moves
        self._search.run(self._evaluate)


def make_player(text: str, game: Game, *, simulations: int | None = None, seed: int = 0) -> Player:
    """The player that `text` names; the module's docstring lists what it may be.

    `simulations`: a move, for a network and for `rollout` without a number; 0 is a network's policy alone.
    Raises GameError, saying what would be accepted.
    """
    kind, _, rest = text.strip().partition(":")
    if kind == "random" and not rest:
        return RandomPlayer(seed)
    if kind == "exact" and not rest:
        return _exact_player(game)
    if kind == "rollout":
        return _rollout_player(game, _playouts(rest) if rest else simulations or DEFAULT_PLAYOUTS, seed)
    if kind == "raw" and rest:
        return network_player(require_shipped_net(game) if rest == SHIPPED else Path(rest), game, 0)
    if kind == SHIPPED and not rest:
        simulations = DEFAULT_SIMULATIONS if simulations is None else simulations
        return network_player(require_shipped_net(game), game, simulations, seed=seed)
    path = Path(text.strip()).expanduser()
    if text.strip() and path.exists():
        return network_player(path, game, DEFAULT_SIMULATIONS if simulations is None else simulations, seed=seed)
    close = difflib.get_close_matches(kind, ["random", "rollout", "exact", "raw", SHIPPED], n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise GameError(f"no player {text.strip()!r}{hint}: no such file; expected one of {ACCEPTED}")


def default_player(game: Game, *, simulations: int | None = None, seed: int = 0) -> tuple[Player, str]:
    """The newest net of this game under ./runs, else the shipped one, else random playouts; with a line on which."""
    reason = f"no net of {game.name} under runs/"
    if any_model_under_runs():
        from agent.checkpoint import latest_checkpoint

        path = latest_checkpoint(game.name)
        if path is not None:
            try:
                player = make_player(str(path), game, simulations=simulations, seed=seed)
                return player, f"Opponent: {path} ({player.name})."
            except GameError as error:
                reason = str(error)
    if shipped_net(game) is not None:
        player = make_player(SHIPPED, game, simulations=simulations, seed=seed)
        return player, f"Opponent: the net that comes with {game.name} ({player.name}; {reason})."
    player = make_player("rollout", game, simulations=simulations, seed=seed)
    return player, f"Opponent: {player.name}, random playouts ({reason}; `keima train {game.spec}` makes a net)."


def any_model_under_runs() -> bool:
    """Whether there is any game's net to look at, which takes torch; asked first, since torch takes a second."""
    return any(Path("runs").glob("*/*.safetensors"))


def network_player(path: Path, game: Game, simulations: int, *, seed: int = 0) -> PolicyPlayer | SearchPlayer:
    """The network of a checkpoint, or of a run's newest one. Raises GameError for another game's or a corrupt one."""
    from agent.checkpoint import load_checkpoint
    from agent.inference import make_evaluator

    checkpoint = load_checkpoint(path, game)
    name = f"{checkpoint.metadata.run} at step {checkpoint.metadata.step}"
    evaluate: Evaluate = make_evaluator(game, checkpoint.network)
    if simulations == 0:
        return PolicyPlayer(f"{name}, policy alone", game, evaluate)
    # Leaves searched together cost strength where they are a large share of all simulations.
    leaves = max(1, min(16, simulations // 16))
    name = f"{name}, {simulations} simulations"
    return SearchPlayer(name, game, evaluate, simulations, leaves_per_batch=leaves, seed=seed)


def _rollout_player(game: Game, playouts: int, seed: int) -> SearchPlayer:
    from mcts.rollout import RolloutEvaluator

    # It takes states in place of planes, and says so to the search by its attribute `needs_states`.
    evaluate = cast("Evaluate", RolloutEvaluator(game, seed))
    return SearchPlayer(f"rollout:{playouts}", game, evaluate, playouts, seed=seed)


def _playouts(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= 1_000_000):
        raise GameError(f"rollout: expected a number of playouts from 1 to 1000000, got {text!r}")
    return int(text)


def _exact_player(game: Game) -> ExactPlayer:
    from agent.solvers import find_solver

    solver = find_solver(game)
    if solver is None:
        raise GameError(f"exact: {game.spec} has no solver; expected one of {ACCEPTED}")
    return ExactPlayer(solver)


def _legal(position: Position) -> NDArray[np.int32]:
    """The legal actions of a position that is going on. Raises GameError for one that is over."""
    actions = position.game.legal(position.state)
    if len(actions) == 0:
        raise GameError("the game is over: there is no move to choose")
    return actions
