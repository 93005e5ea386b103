"""Which game an SGF file is of: its size, komi, rules and handicap as a game's parameters; see
`keima.agent.records.sgf`."""

import contextlib
import itertools
import json
import math
import re
from collections.abc import Callable

from sgfmill.sgf import Node, Sgf_game

from keima.agent.go.rules import parameters_of
from keima.agent.records.record import one_line
from keima.games import load as load_game
from keima.games.contract import Game, GameError
from keima.games.parameters import changed, has_parameter, playable_komi

NUMBERS = {"go": b"1", "gomoku": b"4"}
"""SGF's numbers of the games it is read and written for here."""
COLOURS = ("b", "w")  # by player: Black, who begins, is the first
KEIMA = "KEIMA"
Point = tuple[int, int]
"""sgfmill's: row and column, row 0 the lowest."""
_RULES = {  # SGF's RU, as far as files agree on the names, and what it means in Go's parameters
    "japanese": {"rules": "japanese", "ko": "simple"},
    "jp": {"rules": "japanese", "ko": "simple"},
    "korean": {"rules": "japanese", "ko": "simple"},
    "chinese": {"rules": "chinese"},
    "cn": {"rules": "chinese"},
    "aga": {"rules": "aga", "ko": "situational"},
    "bga": {"rules": "aga", "ko": "situational"},
    "french": {"rules": "aga", "ko": "situational"},
    "tromp-taylor": {"rules": "tromp-taylor"},
    "tromp taylor": {"rules": "tromp-taylor"},
    "nz": {"ko": "situational", "suicide": "yes"},
    "new zealand": {"ko": "situational", "suicide": "yes"},
    "goe": {"rules": "chinese", "suicide": "yes"},
    "ing": {"rules": "chinese", "suicide": "yes"},
}
_KATAGO = re.compile(
    r"ko(positional|situational|simple)score(area|territory)(?:tax(none|seki|all))?sui([01])"
    r"(?:button([01]))?(?:whb(0|n-1|n))?(?:fpok[01]?)?"
)
"""How KataGo writes its rules, in lower case."""


def game_of_file(
    file: Sgf_game, game: Game | None, base: Game | None = None, warn: Callable[[str], object] = lambda line: None
) -> Game:
    """The game that the file is of, its parameters from it. Raises GameError where that is not `game`, or is none.

    base, warn: see `keima.agent.records.sgf.from_sgf`.
    """
    root = file.get_root()
    number = root.get_raw("GM").strip() if root.has_property("GM") else b"1"
    name = next((name for name, its_number in NUMBERS.items() if its_number == number), None)
    if name is None:
        raise GameError(f"expected Go (GM[1]) or Gomoku (GM[4]), got GM[{number.decode('ascii', 'replace')[:20]}]")
    # Keima's own property holds more; in it must be the same game, since a record must not name a file to run.
    label = root.get_raw(KEIMA).decode("utf-8", "replace") if root.has_property(KEIMA) else ""
    if label.partition(":")[0] == name:
        found = load_game(label)
    elif game is not None and game.name == name:
        found = game  # what the file does not say, as the rules in detail, is the caller's
    else:
        found = _game_of_properties(base if base is not None and base.name == name else load_game(name), file, warn)
    if found.shape[0] != file.get_size():
        raise GameError(f"a board of size {file.get_size()}, expected {found.shape[0]}, that of {found.label}")
    if game is not None and game.label != found.label:
        raise GameError(f"a record of {found.label}, expected one of {game.label}")
    return found if game is None else game


def _game_of_properties(base: Game, file: Sgf_game, warn: Callable[[str], object]) -> Game:
    root, nodes = file.get_root(), file.get_main_sequence()
    black, white = setup_stones(nodes)
    size = file.get_size()
    parameters = {"size": str(size), "handicap": "0", "placement": "fixed", "limit": "0"}
    komi = _komi(root)
    if komi is not None and has_parameter(base, "komi"):
        parameters["komi"] = playable_komi(base, komi)
    parameters |= _rules(base, one_line(text_of(root, "RU")), warn)
    longest = _num_moves(nodes) + 2 * max(len(black), len(white))
    by_default = 3 * size**2
    if longest >= by_default:  # the last move of the file is not what ends the game
        parameters["limit"] = str(longest + by_default)
    handicap = _handicap(root, nodes)
    if handicap < 2:  # one stone is no more than the right to move first
        return _changed(base, parameters)
    parameters["handicap"] = str(handicap)
    with contextlib.suppress(GameError):  # more stones than there are fixed points
        fixed = _changed(base, parameters)
        stones = {cell_of(fixed, point) for point in black}
        if stones == black_cells(fixed) or (not stones and first_colour(nodes) != "b"):
            return fixed
    return _changed(base, {**parameters, "placement": "free"})


