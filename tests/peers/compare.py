"""Keima's self-play and a peer's in turns on one core: Connect Four, 4 blocks of 32 channels, 100 simulations a move.

    python -m tests.peers.compare --peer-python peer-venv/bin/python --model runs/connect4

The peer is tests/peers/pgx_mctx.py, which says how to install it. Every contender gets a burst of a few seconds, one
after another, round after round, so that what else the machine does hits all alike. Rates are by CPU time of the
process at work, all of its threads: what other processes take of the core does not count, though they slow it down by
what they do to caches and clock. A rate's median and best are over the rounds; a ratio is taken in every round. The
fastest of each side is the one with the highest median.

Keima's cache is off; or emptied before each burst, as in training new weights empty it; or kept from burst to burst,
as with weights that do not change. What it saves, and how deep trees are on both sides, depends on the network: random
weights are measured, and those of every --model, which the peer gets too; that it judges a position as Keima does is
checked. Openings are those of the shipped config; the peer's games begin from the empty board.
"""

import argparse
import dataclasses
import itertools
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from keima.agent.inference.autotuning import one_thread, processor_name, version_of
from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.checkpoint import load_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.agent.system.subprocess_task import temporary_folder
from keima.games import load
from keima.games.contract import Game, GameError
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.bench.measuring import random_network
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import TrainConfig
from tests.peers.peer import RANDOM, Counts, Peer, PeerProcess, check, weights_for_peer

CACHE_MB = 64
CACHES = ("off", "emptied", "kept")
SPREAD_PLIES = 60
"""Moves of every game, on average, before anything is measured; the peer does the same."""


class Contender(Protocol):
    """What is measured."""

    @property
    def name(self) -> str:
        """Of its row."""

    def burst(self, seconds: float) -> Counts:
        """Works for at least so long."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to run Keima."""

    backend: str
    parallel_games: int
    cache: str  # one of CACHES
    weights: str  # RANDOM, or the checkpoint's path

    def __str__(self) -> str:
        return f"keima {self.backend}, {self.parallel_games} games, cache {self.cache}, {self.weights} weights"


class Keima:
    """Keima's self-play in this process."""

    def __init__(self, game: Game, config: TrainConfig, network: Network, variant: Variant) -> None:
        cache_mb = 0.0 if variant.cache == "off" else float(CACHE_MB)
        play = config.selfplay.model_copy(update={"parallel_games": variant.parallel_games, "cache_mb": cache_mb})
        self.variant = variant
        self.name = str(variant)
        self._games = SelfPlay(game, config.search, play, config.seed)
        self._spread(config.seed)
        self._evaluate = make_evaluator(game, network, variant.backend, variant.parallel_games)

    def _spread(self, seed: int) -> None:
        """Plays by guesses until the games under way are of all lengths; searches get shorter towards the end."""
        random = np.random.default_rng(seed)
        parallel_games, actions = self.variant.parallel_games, self._games.game.num_actions
        while self._games.moves < SPREAD_PLIES * parallel_games:
            logits, values = random.normal(size=(parallel_games, actions)), random.uniform(-1, 1, parallel_games)
            answers = logits.astype(np.float32), values.astype(np.float32)
            self._games.step(lambda planes, answers=answers: answers)
        self._games.forget_evaluations()

    def burst(self, seconds: float) -> Counts:
        """See `Contender`."""
        games = self._games
        if games.finished_positions:
            games.take_finished(0, 0)
        before = self._counts()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        if self.variant.cache == "emptied":
            games.forget_evaluations()
        while time.perf_counter() - wall_s < seconds:
            games.step(self._evaluate)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        done = {name: count - before[name] for name, count in self._counts().items()}
        return {**done, "cpu_s": cpu_s, "wall_s": wall_s}

    def _counts(self) -> Counts:
        games = self._games
        return {
            "evaluations": games.evaluations,
            "simulations": games.simulations,
            "hits": games.cache_hits,
            "moves": games.moves,
        }


def main() -> None:
    options = _parse()
    try:
        _compare(options)
    except GameError as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="the Python that has jax, pgx and mctx")
    parser.add_argument("--peer-options", default="", help='for the peer, as in "--batches 64,256 --policies gumbel"')
    parser.add_argument("--model", action="append", default=[], help="a run or checkpoint; may be given again")
    parser.add_argument("--backends", default="openvino-int8,openvino-bf16")
    parser.add_argument("--parallel_games", type=_numbers, default=[128, 256], help="games side by side")
    parser.add_argument("--caches", default=",".join(CACHES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="a burst, at least")
    parser.add_argument("--core", type=int, help="the core to keep to; by default the last one there is")
    parser.add_argument("--json", type=Path, help="a file for every burst, as it was")
    options = parser.parse_args()
    if unknown := set(options.caches.split(",")) - set(CACHES):
        parser.error(f"--caches: expected some of {', '.join(CACHES)}, got {', '.join(sorted(unknown))}")
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _compare(options: argparse.Namespace) -> None:
    core = _hold_to_one_core(options.core)
    game = load("connect4")
    config = load_config("connect4", ["search.simulations=100"]).model_copy(update={"network": NetworkConfig()})
    networks = _networks(game, config, options.model)
    with one_thread(), temporary_folder() as folder:
        given = {RANDOM: RANDOM}
        for number, path in enumerate(options.model):
            file = str(folder / f"{number}.npz")
            np.savez(file, **weights_for_peer(networks[path]))  # type: ignore[arg-type]
            given[file] = path
        peer_options = [*shlex.split(options.peer_options), *(f"--weights={file}" for file in given)]
        with PeerProcess(options.peer_python, core, peer_options) as process:
            keima = list(_keima(options, game, config, networks))  # while the peer compiles
            peers, versions = process.contenders(given)
            check(game, networks, peers)
            facts = {
                "processor": processor_name(),
                "python": platform.python_version(),
                **{name: version_of(name) for name in ("keima", "torch", "openvino", "numba")},
                **versions,
                "load_average": round(os.getloadavg()[0], 2),
            }
            bursts = _take_turns(_mixed(keima, peers), options.rounds, options.seconds)
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()))
    _print_rates(bursts)
    _print_ratios(keima, peers, bursts)
    if options.json:
        options.json.write_text(json.dumps({"facts": facts, "bursts": bursts}, indent=1) + "\n")


