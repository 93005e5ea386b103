"""Principal variations, against a naive twin on the twin of the search."""

import pytest

from keima import games
from keima.games.contract import DRAW, ONGOING
from keima.games.position import position_after
from keima.mcts.rollout import RolloutEvaluator
from keima.mcts.search import Search, SearchSettings
from tests.mcts.naive import NaiveSearch, Node
from tests.mcts.test_search import HashEvaluator, random_states


def naive_best(twin: NaiveSearch, node: Node) -> int | None:
    """The action that the node's player would choose; None where none was tried."""
    if node.won_at_once:
        return twin.wins_at_once(node, whatever_is_known=True)[0]
    tried = [a for a in node.actions if node.visits[a]]
    won = [a for a in node.actions if twin.result_of(node, a) == node.player]
    if won or not tried:
        return won[0] if won else None
    if node.result == DRAW:
        tried = [a for a in tried if twin.result_of(node, a) == DRAW]
    elif node.result != 1 - node.player:
        tried = [a for a in tried if not twin.avoided(node, a)]
    return max(tried, key=lambda a: (node.visits[a], twin.q(node, a)), default=None)


def naive_variation(twin: NaiveSearch, action: int) -> tuple[int, ...]:
    line, node = [action], twin.root.children.get(action)
    while node is not None and (best := naive_best(twin, node)) is not None:
        line.append(best)
        node = node.children.get(best)
    return tuple(line)


@pytest.mark.parametrize("root_policy", ["puct", "gumbel"])
@pytest.mark.parametrize(
    ("name", "longest", "simulations"),
    [("tictactoe", 6, 80), ("connect4", 34, 120), ("othello:4", 9, 60)],
    ids=lambda x: str(x),
)
def test_agrees_with_the_naive_twin(name, longest, simulations, root_policy):
    game = games.load(name)
    states = random_states(game, 20, seed=4, longest=longest)
    evaluator = HashEvaluator(game)
    settings = SearchSettings(simulations, root_policy, leaves_per_batch=3)
    search = Search(game, settings, len(states), seed=3)
    search.start(states)
    search.run(evaluator)
    proven = 0
    for b, state in enumerate(states):
        legal = [int(a) for a in game.legal(state)]
        noise = dict(zip(legal, search._forest.root_noise[b].tolist(), strict=False))
        twin = NaiveSearch(game, settings, state, noise)
        twin.run(lambda s: evaluator.judge(game.planes(s)))
        expected = [naive_variation(twin, a) for a in legal]
        assert search.variations(b) == expected
        assert search.variations(b, longest=2) == [line[:2] for line in expected]
        proven += twin.root.result != ONGOING
    if name != "connect4":
        assert proven > 2  # lines through what is proven were among them


def test_a_variation_goes_on_after_its_first_move_was_played():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=400), seed=1)
    search.start(game.new_state()[None])
    search.run(HashEvaluator(game))
    lines = dict(zip(search.root().actions.tolist(), search.variations(), strict=True))
    line = lines[int(search.chosen_actions()[0])]
    assert len(line) > 3
    search.advance(line[0])
    assert line[1:] in search.variations()


def test_the_winning_line_is_told_to_its_end():
    position = position_after("connect4", ["4", "1", "4", "1", "4", "1"])
    search = Search(position.game, SearchSettings(simulations=100))
    search.start(position.state[None])
    search.run(RolloutEvaluator(position.game))
    assert (3,) in search.variations()


def test_what_was_never_tried_is_told_alone():
    game = games.load("connect4")
    search = Search(game, SearchSettings(simulations=1))
    search.start(game.new_state()[None])
    assert search.variations() == [(a,) for a in range(7)]
    assert not search.is_evaluated()
    assert search.visits() == 0
    search.run(HashEvaluator(game))
    assert search.is_evaluated()
    assert search.visits() == 1
    assert sorted(map(len, search.variations())) == [1] * 7
