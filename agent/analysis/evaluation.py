"""Measures players on exact results: positions with the score of every move, and all lines of a small game.

A file of positions has one position a line: the moves that led there, then a score for each of the game's actions in
their order, `x` where one is not legal. Scores are from the side to move's point of view; larger is better, positive
wins, negative loses. Moves are in the game's notation, with commas between them unless each is a single character; `-`
is the initial position. In their place there may be a position in quotation marks, as `Game.text_to_position` reads it.
Empty lines and those that begin with # are comments.

    145773277725 3 4 0 0 1 -2 0        Connect Four
    b2,a2 1 1 1 x x 0 1 1 1            tic-tac-toe
    "X../.../... O" 0 0 0 0 ...        the same, as a board
"""

import importlib.resources
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keima.agent.solvers import Solver
from keima.games.contract import DRAW, ONGOING, PLAYER, Game, GameError, State
from keima.games.position import Position

Choose = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""A player, for many positions at once: int64 [n, state_size] to an action each, int64 [n]."""

MAX_POSITIONS = 1_000_000
"""Positions of one level of `losing_lines` before the game is given up."""
ATTEMPTS = 10_000
"""Random positions in a row that may be unfit before `random_positions` gives up."""
Z_95 = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class ScoredPosition:
    """A position and the exact score of every legal action."""

    actions: tuple[int, ...]
    """The moves from the first position."""
    state: State
    scores: dict[int, int]
    """By action; from the side to move's point of view."""
    start_text: str = ""
    """The position that the moves begin with, as `Game.text_to_position` reads it; empty for the game's own."""

    def is_optimal(self, action: int) -> bool:
        """Whether no action has a better score."""
        return self.scores[action] == max(self.scores.values())

    def keeps_value(self, action: int) -> bool:
        """Whether a won position stays won, and a drawn one drawn."""
        return _sign(self.scores[action]) == _sign(max(self.scores.values()))


@dataclass(frozen=True)
class PositionsResult:
    """How a player did on positions with exact scores. Intervals are 95 % Wilson intervals."""

    count: int
    value_preserving: float
    """The share of positions whose chosen action keeps the game-theoretic value."""
    value_preserving_interval: tuple[float, float]
    optimal: float
    """The share of positions whose chosen action is one of those with the best score."""
    optimal_interval: tuple[float, float]


@dataclass(frozen=True)
class LinesResult:
    """How a player did against every move of the opponent, as first and as second player. Counts lines of play."""

    lines: int
    losses: int
    draws: int
    wins: int


def evaluate_positions(positions: list[ScoredPosition], choose: Choose) -> PositionsResult:
    """Asks a player for a move in every position, all of them at once."""
    chosen = choose(np.stack([position.state for position in positions]))
    moves = [(position, int(action)) for position, action in zip(positions, chosen, strict=True)]
    kept = sum(position.keeps_value(action) for position, action in moves)
    best = sum(position.is_optimal(action) for position, action in moves)
    count = len(positions)
    return PositionsResult(
        count, kept / count, wilson_interval(kept, count), best / count, wilson_interval(best, count)
    )


