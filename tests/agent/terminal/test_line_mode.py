"""The line-by-line game, by scripts of what is typed and what must be answered."""

import io
import sys
import threading

import pytest

from keima.agent.contracts.player import Resignation
from keima.agent.contracts.thinking import PrincipalVariation, SearchInfo, Thinker
from keima.agent.players import factory
from keima.agent.system.progress import Progress
from keima.agent.terminal import line_mode as terminal
from keima.agent.terminal.command_table import help_text
from keima.agent.terminal.line_mode import TerminalGame
from keima.agent.terminal.match import Match
from keima.agent.terminal.match_setup import PlayerChoice, Setting
from keima.games import load
from keima.games.contract import GameError

FIRST = PlayerChoice("first")
SILENT = Progress(lambda text: None, live=False)


class FirstMove(Thinker):
    """Plays the first legal action and has something to say about it."""

    name = "first"

    def choose(self, position):
        return position.legal_actions()[0]

    def think(self, position, limit=None, *, should_stop=None, report=None):
        first, *others = position.legal_actions()
        lines = [
            PrincipalVariation(first, 12, 0.5, 0.25, (first, *others[:1])),
            *(PrincipalVariation(a, 0, None, 0.1, (a,)) for a in others),
        ]
        return SearchInfo(tuple(lines), 12, 0.25, 0.5, (0.6, 0.3, 0.1), ((0, first),))

    def pick(self, info):
        return info.variations[0].action


@pytest.fixture(autouse=True)
def players_are(monkeypatch, request):
    """Has opponents be what the function makes, in the background as the real ones; FirstMove, if it is not called."""

    def are(make):
        monkeypatch.setattr(factory, "make_player", lambda name, game, **options: make())

    if "real_players" not in request.fixturenames:
        are(FirstMove)
    return are


@pytest.fixture
def real_players():
    """Opponents are what they are called."""


def match_of(game_text, sides):
    return Match(load(game_text), sides, FIRST, SILENT)


def played(game_text, lines, *, human=0, interactive=True, colour=False) -> str:
    """Everything written in a game where `lines` are typed; `human` is None where both sides are played."""
    written = io.StringIO()
    play_into(written, game_text, lines, human=human, interactive=interactive, colour=colour)
    return written.getvalue()


def play_into(written, game_text, lines, *, human=0, interactive=True, colour=False) -> None:
    """Writes what `played` returns, as far as it comes."""
    typed = iter(lines)

    def read(prompt):
        written.write(prompt)
        line = next(typed, None)
        written.write(f"{line}\n")
        return line

    sides = tuple(None if human in (side, None) else FIRST for side in (0, 1))
    TerminalGame(
        match_of(game_text, sides), read=read, write=written.write, interactive=interactive, colour=colour
    ).run(wait_first=True)


def test_a_whole_game():
    text = played("tictactoe", ["b2", "b3", "b1", "quit"])
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


def test_the_second_side_is_answered_first_and_may_lose():
    text = played("tictactoe", ["a2", "b2", "quit"], human=1)
    assert text.index("X plays a3") < text.index("O (you)> a2")
    assert "X wins: you lose.\n" in text


def test_undo_takes_back_the_move_and_its_answer():
    text = played("tictactoe", ["undo", "b2", "undo", "board", "quit"])
    assert "there is no move of yours to take back\n" in text
    empty = "3 . . .\n2 . . .\n1 . . .\n"
    assert text.count(empty) == 3  # at the start, after undo, and shown again
    assert text.index("O plays a3") < text.rindex(empty)


def test_undo_after_the_end_goes_on_with_the_game():
    text = played("tictactoe", ["b2", "b3", "b1", "undo", "c2", "quit"])
    assert text.index("you win") < text.index("X (you)> c2")
    assert text.count("O plays") == 3


def test_undo_for_the_second_side_keeps_the_opponents_first_move():
    text = played("tictactoe", ["undo", "b2", "undo", "quit"], human=1)
    assert "there is no move of yours to take back\n" in text
    assert text.rindex("3 X . .\n2 . . .\n1 . . .\n") > text.index("O (you)> b2")


def test_hint_moves_help_new_and_swap():
    text = played("tictactoe", ["HINT", "moves", "help", "?", "", "b2", "new", "swap", "quit"])
    assert "a3: score 75%, visits 12, policy 25%\nb3: policy 10%\n" in text
    assert "X (you)> moves\na3 b3 c3 a2 b2 c2 a1 b1 c1\n" in text
    assert text.count(help_text()) == 2
    assert text.rindex("X plays a3") > text.index("You are O now.")
    assert text.rstrip().endswith("O (you)> quit\nGoodbye.")


