"""Go against OpenSpiel and sgfmill, as compare_go does it with many more games, and in positions hard to get right."""

import numpy as np
import pytest

from keima import games
from keima.games.contract import FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, GameError
from keima.games.go_board import ATARI, BITBOARDS, TURN
from keima.games.go_planes import (
    FORBIDDEN,
    KOMI_PLANE,
    LESS_SUPERKO,
    LIBERTIES,
    MAY_SUICIDE,
    MINE,
    MOVES,
    PASSED,
    TERRITORY,
    THEIRS,
    TO_PLACE,
)
from keima.games.position import Position
from tests.games.compare_go import compare_games
from tests.games.drivers import played, record_games


def set_up(spec: str, *rows: str) -> Position:
    """The position of a diagram (X Black, O White), Black to move. The side with fewer stones passes at the beginning.

    No stone is captured on the way: a legal position's stones have no fewer liberties while some are missing.
    """
    position = Position(games.load(spec))
    stones = [[cell for cell, piece in enumerate("".join(rows)) if piece == colour] for colour in "XO"]
    passing = position.game.size**2
    longest = max(map(len, stones))
    black, white = ([passing] * (longest - len(cells)) + cells for cells in stones)
    for moves in zip(black, white, strict=True):
        for move in moves:
            position.play(move)
    assert drawn(position) == list(rows)
    return position


def drawn(position: Position) -> list[str]:
    return ["".join(".XO"[code] for code in row) for row in position.game.board(position.state)]


def is_legal(position: Position, move: str) -> bool:
    try:
        position.game.text_to_action(position.state, move)
    except GameError:
        return False
    return True


def play(position: Position, moves: str) -> Position:
    for move in moves.split():
        position.play_text(move)
    return position


# --- other implementations


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ("go:5,limit=50", 300),
        ("go:9,limit=162", 40),
        ("go:19,limit=722", 2),
        ("go:2,limit=40,komi=0.5", 100),
        ("go:7,limit=98,ko=simple", 40),
        ("go:4,limit=64,ko=situational", 20),
        ("go:5,limit=75,ko=situational,suicide=yes", 10),
        ("go:3,limit=60,suicide=yes", 40),
    ],
)
def test_the_same_games_as_openspiel_and_sgfmill(spec, count):
    *_, (_, tally) = compare_games([spec], count, seed=1)
    assert tally.games == count
    assert tally.captures > tally.moves / 50
    if "ko=simple" not in spec and "go:19" not in spec:
        assert tally.superkos > 0
    if "suicide" in spec:
        assert tally.suicides > 0


def naive_liberties(board):
    """The number of liberties of every stone's chain, [H, W]; 0 where there is no stone."""
    size, found = len(board), np.zeros_like(board)
    for start in zip(*np.nonzero(board), strict=True):
        chain, liberties, todo = {start}, set(), [start]
        while todo:
            row, column = todo.pop()
            for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if not (0 <= cell[0] < size and 0 <= cell[1] < size):
                    continue
                if board[cell] == 0:
                    liberties.add(cell)
                elif board[cell] == board[start] and cell not in chain:
                    chain.add(cell)
                    todo.append(cell)
        found[start] = len(liberties)
    return found


@pytest.mark.parametrize("spec", ["go:4,suicide=yes", "go:7", "go:19"])
def test_liberties_after_every_kind_of_move(spec):
    game = games.load(spec)
    for recording in record_games(game, 4 if game.size < 19 else 1, seed=5):
        state = game.new_state()
        for ply, action in enumerate(recording.actions.tolist()):
            if game.size < 19 or ply % 80 == 0:
                board, planes = game.board(state), game.planes(state)
                liberties, mine = naive_liberties(board), state[PLAYER] + 1
                assert np.array_equal(planes[MINE], board == mine)
                assert np.array_equal(planes[THEIRS], board == 3 - mine)
                expected = [liberties == 1, liberties == 2, liberties > 2]
                assert np.array_equal(planes[LIBERTIES : LIBERTIES + 3], expected)
                atari = state[BITBOARDS:][ATARI * (game.size + 2) :][1 : game.size + 1]
                assert np.array_equal(atari[:, None] >> np.arange(game.size) & 1, liberties == 1)
            state = game.after(state, action)


