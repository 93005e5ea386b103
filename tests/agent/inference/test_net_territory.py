"""What a network says of territory, seen by the first player."""

import numpy as np
import pytest
import torch

from keima.agent.contracts.territory import as_it_stands
from keima.agent.inference.net_territory import LOGISTIC_DEVIATION, NetTerritory
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games import load
from keima.games.position import Position
from tests.games.test_go import play

SMALL = NetworkConfig(blocks=1, channels=8, value_hidden=8)


def test_a_networks_heads_are_turned_to_the_first_player():
    torch.manual_seed(1)
    game = load("go:5")
    network = Network(game, SMALL).eval()
    black, white = Position(game), play(Position(game), "c3")
    threads = torch.get_num_threads()
    estimates = NetTerritory(game, network).estimate([black.state, white.state])
    assert torch.get_num_threads() == threads
    with torch.inference_mode():
        said = network(torch.from_numpy(np.stack([game.planes(p.state) for p in (black, white)])))
    for k, sign in ((0, 1), (1, -1)):
        assert estimates[k].ownership == pytest.approx(sign * said.ownership[k].numpy(), abs=1e-4)
        assert estimates[k].points == pytest.approx(sign * said.score[k].item() * 5, abs=1e-3)  # points: the side's
        assert estimates[k].deviation == pytest.approx(said.score_spread[k].item() * 5 * LOGISTIC_DEVIATION, abs=1e-3)


def test_a_game_that_is_over_is_counted():
    position = play(Position(load("go:5,komi=3.5")), "c3 pass pass")
    estimate = NetTerritory(position.game, Network(position.game, SMALL).eval()).estimate([position.state])[0]
    assert (estimate.points, estimate.deviation) == (21.5, 0)
    assert estimate.ownership.tolist() == [1.0] * 25
    assert as_it_stands(position.game, position.state).points == 21.5


def test_a_network_without_the_heads_is_refused():
    game = load("connect4")
    with pytest.raises(ValueError, match="without ownership and score"):
        NetTerritory(game, Network(game, SMALL))
