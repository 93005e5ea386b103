"""A training run's loop: actors play, the learner trains on their games, and its weights go back to the actors.

The learner ingests segments of games one after the other. Each segment joins the replay window and allows a fixed
number of training steps (`samples_per_position`). A step's batch depends only on the seed, the step's number and the
window. The learning rate's schedule and the network's growth depend on when the segment came in, and that time is kept
with the segment. So a run that is killed and resumed makes the same steps again that it had not saved: only the games
under way are lost.

A line of progress.jsonl is written after the state that it reports is on disk, so it never reports more than was saved.
selfplay/run/run_folder.py lists the other files in the folder; selfplay/run/start.py begins and resumes runs.
"""

import contextlib
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import torch

from keima.agent.inference.autotuning import choose_backend
from keima.agent.nets.checkpoint import (
    MAX_NAME,
    MODEL_FILE,
    Checkpoint,
    CheckpointError,
    Metadata,
    read_metadata,
    save_checkpoint,
)
from keima.agent.system.interrupts import stopped_in_order
from keima.agent.system.processes import available_cores
from keima.agent.system.storage import remove_unfinished
from keima.games.contract import GameError
from keima.selfplay.actors.actor_pool import ActorPool, num_actors
from keima.selfplay.actors.messages import weights_path
from keima.selfplay.actors.start_positions import starts_for
from keima.selfplay.config.schema import TrainConfig, fixed
from keima.selfplay.learning.initial_weights import in_words, kept_start
from keima.selfplay.learning.learner import Learner
from keima.selfplay.replay.board_mix import BoardMix, MixedWindow
from keima.selfplay.replay.sampling import samplers_of
from keima.selfplay.replay.segment import DamagedSegment, Segment
from keima.selfplay.replay.store import ReplayStore
from keima.selfplay.run.monitor import RunMonitor
from keima.selfplay.run.run_folder import CONFIG_FILE, STATE_FILE
from keima.selfplay.run.run_state import RunState

MAX_PENDING = 4
"""Segments that may wait for the learner; then the actors are not listened to, and so wait themselves."""
KEPT_WEIGHTS = 4
SAVE_SHARE = 0.05
"""The share of time that saving the state may take; until it is earned, finished segments go unsaved, to be redone."""
FIRST_MEASURED_MINUTES = 1.0
"""When a run's strength is measured first, where `run.measure_every_minutes` are more."""


class AlreadyTrained(GameError):  # noqa: N818 (what happened, in the user's words)
    """A run has used all its time or steps. The message says how it gets more."""


class _Interrupted(BaseException):
    """Raised by the first Ctrl-C where work may be broken off; elsewhere Ctrl-C is only noted."""


