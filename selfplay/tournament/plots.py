"""Ladders drawn: players with their intervals; a run's strength against training time, for TensorBoard, too."""

import io
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keima.agent.system.storage import write_atomically
from keima.games.contract import GameError
from keima.selfplay.tournament.ladder import shortened, signed
from keima.selfplay.tournament.ratings import PlayerRating, Ratings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 144
_NAME_WIDTH = 48
_INK, _SOFT, _RULE = "#1f2933", "#6b7785", "#d9dee4"
_MARK, _GUESS, _OTHERS = "#1f6f8b", "#a9c3cc", "#b4541f"
_ROW_IN, _LETTER_IN, _PICTURE_IN = 0.29, 0.072, 5.2
"""Inches: a player's height, a letter's width (at the size of names, about), the picture between names and numbers."""
_COLUMNS_IN = {"Elo": 0.62, "score": 1.2, "games": 1.8}
"""Inches from the picture's right side to that of each column of numbers."""
_REACH = 250.0
"""Elo: how much of an end of an interval that is a guess is drawn."""
TENSORBOARD_FOLDER = "ratings"
"""Beside a run's own events: TensorBoard shows it as a run of its own."""


@dataclass(frozen=True)
class TimedRating:
    """A run's checkpoint on a ladder."""

    minutes: float
    """Of training."""
    step: int
    """Training steps."""
    rating: PlayerRating


