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
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch

from agent.backends import one_thread, processor_name, version_of
from agent.checkpoint import load_checkpoint
from agent.inference import make_evaluator
from agent.network import Network
from agent.network_config import NetworkConfig
from games import load
from games.contract import Game, GameError
from selfplay.config import TrainConfig, load_config
from selfplay.generation import SelfPlay
from selfplay.measuring import random_network

PEER = Path(__file__).with_name("pgx_mctx.py")
CACHE_MB = 64
CACHES = ("off", "emptied", "kept")
RANDOM = "random"
JUDGED_MOVES = [2, 2, 3, 0, 0]
"""To a position that looks like no other seen in a mirror, from the other side, or upside down."""
SPREAD_PLIES = 60
"""Moves of every game, on average, before anything is measured; the peer does the same."""
TOLERANCE = 0.05
"""How far probabilities and values that bfloat16 gives may be from those in float32."""

Counts = dict[str, float]
"""What was done in a burst, by name; also the seconds it took, cpu_s and wall_s."""


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
    slots: int
    cache: str  # one of CACHES
    weights: str  # RANDOM, or the checkpoint's path

    def __str__(self) -> str:
        return f"keima {self.backend}, {self.slots} games, cache {self.cache}, {self.weights} weights"


class Keima:
    """Keima's self-play in this process."""

    def __init__(self, game: Game, config: TrainConfig, network: Network, variant: Variant) -> None:
        cache_mb = 0.0 if variant.cache == "off" else float(CACHE_MB)
        play = config.selfplay.model_copy(update={"slots": variant.slots, "cache_mb": cache_mb})
        self.variant = variant
        self.name = str(variant)
        self._games = SelfPlay(game, config.search, play, config.seed)
        self._spread(config.seed)
        self._evaluate = make_evaluator(game, network, variant.backend, variant.slots)

    def _spread(self, seed: int) -> None:
        """Plays by guesses until the games under way are of all lengths; searches get shorter towards the end."""
        random = np.random.default_rng(seed)
        slots, actions = self.variant.slots, self._games.game.num_actions
        while self._games.moves < SPREAD_PLIES * slots:
            logits, values = random.normal(size=(slots, actions)), random.uniform(-1, 1, slots)
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


class Peer:
    """One of the contenders in the peer's process."""

    def __init__(self, process: "PeerProcess", number: int, facts: Mapping[str, Any], weights: str) -> None:
        how = f"{facts['policy']}, {facts['precision']}, {facts['batch']} games"
        self.name = f"pgx with mctx: {how}, {weights} weights"
        self.weights = weights
        self.judgement: list[float] = facts["judgement"]
        self._process = process
        self._number = number

    def burst(self, seconds: float) -> Counts:
        """See `Contender`."""
        done = self._process.ask(json.dumps([self._number, seconds]))
        return {name: done[name] for name in ("evaluations", "simulations", "moves", "cpu_s", "wall_s")}


