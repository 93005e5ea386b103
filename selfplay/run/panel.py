"""A run's progress on the terminal: a panel redrawn in place, or a line now and then where there is no terminal."""

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

from rich.box import ROUNDED
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.panel import Panel as Frame
from rich.text import Text

from keima.selfplay.run.diagnosis import Diagnosis

_REDRAW_S = 0.25
_SHOW_CURSOR = "\x1b[?25h"
_PLAIN_LINE_S = 10.0
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_SEPARATOR, _ASCII_SEPARATOR = " · ", " | "
_LABEL_WIDTH = 9
_MIN_SPARKLINE = 4
# Below this there is no room to spend on a border.
_MIN_FRAMED = (30, 8)


@dataclass(frozen=True)
class Progress:
    """How a run is getting on. NaN for a figure that is not known yet; empty texts are not shown."""

    run: str
    game: str
    elapsed_s: float
    budget_s: float
    phase: str = ""
    """What is going on other than training: "compiling the search, once"."""
    games: int = 0
    positions: int = 0
    positions_per_s: float = math.nan
    evaluations_per_s: float = math.nan
    cache_hit_share: float = math.nan
    steps: int = 0
    replay_ratio: float = math.nan
    """Training samples for a position played."""
    replay_ratio_target: float = math.nan
    checked_resignations: int = 0
    """Games in which a side was given up, and that were searched on to see whether rightly."""
    false_resignation_share: float = math.nan
    """Share of them that this side did not lose."""
    losses: dict[str, float] = field(default_factory=dict)
    strength: str = ""
    """The newest measurement in words."""
    strength_history: tuple[float, ...] = ()
    actors: tuple[str, ...] = ()
    """What each actor does, in a word: "playing", "waiting", "restarting"."""
    network: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()


class Panel:
    """Shows a run's `Progress` while its `with` block lasts, and restores the terminal afterwards, however the block
    ends.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(file=sys.stdout)
        self._clock = clock
        self._view = _View()
        self._last_drawn = -math.inf
        self._size = self._console.size
        self._live: Live | None = None
        self._plain: _PlainLines | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # No thread that redraws by itself: it would draw in the middle of what others print.
            self._live = Live(self._view, console=self._console, auto_refresh=False, vertical_overflow="crop")
        else:
            self._plain = _PlainLines(self._console.file)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            try:
                self._live.stop()  # draws the newest progress once more and shows the cursor again
            finally:
                # Where Ctrl-C came in the middle of a drawing, rich believes itself there for good and shows nothing.
                self._console.file.write(_SHOW_CURSOR)
                self._console.file.flush()

    def update(self, progress: Progress) -> None:
        """Shows newer progress. May be called as often as one likes."""
        now = self._clock()
        if self._plain is not None:
            self._plain.update(progress, now)
            return
        self._view.progress = progress
        if self._live is None or now - self._last_drawn < _REDRAW_S:
            return
        self._last_drawn = now
        if self._console.size != self._size:
            # The terminal has broken the old lines anew, so that nobody knows any more where they begin.
            self._size = self._console.size
            self._console.clear()
        self._live.refresh()

    def message(self, text: str) -> None:
        """Prints a line that stays: above the panel, or among the lines."""
        if self._plain is not None:
            self._plain.print(text)
        else:
            self._console.print(Text(text))


class _View:
    """The panel as rich draws it, to the terminal's size at that moment."""

    def __init__(self) -> None:
        self.progress: Progress | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.progress is None:
            return
        # The last line is left to the cursor: what the terminal echoes there, as ^C, would break a line of the panel.
        width, height = console.width, console.height - 1
        plain = options.ascii_only
        if width < _MIN_FRAMED[0] or height < _MIN_FRAMED[1]:
            yield Text("\n").join([*panel_lines(self.progress, width, height, plain), Text()])
            return
        title = Text.assemble(" ", ("keima", "bold"), f" {self.progress.game}", (f" {self.progress.run} ", "dim"))
        _truncate(title, width - 6, plain)
        lines = panel_lines(self.progress, width - 4, height - 2, plain)
        yield Frame(Text("\n").join(lines), title=title, title_align="left", box=ROUNDED, width=width)
        yield Text()


