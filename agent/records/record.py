"""A game record: a game as it was played, in memory, and judged from beginning to end."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, Game, GameError
from keima.games.position import Position

RESULTS = {FIRST_WINS: "1-0", SECOND_WINS: "0-1", DRAW: "1/2-1/2", ONGOING: "*"}
"""Outcome codes as records write them."""
OWN_HEADERS = ("game", "position", "first", "second", "date", "result", "ending", "setup", "moves")
HEADER_NAME = r"[A-Za-z](?:[\w -]{0,62}\w)?"


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
    start_text: str = ""
    """The position it began with, as `Game.text_to_position` reads it; empty for the game's own first position."""

    def __post_init__(self) -> None:
        if self.result not in RESULTS.values():
            raise GameError(f"result: expected one of {', '.join(RESULTS.values())}, got {self.result!r}")
        self.actions = [int(action) for action in self.actions]
        self.players = (one_line(self.players[0]), one_line(self.players[1]))
        self.date = one_line(self.date or "") or None
        self.ending = one_line(self.ending)
        self.start_text = one_line(self.start_text)
        self.comments = {ply: text for ply, comment in sorted(self.comments.items()) if (text := plain_text(comment))}
        for ply in self.comments:
            if not 0 <= ply <= len(self.actions):
                raise GameError(f"a comment on move {ply}: expected a move from 0 to {len(self.actions)}")
        if not 0 <= self.setup <= len(self.actions):
            raise GameError(f"setup: expected a number of moves from 0 to {len(self.actions)}, got {self.setup}")
        self.headers = {name.lower(): text for name, value in self.headers.items() if (text := one_line(value))}
        for name in self.headers:
            if name in OWN_HEADERS or not re.fullmatch(HEADER_NAME, name, re.ASCII):
                raise GameError(
                    f"header {name!r}: expected a word in English letters, none that records use themselves"
                )

    def start(self) -> Position:
        """The game before its first move. Raises GameError for a `start_text` that is no position of the game."""
        return Position.from_text(self.game, self.start_text) if self.start_text else Position(self.game)

    def position(self) -> Position:
        """The game replayed to its end. Raises GameError, saying which move is not legal."""
        position = self.start()
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
    return GameRecord(
        position.game, position.actions.copy(), players, result, ending=ending, start_text=position.start_text
    )


# --- what is written for people


def plain_text(text: str) -> str:
    """Text without control characters, which might drive a terminal, nor what UTF-8 cannot say."""
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Zl", "Zp"))
    return "\n".join(line.strip() for line in kept.split("\n")).strip()


def one_line(text: str) -> str:
    """The same in one line of plain text."""
    return " ".join(plain_text(text).split())


# --- a whole game judged


def wdl_over_game(
    game: Game,
    actions: list[int],
    outcomes: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    start_text: str = "",
) -> NDArray[np.float64]:
    """How likely each result was after every move: [len(actions) + 1, 3], first player wins, draw, second wins.

    Row k is the position after k moves; one that is over has its result, with certainty. `outcomes` is a net's win,
    draw and loss for the side to move, as players have it (`keima.agent.inference.outcome_judge.OutcomeJudge`), called
    once. Raises GameError for illegal moves.
    """
    record = GameRecord(game, actions, start_text=start_text)
    position = record.position()
    judged = np.zeros((len(actions) + 1, 3))
    states = [record.start().state]
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
