"""Who can play: at random, by random playouts, exactly, or with a network, all behind one small interface.

Players are named in text, on the command line and elsewhere:

    random              any legal action
    rollout:1000        a tree search of 1000 random playouts a move, without a network
    alphabeta:4         alpha-beta search of 4 plies, without a network
    exact               perfect play, where the game has a solver
    runs/name           the newest model of a run; or a checkpoint's file
    shipped             the net that comes with the game
    raw:runs/name       that network's policy alone, without search; `raw` is the shipped net's
    gtp:"COMMAND"       another program that speaks GTP; uci:"..." and usi:"..." likewise

each followed by options, as `shipped simulations=400 temperature=0.3`; see `agent.player_spec`.

torch is imported when a network is asked for, and not before: the terminal shows its first board without it.
"""

import copy
import difflib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agent.manners import Patience, ResignationError, manners_of
from agent.player_spec import CHECKPOINT, ENGINES, KINDS, PlayerSpec, parse
from agent.shipped import SHIPPED, require_shipped_net, shipped_for, shipped_net
from agent.thinking import REPORT_EVERY_S, Limit, Line, Report, ShouldStop, Thoughts
from games.contract import ONGOING, Game, GameError
from games.position import Position

if TYPE_CHECKING:
    from agent.solvers import Solver
    from agent.territory import Territory
    from mcts.search import Evaluate, Search

PlayerFor = Callable[[Game], "Player"]
"""Makes a player of a game: what engines need, whose board may change its size under way."""
DEFAULT_SIMULATIONS = 200
"""Simulations a move for a network, where nothing else is asked for."""
DEFAULT_PLAYOUTS = 500
"""Random playouts a move for `rollout` without a number."""
TIMED_SIMULATIONS = 250_000
"""Where a search limited by seconds alone ends, too: the tree's storage is allocated before it."""
TIMED_EDGES = 1 << 23
"""Legal actions of all its positions that such a search's tree has room for: 256 MB, as far as they come to be used."""
PIECE = 32
"""After how many batches' worth of simulations a search looks at the clock, though it needs no evaluations."""
MAX_TEMPERATURE = 10.0
"""Nearly as even as chance."""
Outcomes = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Planes [n, C, H, W] -> win, draw and loss of the side to move, [n, 3]; see `agent.inference.OutcomeJudge`."""
ACCEPTED = (
    f"random, rollout:{DEFAULT_PLAYOUTS}, alphabeta:4, exact, shipped, raw, raw:CHECKPOINT, a checkpoint or a run's "
    'folder, gtp:"COMMAND", uci:"COMMAND", usi:"COMMAND"'
)
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
    """Plays by a solver: always an action with the best score there is, any of several as likely.

    Connect Four's scores say how soon, too: it wins as early as it can, and loses as late.
    """

    name = "exact"

    def __init__(self, solver: "Solver", seed: int = 0) -> None:
        self._solver = solver
        self._random = np.random.default_rng(seed)

    def choose(self, position: Position) -> int:
        _legal(position)
        return int(self._random.choice(self._solver.best_actions(position.state)))

    def seeded(self, seed: int) -> Self:
        """The same player with chance of its own. Both use one solver: they are for one thread."""
        player = copy.copy(self)
        player._random = np.random.default_rng(seed)
        return player


class PolicyPlayer:
    """A network's first thought: its most probable legal action, without search."""

    def __init__(
        self,
        name: str,
        game: Game,
        evaluate: "Evaluate",
        *,
        temperature: float = 0.0,
        seed: int = 0,
        outcomes: Outcomes | None = None,
    ) -> None:
        """`temperature` T: plays each action with probability to the power 1/T; 0 always plays the most probable.

        `outcomes`: win, draw and loss by the same network, for those who watch.
        """
        self.name = name
        self._game = game
        self._evaluate = evaluate
        self._temperature = _temperature(temperature)
        self._random = np.random.default_rng(seed)
        self.outcomes = outcomes

    def choose(self, position: Position) -> int:
        return self.pick(self._thoughts(position))

    def analyse(self, position: Position) -> list[Candidate]:
        return _candidates(self._thoughts(position))

    def think(
        self,
        position: Position,
        limit: Limit | None = None,
        *,
        should_stop: ShouldStop | None = None,
        report: Report | None = None,
    ) -> Thoughts:
        """See `agent.thinking.Thinker`; one evaluation is all there is to it, whatever the limit."""
        start_s = time.monotonic()
        only = None if limit is None else limit.actions
        thoughts = self._thoughts(position, _win_draw_loss(self.outcomes, position), only)
        thoughts = replace(thoughts, seconds=time.monotonic() - start_s)
        if report is not None:
            report(thoughts)
        return thoughts

    def pick(self, thoughts: Thoughts) -> int:
        """See `agent.thinking.Thinker`."""
        return _drawn(thoughts, self._temperature, self._random)

    def forget(self) -> None:
        """See `agent.thinking.Thinker`; it keeps nothing."""

    def _thoughts(
        self,
        position: Position,
        wdl: tuple[float, float, float] | None = None,
        only: frozenset[int] | None = None,
    ) -> Thoughts:
        actions = _legal(position)
        if only is not None:
            actions = actions[np.isin(actions, list(only))]
        logits, values = self._evaluate(self._game.planes(position.state)[None])
        weights = np.exp(logits[0][actions] - logits[0][actions].max())
        priors = weights / weights.sum()
        order = np.argsort(-priors, kind="stable")
        best, value = order[0], float(values[0])
        if wdl is not None and getattr(self._evaluate, "score_weight", 0.0) > 0:
            value = wdl[0] - wdl[2]
        # The network judges the position, not each action: its value is told beside the action it would play.
        lines = tuple(
            Line(int(actions[k]), 0, value if k == best else None, float(priors[k]), (int(actions[k]),)) for k in order
        )
        return Thoughts(lines, 0, 0.0, value, wdl, ((0, lines[0].action),))


