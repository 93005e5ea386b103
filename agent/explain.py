"""A move or a position explained in words: what the net thought at first, what the search changed, and what it costs.

`judge_move` and `judge_position` think and say what they found as data; `explain_move` and `explain_position` put it
into sentences. Expected scores are shares of 1 for a named side: a win counts 1, a draw 0.5, so (value + 1) / 2; what a
move costs is the difference, in percentage points. Numbers are the thinker's opinion, but for what is called forced,
which its search has proven.
"""

from dataclasses import dataclass

from agent.thinking import Limit, Line, ShouldStop, Thinker, Thoughts
from games.contract import DRAW, GameError
from games.position import Position

SIMULATIONS = 800
"""How many each position that is looked at gets, where nothing else is asked for; a move takes three positions."""
WORDS = ((20.0, "a blunder"), (10.0, "a mistake"), (5.0, "an inaccuracy"))
"""What a move is called that costs at least so many percentage points; anything cheaper is fine."""
LONGEST_LINE = 8
"""Moves of a line of play that are told: further on it was seldom searched."""
MOST_CHANGES = 4
"""Changes of mind that are told, the last ones."""


@dataclass(frozen=True)
class MoveJudgement:
    """What a thinker finds of a move that was played. Scores are the mover's expected ones, 0 to 1."""

    before: Position
    action: int
    thoughts: Thoughts
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
    """Judges the last move of `position`, or `action`, one that could be played now.

    The move and the best other one are each played and searched, with `limit` a position (by default SIMULATIONS),
    so that they are compared on the same terms. The thinker's tree ends up where the move led. Raises GameError where
    there is no such move, or `should_stop()` came before there was anything to say.
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
    thoughts = thinker.think(before, limit, should_stop=should_stop)
    others = [line.action for line in thoughts.lines if line.action != action]
    better = others[0] if others else None
    # The other move first: the tree stays with the move that was made, from where the game goes on.
    look_better = None if better is None else _look(thinker, before, better, limit, should_stop)
    played = _look(thinker, before, action, limit, should_stop)
    if should_stop is not None and should_stop():
        raise GameError("the explanation was stopped")
    return MoveJudgement(
        before,
        action,
        thoughts,
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
    thoughts = thinker.think(after, limit, should_stop=should_stop)
    best = thoughts.lines[0]
    score = _score(thoughts)
    forced = None
    if best.proven and best.value is not None:
        forced = _outcome_of_value(best.value, after.player)
    return _Look(score if after.player == mover else 1 - score, best.variation, forced)


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
    thoughts = thinker.think(position, limit or Limit(simulations=SIMULATIONS), should_stop=should_stop)
    return position_in_words(position, thoughts)


# --- sentences


def move_in_words(judgement: MoveJudgement) -> str:
    """A judgement in sentences, one a line."""
    before, mover = judgement.before, _player(judgement.before)
    move = f"{mover}'s {_move(before, judgement.action)}"
    after = before.copy()
    after.play(judgement.action)
    sentences = [_verdict(judgement, move, mover, after)]
    if judgement.better is None:
        return sentences[0]
    if not after.is_over:
        whose = _player(after)
        told = (
            "It is refuted by" if judgement.word != "fine" and after.player != before.player else "Expected after it:"
        )
        sentences.append(f"{told} {_line(after, judgement.reply)}{_forced(judgement.forced, after, whose)}.")
    if judgement.word != "fine":
        better = _line(before, judgement.better_line)
        assert judgement.score_better is not None
        sentences.append(f"Better was {better}{_forced(judgement.forced_better, before, mover)}.")
    sentences += _history(before, judgement.thoughts, judgement.action)
    return "\n".join(sentences)


def position_in_words(position: Position, thoughts: Thoughts) -> str:
    """Thoughts about a position in sentences, one a line."""
    mover, best = _player(position), thoughts.lines[0]
    sentences = []
    if thoughts.wdl is not None:
        win, draw, loss = (_percent(share) for share in thoughts.wdl)
        sentences.append(f"The net alone sees {mover}, to move, win {win}, draw {draw} and lose {loss}.")
    if thoughts.visits:
        said = f"After {_simulations(thoughts.visits)} {mover}'s expected score is {_percent(_score(thoughts))}"
    else:
        said = f"{mover}'s expected score is {_percent(_score(thoughts))}"
    if best.proven and best.value is not None:
        outcome = _outcome_of_value(best.value, position.player)
        said = f"{mover}, to move, {_has(outcome, position.player)}"
    sentences.append(f"{said}; best is {_line(position, best.variation)}.")
    others = [line for line in thoughts.lines[1:] if line.visits and line.value is not None]
    if others:
        told = ", ".join(f"{_move(position, line.action)} {_percent(_share(line))}" for line in others[:2])
        sentences.append(f"Next come {told}." if len(others) > 1 else f"Next comes {told}.")
    sentences += _history(position, thoughts, best.action)
    return "\n".join(sentences)


def _verdict(judgement: MoveJudgement, move: str, mover: str, after: Position) -> str:
    before = judgement.before
    if after.is_over and after.outcome == before.player:
        return f"{move} wins the game."
    score = _percent(judgement.score_played)
    if judgement.better is None:
        return f"{move} was the only move; {mover}'s expected score is {score}."
    assert judgement.score_better is not None
    cost = f"{judgement.cost:.0f} percentage point{'' if round(judgement.cost) == 1 else 's'}"
    if judgement.word == "fine":
        if round(judgement.cost) == 0:
            return f"{move} is fine, nothing better was found: {mover}'s expected score is {score}."
        return f"{move} is fine: it costs {cost} of {mover}'s expected score, which is {score} now."
    change = f"{_percent(judgement.score_better)} before it, {score} after"
    return f"{move} is {judgement.word}: it costs {cost} of {mover}'s expected score, {change}."


def _history(position: Position, thoughts: Thoughts, action: int) -> list[str]:
    """What the net thought before any search, and how the search's choice changed; nothing where nothing is known."""
    priors = {line.action: line.prior for line in thoughts.lines}
    if len(priors) == 1 or max(priors.values()) - min(priors.values()) < 1e-6:  # random playouts like all the same
        return _changes(position, thoughts) if thoughts.visits and len(priors) > 1 else []
    first = thoughts.first_thought
    said = f"Before any search the net's first choice was {_move(position, first)} ({_percent(priors[first])})"
    if action != first:
        said += f"; it gave {_move(position, action)} {_percent(priors[action])}"
    return [f"{said}.", *(_changes(position, thoughts) if thoughts.visits else [])]


