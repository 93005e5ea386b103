"""A minute's measurement of this machine for a config, from which selfplay/bench/plan.py chooses; kept on disk."""

import contextlib
import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import torch

from keima.agent.inference.autotuning import choose_backend, gpu_name, one_thread, processor_name, version_of
from keima.agent.inference.factory import available_backends, make_evaluator
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.agent.system.processes import available_cores
from keima.agent.system.storage import write_atomically
from keima.agent.system.subprocess_task import temporary_folder, work_apart
from keima.games import cache_folder
from keima.games.contract import Game
from keima.selfplay.bench.curves import Curve, shipped_curves
from keima.selfplay.bench.measuring import (
    PACKAGES,
    WORKER,
    Actors,
    Ceiling,
    MeasuredSelfPlay,
    Tell,
    interleave,
    machine,
    random_network,
    rate,
    total,
    write_run,
)
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.replay.segment import Segment

PARALLEL_GAMES = (32, 64, 128, 256, 512)
BATCH_SIZES = (64, 128, 256, 512, 1024)
DEFAULT_PARALLEL_GAMES, DEFAULT_BATCH_SIZE = 128, 256
"""What is measured with where it is still to be chosen."""
ROUNDS = 3
SECONDS = 1.0
"""A measurement, of each contender."""
PARALLEL_GAMES_TOLERANCE = 0.03
"""Fewer games at once are better while they cost no more than this: they end sooner, and take less memory."""


@dataclass(frozen=True)
class ParallelGamesRate:
    parallel_games: int
    evaluations_per_s: float  # one actor's, in self-play without a cache


@dataclass(frozen=True)
class ActorsRate:
    actors: int
    positions_per_s: float  # together, without a learner


@dataclass(frozen=True)
class LearnerRate:
    batch_size: int
    threads: int
    samples_per_s: float


@dataclass(frozen=True)
class NetworkRate:
    blocks: int
    channels: int
    evaluations_per_s: float  # one thread's ceiling


@dataclass(frozen=True)
class Measured:
    """What was measured on a machine; the best of several rounds, since other work slows some of them."""

    cores: int
    load_average: float  # the last minute's, before it began: other work makes everything below look slow
    memory_bytes: int
    learner_apart: bool  # whether the learner has a GPU
    backend: str
    parallel_games: list[ParallelGamesRate]
    actors: list[ActorsRate]
    learner: list[LearnerRate]
    networks: list[NetworkRate]  # the config's first; also what it grows to
    actor_peak_bytes: int | None
    learner_peak_bytes: int | None
    window_bytes_a_position: float


def measured_here(game: Game, config: TrainConfig, *, again: bool, tell: Tell) -> Measured:
    """What was measured before for the same machine, network, search and versions, or what is measured now.

    again: measures in any case.
    """
    path = _cache_path(game, config)
    measured = None if again else _read(path)
    if measured is None:
        measured = measure(game, config, tell)
        with contextlib.suppress(OSError):  # then it is measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(dataclasses.asdict(measured)).encode())
    return measured


def with_values(config: TrainConfig, values: dict[str, int]) -> TrainConfig:
    for option, value in values.items():
        section, _, name = option.rpartition(".")
        changed = getattr(config, section).model_copy(update={name: value})
        config = config.model_copy(update={section: changed})
    return config


def measure(game: Game, config: TrainConfig, tell: Tell) -> Measured:
    """Measures this machine for a config, in about a minute."""
    cores, facts = available_cores(), machine()
    network = random_network(game, config)
    parallel_games = (
        DEFAULT_PARALLEL_GAMES if config.selfplay.parallel_games == "auto" else config.selfplay.parallel_games
    )
    tell("measuring what runs the network fastest here")
    backend: str = config.selfplay.backend
    if backend == "auto":
        backend = choose_backend(game, network, parallel_games).backend
    with one_thread():
        networks = _network_rates(game, config, backend, parallel_games, tell)
        by_parallel_games, games, positions_a_move = _slots_rates(game, config, network, backend, tell)
    if config.selfplay.parallel_games == "auto":
        parallel_games = choose_parallel_games(by_parallel_games)
    batch_size = DEFAULT_BATCH_SIZE if config.learner.batch_size == "auto" else config.learner.batch_size
    config = with_values(config, {"selfplay.parallel_games": parallel_games, "learner.batch_size": batch_size})
    with temporary_folder() as folder:
        write_run(folder, game, config, network, games)
        actors, actor_peak = _actors_rates(folder, config, backend, cores, positions_a_move, tell)
        tell("measuring the learner")
        answer = work_apart(
            WORKER,
            {
                "what": "the learner",
                "folder": str(folder),
                "batch_sizes": sorted({*BATCH_SIZES, batch_size}),
                "threads": sorted({1, max(1, cores - 1)}),
                "seconds": SECONDS,
                "rounds": ROUNDS,
            },
        )
    learner = [
        LearnerRate(found["batch_size"], found["threads"], rate(found["rounds"], "samples").best)
        for found in answer["speeds"]
    ]
    return Measured(
        cores=cores,
        load_average=facts["load_average"],
        memory_bytes=facts["memory_bytes"],
        learner_apart=torch.cuda.is_available(),
        backend=backend,
        parallel_games=by_parallel_games,
        actors=actors,
        learner=learner,
        networks=networks,
        actor_peak_bytes=actor_peak,
        learner_peak_bytes=answer["peak_memory_bytes"],
        window_bytes_a_position=window_bytes_a_position(games),
    )