def panel_lines(progress: Progress, width: int, height: int, ascii_only: bool = False) -> list[Text]:
    """The panel's content: at most `height` lines (at least one) of at most `width` cells; what matters least is
    left out.
    """
    separator = _ASCII_SEPARATOR if ascii_only else _SEPARATOR

    def row(label: str, items: Iterable[str], style: str = "") -> Text:
        text = Text(f"{label:<{_LABEL_WIDTH}}", "dim")
        text.append(_fit(items, width - _LABEL_WIDTH, separator), style)
        return text

    learned = [f"{_count(progress.steps)} steps"]
    if math.isfinite(progress.replay_ratio):
        learned.append(f"{progress.replay_ratio:.2f} of {progress.replay_ratio_target:.2f} samples a position")
    strength = [progress.strength]
    room = width - _LABEL_WIDTH - cell_len(progress.strength + separator)
    if len(progress.strength_history) > 1 and room >= _MIN_SPARKLINE:
        strength.append(sparkline(progress.strength_history[-room:], ascii_only))
    games = [f"{_count(progress.games)} games", f"{_count(progress.positions)} positions"]
    if progress.checked_resignations:
        games.append(f"false resignations {_false_resignations(progress)}")
    speed = [
        *([f"{_count(progress.positions_per_s)} positions/s"] if math.isfinite(progress.positions_per_s) else []),
        *([f"{_count(progress.evaluations_per_s)} evaluations/s"] if math.isfinite(progress.evaluations_per_s) else []),
        *([f"{progress.cache_hit_share:.0%} from the cache"] if progress.cache_hit_share > 0 else []),
    ]
    # In the order they are drawn, each with its rank: the highest ranks go first where there is no room.
    rows: list[tuple[int, Text]] = [(0, _progress_bar(progress, width, ascii_only))]
    if progress.phase:
        rows.append((1, Text(progress.phase, "cyan")))
    if progress.strength:
        rows.append((2, row("strength", strength, "bold green")))
    rows.append((3, row("played", games)))
    if speed:
        rows.append((5, row("speed", speed)))
    rows.append((4, row("learned", learned)))
    if progress.losses:
        rows.append((6, row("losses", [f"{name} {loss:.3f}" for name, loss in progress.losses.items()])))
    if progress.actors:
        rows.append((7, row("actors", _tally(progress.actors))))
    if progress.network:
        rows.append((8, row("network", [progress.network])))

    warnings = _warning_lines(progress.diagnoses, width)
    for_warnings = min(len(warnings), max(2, height - len(rows)), max(0, height - 1))
    kept = sorted(rank for rank, _ in rows)[: max(1, height - for_warnings)]
    if for_warnings < len(warnings):
        warnings = warnings[:for_warnings]
        for text in warnings[-1:]:
            text.truncate(width - 4)
            text.append(" ...")
    lines = [text for rank, text in rows if rank in kept] + warnings
    for line in lines:
        _truncate(line, width, ascii_only)
    return lines


def sparkline(values: tuple[float, ...], ascii_only: bool = False) -> str:
    """One character a value, scaled from the lowest to the highest."""
    bars = _ASCII_BARS if ascii_only else _BARS
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    # So that noise about a standstill does not look like a mountain range.
    scale = (len(bars) - 1) / max(high - low, 0.02)
    return "".join(bars[int((value - low) * scale + 0.5)] if math.isfinite(value) else " " for value in values)


def duration(seconds: float) -> str:
    """`7:05`, or `1:07:05`."""
    minutes, seconds = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _truncate(text: Text, width: int, ascii_only: bool) -> None:
    text.truncate(width, overflow="ellipsis")
    if ascii_only:
        text.plain = text.plain.replace("…", "~").encode("ascii", "replace").decode()


