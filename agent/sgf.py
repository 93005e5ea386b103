"""SGF, the Smart Game Format (FF[4], https://www.red-bean.com/sgf/), for records of Go and Gomoku.

sgfmill reads and writes the files; here moves become actions. Of a file with variations the main line is read, of one
with several games the first. What SGF cannot say of the game (Gomoku's stones in a row, Go's rules in detail) stands
in a property of Keima's own, KEIMA[gomoku:size=9,win=4], which other programs keep or ignore.
"""

import dataclasses
import re

from sgfmill.sgf import Node, Sgf_game

from agent.records import RESULTS, GameRecord, one_line
from games import load as load_game
from games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, Game, GameError
from games.position import Position

NUMBERS = {"go": b"1", "gomoku": b"4"}
"""SGF's numbers of the games it is read and written for here."""
_COLOURS = ("b", "w")  # by player: Black, who begins, is the first
_ENDINGS = {"R": "resignation", "T": "time", "F": "forfeit"}
_PASS = "pass"
_RULES = {  # SGF's RU, as far as files agree on the names, and what it means in Go's parameters
    "japanese": {"rules": "japanese", "ko": "simple"},
    "jp": {"rules": "japanese", "ko": "simple"},
    "korean": {"rules": "japanese", "ko": "simple"},
    "chinese": {"rules": "chinese"},
    "cn": {"rules": "chinese"},
    "tromp-taylor": {"rules": "tromp-taylor"},
}


def to_sgf(record: GameRecord) -> bytes:
    """The record as SGF in UTF-8. Raises GameError for a game that SGF is not written for here, or illegal moves."""
    game = record.game
    _check_name(game)
    record.position()  # says which move is not legal
    file = Sgf_game(size=game.shape[0], encoding="UTF-8")
    root = file.get_root()
    root.set_raw("GM", NUMBERS[game.name])
    root.set("AP", ("Keima", "1"))
    root.set("KEIMA", game.label)
    if hasattr(game, "komi"):
        root.set("KM", game.komi)
    for name, who in zip(("PB", "PW"), record.players, strict=True):
        if who:
            root.set(name, who)
    if record.date:
        root.set("DT", record.date)
    if result := _result_to_sgf(record):
        root.set("RE", result)
    stones = sorted(_black_cells(game))
    placed = _placed_handicap(game, len(stones), record.actions)
    if handicap := getattr(game, "handicap", 0):
        root.set("HA", handicap)
    if stones or placed:
        root.set("AB", [_point(game, cell) for cell in [*stones, *placed]])
    comments = [record.comments[ply] for ply in range(len(placed) + 1) if ply in record.comments]
    if comments:
        root.set("C", "\n".join(comments))
    position = Position(game)
    for ply, action in enumerate(record.actions, 1):
        player = position.player
        position.play(action)
        if ply > len(placed):
            node = file.extend_main_sequence()
            node.set_move(_COLOURS[player], _point(game, action))
            if ply in record.comments:
                node.set("C", record.comments[ply])
    return bytes(file.serialise())


def from_sgf(data: bytes, game: Game | None = None, source: str = "record") -> GameRecord:
    """Reads SGF; see `agent.records.load`. Raises GameError, saying which move is wrong, and why."""
    try:
        file = Sgf_game.from_bytes(data, override_encoding=_encoding(data))
        nodes = file.get_main_sequence()
        found = _game_of_file(file, game)
        return _read_nodes(found, nodes)
    except GameError as error:
        raise GameError(f"{source}: {one_line(str(error))}") from None  # it may quote the file
    except (ValueError, LookupError) as error:  # LookupError: an encoding that there is none of
        raise GameError(f"{source}: no sound SGF: {one_line(str(error)) or 'damaged'}") from None


def _check_name(game: Game) -> None:
    if game.name not in NUMBERS:
        raise GameError(f"SGF is for Go and Gomoku, not for {game.label}; expected a file name that ends in .keima.txt")


def _encoding(data: bytes) -> str | None:
    """UTF-8 where a file does not say its encoding and it fits; SGF's own default is Latin-1, which nobody keeps to."""
    if re.search(rb"CA\s*\[", data):
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "UTF-8"


def _text(node: Node, name: str) -> str:
    try:
        return str(node.get(name))
    except KeyError:
        return ""


def _game_of_file(file: Sgf_game, game: Game | None) -> Game:
    """The game that the file is of, its parameters from it. Raises GameError where that is not `game`, or is none."""
    root = file.get_root()
    number = root.get_raw("GM").strip() if root.has_property("GM") else b"1"
    name = next((name for name, its_number in NUMBERS.items() if its_number == number), None)
    if name is None:
        raise GameError(f"expected Go (GM[1]) or Gomoku (GM[4]), got GM[{number.decode('ascii', 'replace')[:20]}]")
    # Keima's own property holds more; in it must be the same game, since a record must not name a file to run.
    label = root.get_raw("KEIMA").decode("utf-8", "replace") if root.has_property("KEIMA") else ""
    if label.partition(":")[0] == name:
        found = load_game(label)
    elif game is not None and game.name == name:
        found = game  # what the file does not say, as the rules in detail, is the caller's
    else:
        found = _game_of_properties(name, file)
    if found.shape[0] != file.get_size():
        raise GameError(f"a board of size {file.get_size()}, expected {found.shape[0]}, that of {found.label}")
    if game is not None and game.label != found.label:
        raise GameError(f"a record of {found.label}, expected one of {game.label}")
    return found if game is None else game


