"""The parts of a step by themselves do what the step does with them."""

import numpy as np
import pytest

from keima.agent.inference.autotuning import one_thread
from keima.agent.inference.factory import make_evaluator
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games import load
from keima.mcts.cache import NOT_FOUND, find, position_key
from keima.mcts.tree import allocate_scratch
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.bench.microbenchmarks import _replay, replay, use_cache
from keima.selfplay.config.schema import SearchConfig, SelfplayConfig
from tests.selfplay.fake_actors import tictactoe_segment

GAME = load("tictactoe")


def naive_replay(games, repeats, depth):
    """Every position looked at, as state rows."""
    seen, first = [], 0
    for length in games.game_lengths:
        moves = games.actions[first : first + length]
        for ply in range(length - 1):
            for repeat in range(repeats):
                further = int(depth * (repeat + 1)) - int(depth * repeat)
                state = GAME.new_state()
                for action in moves[: min(ply + further, length - 1) if further else ply]:
                    state = GAME.after(state, int(action))
                seen.append(state)
        first += length
    return seen


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0, 1.7, 20.0])
def test_as_many_positions_are_played_to_as_simulations_would(depth):
    games = tictactoe_segment((1,), games=3)
    seen = naive_replay(games, 4, depth)
    assert replay(GAME, games, 4, depth, with_planes=True) == len(seen)
    scratch = allocate_scratch(GAME.state_size, GAME.max_legal, GAME.num_actions)
    planes = np.zeros((GAME.num_planes, *GAME.shape), np.float32)
    for with_planes in (False, True):
        count = _replay(
            *(GAME.kernels, GAME.parameter_row(), games.game_lengths, games.actions, 4, depth, with_planes),
            *(scratch, planes),
        )
        assert count == len(seen)
        np.testing.assert_array_equal(scratch.states[1], seen[-1])
        assert planes.any() == with_planes
    np.testing.assert_array_equal(planes, GAME.planes(seen[-1]))


def test_leaves_are_kept_and_found():
    play = SelfPlay(GAME, SearchConfig(simulations=8), SelfplayConfig(parallel_games=16, cache_mb=1.0))
    evaluate = make_evaluator(GAME, Network(GAME, NetworkConfig(blocks=1, channels=8)).eval(), "torch-f32")
    with one_thread():
        for _ in range(5):
            play.step(evaluate)
    forest, cache, inputs = play._forest, play._cache, play._inputs
    leaves, answers = np.ascontiguousarray(play._slots["leaf"]), play._answers
    leaves[3] = -1  # a slot that rests

    def places():
        asked = [(inputs.plane_bits[b], forest.edges[b], forest.nodes[b, leaves[b]]) for b in range(16) if b != 3]
        return [find(cache, np.uint64(position_key(cache, *one))) for one in asked]

    assert use_cache(forest, cache, inputs, leaves, answers, keeping=False) == 15
    assert set(places()) == {NOT_FOUND}
    assert use_cache(forest, cache, inputs, leaves, answers, keeping=True) == 15
    assert NOT_FOUND not in places()
