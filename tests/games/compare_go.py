"""Go against two other implementations of its rules, move by move: OpenSpiel's and sgfmill's board.

    python -m tests.games.compare_go                                    10,000 games at 5x5, 9x9 and 19x19 each
    python -m tests.games.compare_go --sizes 9 --games 500 --seed 7

Every other game is uniformly random. In the others half of the moves are drawn from those that capture where there are
such, and passes are rare: so there are many captures, and kos are fought. What is compared:

- the legal moves: OpenSpiel forbids retaking a ko at once and lets any other repetition end the game, so each of its
  legal moves that is not legal here must end its game, and must repeat a position that sgfmill's board has shown;
  with `ko=simple` the legal moves must be the same;
- the stones on the board after every move, and the point that the simple ko rule forbids, with sgfmill's board,
  which plays moves and knows no superko; that no move played repeats a position is seen from all of its boards;
- the area in the end, with sgfmill's, and the result, with OpenSpiel's.

OpenSpiel has no suicide and no situational superko: these are compared with sgfmill's board alone, all moves of a
position tried on copies of it (`compare_with_sgfmill`).
"""

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator

import numpy as np
import pyspiel
from sgfmill.boards import Board

from keima import games
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, State
from keima.games.go import Go
from keima.games.go_planes import FORBIDDEN, LIBERTIES, THEIRS

COLOURS = ("b", "w")
CODES = {None: 0, "b": 1, "w": 2}
CAPTURE_SHARE = 0.5
PASS_SHARE = 0.01


@dataclasses.dataclass
class Tally:
    """What was met, so that it can be seen that the interesting cases were."""

    games: int = 0
    moves: int = 0
    captures: int = 0
    captured_stones: int = 0
    suicides: int = 0
    kos: int = 0  # positions with a point forbidden by the simple rule
    superkos: int = 0  # moves forbidden beyond that
    two_passes: int = 0  # games that ended so

    def add(self, other: "Tally") -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, f.name):,} {f.name.replace('_', ' ')}" for f in dataclasses.fields(self))


def choose(game: Go, state: State, legal: list[int], wild: bool, random: np.random.Generator) -> int:
    """A move at random; in a wild game often one that captures, seldom a pass."""
    if not wild:
        return legal[random.integers(len(legal))]
    if len(legal) == 1 or random.random() < PASS_SHARE:
        return legal[-1]
    if random.random() < CAPTURE_SHARE:
        planes = game.planes(state)
        endangered = np.pad(planes[THEIRS] * planes[LIBERTIES], 1)
        beside = endangered[:-2, 1:-1] + endangered[2:, 1:-1] + endangered[1:-1, :-2] + endangered[1:-1, 2:]
        is_capture = beside.ravel()
        captures = [action for action in legal[:-1] if is_capture[action]]
        if captures:
            return captures[random.integers(len(captures))]
    return legal[random.integers(len(legal) - 1)]


class Referee:
    """sgfmill's board, and every position that was on it. Cells are ours; its rows are numbered from below."""

    def __init__(self, game: Go) -> None:
        self.game = game
        self.board = Board(game.size)
        self.seen = {self.key(self.board, 0)}

    def key(self, board: Board, to_move: int) -> tuple[object, ...]:
        """What must not come again."""
        stones = tuple(itertools.chain.from_iterable(board.board))
        return (to_move, *stones) if self.game.ko == "situational" else stones

    def place(self, cell: int) -> tuple[int, int]:
        row, column = divmod(cell, self.game.size)
        return self.game.size - 1 - row, column

    def after(self, player: int, cell: int) -> Board:
        board = self.board.copy()
        board.play(*self.place(cell), COLOURS[player])
        return board

    def would_repeat(self, player: int, cell: int) -> bool:
        return self.key(self.after(player, cell), 1 - player) in self.seen

    def play(self, player: int, action: int) -> tuple[int | None, bool]:
        """The cell that the simple ko rule forbids now, and whether a move, but no pass, has repeated a position."""
        ko, repeats = None, False
        if action < self.game.size**2:
            ko = self.board.play(*self.place(action), COLOURS[player])
            repeats = self.key(self.board, 1 - player) in self.seen
        self.seen.add(self.key(self.board, 1 - player))
        return None if ko is None else (self.game.size - 1 - ko[0]) * self.game.size + ko[1], repeats

    def codes(self) -> list[int]:
        """As Go.board has them."""
        return [CODES[stone] for row in reversed(self.board.board) for stone in row]


@dataclasses.dataclass
class Moves:
    """A game's moves so far as text; made when a comparison fails, since that takes time."""

    game: Go
    spiel: pyspiel.State

    def __str__(self) -> str:
        return f"{self.game.spec}, in OpenSpiel's numbers {self.spiel.history()}"


