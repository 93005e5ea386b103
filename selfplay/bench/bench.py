"""How fast a game runs on this machine, and where the time goes: what `keima bench` measures.

The ceiling is what a backend evaluates when it is asked for nothing else, on one thread, with batches of
`selfplay.parallel_games` positions: half of them from games of random moves, half from self-play. The share of the
ceiling is taken in every round between neighbours in time. selfplay/bench/result.py says what the result holds.
"""

import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keima.agent.inference.autotuning import distances_from_float32, fastest_sound, one_thread
from keima.agent.inference.factory import available_backends, default_backend, make_evaluator
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.nets.checkpoint import find_checkpoint, load_checkpoint
from keima.agent.nets.network import Network
from keima.agent.system.processes import available_cores
from keima.agent.system.subprocess_task import temporary_folder, work_apart
from keima.games import load
from keima.games.contract import Game
from keima.selfplay.actors.actor_pool import num_actors
from keima.selfplay.bench.learning_speed import MOST_POSITIONS
from keima.selfplay.bench.measuring import (
    WORKER,
    Actors,
    Ceiling,
    MeasuredSelfPlay,
    Round,
    Spread,
    Tell,
    Work,
    interleave,
    machine,
    random_network,
    rate,
    total,
    write_run,
)
from keima.selfplay.bench.microbenchmarks import replay, use_cache
from keima.selfplay.bench.profile import write_profiles
from keima.selfplay.bench.result import (
    ActorsSpeed,
    BackendSpeed,
    Balance,
    BatchSpeed,
    Bench,
    LearnerSpeed,
    NetworkFacts,
    SelfPlaySpeed,
    StartUp,
    StepTime,
)
from keima.selfplay.config.schema import TrainConfig, fixed

ROUNDS = 5
BATCHES = 8
"""Batches that a ceiling is measured with, in turn."""
BATCH_SIZES = (1, 8, 64, 256)
LONGER = 3.0
"""So many times as long as other measurements is that of self-play against its ceiling, and that of the actors."""
ACTOR_TURNS = 2
WARM_STARTS = 2


def measure(
    config: TrainConfig,
    *,
    model: str | None = None,
    seconds: float = 1.0,
    quick: bool = False,
    profile: Path | None = None,
    tell: Tell,
) -> Bench:
    """Measures everything, in about a minute with one second a measurement.

    config: with numbers for its parallel_games and batch size.
    model: whose network is measured, as for `find_checkpoint`; by default a random one.
    seconds: a measurement, of each contender. quick: without the start from nothing, and with fewer rounds.
    profile: a folder for profiles that people can read. Raises GameError.
    """
    if profile is not None:
        profile.mkdir(parents=True, exist_ok=True)  # or fails, before anything is measured
    facts = machine()  # first, for the load there was before
    game, network, weights, config = _what_is_measured(config, model)
    rounds = 2 if quick else ROUNDS
    tell("starting self-play; the first time, compiling")
    bench = _Measurement(game, config, network, seconds, rounds, tell)
    with one_thread():
        backends = bench.backends()
        batch_sizes = bench.batch_sizes()
        cache_off, cache_on = bench.selfplay()
        if profile is not None:
            tell("profiling")
            write_profiles(profile, game, config, network, bench.backend, bench.games, seconds, cache_off.step)
    with temporary_folder() as folder:
        write_run(folder, game, config, network, bench.games)
        a_move = (cache_on or cache_off).positions_a_move
        actors = bench.actors(folder, a_move, 1 if quick else ACTOR_TURNS)
        learner, learner_memory = bench.learner(folder)
        warm = bench.start_up(folder, 1 if quick else WARM_STARTS)
        cold = None if quick else bench.start_up_cold(folder)
    return Bench(
        game=game.label,
        machine=facts,
        network=NetworkFacts(weights, network.config.blocks, network.config.channels, network.num_parameters),
        settings=_settings(config),
        seconds=seconds,
        rounds=rounds,
        backend=bench.backend,
        backends=backends,
        batch_sizes=batch_sizes,
        cache_off=cache_off,
        cache_on=cache_on,
        actors=actors,
        learner=learner,
        learner_peak_memory_bytes=learner_memory,
        learner_window_positions=window_positions(config),
        balance=balance(config, actors, learner[0]),
        start_up_warm=warm,
        start_up_cold=cold,
    )