class SearchPlayer:
    """A tree search with an evaluator: a network, or random playouts.

    The tree is kept from move to move: where a position follows from the last one searched, what was found below it
    is searched on. Any other position starts afresh, and so does a search of some of the actions, which is not kept.
    Where the game has manners (see `agent.manners`) these have the last word on passing. Not for two threads at once.
    """

    def __init__(
        self,
        name: str,
        game: Game,
        evaluate: "Evaluate",
        simulations: int | None,
        *,
        seconds: float | None = None,
        leaves_per_batch: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
        outcomes: Outcomes | None = None,
        territory: "Territory | None" = None,
        resign: float = 0.0,
        c_puct: float | None = None,
    ) -> None:
        """`simulations`, `seconds`: what a move may cost where `think` is asked for nothing else; see `Limit`.

        `leaves_per_batch`: leaves of the tree evaluated together, which is faster for a network and a bit weaker.
        `temperature` T: plays each action with its share of the visits to the power 1/T; 0 always plays the best.
        `outcomes`: win, draw and loss by the same network, for those who watch.
        `territory`: how the game is expected to end, where it has ownership and score.
        `resign`: the winning probability below which it gives up, after a few such moves in a row; 0: never.
        `c_puct`: what the priors weigh beside the values; None: `mcts.search.SearchSettings`' own.
        """
        self.name = name
        self.territory = territory
        self.last_thoughts: Thoughts | None = None
        """What it last chose a move by, where that took more than the tree's own answer."""
        self._manners = manners_of(game, territory)
        self._patience = Patience(resign)
        self.limit = Limit(simulations, seconds)
        self.outcomes = outcomes
        self._game = game
        self._evaluate = evaluate
        self._leaves_per_batch = leaves_per_batch
        self._temperature = _temperature(temperature)
        self._c_puct = c_puct
        self._seed = seed
        self._random = np.random.default_rng(seed)
        self._searched: list[int] | None = None  # the moves that lead to the tree's root; None where there is none
        self._changes: list[tuple[int, int]] = []  # of what would be played at its root; see Thoughts.changes
        self._capacity = 0  # simulations that the tree has room for
        self._make_room(self.limit)

    def choose(self, position: Position) -> int:
        self._search_position(position, self.limit, None)
        # Without a temperature the tree's own answer does, and nothing else needs to be read out of it.
        if self._temperature > 0 or self._manners is not None or self._patience.has_end:
            self.last_thoughts = self._mannered(position, self._thoughts(0.0, None))
            return self.pick(self.last_thoughts)
        return int(self._search.chosen_actions()[0])

    def analyse(self, position: Position) -> list[Candidate]:
        return _candidates(self.think(position))

    def think(
        self,
        position: Position,
        limit: Limit | None = None,
        *,
        should_stop: ShouldStop | None = None,
        report: Report | None = None,
    ) -> Thoughts:
        """See `agent.thinking.Thinker`.

        A limit of seconds ends at TIMED_SIMULATIONS all the same, which bounds the tree's memory. The first limit
        that needs a larger tree than there is starts afresh.
        """
        start_s = time.monotonic()
        wdl = _win_draw_loss(self.outcomes, position)
        reported_s = -REPORT_EVERY_S

        def look(search: "Search") -> None:
            nonlocal reported_s
            self._note_change(search)
            elapsed_s = time.monotonic() - start_s
            if report is not None and elapsed_s - reported_s >= REPORT_EVERY_S:
                reported_s = elapsed_s
                report(self._thoughts(elapsed_s, wdl))

        self._search_position(position, limit or self.limit, should_stop, look, start_s)
        thoughts = self._mannered(position, self._thoughts(time.monotonic() - start_s, wdl))
        if report is not None:
            report(thoughts)
        return thoughts

    def pick(self, thoughts: Thoughts) -> int:
        """See `agent.thinking.Thinker`. Raises ResignationError where it gives the game up."""
        self._patience.count()
        if thoughts.is_hopeless:
            raise ResignationError(f"{self.name} resigns")
        return _drawn(thoughts, self._temperature, self._random)

    def forget(self) -> None:
        """See `agent.thinking.Thinker`."""
        self._searched = None

    def resign_below(self, probability: float) -> None:
        """Gives up from now on where its winning probability is below this, see `__init__`."""
        self._patience = Patience(probability)

    def _mannered(self, position: Position, thoughts: Thoughts) -> Thoughts:
        """The thoughts with what should be played first, where that is not what the search liked best."""
        thoughts = replace(thoughts, is_hopeless=self._patience.is_over(position, thoughts.value))
        if self._manners is None:
            return thoughts
        chosen = self._manners.chosen(position, thoughts.lines, thoughts.value)
        if chosen == thoughts.lines[0].action:
            return thoughts
        lines = tuple(sorted(thoughts.lines, key=lambda line: line.action != chosen))
        return replace(thoughts, lines=lines, is_decided=True)

    def _search_position(
        self,
        position: Position,
        limit: Limit,
        should_stop: ShouldStop | None,
        look: "Callable[[Search], None] | None" = None,
        start_s: float | None = None,
    ) -> None:
        """Searches on from the old tree where the position follows from it. `look` is called between batches."""
        start_s = time.monotonic() if start_s is None else start_s
        _legal(position)
        self._make_room(limit)
        search, moves, goal = self._search, list(position.actions), limit.simulations or TIMED_SIMULATIONS
        kept = self._searched if limit.actions is None else None
        if kept is not None and moves[: len(kept)] == kept:
            for action in moves[len(kept) :]:
                search.advance(action)
                self._changes = []
        else:
            search.start(position.state[None])
            if limit.actions is not None:
                search.restrict(limit.actions)
            self._changes = []
        self._searched = None  # until all is well: an evaluation that fails leaves the tree half done

        def is_up() -> bool:
            # There must be thoughts however soon it is: the root is evaluated before anything may stop the search.
            if not search.is_evaluated():
                return False
            if look is not None:
                look(search)
            if limit.seconds is not None and time.monotonic() - start_s >= limit.seconds:
                return True
            return should_stop is not None and should_stop()

        # In pieces: simulations that end in finished games need no evaluator, and so come between two questions.
        piece = PIECE * self._leaves_per_batch
        watched = look is not None or limit.seconds is not None or should_stop is not None
        while True:
            reached = min(goal, search.visits() + piece)
            search.run(self._evaluate, is_up if watched else None, reached)
            if search.visits() < reached or reached == goal:  # stopped, proven, or the tree is full; or done
                break
        if look is not None:
            look(search)
        self._searched = moves if limit.actions is None else None

    def _note_change(self, search: "Search") -> None:
        """Keeps the history of what it would play."""
        if not self._changes:
            root = search.root()
            self._changes = [(0, int(root.actions[np.argmax(root.priors)]))]
        chosen = int(search.chosen_actions()[0])
        if search.visits() > 0 and chosen != self._changes[-1][1]:
            self._changes.append((search.visits(), chosen))

    def _thoughts(self, seconds: float, wdl: tuple[float, float, float] | None) -> Thoughts:
        root, variations = self._search.root(), self._search.variations()
        chosen = int(self._search.chosen_actions()[0])
        weight = getattr(self._evaluate, "score_weight", 0.0)

        def told(value: float, proven: int) -> float | None:
            """A value as win - loss: where it holds a score too, the network's own one and what the search changed."""
            if math.isnan(value):
                return None
            if weight == 0 or wdl is None or proven != ONGOING:
                return value
            return min(max(wdl[0] - wdl[2] + (value - root.judged) / (1 - weight), -1.0), 1.0)

        found = [
            Line(action, visits, told(value, result), prior, variation, result != ONGOING)
            for action, visits, value, prior, result, variation in zip(
                *(root.actions.tolist(), root.visits.tolist(), root.values.tolist(), root.priors.tolist()),
                *(root.results.tolist(), variations),
                strict=True,
            )
        ]
        lines = tuple(sorted(found, key=lambda line: (line.action != chosen, -line.visits, -line.prior)))
        value = told(root.value, root.proven)
        return Thoughts(lines, self._search.visits(), seconds, value, wdl, tuple(self._changes))

    def _make_room(self, limit: Limit) -> None:
        """Sees to it that the tree has room for the limit; a tree that has not is given up."""
        from mcts.search import Search, SearchSettings
        from mcts.tree import default_max_edges

        needed = limit.simulations or TIMED_SIMULATIONS
        if needed <= self._capacity:
            return
        batch = self._leaves_per_batch
        settings = SearchSettings(needed, root_policy="puct", leaves_per_batch=batch, c_puct=self._c_puct)
        edges = default_max_edges(needed, self._game.max_legal)
        if limit.simulations is None:
            edges = min(edges, TIMED_EDGES)
        self._search = Search(self._game, settings, seed=self._seed, max_edges=edges)
        self._capacity, self._searched = needed, None


