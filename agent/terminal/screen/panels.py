"""What stands beside the board: who plays, how the game went, what the search thinks, the moves."""

from collections.abc import Iterable, Mapping, Sequence

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from keima.agent.analysis.advice import variation_moves
from keima.agent.contracts.thinking import SearchInfo
from keima.agent.terminal.screen.painting import HEAT, LABEL, Colour, mixed, style_of
from keima.agent.terminal.session import Judgement
from keima.games.position import Position

ERROR: Colour = (255, 107, 94)
DRAWN: Colour = (120, 126, 138)
DARK_GROUND: Colour = (27, 30, 37)
"""The panels' background; see style."""
UNKNOWN: Colour = (44, 48, 58)
WIDEST_PLY = 3
"""Characters that a ply takes in the graph where there is room."""


def visible(colour: Colour) -> Colour:
    """A side's colour as it can be seen on the panels: black is lightened."""
    return colour if sum(colour) > 200 else mixed(colour, (150, 158, 172), 0.55)


class Graph(Widget):
    """Win, draw and loss over the game: a column a ply, the first player's share at the bottom, draws between."""

    def __init__(self, *, coloured: bool, **options: str) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._coloured = coloured
        self._sides: tuple[Colour, Colour] = ((0, 0, 0), (0, 0, 0))
        self._names = ("", "")
        self._judgements: Mapping[int, Judgement] = {}
        self._plies = self._shown = 0

    def show(
        self,
        judgements: Mapping[int, Judgement],
        plies: int,
        shown: int,
        sides: tuple[Colour, Colour],
        names: tuple[str, str],
    ) -> None:
        """Shows the judgements of plies 0 to `plies`; `shown` is the one looked at."""
        self._judgements, self._plies, self._shown = dict(judgements), plies, shown
        self._sides, self._names = (visible(sides[0]), visible(sides[1])), names
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The graph, below it in figures the position looked at, or the last one before it that was judged."""
        width, height = self.size.width, self.size.height
        if y == height - 1:
            return self._figures(width)
        segments = []
        across = min(max(width // (self._plies + 1), 1), WIDEST_PLY)
        columns = width // across
        # Where there is no room for all plies, each column stands for the last of several.
        count = min(self._plies + 1, columns)
        for column in range(count):
            ply = self._plies if count == 1 else round(column * self._plies / (count - 1))
            segments.extend(self._column(ply, y, height - 1, across))
        return Strip(segments).extend_cell_length(width).simplify().apply_style(self.rich_style)

    def _column(self, ply: int, y: int, height: int, across: int) -> list[Segment]:
        judgement = self._judgements.get(ply)
        if not self._coloured:
            return [Segment(self._letter(judgement, y, height) * across, Style(reverse=ply == self._shown or None))]
        # Two pixels a character, counted from the top.
        upper, lower = (self._pixel(judgement, (2 * y + half + 0.5) / (2 * height), ply) for half in (0, 1))
        return [Segment("▀" * across, style_of(upper, lower))]

    def _pixel(self, judgement: Judgement | None, from_top: float, ply: int) -> Colour:
        first, second = self._sides
        if judgement is None:
            colour = UNKNOWN
        elif from_top < judgement.loss:
            colour = second
        else:
            colour = DRAWN if from_top < judgement.loss + judgement.draw else first
        return colour if ply == self._shown else mixed(colour, DARK_GROUND, 0.28)

    @staticmethod
    def _letter(judgement: Judgement | None, y: int, height: int) -> str:
        """What stands for colours: the first player's share in #, draws in -."""
        if judgement is None:
            return " "
        from_top = (y + 0.5) / height
        return " " if from_top < judgement.loss else "-" if from_top < judgement.loss + judgement.draw else "#"

    def _figures(self, width: int) -> Strip:
        known = [ply for ply in self._judgements if ply <= self._shown]
        judgement = self._judgements[max(known)] if known else None
        if judgement is None:
            strip = Strip([Segment("not judged yet", style_of(LABEL, None))])
            return strip.extend_cell_length(width).apply_style(self.rich_style)
        shares = (judgement.win, judgement.draw, judgement.loss)
        names = (self._names[0], "draw", self._names[1])
        colours = (self._sides[0], DRAWN, self._sides[1])
        text = Text(no_wrap=True)
        for name, share, colour in zip(names, shares, colours, strict=True):
            text.append(f"{name} ", style_of(LABEL, None) if self._coloured else Style())
            text.append(f"{share:.0%}  ", style_of(colour, None, bold=True) if self._coloured else Style(bold=True))
        text.truncate(width)
        strip = Strip(text.render(self.app.console), cell_length=text.cell_len)
        return strip.extend_cell_length(width).apply_style(self.rich_style)


