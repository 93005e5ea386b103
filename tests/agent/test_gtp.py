"""GTP by transcripts, and by thousands of lines that no controller would send."""

import random

import pytest

from agent.gtp import GtpEngine
from agent.players import make_player
from games import load
from games.contract import Game, GameError


class FirstMove:
    """Plays the first legal action, so that transcripts do not depend on a search."""

    name = "first"

    def choose(self, position):
        return position.legal_actions()[0]


def engine(game: str, player_for=lambda game: FirstMove()) -> GtpEngine:
    return GtpEngine(load(game), player_for)


def transcript(game: str, text: str) -> None:
    """Plays a transcript: `> line`, then the response's lines, up to the next `>`; none where none is expected."""
    gtp = engine(game)
    for exchange in text.strip().split("> ")[1:]:
        line, _, expected = exchange.partition("\n")
        response = gtp.handle(line + "\n")
        if not expected.strip():
            assert response is None, line
        else:
            assert response is not None, line
            assert response.endswith("\n\n")
            assert "\n\n" not in response[:-2]
            shown = "\n".join(row.strip() for row in expected.strip().splitlines())
            assert "\n".join(row.strip() for row in response.strip().splitlines()) == shown, line


def test_connect4():
    transcript(
        "connect4",
        """
        > 1 protocol_version
        =1 2
        > name
        = Keima
        > 07 boardsize 7
        =07
        > boardsize 19
        ? unacceptable size
        > boardsize big
        ? boardsize not an integer
        > clear_board
        =
        > komi 6.5
        =
        > komi lots
        ? komi not a float
        > play black 4
        =
        > PLAY black 4
        ? unknown command
        > play black 4
        ? illegal move: white is to move
        > play W 4
        =
        > genmove b
        = 1
        > genmove b
        ? white is to move
        > 8 reg_genmove w
        =8 1
        > showboard
        =
        . . . . . . .
        . . . . . . .
        . . . . . . .
        . . . . . . .
        . . . O . . .
        X . . X . . .
        1 2 3 4 5 6 7
        white to move
        > undo
        =
        > undo
        =
        > undo
        =
        > undo
        ? cannot undo
        > final_score
        ? cannot score: the game is not over
        > time_settings 300 30 1
        =
        > time_left b 120 0
        =
        > quit
        =
        """,
    )


def test_tictactoe_to_the_end():
    transcript(
        "tictactoe",
        """
        > play b a1
        =
        > play w A1
        ? illegal move
        > play w B2
        =
        > play b a2
        =
        > play w d9
        ? invalid color or coordinate
        > play w pass
        ? invalid color or coordinate
        > play w c2
        =
        > play b a3
        =
        > final_score
        = B+
        > genmove w
        = resign
        > genmove b
        = pass
        > play w resign
        =
        > play w c3
        ? illegal move
        > showboard
        =
          a b c
        3 X . .
        2 X O O
        1 X . .
        over
        > undo
        =
        > genmove b
        = a3
        """,
    )


def test_othello_passes_and_counts():
    transcript(
        "othello:4",
        """
        > boardsize 5
        ? unacceptable size
        > boardsize 4
        =
        > play b d3
        =
        > play w pass
        ? illegal move
        > play w d2
        =
        > play b d1
        =
        > play w d4
        =
        > play b b4
        =
        > play w a1
        ? illegal move
        > genmove w
        = pass
        > undo
        =
        > play w PASS
        =
        > genmove b
        = a1
        > final_score
        = B+8
        > play w pass
        =
        > showboard
        =
          a b c d
        1 X . . X
        2 . X X X
        3 . X X X
        4 . X . O
        over
        > clear_board
        =
        > final_score
        ? cannot score: the game is not over
        """,
    )


