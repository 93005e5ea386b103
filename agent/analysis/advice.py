"""What a player thinks of a position, as lines of text: for the line mode and wherever there is no panel."""

from keima.agent.contracts.thinking import PrincipalVariation, SearchInfo
from keima.games.position import Position

LONGEST_VARIATION = 8
"""Moves of a variation that are shown: later ones were searched a few times only."""


def candidate_text(position: Position, line: PrincipalVariation) -> str:
    """One candidate in a line that fits beside a board: the move and what is known of it."""
    facts = []
    if line.value is not None:
        facts.append(f"score {(line.value + 1) / 2:.0%}" + (" (proven)" if line.proven else ""))
    if line.visits:
        facts.append(f"visits {line.visits}")
    facts.append(f"policy {line.prior:.0%}")
    return f"{position.game.action_to_text(position.state, line.action)}: {', '.join(facts)}"


def hint_text(position: Position, info: SearchInfo, count: int = 3) -> str:
    """The best moves, a line each."""
    return "\n".join(candidate_text(position, line) for line in info.variations[:count])


def analysis_text(position: Position, info: SearchInfo, count: int = 6) -> str:
    """The best moves with the play that is expected after them, and what the network itself thinks."""
    mover = position.game.players[position.player]
    said = []
    if info.value is not None:
        said.append(f"{mover} to move: expected score {(info.value + 1) / 2:.0%}")
    if info.wdl is not None:
        win, draw, loss = info.wdl
        said.append(f"the net alone: win {win:.0%}, draw {draw:.0%}, loss {loss:.0%}")
    said.append(f"{info.visits} simulations in {info.seconds:.1f} s")
    lines = ["; ".join(said)]
    for line in info.variations[:count]:
        lines.append(candidate_text(position, line))
        if following := variation_moves(position, line.actions)[1:]:
            lines.append(f"    then {' '.join(following)}")
    return "\n".join(lines)


def move_comment(position: Position, info: SearchInfo, points: float | None = None) -> str:
    """What a player thought of a position when he moved in it, for the game's record.

    `points`: the first player's lead, where that is known.
    """
    said = []
    if info.value is not None:
        said.append(f"{position.game.players[position.player]} wins {(info.value + 1) / 2:.1%}")
    if points is not None:
        ahead = position.game.players[0 if points > 0 else 1]
        said.append(f"{ahead} leads by {abs(points):.1f}")
    if info.visits:
        said.append(f"{info.visits} simulations")
    best = info.variations[0]
    said.append(f"expects {' '.join(variation_moves(position, best.actions))}")
    return "; ".join(said)


def variation_moves(position: Position, variation: tuple[int, ...]) -> list[str]:
    """The moves of a variation in the game's notation, LONGEST_VARIATION at most."""
    played = position.copy()
    for action in variation[:LONGEST_VARIATION]:
        played.play(action)
    return played.moves_text()[len(position.actions) :]
