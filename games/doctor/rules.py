"""The checks of the rules, the notation and the training targets, on the positions that a walk has found.

Each reports what is wrong and returns what it has looked at.
"""

import contextlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, FIRST_WINS, ONGOING, PLAYER, SECOND_WINS, GameError, State
from keima.games.doctor.exchange import NEARLY_ALL, decided, exchange_of, share
from keima.games.doctor.report import ERROR, WARNING
from keima.games.doctor.subject import (
    MANY,
    MIN_DECIDED,
    MIN_MOVES,
    OUTCOME_REMEDY,
    RUBBISH,
    Sample,
    Stopped,
    Subject,
    views,
)

# Questions of the checks.
WHOSE_CODES, WHOSE_BOARD = "whose view the codes take", "whose view the board takes"
WHOSE_TARGETS = "whose view ownership and score take"


def check_reset(subject: Subject) -> str:
    """That reset writes all of the row, and the same each time."""
    first, second = (subject.reset(rubbish) for rubbish in RUBBISH)
    unset = np.flatnonzero(first != second)
    if len(unset):
        i = int(unset[0])
        kept = [first[i], second[i]] == list(RUBBISH)
        subject.report(
            ERROR,
            "reset",
            "unset",
            found=f"reset leaves state[{i}] as it was"
            if kept
            else f"state[{i}] is {first[i]} after one reset and {second[i]} after another",
            expected="every entry of the row written, the same ones each time: the row arrives with an old game in it",
            remedy="begin reset with state[:] = 0",
        )
    return "writes the whole row"


def check_play(subject: Subject) -> str:
    """Whose turn it is, and that games come to an end."""
    movers = [int(s.state[PLAYER]) for s in subject.samples if s.outcome == ONGOING]
    for player in (0, 1):
        if player not in movers and len(movers) >= MIN_MOVES:
            subject.report(
                ERROR,
                "play",
                "one side",
                found=f"state[PLAYER] is {1 - player} in all of {len(movers)} positions: "
                f"the {'first' if player == 0 else 'second'} player never moves",
                expected="play to hand the move over",
                remedy="end play with state[PLAYER] = 1 - state[PLAYER]",
            )
    again = sum(s.parent >= 0 and s.state[PLAYER] == subject.samples[s.parent].state[PLAYER] for s in subject.samples)
    if not subject.random_games and subject.is_sound:  # else what stopped them is told of
        subject.report(
            WARNING,
            "play",
            "endless",
            found=f"no random game has come to an end within {len(subject.samples)} positions",
            expected="games of uniformly random moves that end: self-play begins with such games",
            remedy="end long games as draws, and say so in max_plies",
        )
    share = f", {again / len(subject.samples):.0%} of the moves leave the side to move as it is" if again else ""
    return f"{len(subject.random_games)} random games end within max_plies = {subject.game.max_plies}{share}"


def check_outcome(subject: Subject) -> str:
    """Whose point of view the outcome has, as far as random games tell."""
    ends = [(s.outcome, subject.samples[s.parent]) for s in subject.samples if s.outcome in (FIRST_WINS, SECOND_WINS)]
    winners = {outcome for outcome, _ in ends}
    if len(ends) >= MIN_DECIDED and len(winners) == 1:
        who, other = ("first", "second") if FIRST_WINS in winners else ("second", "first")
        subject.report(
            WARNING,
            "outcome",
            "one winner",
            found=f"the {who} player wins each of {len(ends)} decided games, the {other} none",
            expected="random games that either side wins",
            remedy=f"{OUTCOME_REMEDY}; or look for a way in which the {other} player's win is missed",
        )
    lost = sum(outcome != parent.state[PLAYER] for outcome, parent in ends)
    if len(ends) >= MIN_DECIDED and lost == len(ends):
        subject.report(
            WARNING,
            "outcome",
            "the mover loses",
            found=f"whoever makes the last move loses, in each of {len(ends)} decided games",
            expected="a last move that wins, or now this and now that, unless the game is played to be avoided",
            remedy="after play, state[PLAYER] is the opponent of who has just moved: that one is 1 - state[PLAYER]",
        )
    _check_whose_outcome(subject)
    drawn = sum(s.outcome == DRAW for s in subject.samples)
    return f"{len(ends)} ends with a winner, {drawn} drawn ones{'' if drawn else ' (none was met)'}"


