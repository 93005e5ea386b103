"""Drawing a board as coloured text: round pieces out of half blocks, tinted cells, labels.

A character cell is about twice as high as wide, so the upper half block gives two nearly square pixels: a board's cell
of 2h x h characters is a square of 2h x 2h pixels. Cells of one line have no room for a round piece and show a glyph.
Without colours the board is drawn with the game's own letters.
"""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from keima.agent.terminal.screen.cell_positions import Geometry
from keima.agent.terminal.screen.move_cells import EMPTY, labels, owners_of_pieces, plays_columns, shows_texts
from keima.games.contract import Game, State

Colour = tuple[int, int, int]

NAMED_COLOURS: Mapping[str, Colour] = {
    "black": (28, 30, 34),
    "white": (244, 241, 232),
    "red": (219, 62, 52),
    "blue": (47, 111, 216),
    "green": (52, 158, 94),
    "yellow": (245, 197, 66),
    "gold": (222, 168, 40),
    "silver": (170, 178, 190),
    "orange": (240, 140, 46),
    "purple": (142, 84, 200),
}
"""What a player is drawn in who is named by a colour."""
OTHER_COLOURS: tuple[Colour, Colour] = ((247, 201, 72), (226, 74, 68))
"""What players are drawn in whose names are no colours."""
WOOD: tuple[Colour, Colour] = ((222, 180, 115), (214, 170, 103))
PALE: tuple[Colour, Colour] = ((205, 209, 215), (194, 199, 206))
HOLES: tuple[Colour, Colour] = ((32, 66, 128), (29, 61, 120))
HOLE: Colour = (17, 32, 66)
GREEN: tuple[Colour, Colour] = ((40, 124, 76), (35, 114, 69))
BOARDS: Mapping[str, tuple[tuple[Colour, Colour], Colour | None]] = {
    "green": (GREEN, None),
    "wood": (WOOD, None),
    "pale": (PALE, None),
    "blue": (HOLES, HOLE),
}
"""By `Game.board_colour`: the colours of cells by turns, and of the holes in them."""
LINE_SHARE, STAR_SHARE = 0.5, 0.75
"""How far lines and star points go from the board's colour towards what contrasts with it."""
HEAT: Colour = (24, 170, 130)
HEAT_TEXT: Colour = (12, 84, 64)
ACCENT: Colour = (255, 176, 46)
SELECTED: Colour = (90, 170, 255)
TEXT: Colour = (217, 221, 229)
LABEL: Colour = (150, 158, 170)
RIM = 0.18
"""How far a piece's edge goes from its colour towards what contrasts with it."""
SMALL = 2
"""Up to so many lines a cell is too small for a mark on a piece; up to one more for a rim."""
STARS = "•▄"
"""What star points are drawn with."""
STEPS = 5
"""Each pixel is sampled STEPS x STEPS times, so that a disc's edge is smooth."""


@dataclass(frozen=True)
class Palette:
    """The colours of one game's board, chosen by the players' names."""

    sides: tuple[Colour, Colour]
    cells: tuple[Colour, Colour]  # by turns, so that cells can be counted
    hole: Colour | None  # what an empty cell's disc is filled with

    @classmethod
    def of(cls, game: Game) -> "Palette":
        """What the game asks for; else stones on wood for Black and White, others on pale cells, discs in holes for
        players without colours."""
        named = [NAMED_COLOURS.get(name.lower()) for name in game.players]
        first, second = (colour or other for colour, other in zip(named, OTHER_COLOURS, strict=True))
        kind = game.board_colour
        if kind not in BOARDS:
            is_wood = bool({name.lower() for name in game.players} & {"black", "white"})
            kind = "wood" if is_wood else "pale" if any(named) or shows_texts(game) else "blue"
        cells, hole = BOARDS[kind]
        return cls((first, second), (cells[0], cells[0]) if game.has_crossings else cells, hole)


@dataclass(frozen=True)
class Marks:
    """What is shown on a board besides its pieces."""

    cursor: int | None = None
    selected: int | None = None
    last: frozenset[int] = frozenset()  # the cells of the last move
    hints: frozenset[int] = frozenset()  # cells that a move can go to
    heat: Mapping[int, float] = field(default_factory=dict)  # cell -> share of 1


