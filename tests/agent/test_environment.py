"""The gymnasium environments: every game passes gymnasium's own checker, and rewards and sides are the agent's."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from keima import games
from keima.agent.contracts.player import Player, Resignation
from keima.agent.environment import GameEnvironment
from keima.agent.players.simple_players import RandomPlayer
from keima.games.contract import PLAYER, GameError

IDS = {name: f"keima/{class_name}-v0" for name, class_name in games.names().items()}


def lowest(position):
    """An opponent who always plays the legal action with the smallest number."""
    return min(position.legal_actions())


def play_game(environment, choose, **reset):
    """Plays one game; the list of (observation, reward, terminated, info) from the reset on."""
    observation, info = environment.reset(**reset)
    steps = [(observation, 0.0, False, info)]
    while not steps[-1][2]:
        observation, reward, terminated, truncated, info = environment.step(choose(environment, steps[-1][3]))
        assert not truncated
        steps.append((observation, reward, terminated, info))
    return steps


def choose_legal(environment, info):
    return environment.action_space.sample(info["action_mask"])


def choose_lowest(environment, info):
    return int(np.flatnonzero(info["action_mask"])[0])


@pytest.mark.parametrize("name", games.names())
def test_every_game_passes_gymnasiums_checker(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        environment = gymnasium.make(IDS[name])
        assert environment.spec.id == IDS[name]
        check_env(environment.unwrapped)
        environment.close()


@pytest.mark.parametrize("text", ["othello:6", "hex:4", "breakthrough:5,4", "gomoku:5,win=4"])
def test_parameters_of_the_game(text):
    name, _, parameters = text.partition(":")
    environment = gymnasium.make(IDS[name], game_parameters=parameters)
    game = games.load(text)
    assert environment.unwrapped.game == game
    assert environment.observation_space.shape == (game.num_planes, *game.shape)
    assert environment.action_space.n == game.num_actions
    check_env(environment.unwrapped)


@pytest.mark.parametrize("name", games.names())
@pytest.mark.parametrize("side", ["first", "second"])
def test_games_seen_by_the_agent(name, side):
    environment = GameEnvironment(name, agent_plays=side)
    environment.action_space.seed(1)
    me = 0 if side == "first" else 1
    results = set()
    for number in range(12):
        steps = play_game(environment, choose_legal, seed=number)
        for observation, reward, terminated, info in steps:
            assert info["player"] == me
            assert observation in environment.observation_space
            assert info["action_mask"].dtype == np.int8
            assert terminated == (not info["action_mask"].any()) == ("result" in info)
            if not terminated:
                assert reward == 0
        position = environment._position
        state = position.state.copy()
        state[PLAYER] = me
        assert np.array_equal(steps[-1][0], environment.game.planes(state))
        result, reward = steps[-1][3]["result"], steps[-1][1]
        assert reward == {0: 1, 1: -1, 2: 0}[position.outcome] * (1 if me == 0 else -1)
        assert result == {1: "win", 0: "draw", -1: "loss"}[reward]
        results.add(result)
    assert len(results) > 1


def test_the_mask_is_the_rules_legal_actions_and_passes_upset_nothing():
    environment = GameEnvironment("othello", game_parameters="6")
    environment.action_space.seed(1)
    agents_passes = opponents_passes = 0
    for number in range(20):
        _, info = environment.reset(seed=number)
        while info["action_mask"].any():
            position = environment._position
            assert position.player == info["player"]
            assert np.flatnonzero(info["action_mask"]).tolist() == sorted(position.legal_actions())
            agents_passes += int(info["action_mask"][36])
            _, _, _, _, info = environment.step(choose_legal(environment, info))
        opponents_passes += environment._position.actions.count(36)
    opponents_passes -= agents_passes
    assert agents_passes > 0
    assert opponents_passes > 0


def test_an_illegal_action_loses():
    environment = GameEnvironment("connect4", opponent=lowest, agent_plays="first", render_mode="ansi")
    environment.reset()
    for _ in range(3):  # the agent and the opponent fill column 1
        observation, reward, terminated, _, info = environment.step(0)
        assert (reward, terminated) == (0, False)
    before = observation
    observation, reward, terminated, truncated, info = environment.step(0)
    assert (reward, terminated, truncated) == (-1, True, False)
    assert info["result"] == "illegal action"
    assert not info["action_mask"].any()
    assert np.array_equal(observation, before)
    assert environment.render().endswith("For the agent (X): illegal action.")
    with pytest.raises(gymnasium.error.ResetNeeded):
        environment.step(1)
    observation, info = environment.reset()
    assert not observation.any()
    assert info["action_mask"].all()


@pytest.mark.parametrize("action", [-1, 7, 10**6])
def test_an_action_that_is_none_loses_too(action):
    environment = GameEnvironment("connect4")
    environment.reset()
    assert environment.step(action)[1:3] == (-1, True)


def test_sides():
    def sides(agent_plays, count=6, **reset):
        environment = GameEnvironment("tictactoe", agent_plays=agent_plays)
        return [environment.reset(**(reset if i == 0 else {}))[1]["player"] for i in range(count)]

    assert sides("first") == [0] * 6
    assert sides("second") == [1] * 6
    assert sides("alternate") == [0, 1] * 3
    drawn = sides("random", 40, seed=3)
    assert drawn == sides("random", 40, seed=3)
    assert 8 < sum(drawn) < 32


def test_a_seed_draws_the_side_that_alternation_begins_with():
    environment = GameEnvironment("tictactoe")
    for seed in range(6):
        first = [environment.reset(seed=s)[1]["player"] for s in (seed, None, None)]
        assert first == [environment.reset(seed=s)[1]["player"] for s in (seed, None, None)]
        assert first in ([0, 1, 0], [1, 0, 1])
    sides = [environment.reset(seed=seed)[1]["player"] for seed in range(200)]
    assert 75 < sum(sides) < 125  # 100 give or take 3.5 standard deviations


def test_the_opponent_has_moved_when_the_agent_is_second():
    environment = GameEnvironment("tictactoe", opponent=lowest, agent_plays="second")
    observation, info = environment.reset()
    assert observation[1].sum() == 1
    assert observation[0].sum() == 0
    assert info["action_mask"].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("opponent", ["random", "rollout:20"])
def test_a_seed_repeats_the_games(opponent):
    def games_of(seed):
        environment = GameEnvironment("connect4", opponent=opponent, agent_plays="random")
        played = []
        for number in range(4):
            play_game(environment, choose_lowest, seed=seed if number == 0 else None)
            played.append((environment._agent, *environment._position.actions))
        return played

    assert games_of(1) == games_of(1)
    assert games_of(1) != games_of(2)
    assert games_of(None) != games_of(None)


def test_kinds_of_opponents():
    results = {}
    for kind, opponent in {
        "text": "random",
        "player": RandomPlayer(5),
        "function": lowest,
        "search": "rollout",
    }.items():
        environment = gymnasium.make(
            IDS["tictactoe"], opponent=opponent, simulations=50 if kind == "search" else None, agent_plays="first"
        )
        results[kind] = [play_game(environment, choose_lowest, seed=s)[-1][1] for s in range(10)]
    assert np.mean(results["search"]) < np.mean(results["text"])
    assert results["function"] == [1] * 10  # X takes 1, 3, 5, 7 of the numbered cells: the rising diagonal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"opponent": "randm"}, "no player 'randm'"),
        ({"opponent": 3}, "opponent is text, a player or a function; got int"),
        ({"agent_plays": "white"}, "agent_plays is one of first, second, alternate, random; got 'white'"),
        ({"render_mode": "rgb_array"}, "render_mode is human, ansi or None; got 'rgb_array'"),
        ({"game_parameters": "5"}, "othello: size is an even number, got 5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(GameError, match=message):
        GameEnvironment("othello", **arguments)


def test_rendering():
    environment = gymnasium.make(IDS["hex"], game_parameters="3", opponent=lowest, agent_plays="first",
                                 render_mode="ansi")  # fmt: skip
    with pytest.raises(gymnasium.error.ResetNeeded):
        environment.render()
    environment.reset()
    environment.step(4)
    assert environment.render() == "  a b c\n 1 B . .\n  2 . R .\n   3 . . .\nThe agent (Red) is to move."
    assert GameEnvironment("hex").render() is None


def test_a_human_sees_every_position(capsys):
    environment = gymnasium.make(IDS["hex"], game_parameters="3", opponent=lowest, agent_plays="first",
                                 render_mode="human")  # fmt: skip
    environment.reset()
    environment.step(4)
    begun, moved = capsys.readouterr().out.split("\n\n")[:2]
    assert begun == "  a b c\n 1 . . .\n  2 . . .\n   3 . . .\nThe agent (Red) is to move."
    assert moved == "  a b c\n 1 B . .\n  2 . R .\n   3 . . .\nThe agent (Red) is to move."
    assert environment.render() is None
    assert capsys.readouterr().out == ""


def test_before_the_first_reset():
    environment = GameEnvironment("hex", render_mode="ansi")
    with pytest.raises(gymnasium.error.ResetNeeded):
        environment.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        environment.render()


def test_a_vector_of_environments():
    environments = gymnasium.make_vec(IDS["tictactoe"], num_envs=3)
    observations, info = environments.reset(seed=1)
    assert observations.shape == (3, 2, 3, 3)
    assert info["action_mask"].shape == (3, 9)
    environments.close()


def test_registering_is_cheap_and_gives_every_game_its_name():
    """In a fresh process: no compiler and no torch, and a second registration changes nothing."""
    code = (
        "import sys, gymnasium, keima.agent.environment as e; e.register_environments();"
        "print(sorted(i for i in gymnasium.registry if i.startswith('keima/')));"
        "print([m for m in ('numba', 'torch', 'keima.agent.players.factory') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [str(sorted([*IDS.values(), "keima/Game-v0"])), "[]"]
    assert run.stderr == ""


def test_an_opponent_that_resigns_has_lost():
    class Resigning(Player):
        name = "resigning"

        def choose(self, position):
            return Resignation("resigning resigns")

    environment = GameEnvironment("tictactoe", opponent=Resigning(), agent_plays="first")
    environment.reset(seed=1)
    _, reward, terminated, _, info = environment.step(np.int64(4))
    assert (reward, terminated, info["result"]) == (1.0, True, "win")
    assert not info["action_mask"].any()
    with pytest.raises(gymnasium.error.ResetNeeded):
        environment.step(np.int64(0))
    environment.reset()
    environment.close()


def test_an_opponent_that_text_named_is_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(RandomPlayer, "close", lambda self: closed.append(self))
    environment = GameEnvironment("tictactoe", opponent="random")
    environment.reset(seed=1)
    environment.close()
    assert len(set(map(id, closed))) == 2
