"""Explanations: true by exact solvers, for both sides, and in sentences that say what was found."""

import numpy as np
import pytest
import torch

from keima.agent.analysis.evaluation import find_positions, read_positions
from keima.agent.analysis.explain import (
    WORDS,
    explain_move,
    explain_position,
    judge_move,
    move_in_words,
    position_in_words,
)
from keima.agent.contracts.thinking import Limit, PrincipalVariation, SearchInfo, Thinker
from keima.agent.players.factory import make_player
from keima.agent.players.policy_player import PolicyPlayer
from keima.agent.players.search_player import SearchPlayer
from keima.agent.solvers import find_solver
from keima.games import load
from keima.games.contract import DRAW, GameError
from keima.games.position import Position, position_after
from keima.mcts.evaluator import Evaluate

CONNECT4 = load("connect4")
TICTACTOE = load("tictactoe")
SIMULATIONS = 300
"""For the shipped net's explanations here; where nothing is asked for, explanations take more."""


def sign(number: float) -> int:
    return int(np.sign(number))


class Exact(Thinker):
    """A thinker that knows: exact values, and lines of best play to the end."""

    name = "exact"

    def __init__(self, game):
        self.solver = find_solver(game)

    def line(self, position: Position, action: int) -> tuple[int, ...]:
        twin = position.copy()
        twin.play(action)
        return (action, *(() if twin.is_over else self.line(twin, self.solver.best_actions(twin.state)[0])))

    def think(self, position, limit=None, *, should_stop=None, report=None):
        scores = sorted(self.solver.scores(position.state), key=lambda pair: -pair[1])
        lines = tuple(
            PrincipalVariation(
                action, 10, float(sign(score)), 1 / len(scores), self.line(position, action), proven=True
            )
            for action, score in scores
        )
        return SearchInfo(lines, 10 * len(lines), 0.0, lines[0].value, None, ((0, lines[0].action),))

    def choose(self, position):
        return self.solver.best_actions(position.state)[0]

    def pick(self, info):
        return info.variations[0].action


def test_every_move_is_judged_as_it_is():
    """By exact knowledge of tic-tac-toe: cost, refutation and what is forced, for either side."""
    exact, random, judged, costly = Exact(TICTACTOE), np.random.default_rng(3), 0, [0, 0]
    for _ in range(25):
        position = Position(TICTACTOE)
        for _ in range(random.integers(7)):
            if not position.is_over:
                position.play(int(random.choice(position.legal_actions())))
        scores = dict(exact.solver.scores(position.state))
        for action, score in scores.items():
            judgement = judge_move(exact, position, action)
            others = [other for a, other in scores.items() if a != action]
            expected = 50 * max(0, sign(max(others)) - sign(score)) if others else 0
            assert judgement.cost == pytest.approx(expected)
            assert (judgement.word == "fine") == (expected == 0)
            outcome = DRAW if score == 0 else (position.player if score > 0 else 1 - position.player)
            assert judgement.forced == outcome
            twin = position.copy()
            for move in (action, *judgement.reply):
                twin.play(move)
            assert twin.outcome == outcome  # the line told keeps the result, to the end
            told = move_in_words(judgement)
            assert ("It is refuted by" in told) == (expected > 0)
            assert ("Better is" in told) == (expected > 0)
            costly[position.player] += expected > 0
            judged += 1
    assert judged > 100
    assert min(costly) > 5


def test_the_last_move_is_the_one_explained_unless_another_is_named():
    exact = Exact(TICTACTOE)
    position = position_after(TICTACTOE, ["b2", "a2"])
    assert judge_move(exact, position).action == judge_move(exact, position_after(TICTACTOE, ["b2"]), 3).action
    assert position.moves_text() == ["b2", "a2"]
    assert explain_move(exact, position) == explain_move(exact, position_after(TICTACTOE, ["b2"]), 3)


