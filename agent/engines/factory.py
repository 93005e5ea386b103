"""Players that are other programs, made from their specification."""

from typing import Any

from keima.agent.contracts.player_spec import PlayerSpec, engine_options
from keima.agent.engines import DEFAULT_TIMEOUT_S
from keima.agent.engines.gtp import GtpPlayer
from keima.agent.engines.uci import UciPlayer
from keima.agent.engines.uci_client import SKILL_LEVEL, GoLimit
from keima.agent.engines.usi import UsiPlayer
from keima.games.contract import Game

DEFAULT_SECONDS = 1.0
"""What a move may take of an engine that has to be told, where nothing else is said."""


def engine_player(game: Game, spec: PlayerSpec) -> GtpPlayer | UciPlayer:
    """A player of kind `gtp`, `uci` or `usi`, its engine started; it has `close()`.

    Raises GameError for no such program, or one that does not play this game, EngineError where it fails.
    """
    given: Any = spec.options
    assert spec.argument is not None
    timeout_s = given.get("timeout", DEFAULT_TIMEOUT_S)
    options = engine_options(spec)
    if spec.kind == "gtp":
        return GtpPlayer(
            spec.argument,
            game,
            seconds=given.get("seconds"),
            level=given.get("level"),
            commands=options,
            timeout_s=timeout_s,
        )
    if "level" in given:
        options[SKILL_LEVEL] = str(given["level"])
    limit = GoLimit(given.get("nodes"), given.get("depth"), given.get("seconds"))
    if limit == GoLimit():
        limit = GoLimit(seconds=DEFAULT_SECONDS)
    engine = UsiPlayer if spec.kind == "usi" else UciPlayer
    return engine(spec.argument, game, limit, options=options, timeout_s=timeout_s)