# --- repetition


KO_RULES = ["positional", "situational", "simple"]


@pytest.mark.parametrize("ko", KO_RULES)
def test_a_ko_is_not_retaken_at_once(ko):
    position = set_up(f"go:5,ko={ko}", ".XO..", "X.XO.", ".XO..", ".....", ".....")
    play(position, "pass b4")
    assert drawn(position)[1] == "XO.O."
    assert not is_legal(position, "c4")
    assert np.argwhere(position.game.planes(position.state)[FORBIDDEN]).tolist() == [[1, 2]]
    with pytest.raises(GameError, match=rf"illegal move 'c4': it would repeat a position \({ko} ko rule\)"):
        position.play_text("c4")
    play(position, "a1 e1 c4")  # after a threat and its answer
    assert drawn(position)[1] == "X.XO."
    assert not is_legal(position, "b4")


def test_sending_two_returning_one():
    """White throws a second stone in, Black takes both, White takes the one that did: the same board, Black to move."""
    for ko in KO_RULES:
        position = play(Position(games.load(f"go:5,ko={ko}")), "a2 b1 b2 c2 e5 d1 e4")
        before = drawn(position)
        play(position, "a1 c1")
        assert drawn(position)[-1] == "..XO."
        # White was to move when this was on the board before.
        assert is_legal(position, "b1") == (ko != "positional")
        if ko != "positional":
            play(position, "b1")
            assert drawn(position) == before
            play(position, "pass")  # once more, and now White's first move makes a situation that was there
            assert is_legal(position, "a1") == (ko == "simple")


def test_a_triple_ko_ends_where_it_began():
    rows = [".XO......", "X.XO.....", ".XO......", ".XO......", "XO.O.....", ".XO......", ".XO......", "XO.O.....",
            ".XO......"]  # fmt: skip
    for ko in KO_RULES:
        position = set_up(f"go:9,ko={ko}", *rows)
        play(position, "c5 b8 c2 b5 c8")
        assert not is_legal(position, "b8")  # taken by the last move
        assert is_legal(position, "b2") == (ko == "simple")
        if ko == "simple":
            play(position, "b2")
            assert drawn(position) == rows


def test_a_snapback_is_no_ko():
    position = set_up("go:5", ".....", ".....", "XXX..", "OOOX.", "..OX.")
    play(position, "a1 b1")
    assert drawn(position)[-1] == ".OOX."
    play(position, "a1")
    assert drawn(position) == [".....", ".....", "XXX..", "...X.", "X..X."]


def test_the_placement_of_a_handicap_is_not_a_part_of_the_history():
    position = played("go:3,handicap=3,placement=free,komi=0", "a1 b2 c3")
    assert position.state[TURN] == 0
    assert play(position, "a2").state[TURN] == 1


# --- suicide


def test_suicide():
    rows = [".....", ".....", ".....", "OO...", "X.O.."]
    assert not is_legal(set_up("go:5", *rows), "b1")
    with pytest.raises(GameError, match="illegal move 'b1': the stone would have no liberty"):
        set_up("go:5", *rows).play_text("b1")
    position = set_up("go:5,suicide=yes", *rows)
    play(position, "b1")
    assert drawn(position) == [".....", ".....", ".....", "OO...", "..O.."]
    assert position.player == 1
    play(position, "pass")
    assert not is_legal(position, "a1")  # that was there before
    play(position, "b1 pass")
    assert not is_legal(position, "a1")  # and so was the position after this one


def test_a_single_stone_is_never_one_s_own_victim():
    rows = [".....", ".....", ".....", "O....", ".O..."]
    for ko in KO_RULES:
        position = set_up(f"go:5,suicide=yes,ko={ko}", *rows)
        assert not is_legal(position, "a1")
        assert position.game.planes(position.state)[FORBIDDEN].sum() == 0


# --- counting


SEKI = [".XXO.", "XXXOO", "XX.OO", "XXXOO", "XXXOO"]


