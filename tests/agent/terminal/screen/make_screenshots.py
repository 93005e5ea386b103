"""Makes the pictures of the screen in tests/data/screens: python tests/agent/terminal/screen/make_screenshots.py
[FOLDER]

Each is a game against the net or the search, played by keys, with the analysis on. PNG needs cairosvg, which is no
dependency, and the font DejaVu Sans Mono; without cairosvg SVG files are written, which are three times as large.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from keima.agent.terminal.match_setup import PlayerChoice, Setting
from keima.agent.terminal.screen.app import KeimaApp
from tests.paths import DATA

FOLDER = DATA / "screens"
HANGS_S = 120
POLL_S = 0.1


@dataclass(frozen=True)
class Picture:
    """One screen: a game, the moves that the user types, and what is pressed then."""

    name: str
    game: str
    size: tuple[int, int]
    moves: str
    """In the game's notation: of both sides, or the user's where he plays against the net."""
    keys: tuple[str, ...]
    visits: int
    """How far the analysis is let go."""
    adviser: str | None = None
    against_net: bool = False


PICTURES = (
    Picture("connect4", "connect4", (120, 36), "4 4 4 3 2 6", ("f3", "pageup", "f5"), 3000, against_net=True),
    Picture("othello", "othello", (120, 36), "f5 d6 c3 d3 c4 f4 f6 f3 e6 e7", ("f3",), 2000, "rollout:500"),
    Picture("gomoku", "gomoku:9", (120, 36), "e5 d4 e4 e6 d5 f5 c5 b5", ("f3", "f5"), 2000),
)


async def settled(condition) -> None:
    """Waits until `condition()`."""
    waited_s = 0.0
    while not condition():
        await asyncio.sleep(POLL_S)
        waited_s += POLL_S
        assert waited_s < HANGS_S, "the screen hangs"


async def take(picture: Picture, folder: Path) -> None:
    """Writes one picture."""
    sides = (None, PlayerChoice()) if picture.against_net else (None, None)
    app = KeimaApp(Setting(picture.game, sides, PlayerChoice(picture.adviser)), is_chosen=True)
    async with app.run_test(size=picture.size) as pilot:
        await settled(lambda: app.table is not None and app.table.is_begun)
        table = app.table
        assert table is not None
        session = table.scheduler.session
        for move in picture.moves.split():
            await pilot.press(*move, "enter")
            await settled(lambda: not session.awaits_agent)
            assert session.last_move() is not None, f"{move} is not legal"
        await pilot.press(*picture.keys)
        await settled(lambda: not table.scheduler.is_answering and len(session.judgements) == session.plies + 1)

        def is_analysed() -> bool:
            info = table.scheduler.info_of(session.shown)
            return info is not None and (info.visits >= picture.visits or info.variations[0].proven)

        await settled(is_analysed)
        await pilot.pause()
        svg = app.export_screenshot(title=f"keima play {picture.game}")
    try:
        import cairosvg
    except ImportError:
        path = folder / f"{picture.name}.svg"
        path.write_text(svg)
        print(path, path.stat().st_size)
        return
    # Textual asks for a font from the web and stretches each text; cairosvg does neither.
    svg, path = svg.replace("Fira Code", "DejaVu Sans Mono"), folder / f"{picture.name}.png"
    cairosvg.svg2png(bytestring=svg.encode(), write_to=str(path), output_width=1200)
    print(path, path.stat().st_size)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        asyncio.run(take(picture, folder))


if __name__ == "__main__":
    main()
