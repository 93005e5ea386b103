"""Othello against OpenSpiel (8x8), published counts, and for other sizes a slow and obvious twin."""

import numpy as np
import pytest

from keima import games
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, GameError
from tests.games.drivers import perft, played, record_games
from tests.games.openspiel import assert_same_games


def test_the_same_games_as_openspiel(sized):
    assert_same_games("othello", "othello", count=sized(10_000, 1_000))


def test_counts_of_the_tree():
    """Published by Aart Bik, https://aartbik.blogspot.com/2009/02/perft-for-reversi.html"""
    lines, finished = perft(games.load("othello"), 9)
    assert lines == [4, 12, 56, 244, 1396, 8200, 55092, 390216, 3005288]
    assert finished == [0] * 8 + [228]  # his count of tenth moves goes on from these and is higher by 228


class NaiveOthello:
    """The rules on a dict of cells, each question answered by walking all lines from all cells."""

    def __init__(self, size):
        self.size, self.player = size, 0
        low, high = size // 2 - 1, size // 2
        self.discs = {(low, low): 1, (high, high): 1, (low, high): 0, (high, low): 0}

    def enclosed(self, row, column, player):
        found = []
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                line, r, c = [], row + down, column + right
                while self.discs.get((r, c)) == 1 - player:
                    line.append((r, c))
                    r, c = r + down, c + right
                if self.discs.get((r, c)) == player:
                    found += line
        return found

    def cells_to_play(self, player):
        everywhere = [(r, c) for r in range(self.size) for c in range(self.size) if (r, c) not in self.discs]
        return [(r, c) for r, c in everywhere if self.enclosed(r, c, player)]

    def legal(self):
        cells = [r * self.size + c for r, c in self.cells_to_play(self.player)]
        return cells or ([self.size**2] if self.cells_to_play(1 - self.player) else [])

    def play(self, action):
        if action != self.size**2:
            cell = divmod(action, self.size)
            for turned in self.enclosed(*cell, self.player):
                self.discs[turned] = self.player
            self.discs[cell] = self.player
        self.player = 1 - self.player


@pytest.mark.parametrize("size", [4, 6, 10])
def test_other_sizes_agree_with_the_naive_rules(size):
    game = games.load(f"othello:{size}")
    passes = 0
    for recording in record_games(game, 40 if size < 10 else 10):
        naive, state = NaiveOthello(size), game.new_state()
        for action in recording.actions.tolist():
            assert game.legal(state).tolist() == naive.legal()
            assert state[PLAYER] == naive.player
            state = game.after(state, action)
            naive.play(action)
            passes += action == size**2
        assert naive.legal() == []
        owners = np.zeros(size**2, np.int8)
        game.kernels.ownership(state, owners)
        assert owners.tolist() == [
            {0: 1, 1: -1, None: 0}[naive.discs.get(divmod(cell, size))] for cell in range(size**2)
        ]
        assert game.kernels.score(state) == owners.sum()
    assert passes > 0


def test_the_shortest_game():
    """Black takes every disc with his fifth; the score counts discs, so the empty cells are nobody's."""
    position = played("othello", "e6 f4 e3 f6 g5 d6 e7 f5 c5")
    assert position.outcome == FIRST_WINS
    assert position.game.kernels.score(position.state) == 13


def test_outcomes_of_4x4():
    outcomes = {recording.outcome for recording in record_games(games.load("othello:4"), 200)}
    assert outcomes == {FIRST_WINS, SECOND_WINS, DRAW}


def test_passing():
    """A pass is the only legal move where there is no other, and is refused elsewhere."""
    game = games.load("othello:6")
    passes = 0
    for recording in record_games(game, 100):
        state = game.new_state()
        for action in recording.actions.tolist():
            legal = game.legal(state).tolist()
            if 36 in legal:
                passes += 1
                assert legal == [36]
                assert game.action_to_text(state, 36) == "pass"
                after = game.after(state, 36)
                assert np.array_equal(game.board(after), game.board(state))
                assert after[PLAYER] == 1 - state[PLAYER]
                assert game.outcome(after) == ONGOING
            state = game.after(state, action)
    assert passes > 0
    with pytest.raises(GameError, match="illegal move 'pass': expected one of"):
        game.text_to_action(game.new_state(), "pass")


def test_notation_and_planes():
    position = played("othello", "d3 c5")
    assert position.actions == [2 * 8 + 3, 4 * 8 + 2]
    board, planes = position.game.board(position.state), position.game.planes(position.state)
    assert board[4].tolist() == [0, 0, 2, 2, 2, 0, 0, 0]  # c5 turned d5 back over, and e5 was White's
    assert np.array_equal(planes, [board == 1, board == 2])


def test_odd_sizes_are_refused():
    with pytest.raises(GameError, match="othello: size is an even number, got 7"):
        games.load("othello:7")
