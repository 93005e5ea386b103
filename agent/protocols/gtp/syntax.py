"""GTP's words: what a line is made of, what a response looks like, and arguments that are none.

Sections are those of Gunnar Farnebäck, "GTP Version 2, draft 2" (2002).
"""

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from keima.games.contract import GameError

COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
COLOUR_NAMES = ("black", "white")
MAX_KOMI = 1000
"""Points; more than any board has, so that with either of the ends everything is decided."""
INTEGER = re.compile(r"[0-9]{1,9}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)

Command = Callable[[list[str]], str]
"""Answers a command by its arguments. Raises GtpError or GameError."""
Write = Callable[[str], Any]


class GtpError(Exception):
    """A command fails; the message is the protocol's, after the question mark."""


def words_of(line: str) -> list[str]:
    """A line's words, preprocessed as section 3.1 asks: control characters dropped, tabs spaces, comments cut off."""
    return _CONTROL.sub("", line).replace("\t", " ").split("#", 1)[0].split()


def response(sign: str, number: str, text: str) -> str:
    """A response as in section 2.6: it ends with an empty line and has none inside."""
    gap = "" if not text or text.startswith("\n") else " "
    return f"{sign}{number}{gap}{text}\n\n"


def exactly(count: int, arguments: list[str]) -> list[str]:
    """The arguments, which are at least `count`; what follows them is ignored, as most engines do."""
    if len(arguments) < count:
        raise GtpError("syntax error")
    return arguments[:count]


def colour_of(text: str) -> int:
    if text.lower() not in COLOURS:
        raise GtpError("invalid color or coordinate")
    return COLOURS[text.lower()]


def komi_of(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise GtpError("komi not a float") from None
    if not math.isfinite(value):
        raise GtpError("komi not a float")
    if abs(value) > MAX_KOMI:
        raise GtpError(f"expected a komi from {-MAX_KOMI} to {MAX_KOMI}, got {text[:40]}")
    return value


def seconds_of(text: str) -> float:
    if not _SECONDS.fullmatch(text):
        raise GtpError("syntax error")
    return float(text)


def stones_of(arguments: list[str]) -> int:
    (text,) = exactly(1, arguments)
    if not INTEGER.fullmatch(text):
        raise GtpError("handicap not an integer")
    if int(text) < 2:
        raise GtpError("invalid number of stones")
    return int(text)


@contextlib.contextmanager
def refused(message: str) -> Iterator[None]:
    """Has the block's GameError answered by the protocol's own words."""
    try:
        yield
    except GameError:
        raise GtpError(message) from None
