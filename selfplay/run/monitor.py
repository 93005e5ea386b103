"""What a run shows while it trains: its log, the panel, TensorBoard, measurements of strength, and warnings.

The loop (training_run.py) tells the monitor what has happened; nothing here changes what is trained.
"""

import contextlib
import math
import os
import shutil
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.checkpoint import MODEL_FILE
from keima.agent.nets.network import Network
from keima.agent.system.processes import available_cores
from keima.selfplay.actors.actor_pool import ActorPool
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.learning.learner import Learner, Losses
from keima.selfplay.replay.board_mix import BoardMix, MixedWindow
from keima.selfplay.replay.sampling import Batch
from keima.selfplay.replay.segment import Segment
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
from keima.selfplay.run.run_folder import LOG_FILE
from keima.selfplay.run.run_state import RunState
from keima.selfplay.run.strength import StrengthMeter
from keima.selfplay.run.telemetry import Rates, Smoothed, Telemetry, calibration, figures, game_as_text

TELL_AGAIN_S = 600.0
"""A warning that comes and goes is told of once in so long."""


class RunMonitor:
    """Shows and records a run's figures from this start on. `shown` adds the panel and the actors."""

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        board_mix: BoardMix,
        state: RunState,
        learner: Learner,
        window: MixedWindow,
        damage: list[str],
    ) -> None:
        """state, learner, window, damage (the replay store's messages): the run's own, read as they are now."""
        self._folder = folder
        self._config = config
        self._board_mix = board_mix
        self._game = board_mix.games[0]
        self._state = state
        self._learner = learner
        self._window = window
        self._damage = damage
        self._panel: Panel | None = None
        self._pool: ActorPool | None = None
        self._telemetry = Telemetry(folder, learner.step)
        self._meter = StrengthMeter(self._game, config.run.measure_simulations, state.figures)
        self._rates = Rates(state.positions)
        self.learner_wait = WaitMeter()
        """How much of its time the learner waits for games."""
        self._learner_waiting, self._actors_waiting = Smoothed(), Smoothed()
        self._losses: list[Losses] = []
        self._last_losses: Losses | None = None
        self._last_batch: Batch | None = None
        self._recent_batch: RecentBatch | None = None
        self._calibration: tuple[float, list[float]] = (math.nan, [])
        self._resignations = Resignations(0, math.nan)
        self._diagnoses: list[Diagnosis] = []
        self._told_s: dict[str, float] = {}
        """By a diagnosis's code: the run's time at which it was last told of."""
        self.measured_step = -1
        """The step of the last measurement of strength since this start."""

    @contextmanager
    def shown(self, pool: ActorPool) -> Iterator[None]:
        """Draws the panel while the block lasts."""
        self._pool = pool
        with Panel() as self._panel:
            yield

    def close(self) -> None:
        self._telemetry.close()

    # --- what the loop tells

    def log(self, text: str) -> None:
        """A line for run.log and the terminal."""
        # A full disk stops what must be saved; a line lost here is no reason.
        with contextlib.suppress(OSError), (self._folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self._state.elapsed_s / 60:7.2f} min  {text}\n")
        if self._panel is not None:
            self._panel.message(text)

    def stepped(self, losses: Losses, batch: Batch) -> None:
        """Notes that a training step was made."""
        self._losses.append(losses)
        self._last_batch = batch

    def segment_finished(self) -> None:
        """Notes that all steps that the newest segment allows are made."""
        if self._losses:
            self._last_losses = _mean(self._losses)
            self._losses = []
        if self._last_batch is not None:
            outcomes, policies = self._learner.predict(self._last_batch)
            legal = self._last_batch.legal(policies.shape[1])
            self._recent_batch = recent_batch(outcomes, self._last_batch.outcome, policies, legal)
            self._calibration = calibration(outcomes, self._last_batch.outcome)

    def saved(self, evaluations: int) -> None:
        """Notes that the state is on disk, and writes the line of progress.jsonl that reports it. evaluations: in
        all starts of the run.
        """
        self._resignations = resignations(self._window.views())
        state = self._state
        self._telemetry.progress(
            {
                "step": self._learner.step,
                "games": state.games,
                "positions": state.positions,
                "next_segment": state.next_segment,
                "evaluations": evaluations,
                "minutes": round(state.elapsed_s / 60, 3),
                "loss": None if self._last_losses is None else asdict(self._last_losses),
                "false_resignations": self._resignations.false_share if self._resignations.number else None,
            }
        )

    def measure(self, newest: Segment | None) -> None:
        """Measures how strong the acting network is, which takes seconds, and notes it in the run's state.

        newest: the segment from which a game is shown. Where this is broken off, the state stays as it was.
        """
        self.show("measuring the strength")
        strength = self._meter.measure(make_evaluator(self._game, self._learner.acting_network))
        state, step = self._state, self._learner.step
        state.figures, self.measured_step = strength.figures, step
        state.strengths.append((state.elapsed_s / 60, strength.headline, strength.text))
        self._telemetry.scalars({f"strength/{name}": value for name, value in strength.figures.items()}, step)
        if newest is not None:
            game = self._board_mix.games[self._board_mix.labels.index(newest.game)]
            self._telemetry.text("sample game", game_as_text(game, newest, 0), step)
        self.log(f"step {step}, {state.games} games: {strength.text}")

    def grown(self) -> None:
        """Notes that the network has grown."""
        text = f"the network grows to {in_words(self._learner.network)}"
        if self._learner.teacher is not None:
            text += f"; for {self._config.growth.distill_steps} steps the smaller one teaches it, and plays"
        self.log(f"step {self._learner.step}: {text}")
        self._telemetry.text("growth", text, self._learner.step)

    def settings_changed(self, changes: list[str]) -> None:
        """Notes what was changed at this start of the run, a line each."""
        for line in changes:
            self.log(line)
            self._telemetry.text("settings", line, self._learner.step)

    # --- what is shown

    def report(self) -> None:
        """Writes the run's figures to TensorBoard, and warns of what is wrong."""
        losses, batch, pool = self._last_losses, self._recent_batch, self._pool
        if losses is None or batch is None or pool is None:
            return
        rates, state = self._rates, self._state
        waited_s = pool.waited_s / max(1, pool.count)
        rates.update(pool.evaluations, pool.simulations, pool.cache_hits, state.positions, waited_s)
        learner_waiting = self.learner_wait.take_share()
        health = Health(
            elapsed_s=state.elapsed_s,
            steps=self._learner.step,
            max_plies=self._game.max_plies,
            players=self._game.players,
            games=recent_games(self._window.views()),
            resignations=self._resignations,
            batch=batch,
            loss=losses.total,
            learner_waiting=self._learner_waiting.update(learner_waiting, state.elapsed_s),
            actors_waiting=self._actors_waiting.update(rates.actors_waiting, state.elapsed_s),
            replay_ratio=state.replay_ratio(self._learner.step),
            replay_messages=tuple(self._damage),
            actor_restarts=pool.restarts,
            cores_an_actor=self._cores_an_actor(pool.count),
            resume=f"{command_here('keima')} train --resume {self._folder}",
        )
        self._diagnose(health)
        self._telemetry.scalars(
            {
                **figures(health, losses, self._calibration),
                "learner/learning_rate": self._learner.learning_rate,
                "learner/network_parameters": self._learner.acting_network.num_parameters,
                "speed/evaluations_per_second": rates.evaluations_per_s,
                "speed/simulations_per_second": rates.simulations_per_s,
                "speed/cache_hit_fraction": rates.cache_hit_share,
                "speed/positions_per_second": rates.positions_per_s,
                "replay/window_positions": self._window.num_positions,
                "replay/games": state.games,
                "replay/positions": state.positions,
            },
            self._learner.step,
        )

    def show(self, phase: str = "") -> None:
        """Brings the panel up to date. phase: what is going on other than training."""
        if self._panel is None or self._pool is None:
            return
        losses, state = self._last_losses, self._state
        self._panel.update(
            Progress(
                run=self._folder.name,
                game=self._game.label,
                elapsed_s=state.elapsed_s,
                budget_s=state.budget_s,
                phase=phase,
                games=state.games,
                positions=state.positions,
                positions_per_s=self._rates.positions_per_s,
                evaluations_per_s=self._rates.evaluations_per_s,
                cache_hit_share=self._rates.cache_hit_share,
                steps=self._learner.step,
                replay_ratio=state.replay_ratio(self._learner.step),
                replay_ratio_target=self._config.replay.samples_per_position,
                losses={} if losses is None else {"policy": losses.policy, "value": losses.value},
                checked_resignations=self._resignations.number,
                false_resignation_share=self._resignations.false_share,
                strength=state.strengths[-1][2] if state.strengths else "",
                strength_history=tuple(headline for _, headline, _ in state.strengths),
                actors=self._pool.states,
                network=in_words(self._learner.acting_network),
                diagnoses=tuple(self._diagnoses),
            )
        )

    def _cores_an_actor(self, count: int) -> float:
        """How much of a core each of so many actors can have beside a learner that takes one."""
        if self._learner.device.type != "cpu":
            return 1.0
        return min(1.0, max(available_cores() - 1, 0.5) / max(count, 1))

    def _diagnose(self, health: Health) -> None:
        self._diagnoses = diagnose(health, self._config)
        for diagnosis in self._diagnoses:
            if health.elapsed_s - self._told_s.get(diagnosis.code, -math.inf) >= TELL_AGAIN_S:
                self._told_s[diagnosis.code] = health.elapsed_s
                self.log(f"warning: {diagnosis}")
                self._telemetry.text("diagnosis", str(diagnosis), self._learner.step)

    def say_farewell(self, *, is_finished: bool) -> None:
        """Prints where the run stands and what to do next."""
        state, folder = self._state, self._folder
        keima = command_here("keima")
        print()
        if state.games == 0:
            print("No game was finished in this time, so nothing was learnt.")
            print(f"Go on:    {keima} train --resume {folder} --minutes 20")
            return
        if state.strengths:
            print(f"Strength: {state.strengths[-1][2]}.")
        trained = f"step {self._learner.step}, {state.games:,} games, {state.elapsed_s / 60:.1f} minutes"
        print(f"Net:      {folder / MODEL_FILE} ({trained})")
        print(f"Play it:  {keima} play {self._game.spec} --model {folder / MODEL_FILE}")
        print(f"Look:     {command_here('tensorboard')} --logdir {folder.parent}")
        if state.elapsed_s >= state.budget_s:
            print(f"Go on:    {keima} train --resume {folder} --minutes 20")
        elif not is_finished:
            print(f"Go on:    {keima} train --resume {folder}")


def _mean(losses: list[Losses]) -> Losses:
    return Losses(**{f.name: float(np.mean([getattr(one, f.name) for one in losses])) for f in fields(Losses)})


def in_words(network: Network) -> str:
    """`4 blocks x 32 channels, 101,010 parameters`"""
    sizes = network.config
    return f"{sizes.blocks} blocks x {sizes.channels} channels, {network.num_parameters:,} parameters"


def command_here(name: str) -> str:
    """How to call one of this environment's commands: with its path where the environment is not activated."""
    path = Path(sysconfig.get_path("scripts")) / name
    return name if shutil.which(name) or not path.is_file() else os.path.relpath(path)
