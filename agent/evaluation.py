"""How well a player plays, held against exact results: on positions with known scores, and over all lines of a game.

A file of scored positions has one position a line: the moves that lead to it, then one score for each action,
`x` where that action is illegal. Moves are in the game's notation, run together where each is one character
(`4453`) and with commas between them otherwise (`a1,b2`), `-` for none. A score is the side to move's: positive for
a move that wins, 0 for one that draws, negative for one that loses, larger is better. Lines that begin with `#` are
comments.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from games.contract import DRAW, ONGOING, PLAYER, Game, GameError, State

Choose = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""States [n, state_size], all of which go on -> the action chosen in each [n]."""


@dataclass(frozen=True)
class ScoredPosition:
    """A position and what each of its legal actions leads to."""

    state: State
    scores: dict[int, int]
    """The exact score of every legal action; the sign is the result for the side to move."""

    @property
    def best(self) -> int:
        """The score of the position."""
        return max(self.scores.values())


@dataclass(frozen=True)
class PositionsResult:
    """Shares of positions, with 95 % Wilson intervals."""

    value_preserving: float
    """Where the chosen action keeps the game-theoretic value."""
    value_preserving_interval: tuple[float, float]
    optimal: float
    """Where it is one of those with the best score: wins the soonest, loses the latest."""
    optimal_interval: tuple[float, float]


@dataclass(frozen=True)
class LinesResult:
    """How every line of a game ends in which one side plays a given way and the other side every way there is."""

    lines: int
    wins: int
    draws: int
    losses: int


def read_positions(path: Path, game: Game) -> list[ScoredPosition]:
    """The positions of a file. Raises GameError, naming file and line, for one that is not what it should be."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise GameError(f"{path}: expected a text file of positions") from None
    except OSError as error:
        raise GameError(f"{path}: cannot be read: {error.strerror}") from None
    positions = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                positions.append(_parse_position(line.split(), game))
            except GameError as error:
                raise GameError(f"{path} line {number}: {error}") from None
    if not positions:
        raise GameError(f"{path}: expected positions, found none")
    return positions


def _parse_position(fields: list[str], game: Game) -> ScoredPosition:
    if len(fields) != 1 + game.num_actions:
        raise GameError(f"expected the moves and {game.num_actions} scores, got {len(fields)} fields")
    moves, *texts = fields
    state = game.new_state()
    for move in [] if moves == "-" else moves.split(",") if "," in moves else _split(moves, game):
        state = game.after(state, game.text_to_action(state, move))
    legal = {int(a) for a in game.legal(state)}
    if not legal:
        raise GameError(f"expected a game that goes on; after {moves} it is over")
    scores = {}
    for action, text in enumerate(texts):
        if (text == "x") == (action in legal):
            name = f"action {action + 1} of {game.num_actions}"
            expected = "a score, for it is legal" if action in legal else "x, for it is illegal"
            raise GameError(f"{name}: expected {expected}; got {text}")
        if text != "x":
            try:
                scores[action] = int(text)
            except ValueError:
                raise GameError(f"expected a score as a whole number or x, got {text!r}") from None
    return ScoredPosition(state, scores)


def _split(moves: str, game: Game) -> list[str]:
    """Moves run together, as far as the game's moves are single characters; otherwise a single move."""
    state = game.new_state()
    single = all(len(game.action_to_text(state, int(a))) == 1 for a in game.legal(state))
    return list(moves) if single else [moves]


def evaluate_positions(positions: Sequence[ScoredPosition], choose: Choose) -> PositionsResult:
    """Asks `choose` for a move in every position, all at once."""
    chosen = choose(np.stack([position.state for position in positions]))
    scores = [position.scores[int(action)] for position, action in zip(positions, chosen, strict=True)]
    best = [position.best for position in positions]
    preserving = sum(np.sign(s) == np.sign(b) for s, b in zip(scores, best, strict=True))
    optimal = sum(s == b for s, b in zip(scores, best, strict=True))
    n = len(positions)
    return PositionsResult(
        float(preserving / n), wilson_interval(int(preserving), n), optimal / n, wilson_interval(optimal, n)
    )


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927): honest near 0 and 1 too."""
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def losing_lines(game: Game, choose: Choose) -> LinesResult:
    """Plays every line in which one side moves as `choose` says and the other in every legal way, from both sides.

    Lines are followed ply by ply, all of a ply in one call. Meant for games that can be exhausted.
    """
    counts = {"wins": 0, "draws": 0, "losses": 0}
    for side in (0, 1):
        states = [game.new_state()]
        while states:
            chosen: dict[int, int] = {}
            ours = [i for i, state in enumerate(states) if state[PLAYER] == side]
            if ours:
                actions = choose(np.stack([states[i] for i in ours]))
                chosen = {i: int(action) for i, action in zip(ours, actions, strict=True)}
            following = []
            for i, state in enumerate(states):
                for action in [chosen[i]] if i in chosen else game.legal(state):
                    after = game.after(state, int(action))
                    outcome = game.outcome(after)
                    if outcome == ONGOING:
                        following.append(after)
                    else:
                        counts["draws" if outcome == DRAW else "wins" if outcome == side else "losses"] += 1
            states = following
    return LinesResult(lines=sum(counts.values()), **counts)
