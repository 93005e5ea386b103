"""A loaded network judges positions, results and territory as the checkpoint's network does."""

import numpy as np
import pytest
import torch

from keima.agent.inference.loaded_network import load_network
from keima.agent.nets.checkpoint import load_checkpoint
from keima.games import load
from keima.games.contract import GameError
from tests.installed import write_checkpoint


def test_it_judges_as_its_network(tmp_path):
    path = write_checkpoint(tmp_path / "mine" / "model.safetensors", "go:5")
    game = load("go:5")
    loaded, network = load_network(path.parent, game, "torch-f32"), load_checkpoint(path, game).network
    assert (loaded.name, loaded.path, loaded.metadata.game) == ("mine at step 7", path, game.spec)
    planes = game.planes(game.new_state())[None]
    with torch.inference_mode():
        logits, values = network.judge(torch.from_numpy(planes))
        outcomes = network.outcomes(torch.from_numpy(planes))
    answers = loaded.evaluate(planes)
    np.testing.assert_allclose(answers[0], logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(answers[1], values.numpy(), atol=1e-4)
    np.testing.assert_allclose(loaded.outcomes(planes), outcomes.numpy(), atol=1e-4)
    assert loaded.territory is not None
    assert loaded.territory.estimate([game.new_state()])[0].ownership.shape == (25,)


def test_a_game_without_score_has_no_territory(tmp_path):
    path = write_checkpoint(tmp_path / "model.safetensors", "connect4")
    assert load_network(path, load("connect4")).territory is None
    with pytest.raises(GameError, match="expected a checkpoint of tictactoe"):
        load_network(path, load("tictactoe"))
    with pytest.raises(GameError, match="backend abacus is none of Keima's"):
        load_network(path, load("connect4"), "abacus")
