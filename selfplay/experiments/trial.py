"""One trial of a sweep or an ablation: trains from zero for its minutes, then measures, in a process of its own.

It has its own process so that a crash, or too little memory, ends this trial alone. The trial's folder is a run's
folder, from which a killed trial is resumed. It also holds

    trial.json       what the trial is: see `Trial`
    output.txt       what its process printed
    result.json      the result; written once, at the end
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, field
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Annotated, Any, Self

import pydantic

from keima.agent.analysis.evaluation import (
    evaluate_positions,
    find_positions,
    losing_lines,
    read_positions,
    wilson_interval,
)
from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.checkpoint import load_checkpoint
from keima.agent.solvers import EXHAUSTIBLE_PLIES
from keima.agent.system.interrupts import INTERRUPTED
from keima.agent.system.processes import available_cores
from keima.agent.system.storage import write_atomically
from keima.games import load
from keima.games.contract import Game, GameError
from keima.mcts.evaluator import Evaluate
from keima.mcts.search import SearchSettings, choose_actions
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.renamed import flat_with_new_names
from keima.selfplay.experiments.sweep_config import Measure
from keima.selfplay.run.run_folder import CONFIG_FILE
from keima.selfplay.run.start import resume
from keima.selfplay.run.telemetry import PROGRESS_FILE
from keima.selfplay.run.training_run import AlreadyTrained
from keima.selfplay.tournament.contestants import NetworkContestant, PlayoutContestant
from keima.selfplay.tournament.match import play_match

TRIAL_FILE, RESULT_FILE, OUTPUT_FILE = "trial.json", "result.json", "output.txt"
BAD_INPUT = 2
"""The process's exit code where the last line it printed says what was wrong; 0 where there is a result."""
OPENING_PLIES = 2
"""Random moves before a measured game; without them two players that use no chance play the same game each time."""
PROGRESS_TAIL = 8192
"""Bytes of the progress file's end that hold two of its lines for certain."""

STRICT = pydantic.ConfigDict(extra="forbid")
NamedToday = Annotated[dict[str, Any], pydantic.BeforeValidator(lambda values: flat_with_new_names(values)[0])]
"""Options by their full names, also in the files of trials that were begun before some were renamed."""


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Trial:
    """What a trial is."""

    name: str  # its folder's
    variant: str  # a name that trials share which differ in their seed alone
    seed: int
    overrides: NamedToday
    measure: Measure
    starts: int = 0  # of its process; more than one where it was interrupted

    def save(self, folder: Path) -> None:
        write_atomically(folder / TRIAL_FILE, pydantic.TypeAdapter(Trial).dump_json(self, indent=1))

    @classmethod
    def read(cls, folder: Path) -> Self:
        return pydantic.TypeAdapter(cls).validate_json((folder / TRIAL_FILE).read_bytes())


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Measurement:
    """Strength as a share: of positions whose value is kept, of lines not lost, or of the points of games."""

    simulations: int
    what: str  # "positions", "lines" or "games"
    successes: float  # of `count`; in games a draw is half a one
    count: int

    @property
    def share(self) -> float:
        return self.successes / self.count


def measured_interval(measured: Measurement) -> tuple[float, float] | None:
    """The 95 % interval of a measured share; all lines of a game are no sample, and leave nothing open."""
    return None if measured.what == "lines" else wilson_interval(measured.successes, measured.count)


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Result:
    """How a trial went. `error` alone is set for one that failed."""

    trial: str
    variant: str
    seed: int
    overrides: NamedToday
    error: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    minutes: float = 0.0  # trained
    games: int = 0
    positions: int = 0
    steps: int = 0
    evaluations: int = 0  # of the network, by the actors
    starts: int = 0
    cores: int = 0  # there were
    cores_used: float = 0.0  # on average, by its last start; far below `cores` where others were at work; 0: unknown

    def measured(self, simulations: int) -> Measurement:
        """The strength with that many simulations a move."""
        return next(m for m in self.measurements if m.simulations == simulations)

    @property
    def evaluations_per_s(self) -> float:
        return self.evaluations / (60 * self.minutes) if self.minutes else 0.0

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def failed(trial: Trial, error: str) -> Result:
    """The result of a trial that has no other."""
    return Result(trial.name, trial.variant, trial.seed, trial.overrides, error=error, starts=trial.starts)


def save_result(folder: Path, result: Result) -> None:
    write_atomically(folder / RESULT_FILE, result.to_json().encode())


