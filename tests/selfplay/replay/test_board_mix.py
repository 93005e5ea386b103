"""Several boards in one run: shares are met, the window is the newest positions of all, and only one net plays them."""

import dataclasses

import numpy as np
import pytest
import torch

from keima import games
from keima.agent.nets.network import Network
from keima.games.contract import GameError
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.config.loader import load_config, to_toml
from keima.selfplay.config.schema import SearchConfig, SelfplayConfig, TrainConfig
from keima.selfplay.replay.board_mix import BoardMix, MixedWindow
from keima.selfplay.replay.sampling import samplers_of
from keima.selfplay.replay.store import ReplayStore
from keima.selfplay.replay.window import ReplayWindow
from tests.selfplay.fake_actors import tictactoe_segment
from tests.selfplay.naive import LinearEvaluator

CONFIG = TrainConfig(game="go:3", board_mix={"go:4,komi=0.5": 0.3, "go:2": 0.1})
MIXTURE = BoardMix.of(CONFIG)


def segment_of(game, num_games=5, seed=0):
    """Games of a made-up network."""
    play = SelfPlay(game, SearchConfig(simulations=4), SelfplayConfig(parallel_games=4), seed)
    evaluator = LinearEvaluator(game)
    while len(play._finished) < num_games:
        play.step(evaluator)
    return play.take_finished(0, 0)


def test_a_config_without_others_is_a_mixture_of_one():
    board_mix = BoardMix.of(TrainConfig(game="connect4"))
    assert [game.label for game in board_mix.games] == ["connect4"]
    assert board_mix.shares == (1.0,)
    assert board_mix.furthest_behind([7]) == 0
    assert {board_mix.of_step(step, [1]) for step in range(50)} == {0}


def test_the_mixture_of_a_config():
    assert MIXTURE.labels == ("go:size=3", "go:size=4,komi=0.5", "go:size=2")
    assert MIXTURE.shares == pytest.approx((0.6, 0.3, 0.1))


def test_who_is_furthest_behind_plays_until_the_shares_are_met():
    positions = [0, 0, 0]
    random = np.random.default_rng(0)
    for _ in range(200):
        positions[MIXTURE.furthest_behind(positions)] += int(random.integers(100, 200))
    np.testing.assert_allclose(np.array(positions) / sum(positions), MIXTURE.shares, atol=0.01)
    assert MIXTURE.furthest_behind([0, 0, 0]) == 0
    assert MIXTURE.furthest_behind([600, 300, 99]) == 2


def test_threads_are_shared_out():
    assert [game.size for game in MIXTURE.among(1)] == [3]
    assert [game.size for game in MIXTURE.among(10)] == [3] * 6 + [4] * 3 + [2]
    assert BoardMix.of(TrainConfig(game="hex:4")).among(2) == [games.load("hex:4")] * 2


@pytest.mark.parametrize("first", [0, 12345])
def test_every_share_gets_its_steps(first):
    picked = np.array([MIXTURE.of_step(step, [5, 5, 5]) for step in range(first, first + 200)])
    np.testing.assert_allclose(np.bincount(picked) / 200, MIXTURE.shares, atol=0.02)
    for start in range(150):  # evenly: not all of a kind one after the other
        np.testing.assert_allclose(np.bincount(picked[start : start + 50], minlength=3) / 50, MIXTURE.shares, atol=0.07)


def test_a_game_without_positions_gets_no_steps():
    assert {MIXTURE.of_step(step, [5, 0, 5]) for step in range(100)} == {0, 2}
    assert {MIXTURE.of_step(step, [0, 0, 1]) for step in range(100)} == {2}


def test_the_window_of_one_game_is_the_plain_window():
    board_mix = BoardMix.of(TrainConfig(game="tictactoe"))
    mixed, plain = MixedWindow(board_mix), ReplayWindow()
    for number in range(12):
        segment = tictactoe_segment((number,), games=5 + number)
        for window in (mixed, plain):
            window.append(segment)
            window.drop_oldest_to(100 + 10 * number)
        for one, other in zip(mixed.views(), plain.views(), strict=True):
            np.testing.assert_array_equal(one, other)


