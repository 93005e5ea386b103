"""Everything on the screen that needs the game: the board, the panels beside it, and what commands do with them."""

from collections import deque
from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from keima.agent.contracts.thinking import Limit, SearchInfo, ShouldStop
from keima.agent.records.record import GameRecord
from keima.agent.terminal.controller import Controller
from keima.agent.terminal.match_setup import PlayerChoice, Sides
from keima.agent.terminal.opponent import Adviser
from keima.agent.terminal.screen.arrangement import BELOW, BESIDE, INSTEAD, Arrangement
from keima.agent.terminal.screen.board import Board
from keima.agent.terminal.screen.move_cells import LegalMoves
from keima.agent.terminal.screen.own_drawing import board_widget
from keima.agent.terminal.screen.panels import (
    Graph,
    candidates_text,
    messages_text,
    moves_text,
    players_text,
    search_summary,
)
from keima.agent.terminal.screen.scheduler import Scheduler
from keima.games.contract import Game, GameError

BOARD, TEXT, PANEL = "", "text", "panel"
"""What is in the board's place where the window has no room for both: what was told last, or the analysis."""
NO_HEAT, VISITS, POLICY = "off", "visits", "policy"
HEATS = (NO_HEAT, VISITS, POLICY)
TICK_S = 0.25
"""How often the seconds of thinking are told, and looked whether a player is ready."""
MESSAGES = 60
"""How many are kept."""