class TrainingRun:
    """One start of a run, new or resumed. Its folder must be locked."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.folder = folder
        self.config = config
        self.board_mix = BoardMix.of(config)
        self.game = self.board_mix.games[0]
        starts_for(self.game, config)  # a file that is wrong is said here, and not by every actor
        self.num_actors = num_actors(config.selfplay)
        # The learner shares the cores with the actors; its threads are few enough to leave them theirs.
        torch.set_num_threads(max(1, available_cores() - self.num_actors))
        self.learner = Learner(self.game, config)
        self._clear_folder()
        self.state = RunState.new(config)
        self._saved_positions = 0
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
            other_boards=self.board_mix.labels[1:],
        )
        self.window = MixedWindow(self.board_mix, config.replay.surprise_fraction)
        self.pending: deque[tuple[int, Segment | None]] = deque()
        """Segments that wait to be ingested, oldest first, by index; None: still on disk."""
        self._fill_window()
        self.version = self.state.next_segment - (self.learner.step < self._steps_due())
        """Of the weights: how many segments were ingested and trained on, to the last step, when they were made."""
        self.samplers = samplers_of(self.board_mix.games, config)
        self.monitor = RunMonitor(
            folder, config, self.board_mix, self.state, self.learner, self.window, self.store.messages
        )
        self._stopped = threading.Event()
        self._may_break_off = False
        self._newest: Segment | None = None
        self._save_cost_s = 0.0
        self._due_s = {"measure": self._first_measurement_s(), "checkpoint": self.state.elapsed_s}
        self._saved_s = time.monotonic()

    def _clear_folder(self) -> None:
        """Makes what folders there must be, and deletes what an earlier start left that nobody needs."""
        for part in ("checkpoints", "weights"):
            (self.folder / part).mkdir(exist_ok=True)
        for part in ("", "checkpoints", "weights"):
            remove_unfinished(self.folder / part)
        for weights in (self.folder / "weights").glob("*.safetensors"):
            weights.unlink()  # of an earlier start, which may have been ahead of what it saved

    def _first_measurement_s(self) -> float:
        every = self.config.run.measure_every_minutes
        # Whoever wants none before the end is to have none.
        is_early = not self.state.strengths and 60 * every < self.state.budget_s
        return self.state.elapsed_s + 60 * (min(every, FIRST_MEASURED_MINUTES) if is_early else every)

    # --- the run

    def go(self, minutes: float | None = None) -> bool:
        """Trains until the time is up or Ctrl-C; True where the time is up. Everything is saved either way.

        minutes: how long from here; by default to the end of the config's minutes.
        """
        if minutes is not None:
            self.state.budget_s = self.state.elapsed_s + 60 * minutes
        self._refuse_if_finished()
        seed = (self.config.seed, self.store.total_games)  # a resumed run plays other games than its first start
        self._pool = ActorPool(
            *(self.folder / CONFIG_FILE, self.folder / "weights", self.num_actors, seed),
            hung_seconds=self.config.run.hung_seconds,
            on_event=self.monitor.log,
        )
        try:
            with stopped_in_order(self._stopped, self._break_off), self.monitor.shown(self._pool):
                self._run()
        finally:
            self.monitor.close()
        self.monitor.say_farewell(is_finished=self._is_finished())
        return self._is_finished() and not self._stopped.is_set()

    def _run(self) -> None:
        self.monitor.log(f"{'resumed' if self.learner.step else 'started'} at step {self.learner.step}")
        if self._start is not None:
            self.monitor.log(f"begins with {in_words(self._start, self.config)}")
        if not self.state.next_segment and self.pending:
            self.monitor.log(
                f"no state of the learner: it trains anew on the {self.store.num_positions} positions there are"
            )
        self.monitor.show(
            "compiling the rules and the search (once)" if not self.state.elapsed_s else "starting the actors"
        )
        try:
            if not (self.folder / STATE_FILE).exists():
                self._save()
            if not self._is_finished():
                self._write_weights()
                backend = self._choose_backend()
                # One actor in lockstep, or its games would depend on when it sees which weights.
                self._pool.start(backend, self.state.next_segment + len(self.pending) if self.num_actors == 1 else None)
                self.learner.warm_up()  # while the actors compile theirs
                self._wait_for_actors()
                self._train()
        finally:
            self._pool.stop()
        self._save()
        finished = self._is_finished()
        if finished and not self._stopped.is_set() and self.monitor.measured_step != self.learner.step:
            self._measure()
        self._save_model(checkpoint=True)
        self.monitor.log(f"{'finished' if finished else 'stopped'} at step {self.learner.step}")
        self.monitor.show("finished" if finished else "stopped")

    def _choose_backend(self) -> str:
        """What runs the networks in the actors."""
        wanted = self.config.selfplay.backend
        if wanted != "auto":
            return wanted
        self.monitor.show("measuring what runs the network fastest here")
        choice = choose_backend(self.game, self.learner.acting_network, fixed(self.config.selfplay.parallel_games))
        self.monitor.log(str(choice))
        return choice.backend

    def _is_finished(self) -> bool:
        return self.state.elapsed_s >= self.state.budget_s or 0 < self.config.run.max_steps <= self.learner.step

    def _refuse_if_finished(self) -> None:
        try:
            if read_metadata(self.folder / MODEL_FILE).step != self.learner.step:
                return  # it was killed before it had saved its net: that is made up for
        except CheckpointError:  # so also here
            return
        if 0 < self.config.run.max_steps <= self.learner.step:
            raise AlreadyTrained(
                f"{self.folder}: already trained for its {self.learner.step} steps; raise them with "
                f"--set run.max_steps={2 * self.learner.step} for more"
            )
        if self._is_finished():
            raise AlreadyTrained(
                f"{self.folder}: already trained for its {self.state.elapsed_s / 60:.1f} minutes; "
                "give --minutes for more"
            )

    def _wait_for_actors(self) -> None:
        while self._pool.num_ready == 0 and not self._stopped.is_set():
            self._take_segments(self._pool.receive(0.2))
            self.monitor.show()

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
                with self.monitor.learner_wait.waiting():
                    self._listen(0.2)
            self._listen(0.0)
            now = time.monotonic()
            self.state.elapsed_s += now - clock
            clock = now
            self._do_what_is_due()
            self.monitor.show()

    def _listen(self, timeout: float) -> None:
        if len(self.pending) < MAX_PENDING + self.num_actors:
            self._take_segments(self._pool.receive(timeout))

    def _take_segments(self, segments: list[Segment]) -> None:
        for segment in segments:
            segment = replace(segment, progress=round(self.state.progress, 6))
            self.pending.append((self.store.append(segment), segment))

    def _steps_due(self) -> int:
        """The steps that the games ingested so far allow."""
        if self.window.num_positions == 0:
            return self.learner.step
        return max(self.learner.step, self.state.steps_due)

    def _ingest_next(self) -> None:
        """Takes the oldest waiting segment into the window."""
        index, segment = self.pending.popleft()
        self.state.next_segment = index + 1
        if segment is None:
            with contextlib.suppress(DamagedSegment):  # moved aside and told of in the store's messages
                segment = self.store.read(index)
        if segment is not None:
            self.window.append(segment)
            self.state.games += segment.num_games
            self.state.positions += segment.num_positions
            self._newest = segment
            self.window.drop_oldest_to(self.config.replay.window(self.state.positions))
            if self.learner.begin_segment(segment.progress):
                self.monitor.grown()
        if self.learner.step >= self._steps_due():
            self._finish_segment()

    def _step(self) -> None:
        batch = self.window.draw(self.samplers, self.learner.step, fixed(self.config.learner.batch_size))
        learnt_from_smaller = self.learner.teacher is not None
        self.monitor.stepped(self.learner.train(batch), batch)
        if learnt_from_smaller and self.learner.teacher is None:
            self.monitor.log(f"step {self.learner.step}: from now on the larger network plays")

    def _finish_segment(self) -> None:
        """All steps that the newest segment allows are made: its weights go out, and the state to disk."""
        self.version += 1
        self._write_weights()
        self.monitor.segment_finished()
        if time.monotonic() - self._saved_s >= self._save_cost_s / SAVE_SHARE:
            self._save()
            self.monitor.report()

    def _do_what_is_due(self) -> None:
        if self.state.elapsed_s >= self._due_s["checkpoint"]:
            self._due_s["checkpoint"] = self.state.elapsed_s + 60 * self.config.run.checkpoint_minutes
            self._save_model(checkpoint=True)
        if self.state.elapsed_s >= self._due_s["measure"]:
            self._due_s["measure"] = self.state.elapsed_s + 60 * self.config.run.measure_every_minutes
            self._measure()

    # --- what is saved

    def _save(self) -> None:
        before = time.monotonic()
        saved = self.state.as_saved(self._pool.evaluations)
        self.learner.save_state(self.folder / STATE_FILE, saved)
        self._saved_positions = self.state.positions
        self._saved_s = time.monotonic()
        self._save_cost_s = self._saved_s - before
        self.monitor.saved(saved["evaluations"])

    def _load_state(self) -> None:
        path = self.folder / STATE_FILE
        try:
            self.state.load(self.learner.load_state(path), self.learner.step)
        except CheckpointError as error:
            raise GameError(
                f"{error}; move it away, and --resume {self.folder} trains anew on the games, which are all there"
            ) from None
        self._saved_positions = self.state.positions

    def _fill_window(self) -> None:
        """Brings back the window as the saved state had it; later segments wait to be ingested."""
        self.store.raise_totals(self.state.games, self.state.positions, self.state.next_segment)
        for index in self.store.indices:
            if index >= self.state.next_segment:
                self.pending.append((index, None))
                continue
            with contextlib.suppress(DamagedSegment):  # moved aside and told of in the store's messages
                self.window.append(self.store.read(index))
                self.window.drop_oldest_to(self.config.replay.window(self.state.positions))

    def _write_weights(self) -> None:
        folder = self.folder / "weights"
        save_checkpoint(weights_path(folder, self.version), self.learner.acting_network, self._metadata())
        for old in sorted(folder.glob("*.safetensors"))[:-KEPT_WEIGHTS]:
            old.unlink(missing_ok=True)

    def _save_model(self, *, checkpoint: bool) -> None:
        metadata = self._metadata()
        if checkpoint:
            name = f"step-{self.learner.step:08d}.safetensors"
            save_checkpoint(self.folder / "checkpoints" / name, self.learner.acting_network, metadata)
        save_checkpoint(self.folder / MODEL_FILE, self.learner.acting_network, metadata)

    def _metadata(self) -> Metadata:
        return Metadata(
            game=self.game.label,
            rules_version=self.game.rules_version,
            network=self.learner.acting_network.config.model_dump(),
            run="".join(character for character in self.folder.name if character.isprintable())[:MAX_NAME],
            step=self.learner.step,
            games=self.state.games,
            strength=self.state.figures,
            score_weight=self.config.search.score_weight,
        )

    def _measure(self) -> None:
        try:
            self._may_break_off = True
            self.monitor.measure(self._newest)
            self._may_break_off = False
        except _Interrupted:
            self._may_break_off = False

    def _break_off(self) -> None:
        """Called in the handler of the first Ctrl-C."""
        self._pool.expect_end()
        if self._may_break_off:
            raise _Interrupted
