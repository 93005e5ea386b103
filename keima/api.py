"""What `import keima` offers; thin functions over the rooms, with moves as text and results for the side to move.

`keima/README.md` shows all of it in use. These names stay; what they are made of may move.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keima.agent.contracts.thinking import Limit, SearchInfo, Thinker
from keima.agent.nets.shipped import SHIPPED
from keima.agent.players.move_choice import legal_actions, legal_policy
from keima.agent.records.record import RESULTS, GameRecord
from keima.games import load as load_game
from keima.games.contract import Game, GameError
from keima.games.position import Position, position_after
from keima.selfplay.tournament.ratings import Ratings

OPENING_PLIES = 4
"""Random moves with which the games of a match begin, where nothing else is said."""


class Net:
    """A trained network of one game, ready to judge positions. Made by `load_net`. Not for two threads at once."""

    def __init__(self, game: Game, path: Path) -> None:
        """Raises CheckpointError for a file that is no checkpoint of this game."""
        from keima.agent.inference.loaded_network import load_network

        self._network = load_network(path, game)
        self.game = game
        self.path = self._network.path
        self.metadata = self._network.metadata
        """What the checkpoint says of itself: the run, its step, the strength that was measured."""

    @property
    def name(self) -> str:
        return self._network.name

    def thinker(self, simulations: int | None = None, seconds: float | None = None) -> Thinker:
        """A player that searches with this net; a move costs what `Limit` says, by default 200 simulations."""
        from keima.agent.players.factory import search_player

        return search_player(self._network, simulations, seconds=seconds)


@dataclass(frozen=True)
class Evaluation:
    """What a net alone says of n positions, each seen by its side to move."""

    policy: NDArray[np.float32]
    """[n, num_actions]: probabilities of the actions; 0 for those that are not legal."""
    wdl: NDArray[np.float32]
    """[n, 3]: probabilities of win, draw and loss."""

    @property
    def value(self) -> NDArray[np.float32]:
        """[n]: win less loss, in [-1, 1]."""
        return self.wdl[:, 0] - self.wdl[:, 2]


@dataclass(frozen=True)
class Move:
    """A legal move, and what a search found out about it."""

    text: str
    """In the game's notation."""
    action: int
    visits: int
    """How often the search tried it; 0 for a player that does not search."""
    value: float | None
    """What it leads to, in [-1, 1] for the side to move; None where nothing is known of it."""
    prior: float
    """The probability that the policy gives it before any search."""
    variation: tuple[str, ...]
    """The play expected: this move and those that follow."""
    proven: bool
    """Whether `value` is the exact result."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found in a position."""

    moves: tuple[Move, ...]
    """Every legal move, the best first."""
    value: float | None
    """Of the position, in [-1, 1] for the side to move; None for a player without an opinion."""
    wdl: tuple[float, float, float] | None
    """Win, draw and loss of the side to move as the net alone sees them; None without a net."""
    visits: int
    """Simulations."""
    seconds: float
    """How long it took."""

    @property
    def best(self) -> Move:
        return self.moves[0]


@dataclass(frozen=True)
class Match:
    """Games between two players."""

    names: tuple[str, str]
    """What the two are called, in the order they were given."""
    records: tuple[GameRecord, ...]
    """The games, each opening from both sides."""

    @property
    def results(self) -> list[tuple[str, str, str]]:
        """Who moved first, who moved second, and the result, for each game: what `rate` takes."""
        return [(*record.players, record.result) for record in self.records]

    @property
    def wins(self) -> int:
        """Games that the first named player won."""
        won = {(self.names[0], "1-0"), (self.names[1], "0-1")}
        return sum((first, result) in won for first, _, result in self.results)

    @property
    def draws(self) -> int:
        return sum(record.result == "1/2-1/2" for record in self.records)

    @property
    def losses(self) -> int:
        return len(self.records) - self.wins - self.draws

    @property
    def score(self) -> float:
        """Points of the first named player a game, a draw half a point."""
        return (self.wins + self.draws / 2) / len(self.records)


def load_net(game: Game | str, model: str | Path = SHIPPED) -> Net:
    """The net that ships with a game, or a checkpoint, or the newest one in a run's folder.

    `game`: a name as `othello:6`, or the path of a game file. Raises GameError where there is no such net, or it is of
    another game.
    """
    from keima.agent.nets.checkpoint import find_checkpoint

    game = _game(game)
    return Net(game, find_checkpoint(str(model), game))


def evaluate(net: Net, positions: Position | Sequence[Position]) -> Evaluation:
    """What the net alone, without search, says of one position or of many in one batch. Takes no finished game.

    Raises GameError.
    """
    listed = [positions] if isinstance(positions, Position) else list(positions)
    if not listed:
        raise GameError("evaluate: expected at least one position")
    policy = np.zeros((len(listed), net.game.num_actions), np.float32)
    for position in listed:
        _check(net.game, position)
    planes = np.stack([net.game.planes(position.state) for position in listed])
    logits, _ = net._network.evaluate(planes)
    for row, (position, of_actions) in enumerate(zip(listed, logits, strict=True)):
        legal = legal_actions(position)
        policy[row, legal] = legal_policy(of_actions, legal)
    return Evaluation(policy, net._network.outcomes(planes))