def _network_rates(game: Game, config: TrainConfig, backend: str, parallel_games: int, tell: Tell) -> list[NetworkRate]:
    """The config's network, what it grows to, those of published curves, one of half and one of twice the channels."""
    tell("measuring smaller and larger networks")
    own = config.network
    sizes = [(own.blocks, own.channels), (own.blocks, max(4, own.channels // 2)), (own.blocks, 2 * own.channels)]
    grown = config.growth.network(own)
    sizes += [(grown.blocks, grown.channels), *(sizes_of(curve, own) for curve in shipped_curves(game))]
    planes = random_positions_planes(game, parallel_games, seed=1)
    contenders = {}
    for blocks, channels in dict.fromkeys(sizes):
        network = Network(game, own.model_copy(update={"blocks": blocks, "channels": channels})).eval()
        contenders[blocks, channels] = Ceiling(make_evaluator(game, network, backend, parallel_games), [planes])
    found = interleave(contenders, SECONDS / 2, ROUNDS)
    return [NetworkRate(*size, rate(found[size], "evaluations").best) for size in contenders]


def _slots_rates(
    game: Game, config: TrainConfig, network: Network, backend: str, tell: Tell
) -> tuple[list[ParallelGamesRate], list[Segment], float]:
    """One actor's speed by parallel_games; also games that were finished, and training positions for each move."""
    tell("measuring how many games to play at once")
    wanted = sorted(
        {*PARALLEL_GAMES, *([] if config.selfplay.parallel_games == "auto" else [config.selfplay.parallel_games])}
    )
    plays = {}
    for parallel_games in wanted:
        # Without a cache, whose hits depend on how far the games have come.
        without_cache = config.selfplay.model_copy(update={"parallel_games": parallel_games, "cache_mb": 0.0})
        evaluate = make_evaluator(game, network, backend, parallel_games)
        plays[parallel_games] = MeasuredSelfPlay(game, config.model_copy(update={"selfplay": without_cache}), evaluate)
    first = plays[wanted[0]]
    first.warm_up(SECONDS)
    for play in plays.values():
        play.run()  # what is made ready on the first call
    found = interleave(plays, SECONDS, ROUNDS)
    moves, positions = (sum(total(rounds, name) for rounds in found.values()) for name in ("moves", "positions"))
    rates = [
        ParallelGamesRate(parallel_games, rate(found[parallel_games], "evaluations").best) for parallel_games in wanted
    ]
    return rates, first.games, positions / max(1.0, moves)


def _actors_rates(
    folder: Path, config: TrainConfig, backend: str, cores: int, positions_a_move: float, tell: Tell
) -> tuple[list[ActorsRate], int | None]:
    """One actor, one a core, and one fewer, each twice; also the memory of the largest."""
    most = max(cores, 1 if config.selfplay.actors == "auto" else config.selfplay.actors)
    counts = sorted({1, max(1, cores - 1), cores, most})
    best = dict.fromkeys(counts, 0.0)
    tell(f"starting {most} actor{'s' if most > 1 else ''}")
    with Actors(folder, most, backend, config.seed) as actors:
        for _ in range(2):
            for count in counts:
                tell(f"measuring {count} actor{'s' if count > 1 else ''}")
                moves = actors.measure(count, SECONDS)["moves"]
                best[count] = max(best[count], moves * positions_a_move)
        peak = actors.peak_memory_bytes()
    return [ActorsRate(count, positions) for count, positions in best.items()], peak


def window_bytes_a_position(games: list[Segment]) -> float:
    """What keima.selfplay.replay.window.ReplayWindow says it takes, up to three times while it grows, for a training
    position."""
    plies, policies = (sum(map(len, arrays)) for arrays in zip(*((g.actions, g.policies) for g in games), strict=True))
    positions = sum(segment.num_positions for segment in games)
    return 3 * (16 + (32 * plies + 2 * policies) / positions)


def sizes_of(curve: Curve, own: NetworkConfig) -> tuple[int, int]:
    """Blocks and channels of the network that a curve was measured with."""
    blocks, channels = (curve.settings.get(f"network.{name}", getattr(own, name)) for name in ("blocks", "channels"))
    return int(blocks), int(channels)


def choose_parallel_games(rates: list[ParallelGamesRate]) -> int:
    """The fewest that are as fast as any, but for PARALLEL_GAMES_TOLERANCE."""
    best = max(found.evaluations_per_s for found in rates)
    return min(
        found.parallel_games for found in rates if found.evaluations_per_s >= (1 - PARALLEL_GAMES_TOLERANCE) * best
    )


def _cache_path(game: Game, config: TrainConfig) -> Path:
    """Where a measurement is kept; what would make another one has another path."""
    facts: dict[str, Any] = {
        "game": game.label,
        "rules": game.rules_version,
        "source": game.source,
        "network": config.network.model_dump(),
        "grown": config.growth.network(config.network).model_dump(),
        "search": config.search.model_dump(),
        "selfplay": config.selfplay.model_dump(),
        "learner": config.learner.batch_size,
        "replay": config.replay.surprise_fraction,
        "machine": [platform.machine(), processor_name(), gpu_name(), available_cores()],
        "versions": [version_of(package) for package in PACKAGES],
        "backends": available_backends(),
    }
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()
    return cache_folder() / "plans" / f"{digest}.json"


def _read(path: Path) -> Measured | None:
    try:
        return pydantic.TypeAdapter(Measured).validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
