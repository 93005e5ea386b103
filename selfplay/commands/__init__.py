"""The commands that train, measure and rate: `keima train`, `sweep`, `doctor`, `bench`, `plan`, `tournament`, `rate`.

Where `keima` begins: agent's commands join the same table, and nothing imports this. Each command imports what it needs
when it runs; see agent/command_line.py.
"""

import keima.agent.commands
import keima.selfplay.commands.measure
import keima.selfplay.commands.tournament
import keima.selfplay.commands.train  # noqa: F401 - all of them join the table
from keima.agent.command_line import app, main

__all__ = ["app", "main"]
