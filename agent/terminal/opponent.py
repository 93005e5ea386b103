"""The other players at a board: made ready in the background, asked for advice."""

import contextlib
import gc
import threading
from collections.abc import Iterator

from keima.agent.contracts.player import MoveResult, Player
from keima.agent.contracts.thinking import InfoCallback, Limit, Ponderer, SearchInfo, ShouldStop, Thinker
from keima.agent.system.progress import LOADER, Progress
from keima.agent.terminal.match_setup import PlayerChoice
from keima.games.contract import Game, GameError
from keima.games.position import Position

WARMING = Limit(simulations=32)
"""What a first search may cost, which compiles what is left."""
ADVICE = Limit(simulations=800, seconds=10)
"""What a hint may cost."""


class Opponent:
    """A player made ready in the background: torch imported, the net loaded, the search compiled."""

    def __init__(self, game: Game, choice: PlayerChoice, progress: Progress) -> None:
        self.choice = choice
        self._game = game
        self._progress = progress
        self._player: Player | None = None
        self._introduction = ""
        self._error: BaseException | None = None
        self._is_new_game = False  # whether what the player kept of the last game is to be dropped first
        self._thread = threading.Thread(target=self._prepare, name=LOADER, daemon=True)
        self._thread.start()

    @property
    def is_loading(self) -> bool:
        return self._thread.is_alive()

    @property
    def name(self) -> str:
        """What it is called, as far as that is known."""
        if self._player is not None:
            return self._player.name
        return f"about {self.choice.elo} Elo" if self.choice.elo is not None else self.choice.text or "opponent"

    def player(self) -> Player:
        """The player, waited for. Raises what making it raised."""
        if self.is_loading:
            with self._progress.shown():
                self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._player is not None
        return self._player

    def choose(
        self, position: Position, *, should_stop: ShouldStop | None = None, report: InfoCallback | None = None
    ) -> MoveResult:
        """The player's answer; waits for the player and for its thinking.

        A thinker is told by `should_stop` when its move is no longer wanted, and tells `report` what it thinks.
        """
        player = self.player()
        if self._is_new_game and isinstance(player, Thinker):
            player.forget()
        self._is_new_game = False
        if report is None or not isinstance(player, Thinker):
            return player.choose(position)
        return player.pick(player.think(position, should_stop=should_stop, report=report))

    @contextlib.contextmanager
    def thinking(self) -> Iterator[None]:
        """Shows that the player thinks, while the block has it do so."""
        self._progress.begin("thinking")
        with self._progress.shown():
            yield

    def ponder(self, position: Position) -> None:
        """Has a player who thinks on the other side's time begin to, once it is ready."""
        if not self.is_loading and isinstance(player := self.player(), Ponderer):
            player.ponder(position)

    def introduction(self) -> str:
        """One line on who it is; empty while that is not known and once it was told."""
        told, self._introduction = self._introduction, ""
        return told

    def begin_game(self) -> None:
        """Has the player remember nothing of the last game when it next moves; it may be thinking now."""
        self._is_new_game = True

    def close(self) -> None:
        """Ends its pondering, and what runs outside this process for it."""
        if self._player is not None:
            self._player.close()

    def _prepare(self) -> None:
        try:
            self._progress.begin("compiling the search, once (later starts find it compiled)")
            import keima.mcts.search  # noqa: F401 (compiles on import)

            self._progress.begin("making the opponent ready")
            player, self._introduction = self.choice.make(self._game)
            if isinstance(player, Thinker):  # the tree of its first search serves the first move
                self._progress.begin("compiling the rules and the search, once (later starts find them compiled)")
                player.think(Position(self._game), WARMING)
            # What was imported for it stays. Looking through all of that again and again, the garbage collector would
            # hold every thread for a tenth of a second each time, the screen's among them.
            gc.freeze()
            self._player = player
        except BaseException as error:  # told to the user by the thread that waits for the player
            self._error = error


class Adviser:
    """Whoever is asked for hints, analyses and explanations; made on first use. Apart from the opponent, which is to
    play no better for having been asked. For one thread."""

    def __init__(self, game: Game, choice: PlayerChoice, progress: Progress) -> None:
        """`choice`: the opponent's, or what else the advice should come from."""
        self._game = game
        self._choice = choice.adviser()
        self._progress = progress
        self._opponent: Opponent | None = None

    def thinker(self) -> Thinker:
        """The player, waited for. Raises GameError."""
        if self._opponent is None:
            self._opponent = Opponent(self._game, self._choice, self._progress)
        player = self._opponent.player()
        if not isinstance(player, Thinker):
            raise GameError(f"{player.name} cannot say what it thinks")
        return player

    def think(self, position: Position, limit: Limit = ADVICE) -> SearchInfo:
        """What it thinks of a position. Raises GameError where the game is over."""
        thinker = self.thinker()
        with self._working():
            return thinker.think(position, limit)

    def explain(self, position: Position, about: str = "", should_stop: ShouldStop | None = None) -> str:
        """In words: the last move, or `about`: a move that could be played, or `position`. Raises GameError."""
        from keima.agent.analysis.explain import explain_move, explain_position

        thinker = self.thinker()
        with self._working():
            if about.lower() == "position" or (not about and not position.actions):
                return explain_position(thinker, position, should_stop=should_stop)
            action = position.game.text_to_action(position.state, about) if about else None
            return explain_move(thinker, position, action, should_stop=should_stop)

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        self._progress.begin("thinking")
        with self._progress.shown():
            yield
