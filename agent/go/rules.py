"""Go's rules by name and as JSON, as GTP controllers write them: KataGo's names and the Kiseido Go Server's."""

import json
from typing import Any

from keima.games.contract import Game, GameError
from keima.games.parameters import changed, has_parameter

_AREA, _TERRITORY = {"rules": "chinese"}, {"rules": "japanese"}
_TROMP_TAYLOR = {"rules": "tromp-taylor", "ko": "positional", "suicide": "yes"}
_CHINESE = {**_AREA, "ko": "simple", "suicide": "no"}
_SUPERKO = {**_AREA, "ko": "positional", "suicide": "no"}
_JAPANESE = {**_TERRITORY, "ko": "simple", "suicide": "no"}
_AMERICAN = {"rules": "aga", "ko": "situational", "suicide": "no"}
_NEW_ZEALAND = {"rules": "tromp-taylor", "ko": "situational", "suicide": "yes"}
NAMED = {
    "tromp-taylor": _TROMP_TAYLOR,
    "chinese": _CHINESE,
    "chinese-ogs": _SUPERKO,
    "chinese-kgs": _SUPERKO,
    "japanese": _JAPANESE,
    "korean": _JAPANESE,
    "aga": _AMERICAN,
    "bga": _AMERICAN,
    "french": _AMERICAN,
    "new-zealand": _NEW_ZEALAND,
    "new_zealand": _NEW_ZEALAND,
}
"""Names of rules and the parameters that come nearest to them."""
KGS = {"chinese": "chinese-kgs", "japanese": "japanese", "aga": "aga", "new_zealand": "new-zealand"}
"""The names that kgs-rules has."""
_BONUS = {"chinese": "N", "aga": "N-1"}
"""What White gets for N handicap stones, by the rules."""


def match_game(game: Game, text: str) -> Game:
    """The game for matches over GTP: Go has Chinese rules where `text`, which names the game, says nothing of rules."""
    if game.name != "go" or "rules=" in text:
        return game
    return changed(game, rules="chinese")


def has_rules(game: Game) -> bool:
    """Whether the game has the parameters that rules are made of."""
    return all(has_parameter(game, name) for name in ("rules", "ko", "suicide"))


def rules_as_json(game: Any) -> str:
    """The rules as one JSON object, with KataGo's keys."""
    return json.dumps(
        {
            "hasButton": False,
            "ko": game.ko.upper(),
            "scoring": "TERRITORY" if game.rules == "japanese" else "AREA",
            "suicide": game.suicide == "yes",
            "tax": "NONE",
            "whiteHandicapBonus": _BONUS.get(game.rules, "0"),
        },
        separators=(",", ":"),
    )


def parameters_of(game: Any, text: str) -> dict[str, str]:
    """The game's parameters that a name or a JSON object asks for. Raises GameError for unknown rules."""
    if not text.startswith("{"):
        if text.lower() not in NAMED:
            raise GameError(f"unknown rules {text[:40]!r}: expected one of {', '.join(NAMED)}, or a JSON object")
        return NAMED[text.lower()]
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise GameError("rules: expected a JSON object") from None
    asked = json.loads(rules_as_json(game)) | values
    parameters = {
        "ko": _one_of(asked, "ko", {"POSITIONAL": "positional", "SITUATIONAL": "situational", "SIMPLE": "simple"}),
        "suicide": _one_of(asked, "suicide", {True: "yes", False: "no"}),
    }
    scoring = _one_of(asked, "scoring", {"AREA": "area", "TERRITORY": "territory"})
    _one_of(asked, "tax", {"NONE": "", "SEKI": ""} if scoring == "territory" else {"NONE": ""})
    _one_of(asked, "hasButton", {False: ""})
    if scoring == "territory":
        # Handicap stones earn nothing by territory; what a file or a controller carries over from area is no matter.
        return {"rules": "japanese", **parameters}
    bonus = _one_of(asked, "whiteHandicapBonus", {"0": "tromp-taylor", "N": "chinese", "N-1": "aga"})
    return {"rules": bonus, **parameters}


def _one_of(asked: dict[str, Any], name: str, known: dict[Any, str]) -> str:
    value = asked[name]
    for accepted, meaning in known.items():
        if type(value) is type(accepted) and value == accepted:
            return meaning
    expected = " or ".join(json.dumps(accepted) for accepted in known)
    raise GameError(f"rules: {name} is {expected} here, got {json.dumps(value)[:40]}")
