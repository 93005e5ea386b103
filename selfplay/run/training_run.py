"""A training run: actors play, the learner trains on their games, and its weights go back to the actors.

The learner is a fold over segments of games. Each segment joins the replay window and allows a fixed number of training
steps (`samples_per_position`). A step's batch depends only on the seed, the step's number and the window. The learning
rate's schedule and the network's growth depend on when the segment came in, and that time is kept with the segment. So
a run that is killed and resumed makes the same steps again that it had not saved: only the games under way are lost.

A line of progress.jsonl is written after the state that it reports is on disk, so it never reports more than was saved.
selfplay/run/run_folder.py lists the other files in the folder.
"""

import contextlib
import math
import os
import shutil
import sysconfig
import threading
import time
from collections import deque
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import torch

from keima.agent.inference.autotuning import choose_backend
from keima.agent.inference.factory import check_backend, make_evaluator
from keima.agent.nets.checkpoint import (
    MAX_NAME,
    MODEL_FILE,
    Checkpoint,
    CheckpointError,
    Metadata,
    read_metadata,
    save_checkpoint,
)
from keima.agent.nets.network import Network
from keima.agent.system.interrupts import stopped_in_order
from keima.agent.system.processes import available_cores
from keima.agent.system.storage import remove_unfinished, write_atomically
from keima.games.contract import GameError
from keima.selfplay.actors.actor_pool import ActorPool, num_actors
from keima.selfplay.actors.messages import weights_path
from keima.selfplay.config.loader import load_config, to_toml
from keima.selfplay.config.schema import TrainConfig, fixed
from keima.selfplay.learning.initial_weights import in_words, keep_start, kept_start, lies_in, load_start
from keima.selfplay.learning.learner import Learner, Losses
from keima.selfplay.replay.board_mix import BoardMix, MixedWindow
from keima.selfplay.replay.sampling import Batch, samplers_of
from keima.selfplay.replay.segment import DamagedSegment, Segment
from keima.selfplay.replay.store import ReplayStore
from keima.selfplay.run.diagnosis import (
    Diagnosis,
    Health,
    RecentBatch,
    Resignations,
    WaitMeter,
    diagnose,
    recent_batch,
    recent_games,
    resignations,
)
from keima.selfplay.run.panel import Panel, Progress
from keima.selfplay.run.run_folder import CONFIG_FILE, LOG_FILE, STATE_FILE, delete_run, lock
from keima.selfplay.run.strength import StrengthMeter
from keima.selfplay.run.telemetry import Rates, Telemetry, calibration, figures, game_as_text

MAX_PENDING = 4
"""Segments that may wait for the learner; then the actors are not listened to, and so wait themselves."""
KEPT_WEIGHTS = 4
SAVE_SHARE = 0.05
"""The share of time that saving the state may take; until it is earned, finished segments go unsaved, to be redone."""


class AlreadyTrained(GameError):  # noqa: N818 (what happened, in the user's words)
    """A run has had all its time or steps. The message says how it gets more."""


class _Interrupted(BaseException):
    """Raised by the first Ctrl-C where work may be broken off; elsewhere it is only noted."""


def train(config: TrainConfig, folder: Path, minutes: float | None = None, *, replace: bool = False) -> bool:
    """Starts a run in `folder`; see `TrainingRun.go` for what is returned.

    minutes: in place of the config's. replace: whether the run that is in `folder` is deleted first; otherwise there
    must be none. Raises GameError for what cannot begin, before anything is lost.
    """
    if minutes is not None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"minutes": minutes})})
    start = load_start(config)
    if config.selfplay.backend != "auto":
        check_backend(config.selfplay.backend)
    if replace:
        if lies_in(config, folder):
            raise GameError(f"{folder}: holds the net to begin with; give the new run another name with --run")
        delete_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        if (folder / CONFIG_FILE).exists():
            raise GameError(f"{folder}: holds a run: go on with --resume {folder}, or name another")
        if start is not None:
            keep_start(start, folder)
        write_atomically(folder / CONFIG_FILE, to_toml(config).encode())
        return TrainingRun(folder, config).go()


