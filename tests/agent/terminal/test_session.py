"""A session at the board, without input or output."""

import pytest

from keima.agent.records.record import GameRecord
from keima.agent.terminal.session import Judgement, Session
from keima.games import load
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, GameError


def session_of(moves: str = "", humans=(True, False), game: str = "tictactoe") -> Session:
    """A session after moves, those of sides that are not the user's made by players."""
    session = Session(load(game), humans)
    for move in moves.split():
        action = session.game.text_to_action(session.position.state, move)
        session.play(action, by_human=session.humans[session.position.player])
    return session


def moves(session: Session) -> str:
    return " ".join(session.position.moves_text())


def test_whose_turn_it_is():
    session = session_of()
    assert not session.awaits_agent
    session.play_text("b2")
    assert session.awaits_agent
    with pytest.raises(GameError, match="it is O's turn, who is thinking"):
        session.play_text("a3")
    session.play(0, by_human=False)
    assert not session.awaits_agent
    session.swap()
    assert session.awaits_agent
    assert session.only_human == 1


def test_undo_takes_back_to_the_users_own_move():
    session = session_of("b2 a3 b3 c3")
    assert session.undo() == 2
    assert moves(session) == "b2 a3"
    assert session.undo() == 2
    with pytest.raises(GameError, match="no move of yours"):
        session.undo()
    session = session_of("b2 a3 b3", humans=(True, True))
    assert session.undo() == 1
    assert moves(session) == "b2 a3"
    watched = session_of("b2 a3", humans=(False, False))
    assert watched.undo() == 1
    with pytest.raises(GameError, match="there is no move to take back"):
        session_of(humans=(True, True)).undo()


def test_undo_while_the_player_thinks_takes_back_the_users_move_alone():
    session = session_of("b2 a3 b3")
    assert session.undo() == 1
    assert moves(session) == "b2 a3"


def test_undo_after_swapping_sides_takes_back_what_the_user_made():
    session = session_of("b2 a3")
    session.swap()
    session.play(1, by_human=False)
    assert session.undo() == 3
    assert moves(session) == ""


def test_walking_changes_nothing_and_a_move_leaves_out_what_followed():
    session = session_of("b2 a3 b3 c3")
    session.judgements = dict.fromkeys(range(5), Judgement(1, 0, 0))
    session.walk(-2)
    assert (session.shown_ply, moves(session)) == (2, "b2 a3 b3 c3")
    assert session.shown.moves_text() == ["b2", "a3"]
    assert not session.awaits_agent
    session.walk(1)
    with pytest.raises(GameError, match="action 4 is not legal here"):
        session.play(4)
    session.walk(-9)
    with pytest.raises(GameError, match="this is the first position"):
        session.walk(-1)
    session.show(99)
    with pytest.raises(GameError, match="this is the last position"):
        session.walk(1)
    session.show(2)
    session.play_text("c1")
    assert moves(session) == "b2 a3 c1"
    assert sorted(session.judgements) == [0, 1, 2]
    assert session.awaits_agent


def test_going_on_from_an_earlier_position():
    session = session_of("b2 a3 b3 c3")
    session.show(3)
    session.go()
    assert moves(session) == "b2 a3 b3"
    assert session.awaits_agent
    over = session_of("b2 a3 b3 c3 b1")
    with pytest.raises(GameError, match="nothing to go on with"):
        over.go()
    over.show(4)
    over.go()
    assert not over.is_over


def test_resigning_and_its_undoing():
    session = session_of("b2 a3")
    session.resign()
    assert session.outcome == SECOND_WINS
    assert session.verdict() == "X resigns. O wins: you lose."
    with pytest.raises(GameError, match="nothing to resign"):
        session.resign()
    with pytest.raises(GameError, match="the game is over"):
        session.play(1)
    assert session.undo() == 0
    assert session.outcome == ONGOING
    both = session_of("b2", humans=(True, True))
    both.resign()
    assert both.verdict() == "O resigns. X wins."


def test_a_position_before_a_resignation_can_be_played_on():
    session = session_of("b2 a3")
    session.resign()
    session.show(0)
    session.play_text("c3")
    assert moves(session) == "c3"
    assert not session.is_over


def test_verdicts():
    assert session_of("b2 a3 b3 c3 b1").verdict() == "X wins: you win."
    assert session_of("b2 a3 b3 c3 b1", humans=(False, True)).verdict() == "X wins: you lose."
    assert session_of("b2 a3 b3 c3 b1", humans=(False, False)).verdict() == "X wins."
    assert session_of("b2 a3 c3 a1 a2 c2 b1 b3 c1").verdict() == "The game is drawn."
    assert session_of("b2").verdict() == ""


def test_the_last_move():
    session = session_of("b2 a3")
    before, action = session.last_move()
    assert (before.moves_text(), before.game.action_to_text(before.state, action)) == (["b2"], "a3")
    session.show(0)
    assert session.last_move() is None


def test_records_there_and_back():
    session = session_of("b2 a3 b3")
    session.comments = {1: "the centre"}
    session.resign()
    record = session.record(("Ada", "Bob"))
    assert (record.players, record.result, record.ending) == (("Ada", "Bob"), "0-1", "resignation")
    other = session_of("a1", humans=(True, True))
    other.load(record)
    assert moves(other) == "b2 a3 b3"
    assert other.resigned == 0
    assert other.is_paused
    assert other.comments == {1: "the centre"}
    assert other.record(("human", "human")).players == ("Ada", "Bob")
    other.undo()
    other.undo()
    assert moves(other) == "b2 a3"


def test_a_record_of_another_game_or_with_an_illegal_move_changes_nothing():
    session = session_of("b2")
    with pytest.raises(GameError, match="a record of othello:size=6, expected one of tictactoe"):
        session.load(GameRecord(load("othello:6"), []))
    with pytest.raises(GameError, match="action 4 is not legal"):
        session.load(GameRecord(session.game, [4, 4]))
    assert moves(session) == "b2"


def test_after_loading_nobody_moves_until_told():
    session = session_of()
    session.load(GameRecord(session.game, [4]))
    assert not session.awaits_agent
    session.go()
    assert session.awaits_agent
    session.load(GameRecord(session.game, [4]))
    session.play_text("a1")  # even the other side's move, while it is paused
    assert not session.is_paused
    assert moves(session) == "b2 a1"


def test_swapping_needs_somebody_to_swap_with():
    with pytest.raises(GameError, match="both sides are yours"):
        session_of(humans=(True, True)).swap()


@pytest.mark.parametrize(
    ("player", "value", "draw", "expected"),
    [
        (0, 0.5, 0.2, (0.65, 0.2, 0.15)),
        (1, 0.5, 0.2, (0.15, 0.2, 0.65)),
        (0, 1.0, 0.3, (1.0, 0.0, 0.0)),
        (1, 1.5, 0.0, (0.0, 0.0, 1.0)),
        (0, 0.0, 1.0, (0.0, 1.0, 0.0)),
    ],
)
def test_judgements_are_the_first_players(player, value, draw, expected):
    judgement = Judgement.of(player, value, draw)
    assert (judgement.win, judgement.draw, judgement.loss) == pytest.approx(expected)


def test_judgements_of_finished_games():
    assert Judgement.of_outcome(FIRST_WINS) == Judgement(1, 0, 0)
    assert Judgement.of_outcome(DRAW) == Judgement(0, 1, 0)
    assert Judgement.of_outcome(SECOND_WINS) == Judgement(0, 0, 1)
