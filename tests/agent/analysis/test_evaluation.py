"""Positions with exact scores, read, made and asked; and all lines of a small game."""

from pathlib import Path

import numpy as np
import pytest

from keima.agent.analysis.evaluation import (
    ScoredPosition,
    evaluate_positions,
    find_positions,
    losing_lines,
    random_positions,
    read_positions,
    wilson_interval,
    write_positions,
)
from keima.agent.solvers.connect4 import Connect4Solver
from keima.agent.solvers.exhaustive import ExhaustiveSolver
from keima.games import load
from keima.games.contract import DRAW, ONGOING, PLAYER, GameError
from keima.games.position import Position, position_after
from tests.paths import DATA, ROOT

SAMPLE = DATA / "connect4_sample.txt"
FRESH = DATA / "connect4_fresh.txt"
SHIPPED = ROOT / "keima" / "configs" / "positions" / "connect4.txt"
JUDGING = ROOT / "keima" / "configs" / "positions" / "connect4_judging.txt"
CONNECT4 = load("connect4")
TICTACTOE = load("tictactoe")


def choose_by(action_of):
    """A player of many positions from one of a single position."""
    return lambda states: np.array([action_of(state) for state in states])


def same(some: list[ScoredPosition], others: list[ScoredPosition]) -> bool:
    return [(p.actions, p.state.tolist(), p.scores) for p in some] == [
        (p.actions, p.state.tolist(), p.scores) for p in others
    ]


def boards(positions: list[ScoredPosition]) -> set[bytes]:
    return {CONNECT4.board(position.state).tobytes() for position in positions}


def mirrored_boards(positions: list[ScoredPosition]) -> set[bytes]:
    return {CONNECT4.board(position.state)[:, ::-1].tobytes() for position in positions}


# --- files


def test_positions_are_named_by_their_path_or_what_they_are_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_positions("connect4", CONNECT4) == SHIPPED
    assert find_positions("connect4_judging", CONNECT4) == JUDGING
    assert len(read_positions(JUDGING, CONNECT4)) == 2000
    assert find_positions("nosuch", CONNECT4) == Path("nosuch")
    with pytest.raises(GameError, match="these are positions of connect4, expected positions of othello"):
        find_positions("connect4_judging", load("othello"))
    Path("connect4").touch()  # one's own comes first
    assert find_positions("connect4", CONNECT4) == Path("connect4")


def test_a_line_may_be_a_position(tmp_path):
    path = tmp_path / "positions.txt"
    path.write_text('"XO./XO./... X" x x 0 x x 0 1 0 0\nb2,a1 0 0 0 0 x 0 x 0 0\n')
    board, moves = read_positions(path, TICTACTOE)
    assert (board.start_text, board.actions) == ("XO./XO./... X", ())
    assert [action for action in board.scores if board.is_optimal(action)] == [6]
    assert (moves.start_text, len(moves.actions)) == ("", 2)
    written = tmp_path / "written.txt"
    write_positions(written, TICTACTOE, [board, moves])
    assert written.read_text() == path.read_text()
    path.write_text('"XO./XO./.. X" x x 0 x x 0 1 0 0\n')
    with pytest.raises(GameError, match=r"positions.txt, line 1: position .*: expected 3 cells in row 3"):
        read_positions(path, TICTACTOE)
    path.write_text('"XO./XO./... X 0 0\n')
    with pytest.raises(GameError, match="expected a position between two quotation marks"):
        read_positions(path, TICTACTOE)


def test_the_sample_is_read():
    positions = read_positions(SAMPLE, CONNECT4)
    assert len(positions) == 400
    first = positions[0]
    assert first.actions == tuple(int(column) - 1 for column in "145773277725")
    assert (first.state == position_after(CONNECT4, list("145773277725")).state).all()
    assert first.scores == {0: 3, 1: 4, 2: 0, 3: 0, 4: 1, 5: -2, 6: 0}
    assert [a for a in first.scores if first.is_optimal(a)] == [1]
    assert [a for a in first.scores if first.keeps_value(a)] == [0, 1, 4]
    assert set(read_positions(SAMPLE, CONNECT4)[4].scores) == {0, 1, 2, 3, 4, 6}  # column 6 is full


def test_a_drawn_position_keeps_its_value_by_a_draw_alone():
    position = ScoredPosition((), CONNECT4.new_state(), {0: -2, 1: 0, 2: 0})
    assert [position.keeps_value(a) for a in range(3)] == [False, True, True]
    lost = ScoredPosition((), CONNECT4.new_state(), {0: -2, 1: -7})
    assert [position.keeps_value(a) for position in (lost,) for a in range(2)] == [True, True]
    assert [lost.is_optimal(a) for a in range(2)] == [True, False]


