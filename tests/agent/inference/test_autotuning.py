"""Which backend is chosen: the fastest that is sound, from a measurement that is kept."""

import typing
import warnings

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.inference import autotuning as backends
from keima.agent.inference import factory
from keima.agent.inference.autotuning import (
    BackendChoice,
    choose_backend,
    distances_from_float32,
    measure_rates,
    one_thread,
)
from keima.agent.inference.factory import BACKENDS, available_backends, default_backend, make_evaluator
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import GameError
from keima.selfplay.config.schema import Backend

GAME = games.load("tictactoe")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(backends, "ROUND_SECONDS", 0.001)
    return tmp_path


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(GAME, NetworkConfig(blocks=1, channels=8)).eval()


def with_rates(monkeypatch, **rates):
    """Pretends that these are measured; returns how often that was asked for."""
    asked = []

    def measure(game, network, batch_size):
        asked.append(batch_size)
        return {name.replace("_", "-"): rate for name, rate in rates.items()}

    monkeypatch.setattr(backends, "measure_rates", measure)
    monkeypatch.setattr(backends, "available_backends", lambda: [name.replace("_", "-") for name in rates])
    return asked


def test_the_config_knows_the_same_backends():
    assert set(typing.get_args(Backend)) == set(BACKENDS)


def test_all_are_measured_the_fastest_first(network):
    rates = measure_rates(GAME, network, 16)
    assert set(rates) == set(available_backends())
    assert list(rates.values()) == sorted(rates.values(), reverse=True)
    assert min(rates.values()) > 0


def test_the_fastest_is_chosen_and_the_measurement_kept(network, monkeypatch):
    asked = with_rates(monkeypatch, openvino_int8=300.0, torch_f32=100.0)
    for _ in range(2):
        choice = choose_backend(GAME, network, 16)
        assert choice == BackendChoice("openvino-int8", {"openvino-int8": 300.0, "torch-f32": 100.0}, {})
    assert asked == [16]
    choose_backend(GAME, network, 32)
    torch.manual_seed(1)
    choose_backend(GAME, Network(GAME, NetworkConfig(blocks=2, channels=8)).eval(), 16)
    assert asked == [16, 32, 16]  # another batch and another size are measured anew


def test_what_is_kept_may_be_damaged_or_of_other_backends(network, monkeypatch, own_cache):
    asked = with_rates(monkeypatch, openvino_f32=300.0, torch_f32=100.0)
    choose_backend(GAME, network, 16)
    (kept,) = own_cache.rglob("backends/*.json")
    for content in ("{", "[1]", '{"openvino-f32": "fast", "torch-f32": 1}', '{"warp-drive": 5.0}'):
        kept.write_text(content)
        assert choose_backend(GAME, network, 16).backend == "openvino-f32"
    assert len(asked) == 5


def test_an_unwritable_cache_is_no_error(network, monkeypatch, own_cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache / "file"))
    (own_cache / "file").write_text("in the way")
    with_rates(monkeypatch, torch_f32=100.0)
    assert choose_backend(GAME, network, 16).backend == "torch-f32"


def test_an_imprecise_backend_is_passed_over_and_named(network, monkeypatch):
    with_rates(monkeypatch, openvino_int8=300.0, openvino_f32=200.0)
    exact = backends.make_evaluator

    def make(game, network, backend=None, batch_size=None):
        evaluator = exact(game, network, backend, batch_size)
        if backend == "openvino-int8":
            return lambda planes: (evaluator(planes)[0], np.clip(evaluator(planes)[1] + 0.2, -1, 1))
        return evaluator

    monkeypatch.setattr(backends, "make_evaluator", make)
    choice = choose_backend(GAME, network, 16)
    assert choice.backend == "openvino-f32"
    assert list(choice.unsound) == ["openvino-int8"]
    assert choice.unsound["openvino-int8"][1] == pytest.approx(0.2, abs=0.02)
    assert "inference by openvino-f32; openvino-int8 is too imprecise for this net" in str(choice)
    assert "openvino-int8 300, openvino-f32 200" in str(choice)


def test_a_backend_that_fails_is_no_choice(network, monkeypatch):
    exact = backends.make_evaluator

    def make(game, network, backend=None, batch_size=None):
        if backend == "openvino-int8":
            raise RuntimeError("Check 'validate' failed\nat src/core")
        return exact(game, network, backend, batch_size)

    monkeypatch.setattr(backends, "make_evaluator", make)
    rates = measure_rates(GAME, network, 16)
    assert set(rates) == {*available_backends()} - {"openvino-int8"}
    choice = backends.fastest_sound(GAME, network, {"openvino-int8": 300.0, "torch-f32": 100.0})
    assert choice.backend == "torch-f32"
    assert "openvino-int8 fails on this net" in str(choice)


def test_a_network_that_nothing_can_run_is_told_of(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(3e38)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(GameError, match="answers are not numbers"):
            measure_rates(GAME, network, 16)
    choice = backends.fastest_sound(GAME, network, dict.fromkeys(available_backends(), 1.0))
    assert choice.backend == "torch-f32"


def test_distances(network):
    assert distances_from_float32(GAME, network, "torch-f32") == (0.0, 0.0)
    for backend in available_backends():
        policy, value = distances_from_float32(GAME, network, backend)
        assert 0 <= policy < 0.05
        assert 0 <= value < 0.05
    with torch.no_grad():
        for parameter in network.policy.parameters():
            parameter.mul_(100.0)  # one action's probability is nearly 1 from now on, in both

    def shifted(game, network, backend=None, batch_size=None):
        evaluator = make_evaluator(game, network, backend)
        return evaluator if backend == "torch-f32" else lambda planes: (-evaluator(planes)[0], evaluator(planes)[1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "make_evaluator", shifted)
        policy, value = distances_from_float32(GAME, network, default_backend())
    assert policy > 0.8
    assert value < 0.05


def test_one_thread_puts_the_number_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_measuring_runs_on_one_thread(network, monkeypatch):
    seen = []
    monkeypatch.setattr(backends, "_rate", lambda evaluator, batch: seen.append(torch.get_num_threads()) or 1.0)
    measure_rates(GAME, network, 4)
    assert set(seen) == {1}
    assert factory.available_backends()
