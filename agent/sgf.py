"""SGF, the Smart Game Format (FF[4], https://www.red-bean.com/sgf/), for records of Go and Gomoku.

sgfmill reads and writes the files; here moves become actions. Of a file with variations the main line is read, of one
with several games the first. What SGF cannot say of the game (Gomoku's stones in a row, Go's rules in detail) stands
in a property of Keima's own, KEIMA[gomoku:size=9,win=4], which other programs keep or ignore.

Stones set up before the first move become moves, too, with passes between them where one side has more; the record
says how many they are. Moves after two passes, as where players did not agree on what is dead, go on from before these.
"""

import contextlib
import dataclasses
import math
import re

from sgfmill.sgf import Node, Sgf_game

from agent.manners import is_end_by_passes, placed_stones
from agent.parameters import changed
from agent.records import RESULTS, GameRecord, one_line
from games import load as load_game
from games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, Game, GameError
from games.position import Position

NUMBERS = {"go": b"1", "gomoku": b"4"}
"""SGF's numbers of the games it is read and written for here."""
_COLOURS = ("b", "w")  # by player: Black, who begins, is the first
_ENDINGS = {"R": "resignation", "T": "time", "F": "forfeit"}
_PASS = "pass"
_NO_LIBERTY = "stones set up before the first move: some have no liberty"
_KEIMA = "KEIMA"
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
    "nz": {"ko": "situational", "suicide": "yes"},
    "new zealand": {"ko": "situational", "suicide": "yes"},
    "goe": {"rules": "chinese", "suicide": "yes"},
    "ing": {"rules": "chinese", "suicide": "yes"},
}
_NAMES_OF_RULES = {"japanese": "Japanese", "chinese": "Chinese", "tromp-taylor": "Tromp-Taylor", "aga": "AGA"}
"""How RU is written."""


def to_sgf(record: GameRecord) -> bytes:
    """The record as SGF in UTF-8. Raises GameError for a game that SGF is not written for here, or illegal moves."""
    game = record.game
    _check_name(game)
    record.position()  # says which move is not legal
    file = Sgf_game(size=game.shape[0], encoding="UTF-8")
    root = file.get_root()
    root.set_raw("GM", NUMBERS[game.name])
    root.set("AP", ("Keima", "1"))
    root.set(_KEIMA, game.label)
    if hasattr(game, "komi"):
        root.set("KM", game.komi)
    if rules := _NAMES_OF_RULES.get(getattr(game, "rules", "")):
        root.set("RU", rules)
    for name, who in zip(("PB", "PW"), record.players, strict=True):
        if who:
            root.set(name, who)
    if record.date:
        root.set("DT", record.date)
    if result := _result_to_sgf(record):
        root.set("RE", result)
    before = max(record.setup, placed_stones(game) if len(record.actions) >= placed_stones(game) else 0)
    if handicap := getattr(game, "handicap", 0):
        root.set("HA", handicap)
    _set_stones(root, GameRecord(game, record.actions[:before]).position(), is_setup=record.setup > 0)
    comments = [text for ply, text in record.comments.items() if ply <= before]
    if comments:
        root.set("C", "\n".join(comments))
    position = Position(game)
    for ply, action in enumerate(record.actions, 1):
        player = position.player
        position.play(action)
        if ply > before:
            node = file.extend_main_sequence()
            node.set_move(_COLOURS[player], _point(game, action))
            if ply in record.comments:
                node.set("C", record.comments[ply])
    return bytes(file.serialise())


def from_sgf(data: bytes, game: Game | None = None, source: str = "record") -> GameRecord:
    """Reads SGF; see `agent.records.load`. Raises GameError, saying which move is wrong, and why."""
    try:
        # Some programs write the size of a square board twice.
        data = re.sub(rb"\bSZ\s*\[\s*([0-9]+)\s*:\s*\1\s*\]", rb"SZ[\1]", data)
        file = Sgf_game.from_bytes(data, override_encoding=_encoding(data))
        nodes = file.get_main_sequence()
        found = _game_of_file(file, game)
        try:
            return _read_nodes(found, nodes)
        except GameError:
            if game is not None or _KEIMA in file.get_root().properties() or getattr(found, "ko", "") != "positional":
                raise
            with contextlib.suppress(GameError):  # most files are of games without superko, and do not say so
                return _read_nodes(changed(found, ko="simple"), nodes)
            raise
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
    label = root.get_raw(_KEIMA).decode("utf-8", "replace") if root.has_property(_KEIMA) else ""
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
    root, nodes = file.get_root(), file.get_main_sequence()
    known = {field.name for field in dataclasses.fields(load_game(name))}
    size = file.get_size()
    parameters = {"size": str(size)}
    komi = _komi(root)
    if komi is not None:
        parameters["komi"] = f"{komi:g}"
    parameters |= _RULES.get(_text(root, "RU").strip().lower(), {})
    black, white, _ = root.get_setup_stones()
    longest = sum(_colour(node) is not None for node in nodes) + 2 * max(len(black), len(white))
    if longest > 3 * size**2:
        parameters["limit"] = str(longest)
    handicap = _handicap(root, nodes)
    if handicap < 2:  # one stone is no more than the right to move first
        return _load(name, parameters, known)
    parameters["handicap"] = str(handicap)
    with contextlib.suppress(GameError):  # more stones than there are fixed points
        fixed = _load(name, {**parameters, "placement": "fixed"}, known)
        stones = {_cell(fixed, point) for point in black}
        if stones == _black_cells(fixed) or (not stones and _first_colour(nodes) != "b"):
            return fixed
    return _load(name, {**parameters, "placement": "free"}, known)


