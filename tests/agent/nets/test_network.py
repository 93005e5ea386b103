"""The network's shapes for every game, what it may depend on, and its folded copy against itself."""

import copy

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.nets.network import Block, ConvNorm, Network, pool, with_current_names
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import ONGOING
from keima.mcts.selection import saturated_score

SMALL = NetworkConfig(blocks=2, channels=8, pooled_channels=4, policy_channels=4, value_channels=3, value_hidden=16)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of so small a network wait for each other
    yield
    torch.set_num_threads(threads)


def make_network(game, config=SMALL, seed=0):
    """A network whose normalizations have seen something, as a trained one's have."""
    torch.manual_seed(seed)
    network = Network(game, config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return network.eval()


def random_planes(game, count, seed=0):
    """Planes [count, C, H, W] of random positions."""
    random = np.random.default_rng(seed)
    planes = []
    while len(planes) < count:
        state = game.new_state()
        for _ in range(random.integers(game.max_plies)):
            if game.outcome(state) != ONGOING:
                break
            state = game.after(state, int(random.choice(game.legal(state))))
        planes.append(game.planes(state))
    return torch.from_numpy(np.stack(planes))


ALL_GAMES = list(games.names())
SIZED = ["gomoku:9", "othello:6", "hex:7", "breakthrough:6,6"]


@pytest.mark.parametrize("name", ALL_GAMES + SIZED)
def test_heads_have_the_games_shapes(name):
    game = games.load(name)
    height, width = game.shape
    outputs = make_network(game)(random_planes(game, 5))
    assert outputs.policy.shape == (5, game.num_actions)
    assert outputs.value.shape == (5, 3)
    assert (outputs.ownership is not None) == game.has_ownership
    assert (outputs.score is not None) == game.has_score
    if outputs.ownership is not None:
        assert outputs.ownership.shape == (5, height * width)
        assert outputs.ownership.abs().max() <= 1
    assert (outputs.score_spread is not None) == game.has_score
    if outputs.score is not None:
        assert outputs.score.shape == outputs.score_spread.shape == (5,)
        assert (outputs.score_spread > 0).all()
    for part in outputs:
        assert part is None or (part.dtype == torch.float32 and part.isfinite().all())


def test_some_game_has_each_kind_of_head():
    loaded = [games.load(name) for name in ALL_GAMES]
    for fact in ("has_ownership", "has_score", "policy_planes"):
        assert len({bool(getattr(game, fact)) for game in loaded}) == 2
    cells = {game.name: game.policy_planes * game.shape[0] * game.shape[1] for game in loaded}
    assert any(0 < cells[game.name] < game.num_actions for game in loaded)  # with actions beside the board's
    assert any(game.policy_planes > 1 for game in loaded)


@pytest.mark.parametrize("name", ALL_GAMES)
def test_judge_is_forward_without_the_auxiliary_heads(name):
    game = games.load(name)
    network = make_network(game)
    planes = random_planes(game, 16)
    with torch.no_grad():
        outputs = network(planes)
        logits, values = network.judge(planes)
    torch.testing.assert_close(logits, outputs.policy)
    win, _, loss = torch.softmax(outputs.value, 1).T
    torch.testing.assert_close(values, win - loss)
    assert values.shape == (16,)
    assert values.abs().max() <= 1


@pytest.mark.parametrize("name", ["othello:6", "go:5", "connect4"])
def test_values_hold_as_much_of_the_score_as_asked(name):
    game = games.load(name)
    network, planes = make_network(game), random_planes(game, 16)
    network.score_weight = 0.3
    with torch.no_grad():
        outputs = network(planes)
        _, values = network.judge(planes)
    win, _, loss = torch.softmax(outputs.value, 1).T
    if not game.has_score:
        torch.testing.assert_close(values, win - loss)
        return
    points = outputs.score.numpy() * game.score_unit / game.score_per_point
    of_score = 2 / np.pi * np.arctan(points / (2 * game.shape[0]))
    np.testing.assert_allclose(values, 0.7 * (win - loss).numpy() + 0.3 * of_score, atol=1e-6)
    kernel = [saturated_score(float(score)) for score in outputs.score]
    np.testing.assert_allclose(of_score, kernel, atol=1e-6)  # as the search counts finished games


@pytest.mark.parametrize("name", ALL_GAMES)
def test_the_heads_that_only_teach_change_nothing_that_plays(name):
    game = games.load(name)
    torch.manual_seed(3)
    plain = Network(game, SMALL).eval()
    torch.manual_seed(3)
    taught = Network(game, SMALL.model_copy(update={"opponent_policy_head": True, "soft_policy_head": True})).eval()
    own = taught.state_dict()
    for key, tensor in plain.state_dict().items():
        assert torch.equal(own.pop(key), tensor)
    assert {key.partition(".")[0] for key in own} == {"reply", "soft_policy"}
    planes = random_planes(game, 6)
    outputs = taught(planes)
    assert outputs.reply.shape == outputs.soft_policy.shape == (6, game.num_actions)
    assert not torch.equal(outputs.reply, outputs.soft_policy)
    assert plain(planes).reply is None
    assert plain(planes).soft_policy is None

    def refuse(*_):
        raise AssertionError("computed where nobody asks for it")

    for head in (taught.reply, taught.soft_policy):
        head.register_forward_hook(refuse)
    for one, other in zip(taught.judge(planes), plain.judge(planes), strict=True):
        assert torch.equal(one, other)
    folded = taught.for_inference()
    assert folded.num_parameters == plain.for_inference().num_parameters
    assert taught.reply is not None


@pytest.mark.parametrize("name", ["connect4", "othello:6", "breakthrough:6,6"])
def test_fused_training_is_plain_training(name, monkeypatch):
    game = games.load(name)
    planes = random_planes(game, 16).contiguous(memory_format=torch.channels_last)

    def trained():
        network = make_network(game).to(memory_format=torch.channels_last).train()
        outputs = network(planes)
        random = torch.Generator().manual_seed(1)
        sum((part * torch.randn(part.shape, generator=random)).sum() for part in outputs if part is not None).backward()
        return [*outputs, *(p.grad for p in network.parameters()), *network.buffers()]

    fused_answers = trained()
    calls = []
    monkeypatch.setattr("keima.agent.nets.fused.suits", lambda x: calls.append(x))
    plain = trained()
    assert len(calls) > 6
    for found, expected in zip(fused_answers, plain, strict=True):
        if expected is not None:
            torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_stay_within_their_bounds_however_sure(dtype):
    game = games.load("connect4")
    network = make_network(game)
    planes = random_planes(game, 64).to(dtype)
    for scale in (1e2, 1e4):
        sure = copy.deepcopy(network)
        sure.value.outcome.weight.data *= scale
        sure.value.outcome.bias.data[1] = -1e6  # nothing is a draw
        _, values = sure.to(dtype).judge(planes)
        assert values.dtype == torch.float32
        assert 0.99 < values.abs().max() <= 1


@pytest.mark.parametrize("name", ALL_GAMES)
def test_the_copy_for_inference_says_the_same(name):
    game = games.load(name)
    network = make_network(game)
    before = copy.deepcopy(network.state_dict())
    folded = network.for_inference()
    planes = random_planes(game, 32)
    with torch.no_grad():
        for own, others in zip(network(planes), folded(planes), strict=True):
            if own is not None:
                torch.testing.assert_close(others, own, atol=1e-5, rtol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not folded.training
    for name, tensor in network.state_dict().items():  # the network itself is as it was
        assert torch.equal(tensor, before[name])
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_a_network_in_training_is_copied_in_evaluation_mode():
    game = games.load("tictactoe")
    network = make_network(game)
    planes = random_planes(game, 8)
    with torch.no_grad():
        expected = network(planes).policy
        network.train()
        found = network.for_inference()(planes).policy
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert network.training


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("go:7", "go:9"),
        ("gomoku:9", "gomoku:15"),
        ("othello:6", "othello:8"),
        ("hex:5", "hex:9"),
        ("breakthrough:6,6", "breakthrough"),
    ],
)
def test_a_network_moves_to_another_board_size(small, large):
    trained, wanted = games.load(small), games.load(large)
    network = make_network(trained)
    moved = Network(wanted, SMALL)
    moved.load_state_dict(network.state_dict())
    outputs = moved.eval()(random_planes(wanted, 3))
    assert outputs.policy.shape == (3, wanted.num_actions)
    assert network.num_parameters == moved.num_parameters