def _hold_to_one_core(core: int | None) -> int | None:
    if not hasattr(os, "sched_setaffinity"):  # not Linux
        return None
    core = max(os.sched_getaffinity(0)) if core is None else core
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        raise GameError(f"--core {core}: {error.strerror}") from None
    return core


def _networks(game: Game, config: TrainConfig, models: list[str]) -> dict[str, Network]:
    """By name, what is measured."""
    networks = {RANDOM: random_network(game, config)}
    for path in models:
        network = load_checkpoint(path, game).network
        sizes, expected = (
            of.model_dump(exclude={"opponent_policy_head", "soft_policy_head"})
            for of in (network.config, config.network)
        )
        if sizes != expected:
            raise GameError(f"--model {path}: expected a network of the sizes {expected}, got {sizes}")
        networks[path] = network
    return networks


def _keima(
    options: argparse.Namespace, game: Game, config: TrainConfig, networks: Mapping[str, Network]
) -> Iterator[Keima]:
    for row in itertools.product(
        options.backends.split(","), options.parallel_games, options.caches.split(","), networks
    ):
        variant = Variant(*row)
        yield Keima(game, config, networks[variant.weights], variant)


def _mixed(ours: list[Keima], theirs: list[Peer]) -> list[Contender]:
    """Both sides in one order, spread evenly."""
    sides: tuple[Sequence[Contender], ...] = (ours, theirs)
    placed = [(index / len(side), contender) for side in sides for index, contender in enumerate(side)]
    return [contender for _, contender in sorted(placed, key=lambda pair: pair[0])]


def _take_turns(contenders: list[Contender], rounds: int, seconds: float) -> dict[str, list[Counts]]:
    """Every contender's bursts, after one that is not counted."""
    bursts: dict[str, list[Counts]] = defaultdict(list)
    for number in range(rounds + 1):
        for index, contender in enumerate(contenders):
            at = f"round {number} of {rounds}" if number else "warming up"
            _show(f"{at}, {index + 1} of {len(contenders)}: {contender.name}")
            done = contender.burst(seconds)
            if number:
                bursts[contender.name].append(done)
    _show("")
    return bursts


def _show(line: str) -> None:
    """One line of progress in place of the last, where there is somebody to see it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _rates(bursts: list[Counts], what: str) -> list[float]:
    """How many in a second of CPU time, burst by burst."""
    return [done[what] / done["cpu_s"] for done in bursts]


def _print_rates(bursts: Mapping[str, list[Counts]]) -> None:
    print("\nThousands in a second of CPU time: median (best). Hits: share of evaluations that the cache saved.")
    print("| contender | evaluations | simulations | moves | hits | share of the core |\n|---|---|---|---|---|---|")
    for name, found in bursts.items():
        columns = []
        for what, digits in (("evaluations", 1), ("simulations", 1), ("moves", 3)):
            rates = [rate / 1000 for rate in _rates(found, what)]
            columns.append(f"{statistics.median(rates):.{digits}f} ({max(rates):.{digits}f})")
        total = {what: sum(done.get(what, 0.0) for done in found) for what in (*found[0], "hits")}
        asked = total["evaluations"] + total["hits"]
        columns += [f"{total['hits'] / asked:.0%}", f"{total['cpu_s'] / total['wall_s']:.0%}"]
        print(f"| {name} | {' | '.join(columns)} |")


def _print_ratios(keima: list[Keima], peers: list[Peer], bursts: Mapping[str, list[Counts]]) -> None:
    """For each of Keima's weights, backends and caches, the fastest number of games against the fastest peer."""

    def fastest(names: list[str], what: str) -> tuple[str, list[float]]:
        rates = {name: _rates(bursts[name], what) for name in names}
        best = max(names, key=lambda name: statistics.median(rates[name]))
        return best, rates[best]

    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for contender in keima:
        variant = contender.variant
        groups[variant.weights, variant.backend, variant.cache].append(contender.name)
    print("\nTimes the fastest peer with these weights: median (lowest to highest) of the rounds' ratios.")
    print("| Keima | evaluations a second | simulations a second | the peer |\n|---|---|---|---|")
    for (weights, _, _), names in groups.items():
        theirs = [peer.name for peer in peers if peer.weights == weights]
        columns = []
        for what in ("evaluations", "simulations"):
            ratios = [a / b for a, b in zip(fastest(names, what)[1], fastest(theirs, what)[1], strict=True)]
            columns.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        ours, peer = fastest(names, "simulations")[0], fastest(theirs, "evaluations")[0]
        print(f"| {ours} | {' | '.join(columns)} | {peer} |")


if __name__ == "__main__":
    main()
