"""A run's checkpoints on a ladder: how strong the net became, and when.

The run's folder gets

    ratings.sqlite          the tournament, which later ratings of the run go on with
    ratings/                ladder.txt, .json, .csv, .png, cross.csv, and progress.png: Elo against training time
    tensorboard/ratings     the same for TensorBoard

A run may be rated while it trains, as often as one likes: new checkpoints join, old ones are thinned out.
"""

import bisect
import json
from collections.abc import Sequence
from pathlib import Path

from keima.agent.contracts.player_spec import CHECKPOINT, PlayerSpec
from keima.agent.contracts.player_spec import parse as parse_player
from keima.games import load
from keima.games.contract import GameError
from keima.selfplay.config.loader import load_config
from keima.selfplay.tournament import plots
from keima.selfplay.tournament.lineup import run_checkpoints, thinned
from keima.selfplay.tournament.plots import TimedRating
from keima.selfplay.tournament.report import Standings
from keima.selfplay.tournament.store import Store
from keima.selfplay.tournament.tournament import Tournament, begin

REFERENCE = "rollout:200"
"""Plays along and has 0 Elo, so that runs of a game can be compared."""
RATINGS_FILE = "ratings.sqlite"
OUTPUT = "ratings"


def begin_ladder(
    folder: Path,
    *,
    simulations: int,
    checkpoints: int,
    games: int | None,
    against: Sequence[str] = (),
    workers: int | None = None,
) -> Tournament:
    """The tournament of a run's checkpoints, thinned to so many, with so many games a pair on average.

    simulations: a move, 0 for the policy alone. against: players who take part, besides REFERENCE. Raises GameError.
    """
    config = folder / "config.toml"
    if not config.is_file():
        raise GameError(f"{folder}: expected a run's folder, but it has no config.toml")
    paths = thinned(run_checkpoints(folder.resolve()), checkpoints)
    if not paths:
        raise GameError(f"{folder}: no checkpoints yet; a run writes one every few minutes")
    kind, options = ("raw", {}) if simulations == 0 else (CHECKPOINT, {"simulations": simulations})
    texts = [PlayerSpec(kind, str(path), options).text for path in paths]
    return begin(
        folder / RATINGS_FILE,
        load(load_config(str(config)).game),
        [*texts, REFERENCE, *against],
        everybody=False,
        workers=workers,
        pairing="adaptive",
        games=games,
    )


def timed_ratings(folder: Path, store: Store, found: Standings) -> list[TimedRating]:
    """The rated checkpoints of a run with the training time and the steps behind them, the oldest first.

    Where a checkpoint was rated with several numbers of simulations, those with the most.
    """
    steps, minutes = _progress(folder)
    rated = {player.name: player for player in found.ratings.players}
    points: dict[int, tuple[int, TimedRating]] = {}
    for player in store.players():
        spec = parse_player(player.text)
        if spec.kind not in (CHECKPOINT, "raw") or spec.argument is None or player.name not in rated:
            continue
        path = Path(spec.argument)
        if path.parent != folder.resolve() / "checkpoints" or not path.stem.removeprefix("step-").isdecimal():
            continue
        step, simulations = int(path.stem.removeprefix("step-")), int(spec.options.get("simulations", 0))
        place = min(bisect.bisect_left(steps, step), len(steps) - 1)
        if step not in points or points[step][0] < simulations:
            points[step] = simulations, TimedRating(minutes[place], step, rated[player.name])
    return [points[step][1] for step in sorted(points)]


def draw(folder: Path, store: Store, found: Standings) -> list[Path]:
    """Draws Elo against training time, and tells TensorBoard; the files. Raises GameError."""
    points = timed_ratings(folder, store, found)
    path = folder / OUTPUT / "progress.png"
    own = {point.rating.name for point in points}
    others = [player for player in found.ratings.players if player.name not in own]
    plots.plot_run(points, path, others, title=f"{folder.resolve().name}: {found.game}")
    plots.write_tensorboard(points, folder)
    return [path, folder / "tensorboard" / plots.TENSORBOARD_FOLDER]


def _progress(folder: Path) -> tuple[list[int], list[float]]:
    """Training steps and the minutes they were reached at, ascending."""
    lines = [json.loads(line) for line in _whole_lines(folder / "progress.jsonl")]
    found: dict[int, float] = {}
    for line in lines:
        found.setdefault(int(line["step"]), float(line["minutes"]))
    return sorted(found), [found[step] for step in sorted(found)]


def _whole_lines(path: Path) -> list[str]:
    """Those of a file that another process may be writing to."""
    if not path.is_file():
        raise GameError(f"{path}: expected the run's progress, which says when its checkpoints were made")
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