def test_a_policy_over_the_board_moves_with_the_board():
    """Where nothing depends on the size, a stone far from the border is judged alike wherever it lies."""
    game = games.load("gomoku:19")
    network = make_network(game, NetworkConfig(blocks=1, channels=8, global_pooling_every=0))
    planes = torch.zeros(2, game.num_planes, 19, 19)
    planes[0, 0, 9, 9] = planes[1, 0, 8, 10] = 1
    with torch.no_grad():
        policy = network(planes).policy.unflatten(1, (19, 19))
    torch.testing.assert_close(policy[0, 7:12, 7:12], policy[1, 6:11, 8:13], atol=1e-5, rtol=1e-5)


def test_a_dense_policy_is_of_one_board_size_alone():
    network = make_network(games.load("connect4"))
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 2, 7, 7))


def sees_across_the_board(every):
    """Whether a stone in one corner changes what a one-block tower says of the other corner."""
    game = games.load("gomoku:19")
    network = make_network(game, NetworkConfig(blocks=1, channels=8, global_pooling_every=every))
    planes = torch.zeros(2, game.num_planes, 19, 19)
    planes[1, 0, 0, 0] = 1
    with torch.no_grad():
        empty, stone = network.trunk(planes)
    assert not torch.equal(empty[:, 0, 0], stone[:, 0, 0])
    return not torch.equal(empty[:, -1, -1], stone[:, -1, -1])


