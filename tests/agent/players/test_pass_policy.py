"""When a player passes."""

import numpy as np
import pytest

from keima.agent.contracts.territory import Estimate
from keima.agent.contracts.thinking import PrincipalVariation
from keima.agent.players.factory import make_player
from keima.agent.players.pass_policy import (
    PassPolicy,
    is_end_by_passes,
    pass_policy_of,
)
from keima.agent.players.search_player import SearchPlayer
from keima.games import load
from keima.games.position import Position
from tests.games.test_go import play, set_up

# Black's a and e, White's rest; every point's owner is certain.
CERTAIN = ["X.X.X", "XXXXX", "OOOOO", "O.O.O", "OOOOO"]
# White's stone at d4 stands in Black's space, where it is dead; e1 is an eye.
DEAD_INSIDE = ["X.X.X", "XXXOX", "XXXXX", "OOOOO", "O.O.O"]


class Sure:
    """An estimate that is sure of every point: the first player's rows, then the second's."""

    def __init__(self, rows: int, sureness: float = 1.0) -> None:
        self._rows, self._sureness = rows, sureness

    def estimate(self, states):
        ownership = np.repeat([self._sureness] * self._rows + [-self._sureness] * (5 - self._rows), 5)
        return [Estimate(ownership.astype(np.float32), 0.0, 1.0) for _ in states]


class Left:
    """An estimate that is this sure that the left columns will be the first player's, then some nobody's."""

    def __init__(self, columns: int, sureness: float, open_columns: int = 0) -> None:
        row = [sureness] * columns + [0.0] * open_columns
        self._row = row + [-sureness] * (5 - len(row))

    def estimate(self, states):
        return [Estimate(np.array(self._row * 5, np.float32), 0.0, 1.0) for _ in states]


def lines(position: Position, *best: str) -> list[PrincipalVariation]:
    """All legal actions, these first, the only ones that were tried."""
    first = [position.game.text_to_action(position.state, move) for move in best]
    rest = [action for action in position.legal_actions() if action not in first]
    return [PrincipalVariation(action, 10 if action in first else 0, None, 0.1, (action,)) for action in first + rest]


def chosen(position: Position, *best: str, territory=None, value: float | None = None) -> str:
    action = PassPolicy(position.game, territory).chosen(position, lines(position, *best), value)
    return position.game.action_to_text(position.state, action)


def test_a_pass_that_wins_as_the_stones_stand_is_played_at_once():
    assert chosen(play(Position(load("go:5,komi=0.5")), "c3 pass"), "b2") == "pass"
    assert chosen(play(Position(load("go:5,komi=30.5")), "c3 pass"), "b2") == "b2"
    assert chosen(play(Position(load("go:5,komi=30.5")), "c3 b3 pass"), "b2") == "pass"


def test_by_agreement_a_pass_wins_only_with_what_is_alive():
    """Two lone stones: as they stand komi decides, but the estimate gives all to Black."""
    for rules, territory, expected in (
        ("tromp-taylor", Sure(5), "pass"),
        ("chinese", Sure(5, 0.5), "d4"),
        ("chinese", Sure(5), "pass"),  # lost for sure: there is nothing to play for
        ("chinese", Sure(0), "pass"),
        ("chinese", None, "pass"),
    ):
        position = play(Position(load(f"go:5,komi=5.5,rules={rules}")), "c3 b2 pass")
        assert chosen(position, "pass", "d4", territory=territory, value=1.0) == expected


@pytest.mark.parametrize(
    ("moves", "sureness", "best", "expected"),
    [
        ("c1 pass", 1.0, "b2", "pass"),  # won without the dead stone, which as it stands makes all of it nobody's
        ("c1 pass", 0.6, "b2", "pass"),
        ("c1 pass", 0.3, "b2", "b2"),  # it may live
        ("c1 b3", 1.0, "b2", "pass"),  # no answer is needed
        ("c1 b3", 0.6, "b2", "b2"),
        ("c1 b3", 1.0, "pass", "pass"),
    ],
)
def test_nobody_plays_in_his_own_territory_where_that_counts(moves, sureness, best, expected):
    """Two walls, and a stone of White's behind Black's, which was there before or is his last move."""
    rows = ["..XO.", "..XO.", "..XO." if "b3" in moves else ".OXO.", "..XO.", "...O."]
    position = play(set_up("go:5,komi=-0.5,rules=japanese", *rows), moves)
    assert chosen(position, best, territory=Left(3, sureness)) == expected


