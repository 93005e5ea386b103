"""Trials one after another, each trained from zero for the same time: what a sweep and an ablation have in common.

Training counts its own time, without what starting and measuring take; so trials are equal in it, and one that was
interrupted goes on from where it was (it has lost the games under way then, seconds of play; its `starts` say so).

The folder:

    sweep.toml        the config, as it was given
    trials/NAME/      a trial: a run's folder; when it is done without its games and the learner's state
    results.jsonl     every trial's result, one a line
    results.md        the table
    games-N.sqlite    an ablation's, where its nets play each other with N simulations: see
    keima.selfplay.experiments.ablation_games optuna.db, best.toml, confirm.toml    a sweep's: see
    keima.selfplay.experiments.hyperparameters
"""

import contextlib
import fcntl
import math
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keima.agent.system.interrupts import stopped_in_order
from keima.agent.system.storage import remove_unfinished, write_atomically
from keima.games.contract import GameError
from keima.selfplay.config.loader import load_config, to_toml
from keima.selfplay.config.schema import TrainConfig, options
from keima.selfplay.experiments.ablation import Ablation, to_markdown
from keima.selfplay.experiments.hyperparameters import Search
from keima.selfplay.experiments.sweep_config import Overrides, SweepConfig, parse_sweep, read_sweep
from keima.selfplay.experiments.trial import (
    BAD_INPUT,
    OUTPUT_FILE,
    Result,
    Trial,
    failed,
    read_progress,
    read_result,
    save_result,
    with_simulations,
)
from keima.selfplay.run.monitor import command_here
from keima.selfplay.run.panel import Panel, Progress, duration
from keima.selfplay.run.run_folder import CONFIG_FILE, STATE_FILE

SWEEP_FILE, RESULTS_FILE, TABLE_FILE = "sweep.toml", "results.jsonl", "results.md"
MAY_CHANGE = {True: ("variants", "seeds"), False: ("trials",)}
"""What may be otherwise in the config of an ablation, or of a sweep, that is gone on with."""
MAX_FAILURES = 3
"""Trials that fail in a row before the sweep gives up: it is not the trials' fault then."""
LOCK_PATIENCE_S = 1.5
"""A trial whose sweep was killed holds the lock for a moment."""
POLL_S = 0.25
PLAIN_WIDTH = 200
"""Columns of the table where it goes to no terminal."""
WORKER = "from keima.selfplay.experiments.trial import main; main()"


class TrialSource(Protocol):
    """Which trials there are."""

    @property
    def total(self) -> int:
        """How many trials in all."""

    def results(self) -> list[Result]:
        """Those there are, of the trials that belong to the plan."""

    def next_trial(self) -> Trial | None:
        """The next one to run; None when all are done."""

    def options_now(self, result: Result) -> Overrides:
        """The overrides that a trial of that name has by the config as it is now."""

    def take(self, result: Result) -> None:
        """Told of each result once it is saved."""

    def label(self, trial: Trial) -> str:
        """A trial in words."""

    def headline(self) -> tuple[str, tuple[float, ...]]:
        """What to show of the results while trials run: in words, and as a curve."""

    def report(self) -> tuple[str, list[list[str]], str]:
        """What was done; the table, its head first; what there is to say of it."""

    def finish(self) -> bool:
        """What comes after the trials and takes its time; False where Ctrl-C stopped it."""

    def conclude(self) -> list[str]:
        """Writes what comes of it all; returns lines to print. `{keima}` there stands for the command."""


def begin(config_text: str, source: str, folder: Path) -> bool:
    """Begins a sweep or an ablation in `folder`, or goes on with it; see `Sweep.go`.

    config_text, source: what `read_sweep` returned.
    """
    config = parse_sweep(config_text, source)
    path = folder / SWEEP_FILE
    if not path.exists() and folder.exists() and any(file.name[0] != "." for file in folder.iterdir()):
        raise GameError(f"{folder} exists and is no sweep's folder: name another with --run")
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder) as lock:
        if path.exists():
            _check_same(parse_sweep(path.read_text(encoding="utf-8"), str(path)), config, folder, source)
        else:
            write_atomically(path, config_text.encode())
        found = Sweep(folder, config, lock)  # refuses what does not fit the trials there are
        write_atomically(path, config_text.encode())
        return found.go()


def resume(folder: Path) -> bool:
    """Goes on with the sweep or the ablation in `folder`; see `Sweep.go`."""
    path = folder / SWEEP_FILE
    if not path.is_file():
        raise GameError(f"{folder}: expected a sweep's folder, but it has no {SWEEP_FILE}")
    text, source = read_sweep(str(path))
    with _lock(folder) as lock:
        return Sweep(folder, parse_sweep(text, source), lock).go()


