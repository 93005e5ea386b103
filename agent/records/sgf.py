"""SGF, the Smart Game Format (FF[4], https://www.red-bean.com/sgf/), for records of Go and Gomoku.

sgfmill reads and writes the files; here moves become actions. Of a file with variations the main line is read, of one
with several games the first. What SGF cannot say of the game (Gomoku's stones in a row, Go's rules in detail) stands
in a property of Keima's own, KEIMA[gomoku:size=9,win=4], which other programs keep or ignore.

Stones set up before the first move become moves, too, with passes between them where one side has more; the record
says how many they are. In Gomoku, which has no passes, they are the position that the game begins with, and any such
position is written so. Where a side moves twice in a row the other one passes in between. Moves after two passes, as
where players did not agree on what is dead, go on from before these.
"""

import contextlib
import re
from collections.abc import Callable

import numpy as np
from sgfmill.sgf import Node, Sgf_game

from keima.agent.players.pass_policy import is_end_by_passes, placed_stones, turned
from keima.agent.records.record import RESULTS, GameRecord, one_line
from keima.agent.records.sgf_games import (
    COLOURS,
    KEIMA,
    NUMBERS,
    Point,
    black_cells,
    cell_of,
    colour_of,
    first_move,
    first_player,
    game_of_file,
    raw_text,
    setup_stones,
    text_of,
)
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, Game, GameError
from keima.games.parameters import changed
from keima.games.position import Position

_ENDINGS = {"R": "resignation", "T": "time", "F": "forfeit"}
_PASS = "pass"
_NO_LIBERTY = "stones set up before the first move: some have no liberty"
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
    root.set(KEIMA, game.label)
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
    placed = 0 if record.start_text or len(record.actions) < placed_stones(game) else placed_stones(game)
    before = max(record.setup, placed)
    if handicap := getattr(game, "handicap", 0):
        root.set("HA", handicap)
    first = GameRecord(game, record.actions[:before], start_text=record.start_text).position()
    _set_stones(root, first, is_setup=record.setup > 0 or bool(record.start_text))
    comments = [text for ply, text in record.comments.items() if ply <= before]
    if comments:
        root.set("C", "\n".join(comments))
    position = record.start()
    for ply, action in enumerate(record.actions, 1):
        player = position.player
        position.play(action)
        if ply > before:
            node = file.extend_main_sequence()
            node.set_move(COLOURS[player], _point(game, action))
            if ply in record.comments:
                node.set("C", record.comments[ply])
    return bytes(file.serialise())


def from_sgf(
    data: bytes,
    game: Game | None = None,
    source: str = "record",
    *,
    base: Game | None = None,
    warn: Callable[[str], object] = lambda line: None,
) -> GameRecord:
    """Reads SGF; see `keima.agent.records.files.load`. Raises GameError, saying which move is wrong, and why.

    base: the game whose komi and rules hold where the file says none; by default the game's own defaults do. warn: is
    told of rules that the file names and nobody here knows.
    """
    try:
        # Some programs write the size of a square board twice.
        data = re.sub(rb"\bSZ\s*\[\s*([0-9]+)\s*:\s*\1\s*\]", rb"SZ[\1]", data)
        file = Sgf_game.from_bytes(data, override_encoding=_encoding(data))
        nodes = file.get_main_sequence()
        found = game_of_file(file, game, base, lambda line: warn(f"{source}: {line}"))
        try:
            return _read_nodes(found, nodes)
        except GameError:
            if game is not None or KEIMA in file.get_root().properties() or getattr(found, "ko", "") != "positional":
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


def _read_nodes(game: Game, nodes: list[Node]) -> GameRecord:
    root = nodes[0]
    position, comments = _start(game, nodes), dict[int, list[str]]()
    placed = 0 if position.start_text else _set_up(position, nodes)
    before_moves = first_move(nodes)
    for number, node in enumerate(nodes):
        if number > before_moves and node.has_setup_stones():
            raise GameError(f"stones set up after move {len(position.actions)}; expected moves alone")
        colour = colour_of(node)
        if colour is not None:
            position = _after_move(position, colour, _move_of(node, position))
            # Where the game went on from before two passes, what was said of these is said of the move before.
            for ply in [ply for ply in comments if ply >= len(position.actions)]:
                comments.setdefault(len(position.actions) - 1, []).extend(comments.pop(ply))
        if comment := text_of(node, "C"):
            comments.setdefault(len(position.actions), []).append(comment)
    result, ending = _result_from_sgf(text_of(root, "RE"), position)
    return GameRecord(
        game,
        position.actions,
        (text_of(root, "PB"), text_of(root, "PW")),
        result,
        {ply: "\n".join(texts) for ply, texts in comments.items()},
        text_of(root, "DT") or None,
        ending,
        setup=placed,
        start_text=position.start_text,
    )


