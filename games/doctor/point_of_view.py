"""The check of whose view the network gets: planes seen by the side to move, actions numbered as they are drawn.

Dimensions: C planes of H x W cells.
"""

import contextlib

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import ONGOING, PLAYER
from keima.games.doctor.exchange import Exchange, exchange_of
from keima.games.doctor.lookalikes import Difference, difference, follow
from keima.games.doctor.report import ERROR, WARNING
from keima.games.doctor.subject import MANY, MIN_MOVES, NotPlain, Sample, Stopped, Subject, views

FOLLOWED_TO_THE_END = 200
"""Plies that two positions which look the same are followed for."""
VIEW_REMEDY = (
    "index what belongs to a player by state[PLAYER] and 1 - state[PLAYER] in encode, mine before theirs, in the order "
    "in which legal_actions and play number the actions"
)
VIEW, CELLS = "whose view planes take", "whether actions lie on the cells of their planes"
"""The questions of the check."""


def check_point_of_view(subject: Subject) -> str:
    """Whether planes show mine and theirs, and actions are numbered as the planes are drawn.

    Read off the game itself in two ways: by the pieces on the board, and by what planes become when the other side is
    to move.
    """
    exchange = exchange_of(subject)
    by_pieces = ""
    if any(check == "board" and finding.severity == ERROR for (check, _), finding in subject.findings.items()):
        by_pieces = "pieces not looked at, the board is wrong"
        if subject.game.policy_planes:
            subject.judge("point of view", CELLS, "the board is wrong")
    else:
        by_pieces = _check_pieces(subject)
    if not exchange.why_not:
        _check_exchanged(subject, exchange)
        subject.judge("point of view", VIEW)
        return f"{by_pieces}, {len(exchange.pairs)} positions with the other side to move"
    if not any(check == "point of view" and question == VIEW for check, question in subject.judged):
        subject.judge("point of view", VIEW, f"{by_pieces}, and {exchange.why_not}")
    return by_pieces


def _check_pieces(subject: Subject) -> str:
    """A code of `board` is a player's where it appears on that player's moves alone; a plane that shows that code's
    cells to both sides alike is not drawn from the side to move's point of view."""
    game = subject.game
    moves = [i for i in subject.shallow_first(2 * MANY) if subject.samples[i].parent >= 0][:MANY]
    boards: dict[int, NDArray[np.int64]] = {}
    for i in moves:
        for index in (i, subject.samples[i].parent):
            boards.setdefault(index, np.asarray(game.board(subject.samples[index].state.copy())))
    owner = _owners_of_codes(subject, moves, boards)
    turned = views(game)
    shown: dict[int, dict[tuple[int, int], set[int]]] = {0: {}, 1: {}}  # mover -> (plane, code) -> views it fits
    present: dict[int, set[int]] = {0: set(), 1: set()}
    for index, sample in subject.visit([i for i in boards if subject.samples[i].outcome == ONGOING]):
        with contextlib.suppress(Stopped):
            planes, mover = subject.planes(sample.state).reshape(game.num_planes, -1), int(sample.state[PLAYER])
            for code in owner:
                cells = (boards[index] == code).reshape(-1)
                if cells.any():
                    present[mover].add(code)
                for plane in range(game.num_planes):
                    fitting = shown[mover].setdefault((plane, code), set(range(len(turned))))
                    fitting -= {v for v in fitting if not np.array_equal(planes[plane], cells[turned[v]])}
    absolute = [
        (plane, code)
        for plane, code in shown[0]
        if 0 in shown[0][plane, code] and 0 in shown[1].get((plane, code), ()) and code in present[0] & present[1]
    ]
    if absolute:
        plane, code = absolute[0]
        subject.report(
            ERROR,
            "point of view",
            "absolute",
            found=f"plane {plane} shows the {_side(owner[code])} player's {game.pieces[code]} whoever is to move",
            expected="planes seen by the side to move: mine in one plane, theirs in another",
            remedy=VIEW_REMEDY,
        )
    turns = {}
    for mover in (0, 1):
        fits = {at: v for at, v in shown[mover].items() if v and at[1] in present[mover]}
        turns[mover] = min(set.intersection(*fits.values()), default=None) if fits else None
        if fits and turns[mover] is None:
            _report_mixed_views(subject, mover, fits)
    known = None not in turns.values()
    if known:
        subject.judge("point of view", VIEW)
    if game.policy_planes and not absolute:
        why_not = "" if known else "no planes of pieces show in which way the board is drawn"
        if subject.judge("point of view", CELLS, why_not):
            _check_action_cells(subject, moves, boards, {m: turned[t] for m, t in turns.items() if t is not None})
    pieces = f"pieces {', '.join(game.pieces[c] for c in owner)}" if owner else "no pieces that only one side places"
    return f"{pieces}, {len(moves)} moves looked at"