def read_result(folder: Path) -> Result | None:
    """The trial's result; None while there is none. Raises GameError for a damaged one."""
    path = folder / RESULT_FILE
    try:
        return pydantic.TypeAdapter(Result).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except pydantic.ValidationError:
        raise GameError(f"{path}: expected a trial's result, but it is damaged; delete it to measure again") from None


def read_progress(folder: Path) -> dict[str, Any]:
    """Where a run stands, as far as it is saved: the last line of its progress file; empty before there is one."""
    try:
        with (folder / PROGRESS_FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - PROGRESS_TAIL))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return {}
    whole = [line for line in lines[-2:] if line.endswith(b"\n")]  # the last one may be being written
    return dict(json.loads(whole[-1])) if whole else {}


def measure_strength(game: Game, evaluate: Evaluate, measure: Measure) -> list[Measurement]:
    """A network's strength by each of the ways asked for; minutes of work, for games against many playouts."""
    method = _method(game, measure)
    found = []
    for simulations in measure.simulations:
        print(f"measuring the strength {with_simulations(simulations)}", flush=True)
        what, successes, count = method(evaluate, simulations)
        found.append(Measurement(simulations, what, successes, count))
    return found


def with_simulations(simulations: int) -> str:
    """How a net played, in words."""
    return f"with {simulations} simulations" if simulations else "without search"


def _method(game: Game, measure: Measure) -> Callable[[Evaluate, int], tuple[str, float, int]]:
    """The best measure that there is for the game, of a network with so many simulations a move.

    What it counts, how many of them a player has, and of how many.
    """

    def choosing(evaluate: Evaluate, simulations: int) -> Any:
        return partial(choose_actions, game, evaluate, settings=SearchSettings(simulations) if simulations else None)

    file = find_positions(measure.positions, game)
    if file is not None:
        positions = read_positions(file, game)

        def on_positions(evaluate: Evaluate, simulations: int) -> tuple[str, float, int]:
            result = evaluate_positions(positions, choosing(evaluate, simulations))
            return "positions", round(result.value_preserving * result.count), result.count

        return on_positions
    if game.max_plies <= EXHAUSTIBLE_PLIES:

        def on_all_lines(evaluate: Evaluate, simulations: int) -> tuple[str, float, int]:
            result = losing_lines(game, choosing(evaluate, simulations))
            return "lines", result.lines - result.losses, result.lines

        return on_all_lines

    def in_games(evaluate: Evaluate, simulations: int) -> tuple[str, float, int]:
        ours, playouts = NetworkContestant(evaluate, simulations), PlayoutContestant(measure.playouts)
        result = play_match(game, ours, playouts, measure.games // 2, OPENING_PLIES, seed=1)
        return "games", result.wins + result.draws / 2, result.games

    return in_games


def run_trial(folder: Path) -> bool:
    """Trains, or goes on training, and measures; False where the training was stopped before its end."""
    trial = Trial.read(folder)
    start_s = time.monotonic()
    cores_used = 0.0
    with contextlib.suppress(AlreadyTrained):  # it was stopped while it was measured
        if not resume(folder):
            return False
        used_s = [usage.ru_utime + usage.ru_stime for usage in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN))]
        cores_used = sum(used_s) / (time.monotonic() - start_s)
    measurements: list[Measurement] = []
    if not trial.measure.among:
        game = load(load_config(str(folder / CONFIG_FILE)).game)
        evaluate = make_evaluator(game, load_checkpoint(folder, game).network)
        measurements = measure_strength(game, evaluate, trial.measure)
    progress = read_progress(folder)
    save_result(
        folder,
        Result(
            trial.name,
            trial.variant,
            trial.seed,
            trial.overrides,
            measurements=measurements,
            minutes=progress["minutes"],
            games=progress["games"],
            positions=progress["positions"],
            steps=progress["step"],
            evaluations=progress["evaluations"],
            starts=trial.starts,
            cores=available_cores(),
            cores_used=round(cores_used, 2),
        ),
    )
    return True


def _end_with(stdin: int) -> None:
    """Ends the process when `stdin` ends: the sweep that holds its other end is gone, and the trial loses nothing."""
    while os.read(stdin, 1):
        pass
    os._exit(INTERRUPTED)


def main() -> None:
    """The trial's process: its folder is the one argument. The last line it prints is why it failed, if it did."""
    threading.Thread(target=_end_with, args=(0,), daemon=True).start()
    try:
        sys.exit(0 if run_trial(Path(sys.argv[1])) else INTERRUPTED)
    except GameError as error:
        print(error, flush=True)
        sys.exit(BAD_INPUT)