def mixed_segments(count=12):
    random = np.random.default_rng(1)
    return [segment_of(MIXTURE.games[random.choice(3)], int(random.integers(2, 6)), n) for n in range(count)]


def test_the_window_holds_the_newest_positions_of_all_games():
    segments = mixed_segments()
    window, newest = MixedWindow(MIXTURE), [[], [], []]
    for number, segment in enumerate(segments):
        window.append(segment)
        window.drop_oldest_to(150)
        # By hand: games, oldest first, until no more of them can go.
        every = []
        for one in segments[: number + 1]:
            ends = np.cumsum(one.game_lengths)
            flags = np.split(one.flags, ends[:-1])
            every += [(MIXTURE.labels.index(one.game), int((part & 1).sum())) for part in flags]
        while every and sum(count for _, count in every) - every[0][1] >= 150:
            every.pop(0)
        assert window.num_positions == sum(count for _, count in every)
        for game in range(3):
            expected = [count for which, count in every if which == game and count]
            views = window.views(game)
            found = np.bincount(views.game_of_ply[views.training_plies], minlength=1)
            assert found[found > 0].tolist() == expected
        newest = every
    assert len({which for which, _ in newest}) > 1
    # A resumed run drops at once what this one dropped bit by bit.
    again = MixedWindow(MIXTURE)
    for segment in segments:
        again.append(segment)
    again.drop_oldest_to(150)
    samplers = samplers_of(MIXTURE.games, CONFIG)
    seen = set()
    for step in range(20):
        ours, theirs = (one.draw(samplers, step, 8) for one in (window, again))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        seen.add(ours.planes.shape[2])
    assert len(seen) > 1


def test_a_store_takes_every_game_of_the_mixture(tmp_path):
    store = ReplayStore(
        tmp_path, MIXTURE.labels[0], games.load("go").rules_version, max_disk_bytes=10**9,
        window=lambda total: 10**9, other_boards=MIXTURE.labels[1:],
    )  # fmt: skip
    segments = [segment_of(game, 2) for game in MIXTURE.games]
    for segment in segments:
        store.append(segment)
    assert [segment.game for segment in store.read_all()] == list(MIXTURE.labels)
    with pytest.raises(GameError, match="expected games of go:size=3"):
        store.append(dataclasses.replace(segments[0], game="go:size=5"))


def test_one_network_judges_all_of_them():
    network = Network(MIXTURE.games[0], CONFIG.network).eval()
    for game in MIXTURE.games:
        logits, values = network.judge(torch.from_numpy(game.planes(game.new_state())[None]))
        assert logits.shape == (1, game.num_actions)
        assert values.shape == (1,)


def test_a_config_is_written_and_read_with_its_mixture(tmp_path):
    path = tmp_path / "mix.toml"
    path.write_text('game = "go:9"\n[board_mix]\n"go:7,komi=9" = 0.25\n"go:5" = 0.5\n')
    config = load_config(str(path))
    assert config.board_mix == {"go:size=7,komi=9.0": 0.25, "go:size=5": 0.5}
    path.write_text(to_toml(config))
    assert load_config(str(path)) == config
    assert load_config("go:9", ['board_mix={"go:7"=0.3}']).board_mix == {"go:size=7": 0.3}


@pytest.mark.parametrize(
    ("game", "mix", "message"),
    [
        ("go:9", '{"othello:6"=0.3}', "expected go with other parameters, got othello:6"),
        ("go:9", '{"go"=0.3}', "go is there already"),
        ("go:9", '{"go:7"=0.3, "go:size=7"=0.2}', "go:size=7 is there already"),
        ("go:9", '{"go:40"=0.3}', "size is from 2 to 19"),
        ("go:9", '{"go:7"=0}', "shares of more than 0 that leave some for go, got 0"),
        ("go:9", '{"go:7"=0.5, "go:5"=0.5}', "that leave some for go, got 0.5"),
        ("go:9", '{"go:7"="much"}', 'board_mix: expected a number, got "much"'),
        ("connect4", '{"connect4"=0.5}', "is there already"),
    ],
)
def test_mixtures_that_cannot_be_are_refused_in_a_line(game, mix, message):
    with pytest.raises(GameError) as caught:
        load_config(game, [f"board_mix={mix}"])
    assert message in str(caught.value)
    assert "--set board_mix=" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
