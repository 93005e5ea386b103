"""The public face: what is computed is what the rooms compute, in text and for the side to move; bad input is said."""

import numpy as np
import pytest
import torch

import keima
from keima.agent.records.record import RESULTS
from tests.paths import ROOT


@pytest.fixture(scope="module")
def net():
    return keima.load_net("connect4")


def test_a_net_knows_what_it_is(net):
    assert net.game == keima.load_game("connect4")
    assert net.metadata.game == "connect4"
    assert net.path.name == "connect4.safetensors"
    assert str(net.metadata.step) in net.name


def test_an_evaluation_is_a_distribution_over_legal_moves(net):
    full_column = keima.position_after("connect4", ["4"] * 6)
    wins = keima.position_after("connect4", ["4", "1", "4", "1", "4", "1"])  # three in a column each
    told = keima.evaluate(net, [full_column, wins])
    assert told.policy.shape == (2, 7)
    assert told.wdl.shape == (2, 3)
    np.testing.assert_allclose(told.policy.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(told.wdl.sum(1), 1, atol=1e-3)
    assert told.policy[0, 3] == 0
    assert set(told.policy[1].argsort()[-2:]) == {0, 3}  # to win, or to stop the other
    one = keima.evaluate(net, wins)
    np.testing.assert_allclose(one.policy[0], told.policy[1], atol=0.02)


def test_values_are_those_of_the_side_to_move(net):
    """The first player wins from the empty board, by the middle column."""
    told = keima.evaluate(net, [keima.position_after("connect4", moves) for moves in ([], ["4"])])
    assert told.value[0] > 0.3
    assert told.value[1] < -0.3


@pytest.mark.parametrize("simulations", [16, 200])
def test_a_search_finds_a_win_and_says_so(net, simulations):
    position = keima.position_after("connect4", ["4", "1", "4", "1", "4", "1"])
    found = keima.search(net, position, simulations=simulations)
    assert found.best.text == "4"
    assert position.game.action_to_text(position.state, found.best.action) == "4"
    assert found.best.value == 1
    assert found.best.proven
    assert found.best.variation == ("4",)
    assert len(found.moves) == 7
    assert found.wdl is not None
    assert sum(found.wdl) == pytest.approx(1, abs=1e-3)
    assert position.moves_text() == ["4", "1", "4", "1", "4", "1"]  # left as it was


def test_a_search_may_be_limited_by_time(net):
    assert keima.search(net, keima.position_after("connect4", []), seconds=0.05).visits > 0


def test_values_of_moves_are_those_of_the_side_to_move():
    """O must stop X at a3: whatever else O plays loses at once."""
    found = keima.search("rollout:400", keima.position_after("tictactoe", ["a1", "b2", "a2"]))
    assert found.best.text == "a3"
    assert min(move.value for move in found.moves if move.value is not None) < -0.5 < found.best.value


def test_a_search_without_a_net():
    position = keima.position_after("tictactoe", ["a1", "b2", "a2", "c2"])
    found = keima.search("rollout:200", position)
    assert found.best.text == "a3"
    assert found.wdl is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: keima.search("exact", keima.position_after("tictactoe", [])), "says what it thinks of moves"),
        (
            lambda net: keima.search(net, keima.position_after("tictactoe", [])),
            "a position of connect4, got one of tic",
        ),
        (lambda net: keima.evaluate(net, keima.position_after("connect4", list("4141414"))), "where it is over"),
        (lambda net: keima.evaluate(net, []), "at least one position"),
        (lambda net: keima.load_net("connect5"), "unknown game 'connect5'"),
        (lambda net: keima.load_net("tictactoe", "nowhere.safetensors"), "no such checkpoint"),
        (lambda net: keima.play_match("tictactoe", "random", "rollout:5", games=3), "expected an even number"),
        (lambda net: keima.play_match("tictactoe", "random", "random", games=2), "two players that differ"),
        (lambda net: keima.rate([("a", "b", "2-0")]), "expected one of 1-0, 0-1, 1/2-1/2, got '2-0'"),
        (lambda net: keima.read_record("nowhere.keima.txt"), "no such file"),
    ],
)
def test_what_cannot_be_done_is_said(net, call, message):
    with pytest.raises(keima.GameError, match=message.replace("(", r"\(")):
        call(net)


def test_a_match_is_counted_for_the_first_named_player(net):
    threads = torch.get_num_threads()
    match = keima.play_match("connect4", "shipped simulations=8 name=net", "random", games=6, seed=2)
    assert match.names == ("net", "random")
    assert (match.wins, match.draws, match.losses, match.score) == (6, 0, 0, 1)
    assert torch.get_num_threads() == threads
    assert [first for first, _, _ in match.results] == ["net", "random"] * 3
    for record in match.records:
        assert record.result == RESULTS[record.position().outcome]
        assert record.setup == 4
    openings = [record.actions[:4] for record in match.records]
    assert openings[0] == openings[1] != openings[2]
    again = keima.play_match("connect4", "shipped simulations=8 name=net", "random", games=6, seed=2)
    assert [record.actions for record in again.records] == [record.actions for record in match.records]
    other_way_round = keima.play_match("connect4", "random", "shipped simulations=8", games=2, opening_plies=0)
    assert other_way_round.score == 0


def test_ratings_of_a_match_follow_the_score():
    match = keima.Match(("a", "b"), ())
    assert (match.wins, match.draws, match.losses) == (0, 0, 0)
    results = [("a", "b", "1-0")] * 30 + [("b", "a", "1-0")] * 10 + [("b", "a", "1/2-1/2")] * 4
    ratings = keima.rate(results, anchors={"b": 500})
    assert ratings["b"].elo == 500
    assert ratings["a"].elo > 500
    assert ratings["a"].low < ratings["a"].elo < ratings["a"].high
    assert (ratings["a"].wins, ratings["a"].draws, ratings["a"].losses) == (30, 4, 10)


def test_a_record_is_read_as_it_was_written(tmp_path):
    match = keima.play_match("tictactoe", "rollout:20", "random", games=2, opening_plies=0)
    for number, record in enumerate(match.records):
        keima.write_record(record, tmp_path / f"{number}.keima.txt")
        read = keima.read_record(tmp_path / f"{number}.keima.txt", "tictactoe")
        assert read.actions == record.actions
        assert read.players == record.players
        assert read.result == record.result
    with pytest.raises(keima.GameError, match="othello"):
        keima.read_record(tmp_path / "0.keima.txt", "othello")


def test_a_game_of_ones_own_goes_by_its_path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text((ROOT / "games" / "tictactoe.py").read_text())
    game = keima.load_game(str(path))
    assert game.name == "mine"
    match = keima.play_match(game, "rollout:20", "random", games=2)
    keima.write_record(match.records[0], tmp_path / "game.keima.txt")
    with pytest.raises(keima.GameError, match="mine"):
        keima.read_record(tmp_path / "game.keima.txt")
    assert keima.read_record(tmp_path / "game.keima.txt", str(path)).actions == match.records[0].actions