def _report_mixed_views(subject: Subject, mover: int, fits: dict[tuple[int, int], set[int]]) -> None:
    (plane, code), first = next(iter(fits.items()))
    other, other_code = next((at for at, v in fits.items() if not v & first), (plane, code))
    pieces = subject.game.pieces
    subject.report(
        WARNING,
        "point of view",
        "mixed",
        found=f"when the {_side(mover)} player moves, plane {other} shows {pieces[other_code]} turned otherwise than "
        f"plane {plane} shows {pieces[code]}",
        expected="all planes of a position drawn in one way: what meets on the board meets in the planes",
        remedy="turn the board as a whole for the second player, or not at all",
        moves=None,
    )


def _check_exchanged(subject: Subject, exchange: Exchange) -> None:
    """What the other side to move changes: planes that it ought to change, and what follows where it changes none."""
    blind = not exchange.sees_the_mover
    if not blind:
        _check_each_plane(subject, exchange)
    alike = [pair for pair in exchange.pairs if exchange.is_the_same_to_the_net(pair)]
    found: list[tuple[int, Difference]] = []
    for pair in alike:
        sample = subject.samples[pair.sample]
        with subject.quietly(), contextlib.suppress(Stopped, NotPlain):
            subject.here = (pair.sample, ())
            outcome = subject.outcome(pair.state)
            legal = subject.legal(pair.state) if outcome == ONGOING else sample.legal[:0]
            other = Sample(pair.state, -1, -1, sample.ply, legal, outcome)
            differs = difference(sample, other) or follow(
                subject, sample, other, pair.sample, FOLLOWED_TO_THE_END, exchange.shows
            )
            if differs is not None:
                found.append((pair.sample, differs))
    found.sort(key=lambda f: ("legal", "planes", "outcome").index(f[1].kind))
    if not found or (blind and len(found) < max(2, len(alike) // 10)):
        return
    if not blind and (found[0][1].kind == "outcome" or not _is_right_so_far(subject)):
        return  # its own check tells of an outcome that is seen by a side
    if blind and found[0][1].kind == "outcome" and exchange.board_turns:
        return  # the row is the side to move's, and so outcome, whose check tells of it
    index, differs = found[0]
    subject.here = (index, ())
    played = ", ".join(f"action {a}" for a in differs.actions)
    then = f"after {'the same moves' if played else 'no further move'}{f' ({played})' if played else ''}"
    shown = "planes" if exchange.shows.all() else "planes that say more than whose turn it is"
    if blind:
        subject.report(
            ERROR,
            "point of view",
            "exchanged",
            found=f"the {shown} are the same whichever side is to move, in all of {len(exchange.pairs)} positions, but "
            f"the game is not: here, with the other side to move, {then} {differs.said}",
            expected="planes seen by the side to move, as the actions are: what it may do and what becomes of it "
            "follows from them",
            remedy=VIEW_REMEDY,
        )
    else:
        subject.report(
            WARNING,
            "point of view",
            "sides",
            found=f"this position looks the same with the other side to move, but {then} {differs.said}",
            expected="rules, actions and planes turned alike for the second player",
            remedy="compare legal_actions, play and encode for state[PLAYER] = 1 with those for 0; nothing has to be "
            "done where the rules are not the same for both sides and a plane says who is to move, or where the row "
            "keeps what the side to move may do",
        )
    subject.here = None


def _is_right_so_far(subject: Subject) -> bool:
    return not any(check == "point of view" for (check, _), f in subject.findings.items() if f.severity == ERROR)


def _check_each_plane(subject: Subject, exchange: Exchange) -> None:
    """Where planes are turned for the other side, one that stays as it is shows the first player's view."""
    planes = np.array([pair.planes for pair in exchange.pairs])  # [pairs, C, H * W]
    exchanged = np.array([pair.exchanged for pair in exchange.pairs])
    changes, shows = exchange.changes, exchange.shows
    for view in views(subject.game)[1:]:
        turned = planes[:, :, view]
        moved = [
            j
            for j in np.flatnonzero(changes & shows)
            if not np.array_equal(turned[:, j], planes[:, j])
            and any(np.array_equal(exchanged[:, k], turned[:, j]) for k in np.flatnonzero(shows))
        ]
        stays = [j for j in np.flatnonzero(~changes & shows) if not np.array_equal(turned[:, j], planes[:, j])]
        if moved and stays:
            k = next(k for k in range(len(planes)) if not np.array_equal(turned[k, stays[0]], planes[k, stays[0]]))
            subject.here = (exchange.pairs[k].sample, ())
            subject.report(
                ERROR,
                "point of view",
                "one plane",
                found=f"plane {moved[0]} is turned when the other side is to move, and plane {stays[0]} is not",
                expected="all planes seen by the side to move",
                remedy=VIEW_REMEDY,
            )
            subject.here = None
            return


def _side(player: int) -> str:
    return "first" if player == 0 else "second"


def _owners_of_codes(subject: Subject, moves: list[int], boards: dict[int, NDArray[np.int64]]) -> dict[int, int]:
    """The codes of `board` that appear on one player's moves only, and whose they are."""
    appears = np.zeros((len(subject.game.pieces), 2), int)
    for i in moves:
        parent = subject.samples[i].parent
        for code in set(boards[i][boards[i] != boards[parent]].tolist()) - {0}:
            appears[code, subject.samples[parent].state[PLAYER]] += 1
    return {
        code: player
        for code in range(1, len(appears))
        for player in (0, 1)
        if appears[code, player] >= MIN_MOVES and appears[code, 1 - player] == 0
    }


def _check_action_cells(
    subject: Subject, moves: list[int], boards: dict[int, NDArray[np.int64]], turns: dict[int, NDArray[np.int64]]
) -> None:
    """Whether an action of a cell does something on that cell, for both sides as their planes are drawn."""
    cells = subject.game.shape[0] * subject.game.shape[1]
    missed: dict[int, list[int]] = {0: [], 1: []}
    count = {0: 0, 1: 0}
    for i in moves:
        sample = subject.samples[i]
        mover = int(subject.samples[sample.parent].state[PLAYER])
        if sample.action < subject.game.policy_planes * cells:
            count[mover] += 1
            changed = (boards[i] != boards[sample.parent]).reshape(-1)[turns[mover]]
            if not changed[sample.action % cells]:
                missed[mover].append(i)
    for mover in (0, 1):
        if missed[mover] and not missed[1 - mover] and min(count.values()) >= MIN_MOVES:
            subject.here = (missed[mover][0], ())
            subject.report(
                ERROR,
                "point of view",
                "actions",
                found=f"the {_side(mover)} player's last move changes nothing on its own cell of that player's planes, "
                f"nor do {len(missed[mover]) - 1} others of {count[mover]}; the other side's moves always do",
                expected="actions numbered the way encode draws the board: turned with it for the second player",
                remedy="turn actions and planes alike, in legal_actions, play, encode and action_to_text",
            )
    subject.here = None
