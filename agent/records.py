"""Game records: files that a game is saved to and loaded from, and judged from beginning to end.

The suffix says the format: `.keima.txt`, the text below, for every game; `.sgf` for Go and Gomoku (agent/sgf.py);
`.pgn` is chess's. A record is data: reading one runs nothing.

The text format is UTF-8, lines ended by a line feed, made to be read and written by people too:

    Keima game record, version 1
    game: othello:size=6
    first: shipped, 200 simulations
    second: Ada
    date: 2025-11-21
    result: 0-1
    ending: resignation
    moves: 2

    1. c2
    ; The only opening there is, by symmetry.
    2. b4

The first line is as above. Then come headers, `name: value`, in any order; only `game` must be there, as `keima play`
takes it. `setup` says how many of the first moves only set a position up. `result` is 1-0, 0-1 or 1/2-1/2 as the first
player sees it, or * for a game that goes on or whose result is not known; `ending` says how a game ended whose last
move does not say so. `moves` is the number of moves, by which a file that was cut off is known. Other
headers are kept. Then come the moves, one a line, numbered from 1 (a side may move twice in a row), in the game's
notation. A line that begins with `;` is a comment on the move before it, on the starting position before the first
move; several such lines are one comment. Empty lines mean nothing.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.storage import write_atomically
from games import load as load_game
from games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, Game, GameError
from games.position import Position

TEXT_SUFFIX = ".keima.txt"
SUFFIXES = (TEXT_SUFFIX, ".sgf", ".pgn")
MAX_BYTES = 1 << 20
"""No record is larger: a game of 10,000 moves with a line of comment on each takes less."""
RESULTS = {FIRST_WINS: "1-0", SECOND_WINS: "0-1", DRAW: "1/2-1/2", ONGOING: "*"}
"""Outcome codes as records write them."""

_TITLE = "Keima game record, version 1"
_OWN_HEADERS = ("game", "first", "second", "date", "result", "ending", "setup", "moves")
_HEADER_NAME = r"[A-Za-z](?:[\w -]{0,62}\w)?"
_HEADER = re.compile(rf"({_HEADER_NAME})\s*:(.*)", re.ASCII)
_MOVE = re.compile(r"([0-9]{1,9})\.\s*(\S.*)")


@dataclass
class GameRecord:
    """A game as it was played. Texts are made plain: one line each (comments may have several), no control characters.

    Raises GameError for a result or a header that no record can have, or a comment on a move that is not there.
    """

    game: Game
    actions: list[int]
    players: tuple[str, str] = ("", "")
    """Their names, the first player's first; empty where unknown."""
    result: str = "*"
    """One of RESULTS' values."""
    comments: dict[int, str] = field(default_factory=dict)
    """By how many moves had been made: comments[3] is on the third move, comments[0] on the starting position."""
    date: str | None = None
    """When it was played, by convention as 2025-11-21."""
    ending: str = ""
    """How it ended where the last move does not say so: resignation, time, forfeit, agreement."""
    headers: dict[str, str] = field(default_factory=dict)
    """What else is known of it, as {"event": ...}; names in lower case."""
    setup: int = 0
    """How many of the first actions set a position up, and were not played in the game."""

    def __post_init__(self) -> None:
        if self.result not in RESULTS.values():
            raise GameError(f"result: expected one of {', '.join(RESULTS.values())}, got {self.result!r}")
        self.actions = [int(action) for action in self.actions]
        self.players = (one_line(self.players[0]), one_line(self.players[1]))
        self.date = one_line(self.date or "") or None
        self.ending = one_line(self.ending)
        self.comments = {ply: text for ply, comment in sorted(self.comments.items()) if (text := _plain(comment))}
        for ply in self.comments:
            if not 0 <= ply <= len(self.actions):
                raise GameError(f"a comment on move {ply}: expected a move from 0 to {len(self.actions)}")
        if not 0 <= self.setup <= len(self.actions):
            raise GameError(f"setup: expected a number of moves from 0 to {len(self.actions)}, got {self.setup}")
        self.headers = {name.lower(): text for name, value in self.headers.items() if (text := one_line(value))}
        for name in self.headers:
            if name in _OWN_HEADERS or not re.fullmatch(_HEADER_NAME, name, re.ASCII):
                raise GameError(
                    f"header {name!r}: expected a word in English letters, none that records use themselves"
                )

    def position(self) -> Position:
        """The game replayed to its end. Raises GameError, saying which move is not legal."""
        position = Position(self.game)
        for number, action in enumerate(self.actions, 1):
            try:
                position.play(action)
            except GameError as error:
                raise GameError(f"move {number}: {error}") from None
        return position


def record_of(
    position: Position, players: tuple[str, str] = ("", ""), *, result: str | None = None, ending: str = ""
) -> GameRecord:
    """The record of a game as it stands; `result` and `ending` where it ended otherwise than by its last move."""
    result = RESULTS[position.outcome] if result is None else result
    return GameRecord(position.game, position.actions.copy(), players, result, ending=ending)


