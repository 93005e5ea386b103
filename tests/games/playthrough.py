"""Recorded games: one of random moves for every game, written to tests/data/playthroughs/ and compared by the tests.

A change of the rules, the notation, the drawing or the planes shows as a difference of the file. Where it was meant:

    python tests/games/playthrough.py othello       writes the file anew (all games where none is named)
    python tests/games/playthrough.py --print hex   prints it
"""

import random
import sys
import zlib

from keima import games
from keima.games.contract import DRAW, Game
from keima.games.position import Position
from tests.paths import DATA

FOLDER = DATA / "playthroughs"
BOARD_EVERY = 10  # plies


def playthrough(game: Game) -> str:
    """The text of one game: for each ply the side, how many actions are legal, a checksum of the planes, the move."""
    choices = random.Random(1)
    position = Position(game)
    lines = [f"{game.label}: {game.num_actions} actions, planes {game.num_planes} x {game.shape}"]
    while not position.is_over:
        ply, state = len(position.actions), position.state
        if ply % BOARD_EVERY == 0:
            lines += ["", game.render(state), ""]
        legal = position.legal_actions()
        action = choices.choice(sorted(legal))
        checksum = zlib.crc32(game.planes(state).tobytes())
        side, move = game.players[position.player], game.action_to_text(state, action)
        lines.append(f"ply {ply}, {side}: {len(legal)} legal, planes {checksum:08x}, plays {move} (action {action})")
        position.play(action)
    result = "draw" if position.outcome == DRAW else f"{game.players[position.outcome]} wins"
    lines += ["", game.render(position.state), "", f"{result} after {len(position.actions)} plies"]
    if game.has_score:
        lines.append(f"score {game.points(position.state):g}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    printing = "--print" in arguments
    for name in [a for a in arguments if not a.startswith("-")] or games.names():
        text = playthrough(games.load(name))
        if printing:
            sys.stdout.write(text)
        else:
            (FOLDER / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
