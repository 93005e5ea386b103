"""Where the board and the panels stand in a window: side by side, one below the other, or one in place of the other."""

from dataclasses import dataclass

from keima.agent.terminal.screen.cell_positions import MOVES_WIDTH, board_size
from keima.agent.terminal.screen.move_cells import draws_itself
from keima.games.contract import Game

SMALLEST = (26, 6)
"""Columns and lines that are needed whatever the board."""
OTHER_LINES = 3
"""The top line, the command line, the keys."""
BESIDE, BELOW, INSTEAD = "beside", "below", "instead"
"""Where the panels are; INSTEAD: they have room in place of the board alone, for as long as they are looked at."""
SIDE_WIDTH, NARROW_SIDE_WIDTH, WIDEST_SIDE = 46, 36, 110
"""Columns of the panels beside the board: where there is room, at least, at most."""
ROOMY = 100
"""Columns of a window from which on the panels get SIDE_WIDTH."""
MARGIN = 4
"""Columns left free round the board where the panels take what it has no use for."""
LINES_BELOW = 8
"""Lines that the panels below the board need."""


@dataclass(frozen=True)
class Arrangement:
    """How a window of some size is used."""

    needed: tuple[int, int]
    """Columns and lines of the smallest window that holds the board."""
    is_too_small: bool
    panels: str = INSTEAD
    """One of BESIDE, BELOW, INSTEAD."""
    side_width: int = NARROW_SIDE_WIDTH
    """Columns of the panels where they are BESIDE."""
    board_height: int = 0
    """Lines of the board where the panels are BELOW."""


def arrange(game: Game | None, width: int, height: int) -> Arrangement:
    """What stands where in a window of so many columns and lines. `game`: None while it is being loaded."""
    sizes = () if game is None else (board_size(game, 10_000, 10_000, largest) for largest in (1, 2))
    board = next((size for size in sizes if size is not None), (0, 0))
    needed = max(board[0], SMALLEST[0]), max(board[1] + OTHER_LINES, SMALLEST[1])
    is_too_small = width < needed[0] or height < needed[1]
    lines = height - OTHER_LINES
    if game is None or is_too_small:
        return Arrangement(needed, is_too_small)
    if width >= needed[0] + NARROW_SIDE_WIDTH:
        least = SIDE_WIDTH if width >= max(needed[0] + SIDE_WIDTH, ROOMY) else NARROW_SIDE_WIDTH
        drawn = board_size(game, width - least, lines)
        wanted = MOVES_WIDTH if draws_itself(game) else 0
        unused = 0 if drawn is None else width - max(drawn[0], wanted) - MARGIN
        return Arrangement(needed, False, BESIDE, max(least, min(unused, WIDEST_SIDE)))
    above = board_size(game, width, lines - LINES_BELOW)
    return Arrangement(needed, False) if above is None else Arrangement(needed, False, BELOW, 0, above[1])
