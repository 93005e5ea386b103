"""Matches: fair by construction, counted right, and won by the better player."""

from functools import partial

import numpy as np
import pytest

import games
from games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER
from mcts.rollout import RolloutEvaluator
from mcts.search import SearchSettings, choose_actions
from selfplay.matches import MatchResult, _opening, play_match


class RandomPlayer:
    """Uniformly random moves; keeps what it was asked."""

    def __init__(self, game, seed=0):
        self.game = game
        self.random = np.random.default_rng(seed)
        self.asked = []

    def __call__(self, states):
        self.asked.append(states.copy())
        return np.array([self.random.choice(self.game.legal(state)) for state in states])


class FirstLegal(RandomPlayer):
    """The first legal move, always."""

    def __call__(self, states):
        self.asked.append(states.copy())
        return np.array([self.game.legal(state)[0] for state in states])


def replayed(game, ours, theirs, pairs, opening_plies, seed):
    """The match's games played one by one: (opening, our side, outcome, all moves) of each."""
    random = np.random.default_rng(seed)
    openings = [_opening(game, opening_plies, random) for _ in range(pairs)]
    found = []
    for start, opening in openings:
        for our_side in (0, 1):
            state, moves = start.copy(), list(opening)
            while game.outcome(state) == ONGOING:
                choose = ours if state[PLAYER] == our_side else theirs
                moves.append(int(choose(state[None])[0]))
                state = game.after(state, moves[-1])
            found.append((tuple(opening), our_side, game.outcome(state), tuple(moves)))
    return found


@pytest.mark.parametrize("name", ["tictactoe", "connect4", "othello:4"])
def test_counts_are_those_of_games_played_one_by_one(name):
    game = games.load(name)
    ours, theirs = FirstLegal(game), partial(choose_actions, game, lambda p: evaluate(game, p), settings=None)
    result = play_match(game, ours, theirs, 30, opening_plies=3, seed=5)
    single = replayed(game, ours, theirs, 30, opening_plies=3, seed=5)
    assert result.wins == sum(outcome == side for _, side, outcome, _ in single)
    assert result.draws == sum(outcome == DRAW for _, _, outcome, _ in single)
    assert result.losses == sum(outcome == 1 - side for _, side, outcome, _ in single)
    assert result.games == 60
    assert result.distinct == len({moves for *_, moves in single})
    assert result.wins
    assert result.losses


def evaluate(game, planes):
    """Prefers high numbers."""
    logits = np.tile(np.arange(game.num_actions, dtype=np.float32), (len(planes), 1))
    return logits, np.zeros(len(planes), np.float32)


def test_every_opening_is_played_from_both_sides():
    game = games.load("connect4")
    ours, theirs = RandomPlayer(game, 1), RandomPlayer(game, 2)
    play_match(game, ours, theirs, 20, opening_plies=4, seed=3)
    # After 4 plies the first player is to move: each opening comes to each of us once.
    for player in (ours, theirs):
        assert len(player.asked[0]) == 20
        assert not player.asked[0][:, PLAYER].any()
    np.testing.assert_array_equal(ours.asked[0], theirs.asked[0])


def test_games_share_batches_and_are_asked_only_where_they_go_on():
    game = games.load("connect4")
    ours, theirs = RandomPlayer(game, 1), RandomPlayer(game, 2)
    play_match(game, ours, theirs, 16, opening_plies=2, seed=1)
    for player in (ours, theirs):
        assert all(game.outcome(state) == ONGOING for states in player.asked for state in states)
        assert len(player.asked) <= 41
        sizes = [len(states) for states in player.asked]
        assert sizes[:3] == [16, 16, 16]
        assert all(sizes)


def test_equal_players_are_even_and_the_first_move_an_advantage():
    game = games.load("tictactoe")
    result = play_match(game, RandomPlayer(game, 1), RandomPlayer(game, 2), 800, opening_plies=0, seed=1)
    assert result.games == 1600
    assert result.score == pytest.approx(0.5, abs=0.04)
    # A random game ends 0.585 / 0.127 / 0.288: the draws tell that both sides were ours equally often.
    assert result.draws / result.games == pytest.approx(0.127, abs=0.03)
    assert result.wins / result.games == pytest.approx((0.585 + 0.288) / 2, abs=0.04)


def test_a_search_beats_chance():
    game = games.load("connect4")
    rollouts = partial(
        choose_actions, game, RolloutEvaluator(game, seed=1), settings=SearchSettings(60, root_policy="puct")
    )
    result = play_match(game, rollouts, RandomPlayer(game), 15, opening_plies=2, seed=4)
    assert result.score > 0.9
    other_way = play_match(game, RandomPlayer(game), rollouts, 15, opening_plies=2, seed=4)
    assert other_way.score < 0.1


def test_one_seed_one_match_and_another_another():
    game = games.load("connect4")
    results = [play_match(game, FirstLegal(game), RandomPlayer(game), 20, 4, seed) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_without_openings_fixed_players_play_two_games():
    game = games.load("connect4")
    result = play_match(game, FirstLegal(game), FirstLegal(game), 10, opening_plies=0, seed=1)
    assert result.games == 20
    assert result.distinct == 1
    assert (result.wins, result.losses) == (10, 10)


@pytest.mark.parametrize("plies", [0, 1, 2, 5, 8, 40])
def test_openings_are_of_the_length_asked_where_games_are_that_long(plies):
    game = games.load("tictactoe")
    random = np.random.default_rng(1)
    for _ in range(50):
        state, moves = _opening(game, plies, random)
        assert game.outcome(state) == ONGOING
        assert len(moves) <= plies
        assert len(moves) == plies or plies >= 5
        replay = game.new_state()
        for move in moves:
            assert move in game.legal(replay)
            replay = game.after(replay, move)
        np.testing.assert_array_equal(replay, state)


def test_openings_vary():
    game = games.load("connect4")
    random = np.random.default_rng(1)
    assert len({tuple(_opening(game, 4, random)[1]) for _ in range(100)}) > 90


def test_points_of_a_result():
    result = MatchResult(wins=6, draws=3, losses=1, distinct=9)
    assert (result.games, result.score) == (10, 0.75)
    assert MatchResult(0, 0, 0, 0).score == 0
    assert FIRST_WINS == 0  # an outcome code is its winner's number, which `our_side` is compared with
