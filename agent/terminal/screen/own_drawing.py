"""A game as it draws itself, with its moves below: for games whose moves are no cells of a board of pieces."""

from collections.abc import Mapping

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip

from keima.agent.terminal.screen.board import Board
from keima.agent.terminal.screen.cell_positions import LINES_OF_MOVES, MOVES_WIDTH
from keima.agent.terminal.screen.move_cells import LegalMoves, MoveCells, draws_itself
from keima.agent.terminal.screen.painting import HEAT, LABEL, contrasting, mixed, style_of
from keima.games.contract import Game

GROUND = (20, 22, 27)
"""The board's background; see style."""
BETWEEN = "  "
"""What stands between two moves."""


class OwnDrawing(Board):
    """Shows the lines of a game's `render`, below them the legal moves, of which the arrow keys choose one."""

    def __init__(self, game: Game, *, coloured: bool) -> None:
        super().__init__(game, coloured=coloured)
        self._coloured = coloured
        self._lines: list[str] = []
        self._places: list[tuple[int, int, int]] = []  # of each move below the drawing: line, first column, last one

    def show(self, moves: LegalMoves, last: MoveCells | None, shares: Mapping[int, float], *, may_point: bool) -> None:
        super().show(moves, last, shares, may_point=may_point)
        self._lines = self.game.render(self._state).splitlines()
        if self._cursor is not None and self._cursor >= len(moves.actions):
            self._cursor = None

    def render_line(self, y: int) -> Strip:
        """A line of the widget: of the drawing, or of the moves below it."""
        if self._strips is None:
            self._strips = [Strip([self._painter.text(line)]) for line in self._lines] + self._moves_below()
        left, top = self._corner()
        if not 0 <= y - top < len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        strip = Strip.join([Strip.blank(left), self._strips[y - top]])
        return strip.extend_cell_length(self.size.width).crop(0, self.size.width).apply_style(self.rich_style)

    def _corner(self) -> tuple[int, int]:
        """The column and the line where the drawing begins."""
        width = max(min(MOVES_WIDTH, self.size.width), *map(len, self._lines), 0)
        height = len(self._lines) + LINES_OF_MOVES
        return max((self.size.width - width) // 2, 0), max((self.size.height - height) // 2, 0)

    def _moves_below(self) -> list[Strip]:
        """The legal moves, as many in a line as fit, each with its share of the heat; notes where they stand."""
        self._places, left = [], self._corner()[0]
        if self._moves is None:
            return []
        room = max(self.size.width - left, 1)
        strips, column = [Strip([])], 0
        segments: list[Segment] = []
        for number, action in enumerate(self._moves.actions):
            text = self.game.action_to_text(self._state, action)
            if action in self._shares:
                text += f" {self._shares[action]:.0%}"
            is_chosen = self._legal is not None and number == self._cursor
            text = f"[{text}]" if is_chosen and not self._coloured else f" {text} "
            if column and column + len(text) > room:
                strips.append(Strip(segments))
                segments, column = [], 0
            self._places.append((len(self._lines) + len(strips), column, column + len(text)))
            segments = [
                *segments,
                self._painter.text(text, self._style(action, is_chosen)),
                self._painter.text(BETWEEN),
            ]
            column += len(text) + len(BETWEEN)
        return [*strips, Strip(segments)]

    def _style(self, action: int, is_chosen: bool) -> Style:
        if not self._coloured:
            return Style(bold=is_chosen or None)
        ground = mixed(GROUND, HEAT, 0.8 * self._shares.get(action, 0.0) ** 0.5)
        return Style(reverse=is_chosen or None) + style_of(contrasting(ground) if self._legal else LABEL, ground)

    def move_cursor(self, down: int, right: int) -> None:
        """Goes to another move; the first time to the first one."""
        count = 0 if self._moves is None else len(self._moves.actions)
        if count:
            self._cursor = 0 if self._cursor is None else (self._cursor + down + right) % count
        self._redraw()

    def choose(self, cell: int | None) -> None:
        """Plays the move of this number among those shown."""
        if self._legal is not None and cell is not None and cell < len(self._legal.actions):
            self.post_message(self.Chosen([self._legal.actions[cell]]))

    def cell_at(self, x: int, y: int) -> int | None:
        """The number of the move drawn at a place of the widget."""
        left, top = self._corner()
        for number, (line, first, end) in enumerate(self._places):
            if line == y - top and first <= x - left < end:
                return number
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        number = self.cell_at(event.x, event.y)
        if number is not None and number != self._cursor:
            self._cursor = number
            self._redraw()


def board_widget(game: Game, *, coloured: bool) -> Board:
    """What shows a game's positions."""
    return (OwnDrawing if draws_itself(game) else Board)(game, coloured=coloured)
