"""A move or a position explained in words: what the net thought at first, what the search changed, and what the move
costs.

`judge_move` and `judge_position` search and return their findings as data; `explain_move` and `explain_position` put
them into sentences. Expected scores are from 0 to 1 for a named side: a win counts 1, a draw 0.5, so they are (value +
1) / 2. What a move costs is the difference, in percentage points. Numbers are the thinker's estimates, except that what
is called forced has been proven by its search.
"""

from dataclasses import dataclass

from keima.agent.contracts.thinking import Limit, PrincipalVariation, SearchInfo, ShouldStop, Thinker
from keima.games.contract import DRAW, GameError
from keima.games.position import Position

SIMULATIONS = 800
"""How many each position that is looked at gets, where nothing else is asked for; a move takes three positions."""
WORDS = ((20.0, "a blunder"), (10.0, "a mistake"), (5.0, "an inaccuracy"))
"""What a move is called that costs at least so many percentage points; anything cheaper is fine."""
REFUTED = 10.0
"""From how many percentage points on the opponent's answer is called a refutation."""
LONGEST_LINE = 6
"""Moves of a line of play that are told: further on it was seldom searched."""
MOST_CHANGES = 4
"""Changes of mind that are told, the last ones."""


@dataclass(frozen=True)
class MoveJudgement:
    """A thinker's judgement of a move that was played. Scores are the mover's expected ones, 0 to 1."""

    before: Position
    action: int
    info: SearchInfo
    """Of the position before the move."""
    better: int | None
    """The best other move; None where there was none."""
    score_played: float
    """After the move, with best play from there on."""
    score_better: float | None
    """After the other move likewise; None where there was none."""
    reply: tuple[int, ...]
    """The play expected after the move; the first of it refutes a bad move. Empty where the game is over."""
    better_line: tuple[int, ...]
    """The other move and the play expected after it."""
    forced: int | None
    """The outcome code that is proven after the move; None where none is."""
    forced_better: int | None
    """Likewise after the other move."""

    @property
    def cost(self) -> float:
        """What the move cost, in percentage points of the mover's expected score; 0 where nothing better was found."""
        return 0.0 if self.score_better is None else max(0.0, 100 * (self.score_better - self.score_played))

    @property
    def word(self) -> str:
        """The move in a word; see WORDS."""
        return next((word for least, word in WORDS if self.cost >= least), "fine")


@dataclass(frozen=True)
class _Look:
    """What is found of the position after a move."""

    score: float  # the mover's
    line: tuple[int, ...]
    forced: int | None


def judge_move(
    thinker: Thinker,
    position: Position,
    action: int | None = None,
    *,
    limit: Limit | None = None,
    should_stop: ShouldStop | None = None,
) -> MoveJudgement:
    """Judges the last move of `position`, or `action`, a move that could be played now.

    The move and the best other one are each played and searched with the same `limit` (by default SIMULATIONS), so that
    they can be compared. The thinker's tree is afterwards that of the position after the move. Raises GameError where
    there is no such move, or where `should_stop()` came before any result.
    """
    limit = limit or Limit(simulations=SIMULATIONS)
    before = position.copy()
    if action is None:
        if not before.actions:
            raise GameError("no move to explain: none has been made")
        action = before.actions[-1]
        before.undo()
    elif action not in before.legal_actions():
        raise GameError(f"no move to explain: action {action} is not legal here")
    thinker.forget()  # so that its changes of mind are known from the first simulation on
    info = thinker.think(before, limit, should_stop=should_stop)
    others = [line.action for line in info.variations if line.action != action]
    better = others[0] if others else None
    # The other move first: the tree stays with the move that was made, from where the game goes on.
    look_better = None if better is None else _look(thinker, before, better, limit, should_stop)
    played = _look(thinker, before, action, limit, should_stop)
    if should_stop is not None and should_stop():
        raise GameError("the explanation was stopped")
    return MoveJudgement(
        before,
        action,
        info,
        better,
        played.score,
        None if look_better is None else look_better.score,
        played.line,
        () if better is None or look_better is None else (better, *look_better.line),
        played.forced,
        None if look_better is None else look_better.forced,
    )