def test_comments_and_empty_lines_are_passed_over(tmp_path):
    path = tmp_path / "positions.txt"
    path.write_text("# made by hand\n\n145773277725 3 4 0 0 1 -2 0\n   \n- -2 -1 0 1 0 -1 -2\n")
    positions = read_positions(path, CONNECT4)
    assert [len(position.actions) for position in positions] == [12, 0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("145773277725 3 4 0 0 1 -2", "expected the moves and 7 scores, got 6 scores"),
        ("145773277725", "expected the moves and 7 scores, got 0 scores"),
        ("145773277725 3 4 0 zero 1 -2 0", "expected a whole number as score 4 of 7, got 'zero'"),
        ("145773277725 3 4 0 x 1 -2 0", "expected a whole number as score 4 of 7, got 'x'"),
        ("7777771 3 4 0 0 1 -2 0", "expected x as score 7 of 7, for that move is not legal; got '0'"),
        ("1457738 3 4 0 0 1 -2 0", "move 7 of 1457738: illegal move '8': expected one of 1, 2, 3, 4, 5, 6, 7"),
        ("77777771 3 4 0 0 1 -2 x", "move 7 of 77777771: illegal move '7': expected one of 1, 2, 3, 4, 5, 6"),
        ("1212121 0 0 0 0 0 0 0", "expected a position to move in, but the game is over after 1212121"),
        ("12121213 0 0 0 0 0 0 0", "move 8 of 12121213: illegal move '3': expected one of no move (the game is over)"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line: str, message: str):
    path = tmp_path / "positions.txt"
    path.write_text(f"# a comment\n145773277725 3 4 0 0 1 -2 0\n{line}\n")
    with pytest.raises(GameError) as caught:
        read_positions(path, CONNECT4)
    assert str(caught.value) == f"{path}, line 3: {message}"


def test_a_file_that_is_none_is_one_line(tmp_path):
    with pytest.raises(GameError, match=r"missing\.txt: expected a file of positions, but No such file or directory"):
        read_positions(tmp_path / "missing.txt", CONNECT4)
    with pytest.raises(GameError, match="expected a file of positions, but Is a directory"):
        read_positions(tmp_path, CONNECT4)
    (tmp_path / "binary").write_bytes(bytes(range(128, 256)))
    with pytest.raises(GameError, match="expected a file of positions, but it is not text"):
        read_positions(tmp_path / "binary", CONNECT4)
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(GameError, match="expected a position a line, got none"):
        read_positions(tmp_path / "empty", CONNECT4)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "positions.txt"
    sample = read_positions(SAMPLE, CONNECT4)
    write_positions(path, CONNECT4, sample)
    assert path.read_text() == SAMPLE.read_text()
    made = random_positions(TICTACTOE, ExhaustiveSolver(TICTACTOE), 40, seed=3, min_plies=0, max_plies=6)
    write_positions(path, TICTACTOE, made, "two lines\nof comment")
    assert path.read_text().startswith("# two lines\n# of comment\n")
    assert same(read_positions(path, TICTACTOE), made)


def test_moves_of_several_characters_have_commas_between_them(tmp_path):
    path = tmp_path / "positions.txt"
    solver = ExhaustiveSolver(TICTACTOE)
    position = position_after(TICTACTOE, ["b2", "a2"])
    scored = ScoredPosition(tuple(position.actions), position.state, dict(solver.scores(position.state)))
    write_positions(path, TICTACTOE, [scored])
    assert path.read_text() == "b2,a2 1 1 1 x x 0 1 1 1\n"  # the reply opposite gives the win away
    single = position_after(TICTACTOE, ["b2"])
    path.write_text("b2 0 -1 0 -1 x -1 0 -1 0\n")
    assert (read_positions(path, TICTACTOE)[0].state == single.state).all()


# --- making positions


def test_random_positions_are_those_where_it_matters():
    solver = ExhaustiveSolver(TICTACTOE)
    made = random_positions(TICTACTOE, solver, 100, seed=1, min_plies=1, max_plies=5)
    assert len({position.state.tobytes() for position in made}) == 100
    assert {len(position.actions) for position in made} == {1, 2, 3, 4, 5}
    for position in made:
        assert position.scores == dict(solver.scores(position.state))
        assert len(set(position.scores.values())) > 1
        afterwards = [TICTACTOE.after(position.state, action) for action in position.scores]
        assert position.state[PLAYER] not in [TICTACTOE.outcome(state) for state in afterwards]
    again = random_positions(TICTACTOE, solver, 100, seed=1, min_plies=1, max_plies=5)
    assert same(made, again)
    assert not same(made, random_positions(TICTACTOE, solver, 100, seed=2, min_plies=1, max_plies=5))


def test_random_positions_say_when_there_are_too_few():
    with pytest.raises(GameError, match="tictactoe: expected 1 positions that matter, found 0 and no more"):
        random_positions(TICTACTOE, ExhaustiveSolver(TICTACTOE), 1, seed=1, min_plies=0, max_plies=0)


def test_shipped_positions_are_exact_and_none_of_the_sample():
    shipped = read_positions(SHIPPED, CONNECT4)
    sample = read_positions(SAMPLE, CONNECT4)
    assert len(shipped) == len(boards(shipped)) == 300
    assert not boards(shipped) & (boards(sample) | mirrored_boards(sample))
    solver = Connect4Solver()
    for position in shipped:
        assert len({np.sign(score) for score in position.scores.values()}) > 1
        if len(position.actions) >= 13:  # the others take a minute
            assert dict(solver.scores(position.state)) == position.scores


def test_shipped_positions_are_what_their_comment_says():
    comment = "".join(line for line in SHIPPED.read_text().splitlines() if line.startswith("#"))
    assert "seed=20240, min_plies=9, max_plies=34" in comment
    made = random_positions(CONNECT4, Connect4Solver(), 5, seed=20240, min_plies=9, max_plies=34)
    assert same(made, read_positions(SHIPPED, CONNECT4)[:5])


# --- measuring


def test_the_solver_is_optimal_and_its_opposite_is_not():
    positions = read_positions(SAMPLE, CONNECT4)
    scores = {position.state.tobytes(): position.scores for position in positions}

    def best(state):
        return max(scores[state.tobytes()], key=scores[state.tobytes()].__getitem__)

    def worst(state):
        return min(scores[state.tobytes()], key=scores[state.tobytes()].__getitem__)

    perfect = evaluate_positions(positions, choose_by(best))
    assert (perfect.count, perfect.value_preserving, perfect.optimal) == (400, 1, 1)
    assert perfect.optimal_interval == (pytest.approx(0.9905, abs=1e-4), 1)
    hopeless = evaluate_positions(positions, choose_by(worst))
    assert (hopeless.value_preserving, hopeless.optimal) == (0, 0)
    mixed = evaluate_positions(
        positions, lambda states: np.array([*map(best, states[:300]), *map(worst, states[300:])])
    )
    assert (mixed.value_preserving, mixed.optimal) == (0.75, 0.75)


def test_keeping_the_value_is_less_than_being_optimal():
    positions = read_positions(SAMPLE, CONNECT4)[:1]  # scores 3 4 0 0 1 -2 0
    for action, kept, optimal in [(0, 1, 0), (1, 1, 1), (2, 0, 0), (5, 0, 0)]:
        result = evaluate_positions(positions, lambda states, action=action: np.full(len(states), action))
        assert (result.value_preserving, result.optimal) == (kept, optimal)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (300, 400, 0.7054, 0.7899)],
)
def test_wilson_interval(successes: int, count: int, low: float, high: float):
    assert wilson_interval(successes, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def naive_lines(action_of, side: int, position: Position) -> list[int]:
    """The outcome of every line below a position, a game at a time: 1 the player's win, 0, -1."""
    if position.outcome != ONGOING:
        return [0 if position.outcome == DRAW else 1 if position.outcome == side else -1]
    actions = [action_of(position.state)] if position.player == side else position.legal_actions()
    results = []
    for action in actions:
        position.play(action)
        results += naive_lines(action_of, side, position)
        position.undo()
    return results


@pytest.mark.parametrize("which", [0, -1])
def test_lines_agree_with_playing_them_one_by_one(which: int):
    def action_of(state):
        return int(TICTACTOE.legal(state)[which])

    expected = [r for side in (0, 1) for r in naive_lines(action_of, side, Position(TICTACTOE))]
    result = losing_lines(TICTACTOE, choose_by(action_of))
    assert (result.lines, result.losses, result.draws, result.wins) == (
        len(expected),
        expected.count(-1),
        expected.count(0),
        expected.count(1),
    )
    assert result.losses > 0


def test_perfect_play_loses_no_line_and_asks_level_by_level():
    solver = ExhaustiveSolver(TICTACTOE)
    asked: list[int] = []

    def choose(states):
        asked.append(len(states))
        assert states.dtype == np.int64
        assert states.flags.c_contiguous
        return np.array([solver.best_actions(state)[0] for state in states])

    result = losing_lines(TICTACTOE, choose)
    assert result.losses == 0
    assert result.wins + result.draws == result.lines > 100
    assert len(asked) <= 9


def test_the_fresh_positions_are_what_they_say():
    fresh = read_positions(FRESH, CONNECT4)
    others = [p for file in (SAMPLE, SHIPPED, JUDGING) for p in read_positions(file, CONNECT4)]
    rows = {position.state.tobytes() for position in fresh}
    assert len(fresh) == len(rows) == 2000
    assert not rows & {position.state.tobytes() for position in others}
    for position in fresh:
        assert len(np.unique(np.sign(list(position.scores.values())))) > 1
        for action in position.scores:
            assert CONNECT4.outcome(CONNECT4.after(position.state, action)) != position.state[PLAYER]


@pytest.mark.parametrize("number", range(0, 2000, 250))
def test_the_fresh_positions_have_the_solver_s_scores(number):
    position = [p for p in read_positions(FRESH, CONNECT4) if len(p.actions) >= 16][number // 2]
    assert dict(Connect4Solver().scores(position.state)) == position.scores
