"""Who takes part: players' texts checked and completed, their networks found, and all of them made for an arena."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keima.agent.contracts.player import Player
from keima.agent.contracts.player_spec import CHECKPOINT, ENGINES, PlayerSpec, parse
from keima.agent.nets.shipped import require_shipped_net
from keima.agent.players.factory import ACCEPTED, DEFAULT_PLAYOUTS, DEFAULT_SIMULATIONS, leaves_per_batch, make_player
from keima.agent.players.simple_players import ExactPlayer
from keima.games.contract import Game, GameError
from keima.mcts.evaluator import Evaluate
from keima.mcts.search import PLAY_SETTINGS
from keima.selfplay.tournament.contestants import (
    AskedAtOnce,
    AskedInThread,
    Contestant,
    NetworkContestant,
    PlayoutContestant,
)

MODEL_FILE = "model.safetensors"
"""A run's newest network; keima.agent.nets.checkpoint has the same, but imports torch."""
NETWORKS = (CHECKPOINT, "shipped", "raw")
"""Kinds of players that have a network."""
MANY = 1 << 30
"""Games at a time of a player who has no limit to them."""
SHARED_CAPACITY = 32
"""Games at a time that one thread plays for `exact` or `alphabeta`: it always has one in which it is to move."""


@dataclass(frozen=True)
class Entrant:
    """A player who takes part."""

    spec: PlayerSpec
    """With what a move may cost spelt out."""
    name: str
    """What it is called in tables."""
    weights: str = ""
    """The file of its network, '' for a player without one."""
    digest: str = ""
    """Of that file's content."""

    @property
    def text(self) -> str:
        return self.spec.text

    @property
    def is_timed(self) -> bool:
        """Whether its moves are limited by time, so that a fair game needs a core of its own."""
        # UCI and USI engines that are told nothing get a time.
        return "seconds" in self.spec.options or (self.spec.kind in ("uci", "usi") and not self.spec.has_limit)

    @property
    def games_at_once(self) -> int:
        """How many games of it one process plays side by side, at most."""
        if self.spec.kind in ENGINES or self.is_timed:
            return 1
        return SHARED_CAPACITY if self.spec.kind in ("exact", "alphabeta") else MANY


def enter(
    texts: Iterable[str],
    game: Game,
    *,
    simulations: int | None = None,
    seconds: float | None = None,
    nodes: int | None = None,
    checkpoints: int = 8,
) -> list[Entrant]:
    """The players that the texts name. Raises GameError for one that cannot be, and for two of one name.

    A folder of checkpoints (`runs/mine/checkpoints`) is a whole run: so many of its checkpoints, spread evenly.
    simulations, seconds, nodes: what a move may cost where a text does not say.
    """
    found: dict[str, Entrant] = {}
    for text in texts:
        for spec in _expanded(parse(text), checkpoints):
            completed = _completed(spec, simulations, seconds, nodes)
            found.setdefault(completed.text, _entrant(completed, game))
    names: dict[str, Entrant] = {}
    for entrant in found.values():
        other = names.setdefault(entrant.name, entrant)
        if other is not entrant:
            raise GameError(f"{entrant.text} and {other.text} are both called {entrant.name!r}: give one a name=...")
    return list(found.values())


