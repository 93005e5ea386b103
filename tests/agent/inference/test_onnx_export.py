"""ONNX files by what runs them: OpenVINO in the command, and here ONNX's own slow and obvious reference."""

import importlib.util
import json
import os

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from keima import games
from keima.agent.inference import onnx_export as export_module
from keima.agent.inference.onnx_export import CHECKED_BATCHES, TOLERANCE, describe, export, largest_difference, to_onnx
from keima.agent.inference.random_positions import random_positions_planes
from keima.agent.nets.checkpoint import Checkpoint, Metadata, load_checkpoint, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import GameError
from keima.selfplay import commands

GAMES = ["tictactoe", "connect4", "othello:6", "gomoku:7", "hex:5", "breakthrough:5,5"]
SIZES = {"blocks": 1, "global_pooling_every": 1, "channels": 8, "opponent_policy_head": True, "soft_policy_head": True}


def make_checkpoint(tmp_path, game_text: str, seed: int = 3, **sizes) -> Checkpoint:
    """A network whose normalizations are not those it begins with, saved and loaded again."""
    game = games.load(game_text)
    torch.manual_seed(seed)
    network = Network(game, NetworkConfig(**{**SIZES, **sizes}))
    with torch.no_grad():
        network(torch.from_numpy(random_positions_planes(game, 64)))
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path / "model.safetensors"
    metadata = Metadata(game.label, game.rules_version, network.config.model_dump(), run="mine", step=7)
    save_checkpoint(path, network.eval(), metadata)
    return load_checkpoint(path, game)


@pytest.fixture(scope="module")
def connect4(tmp_path_factory) -> Checkpoint:
    return make_checkpoint(tmp_path_factory.mktemp("connect4"), "connect4")


@pytest.fixture(scope="module")
def connect4_data(connect4) -> bytes:
    """Its file; writing one takes seconds."""
    return to_onnx(connect4)


@pytest.mark.parametrize("name", GAMES)
def test_every_game_and_head(tmp_path, name: str):
    checkpoint = make_checkpoint(tmp_path, name)
    game = checkpoint.game
    exported = export(checkpoint)
    assert exported.largest_difference < 1e-4
    assert exported.positions == sum(CHECKED_BATCHES)
    model = onnx.load_from_string(exported.data)
    onnx.checker.check_model(model, full_check=True)

    planes = random_positions_planes(game, 3, seed=5)
    heads = ["policy", "value", "outcome", *["ownership"] * game.has_ownership]
    heads += ["score", "score_spread"] * game.has_score
    assert [output.name for output in model.graph.output] == heads
    found = dict(zip(heads, ReferenceEvaluator(model).run(None, {"planes": planes}), strict=True))
    with torch.inference_mode():
        outputs = checkpoint.network(torch.from_numpy(planes))
        logits, values = checkpoint.network.judge(torch.from_numpy(planes))
    expected = {
        "policy": logits,
        "value": values,
        "outcome": torch.softmax(outputs.value, 1),
        "ownership": outputs.ownership,
    }
    if game.has_score:  # in points
        side = (game.shape[0] * game.shape[1]) ** 0.5
        expected |= {"score": outputs.score * side, "score_spread": outputs.score_spread * side}
    for head, answer in found.items():
        assert answer.dtype == np.float32
        assert answer.shape == tuple(expected[head].shape)
        np.testing.assert_allclose(answer, expected[head].numpy(), atol=1e-4)


def test_a_network_of_one_board_size_is_exported_for_another(tmp_path):
    saved = make_checkpoint(tmp_path, "othello:6")
    exported = export(load_checkpoint(saved.path, games.load("othello:8")))
    model = onnx.load_from_string(exported.data)
    assert [d.dim_value or d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim] == [
        "positions",
        2,
        8,
        8,
    ]


def test_a_stranger_learns_what_goes_in_and_comes_out(connect4, connect4_data):
    model = onnx.load_from_string(connect4_data)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    wanted = {"game": "connect4", "rules_version": "1", "run": "mine", "step": "7"}
    wanted |= {"num_planes": "2", "board": "6x7", "num_actions": "7"}
    assert {key: facts[key] for key in wanted} == wanted
    assert json.loads(facts["actions_at_the_start"]) == {str(column): str(column + 1) for column in range(7)}
    for tensor in (*model.graph.input, *model.graph.output):
        assert tensor.doc_string == facts[tensor.name]
        assert tensor.doc_string.startswith("float32 [positions")
        assert tensor.type.tensor_type.shape.dim[0].dim_param == "positions"
    assert model.doc_string.startswith("A policy and value network for connect4.")
    assert model.producer_name == "keima"
    # Nothing of the machine it was made on, nor of the exporter's notes.
    assert b".py" not in connect4_data
    assert not any(node.metadata_props for node in model.graph.node)
    # The weights once, and little else.
    weights = 4 * connect4.network.for_inference().num_parameters
    assert weights < len(connect4_data) < weights + 25_000