def _check_whose_outcome(subject: Subject) -> None:
    """What outcome says of ends with the other side to move, where the same side has won."""
    exchange = exchange_of(subject)
    if exchange.why_not:
        subject.judge("outcome", WHOSE_CODES, exchange.why_not)
        return
    ends = decided(subject)
    answers = exchange.answers([sample for sample, _ in ends], subject.outcome)
    if len(answers) < MIN_MOVES:
        subject.judge("outcome", WHOSE_CODES, f"only {len(answers)} ends with a winner, {MIN_MOVES} would tell")
        return
    subject.judge("outcome", WHOSE_CODES)
    turns = share([code == 1 - sample.outcome for sample, code in answers])
    keeps = share([code == sample.outcome for sample, code in answers])
    # Who completes a line, or cannot move, is always or never the side to move: outcome may well be read off it.
    to_move = share([sample.outcome == int(sample.state[PLAYER]) for sample, _ in ends])
    last = share([sample.outcome == mover for sample, mover in ends])
    if not all(1 - NEARLY_ALL < told < NEARLY_ALL for told in (to_move, last)):
        return
    if exchange.sees_the_mover and turns >= NEARLY_ALL:
        reason = f"the other winner in {turns:.0%} of {len(answers)} ends when nothing but the side to move is changed"
    elif not exchange.sees_the_mover and keeps >= NEARLY_ALL and exchange.board_turns:
        reason = "the same winner whoever is to move, though the row is kept as the side to move sees it"
    else:
        return
    subject.report(
        ERROR,
        "outcome",
        "mover",
        found=f"outcome is seen by a side, not absolute: it says {reason}",
        expected="the winner's number: 0 where the first player has won, 1 where the second has",
        remedy=OUTCOME_REMEDY,
    )


def check_cloning(subject: Subject) -> str:
    """That a position is its row and nothing else: asked in another order, everything is as it was."""
    indices = subject.shallow_first(MANY)
    shuffled = [indices[i] for i in np.random.default_rng(1).permutation(len(indices))]
    for _, sample in subject.visit(shuffled):
        with contextlib.suppress(Stopped):
            differs = ""
            if subject.outcome(sample.state) != sample.outcome:
                differs = "outcome"
            elif sample.outcome == ONGOING and not np.array_equal(subject.legal(sample.state), sample.legal):
                differs = "legal_actions"
            elif sample.parent >= 0 and not np.array_equal(
                subject.play(subject.samples[sample.parent].state, sample.action), sample.state
            ):
                differs = "play"
            if differs:
                subject.report(
                    ERROR,
                    "cloning",
                    differs,
                    found=f"{differs} answers otherwise when the same position is asked again, after others",
                    expected="answers that depend on the state row alone: copying it is how the search clones a game",
                    remedy=f"keep what {differs} remembers in the state row: no globals, no random numbers",
                )
    with contextlib.suppress(Stopped):
        if not np.array_equal(subject.reset(), subject.samples[0].state):
            subject.report(
                ERROR,
                "cloning",
                "reset",
                found="reset writes another position when it is called again",
                expected="the same initial position for the same parameters",
                remedy="use nothing but `parameters` in reset: no globals, no random numbers",
            )
    return f"{len(indices)} positions asked again in another order answer the same"


