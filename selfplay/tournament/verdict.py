"""What a referee said of a game that came to its end on the board; selfplay/tournament/referee.py asks for it."""

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any

from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS

_SCORE = re.compile(r"([BW])\+([0-9]+(?:\.[0-9]*)?)|0|draw|jigo", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """A referee's answer, or why there is none; points are the first player's less the second's, komi in them."""

    referee: str
    """The program's name and version."""
    by_rules: int
    """FIRST_WINS, SECOND_WINS or DRAW as the rules alone have it, which count every stone as alive."""
    points_by_rules: float
    outcome: int | None = None
    """FIRST_WINS, SECOND_WINS or DRAW; None where it gave no answer and the rules decide."""
    points: float | None = None
    """By the rules without the dead stones; by its own count, where it named no stones."""
    dead: tuple[str, ...] = ()
    """The dead stones, in the game's notation."""
    own_count: str = ""
    """What it counts itself, as `B+3.5`; empty where it does not say."""
    failure: str = ""
    """Why there is no answer."""

    @property
    def decides(self) -> bool:
        """Whether it is the referee's result that counts."""
        return self.outcome is not None

    @property
    def overrules(self) -> bool:
        """Whether it is another result than the rules'."""
        return self.decides and self.outcome != self.by_rules

    @property
    def contradicts_itself(self) -> bool:
        """Whether by its own count somebody else won than by the stones it named dead."""
        points = points_of(self.own_count)
        return self.decides and points is not None and outcome_of(points) != self.outcome

    def to_json(self) -> str:
        """As a tournament's file has it; what says nothing is left out."""
        values = dataclasses.asdict(self).items()
        return json.dumps({name: value for name, value in values if value is not None and value not in ("", ())})

    @classmethod
    def from_json(cls, text: str) -> "Verdict":
        """What `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, "dead": tuple(values.get("dead", ()))})


def outcome_of(points: float) -> int:
    """Who won by so many points of the first player's less the second's."""
    return FIRST_WINS if points > 0 else SECOND_WINS if points < 0 else DRAW


def points_of(score: str) -> float | None:
    """The first player's points less the second's, from GTP's `B+3.5`; None for what is no score."""
    match = _SCORE.fullmatch(score.strip())
    if match is None:
        return None
    return float(match[2] or 0) * (-1 if (match[1] or "").upper() == "W" else 1)