def _candidates(thoughts: Thoughts) -> list[Candidate]:
    return [Candidate(line.action, line.visits, line.value, line.prior) for line in thoughts.lines]


def _temperature(temperature: float) -> float:
    """The temperature as it is. Raises GameError for one that makes no sense."""
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise GameError(f"temperature: expected a number from 0 to {MAX_TEMPERATURE:g}, got {temperature:g}")
    return float(temperature)


def _drawn(thoughts: Thoughts, temperature: float, random: np.random.Generator) -> int:
    """The first line's action, or one drawn by visits to the power 1/temperature (by priors where nothing was tried).

    A won position is played out as it is: its search ended with the first win it saw, and its visits mean nothing.
    """
    if temperature == 0 or thoughts.is_decided or (thoughts.lines[0].proven and thoughts.lines[0].value == 1.0):
        return thoughts.lines[0].action
    weights = np.array([line.visits for line in thoughts.lines], np.float64)
    if not weights.any():
        weights = np.array([line.prior for line in thoughts.lines], np.float64)
    weights = (weights / weights.max()) ** (1 / temperature)  # by the largest, so that no power of it overflows
    return thoughts.lines[int(random.choice(len(weights), p=weights / weights.sum()))].action


def _win_draw_loss(outcomes: Outcomes | None, position: Position) -> tuple[float, float, float] | None:
    if outcomes is None:
        return None
    win, draw, loss = outcomes(position.game.planes(position.state)[None])[0].tolist()
    return win, draw, loss


