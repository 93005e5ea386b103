"""Analysis as Go's graphical interfaces ask for it over GTP, in the dialects of Leela Zero and of KataGo.

`lz-analyze b 50` and `kata-analyze b 50 maxmoves 5` ask for a line of text every 50 hundredths of a second:

    info move d4 visits 120 winrate 5312 prior 2404 lcb 4560 order 0 pv d4 q16 info move ...

Leela Zero writes win rates and priors as whole ten-thousandths, KataGo as fractions, with the expected score and, where
it is asked for, whose each point will be; all as the side to move sees it.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keima.agent.contracts.territory import Estimate
from keima.agent.contracts.thinking import PrincipalVariation, SearchInfo
from keima.agent.protocols.gtp.move_commands import move_names
from keima.agent.protocols.gtp.syntax import COLOURS, INTEGER
from keima.games.contract import State
from keima.games.position import Position

LONGEST_VARIATION = 16
"""Moves of a variation that are told."""
KNOWN_OPTIONS = (
    *("interval", "minmoves", "maxmoves", "rootinfo", "ownership", "ownershipstdev", "movesownership"),
    *("movesownershipstdev", "pvvisits", "pvedgevisits", "noresultvalue"),
)
"""What KataGo's interfaces send; those that ask for what there is not are passed over, as KataGo's protocol allows."""
MOST_SCORES = 20
"""Moves whose score is told, the best ones: each takes an evaluation of the position after it."""
CONFIDENCE = 1.64
"""Standard errors from a win rate down to its lower bound, which it is above with 95 %."""
Judge = Callable[[Sequence[State]], list[Estimate]]
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True)
class Restriction:
    """Moves that one side is not to make next, or the only ones that it may make: `avoid` and `allow`."""

    is_allowed: bool
    colour: int
    moves: frozenset[str]
    """In the game's notation, in lower case."""


@dataclass(frozen=True)
class AnalysisRequest:
    """What an analysis is to be like."""

    dialect: str
    """`lz` or `kata`."""
    interval_s: float = 1.0
    """How often it is told, in seconds."""
    max_moves: int = 1000
    min_moves: int = 0
    """So many moves are told, though some were not tried."""
    root_info: bool = False
    ownership: bool = False
    restrictions: tuple[Restriction, ...] = ()


def parse_request(dialect: str, arguments: list[str]) -> AnalysisRequest:
    """The request in what follows a colour. Raises ValueError for what is none, with a reason."""
    interval_s, numbers, flags = 1.0, {"minmoves": 0, "maxmoves": 1000}, {"rootinfo": False, "ownership": False}
    restrictions: list[Restriction] = []
    words = [word.lower() for word in arguments]
    if words and _NUMBER.fullmatch(words[0]):
        interval_s = float(words.pop(0)) / 100
    while words:
        name = words.pop(0)
        if name in ("avoid", "allow"):
            # So many moves deep they hold: at least here, at the root, and here no deeper.
            if len(words) < 3 or words[0] not in COLOURS or not INTEGER.fullmatch(words[2]) or int(words[2]) == 0:
                raise ValueError("syntax error")
            restrictions.append(Restriction(name == "allow", COLOURS[words[0]], frozenset(words[1].split(","))))
            del words[:3]
            continue
        if name not in KNOWN_OPTIONS or not words:
            raise ValueError("syntax error")
        value = words.pop(0)
        if name in ("interval", "minmoves", "maxmoves"):
            if not _NUMBER.fullmatch(value):
                raise ValueError("syntax error")
            if name == "interval":
                interval_s = float(value) / 100
            else:
                numbers[name] = int(float(value))
        elif name in flags:
            flags[name] = value == "true"
    return AnalysisRequest(
        *(dialect, interval_s, numbers["maxmoves"], numbers["minmoves"], flags["rootinfo"], flags["ownership"]),
        restrictions=tuple(restrictions),
    )