def test_lines_are_preprocessed_as_the_protocol_asks():
    gtp = engine("connect4")
    assert gtp.handle("") is None
    assert gtp.handle(" \t \r\n") is None
    assert gtp.handle("# a comment\n") is None
    assert gtp.handle("3 # a comment\n") == "?3 syntax error\n\n"
    assert gtp.handle("\x07\x00 12\tna\x1bme # asks for it\r\n") == "=12 Keima\n\n"
    assert gtp.handle("12x name") == "? unknown command\n\n"
    assert gtp.handle("-1 name") == "? unknown command\n\n"
    assert gtp.handle("play") == "? syntax error\n\n"
    assert gtp.handle("play b") == "? syntax error\n\n"
    assert gtp.handle("play red 4") == "? invalid color or coordinate\n\n"
    assert gtp.handle("genmove") == "? syntax error\n\n"
    assert gtp.handle("time_settings 1 2") == "? syntax error\n\n"
    assert gtp.handle("time_left b soon 0") == "? syntax error\n\n"


def test_commands_are_listed_and_known():
    gtp = engine("connect4")
    listed = gtp.handle("list_commands")
    assert listed is not None
    commands = listed[2:].split()
    required = "protocol_version name version known_command list_commands quit boardsize clear_board komi play genmove"
    assert set(required.split()) <= set(commands)
    for command in commands:
        assert gtp.handle(f"known_command {command}") == "= true\n\n"
    assert gtp.handle("known_command loadsgf") == "= false\n\n"
    assert not gtp.finished
    assert gtp.handle("quit") == "=\n\n"
    assert gtp.finished


def test_another_board_size_is_another_game_with_its_own_player():
    sizes = []

    def player_for(game: Game):
        if game.shape[0] > 7:
            raise GameError("no net for that size")
        sizes.append(game.shape[0])
        return make_player("rollout:4", game)

    gtp = engine("hex:5", player_for)
    assert gtp.handle("play b a1") == "=\n\n"
    assert gtp.handle("boardsize 6") == "=\n\n"
    assert gtp.position.actions == []
    assert gtp.position.game.spec == "hex:size=6"
    assert gtp.handle("boardsize 8") == "? unacceptable size\n\n"
    assert gtp.handle("boardsize 0") == "? unacceptable size\n\n"
    assert gtp.position.game.spec == "hex:size=6"
    response = gtp.handle("genmove b")
    assert response is not None
    assert response.startswith("= ")
    assert sizes == [5, 6]


@pytest.mark.parametrize("game", ["connect4", "othello:4", "breakthrough:5,columns=3"])
def test_any_line_gets_a_wellformed_answer_or_none(game: str):
    random.seed(7)
    gtp = engine(game)
    words = [w for w in (gtp.handle("list_commands") or "")[2:].split() if w != "quit"]
    words += [
        "b",
        "w",
        "black",
        "WHITE",
        "pass",
        "resign",
        "a1",
        "b2",
        "c3xd4",
        "4",
        "7",
        "-3",
        "1e999",
        "nan",
        "#",
        "é",
    ]
    words += [
        "\x00",
        "\x7f",
        "\t",
        "=1",
        "?",
        "99999999999999999999",
        "²",
        "\udcff",
        "boardsize 4",
        "undo",
        "genmove b",
    ]
    played = 0
    for i in range(3000):
        if i % 3 == 0:  # lines that may well be right, so that games move on
            colour = "bw"[gtp.position.player]
            moves = [gtp.position.game.action_to_text(gtp.position.state, a) for a in gtp.position.legal_actions()]
            line = f"{i} play {colour} {random.choice([*moves, 'pass'])}" if i % 2 else f"genmove {colour}"
        elif i % 3 == 1:
            line = " ".join(random.choices(words, k=random.randrange(6)))
        else:
            line = "".join(chr(random.randrange(0x20, 0x3000) if random.random() < 0.3 else random.randrange(128))
                           for _ in range(random.randrange(40)))  # fmt: skip
        before = len(gtp.position.actions)
        response = gtp.handle(line)
        played += len(gtp.position.actions) > before
        if response is not None:
            assert response[0] in "=?"
            assert response.endswith("\n\n")
            assert "\n\n" not in response[:-2]
            if response[0] == "?":
                assert len(gtp.position.actions) == before, line
        if gtp.position.is_over and i % 5 == 0:
            gtp.handle("clear_board")
    assert played > 300
