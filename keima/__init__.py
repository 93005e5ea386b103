"""Keima: AlphaZero for people without a data centre. README.md beside this file shows what can be done in Python."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keima.api import (
        Evaluation,
        Game,
        GameError,
        GameRecord,
        Match,
        Move,
        Net,
        Position,
        Ratings,
        SearchResult,
        evaluate,
        load_game,
        load_net,
        play_match,
        position_after,
        rate,
        read_record,
        search,
        write_record,
    )

__all__ = [
    "Evaluation",
    "Game",
    "GameError",
    "GameRecord",
    "Match",
    "Move",
    "Net",
    "Position",
    "Ratings",
    "SearchResult",
    "evaluate",
    "load_game",
    "load_net",
    "play_match",
    "position_after",
    "rate",
    "read_record",
    "search",
    "write_record",
]


def __getattr__(name: str) -> Any:
    """The public names, from keima/api.py on first use: `import keima` alone imports neither numba nor torch."""
    if name not in __all__:
        raise AttributeError(f"module 'keima' has no attribute {name!r}")
    return getattr(importlib.import_module("keima.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