def make_player(
    text: str | PlayerSpec, game: Game, *, simulations: int | None = None, seconds: float | None = None, seed: int = 0
) -> Player:
    """The player that `text` names; the module's docstring lists what it may be, `agent.player_spec` how it is written.

    `simulations`, `seconds`: what a move may cost where the text does not say; of these a player takes what it
    understands, and 0 simulations are a network's policy alone. `seed`: where the text does not say.
    A player that is another program has `close()`. Raises GameError, saying what would be accepted.
    """
    spec = parse(text) if isinstance(text, str) else text
    player = _player(spec.completed(simulations=simulations, seconds=seconds), game, seed)
    if "name" in spec.options:
        player.name = str(spec.options["name"])
    return player


def _player(spec: PlayerSpec, game: Game, seed: int) -> Player:
    options: dict[str, Any] = {"seed": seed, **spec.options}
    seed = options["seed"]
    if spec.kind == "random":
        return RandomPlayer(seed)
    if spec.kind == "exact":
        return _exact_player(game, seed)
    if spec.kind == "alphabeta":
        from agent.alphabeta import alphabeta_player

        return alphabeta_player(game, spec, seed)
    if spec.kind in ENGINES:
        from agent.engines.players import engine_player

        return engine_player(game, spec)
    searched = {"seconds": options.get("seconds"), "temperature": options.get("temperature", 0.0), "seed": seed}
    searched["resign"] = options.get("resign", 0.0)
    simulations = options.get("simulations")
    if spec.kind == "rollout":
        return _rollout_player(game, simulations, **searched)
    path, simulations = _network_path(spec, game), 0 if spec.kind == "raw" else simulations
    backend, c_puct = options.get("backend"), options.get("c_puct")
    return network_player(path, game, simulations, backend=backend, c_puct=c_puct, **searched)


