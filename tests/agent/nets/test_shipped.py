"""The nets that come with Keima: whole, small, strong, and found where a net is asked for."""

from pathlib import Path

import pytest
import torch

from keima.agent.analysis.evaluation import evaluate_positions, find_positions, read_positions
from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.checkpoint import MODEL_FILE, find_checkpoint, load_checkpoint, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.agent.nets.shipped import SHIPPED, require_shipped_net, shipped_for, shipped_net
from keima.agent.players.factory import default_player, make_player
from keima.games import load
from keima.games.contract import GameError
from keima.games.position import Position
from keima.mcts.search import choose_actions
from tests.paths import ROOT

NETS = sorted((ROOT / "keima" / "configs" / "nets").glob("*.safetensors"))
CONNECT4 = load("connect4")


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_a_shipped_net_is_found_by_its_game_and_small(path):
    game = load(path.stem.replace("-", ":", 1).replace("_", ","))
    assert shipped_net(game) == require_shipped_net(game) == path
    assert path.stat().st_size <= 2_000_000
    assert load_checkpoint(path, game).metadata.step > 0


def test_there_is_one_for_connect_four_and_it_is_strong():
    """Without search it keeps the exact value in far more positions than chance, half, or a short run would."""
    torch.set_num_threads(1)
    network = load_checkpoint(require_shipped_net(CONNECT4), CONNECT4).network
    evaluate = make_evaluator(CONNECT4, network)
    positions = read_positions(find_positions(None, CONNECT4), CONNECT4)
    result = evaluate_positions(positions, lambda states: choose_actions(CONNECT4, evaluate, states, None))
    assert result.value_preserving > 0.85


def test_a_net_that_plays_any_board_is_there_for_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nets = {path.stem: path for path in NETS}
    for text, stem in (("othello:6", "othello"), ("gomoku", "gomoku-size=9"), ("gomoku:9", "gomoku-size=9")):
        assert shipped_net(load(text)) == nets[stem]
    assert shipped_for(load("othello")) == nets["othello"]
    assert shipped_for(load("othello:6")) is None
    player, introduction = default_player(load("othello:6"), simulations=2)
    assert introduction.startswith(
        "Opponent: the net that comes with othello, trained on othello; this is othello:size=6 ("
    )
    assert player.choose(Position(load("othello:6"))) in Position(load("othello:6")).legal_actions()


def test_other_games_have_none(tmp_path):
    assert shipped_net(load("hex:4")) is None
    with pytest.raises(GameError, match=r"no net is shipped for hex:size=4; `keima train hex:size=4` makes one"):
        require_shipped_net(load("hex:4"))
    own = tmp_path / "connect4.py"  # a user's own game of the same name
    own.write_text((ROOT / "games" / "connect4.py").read_text())
    assert shipped_net(load(str(own))) is None


def test_players_by_name():
    assert "simulations" in make_player("shipped", CONNECT4, simulations=20).name
    assert "policy alone" in make_player("shipped", CONNECT4, simulations=0).name
    assert "policy alone" in make_player("raw:shipped", CONNECT4).name
    with pytest.raises(GameError, match="no net is shipped for hex"):
        make_player("shipped", load("hex:4"))


def test_the_net_to_take_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(None, CONNECT4) == find_checkpoint(SHIPPED, CONNECT4) == shipped_net(CONNECT4)
    player, introduction = default_player(CONNECT4, simulations=8)
    assert introduction.startswith("Opponent: the net that comes with connect4")
    with pytest.raises(GameError, match="no net of hex:size=4 under runs/, and none is shipped"):
        find_checkpoint(None, load("hex:4"))
    own = Path("runs/mine") / MODEL_FILE
    own.parent.mkdir(parents=True)
    shipped = load_checkpoint(require_shipped_net(CONNECT4), CONNECT4)
    config = NetworkConfig(blocks=1, channels=4)
    metadata = shipped.metadata.__class__(
        game=CONNECT4.label, rules_version=CONNECT4.rules_version, network=config.model_dump(), run="mine", step=1
    )
    save_checkpoint(own, Network(CONNECT4, config), metadata)
    assert find_checkpoint(None, CONNECT4) == own  # what the user has trained comes first
    assert "runs/mine" in default_player(CONNECT4, simulations=8)[1]
    assert player.name != default_player(CONNECT4, simulations=8)[0].name
