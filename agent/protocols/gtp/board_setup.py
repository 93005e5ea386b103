"""The board that GTP's commands set up: which game with which parameters, the position, and who plays it.

A command may make it another game: another size, another komi, a handicap. The player is then made for that game, and
where nobody plays it nothing is changed.

GTP's controllers may have a side move twice in a row, and moves made after two passes. In games with passes the other
side passes in between, and a game that passes ended goes on from before them; one `undo` takes back what one command
has played. What Go's rules have for training, an end after three moves for each point, they have not for such games:
these go on under a larger limit before a search could see the end, unless the game was given a limit of its own.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keima.agent.contracts.player import Player, PlayerFor
from keima.agent.contracts.thinking import Thinker
from keima.agent.players.pass_policy import placed_stones, turned
from keima.agent.protocols.gtp.syntax import COLOUR_NAMES
from keima.games.contract import Game, GameError
from keima.games.parameters import changed, has_parameter, playable_komi
from keima.games.position import Position

MAX_SGF_BYTES = 1 << 20
KEPT_PLAYERS = 3
"""Players of other sizes, komi or handicaps that are kept: a match goes back and forth between a few."""
MOST_FIXED_STONES = 9


class BoardSetup:
    """A game, its position and its player; every method but `close` raises GameError, and then leaves all as it was."""

    def __init__(self, game: Game, player_for: PlayerFor) -> None:
        self._player_for = player_for
        self._players: dict[Game, Player] = {game: player_for(game)}
        self.position = Position(game)
        self._base = self.position  # from which commands have played on
        self._first = 0  # how many of its moves are there for good
        self._moves: list[tuple[int, int]] = []  # colours and actions of these commands
        self._earlier: list[Position] = []  # the positions before each of them
        self._comments: list[tuple[Position, str]] = []  # the positions after each of them, and what is said of them
        self.plain_game = game
        """The game without the handicap that commands have given."""
        self._komi: float | None = None  # as it was told

    @property
    def komi(self) -> float:
        """The points that White gets for moving second, exactly as they were told; 0 in games without komi."""
        game, told = self.position.game, self._komi
        own = float(getattr(game, "komi", 0.0))
        if told is None or not has_parameter(game, "komi") or float(playable_komi(game, told)) != own:
            return own  # a record may have said another since
        return told

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
        from keima.agent.records.sgf_games import NUMBERS

        return self.plain_game.name in NUMBERS

    def begin(self, game: Game | None = None) -> None:
        """A new game, by default the one there was, without handicap."""
        game = game or self.plain_game
        self._take(Position(game))
        self.plain_game = game
        # Nothing of the last game helps in this one, and a player is to play the same whatever came before.
        if isinstance(self.player, Thinker):
            self.player.forget()

    def resize(self, columns: int) -> None:
        """A new game on a board so large. A game without a size takes its own number of columns only."""
        if has_parameter(self.plain_game, "size"):
            self.begin(changed(self.plain_game, size=str(columns)))
        elif columns != self.plain_game.shape[1]:
            raise GameError(f"{self.plain_game.label} has {self.plain_game.shape[1]} columns")
        else:
            self.begin()

    # --- moves

    def turned(self, colour: int) -> Position:
        """The position with this colour to move, as the module's docstring says; not to be changed.

        Raises GameError where the game is over, or it is the other side's turn and it cannot pass.
        """
        return _turned(self.position, colour)

    def play(self, colour: int, action: int, comment: str = "") -> None:
        """Plays a legal action of `turned(colour)`. `comment`: what the record says of it."""
        following = after_turn(self.position, colour, action)
        self._earlier.append(self.position)
        self._moves.append((colour, action))
        self.position = following
        self._comments.append((following, comment))
        self._go_on()

    def undo(self) -> bool:
        """Takes back what the last command played, or the last move of a record; False where there is none.

        Handicap stones, and those that a record sets up, are not taken back.
        """
        if self._moves:
            self._moves.pop()
            self._comments.pop()
            self.position = self._earlier.pop()
            return True
        if len(self._base.actions) <= max(self._first, placed_stones(self._base.game)):
            return False
        self._base = self._base.copy()
        self._base.undo()
        self.position = self._base
        return True

    def comments(self) -> dict[int, str]:
        """What is said of the game's moves, by how many moves had been made."""
        line = self.position.actions
        return {
            len(position.actions): comment
            for position, comment in self._comments
            if comment and position.actions == line[: len(position.actions)]
        }

    # --- other games

    def set_parameters(self, **parameters: str) -> None:
        """Plays on under other rules, as another komi; parameters that the game does not have are passed over."""
        known = {name: value for name, value in parameters.items() if has_parameter(self.plain_game, name)}
        if not known:
            return
        plain = changed(self.plain_game, **known)
        self._play_by(changed(self.position.game, **known))
        self.plain_game = plain

    def _play_by(self, game: Game) -> None:
        """Plays on by this game's rules. Raises GameError where they forbid what was played, or nobody plays it."""
        moves, comments, first = self._moves, self._comments, self._first
        positions = [replayed(game, self._base.actions, self._base.start_text)]
        for colour, action in moves:
            positions.append(after_turn(positions[-1], colour, action))
        self._take(positions[0])
        self._moves, self._first = moves, first
        self._earlier, self.position = positions[:-1], positions[-1]
        self._comments = [(position, text) for position, (_, text) in zip(positions[1:], comments, strict=True)]

    def _go_on(self) -> None:
        """Gives a game that nears a limit which nobody asked for a larger one; see the module's docstring."""
        if getattr(self.plain_game, "limit", None) != 0:
            return
        game = self.position.game
        cells = game.shape[0] * game.shape[1]
        if len(self.position.actions) + cells > game.max_plies:
            with contextlib.suppress(GameError):  # nobody plays that, or it is the largest limit that there is
                self._play_by(changed(game, limit=str(game.max_plies + 3 * cells)))

    def set_komi(self, komi: float) -> None:
        """Plays on with this komi, or the nearest one that the rules can have; see `komi`."""
        if has_parameter(self.plain_game, "komi"):
            self.set_parameters(komi=playable_komi(self.plain_game, komi))
            self._komi = komi

    def exactly(self, points: float) -> float:
        """The first player's points less the second's by the komi as it was told, from those that the rules count."""
        return points + float(getattr(self.position.game, "komi", 0.0)) - self.komi

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
        """Good points for so many stones, or fewer: those that the rules have for a fixed handicap; on boards that are
        too small for one, the points next to the corners, in the corners where there is no room beside them."""
        for count in range(min(stones, MOST_FIXED_STONES), 1, -1):
            with contextlib.suppress(GameError):
                return black_points(Position(changed(self.plain_game, handicap=str(count), placement="fixed")))
        size = self.plain_game.shape[0]
        low = 1 if size > 3 else 0
        high = size - 1 - low
        corners = ((low, high), (high, low), (high, high), (low, low))
        return [self.plain_game.cell_to_text(row * size + column) for row, column in corners[:stones]]

    def set_position(self, text: str) -> None:
        """A game, without handicap, that begins with the position `text` stands for; see `Game.text_to_position`."""
        position = Position.from_text(self.plain_game, text)
        if position.is_over:
            raise GameError("the game is over in this position")
        self._take(position)

    def load_sgf(self, path: str, moves: int | None, warn: Callable[[str], object] = lambda line: None) -> None:
        """The position of a record after so many moves, by default all.

        The record says the game's size and, where it has some, komi and rules. `warn`: see
        `keima.agent.records.sgf.from_sgf`.
        """
        from keima.agent.records.sgf import from_sgf

        file = Path(path)
        try:
            # Not from a device or a pipe, which might never end.
            is_sound = file.is_file() and file.stat().st_size <= MAX_SGF_BYTES
            data = file.read_bytes() if is_sound else b""
        except (OSError, ValueError) as error:  # the latter for a name with a zero byte
            raise GameError(f"{path}: cannot be read: {error}") from None
        if not is_sound:
            raise GameError(f"{path}: expected an SGF file of at most {MAX_SGF_BYTES} bytes")
        record = from_sgf(data, None, path, base=self.plain_game, warn=warn)
        if record.game.name != self.plain_game.name:
            raise GameError(f"{path}: a record of {record.game.name}, expected one of {self.plain_game.name}")
        first = max(record.setup, placed_stones(record.game))  # stones set up are no moves of the file
        actions = record.actions if moves is None else record.actions[: first + moves]
        self._take(replayed(record.game, actions, record.start_text))
        self._first = min(first, len(self.position.actions))
        # What only this game has does not stay for the next one.
        own = {"handicap": "0", "limit": str(getattr(self.plain_game, "limit", 0))}
        self.plain_game = changed(
            record.game, **{name: value for name, value in own.items() if has_parameter(record.game, name)}
        )
        self._go_on()

    def close(self) -> None:
        """Ends players that are other programs."""
        for player in self._players.values():
            player.close()

    def _take(self, position: Position) -> None:
        """Another position, perhaps of another game."""
        game = position.game
        if game not in self._players:
            self._players[game] = self._player_for(game)
            while len(self._players) > KEPT_PLAYERS:
                oldest = next(other for other in self._players if other != game)
                self._players.pop(oldest).close()
        self._players[game] = self._players.pop(game)  # the last one is the newest
        self.position = self._base = position
        self._moves, self._earlier, self._comments, self._first = [], [], [], 0


def after_turn(position: Position, colour: int, action: int) -> Position:
    """A new position: the one after the colour's action, which may not have been to move. Raises GameError."""
    following = _turned(position, colour).copy()
    following.play(action)
    return following


def _turned(position: Position, colour: int) -> Position:
    found = turned(position, colour)
    if found is None:
        raise GameError("the game is over" if position.is_over else f"{COLOUR_NAMES[position.player]} is to move")
    return found


def black_points(position: Position) -> list[str]:
    """The points on which the first player has stones."""
    cells = np.flatnonzero(position.game.board(position.state) == 1)
    return [position.game.cell_to_text(int(cell)) for cell in cells]


def is_empty(position: Position) -> bool:
    """Whether nobody has stones on the board."""
    return not position.game.board(position.state).any()


def replayed(game: Game, actions: list[int], start_text: str = "") -> Position:
    """The position after these actions. Raises GameError where the game was over sooner, or would have been."""
    position = Position.from_text(game, start_text) if start_text else Position(game)
    for action in actions:
        position.play(action)
    return position