def _network_path(spec: PlayerSpec, game: Game) -> Path:
    """Where the network of `shipped`, `raw` or a path lies. Raises GameError where there is none."""
    if spec.argument is None:
        return require_shipped_net(game)
    path = Path(spec.argument).expanduser()
    if spec.kind == CHECKPOINT and not path.exists():
        close = difflib.get_close_matches(spec.argument.partition(":")[0], KINDS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise GameError(f"no player {spec.argument!r}{hint}: no such file; expected one of {ACCEPTED}")
    return path


def default_player(
    game: Game, *, simulations: int | None = None, seconds: float | None = None, seed: int = 0
) -> tuple[Player, str]:
    """The newest net of this game under ./runs, else the shipped one, else random playouts; with a line on which."""
    reason = f"no net of {game.name} under runs/"
    if any_model_under_runs():
        from agent.checkpoint import latest_checkpoint

        path = latest_checkpoint(game)
        if path is not None:
            try:
                player = make_player(str(path), game, simulations=simulations, seconds=seconds, seed=seed)
                return player, f"Opponent: {path} ({player.name})."
            except GameError as error:
                reason = str(error)
    if shipped_net(game) is not None:
        player = make_player(SHIPPED, game, simulations=simulations, seconds=seconds, seed=seed)
        trained_on = "" if shipped_for(game) is not None else ", trained with other parameters"
        return player, f"Opponent: the net that comes with {game.name}{trained_on} ({player.name}; {reason})."
    player = make_player("rollout", game, simulations=simulations, seconds=seconds, seed=seed)
    return player, f"Opponent: {player.name}, random playouts ({reason}; `keima train {game.spec}` makes a net)."


def any_model_under_runs() -> bool:
    """Whether there is any game's net to look at, which takes torch; asked first, since torch takes a second."""
    return any(Path("runs").glob("*/*.safetensors"))


def network_player(
    path: Path,
    game: Game,
    simulations: int | None,
    *,
    seconds: float | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    resign: float = 0.0,
    backend: str | None = None,
    c_puct: float | None = None,
) -> PolicyPlayer | SearchPlayer:
    """The network of a checkpoint, or of a run's newest one. Raises GameError for another game's or a corrupt one.

    0 simulations: its policy alone. None: DEFAULT_SIMULATIONS, or as many as `seconds` allow. backend: what runs it,
    by default `agent.inference.default_backend`, since measuring takes seconds.
    """
    from agent.checkpoint import load_checkpoint
    from agent.inference import OutcomeJudge, make_evaluator
    from agent.territory import NetTerritory

    checkpoint = load_checkpoint(path, game)
    name = f"{checkpoint.metadata.run} at step {checkpoint.metadata.step}"
    leaves = leaves_per_batch(simulations, seconds)
    evaluate: Evaluate = make_evaluator(game, checkpoint.network, backend, leaves)
    chance: dict[str, Any] = {"temperature": temperature, "seed": seed}
    outcomes = OutcomeJudge(game, checkpoint.network)
    if simulations == 0:
        return PolicyPlayer(f"{name}, policy alone", game, evaluate, outcomes=outcomes, **chance)
    limit = _limit(simulations, seconds, DEFAULT_SIMULATIONS)
    return SearchPlayer(
        f"{name}, {_limit_in_words(limit)}",
        *(game, evaluate, limit.simulations),
        seconds=limit.seconds,
        leaves_per_batch=leaves,
        outcomes=outcomes,
        territory=NetTerritory(game, checkpoint.network) if game.has_ownership and game.has_score else None,
        resign=resign,
        c_puct=c_puct,
        **chance,
    )


def leaves_per_batch(simulations: int | None, seconds: float | None) -> int:
    """How many leaves of one tree are evaluated together; None and 0 simulations as for `network_player`.

    They cost strength where they are a large share of all simulations.
    """
    expected = DEFAULT_SIMULATIONS if seconds is None else TIMED_SIMULATIONS
    return max(1, min(16, (expected if simulations is None else simulations) // 16))


def _rollout_player(
    game: Game, playouts: int | None, *, seconds: float | None, temperature: float, seed: int, resign: float
) -> SearchPlayer:
    from agent.playouts import PlayoutTerritory, has_playouts
    from mcts.rollout import RolloutEvaluator

    limit = _limit(playouts or None, seconds, DEFAULT_PLAYOUTS)
    # It takes states in place of planes, and says so to the search by its attribute `needs_states`.
    evaluate = cast("Evaluate", RolloutEvaluator(game, seed))
    name = "rollout" + (f":{limit.simulations}" if limit.simulations else f", {_limit_in_words(limit)}")
    return SearchPlayer(
        *(name, game, evaluate, limit.simulations),
        seconds=limit.seconds,
        temperature=temperature,
        seed=seed,
        territory=PlayoutTerritory(game, seed=seed) if has_playouts(game) else None,
        resign=resign,
    )


def _limit(simulations: int | None, seconds: float | None, default: int) -> Limit:
    return Limit(default if simulations is None and seconds is None else simulations, seconds)


def _limit_in_words(limit: Limit) -> str:
    said = [f"{limit.simulations} simulations"] if limit.simulations is not None else []
    return " or ".join(said + ([f"{limit.seconds:g} s"] if limit.seconds is not None else []))


def _exact_player(game: Game, seed: int) -> ExactPlayer:
    from agent.solvers import find_solver

    solver = find_solver(game)
    if solver is None:
        raise GameError(f"exact: {game.spec} has no solver; expected one of {ACCEPTED}")
    return ExactPlayer(solver, seed)


def _legal(position: Position) -> NDArray[np.int32]:
    """The legal actions of a position that is going on. Raises GameError for one that is over."""
    actions = position.game.legal(position.state)
    if len(actions) == 0:
        raise GameError("the game is over: there is no move to choose")
    return actions
