"""What the screen's tests have in common."""

import shutil

import pytest

from keima.agent.players import factory
from tests.agent.terminal.screen.driving import (
    FirstMove,
    Tmux,
)


@pytest.fixture(autouse=True)
def first_move(monkeypatch):
    """All players are this one."""
    player = FirstMove()
    monkeypatch.setattr(factory, "make_player", lambda text, game, **options: player)
    monkeypatch.setattr(factory, "check_player", lambda text: None)
    return player


@pytest.fixture
def tmux(tmp_path):
    """Starts commands in terminals."""
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux (Debian: apt install tmux)")
    started = []

    def start(command: str, size=(90, 30)) -> Tmux:
        terminal = Tmux(tmp_path, command, size)
        started.append(terminal)
        return terminal

    yield start
    for terminal in started:
        terminal.close()
