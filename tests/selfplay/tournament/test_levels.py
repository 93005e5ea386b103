"""Tables of calibrated levels: made from a ladder, read back by who uses them, asked-for strengths met."""

import numpy as np
import pytest

from keima.agent.contracts.player_spec import parse
from keima.agent.players.levels import nearest, read_levels
from keima.games.contract import GameError
from keima.selfplay.tournament.levels import isotonic, levels_toml, make_levels
from keima.selfplay.tournament.ratings import PairResult, Ratings, rate

SETTINGS = [(1, 1.0), (1, 0.5), (4, 0.5), (16, 0.5), (64, 0.2), (64, 0.0), (400, 0.0)]


def strength(simulations: float, temperature: float) -> float:
    """What these players are worth here."""
    return 500 + 170 * np.log1p(simulations) - 400 * temperature


def text(simulations: int, temperature: float) -> str:
    return parse(f"shipped simulations={simulations}" + (f" temperature={temperature}" if temperature else "")).text


def ladder(elo: dict[str, float], games: int = 2000, others: dict[str, float] | None = None) -> Ratings:
    """A tournament whose results are what is expected of these strengths."""
    everyone = elo | (others or {})
    results = []
    for a in everyone:
        for b in everyone:
            if a != b:
                share = games / (1 + 10 ** ((everyone[b] - everyone[a]) / 400))
                results.append(PairResult(a, b, share, 0, games - share))
    anchor = next(iter(everyone))
    return rate(results, anchors={anchor: everyone[anchor]})


RATINGS = ladder({text(*s): strength(*s) for s in SETTINGS}, others={"random": 0, "rollout:1000": 900})


def test_what_is_asked_for_is_met():
    levels = make_levels(RATINGS)
    elo = [level.elo for level in levels]
    assert elo == sorted(set(elo))
    assert max(np.diff(elo)) <= 100
    assert elo[0] == pytest.approx(strength(*SETTINGS[0]), abs=6)
    assert elo[-1] == pytest.approx(strength(*SETTINGS[-1]), abs=6)
    for level in levels:
        options = parse(level.player).options
        true = strength(int(options["simulations"]), float(options.get("temperature", 0)))
        assert level.elo == pytest.approx(true, abs=25)
        assert level.low <= level.elo <= level.high
    assert {level.player for level in levels if level.measured} == {text(*s) for s in SETTINGS}


def test_the_table_is_read_back(tmp_path):
    levels = make_levels(RATINGS)
    path = tmp_path / "connect4.toml"
    path.write_text(levels_toml(levels, 'a "ladder", 2,000 games a pair'))
    read = read_levels(path)
    assert [(level.elo, level.player) for level in read] == [(level.elo, level.player) for level in levels]
    for asked in range(levels[0].elo, levels[-1].elo, 37):
        assert nearest(read, asked).elo == pytest.approx(asked, abs=50)


def test_measurements_that_wobble_are_made_to_rise():
    elo = {text(*s): strength(*s) for s in SETTINGS}
    elo[text(4, 0.5)], elo[text(16, 0.5)] = elo[text(16, 0.5)] - 100, elo[text(4, 0.5)] - 100
    levels = make_levels(ladder(elo))
    found = {level.player: level.elo for level in levels}
    assert (text(4, 0.5) in found) != (text(16, 0.5) in found)  # both are worth the same now: one of them stays
    by_effort = [parse(level.player).options["simulations"] for level in levels]
    assert by_effort == sorted(by_effort)


def test_names_on_the_ladder_may_differ_from_the_players():
    names = {f"level {i}": text(*s) for i, s in enumerate(SETTINGS)}
    ratings = ladder({name: strength(*s) for name, s in zip(names, SETTINGS, strict=True)})
    measured = [level.player for level in make_levels(ratings, names) if level.measured]
    assert measured == list(names.values())


def test_isotonic():
    assert isotonic([1, 2, 3], [1, 1, 1]) == [1, 2, 3]
    assert isotonic([3, 1, 2], [1, 1, 1]) == [2, 2, 2]
    assert isotonic([1, 5, 2, 8], [1, 2, 1, 1]) == [1, 4, 4, 8]
    random = np.random.default_rng(1)
    values, weights = random.normal(0, 1, 30), random.uniform(0.1, 3, 30)
    fitted = np.array(isotonic(values, weights))
    assert (np.diff(fitted) >= 0).all()
    error = (weights * (fitted - values) ** 2).sum()
    for _ in range(300):  # nothing that rises, near it or not, is nearer
        other = np.sort(fitted + random.normal(0, random.choice([0.01, 0.3]), 30))
        assert (weights * (other - values) ** 2).sum() >= error - 1e-9


@pytest.mark.parametrize(
    ("players", "said"),
    [
        (
            {text(4, 0.5): 0.0, text(16, 0.8): 100.0},
            "more simulations but a higher temperature than 4 simulations at 0.5",
        ),
        ({text(4, 0.5): 0.0, "random": -300.0}, "at least two settings of one net on the ladder, got 1"),
        ({text(4, 0.5): 0.0, "runs/mine simulations=9": 100.0}, "settings of one net, got runs/mine"),
    ],
)
def test_ladders_that_give_no_table(players, said):
    with pytest.raises(GameError, match=said):
        make_levels(ladder(players))


def test_players_that_are_no_settings_are_refused():
    ratings = ladder({"a": 0.0, "b": 100.0})
    with pytest.raises(GameError, match="expected a net with simulations=N and perhaps temperature=T, got rollout:100"):
        make_levels(ratings, {"a": "shipped simulations=4", "b": "rollout:100"})
    with pytest.raises(GameError, match="no rating of 'c'"):
        make_levels(ratings, {"c": "shipped simulations=4"})