class GameView(Horizontal):
    """One user at one board."""

    class Status(Message):
        """What is going on, for the line above the table."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Wanted(Message):
        """The user asks for what is the window's: `help` or `quit`."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    class Impossible(Message):
        """What was asked for on the command line cannot be played."""

        def __init__(self, problem: GameError) -> None:
            super().__init__()
            self.problem = problem

    def __init__(
        self, game: Game, *, coloured: bool, post: Callable[[Callable[[], None]], None], start_text: str = ""
    ) -> None:
        """`post`: has the screen's thread call a function, from any thread; `start_text`: see `Match`."""
        super().__init__(id="table", classes="no-panel")
        self.game = game
        self._coloured = coloured
        self._post = post
        self._start_text = start_text
        self._board = board_widget(game, coloured=coloured)
        self._scheduler: Scheduler | None = None  # until `begin`
        self._controller: Controller | None = None  # likewise
        self._heat = NO_HEAT
        self._messages: deque[tuple[str, bool]] = deque(maxlen=MESSAGES)  # text, and whether it is an error
        self._moves_shown: Text | None = None
        self._notice = ""  # the last of them, until the user does something
        self._legal: tuple[tuple[int, ...], LegalMoves] | None = None  # of the position looked at, by its moves
        self._arrangement = Arrangement((0, 0), is_too_small=False)
        self._in_place_of_board = BOARD
        self._is_first = True  # whether nothing was begun but what the command line asked for

    def compose(self) -> ComposeResult:
        yield self._board
        with Vertical(id="side"):
            yield Static("", id="players", markup=False)
            yield Graph(coloured=self._coloured, id="graph")
            yield Static("", id="summary", markup=False)
            yield Static("", id="candidates", markup=False)
            with VerticalScroll(id="moves-box", can_focus=False):
                yield Static("", id="moves", markup=False)
            with VerticalScroll(id="messages-box", can_focus=False):
                yield Static("", id="messages", markup=False)

    def on_mount(self) -> None:
        self.set_interval(TICK_S, self._tick)

    # --- beginning and leaving

    def begin(self, sides: Sides, adviser: PlayerChoice, record: GameRecord | None = None, *, is_first: bool) -> None:
        """A new game. `is_first`: just as the command line asks for, so that what goes wrong with it is its fault."""
        self._is_first = is_first
        if self._scheduler is None:
            self._scheduler = Scheduler(
                *(self.game, sides, adviser),
                start_text=self._start_text,
                post=self._post,
                changed=self.refresh_all,
                say=self.say,
                later=self.set_timer,
            )
        else:
            self._scheduler.begin(sides, adviser)
        self._controller = Controller(self._scheduler.match, self)
        for remark in self._scheduler.match.remarks:
            self.say(remark)
        if record is not None:
            self.say(self._scheduler.match.show_record(record))
            self._show_panel(True)
        self._scheduler.changed()

    def close(self) -> None:
        """Ends all thinking."""
        if self._scheduler is not None:
            self._scheduler.close()

    @property
    def scheduler(self) -> Scheduler:
        """Who thinks when; there is one from `begin` on."""
        assert self._scheduler is not None
        return self._scheduler

    @property
    def is_begun(self) -> bool:
        return self._scheduler is not None

    @property
    def board(self) -> Board:
        return self._board

    def take_places(self, arrangement: Arrangement) -> None:
        """Takes the places that the window has room for."""
        self._arrangement = arrangement
        is_beside, is_below = arrangement.panels == BESIDE, arrangement.panels == BELOW
        side, is_board_shown = self.query_one("#side"), not self._in_place_of_board
        self._board.display = is_board_shown
        self._board.styles.height = arrangement.board_height if is_below else "1fr"
        self._board.styles.width = "100%" if is_below else "1fr"
        side.display = arrangement.panels != INSTEAD or not is_board_shown
        side.styles.width = arrangement.side_width if is_beside and is_board_shown else "100%"
        self.styles.layout = "vertical" if is_below else "horizontal"
        self.set_class(is_below and is_board_shown, "below")
        self.set_class(self._in_place_of_board == TEXT, "text-alone")
        self.call_after_refresh(self.refresh_all)

    def _show_in_place_of_board(self, what: str) -> None:
        """Shows TEXT or the PANEL in the board's place, or with `BOARD` the board again."""
        if what != self._in_place_of_board:
            self._in_place_of_board = what
            self.take_places(self._arrangement)

    def _tick(self) -> None:
        if self._scheduler is None:
            return
        for agent in self._scheduler.match.players():
            if agent.is_loading:
                continue
            try:
                agent.player()
            except GameError as error:
                if self._is_first and self._scheduler.session.plies == 0:
                    self.post_message(self.Impossible(error))
                    return
        for introduction in self._scheduler.match.introductions():
            self.say(introduction)
            self.refresh_all()
        if self._scheduler.mover is not None or self._scheduler.is_answering:
            self._show_status()

    # --- a face: see `keima.agent.terminal.controller.Face`

    def run_line(self, line: str) -> None:
        """Does what a line asks for: a command or a move."""
        self._do(lambda controller: controller.run_line(line))

    def show_position(self) -> None:
        self.scheduler.changed()

    def note_change(self) -> None:
        self.scheduler.changed()

    def ask_adviser(self, work: Callable[[Adviser, ShouldStop], Any], answer: Callable[[Any], None]) -> None:
        self.scheduler.ask(work, answer)
        self._show_status()

    def analyse(self, limit: Limit) -> None:
        """Switches the analysis on or off; it goes on for as long as it is looked at, whatever the limit."""
        is_on = not self.scheduler.is_analysing or (self._arrangement.panels == INSTEAD and self._board.display)
        self._show_panel(is_on)
        self._show_in_place_of_board(PANEL if is_on and self._arrangement.panels == INSTEAD else BOARD)
        self.scheduler.changed()

    def show_help(self) -> None:
        self.post_message(self.Wanted("help"))

    def leave(self) -> None:
        self.post_message(self.Wanted("quit"))

    def _do(self, act: Callable[[Controller], None]) -> None:
        """Has the controller do something, and says what was wrong with it."""
        self._notice = ""
        if self._in_place_of_board == TEXT:
            self._show_in_place_of_board(BOARD)
        assert self._controller is not None
        try:
            act(self._controller)
        except GameError as error:
            self.say(str(error), is_error=True)
            self.scheduler.changed()

    # --- what keys do

    def _show_panel(self, is_on: bool) -> None:
        self.scheduler.is_analysing = is_on
        self.set_class(not is_on, "no-panel")
        self.set_class(is_on, "with-panel")
        if not is_on:
            self._heat = NO_HEAT
        self.call_after_refresh(self.refresh_all)  # once the panel has a size to be filled

    def turn_heat(self) -> None:
        """Shows the visits on the board, then the policy, then neither; the analysis goes with it."""
        self._heat = HEATS[(HEATS.index(self._heat) + 1) % len(HEATS)]
        if self._heat != NO_HEAT and not self.scheduler.is_analysing:
            self._show_panel(True)
        self.say(f"On the board: {self._heat}." if self._heat != NO_HEAT else "On the board: pieces alone.")
        self.scheduler.changed()

    def show_ply(self, ply: int) -> None:
        """Looks at the position after so many moves."""
        self._do(lambda controller: controller.show_ply(ply))

    def move_cursor(self, down: int, right: int) -> None:
        if self._board.display:
            self._board.move_cursor(down, right)
        else:
            self.scroll_messages(down)

    def scroll_messages(self, lines: int) -> None:
        """Reads on in what was told, or back."""
        self.query_one("#messages-box", VerticalScroll).scroll_relative(y=lines, animate=False)

    def choose_cell(self) -> None:
        """What Enter does on an empty line: points at the cell under the cursor, or makes the only move there is."""
        legal = self._pointable()
        if legal is not None and len(legal.actions) == 1:
            self._play(legal.actions[0])
        elif self._board.cursor is not None:
            self._board.choose(self._board.cursor)
            self._show_board()

    def go_back(self) -> None:
        """Unselects the piece that was taken; shows the board again."""
        self._show_in_place_of_board(BOARD)
        self._board.unselect()
        self._show_board()

    def on_board_chosen(self, message: Board.Chosen) -> None:
        shown = self.scheduler.session.shown
        if len(message.actions) == 1:
            self._play(message.actions[0])
            return
        names = [shown.game.action_to_text(shown.state, action) for action in message.actions]
        self.say(f"Several moves go there: type {', '.join(names)}.")

    def on_board_refused(self, message: Board.Refused) -> None:
        self.say(f"No move goes to {self.game.cell_to_text(message.cell)} here.", is_error=True)

    def _play(self, action: int) -> None:
        self._do(lambda controller: controller.play(action))

    def _legal_here(self) -> LegalMoves:
        """The legal moves of the position looked at."""
        shown = self.scheduler.session.shown
        key = tuple(shown.actions)
        if self._legal is None or self._legal[0] != key:
            self._legal = key, LegalMoves(shown.game, shown.state)
        return self._legal[1]

    def _pointable(self) -> LegalMoves | None:
        """The moves that the user may make now by pointing; None where it is not his turn or the game is over."""
        session = self.scheduler.session
        if session.awaits_agent or (session.is_at_end and session.is_over) or session.shown.is_over:
            return None
        return self._legal_here()

    # --- showing

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Tells the user something, above what was told before."""
        self._messages.appendleft((text, is_error))
        self.query_one("#messages", Static).update(messages_text(self._messages, coloured=self._coloured))
        self.query_one("#messages-box", VerticalScroll).scroll_home(animate=False)
        self._notice = text.partition("\n")[0]
        if not is_error and not self._has_room_for(text):
            self._show_in_place_of_board(TEXT)
        if self._scheduler is not None:
            self._show_status()

    def _has_room_for(self, text: str) -> bool:
        """Whether what is told can be read where it is told; beside the board it is scrolled."""
        if self._arrangement.panels == BESIDE or self._arrangement.is_too_small:
            return True
        if not self.query_one("#side").display:
            return "\n" not in text and len(text) <= self.size.width - len(f"  Keima  {self.game.spec}  ·  ")
        box = self.query_one("#messages-box").size
        return len(Text(text).wrap(self.app.console, max(box.width - 2, 1))) <= max(box.height, 1)

    def refresh_all(self) -> None:
        """Shows how everything stands now."""
        if self._scheduler is None or not self.is_attached:
            return
        self._show_status()
        self._show_board()
        if self.query_one("#side").display:
            self._show_side()

    def _show_status(self) -> None:
        # Where there is no room for messages the last one stands in the place of the status.
        is_narrow = not self.query_one("#side").display
        self.post_message(self.Status((is_narrow and self._notice) or self._status()))

    def _status(self) -> str:
        """Whose turn it is, or what is being waited for."""
        scheduler, session = self.scheduler, self.scheduler.session
        side = session.game.players[session.shown.player]
        again = " again" if session.moves_again else ""
        if self._in_place_of_board:
            return "Esc shows the board again"
        if scheduler.is_answering:
            return scheduler.progress or f"working on the answer, {scheduler.thinking_s:.0f} s"
        if not session.is_at_end:
            return f"after move {session.shown_ply} of {session.plies}; {side} to move{again}"
        if session.is_over:
            return session.verdict()
        if scheduler.mover is not None:
            return scheduler.progress or f"{side} is thinking{again}, {scheduler.thinking_s:.0f} s"
        if session.is_paused:
            return f"{side} to move{again}; `go` goes on"
        if session.awaits_agent:
            return f"{side} moves next"
        return f"your turn{again}: {side}" if session.only_human is not None else f"{side} to move{again}"

    def _show_board(self) -> None:
        session = self.scheduler.session
        last = None
        if (made := session.last_move()) is not None:
            before, action = made
            last = LegalMoves(before.game, before.state, only=action).cells[action]
        info = self.scheduler.info_of(session.shown)
        shares = {} if self._heat == NO_HEAT or info is None or session.shown.is_over else _shares(info, self._heat)
        self._board.show(self._legal_here(), last, shares, may_point=self._pointable() is not None)

    def _show_side(self) -> None:
        scheduler, session, coloured = self.scheduler, self.scheduler.session, self._coloured
        colours = self._board.painter.palette.sides
        names = [
            "you" if agent is None else agent.name + (" (getting ready)" if agent.is_loading else "")
            for agent in scheduler.match.agents
        ]
        shown = session.shown
        turn = None if shown.is_over else shown.player
        self._update("players", players_text(self.game.players, names, turn, colours, coloured=coloured))
        self.query_one("#graph", Graph).show(
            session.judgements, session.plies, session.shown_ply, colours, self.game.players
        )
        info, mover = scheduler.info_of(shown), scheduler.mover if session.is_at_end else None
        who = "analysis" if mover is None else mover.name
        if info is None and session.awaits_agent and (made := session.last_move()) is not None:
            # Until the next player has something to tell, what the last move was chosen from is shown.
            shown, info, who = made[0], scheduler.info_of(made[0]), "before the last move"
        if info is None and scheduler.is_analysing and not shown.is_over:
            summary = f"analysis: {scheduler.progress or 'getting ready'}"
        else:
            summary = search_summary(info, who)
        self._update("summary", Text(summary, no_wrap=True, overflow="ellipsis"))
        size = self.query_one("#candidates").size
        self._update("candidates", candidates_text(shown, info, size.width, size.height, coloured=coloured))
        movers = session.position.movers()
        moves, width = session.position.moves_text(), self.query_one("#moves").size.width
        text = moves_text(moves, movers, session.shown_ply, colours, width, coloured=coloured)
        if text != self._moves_shown:  # the only text here whose height changes, which has everything laid out again
            self._moves_shown = text
            self.query_one("#moves", Static).update(text)
            if session.is_at_end:
                self.query_one("#moves-box", VerticalScroll).scroll_end(animate=False)

    def _update(self, name: str, text: Text) -> None:
        """Changes a text of fixed size."""
        self.query_one(f"#{name}", Static).update(text, layout=False)

    def on_resize(self) -> None:
        self.refresh_all()


def _shares(info: SearchInfo, heat: str) -> dict[int, float]:
    """Each action's share of the visits (of the policy where nothing was searched), or of the policy."""
    if heat == VISITS and info.visits:
        total = sum(line.visits for line in info.variations) or 1
        return {line.action: line.visits / total for line in info.variations}
    return {line.action: line.prior for line in info.variations}
