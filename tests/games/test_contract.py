"""The one test that every game passes: what games/contract.py promises to the search, the network and people."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keima import games
from keima.games import othello
from keima.games.compilation import SIGNATURES
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, GameError
from keima.games.position import Position
from tests.games.drivers import record_games
from tests.games.playthrough import FOLDER, playthrough
from tests.paths import ROOT

VARIANTS = ["othello:4", "othello:6", "othello:16", "gomoku:3,3", "gomoku:7,win=4", "gomoku:19", "hex:2", "hex:5",
            "hex:19", "breakthrough:5,2", "breakthrough:6,5", "breakthrough:16,16",
            "go:2,komi=0.5", "go:3,komi=0,ko=simple", "go:5,komi=0.5,ko=situational,suicide=yes",
            "go:7,rules=japanese,handicap=4,placement=free", "go:9,komi=20,rules=chinese,handicap=5",
            "go:19,komi=0,limit=200"]  # fmt: skip
SPECS = [*games.names(), *VARIANTS]
GAMES = 20  # random games a spec
GUARD = 8  # entries behind every buffer that a kernel must leave alone
MARK = 99


@pytest.fixture(params=SPECS)
def game(request):
    return games.load(request.param)


def played_games(game, count=GAMES):
    """Yields (states [plies + 1, S], Recording) of random games."""
    for recording in record_games(game, count, seed=1):
        states = [game.new_state()]
        for action in recording.actions:
            states.append(game.after(states[-1], action))
        yield np.array(states), recording


def legal_mask(game, state):
    mask = np.zeros(game.num_actions, bool)
    mask[game.legal(state)] = True
    return mask


def test_every_variant_is_of_a_game_and_every_game_with_parameters_has_variants():
    with_parameters = {name for name in games.names() if len(games.load(name).parameter_row())}
    assert {spec.partition(":")[0] for spec in VARIANTS} == with_parameters


def test_the_facts_fit_together(game):
    height, width = game.shape
    assert min(height, width, game.num_planes, game.num_actions, game.state_size, game.max_plies) > 0
    assert 0 < game.max_legal <= game.num_actions
    assert game.policy_planes * height * width <= game.num_actions
    assert len(game.players) == 2
    assert len(game.pieces) == len(set(game.pieces)) >= 3
    assert game.rules_version >= 1
    assert games.load(game.spec) == game
    assert games.load(game.label) == game


def test_kernels_keep_to_their_buffers_and_their_promises(game):
    rules, parameters = game.kernels, game.parameter_row()
    shape = (game.num_planes, *game.shape)
    for _, recording in played_games(game):
        # Buffers with marked entries behind them; a row full of rubbish, since `reset` writes all of it.
        row = np.full(game.state_size + GUARD, MARK, np.int64)
        state = row[: game.state_size]
        rules.reset(state, parameters)
        assert np.array_equal(state, game.new_state())
        for ply, action in enumerate([*recording.actions, None]):
            before = state.copy()
            cells = np.full(np.prod(shape) + GUARD, MARK, np.float32)
            planes = cells[:-GUARD].reshape(shape)
            planes[:] = np.nan
            rules.encode(state, planes)
            assert ((planes >= 0) & (planes <= 1)).all()  # NaN where nothing was written
            assert state[PLAYER] in (0, 1)
            over = rules.outcome(state) != ONGOING
            assert over == (action is None)
            if not over:
                actions = np.full(game.max_legal + GUARD, MARK, np.int32)
                legal = actions[: rules.legal_actions(state, actions[: game.max_legal])]
                assert 0 < len(legal) <= game.max_legal
                assert len(set(legal.tolist())) == len(legal)
                assert legal.min() >= 0
                assert legal.max() < game.num_actions
                assert (actions[game.max_legal :] == MARK).all()
                assert action in legal
                assert ply < game.max_plies
            assert np.array_equal(state, before)  # asking changed nothing
            if not over:
                rules.play(state, action)
            assert (row[game.state_size :] == MARK).all()
            assert (cells[-GUARD:] == MARK).all()


def test_copying_the_row_clones_the_game(game):
    for states, recording in played_games(game, 5):
        middle = len(states) // 2
        clone, original = states[middle].copy(), states[middle].copy()
        for ply, action in enumerate(recording.actions[middle:], start=middle):
            assert np.array_equal(clone, states[ply])
            clone = game.after(clone, action)
        assert game.outcome(clone) == recording.outcome
        assert np.array_equal(states[middle], original)


def test_outcomes_scores_and_owners_agree(game):
    height, width = game.shape
    seen = set()
    for states, recording in played_games(game):
        assert recording.outcome in (FIRST_WINS, SECOND_WINS, DRAW)
        seen.add(recording.outcome)
        score = int(game.kernels.score(states[-1]))
        owners = np.full(height * width, MARK, np.int8)
        game.kernels.ownership(states[-1], owners)
        assert set(owners.tolist()) <= {-1, 0, 1}
        if game.has_score:
            assert recording.outcome == (FIRST_WINS if score > 0 else SECOND_WINS if score < 0 else DRAW)
            assert abs(score) <= game.max_score
        else:
            assert score == 0
        if not game.has_ownership:
            assert not owners.any()
    assert {FIRST_WINS, SECOND_WINS} <= seen  # neither side's win has been forgotten


def test_a_position_is_written_as_text_and_read_again(game):
    for states, _ in played_games(game, 5):
        for state in states:
            text = game.position_to_text(state)
            read = game.text_to_position(text)
            assert game.position_to_text(read) == text
            assert np.array_equal(game.board(read), game.board(state))
            assert read[PLAYER] == state[PLAYER]
            if game.outcome(state) == ONGOING or game.name != "go":  # whose text does not count moves
                assert game.outcome(read) == game.outcome(state)
                assert set(game.legal(read)) == set(game.legal(state))
            if game.name != "go":  # which shows the last moves, too
                assert np.array_equal(game.planes(read), game.planes(state))


def image_of_start(game, symmetry):
    """The initial position after a symmetry. Othello's has its colours exchanged by half of the symmetries."""
    state = game.new_state()
    planes = game.planes(state).reshape(game.num_planes, -1)
    if game.name == "othello" and not np.array_equal(planes, planes[:, symmetry.cells]):
        discs = state[othello.DISCS :].reshape(3, game.size)
        discs[:2] = discs[1::-1].copy()
        othello.mark_moves(state, 0)
    return state