def disc_radius(size: int) -> float:
    """A piece's radius as a share of its cell's `size` in pixels: where there is room its edge runs along pixels, which
    looks sharper than it would half a pixel further out."""
    return {4: 0.46, 6: 0.42}.get(size, (size / 2 - 1) / size)


@functools.cache
def disc(size: int, radius: float, left: float = 0.0) -> NDArray[np.float64]:
    """How much of each pixel of a square [size, size] a disc in its middle covers, or `left` pixels to the left of it;
    `radius` as a share of `size`."""
    steps = (np.arange(size * STEPS) + 0.5) / (size * STEPS) - 0.5
    inside = steps[:, None] ** 2 + (steps[None, :] + left / size) ** 2 <= radius**2
    covered: NDArray[np.float64] = inside.reshape(size, STEPS, size, STEPS).mean((1, 3))
    return covered


def mixed(under: Colour, over: Colour, share: float) -> Colour:
    """`over` laid on `under`, opaque for a share of 1."""
    return tuple(round(u + (o - u) * share) for u, o in zip(under, over, strict=True))  # type: ignore[return-value]


def contrasting(colour: Colour) -> Colour:
    """Black or white, whichever is read better on a colour."""
    red, green, blue = colour
    return (20, 22, 26) if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else (246, 246, 246)


@functools.lru_cache(4096)
def style_of(
    foreground: Colour | None, background: Colour | None, bold: bool = False, underline: bool = False
) -> Style:
    """A rich style, made once."""
    return Style(
        color=None if foreground is None else "#{:02x}{:02x}{:02x}".format(*foreground),
        bgcolor=None if background is None else "#{:02x}{:02x}{:02x}".format(*background),
        bold=bold or None,
        underline=underline or None,
    )