def resume(folder: Path, minutes: float | None = None) -> bool:
    """Goes on with the run in `folder` to the end of its minutes, or for `minutes` more."""
    if not (folder / CONFIG_FILE).is_file():
        raise GameError(f"{folder}: expected a run's folder, but it has no {CONFIG_FILE}")
    with lock(folder):
        return TrainingRun(folder, load_config(str(folder / CONFIG_FILE))).go(minutes)


class TrainingRun:
    """One start of a run, new or resumed. Its folder must be locked."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.folder = folder
        self.config = config
        self.board_mix = BoardMix.of(config)
        self.game = self.board_mix.games[0]
        self.num_actors = num_actors(config.selfplay)
        self._batch_size = fixed(config.learner.batch_size)
        # The learner shares the cores with the actors; its threads are few enough to leave them theirs.
        torch.set_num_threads(max(1, available_cores() - self.num_actors))
        self.learner = Learner(self.game, config)
        for part in ("checkpoints", "weights"):
            (folder / part).mkdir(exist_ok=True)
        for part in ("", "checkpoints", "weights"):
            remove_unfinished(folder / part)
        for weights in (folder / "weights").glob("*.safetensors"):
            weights.unlink()  # of an earlier start, which may have been ahead of what it saved
        self.games = self.positions = self.next_segment = 0  # folded so far
        self.elapsed_s = 0.0
        self._earlier_evaluations = 0
        """Network evaluations of earlier starts, as far as they were saved."""
        self.budget_s = 60 * config.run.minutes
        """Where `elapsed_s` is to end."""
        self._saved_positions = 0
        self.strengths: list[tuple[float, float, str]] = []  # (minutes, headline, text)
        self._figures: dict[str, float] = {}  # of the last one
        self._measured_step = -1  # at which they were measured since the run was started or resumed
        self._start: Checkpoint | None = None
        """The net it begins with, in its first start."""
        if (folder / STATE_FILE).exists():
            self._load_state()
        elif (start := kept_start(config, folder)) is not None:
            self._start = start
            self.learner.begin_with(start.network)
        self.store = ReplayStore(
            folder / "games",
            self.game.label,
            self.game.rules_version,
            max_disk_bytes=int(config.replay.max_disk_gb * 1e9),
            # All that has come since the state was saved, and the window as it was then: a resumed run needs both.
            window=lambda total: total - self._saved_positions + config.replay.window(self._saved_positions),
            also=self.board_mix.labels[1:],
        )
        self.window = MixedWindow(self.board_mix, config.replay.surprise_share)
        self.pending: deque[tuple[int, Segment | None]] = deque()
        """Segments that wait to be folded, oldest first, by index; None: still on disk."""
        self._fill_window()
        self.version = self.next_segment - (self.learner.step < self._steps_due())
        """Of the weights: how many segments were folded and trained on, to the last step, when they were made."""
        self.samplers = samplers_of(self.board_mix.games, config)
        self.meter = StrengthMeter(self.game, config.run.measure_simulations)
        self.report = Telemetry(folder, self.learner.step)
        self._stopped = threading.Event()
        self._may_break_off = False
        self._learner_wait = WaitMeter()
        self._losses: list[Losses] = []
        self._last_losses: Losses | None = None
        self._last_batch: Batch | None = None
        self._recent_batch: RecentBatch | None = None
        self._newest: Segment | None = None
        self._resignations = Resignations(0, math.nan)
        self._diagnoses: list[Diagnosis] = []
        self._calibration: tuple[float, list[float]] = (math.nan, [])
        self._save_cost_s = 0.0
        self._due = {"measure": self.elapsed_s + 60 * config.run.measure_every_minutes, "checkpoint": self.elapsed_s}
        self._rates = Rates(self.positions)
        self._saved_s = time.monotonic()

    # --- the run

    def go(self, minutes: float | None = None) -> bool:
        """Trains until the time is up or Ctrl-C; True where the time is up. Everything is saved either way.

        minutes: how long from here; by default to the end of the config's minutes.
        """
        if minutes is not None:
            self.budget_s = self.elapsed_s + 60 * minutes
        self._refuse_if_finished()
        seed = (self.config.seed, self.store.total_games)  # a resumed run plays other games than its first start
        self._pool = ActorPool(
            *(self.folder / CONFIG_FILE, self.folder / "weights", self.num_actors, seed),
            hung_seconds=self.config.run.hung_seconds,
            on_event=self._log,
        )
        try:
            with stopped_in_order(self._stopped, self._break_off), Panel() as panel:
                self._panel = panel
                self._run()
        finally:
            self.report.close()
        self._say_farewell()
        return self._is_finished() and not self._stopped.is_set()

    def _run(self) -> None:
        self._log(f"{'resumed' if self.learner.step else 'started'} at step {self.learner.step}")
        if self._start is not None:
            self._log(f"begins with {in_words(self._start, self.config)}")
        if not self.next_segment and self.pending:
            self._log(f"no state of the learner: it trains anew on the {self.store.num_positions} positions there are")
        self._show("compiling the rules and the search (once)" if not self.elapsed_s else "starting the actors")
        try:
            if not (self.folder / STATE_FILE).exists():
                self._save()
            if not self._is_finished():
                self._write_weights()
                backend = self._choose_backend()
                # One actor in lockstep, or its games would depend on when it sees which weights.
                self._pool.start(backend, self.next_segment + len(self.pending) if self.num_actors == 1 else None)
                self.learner.warm_up()  # while the actors compile theirs
                self._wait_for_actors()
                self._train()
        finally:
            self._pool.stop()
        self._save()
        finished = self._is_finished()
        if finished and not self._stopped.is_set() and self._measured_step != self.learner.step:
            self._measure()
        self._save_model(checkpoint=True)
        self._log(f"{'finished' if finished else 'stopped'} at step {self.learner.step}")
        self._show("finished" if finished else "stopped")

    def _choose_backend(self) -> str:
        """What runs the networks in the actors."""
        wanted = self.config.selfplay.backend
        if wanted != "auto":
            return wanted
        self._show("measuring what runs the network fastest here")
        choice = choose_backend(self.game, self.learner.player, fixed(self.config.selfplay.slots))
        self._log(str(choice))
        return choice.backend

    def _is_finished(self) -> bool:
        return self.elapsed_s >= self.budget_s or 0 < self.config.run.max_steps <= self.learner.step

    def _refuse_if_finished(self) -> None:
        try:
            if read_metadata(self.folder / MODEL_FILE).step != self.learner.step:
                return  # it was killed before it had saved its net: that is made up for
        except CheckpointError:  # so also here
            return
        if 0 < self.config.run.max_steps <= self.learner.step:
            raise AlreadyTrained(
                f"{self.folder}: already trained for its {self.learner.step} steps; raise max_steps in its "
                f"{CONFIG_FILE} for more"
            )
        if self._is_finished():
            raise AlreadyTrained(
                f"{self.folder}: already trained for its {self.elapsed_s / 60:.1f} minutes; give --minutes for more"
            )

    def _wait_for_actors(self) -> None:
        while self._pool.num_ready == 0 and not self._stopped.is_set():
            self._take_segments(self._pool.receive(0.2))
            self._show()

    def _train(self) -> None:
        clock = time.monotonic()
        while not self._is_finished() and not self._stopped.is_set():
            if self.learner.step < self._steps_due():
                self._step()
                if self.learner.step == self._steps_due():
                    self._finish_segment()
            elif self.pending:
                self._ingest_next()
            else:
                with self._learner_wait.waiting():
                    self._listen(0.2)
            self._listen(0.0)
            now = time.monotonic()
            self.elapsed_s += now - clock
            clock = now
            self._do_what_is_due()
            self._show()

    def _listen(self, timeout: float) -> None:
        if len(self.pending) < MAX_PENDING + self.num_actors:
            self._take_segments(self._pool.receive(timeout))

    def _take_segments(self, segments: list[Segment]) -> None:
        for segment in segments:
            segment = replace(segment, time_share=round(min(1.0, self.elapsed_s / self.budget_s), 6))
            self.pending.append((self.store.append(segment), segment))

    def _steps_due(self) -> int:
        """The steps that the games folded so far allow."""
        if self.window.num_positions == 0:
            return self.learner.step
        samples = self.positions * self.config.replay.samples_per_position
        return max(self.learner.step, int(samples / self._batch_size))

    def _ingest_next(self) -> None:
        """Takes the oldest waiting segment into the window."""
        index, segment = self.pending.popleft()
        self.next_segment = index + 1
        if segment is None:
            with contextlib.suppress(DamagedSegment):  # moved aside and told of in the store's messages
                segment = self.store.read(index)
        if segment is not None:
            self.window.append(segment)
            self.games += segment.num_games
            self.positions += segment.num_positions
            self._newest = segment
            self.window.drop_oldest_to(self.config.replay.window(self.positions))
            if self.learner.begin_segment(segment.time_share):
                self._tell_of_growth()
        if self.learner.step >= self._steps_due():
            self._finish_segment()

    def _step(self) -> None:
        batch = self.window.draw(self.samplers, self.learner.step, self._batch_size)
        learnt_from_smaller = self.learner.teacher is not None
        self._losses.append(self.learner.train(batch))
        self._last_batch = batch
        if learnt_from_smaller and self.learner.teacher is None:
            self._log(f"step {self.learner.step}: from now on the larger network plays")

    def _finish_segment(self) -> None:
        """All steps that the newest segment allows are made: its weights go out, and the state to disk."""
        self.version += 1
        self._write_weights()
        if self._losses:
            self._last_losses = _mean(self._losses)
            self._losses = []
        if self._last_batch is not None:
            outcomes, policies = self.learner.judge(self._last_batch)
            self._recent_batch = recent_batch(outcomes, self._last_batch.outcome, policies, self._last_batch.legal)
            self._calibration = calibration(outcomes, self._last_batch.outcome)
        if time.monotonic() - self._saved_s >= self._save_cost_s / SAVE_SHARE:
            self._save()
            self._write_report()

    def _do_what_is_due(self) -> None:
        if self.elapsed_s >= self._due["checkpoint"]:
            self._due["checkpoint"] = self.elapsed_s + 60 * self.config.run.checkpoint_minutes
            self._save_model(checkpoint=True)
        if self.elapsed_s >= self._due["measure"]:
            self._due["measure"] = self.elapsed_s + 60 * self.config.run.measure_every_minutes
            self._measure()

    # --- what is saved

    def _save(self) -> None:
        before = time.monotonic()
        progress = {
            "games": self.games,
            "positions": self.positions,
            "next_segment": self.next_segment,
            "evaluations": self._earlier_evaluations + self._pool.evaluations,
            "elapsed_s": self.elapsed_s,
            "budget_s": self.budget_s,
            "strengths": self.strengths,
            "figures": self._figures,
        }
        self.learner.save_state(self.folder / STATE_FILE, progress)
        self._saved_positions = self.positions
        self._saved_s = time.monotonic()
        self._save_cost_s = self._saved_s - before
        self._resignations = resignations(self.window.views())
        self.report.progress(
            {
                "step": self.learner.step,
                **{name: progress[name] for name in ("games", "positions", "next_segment", "evaluations")},
                "minutes": round(self.elapsed_s / 60, 3),
                "loss": None if self._last_losses is None else asdict(self._last_losses),
                "false_resignations": self._resignations.false_share if self._resignations.number else None,
            }
        )

    def _load_state(self) -> None:
        path = self.folder / STATE_FILE
        try:
            progress = self.learner.load_state(path)
        except CheckpointError as error:
            raise GameError(
                f"{error}; move it away, and --resume {self.folder} trains anew on the games, which are all there"
            ) from None
        self.games, self.positions = int(progress["games"]), int(progress["positions"])
        self.next_segment, self.elapsed_s = int(progress["next_segment"]), float(progress["elapsed_s"])
        self._earlier_evaluations = int(progress.get("evaluations", 0))  # none in states of earlier versions
        self.budget_s = max(self.budget_s, float(progress["budget_s"]))
        self.strengths = [tuple(entry) for entry in progress["strengths"]]
        self._figures = progress["figures"]
        self._saved_positions = self.positions

    def _fill_window(self) -> None:
        """Brings back the window as the saved state had it; later segments wait to be folded."""
        self.store.raise_totals(self.games, self.positions, self.next_segment)
        for index in self.store.indices:
            if index >= self.next_segment:
                self.pending.append((index, None))
                continue
            with contextlib.suppress(DamagedSegment):  # moved aside and told of in the store's messages
                self.window.append(self.store.read(index))
                self.window.drop_oldest_to(self.config.replay.window(self.positions))

    def _write_weights(self) -> None:
        folder = self.folder / "weights"
        save_checkpoint(weights_path(folder, self.version), self.learner.player, self._metadata())
        for old in sorted(folder.glob("*.safetensors"))[:-KEPT_WEIGHTS]:
            old.unlink(missing_ok=True)

    def _save_model(self, *, checkpoint: bool) -> None:
        metadata = self._metadata()
        if checkpoint:
            name = f"step-{self.learner.step:08d}.safetensors"
            save_checkpoint(self.folder / "checkpoints" / name, self.learner.player, metadata)
        save_checkpoint(self.folder / MODEL_FILE, self.learner.player, metadata)

    def _metadata(self) -> Metadata:
        return Metadata(
            game=self.game.label,
            rules_version=self.game.rules_version,
            network=self.learner.player.config.model_dump(),
            run="".join(character for character in self.folder.name if character.isprintable())[:MAX_NAME],
            step=self.learner.step,
            games=self.games,
            strength=self._figures,
            score_weight=self.config.search.score_weight,
        )

    # --- what is told

    def _measure(self) -> None:
        self._show("measuring the strength")
        try:
            self._may_break_off = True
            strength = self.meter.measure(make_evaluator(self.game, self.learner.player))
            self._may_break_off = False
        except _Interrupted:
            self._may_break_off = False
            return
        self._figures, self._measured_step = strength.figures, self.learner.step
        self.strengths.append((self.elapsed_s / 60, strength.headline, strength.text))
        self.report.scalars({f"strength/{name}": v for name, v in strength.figures.items()}, self.learner.step)
        if self._newest is not None:
            game = self.board_mix.games[self.board_mix.labels.index(self._newest.game)]
            self.report.text("sample game", game_as_text(game, self._newest, 0), self.learner.step)
        self._log(f"step {self.learner.step}, {self.games} games: {strength.text}")

    def _write_report(self) -> None:
        losses, batch = self._last_losses, self._recent_batch
        if losses is None or batch is None:
            return
        pool, rates = self._pool, self._rates
        waited_s = pool.waited_s / self.num_actors
        rates.update(pool.evaluations, pool.simulations, pool.cache_hits, self.positions, waited_s)
        health = Health(
            elapsed_s=self.elapsed_s,
            steps=self.learner.step,
            max_plies=self.game.max_plies,
            players=self.game.players,
            games=recent_games(self.window.views()),
            resignations=self._resignations,
            batch=batch,
            loss=losses.total,
            learner_waiting=self._learner_wait.take_share(),
            actors_waiting=rates.actors_waiting,
            replay_ratio=self._replay_ratio(),
            replay_messages=tuple(self.store.messages),
            actor_restarts=self._pool.restarts,
        )
        self._diagnose(health)
        self.report.scalars(
            {
                **figures(health, losses, self._calibration),
                "learner/learning_rate": self.learner.learning_rate,
                "learner/network_parameters": self.learner.player.num_parameters,
                "speed/evaluations_per_second": rates.evaluations_per_s,
                "speed/simulations_per_second": rates.simulations_per_s,
                "speed/cache_hit_share": rates.cache_hit_share,
                "speed/positions_per_second": rates.positions_per_s,
                "replay/window_positions": self.window.num_positions,
                "replay/games": self.games,
                "replay/positions": self.positions,
            },
            self.learner.step,
        )

    def _tell_of_growth(self) -> None:
        text = f"the network grows to {_in_words(self.learner.network)}"
        if self.learner.teacher is not None:
            text += f"; for {self.config.growth.distill_steps} steps the smaller one teaches it, and plays"
        self._log(f"step {self.learner.step}: {text}")
        self.report.text("growth", text, self.learner.step)

    def _diagnose(self, health: Health) -> None:
        found = diagnose(health, self.config)
        for diagnosis in found:
            if diagnosis.code not in {known.code for known in self._diagnoses}:
                self._log(f"warning: {diagnosis}")
                self.report.text("diagnosis", str(diagnosis), self.learner.step)
        self._diagnoses = found

    def _replay_ratio(self) -> float:
        return self.learner.step * self._batch_size / max(self.positions, 1)

    def _show(self, phase: str = "") -> None:
        losses = self._last_losses
        shown = {} if losses is None else {"policy": losses.policy, "value": losses.value}
        self._panel.update(
            Progress(
                run=self.folder.name,
                game=self.game.label,
                elapsed_s=self.elapsed_s,
                budget_s=self.budget_s,
                phase=phase,
                games=self.games,
                positions=self.positions,
                positions_per_s=self._rates.positions_per_s,
                evaluations_per_s=self._rates.evaluations_per_s,
                cache_hit_share=self._rates.cache_hit_share,
                steps=self.learner.step,
                replay_ratio=self._replay_ratio(),
                replay_ratio_target=self.config.replay.samples_per_position,
                losses=shown,
                checked_resignations=self._resignations.number,
                false_resignation_share=self._resignations.false_share,
                strength=self.strengths[-1][2] if self.strengths else "",
                strength_history=tuple(headline for _, headline, _ in self.strengths),
                actors=self._pool.states,
                network=_in_words(self.learner.player),
                diagnoses=tuple(self._diagnoses),
            )
        )

    def _log(self, text: str) -> None:
        # A full disk stops what must be saved; a line lost here is no reason.
        with contextlib.suppress(OSError), (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.elapsed_s / 60:7.2f} min  {text}\n")
        self._panel.message(text)

    def _say_farewell(self) -> None:
        model, game = self.folder / MODEL_FILE, self.game.spec
        print()
        if self.games == 0:
            print("No game was finished in this time, so nothing was learnt.")
            print(f"Go on:    {command_here('keima')} train --resume {self.folder} --minutes 20")
            return
        if self.strengths:
            print(f"Strength: {self.strengths[-1][2]}.")
        print(f"Net:      {model} (step {self.learner.step}, {self.games:,} games, {self.elapsed_s / 60:.1f} minutes)")
        keima = command_here("keima")
        print(f"Play it:  {keima} play {game} --model {model}")
        print(f"Look:     {command_here('tensorboard')} --logdir {self.folder.parent}")
        if self.elapsed_s >= self.budget_s:
            print(f"Go on:    {keima} train --resume {self.folder} --minutes 20")
        elif not self._is_finished():
            print(f"Go on:    {keima} train --resume {self.folder}")

    def _break_off(self) -> None:
        """Called in the handler of the first Ctrl-C."""
        self._pool.expect_end()
        if self._may_break_off:
            raise _Interrupted


def _mean(losses: list[Losses]) -> Losses:
    return Losses(**{f.name: float(np.mean([getattr(one, f.name) for one in losses])) for f in fields(Losses)})


def _in_words(network: Network) -> str:
    sizes = network.config
    return f"{sizes.blocks} blocks x {sizes.channels} channels, {network.num_parameters:,} parameters"


def command_here(name: str) -> str:
    """How to call one of this environment's commands: with its path where the environment is not activated."""
    path = Path(sysconfig.get_path("scripts")) / name
    return name if shutil.which(name) or not path.is_file() else os.path.relpath(path)
