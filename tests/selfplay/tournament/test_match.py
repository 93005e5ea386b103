"""Matches: fair by construction, counted right, and won by the better player."""

import numpy as np
import pytest

from keima import games
from keima.agent.contracts.player import Player
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER
from keima.games.position import Position
from keima.selfplay.tournament.contestants import AskedAtOnce, NetworkContestant, PlayoutContestant
from keima.selfplay.tournament.match import MatchResult, play_match
from keima.selfplay.tournament.openings import RandomOpenings
from tests.judged import Judged


class RandomPlayer(Player):
    """Uniformly random moves; keeps what it was asked."""

    name = "random"

    def __init__(self, seed=0):
        self.random = np.random.default_rng(seed)
        self.asked = []

    def choose(self, position):
        self.asked.append(list(position.actions))
        return int(self.random.choice(position.legal_actions()))


class FirstLegal(RandomPlayer):
    """The first legal move, always."""

    def choose(self, position):
        self.asked.append(list(position.actions))
        return position.legal_actions()[0]


def asked(player):
    return AskedAtOnce(lambda seed: player)


def evaluate_high(game):
    """Prefers high numbers."""

    def evaluate(planes):
        logits = np.tile(np.arange(game.num_actions, dtype=np.float32), (len(planes), 1))
        return logits, np.zeros(len(planes), np.float32)

    return Judged(evaluate)


@pytest.mark.parametrize("name", ["tictactoe", "connect4", "othello:4"])
def test_counts_are_those_of_games_played_one_by_one(name):
    game = games.load(name)
    result = play_match(game, asked(FirstLegal()), NetworkContestant(evaluate_high(game), 0), 30, 3, seed=5)
    openings = RandomOpenings(game, 3, 5)
    found = []
    for pair in range(30):
        for our_side in (0, 1):
            position = Position(game)
            for action in openings[pair]:
                position.play(action)
            while position.outcome == ONGOING:
                legal = position.legal_actions()
                position.play(legal[0] if position.player == our_side else max(legal))
            found.append((our_side, position.outcome, tuple(position.actions)))
    assert result.wins == sum(outcome == side for side, outcome, _ in found)
    assert result.draws == sum(outcome == DRAW for _, outcome, _ in found)
    assert result.losses == sum(outcome == 1 - side for side, outcome, _ in found)
    assert result.games == 60
    assert result.distinct == len({actions for *_, actions in found})
    assert result.wins
    assert result.losses


def test_every_opening_is_played_from_both_sides():
    game = games.load("connect4")
    ours, theirs = RandomPlayer(1), RandomPlayer(2)
    play_match(game, asked(ours), asked(theirs), 20, opening_plies=4, seed=3)
    begun = [sorted(moves for moves in player.asked if len(moves) == 4) for player in (ours, theirs)]
    assert begun[0] == begun[1]
    assert len(begun[0]) == 20


def test_equal_players_are_even_and_the_first_move_an_advantage():
    game = games.load("tictactoe")
    result = play_match(game, asked(RandomPlayer(1)), asked(RandomPlayer(2)), 800, opening_plies=0, seed=1)
    assert result.games == 1600
    assert result.score == pytest.approx(0.5, abs=0.04)
    # A random game ends 0.585 / 0.127 / 0.288: the draws tell that both sides were ours equally often.
    assert result.draws / result.games == pytest.approx(0.127, abs=0.03)
    assert result.wins / result.games == pytest.approx((0.585 + 0.288) / 2, abs=0.04)


def test_a_search_beats_chance():
    game = games.load("connect4")
    result = play_match(game, PlayoutContestant(60), asked(RandomPlayer()), 15, opening_plies=2, seed=4)
    assert result.score > 0.9
    other_way = play_match(game, asked(RandomPlayer()), PlayoutContestant(60), 15, opening_plies=2, seed=4)
    assert other_way.score < 0.1


def test_one_seed_one_match_and_another_another():
    game = games.load("connect4")
    results = [play_match(game, PlayoutContestant(8), PlayoutContestant(12), 40, 4, seed) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_without_openings_fixed_players_play_one_game():
    game = games.load("connect4")
    result = play_match(game, asked(FirstLegal()), asked(FirstLegal()), 10, opening_plies=0, seed=1)
    assert result.games == 20
    assert result.distinct == 1
    assert (result.wins, result.losses) == (10, 10)


def test_points_of_a_result():
    result = MatchResult(wins=6, draws=3, losses=1, distinct=9)
    assert (result.games, result.score) == (10, 0.75)
    assert MatchResult(0, 0, 0, 0).score == 0
    assert FIRST_WINS == 0  # an outcome code is its winner's number, which sides are compared with
    assert PLAYER == 0
