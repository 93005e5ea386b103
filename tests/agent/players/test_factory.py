"""Players: named in text, legal everywhere, and as good as they claim where that can be seen."""

import numpy as np
import pytest

from keima.agent.contracts.player import Player
from keima.agent.contracts.player_spec import parse
from keima.agent.contracts.thinking import Limit, Thinker
from keima.agent.inference import loaded_network
from keima.agent.players.factory import default_player, make_player
from keima.agent.players.policy_player import PolicyPlayer
from keima.agent.players.search_player import SearchPlayer
from keima.games import load, names
from keima.games.contract import GameError
from keima.games.position import Position, position_after
from keima.mcts.evaluator import Evaluate

SMALL = {"othello": "othello:4", "gomoku": "gomoku:5,win=4", "hex": "hex:4", "breakthrough": "breakthrough:5,columns=4"}


class Material(Evaluate):
    """An evaluator that prefers high-numbered actions and thinks nothing of positions; counts what it was asked."""

    def __init__(self, num_actions: int) -> None:
        self._logits = np.linspace(0, 3, num_actions, dtype=np.float32)
        self.positions = 0

    def __call__(self, planes):
        self.positions += len(planes)
        return np.tile(self._logits, (len(planes), 1)), np.zeros(len(planes), np.float32)


@pytest.mark.parametrize("game", names())
def test_random_and_rollout_finish_a_game_of_every_kind(game: str):
    position = Position(load(SMALL.get(game, game)))
    players: list[Player] = [make_player("random", position.game), make_player("rollout:8", position.game)]
    while not position.is_over:
        action = players[position.player].choose(position)
        assert action in position.legal_actions()
        position.play(action)
    with pytest.raises(GameError, match="the game is over"):
        players[0].choose(position)


def test_random_repeats_itself_with_a_seed_and_reaches_every_move():
    position = Position(load("connect4"))
    player, twin = make_player("random", position.game, seed=5), make_player("random", position.game, seed=5)
    chosen = [player.choose(position) for _ in range(100)]
    assert chosen == [twin.choose(position) for _ in range(100)]
    assert set(chosen) == set(range(7))


@pytest.mark.parametrize(
    ("game", "moves", "expected"),
    [
        ("tictactoe", ["a1", "b2", "a2", "c3"], "a3"),  # wins at once
        ("tictactoe", ["a1", "b2", "a2"], "a3"),  # parries
        ("connect4", ["4", "1", "4", "1", "4", "1"], "4"),  # wins, where the opponent would win next
        ("connect4", ["4", "1", "4", "1", "4"], "4"),  # parries
    ],
)
def test_rollout_sees_what_is_one_move_away(game: str, moves: list[str], expected: str):
    position = position_after(game, moves)
    player = make_player("rollout:400", position.game)
    assert position.game.action_to_text(position.state, player.choose(position)) == expected


def test_search_goes_on_in_its_tree_where_the_position_follows():
    position = Position(load("connect4"))
    evaluate = Material(7)
    player = SearchPlayer("x", position.game, evaluate, 100)
    position.play(player.choose(position))
    fresh = evaluate.positions
    assert fresh == 101  # the root, and a leaf a simulation
    reply = player.think(position).variations[0].action
    topped_up = evaluate.positions - fresh
    assert 0 < topped_up < 90  # much of it was searched before
    assert player.choose(position) == reply
    assert evaluate.positions == fresh + topped_up  # nothing is left to search
    position.play(reply)
    player.choose(position)
    assert 0 < evaluate.positions - fresh - topped_up < 90


def test_search_starts_afresh_where_the_position_does_not_follow():
    game = load("connect4")
    first, other = position_after(game, ["4", "4"]), position_after(game, ["4", "3"])
    evaluate = Material(7)
    player = SearchPlayer("x", game, evaluate, 50)
    player.choose(first)
    before = evaluate.positions
    player.choose(other)
    fresh = Material(7)
    SearchPlayer("x", game, fresh, 50).choose(other)
    assert evaluate.positions - before == fresh.positions > 40  # a few simulations see the end, and ask nobody
    other.undo()
    twin = SearchPlayer("x", game, Material(7), 50)
    assert player.think(other).variations == twin.think(other).variations


def test_analysis_is_sorted_and_adds_up():
    position = position_after("tictactoe", ["a1", "b2", "a2", "c3"])
    player = make_player("rollout:200", position.game)
    assert isinstance(player, Thinker)
    candidates = player.think(position).variations
    assert candidates[0].action == player.choose(position)
    assert candidates[0].value == 1.0  # a3 wins: proven
    assert sorted(c.action for c in candidates) == position.legal_actions()
    assert sum(c.prior for c in candidates) == pytest.approx(1, abs=1e-6)


def test_policy_player_takes_the_likeliest_legal_action():
    game = load("connect4")
    full = position_after(game, ["7"] * 6)
    player = PolicyPlayer("x", game, Material(7))
    assert player.choose(Position(game)) == 6
    assert player.choose(full) == 5
    candidates = player.think(full).variations
    assert [c.action for c in candidates] == [5, 4, 3, 2, 1, 0]
    assert sum(c.prior for c in candidates) == pytest.approx(1, abs=1e-6)