def test_where_territory_counts_a_lost_game_is_played_on_where_something_is_open():
    rows = [".XO..", ".XO..", ".X...", ".XO..", ".XO.."]
    for komi, expected in ((9.5, "c3"), (-9.5, "pass")):
        position = set_up(f"go:5,komi={komi},rules=japanese", *rows)
        for best in ("a1", "pass"):
            assert chosen(position, best, "c3", territory=Left(2, 1.0, open_columns=1)) == expected
    lost = play(set_up("go:5,komi=9.5,rules=japanese", *rows[:2], ".....", *rows[3:]), "b3 pass")
    unsure = Left(2, 0.6, open_columns=1)
    assert chosen(lost, "a1", "c3", territory=unsure) == "c3"
    assert chosen(lost, "a1", territory=unsure) == "pass"  # he has passed: no move is needed there
    assert chosen(set_up("go:5,komi=9.5,rules=japanese", *rows), "a1", territory=unsure) == "a1"


def test_nobody_fills_what_is_his_for_sure():
    won, lost = (set_up(f"go:5,komi={komi}", *CERTAIN) for komi in (-9.5, 0.5))
    for position in (won, lost):
        assert chosen(position, "b5") == "pass"  # nothing else is left to be played


def test_a_dead_stone_is_captured_where_it_counts():
    """Standing, it makes Black's territory beside it nobody's."""
    position = set_up("go:5,komi=4.5", *DEAD_INSIDE)
    assert position.game.points(position.state) < 0
    assert chosen(position, "d5") == "d5"
    assert chosen(position, "pass", "d5") == "d5"
    enough = set_up("go:5,komi=-4.5", *DEAD_INSIDE)
    assert chosen(enough, "pass", "d5") == "pass"


def test_no_pass_ends_a_game_that_is_lost_as_it_stands():
    position = play(Position(load("go:5,komi=24.5")), "c3 b3")
    assert chosen(position, "pass", "b2", "d4") == "b2"
    assert chosen(position, "pass") not in ("pass", "c3")
    # By territory dead stones are agreed upon.
    japanese = play(Position(load("go:5,komi=24.5,rules=japanese")), "c3 b3")
    assert chosen(japanese, "pass", "b2") == "pass"


def test_a_settled_game_is_not_played_on():
    rows = [".....", "XXXXX", "OOOOO", ".....", "....."]
    for komi, value, expected in ((-5.5, 0.95, "pass"), (-5.5, 0.3, "c5"), (0.5, -0.95, "pass"), (0.5, -0.3, "c5")):
        position = set_up(f"go:5,komi={komi}", *rows)
        assert chosen(position, "c5", territory=Sure(2), value=value) == expected
        assert chosen(position, "c5", territory=Sure(2, 0.5), value=value) == "c5"
        assert chosen(position, "c5", value=value) == "c5"
    # Lost as it stands, but not once the dead stone is off the board.
    position = set_up("go:5,komi=4.5", "..O..", "XXXXX", ".....", "OOOOO", ".....")
    assert position.game.points(position.state) < 0
    for value in (-0.95, 0.95):
        assert chosen(position, "b5", territory=Sure(3), value=value) == "b5"


def test_other_games_and_handicap_stones_know_no_passing():
    assert pass_policy_of(load("othello"), None) is None
    position = play(Position(load("go:5,handicap=3,placement=free")), "a1")
    assert chosen(position, "c3") == "c3"


def test_the_end_by_passes_is_told_from_others():
    assert is_end_by_passes(play(Position(load("go:5")), "c3 pass pass"))
    assert not is_end_by_passes(play(Position(load("go:5")), "c3 pass"))
    assert not is_end_by_passes(play(Position(load("go:5,limit=3")), "c3 pass c2"))
    assert not is_end_by_passes(Position(load("connect4")))


def test_players_end_their_games_by_passing():
    """Random playouts know nothing of ends, and yet both sides stop once there is nothing left."""
    for seed in range(2):
        position = Position(load("go:5,komi=0.5"))
        players = [make_player("rollout:60", position.game, seed=2 * seed + k) for k in range(2)]
        while not position.is_over:
            position.play(players[position.player].choose(position))
        assert is_end_by_passes(position)
        assert len(position.actions) < position.game.max_plies


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_a_decided_pass_is_no_matter_of_chance(temperature):
    position = play(Position(load("go:5,komi=0.5")), "c3 pass")
    player = make_player(f"rollout:20 temperature={temperature}", position.game)
    assert isinstance(player, SearchPlayer)
    for _ in range(10):
        assert player.choose(position) == 25
