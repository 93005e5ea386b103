"""Published curves: read, interpolated, compared with a config."""

import math

import pytest

from keima import games
from keima.selfplay.bench.curves import Curve, parse_curves, shipped_curves
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import ConfigError

TEXT = """
game = "tictactoe"
[[curve]]
measured = "one run"
positions = [1000, 10_000, 100_000]
[curve.settings]
network.blocks = 4
search.simulations = 32
[[curve.strength]]
name = "the net alone"
shares = [0.5, 0.7, 0.8]
levels = [0.6, 0.9]
"""


@pytest.fixture
def curve() -> Curve:
    label, (curve,) = parse_curves(TEXT, "here")
    assert label == "tictactoe"
    return curve


def test_between_points_a_curve_is_straight_over_the_logarithm(curve):
    (strength,) = curve.strength
    assert curve.positions_for(strength, 0.6) == pytest.approx(1000 * math.sqrt(10))
    assert curve.positions_for(strength, 0.7) == pytest.approx(10_000)
    assert curve.positions_for(strength, 0.4) == 1000
    assert curve.positions_for(strength, 0.8) == pytest.approx(100_000)
    assert curve.positions_for(strength, 0.81) is None
    assert curve.share_after(strength, 1000 * math.sqrt(10)) == pytest.approx(0.6)
    for positions in (1000, 5000, 10_000, 70_000, 100_000):
        assert curve.positions_for(strength, curve.share_after(strength, positions)) == pytest.approx(positions)
    assert curve.share_after(strength, 1) == 0.5
    assert curve.share_after(strength, 1e9) == 0.8


def test_a_level_is_reached_the_first_time_a_curve_comes_to_it():
    _, (curve,) = parse_curves(TEXT.replace("[0.5, 0.7, 0.8]", "[0.5, 0.7, 0.6]"), "here")
    assert curve.positions_for(curve.strength[0], 0.65) < 10_000
    assert curve.positions_for(curve.strength[0], 0.71) is None


def test_differences_from_a_config_are_named(curve):
    assert curve.settings == {"network.blocks": 4, "search.simulations": 32}
    assert curve.differences(load_config("tictactoe", ["network.blocks=4", "search.simulations=32"])) == []
    other = load_config("tictactoe", ["network.blocks=6", "search.simulations=32"])
    assert curve.differences(other) == ["network.blocks 6 instead of 4"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[1000, 10_000, 100_000]", "[1000, 100_000, 10_000]", "positions: expected ascending numbers"),
        ("[0.5, 0.7, 0.8]", "[0.5, 0.7]", "the net alone: expected 3 shares"),
        ("[0.5, 0.7, 0.8]", "[0.5, 0.7, 80]", "shares.2"),
        ("network.blocks", "network.bricks", "unknown option network.bricks"),
        ("levels", "heights", "levels: Field required"),
        ("[[curve]]", "[[curve", "not valid TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused(old, new, said):
    with pytest.raises(ConfigError, match="here: ") as error:
        parse_curves(TEXT.replace(old, new), "here")
    assert said in str(error.value)


@pytest.mark.parametrize("name", games.names())
def test_every_shipped_curve_can_be_read(name):
    for curve in shipped_curves(games.load(name)):
        assert curve.measured
        for strength in curve.strength:
            assert any(curve.positions_for(strength, level) is not None for level in strength.levels)


def test_connect_four_s_is_shipped_and_only_for_its_usual_board():
    assert shipped_curves(games.load("connect4"))
    assert shipped_curves(games.load("tictactoe")) == ()
