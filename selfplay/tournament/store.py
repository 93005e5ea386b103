"""A tournament's file: the players, and every game with its moves, in one SQLite database.

A game is written when it is over, whole or not at all. So a tournament that was stopped continues from these games.
Games have unique names, so two files with the same game can be merged as often as one likes. Any program for SQLite can
read the file:

    sqlite3 FILE "select a.name, b.name, outcome, moves from games join players a on a.id = first
                  join players b on b.id = second"
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from keima.agent.system.storage import StorageFull
from keima.games import load
from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS, Game, GameError
from keima.selfplay.tournament.contestants import Thinking
from keima.selfplay.tournament.verdict import Verdict

SCHEMA_VERSION = 3
ADDED_COLUMNS = ("referee", "thinking", "position")
"""What games of version 1 lack, and of version 2 the last. Such files are read, and become files of this version once
games are added."""
APPLICATION_ID = 0x4B45494D
"""What tells such a file from other SQLite databases: "KEIM"."""
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE players (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,      -- as keima.agent.contracts.player_spec writes it
    name TEXT NOT NULL,             -- what it is called in tables
    weights TEXT NOT NULL           -- digest of its network's file, '' for a player without one
);
CREATE TABLE sessions (             -- starts of the tournament
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    started TEXT NOT NULL,          -- UTC
    about TEXT NOT NULL             -- JSON: version, machine, workers, what runs each network
);
CREATE TABLE games (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL REFERENCES players,
    second INTEGER NOT NULL REFERENCES players,
    opening INTEGER NOT NULL,       -- so many of the moves were given
    moves TEXT NOT NULL,            -- the game's notation, spaces between
    outcome INTEGER NOT NULL,       -- 0 the first player won, 1 the second, 2 a draw
    reason TEXT NOT NULL,           -- why the loser lost where it was not on the board
    resigned INTEGER NOT NULL,      -- whether that was to give up; otherwise a game with a reason was forfeited
    line TEXT NOT NULL,             -- digest of the position after the opening and the moves from there
    seed INTEGER NOT NULL,          -- of what was drawn in it
    session INTEGER NOT NULL REFERENCES sessions,
    finished TEXT NOT NULL,         -- UTC
    referee TEXT NOT NULL DEFAULT '',   -- JSON, see selfplay/tournament/verdict.py; '' where none was asked
    thinking TEXT NOT NULL DEFAULT '',  -- JSON: each side's moves, seconds for all, for the longest; '' not measured
    position TEXT NOT NULL DEFAULT ''   -- what it began with, as the game writes it; '' its own first position
);
CREATE INDEX games_by_players ON games (first, second);
"""


@dataclass(frozen=True)
class StoredPlayer:
    """A player of a tournament's file."""

    id: int
    text: str
    name: str
    weights: str


@dataclass(frozen=True)
class StoredGame:
    """A game that is over; players by their numbers in the file."""

    first: int
    second: int
    opening: int
    """So many of the moves were given."""
    moves: tuple[str, ...]
    outcome: int
    """FIRST_WINS, SECOND_WINS or DRAW."""
    reason: str
    resigned: bool
    line: str
    """The same for games that are the same: in the position after the opening and all moves from there."""
    seed: int
    verdict: Verdict | None = None
    """What a referee said, where one was asked; `outcome` is who won in the end."""
    thinking: tuple[Thinking, Thinking] | None = field(default=None, compare=False)
    """How long each side thought about its moves, where that was measured of either."""
    position: str = ""
    """What it began with, as `Game.text_to_position` reads it; empty for the game's own first position."""

    @property
    def forfeited(self) -> bool:
        """Whether the loser's program failed."""
        return bool(self.reason) and not self.resigned