def candidates_text(position: Position, info: SearchInfo | None, width: int, rows: int, *, coloured: bool) -> Text:
    """The search's candidates, a line each: the move, visits, expected score, prior, the play expected.

    Each line is underlaid with a bar as long as the candidate's share of the visits (of the policy without search).
    """
    text = Text(no_wrap=True, overflow="crop")
    faint = style_of(LABEL, None) if coloured else Style(dim=True)
    text.append(f"{'move':<6}{'visits':>7}{'score':>7}{'policy':>7}  then", faint)
    if info is None:
        return text
    most = max(max(line.visits for line in info.variations), 1)
    for line in info.variations[: max(rows - 1, 0)]:
        name = position.game.action_to_text(position.state, line.action)
        if line.value is None:
            score = ""
        else:
            score = f"{(line.value + 1) / 2:.0%}" + ("!" if line.proven else " ")
        figures = f"{name:<6}{line.visits or '':>7}{score:>7}{line.prior:>7.0%}  "
        following = " ".join(variation_moves(position, line.actions)[1:])
        shown = f"{figures}{following}"[:width].ljust(width)
        share = line.visits / most if info.visits else line.prior
        bar = round(share * width) if coloured else 0
        row = Text(shown, no_wrap=True, overflow="crop")
        if bar:
            row.stylize(style_of(None, mixed(DARK_GROUND, HEAT, 0.38)), 0, bar)
        row.stylize(Style(bold=True), 0, 6)
        text.append("\n")
        text.append_text(row)
    return text


def search_summary(info: SearchInfo | None, who: str) -> str:
    """A line on the search itself."""
    if info is None:
        return ""
    rate = f", {info.visits / info.seconds:,.0f}/s" if info.visits and info.seconds > 0.2 else ""
    depth = max((len(line.actions) for line in info.variations), default=0)
    return f"{who}: {info.visits:,} visits{rate}, depth {depth}"


def players_text(
    sides: tuple[str, str], names: Sequence[str], turn: int | None, colours: tuple[Colour, Colour], *, coloured: bool
) -> Text:
    """Who plays each side, a line each; `turn`: the side to move, None when the game is over."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for side, name in enumerate(names):
        text.append("▸ " if turn == side else "  ")
        text.append("● ", style_of(visible(colours[side]), None) if coloured else Style())
        text.append(f"{sides[side]}  ", Style(bold=True))
        text.append(name + ("\n" if side == 0 else ""))
    return text


def messages_text(messages: Iterable[tuple[str, bool]], *, coloured: bool) -> Text:
    """What was told, the newest first, so that its beginning is seen; errors, marked by their flag, stand out."""
    newest, older = Style(), style_of(LABEL, None) if coloured else Style(dim=True)
    error = style_of(ERROR, None) if coloured else Style(bold=True)
    return Text("\n").join(
        Text(text, (error if is_error else newest) if number == 0 else older)
        for number, (text, is_error) in enumerate(messages)
    )


def moves_text(
    moves: Sequence[str], movers: Sequence[int], shown: int, sides: tuple[Colour, Colour], width: int, *, coloured: bool
) -> Text:
    """The moves so far, numbered, as many in a line as fit; a click on one looks at the position after it."""
    longest = max((len(move) for move in moves), default=2)
    cell = len(str(len(moves))) + longest + 4
    per_line = max(width // cell, 1)
    if per_line > 1:
        per_line -= per_line % 2  # each side's moves below each other
    text = Text(no_wrap=True)
    for ply, (move, mover) in enumerate(zip(moves, movers, strict=True), 1):
        click = Style(meta={"@click": f"app.show_ply({ply})"})
        number = f"{ply:>{len(str(len(moves)))}}. "
        text.append(number, (style_of(LABEL, None) if coloured else Style()) + click)
        style = style_of(visible(sides[mover]), None, bold=ply == shown) if coloured else Style(bold=ply == shown)
        text.append(move, style + click + Style(reverse=ply == shown or None))
        text.append(" " * (cell - len(number) - len(move)))
        if ply % per_line == 0:
            text.append("\n")
    return text
