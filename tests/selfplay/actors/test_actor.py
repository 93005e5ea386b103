"""The real actor in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keima.agent.nets.checkpoint import Metadata, save_checkpoint
from keima.agent.nets.network import Network
from keima.games import load
from keima.selfplay.actors.actor_pool import ActorPool
from keima.selfplay.actors.messages import newest_version, weights_path
from keima.selfplay.config.loader import load_config, to_toml
from tests.paths import ROOT
from tests.selfplay.kill_and_resume import CONFIG, children, command_line, is_alive, wait_until

STARTS_AN_ACTOR = """
import sys, time
from pathlib import Path
from keima.selfplay.actors.actor_pool import ActorPool
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pool = ActorPool(folder / "config.toml", folder, 1, (0,), hung_seconds=60, on_event=print)
    pool.start("torch-f32")
    while True:  # never listened to
        time.sleep(1)
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A tiny run's config with weights of version 0."""
    (tmp_path / "given.toml").write_text(CONFIG.format(actors=1))
    config = load_config(str(tmp_path / "given.toml"))
    (tmp_path / "config.toml").write_text(to_toml(config))
    write_weights(tmp_path, 0)
    return tmp_path


def write_weights(folder: Path, version: int) -> None:
    config = load_config(str(folder / "config.toml"))
    game = load(config.game)
    metadata = Metadata(game.label, game.rules_version, config.network.model_dump())
    save_checkpoint(weights_path(folder, version), Network(game, config.network), metadata)


def receive(pool: ActorPool, count: int) -> list:
    segments: list = []
    deadline = time.monotonic() + 600  # the first time it compiles
    while len(segments) < count:
        assert time.monotonic() < deadline
        segments += pool.receive(0.1)
    return segments


def test_weights_are_found_by_their_number(tmp_path):
    assert newest_version(tmp_path) == -1
    for name in ("00000009.safetensors", "00000010.safetensors", ".00000011.safetensors.77.writing", "notes.txt"):
        (tmp_path / name).touch()
    assert newest_version(tmp_path) == 10
    assert weights_path(tmp_path, 10).is_file()


def test_in_lockstep_each_segment_has_its_weights(folder):
    pool = ActorPool(folder / "config.toml", folder, 1, (0,), hung_seconds=60, on_event=pytest.fail)
    try:
        pool.start("torch-f32", 0)
        segments = receive(pool, 2)
        wait_until(lambda: segments.extend(pool.receive(0.1)) or pool.waited_s > 0.5, 600, "it does not wait")
        assert len(segments) == 2  # the next one is to be played with version 1
        for version in (1, 2, 3):
            write_weights(folder, version)
        segments += receive(pool, 3)
        assert [segment.weights_version for segment in segments] == [0, 0, 1, 2, 3]
        assert all(segment.num_positions >= 200 for segment in segments)
        assert pool.evaluations > 500
    finally:
        pool.stop()


def test_boards_take_turns_by_their_shares(folder):
    config = load_config(str(folder / "given.toml"), ["game=hex:3", 'board_mix={"hex:2"=0.3}', "selfplay.cache_mb=1"])
    (folder / "config.toml").write_text(to_toml(config))
    write_weights(folder, 0)
    pool = ActorPool(folder / "config.toml", folder, 1, (0,), hung_seconds=60, on_event=pytest.fail)
    try:
        pool.start("torch-f32")
        segments = receive(pool, 4)
        write_weights(folder, 2)
        segments += receive(pool, 9)
        positions = {"hex:size=3": 0, "hex:size=2": 0}
        for segment in segments[:-1]:
            positions[segment.game] += segment.num_positions
        assert positions["hex:size=2"] / sum(positions.values()) == pytest.approx(0.3, abs=0.1)
        for game in positions:
            assert {s.weights_version for s in segments if s.game == game} == {0, 2}
    finally:
        pool.stop()


def test_otherwise_the_newest_weights_are_taken_as_they_come(folder):
    events: list[str] = []
    pool = ActorPool(folder / "config.toml", folder, 1, (0,), hung_seconds=60, on_event=events.append)
    try:
        pool.start("torch-f32")
        assert receive(pool, 1)[0].weights_version == 0
        write_weights(folder, 3)
        weights_path(folder, 4).write_bytes(b"deleted while it was being read")
        receive(pool, 3)
        write_weights(folder, 5)
        deadline = time.monotonic() + 600
        while receive(pool, 1)[-1].weights_version != 5:
            assert time.monotonic() < deadline
        assert events == []
    finally:
        pool.stop()


def test_actors_end_when_the_run_is_gone(folder):
    """Even while they load."""
    (folder / "starts.py").write_text(STARTS_AN_ACTOR)
    run = subprocess.Popen([sys.executable, folder / "starts.py", folder], cwd=ROOT)
    actors: list[int] = []

    def has_actor() -> bool:
        actors[:] = [pid for pid in children(run.pid) if b"spawn_main" in command_line(pid)]
        return bool(actors)

    try:
        wait_until(has_actor, 600, "no actor was started")
        time.sleep(0.6)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    wait_until(lambda: not is_alive(actors[0]), 60, "the actor outlives its run")
