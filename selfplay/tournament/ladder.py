"""A fitted tournament for people and programs: the ladder, who scored what against whom, JSON and CSV.

    print(ladder_table(ratings))
    print(cross_table(ratings, results))

plots.py draws it.
"""

import csv
import io
import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keima.selfplay.tournament.ratings import PairResult, PlayerRating, Ratings

WIDTH = 100
_SHORTEST_NAME = 20
"""Names are shortened to what else is in a line, but not below this."""
_CELL = 7
"""Columns of a cell of a cross table, with the space around it."""
BY_PRIOR = "~"
"""Marks an end of an interval that the results do not give: whoever won everything may be stronger still."""


def ladder_table(ratings: Ratings) -> str:
    """The players, best first, with their 95 % intervals: lines of at most `WIDTH` columns.

    The last column is the likelihood that a player is stronger than the next.
    """
    names = [player.name for player in ratings.players]
    likely = ratings.superiorities(list(itertools.pairwise(names)))
    rows, ends_group = [], []
    for place, player in enumerate(ratings.players):
        last = place + 1 == len(names) or ratings.players[place + 1].group != player.group
        interval = "anchor" if player.anchored else f"{_end(player, 'low')} to {_end(player, 'high')}"
        score, draws = f"{100 * player.score:.1f} %", f"{100 * player.draws / player.games:.0f} %"
        above = "" if last else percent(likely[place])
        rows.append([signed(player.elo), interval, _number(player.games), score, draws, above])
        ends_group.append(last)
    headings = ["", "player", "Elo", "95 %", "games", "score", "draws", "> next"]
    lines = [[str(place + 1), name, *row] for place, (name, row) in enumerate(zip(names, rows, strict=True))]
    table = _laid_out([headings, *lines])
    for place in reversed(range(len(names) - 1)):
        if ends_group[place]:
            table.insert(place + 3, "")  # below the heading and its rule
    return "\n".join([*table, "", *_notes(ratings)])


def _notes(ratings: Ratings) -> list[str]:
    low, high = map(signed, ratings.first_move_interval)
    lines = [
        f"Moving first is worth {signed(ratings.first_move_advantage)} Elo ({low} to {high}); equal players "
        f"draw {100 * ratings.draw_share:.0f} % of their games."
    ]
    if any(player.won_all or player.lost_all for player in ratings.players):
        lines.append(f"{BY_PRIOR} won or lost everything: this end is a cautious guess, the results give none.")
    if ratings.players and ratings.players[-1].group:
        lines.append("No games link the groups between the lines: their Elo cannot be compared.")
    if ratings.unplayed:
        lines.append(f"Without games: {', '.join(ratings.unplayed)}.")
    return [line for long in lines for line in textwrap.wrap(long, WIDTH)]