def test_a_blunder_in_sentences():
    """After X in the middle O takes an edge, which loses."""
    text = explain_move(Exact(TICTACTOE), position_after(TICTACTOE, ["b2", "a2"]))
    assert text.splitlines()[0] == (
        "O's a2 is a blunder: it costs 50 percentage points of O's expected score, 50 % before it, 0 % after."
    )
    assert text.splitlines()[1].startswith("It is refuted by X ")
    assert text.splitlines()[1].endswith(", and X wins by force.")
    assert text.splitlines()[2].startswith("Better is O ")
    assert text.splitlines()[2].endswith(", and a draw is forced.")


def test_a_move_that_ends_the_game_in_sentences():
    exact = Exact(TICTACTOE)
    won = position_after(TICTACTOE, ["a1", "b2", "a2", "c3", "a3"])
    assert explain_move(exact, won).splitlines()[0] == "X's a3 wins the game."
    drawn = position_after(TICTACTOE, ["b2", "a1", "a2", "c2", "b1", "b3", "c3", "a3", "c1"])
    assert explain_move(exact, drawn) == "X's c1 was the only move; X's expected score is 50 %."
    assert explain_position(exact, won) == "The game is over: X wins."
    assert explain_position(exact, drawn) == "The game is over: the game is drawn."


def thoughts_of(position: Position, values: dict[int, tuple[int, float, float]], **facts) -> SearchInfo:
    """SearchInfo with lines of action: (visits, value, prior), the best first."""
    lines = tuple(PrincipalVariation(a, visits, value, prior, (a,)) for a, (visits, value, prior) in values.items())
    visits = sum(line.visits for line in lines)
    return SearchInfo(lines, visits, 1.0, lines[0].value, **{"wdl": None, "changes": ((0, lines[0].action),), **facts})


def test_a_position_in_sentences():
    position = position_after(CONNECT4, ["4"])
    values = {3: (70, 0.2, 0.3), 2: (20, -0.1, 0.6), 4: (10, -0.5, 0.1)}
    changes = ((0, 2), (12, 4), (40, 3))
    text = position_in_words(position, thoughts_of(position, values, wdl=(0.5, 0.3, 0.2), changes=changes))
    assert text.splitlines() == [
        "The net alone gives O, to move, 50 % to win, 30 % to draw and 20 % to lose.",
        "After 100 simulations the expected score of O, to move, is 60 %; best is O 4.",
        "Next come O 3 (45 %) and O 5 (25 %).",
        "Before any search the net's first choice was O 3 (60 %); O 4 had 30 %.",
        "In 100 simulations the search changed its mind 2 times: after 12 to O 5 and after 40 to O 4.",
    ]


def test_a_search_that_kept_to_its_first_thought_and_one_that_dithered():
    position = Position(CONNECT4)
    kept = position_in_words(position, thoughts_of(position, {3: (1, 0.0, 0.9), 2: (0, None, 0.1)}))
    assert kept.splitlines()[-1] == "The search kept to X 4 from the first to the last of its 1 simulation."
    changes = ((0, 3), *((visits, 2 + visits % 2) for visits in range(1, 8)))
    often = position_in_words(position, thoughts_of(position, {3: (9, 0.0, 0.9), 2: (1, 0.0, 0.1)}, changes=changes))
    assert "changed its mind 7 times: at last after 4 to X 3, after 5 to X 4, after 6 to X 3" in often


def test_shares_are_not_rounded_to_certainty():
    position = Position(CONNECT4)
    text = position_in_words(position, thoughts_of(position, {3: (9, 0.995, 0.999), 2: (1, -0.999, 0.001)}))
    assert "is over 99 %" in text
    assert "X 3 (under 1 %)" in text


