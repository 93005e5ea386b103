"""Checkpoints there and back, and every way in which a file is refused: in one line, running and allocating nothing."""

import json
import os
import re
import resource
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from keima import games
from keima.agent.nets.checkpoint import (
    MODEL_FILE,
    CheckpointError,
    Metadata,
    latest_checkpoint,
    latest_of_runs,
    load_checkpoint,
    read_metadata,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.agent.system import storage
from tests.paths import ROOT

SMALL = NetworkConfig(blocks=1, channels=4, policy_channels=2, value_channels=2, value_hidden=4)


def make_network(game, seed=0):
    torch.manual_seed(seed)
    network = Network(game, SMALL)
    network(torch.rand(8, game.num_planes, *game.shape))  # moves the normalizations' statistics
    return network


def metadata_of(game, **changes):
    return replace(Metadata(game.label, game.rules_version, SMALL.model_dump()), **changes)


def saved(path, name="tictactoe", **changes):
    """A checkpoint's file at `path`; returns the network in it."""
    game = games.load(name)
    network = make_network(game)
    save_checkpoint(path, network, metadata_of(game, **changes))
    return network


def rewrite(path, text=None, tensors=None):
    """Writes the file anew with another metadata text or other tensors, without a checksum, as its maker might."""
    own, values = read_tensors(path)
    path.write_bytes(save(own if tensors is None else tensors, {"keima": json.dumps(values) if text is None else text}))


def rewrite_metadata(path, **changes):
    rewrite(path, json.dumps(read_tensors(path)[1] | changes))


def refusal(path, game=None):
    """The one line with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, game)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    return message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# --- there and back


@pytest.mark.parametrize("name", [*games.names(), "othello:6", "gomoku:9,win=4"])
def test_round_trip(path, name):
    network = saved(path, name)
    checkpoint = load_checkpoint(path)
    assert checkpoint.path == path
    assert checkpoint.game == games.load(name)
    assert checkpoint.network.config == SMALL
    assert not checkpoint.network.training
    found, written = checkpoint.network.state_dict(), network.state_dict()
    assert found.keys() == written.keys()
    for key, tensor in written.items():
        assert torch.equal(found[key], tensor)
        assert found[key].dtype == tensor.dtype
    planes = torch.rand(4, checkpoint.game.num_planes, *checkpoint.game.shape)
    with torch.no_grad():
        for one, other in zip(checkpoint.network(planes), network.eval()(planes), strict=True):
            assert (one is None and other is None) or torch.equal(one, other)


def test_a_loaded_network_can_be_trained_on(path):
    saved(path)
    network = load_checkpoint(path).network.train()
    network(torch.rand(4, 2, 3, 3)).policy.sum().backward()
    assert all(p.requires_grad and p.device.type == "cpu" for p in network.parameters())
    assert network.stem.convolution.weight.grad.abs().sum() > 0


def test_metadata_round_trip(path):
    game = games.load("tictactoe")
    metadata = metadata_of(game, run="nightly", step=1234, games=567, strength={"value_preserving_raw": 0.75})
    save_checkpoint(path, make_network(game), metadata)
    assert read_metadata(path) == metadata
    assert load_checkpoint(path).metadata == metadata


def test_a_network_values_scores_as_it_was_trained_to(path):
    game = games.load("go:5")
    save_checkpoint(path, make_network(game), metadata_of(game, score_weight=0.25))
    assert load_checkpoint(path).network.score_weight == 0.25
    assert load_checkpoint(path, games.load("go:7")).network.score_weight == 0.25
    tensors, values = read_tensors(path)
    del values["score_weight"]  # as checkpoints were before
    write_tensors(path, tensors, values)
    assert load_checkpoint(path).network.score_weight == 0


def test_weights_in_another_memory_format_are_the_same_weights(path):
    game = games.load("tictactoe")
    network = make_network(game)
    save_checkpoint(path, network, metadata_of(game))
    expected = path.read_bytes()
    save_checkpoint(path, network.to(memory_format=torch.channels_last), metadata_of(game))
    assert path.read_bytes() == expected


def test_the_same_network_gives_the_same_file_in_every_process(path):
    saved(path, strength={"b": 1.0, "a": 0.5})
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from keima.agent.nets.checkpoint import load_checkpoint, save_checkpoint
checkpoint = load_checkpoint({str(path)!r})
save_checkpoint(Path({str(path)!r} + ".again"), checkpoint.network, checkpoint.metadata)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert path.with_name(path.name + ".again").read_bytes() == path.read_bytes()


def test_a_folder_means_its_newest_model(tmp_path):
    saved(tmp_path / MODEL_FILE, step=3)
    assert load_checkpoint(tmp_path).metadata.step == 3
    assert load_checkpoint(str(tmp_path)).path == tmp_path / MODEL_FILE
    assert read_metadata(tmp_path).step == 3


def test_latest_checkpoint_is_the_newest_of_its_game(tmp_path):
    names = {"old": "tictactoe", "new": "tictactoe", "other": "othello:6", "broken": None}
    for age, (run, name) in enumerate(names.items()):
        path = tmp_path / run / MODEL_FILE
        path.parent.mkdir()
        if name is None:
            path.write_bytes(b"nothing")
        else:
            saved(path, name)
        os.utime(path, (1000 + age, 1000 + age))
    assert latest_checkpoint(games.load("tictactoe"), tmp_path) == tmp_path / "new" / MODEL_FILE
    assert latest_checkpoint(games.load("othello:6"), tmp_path) == tmp_path / "other" / MODEL_FILE
    assert latest_checkpoint(games.load("hex"), tmp_path) is None
    assert latest_checkpoint(games.load("hex"), tmp_path / "nowhere") is None


def test_latest_checkpoint_is_of_these_parameters_where_there_is_one(tmp_path, monkeypatch):
    for age, (run, name) in enumerate({"right": "go:4", "wrong": "go:5", "newest": "go:5,komi=3"}.items()):
        (tmp_path / run).mkdir()
        saved(tmp_path / run / MODEL_FILE, name)
        os.utime(tmp_path / run / MODEL_FILE, (1000 + age, 1000 + age))
    assert latest_checkpoint(games.load("go:4"), tmp_path) == tmp_path / "right" / MODEL_FILE
    assert latest_checkpoint(games.load("go:5"), tmp_path) == tmp_path / "wrong" / MODEL_FILE
    found = latest_checkpoint(games.load("go:6"), tmp_path)
    assert found == tmp_path / "newest" / MODEL_FILE  # of any board, where there is no other
    assert load_checkpoint(found, games.load("go:6")).game == games.load("go:6")
    monkeypatch.setattr("keima.agent.nets.checkpoint.shipped_for", lambda game: Path("shipped"))
    assert latest_checkpoint(games.load("go:6"), tmp_path) is None  # for that one is better


def test_a_run_that_was_hardly_begun_is_passed_over(tmp_path):
    trained = {"long": 1000, "stub": 12, "short": 60, "stub-2": 0}
    for age, (run, count) in enumerate(trained.items()):
        (tmp_path / run).mkdir()
        saved(tmp_path / run / MODEL_FILE, "tictactoe", games=count)
        os.utime(tmp_path / run / MODEL_FILE, (1000 + age, 1000 + age))
    game = games.load("tictactoe")
    assert latest_of_runs(game, tmp_path) == (tmp_path / "short" / MODEL_FILE, [tmp_path / "stub-2" / MODEL_FILE])
    (tmp_path / "short" / MODEL_FILE).unlink()
    assert latest_checkpoint(game, tmp_path) == tmp_path / "long" / MODEL_FILE
    (tmp_path / "long" / MODEL_FILE).unlink()
    assert latest_checkpoint(game, tmp_path) == tmp_path / "stub" / MODEL_FILE


# --- damaged files


def test_missing(path):
    assert "no such checkpoint" in refusal(path)
    (path.parent / "run").mkdir()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(path.parent / "run")


def test_a_folder_in_a_files_place(path):
    path.mkdir()
    (path / MODEL_FILE).mkdir()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path)


def test_truncated_anywhere(path):
    saved(path)
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    lengths = {*range(20), *range(20, len(data), 97), header - 1, header, header + 1, len(data) - 1}
    for length in lengths:
        path.write_bytes(data[:length])
        assert "damaged" in refusal(path)
    path.write_bytes(data + b"\0")
    assert "damaged" in refusal(path)


def test_random_bytes(path):
    random = np.random.default_rng(3)
    for size in (0, 1, 8, 9, 100, 5000):
        path.write_bytes(random.bytes(size))
        refusal(path)
        path.write_bytes((100).to_bytes(8, "little") + random.bytes(size))
        refusal(path)
        path.write_bytes(b"\x80\x04\x95" + random.bytes(size))  # as a pickle begins
        refusal(path)


def test_any_flipped_bit_is_noticed(path):
    saved(path, run="nightly", step=12)
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    random = np.random.default_rng(1)
    places = [*range(0, header, 11), *random.integers(header, len(data), 60)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        refusal(path)


def test_a_safetensors_file_of_another_program(path):
    saved(path)
    tensors = load(path.read_bytes())
    for metadata in (None, {}, {"format": "pt"}):
        path.write_bytes(save(tensors, metadata))
        assert "metadata is missing or broken" in refusal(path)


def test_a_checkpoint_without_a_checksum_is_taken_as_it_is(path):
    network = saved(path)
    rewrite(path)
    assert b"checksum" not in path.read_bytes()
    assert torch.equal(load_checkpoint(path).network.policy.spatial_logits.weight, network.policy.spatial_logits.weight)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        '"text"',
        "{",
        "{'a': 1}",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"step": ' + "9" * 5000 + "}",
        "\ud83d".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_metadata_that_is_no_object(path, text):
    saved(path)
    rewrite(path, text)
    assert "metadata is missing or broken" in refusal(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "many"},
        {"step": [1]},
        {"step": None},
        {"game": 3},
        {"game": None},
        {"game": ["tictactoe"]},
        {"rules_version": {}},
        {"network": []},
        {"network": "none"},
        {"strength": [0.5]},
        {"strength": {"raw": "good"}},
        {"strength": {"raw": {"deep": {"er": 1}}}},
        {"run": 5},
        {"score_weight": -0.1},
        {"score_weight": 1.0},
        {"score_weight": float("nan")},
        {"more": 1},
        {"a\nb": 1},
    ],
    ids=str,
)
def test_metadata_of_the_wrong_kind(path, changes):
    saved(path)
    rewrite_metadata(path, **changes)
    assert "metadata is not what it should be" in refusal(path)


@pytest.mark.parametrize("field", ["game", "rules_version", "network"])
def test_metadata_that_lacks_something(path, field):
    saved(path)
    values = read_tensors(path)[1]
    del values[field]
    rewrite(path, json.dumps(values))
    assert field in refusal(path)


def test_another_format(path):
    saved(path)
    rewrite_metadata(path, format=2)
    assert "format 1" in refusal(path)
    with pytest.raises(CheckpointError, match="format 1"):
        read_metadata(path)


# --- the wrong game


def test_another_game(path):
    saved(path)
    assert "expected a checkpoint of connect4, got one of 'tictactoe'" in refusal(path, games.load("connect4"))


def test_another_version_of_the_rules(path):
    saved(path, rules_version=7)
    assert "version 7 of tictactoe's rules; these are 1" in refusal(path)


def test_other_parameters_where_the_network_depends_on_them(path, tmp_path):
    file = tmp_path / "columns.py"
    source = (ROOT / "games" / "connect4.py").read_text()
    with_parameter = '    gravity: int = parameter(1, "how stones fall", 0, 3)\n\n    shape = (ROWS'
    changed = source.replace("    shape = (ROWS", with_parameter).replace(
        "identity, kernel", "identity, kernel, parameter"
    )
    assert changed.count("parameter") == 3
    file.write_text(changed)
    game = games.load(str(file))
    save_checkpoint(path, make_network(game), metadata_of(game))
    assert load_checkpoint(path, game).game == game
    assert "expected a checkpoint of columns:gravity=2, got one of 'columns'" in refusal(
        path, games.load(f"{file}:gravity=2")
    )


def test_another_board_size_where_the_network_does_not_depend_on_it(path):
    network = saved(path, "othello:6")
    checkpoint = load_checkpoint(path, games.load("othello"))
    assert checkpoint.game.shape == (8, 8)
    assert checkpoint.metadata.game == "othello:size=6"
    assert torch.equal(checkpoint.network.policy.spatial_logits.weight, network.policy.spatial_logits.weight)


NO_GAMES = ["nosuch", "", "othello:7", "othello:size=900", "gomoku:colour=red", "Tictactoe", "a\nb"]


@pytest.mark.parametrize("name", NO_GAMES)
def test_a_game_that_is_not_there(path, name):
    saved(path)
    rewrite_metadata(path, game=name)
    refusal(path)
    refusal(path, games.load("tictactoe"))


def test_a_game_file_named_by_a_checkpoint_is_never_run(path, tmp_path, monkeypatch):
    """A checkpoint is data: only the user names code to run."""
    monkeypatch.chdir(tmp_path)
    trap = tmp_path / "trap.py"
    game = "from keima.games.contract import Game\nclass Trap(Game): ...\n"
    trap.write_text(f"from pathlib import Path\nPath('sprung').touch()\n{game}")
    saved(path)
    for name in (str(trap), "./trap.py", "trap.py", "trap.py:3", f"{trap}:size=3", " ./trap.py", "trap", "../trap.py"):
        rewrite_metadata(path, game=name)
        refusal(path)
        refusal(path, games.load("tictactoe"))
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_of_a_game_by_path_needs_the_game(path, tmp_path):
    file = tmp_path / "mygame.py"
    file.write_text((ROOT / "games" / "tictactoe.py").read_text())
    game = games.load(str(file))
    save_checkpoint(path, make_network(game), metadata_of(game))
    assert "it is for the game 'mygame'; give that game's file too" in refusal(path)
    assert load_checkpoint(path, game).game is game


# --- weights that are not the network's


@pytest.mark.parametrize("change", [{"channels": 8}, {"blocks": 2}, {"global_pooling_every": 1}, {"value_hidden": 5}])
def test_another_network_than_described(path, change):
    saved(path)
    rewrite_metadata(path, network=SMALL.model_dump() | change)
    assert "do not fit the network it describes" in refusal(path)


@pytest.mark.parametrize(
    "network",
    [
        {"channels": 10**9},
        {"channels": 1024, "blocks": 80},
        {"policy_channels": 10**9},
        {"value_channels": 10**12},
        {"value_hidden": 10**30},
        {"pooled_channels": 10**9, "channels": 1024, "global_pooling_every": 1},
        {"blocks": -1},
        {"channels": "wide"},
        {"channels": float("nan")},
        {"channels": 1e400},
        {"channels": None},
        {"channels": {"channels": [[[]]]}},
        {"nosuch": 1},
        {"a\nb": 1},
    ],
    ids=str,
)
def test_hostile_sizes_take_no_memory(path, network):
    saved(path)
    rewrite_metadata(path, network=SMALL.model_dump() | network)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert re.search("do not fit the network it describes|not what it should be: network", refusal(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; asked for are 6 GB and more


def test_what_is_wrong_with_a_networks_sizes_is_said(path):
    saved(path)
    rewrite_metadata(path, network=SMALL.model_dump() | {"channels": 2, "nosuch": 1})
    assert "its metadata is not what it should be: network.channels: Input should be greater than" in refusal(path)


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("run", "\x1b[2J", "run: expected printable characters"),
        ("run", "a\nb", "run: expected printable characters"),
        ("run", "a" * 100_000, "run: String should have at most 200 characters"),
        ("game", "a" * 100_000, "game: String should have at most"),
        ("step", -5, "step: Input should be greater than or equal to 0"),
        ("step", 10**400, "step: Input should be less than or equal to"),
        ("games", -1, "games: "),
        ("score_weight", float("nan"), "score_weight: Input should be a finite number"),
    ],
)
def test_metadata_that_cannot_be(path, name, value, place):
    saved(path)
    rewrite_metadata(path, **{name: value})
    said = refusal(path)
    assert f"its metadata is not what it should be: {place}" in said
    assert len(said) < 600


def test_variances_below_zero_are_refused(path):
    game = games.load("tictactoe")
    network = make_network(game)
    network.state_dict()["stem.norm.running_var"].fill_(-1)
    save_checkpoint(path, network, metadata_of(game))
    assert "stem.norm.running_var: expected variances, got some below 0" in refusal(path)


def test_tensors_missing_renamed_or_added(path):
    saved(path)
    tensors, _ = read_tensors(path)
    first = sorted(tensors)[0]
    for changed in (
        {},
        {name: t for name, t in tensors.items() if name != first},
        tensors | {"more\nnames": torch.zeros(1)},
        {("x" if name == first else name): t for name, t in tensors.items()},
        tensors | {first: tensors[first].flatten()},
    ):
        saved(path)
        rewrite(path, tensors=changed)
        assert "do not fit" in refusal(path)


def raw_safetensors(dtype, shape, size, metadata):
    header = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}, "__metadata__": metadata}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [("F32", [2**40, 2**40, 0], 0), ("F32", [2**63, 0], 0), ("F4", [2], 1), ("F8_E8M0", [8], 8), ("C64", [1], 8)],
)
def test_tensors_of_strange_kinds(path, dtype, shape, size):
    text = json.dumps({"format": 1, "game": "tictactoe", "rules_version": 1, "network": SMALL.model_dump()})
    path.write_bytes(raw_safetensors(dtype, shape, size, {"keima": text}))
    refusal(path)
    checked = json.loads(text) | {"checksum": "0" * 32}
    path.write_bytes(raw_safetensors(dtype, shape, size, {"keima": json.dumps(checked)}))
    refusal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["policy.spatial_logits.weight", "stem.norm.running_var"])
def test_weights_that_are_no_numbers_are_refused(path, value, name):
    game = games.load("tictactoe")
    network = make_network(game)
    network.state_dict()[name].flatten()[0] = value
    save_checkpoint(path, network, metadata_of(game))
    assert "not numbers" in refusal(path)


# --- writing


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch, step):
    saved(path, step=1)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, step, fail)
        with pytest.raises(OSError, match="Input/output"):
            saved(path, step=2)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    saved(path, step=2)
    assert load_checkpoint(path).metadata.step == 2


def test_values_and_tensors_of_any_kind_come_back(path):
    tensors = {
        "scalar": torch.tensor(3.5),
        "none": torch.zeros(0, 4),
        "count": torch.tensor([7, 8]),
        "half": torch.tensor([1.5, -2], dtype=torch.bfloat16),
        "turned": torch.arange(6.0).reshape(2, 3).T,
    }
    values = {"step": 3, "strengths": [[0.5, float("nan"), "Grüße"]], "nothing": None, "nested": {"b": 1, "a": [True]}}
    write_tensors(path, tensors, values)
    found, read = read_tensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    assert repr(read) == repr(values)  # nan is not equal to itself