def _look(thinker: Thinker, before: Position, action: int, limit: Limit, should_stop: ShouldStop | None) -> _Look:
    mover, after = before.player, before.copy()
    after.play(action)
    if after.is_over:
        outcome = after.outcome
        return _Look(_score_of_outcome(outcome, mover), (), outcome)
    info = thinker.think(after, limit, should_stop=should_stop)
    best, score = info.variations[0], _score(info)
    forced = _forced_outcome(best, after.player)
    return _Look(score if after.player == mover else 1 - score, best.actions, forced)


def explain_move(
    thinker: Thinker,
    position: Position,
    action: int | None = None,
    *,
    limit: Limit | None = None,
    should_stop: ShouldStop | None = None,
) -> str:
    """The last move of `position`, or `action`, in words; see `judge_move`."""
    return move_in_words(judge_move(thinker, position, action, limit=limit, should_stop=should_stop))


def explain_position(
    thinker: Thinker, position: Position, *, limit: Limit | None = None, should_stop: ShouldStop | None = None
) -> str:
    """The position in words: who stands how, what the net thought at first, what the search makes of it."""
    if position.is_over:
        return f"The game is over: {_ended(position)}."
    thinker.forget()
    info = thinker.think(position, limit or Limit(simulations=SIMULATIONS), should_stop=should_stop)
    return position_in_words(position, info)


# --- sentences


def move_in_words(judgement: MoveJudgement) -> str:
    """A judgement in sentences, one a line."""
    before, bad = judgement.before, judgement.word != "fine"
    after = before.copy()
    after.play(judgement.action)
    sentences = [_verdict(judgement, after)]
    if judgement.better is None:
        return sentences[0]
    if judgement.reply:
        refuted = judgement.cost >= REFUTED and after.player != before.player
        told = "It is refuted by" if refuted else "Expected after it:"
        sentences.append(f"{told} {_line(after, judgement.reply, judgement.forced)}.")
    if bad:
        sentences.append(f"Better is {_line(before, judgement.better_line, judgement.forced_better)}.")
    sentences += _history(before, judgement.info, judgement.action)
    return "\n".join(sentences)


def position_in_words(position: Position, info: SearchInfo) -> str:
    """SearchInfo about a position in sentences, one a line."""
    mover, best, score = _player(position), info.variations[0], _percent(_score(info))
    sentences = []
    if info.wdl is not None:
        win, draw, loss = (_percent(share) for share in info.wdl)
        sentences.append(f"The net alone gives {mover}, to move, {win} to win, {draw} to draw and {loss} to lose.")
    forced = _forced_outcome(best, position.player)
    if forced is not None:
        end = "can force a draw" if forced == DRAW else f"{'wins' if forced == position.player else 'loses'} by force"
        said = f"{mover}, to move, {end}"
    elif info.visits:
        said = f"After {_simulations(info.visits)} the expected score of {mover}, to move, is {score}"
    else:
        said = f"The expected score of {mover}, to move, is {score}"
    sentences.append(f"{said}; best is {_line(position, best.actions, forced)}.")
    others = [line for line in info.variations[1:] if line.visits and line.value is not None]
    if others:
        told = [f"{_move(position, line.action)} ({_percent(_share(line))})" for line in others[:2]]
        sentences.append(f"Next {'comes' if len(told) == 1 else 'come'} {_listed(told)}.")
    sentences += _history(position, info, best.action)
    return "\n".join(sentences)