def test_a_seki_by_area_and_by_territory():
    """Each has an eye, and whoever takes the common liberty is captured. Eyes count; the liberty is nobody's."""
    position = set_up("go:5,komi=3.5", *SEKI)
    assert position.game.points(position.state) == 14 - 10 - 3.5
    owners = np.zeros(25, np.int8)
    position.game.kernels.ownership(position.state, owners)
    assert owners.reshape(5, 5).tolist() == [[1, 1, 1, -1, -1], [1, 1, 1, -1, -1], [1, 1, 0, -1, -1]] + 2 * [
        [1, 1, 1, -1, -1]
    ]
    assert not position.game.pass_alive(position.state).any()
    play(position, "pass pass")
    assert position.outcome == FIRST_WINS
    position = set_up("go:5,komi=0,rules=japanese", *SEKI)
    assert position.game.points(position.state) == 0
    for taker, taken in (("c3", "a5"), ("pass c3", "e5")):
        position = play(set_up("go:5", *SEKI), f"{taker} {taken}")
        assert (position.game.board(position.state) == 1 + (taken == "e5")).sum() == 0


def test_komi_is_counted_in_halves():
    for komi, outcome in ((24.5, FIRST_WINS), (25, 2), (25.5, SECOND_WINS)):
        position = play(Position(games.load(f"go:5,komi={komi}")), "c3 pass pass")
        assert position.outcome == outcome
        assert position.game.points(position.state) == 25 - komi
        assert position.game.kernels.score(position.state) == 50 - 2 * komi
    assert played("go:5,komi=-0.5", "pass pass").outcome == FIRST_WINS
    assert played("go:5,komi=0", "pass pass").outcome == 2


def test_rules_that_give_white_the_handicap_back():
    for rules, points, bonus in (("chinese", 81 - 0.5 - 4, 4), ("aga", 81 - 0.5 - 3, 3), ("japanese", 77 - 0.5, 0)):
        position = played(f"go:9,komi=0.5,handicap=4,rules={rules}", "pass")
        assert position.game.points(position.state) == points
        assert position.game.handicap_bonus == bonus
        even = games.load(f"go:9,komi=0.5,rules={rules}")
        assert (even.points(even.new_state()), even.handicap_bonus) == (-0.5, 0)
    assert played("go:9,komi=0.5,handicap=4", "pass").game.points(played("go:9,komi=0.5,handicap=4", "").state) == 80.5


ALIVE = [".X.XO", "XXXXO", "OOOOO", ".O..O", "OOOOO"]


def test_territory_and_prisoners():
    position = set_up("go:5,komi=0,rules=japanese", *ALIVE)
    assert position.game.points(position.state) == 2 - 3
    play(position, "pass")
    assert position.game.pass_alive(position.state).tolist() == [[1, 1, 1, 1, -1], [1, 1, 1, 1, -1]] + 3 * [[-1] * 5]
    play(position, "pass")
    assert position.outcome == SECOND_WINS


def test_stones_in_what_is_unconditionally_alive_are_prisoners():
    position = set_up("go:5,komi=0,rules=japanese", ".X.XO", "XXXXO", "OOOOO", ".O.XO", "OOOOO")
    assert position.game.points(position.state) == 2 - 3 - 1
    owners = np.zeros(25, np.int8)
    position.game.kernels.ownership(position.state, owners)
    assert owners.tolist() == [1, 1, 1, 1, -1] * 2 + [-1] * 15
    play(position, "pass c2")  # or taken by a move: a prisoner more, a point of territory less
    assert drawn(position)[3] == ".OO.O"
    assert position.game.points(position.state) == 2 - 2 - 1


def test_what_is_agreed_to_be_dead_can_be_taken_off():
    rows = ["..XO.", "..XO.", "..XO.", ".OXO.", "..XO."]
    for rules, before, after in (("tromp-taylor", 5 - 11, 15 - 10), ("japanese", 0 - 5, 10 + 1 - 5)):
        position = set_up(f"go:5,komi=0,rules={rules}", *rows)
        game, state = position.game, position.state
        assert game.points(state) == before
        cleared = game.without(state, [16, 16, 0])
        assert game.points(cleared) == after
        assert drawn(position) == rows
        assert game.board(cleared)[3].tolist() == [0, 0, 1, 2, 0]