def test_a_mistake_is_explained_and_the_move_asked_for_again():
    text = played("tictactoe", ["b2", "b2", "z9", "b3", "b1", "c1", "hint", "quit"])
    assert "illegal move 'b2': expected one of b3, c3, a2, c2, a1, b1, c1\n" in text
    assert "illegal move 'z9'" in text
    assert "the game is over: expected new, undo, swap or quit, got 'c1'\n" in text
    assert "the game is over: there is no move to hint at\n" in text


def test_in_a_pipe_a_mistake_is_told_at_once_and_again_at_the_end():
    written = io.StringIO()
    with pytest.raises(GameError, match=r"1 line was refused: illegal move 'b9': expected one of a3, b3"):
        play_into(written, "tictactoe", ["b9", "b2", "b3", "b1"], interactive=False)
    text = written.getvalue()
    assert text.index("illegal move 'b9'") < text.index("X (you)> b2\n") < text.index("X wins: you win.")
    with pytest.raises(GameError, match="2 lines were refused, the first: illegal move 'b9'"):
        played("tictactoe", ["b9", "explian", "quit"], interactive=False)


def test_in_a_pipe_an_early_end_is_an_error_and_a_late_one_is_not():
    with pytest.raises(GameError, match=r"the input ended before the game, after 2 moves$"):
        played("tictactoe", ["b2"], interactive=False)
    with pytest.raises(GameError, match="after 2 moves; 1 line was refused: illegal move 'c9'"):
        played("tictactoe", ["b2", "c9"], interactive=False)
    assert played("tictactoe", ["b2", "b3", "b1"], interactive=False).endswith("Goodbye.\n")


def test_the_end_of_typed_input_is_polite():
    assert played("tictactoe", ["b2"]).endswith("Goodbye.\n")


def test_forced_passes_are_played_on_both_sides(players_are):
    # The line of 4x4 Othello in which White has to pass.
    class Scripted(FirstMove):
        def choose(self, position):
            wanted = {0: "d3", 1: "d2", 3: "d4", 5: "pass"}[len(position.actions)]
            return position.game.text_to_action(position.state, wanted)

    players_are(Scripted)
    text = played("othello:4", ["d3", "d1", "b4", "a1", "quit"])
    assert "White plays pass" in text
    assert "Black wins: you win." in text


def test_colours_are_on_pieces_alone():
    text = played("tictactoe", ["b2", "quit"], colour=True)
    assert "2 . \033[33mX\033[0m .\n" in text
    assert "3 \033[36mO\033[0m . .\n" in text
    assert "X (you)> " in text
    assert played("hex:3", ["b2", "quit"], colour=True).count("\033[33mR\033[0m") == 2
    assert "\033" not in played("tictactoe", ["b2", "quit"])


def test_an_opponent_that_cannot_be_made_is_told_alone_in_a_pipe(players_are):
    def fails():
        raise GameError("the file is damaged")

    players_are(fails)
    for interactive in (True, False):
        written = io.StringIO()
        with pytest.raises(GameError, match="the file is damaged"):
            play_into(written, "tictactoe", ["b2"], interactive=interactive)
        assert bool(written.getvalue()) == interactive  # somebody at the keyboard sees the board meanwhile


def test_the_board_does_not_wait_for_the_opponent(players_are):
    released = threading.Event()

    def slow():
        released.wait()
        return FirstMove()

    players_are(slow)
    written, match = io.StringIO(), match_of("tictactoe", (None, FIRST))
    lines = iter(["b2", "quit"])

    def read(prompt):
        assert "2 . . .\n" in written.getvalue()
        released.set()
        return next(lines)

    TerminalGame(match, read=read, write=written.write, interactive=True).run()
    assert "O plays a3" in written.getvalue()
    assert not match.agents[1].is_loading


def test_walking_back_and_forth_and_another_line():
    text = played("tictactoe", ["b2", "c2", "back 3", "forward", "back 1", "back", "go", "end", "quit"])
    assert "X (you)> back 3\n" in text
    assert "after 1 of 4 moves> forward" in text
    assert "after 2 of 4 moves> back 1" in text
    # With `go` the opponent answers the first position shown: nobody has moved there, so it is the user's turn.
    assert text.endswith("X (you)> end\n\n  a b c\n3 . . .\n2 . . .\n1 . . .\n\nX (you)> quit\nGoodbye.\n")


def test_a_move_made_in_an_earlier_position_leaves_out_what_followed():
    text = played("tictactoe", ["b2", "c2", "start", "a1", "back 9", "back", "back x", "quit"])
    assert text.rindex("3 O . .\n2 . . .\n1 X . .\n") < text.index("after 0 of 2 moves> back\n")
    assert "this is the first position\n" in text
    assert "expected a number of moves, got 'x'\n" in text