class Painter:
    """Draws one game's boards. `coloured`: otherwise with letters and brackets alone."""

    def __init__(self, game: Game, *, coloured: bool = True) -> None:
        self.game = game
        self.palette = Palette.of(game)
        self.coloured = coloured
        self.labels = labels(game)
        self.owners = owners_of_pieces(game)
        self._plays_columns = plays_columns(game)
        self._shows_texts = shows_texts(game)
        self._are_discs = len(game.pieces) <= 3  # one kind of piece a side needs no letters

    def paint(self, state: State, geometry: Geometry, marks: Marks) -> list[Strip]:
        """The lines of a position's board, labels included."""
        if self._shows_texts:
            cells = [
                self._text_cell(text, cell, geometry, marks)
                for cell, text in enumerate(itertools.chain(*self.game.cell_texts(state)))
            ]
        else:
            in_colour = self._crossing if self.game.has_crossings else self._coloured_cell
            draw = in_colour if self.coloured else self._plain_cell
            cells = [draw(int(code), cell, geometry, marks) for cell, code in enumerate(self.game.board(state).flat)]
        strips = []
        for row in range(geometry.rows):
            for line in range(geometry.height):
                middle = line == (geometry.height - 1) // 2
                label = self.labels.rows[row] if middle else ""
                segments = [self._label(f"{label:>{max(geometry.label_width - 1, 0)}}"[: geometry.label_width])]
                segments.append(Segment(" " * (geometry.left(row) - len(segments[0].text))))
                for cell in range(row * geometry.columns, (row + 1) * geometry.columns):
                    segments.extend(cells[cell][line])
                strips.append(Strip([segment for segment in segments if segment.text]).simplify())
        names = "".join(f"{name:^{geometry.width}}"[: geometry.width] for name in self.labels.columns)
        strips.append(Strip([self._label(" " * geometry.left(geometry.rows - 1) + names)]))
        return strips

    def _label(self, text: str) -> Segment:
        return Segment(text, style_of(LABEL, None) if self.coloured else Style())

    def text(self, text: str, style: Style | None = None) -> Segment:
        """A piece of a line in which a game draws itself."""
        return Segment(text, style or (style_of(TEXT, None) if self.coloured else Style()))

    def line(self, text: str) -> Strip:
        """A line of what stands beside the board."""
        return Strip([self._label(text)])

    def piece_colour(self, code: int) -> Colour:
        return self.palette.sides[self.owners[code] or 0]

    def _background(self, cell: int, geometry: Geometry, marks: Marks) -> Colour:
        row, column = divmod(cell, geometry.columns)
        colour = self.palette.cells[(row + column) % 2]
        if self.palette.hole is None and cell in marks.heat:
            colour = mixed(colour, HEAT, _intensity(marks.heat[cell]))
        if cell in marks.last and (geometry.height <= SMALL or not self._are_discs):
            colour = mixed(colour, ACCENT, 0.75)
        if cell == marks.selected:
            colour = mixed(colour, SELECTED, 0.6)
        if self._is_under_cursor(cell, geometry, marks):
            colour = mixed(
                colour, ACCENT if cell == marks.cursor else (255, 255, 255), 0.55 if cell == marks.cursor else 0.12
            )
        return colour

    def _is_under_cursor(self, cell: int, geometry: Geometry, marks: Marks) -> bool:
        if marks.cursor is None:
            return False
        return cell == marks.cursor or (self._plays_columns and (cell - marks.cursor) % geometry.columns == 0)

    def _coloured_cell(self, code: int, cell: int, geometry: Geometry, marks: Marks) -> list[list[Segment]]:
        """A cell's lines as segments."""
        background = self._background(cell, geometry, marks)
        if geometry.height == 1:
            return [[self._glyph_cell(code, cell, background, marks)]]
        size = geometry.width
        pixels = np.empty((size, size, 3))
        pixels[:] = background
        if code != EMPTY:
            piece = self.piece_colour(code)
            radius = disc_radius(size)
            rim = RIM if geometry.height > SMALL + 1 else 0.0
            _lay(pixels, disc(size, radius), mixed(piece, contrasting(piece), rim))
            _lay(pixels, disc(size, radius - 1 / size), piece)
            if cell in marks.last and self._are_discs and geometry.height > SMALL:
                _lay(pixels, disc(size, 0.13), contrasting(piece))
        elif self.palette.hole is not None:
            hole = self.palette.hole
            if cell in marks.heat:
                hole = mixed(hole, HEAT, _intensity(marks.heat[cell]))
            _lay(pixels, disc(size, disc_radius(size)), hole)
        if code == EMPTY and cell in marks.hints and cell not in marks.heat:
            _lay(pixels, disc(size, 0.12), mixed(background, contrasting(background), 0.45))
        text, bold = "", True
        if code != EMPTY and not self._are_discs:
            text = self.game.pieces[code]
        elif cell in marks.heat and (code == EMPTY or cell in marks.hints):
            text = _percent(marks.heat[cell])
        return _as_lines(np.rint(pixels).astype(int), text, bold)

    def _crossing(self, code: int, cell: int, geometry: Geometry, marks: Marks) -> list[list[Segment]]:
        """A crossing's lines as segments: the stone on it, or the lines that meet there.

        It is in the middle of the character left of the cell's middle, so that lines may be drawn with characters.
        """
        background, size = self._background(cell, geometry, marks), geometry.width
        line_colour = mixed(self.palette.cells[0], contrasting(self.palette.cells[0]), LINE_SHARE)
        glyphs = crossing_glyphs(cell, geometry, has_stone=code != EMPTY)
        if geometry.height == 1:
            (middle, _), (beside, _) = glyphs[0, 0], glyphs[0, 1]
            style = style_of(line_colour, background)
            if code != EMPTY:
                first = Segment("●", style_of(self.piece_colour(code), background, bold=True))
            elif cell in marks.heat and _percent(marks.heat[cell]):
                return [[Segment(f"{_percent(marks.heat[cell]):<2}", style_of(contrasting(background), background))]]
            else:
                first = Segment(middle, style)
            return [[first, Segment(beside, style)]]
        pixels = np.empty((size, size, 3))
        pixels[:] = background
        text = ""
        if code != EMPTY:
            piece = self.piece_colour(code)
            rim = RIM if geometry.height > SMALL + 1 else 0.0
            radius = 0.5 - 0.3 / size
            _lay(pixels, disc(size, radius, 0.5), mixed(piece, contrasting(piece), rim))
            _lay(pixels, disc(size, radius - 1 / size, 0.5), piece)
            if cell in marks.last and geometry.height > SMALL:
                _lay(pixels, disc(size, 0.13, 0.5), contrasting(piece))
        elif cell in marks.heat:
            text = _percent(marks.heat[cell])
        star = mixed(self.palette.cells[0], contrasting(self.palette.cells[0]), STAR_SHARE)
        drawn = {
            place: (glyph, style_of(star if glyph in STARS else line_colour, background, underline=is_underlined))
            for place, (glyph, is_underlined) in glyphs.items()
        }
        return _as_lines(np.rint(pixels).astype(int), text, True, drawn)

    def _text_cell(self, text: str, cell: int, geometry: Geometry, marks: Marks) -> list[list[Segment]]:
        """A cell that holds a text, the heat below it where there is room; without colours as `_plain_cell`."""
        if not self.coloured:
            return self._lettered(text, cell, geometry, marks)
        background = self._background(cell, geometry, marks)
        style = style_of(contrasting(background), background, True)
        lines = [[Segment(" " * geometry.width, style)] for _ in range(geometry.height)]
        middle = (geometry.height - 1) // 2
        lines[middle] = [Segment(f"{text:^{geometry.width}}"[: geometry.width], style)]
        if cell in marks.heat and middle + 1 < geometry.height:
            share = f"{_percent(marks.heat[cell])} %" if _percent(marks.heat[cell]) else ""
            lines[middle + 1] = [
                Segment(f"{share:^{geometry.width}}"[: geometry.width], style_of(HEAT_TEXT, background))
            ]
        return lines

    def _glyph_cell(self, code: int, cell: int, background: Colour, marks: Marks) -> Segment:
        """A cell of one line and two characters."""
        if code != EMPTY:
            text = "●" if self._are_discs else self.game.pieces[code]
            return Segment(f"{text} ", style_of(self.piece_colour(code), background, bold=True))
        if cell in marks.heat:
            text = f"{_percent(marks.heat[cell]):<2}"
            return Segment(text, style_of(contrasting(background), background))
        faint = mixed(background, contrasting(background), 0.4)
        return Segment("• " if cell in marks.hints else "· ", style_of(faint, background))

    def _plain_cell(self, code: int, cell: int, geometry: Geometry, marks: Marks) -> list[list[Segment]]:
        """A cell's lines without colours: its letter, and the marks."""
        text = self.game.pieces[code]
        if code == EMPTY and cell in marks.heat:
            text = _percent(marks.heat[cell])
        elif code == EMPTY and cell in marks.hints:
            text = "+"
        return self._lettered(text, cell, geometry, marks)

    @staticmethod
    def _lettered(text: str, cell: int, geometry: Geometry, marks: Marks) -> list[list[Segment]]:
        """A cell's lines with a text in the middle, brackets round the cursor, `*` at the last move."""
        before, after = (" ", " ")
        if cell in marks.last:
            before, after = " ", "*" if geometry.height > 1 else "'"
        if cell == marks.selected:
            before, after = "(", ")"
        if cell == marks.cursor:
            before, after = "[", "]"
        if geometry.height == 1:
            style = Style(reverse=cell == marks.cursor or None, underline=cell in marks.last or None)
            return [[Segment(text[:2] if len(text) > 1 else f"{text} ", style)]]
        blank = [Segment(" " * geometry.width)]
        lines = [blank] * geometry.height
        lines[(geometry.height - 1) // 2] = [Segment(f"{before}{text}{after}".center(geometry.width)[: geometry.width])]
        return lines


def _intensity(share: float) -> float:
    """How strongly a share of the visits or of the policy is tinted: the root, so that small ones are seen."""
    return 0.9 * float(np.sqrt(min(max(share, 0.0), 1.0)))


def _percent(share: float) -> str:
    """A share in two characters at most; nothing for what rounds to none."""
    percent = min(round(100 * share), 99)
    return str(percent) if percent else ""


def _lay(pixels: NDArray[np.float64], cover: NDArray[np.float64], colour: Colour) -> None:
    """Lays a colour on pixels [size, size, 3] where `cover` says how much; in place."""
    pixels += cover[:, :, None] * (np.array(colour) - pixels)


def star_points(rows: int, columns: int) -> set[tuple[int, int]]:
    """The rows and columns of a Go board's marked crossings."""

    def along(size: int) -> list[int]:
        edge = 2 if size < 13 else 3
        return [edge, size - 1 - edge] + ([size // 2] if size % 2 else [])

    if min(rows, columns) < 7:
        return set()
    points = {(row, column) for row in along(rows) for column in along(columns)}
    if min(rows, columns) >= 15:
        return points
    # On small boards the corners' points and the middle are marked alone.
    return {(row, column) for row, column in points if (row == rows // 2) == (column == columns // 2)}


@functools.cache
def crossing_glyphs(cell: int, geometry: Geometry, has_stone: bool) -> dict[tuple[int, int], tuple[str, bool]]:
    """The characters that draw a crossing's lines, by line and column in the cell, and whether each is underlined.

    In a cell of an even number of lines the crossing is between two of them: the lower eighth of a character is the
    board's line there, and an underline where another line crosses it.
    """
    row, column = divmod(cell, geometry.columns)
    middle, across = (geometry.height - 1) // 2, geometry.height - 1
    is_between = geometry.height % 2 == 0
    is_left, is_right = column == 0, column == geometry.columns - 1
    is_top, is_bottom = row == 0, row == geometry.rows - 1
    along = ("▁", False) if is_between else ("─", False)
    glyphs: dict[tuple[int, int], tuple[str, bool]] = {}
    for x in range(geometry.width):
        if x != across and not (is_left if x < across else is_right) and (not has_stone or x == geometry.width - 1):
            glyphs[middle, x] = along
    glyphs.setdefault((middle, geometry.width - 1), (" ", False))
    if has_stone:
        return glyphs | ({(0, 0): ("●", False)} if geometry.height == 1 else {})
    for line in range(geometry.height):
        if line != middle and not (is_top if line < middle else is_bottom):
            glyphs[line, across] = ("│", False)
    is_star = (row, column) in star_points(geometry.rows, geometry.columns)
    if is_between:
        glyphs[middle, across] = ("▄", False) if is_star else ("▁", False) if is_top else ("│", True)
    else:
        edges = ("┌┬┐", "├┼┤", "└┴┘")[0 if is_top else 2 if is_bottom else 1]
        glyphs[middle, across] = ("•" if is_star else edges[0 if is_left else 2 if is_right else 1], False)
    return glyphs


def _as_lines(
    pixels: NDArray[np.int_],
    text: str,
    bold: bool,
    glyphs: Mapping[tuple[int, int], tuple[str, Style]] | None = None,
) -> list[list[Segment]]:
    """Pixels [2h, w, 3] as h lines of half blocks, `text` in the middle; `glyphs` by line and column where both pixels
    of a character are of one colour."""
    height, width = pixels.shape[0] // 2, pixels.shape[1]
    line_of_text, start = (height - 1) // 2, (width - len(text)) // 2
    lines = []
    for line in range(height):
        upper, lower = pixels[2 * line].tolist(), pixels[2 * line + 1].tolist()
        segments = []
        for x, (top, bottom) in enumerate(zip(map(tuple, upper), map(tuple, lower), strict=True)):
            if text and line == line_of_text and start <= x < start + len(text):
                middle = mixed(top, bottom, 0.5)
                segments.append(Segment(text[x - start], style_of(contrasting(middle), middle, bold)))
            elif top == bottom and glyphs and (line, x) in glyphs:
                glyph, style = glyphs[line, x]
                segments.append(Segment(glyph, style))
            elif top == bottom:
                segments.append(Segment(" ", style_of(None, top)))
            else:
                segments.append(Segment("▀", style_of(top, bottom)))
        lines.append(segments)
    return lines
