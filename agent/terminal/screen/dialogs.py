"""What is asked before a game, and the help. Up before the rules are read, which takes longer to import."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Label, Static

from keima.agent.terminal.command_table import help_text
from keima.agent.terminal.match_setup import PlayerChoice, Sides

if TYPE_CHECKING:
    from keima.games.contract import Game

SUGGESTED = (
    "shipped",
    "rollout:500",
    "random",
    "raw",
    "exact",
    "alphabeta:4",
    'gtp:"gnugo --mode gtp"',
    'uci:"stockfish"',
)
"""Players that the dialog completes while one is typed."""
FIRST, SECOND, BOTH, WATCH = range(4)
KEYS = """\
A move      typed; or by mouse, or arrow keys and Enter: first the
            piece that moves, then where it goes
F2          the analysis: win, draw and loss, the best moves
F3          on the board: the visits, the policy, pieces alone
F4  F5      a hint; the last move explained
F6          takes your last move back
Ctrl-Up     reads on in what was told, and Ctrl-Down; Esc goes back
PgUp  PgDn  one move back, one on; Ctrl-Home, Ctrl-End: all
Ctrl-N      a new game: sides, opponent, strength
Ctrl-S      saves the game; Ctrl-O opens one
Ctrl-Q      leaves, and so does Ctrl-C

Commands, typed:
"""


@dataclass(frozen=True)
class Answers:
    """What was chosen in the start dialog."""

    side: int = FIRST
    """One of FIRST, SECOND, BOTH, WATCH."""
    opponent: str = ""
    """A player's text; empty for the default."""
    simulations: str = ""
    seconds: str = ""
    elo: str = ""
    ponder: bool = False
    seed: int = 0

    def sides(self, game: "Game") -> tuple[Sides, PlayerChoice]:
        """Who plays each side (None: the user), and who gives advice. Raises GameError for what makes no sense."""
        from keima.games.contract import GameError

        text, elo = self.opponent.strip() or None, None
        if self.elo.strip():
            from keima.agent.players.levels import level_for

            if text is not None or self.simulations.strip() or self.seconds.strip():
                raise GameError("Elo says how strong the opponent is: leave opponent, simulations and seconds empty")
            level = level_for(game, int(_number("Elo", self.elo, -10_000, 10_000, whole=True)))
            text, elo = level.player, level.elo
        simulations = self.simulations.strip()
        seconds = self.seconds.strip()
        choice = PlayerChoice(
            text,
            int(_number("simulations", simulations, 0, 1_000_000, whole=True)) if simulations else None,
            _number("seconds", seconds, 0.01, 86_400) if seconds else None,
            self.seed,
            self.ponder,
            elo,
        )
        choice.check()
        sides: dict[int, Sides] = {
            FIRST: (None, choice),
            SECOND: (choice, None),
            BOTH: (None, None),
            WATCH: (choice, choice),
        }
        return sides[self.side], choice


def _number(what: str, text: str, low: float, high: float, *, whole: bool = False) -> float:
    from keima.games.contract import GameError

    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise GameError(f"{what}: expected {kind} from {low:g} to {high:g}, got {text.strip()!r}")
    return value


class Cycle(Static, can_focus=True):
    """One of several answers, changed with the arrow keys, the space bar or the mouse."""

    BINDINGS = [  # noqa: RUF012 (textual's own way)
        Binding("left", "turn(-1)", show=False),
        Binding("right,space", "turn(1)", show=False),
    ]
    index: reactive[int] = reactive(0)

    def __init__(self, answers: list[str], index: int = 0, **options: str) -> None:
        super().__init__(markup=False, **options)  # type: ignore[arg-type]
        self.answers = answers
        self.set_reactive(Cycle.index, index)

    def render(self) -> str:
        return f"◂ {self.answers[self.index]} ▸"

    def action_turn(self, step: int) -> None:
        self.index = (self.index + step) % len(self.answers)

    def on_click(self) -> None:
        self.action_turn(1)

    def rename(self, answers: list[str]) -> None:
        """Other words for the same answers."""
        self.answers = answers
        self.refresh()


class StartDialog(ModalScreen[Answers | None]):
    """Asks who plays how. Enter accepts what is there at once; Escape leaves everything as it is."""

    BINDINGS = [  # noqa: RUF012
        Binding("enter", "accept", "Play", priority=True),
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, title: str, before: Answers, game: "Game | None", error: str = "") -> None:
        """`game`: None while it is being loaded; see `know`. `error`: what was wrong with the answers before."""
        super().__init__()
        self._title = title
        self._before = before
        self._game = game
        self._error = error

    def compose(self) -> ComposeResult:
        before = self._before
        with Vertical(classes="box"):
            yield Static(self._title, classes="title", markup=False)
            yield Static("")
            with Horizontal(classes="row"):
                yield Label("You play")
                yield Cycle(_sides(self._game), before.side, id="side")
            with Horizontal(classes="row"):
                yield Label("Opponent")
                yield Input(
                    before.opponent,
                    placeholder="the newest net",
                    suggester=SuggestFromList(SUGGESTED, case_sensitive=False),
                    id="opponent",
                    compact=True,
                )
            for name, label, placeholder in (
                ("simulations", "Simulations", "a move; 200"),
                ("seconds", "Seconds", "a move; no limit"),
                ("elo", "Elo", "or a strength, where it was measured"),
            ):
                with Horizontal(classes="row"):
                    yield Label(label)
                    yield Input(getattr(before, name), placeholder=placeholder, id=name, compact=True)
            with Horizontal(classes="row"):
                yield Label("Ponders")
                yield Cycle(["no", "yes, it thinks on your time too"], int(before.ponder), id="ponder")
            yield Static(self._error, classes="error", id="error", markup=False)
            yield Static("Enter plays · Tab and arrows change · Esc goes back", classes="note")

    def know(self, game: "Game") -> None:
        """The game is loaded: its players' names are known."""
        self._game = game
        if self.is_mounted:
            self.query_one("#side", Cycle).rename(_sides(game))

    def answers(self) -> Answers:
        """What stands there now."""
        opponent, simulations, seconds, elo = (
            self.query_one(f"#{name}", Input).value for name in ("opponent", "simulations", "seconds", "elo")
        )
        side, ponder = (self.query_one(f"#{name}", Cycle).index for name in ("side", "ponder"))
        return Answers(side, opponent, simulations, seconds, elo, bool(ponder), self._before.seed)

    def action_accept(self) -> None:
        from keima.games.contract import GameError

        answers = self.answers()
        if self._game is not None:
            try:
                answers.sides(self._game)
            except GameError as error:
                self.query_one("#error", Static).update(str(error))
                return
        self.dismiss(answers)


def _sides(game: "Game | None") -> list[str]:
    first, second = ("", "") if game is None else (f": {game.players[0]}", f": {game.players[1]}")
    return [f"first{first}", f"second{second}", "both sides", "neither: watch two of the opponent"]


class HelpScreen(ModalScreen[None]):
    """Keys and commands."""

    BINDINGS = [Binding("escape,enter,f1,space", "dismiss(None)", "Back")]  # noqa: RUF012

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box", id="help-box"):
            yield Static("Keima", classes="title")
            yield Static(KEYS + help_text(), id="help-text", markup=False)
            yield Static("Esc goes back", classes="note")
