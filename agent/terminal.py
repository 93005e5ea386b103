"""A game in the terminal, line by line: the board, a prompt, a move, the answer.

`TerminalGame` is the game itself, handed what reads and writes lines; `play` connects it to the terminal. The rules
are all that the first board waits for: the opponent is made ready in the background while the user thinks.
"""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator

from agent.players import Analyst, Player, any_model_under_runs, default_player, make_player
from agent.shipped import shipped_net
from games import load
from games.contract import DRAW, Game, GameError
from games.position import Position

PATIENCE_S = 1.0
"""How long something may take in silence, in seconds."""
LOADER = "opponent"
"""The name of the thread that makes the opponent ready; it cannot be stopped while it compiles."""
HELP = """\
a move     in the game's notation, as `moves` lists them
moves      the legal moves
board      the board again
hint       what the opponent would play in your place
undo       takes back your last move and the answer to it
swap       changes sides
new        begins another game
quit       leaves"""
COLOURS = ("\033[33m", "\033[36m")  # yellow, cyan: apart in every common palette, on light and dark
COLOUR_OFF = "\033[0m"

Write = Callable[[str], None]
Read = Callable[[str], str | None]
"""Shows a prompt and returns the line typed, or None at the end of the input."""


class Progress:
    """Tells the user what takes long: nothing for a second, then what it is and for how long."""

    def __init__(self, write: Write, *, live: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`live`: the line may be rewritten, as on a terminal; otherwise each stage is told once. `clock`: seconds."""
        self._write = write
        self._live = live
        self._clock = clock
        self._stage = ("", clock())
        self._told = ""

    def begin(self, stage: str) -> None:
        """Says what is being done from now on; may be called by any thread."""
        self._stage = (stage, self._clock())

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the stage, and for how many seconds it has lasted, while the block runs."""
        done = threading.Event()
        teller = threading.Thread(target=self._tell, args=(done,), daemon=True)
        teller.start()
        try:
            yield
        finally:
            done.set()
            teller.join()

    def _tell(self, done: threading.Event) -> None:
        with contextlib.suppress(OSError):  # a closed output is for the thread that plays to say
            self._told = ""
            wait_s = PATIENCE_S
            while not done.wait(wait_s):
                self._tell_stage()
                wait_s = 0.1
            if self._told and self._live:
                self._write("\r\033[K")

    def _tell_stage(self) -> None:
        stage, start_s = self._stage
        seconds = self._clock() - start_s
        if seconds >= PATIENCE_S and (self._live or stage != self._told):
            self._told = stage
            self._write(f"\r\033[K{stage} ... {seconds:.0f} s" if self._live else f"{stage} ...\n")


class Opponent:
    """A player made ready in the background: torch imported, the net loaded, the search compiled."""

    def __init__(self, game: Game, name: str | None, simulations: int | None, seed: int, progress: Progress) -> None:
        """`name`: a player as `make_player` knows them; None for the newest net, or playouts where there is none."""
        self._progress = progress
        self._make = lambda: (
            default_player(game, simulations=simulations, seed=seed)
            if name is None
            else _introduced(make_player(name, game, simulations=simulations, seed=seed))
        )
        self._game = game
        self._player: Player | None = None
        self._introduction = ""
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._prepare, name=LOADER, daemon=True)
        self._thread.start()

    @property
    def is_loading(self) -> bool:
        return self._thread.is_alive()

    def player(self) -> Player:
        """The player, waited for. Raises what making it raised."""
        if self.is_loading:
            with self._progress.shown():
                self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._player is not None
        return self._player

    @contextlib.contextmanager
    def thinking(self) -> Iterator[None]:
        """Shows that the player thinks, while the block has it do so."""
        self._progress.begin("thinking")
        with self._progress.shown():
            yield

    def introduction(self) -> str:
        """One line on who it is; empty while that is not known and once it was told."""
        told, self._introduction = self._introduction, ""
        return told

    def _prepare(self) -> None:
        try:
            self._progress.begin("compiling the search, once (later starts find it compiled)")
            import mcts.search  # noqa: F401 (compiles on import)

            self._progress.begin("making the opponent ready")
            player, self._introduction = self._make()
            if isinstance(player, Analyst):  # a first search compiles what is left; its tree serves the first move
                self._progress.begin("compiling the rules and the search, once (later starts find them compiled)")
                player.analyse(Position(self._game))
            self._player = player
        except BaseException as error:  # told to the user by the thread that waits for the player
            self._error = error