def test_symmetries_map_games_to_games(game):
    symmetries = game.symmetries()
    cells = game.shape[0] * game.shape[1]
    assert np.array_equal(symmetries[0].cells, np.arange(cells))
    assert np.array_equal(symmetries[0].actions, np.arange(game.num_actions))
    assert len({(*s.cells.tolist(), *s.actions.tolist()) for s in symmetries}) == len(symmetries)
    for symmetry in symmetries:
        assert np.array_equal(np.sort(symmetry.cells), np.arange(cells))
        renamed = np.argsort(symmetry.actions)  # what an action is called after the symmetry
        for states, recording in played_games(game, 3):
            image = image_of_start(game, symmetry)
            for state, action in zip(states, [*recording.actions, None], strict=True):
                planes = game.planes(state).reshape(game.num_planes, -1)
                assert np.array_equal(game.planes(image).reshape(game.num_planes, -1), planes[:, symmetry.cells])
                assert np.array_equal(legal_mask(game, image), legal_mask(game, state)[symmetry.actions])
                assert image[PLAYER] == state[PLAYER]
                assert game.outcome(image) == game.outcome(state)
                if action is not None:
                    image = game.after(image, renamed[action])
            owners, image_owners = np.zeros((2, cells), np.int8)
            game.kernels.ownership(states[-1], owners)
            game.kernels.ownership(image, image_owners)
            assert np.array_equal(image_owners, owners[symmetry.cells])
            assert game.kernels.score(image) == game.kernels.score(states[-1])


