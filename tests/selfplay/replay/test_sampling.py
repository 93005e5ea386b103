"""Every sample against its slow twin: replayed in Python, symmetry and targets from their definitions."""

import dataclasses

import numpy as np
import pytest
import sgfmill.boards

from keima import games
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS
from keima.selfplay.actors.generation import SelfPlay
from keima.selfplay.config.schema import SearchConfig, SelfplayConfig
from keima.selfplay.replay.sampling import NO_ACTION, Sampler, half_to_float
from keima.selfplay.replay.segment import HAS_POLICY_TARGET, RANDOM_OPENING, Segment
from keima.selfplay.replay.window import WHOLE_WEIGHT, ReplayWindow
from tests.selfplay.naive import LinearEvaluator, games_of, naive_sample

GAMES = ["tictactoe", "connect4", "othello:6", "gomoku:5,win=4", "hex:4", "breakthrough:5,4", "go:4,komi=1.5"]


def play(name, num_games=25, seed=0):
    """A game and a segment of it."""
    game = games.load(name)
    options = SelfplayConfig(parallel_games=16, opening_random_fraction=0.5)
    self_play, evaluator = SelfPlay(game, SearchConfig(simulations=8), options, seed), LinearEvaluator(game)
    while len(self_play._finished) < num_games:
        self_play.step(evaluator)
    return game, self_play.take_finished(0, 0)


def window_of(*segments):
    window = ReplayWindow()
    for segment in segments:
        window.append(segment)
    return window.views()


def segment_of(game, actions, **changes):
    """One game of these actions, uniform targets, nothing proven."""
    counts, state = [], game.new_state()
    for action in actions:
        counts.append(len(game.legal(state)))
        state = game.after(state, action)
    assert game.outcome(state) != ONGOING
    plies = len(actions)
    segment = Segment(
        game_lengths=np.array([plies], np.int32),
        outcomes=np.array([game.outcome(state)], np.int8),
        actions=np.array(actions, np.int32),
        legal_counts=np.array(counts, np.int32),
        policies=np.concatenate([np.full(n, 1 / n, np.float16) for n in counts]),
        root_values=np.zeros(plies, np.float32),
        surprises=np.zeros(plies, np.float16),
        flags=np.full(plies, HAS_POLICY_TARGET, np.uint8),
        proven=np.full(plies, ONGOING, np.int8),
        actor=0,
        weights_version=0,
        game=game.label,
        rules_version=game.rules_version,
    )
    return dataclasses.replace(segment, **changes)


@pytest.mark.parametrize(
    ("value_mix", "decay", "score_weight"),
    [(0.0, 0.0, 0.1), (0.0, 0.5, 0.0), (0.25, 0.0, 0.0), (1.0, 0.0, 0.3), (0.5, 0.8, 0.2), (1.0, 0.6, 0.0)],
)
@pytest.mark.parametrize("name", GAMES)
def test_every_sample_is_its_slow_twin(name, value_mix, decay, score_weight):
    game, segment = play(name)
    window = window_of(segment)
    sampler = Sampler(game, seed=1, value_mix=value_mix, value_decay=decay, score_weight=score_weight, replies=True)
    symmetries = game.symmetries()
    random = np.random.default_rng(2)
    plies = random.choice(window.training_plies, min(80, len(window.training_plies)), replace=False)
    turns = np.arange(len(plies)) % len(symmetries)
    batch = sampler.fill(window, plies, turns)
    taken_apart = games_of(segment)
    for i, (ply, turned) in enumerate(zip(plies, turns, strict=True)):
        index = int(window.game_of_ply[ply])
        own_ply = int(ply - window.game_starts[index])
        planes, policy, legal, outcome, owners, points, reply = naive_sample(
            game, taken_apart[index], own_ply, symmetries[turned], value_mix, decay, score_weight
        )
        np.testing.assert_array_equal(batch.planes[i], planes)
        np.testing.assert_allclose(batch.policy(game.num_actions)[i], policy, atol=1e-6)
        np.testing.assert_array_equal(batch.legal(game.num_actions)[i], legal)
        np.testing.assert_allclose(batch.outcome[i], outcome, atol=1e-6)
        np.testing.assert_array_equal(batch.ownership[i], owners)
        assert batch.score[i] == pytest.approx(points)
        np.testing.assert_allclose(batch.opponent_policy(game.num_actions)[i], reply, atol=1e-6)
    known = batch.opponent_policy(game.num_actions).any(1)
    assert known.any()
    assert not known.all()


