"""When a player resigns."""

from keima.agent.contracts.player import Resignation
from keima.agent.players.factory import make_player
from keima.agent.players.resignation_policy import HOPELESS_MOVES, ResignationPolicy
from keima.games import load
from keima.games.position import Position


def hopeless(policy: ResignationPolicy, position: Position, *values: float | None) -> list[bool]:
    """Whether it gives up, at each of its moves; both sides play what is legal."""
    said = []
    for value in values:
        said.append(policy.is_over(position, value))
        policy.count()
        for _ in range(2):
            position.play(position.legal_actions()[0])
    return said


def test_a_game_is_given_up_after_a_few_hopeless_moves_in_a_row():
    assert HOPELESS_MOVES == 3
    game = load("go:5")
    assert hopeless(ResignationPolicy(0.05), Position(game), -0.95, -0.95, -0.95, -0.5) == [False, False, True, False]
    assert hopeless(ResignationPolicy(0.05), Position(game), -0.95, 0.0, -0.95, -0.95, -1) == [False] * 4 + [True]
    assert hopeless(ResignationPolicy(0.05), Position(game), -0.85, -0.85, -0.85, None) == [False] * 4
    assert hopeless(ResignationPolicy(0), Position(game), -1, -1, -1, -1) == [False] * 4
    policy, position = ResignationPolicy(0.05), Position(game)
    hopeless(policy, position, -1, -1)
    for _ in range(5):  # the same move thought about again is one move
        assert not policy.is_over(position, -1) or len(position.actions) == 4
    assert hopeless(policy, Position(game), -1, -1) == [False, False]  # another game


def test_positions_that_are_only_looked_at_are_no_hopeless_moves():
    policy, position = ResignationPolicy(0.05), Position(load("go:5"))
    for _ in range(2 * HOPELESS_MOVES):
        assert not policy.is_over(position, -1)
        position.play(position.legal_actions()[0])


def test_a_player_resigns_where_it_is_told_to():
    game = load("go:5,komi=30.5")
    for text, moves in (("rollout:20 resign=0.2", HOPELESS_MOVES), ("rollout:20", 6)):
        player, position = make_player(text, game), Position(game)
        for _ in range(moves - 1):
            position.play(player.choose(position))
            position.play(position.legal_actions()[0])
        if moves == HOPELESS_MOVES:
            assert player.choose(position) == Resignation("rollout:20 resigns")
        else:
            assert player.choose(position) != 25