def test_exact_never_loses_tictactoe():
    game = load("tictactoe")
    exact, other = make_player("exact", game), make_player("random", game, seed=3)
    for game_number in range(30):
        position, side = Position(game), game_number % 2
        while not position.is_over:
            position.play((exact if position.player == side else other).choose(position))
        assert position.outcome != 1 - side


def test_exact_plays_any_of_the_best_moves_and_repeats_with_its_seed():
    game = load("tictactoe")
    position = position_after(game, ["b2"])

    def played(seed: int) -> list[str]:
        player = make_player("exact", game, seed=seed)
        return [game.action_to_text(position.state, player.choose(position)) for _ in range(40)]

    assert set(played(1)) == {"a1", "a3", "c1", "c3"}  # an edge loses
    assert played(1) == played(1) != played(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rolout:100", r"no player 'rolout:100' \(did you mean rollout\?\).*expected one of random, rollout"),
        ("rollout:many", "rollout: expected a number of playouts from 1 to 1000000, got 'many'"),
        ("rollout:0", "from 1 to 1000000, got '0'"),
        ("rollout:²", "from 1 to 1000000"),
        ("", "no player ''"),
        ("no/such/file", "no player 'no/such/file'"),
        ("raw:no/such/file", "no/such/file: no such checkpoint"),
    ],
)
def test_what_is_no_player_is_said(text: str, message: str):
    with pytest.raises(GameError, match=message) as caught:
        make_player(text, load("connect4"))
    assert "\n" not in str(caught.value)


def test_exact_says_where_it_has_no_solver():
    with pytest.raises(GameError, match=r"exact: hex:size=4 has no solver; expected one of random"):
        make_player("exact", load("hex:4"))


def test_options_reach_the_player():
    game = load("connect4")
    player = make_player('rollout:300 temperature=0.5 seed=4 name="Ada L."', game, simulations=9, seed=5)
    assert isinstance(player, SearchPlayer)
    assert player.name == "Ada L."
    assert player.limit == Limit(300, None)
    assert (player._temperature, player._seed) == (0.5, 4)
    assert make_player("rollout", game, simulations=9).name == "rollout:9"
    assert make_player("rollout", game).name == "rollout:500"
    timed = make_player("rollout seconds=0.5", game, simulations=9)
    assert isinstance(timed, SearchPlayer)
    assert timed.limit == Limit(None, 0.5)
    assert timed.name == "rollout, 0.5 s"
    both = make_player("rollout", game, simulations=9, seconds=2)
    assert isinstance(both, SearchPlayer)
    assert both.limit == Limit(9, 2)
    assert make_player(parse("alphabeta depth=2"), game).name == "alphabeta:2"
    seeded = [make_player("random seed=8", game, seed=seed).choose(Position(game)) for seed in range(20)]
    assert len(set(seeded)) == 1


def test_the_shipped_nets_options_and_its_policy_alone():
    game = load("connect4")
    assert isinstance(make_player("raw", game), PolicyPlayer)
    assert make_player("raw", game).name == make_player("raw:shipped", game).name
    assert isinstance(make_player("shipped simulations=0", game), PolicyPlayer)
    limited = make_player("shipped simulations=32 seconds=1", game)
    assert isinstance(limited, SearchPlayer)
    assert limited.limit == Limit(32, 1.0)
    assert limited.name.endswith("32 simulations or 1 s")
    timed = make_player("shipped seconds=1.5", game)
    assert isinstance(timed, SearchPlayer)
    assert timed.limit == Limit(None, 1.5)
    texts = ("shipped simulations=60", "shipped simulations=60 c_puct=0.5", "shipped simulations=60 c_puct=20")
    own, same, wide = (make_player(text, game) for text in texts)
    position = Position(game)
    thinkers = [player for player in (own, same, wide) if isinstance(player, Thinker)]
    tried = [[(c.action, c.visits) for c in player.think(position).variations] for player in thinkers]
    assert tried[0] == tried[1] != tried[2]


def test_a_network_is_run_by_what_its_text_says(monkeypatch):
    game, made = load("connect4"), []
    make = loaded_network.make_evaluator

    def watched(*arguments):
        made.append(make(*arguments).backend)
        return make(*arguments)

    monkeypatch.setattr(loaded_network, "make_evaluator", watched)
    for text in ("raw backend=torch-f32", "shipped backend=torch-f32 simulations=5"):
        assert make_player(text, game).choose(Position(game)) == 3
    assert made == ["torch-f32", "torch-f32"]
    with pytest.raises(GameError, match=r"backend abacus is none of Keima's: expected one of torch-f32, "):
        make_player("shipped backend=abacus", game)


def test_default_is_random_playouts_without_a_net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    player, introduction = default_player(load("hex:4"))
    assert player.name == "rollout:500"
    assert "no net of hex under runs/" in introduction
    assert "keima train hex:size=4" in introduction