class Store:
    """A tournament's file, open for one tournament at a time; a context manager."""

    def __init__(self, path: Path, game: Game | None = None, *, read_only: bool = False) -> None:
        """Opens `path`, or makes it where there is none, for `game`; None takes the game that it is of.

        read_only: nothing is written, and a tournament that is being played may be looked at. Raises GameError for
        another game's file, one that is no tournament's, and one that is in use.
        """
        self.path = path
        existed = path.exists()
        if not existed and (game is None or read_only):
            raise GameError(f"{path}: no such tournament")
        if existed and (not path.is_file() or path.stat().st_size == 0):  # which SQLite would make a database of
            what = "is empty: delete it, or name another" if path.is_file() else "is no file"
            raise GameError(f"{path}: expected a tournament's file, but it {what}")
        self._lock = None if read_only else _lock(path)
        try:
            self._database = sqlite3.connect(_address(path, read_only), isolation_level=None, uri=True)
            self._open(game, existed)
        except sqlite3.Error as error:
            self.close()
            raise GameError(f"{path}: expected a tournament's file, but {error}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        if hasattr(self, "_database"):
            self._database.close()
        if self._lock is not None:
            Path(self._lock.name).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    # --- facts and players

    @property
    def settings(self) -> dict[str, Any]:
        """How the tournament is played; see `save_settings`."""
        return dict(json.loads(self._fact("settings") or "{}"))

    def save_settings(self, settings: dict[str, Any]) -> None:
        with self._transaction():
            self._set_fact("settings", json.dumps(settings))

    def add_player(self, text: str, name: str, weights: str) -> StoredPlayer:
        """The player with that text, new or known; a known one is called `name` from now on.

        Raises GameError where its network's file is not the one it has played with so far.
        """
        with self._transaction():
            return self._add_player(text, name, weights)

    def players(self) -> list[StoredPlayer]:
        """In the order they came."""
        rows = self._database.execute("SELECT id, text, name, weights FROM players ORDER BY id")
        return [StoredPlayer(*row) for row in rows]

    def by_name(self, values: Mapping[str, float]) -> dict[str, float]:
        """Turns what is given for players by name or by text into what is given by name."""
        names = {player.text: player.name for player in self.players()}
        return {names.get(name, name): value for name, value in values.items()}

    def begin_session(self, about: dict[str, Any]) -> int:
        """A start of the tournament; its number, which games are recorded with."""
        with self._transaction():
            row = (uuid.uuid4().hex, json.dumps(about))
            query = "INSERT INTO sessions (uid, started, about) VALUES (?, datetime('now'), ?)"
            return int(self._database.execute(query, row).lastrowid or 0)

    def sessions(self) -> list[dict[str, Any]]:
        """What was said of each start, in their order."""
        return [json.loads(about) for (about,) in self._database.execute("SELECT about FROM sessions ORDER BY id")]

    # --- games

    def record(self, games: Sequence[StoredGame], session: int) -> None:
        """Adds games: all of them or, whatever happens, none. They are on disk when this returns."""
        rows = [
            (
                uuid.uuid4().hex,
                *(game.first, game.second, game.opening, " ".join(game.moves), game.outcome, game.reason),
                *(int(game.resigned), game.line, game.seed, session),
                "" if game.verdict is None else game.verdict.to_json(),
                "" if game.thinking is None else json.dumps([astuple(side) for side in game.thinking]),
                game.position,
            )
            for game in games
        ]
        with self._transaction():
            self._upgrade()
            self._database.executemany(
                "INSERT INTO games (uid, first, second, opening, moves, outcome, reason, resigned, line, seed, session,"
                " referee, thinking, position, finished)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, datetime('now'))",
                rows,
            )

    def games(self) -> Iterator[StoredGame]:
        """Every game, in the order they ended."""
        columns = "first, second, opening, moves, outcome, reason, resigned, line, seed"
        for row in self._database.execute(f"SELECT {columns}, {self._added()} FROM games ORDER BY id"):
            first, second, opening, moves, outcome, reason, resigned, line, seed, said, thought, position = row
            yield StoredGame(
                *(first, second, opening, tuple(moves.split()), outcome, reason, bool(resigned), line, seed),
                Verdict.from_json(said) if said else None,
                _thinking_of(thought),
                position,
            )

    def num_games(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM games").fetchone()[0])

    def merge(self, other: "Store") -> int:
        """Adds the players and games of another file of the same game; returns how many games were new here.

        Games that are here already, from an earlier merge, are left out. Raises GameError for another game.
        """
        for fact in ("game", "rules_version"):
            if self._fact(fact) != other._fact(fact):
                raise GameError(f"{other.path}: its {fact} is {other._fact(fact)}; expected that of {self.path}, "
                                f"{self._fact(fact)}")  # fmt: skip
        with self._transaction():
            self._upgrade()
            players = {p.id: self._add_player(p.text, p.name, p.weights).id for p in other.players()}
            sessions = {}
            for number, *row in other._database.execute("SELECT id, uid, started, about FROM sessions ORDER BY id"):
                self._database.execute("INSERT OR IGNORE INTO sessions (uid, started, about) VALUES (?, ?, ?)", row)
                found = self._database.execute("SELECT id FROM sessions WHERE uid = ?", (row[0],)).fetchone()
                sessions[number] = found[0]
            before = self.num_games()
            columns = "uid, first, second, opening, moves, outcome, reason, resigned, line, seed, session, finished"
            for row in other._database.execute(f"SELECT {columns}, {other._added()} FROM games ORDER BY id"):
                values = [row[0], players[row[1]], players[row[2]], *row[3:10], sessions[row[10]], *row[11:]]
                marks = ", ".join("?" * len(values))
                into = f"INSERT OR IGNORE INTO games ({columns}, {', '.join(ADDED_COLUMNS)})"
                self._database.execute(f"{into} VALUES ({marks})", values)
            return self.num_games() - before

    # --- within

    def _open(self, game: Game | None, existed: bool) -> None:
        database = self._database
        # A tournament that was killed while it made its file has left one without a table.
        existed = existed and database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
        if existed:
            kind = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if kind != APPLICATION_ID:
                raise GameError(f"{self.path}: expected a tournament's file, but it is another database")
            if version not in range(1, SCHEMA_VERSION + 1):
                raise GameError(
                    f"{self.path}: expected format {SCHEMA_VERSION}, got {version}; made by another version of Keima"
                )
        database.execute("PRAGMA busy_timeout = 10000")
        if not existed:
            if game is None:
                raise GameError(f"{self.path}: no such tournament")
            # The schema and whose it is come in one transaction: a kill leaves a tournament or an empty file.
            database.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    database.execute(statement)
                self._set_fact("game", game.spec)
                self._set_fact("rules_version", str(game.rules_version))
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("PRAGMA synchronous = FULL")  # a power cut loses no game that was told of
        spec = self._fact("game") or ""
        if game is not None and game.spec != spec:
            raise GameError(f"{self.path}: it is a tournament of {spec}, expected one of {game.spec}")
        self.game = game or load(spec)
        if (version := self._fact("rules_version")) != str(self.game.rules_version):
            raise GameError(
                f"{self.path}: played by version {version} of {spec}'s rules; these are {self.game.rules_version}"
            )

    def _columns(self) -> set[str]:
        """The columns that this file's games have."""
        return {name for _, name, *_ in self._database.execute("PRAGMA table_info(games)")}

    def _added(self) -> str:
        """ADDED_COLUMNS for a query; where the file lacks them, what stands for them."""
        there = self._columns()
        return ", ".join(name if name in there else "''" for name in ADDED_COLUMNS)

    def _upgrade(self) -> None:
        """Gives the games the columns that they lack, within a transaction."""
        for name in sorted(set(ADDED_COLUMNS) - self._columns()):
            self._database.execute(f"ALTER TABLE games ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
        self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _add_player(self, text: str, name: str, weights: str) -> StoredPlayer:
        row = self._database.execute("SELECT id, weights FROM players WHERE text = ?", (text,)).fetchone()
        if row is None:
            query = "INSERT INTO players (text, name, weights) VALUES (?, ?, ?)"
            number = int(self._database.execute(query, (text, name, weights)).lastrowid or 0)
            return StoredPlayer(number, text, name, weights)
        if row[1] != weights:
            raise GameError(
                f"{text}: another network has played by this name in {self.path}: keep a copy of the new one under "
                "another path, or use another file"
            )
        self._database.execute("UPDATE players SET name = ? WHERE id = ?", (name, row[0]))
        return StoredPlayer(row[0], text, name, weights)

    def _fact(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set_fact(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # some errors, as that of a full disk, have ended it already
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise StorageFull(
                f"disk full: {self.path} has no room for another game; nothing that was told of is lost: free some "
                "space, then the same command with --file goes on"
            ) from error


def _thinking_of(text: str) -> tuple[Thinking, Thinking] | None:
    """From the file's JSON."""
    if not text:
        return None
    first, second = json.loads(text)
    return Thinking(*first), Thinking(*second)


def line_digest(game: Game, actions: Iterable[int], opening: int, start_text: str = "") -> str:
    """A digest of a game's moves: equal for games that are the same from the end of their openings, however these
    came there.
    """
    state, rest = game.text_to_position(start_text) if start_text else game.new_state(), list(actions)
    for action in rest[:opening]:
        game.kernels.play(state, action)
    return hashlib.blake2b(state.tobytes() + repr(rest[opening:]).encode(), digest_size=8).hexdigest()


OUTCOMES = {FIRST_WINS: "first", SECOND_WINS: "second", DRAW: "draw"}
"""What the file's numbers mean; they are those of keima.games.contract."""


def _address(path: Path, read_only: bool) -> str:
    """How SQLite is told of the file."""
    if not read_only:
        return path.absolute().as_uri()
    # Whoever writes to it has a log beside it. Where there is none, even a reader would make one and leave it there,
    # unless the file is said to be unchanging.
    in_use = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?{'mode=ro' if in_use else 'immutable=1'}"


def _lock(path: Path) -> IO[str]:
    """Holds the tournament for this process. Raises GameError where another has it.

    By a file beside it: SQLite's own locks on the database would be lost with the first file that is closed.
    """
    if not path.parent.is_dir():
        raise GameError(f"{path}: no such folder as {path.parent}")
    lock = path.with_name(f".{path.name}.lock")
    while True:
        file = open(lock, "w", encoding="utf-8")  # noqa: SIM115 (held as long as the store)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise GameError(f"{path}: another process plays this tournament just now") from None
        # Who had it before may have deleted it between these two steps.
        if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
            return file
        file.close()