def test_what_the_search_makes_of_the_score_is_said(tmp_path, connect4):
    checkpoint = make_checkpoint(tmp_path, "go:5")
    checkpoint.network.score_weight = 0.1
    said = describe(checkpoint)["score_weight"]
    assert said.startswith("0.1: ")
    assert said.endswith("atan(score / 10)")
    assert "score_weight" not in describe(connect4)


def test_another_networks_file_disagrees(tmp_path, connect4, connect4_data):
    planes = random_positions_planes(connect4.game, sum(CHECKED_BATCHES))
    assert largest_difference(connect4_data, connect4.network, connect4.game, planes) < 1e-4
    other = make_checkpoint(tmp_path, "connect4", seed=4)
    assert largest_difference(connect4_data, other.network, connect4.game, planes) > 10 * TOLERANCE


@pytest.mark.parametrize("wrong", [np.nan, 1.0])
def test_one_wrong_weight_is_seen(connect4, connect4_data, wrong: float):
    model = onnx.load_from_string(connect4_data)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("policy.dense.bias"))
    values = onnx.numpy_helper.to_array(bias).copy()
    values[6] += wrong
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    planes = random_positions_planes(connect4.game, sum(CHECKED_BATCHES))
    assert largest_difference(model.SerializeToString(), connect4.network, connect4.game, planes) > 10 * TOLERANCE


# --- the command


def complaint(capsys) -> str:
    """The one line that a refused command says on stderr; where that took long, after what it was doing."""
    *progress, said = capsys.readouterr().err.splitlines()
    assert said.startswith("keima: ")
    assert progress in ([], ["writing and comparing the network ..."])
    return said


def test_the_command_writes_beside_the_checkpoint_or_where_it_is_told(monkeypatch, capsys, connect4, connect4_data):
    monkeypatch.setattr(export_module, "to_onnx", lambda checkpoint: connect4_data)
    folder = connect4.path.parent
    assert commands.main(["export", "connect4", "--model", str(folder)]) == 0
    said = capsys.readouterr().out
    assert (folder / "model.onnx").read_bytes() == connect4_data
    assert said.startswith(f"{folder / 'model.onnx'}: connect4, step 7, ")
    assert "OpenVINO's answers to 328 positions are torch's, give or take " in said
    assert commands.main(["export", "connect4", "--model", str(folder), "--output", str(folder / "x.onnx")]) == 0
    assert (folder / "x.onnx").read_bytes() == connect4_data


def test_a_file_that_disagrees_is_not_left_behind(monkeypatch, capsys, tmp_path, connect4_data):
    other = make_checkpoint(tmp_path, "connect4", seed=4)
    monkeypatch.setattr(export_module, "to_onnx", lambda checkpoint: connect4_data)
    (tmp_path / "old.onnx").write_bytes(b"as it was")
    for output in ("new.onnx", "old.onnx"):
        line = ["export", "connect4", "--model", str(other.path), "--output", str(tmp_path / output)]
        assert commands.main(line) == 2
        said = complaint(capsys)
        assert "expected the file's answers within 0.001 of the network's, but OpenVINO's differ by" in said
    assert (tmp_path / "old.onnx").read_bytes() == b"as it was"
    assert sorted(os.listdir(tmp_path)) == ["model.safetensors", "old.onnx"]


def test_a_missing_package_is_named(monkeypatch, connect4):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(GameError, match=r"export needs onnxscript, which is not installed: .*keima\[export"):
        export(connect4)


def test_a_network_that_onnx_has_no_room_for(monkeypatch, connect4):
    monkeypatch.setattr(export_module, "MAX_BYTES", 1000)
    with pytest.raises(GameError, match=r"expected at most 0\.0 GB of weights"):
        export(connect4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "model.safetensors"], "--output: expected a name that ends in .onnx, got model.safetensors"),
        (["--output", "no/x.onnx"], "--output no/x.onnx: no such folder as no"),
        ([], "expected --model, a checkpoint or a run's folder: no net of hex:size=4 under runs/, and none is shipped"),
        (["--model", "nosuch"], "nosuch: no such checkpoint"),
    ],
)
def test_bad_usage_is_told_in_one_line(monkeypatch, capsys, tmp_path, options: list[str], message: str):
    monkeypatch.chdir(tmp_path)
    assert commands.main(["export", "hex:4", *options]) == 2
    assert message in complaint(capsys)
    assert os.listdir(tmp_path) == []
