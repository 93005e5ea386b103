"""The line-by-line game, by scripts of what is typed and what must be answered."""

import io
import sys
import threading

import pytest

from agent import terminal
from agent.players import Candidate
from agent.terminal import Opponent, Progress, TerminalGame
from games import load
from games.contract import GameError


class FirstMove:
    """Plays the first legal action and has something to say about it."""

    name = "first"

    def choose(self, position):
        return position.legal_actions()[0]

    def analyse(self, position):
        first, *others = position.legal_actions()
        return [Candidate(first, 12, 0.5, 0.25), *(Candidate(action, 0, None, 0.1) for action in others)]


@pytest.fixture
def opponent(monkeypatch):
    """Makes opponents that are FirstMove, in the background as the real ones."""
    monkeypatch.setattr(terminal, "make_player", lambda name, game, **options: FirstMove())
    return lambda game: Opponent(game, "first", None, 0, Progress(lambda text: None, live=False))


def played(opponent, game_text, lines, *, human=0, interactive=True, colour=False) -> str:
    """Everything written in a game where `lines` are typed."""
    game, typed, written = load(game_text), iter(lines), io.StringIO()

    def read(prompt):
        written.write(prompt)
        line = next(typed, None)
        written.write(f"{line}\n")
        return line

    TerminalGame(
        game,
        opponent(game),
        human=human,
        read=read,
        write=written.write,
        interactive=interactive,
        colour=colour,
    ).run(wait_first=True)
    return written.getvalue()


def test_a_whole_game(opponent):
    text = played(opponent, "tictactoe", ["b2", "b3", "b1", "quit"])
    assert text == (
        "Type a move, or help.\n"
        "\n  a b c\n3 . . .\n2 . . .\n1 . . .\n\n"
        "Opponent: first.\n"
        "X (you)> b2\n"
        "\n  a b c\n3 . . .\n2 . X .\n1 . . .\n\n"
        "O plays a3\n"
        "\n  a b c\n3 O . .\n2 . X .\n1 . . .\n\n"
        "X (you)> b3\n"
        "\n  a b c\n3 O X .\n2 . X .\n1 . . .\n\n"
        "O plays c3\n"
        "\n  a b c\n3 O X O\n2 . X .\n1 . . .\n\n"
        "X (you)> b1\n"
        "\n  a b c\n3 O X O\n2 . X .\n1 . X .\n\n"
        "X wins: you win.\n"
        "new, undo or quit> quit\n"
        "Goodbye.\n"
    )


def test_the_second_side_is_answered_first_and_may_lose(opponent):
    text = played(opponent, "tictactoe", ["a2", "b2", "quit"], human=1)
    assert text.index("X plays a3") < text.index("O (you)> a2")
    assert "X wins: you lose.\n" in text


def test_undo_takes_back_the_move_and_its_answer(opponent):
    text = played(opponent, "tictactoe", ["undo", "b2", "undo", "board", "quit"])
    assert "there is no move of yours to take back\n" in text
    empty = "3 . . .\n2 . . .\n1 . . .\n"
    assert text.count(empty) == 3  # at the start, after undo, and shown again
    assert text.index("O plays a3") < text.rindex(empty)


def test_undo_after_the_end_goes_on_with_the_game(opponent):
    text = played(opponent, "tictactoe", ["b2", "b3", "b1", "undo", "c2", "quit"])
    assert text.index("you win") < text.index("X (you)> c2")
    assert text.count("O plays") == 3


def test_undo_for_the_second_side_keeps_the_opponents_first_move(opponent):
    text = played(opponent, "tictactoe", ["undo", "b2", "undo", "quit"], human=1)
    assert "there is no move of yours to take back\n" in text
    assert text.rindex("3 X . .\n2 . . .\n1 . . .\n") > text.index("O (you)> b2")


def test_hint_moves_help_new_and_swap(opponent):
    text = played(opponent, "tictactoe", ["HINT", "moves", "help", "?", "", "b2", "new", "swap", "quit"])
    assert "    a3   policy 25%, searched 12 times, expected score 75%\n    b3   policy 10%\n" in text
    assert "X (you)> moves\na3 b3 c3 a2 b2 c2 a1 b1 c1\n" in text
    assert text.count(terminal.HELP) == 2
    assert text.rindex("X plays a3") > text.index("You are O now.")
    assert text.rstrip().endswith("O (you)> quit\nGoodbye.")


def test_a_mistake_is_explained_and_the_move_asked_for_again(opponent):
    text = played(opponent, "tictactoe", ["b2", "b2", "z9", "b3", "b1", "c1", "hint", "quit"])
    assert "illegal move 'b2': expected one of b3, c3, a2, c2, a1, b1, c1\n" in text
    assert "illegal move 'z9'" in text
    assert "the game is over: expected new, undo, swap or quit, got 'c1'\n" in text
    assert "the game is over: there is no move to hint at\n" in text


def test_in_a_pipe_a_mistake_ends_the_game(opponent):
    with pytest.raises(GameError, match="illegal move 'b9': expected one of a3, b3"):
        played(opponent, "tictactoe", ["b9", "b1"], interactive=False)