def test_both_sides_by_one_user():
    text = played("tictactoe", ["b2", "a3", "undo", "swap", "resign", "undo", "c3", "quit"], human=None)
    assert "plays" not in text
    assert "O> a3\n" in text
    assert "O> swap\nboth sides are yours" in text
    assert "O resigns. X wins.\n" in text
    assert text.rindex("3 . . O\n2 . X .\n") > text.index("resigns")


def test_resigning_against_an_opponent():
    text = played("tictactoe", ["b2", "resign", "resign", "a1", "new", "quit"])
    assert "X resigns. O wins: you lose.\n" in text
    assert "the game is over: there is nothing to resign\n" in text
    assert "the game is over: expected new, undo, swap or quit, got 'a1'\n" in text
    assert text.endswith("X (you)> quit\nGoodbye.\n")


def test_two_players_are_watched():
    written, lines = io.StringIO(), iter(["back", "quit"])
    match = match_of("tictactoe", (FIRST, FIRST))
    TerminalGame(match, read=lambda prompt: next(lines), write=written.write, interactive=False).run()
    text = written.getvalue()
    assert text.count(" plays ") == 7  # a3 b3 c3 a2 b2 c2 a1
    assert "X wins.\n" in text


def test_analysis_and_explanation():
    lines = ["b2", "analyse", "analyse 0.5", "analyse soon", "explain", "explain a1", "explain position", "quit"]
    text = played("tictactoe", lines)
    assert text.count("X to move: expected score 75%; the net alone: win 60%, draw 30%, loss 10%; 12 simulations") == 2
    assert "b3: score 75%, visits 12, policy 25%\n    then c3\n" in text
    assert "analyse: expected a number of seconds above 0, got 'soon'\n" in text
    assert "O's a3" in text.partition("explain\n")[2].splitlines()[0]
    assert "X's a1" in text.partition("explain a1\n")[2].splitlines()[0]
    assert text.partition("explain position\n")[2].splitlines()[0]


def test_a_word_that_is_nearly_a_command_is_not_taken_for_a_move():
    text = played("tictactoe", ["explian", "save", "hint b2", "quit"])
    assert "(did you mean `explain`?)\n" in text
    assert "save: expected FILE after it, as in `save game.keima.txt`\n" in text
    assert "hint: expected nothing after it, got 'b2'\n" in text


def test_a_game_is_saved_and_loaded(tmp_path):
    file = tmp_path / "game.keima.txt"
    lines = ["b2", f"save {file}", "new", f"load {file}", "b3", "quit"]
    text = played("tictactoe", lines)
    assert f"Saved to {file}.\n" in text
    assert "Loaded: human against first, 2 moves, *.\n" in text
    assert text.rindex("3 O X O\n2 . X .\n") > text.index("Loaded")
    missing = tmp_path / "other.keima.txt"
    assert "other.keima.txt: no such file\n" in played("tictactoe", [f"load {missing}", "quit"])


def test_after_loading_nobody_moves_until_told(tmp_path):
    file = tmp_path / "game.keima.txt"
    played("tictactoe", ["b2", f"save {file}", "quit"], human=None)
    text = played("tictactoe", [f"load {file}", "go", "quit"])
    assert text.index("O, a move or go> go") < text.index("O plays a3")


def test_play_connects_it_all_to_stdin_and_stdout(real_players, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("4\nundo\n3\nquit\n"))
    monkeypatch.setattr("keima.agent.nets.shipped.shipped_net", lambda game: None)
    theirs = PlayerChoice(simulations=20)
    terminal.play(Setting("connect4", (None, theirs), theirs))
    text = capsys.readouterr().out
    assert text.startswith("No net under runs/ yet (`keima train connect4` makes one)")
    assert text.index("Opponent: rollout:20.\n") < text.index("Type a move, or help.\n")
    assert text.count("O plays") == 2
    assert "X (you)> 3\n" in text  # echoed, as a terminal would have shown it
    assert text.endswith("Goodbye.\n")


def test_a_player_who_gives_up_and_one_who_forgets_between_games(players_are):
    forgotten = []

    class GivesUp(FirstMove):
        def choose(self, position):
            if len(position.actions) > 1:
                return Resignation("first resigns")
            return super().choose(position)

        def forget(self):
            forgotten.append(True)

    players_are(GivesUp)
    text = played("tictactoe", ["b2", "b3", "new", "b2", "quit"])
    assert "O resigns. X wins: you win." in text
    assert text.count("O plays a3") == 2
    assert forgotten == [True]
