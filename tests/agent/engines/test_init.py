"""Commands and the errors that engines raise."""

import pytest

from keima.agent.engines import EngineError, Fault, program_and_arguments
from keima.games.contract import GameError


def test_commands_are_split_as_a_shell_would(tmp_path, monkeypatch):
    program = tmp_path / "my engine"
    program.write_text("")
    program.chmod(0o755)
    assert program_and_arguments(f"'{program}' --level 3 'two words'") == [str(program), "--level", "3", "two words"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert program_and_arguments("'~/my engine'") == [str(program)]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program_and_arguments("my\\ engine") == [str(program)]
    with pytest.raises(GameError, match="got an empty text"):
        program_and_arguments(" ")


def test_an_error_is_one_line_for_the_user():
    error = EngineError("GNU Go", Fault.CRASHED, "crashed:\n  it fell")
    assert str(error) == "GNU Go crashed: it fell"
    assert isinstance(error, GameError)
    assert error.fault is Fault.CRASHED