def search(
    player: Net | str, position: Position, *, simulations: int | None = None, seconds: float | None = None
) -> SearchResult:
    """Thinks about a position, which is not over, and says what it thinks of every move.

    `player`: a net, or the text of a player that searches, as `rollout:1000` or `shipped simulations=50`.
    `simulations`, `seconds`: what it may cost, by default 200 simulations. Raises GameError.
    """
    if isinstance(player, Net):
        _check(player.game, position)
        thinker = player.thinker(simulations, seconds)
    else:
        from keima.agent.players.factory import make_player

        made = make_player(player, position.game, simulations=simulations, seconds=seconds)
        if not isinstance(made, Thinker):
            raise GameError(f"search: expected a player that says what it thinks of moves, got {player!r}")
        thinker = made
    limit = None if simulations is None and seconds is None else Limit(simulations, seconds)
    return _result(position, thinker.think(position, limit))


def play_match(
    game: Game | str, first: str, second: str, *, games: int = 20, opening_plies: int = OPENING_PLIES, seed: int = 0
) -> Match:
    """Plays a match of two players, named by text as in `keima tournament`; each random opening from both sides.

    The same arguments give the same games, unless a player is limited by time. Runs in this process, on one core.
    Raises GameError for players that are none, two that are the same, or an odd number of games.
    """
    from keima.agent.inference.autotuning import one_thread
    from keima.selfplay.tournament.arena import Arena, GameTask
    from keima.selfplay.tournament.lineup import choose_backends, enter, make_contestants
    from keima.selfplay.tournament.match import play_all
    from keima.selfplay.tournament.openings import RandomOpenings, check_plies

    game = _game(game)
    if games < 2 or games % 2:
        raise GameError(f"games: expected an even number, for openings are played from both sides, got {games}")
    entrants = enter([first, second], game)
    if len(entrants) != 2:
        raise GameError(f"a match: expected two players that differ, got {first!r} and {second!r}")
    check_plies(game, opening_plies)
    openings = RandomOpenings(game, opening_plies, seed)
    tasks = [GameTask(n, (n % 2, 1 - n % 2), openings[n // 2], seed * games + n) for n in range(games)]
    with one_thread():  # as an arena's networks have, while the caller's torch keeps its own number
        backends = choose_backends(game, entrants, min(games, 128))
        contestants = make_contestants(game, [(entrant.text, entrant.weights) for entrant in entrants], backends)
        played = play_all(Arena(game, contestants, tables=min(games, 256)), tasks)
    names = (entrants[0].name, entrants[1].name)
    records = []
    for one in played:
        players = (names[one.task.players[0]], names[one.task.players[1]])
        ending = "resignation" if one.resigned else "forfeit" if one.reason else ""
        records.append(
            GameRecord(
                game, list(one.actions), players, RESULTS[one.outcome], ending=ending, setup=len(one.task.opening)
            )
        )
    return Match(names, tuple(records))


def rate(results: Iterable[tuple[str, str, str]], *, anchors: Mapping[str, float] | None = None) -> Ratings:
    """Elo ratings with 95 % intervals from single games: (who moved first, who moved second, result).

    A result is `1-0`, `0-1` or `1/2-1/2`. `anchors`: players that keep the Elo given; without any, the mean is 0. The
    model is that of `keima.selfplay.tournament.ratings`. Every game counts in full. Raises GameError.
    """
    from keima.selfplay.tournament.ratings import rate as fit
    from keima.selfplay.tournament.ratings import tally

    codes = {text: code for code, text in RESULTS.items() if text != "*"}
    listed = list(results)
    for first, second, result in listed:
        if result not in codes:
            known = ", ".join(codes)
            raise GameError(f"the result of {first!r} against {second!r}: expected one of {known}, got {result!r}")
    return fit(tally((first, second, codes[result], None) for first, second, result in listed).results, anchors=anchors)


def read_record(path: str | Path, game: Game | str | None = None) -> GameRecord:
    """A saved game, in the format that the file's suffix names: `.keima.txt` or `.sgf`.

    `game`: which it must be of; needed for a game given by path. Raises GameError, naming the move that is wrong.
    """
    from keima.agent.records.files import load

    return load(path, None if game is None else _game(game))


def write_record(record: GameRecord, path: str | Path) -> None:
    """Saves a game in the format that the file's suffix names. Raises GameError where that cannot be."""
    from keima.agent.records.files import save

    save(record, path)


def _game(game: Game | str) -> Game:
    return load_game(game) if isinstance(game, str) else game


def _check(game: Game, position: Position) -> None:
    """Raises GameError where a net of this game can say nothing of the position."""
    if position.game != game:
        raise GameError(f"expected a position of {game.label}, got one of {position.game.label}")
    if position.is_over:
        raise GameError("expected a position in which the game goes on, got one where it is over")


def _result(position: Position, info: SearchInfo) -> SearchResult:
    def texts(actions: Iterable[int]) -> Iterator[str]:
        state = position.state
        for action in actions:
            yield position.game.action_to_text(state, action)
            state = position.game.after(state, action)

    moves = tuple(
        Move(next(texts([v.action])), v.action, v.visits, v.value, v.prior, tuple(texts(v.actions)), v.proven)
        for v in info.variations
    )
    return SearchResult(moves, info.value, info.wdl, info.visits, info.seconds)


__all__ = [
    "Evaluation",
    "Game",
    "GameError",
    "GameRecord",
    "Match",
    "Move",
    "Net",
    "Position",
    "Ratings",
    "SearchResult",
    "evaluate",
    "load_game",
    "load_net",
    "play_match",
    "position_after",
    "rate",
    "read_record",
    "search",
    "write_record",
]