class Sweep:
    """One start of a sweep or an ablation."""

    def __init__(self, folder: Path, config: SweepConfig, lock: IO[str]) -> None:
        """lock: what holds the folder for this process, and for those of its trials."""
        self.folder = folder
        self._lock = lock
        self.config = config
        self.game = load_config(config.base).game
        remove_unfinished(folder)
        self.plan: TrialSource = Ablation(folder, config) if config.is_ablation else Search(folder, config)
        for result in self.plan.results():
            if not result.error:
                place = self._folder_of(result.trial)
                _check_trained_so(place, config.train_config(self.plan.options_now(result), result.seed))
                _remove_large_files(place)
        self._write_results()
        self._stopped = threading.Event()
        self._panel: Panel

    def go(self) -> bool:
        """Runs the trials that are left; False where Ctrl-C stopped it before the last. What is done is kept."""
        failures = 0
        with stopped_in_order(self._stopped), Panel() as panel:
            self._panel = panel
            while not self._stopped.is_set() and (trial := self.plan.next_trial()) is not None:
                result = self._run(trial)
                if result is None:
                    break
                self.plan.take(result)
                self._write_results()
                panel.message(f"{self.plan.label(trial)}: {self._in_words(result)}")
                failures = failures + 1 if result.error else 0
                if failures == MAX_FAILURES:
                    raise GameError(
                        f"{failures} trials in a row failed, the last with: {result.error}; the same command goes on"
                    )
        left = self.plan.total - sum(not result.error for result in self.plan.results())
        if self._stopped.is_set():  # Ctrl-C may have come as the last trial ended
            finished = left == 0 and not self.config.measure.among
        else:
            finished = self.plan.finish()
        self._write_results()
        self._say_farewell(finished)
        return finished

    # --- one trial

    def _run(self, trial: Trial) -> Result | None:
        """Trains and measures in a process of its own; None where Ctrl-C stopped it before its end."""
        folder = self._folder_of(trial.name)
        trial = self._prepare(folder, trial)
        code = self._supervise(folder, trial)
        result = read_result(folder)
        if result is None:
            if self._stopped.is_set():
                return None
            result = failed(trial, _reason(folder, code))
            save_result(folder, result)
        else:
            _remove_large_files(folder)
        return result

    def _prepare(self, folder: Path, trial: Trial) -> Trial:
        """Makes the trial's folder, or finds it as an earlier start has left it."""
        previous = read_result(folder)
        if previous is not None:  # it failed, and begins anew; renamed first, so that it is never there in part
            discarded = folder.with_name(".discarded")
            shutil.rmtree(discarded, ignore_errors=True)
            folder.rename(discarded)
            shutil.rmtree(discarded)
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder)
        config = self.config.train_config(trial.overrides, trial.seed)
        if (folder / CONFIG_FILE).exists():
            _check_trained_so(folder, config)
            trial = replace(trial, starts=Trial.read(folder).starts)
        trial = replace(trial, starts=trial.starts + 1)
        trial.save(folder)
        # Last, and so the rest is there wherever it is.
        write_atomically(folder / CONFIG_FILE, to_toml(config).encode())
        return trial

    def _supervise(self, folder: Path, trial: Trial) -> int:
        """Runs the trial's process to its end, showing how it gets on; returns its exit code."""
        # A group of its own: Ctrl-C reaches it through us alone, once. Its stdin ends with us, however we end, and
        # so does it; the lock's file, which it holds too, is free only then.
        command = [sys.executable, "-P", "-c", WORKER, str(folder)]
        with (folder / OUTPUT_FILE).open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[self._lock.fileno()],
            )
        told = False
        number, headline = len(self.plan.results()) + 1, self.plan.headline()
        try:
            while process.poll() is None:
                if self._stopped.is_set() and not told:
                    process.terminate()  # it saves what there is
                    told = True
                self._show(folder, trial, number, headline, stopping=told)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
        finally:
            process.kill()
            process.communicate()
        return process.returncode

    def _show(
        self, folder: Path, trial: Trial, number: int, headline: tuple[str, tuple[float, ...]], *, stopping: bool
    ) -> None:
        progress: dict[str, Any] = {"games": 0, "positions": 0, "step": 0, "minutes": 0.0, "evaluations": 0}
        progress |= read_progress(folder)
        elapsed_s, budget_s = 60 * progress["minutes"], 60 * self.config.minutes
        losses = progress.get("loss") or {}
        if stopping:
            doing = "stopping, saving the trial"
        elif not progress["step"]:
            doing = "starting"
        else:
            ending = "saving its net" if self.config.measure.among else "measuring its strength"
            doing = ending if elapsed_s >= budget_s else "training"
        strength, curve = headline
        after_s = (self.plan.total - number) * budget_s
        self._panel.update(
            Progress(
                run=self.folder.name,
                game=self.game,
                elapsed_s=elapsed_s,
                budget_s=budget_s,
                phase=f"trial {number} of {self.plan.total}, {doing}: {self.plan.label(trial)}"
                + (f" (then {duration(after_s)} of training)" if after_s > 0 else ""),
                games=progress["games"],
                positions=progress["positions"],
                positions_per_s=progress["positions"] / elapsed_s if elapsed_s else math.nan,
                evaluations_per_s=progress["evaluations"] / elapsed_s if elapsed_s else math.nan,
                steps=progress["step"],
                losses={name: losses[name] for name in ("policy", "value") if name in losses},
                strength=strength,
                strength_history=curve,
            )
        )

    # --- what is told

    def _in_words(self, result: Result) -> str:
        if result.error:
            return f"failed: {result.error} (see {self._folder_of(result.trial) / OUTPUT_FILE})"
        shares = ", ".join(f"{100 * m.share:.1f} % {with_simulations(m.simulations)}" for m in result.measurements)
        return f"{shares}{'; ' * bool(shares)}{result.positions:,} positions, {result.steps:,} steps"

    def _write_results(self) -> None:
        results = self.plan.results()
        write_atomically(self.folder / RESULTS_FILE, "".join(f"{r.to_json()}\n" for r in results).encode())
        done = [result for result in results if not result.error]
        if done:
            title, table, notes = self.plan.report()
            text = f"{self._caption(title, done[0])}\n\n{to_markdown(table)}\n\n{notes}\n"
            write_atomically(self.folder / TABLE_FILE, text.encode())

    def _caption(self, title: str, result: Result) -> str:
        """What the table is of. title: the plan's; result: any that did not fail."""
        if self.config.measure.among:
            what = f"games between all nets, {self.config.measure.among} of any two"
        else:
            measured = result.measurements[0]
            what = {
                "positions": f"the share of {measured.count} positions in which the move keeps the exact value",
                "lines": f"the share of all {measured.count:,} lines against every opponent's move that are not lost",
                "games": f"the score in {measured.count} games against {self.config.measure.playouts} playouts a move",
            }[measured.what]
        minutes = self.config.minutes
        return (
            f"{self.game}, {minutes:g} minute{'s' * (minutes != 1)} each from zero on {result.cores} cores, "
            f"{title}. Strength: {what}."
        )

    def _say_farewell(self, finished: bool) -> None:
        done = [result for result in self.plan.results() if not result.error]
        print()
        if done:
            title, (head, *rows), notes = self.plan.report()
            table = Table(*head, box=SIMPLE_HEAD, pad_edge=False)
            console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
            for row in rows:
                table.add_row(*(_bold(cell) if console.is_terminal else Text(cell) for cell in row))
            for part in (Text(self._caption(title, done[0])), table, Text(f"{notes}\n" if notes else "")):
                console.print(part)
            print(f"Table:    {self.folder / TABLE_FILE}")
        keima = command_here("keima")
        for line in self.plan.conclude() if finished else []:
            print(line.format(keima=keima))
        left = self.plan.total - len(done)
        if left or not finished:
            what = f"{left} of {self.plan.total} trials are left" if left else "games between the nets are left"
            print(f"Go on:    {keima} sweep --resume {self.folder}   ({what})")

    def _folder_of(self, name: str) -> Path:
        return self.folder / "trials" / name


