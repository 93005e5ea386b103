"""Measuring the threads of a GPU's actor, with a network on the processor here."""

import re

import pytest
import torch

from keima.games import load
from keima.games.contract import GameError
from keima.selfplay.bench.gpu_threads import main, measure
from keima.selfplay.bench.measuring import random_network
from keima.selfplay.config.loader import load_config

TINY = ["network.blocks=1", "network.channels=8", "search.simulations=4", "selfplay.segment_positions=50"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_what_threads_do_is_counted():
    game, config = (
        load("tictactoe"),
        load_config("tictactoe", [*TINY, "selfplay.parallel_games=8", "selfplay.cache_mb=0"]),
    )
    found = measure(game, config, random_network(game, config), "torch-f32", 2, 0.2)
    assert found.moves_per_s > 0
    assert found.simulations_per_s > 0
    assert found.moves_per_s < found.evaluations_per_s  # each costs its root's, and simulations'
    assert 0 <= found.waiting_share < 1


def test_what_a_thread_raises_is_raised():
    game, config = load("tictactoe"), load_config("tictactoe", [*TINY, "selfplay.parallel_games=8"])
    network = random_network(game, config)
    network.policy.spatial_logits.bias.data[:] = float("nan")
    with pytest.raises(GameError, match="not numbers"):
        measure(game, config, network, "torch-f32", 2, 60.0)


def test_every_combination_has_a_line(capsys):
    options = [part for value in TINY for part in ("--set", value)]
    main(["tictactoe", *options, "--backend=torch-f32", "--threads=1,2", "--parallel_games=4,8", "--seconds=0.05"])
    lines = capsys.readouterr().out.splitlines()
    pattern = re.compile(r"torch-f32, (\d) threads x 2 x (\d) games: [\d,]+ simulations, [\d,]+ evaluations, ")
    sizes = [pattern.match(line).groups() for line in lines]
    assert sizes == [("1", "4"), ("1", "8"), ("2", "4"), ("2", "8")]


@pytest.mark.parametrize("wrong", ["0", "two", "1,"])
def test_numbers_are_asked_for(wrong, capsys):
    with pytest.raises(SystemExit):
        main(["tictactoe", f"--threads={wrong}"])
    assert "--threads" in capsys.readouterr().err