@pytest.mark.parametrize("name", GAMES)
def test_targets_are_distributions_over_what_is_legal(name):
    game, segment = play(name)
    batch = Sampler(game, seed=1, value_mix=0.3).draw(window_of(segment), step=0, size=300)
    np.testing.assert_allclose(batch.policy(game.num_actions).sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(batch.outcome.sum(1), 1, atol=1e-6)
    assert (batch.policy(game.num_actions) >= 0).all()
    assert (batch.outcome >= 0).all()
    assert not batch.policy(game.num_actions)[~batch.legal(game.num_actions)].any()
    assert batch.legal(game.num_actions).any(1).all()
    if not game.has_ownership:
        assert not batch.ownership.any()
    if not game.has_score:
        assert not batch.score.any()
    for name, array in batch._asdict().items():
        assert array.dtype == (np.int32 if name.endswith("actions") else np.float32)
        assert array.flags.c_contiguous


@pytest.mark.parametrize("name", GAMES)
def test_a_turned_sample_is_the_sample_of_the_turned_game(name):
    """Where the start is symmetrical too: playing the turned moves gives the turned planes, legal moves and owners."""
    game, segment = play(name)
    start = game.planes(game.new_state()).reshape(game.num_planes, -1)
    batch_size = 12
    plies = window_of(segment).training_plies[:batch_size]
    compared = 0
    for number, symmetry in enumerate(game.symmetries()):
        if not np.array_equal(start[:, symmetry.cells], start):
            continue
        inverse = np.argsort(symmetry.actions)  # policy_after[a] = policy_before[actions[a]]: b becomes inverse[b]
        if not all(np.isin(inverse[game.legal(game.new_state())], game.legal(game.new_state()))):
            continue
        turned = dataclasses.replace(segment, actions=inverse[segment.actions].astype(np.int32))
        sampler = Sampler(game, seed=1)
        by_symmetry = sampler.fill(window_of(segment), plies, np.full(len(plies), number))
        replayed = sampler.fill(window_of(turned), plies, np.zeros(len(plies), np.int64))
        for field in ("planes", "ownership", "score", "outcome"):
            np.testing.assert_array_equal(getattr(by_symmetry, field), getattr(replayed, field))
        np.testing.assert_array_equal(by_symmetry.legal(game.num_actions), replayed.legal(game.num_actions))
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("name", GAMES)
def test_all_symmetries_are_drawn_alike(name, monkeypatch):
    game, segment = play(name)
    sampler = Sampler(game, seed=3)
    drawn = []
    monkeypatch.setattr(sampler, "fill", lambda window, plies, symmetries: drawn.append(symmetries))
    sampler.draw(window_of(segment), step=0, size=4000)
    count = len(game.symmetries())
    assert count > 1
    np.testing.assert_allclose(np.bincount(drawn[0], minlength=count) / 4000, 1 / count, atol=0.05)


def test_without_augmentation_nothing_is_turned():
    game, segment = play("connect4")
    window = window_of(segment)
    batch = Sampler(game, seed=3, augment=False).draw(window, step=5, size=200)
    random = np.random.default_rng([3, 5])
    marks = random.integers(WHOLE_WEIGHT * len(window.training_plies), size=200)
    plies = window.training_plies[marks // WHOLE_WEIGHT]  # without a share of surprise all weigh the same
    plain = Sampler(game, seed=0).fill(window, plies, np.zeros(200, np.int64))
    for one, other in zip(batch, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("surprise_fraction", [0.0, 0.5])
def test_the_same_seed_and_step_give_the_same_batch(surprise_fraction):
    game, segment = play("connect4")
    alone = ReplayWindow(surprise_fraction)
    alone.append(segment)
    window = alone.views()

    def drawn(seed, step, window=window):
        return Sampler(game, seed).draw(window, step, 64)

    def same(one, other):
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    assert same(drawn(1, 7), drawn(1, 7))
    assert not same(drawn(1, 7), drawn(1, 8))
    assert not same(drawn(1, 7), drawn(2, 7))
    assert not same(drawn(1, 7), drawn(7, 1))
    # A window that dropped older games and is laid out otherwise in memory is the same window.
    older = play("connect4", seed=5)[1]
    moved = ReplayWindow(surprise_fraction)
    for _ in range(3):
        moved.append(older)
    moved.append(segment)
    moved.drop_oldest_to(segment.num_positions)
    assert moved.views().weight_starts[0] > 0
    assert same(drawn(1, 7), drawn(1, 7, moved.views()))


def draws_of_each_ply(game, window, draws):
    """How often each ply of a window is drawn, without filling a batch."""
    sampler = Sampler(game, seed=1)
    counts = np.zeros(len(window.actions), int)
    sampler.fill = lambda window, plies, symmetries: np.add.at(counts, plies, 1)
    sampler.draw(window, 0, draws)
    return counts


@pytest.mark.parametrize("surprise_fraction", [0.5, 1.0])
def test_surprising_positions_are_drawn_more_often(surprise_fraction):
    game = games.load("tictactoe")
    window = ReplayWindow(surprise_fraction)
    segment = segment_of(game, FIRST_WINS_GAME, surprises=np.array([0, 1, 0, 3, 0], np.float16))
    window.append(segment_of(game, DRAWN_GAME))
    window.append(segment)
    window.append(segment_of(game, SECOND_WINS_GAME))
    window.drop_oldest_to(11)
    counts = draws_of_each_ply(game, window.views(), 20_000)[9:] / 20_000
    expected = (1 - surprise_fraction) * np.ones(5) + surprise_fraction * np.array([0, 1.25, 0, 3.75, 0])
    np.testing.assert_allclose(counts[:5] * 11, expected, atol=0.1)
    np.testing.assert_allclose(counts[5:] * 11, 1, atol=0.1)  # a game without surprises has its share all the same
    assert ((counts[:5] == 0) == (expected == 0)).all()


def test_every_training_position_is_drawn_and_nothing_else():
    game, segment = play("tictactoe", num_games=12)
    window = window_of(segment)
    sampler = Sampler(game, seed=1)
    counts = np.zeros(segment.num_plies, int)
    original = sampler.fill
    sampler.fill = lambda window, plies, symmetries: (np.add.at(counts, plies, 1), original(window, plies, symmetries))
    for step in range(40):
        sampler.draw(window, step, 100)
    training = segment.flags & HAS_POLICY_TARGET != 0
    assert not training.all()  # or there would be nothing that must not be drawn
    assert not counts[~training].any()
    expected = 4000 / training.sum()
    assert counts[training].min() > 0.5 * expected
    assert counts[training].max() < 1.6 * expected


# --- the value target, by hand

FIRST_WINS_GAME = [0, 3, 1, 4, 2]  # tic-tac-toe: the top row
SECOND_WINS_GAME = [0, 3, 1, 4, 8, 5]  # the middle row
DRAWN_GAME = [0, 4, 8, 1, 7, 6, 2, 5, 3]


def outcome_targets(actions, value_mix=0.0, **changes):
    game = games.load("tictactoe")
    window = window_of(segment_of(game, actions, **changes))
    sampler = Sampler(game, seed=0, value_mix=value_mix)
    return sampler.fill(window, window.training_plies, np.zeros(len(actions), np.int64)).outcome


def test_outcomes_are_seen_by_the_side_to_move():
    win, draw, loss = np.eye(3)
    np.testing.assert_array_equal(outcome_targets(FIRST_WINS_GAME), [win, loss, win, loss, win])
    np.testing.assert_array_equal(outcome_targets(SECOND_WINS_GAME), [loss, win] * 3)
    np.testing.assert_array_equal(outcome_targets(DRAWN_GAME), [draw] * 9)


def test_a_proven_result_stands_in_for_the_games():
    proven = np.array([DRAW, SECOND_WINS, ONGOING, FIRST_WINS, FIRST_WINS], np.int8)
    win, draw, loss = np.eye(3)
    for mix in (0.0, 0.5, 1.0):
        values = np.full(5, -0.8, np.float32)
        found = outcome_targets(FIRST_WINS_GAME, mix, proven=proven, root_values=values)
        np.testing.assert_array_equal(found[[0, 1, 3, 4]], [draw, win, loss, win])  # exact: nothing is mixed in
        np.testing.assert_allclose(found[2], (1 - mix) * win + mix * np.array([0.1, 0, 0.9]), atol=1e-6)


def test_the_searchs_value_is_mixed_in():
    values = np.array([0.5, -1, 1, 0, np.nan], np.float32)
    found = outcome_targets(FIRST_WINS_GAME, 0.4, root_values=values)
    expected = [
        [0.6 + 0.4 * 0.75, 0, 0.4 * 0.25],
        [0, 0, 1],
        [1, 0, 0],
        [0.2, 0, 0.6 + 0.2],
        [1, 0, 0],  # no value: the outcome alone
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    drawn = outcome_targets(DRAWN_GAME, 0.4, root_values=np.full(9, 0.5, np.float32))
    np.testing.assert_allclose(drawn, np.tile([0.4 * 0.5, 0.6 + 0.4 * 0.5, 0], (9, 1)), atol=1e-6)
    # Whatever the mix, the target's value is the mix of the values.
    np.testing.assert_allclose(found[:, 0] - found[:, 2], [0.8, -1, 1, -0.6, 1], atol=1e-6)


def test_ownership_and_score_change_sides():
    game = games.load("othello:4")
    random = np.random.default_rng(1)
    state, actions = game.new_state(), []
    while game.outcome(state) == ONGOING:
        actions.append(int(random.choice(game.legal(state))))
        state = game.after(state, actions[-1])
    board = game.board(state).reshape(-1)
    first = np.select([board == 1, board == 2], [1, -1])
    points = first.sum() / 4  # over the side
    assert points != 0
    segment = segment_of(game, actions)
    batch = Sampler(game, seed=0).fill(window_of(segment), np.arange(len(actions)), np.zeros(len(actions), np.int64))
    state = game.new_state()
    sides = set()
    for ply, action in enumerate(actions):
        sign = 1 if state[PLAYER] == 0 else -1
        sides.add(sign)
        np.testing.assert_array_equal(batch.ownership[ply], sign * first)
        assert batch.score[ply] == pytest.approx(sign * points)
        state = game.after(state, action)
    assert sides == {1, -1}


def area_of(board, size):
    """Whose each cell of a sgfmill board is by area: +1 Black's, -1 White's; cell 0 is the upper left corner."""
    owners = np.zeros((size, size), int)
    for row, column in np.ndindex(size, size):
        reached, group, ahead = set(), {(row, column)}, [(row, column)]
        while ahead:
            r, c = ahead.pop()
            if board.get(r, c) is not None:
                reached.add(board.get(r, c))
                continue
            for beside in {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)} - group:
                if 0 <= beside[0] < size and 0 <= beside[1] < size:
                    group.add(beside)
                    ahead.append(beside)
        owners[size - 1 - row, column] = {("b",): 1, ("w",): -1}.get(tuple(reached), 0)  # sgfmill's row 0 is the lowest
    return owners


@pytest.mark.parametrize(
    ("name", "komi"),
    [
        ("go:5", 7.5),
        ("go:4,komi=-3", -3),
        ("go:3,komi=0.5", 0.5),
        ("go:5,rules=chinese,handicap=3,placement=free", 10.5),
    ],
)
def test_targets_of_go_against_another_board(name, komi):
    """Games replayed on sgfmill's board, dead stones standing as they do, ownership and score from there."""
    game = games.load(name)
    size, random = game.size, np.random.default_rng(3)
    symmetries = game.symmetries()
    assert len(symmetries) == 8
    seen = set()
    for _ in range(12):
        state, actions, board = game.new_state(), [], sgfmill.boards.Board(size)
        while game.outcome(state) == ONGOING:
            legal = game.legal(state)
            # Passes are rare, but for some games that end early, with stones that could still be captured.
            passes = size * size in legal and random.random() < 0.1
            actions.append(size * size if passes else int(random.choice(legal)))
            if actions[-1] < size * size:
                row, column = divmod(actions[-1], size)
                board.play(size - 1 - row, column, "bw"[state[PLAYER]])
            state = game.after(state, actions[-1])
        owners = area_of(board, size)
        assert owners.sum() == board.area_score()
        points = owners.sum() - komi
        segment = segment_of(game, actions)
        plies = np.arange(len(actions))
        for number, symmetry in enumerate(symmetries):
            batch = Sampler(game, seed=0).fill(window_of(segment), plies, np.full(len(actions), number))
            state = game.new_state()
            for ply, action in enumerate(actions):
                sign = 1 if state[PLAYER] == 0 else -1
                np.testing.assert_array_equal(batch.ownership[ply], sign * owners.reshape(-1)[symmetry.cells])
                assert batch.score[ply] == pytest.approx(sign * points / size)
                if points:
                    np.testing.assert_array_equal(batch.outcome[ply], [sign * points > 0, 0, sign * points < 0])
                seen |= {(sign, int(np.sign(points)))}
                state = game.after(state, action)
        # Every stone on the board in the end is its owner's, whatever could be captured.
        stones = game.board(state).reshape(-1)
        assert (batch.ownership[0][np.argsort(symmetries[-1].cells)][stones == 1] == 1).all()
    assert {sign for sign, _ in seen} == {1, -1}
    assert len(seen) == 4 or abs(komi) > 8 or komi < 0  # with a fair komi both win, seen from both sides


def test_the_policy_target_sits_on_its_actions():
    game = games.load("connect4")
    segment = segment_of(game, [0, 1, 0, 1, 0, 1, 0])
    segment = dataclasses.replace(segment, policies=np.tile(np.array([1, 2, 4, 0, 0, 8, 1], np.float16) / 16, 7))
    batch = Sampler(game, seed=0).fill(window_of(segment), np.array([3, 3]), np.array([0, 1]))
    np.testing.assert_array_equal(batch.policy(game.num_actions)[0] * 16, [1, 2, 4, 0, 0, 8, 1])
    np.testing.assert_array_equal(batch.policy(game.num_actions)[1] * 16, [1, 8, 0, 0, 4, 2, 1])


def test_the_reply_is_the_next_plys_target():
    game = games.load("connect4")
    targets = np.eye(7, dtype=np.float16)  # ply k's is column k
    flags = np.full(7, HAS_POLICY_TARGET, np.uint8)
    flags[3] = RANDOM_OPENING
    segment = segment_of(game, [0, 1, 0, 1, 0, 1, 0], policies=targets.reshape(-1), flags=flags)
    plies, mirrored = np.arange(7), np.arange(7) % 2
    batch = Sampler(game, seed=0, replies=True).fill(window_of(segment), plies, mirrored)
    expected = np.zeros((7, 7))
    for ply in (0, 1, 3, 4, 5):  # not before the random move, nor after the last one
        expected[ply, 6 - (ply + 1) if mirrored[ply] else ply + 1] = 1
    np.testing.assert_array_equal(batch.opponent_policy(game.num_actions), expected)
    without = Sampler(game, seed=0).fill(window_of(segment), plies, mirrored)
    assert not without.opponent_policy(7).any()
    assert (without.opponent_actions == NO_ACTION).all()


TWICE = '''
from dataclasses import dataclass
from keima.games.contract import DRAW, ONGOING, PLAYER, Game, kernel

@dataclass(frozen=True)
class Twice(Game):
    """Eight cells are filled; after the first stone each side places two."""
    shape = (1, 8)
    num_planes = 1
    num_actions = 8
    state_size = 2
    max_plies = 8

@kernel
def reset(state, parameters):
    state[:] = 0

@kernel
def legal_actions(state, actions):
    n = 0
    for cell in range(8):
        if not state[1] >> cell & 1:
            actions[n] = cell
            n += 1
    return n

@kernel
def play(state, action):
    state[1] |= 1 << action
    placed = 0
    for cell in range(8):
        placed += state[1] >> cell & 1
    state[PLAYER] = (placed + 1) // 2 % 2

@kernel
def outcome(state):
    return DRAW if state[1] == 255 else ONGOING

@kernel
def encode(state, planes):
    for cell in range(8):
        planes[0, 0, cell] = state[1] >> cell & 1
'''


def test_a_second_move_of_the_same_side_is_no_reply(tmp_path):
    (tmp_path / "twice.py").write_text(TWICE)
    game = games.load(str(tmp_path / "twice.py"))
    window = window_of(segment_of(game, list(range(8))))
    batch = Sampler(game, seed=0, replies=True).fill(window, np.arange(8), np.zeros(8, np.int64))
    assert batch.opponent_policy(game.num_actions).any(1).tolist() == [True, False] * 3 + [True, False]  # A BB AA BB A


def test_a_target_that_float16_rounded_is_made_whole():
    game = games.load("connect4")
    segment = segment_of(game, [0, 1, 0, 1, 0, 1, 0])
    rough = np.array([0.3, 0.3, 0.3, 0.05, 6e-8, 0.02, 0.02], np.float16)  # sums to less than 1; one subnormal
    batch = Sampler(game, seed=0).fill(
        window_of(dataclasses.replace(segment, policies=np.tile(rough, 7))), np.array([2]), np.array([0])
    )
    exact = rough.astype(np.float64)
    np.testing.assert_allclose(batch.policy(game.num_actions)[0], exact / exact.sum(), rtol=1e-6)
    assert batch.policy(game.num_actions)[0, 4] > 0


def test_random_openings_are_replayed_but_not_drawn():
    game = games.load("tictactoe")
    flags = np.array(
        [RANDOM_OPENING, RANDOM_OPENING, HAS_POLICY_TARGET, HAS_POLICY_TARGET, HAS_POLICY_TARGET], np.uint8
    )
    window = window_of(segment_of(game, FIRST_WINS_GAME, flags=flags))
    assert window.training_plies.tolist() == [2, 3, 4]
    batch = Sampler(game, seed=0, augment=False).draw(window, step=0, size=50)
    assert batch.planes.sum((1, 2, 3)).min() == 2  # stones on the board


# --- the small parts


def test_half_to_float_is_numpys_for_every_half():
    halves = np.arange(1 << 15, dtype=np.uint16)
    halves = halves[np.isfinite(halves.view(np.float16))]
    assert len(halves) == 31 * 1024
    found = [half_to_float(int(bits)) for bits in halves]
    np.testing.assert_array_equal(found, halves.view(np.float16).astype(np.float64))


def test_games_that_began_elsewhere_are_replayed_from_there():
    game = games.load("connect4")
    starts = np.array([game.text_to_position(text) for text in ("4453", "11", "767676")])
    options = SelfplayConfig(parallel_games=8, start_positions_fraction=0.7, opening_random_fraction=0.3)
    self_play, evaluator = SelfPlay(game, SearchConfig(simulations=6), options, 1, starts), LinearEvaluator(game)
    window, segments = ReplayWindow(), []
    _, own = play("connect4", 5)  # of a segment without
    for segment in (own, None, None):
        if segment is None:
            while len(self_play._finished) < 30:
                self_play.step(evaluator)
            segment = self_play.take_finished(0, 0)
        segments.append(segment)
        window.append(segment)
    views = window.views()
    assert len(views.start_rows) == 3
    sampler = Sampler(game, 0, augment=False)
    batch = sampler.fill(views, views.training_plies, np.zeros(len(views.training_plies), np.int64))
    seen, ply, sample = set(), 0, 0
    for segment in segments:
        for number, length in enumerate(segment.game_lengths):
            first = segment.start_of(number)
            seen.add(None if first is None else first.tobytes())
            state = game.new_state() if first is None else first.copy()
            for _ in range(length):
                if sample < len(views.training_plies) and views.training_plies[sample] == ply:
                    assert np.array_equal(batch.planes[sample], game.planes(state))
                    legal = batch.actions[sample]
                    assert set(legal[legal != NO_ACTION]) == set(game.legal(state))
                    sample += 1
                state = game.after(state, int(views.actions[ply]))
                ply += 1
            assert game.outcome(state) == segment.outcomes[number]
    assert seen == {None, *(row.tobytes() for row in starts)}
    assert sample == len(views.training_plies)
