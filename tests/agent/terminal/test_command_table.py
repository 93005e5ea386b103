"""What lines are taken for."""

import pytest

from keima.agent.terminal.command_table import count_of_moves, help_text, named_command, parse_command
from keima.games.contract import GameError


def test_commands():
    for line, name, argument in (
        ("HINT", "hint", ""),
        (" q ", "quit", ""),
        ("?", "help", ""),
        ("analyze 3", "analyse", "3"),
        ("save My Game.sgf", "save", "My Game.sgf"),
        ("back", "back", ""),
    ):
        command, found = parse_command(line)
        assert (command.name, found) == (name, argument)
    assert parse_command("b2") is None
    assert parse_command("") is None
    assert named_command("undo 2").name == "undo"
    with pytest.raises(GameError, match="load: expected FILE after it"):
        parse_command("load")
    with pytest.raises(GameError, match="undo: expected nothing after it, got '2'"):
        parse_command("undo 2")
    assert (count_of_moves(""), count_of_moves("3")) == (1, 3)
    for wrong in ("-1", "x", "1.5", "²"):
        with pytest.raises(GameError, match="expected a number of moves"):
            count_of_moves(wrong)
    assert all(line.strip() for line in help_text().splitlines())