def test_in_a_pipe_an_early_end_is_an_error_and_a_late_one_is_not(opponent):
    with pytest.raises(GameError, match="the input ended before the game, after 2 moves"):
        played(opponent, "tictactoe", ["b2"], interactive=False)
    assert played(opponent, "tictactoe", ["b2", "b3", "b1"], interactive=False).endswith("Goodbye.\n")


def test_the_end_of_typed_input_is_polite(opponent):
    assert played(opponent, "tictactoe", ["b2"]).endswith("Goodbye.\n")


def test_forced_passes_are_played_on_both_sides(opponent):
    # The line of 4x4 Othello in which White has to pass.
    class Scripted(FirstMove):
        def choose(self, position):
            wanted = {1: "d2", 3: "d4", 5: "pass"}[len(position.actions)]
            return position.game.text_to_action(position.state, wanted)

    game = load("othello:4")
    opposite = opponent(game)
    opposite.player()
    opposite._player = Scripted()
    text = played(lambda game: opposite, "othello:4", ["d3", "d1", "b4", "a1", "quit"])
    assert "White plays pass" in text
    assert "Black wins: you win." in text


def test_colours_are_on_pieces_alone(opponent):
    text = played(opponent, "tictactoe", ["b2", "quit"], colour=True)
    assert "2 . \033[33mX\033[0m .\n" in text
    assert "3 \033[36mO\033[0m . .\n" in text
    assert "X (you)> " in text
    assert played(opponent, "hex:3", ["b2", "quit"], colour=True).count("\033[33mR\033[0m") == 2
    assert "\033" not in played(opponent, "tictactoe", ["b2", "quit"])


def test_an_opponent_that_cannot_be_made_is_told(monkeypatch):
    def fails(name, game, **options):
        raise GameError("the file is damaged")

    monkeypatch.setattr(terminal, "make_player", fails)
    with pytest.raises(GameError, match="the file is damaged"):
        played(lambda game: Opponent(game, "x", None, 0, Progress(str, live=False)), "tictactoe", ["b2"])


def test_the_board_does_not_wait_for_the_opponent(monkeypatch):
    released = threading.Event()

    def slow(name, game, **options):
        released.wait()
        return FirstMove()

    monkeypatch.setattr(terminal, "make_player", slow)
    game, written = load("tictactoe"), io.StringIO()
    lines = iter(["b2", "quit"])

    def read(prompt):
        assert "2 . . .\n" in written.getvalue()
        released.set()
        return next(lines)

    opponent = Opponent(game, "slow", None, 0, Progress(written.write, live=False))
    TerminalGame(game, opponent, human=0, read=read, write=written.write, interactive=True).run()
    assert "O plays a3" in written.getvalue()
    assert not opponent.is_loading


@pytest.mark.parametrize("live", [True, False])
def test_progress_speaks_of_what_takes_long_only(live: bool):
    written, now_s = io.StringIO(), [10.0]
    progress = Progress(written.write, live=live, clock=lambda: now_s[0])

    def lasts(stage: str, *seconds: float) -> None:
        progress.begin(stage)
        for passing_s in seconds:
            now_s[0] += passing_s
            progress._tell_stage()

    lasts("compiling the search, once", 0.9)
    assert written.getvalue() == ""
    lasts("compiling the search, once", 0.9, 0.2, 1.0)
    lasts("something quick", 0.9)
    lasts("loading", 1.0)
    if live:
        assert written.getvalue() == (
            "\r\033[Kcompiling the search, once ... 1 s"
            "\r\033[Kcompiling the search, once ... 2 s"
            "\r\033[Kloading ... 1 s"
        )
    else:
        assert written.getvalue() == "compiling the search, once ...\nloading ...\n"


@pytest.mark.parametrize("live", [True, False])
def test_progress_is_shown_while_the_block_runs(monkeypatch, live: bool):
    monkeypatch.setattr(terminal, "PATIENCE_S", 0.0)
    written: list[str] = []
    told = threading.Event()

    def write(text: str) -> None:
        written.append(text)
        told.set()

    progress = Progress(write, live=live)
    progress.begin("loading")
    with progress.shown():
        told.wait()
    if live:
        assert written[0] == "\r\033[Kloading ... 0 s"
        assert written[-1] == "\r\033[K"  # nothing is left of it
    else:
        assert written == ["loading ...\n"]
    monkeypatch.setattr(terminal, "PATIENCE_S", 1e6)
    written.clear()
    with progress.shown():
        pass
    assert written == []


def test_play_connects_it_all_to_stdin_and_stdout(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("4\nundo\n3\nquit\n"))
    monkeypatch.setattr(terminal, "shipped_net", lambda game: None)
    terminal.play("connect4", opponent=None, simulations=20, human=0)
    text = capsys.readouterr().out
    assert text.startswith("No net under runs/ yet (`keima train connect4` makes one)")
    assert "Opponent: rollout:20." in text
    assert text.count("O plays") == 2
    assert "X (you)> 3\n" in text  # echoed, as a terminal would have shown it
    assert text.endswith("Goodbye.\n")