def test_moves_as_text(game):
    for states, recording in played_games(game, 2):
        for state, action in zip(states, recording.actions, strict=False):
            names = [game.action_to_text(state, int(a)) for a in game.legal(state)]
            assert len({name.lower() for name in names}) == len(names)
            assert all(name == "".join(name.split()) != "" for name in names)  # a protocol splits at spaces
            text = game.action_to_text(state, int(action))
            for spelling in (text, text.upper(), f" {text}\n"):
                assert game.text_to_action(state, spelling) == action
        with pytest.raises(GameError, match=r"illegal move 'nonsense': expected one of \S+"):
            game.text_to_action(states[0], "nonsense")
        with pytest.raises(GameError, match="the game is over"):
            game.text_to_action(states[-1], text)


def test_the_board_as_text(game):
    for states, _ in played_games(game, 1):
        for state in states:
            board = game.board(state)
            assert board.shape == game.shape
            assert 0 <= board.min() <= board.max() < len(game.pieces)
            drawn = game.render(state)
            for code, piece in enumerate(game.pieces):
                if not piece.isalpha() or piece.isupper():  # coordinates are small letters
                    assert drawn.count(piece) == (board == code).sum()


@pytest.mark.parametrize("name", games.names())
def test_the_recorded_playthrough(name):
    recorded = FOLDER / f"{name}.txt"
    assert recorded.is_file(), f"no recorded game: python tests/games/playthrough.py {name}"
    assert playthrough(games.load(name)) == recorded.read_text()


def test_no_playthrough_without_its_game():
    assert {path.stem for path in FOLDER.glob("*")} == set(games.names())


def test_the_same_games_without_the_compiler():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests/games/playthrough.py"), "--print", *games.names()]
    interpreted = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert interpreted == "".join((FOLDER / f"{name}.txt").read_text() for name in games.names())


def test_kernels_called_in_python_and_their_order(game):
    assert game.kernels._fields[: len(SIGNATURES)] == tuple(SIGNATURES)
    position = Position(game)
    assert position.legal_actions() == game.legal(game.new_state()).tolist()


# --- hooks that shipped games do not need

HOOKED = """
from dataclasses import dataclass

from keima.games import tictactoe
from keima.games.contract import Game
from keima.games.tictactoe import encode, legal_actions, outcome, play, reset


@dataclass(frozen=True)
class Hooked(Game):
    shape, num_planes, num_actions, state_size, max_plies = (3, 3), 2, 9, 3, 9
    column_labels = ("10", "20", "30")

    def board(self, state):
        return tictactoe.TicTacToe().board(state)

    def cell_texts(self, state):
        return [[str(7 * int(code)) for code in row] for row in self.board(state)]

    def beside(self, state):
        return ["in hand: 2"]

    def action_to_text(self, state, action):
        return ("bxc4", "Bxc4", "Nf3")[action] if action < 3 else f"m{action}"
"""


@pytest.fixture
def hooked(tmp_path):
    path = tmp_path / "hooked.py"
    path.write_text(HOOKED)
    return games.load(str(path))


def test_text_is_compared_exactly_before_it_is_without_case(hooked):
    state = hooked.new_state()
    assert hooked.text_to_action(state, "bxc4") == 0
    assert hooked.text_to_action(state, " Bxc4 ") == 1
    assert hooked.text_to_action(state, "nf3") == 2
    with pytest.raises(GameError, match="ambiguous move 'BXC4': expected one of bxc4, Bxc4"):
        hooked.text_to_action(state, "BXC4")


def test_the_drawing_has_room_for_labels_numbers_and_what_stands_beside(hooked):
    state = hooked.after(hooked.new_state(), 0)
    assert hooked.render(state).splitlines() == [
        "  10 20 30",
        "3  7  0  0",
        "2  0  0  0",
        "1  0  0  0",
        "in hand: 2",
    ]
    assert games.load("tictactoe").beside(games.load("tictactoe").new_state()) == []