# --- unconditional life


def test_two_chains_that_share_two_eyes():
    rows = [".XO.X", "XXOXX", "OOOOO", ".....", "....."]
    game = games.load("go:5")
    assert not game.pass_alive(set_up("go:5", *rows).state).any()
    alive = game.pass_alive(set_up("go:5", ".XX.X", "XX.XX", "OOXX.", ".OO..", ".....").state)
    assert (alive[0] == 1).all()
    assert alive[1].tolist() == [1, 1, 1, 1, 1]


def random_settled_position(game, random):
    """The end of a game without passes in which nobody fills his eyes, and somebody often lives."""
    state = game.new_state()
    while game.outcome(state) == ONGOING:
        padded = np.pad(game.board(state), 1, constant_values=state[PLAYER] + 1) == state[PLAYER] + 1
        is_eye = (padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]).ravel()
        moves = [action for action in game.legal(state)[:-1].tolist() if not is_eye[action]]
        state = game.after(state, int(random.choice(moves)) if moves else game.size**2)
    return state


def test_what_is_alive_survives_however_often_its_owner_passes():
    """And nothing of the opponent's comes to live inside it."""
    random = np.random.default_rng(3)
    game, found = games.load("go:5,suicide=yes,limit=10000"), 0
    for _ in range(30):
        end = random_settled_position(game, random)
        owners = game.pass_alive(end)
        for player, sign in ((0, 1), (1, -1)):
            own = owners == sign
            if not own.any():
                continue
            found += 1
            stones = own & (game.board(end) == player + 1)
            for _ in range(3):
                state = play_from(game, end, 1 - player)
                for _ in range(60):
                    legal = game.legal(state)[:-1]
                    if not len(legal):
                        break
                    state = game.after(game.after(state, int(random.choice(legal))), game.size**2)
                    assert (game.board(state)[stones] == player + 1).all()
                    assert (game.pass_alive(state)[own] == sign).all()
    assert found > 15


def play_from(game, end, player):
    """The same stones in a new game, `player` to move."""
    state = set_up(game.spec, *("".join(".XO"[code] for code in row) for row in game.board(end))).state
    return game.after(state, game.size**2) if player else state


# --- parameters, the start, the end


@pytest.mark.parametrize(
    ("size", "handicap", "cells"),
    [
        (7, 3, "c5 e5 c3"),
        (8, 4, "c6 f6 c3 f3"),
        (9, 2, "g7 c3"),
        (9, 5, "c7 g7 e5 c3 g3"),
        (9, 6, "c7 g7 c5 g5 c3 g3"),
        (9, 7, "c7 g7 c5 e5 g5 c3 g3"),
        (12, 2, "j9 d4"),
        (13, 8, "d10 g10 k10 d7 k7 d4 g4 k4"),
        (19, 9, "d16 k16 q16 d10 k10 q10 d4 k4 q4"),
    ],
)
def test_fixed_handicaps_are_where_gnu_go_places_them(size, handicap, cells):
    game = games.load(f"go:{size},handicap={handicap}")
    state = game.new_state()
    black = np.flatnonzero(game.board(state)).tolist()
    assert [game.cell_to_text(cell) for cell in black] == cells.split()
    assert game.board(state).max() == 1
    assert state[PLAYER] == 1