def _introduced(player: Player) -> tuple[Player, str]:
    return player, f"Opponent: {player.name}."


class TerminalGame:
    """One user against one player, game after game."""

    def __init__(
        self,
        game: Game,
        opponent: Opponent,
        *,
        human: int,
        read: Read,
        write: Write,
        interactive: bool,
        colour: bool = False,
    ) -> None:
        """`human`: the user's side, 0 or 1. `interactive`: a mistake is explained and the move asked for again;
        otherwise, as in a pipe, it raises GameError."""
        self._game = game
        self._opponent = opponent
        self._human = human
        self._read = read
        self._write = write
        self._interactive = interactive
        self._colour = colour
        self._position = Position(game)
        self._movers: list[int] = []  # who made each move so far; a side may move twice in a row
        self._commands: dict[str, Callable[[], None]] = {
            "help": lambda: self._write(HELP + "\n"),
            "?": lambda: self._write(HELP + "\n"),
            "moves": self._show_moves,
            "board": self._show_board,
            "hint": self._hint,
            "undo": self._undo,
            "swap": self._swap,
            "new": self._new,
        }

    def run(self, *, wait_first: bool = False) -> None:
        """Plays until the user leaves. Raises GameError where a pipe's input is wrong or ends too soon.

        `wait_first`: waits for the opponent once the board is shown, rather than when it has to move.
        """
        self._write("Type a move, or help.\n")
        self._show_board()
        if wait_first:
            self._opponent.player()
            self._introduce()
        while True:
            self._let_opponent_move()
            line = self._read(self._prompt())
            if line is None and not self._interactive and not self._position.is_over:
                raise GameError(f"the input ended before the game, after {len(self._movers)} moves")
            if line is None or line.strip().lower() in ("quit", "exit", "q"):
                self._write("Goodbye.\n")
                return
            self._introduce()
            try:
                self._handle(line.strip())
            except GameError as error:
                if not self._interactive:
                    raise
                self._write(f"{error}\n")

    def _handle(self, line: str) -> None:
        command = self._commands.get(line.lower())
        if command is not None:
            command()
        elif self._position.is_over and line:
            raise GameError(f"the game is over: expected new, undo, swap or quit, got {line!r}")
        elif line:
            self._play(self._game.text_to_action(self._position.state, line))
            self._show_board()

    def _play(self, action: int) -> None:
        mover = self._position.player
        self._position.play(action)
        self._movers.append(mover)

    def _let_opponent_move(self) -> None:
        """Lets the opponent move for as long as it is its turn, and says how the game stands."""
        while not self._position.is_over and self._position.player != self._human:
            player = self._opponent.player()
            self._introduce()
            with self._opponent.thinking():
                action = player.choose(self._position)
            side = self._game.players[self._position.player]
            self._write(f"{side} plays {self._game.action_to_text(self._position.state, action)}\n")
            self._play(action)
            self._show_board()

    def _introduce(self) -> None:
        if introduction := self._opponent.introduction():
            self._write(introduction + "\n")

    def _prompt(self) -> str:
        if self._position.is_over:
            return "new, undo or quit> "
        return f"{self._game.players[self._human]} (you)> "

    def _show_board(self) -> None:
        text = self._game.render(self._position.state)
        self._write(f"\n{self._coloured(text) if self._colour else text}\n\n")
        outcome = self._position.outcome
        if outcome == DRAW:
            self._write("The game is drawn.\n")
        elif self._position.is_over:
            verdict = "you win" if outcome == self._human else "you lose"
            self._write(f"{self._game.players[outcome]} wins: {verdict}.\n")

    def _coloured(self, board: str) -> str:
        """The board with both sides' pieces in colour, where each has one kind, written as a capital."""
        pieces = self._game.pieces[1:]
        if len(pieces) == 2 and pieces.isupper():
            for piece, colour in zip(pieces, COLOURS, strict=True):
                board = re.sub(rf"(?<!\S){re.escape(piece)}(?!\S)", f"{colour}{piece}{COLOUR_OFF}", board)
        return board

    def _show_moves(self) -> None:
        state = self._position.state
        names = [self._game.action_to_text(state, action) for action in self._position.legal_actions()]
        self._write(" ".join(names or ["none: the game is over"]) + "\n")

    def _hint(self) -> None:
        if self._position.is_over:
            raise GameError("the game is over: there is no move to hint at")
        player = self._opponent.player()
        self._introduce()
        state = self._position.state
        if not isinstance(player, Analyst):
            with self._opponent.thinking():
                best = self._game.action_to_text(state, player.choose(self._position))
            self._write(f"{player.name} would play {best}.\n")
            return
        with self._opponent.thinking():
            candidates = player.analyse(self._position)[:3]
        for candidate in candidates:
            facts = [f"policy {candidate.prior:.0%}"]
            if candidate.visits:
                facts.append(f"searched {candidate.visits} times")
            if candidate.value is not None:
                facts.append(f"expected score {(candidate.value + 1) / 2:.0%}")
            self._write(f"{self._game.action_to_text(state, candidate.action):>6}   {', '.join(facts)}\n")

    def _undo(self) -> None:
        if self._human not in self._movers:
            raise GameError("there is no move of yours to take back")
        mine = False
        while not mine:
            self._position.undo()
            mine = self._movers.pop() == self._human
        self._show_board()

    def _swap(self) -> None:
        self._human = 1 - self._human
        self._write(f"You are {self._game.players[self._human]} now.\n")

    def _new(self) -> None:
        self._position = Position(self._game)
        self._movers = []
        self._show_board()


