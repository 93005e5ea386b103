"""What a user can ask for in words, the same line by line and on the full screen.

Nothing here takes long to import: the full screen knows its commands before the rules are read.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """One thing a user can ask for in words."""

    name: str
    argument: str  # what follows the name, for the help; empty where nothing does
    help: str


COMMANDS = (
    Command("moves", "", "the legal moves"),
    Command("board", "", "the board again"),
    Command("hint", "", "the best moves here"),
    Command("analyse", "[SECONDS]", "the best moves with what is expected to follow"),
    Command("explain", "[MOVE]", "in words: the last move, one you think of, or `position`"),
    Command("undo", "", "takes back your last move and the answer to it"),
    Command("swap", "", "changes sides"),
    Command("resign", "", "gives the game up"),
    Command("new", "", "begins another game"),
    Command("save", "FILE", "writes the game to a file"),
    Command("load", "FILE", "reads a game from a file"),
    Command("back", "[MOVES]", "looks at earlier positions; a move made there starts a new line"),
    Command("forward", "[MOVES]", "the other way"),
    Command("start", "", "shows the first position"),
    Command("end", "", "shows the last position"),
    Command("go", "", "the game goes on from the position shown, after load or back"),
    Command("quit", "", "leaves"),
)
ALIASES = {"?": "help", "exit": "quit", "q": "quit", "analyze": "analyse"}
BY_NAME = {command.name: command for command in COMMANDS} | {"help": Command("help", "", "this text")}


def help_text() -> str:
    """What can be typed, a line each."""
    shown = [("a move", "in the game's notation, as `moves` lists them")]
    shown += [(f"{command.name} {command.argument}".rstrip(), command.help) for command in COMMANDS]
    width = max(len(usage) for usage, _ in shown)
    return "\n".join(f"{usage:<{width}}   {text}" for usage, text in shown)


def named_command(line: str) -> Command | None:
    """The command whose name a line begins with; None for a move."""
    name = line.strip().partition(" ")[0].lower()
    return BY_NAME.get(ALIASES.get(name, name))


def parse_command(line: str) -> tuple[Command, str] | None:
    """The command that a line asks for and what follows its name; None where it is none, as a move.

    Raises GameError for a command with too much or too little after it.
    """
    from keima.games.contract import GameError

    _, _, argument = line.strip().partition(" ")
    command = named_command(line)
    if command is None:
        return None
    argument = argument.strip()
    if argument and not command.argument:
        raise GameError(f"{command.name}: expected nothing after it, got {argument!r}")
    if not argument and command.argument and not command.argument.startswith("["):
        raise GameError(f"{command.name}: expected {command.argument} after it, as in `{command.name} game.keima.txt`")
    return command, argument


def count_of_moves(argument: str) -> int:
    """The number after `back` and `forward`, 1 by default. Raises GameError for anything else."""
    from keima.games.contract import GameError

    if argument and not (argument.isascii() and argument.isdigit()):
        raise GameError(f"expected a number of moves, got {argument!r}")
    return int(argument[:9]) if argument else 1
