"""The Connect Four solver against an independent one, and a slow obvious twin."""

import functools
import signal

import numpy as np
import pytest

from keima.agent.analysis.evaluation import read_positions
from keima.agent.solvers.connect4 import OPENINGS, Connect4Solver, openings, write_openings
from keima.agent.solvers.connect4_search import SLICE_NODES
from keima.games import load
from keima.games.contract import DRAW, ONGOING, PLAYER, State
from keima.games.position import Position, position_after
from tests.paths import DATA

SAMPLE = DATA / "connect4_sample.txt"
GAME = load("connect4")
LAST_DRAW = "121212212121343434434343565656656565777777"  # fills the board, and nobody has four


def state_after(moves: str) -> State:
    return position_after(GAME, list(moves)).state


def sample() -> list[tuple[str, list[int | None]]]:
    lines = [line.split() for line in SAMPLE.read_text().splitlines()]
    return [(moves, [None if score == "x" else int(score) for score in scores]) for moves, *scores in lines]


@pytest.fixture(scope="module")
def solver() -> Connect4Solver:
    """Nothing in the tests may depend on what it has solved before, so they share one."""
    return Connect4Solver()


@functools.cache
def naive_score(row: bytes) -> int:
    """A state row's score by its definition, from every game that can follow."""
    state = np.frombuffer(row, np.int64).copy()
    outcome = GAME.outcome(state)
    if outcome == DRAW:
        return 0
    if outcome != ONGOING:
        score = 22 - np.count_nonzero(GAME.board(state) == 1 + outcome)
        return score if outcome == state[PLAYER] else -score
    return max(-naive_score(GAME.after(state, int(action)).tobytes()) for action in GAME.legal(state))


def test_every_score_of_the_sample(solver, sized):
    lines = sample()
    assert len(lines) == 400
    lines = lines[:: sized(1, 5)]
    for moves, scores in lines:
        assert solver.column_scores(state_after(moves)) == scores, moves


def test_scores_of_the_last_moves_agree_with_a_naive_twin(solver):
    generator = np.random.default_rng(1)
    compared = 0
    while compared < 150:
        position = Position(GAME)
        stones = int(generator.integers(33, 42))
        while not position.is_over and len(position.actions) < stones:
            position.play(int(generator.choice(position.legal_actions())))
        if position.is_over:
            continue
        state = position.state
        expected = [(a, -naive_score(GAME.after(state, a).tobytes())) for a in position.legal_actions()]
        best = max(score for _, score in expected)
        assert solver.scores(state) == expected, position.moves_text()
        assert solver.best_actions(state) == [action for action, score in expected if score == best]
        assert solver.score(state) == best == naive_score(state.tobytes())
        compared += 1


def test_best_actions_of_the_sample():
    solver = Connect4Solver()  # which has not just found all their scores
    for moves, scores in sample():
        if len(moves) >= 12:
            best = max(score for score in scores if score is not None)
            assert solver.best_actions(state_after(moves)) == [c for c in range(7) if scores[c] == best], moves


def test_mirror_images_have_mirrored_scores(solver):
    for moves in ("4455443335", "44455554221", "41526334142"):
        mirrored = "".join(str(8 - int(column)) for column in moves)
        assert solver.column_scores(state_after(mirrored)) == solver.column_scores(state_after(moves))[::-1]


def test_a_win_at_once_is_scored_by_its_stone(solver):
    state = state_after("121212")  # the fourth stone of the first player
    assert solver.score(state) == 18
    assert solver.column_scores(state)[0] == 18
    assert solver.best_actions(state) == [0]


def test_finished_games(solver):
    won = state_after("1212121")
    assert solver.score(won) == -18  # for the side to move, which has lost
    assert solver.scores(won) == solver.best_actions(won) == []
    drawn = state_after(LAST_DRAW)
    assert GAME.outcome(drawn) == DRAW
    assert solver.score(drawn) == 0
    assert solver.scores(drawn) == solver.best_actions(drawn) == []
    assert solver.scores(state_after(LAST_DRAW[:-1])) == [(6, 0)]


def test_the_first_move(solver):
    """The published result: the middle wins with the last stone, the columns beside it draw."""
    assert solver.column_scores(GAME.new_state()) == [-2, -1, 0, 1, 0, -1, -2]
    assert solver.best_actions(GAME.new_state()) == [3]
    assert solver.score(GAME.new_state()) == 1


def test_the_openings_are_complete_and_need_no_search():
    listed = read_positions(OPENINGS, GAME)
    moves = ["".join(str(action + 1) for action in position.actions) for position in listed]
    assert moves == openings(len(moves[0]))
    # The table holds what the file says and what follows from it for the moves before.
    solver = Connect4Solver()
    for position in listed:
        assert dict(solver.scores(position.state)) == position.scores
    assert solver.nodes == 0


def test_every_position_of_the_opening_is_among_the_openings_or_its_mirror_image():
    def board(moves: str) -> bytes:
        return GAME.board(state_after(moves)).tobytes()

    def mirrored(moves: str) -> str:
        return "".join(str(8 - int(column)) for column in moves)

    listed = openings(3)
    covered = {board(moves) for moves in listed} | {board(mirrored(moves)) for moves in listed}
    assert covered == {board(f"{a}{b}{c}") for a in range(1, 8) for b in range(1, 8) for c in range(1, 8)}
    assert len(covered) == 238  # the known number of positions after three moves


def test_openings_are_written_and_gone_on_with(tmp_path, monkeypatch):
    solver = Connect4Solver(use_openings=False)
    solved = []

    def solve(own: int, stones: int) -> int:
        solved.append((own, stones))
        return own % 5 - 2

    monkeypatch.setattr(solver, "_score", solve)  # the real scores take minutes
    path = tmp_path / "openings.txt"
    write_openings(path, 2, solver)
    complete = path.read_text()
    assert [line.split()[0] for line in complete.splitlines()] == openings(2)
    assert len(solved) == len(openings(3))  # each once, however many moves lead there
    path.write_text("".join(complete.splitlines(keepends=True)[:10]))
    write_openings(path, 2, solver)
    assert path.read_text() == complete


def test_an_interrupt_is_answered_after_a_slice_and_leaves_the_solver_usable():
    """A signal that comes while the kernel runs is noticed when it returns: after one slice, not after a minute."""
    solver = Connect4Solver(lambda nodes: signal.raise_signal(signal.SIGINT), use_openings=False)
    with pytest.raises(KeyboardInterrupt):
        solver.score(GAME.new_state())
    assert solver.nodes == SLICE_NODES
    solver._on_progress = None
    moves, scores = sample()[0]
    assert solver.column_scores(state_after(moves)) == scores


def test_progress_is_told_slice_by_slice():
    told: list[int] = []
    solver = Connect4Solver(told.append, use_openings=False)
    solver.score(state_after("444444"))
    assert told[-1] == solver.nodes > SLICE_NODES
    assert all(0 <= after - before <= SLICE_NODES for before, after in zip([0, *told], told, strict=False))