class PeerProcess:
    """The peer, which works when it is asked to and otherwise waits. Ends with the block."""

    def __init__(self, python: str, core: int | None, options: list[str]) -> None:
        self._command = [
            python,
            str(PEER),
            *options,
            f"--judge={','.join(map(str, JUDGED_MOVES))}",
            *([] if core is None else [f"--core={core}"]),
        ]

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                [*self._command, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise GameError(f"--peer-python {self._command[0]}: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def contenders(self, weights: Mapping[str, str]) -> tuple[list[Peer], dict[str, str]]:
        """All there are, once they are compiled; and the versions of what the peer is made of.

        weights: the names of those that the peer was given, by its own name for them.
        """
        ready = self._answer()
        peers = [Peer(self, number, facts, weights[facts["weights"]]) for number, facts in enumerate(ready["ready"])]
        return peers, ready["versions"]

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise GameError(f"the peer ended with exit code {self._process.wait()}: {shlex.join(self._command)}")
        return dict(json.loads(line))


def main() -> None:
    options = _parse()
    try:
        _compare(options)
    except GameError as error:
        sys.exit(f"compare: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="the Python that has jax, pgx and mctx")
    parser.add_argument("--peer-options", default="", help='for the peer, as in "--batches 64,256 --policies gumbel"')
    parser.add_argument("--model", action="append", default=[], help="a run or checkpoint; may be given again")
    parser.add_argument("--backends", default="openvino-int8,openvino-bf16")
    parser.add_argument("--slots", default="128,256", help="games side by side")
    parser.add_argument("--caches", default=",".join(CACHES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="a burst, at least")
    parser.add_argument("--core", type=int, help="the core to keep to; by default the last one there is")
    parser.add_argument("--json", type=Path, help="a file for every burst, as it was")
    options = parser.parse_args()
    if unknown := set(options.caches.split(",")) - set(CACHES):
        parser.error(f"--caches: expected some of {', '.join(CACHES)}, got {', '.join(sorted(unknown))}")
    return options


def _compare(options: argparse.Namespace) -> None:
    core = _hold_to_one_core(options.core)
    game = load("connect4")
    config = load_config("connect4", ["search.simulations=100"]).model_copy(update={"network": NetworkConfig()})
    networks = _networks(game, config, options.model)
    with one_thread(), tempfile.TemporaryDirectory(prefix="keima-") as folder:
        given = {RANDOM: RANDOM}
        for number, path in enumerate(options.model):
            file = str(Path(folder) / f"{number}.npz")
            np.savez(file, **_for_peer(networks[path]))  # type: ignore[arg-type]
            given[file] = path
        peer_options = [*shlex.split(options.peer_options), *(f"--weights={file}" for file in given)]
        with PeerProcess(options.peer_python, core, peer_options) as process:
            keima = list(_keima(options, game, config, networks))  # while the peer compiles
            peers, versions = process.contenders(given)
            _check(game, networks, peers)
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
            of.model_dump(exclude={"reply_head", "soft_policy_head"}) for of in (network.config, config.network)
        )
        if sizes != expected:
            raise GameError(f"--model {path}: expected a network of the sizes {expected}, got {sizes}")
        networks[path] = network
    return networks


def _keima(
    options: argparse.Namespace, game: Game, config: TrainConfig, networks: Mapping[str, Network]
) -> Iterator[Keima]:
    slots = [int(number) for number in options.slots.split(",")]
    for row in itertools.product(options.backends.split(","), slots, options.caches.split(","), networks):
        variant = Variant(*row)
        yield Keima(game, config, networks[variant.weights], variant)


def _for_peer(network: Network) -> dict[str, np.ndarray]:
    """The network's weights as the peer takes them: channels last, otherwise its planes are Keima's."""
    folded: Any = network.for_inference().float()
    found: dict[str, Any] = {}

    def put(name: str, weight: torch.Tensor, bias: torch.Tensor) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = weight.numpy(), bias.numpy()

    def convolution(name: str, layer: Any) -> None:
        put(name, layer.convolution.weight.permute(2, 3, 1, 0), layer.convolution.bias)

    def of_cells(name: str, layer: Any, channels: int) -> None:
        by_cell = layer.weight.reshape(len(layer.weight), channels, 6, 7).permute(2, 3, 1, 0)
        put(name, by_cell.reshape(-1, len(layer.weight)), layer.bias)

    def one_by_one(name: str, layer: Any) -> None:
        put(name, layer.convolution.weight[:, :, 0, 0].T, layer.convolution.bias)

    convolution("stem", folded.stem)
    for index, block in enumerate(folded.blocks):
        convolution(f"{index}.first", block.first)
        convolution(f"{index}.second", block.second)
        if block.from_pool is not None:  # the mean's scaling by the board's width is part of the weights
            mean, scaled, largest = block.from_pool.weight.T.chunk(3)
            put(f"{index}.from_pool", torch.cat([mean + scaled * (42**0.5 - 14) * 0.1, largest]), block.from_pool.bias)
    one_by_one("policy.reduce", folded.policy.reduce)
    of_cells("policy.dense", folded.policy.dense, network.config.policy_channels)
    one_by_one("value.reduce", folded.value.reduce)
    of_cells("value.hidden", folded.value.hidden, network.config.value_channels)
    put("value.outcome", folded.value.outcome.weight.T, folded.value.outcome.bias)
    return found


def _check(game: Game, networks: Mapping[str, Network], peers: list[Peer]) -> None:
    """Raises GameError where the peer's network is another than ours; random ones are."""
    state = game.new_state()
    for move in JUDGED_MOVES:
        state = game.after(state, move)
    for peer in peers:
        if peer.weights == RANDOM:
            continue
        logits, values = make_evaluator(game, networks[peer.weights], "torch-f32")(game.planes(state)[None])
        ours = [*torch.softmax(torch.from_numpy(logits[0]), 0).tolist(), float(values[0])]
        if not np.allclose(ours, peer.judgement, rtol=0, atol=TOLERANCE):
            raise GameError(f"{peer.name}: expected policy and value {ours}, got {peer.judgement}")


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
