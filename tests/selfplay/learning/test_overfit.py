"""The doctor's last check: the learner learns a few positions of any sound game by heart, and of no blind one."""

import dataclasses
import math
import sys

import numpy as np
import pytest
import torch

from keima import games
from keima.games.doctor.report import ERROR, NOTE, WARNING, Report
from keima.selfplay.learning import overfit as module
from keima.selfplay.learning.overfit import (
    MAX_STEPS,
    POLICY_BOUND,
    VALUE_BOUND,
    Overfit,
    findings_of,
    overfit,
    positions_to_learn,
)
from tests.paths import DATA

CLAIM = (DATA / "claim.py").read_text()
ENCODE = "        planes[{0}, action // size, action % size] = code == {1} me\n"
MINE, THEIRS = ENCODE.format(0, "1 +"), ENCODE.format(1, "2 -")


@pytest.fixture
def claim(tmp_path):
    """Makes the game with its `encode` changed."""
    before = set(sys.modules)

    def make(name: str, mine: str = MINE, theirs: str = THEIRS) -> games.contract.Game:
        assert MINE in CLAIM
        assert THEIRS in CLAIM
        path = tmp_path / f"{name}.py"
        path.write_text(CLAIM.replace(MINE, mine).replace(THEIRS, theirs))
        return games.load(f"{path}:4")

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("keima_game_"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def few_positions(monkeypatch):
    monkeypatch.setattr(module, "POSITIONS", 32)
    monkeypatch.setattr(module, "PLAYED_POSITIONS", 200)


SOUND = Overfit(
    positions=32,
    lookalikes=0,
    steps=40,
    seconds=2.0,
    policy_before=1.5,
    policy_after=0.04,
    value_before=1.1,
    value_after=0.01,
    closest=1.0,
)


@pytest.mark.parametrize("name", ["connect4", "othello:4", "breakthrough:5,3"])
def test_positions_of_sound_games_are_learnt(name):
    stages: list[str] = []
    result = overfit(games.load(name), seconds=math.inf, tell=stages.append)
    assert result.has_learnt
    assert result.positions == 32
    assert result.steps < MAX_STEPS
    assert result.policy_after <= POLICY_BOUND < result.policy_before
    assert result.value_after <= VALUE_BOUND < result.value_before
    assert result.closest == 1.0
    assert stages[:2] == ["playing games to learn from", "making the learner ready"]
    assert stages[2].startswith("learning 32 positions by heart: policy loss ")
    report = Report(name)
    result.add_to(report)
    assert report.findings == []
    assert report.status("learner") == "ok"
    assert report.overfit["steps"] == result.steps


def test_what_is_to_be_learnt():
    game = games.load("othello:4")
    batch, lookalikes = positions_to_learn(game, 0)
    assert len(np.unique(batch.planes.reshape(32, -1), axis=0)) == 32
    policy, legal = batch.policy(game.num_actions), batch.legal(game.num_actions)
    assert policy.sum(1) == pytest.approx(1, abs=1e-5)
    assert (policy[~legal] == 0).all()
    assert set(batch.outcome.sum(1).tolist()) == {1.0}
    assert set(np.unique(batch.outcome)) == {0.0, 1.0}
    assert policy.max(1).mean() > 1.2 * (1 / legal.sum(1)).mean()  # the search prefers some moves
    assert lookalikes >= 0
    again, _ = positions_to_learn(game, 0)
    other, _ = positions_to_learn(game, 1)
    assert all(np.array_equal(a, b) for a, b in zip(batch, again, strict=True))
    assert not np.array_equal(batch.planes, other.planes)


def test_the_same_seed_learns_the_same():
    first, second = (overfit(games.load("tictactoe"), 5, seconds=math.inf) for _ in range(2))
    assert dataclasses.replace(first, seconds=0) == dataclasses.replace(second, seconds=0)


def test_threads_are_left_as_they_were():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        overfit(games.load("tictactoe"), seconds=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_planes_that_say_nothing_are_found(claim):
    result = overfit(claim("blind", MINE.replace("code == 1 + me", "0"), THEIRS.replace("code == 2 - me", "0")))
    assert (result.positions, result.steps, result.has_learnt) == (1, 0, False)
    assert math.isnan(result.policy_after)
    (finding,) = findings_of(result)
    assert finding.severity == ERROR
    assert "look like others to the net" in finding.found


def test_planes_that_say_too_little_are_found(claim):
    count = MINE.replace("planes[0, action // size, action % size] = code == 1 + me", "planes[0] = state[STONES] / 16")
    result = overfit(claim("count", count, THEIRS.replace("code == 2 - me", "0")))
    assert 1 < result.positions <= 16
    assert result.lookalikes > result.positions
    findings = [f for f in findings_of(result) if "look like others" in f.found]
    assert [f.severity for f in findings] == [WARNING]


def test_planes_that_blur_are_found(claim, monkeypatch):
    monkeypatch.setattr(module, "MAX_STEPS", 60)
    blurred = [line.replace("= code", "= 0.5 + 1e-6 * (code").rstrip() + ")\n" for line in (MINE, THEIRS)]
    result = overfit(claim("blurred", *blurred), seconds=math.inf)
    assert not result.has_learnt
    assert result.steps == 60
    (finding,) = findings_of(result)
    assert finding.severity == WARNING
    assert "scale what encode writes" in finding.remedy
    report = Report("claim")
    result.add_to(report)
    assert report.status("learner") == WARNING
    assert report.is_sound


def test_what_is_said_of_what():
    assert findings_of(SOUND) == []
    slow = dataclasses.replace(SOUND, policy_after=0.5, steps=MAX_STEPS)
    (finding,) = findings_of(slow)
    assert finding.severity == WARNING
    assert f"32 positions are not known by heart after {MAX_STEPS} steps" in finding.found
    assert "policy loss 1.50 -> 0.50" in finding.found
    assert "policy_planes" in finding.remedy
    (finding,) = findings_of(dataclasses.replace(slow, steps=MAX_STEPS - 1))  # its time was up
    assert finding.severity == NOTE
    (finding,) = findings_of(dataclasses.replace(slow, steps=0, policy_after=math.nan, value_after=math.nan))
    assert finding.severity == NOTE
    (finding,) = findings_of(dataclasses.replace(slow, value_after=math.nan))
    assert "no numbers" in finding.found