def _what_is_measured(config: TrainConfig, model: str | None) -> tuple[Game, Network, str, TrainConfig]:
    """The game, the network, where its weights are from, and the config with that network's sizes."""
    game = load(config.game)
    if model is None:
        return game, random_network(game, config), "random", config
    checkpoint = load_checkpoint(find_checkpoint(model, game), game)
    config = config.model_copy(update={"network": checkpoint.network.config})
    return game, checkpoint.network, str(checkpoint.path), config


def _settings(config: TrainConfig) -> dict[str, float]:
    return {
        "search.simulations": config.search.simulations,
        "selfplay.parallel_games": fixed(config.selfplay.parallel_games),
        "selfplay.cache_mb": config.selfplay.cache_mb,
        "selfplay.full_search_fraction": config.selfplay.full_search_fraction,
        "learner.batch_size": fixed(config.learner.batch_size),
        "replay.samples_per_position": config.replay.samples_per_position,
    }


def window_positions(config: TrainConfig) -> int:
    """How many the learner is measured on."""
    return min(config.replay.window_min, MOST_POSITIONS)


def balance(config: TrainConfig, actors: ActorsSpeed, learner: LearnerSpeed) -> Balance:
    """What the actors' positions ask of a learner."""
    asked = actors.positions_per_s.median * config.replay.samples_per_position
    return Balance(config.replay.samples_per_position, asked, asked / learner.samples_per_s.median)