def wilson_interval(successes: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a fraction (E. B. Wilson, 1927); it is sound near 0 and 1, where the normal interval is
    not.
    """
    share, z2 = successes / count, Z_95 * Z_95
    centre = share + z2 / (2 * count)
    spread = Z_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    scale = 1 + z2 / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def losing_lines(game: Game, choose: Choose) -> LinesResult:
    """Plays every line of the game against a player whose move depends on the position alone, and counts wins,
    draws and losses.

    A player without losses plays perfectly where the initial position is a draw. The player is asked about all
    positions of equally many moves at once. Raises GameError for a game with too many lines.
    """
    results: Counter[int] = Counter()  # by outcome as the player sees it: 1, 0, -1
    # Lines by (the player's side, the state reached): those that meet are followed together.
    level = Counter({(side, game.new_state().tobytes()): 1 for side in (0, 1)})
    while level:
        going_on = [(side, np.frombuffer(row, np.int64).copy(), lines) for (side, row), lines in level.items()]
        level = Counter()
        asked = [state for side, state, _ in going_on if state[PLAYER] == side]
        answers = iter(choose(np.stack(asked))) if asked else iter(())
        for side, state, lines in going_on:
            for action in [next(answers)] if state[PLAYER] == side else game.legal(state):
                after = game.after(state, int(action))
                outcome = game.outcome(after)
                if outcome == ONGOING:
                    level[side, after.tobytes()] += lines
                else:
                    results[0 if outcome == DRAW else 1 if outcome == side else -1] += lines
        if len(level) > MAX_POSITIONS:
            raise GameError(f"{game.spec}: expected a game small enough to play all its lines, got too many")
    return LinesResult(lines=results.total(), losses=results[-1], draws=results[0], wins=results[1])


# --- files


def read_positions(path: Path, game: Game) -> list[ScoredPosition]:
    """The positions of a file; see the module's docstring. Raises GameError naming the line that is wrong."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise GameError(f"{path}: expected a file of positions, but {reason}") from error
    positions = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            try:
                positions.append(_parse_position(line, game))
            except GameError as error:
                raise GameError(f"{path}, line {number}: {error}") from error
    if not positions:
        raise GameError(f"{path}: expected a position a line, got none")
    return positions


def find_positions(name: str | None, game: Game) -> Path | None:
    """The file of scored positions that is asked for: a path, or the name of a shipped one, as connect4_judging.

    None asks for the file that comes with the game and its usual parameters; the answer is None where there is none.
    Raises GameError for a file of another game.
    """
    if name is None:
        path = _shipped_file(game.name)
        return path if game.spec == game.name and path.is_file() else None
    path, shipped = Path(name).expanduser(), _shipped_file(name)
    if path.exists() or not shipped.is_file():
        return path
    owner = name.partition("_")[0]
    if owner != game.name:
        raise GameError(f"{name}: these are positions of {owner}, expected positions of {game.name}")
    return shipped


def _shipped_file(name: str) -> Path:
    return Path(str(importlib.resources.files("keima.configs"))) / "positions" / f"{name}.txt"


def write_positions(path: Path, game: Game, positions: Iterable[ScoredPosition], comment: str = "") -> None:
    """Writes a file that `read_positions` reads; each line of the comment gets its #."""
    lines = [f"# {line}" for line in comment.splitlines()]
    path.write_text("\n".join([*lines, *(_position_to_text(position, game) for position in positions)]) + "\n")


def _parse_position(line: str, game: Game) -> ScoredPosition:
    text, moves, *scores = _split(line)
    if len(scores) != game.num_actions:
        raise GameError(f"expected the moves and {game.num_actions} scores, got {len(scores)} scores")
    position = Position.from_text(game, text) if text else Position(game)
    separate = moves.split(",") if "," in moves or not _is_compact(game) else list(moves)
    for number, move in enumerate([] if moves == "-" else separate, start=1):
        try:
            position.play_text(move)
        except GameError as error:
            raise GameError(f"move {number} of {moves}: {error}") from error
    if position.is_over:
        raise GameError(f"expected a position to move in, but the game is over after {text or moves}")
    legal = position.legal_actions()
    by_action = {}
    for action, score in enumerate(scores):
        what = f"as score {action + 1} of {game.num_actions}"
        if action not in legal:
            if score != "x":
                raise GameError(f"expected x {what}, for that move is not legal; got {score!r}")
            continue
        try:
            by_action[action] = int(score)
        except ValueError:
            raise GameError(f"expected a whole number {what}, got {score!r}") from None
    return ScoredPosition(tuple(position.actions), position.state, by_action, position.start_text)


def _split(line: str) -> list[str]:
    """A line's position, empty where it has moves from the start; its moves; its scores."""
    if not line.startswith('"'):
        return ["", *line.split()]
    text, mark, rest = line[1:].partition('"')
    if not mark or not text.strip():
        raise GameError(f"expected a position between two quotation marks, got {line[:60]!r}")
    return [text, "-", *rest.split()]


def _position_to_text(scored: ScoredPosition, game: Game) -> str:
    if scored.start_text:
        position = Position(game, scored.state)
        return " ".join([f'"{position.start_text}"', *_score_texts(scored, game)])
    position = Position(game)
    for action in scored.actions:
        position.play(action)
    moves = ("" if _is_compact(game) else ",").join(position.moves_text()) or "-"
    return " ".join([moves, *_score_texts(scored, game)])


def _score_texts(scored: ScoredPosition, game: Game) -> list[str]:
    return [str(scored.scores.get(action, "x")) for action in range(game.num_actions)]


def _is_compact(game: Game) -> bool:
    """Whether every move is written as a single character, so that none is needed between them."""
    state = game.new_state()
    return all(len(game.action_to_text(state, int(action))) == 1 for action in game.legal(state))


# --- making positions


def random_positions(
    game: Game, solver: Solver, count: int, seed: int, min_plies: int, max_plies: int
) -> list[ScoredPosition]:
    """Different positions, reached by random moves, in which the choice of the move matters.

    The side to move cannot win at once, and at least one of its moves changes the game's value. In every other position
    the moves that led there did not let the opponent win at once where that could be helped. Raises GameError where
    such positions are too rare.
    """
    generator = np.random.default_rng(seed)
    found: dict[bytes, ScoredPosition] = {}
    failures = 0
    while len(found) < count:
        plies = int(generator.integers(min_plies, max_plies + 1))
        position = _random_game(game, generator, plies, careful=len(found) % 2 == 0)
        scored = None if position is None else _score_if_fit(position, solver)
        if scored is None or scored.state.tobytes() in found:
            failures += 1
            if failures == ATTEMPTS:
                raise GameError(f"{game.spec}: expected {count} positions that matter, found {len(found)} and no more")
            continue
        failures = 0
        found[scored.state.tobytes()] = scored
    return list(found.values())


def _random_game(game: Game, generator: np.random.Generator, plies: int, *, careful: bool) -> Position | None:
    """A position that goes on after that many random moves; None where the game ended on the way."""
    position = Position(game)
    for _ in range(plies):
        actions = position.legal_actions()
        if careful:
            actions = [a for a in actions if not _can_win_at_once(game, game.after(position.state, a))] or actions
        position.play(int(generator.choice(actions)))
        if position.is_over:
            return None
    return position


def _score_if_fit(position: Position, solver: Solver) -> ScoredPosition | None:
    if _can_win_at_once(position.game, position.state):
        return None
    scores = dict(solver.scores(position.state))
    if len({_sign(score) for score in scores.values()}) == 1:
        return None
    return ScoredPosition(tuple(position.actions), position.state, scores)


def _can_win_at_once(game: Game, state: State) -> bool:
    player = state[PLAYER]
    return any(game.outcome(game.after(state, int(action))) == player for action in game.legal(state))


def _sign(score: int) -> int:
    return (score > 0) - (score < 0)