def check_notation(subject: Subject) -> str:
    """Moves to text and back."""
    game = subject.game
    indices = subject.shallow_first(MANY // 2, ongoing=True)
    count = 0
    for _, sample in subject.visit(indices):
        names: dict[str, int] = {}
        for action in map(int, sample.legal):
            text = game.action_to_text(sample.state.copy(), action)
            if not isinstance(text, str) or not text or text != "".join(text.split()):
                subject.report(
                    ERROR,
                    "notation",
                    "spaces",
                    found=f"action {action} is called {text!r}",
                    expected="a name without spaces, not empty: protocols and game records split at spaces",
                    remedy="write it in one piece in action_to_text, as a2a3 or a2-a3",
                )
                continue
            other = names.setdefault(text, action)
            if other != action:
                subject.report(
                    ERROR,
                    "notation",
                    "twice",
                    found=f"actions {other} and {action} are both called {text!r}",
                    expected="a name of its own for every legal action",
                    remedy="add to action_to_text what tells them apart",
                )
        # All of them in the first positions, two in each after that: reading one looks all names up.
        folded = [text.lower() for text in names]
        alike = [text for text in names if folded.count(text.lower()) > 1]  # in chess bxc4 and Bxc4
        for text in [*alike, *names][: None if count < MANY else 2]:
            count += 1
            _check_reading(subject, sample, names[text], text, is_unique=text not in alike)
    with contextlib.suppress(GameError):
        game.text_to_action(subject.samples[0].state.copy(), "no such move")
        subject.report(
            ERROR,
            "notation",
            "nonsense",
            found="text_to_action takes 'no such move' for a move",
            expected="a GameError that names moves which are legal",
            remedy="raise GameError for text that names no legal action",
            moves=[],
        )
    return f"{count} moves to text and back, in {len(indices)} positions"


def _check_reading(subject: Subject, sample: Sample, action: int, text: str, *, is_unique: bool) -> None:
    """is_unique: no other legal move is called so but for capitals, so that it is read whatever its case."""
    for spelling in (text, f" {text.upper()}\n" if is_unique else f" {text}\n"):
        try:
            read = subject.game.text_to_action(sample.state.copy(), spelling)
        except Exception as error:
            read, reason = None, f"{type(error).__name__}: {error}"
        if read != action:
            subject.report(
                ERROR,
                "notation",
                "reading",
                found=f"action {action} is called {text!r}, but text_to_action reads {spelling!r} as "
                f"{f'action {read}' if read is not None else reason}",
                expected="the same action again, whatever the spaces around it, and whatever the case where only one "
                "move is called so",
                remedy="leave text_to_action out (it then looks action_to_text's names up, exactly first), or make "
                "both agree",
            )
            return


BOARD_REMEDY = "take state[PLAYER] out of board; only encode shows the side to move's view"


def check_board(subject: Subject) -> str:
    """The board as people see it."""
    game = subject.game
    indices = subject.shallow_first(MANY // 2)
    swapped = pieces = 0
    nearer: list[list[bool]] = []
    for _, sample in subject.visit(indices):
        state = sample.state.copy()
        board = np.asarray(game.board(state))
        if board.shape != tuple(game.shape):
            subject.report(
                ERROR,
                "board",
                "shape",
                found=f"board returns shape {board.shape}",
                expected=f"shape {tuple(game.shape)}, rows then columns",
                remedy="reshape it, top row first",
            )
            return ""
        if not np.issubdtype(board.dtype, np.integer) or not 0 <= board.min() <= board.max() < len(game.pieces):
            subject.report(
                ERROR,
                "board",
                "codes",
                found=f"board has codes from {board.min()} to {board.max()} ({board.dtype})",
                expected=f"whole numbers from 0 to {len(game.pieces) - 1}, one for each of pieces = {game.pieces!r}",
                remedy="correct board, or add a character to pieces for each code",
            )
            return ""
        if not isinstance(game.render(state), str):
            subject.report(
                ERROR, "board", "render", found="render returns no text", expected="a str", remedy="return the lines"
            )
        if not np.array_equal(state, sample.state):
            subject.report(
                ERROR,
                "board",
                "writes",
                found="board or render writes to the state",
                expected="drawing that only reads",
                remedy="have board work on a copy",
            )
        if sample.parent >= 0 and sample.state[PLAYER] != subject.samples[sample.parent].state[PLAYER]:
            before = np.asarray(game.board(subject.samples[sample.parent].state.copy()))
            if {1, 2} <= set(before.reshape(-1).tolist()) <= {0, 1, 2}:
                stood = before > 0
                pieces += int(stood.sum())
                swapped += int((stood & (board == 3 - before)).sum())
            same = np.count_nonzero(board != before)
            turned = [np.count_nonzero(board.reshape(-1)[view] != before.reshape(-1)) for view in views(game)[1:]]
            nearer.append([bool(count < same) for count in turned])
    if pieces >= 10 * MIN_MOVES and swapped > 0.6 * pieces:  # moves that turn pieces over do so to fewer
        subject.report(
            ERROR,
            "board",
            "point of view",
            found=f"{swapped / pieces:.0%} of the pieces on the board change sides with every move",
            expected="the board drawn from the first player's side, whoever is to move",
            remedy=BOARD_REMEDY,
        )
    elif len(nearer) >= MIN_MOVES and np.mean(nearer, axis=0).max() > NEARLY_ALL:
        subject.report(
            ERROR,
            "board",
            "point of view",
            found=f"the board is turned with every move: turned back, fewer of its cells differ from those before the "
            f"move in {np.mean(nearer, axis=0).max():.0%} of {len(nearer)} moves",
            expected="the board drawn from the first player's side, whoever is to move",
            remedy=BOARD_REMEDY,
        )
    else:
        _check_whose_board(subject)
    return f"{len(indices)} boards drawn"


def _check_whose_board(subject: Subject) -> None:
    """That the board stays as it is when nothing but the side to move changes."""
    exchange = exchange_of(subject)
    if not subject.judge("board", WHOSE_BOARD, exchange.why_not) or not exchange.sees_the_mover:
        return
    changed = exchange.boards_changed
    if exchange.board_turns:
        subject.here = (exchange.pairs[changed.index(True)].sample, ())
        subject.report(
            ERROR,
            "board",
            "point of view",
            found=f"board draws {sum(changed)} of {len(changed)} positions otherwise when nothing but the side to move "
            "is changed",
            expected="the board drawn from the first player's side, whoever is to move",
            remedy=BOARD_REMEDY,
        )
        subject.here = None


def check_targets(subject: Subject) -> str:
    """Ownership and score against the outcome, in finished games."""
    game = subject.game
    if not game.has_ownership and not game.has_score:
        return "the game offers no ownership and no score"
    indices = subject.shallow_first(MANY, ongoing=False)
    _check_whose_targets(subject)
    agree = against = 0
    for _, sample in subject.visit(indices):
        with contextlib.suppress(Stopped):
            sign = {FIRST_WINS: 1, SECOND_WINS: -1, DRAW: 0}[sample.outcome]
            if game.has_ownership:
                owners, again = subject.owners(sample.state), subject.owners(sample.state, 0)
                strange = np.flatnonzero((owners != again) | ~np.isin(owners, (-1, 0, 1)))
                if len(strange):
                    cell = int(strange[0])
                    subject.report(
                        ERROR,
                        "targets",
                        "owners",
                        found=f"ownership leaves owners[{cell}] as it was"
                        if owners[cell] != again[cell]
                        else f"ownership writes {owners[cell]} to owners[{cell}]",
                        expected="every cell written: +1 the first player's, -1 the second's, 0 nobody's",
                        remedy="begin ownership with owners[:] = 0 and write no other numbers",
                    )
                total = int(again.sum())
                agree, against = agree + (total * sign > 0), against + (total * sign < 0)
            if game.has_score:
                _check_score(subject, sample, sign)
    if agree + against >= MIN_MOVES and against > agree and ("targets", "ownership mover") not in subject.findings:
        subject.report(
            WARNING,
            "targets",
            "ownership sign",
            found=f"the winner owns the smaller part of the board in {against} of {agree + against} finished games",
            expected="+1 for the first player's cells, whoever is to move",
            remedy="take state[PLAYER] out of ownership, or exchange the signs",
        )
    which = [n for n, has in (("ownership", game.has_ownership), ("score", game.has_score)) if has]
    return f"{' and '.join(which)} of {len(indices)} finished games"


def _check_whose_targets(subject: Subject) -> None:
    """That ownership and score stay as they are when nothing but the side to move changes."""
    game, exchange = subject.game, exchange_of(subject)
    if not subject.judge("targets", WHOSE_TARGETS, exchange.why_not):
        return
    asked: dict[str, Callable[[State], NDArray[np.int64]]] = {}
    if game.has_ownership:
        asked["ownership"] = lambda state: subject.owners(state, 0).astype(np.int64)
    if game.has_score:
        asked["score"] = lambda state: np.array([subject.score(state)])
    over = [subject.samples[i] for i in subject.shallow_first(MANY // 4, ongoing=False)]
    for name, ask in asked.items():
        pairs = []
        for sample, other in exchange.answers(over, ask):
            own = ask(sample.state)
            if own.any():
                pairs.append((own, other))
        if len(pairs) < MIN_MOVES:
            subject.judge(
                "targets", WHOSE_TARGETS, f"{name} is 0 in all but {len(pairs)} of {len(over)} finished games"
            )
            continue
        turns = share([np.array_equal(other, -own) for own, other in pairs])
        keeps = share([np.array_equal(other, own) for own, other in pairs])
        wrong = turns if exchange.sees_the_mover else keeps if exchange.board_turns else 0.0
        if wrong >= NEARLY_ALL:
            subject.report(
                ERROR,
                "targets",
                f"{name} mover",
                found=f"{name} is seen by the side to move: it {'changes' if exchange.sees_the_mover else 'keeps'} its "
                f"sign in {wrong:.0%} of {len(pairs)} finished games when nothing but the side to move is changed",
                expected="the first player's view, whoever is to move",
                remedy=f"take state[PLAYER] out of {name}: the first player's counts +, the second's -",
            )


def _check_score(subject: Subject, sample: Sample, sign: int) -> None:
    score = subject.score(sample.state)
    if abs(score) > subject.game.max_score:
        subject.report(
            ERROR,
            "targets",
            "max_score",
            found=f"score is {score}",
            expected=f"at most max_score = {subject.game.max_score} in absolute value",
            remedy="say the largest score there can be in max_score",
        )
    if np.sign(score) != sign and not {("outcome", "mover"), ("targets", "score mover")} & set(subject.findings):
        result = {1: "the first player won", -1: "the second player won", 0: "the game was drawn"}[sign]
        subject.report(
            WARNING,
            "targets",
            "score sign",
            found=f"score is {score} although {result}",
            expected="the first player's points less the second's, with the sign of the outcome",
            remedy="leave state[PLAYER] out of score; if the winner is not who has more points, leave score out",
        )