class _Measurement:
    """The parts of a bench, which share a game, its network and what self-play has found so far."""

    def __init__(
        self, game: Game, config: TrainConfig, network: Network, seconds: float, rounds: int, tell: Tell
    ) -> None:
        self._game = game
        self._config = config
        self._network = network
        self._seconds = seconds
        self._rounds = rounds
        self._tell = tell
        self._slots = fixed(config.selfplay.parallel_games)
        self.backend: str = config.selfplay.backend
        """The one chosen, once `backends` has measured them."""
        with one_thread():
            first = default_backend() if self.backend == "auto" else self.backend
            evaluate = make_evaluator(game, network, first, self._slots)
            without = config.model_copy(update={"selfplay": config.selfplay.model_copy(update={"cache_mb": 0.0})})
            self._plays = {0.0: MeasuredSelfPlay(game, without, evaluate)}
            if config.selfplay.cache_mb:
                self._plays[config.selfplay.cache_mb] = MeasuredSelfPlay(game, config, evaluate)
            for play in self._plays.values():
                play.warm_up(LONGER * seconds)
            recorded = self._plays[0.0].record(BATCHES // 2)
        random = random_positions_planes(game, self._slots * BATCHES // 2, seed=1)
        self._batches = [*recorded, *random.reshape(BATCHES // 2, self._slots, *random.shape[1:])]
        self._ceiling: Ceiling | None = None

    @property
    def games(self) -> list[Any]:
        """Finished games of self-play."""
        return self._plays[0.0].games

    def backends(self) -> list[BackendSpeed]:
        """Every backend's ceiling, the fastest first; chooses the one the rest is measured with."""
        names = available_backends()
        ceilings = {}
        for name in names:
            self._tell(f"making {name} ready")
            ceilings[name] = Ceiling(make_evaluator(self._game, self._network, name, self._slots), self._batches)
        self._tell(f"the ceilings of {len(names)} backends")
        found = interleave(ceilings, self._seconds, self._rounds)
        speeds = {name: rate(found[name], "evaluations") for name in names}
        order = sorted(names, key=lambda name: -speeds[name].best)
        if self.backend == "auto":
            rates = {name: speeds[name].best for name in order}
            self.backend = fastest_sound(self._game, self._network, rates).backend
        self._ceiling = ceilings[self.backend]
        distances = {name: distances_from_float32(self._game, self._network, name) for name in order}
        return [BackendSpeed(name, speeds[name], *distances[name]) for name in order]

    def batch_sizes(self) -> list[BatchSpeed]:
        self._tell(f"{self.backend} with batches of other sizes")
        contenders = {}
        for size in BATCH_SIZES:
            planes = random_positions_planes(self._game, size * BATCHES, seed=1)
            evaluate = make_evaluator(self._game, self._network, self.backend, size)
            contenders[size] = Ceiling(evaluate, list(planes.reshape(BATCHES, size, *planes.shape[1:])))
        found = interleave(contenders, self._seconds / 2, self._rounds)
        return [BatchSpeed(size, rate(found[size], "evaluations")) for size in BATCH_SIZES]

    def selfplay(self) -> tuple[SelfPlaySpeed, SelfPlaySpeed | None]:
        """One actor's, without the cache and with it, beside the ceiling."""
        self._tell("self-play beside its ceiling")
        assert self._ceiling is not None
        evaluate = make_evaluator(self._game, self._network, self.backend, self._slots)
        for play in self._plays.values():
            play.evaluator = evaluate
        contenders: dict[str, Any] = {"ceiling": self._ceiling, **{f"{mb}": p for mb, p in self._plays.items()}}
        found = interleave(contenders, LONGER * self._seconds, self._rounds)
        self._tell("the parts of self-play by themselves")
        speeds = [self._selfplay_speed(mb, play, found[f"{mb}"], found["ceiling"]) for mb, play in self._plays.items()]
        return speeds[0], speeds[1] if len(speeds) > 1 else None

    def _selfplay_speed(
        self, cache_mb: float, play: MeasuredSelfPlay, rounds: list[Round], ceiling: list[Round]
    ) -> SelfPlaySpeed:
        shares = [
            (own["evaluations"] / own["seconds"]) / (other["evaluations"] / other["seconds"])
            for own, other in zip(rounds, ceiling, strict=True)
        ]
        return SelfPlaySpeed(
            cache_mb=cache_mb,
            evaluations_per_s=rate(rounds, "evaluations"),
            simulations_per_s=rate(rounds, "simulations"),
            positions_per_s=rate(rounds, "positions"),
            hit_share=total(rounds, "hits") / max(1.0, total(rounds, "look_ups")),
            share_of_ceiling=Spread.of(shares),
            network_evaluations_per_s=total(rounds, "evaluations") / total(rounds, "network_s"),
            positions_a_move=total(rounds, "positions") / max(1.0, total(rounds, "moves")),
            step=self._step_time(play, rounds),
        )

    def _step_time(self, play: MeasuredSelfPlay, rounds: list[Round]) -> StepTime:
        def of_a_step(what: str) -> float:
            return statistics.median(done[what] / done["steps"] for done in rounds)

        depth, repeats, games = play.mean_depth(), self._config.search.simulations, play.games[-1]
        forest, cache, planes, leaves, answers = play.parts
        for array in (cache.keys, cache.values, cache.logits):
            array.fill(0)  # or the first entries would pay for the memory
        parts: dict[str, Work] = {
            "bare": Work("done", lambda: replay(self._game, games, repeats, depth, with_planes=False)),
            "encoded": Work("done", lambda: replay(self._game, games, repeats, depth, with_planes=True)),
            "entering": Work("done", play.enter_compiled),
        }
        if cache_used := len(cache.keys) > 0:
            for name, keeping in (("look_up", False), ("keep", True)):
                parts[name] = Work("done", _cache_work(forest, cache, planes, leaves, answers, keeping))
        found = interleave(parts, self._seconds / 4, 2)
        # The best round: a part by itself is what it costs undisturbed.
        us = {name: 1e6 / rate(done, "done").best for name, done in found.items()}
        leaves_a_step = of_a_step("look_ups") if cache_used else of_a_step("evaluations")
        rules_us = of_a_step("simulations") * us["bare"] + leaves_a_step * max(0.0, us["encoded"] - us["bare"])
        cache_us = leaves_a_step * us["look_up"] + of_a_step("evaluations") * us["keep"] if cache_used else 0.0
        total_us, network_us, search_us = (1e6 * of_a_step(name) for name in ("seconds", "network_s", "search_s"))
        return StepTime(
            total_us=total_us,
            network_us=network_us,
            search_us=search_us,
            rules_us=rules_us,
            cache_us=cache_us,
            entering_us=us["entering"],
            tree_us=max(0.0, search_us - rules_us - cache_us - us["entering"]),
            python_us=max(0.0, total_us - network_us - search_us),
        )

    def actors(self, folder: Path, positions_a_move: float, turns: int) -> ActorsSpeed:
        """All actors of the config, and one of them while the others are stopped, in turns."""
        count = num_actors(self._config.selfplay)
        self._tell(f"starting {count} actor{'s' if count > 1 else ''}")
        seconds = LONGER * self._seconds / 2
        alone: list[Round] = []
        together: list[Round] = []
        with Actors(folder, count, self.backend, self._config.seed) as actors:
            for turn in range(turns):
                self._tell(f"{count} actor{'s' if count > 1 else ''} playing together, {turn + 1} of {turns}")
                together.append(actors.measure(count, seconds))
                if count > 1:
                    self._tell(f"one actor playing alone, {turn + 1} of {turns}")
                    alone.append(actors.measure(1, seconds))
            memory = actors.peak_memory_bytes()
        of_all, of_one = rate(together, "moves"), rate(alone or together, "moves")
        return ActorsSpeed(
            actors=count,
            evaluations_per_s=rate(together, "evaluations"),
            simulations_per_s=rate(together, "simulations"),
            positions_per_s=Spread(of_all.best * positions_a_move, of_all.median * positions_a_move),
            positions_per_s_of_one=Spread(of_one.best * positions_a_move, of_one.median * positions_a_move),
            scaling=of_all.median / of_one.median,
            peak_memory_bytes=memory,
        )

    def learner(self, folder: Path) -> tuple[list[LearnerSpeed], int | None]:
        self._tell("the learner")
        threads = sorted({1, available_cores()})
        answer = work_apart(
            WORKER,
            {
                "what": "the learner",
                "folder": str(folder),
                "batch_sizes": [fixed(self._config.learner.batch_size)],
                "threads": threads,
                "seconds": LONGER * self._seconds / 2,
                "rounds": self._rounds,
            },
        )
        return [learner_speed(speed) for speed in answer["speeds"]], answer["peak_memory_bytes"]

    def start_up(self, folder: Path, times: int) -> StartUp:
        """With everything compiled: the median of several."""
        found = []
        for number in range(times):
            self._tell(f"starting up warm, {number + 1} of {times}")
            found.append(self._start(folder))
        moves, steps = [one.first_move_s for one in found], [one.first_step_s for one in found]
        return StartUp(statistics.median(moves), statistics.median(steps))

    def start_up_cold(self, folder: Path) -> StartUp:
        """With an empty cache of compiled code."""
        self._tell("starting up cold: compiling everything anew")
        empty = folder / "cache"
        empty.mkdir()
        # games/__init__.py has chosen a cache and said so in the environment: that one would be found otherwise.
        kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        return self._start(folder, {**kept, "XDG_CACHE_HOME": str(empty)})

    def _start(self, folder: Path, environment: Mapping[str, str] | None = None) -> StartUp:
        task = {"what": "the start", "folder": str(folder), "backend": self.backend}
        return StartUp(**work_apart(WORKER, task, environment))


def _cache_work(*arguments: Any) -> Any:
    *parts, keeping = arguments
    return lambda: use_cache(*parts, keeping=keeping)


def learner_speed(measured: Mapping[str, Any]) -> LearnerSpeed:
    """One of the answers of keima.selfplay.bench.learning_speed."""
    rounds, size = measured["rounds"], measured["batch_size"]

    def of_a_step(what: str) -> float:
        return 1e6 * float(statistics.median(done[what] / (done["samples"] / size) for done in rounds))

    step_us, draw_us, average_us = (of_a_step(name) for name in ("seconds", "draw_s", "average_s"))
    return LearnerSpeed(
        threads=measured["threads"],
        batch_size=size,
        samples_per_s=rate(rounds, "samples"),
        step_us=step_us,
        draw_us=draw_us,
        average_us=average_us,
        train_us=max(0.0, step_us - draw_us - average_us),
    )