def compare(game: Go, wild: bool, random: np.random.Generator) -> Tally:
    """One game with all three; `game` has positional superko or the simple rule, and no suicide."""
    cells, tally = game.size**2, Tally(games=1)
    options = f"board_size={game.size},komi={game.komi},max_game_length={game.max_plies}"
    spiel = pyspiel.load_game(f"go({options})").new_initial_state()
    names = np.arange(cells).reshape(game.shape)[::-1].ravel()  # what it calls our cells, and the other way round
    names = np.append(names, cells)
    referee, state, ko = Referee(game), game.new_state(), None
    stones = 0
    while game.outcome(state) == ONGOING:
        player, legal = int(state[PLAYER]), game.legal(state).tolist()
        here = Moves(game, spiel)
        assert not spiel.is_terminal(), here
        assert spiel.current_player() == player, here
        theirs, ours = set(spiel.legal_actions()), set(names[legal].tolist())
        assert ours <= theirs, f"{here}: {ours - theirs}"
        assert ko not in legal, here
        for name in theirs - ours:
            assert game.ko == "positional", f"{here}: {name}"
            assert referee.would_repeat(player, int(names[name])), f"{here}: {name}"
            assert spiel.child(name).is_terminal(), f"{here}: {name}"
            tally.superkos += 1
        tally.kos += ko is not None
        action = choose(game, state, legal, wild, random)
        spiel.apply_action(int(names[action]))
        state = game.after(state, action)
        ko, repeats = referee.play(player, action)
        codes = game.board(state).ravel().tolist()
        assert codes == referee.codes(), here
        taken = stones + (action < cells) - (cells - codes.count(0))
        stones = cells - codes.count(0)
        tally.moves += 1
        tally.captures += taken > 0
        tally.captured_stones += taken
        if repeats:  # their game ends
            assert game.ko == "simple", here
            assert spiel.is_terminal(), here
            return tally
    here = Moves(game, spiel)
    assert spiel.is_terminal(), here
    area = referee.board.area_score()
    assert game.points(state) == area - game.komi, here
    expected = FIRST_WINS if area > game.komi else SECOND_WINS if area < game.komi else DRAW
    assert game.outcome(state) == expected, here
    assert spiel.returns()[0] == {FIRST_WINS: 1, SECOND_WINS: -1, DRAW: 0}[expected], here
    tally.two_passes += spiel.history()[-2:] == [cells, cells]
    return tally


def compare_with_sgfmill(game: Go, wild: bool, random: np.random.Generator) -> Tally:
    """One game under a superko rule with sgfmill's board alone, on which every empty point is tried every time."""
    cells, tally = game.size**2, Tally(games=1)
    referee, state = Referee(game), game.new_state()
    board = game.board(state)
    while game.outcome(state) == ONGOING:
        player, legal = int(state[PLAYER]), game.legal(state).tolist()
        expected, forbidden = [], []
        for cell in np.flatnonzero(board == 0).tolist():
            after = referee.after(player, cell)
            is_suicide = after.get(*referee.place(cell)) is None
            if not is_suicide or (game.suicide == "yes" and after.board != referee.board.board):
                (forbidden if referee.would_repeat(player, cell) else expected).append(cell)
        assert legal == [*expected, cells], f"{game.spec}: {legal}, expected {expected} and a pass"
        assert np.flatnonzero(game.planes(state)[FORBIDDEN]).tolist() == forbidden, f"{game.spec}: {forbidden}"
        tally.superkos += len(forbidden)
        action = choose(game, state, legal, wild, random)
        before = np.bincount(board.ravel(), minlength=3)
        state = game.after(state, action)
        _, repeats = referee.play(player, action)
        assert not repeats
        board = game.board(state)
        assert board.ravel().tolist() == referee.codes()
        mine, theirs = (
            before[[1 + player, 2 - player]] - np.bincount(board.ravel(), minlength=3)[[1 + player, 2 - player]]
        )
        tally.moves += 1
        tally.captures += theirs > 0
        tally.captured_stones += int(theirs)
        tally.suicides += mine > 0
    assert game.points(state) == referee.board.area_score() - game.komi
    return tally


def compare_games(specs: list[str], count: int, seed: int) -> Iterator[tuple[str, Tally]]:
    """Plays `count` games of each; yields after every hundredth and after the last, with what was met so far."""
    for spec in specs:
        game, random, tally = games.load(spec), np.random.default_rng(seed), Tally()
        assert isinstance(game, Go)
        play = compare_with_sgfmill if game.ko == "situational" or game.suicide == "yes" else compare
        for number in range(count):
            tally.add(play(game, number % 2 == 0, random))
            if number % 100 == 99 or number == count - 1:
                yield spec, tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 9, 19])
    parser.add_argument("--games", type=int, default=10_000, help="of each size; fewer under other rules")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for size in options.sizes:
        base = f"go:{size},limit={2 * size * size}"
        for rules, share in (("", 1), (",ko=simple", 10), (",ko=situational", 100), (",suicide=yes", 100)):
            begin = time.perf_counter()
            for spec, tally in compare_games([base + rules], max(1, options.games // share), options.seed):
                if sys.stderr.isatty():
                    print(f"\r{spec}: {tally.games} games", end="", file=sys.stderr, flush=True)
            print(f"\r{base + rules}: {tally}; {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