def thinned(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many of a run's checkpoints: every 2nd, 4th, 8th, ..., and the newest.

    When a run goes on, its chosen checkpoints stay chosen or are thinned out. One that was left out never comes back.
    """
    stride = 1
    while len(paths) > most and -(-len(paths) // stride) + 1 > most:
        stride *= 2
    chosen = list(paths[::stride])
    if paths and chosen[-1] != paths[-1]:
        chosen.append(paths[-1])
    return chosen


def run_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run's folder, or of its folder of checkpoints, the oldest first."""
    inner = folder / "checkpoints"
    return sorted((inner if inner.is_dir() else folder).glob("step-*.safetensors"))


def start_engines(entrants: Sequence[Entrant], game: Game, tell: Callable[[str], None]) -> list[str]:
    """Starts every engine once to see whether it works; returns what went wrong with some, in words.

    Raises GameError for an engine that is not there or does not play this game. An engine that crashes or hangs does
    not stop the tournament: it forfeits its games.
    """
    from keima.agent.engines import EngineError

    warnings = []
    for entrant in entrants:
        if entrant.spec.kind in ENGINES:
            tell(f"starting {entrant.name}")
            try:
                make_player(entrant.spec, game).close()
            except EngineError as error:
                warnings.append(f"{error}; it forfeits its games as long as it does so")
    return warnings


def choose_backends(
    game: Game, entrants: Sequence[Entrant], batch_size: int, backend: str | None = None
) -> dict[str, str]:
    """The backend that runs each player's network, by the player's text: the one it asks for, else `backend`, else the
    fastest sound one.

    batch_size: of networks that play many games side by side. Imports torch. Takes seconds the first time for a size of
    networks. Raises GameError for a file that is no checkpoint of this game, and for a backend that cannot run here.
    """
    players = [entrant for entrant in entrants if entrant.weights]
    if not players:
        return {}
    from keima.agent.inference.autotuning import choose_backend
    from keima.agent.inference.factory import check_backend
    from keima.agent.nets.checkpoint import load_checkpoint

    networks = {file: load_checkpoint(file, game).network for file in {entrant.weights for entrant in players}}

    @functools.cache
    def fastest(file: str, size: int) -> str:
        return choose_backend(game, networks[file], size).backend

    chosen: dict[str, str] = {}
    for entrant in players:
        asked = entrant.spec.options.get("backend", backend)
        if asked is not None:
            check_backend(str(asked))
        size = leaves_per_batch(None, seconds=1) if entrant.is_timed else batch_size
        chosen[entrant.text] = str(asked or fastest(entrant.weights, size))
    return chosen


def make_contestants(game: Game, players: Sequence[tuple[str, str]], backends: Mapping[str, str]) -> list[Contestant]:
    """Players as an arena has them, from their texts and their networks' files; `backends` is `choose_backends`'.

    Players with the same network on the same backend share its batches.
    """
    evaluators: dict[tuple[str, str], Evaluate] = {}
    contestants: list[Contestant] = []
    for text, weights in players:
        spec = parse(text)
        entrant = Entrant(spec, spec.label, weights)
        simulations = int(spec.options.get("simulations", 0))
        temperature = float(spec.options.get("temperature", 0))
        backend = backends.get(text)
        make = functools.partial(_seeded_player, spec, game, backend)
        if spec.kind == "exact":
            make = functools.partial(_exact_player, functools.cache(make), spec)
        if spec.kind == "random":
            contestants.append(AskedAtOnce(make))
        elif entrant.is_timed or spec.kind not in (*NETWORKS, "rollout"):
            contestants.append(AskedInThread(make, capacity=entrant.games_at_once, one_for_all=spec.kind in ENGINES))
        elif spec.kind == "rollout":
            contestants.append(PlayoutContestant(simulations, temperature))
        else:
            shared = weights, backends[text]
            if shared not in evaluators:
                evaluators[shared] = _evaluator(game, *shared)
            settings = dataclasses.replace(
                PLAY_SETTINGS, c_puct=float(spec.options.get("c_puct", PLAY_SETTINGS.c_puct))
            )
            contestants.append(NetworkContestant(evaluators[shared], simulations, temperature, settings))
    return contestants


def _seeded_player(spec: PlayerSpec, game: Game, backend: str | None, seed: int) -> Player:
    """The player; backend: what runs its network, None where it has none."""
    if backend is None:
        return make_player(spec, game, seed=seed)
    import torch

    torch.set_num_threads(1)  # a limit of seconds is one of seconds on one core
    return make_player(dataclasses.replace(spec, options={**spec.options, "backend": backend}), game, seed=seed)


def _exact_player(first: Callable[[int], Player], spec: PlayerSpec, seed: int) -> Player:
    """A player with the solver of `first(0)`: what the solver has found serves all games of its thread."""
    player = first(0)
    assert isinstance(player, ExactPlayer)
    return player.seeded(int(spec.options.get("seed", seed)))


def _evaluator(game: Game, weights: str, backend: str) -> Evaluate:
    import torch

    from keima.agent.nets.checkpoint import load_checkpoint
    from keima.selfplay.tournament.batches import SizedEvaluator

    torch.set_num_threads(1)  # each process has a core
    return SizedEvaluator(game, load_checkpoint(weights, game).network, backend)


def _expanded(spec: PlayerSpec, checkpoints: int) -> list[PlayerSpec]:
    """The players a text stands for: itself, or the checkpoints in a folder."""
    if spec.kind != CHECKPOINT or spec.argument is None:
        return [spec]
    folder = Path(spec.argument).expanduser()
    if not folder.is_dir() or (folder / MODEL_FILE).exists():
        return [spec]
    paths = sorted(folder.glob("step-*.safetensors"))
    if not paths:
        raise GameError(f"{spec.argument}: expected a checkpoint, a run's folder or its folder of checkpoints")
    return [PlayerSpec(CHECKPOINT, str(path), spec.options) for path in thinned(paths, checkpoints)]


def _completed(spec: PlayerSpec, simulations: int | None, seconds: float | None, nodes: int | None) -> PlayerSpec:
    """The player with its limits spelt out, so that it is one player however its text was written."""
    completed = spec.completed(simulations=simulations, seconds=seconds, nodes=nodes)
    if spec.kind == "rollout":
        return completed.completed(simulations=DEFAULT_PLAYOUTS)
    return completed.completed(simulations=DEFAULT_SIMULATIONS) if spec.kind in NETWORKS else completed


def _entrant(spec: PlayerSpec, game: Game) -> Entrant:
    name = str(spec.options.get("name", _short(spec)))
    if spec.kind in NETWORKS:
        path = Path(spec.argument).expanduser() if spec.argument is not None else require_shipped_net(game)
        path = path / MODEL_FILE if path.is_dir() else path
        try:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise GameError(f"no player {spec.argument!r}: {path}: {reason}; expected one of {ACCEPTED}") from None
        return Entrant(spec, name, str(path), digest)
    if spec.kind == "exact":
        from keima.agent.solvers import find_solver

        if find_solver(game) is None:
            raise GameError(f"exact: {game.spec} has no solver")
    return Entrant(spec, name)


def _short(spec: PlayerSpec) -> str:
    """A player's text, with the path of a checkpoint in short: `mine@1500 simulations=64`."""
    if spec.kind != CHECKPOINT or spec.argument is None:
        return spec.text
    path = Path(spec.argument)
    short = path.stem if path.suffix == ".safetensors" else path.name
    if path.parent.name == "checkpoints" and short.startswith("step-"):
        short = f"{path.parent.parent.name}@{int(short.removeprefix('step-') or 0)}"
    options = PlayerSpec("shipped", None, spec.options).text.removeprefix("shipped")
    return short + options
