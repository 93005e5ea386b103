"""Kills a training run at random moments, resumes it, and checks each time that only games under way were lost.

    python -m tests.selfplay.kill_and_resume --kills 50

At the end the run's weights are compared, bit for bit, with those of a plain loop over the segments it left, which
was never interrupted. Linux only: processes are found in /proc.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keima.agent.nets.checkpoint import load_checkpoint, read_tensors
from keima.agent.nets.network import Network
from keima.agent.system.processes import available_cores
from keima.selfplay.actors.actor_pool import num_actors
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import TrainConfig
from keima.selfplay.learning.initial_weights import kept_start
from keima.selfplay.learning.learner import Learner
from keima.selfplay.replay.board_mix import BoardMix, MixedWindow
from keima.selfplay.replay.sampling import samplers_of
from keima.selfplay.replay.segment import Segment, SegmentInfo, segment_from_bytes
from tests.installed import KEIMA

CONFIG = """
game = "tictactoe"
[network]
blocks = 1
channels = 8
[search]
simulations = 8
[selfplay]
actors = {actors}
parallel_games = 16
segment_positions = 200
full_search_fraction = 0.7
fast_simulations = 2
[replay]
surprise_fraction = 0.5
window_min = 2000
window_beta = 0.1
[learner]
batch_size = 64
warmup_steps = 5
[run]
minutes = 600
measure_every_minutes = 0.05
measure_simulations = 0
checkpoint_minutes = 0.02
"""
"""A run of which every part is small, and which measures, saves and deletes old games all the time."""

GROWTH = """
[growth]
at_progress = 0.0001
blocks = 2
channels = 12
distill_steps = 200
"""
"""After 3.6 seconds the network grows, and learns from the smaller one for a few more."""

WAYS = {"run": 8, "group": 3, "terminate": 2, "interrupt": 3, "actor": 4}
"""How a run is ended, and how often in 20: SIGKILL to the run's process or to its whole group, SIGTERM, Ctrl-C, or
SIGKILL to an actor, to be replaced, and then to the run."""


class Started:
    """A run's process, from `keima train`; its output goes to `output`."""

    def __init__(self, output: Path, *arguments: str | Path, folder: Path) -> None:
        """folder: the run's."""
        self.folder = folder
        self.output = output
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                [KEIMA, "train", *arguments], cwd=folder.parent, stdout=file, stderr=file, start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves nothing behind, however a check has ended."""
        actors = self.actors()
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not any(map(is_alive, actors)), 5, f"actors {actors} outlive the run")

    def actors(self) -> list[int]:
        """The process ids of its actors."""
        return [pid for pid in children(self.process.pid) if b"spawn_main" in command_line(pid)]

    def wait_for_steps(self, more_than: int, timeout_s: float = 600) -> None:
        """Waits until a state with more steps has been saved."""
        self.wait_until(lambda: saved_steps(self.folder) > more_than, timeout_s, f"more than {more_than} steps")

    def wait_until(self, condition: Any, timeout_s: float, what: str) -> None:
        def check() -> bool:
            assert self.process.poll() is None, f"the run ended:\n{self.output.read_text()[-2000:]}"
            return bool(condition())

        wait_until(check, timeout_s, f"expected {what} within {timeout_s} s:\n{self.output.read_text()[-2000:]}")


def wait_until(condition: Any, timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The processes whose parent it is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def progress_lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "progress.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def saved_steps(folder: Path) -> int:
    lines = progress_lines(folder)
    return lines[-1]["step"] if lines else -1


def state_of(folder: Path) -> tuple[dict[str, torch.Tensor], int, dict[str, Any]]:
    """The saved state: tensors, step, the run's counters."""
    tensors, metadata = read_tensors(folder / "learner.safetensors")
    return tensors, int(metadata["step"]), metadata["progress"]


def fold(config: TrainConfig, segments: list[Segment], steps: int, start: Network | None = None) -> Learner:
    """The run's training as a plain loop: `steps` steps on these segments, from the first to the last."""
    board_mix = BoardMix.of(config)
    learner, window = Learner(board_mix.games[0], config), MixedWindow(board_mix, config.replay.surprise_fraction)
    samplers = samplers_of(board_mix.games, config)
    if start is not None:
        learner.begin_with(start)
    positions = 0
    for segment in segments:
        window.append(segment)
        positions += segment.num_positions
        window.drop_oldest_to(config.replay.window(positions))
        learner.begin_segment(segment.progress)
        due = int(positions * config.replay.samples_per_position / config.learner.batch_size)
        while learner.step < min(due, steps):
            learner.train(window.draw(samplers, learner.step, config.learner.batch_size))
    assert learner.step == steps
    return learner


