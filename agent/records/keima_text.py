"""Keima's own text format for game records: written, and read with every move checked.

The suffix of a file names its format: `.keima.txt` is the text below, for every game; `.sgf` is for Go and Gomoku
(agent/records/sgf.py). A record is data: reading one runs nothing.

The text is UTF-8 with lines ended by a line feed. People and programs may write and read it:

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
takes it. `position` is what the game begins with, as `Game.text_to_position` reads it, where that is not the game's own
first position; such a record is of version 2, so that an older program does not take it for another game. `setup` says
how many of the first moves only set a position up. `result` is 1-0, 0-1 or 1/2-1/2 as the first player sees it, or *
for a game that goes on or whose result is not known; `ending` says how a game ended whose last move does not say so.
`moves` is the number of moves, by which a file that was cut off is known. Other headers are kept. Then come the moves,
one a line, numbered from 1 (a side may move twice in a row), in the game's notation. A line that begins with `;` is a
comment on the move before it, on the starting position before the first move; several such lines are one comment. Empty
lines mean nothing.
"""

import re
from pathlib import Path

from keima.agent.records.record import HEADER_NAME, OWN_HEADERS, RESULTS, GameRecord, plain_text
from keima.games import load as load_game
from keima.games.contract import DRAW, ONGOING, Game, GameError
from keima.games.position import Position

_TITLE = "Keima game record, version 1"
_TITLE_WITH_POSITION = "Keima game record, version 2"
_HEADER = re.compile(rf"({HEADER_NAME})\s*:(.*)", re.ASCII)
_MOVE = re.compile(r"([0-9]{1,9})\.\s*(\S.*)")


# --- the text format


def to_text(record: GameRecord) -> str:
    """The record in the text format. Raises GameError for illegal moves, or a result that they contradict."""
    position = record.position()
    _check_result(record.result, record.ending, position.outcome)
    headers = {
        "game": record.game.spec,
        "position": record.start_text,
        "first": record.players[0],
        "second": record.players[1],
        "date": record.date or "",
        "result": record.result,
        "ending": record.ending,
        "setup": str(record.setup) if record.setup else "",
        "moves": str(len(record.actions)),
        **record.headers,
    }
    lines = [
        _TITLE_WITH_POSITION if record.start_text else _TITLE,
        *(f"{name}: {value}" for name, value in headers.items() if value),
        "",
    ]
    for ply, move in enumerate(["", *position.moves_text()]):
        if ply:
            lines.append(f"{ply}. {move}")
        if ply in record.comments:
            lines += [f"; {line}".rstrip() for line in record.comments[ply].split("\n")]
    return "\n".join(lines) + "\n"


def from_text(text: str, game: Game | None = None, source: str = "record") -> GameRecord:
    """Reads the text format; see `load`. `source`: what messages call it."""
    lines = [(number, plain_text(line)) for number, line in enumerate(text.split("\n"), 1)]
    if not lines[0][1].startswith(_TITLE.rpartition(" ")[0]):
        raise GameError(f"{source} line 1: expected `{_TITLE}`, got {_shown(lines[0][1])}")
    if lines[0][1] not in (_TITLE, _TITLE_WITH_POSITION):
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
    position = _start(game, *headers.get("position", (0, "")), source)
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
            {name: value for name, value in values.items() if name not in OWN_HEADERS},
            _count(values.get("setup", ""), "setup", source),
            position.start_text,
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


def _start(game: Game, number: int, text: str, source: str) -> Position:
    """The position that the header in that line names; the game's own first one where there is none."""
    try:
        return Position.from_text(game, text) if text else Position(game)
    except GameError as error:
        raise GameError(f"{source} line {number}: {error}") from None


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


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
