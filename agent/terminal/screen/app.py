"""The full-screen game: the window, the line for moves and commands, keys, dialogs, beginning and leaving.

What needs the rules is the table's (agent/terminal/screen/game_view.py), which is loaded while the first screen is up:
numba alone takes longer to import than the screen to be drawn.
"""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.widgets import Footer, Input, Static

from keima.agent.system.progress import LOADER
from keima.agent.terminal.command_table import named_command
from keima.agent.terminal.match_setup import Setting
from keima.agent.terminal.screen import style
from keima.agent.terminal.screen.dialogs import Answers, HelpScreen, StartDialog
from keima.games import blamed_on_game

if TYPE_CHECKING:
    from keima.agent.records.record import GameRecord
    from keima.agent.terminal.screen.game_view import GameView
    from keima.games.contract import Game

LOADING_TICK_S = 0.5
"""How often the seconds of loading are told."""
SHORT, TALL = 32, 46
"""Below so many lines the panels are lower, from so many on higher."""


class CommandLine(Input):
    """Moves and commands are typed here; while it is empty, arrows and Enter are the board's."""

    @property
    def _table(self) -> "GameView | None":
        assert isinstance(self.app, KeimaApp)
        return self.app.table

    async def _on_key(self, event: events.Key) -> None:
        """Keys that change or send the line are done here, in the order in which they were pressed: as bindings, which
        go the way round the app, they could be overtaken by what is typed after them."""
        mine: dict[str, Callable[[], None]] = {
            "enter": self._send,
            "escape": self._clear,
            "backspace": self.action_delete_left,
            "up": lambda: self._move_cursor(-1, 0),
            "down": lambda: self._move_cursor(1, 0),
            "ctrl+up": lambda: self._scroll(-1),
            "ctrl+down": lambda: self._scroll(1),
        }
        if not self.value:
            mine |= {"left": lambda: self._move_cursor(0, -1), "right": lambda: self._move_cursor(0, 1)}
        act = mine.get(event.key)
        if act is None:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        act()

    def _move_cursor(self, down: int, right: int) -> None:
        if self._table is not None:
            self._table.move_cursor(down, right)

    def _scroll(self, lines: int) -> None:
        if self._table is not None:
            self._table.scroll_messages(lines)

    def _send(self) -> None:
        assert isinstance(self.app, KeimaApp)
        line, self.value = self.value.strip(), ""
        if line:
            self.app.run_line(line)
        elif self._table is not None and self._table.is_begun:
            self._table.choose_cell()

    def _clear(self) -> None:
        self.value = ""
        if self._table is not None and self._table.is_begun:
            self._table.go_back()


