"""Alpha-beta against a plain minimax, and against what is known of small games."""

import numpy as np
import pytest

from keima.agent.analysis.evaluation import losing_lines
from keima.agent.players.alphabeta import DECIDED, WIN, AlphaBetaPlayer, centrality, hash_of
from keima.agent.players.factory import make_player
from keima.games import load, names
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, Game, GameError, State
from keima.games.position import Position, position_after

SMALL = {
    "othello": "othello:4",
    "gomoku": "gomoku:5,win=4",
    "hex": "hex:3",
    "breakthrough": "breakthrough:5,columns=4",
    "go": "go:3",
}


def minimax(game: Game, state: State, depth: int, ply: int = 0) -> int:
    """The first player's value of a position, every line of `depth` plies looked at."""
    outcome = game.outcome(state)
    if outcome != ONGOING:
        return 0 if outcome == DRAW else (WIN - ply if outcome == FIRST_WINS else ply - WIN)
    actions = game.legal(state)
    if depth == 0:
        if game.has_score:
            return int(game.kernels.score(state))
        if game.name != "breakthrough":  # pieces move there alone
            return 0
        return len(actions) if state[0] == 0 else -len(actions)
    values = [minimax(game, game.after(state, int(a)), depth - 1, ply + 1) for a in actions]
    return max(values) if state[0] == 0 else min(values)


def after_random_moves(game: Game, plies: int, seed: int) -> Position:
    generator = np.random.default_rng(seed)
    position = Position(game)
    while len(position.actions) < plies and not position.is_over:
        position.play(int(generator.choice(position.legal_actions())))
    if position.is_over:
        position.undo()
    return position


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("with_table", [True, False])
def test_values_are_minimaxs(name: str, with_table: bool):
    game = load(SMALL.get(name, name))
    depth = 3 if game.num_actions > 20 else 4
    for seed in range(4):
        position = after_random_moves(game, 3 * seed, seed)
        player = AlphaBetaPlayer(game, depth=depth, seed=seed)
        if not with_table:
            player._table = np.zeros((0, 3), np.int64)
        action = player.choose(position)
        reached = player.reached_depth  # less than asked for where all is decided
        assert player.value == minimax(game, position.state, reached)
        assert player.value == minimax(game, game.after(position.state, action), reached - 1, 1)
        if reached < depth:
            assert abs(player.value) > DECIDED or player.value == minimax(game, position.state, reached + 1)


def test_the_table_pays():
    """The same answer from fewer positions, where different moves lead to the same one."""
    game = load("connect4")
    position = position_after(game, ["4", "4", "3"])
    with_table, without = AlphaBetaPlayer(game, depth=8), AlphaBetaPlayer(game, depth=8)
    without._table = np.zeros((0, 3), np.int64)
    assert with_table.choose(position) == without.choose(position)
    assert with_table.value == without.value
    assert with_table.searched_nodes < 0.7 * without.searched_nodes


def test_tictactoe_at_full_depth_never_loses():
    game = load("tictactoe")
    player = make_player("alphabeta:9", game)

    def choose(states):
        chosen = []
        for state in states:
            position = Position(game)
            position._states.append(state)
            chosen.append(player.choose(position))
        return np.array(chosen)

    assert losing_lines(game, choose).losses == 0


def test_the_sooner_win_and_the_later_loss():
    game = load("connect4")
    threat = position_after(game, ["4", "1", "4", "1", "4"])
    assert make_player("alphabeta:6", game).choose(threat) == 3  # parries
    win = position_after(game, ["4", "1", "4", "1", "4", "2"])
    player = AlphaBetaPlayer(game, depth=6)
    assert player.choose(win) == 3
    assert player.value == WIN - 1
    assert player.reached_depth == 1  # nothing is sooner
    lost = position_after(game, ["3", "3", "4", "4", "5"])  # 2 and 6 both win next, whatever is done
    player.choose(lost)
    assert player.value == WIN - 2
    assert player.reached_depth == 2


def test_everything_is_searched_where_the_game_ends_sooner():
    game = load("tictactoe")
    player = AlphaBetaPlayer(game, depth=100)
    player.choose(position_after(game, ["b2", "a1"]))
    assert player.value == 0  # a draw, known to be one
    assert player.reached_depth == 7


@pytest.mark.parametrize("name", names())
def test_it_beats_chance(name: str):
    game = load({**SMALL, "othello": "othello:6", "go": "go:5"}.get(name, name))
    wins = losses = 0
    for number in range(8):
        side, position = number % 2, Position(game)
        players = [make_player("alphabeta:3", game, seed=number), make_player("random", game, seed=number)]
        while not position.is_over:
            position.play(players[position.player ^ side].choose(position))
        wins += position.outcome == side
        losses += position.outcome == 1 - side
    assert wins > losses


def test_the_centre_first_and_a_draw_by_seed():
    connect4, hex4 = load("connect4"), load("hex:4")
    assert AlphaBetaPlayer(connect4, depth=1).choose(Position(connect4)) == 3
    middle = {5, 6, 9, 10}
    chosen = [AlphaBetaPlayer(hex4, depth=1, seed=seed).choose(Position(hex4)) for seed in range(40)]
    assert set(chosen) == middle
    assert chosen == [AlphaBetaPlayer(hex4, depth=1, seed=seed).choose(Position(hex4)) for seed in range(40)]
    assert list(centrality(connect4)) == sorted(centrality(connect4)[:4]) + sorted(centrality(connect4)[4:])[::-1]
    othello = load("othello:4")
    assert centrality(othello)[-1] == 0  # a pass
    assert centrality(othello)[5] == centrality(othello)[10] > centrality(othello)[0]


def test_nodes_and_seconds_end_it():
    game = load("connect4")
    position = Position(game)
    player = AlphaBetaPlayer(game, nodes=3000)
    player.choose(position)
    assert 1000 < player.searched_nodes <= 3000
    few = AlphaBetaPlayer(game, nodes=1)
    assert few.choose(position) == 3  # one ply is always looked at
    assert few.reached_depth == 1
    ticks = iter(range(1000))
    timed = AlphaBetaPlayer(game, seconds=5, clock=lambda: next(ticks))
    timed.choose(position)
    assert next(ticks) == 6  # the clock was looked at until its time was up
    assert timed.name == "alphabeta, 5 s"
    assert AlphaBetaPlayer(game, depth=3, nodes=10).name == "alphabeta:3, 10 nodes"
    assert make_player("alphabeta", game).name == "alphabeta:4"


def test_positions_have_different_keys():
    game = load("othello:6")
    keys = {}
    for seed in range(300):
        state = after_random_moves(game, 12, seed).state
        keys[int(hash_of(state))] = state.tobytes()
    assert len(keys) == len(set(keys.values()))
    assert len(keys) > 250


def test_no_move_after_the_end():
    game = load("tictactoe")
    with pytest.raises(GameError, match="the game is over"):
        make_player("alphabeta:2", game).choose(position_after(game, ["a1", "a2", "b1", "b2", "c1"]))