def _load(name: str, parameters: dict[str, str], known: set[str]) -> Game:
    return load_game(f"{name}:" + ",".join(f"{key}={value}" for key, value in parameters.items() if key in known))


def _number(node: Node, name: str) -> float | None:
    """A property's number; None where there is none. Raises ValueError for what is not one."""
    text = _raw(node, name).strip().replace(",", ".")
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


def _raw(node: Node, name: str) -> str:
    return node.get_raw(name).decode("ascii", "replace") if node.has_property(name) else ""


def _handicap(root: Node, nodes: list[Node]) -> int:
    """How many stones Black was given; 0 where the stones set up are a position rather than that."""
    black, white, empty = root.get_setup_stones()
    said = _number(root, "HA")
    if white or empty:
        return 0
    if not black:  # it places them by its first moves
        return int(said or 0)
    if said is None and _first_colour(nodes) == "b":
        return 0
    return len(black) if said in (None, len(black)) else 0


def _first_colour(nodes: list[Node]) -> str | None:
    """Whose the first move is; None where there is none."""
    return next((colour for node in nodes if (colour := _colour(node)) is not None), None)


def _colour(node: Node) -> str | None:
    return next((colour for colour in _COLOURS if node.has_property(colour.upper())), None)


def _read_nodes(game: Game, nodes: list[Node]) -> GameRecord:
    root = nodes[0]
    position, comments = Position(game), dict[int, list[str]]()
    placed = _set_up(position, nodes)
    for node in nodes:
        if node is not root and node.has_setup_stones():
            raise GameError(f"stones set up after move {len(position.actions)}; expected moves alone")
        colour = _colour(node)
        if colour is not None:
            _play(position, colour, _move_of(node, position))
            # Where the game went on from before two passes, what was said of these is said of the move before.
            for ply in [ply for ply in comments if ply >= len(position.actions)]:
                comments.setdefault(len(position.actions) - 1, []).extend(comments.pop(ply))
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
        setup=placed,
    )


def _set_stones(root: Node, position: Position, *, is_setup: bool) -> None:
    """Writes the stones on the board as the file's first position. `is_setup`: whether they are more than handicap."""
    board = position.game.board(position.state).reshape(-1)
    for name, code in (("AB", 1), ("AW", 2)):
        cells = (board == code).nonzero()[0].tolist()
        if cells:
            root.set(name, [_point(position.game, cell) for cell in cells])
    if is_setup:
        root.set("PL", _COLOURS[position.player])


def _set_up(position: Position, nodes: list[Node]) -> int:
    """Plays the stones set up before the first move; returns how many moves that takes, beside a handicap's."""
    game, root = position.game, nodes[0]
    black, white, _ = ({_cell(game, point) for point in points} for points in root.get_setup_stones())
    missing = [sorted(black - _black_cells(game)), sorted(white)]
    free = placed_stones(game)
    if not white and (not missing[0] or len(missing[0]) == free):
        for cell in missing[0]:
            position.play(cell)
        if not root.has_property("PL") or position.player == _turn(root, nodes):
            return 0
    _expect_passes(position, free)
    passing = game.shape[0] * game.shape[1]
    left = [iter(cells) for cells in missing]
    try:
        for _ in range(2 * max(map(len, missing))):  # nobody passes twice in a row: the other side has stones then
            if _has_all(position, black | _black_cells(game), white):
                break
            position.play(next(left[position.player], passing))
        if position.player != _turn(root, nodes):
            position.play(passing)
    except GameError:
        raise GameError(_NO_LIBERTY) from None
    if not _has_all(position, black | _black_cells(game), white):
        raise GameError(_NO_LIBERTY)
    return len(position.actions)


def _has_all(position: Position, black: set[int], white: set[int]) -> bool:
    """Whether these are the stones on the board."""
    board = position.game.board(position.state).reshape(-1)
    return [set((board == code).nonzero()[0].tolist()) for code in (1, 2)] == [black, white]


def _expect_passes(position: Position, free: int) -> None:
    """Raises GameError in games where no position can be set up by moves."""
    passing = position.game.shape[0] * position.game.shape[1]
    if free or passing not in position.legal_actions():
        raise GameError("stones set up before the first move, which only Go's may be, and only its handicap freely")


def _turn(root: Node, nodes: list[Node]) -> int:
    """Whose turn it is after stones were set up: as the file says, else the first to move."""
    said = _raw(root, "PL").strip().lower()[:1] or _first_colour(nodes) or "b"
    return _COLOURS.index(said) if said in _COLOURS else 0


def _move_of(node: Node, position: Position) -> tuple[int, int] | None:
    try:
        return node.get_move()[1]  # type: ignore[no-any-return]
    except ValueError:
        number, written = len(position.actions) + 1, _raw(node, (_colour(node) or "").upper())
        raise GameError(f"move {number}: expected a point of the board or a pass, got {written[:20]!r}") from None


def _play(position: Position, colour: str, point: tuple[int, int] | None) -> None:
    game, number = position.game, len(position.actions) + 1
    action = _cell(game, point)
    if is_end_by_passes(position):
        if point is None:  # some rules have a third pass
            return
        position.undo()
        position.undo()
    if position.is_over:
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
