"""Runs that begin with a trained net: what they accept, what becomes of the weights, what is refused in one line."""

import pytest
import torch

from keima import games
from keima.agent.nets.checkpoint import CheckpointError, Metadata, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import GameError
from keima.selfplay.config.schema import GrowthConfig, TrainConfig
from keima.selfplay.learning.initial_weights import (
    START_FILE,
    grown_for_start,
    in_words,
    keep_start,
    kept_start,
    lies_in,
    load_start,
)
from keima.selfplay.learning.learner import Learner
from tests.selfplay.learning.test_growth import used_network

SMALL = NetworkConfig(blocks=2, channels=8, pooled_channels=4, policy_channels=4, value_channels=3, value_hidden=16)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def net_of(path, name, config=SMALL):
    """A checkpoint with weights that none begins with."""
    game = games.load(name)
    network = used_network(game, config)
    save_checkpoint(path, network, Metadata(game.label, game.rules_version, config.model_dump(), step=123))
    return network


def config_of(path, name, network=SMALL):
    return TrainConfig(game=name, network=network, start_from=str(path))


@pytest.mark.parametrize(
    ("trained", "wanted"),
    [("go:4,komi=5", "go:6"), ("othello:4", "othello:4"), ("connect4", "connect4"), ("hex:4", "hex:6")],
)
@pytest.mark.parametrize(
    "larger",
    [{}, {"blocks": 3, "channels": 12}, {"policy_channels": 6, "value_channels": 5, "value_hidden": 20}],
    ids=["same", "larger tower", "larger heads"],
)
def test_a_run_begins_with_what_the_net_says(tmp_path, trained, wanted, larger):
    path, game = tmp_path / "net.safetensors", games.load(wanted)
    teaching = SMALL.model_copy(update={"opponent_policy_head": True})  # what the new run does not ask for is left out
    net_of(path, trained, teaching)
    config = config_of(path, wanted, SMALL.model_copy(update={**larger, "soft_policy_head": True}))
    start = load_start(config)
    learner = Learner(game, config)
    learner.begin_with(start.network)
    moved = Network(game, teaching)
    moved.load_state_dict(net_of(path, trained, teaching).state_dict())
    planes = torch.rand(7, game.num_planes, *game.shape)
    with torch.no_grad():
        expected = moved.eval()(planes)
        for network in (learner.ema_network, learner.network.eval(), learner.acting_network):
            assert network.config == config.network
            found = network(planes)
            for part in ("policy", "value", "ownership", "score", "score_spread"):
                if getattr(expected, part) is not None:
                    torch.testing.assert_close(getattr(found, part), getattr(expected, part), atol=2e-4, rtol=1e-3)
    assert learner.step == 0
    assert not learner.optimizer.state


def test_the_average_remembers_a_trained_start(tmp_path):
    path = tmp_path / "net.safetensors"
    net_of(path, "tictactoe")
    for start, share in ((str(path), 0.998), ("", 0.1)):
        learner = Learner(games.load("tictactoe"), config_of(start, "tictactoe"))
        before = learner.ema_network.stem.norm.bias.clone()
        with torch.no_grad():
            learner.network.stem.norm.bias += 1
        learner._average()
        torch.testing.assert_close(learner.ema_network.stem.norm.bias, before + 1 - share)


def test_the_copy_in_the_runs_folder_is_what_counts(tmp_path):
    path = tmp_path / "net.safetensors"
    net_of(path, "go:4,komi=5")
    config = config_of(path, "go:6")
    (tmp_path / "run").mkdir()
    keep_start(load_start(config), tmp_path / "run")
    data = path.read_bytes()
    path.unlink()
    assert (tmp_path / "run" / START_FILE).read_bytes() == data
    kept = kept_start(config, tmp_path / "run")
    assert kept.metadata.step == 123
    assert in_words(kept, config) == f"{path}, a net of go:size=4,komi=5.0 after 123 steps"
    assert kept_start(TrainConfig(game="go:6"), tmp_path / "run") is None
    assert load_start(TrainConfig(game="go:6")) is None
    (tmp_path / "run" / START_FILE).unlink()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        kept_start(config, tmp_path / "run")


def test_what_lies_in_a_folder(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    for where, inside in (("run", True), ("run/model.safetensors", True), ("other/run", False), ("shipped", False)):
        assert lies_in(config_of(where, "go:6"), tmp_path / "run") == inside
    assert not lies_in(TrainConfig(game="go:6"), tmp_path)


@pytest.mark.parametrize(
    ("trained", "wanted", "network", "message"),
    [
        ("othello:4", "go:4", {}, "expected a checkpoint of go, got one of 'othello:size=4'"),
        ("gomoku:5,win=4", "gomoku:9", {"blocks": 1}, "network.blocks of at least 2, got 1: --set network.blocks=2"),
        ("go:4", "go:5", {"value_hidden": 8}, "network.value_hidden of at least 16, got 8"),
        ("go:4", "go:5", {"channels": 4, "blocks": 9}, "network.channels of at least 8, got 4"),
        ("go:4", "go:5", {"global_pooling_every": 1}, "network.global_pooling_every of 2, got 1"),
    ],
)
def test_what_cannot_be_begun_with_is_refused_in_a_line(tmp_path, trained, wanted, network, message):
    path = tmp_path / "net.safetensors"
    net_of(path, trained)
    with pytest.raises(GameError) as caught:
        load_start(config_of(path, wanted, SMALL.model_copy(update=network)))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_net_too_large_for_the_small_network_begins_with_the_one_that_it_grows_to(tmp_path):
    path = tmp_path / "net.safetensors"
    net_of(path, "go:4")
    small = SMALL.model_copy(update={"blocks": 1})
    growth = GrowthConfig(at_progress=0.5, blocks=3, channels=12)
    config = config_of(path, "go:5", small).model_copy(update={"growth": growth})
    grown = grown_for_start(config)
    assert grown.network == growth.network(small)
    assert grown.growth.at_progress == 0
    assert load_start(grown) is not None
    for unchanged in (
        config.model_copy(update={"network": SMALL}),  # holds it as it is
        config.model_copy(update={"growth": GrowthConfig(at_progress=0.5, channels=12)}),  # not even grown
        config.model_copy(update={"growth": GrowthConfig()}),
        config.model_copy(update={"start_from": ""}),
    ):
        assert grown_for_start(unchanged) == unchanged


def test_a_dense_net_is_of_its_one_game(tmp_path):
    path = tmp_path / "net.safetensors"
    network = net_of(path, "connect4")
    game = games.load("connect4")
    save_checkpoint(path, network, Metadata("connect4:columns=9", game.rules_version, SMALL.model_dump()))
    with pytest.raises(GameError, match="expected a checkpoint of connect4, got one of 'connect4:columns=9'"):
        load_start(config_of(path, "connect4"))
    for missing in (tmp_path / "none", "shipped"):
        with pytest.raises(GameError, match=r"no such checkpoint|no net is shipped for hex:size=4"):
            load_start(config_of(missing, "hex:4"))