def permitted(request: AnalysisRequest, position: Position) -> frozenset[int] | None:
    """The actions to which a request restricts the side to move; None: to none. Raises ValueError, saying why, for
    what is no move of the game, and where no legal one is left."""
    own = [restriction for restriction in request.restrictions if restriction.colour == position.player]
    named = frozenset[str]().union(*(restriction.moves for restriction in request.restrictions))
    if named and not named <= move_names(position):
        raise ValueError("invalid color or coordinate")
    if not own:
        return None
    game, state = position.game, position.state
    legal = {game.action_to_text(state, action).lower(): action for action in position.legal_actions()}
    names = set(legal)
    for restriction in own:
        names = names & restriction.moves if restriction.is_allowed else names - restriction.moves
    if not names:
        raise ValueError("no move is left")
    return frozenset(legal[name] for name in names)


def analysis_line(
    request: AnalysisRequest,
    position: Position,
    search_info: SearchInfo,
    name_of: Callable[[str], str],
    judge: Judge | None = None,
) -> str:
    """SearchInfo about a position as one line; empty where nothing was tried.

    The value that a network without search has for its best move counts as a visit.

    `name_of`: how a move in the game's notation is written. `judge`: estimates how games end, see
    `keima.agent.contracts.territory`.
    """
    tried = [line for line in search_info.variations if _visits(line) > 0]
    if not tried:
        return ""
    least = max(request.min_moves, 1)
    told = tried if len(tried) >= least else list(search_info.variations[:least])
    told = told[: max(request.max_moves, 1)]
    estimates: list[Estimate] = []
    if judge is not None and request.dialect == "kata":
        game, state = position.game, position.state
        estimates = judge([state, *(game.after(state, line.action) for line in told[:MOST_SCORES])])
    infos = []
    for order, line in enumerate(told):
        score = _score(position, estimates[order + 1]) if order + 1 < len(estimates) else ""
        infos.append(_info(request, position, search_info, line, order, name_of, score))
    if request.root_info:
        score = _score(position, estimates[0]) if estimates else ""
        infos.append(f"rootInfo visits {search_info.visits} winrate {_fraction(search_info.value or 0.0):.6g}{score}")
    if request.ownership and estimates:
        sign = 1 if position.player == 0 else -1
        infos.append(f"ownership {' '.join(f'{sign * owner + 0.0:.4g}' for owner in estimates[0].ownership)}")
    return " ".join(infos)


def _info(
    request: AnalysisRequest,
    position: Position,
    search_info: SearchInfo,
    line: PrincipalVariation,
    order: int,
    name_of: Callable[[str], str],
    score: str,
) -> str:
    value = line.value if line.value is not None else search_info.value or 0.0
    win, prior, visits = _fraction(value), line.prior, _visits(line)
    low = lower_bound(win, visits)
    moves = [name_of(move) for move in _moves(position, line)]
    if request.dialect == "lz":
        said = f"winrate {round(10_000 * win)} prior {round(10_000 * prior)} lcb {round(10_000 * low)}"
    else:
        said = (
            f"utility {value:.6g} winrate {win:.6g}{score} prior {prior:.6g} lcb {low:.6g} utilityLcb {2 * low - 1:.6g}"
        )
    return f"info move {moves[0]} visits {visits} {said} order {order} pv {' '.join(moves)}"


def _visits(line: PrincipalVariation) -> int:
    return line.visits if line.value is None else max(line.visits, 1)


def lower_bound(win: float, visits: int) -> float:
    """What a win rate found by so many visits is likely above: each counted as a game that is won or lost, with one
    more that is drawn, so that a rate of 1 from a single visit is not certain."""
    drawn_in = (win * visits + 0.5) / (visits + 1)
    return max(0.0, win - CONFIDENCE * math.sqrt(drawn_in * (1 - drawn_in) / (visits + 1)))


def _score(position: Position, estimate: Estimate) -> str:
    """The expected score's keys; KataGo's scoreMean is its lead, for interfaces that know no other."""
    lead = estimate.points if position.player == 0 else -estimate.points
    return f" scoreMean {lead:.4g} scoreStdev {estimate.deviation:.4g} scoreLead {lead:.4g} scoreSelfplay {lead:.4g}"


def _fraction(value: float) -> float:
    """A value from -1 to 1 as a win rate from 0 to 1."""
    return (1 + value) / 2


def _moves(position: Position, line: PrincipalVariation) -> list[str]:
    """A variation in the game's notation."""
    game, state = position.game, position.state
    moves = []
    for action in line.actions[:LONGEST_VARIATION]:
        moves.append(game.action_to_text(state, action))
        state = game.after(state, action)
    return moves