def assert_same_state(left: Path, right: Path) -> None:
    """Two saved states of learners, their weights, averages and optimizers, are the same to the bit."""
    ours, theirs = read_tensors(left)[0], read_tensors(right)[0]
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different, f"{left}, {right}: {different}"


def assert_is_uninterrupted_fold(folder: Path, segments: Path, scratch: Path) -> None:
    """The state saved in a run's folder is the one that these segments give without an interruption."""
    config = load_config(str(folder / "config.toml"))
    _, step, progress = state_of(folder)
    count = progress["next_segment"]
    files = sorted(segments.glob("segment-*.safetensors"))[:count]
    assert [int(file.stem.partition("-")[2]) for file in files] == list(range(count))
    threads = torch.get_num_threads()
    actors = num_actors(config.selfplay)
    torch.set_num_threads(max(1, available_cores() - actors))  # as the run: sums depend on how they are split
    start = kept_start(config, folder)
    played = [segment_from_bytes(file.read_bytes())[0] for file in files]
    learner = fold(config, played, step, None if start is None else start.network)
    torch.set_num_threads(threads)
    learner.save_state(scratch, {})
    assert_same_state(folder / "learner.safetensors", scratch)


@dataclass
class Seen:
    """What a run's folder held at the last look, and so must hold still."""

    config: bytes
    counters: dict[str, float]
    segments: dict[int, str]
    """The digests of the segments' files."""
    curve: dict[int, float]
    """TensorBoard's total loss by step."""
    replaced: int = 0
    """Segments that their bound deleted."""


def look(folder: Path, before: Seen | None) -> Seen:
    """Checks all that a run's folder must hold, whenever it was killed, and that nothing was lost since `before`."""
    config = load_config(str(folder / "config.toml"))
    tensors, step, progress = state_of(folder)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    counters = {"step": step} | {name: progress[name] for name in ("games", "positions", "next_segment", "elapsed_s")}
    lines = progress_lines(folder)
    for line, following in zip(lines, [*lines[1:], counters], strict=True):  # never said what is not saved
        for name in ("step", "games", "positions", "next_segment"):
            assert line[name] <= following[name], (name, line, following)

    infos: dict[int, SegmentInfo] = {}
    digests = {}
    for path in sorted((folder / "games").iterdir()):
        if path.name.endswith(".writing"):
            continue  # a file whose writing was cut short
        assert path.suffix == ".safetensors", path
        data = path.read_bytes()
        info = segment_from_bytes(data)[1]  # raises where the checksum is not right
        infos[info.index] = info
        digests[info.index] = hashlib.sha256(data).hexdigest()
    indices = sorted(infos)
    assert indices == list(range(indices[0], indices[-1] + 1)) if indices else not counters["games"]
    for left, right in itertools.pairwise(indices):
        assert infos[right].total_games == infos[left].total_games + infos[right].games
        assert infos[right].total_positions == infos[left].total_positions + infos[right].positions
    total = infos[indices[-1]].total_positions if indices else 0
    kept = sum(info.positions for info in infos.values())
    folded = counters["positions"]
    assert kept >= min(total, total - folded + config.replay.window(int(folded))), "a resumed run would miss games"

    # The steps are those that the games folded allow: all of those before the last segment, at most all.
    if counters["next_segment"]:
        last = infos[int(counters["next_segment"]) - 1]
        assert (last.total_games, last.total_positions) == (counters["games"], folded)
        rate = config.replay.samples_per_position / config.learner.batch_size
        assert int((folded - last.positions) * rate) <= step <= int(folded * rate)
    else:
        assert step == folded == counters["games"] == 0

    if (folder / "model.safetensors").exists():
        load_checkpoint(folder)
    for path in (folder / "checkpoints").glob("*.safetensors"):
        load_checkpoint(path)
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    points = events.Scalars("loss/total") if "loss/total" in events.Tags()["scalars"] else []
    curve = {point.step: point.value for point in points}
    assert [point.step for point in points] == sorted(curve), "TensorBoard shows a step twice"
    assert max(curve, default=0) <= step

    seen = Seen((folder / "config.toml").read_bytes(), counters, digests, curve)
    if before is not None:
        assert seen.config == before.config
        for name, value in before.counters.items():
            assert value <= counters[name], (name, value, counters[name])
        for index, digest in before.segments.items():
            assert digests.get(index, digest) == digest, f"segment {index} has changed"
            assert index in digests or index < indices[0], f"segment {index} is gone"
        assert before.curve.items() <= curve.items(), "TensorBoard's curve has lost points"
        seen.replaced = before.replaced + len(before.segments.keys() - digests.keys())
    return seen