def test_a_free_handicap_is_black_s_first_moves():
    position = Position(games.load("go:9,handicap=3,placement=free"))
    game = position.game
    for left, move in ((3, "e5"), (2, "c3"), (1, "g7")):
        assert position.player == 0
        assert not is_legal(position, "pass")
        assert np.allclose(game.planes(position.state)[TO_PLACE], left / 10)
        play(position, move)
    assert position.player == 1
    assert is_legal(position, "pass")
    assert (game.planes(position.state)[TO_PLACE] == 0).all()
    play(position, "e4")
    assert position.player == 0
    while position.undo():
        pass
    assert position.legal_actions() == list(range(81))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("go:1", "size is from 2 to 19, got 1"),
        ("go:20", "size is from 2 to 19, got 20"),
        ("go:9,komi=7.25", "komi goes in steps of 0.5"),
        ("go:9,rules=ing", "rules is one of tromp-taylor, chinese, japanese, aga; got 'ing'"),
        ("go:9,handicap=1", "go: fixed handicap of size 9 is 0 or from 2 to 9 stones, got 1"),
        ("go:8,handicap=5", "go: fixed handicap of size 8 is 0 or from 2 to 4 stones, got 5"),
        ("go:5,handicap=2", "go: fixed handicap of size 5 is 0 stones, got 2"),
        ("go:2,handicap=4,placement=free", "go: free handicap of size 2 is 0 or from 2 to 3 stones, got 4"),
        ("go:9,handicap=9,limit=9", "go: limit is more than the 9 handicap stones, got 9"),
    ],
)
def test_parameters_that_do_not_go_together(spec, message):
    with pytest.raises(GameError, match=message):
        games.load(spec)


def test_the_start():
    game = games.load("go")
    assert (game.size, game.komi, game.label) == (9, 7.5, "go")
    assert games.load("go:19,komi=7.5,rules=chinese").label == "go:size=19,rules=chinese"
    assert game.legal(game.new_state()).tolist() == list(range(82))
    assert game.points(game.new_state()) == -7.5


def test_the_end():
    assert played("go:9", "pass").outcome == ONGOING
    assert played("go:9", "pass e5 pass").outcome == ONGOING
    assert played("go:9", "e5 pass pass").outcome == FIRST_WINS
    assert played("go:9,limit=3", "e5 a1").outcome == ONGOING
    assert played("go:9,limit=3,komi=0", "e5 a1 a2").outcome == FIRST_WINS
    assert games.load("go:9").max_plies == 243
    longest = max(len(recording.actions) for recording in record_games(games.load("go:3,limit=20,komi=0"), 200))
    assert longest == 20


def test_notation_has_no_column_i():
    position = played("go:19", "j1 t19 h10")
    assert position.actions == [18 * 19 + 8, 18, 9 * 19 + 7]
    assert position.moves_text() == ["j1", "t19", "h10"]
    assert not is_legal(position, "i5")
    assert position.game.render(position.state).splitlines()[0].split() == list("abcdefghjklmnopqrst")
    with pytest.raises(GameError, match="illegal move 'H10': there is a stone"):
        position.play_text("H10")
    with pytest.raises(GameError, match="illegal move 'u1': expected one of a19, b19"):
        position.play_text("u1")


def test_what_the_network_sees():
    position = played("go:9,komi=6.5", "c3 g7 e5 pass c7 d4")
    planes = position.game.planes(position.state)
    recent = [np.argwhere(plane).tolist() for plane in planes[MOVES : MOVES + 5]]
    assert recent == [[[5, 3]], [[2, 2]], [], [[4, 4]], [[2, 6]]]
    assert np.allclose(planes[KOMI_PLANE], 0.5 - 6.5 / 40)
    assert not planes[[PASSED, TERRITORY, LESS_SUPERKO, MAY_SUICIDE, TO_PLACE]].any()
    play(position, "pass")
    planes = position.game.planes(position.state)
    assert np.allclose(planes[KOMI_PLANE], 0.5 + 6.5 / 40)
    assert (planes[PASSED] == 0.5).all()
    planes = (game := games.load("go:5,rules=japanese,ko=simple,suicide=yes,komi=100")).planes(game.new_state())
    assert (planes[[KOMI_PLANE, TERRITORY, LESS_SUPERKO, MAY_SUICIDE]].mean((1, 2)) == [0, 1, 1, 1]).all()
    situational = games.load("go:5,ko=situational")
    assert (situational.planes(situational.new_state())[LESS_SUPERKO] == 0.5).all()


def test_prisoners_are_seen_where_they_count():
    for rules, points in (("japanese", 1), ("chinese", 0)):
        position = played(f"go:5,komi=0,rules={rules}", "a2 a1 b1")
        assert drawn(position)[-1] == ".X..."
        planes = position.game.planes(position.state)
        assert np.allclose(planes[KOMI_PLANE], 0.5 - points / 40)
