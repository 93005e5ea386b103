"""Profiles that a person can read: of self-play, of the learner, and of the network's layers."""

import cProfile
import io
import os
import pstats
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch.profiler import ProfilerActivity, profile

from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.network import Network
from keima.games.contract import Game
from keima.selfplay.bench.learning_speed import Learning, Steps, filled_window
from keima.selfplay.bench.measuring import MeasuredSelfPlay
from keima.selfplay.bench.result import StepTime
from keima.selfplay.config.schema import TrainConfig, fixed
from keima.selfplay.replay.segment import Segment

LINES = 40
LAYER_CALLS = 50
PROFILED_STEPS = 20
"""Of the learner by torch's profiler, which remembers every operation."""
WIDTH = 110


def write_profiles(
    folder: Path,
    game: Game,
    config: TrainConfig,
    network: Network,
    backend: str,
    games: list[Segment],
    seconds: float,
    step: StepTime,
) -> list[Path]:
    """Writes a text file for each profile into the folder; returns them.

    games: to be learnt from. step: where a step's time goes without a profiler, for the headline.
    """
    parallel_games = fixed(config.selfplay.parallel_games)
    play = MeasuredSelfPlay(game, config, make_evaluator(game, network, backend, parallel_games))
    play.warm_up(seconds)
    batch = play.record(1)[0]
    learner = Learning(game, config)
    steps = Steps(learner, filled_window(config, games), fixed(config.learner.batch_size))
    for _ in range(3):
        steps.run()
    texts = {
        "actor.txt": _headed(
            f"An actor's loop: {parallel_games} games at once, {backend}, one thread. Without a profiler a step takes "
            f"{step.total_us:.0f} us: the network {step.network_us / step.total_us:.0%}, the compiled search "
            f"{step.search_us / step.total_us:.0%}, Python around them {step.python_us / step.total_us:.0%}. Look at "
            "tottime: what is not the evaluator's call (infer, judge) or _play_on, the compiled search, should be next "
            "to nothing. The profiler makes Python code look dearer than it is, and compiled code not.",
            _python_profile(play.run, seconds),
        ),
        "learner.txt": _headed(
            f"The learner's steps: {fixed(config.learner.batch_size)} positions, one thread. Look at tottime: "
            "run_backward, conv2d and the fused kernels are the arithmetic; _fill draws and encodes the batch; "
            "what else is large is overhead, which larger batches spread.",
            _python_profile(steps.run, seconds),
        ),
        "learner-torch.txt": _headed(
            f"The same, by torch's operations, {PROFILED_STEPS} steps together. Look at Self CPU: convolutions and "
            "their gradients should lead; copies, casts (aten::copy_, aten::_to_copy) and many small operations are "
            "what a faster step would do without.",
            _torch_profile(steps.run),
        ),
    }
    if backend.startswith("openvino"):
        texts["layers.txt"] = _layers(game, network, backend, batch)
    paths = []
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(folder / name)
    return paths


def _headed(headline: str, text: str) -> str:
    return f"{textwrap.fill(headline, WIDTH)}\n\n{text.strip()}\n"


def _python_profile(work: Callable[[], None], seconds: float) -> str:
    profiler = cProfile.Profile()
    start_s = time.perf_counter()
    with profiler:
        while time.perf_counter() - start_s < seconds:
            work()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(LINES)
    return text.getvalue()


def _torch_profile(work: Callable[[], None]) -> str:
    with _silenced(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED_STEPS):
            work()
    return str(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=LINES, max_name_column_width=40))


@contextmanager
def _silenced() -> Iterator[None]:
    """Without what compiled code writes to stderr: torch's profiler says there that it starts and stops."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _layers(game: Game, network: Network, backend: str, batch: np.ndarray) -> str:
    from keima.agent.inference.openvino_evaluator import OpenVinoEvaluator

    evaluator = make_evaluator(game, network, backend)
    assert isinstance(evaluator, OpenVinoEvaluator)
    layers = evaluator.layer_times(batch, LAYER_CALLS)
    total_us = sum(layer.microseconds for layer in layers)
    kinds: dict[str, float] = {}
    for layer in layers:
        kinds[layer.kind] = kinds.get(layer.kind, 0.0) + layer.microseconds
    longest = sorted(kinds.items(), key=lambda item: -item[1])
    share = kinds.get("Convolution", 0.0) / total_us if total_us else 0.0
    lines = [f"{'us a call':>10} {'share':>6}  {'kind':<22} {'run by':<34} layer"]
    lines += [
        f"{layer.microseconds:10.1f} {layer.microseconds / total_us:6.1%}  {layer.kind:<22} {layer.kernel:<34} "
        f"{layer.name}"
        for layer in layers
        if layer.microseconds > 0
    ]
    by_kind = ", ".join(f"{kind} {us / total_us:.0%}" for kind, us in longest[:6] if us > 0)
    return _headed(
        f"The network's layers as OpenVINO runs them: {backend}, {len(batch)} positions a call, {total_us:.0f} us. "
        f"Convolutions are {share:.0%} of it. By kind: {by_kind}. Look at what is no convolution (reorders, copies, "
        "poolings), and at convolutions whose 'run by' names a lower instruction set or a wider type than others.",
        "\n".join(lines),
    )