@pytest.mark.parametrize(
    ("cost", "word"), [(0, "fine"), (4.9, "fine"), (5.1, "an inaccuracy"), (10.1, "a mistake"), (20.1, "a blunder")]
)
def test_words_follow_the_cost_from_either_side(cost, word):
    class Scripted(Exact):
        def think(self, position, limit=None, *, should_stop=None, report=None):
            # After the worse move the opponent stands better by the cost; of value +-1, so 2 for 100 points.
            value = 0.02 * cost if position.actions and position.actions[-1] == 0 else 0.0
            return thoughts_of(position, dict.fromkeys(position.legal_actions(), (5, value, 0.1)))

    for moves in ([], ["4"]):
        judgement = judge_move(Scripted(TICTACTOE), position_after(CONNECT4, moves), 0)
        assert judgement.cost == pytest.approx(cost)
        assert judgement.word == word
        assert ("It is refuted by" in move_in_words(judgement)) == (word in ("a mistake", "a blunder"))
        assert ("Better is" in move_in_words(judgement)) == (word != "fine")
    assert [points for points, _ in WORDS] == [20.0, 10.0, 5.0]


def test_what_cannot_be_explained_is_said():
    exact = Exact(TICTACTOE)
    with pytest.raises(GameError, match="none has been made"):
        judge_move(exact, Position(TICTACTOE))
    with pytest.raises(GameError, match="action 4 is not legal here"):
        judge_move(exact, position_after(TICTACTOE, ["b2"]), 4)
    with pytest.raises(GameError, match="stopped"):
        judge_move(exact, position_after(TICTACTOE, ["b2"]), should_stop=lambda: True)


def test_players_without_search_or_net_explain_too():
    position = position_after(CONNECT4, ["4", "1", "4", "1", "4", "2"])  # O does not stop the fourth
    told = explain_move(make_player("rollout:100", CONNECT4), position)
    assert "O's 2 is a blunder" in told
    assert "It is refuted by X 4, and X wins by force." in told
    assert "the net's" not in told
    logits = np.eye(7, dtype=np.float32)[3]
    policy = PolicyPlayer(
        "x", CONNECT4, lambda planes: (np.tile(logits, (len(planes), 1)), np.zeros(len(planes), np.float32))
    )
    told = explain_move(policy, position)
    assert told.splitlines()[-1] == "Before any search the net's first choice was O 4 (31 %); O 2 had 11 %."


def test_the_tree_ends_up_where_the_game_goes_on():
    class Flat(Evaluate):
        positions = 0

        def __call__(self, planes):
            self.positions += len(planes)
            return np.zeros((len(planes), 7), np.float32), np.zeros(len(planes), np.float32)

    evaluate = Flat()
    player = SearchPlayer("x", CONNECT4, evaluate, 100)
    position = position_after(CONNECT4, ["4", "3"])
    judge_move(player, position, limit=Limit(100))
    searched = evaluate.positions
    player.choose(position)
    assert evaluate.positions == searched


def test_blunders_are_explained_truly_by_the_shipped_net(sized):
    """On positions in which a move throws the exact value away: the named reply refutes it, and it costs.

    Of such moves the one that loses least, which is the hardest to refute.
    """
    torch.set_num_threads(1)
    solver, player = find_solver(CONNECT4), make_player("shipped", CONNECT4)
    assert solver is not None
    positions = [
        scored
        for scored in read_positions(find_positions(None, CONNECT4), CONNECT4)
        if len({sign(score) for score in scored.scores.values()}) > 1
    ][: sized(50, 20)]
    refuted = costly = 0
    for scored in positions:
        position = Position(CONNECT4)
        for action in scored.actions:
            position.play(action)
        best = sign(max(scored.scores.values()))
        thrown = max((s, a) for a, s in scored.scores.items() if sign(s) < best)[1]
        position.play(thrown)
        judgement = judge_move(player, position, limit=Limit(SIMULATIONS))
        after = position.copy()
        after.play(judgement.reply[0])
        refuted += sign(solver.score(after.state)) < best  # the mover is to move again
        costly += judgement.cost > 0
    assert len(positions) == sized(50, 20)
    # Networks differ in their last bits from machine to machine: not all of them everywhere.
    assert refuted >= sized(47, 19)
    assert costly >= sized(47, 19)