def save(record: GameRecord, path: str | Path) -> None:
    """Writes a record in the format of the path's suffix; the file is the old one or the whole new one.

    Raises GameError for a suffix that is none, a game that the format cannot hold, illegal moves, or where the file
    cannot be written.
    """
    path = Path(path).expanduser()
    suffix = _suffix(path)
    if suffix == ".pgn":
        raise _no_chess(path)
    if suffix == ".sgf":
        from agent.sgf import to_sgf

        data = to_sgf(record)
    else:
        data = to_text(record).encode()
    if len(data) > MAX_BYTES:
        raise GameError(
            f"{path}: a record has at most {MAX_BYTES} bytes, this one has {len(data)}: shorten its comments"
        )
    if not path.parent.is_dir():
        raise GameError(f"{path}: there is no folder {path.parent}")
    try:
        write_atomically(path, data)
    except OSError as error:
        raise GameError(f"{path}: cannot be written: {error.strerror or error}") from None


def load(path: str | Path, game: Game | None = None) -> GameRecord:
    """Reads a record in the format of the path's suffix.

    `game`: the game that it must be of. A record of a game given by path does not load without: that is code, and
    reading a record must run none. Raises GameError, saying which move on which line is wrong, and why.
    """
    path = Path(path).expanduser()
    suffix = _suffix(path)
    data = _read(path)
    if suffix == ".pgn":
        raise _no_chess(path)
    if suffix == ".sgf":
        from agent.sgf import from_sgf

        return from_sgf(data, game, str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GameError(f"{path}: expected text in UTF-8, found none at byte {error.start}") from None
    return from_text(text, game, str(path))


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise GameError(f"{path}: expected a file name that ends in {TEXT_SUFFIX} (any game) or .sgf (Go, Gomoku)")


def _no_chess(path: Path) -> GameError:
    return GameError(f"{path}: PGN is for chess, which is not among the games; expected {TEXT_SUFFIX} or .sgf")


def _read(path: Path) -> bytes:
    """The file's bytes. Raises GameError for what is no file, too large, or no text."""
    if not path.is_file():  # nor a device or a pipe, which might never end
        raise GameError(f"{path}: no such file" if not path.exists() else f"{path}: expected a file, found none")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise GameError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise GameError(f"{path}: no game record: it has more than {MAX_BYTES} bytes")
    if b"\0" in data:
        raise GameError(f"{path}: no game record: it holds binary data")
    return data


# --- the text format


def to_text(record: GameRecord) -> str:
    """The record in the text format. Raises GameError for illegal moves, or a result that they contradict."""
    position = record.position()
    _check_result(record.result, record.ending, position.outcome)
    headers = {
        "game": record.game.spec,
        "first": record.players[0],
        "second": record.players[1],
        "date": record.date or "",
        "result": record.result,
        "ending": record.ending,
        "setup": str(record.setup) if record.setup else "",
        "moves": str(len(record.actions)),
        **record.headers,
    }
    lines = [_TITLE, *(f"{name}: {value}" for name, value in headers.items() if value), ""]
    for ply, move in enumerate(["", *position.moves_text()]):
        if ply:
            lines.append(f"{ply}. {move}")
        if ply in record.comments:
            lines += [f"; {line}".rstrip() for line in record.comments[ply].split("\n")]
    return "\n".join(lines) + "\n"


def from_text(text: str, game: Game | None = None, source: str = "record") -> GameRecord:
    """Reads the text format; see `load`. `source`: what messages call it."""
    lines = [(number, _plain(line)) for number, line in enumerate(text.split("\n"), 1)]
    if not lines[0][1].startswith(_TITLE.rpartition(" ")[0]):
        raise GameError(f"{source} line 1: expected `{_TITLE}`, got {_shown(lines[0][1])}")
    if lines[0][1] != _TITLE:
        raise GameError(f"{source} line 1: expected `{_TITLE}`, got {_shown(lines[0][1])}: it takes a newer Keima")
    headers: dict[str, tuple[int, str]] = {}
    moves: list[tuple[int, str]] = []
    comments: dict[int, list[str]] = {}
    for number, line in lines[1:]:
        header = _HEADER.fullmatch(line)
        if line.startswith(";"):
            comments.setdefault(len(moves), []).append(line[1:].removeprefix(" "))
        elif move := _MOVE.fullmatch(line):
            if int(move[1]) != len(moves) + 1:
                raise GameError(f"{source} line {number}: expected move {len(moves) + 1}, got move {move[1]}")
            moves.append((number, move[2]))
        elif header and not moves:
            name = header[1].lower()
            if name in headers:
                raise GameError(f"{source} line {number}: {name} stands in line {headers[name][0]} already")
            headers[name] = number, header[2].strip()
        elif line:
            expected = "a move as `1. c4`, a comment after `;`" + (
                "" if moves else ", or a header as `date: 2025-11-21`"
            )
            raise GameError(f"{source} line {number}: expected {expected}; got {_shown(line)}")
    if "game" not in headers:
        raise GameError(f"{source}: expected a line `game: NAME`, found none")
    game = _game_of_record(*headers["game"], game, source)
    position = Position(game)
    for ply, (number, move_text) in enumerate(moves, 1):
        where = f"{source} line {number}: move {ply}"
        if position.is_over:
            raise GameError(f"{where}: the game was over before it ({_ended(position)})")
        try:
            position.play_text(move_text)
        except GameError as error:
            raise GameError(f"{where}: {error}") from None
    values = {name: value for name, (_, value) in headers.items()}
    _check_count(values.get("moves", ""), len(moves), source)
    result = values.get("result") or RESULTS[position.outcome]
    try:
        _check_result(result, values.get("ending", ""), position.outcome)
        return GameRecord(
            game,
            position.actions,
            (values.get("first", ""), values.get("second", "")),
            result,
            {ply: "\n".join(comment) for ply, comment in comments.items()},
            values.get("date"),
            values.get("ending", ""),
            {name: value for name, value in values.items() if name not in _OWN_HEADERS},
            _count(values.get("setup", ""), "setup", source),
        )
    except GameError as error:
        raise GameError(f"{source}: {error}") from None


def _game_of_record(number: int, spec: str, game: Game | None, source: str) -> Game:
    """The game that the header in that line names, or `game`, which it must be. Runs no game's file."""
    name, colon, parameters = spec.partition(":")
    if name.endswith(".py"):
        if game is None:
            raise GameError(
                f"{source} line {number}: of a game in {name}, which is code that reading a record does not run; "
                f"if you trust it, name it yourself: `keima play {name}`, then load"
            )
        label = Path(name).stem + colon + parameters
    else:
        try:
            label = load_game(spec).label
        except GameError as error:
            raise GameError(f"{source} line {number}: {error}") from None
    if game is not None and game.label != label:
        raise GameError(f"{source} line {number}: a record of {label}, expected one of {game.label}")
    return load_game(spec) if game is None else game


def _count(text: str, name: str, source: str) -> int:
    """A header's number; 0 where there is none."""
    if text and not (text.isascii() and text.isdigit()):
        raise GameError(f"{source}: {name}: expected a number, got {_shown(text)}")
    return int(text[:9] or 0)


def _check_count(text: str, found: int, source: str) -> None:
    if _count(text, "moves", source) != found and text:
        raise GameError(f"{source}: expected {text} moves, found {found}: the file is cut off or was edited")


def _check_result(result: str, ending: str, outcome: int) -> None:
    """Raises GameError for a result that is none, or that the moves contradict and nothing explains."""
    if outcome != ONGOING and result != RESULTS[outcome] and not ending:
        raise GameError(
            f"result: expected {RESULTS[outcome]}, in which the moves end, got {_shown(result)}; "
            "another one needs an `ending`"
        )


def _ended(position: Position) -> str:
    outcome = position.outcome
    return "a draw" if outcome == DRAW else f"{position.game.players[outcome]} has won"


# --- what is written for people


def _plain(text: str) -> str:
    """Text without control characters, which might drive a terminal, nor what UTF-8 cannot say."""
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Zl", "Zp"))
    return "\n".join(line.strip() for line in kept.split("\n")).strip()


def one_line(text: str) -> str:
    """The same in one line of plain text."""
    return " ".join(_plain(text).split())


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


# --- a whole game judged


def wdl_over_game(
    game: Game, actions: list[int], outcomes: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float64]:
    """How likely each result was after every move: [len(actions) + 1, 3], first player wins, draw, second wins.

    Row k is the position after k moves; one that is over has its result, with certainty. `outcomes` is a net's win,
    draw and loss for the side to move, as players have it (`agent.inference.OutcomeJudge`), called once.
    Raises GameError for illegal moves.
    """
    position = GameRecord(game, actions).position()
    judged = np.zeros((len(actions) + 1, 3))
    states = [game.new_state()]
    for action in actions:
        states.append(game.after(states[-1], action))
    going_on = [k for k, state in enumerate(states) if k < len(actions) or not position.is_over]
    if going_on:
        seen_by_mover = outcomes(np.stack([game.planes(states[k]) for k in going_on])).astype(np.float64)
        second = np.array([states[k][PLAYER] == 1 for k in going_on])
        judged[going_on] = np.where(second[:, None], seen_by_mover[:, ::-1], seen_by_mover)
    if position.is_over:
        judged[-1, {FIRST_WINS: 0, DRAW: 1, SECOND_WINS: 2}[position.outcome]] = 1.0
    return judged