def cross_table(ratings: Ratings, results: Iterable[PairResult]) -> str:
    """The points in 100 games of each player (row) against each other (column), and how many games that were.

    Lines of at most `WIDTH` columns: more opponents than fit follow in further tables.
    """
    names = [player.name for player in ratings.players]
    points, games = score_matrix(names, results)
    numbers = set(games[games > 0])
    at_once = max(1, (WIDTH - len(str(len(names))) - _SHORTEST_NAME - 2) // _CELL)
    blocks = []
    for start in range(0, len(names), at_once):
        opponents = range(start, min(start + at_once, len(names)))
        rows = [["", "player", *(str(j + 1).rjust(_CELL - 2) for j in opponents)]]
        for i, name in enumerate(names):
            shares = [100 * points[i, j] / games[i, j] if games[i, j] else None for j in opponents]
            cells = ["" if share is None else f"{share:.1f}" for share in shares]
            rows.append([str(i + 1), name, *("-" if i == j else c for j, c in zip(opponents, cells, strict=True))])
            if len(numbers) > 1:
                rows.append(["", "", *(_number(games[i, j]) if games[i, j] else "" for j in opponents)])
        blocks.append("\n".join(_laid_out(rows)))
    if len(numbers) > 1:
        blocks.append("Points in 100 games of the player in the line, and below them the games.")
    elif numbers:
        blocks.append(f"Points in 100 games of the player in the line; {_number(numbers.pop())} games a pair.")
    return "\n\n".join(blocks)


def score_matrix(names: Sequence[str], results: Iterable[PairResult]) -> tuple[np.ndarray, np.ndarray]:
    """Points and games of each player (row) against each other (column), from both sides: [players, players] each."""
    place = {name: i for i, name in enumerate(names)}
    points, games = np.zeros((2, len(names), len(names)))
    for result in results:
        if result.first in place and result.second in place:
            i, j = place[result.first], place[result.second]
            played = result.first_wins + result.draws + result.second_wins
            points[i, j] += result.first_wins + result.draws / 2
            points[j, i] += result.second_wins + result.draws / 2
            games[i, j] += played
            games[j, i] += played
    return points, games


def as_dict(ratings: Ratings, results: Iterable[PairResult] = ()) -> dict[str, Any]:
    """All of it as JSON has it; `superiority[i][j]` is the likelihood that player i is stronger than player j."""
    names = [player.name for player in ratings.players]
    pairs = [(a, b) for a in names for b in names]
    return {
        "players": [
            {
                "name": player.name,
                "elo": round(player.elo, 2),
                "low": round(player.low, 2),
                "high": round(player.high, 2),
                "games": _plain(player.games),
                "wins": _plain(player.wins),
                "draws": _plain(player.draws),
                "losses": _plain(player.losses),
                "score": round(player.score, 5),
                "group": player.group,
                "anchored": player.anchored,
                "won_all": player.won_all,
                "lost_all": player.lost_all,
            }
            for player in ratings.players
        ],
        "unplayed": list(ratings.unplayed),
        "first_move_advantage": {
            "elo": round(ratings.first_move_advantage, 2),
            "low": round(ratings.first_move_interval[0], 2),
            "high": round(ratings.first_move_interval[1], 2),
        },
        "nu": ratings.nu,
        "covariance": np.round(ratings.covariance, 3).tolist(),
        "superiority": np.round(ratings.superiorities(pairs), 5).reshape(len(names), len(names)).tolist(),
        "results": [
            {
                "first": result.first,
                "second": result.second,
                "first_wins": _plain(result.first_wins),
                "draws": _plain(result.draws),
                "second_wins": _plain(result.second_wins),
            }
            for result in results
        ],
    }


def as_csv(ratings: Ratings) -> str:
    """A line for each player, with a heading."""
    columns = ("name", "elo", "low", "high", "games", "wins", "draws", "losses", "score", "group", "anchored")
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_dict(ratings)["players"])
    return out.getvalue()


def cross_csv(ratings: Ratings, results: Iterable[PairResult]) -> str:
    """A line for each two players who met: the player's points and games against the opponent, both sides together."""
    names = [player.name for player in ratings.players]
    points, games = score_matrix(names, results)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("player", "opponent", "points", "games"))
    for i, j in np.argwhere(games > 0):
        writer.writerow((names[i], names[j], _plain(points[i, j]), _plain(games[i, j])))
    return out.getvalue()


def shortened(name: str, width: int) -> str:
    """A name of at most `width` characters. The middle is left out, because the ends tell players apart."""
    if len(name) <= width:
        return name
    left = (width - 1) // 2
    return f"{name[:left]}…{name[len(name) - (width - 1 - left) :]}"


def percent(share: float) -> str:
    """A likelihood; never rounded to certainty."""
    if share > 0.999:
        return "> 99.9 %"
    return "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def signed(elo: float) -> str:
    """Whole Elo with their sign; 0 has none."""
    return f"{round(elo):+d}" if round(elo) else "0"


def _end(player: PlayerRating, side: str) -> str:
    guessed = player.won_all if side == "high" else player.lost_all
    return signed(getattr(player, side)) + (BY_PRIOR if guessed else "")


def _plain(number: float) -> float | int:
    """Whole numbers without a point; a weight with what matters of it."""
    return int(number) if float(number).is_integer() else round(float(number), 4)


def _number(number: float) -> str:
    return f"{number:,.0f}" if math.isclose(number, round(number), abs_tol=1e-9) else f"{number:,.1f}"


def _laid_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: headings first, then a rule; the second column is names, shortened to the room there is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = WIDTH - sum(widths) + widths[1] - 2 * (len(widths) - 1)
    widths[1] = min(widths[1], max(room, _SHORTEST_NAME))
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[1] = shortened(row[1], widths[1]).ljust(widths[1])
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "─" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]