def play(
    game_text: str, *, opponent: str | None, simulations: int | None, human: int, seed: int = 0, plain: bool = False
) -> None:
    """Plays on stdin and stdout until the user leaves; `plain` leaves colours and rewritten lines out.

    Raises GameError: for an unknown game or opponent; where input from a pipe is wrong or ends before the game.
    """
    interactive = sys.stdin is not None and sys.stdin.isatty()
    decorated = sys.stdout is not None and sys.stdout.isatty() and not plain
    progress = Progress(_write, live=decorated)
    progress.begin("compiling the rules, once (later starts find them compiled)")
    with progress.shown():
        game = load(game_text)
        _ = game.kernels
    named = opponent is not None
    if not named and not any_model_under_runs() and shipped_net(game) is None:
        opponent = "rollout"
        _write(
            f"No net under runs/ yet (`keima train {game.spec}` makes one): the opponent searches by random playouts.\n"
        )
    loading = Opponent(game, opponent, simulations, seed, progress)
    terminal = TerminalGame(
        game,
        loading,
        human=human,
        read=_read_typed if interactive else _read_piped,
        write=_write,
        interactive=interactive,
        colour=decorated and "NO_COLOR" not in os.environ,
    )
    # A user at the keyboard thinks while the opponent loads; one who named it, or a pipe, hears first if that fails.
    terminal.run(wait_first=named or not interactive)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _read_typed(prompt: str) -> str | None:
    with contextlib.suppress(ImportError):
        import readline  # gives `input` its line editing

        # It would set a mode of the terminal that nobody takes back where Ctrl-C ends the process.
        readline.parse_and_bind("set enable-bracketed-paste off")
    try:
        return input(prompt)
    except EOFError:
        _write("\n")
        return None


def _read_piped(prompt: str) -> str | None:
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        return None
    _write(f"{prompt}{line.rstrip()}\n")  # as a terminal would have shown it
    return line