def _verdict(judgement: MoveJudgement, after: Position) -> str:
    """What the move is worth, in a sentence."""
    before, mover = judgement.before, _player(judgement.before)
    move = f"{mover}'s {before.game.action_to_text(before.state, judgement.action)}"
    if after.is_over and after.outcome == before.player:
        return f"{move} wins the game."
    score = _percent(judgement.score_played)
    if judgement.score_better is None:
        return f"{move} was the only move; {mover}'s expected score is {score}."
    # Of the rounded scores, so that what is told adds up.
    points = max(0, round(100 * judgement.score_better) - round(100 * judgement.score_played))
    cost = f"{points} percentage point{'' if points == 1 else 's'} of {mover}'s expected score"
    if judgement.word != "fine":
        change = f"{_percent(judgement.score_better)} before it, {score} after"
        return f"{move} is {judgement.word}: it costs {cost}, {change}."
    if points == 0:
        return f"{move} is fine, nothing better was found: {mover}'s expected score is {score}."
    return f"{move} is fine: it costs {cost}, which is {score} now."


def _history(position: Position, info: SearchInfo, action: int) -> list[str]:
    """What the net thought before any search, and how the search's choice changed; nothing where there is no choice."""
    priors = {line.action: line.prior for line in info.variations}
    if len(priors) == 1:
        return []
    sentences = []
    if max(priors.values()) - min(priors.values()) > 1e-6:  # random playouts like all the same
        first = info.policy_move
        said = f"Before any search the net's first choice was {_move(position, first)} ({_percent(priors[first])})"
        also = f"; {_move(position, action)} had {_percent(priors[action])}"
        sentences.append(f"{said}{'' if action == first else also}.")
    if info.visits:
        sentences.append(_changes(position, info))
    return sentences


def _changes(position: Position, info: SearchInfo) -> str:
    """How the search's choice changed, from the policy's first choice on."""
    changes = info.changes[1:]
    if not changes:
        chosen = _move(position, info.variations[0].action)
        return f"The search kept to {chosen} from the first to the last of its {_simulations(info.visits)}."
    told = [f"after {visits} to {_move(position, action)}" for visits, action in changes[-MOST_CHANGES:]]
    times = "once" if len(changes) == 1 else f"{len(changes)} times"
    last = "" if len(changes) <= MOST_CHANGES else "at last "
    return f"In {_simulations(info.visits)} the search changed its mind {times}: {last}{_listed(told)}."


def _line(position: Position, actions: tuple[int, ...], forced: int | None) -> str:
    """A line of play from a position, `X 4, O 3`, and how it ends where it does, or is proven to."""
    twin, told = position.copy(), []
    for action in actions[:LONGEST_LINE]:
        told.append(_move(twin, action))
        twin.play(action)
    text = ", ".join(told)
    if forced is not None:
        return f"{text}, and {'a draw is forced' if forced == DRAW else f'{_named(position, forced)} wins by force'}"
    return f"{text}, and {_ended(twin)}" if twin.is_over else text


def _ended(position: Position) -> str:
    return "the game is drawn" if position.outcome == DRAW else f"{_named(position, position.outcome)} wins"


def _named(position: Position, player: int) -> str:
    return position.game.players[player]


def _player(position: Position) -> str:
    return _named(position, position.player)


def _move(position: Position, action: int) -> str:
    """A move with who makes it, `X 4`: of numbers alone one would not know which are moves."""
    return f"{_player(position)} {position.game.action_to_text(position.state, action)}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _simulations(count: int) -> str:
    return f"{count} simulation{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    """A share in words: never 0 % or 100 % for what is not certain."""
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


# --- values


def _share(line: PrincipalVariation) -> float:
    assert line.value is not None
    return (line.value + 1) / 2


def _score(info: SearchInfo) -> float:
    """The side to move's expected score: the best move's, else what is thought of the position."""
    value = info.variations[0].value if info.variations[0].value is not None else info.value
    return 0.5 if value is None else (value + 1) / 2


def _score_of_outcome(outcome: int, player: int) -> float:
    return 0.5 if outcome == DRAW else float(outcome == player)


def _forced_outcome(line: PrincipalVariation, player: int) -> int | None:
    """The outcome code that is proven to follow the best line, the player's; None where none is."""
    if not line.proven or line.value is None:
        return None
    return DRAW if line.value == 0 else (player if line.value > 0 else 1 - player)