def _check_same(before: SweepConfig, now: SweepConfig, folder: Path, source: str) -> None:
    for option in SweepConfig.model_fields:
        changed = getattr(before, option) != getattr(now, option)
        if changed and (option not in MAY_CHANGE[now.is_ablation] or before.is_ablation != now.is_ablation):
            raise GameError(
                f"{folder}: begun with another {option!r} than {source} has now: --resume {folder} goes on as it was "
                "begun, --run NAME begins another"
            )


def _check_trained_so(folder: Path, config: TrainConfig) -> None:
    """Refuses a trial that was trained, or begun, with other options than its name now stands for."""
    before = load_config(str(folder / CONFIG_FILE))
    for key in options():
        one, other = _option(before, key), _option(config, key)
        if one != other:
            raise GameError(
                f"{folder}: trained with {key} = {one}, and would now be with {other}: --run NAME begins anew"
            )


def _option(config: TrainConfig, key: str) -> Any:
    section, _, name = key.rpartition(".")
    return getattr(getattr(config, section) if section else config, name)


def _remove_large_files(folder: Path) -> None:
    """Deletes all files of a finished trial but its net, its config and its reports."""
    for name in ("games", "weights", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / STATE_FILE).unlink(missing_ok=True)


def _reason(folder: Path, code: int) -> str:
    """Why a trial's process ended without a result."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"killed by {name}" + (", perhaps short of memory" if code == -signal.SIGKILL else "")
    lines = (folder / OUTPUT_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return said if code == BAD_INPUT else f"ended with exit code {code}: {said}"


def _bold(cell: str) -> Text:
    """A cell with what is bold in Markdown bold."""
    return Text.assemble(*((part, "bold" if i % 2 else "") for i, part in enumerate(cell.split("**"))))


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[IO[str]]:
    """Holds the sweep's folder for this process, and those that inherit the file, as long as any has it open."""
    with (folder / ".lock").open("w") as file:
        deadline_s = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline_s:
                    raise GameError(f"{folder}: this sweep is being run by another process") from None
                time.sleep(0.05)
        yield file