def _progress_bar(progress: Progress, width: int, ascii_only: bool) -> Text:
    left = progress.budget_s - progress.elapsed_s
    clock = f" {duration(progress.elapsed_s)} of {duration(progress.budget_s)}, {duration(left)} left"
    if len(clock) + 8 > width:
        clock = f" {duration(left)} left"
    cells = max(0, width - len(clock))
    share = min(1.0, max(0.0, progress.elapsed_s / progress.budget_s)) if progress.budget_s > 0 else 1.0
    done = int(share * cells)
    full, empty = ("#", ".") if ascii_only else ("━", "─")
    return Text.assemble((full * done, "green"), (empty * (cells - done), "dim"), clock)


def _warning_lines(diagnoses: tuple[Diagnosis, ...], width: int) -> list[Text]:
    lines: list[Text] = []
    for diagnosis in diagnoses:
        text = Text.assemble(("! ", "bold red"), (diagnosis.message, "yellow"), "; ", (diagnosis.remedy, "bold"))
        lines += text.wrap(Console(width=width), width)
    return lines


def _tally(words: tuple[str, ...]) -> list[str]:
    """`2 playing`, `1 restarting`: each word once, in the order they first come."""
    return [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]


def _fit(items: Iterable[str], width: int, separator: str) -> str:
    """As many whole items as there is room for; half a number would be a wrong one. The first may be cut."""
    text = ""
    for item in items:
        longer = text + separator + item if text else item
        if text and cell_len(longer) > width:
            break
        text = longer
    return text


def _false_resignations(progress: Progress) -> str:
    return f"{progress.false_resignation_share:.1%} of {_count(progress.checked_resignations)}"


def _count(number: float) -> str:
    if number < 99_999.5:
        return f"{number:,.0f}"
    return f"{number / 1e3:.0f}k" if number < 999_500 else f"{number / 1e6:.2f}M"


class _PlainLines:
    """A line every ten seconds, and one for each thing that happens."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._encoding = getattr(file, "encoding", None) or "utf-8"
        self._last_line = -math.inf
        self._last = Progress("", "", 0.0, 0.0)

    def print(self, text: str) -> None:
        # Not by rich, which would end the process on a closed pipe. Flushed, for the reader may be a person.
        print(text.encode(self._encoding, "replace").decode(self._encoding), file=self._file, flush=True)

    def update(self, progress: Progress, now: float) -> None:
        clock = duration(progress.elapsed_s)
        events = []  # what is warned of comes by `Panel.message`
        if progress.phase not in ("", self._last.phase):
            events.append(progress.phase)
        if progress.strength not in ("", self._last.strength):
            events.append(f"strength: {progress.strength}")
        if sorted(progress.actors) != sorted(self._last.actors):
            events.append(f"actors: {', '.join(_tally(progress.actors)) or 'none'}")
        self._last = progress
        for event in events:
            self.print(f"{clock}  {event}")
        if now - self._last_line >= _PLAIN_LINE_S:
            self._last_line = now
            self.print(_plain_line(progress))


def _plain_line(progress: Progress) -> str:
    items = [
        f"{duration(progress.elapsed_s)} of {duration(progress.budget_s)}",
        progress.game,
        f"games {progress.games:,}",
        f"positions {progress.positions:,}",
        *([f"false resignations {_false_resignations(progress)}"] if progress.checked_resignations else []),
        *([f"positions/s {progress.positions_per_s:,.0f}"] if math.isfinite(progress.positions_per_s) else []),
        *([f"evaluations/s {progress.evaluations_per_s:,.0f}"] if math.isfinite(progress.evaluations_per_s) else []),
        f"steps {progress.steps:,}",
        *(f"{name} {loss:.3f}" for name, loss in progress.losses.items()),
    ]
    return "  ".join(items)
