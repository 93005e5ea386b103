"""The board on the screen: as large as fits, with a cursor for arrow keys and mouse, and moves chosen by cells."""

from collections.abc import Mapping

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from keima.agent.terminal.screen.cell_positions import Geometry, fitting
from keima.agent.terminal.screen.move_cells import LegalMoves, MoveCells, plays_columns
from keima.agent.terminal.screen.painting import Marks, Painter
from keima.games.contract import Game, State


class Board(Widget):
    """Shows positions of one game. `Chosen` and `Refused` tell what the user pointed at."""

    class Chosen(Message):
        """The user pointed at a move; at several where a piece promotes."""

        def __init__(self, actions: list[int]) -> None:
            super().__init__()
            self.actions = actions

    class Refused(Message):
        """The user pointed at a cell where nothing can be played."""

        def __init__(self, cell: int) -> None:
            super().__init__()
            self.cell = cell

    def __init__(self, game: Game, *, coloured: bool) -> None:
        super().__init__()
        self.game = game
        self._painter = Painter(game, coloured=coloured)
        self._by_columns = plays_columns(game)
        self._state: State = game.new_state()
        self._legal: LegalMoves | None = None  # None while nobody at the screen may move
        self._moves: LegalMoves | None = None  # of the position shown
        self._last: frozenset[int] = frozenset()
        self._shares: Mapping[int, float] = {}
        self._beside: list[str] = []
        self._cursor: int | None = None
        self._selected: int | None = None
        self._strips: list[Strip] | None = None  # None: to be drawn anew
        self._geometry: Geometry | None = None

    # --- what is shown

    def show(self, moves: LegalMoves, last: MoveCells | None, shares: Mapping[int, float], *, may_point: bool) -> None:
        """Shows a position with its legal `moves`.

        `last`: the cells of the move before; `shares`: the heat map, each action's share of 1, empty for none;
        `may_point`: whether the moves may be pointed at.
        """
        legal = moves if may_point else None
        if legal is None or self._legal is None or (moves.state != self._state).any():
            self._selected = None
        self._state, self._legal, self._shares, self._moves = moves.state, legal, shares, moves
        self._last = frozenset(cell for cell in (last.source, last.target) if cell is not None) if last else frozenset()
        beside = self.game.beside(self._state)
        if len(beside) != len(self._beside):
            self._geometry = None
        self._beside = beside
        self._redraw()

    @property
    def painter(self) -> Painter:
        return self._painter

    @property
    def cursor(self) -> int | None:
        """The cell under the cursor."""
        return self._cursor

    @property
    def selected(self) -> int | None:
        """The cell of the piece that is to move."""
        return self._selected

    @property
    def geometry(self) -> Geometry | None:
        """How the board is laid out in the widget's size; None where it does not fit."""
        if self._geometry is None and self.size.width:
            self._geometry = fitting(self.game, self.size.width, self.size.height - len(self._beside))
        return self._geometry

    def _redraw(self) -> None:
        self._strips = None
        self.refresh()

    def _hints(self) -> frozenset[int]:
        """Cells to point out: where the selected piece can go; where one can be put, if that is not everywhere."""
        if self._legal is None or self._by_columns:
            return frozenset()
        targets = self._legal.targets(self._selected)
        if self._selected is None:
            empty = int((self.game.board(self._state) == 0).sum())
            return frozenset(targets) if len(targets) < empty else frozenset()
        return frozenset(targets)

    def _heat(self) -> dict[int, float]:
        """Each cell's share of the heat: where moves go, or first which piece is taken."""
        heat: dict[int, float] = {}
        if self._moves is None:
            return heat
        for action, share in self._shares.items():
            cells = self._moves.cells[action]
            is_from_there = cells.source == self._selected
            cell = cells.target if is_from_there else cells.source if self._selected is None else None
            if cell is not None:
                heat[cell] = heat.get(cell, 0.0) + share
        return heat

    def render_line(self, y: int) -> Strip:
        """A line of the widget, the board in its middle."""
        geometry = self.geometry
        if geometry is None:
            return Strip.blank(self.size.width, self.rich_style)
        if self._strips is None:
            cursor = self._cursor if self._legal is not None else None
            marks = Marks(cursor, self._selected, self._last, self._hints(), self._heat())
            self._strips = self._painter.paint(self._state, geometry, marks)
            self._strips += [self._painter.line(f"{text:^{geometry.size[0]}}") for text in self._beside]
        left, top = self._offset(geometry)
        if not 0 <= y - top < len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        strip = Strip.join([Strip.blank(left), self._strips[y - top]])
        return strip.extend_cell_length(self.size.width).crop(0, self.size.width).apply_style(self.rich_style)

    def _offset(self, geometry: Geometry) -> tuple[int, int]:
        width, height = geometry.size[0], geometry.size[1] + len(self._beside)
        return max((self.size.width - width) // 2, 0), max((self.size.height - height) // 2, 0)

    # --- pointing

    def move_cursor(self, down: int, right: int) -> None:
        """Moves the cursor by cells; the first time it appears in the middle."""
        height, width = self.game.shape
        if self._cursor is None:
            self._cursor = height // 2 * width + width // 2
        else:
            row, column = divmod(self._cursor, width)
            self._cursor = min(max(row + down, 0), height - 1) * width + min(max(column + right, 0), width - 1)
        self._redraw()

    def choose(self, cell: int | None) -> None:
        """Points at a cell: takes the piece on it, or moves there; by default only says what cannot be done."""
        if self._legal is None or cell is None:
            return
        actions = self._legal.at(cell, self._selected)
        if actions:
            self._selected = None
            self.post_message(self.Chosen(actions))
        elif cell == self._selected:
            self._selected = None
        elif cell in self._legal.sources():
            self._selected = cell
        else:
            self.post_message(self.Refused(cell))
        self._redraw()

    def unselect(self) -> None:
        """Puts the piece down that was taken."""
        self._selected = None
        self._redraw()

    def cell_at(self, x: int, y: int) -> int | None:
        """The cell at a place of the widget."""
        geometry = self.geometry
        if geometry is None:
            return None
        left, top = self._offset(geometry)
        return geometry.cell_at(x - left, y - top)

    def on_click(self, event: events.Click) -> None:
        self._cursor = self.cell_at(event.x, event.y)
        self.choose(self._cursor)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        cell = self.cell_at(event.x, event.y)
        if cell != self._cursor:
            self._cursor = cell
            self._redraw()

    def on_resize(self) -> None:
        self._geometry = None
        self._redraw()
