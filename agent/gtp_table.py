"""The board that GTP's commands set up: which game with which parameters, the position, and who plays it.

A command may make it another game: another size, another komi, a handicap. The player is then made for that game, and
where nobody plays it nothing is changed.
"""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from agent.players import Player, PlayerFor
from games.contract import Game, GameError, parse_parameters
from games.position import Position

MAX_SGF_BYTES = 1 << 20
KEPT_PLAYERS = 3
"""Players of other sizes, komi or handicaps that are kept: a match goes back and forth between a few."""
MOST_FIXED_STONES = 9


class Table:
    """A game, its position and its player; every method but `close` raises GameError, and then leaves all as it was."""

    def __init__(self, game: Game, player_for: PlayerFor) -> None:
        self._player_for = player_for
        self._players: dict[Game, Player] = {game: player_for(game)}
        self.position = Position(game)
        self.plain_game = game
        """The game without the handicap that commands have given."""

    @property
    def player(self) -> Player:
        return self._players[self.position.game]

    @property
    def has_handicap(self) -> bool:
        """Whether the rules know handicap stones, placed by them or freely; see `give_handicap`."""
        return has_parameter(self.plain_game, "handicap") and has_parameter(self.plain_game, "placement")

    @property
    def has_sgf(self) -> bool:
        """Whether SGF holds such games."""
        from agent.sgf import NUMBERS

        return self.plain_game.name in NUMBERS

    def begin(self, game: Game | None = None) -> None:
        """A new game, by default the one there was, without handicap."""
        game = game or self.plain_game
        self._take(Position(game))
        self.plain_game = game

    def resize(self, columns: int) -> None:
        """A new game on a board so large. A game without a size takes its own number of columns only."""
        if has_parameter(self.plain_game, "size"):
            self.begin(changed(self.plain_game, size=str(columns)))
        elif columns != self.plain_game.shape[1]:
            raise GameError(f"{self.plain_game.label} has {self.plain_game.shape[1]} columns")
        else:
            self.begin()

    def set_komi(self, komi: float) -> None:
        """Plays on with another komi, where the game has one."""
        if has_parameter(self.plain_game, "komi"):
            plain = changed(self.plain_game, komi=f"{komi:g}")
            self._take(replayed(changed(self.position.game, komi=f"{komi:g}"), self.position.actions))
            self.plain_game = plain

    def give_handicap(self, stones: int, placement: str) -> None:
        """Gives Black stones on an empty board: `fixed`, where the rules have them; `free`, as his first moves."""
        self._take(Position(changed(self.plain_game, handicap=str(stones), placement=placement)))

    def place_handicap(self, points: list[str]) -> None:
        """Gives Black stones on these points of an empty board."""
        position = Position(changed(self.plain_game, handicap=str(len(points)), placement="free"))
        for point in points:
            position.play_text(point)
        self._take(position)

    def handicap_points(self, stones: int) -> list[str]:
        """Good points for so many stones, or fewer: those that the rules have for a fixed handicap."""
        for count in range(min(stones, MOST_FIXED_STONES), 1, -1):
            with contextlib.suppress(GameError):
                return black_points(Position(changed(self.plain_game, handicap=str(count), placement="fixed")))
        raise GameError(f"{self.plain_game.label} has no points for {stones} stones")

    def load_sgf(self, path: str, moves: int | None) -> None:
        """The position of a record after so many moves, by default all. The record says the game's parameters."""
        from agent.sgf import from_sgf

        file = Path(path)
        try:
            # Not from a device or a pipe, which might never end.
            if not file.is_file() or file.stat().st_size > MAX_SGF_BYTES:
                raise GameError(f"{path}: expected an SGF file of at most {MAX_SGF_BYTES} bytes")
            data = file.read_bytes()
        except (OSError, ValueError) as error:  # the latter for a name with a zero byte
            raise GameError(f"{path}: cannot be read: {error}") from None
        record = from_sgf(data, None, path)
        if record.game.name != self.plain_game.name:
            raise GameError(f"{path}: a record of {record.game.name}, expected one of {self.plain_game.name}")
        self._take(replayed(record.game, record.actions[:moves]))
        self.plain_game = changed(record.game, handicap="0") if self.has_handicap else record.game

    def close(self) -> None:
        """Ends players that are other programs."""
        for player in self._players.values():
            close_player(player)

    def _take(self, position: Position) -> None:
        """Another position, perhaps of another game."""
        game = position.game
        if game not in self._players:
            self._players[game] = self._player_for(game)
            while len(self._players) > KEPT_PLAYERS:
                oldest = next(other for other in self._players if other != game)
                close_player(self._players.pop(oldest))
        self._players[game] = self._players.pop(game)  # the last one is the newest
        self.position = position


def black_points(position: Position) -> list[str]:
    """The points on which the first player has stones."""
    cells = np.flatnonzero(position.game.board(position.state) == 1)
    return [position.game.cell_to_text(int(cell)) for cell in cells]


def is_empty(position: Position) -> bool:
    """Whether nobody has stones on the board."""
    return not position.game.board(position.state).any()


def changed(game: Game, **parameters: str) -> Game:
    """The game with some parameters changed. Raises GameError."""
    values = {field.name: getattr(game, field.name) for field in dataclasses.fields(game)} | parameters
    return parse_parameters(type(game), ",".join(f"{name}={value}" for name, value in values.items()))


def replayed(game: Game, actions: list[int]) -> Position:
    """The position after these actions. Raises GameError where the game was over sooner, or would have been."""
    position = Position(game)
    for action in actions:
        position.play(action)
    return position


def has_parameter(game: Game, name: str) -> bool:
    """Whether the rules have a parameter of this name."""
    return any(field.name == name for field in dataclasses.fields(game))


def close_player(player: Player) -> None:
    """Ends a player that is another program."""
    close = getattr(player, "close", None)
    if close is not None:
        close()