def _changed(base: Game, parameters: dict[str, str]) -> Game:
    return changed(base, **{name: value for name, value in parameters.items() if has_parameter(base, name)})


def _rules(base: Game, text: str, warn: Callable[[str], object]) -> dict[str, str]:
    """The parameters that rules mean: by name, as KataGo writes them, or as a JSON object; none for unknown ones."""
    name, as_json = text.lower().removesuffix("rules").strip(), text
    if not name or name in _RULES:
        return _RULES.get(name, {})
    if found := _KATAGO.fullmatch(name):
        ko, scoring, tax, suicide, button, bonus = found.groups()
        said = {"ko": ko.upper(), "scoring": scoring.upper(), "tax": (tax or "none").upper(), "suicide": suicide == "1"}
        as_json = json.dumps({**said, "hasButton": button == "1", "whiteHandicapBonus": (bonus or "0").upper()})
    with contextlib.suppress(GameError):
        if as_json.startswith("{"):
            return parameters_of(base, as_json)
    warn(f"rules that are not known, {text[:60]!r}: those there were are kept")
    return {}


def _number(node: Node, name: str) -> float | None:
    """A property's number; None where there is none. Raises ValueError for what is not one."""
    text = raw_text(node, name).strip().replace(",", ".")
    if not text:
        return None
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a number, got {text}")
    return number


def _komi(root: Node) -> float | None:
    """White's compensation in points; None where the file does not say.

    Fox's server writes hundredths (KM[650] is 6.5), and where komi is told in stones, as it is in China, half of the
    points (KM[375], elsewhere KM[3.75], is 7.5): quarters tell that.
    """
    komi = _number(root, "KM")
    if komi is None:
        return None
    if komi % 1 == 0 and abs(komi) >= 100:
        komi /= 100
    return 2 * komi if (4 * komi) % 2 == 1 else komi


def raw_text(node: Node, name: str) -> str:
    return node.get_raw(name).decode("ascii", "replace") if node.has_property(name) else ""


def _num_moves(nodes: list[Node]) -> int:
    """How many moves there are, with the passes of who does not move in between."""
    colours = [colour for node in nodes if (colour := colour_of(node)) is not None]
    return len(colours) + sum(before == after for before, after in itertools.pairwise(["w", *colours]))


def _handicap(root: Node, nodes: list[Node]) -> int:
    """How many stones Black was given; 0 where the stones set up are a position rather than that."""
    black, white = setup_stones(nodes)
    said = _number(root, "HA")
    if white:
        return 0
    if not black:  # it places them by its first moves
        return int(said or 0)
    if said is None and first_colour(nodes) == "b":
        return 0
    return len(black) if said in (None, len(black)) else 0


def first_move(nodes: list[Node]) -> int:
    """The number of the node with the first move; of none there is."""
    return next((k for k, node in enumerate(nodes) if colour_of(node) is not None), len(nodes))


def setup_stones(nodes: list[Node]) -> tuple[set[Point], set[Point]]:
    """Black's and White's stones that are set up before the first move, in one node or several."""
    black, white = set[Point](), set[Point]()
    for node in nodes[: first_move(nodes) + 1]:
        added = node.get_setup_stones()
        for stones, own in ((black, added[0]), (white, added[1])):
            stones.difference_update(*added)
            stones.update(own)
    return black, white


def first_player(nodes: list[Node]) -> int | None:
    """Whose turn it is once stones are set up: as the file says, else who makes the first move; None without one."""
    said = [text for node in nodes[: first_move(nodes) + 1] if (text := raw_text(node, "PL").strip().lower()[:1])]
    colour = said[-1] if said and said[-1] in COLOURS else first_colour(nodes)
    return None if colour is None else COLOURS.index(colour)


def first_colour(nodes: list[Node]) -> str | None:
    """Whose the first move is; None where there is none."""
    return next((colour for node in nodes if (colour := colour_of(node)) is not None), None)


def colour_of(node: Node) -> str | None:
    return next((colour for colour in COLOURS if node.has_property(colour.upper())), None)


def text_of(node: Node, name: str) -> str:
    try:
        return str(node.get(name))
    except KeyError:
        return ""


def black_cells(game: Game) -> set[int]:
    """Where Black has stones before the first move."""
    return {int(cell) for cell in (game.board(game.new_state()) == 1).reshape(-1).nonzero()[0]}


def cell_of(game: Game, point: Point | None) -> int:
    height, width = game.shape
    return height * width if point is None else (height - 1 - point[0]) * width + point[1]
