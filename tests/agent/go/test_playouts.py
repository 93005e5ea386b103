"""Random playouts of Go: who owns what in the end, without eyes filled."""

import numpy as np
import pytest

from keima.agent.go.playouts import PlayoutTerritory, has_playouts
from keima.games import load
from keima.games.position import Position
from tests.games.test_go import play, set_up

TWO_EYES = ["X.X.X", "XXXXX", "OOOOO", "OOOOO", "O.O.O"]


def test_nobody_fills_his_eyes():
    position = set_up("go:5,komi=2", *TWO_EYES)
    estimate = PlayoutTerritory(position.game, playouts=32).estimate([position.state])[0]
    assert estimate.ownership.tolist() == [1.0] * 10 + [-1.0] * 15
    assert (estimate.points, estimate.deviation) == (10 - 15 - 2, 0)


def test_an_empty_board_is_even_and_komi_counts():
    for size in (2, 5, 9, 19):
        game = load(f"go:{size},komi=6.5")
        estimate = PlayoutTerritory(game, playouts=400).estimate([game.new_state()])[0]
        assert np.abs(estimate.ownership).max() < 0.35
        assert estimate.points == pytest.approx(estimate.ownership.sum() - 6.5, abs=1e-3)
        assert estimate.deviation > 0


def test_a_seed_repeats_itself_and_the_position_is_left_alone():
    position = play(Position(load("go:7")), "d4 c3 e5")
    before = position.state.copy()
    found = [PlayoutTerritory(position.game, playouts=50, seed=3).estimate([position.state])[0] for _ in range(2)]
    assert found[0].ownership.tolist() == found[1].ownership.tolist()
    assert (position.state == before).all()
    assert found[0].ownership.reshape(7, 7)[3, 3] > 0


def test_handicap_and_the_rules_in_the_count():
    chinese, other = (load(f"go:9,komi=0.5,handicap=2,rules={rules}") for rules in ("chinese", "tromp-taylor"))
    a, b = (PlayoutTerritory(game, playouts=64).estimate([game.new_state()])[0].points for game in (chinese, other))
    assert a == b - 2


def test_a_game_near_its_limit_is_still_estimated_and_one_that_is_over_counted():
    position = play(Position(load("go:5,limit=6,komi=0.5")), "c3 b2 d2 b4 d4")
    assert PlayoutTerritory(position.game, playouts=16).estimate([position.state])[0].deviation > 0
    play(position, "b3")
    estimate = PlayoutTerritory(position.game).estimate([position.state])[0]
    assert estimate.points == position.game.points(position.state)
    assert set(estimate.ownership.tolist()) <= {-1.0, 0.0, 1.0}
    assert estimate.deviation == 0


def test_other_games_have_none():
    assert not has_playouts(load("hex:5"))
    with pytest.raises(ValueError, match="no playouts of hex"):
        PlayoutTerritory(load("hex:5"))