def end(run: Started, way: str, dice: random.Random) -> None:
    """Ends a run in one of the WAYS and checks that it and its actors are gone in time."""
    process = run.process
    if way == "actor":
        log = run.folder / "run.log"
        said, steps = log.read_text().count("a new one takes its place"), saved_steps(run.folder)
        os.kill(dice.choice(run.actors()), signal.SIGKILL)
        run.wait_until(
            lambda: log.read_text().count("a new one takes its place") > said, 20, "the killed actor replaced"
        )
        run.wait_for_steps(steps)
        time.sleep(dice.uniform(0, 4))
    actors = run.actors()
    number = {"terminate": signal.SIGTERM, "interrupt": signal.SIGINT}.get(way, signal.SIGKILL)
    (os.killpg if way in ("group", "interrupt") else os.kill)(process.pid, number)
    code = process.wait(20)
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code in (130, -signal.SIGTERM), f"exit code {code}:\n{run.output.read_text()[-2000:]}"
    wait_until(lambda: not any(map(is_alive, actors)), 5, f"actors {actors} outlive the run by 5 s")
    assert "Traceback" not in run.output.read_text(), run.output.read_text()[-4000:]


def keep_links(folder: Path, archive: Path, stop: threading.Event) -> None:
    """Links a run's segments into `archive` as they come, so that they stay when the run deletes them."""
    while not stop.wait(0.05):
        for path in (folder / "games").glob("segment-*.safetensors"):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(path, archive / path.name)


def kill_and_resume(scratch: Path, kills: int, seed: int, actors: int, longest_s: float) -> str:
    """Does it all below `scratch`; returns a summary in a line. Raises AssertionError for anything lost."""
    dice = random.Random(seed)
    folder, output, archive = scratch / "run", scratch / "output.txt", scratch / "archive"
    (scratch / "config.toml").write_text(CONFIG.format(actors=actors) + GROWTH)
    archive.mkdir()
    stop = threading.Event()
    threading.Thread(target=keep_links, args=(folder, archive, stop), daemon=True).start()
    seen: Seen | None = None
    ways: Counter[str] = Counter()
    for number in range(kills):
        way = dice.choices(list(WAYS), list(WAYS.values()))[0]
        early = seen is not None and way != "actor" and dice.random() < 0.15
        arguments = ["--resume", folder] if (folder / "config.toml").exists() else ["config.toml", "--run", folder]
        with Started(output, *arguments, folder=folder) as run:
            if early:  # while it starts
                time.sleep(dice.uniform(1.5, 5))
            else:
                run.wait_for_steps(int(seen.counters["step"]) if seen else 0)
                time.sleep(dice.uniform(0, longest_s))
            end(run, way, dice)
        log = (folder / "run.log").read_text().splitlines()
        starts = [line for line in log if "resumed at step" in line]
        if seen is not None and starts and not early:
            assert starts[-1].endswith(f"resumed at step {seen.counters['step']:.0f}"), starts[-1]
        seen = look(folder, seen)
        ways[way + (" early" if early else "")] += 1
        print(f"{number + 1:3d} {way}{' (starting)' if early else ''}: {seen.counters}", flush=True)
    assert seen is not None
    time.sleep(0.2)
    stop.set()
    assert_is_uninterrupted_fold(folder, archive, scratch / "fold.safetensors")
    how = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
    return (
        f"{kills} kills ({how}): nothing lost; {seen.counters['step']:.0f} steps on {seen.counters['positions']:.0f} "
        f"positions of {seen.counters['games']:.0f} games in {len(list(archive.iterdir()))} segments, "
        "the same to the bit as without an interruption"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--longest", type=float, default=8.0, help="seconds a run may train before it is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keima-kills-") as scratch:
        start = time.monotonic()
        summary = kill_and_resume(Path(scratch), options.kills, options.seed, options.actors, options.longest)
        print(f"{summary}; in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
