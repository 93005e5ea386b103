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

each followed by options, as `shipped simulations=400 temperature=0.3`; see `keima.agent.contracts.player_spec`.

torch is imported when a network is asked for, and not before: the terminal shows its first board without it.
"""

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keima.agent.contracts.player import Player
from keima.agent.contracts.player_spec import CHECKPOINT, ENGINES, KINDS, PlayerSpec, parse
from keima.agent.contracts.thinking import Limit
from keima.agent.nets.shipped import SHIPPED, require_shipped_net, shipped_for, shipped_net
from keima.agent.players.policy_player import PolicyPlayer
from keima.agent.players.search_player import TIMED_SIMULATIONS, SearchPlayer
from keima.agent.players.simple_players import ExactPlayer, RandomPlayer
from keima.games.contract import Game, GameError

if TYPE_CHECKING:
    from keima.agent.inference.loaded_network import LoadedNetwork

DEFAULT_SIMULATIONS = 200
"""Simulations a move for a network, where nothing else is asked for."""
DEFAULT_PLAYOUTS = 500
"""Random playouts a move for `rollout` without a number."""
ACCEPTED = (
    f"random, rollout:{DEFAULT_PLAYOUTS}, alphabeta:4, exact, shipped, raw, raw:CHECKPOINT, a checkpoint or a run's "
    'folder, gtp:"COMMAND", uci:"COMMAND", usi:"COMMAND"'
)
"""What `make_player` understands, for messages."""


def make_player(
    text: str | PlayerSpec, game: Game, *, simulations: int | None = None, seconds: float | None = None, seed: int = 0
) -> Player:
    """The player that `text` names; the module's docstring lists what it may be, `keima.agent.contracts.player_spec`
    how it is written.

    `simulations`, `seconds`: what a move may cost where the text does not say; of these a player takes what it
    understands, and 0 simulations are a network's policy alone. `seed`: where the text does not say.
    Raises GameError, saying what would be accepted.
    """
    spec = parse(text) if isinstance(text, str) else text
    player = _player(spec.completed(simulations=simulations, seconds=seconds), game, seed)
    if "name" in spec.options:
        player.name = str(spec.options["name"])
    return player


def check_player(text: str) -> None:
    """Raises GameError for a text that names no player, as far as that is seen without the game: misspelt, no such
    file."""
    spec = parse(text)
    if spec.argument is not None and spec.kind not in ENGINES:
        _checkpoint_path(spec.kind, spec.argument)


def _player(spec: PlayerSpec, game: Game, seed: int) -> Player:
    options: dict[str, Any] = {"seed": seed, **spec.options}
    seed = options["seed"]
    if spec.kind == "random":
        return RandomPlayer(seed)
    if spec.kind == "exact":
        return _exact_player(game, seed)
    if spec.kind == "alphabeta":
        from keima.agent.players.alphabeta import alphabeta_player

        return alphabeta_player(game, spec, seed)
    if spec.kind in ENGINES:
        from keima.agent.engines.factory import engine_player

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
    return require_shipped_net(game) if spec.argument is None else _checkpoint_path(spec.kind, spec.argument)


def _checkpoint_path(kind: str, argument: str) -> Path:
    """The path in a player's text. Raises GameError for one that is no file and no folder."""
    path = Path(argument).expanduser()
    if kind == CHECKPOINT and not path.exists():
        close = difflib.get_close_matches(argument.partition(":")[0], KINDS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise GameError(f"no player {argument!r}{hint}: no such file; expected one of {ACCEPTED}")
    return path


def default_player(
    game: Game, *, simulations: int | None = None, seconds: float | None = None, seed: int = 0
) -> tuple[Player, str]:
    """The newest net of this game under ./runs, else the shipped one, else random playouts; with a line on which."""
    reason = f"no net of {game.name} under runs/"
    if any_model_under_runs():
        from keima.agent.nets.checkpoint import latest_of_runs

        path, passed_over = latest_of_runs(game)
        if path is not None:
            try:
                player = make_player(str(path), game, simulations=simulations, seconds=seconds, seed=seed)
                stubs = f"; newer, but hardly trained: {', '.join(map(str, passed_over))}" if passed_over else ""
                return player, f"Opponent: {path} ({player.name}{stubs})."
            except GameError as error:
                reason = str(error)
    if shipped_net(game) is not None:
        player = make_player(SHIPPED, game, simulations=simulations, seconds=seconds, seed=seed)
        trained_on = "" if shipped_for(game) is not None else f", trained on {_trained_on(game)}; this is {game.spec}"
        return player, f"Opponent: the net that comes with {game.name}{trained_on} ({player.name}; {reason})."
    player = make_player("rollout", game, simulations=simulations, seconds=seconds, seed=seed)
    return player, f"Opponent: {player.name}, random playouts ({reason}; `keima train {game.spec}` makes a net)."


def _trained_on(game: Game) -> str:
    """The game, with its parameters, that the net was trained on that is shipped for this one."""
    from keima.agent.nets.checkpoint import read_metadata

    return read_metadata(require_shipped_net(game)).game


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
    by default `keima.agent.inference.factory.default_backend`, since measuring takes seconds.
    """
    from keima.agent.inference.loaded_network import load_network

    network = load_network(path, game, backend, leaves_per_batch(simulations, seconds))
    chance: dict[str, Any] = {"temperature": temperature, "seed": seed}
    if simulations == 0:
        name = f"{network.name}, policy alone"
        return PolicyPlayer(name, game, network.evaluate, outcomes=network.outcomes, **chance)
    return search_player(network, simulations, seconds=seconds, resign=resign, c_puct=c_puct, **chance)


def search_player(
    network: "LoadedNetwork",
    simulations: int | None,
    *,
    seconds: float | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    resign: float = 0.0,
    c_puct: float | None = None,
) -> SearchPlayer:
    """The player that searches with a network that is loaded; its arguments are those of `network_player`."""
    from keima.mcts.search import PLAY_SETTINGS

    limit = _limit(simulations, seconds, DEFAULT_SIMULATIONS)
    settings = PLAY_SETTINGS if c_puct is None else replace(PLAY_SETTINGS, c_puct=c_puct)
    return SearchPlayer(
        f"{network.name}, {_limit_in_words(limit)}",
        *(network.game, network.evaluate, limit),
        settings=replace(settings, leaves_per_batch=leaves_per_batch(simulations, seconds)),
        temperature=temperature,
        seed=seed,
        outcomes=network.outcomes,
        territory=network.territory,
        resign=resign,
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
    from keima.agent.go.playouts import PlayoutTerritory, has_playouts
    from keima.mcts.rollout import RolloutEvaluator
    from keima.mcts.search import PLAYOUT_SETTINGS

    limit = _limit(playouts or None, seconds, DEFAULT_PLAYOUTS)
    evaluate = RolloutEvaluator(game, seed)
    name = "rollout" + (f":{limit.simulations}" if limit.simulations else f", {_limit_in_words(limit)}")
    return SearchPlayer(
        *(name, game, evaluate, limit),
        settings=PLAYOUT_SETTINGS,
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
    from keima.agent.solvers import find_solver

    solver = find_solver(game)
    if solver is None:
        raise GameError(f"exact: {game.spec} has no solver; expected one of {ACCEPTED}")
    return ExactPlayer(solver, seed)