def plot_ladder(ratings: Ratings, path: Path, title: str = "") -> None:
    """Draws the players, best on top, with their 95 % intervals, Elo and games, into a PNG. Raises GameError."""
    groups = sorted({player.group for player in ratings.players})
    rows = len(ratings.players) + len(groups) - 1
    left = 0.25 + _LETTER_IN * max(len(shortened(player.name, _NAME_WIDTH)) for player in ratings.players)
    top, bottom = (0.75 if title else 0.4), 0.85
    width, height = left + _PICTURE_IN + _COLUMNS_IN["games"] + 0.15, top + bottom + _ROW_IN * rows
    figure = _figure(width, height)
    axes = figure.add_axes((left / width, bottom / height, _PICTURE_IN / width, _ROW_IN * rows / height))
    ticks, names = [], []
    y = 0
    for place, player in enumerate(ratings.players):
        if place and player.group != ratings.players[place - 1].group:
            axes.axhline(y, color=_SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
            y += 1
        _interval(axes, player, y)
        ticks.append(y)
        names.append(shortened(player.name, _NAME_WIDTH))
        y += 1
    axes.set_yticks(ticks, names, fontsize=9)
    axes.set_ylim(y - 0.5, -0.5)  # the best on top
    axes.set_xlim(*_limits(ratings.players))
    axes.set_xlabel("Elo, with 95 % intervals")
    axes.grid(axis="x", color=_RULE, linewidth=0.8)
    _plain_frame(axes)
    _columns(axes, ratings.players, ticks)
    notes = []
    if any(player.won_all or player.lost_all for player in ratings.players):
        notes.append("pale: won or lost everything, the results give no such end")
    if len(groups) > 1:
        notes.append("groups between the lines are linked by no games")
    _titles(axes, title, "; ".join(notes))
    _save(figure, path)


def _interval(axes: "Axes", player: PlayerRating, y: float) -> None:
    low, high = _shown(player)
    for guessed, start, end in ((player.lost_all, low, player.elo), (player.won_all, player.elo, high)):
        color, width = (_GUESS, 2) if guessed else (_MARK, 3.2)
        axes.plot([start, end], [y, y], color=color, linewidth=width, solid_capstyle="butt", zorder=2)
    marker = "D" if player.anchored else "o"
    axes.plot([player.elo], [y], marker, color=_INK, markersize=5.5, zorder=3)
    for shown, end, arrow in ((low, player.low, "<"), (high, player.high, ">")):
        if shown != end:
            axes.plot([shown], [y], arrow, color=_GUESS, markersize=6, zorder=3, clip_on=False)


def _shown(player: PlayerRating) -> tuple[float, float]:
    """The part of an interval that is in the picture: an end that is a guess is cut, so that the rest can be read."""
    low = max(player.low, player.elo - _REACH) if player.lost_all else player.low
    high = min(player.high, player.elo + _REACH) if player.won_all else player.high
    return low, high


def _limits(players: Sequence[PlayerRating]) -> tuple[float, float]:
    low = min(_shown(player)[0] for player in players)
    high = max(_shown(player)[1] for player in players)
    margin = max(20.0, 0.03 * (high - low))
    return low - margin, high + margin


def _columns(axes: "Axes", players: Sequence[PlayerRating], ticks: Sequence[float]) -> None:
    """Elo, score and games as numbers, right of the picture."""
    texts = {
        "Elo": [signed(player.elo) for player in players],
        "score": [f"{100 * player.score:.1f} %" for player in players],
        "games": [f"{player.games:,.0f}" for player in players],
    }
    for heading, offset in _COLUMNS_IN.items():
        for y, text, color in (
            (-1, heading, _SOFT),
            *((y, t, _INK) for y, t in zip(ticks, texts[heading], strict=True)),
        ):
            axes.annotate(
                text,
                (1, y),
                xycoords=axes.get_yaxis_transform(),  # x in parts of the picture, y in players
                xytext=(72 * offset, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=9,
                color=color,
                annotation_clip=False,
            )


def plot_run(points: Sequence[TimedRating], path: Path, others: Sequence[PlayerRating] = (), title: str = "") -> None:
    """Draws a run's strength against its training time, and the ladder's other players as lines, into a PNG.

    Raises GameError.
    """
    if not points:
        raise GameError("no checkpoint to draw: expected one with a rating")
    points = sorted(points, key=lambda point: point.minutes)
    minutes = [point.minutes for point in points]
    figure = _figure(9, 5)
    axes = figure.add_axes((0.09, 0.17, 0.69, 0.71))
    shown = [_shown(point.rating) for point in points]
    axes.fill_between(
        minutes, [low for low, _ in shown], [high for _, high in shown], color=_MARK, alpha=0.15, linewidth=0
    )
    axes.plot(minutes, [point.rating.elo for point in points], "-", color=_MARK, linewidth=1.6)
    for point, (low, high) in zip(points, shown, strict=True):
        axes.plot([point.minutes] * 2, [low, high], color=_MARK, linewidth=1.4)
        axes.plot([point.minutes], [point.rating.elo], "o", color=_INK, markersize=4.5, zorder=3)
    low, high = _limits([point.rating for point in points])
    low = min([low, *(other.elo - 20 for other in others)])
    high = max([high, *(other.elo + 20 for other in others)])
    axes.set_ylim(low, high)
    span = max(minutes[-1] - minutes[0], 1e-9) if len(minutes) > 1 else max(minutes[0], 1.0)
    axes.set_xlim(minutes[0] - 0.03 * span, minutes[-1] + 0.03 * span)
    for y, other in zip(_apart([o.elo for o in others], 0.045 * (high - low)), others, strict=True):
        axes.axhline(other.elo, color=_OTHERS, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.text(
            1.01,
            y,
            shortened(other.name, 28),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=_OTHERS,
        )
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("Elo, with 95 % intervals")
    axes.grid(color=_RULE, linewidth=0.8)
    _plain_frame(axes)
    games = sorted(point.rating.games for point in points)
    many = f"{games[0]:,.0f}" + (f" to {games[-1]:,.0f}" if games[-1] > games[0] else "")
    _titles(axes, title, f"{len(points)} checkpoint{'' if len(points) == 1 else 's'}, {many} games each")
    _save(figure, path)


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """Places for labels, at these heights but at least `gap` apart."""
    places = dict.fromkeys(range(len(values)), 0.0)
    below = -float("inf")
    for i in sorted(places, key=lambda i: values[i]):
        places[i] = below = max(values[i], below + gap)
    return list(places.values())


def _figure(width: float, height: float) -> "Figure":
    # Not pyplot: it looks for a display, and keeps every figure. Imported here: it takes a second.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def _plain_frame(axes: "Axes") -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.tick_params(length=0, colors=_INK, labelsize=9)
    axes.xaxis.label.set_color(_SOFT)
    axes.yaxis.label.set_color(_SOFT)
    axes.set_axisbelow(True)


def _titles(axes: "Axes", title: str, note: str) -> None:
    if title:
        axes.set_title(title, loc="left", fontsize=12, color=_INK, pad=28)
    if note:
        axes.annotate(
            note, (0, 0), xycoords="axes fraction", xytext=(0, -44), textcoords="offset points", fontsize=8, color=_SOFT
        )


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    try:
        write_atomically(path, image.getvalue())
    except OSError as error:
        raise GameError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_tensorboard(points: Sequence[TimedRating], folder: Path) -> None:
    """Writes a run's ratings and their intervals beside its TensorBoard events, in place of earlier ones.

    folder: the run's. The axis "relative" is the training time.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
    from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

    points = sorted(points, key=lambda point: point.step)
    start = time.time() - 60 * max((point.minutes for point in points), default=0)
    # The second one tells a TensorBoard that runs to forget what it has read of earlier files.
    events = [Event(file_version="brain.Event:2"), Event(step=0, session_log=SessionLog(status=SessionLog.START))]
    for event in events:
        event.wall_time = start
    for point in points:
        figures = {"rating": point.rating.elo, "low": point.rating.low, "high": point.rating.high}
        values = [Summary.Value(tag=f"elo/{name}", simple_value=value) for name, value in figures.items()]
        events.append(Event(step=point.step, wall_time=start + 60 * point.minutes, summary=Summary(value=values)))
    records = io.BytesIO()
    writer = RecordWriter(records)
    for event in events:
        writer.write(event.SerializeToString())
    target = folder / "tensorboard" / TENSORBOARD_FOLDER
    target.mkdir(parents=True, exist_ok=True)
    earlier = list(target.glob("events.out.tfevents.*"))
    # TensorBoard reads the files in the order of their names.
    write_atomically(
        target / f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}", records.getvalue()
    )
    for file in earlier:
        file.unlink(missing_ok=True)