def _game_of_properties(name: str, file: Sgf_game) -> Game:
    root = file.get_root()
    known = {field.name for field in dataclasses.fields(load_game(name))}
    parameters = {"size": str(file.get_size())}
    if root.has_property("KM"):
        parameters["komi"] = f"{root.get('KM'):g}"
    parameters |= _RULES.get(_text(root, "RU").lower(), {})
    handicap = _handicap(root)
    if handicap:
        parameters["handicap"] = str(handicap)
        fixed = load_game(f"{name}:" + ",".join(f"{k}={v}" for k, v in parameters.items() if k in known))
        given = {_cell(fixed, point) for point in root.get_setup_stones()[0]}
        if "placement" in known and given != _black_cells(fixed):
            parameters["placement"] = "free"
    return load_game(f"{name}:" + ",".join(f"{key}={value}" for key, value in parameters.items() if key in known))


def _handicap(root: Node) -> int:
    """How many stones Black was given: what HA says, else how many stand there from the beginning."""
    return int(root.get("HA")) if root.has_property("HA") else len(root.get_setup_stones()[0])


def _read_nodes(game: Game, nodes: list[Node]) -> GameRecord:
    root = nodes[0]
    position, comments = Position(game), dict[int, list[str]]()
    black, white, empty = root.get_setup_stones()
    missing = {_cell(game, point) for point in black} - _black_cells(game)
    if white or empty or len(missing) > getattr(game, "handicap", 0):
        raise GameError("stones set up before the first move, which only Go's handicap may be")
    for cell in sorted(missing):  # placed freely: the game's first moves
        position.play(cell)
    for node in nodes:
        if node is not root and node.has_setup_stones():
            raise GameError(f"stones set up after move {len(position.actions)}; expected moves alone")
        colour, point = node.get_move()
        if colour is not None:
            _play(position, colour, point)
        if comment := _text(node, "C"):
            comments.setdefault(len(position.actions), []).append(comment)
    result, ending = _result_from_sgf(_text(root, "RE"), position)
    return GameRecord(
        game,
        position.actions,
        (_text(root, "PB"), _text(root, "PW")),
        result,
        {ply: "\n".join(texts) for ply, texts in comments.items()},
        _text(root, "DT") or None,
        ending,
    )


def _play(position: Position, colour: str, point: tuple[int, int] | None) -> None:
    game, number = position.game, len(position.actions) + 1
    action = _cell(game, point)
    if position.is_over:
        if point is None:  # some rules have a third pass
            return
        raise GameError(f"move {number}: the game was over before it")
    if _COLOURS[position.player] != colour:
        mover = game.players[position.player]
        raise GameError(f"move {number}: it is {mover}'s turn, the move is {game.players[_COLOURS.index(colour)]}'s")
    try:
        if action not in position.legal_actions():
            written = _PASS if point is None else game.cell_to_text(action)
            game.text_to_action(position.state, written)  # raises, naming what would have been legal
            raise GameError(f"illegal move {written!r}")
        position.play(action)
    except GameError as error:
        raise GameError(f"move {number}: {error}") from None


def _black_cells(game: Game) -> set[int]:
    """Where Black has stones before the first move."""
    return {int(cell) for cell in (game.board(game.new_state()) == 1).reshape(-1).nonzero()[0]}


def _placed_handicap(game: Game, given: int, actions: list[int]) -> list[int]:
    """The first actions where they place Black's handicap, beyond the `given` stones that are there from the start."""
    return actions[: max(0, getattr(game, "handicap", 0) - given)]


def _point(game: Game, action: int) -> tuple[int, int] | None:
    """An action as sgfmill's (row, column), row 0 the lowest; None for a pass."""
    height, width = game.shape
    return None if action == height * width else (height - 1 - action // width, action % width)


def _cell(game: Game, point: tuple[int, int] | None) -> int:
    height, width = game.shape
    return height * width if point is None else (height - 1 - point[0]) * width + point[1]


def _result_to_sgf(record: GameRecord) -> str:
    """SGF's RE; empty where the result is not known."""
    if record.result == RESULTS[ONGOING]:
        return ""
    if record.result == RESULTS[DRAW]:
        return "0"
    winner = "B" if record.result == RESULTS[FIRST_WINS] else "W"
    points = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) points?", record.ending)
    letter = next((letter for letter, ending in _ENDINGS.items() if ending in record.ending), "")
    return f"{winner}+{points[1] if points else letter}"


def _result_from_sgf(text: str, position: Position) -> tuple[str, str]:
    """(result, ending) of a record. The file's result stands, since stones may have been agreed to be dead."""
    by_moves = RESULTS[position.outcome]
    winner, _, how = text.strip().partition("+")
    if text.strip().lower() in ("0", "draw", "jigo"):
        return RESULTS[DRAW], "" if by_moves == RESULTS[DRAW] else "as recorded"
    if winner.upper() not in ("B", "W") or "+" not in text:
        return by_moves, ""
    result = RESULTS[FIRST_WINS if winner.upper() == "B" else SECOND_WINS]
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", how):
        return result, f"{how} points"
    ending = _ENDINGS.get(how[:1].upper(), "")
    return result, ending or ("" if by_moves == result else "as recorded")
