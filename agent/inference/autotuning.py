"""Which backend runs a network here: all that are available are measured, and the fastest sound one is chosen.

A measurement of speed takes a few seconds and is kept on disk, by machine, network, game, batch and versions. A
backend is sound where it says nearly what the network says in float32 on random positions; what remains of a
difference is judged by games (see configs/RESULTS.md).
"""

import contextlib
import hashlib
import json
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from keima.agent.inference.evaluator import Evaluator
from keima.agent.inference.factory import available_backends, make_evaluator
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.nets.network import Network
from keima.agent.system.storage import write_atomically
from keima.games import cache_folder
from keima.games.contract import Game

MAX_POLICY_DISTANCE = 0.05
"""Sound: its policies are at most this far from float32's, see `distances_from_float32`."""
MAX_VALUE_DISTANCE = 0.05
"""Sound: and its values this far."""
REFERENCE = "torch-f32"
"""The backend that the others are held against; it can run everywhere."""
ROUNDS = 4
"""Backends are timed in turns, and the best turn of each counts: other work on the machine slows some turns."""
ROUND_SECONDS = 0.1
TEST_POSITIONS = 512


@dataclass(frozen=True)
class BackendChoice:
    """The backend that was chosen for a network, and why."""

    backend: str
    rates: dict[str, float]
    """Evaluations a second of one thread, by backend, the fastest first."""
    unsound: dict[str, tuple[float, float]]
    """Faster backends that were passed over: their mean distances from float32, of policies and of values; infinite
    where they gave no answer."""

    def __str__(self) -> str:
        rates = ", ".join(f"{backend} {rate:,.0f}" for backend, rate in self.rates.items())
        passed_over = "".join(
            f"; {backend} is too imprecise for this net (policies {policy:.3f} off, values {value:.3f})"
            if math.isfinite(policy)
            else f"; {backend} fails on this net"
            for backend, (policy, value) in self.unsound.items()
        )
        return f"inference by {self.backend}{passed_over}; evaluations a second of a thread: {rates}"


def choose_backend(game: Game, network: Network, batch_size: int) -> BackendChoice:
    """The fastest sound backend for this network on this machine, for calls of `batch_size` positions.

    Speeds may come from an earlier measurement; whether a backend is sound is looked at each time, for that depends
    on the weights.
    """
    path = _cache_path(game, network, batch_size)
    rates = _read(path)
    if rates is None:
        rates = measure_rates(game, network, batch_size)
        with contextlib.suppress(OSError):  # then they are measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(rates, indent=1).encode())
    return fastest_sound(game, network, rates)


def fastest_sound(game: Game, network: Network, rates: dict[str, float]) -> BackendChoice:
    """The first sound backend for this network; rates: evaluations a second by backend, the fastest first."""
    unsound: dict[str, tuple[float, float]] = {}
    for backend in rates:
        try:
            distances = distances_from_float32(game, network, backend)
        except Exception:
            distances = math.inf, math.inf
        if distances[0] <= MAX_POLICY_DISTANCE and distances[1] <= MAX_VALUE_DISTANCE:
            return BackendChoice(backend, rates, unsound)
        unsound[backend] = distances
    return BackendChoice(
        REFERENCE, rates, unsound
    )  # not even that: the network's answers are not numbers, as it will say


def measure_rates(game: Game, network: Network, batch_size: int) -> dict[str, float]:
    """Evaluations a second of every available backend, for one thread and batches of that size; the fastest first.

    Backends that fail on this network, whatever it is that they raise, are left out. Raises GameError where
    REFERENCE does.
    """
    batch = random_positions_planes(game, batch_size, seed=1)
    evaluators: dict[str, Evaluator] = {}
    rates = dict.fromkeys(available_backends(), 0.0)
    with one_thread():
        for _ in range(ROUNDS):
            for backend in list(rates):
                try:
                    if backend not in evaluators:
                        evaluators[backend] = make_evaluator(game, network, backend, batch_size)
                    rates[backend] = max(rates[backend], _rate(evaluators[backend], batch))
                except Exception:
                    if backend == REFERENCE:
                        raise
                    del rates[backend]
    return dict(sorted(rates.items(), key=lambda item: -item[1]))


def distances_from_float32(game: Game, network: Network, backend: str) -> tuple[float, float]:
    """How far a backend's answers on random positions are from torch's in float32, on average.

    The total variation distance between policies over all actions, 0 to 1, and the distance of values, 0 to 2.
    """
    planes = random_positions_planes(game, TEST_POSITIONS, seed=1)
    exact, found = (make_evaluator(game, network, name)(planes) for name in (REFERENCE, backend))
    policies = [torch.softmax(torch.from_numpy(logits), 1).numpy() for logits, _ in (exact, found)]
    policy = 0.5 * np.abs(policies[0] - policies[1]).sum(1).mean()
    return float(policy), float(np.abs(exact[1] - found[1]).mean())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch, and what follows it, uses one thread; self-play gives each actor one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rate(evaluator: Evaluator, batch: NDArray[np.float32]) -> float:
    evaluator(batch)
    start_s, calls = time.perf_counter(), 0
    while True:
        evaluator(batch)
        calls += 1
        passed_s = time.perf_counter() - start_s
        if passed_s > ROUND_SECONDS:
            return calls * len(batch) / passed_s


def _cache_path(game: Game, network: Network, batch_size: int) -> Path:
    """Where a measurement is kept; another machine, game, size or version has another path."""
    facts: dict[str, Any] = {
        "game": game.label,
        "rules": game.rules_version,
        "network": network.config.model_dump(),
        "batch": batch_size,
        "machine": [platform.machine(), processor_name(), gpu_name()],
        "versions": [version_of(package) for package in ("keima", "torch", "openvino")],
        "backends": available_backends(),
    }
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()
    return cache_folder() / "backends" / f"{digest}.json"


def _read(path: Path) -> dict[str, float] | None:
    try:
        found = {str(backend): float(rate) for backend, rate in json.loads(path.read_text()).items()}
        return found if set(found) == set(available_backends()) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def processor_name() -> str:
    """The processor's model; empty where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def gpu_name() -> str:
    """The CUDA device's name; empty where there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def version_of(package: str) -> str:
    """An installed package's version; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