def _changes(position: Position, thoughts: Thoughts) -> list[str]:
    """How the search's choice changed, from the policy's first choice on."""
    changes = thoughts.changes[1:]
    total = _simulations(thoughts.visits)
    if not changes:
        return [f"The search stayed with {_move(position, thoughts.lines[0].action)} through all of its {total}."]
    told = [f"to {_move(position, action)} after {visits}" for visits, action in changes[-MOST_CHANGES:]]
    times = "once" if len(changes) == 1 else f"{len(changes)} times"
    last = "" if len(changes) <= MOST_CHANGES else "at last "
    return [f"In {total} the search changed its mind {times}: {last}{_listed(told)}."]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _line(position: Position, actions: tuple[int, ...]) -> str:
    """A line of play from a position, `X 4, O 3`, and how the game ends where it does."""
    twin, told = position.copy(), []
    for action in actions[:LONGEST_LINE]:
        told.append(f"{_player(twin)} {_move(twin, action)}")
        twin.play(action)
    text = ", ".join(told)
    return f"{text}, and {_ended(twin)}" if twin.is_over else text


def _forced(outcome: int | None, position: Position, whose: str) -> str:
    """What is proven, seen by the side to move in `position`; empty where nothing is."""
    if outcome is None:
        return ""
    if outcome == DRAW:
        return "; a draw is forced"
    winner = position.game.players[outcome]
    return f"; {'that' if winner == whose else winner} wins by force"


def _has(outcome: int, player: int) -> str:
    if outcome == DRAW:
        return "has a draw by force"
    return "wins by force" if outcome == player else "loses by force"


def _ended(position: Position) -> str:
    outcome = position.outcome
    return "the game is drawn" if outcome == DRAW else f"{position.game.players[outcome]} wins"


def _player(position: Position) -> str:
    return position.game.players[position.player]


def _move(position: Position, action: int) -> str:
    return position.game.action_to_text(position.state, action)


def _simulations(count: int) -> str:
    return f"{count} simulation{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    """A share in words: never 0 % or 100 % for what is not certain."""
    percent = 100 * share
    if 0 < percent < 1:
        return "under 1 %"
    if 99 < percent < 100:
        return "over 99 %"
    return f"{percent:.0f} %"


# --- values


def _share(line: Line) -> float:
    assert line.value is not None
    return (line.value + 1) / 2


def _score(thoughts: Thoughts) -> float:
    """The side to move's expected score: the best move's, else what is thought of the position."""
    value = thoughts.lines[0].value if thoughts.lines[0].value is not None else thoughts.value
    return 0.5 if value is None else (value + 1) / 2


def _score_of_outcome(outcome: int, player: int) -> float:
    return 0.5 if outcome == DRAW else float(outcome == player)


def _outcome_of_value(value: float, player: int) -> int:
    """The outcome code of an exact value for a player."""
    return DRAW if value == 0 else (player if value > 0 else 1 - player)