def _set_stones(root: Node, position: Position, *, is_setup: bool) -> None:
    """Writes the stones on the board as the file's first position. `is_setup`: whether they are more than handicap."""
    board = position.game.board(position.state).reshape(-1)
    for name, code in (("AB", 1), ("AW", 2)):
        cells = (board == code).nonzero()[0].tolist()
        if cells:
            root.set(name, [_point(position.game, cell) for cell in cells])
    if is_setup:
        root.set("PL", COLOURS[position.player])


def _start(game: Game, nodes: list[Node]) -> Position:
    """The position of the stones set up before the first move in a game that has no passes to come there by moves."""
    black, white = ({cell_of(game, point) for point in points} for points in setup_stones(nodes))
    if not (black or white) or game.num_actions > game.shape[0] * game.shape[1]:
        return Position(game)
    codes = np.zeros(game.shape, np.int64)
    codes.flat[sorted(black)] = 1
    codes.flat[sorted(white)] = 2
    said = first_player(nodes)
    return Position(game, game.set_up(codes, int(len(black) > len(white)) if said is None else said))


def _set_up(position: Position, nodes: list[Node]) -> int:
    """Plays the stones set up before the first move; returns how many moves that takes, beside a handicap's."""
    game = position.game
    black, white = ({cell_of(game, point) for point in points} for points in setup_stones(nodes))
    missing = [sorted(black - black_cells(game)), sorted(white)]
    free, first = placed_stones(game), first_player(nodes)
    passing = game.shape[0] * game.shape[1]
    if not white and (not missing[0] or len(missing[0]) == free):
        for cell in missing[0]:
            position.play(cell)
        if first in (None, position.player) or passing not in position.legal_actions():
            return 0
        position.play(passing)
        return len(position.actions)
    _expect_passes(position, free)
    left = [iter(cells) for cells in missing]
    try:
        for _ in range(2 * max(map(len, missing))):  # nobody passes twice in a row: the other side has stones then
            if _has_all(position, black | black_cells(game), white):
                break
            position.play(next(left[position.player], passing))
        if position.player != (first or 0):
            position.play(passing)
    except GameError:
        raise GameError(_NO_LIBERTY) from None
    if not _has_all(position, black | black_cells(game), white):
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
        raise GameError("stones set up before the first move, of which a free handicap may have its own alone")


def _move_of(node: Node, position: Position) -> Point | None:
    try:
        return node.get_move()[1]  # type: ignore[no-any-return]
    except ValueError:
        number, written = len(position.actions) + 1, raw_text(node, (colour_of(node) or "").upper())
        raise GameError(f"move {number}: expected a point of the board or a pass, got {written[:20]!r}") from None


def _after_move(position: Position, colour: str, point: Point | None) -> Position:
    """The position, which may be changed, after a move."""
    game, player, number = position.game, COLOURS.index(colour), len(position.actions) + 1
    action = cell_of(game, point)
    if is_end_by_passes(position) and point is None:  # some rules have a third pass
        return position
    following = turned(position, player)
    if following is None and position.is_over:
        raise GameError(f"move {number}: the game was over before it")
    if following is None:
        mover = game.players[position.player]
        raise GameError(f"move {number}: it is {mover}'s turn, the move is {game.players[player]}'s")
    position = following
    try:
        if action not in position.legal_actions():
            written = _PASS if point is None else game.cell_to_text(action)
            game.text_to_action(position.state, written)  # raises, naming what would have been legal
            raise GameError(f"illegal move {written!r}")
        position.play(action)
    except GameError as error:
        raise GameError(f"move {number}: {error}") from None
    return position


def _point(game: Game, action: int) -> Point | None:
    """An action as sgfmill's (row, column), row 0 the lowest; None for a pass."""
    height, width = game.shape
    return None if action == height * width else (height - 1 - action // width, action % width)


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