def test_global_pooling_sees_across_the_board():
    assert sees_across_the_board(every=1)
    assert not sees_across_the_board(every=0)
    assert not sees_across_the_board(every=2)  # the second block would be the first to


@pytest.mark.parametrize(
    ("every", "pooling"), [(0, []), (1, [0, 1, 2, 3, 4]), (2, [1, 3]), (3, [2]), (5, [4]), (6, [])]
)
def test_every_so_many_blocks_one_pools(every, pooling):
    network = Network(games.load("othello"), NetworkConfig(blocks=5, channels=8, global_pooling_every=every))
    assert [i for i, block in enumerate(network.blocks) if block.from_pool is not None] == pooling


def test_a_tower_narrower_than_the_pooled_channels_pools_them_all():
    game = games.load("tictactoe")
    network = make_network(game, NetworkConfig(blocks=2, channels=4, pooled_channels=64))
    assert network.blocks[1].pooled_channels == 4
    assert network(random_planes(game, 2)).policy.shape == (2, 9)


def test_a_block_adds_to_what_it_is_given():
    block = Block(6, 3).eval()
    for parameter in block.second.convolution.parameters():
        parameter.data.zero_()
    x = torch.rand(2, 6, 5, 5)
    torch.testing.assert_close(block(x), x)


def test_pool_is_mean_scaled_mean_and_maximum():
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    root = 12**0.5
    means = [5.5, 17.5]
    expected = [*means, *(m * (root - 14) / 10 for m in means), 11.0, 23.0]
    torch.testing.assert_close(pool(x), torch.tensor([expected]))


def test_folding_one_convolution():
    torch.manual_seed(1)
    unit = ConvNorm(2, 3, 3)
    unit(torch.randn(50, 2, 4, 4))  # in training mode: moves the running statistics
    unit.eval()
    x = torch.randn(4, 2, 4, 4)
    expected = unit(x)
    unit.fold()
    torch.testing.assert_close(unit(x), expected, atol=1e-5, rtol=1e-5)
    assert isinstance(unit.norm, torch.nn.Identity)


def test_parameters_are_counted():
    game = games.load("connect4")
    c, p, v, h = 8, 4, 3, 16
    norm = 2  # a weight and a bias a channel
    stem = game.num_planes * c * 9 + norm * c
    plain = 2 * (c * c * 9 + norm * c)
    pooling = plain + 3 * 4 * c + c
    policy = c * p + norm * p + p * 42 * 7 + 7
    value = c * v + norm * v + (v * 42 * h + h) + (h * 3 + 3)
    assert make_network(game).num_parameters == stem + plain + pooling + policy + value


def test_outputs_in_float32():
    outputs = make_network(games.load("othello:6")).to(torch.bfloat16)(torch.zeros(1, 2, 6, 6, dtype=torch.bfloat16))
    assert {part.dtype for part in outputs if part is not None} == {torch.bfloat16}
    assert {part.dtype for part in outputs.float() if part is not None} == {torch.float32}
    connect4 = make_network(games.load("connect4"))(torch.zeros(1, 2, 6, 7)).float()
    assert connect4.ownership is None
    assert connect4.score is None
    assert connect4.score_spread is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("blocks", 0), ("blocks", 10**9), ("channels", 1), ("pooled_channels", 0), ("value_hidden", 0), ("widht", 3)],
)
def test_the_config_refuses_sizes_out_of_bounds(field, value):
    with pytest.raises(ValueError, match=field):
        NetworkConfig(**{field: value})


def test_tensors_are_found_by_their_old_names():
    network = Network(games.load("go:5"), NetworkConfig(blocks=1, channels=8))
    current = network.state_dict()
    old = {n.replace("spatial_logits", "by_cell").replace("global_logits", "others"): t for n, t in current.items()}
    assert {"policy.by_cell.weight", "policy.others.bias"} <= old.keys()
    renamed = with_current_names(old)
    assert renamed.keys() == current.keys()
    network.load_state_dict(renamed)