class KeimaApp(App[None]):
    """One window. `run` returns when the user leaves; `problem` is then what made it impossible to play.

    `is_interrupted`: whether it was by Ctrl-C that the user left.
    """

    class Call(Message):
        """Has the screen's thread call a function; any thread may post it."""

        def __init__(self, function: Callable[[], None]) -> None:
            super().__init__()
            self.function = function

    CSS = style.CSS
    TITLE = "Keima"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help"),
        # With 80 columns all that are shown have room: hence short words, and PgUp and PgDn in the help alone.
        Binding("f2", "line('analyse')", "Think"),
        Binding("f3", "heat", "Heat"),
        Binding("f4", "line('hint')", "Hint"),
        Binding("f5", "line('explain')", "Why"),
        Binding("f6", "line('undo')", "Undo"),
        Binding("pageup", "line('back')", show=False, priority=True),
        Binding("pagedown", "line('forward')", show=False, priority=True),
        Binding("ctrl+home", "line('start')", show=False),
        Binding("ctrl+end", "line('end')", show=False),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("ctrl+s", "type('save')", "Save", priority=True),
        Binding("ctrl+o", "type('load')", "Open", priority=True),
        Binding("ctrl+q", "quit", "Leave", priority=True),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]

    def __init__(self, setting: Setting, *, is_chosen: bool) -> None:
        """`is_chosen`: who plays how was said already and is not asked."""
        self._coloured = "NO_COLOR" not in os.environ
        super().__init__(ansi_color=not self._coloured)  # textual leaves colours out of the terminal's own alone
        self.problem: Exception | None = None
        self.is_interrupted = False
        self.table: GameView | None = None
        self._setting = setting
        self._is_chosen = is_chosen
        self._loaded: tuple[Game, GameRecord | None] | None = None
        self._answers: Answers | None = None  # of the start dialog
        self._began_s = 0.0
        if self._coloured:
            self.register_theme(style.THEME)
            self.theme = style.THEME.name

    def compose(self) -> ComposeResult:
        yield Static("", id="top", markup=False)
        yield Static("", id="middle")
        yield CommandLine(placeholder="a move or a command; F1 helps", id="command", compact=True)
        yield Footer(compact=True, show_command_palette=False)
        yield Static("", id="too-small", markup=False)

    # --- beginning and leaving

    def on_mount(self) -> None:
        self.query_one("#command").focus()
        self._began_s = time.monotonic()
        self._show_loading()
        self.set_interval(LOADING_TICK_S, self._show_loading)
        threading.Thread(target=self._load, name=LOADER, daemon=True).start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(RuntimeError, ValueError):  # elsewhere than in the main thread
                loop.add_signal_handler(number, self.action_interrupt if number == signal.SIGINT else self.exit)
        if not self._is_chosen:
            self._open_dialog(Answers(), self._answered_first)

    def _show_loading(self) -> None:
        if self._loaded is None:
            seconds = time.monotonic() - self._began_s
            self._show_status(f"reading the rules; the first time they are compiled ... {seconds:.0f} s")

    def _load(self) -> None:
        """Loads what needs the rules; in its own thread."""
        try:
            import keima.agent.terminal.screen.game_view  # noqa: F401 (for the import itself, which takes a second)
            from keima.agent.terminal.line_mode import read_setting

            loaded = read_setting(self._setting)
        except Exception as error:
            problem = error
            self._post(lambda: self._give_up(problem))
        else:
            self._post(lambda: self._know(loaded))
            if not self._is_chosen:
                with contextlib.suppress(Exception):  # told when the opponent is made, if it is this one
                    self._load_ahead(loaded[0])

    @staticmethod
    def _load_ahead(game: "Game") -> None:
        """Imports what the usual opponent needs, while the user looks at the dialog."""
        import keima.mcts.search
        from keima.agent.nets.shipped import shipped_net
        from keima.agent.players.factory import any_model_under_runs

        if shipped_net(game) is not None or any_model_under_runs():
            import keima.agent.inference.torch_evaluator  # noqa: F401 (takes torch along)

    def _know(self, loaded: "tuple[Game, GameRecord | None]") -> None:
        """The rules are there."""
        from keima.agent.terminal.screen.game_view import GameView

        self._loaded = loaded
        for screen in self.screen_stack:
            if isinstance(screen, StartDialog):
                screen.know(loaded[0])
        self.table = GameView(loaded[0], coloured=self._coloured, post=self._post, start_text=self._setting.start_text)
        main = self.screen_stack[0]
        main.mount(self.table, after="#middle")
        main.query_one("#middle").remove()
        self.call_after_refresh(self._begin_if_known)

    def _begin_if_known(self) -> None:
        """Begins where both the rules and what is played are known."""
        if self._is_chosen or self._answers is not None:
            self._begin()
        else:
            self._show_status("choose who plays")
        self._fit()

    def _answered_first(self, answers: Answers | None) -> None:
        self._answers = answers or Answers()
        if self.table is not None:
            self._begin()

    def _begin(self) -> None:
        from keima.games.contract import GameError

        assert self.table is not None
        assert self._loaded is not None
        sides, adviser, record = self._setting.sides, self._setting.adviser, self._loaded[1]
        if self._answers is not None:
            record = None
            try:
                sides, adviser = self._answers.sides(self.table.game)
            except GameError as error:  # accepted before there was a game to check it with
                self._open_dialog(self._answers, self._answered_first, str(error))
                return
        self.table.begin(sides, adviser, record, is_first=self._answers is None)
        self._fit()

    def _give_up(self, problem: Exception) -> None:
        self.problem = problem
        self.exit()

    def on_game_view_impossible(self, message: "GameView.Impossible") -> None:
        self._give_up(message.problem)

    def on_unmount(self) -> None:
        if self.table is not None:
            self.table.close()

    async def action_quit(self) -> None:
        self.exit()

    def action_interrupt(self) -> None:
        self.is_interrupted = True
        self.exit()

    def _handle_exception(self, error: Exception) -> None:
        # What a user's own game has raised is told in one line, once the screen is the terminal's again.
        if blamed_on_game(error) is None:
            super()._handle_exception(error)
        else:
            self._give_up(error)

    def _post(self, function: Callable[[], None]) -> None:
        """Has the screen's thread call a function; for any thread."""
        self.post_message(self.Call(function))

    def on_keima_app_call(self, message: Call) -> None:
        message.function()

    # --- commands and keys

    def run_line(self, line: str) -> None:
        """Does what a line asks for."""
        if self.table is not None and self.table.is_begun:
            self.table.run_line(line)
        elif (command := named_command(line)) is not None:  # the game has not begun, but may be left
            self._do_for_view(command.name)

    def on_game_view_wanted(self, message: "GameView.Wanted") -> None:
        self._do_for_view(message.what)

    def _do_for_view(self, command: str) -> None:
        if command == "quit":
            self.exit()
        elif command == "help":
            self.action_help()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the table do nothing while a dialog is open, which may have a use for them."""
        return action not in ("line", "type", "heat", "new", "help") or len(self.screen_stack) <= 1

    def action_line(self, line: str) -> None:
        self.run_line(line)

    def action_type(self, command: str) -> None:
        """Begins a command for the user to complete."""
        if self.table is not None:
            line = self.query_one("#command", CommandLine)
            line.value = f"{command} {self.table.game.name}.keima.txt"
            line.cursor_position = len(line.value)
            line.focus()

    def action_heat(self) -> None:
        if self.table is not None and self.table.is_begun:
            self.table.turn_heat()

    def action_show_ply(self, ply: int) -> None:
        if self.table is not None and self.table.is_begun:
            self.table.show_ply(ply)

    def action_help(self) -> None:
        self.push_screen(HelpScreen())

    def action_new(self) -> None:
        if self.table is not None:
            self._open_dialog(self._answers or Answers(), self._answered_again)

    def _answered_again(self, answers: Answers | None) -> None:
        if answers is not None:
            self._answers = answers
            self._begin()

    def _open_dialog(self, before: Answers, then: Callable[[Answers | None], None], error: str = "") -> None:
        game = None if self._loaded is None else self._loaded[0]
        self.push_screen(StartDialog(f"Keima  ·  {self._setting.game_text}", before, game, error), then)

    # --- the window

    def on_game_view_status(self, message: "GameView.Status") -> None:
        self._show_status(message.text)

    def _show_status(self, text: str) -> None:
        if not self.screen_stack:  # it is being left
            return
        label = Text(f"Keima  {self._setting.game_text}  ·  ", style="bold", no_wrap=True, overflow="ellipsis")
        self.screen_stack[0].query_one("#top", Static).update(label + Text(text, style="not bold"), layout=False)

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size)  # the app's own size is still the old one

    def _fit(self, size: Size | None = None) -> None:
        """Chooses what is shown by the window's size; a window too small for the board says so."""
        from keima.agent.terminal.screen.arrangement import arrange  # knows games: not before they are loaded

        width, height = size or self.size
        screen = self.screen_stack[0]
        screen.set_class(height < SHORT, "short")
        screen.set_class(height >= TALL, "tall")
        if self.table is None:
            return
        arrangement = arrange(self.table.game, width, height)
        screen.set_class(arrangement.is_too_small, "tiny")
        screen.query_one("#too-small", Static).update(
            f"too small:\n{arrangement.needed[0]} x {arrangement.needed[1]} needed,\n{width} x {height} now"
        )
        self.table.take_places(arrangement)


def play(setting: Setting, *, is_chosen: bool) -> None:
    """Plays on the whole screen until the user leaves.

    Raises GameError for what makes it impossible, and KeyboardInterrupt where the user leaves by Ctrl-C.
    """
    for name in ("COLUMNS", "LINES"):  # where they are set, they would count for more than the window's size
        os.environ.pop(name, None)
    app = KeimaApp(setting, is_chosen=is_chosen)
    app.run()
    if app.problem is not None:
        raise app.problem
    if app.is_interrupted:
        raise KeyboardInterrupt
