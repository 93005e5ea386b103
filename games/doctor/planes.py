"""The checks of what the network sees: planes, whose view they are, what they hide, and how they turn.

Each reports what is wrong and returns what it has looked at. Dimensions: C planes of H x W cells, A actions.
"""

import contextlib

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import DRAW, ONGOING, PLAYER, Game, Symmetry
from keima.games.doctor.report import ERROR, NOTE, WARNING
from keima.games.doctor.subject import FEW, MANY, MIN_MOVES, RUBBISH, Sample, Stopped, Subject


def check_encoding(subject: Subject) -> str:
    """That encode writes every cell with a number from 0 to 1."""
    indices = subject.shallow_first(MANY)
    smallest, largest = np.inf, -np.inf
    always: NDArray[np.float32] | None = None
    varies = np.zeros((subject.game.num_planes, *subject.game.shape), bool)
    for _, sample in subject.visit(indices):
        with contextlib.suppress(Stopped):
            planes, again = (subject.planes(sample.state, rubbish) for rubbish in RUBBISH)
            unset = np.argwhere((planes == RUBBISH[0]) & (again == RUBBISH[1]))
            bad = np.argwhere(~((planes >= 0) & (planes <= 1)))
            if len(unset):
                subject.report(
                    ERROR,
                    "encoding",
                    "unset",
                    found=f"encode leaves {_cell(unset[0])} as it was, and {len(unset) - 1} more cells",
                    expected="every one of planes[C, H, W] written: they arrive with another position in them",
                    remedy="begin encode with planes[:] = 0, or write zeros too; adding (+=) takes that, too",
                )
            elif not np.array_equal(planes, again, equal_nan=True):
                subject.report(
                    ERROR,
                    "encoding",
                    "again",
                    found=f"encode writes {_cell(np.argwhere(planes != again)[0])} now this way and now that",
                    expected="planes that depend on the state row alone",
                    remedy="use nothing but the state row: no random numbers, no globals, no earlier `planes`",
                )
            elif len(bad):
                subject.report(
                    ERROR,
                    "encoding",
                    "range",
                    found=f"encode writes {planes[tuple(bad[0])]:g} to {_cell(bad[0])}",
                    expected="numbers from 0 to 1",
                    remedy="divide counts by their largest value; write 1 for yes and 0 for no",
                )
            else:
                always = planes if always is None else always
                varies |= planes != always
                smallest, largest = min(smallest, planes.min()), max(largest, planes.max())
    constant = np.flatnonzero(~varies.any((1, 2)))
    if len(constant) and len(indices) > 1:
        subject.report(
            WARNING if len(constant) == subject.game.num_planes else NOTE,
            "encoding",
            "constant",
            found=f"of {subject.game.num_planes} planes {constant.tolist()} look the same in all of {len(indices)} "
            "positions",
            expected="planes that tell positions apart",
            remedy="drop them, or find out why they never change; they cost time and say nothing",
        )
    return f"{len(indices)} positions: every cell written, {smallest:g} to {largest:g}"


def _cell(index: NDArray[np.int64]) -> str:
    return f"planes[{', '.join(str(i) for i in index)}]"


def check_distinctness(subject: Subject) -> str:
    """That positions which look the same are the same to whoever plays on."""
    first_with: dict[bytes, int] = {}
    pairs: list[tuple[int, int]] = []
    for index, sample in subject.visit(subject.shallow_first(len(subject.samples))):
        with contextlib.suppress(Stopped):
            other = first_with.setdefault(subject.planes(sample.state).tobytes(), index)
            if other == index:
                continue
            difference = _difference(subject.samples[other], sample)
            if difference:
                severity = ERROR
                if (sample.outcome == ONGOING) != (subject.samples[other].outcome == ONGOING):
                    severity = WARNING  # a limit on moves that the planes do not show
                _report_lookalikes(subject, severity, other, (index, []), difference)
            elif not np.array_equal(subject.samples[other].state, sample.state):
                pairs.append((other, index))
    followed = pairs[:: max(1, len(pairs) // MANY)]
    for other, index in followed:
        with contextlib.suppress(Stopped):
            _follow_lookalikes(subject, other, index)
    subject.here = None
    return f"{len(first_with)} of {len(subject.samples)} positions look different, the others are alike to who plays on"


def _relative(sample: Sample) -> int:
    """The outcome as the side to move sees it: ONGOING, 0 won, 1 lost, DRAW."""
    return sample.outcome if sample.outcome in (ONGOING, DRAW) else int(sample.outcome != sample.state[PLAYER])


def _difference(one: Sample, other: Sample) -> str:
    names = {ONGOING: "goes on", 0: "is won", 1: "is lost", DRAW: "is drawn"}
    if _relative(one) != _relative(other):
        return f"for its side to move, the one {names[_relative(one)]} and the other {names[_relative(other)]}"
    if set(one.legal.tolist()) != set(other.legal.tolist()):
        alone = sorted(set(one.legal.tolist()) ^ set(other.legal.tolist()))
        return f"action {alone[0]} is legal in one of them only"
    return ""


def _report_lookalikes(
    subject: Subject, severity: str, other: int, this: tuple[int, list[int]], difference: str, *, later: bool = False
) -> None:
    subject.here = (this[0], tuple(this[1]))
    moves = " ".join(subject.moves_text(other)) or "(the start)"
    after = f" after the same moves ({', '.join(f'action {a}' for a in this[1])})" if this[1] else ""
    subject.report(
        severity,
        "distinctness",
        "later" if later else severity,
        found=f"the position after these moves has the same planes as the one after: {moves}; but{after} {difference}",
        expected="positions with equal planes to be equal for whoever plays on: the net answers the same for both",
        remedy="add a plane for what the rules look at and encode does not show (rights, the last move, how many moves "
        "are left); number actions as encode draws the board",
    )


def _follow_lookalikes(subject: Subject, other: int, index: int, plies: int = 6) -> None:
    """Plays the same random actions in two positions that look the same, and sees whether they stay alike."""
    random = np.random.default_rng(index)
    one, two = subject.samples[other], subject.samples[index]
    actions: list[int] = []
    for _ in range(plies):
        if not len(one.legal):
            return
        actions.append(int(random.choice(one.legal)))
        subject.here = (index, tuple(actions))
        after = []
        for before in (one, two):
            state = subject.play(before.state, actions[-1])
            outcome = subject.outcome(state)
            legal = subject.legal(state) if outcome == ONGOING else np.empty(0, np.int32)
            after.append(Sample(state, -1, actions[-1], before.ply + 1, legal, outcome))
        one, two = after
        difference = _difference(one, two)
        if not difference and not np.array_equal(subject.planes(one.state), subject.planes(two.state)):
            difference = "the planes differ"
        if difference:
            _report_lookalikes(subject, WARNING, other, (index, actions), difference, later=True)
            return


def check_point_of_view(subject: Subject) -> str:
    """Whether planes show mine and theirs, and actions are numbered as the planes are drawn.

    Read off the game itself: a code of `board` is a player's where it appears on that player's moves alone; a plane
    that shows that code's cells to both sides alike is not drawn from the side to move's point of view.
    """
    game = subject.game
    if any(check == "board" and finding.severity == ERROR for (check, _), finding in subject.findings.items()):
        return "not known where the board is wrong"
    moves = [i for i in subject.shallow_first(2 * MANY) if subject.samples[i].parent >= 0][:MANY]
    boards: dict[int, NDArray[np.int64]] = {}
    for i in moves:
        for index in (i, subject.samples[i].parent):
            boards.setdefault(index, np.asarray(game.board(subject.samples[index].state.copy())))
    owner = _owners_of_codes(subject, moves, boards)
    views = _views(game)
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
                    fitting = shown[mover].setdefault((plane, code), set(range(len(views))))
                    fitting -= {v for v in fitting if not np.array_equal(planes[plane], cells[views[v]])}
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
            remedy="index the pieces by state[PLAYER] and 1 - state[PLAYER] in encode",
        )
    turns = {}
    for mover in (0, 1):
        fits = [v for (plane, code), v in shown[mover].items() if v and code in present[mover]]
        turns[mover] = min(set.intersection(*fits), default=None) if fits else None
    if game.policy_planes and not absolute and turns[0] is not None and turns[1] is not None:
        _check_action_cells(subject, moves, boards, {m: views[t] for m, t in turns.items() if t is not None})
    known = f"pieces {', '.join(game.pieces[c] for c in owner)}" if owner else "no pieces that only one side places"
    return f"{known}, {len(moves)} moves looked at"


def _side(player: int) -> str:
    return "first" if player == 0 else "second"


def _views(game: Game) -> list[NDArray[np.int64]]:
    """The ways a board can be turned: view.flat[c] = board.flat[views[k][c]], the first of them as it is."""
    cells = np.arange(game.shape[0] * game.shape[1]).reshape(game.shape)
    views = [cells, cells[::-1, ::-1], cells[::-1], cells[:, ::-1]]
    if game.shape[0] == game.shape[1]:
        views += [view.T for view in views]
    return [view.reshape(-1) for view in views]


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


def check_symmetries(subject: Subject) -> str:
    """That a game played turned stays the same game."""
    game = subject.game
    symmetries = game.symmetries()
    cells = game.shape[0] * game.shape[1]
    usable = []
    for number, symmetry in enumerate(symmetries):
        fits = True
        for name, found, size in (("cells", symmetry.cells, cells), ("actions", symmetry.actions, game.num_actions)):
            if not np.array_equal(np.sort(np.asarray(found).reshape(-1)), np.arange(size)):
                fits = False
                subject.report(
                    ERROR,
                    "symmetries",
                    f"{name} permutation",
                    found=f"{name} of symmetry {number} is no permutation of 0 .. {size - 1}",
                    expected=f"each of {size} {name} once",
                    remedy="build it by turning np.arange(...).reshape(...), as cell_symmetries does",
                )
        if fits:
            usable.append((number, symmetry))
    identity = bool(usable and usable[0][0] == 0) and all(
        np.array_equal(part, np.arange(len(part))) for part in usable[0][1]
    )
    if not identity and len(usable) == len(symmetries):
        subject.report(
            ERROR,
            "symmetries",
            "identity",
            found="the first symmetry is not the identity" if symmetries else "symmetries() returns none",
            expected="the identity first: training without augmentation uses the first alone",
            remedy="begin the list with identity(self)",
        )
    if game.policy_planes:
        _check_cells_of_actions(subject, usable)
    start = subject.planes(subject.samples[0].state).reshape(game.num_planes, -1)
    followed = [(n, s) for n, s in usable if np.array_equal(start, start[:, s.cells])]
    if len(followed) < len(usable):
        subject.report(
            NOTE,
            "symmetries",
            "start",
            found=f"{len(usable) - len(followed)} of {len(usable)} symmetries turn the start into another position "
            "and could not be followed through games",
            expected="a start that looks the same turned; but rules can be symmetric where the start is not (Othello)",
            remedy="be sure that the rules are the same from the turned start",
        )
    games = sorted(subject.random_games, key=lambda g: len(g.actions))[:FEW]
    budget = 20 * FEW if subject.interpreted else 100 * FEW  # positions
    for number, symmetry in followed[1:]:
        left = budget // max(1, len(followed) - 1)
        for played in games:
            if left > 0:
                left -= len(played.actions)
                with contextlib.suppress(Stopped):
                    _follow_symmetry(subject, number, symmetry, played.samples, played.actions)
    subject.here = None
    return f"{len(symmetries)} of them, {len(followed)} followed through games"


def _check_cells_of_actions(subject: Subject, symmetries: list[tuple[int, Symmetry]]) -> None:
    game = subject.game
    cells = game.shape[0] * game.shape[1]
    own = np.arange(game.policy_planes * cells)
    for number, symmetry in symmetries:
        wrong = np.flatnonzero(symmetry.actions[own] % cells != symmetry.cells[own % cells])
        if len(wrong):
            action = int(wrong[0])
            subject.report(
                WARNING,
                "symmetries",
                "cells of actions",
                found=f"symmetry {number} takes the cell of action {action} to another place than the action itself",
                expected="actions of cells (policy_planes) that move as their cells do",
                remedy="turn np.arange(num_actions).reshape(policy_planes, H, W) in the way the cells are turned",
            )


def _follow_symmetry(subject: Subject, number: int, symmetry: Symmetry, samples: list[int], actions: list[int]) -> None:
    """Plays a game and its image side by side."""
    game = subject.game
    renamed = np.argsort(symmetry.actions)  # what an action is called after the symmetry
    image = subject.samples[0].state
    for k, index in enumerate(samples):
        sample = subject.samples[index]
        subject.here = (index, ())
        difference = ""
        planes = subject.planes(sample.state).reshape(game.num_planes, -1)
        outcome = subject.outcome(image)
        if outcome != sample.outcome:
            difference = f"outcome is {sample.outcome} here and {outcome} there"
        elif image[PLAYER] != sample.state[PLAYER]:
            difference = "the other side is to move there"
        elif not np.array_equal(subject.planes(image).reshape(game.num_planes, -1), planes[:, symmetry.cells]):
            difference = "its planes are not the turned planes of this position"
        elif outcome == ONGOING:
            turned, legal = np.sort(renamed[sample.legal]), np.sort(subject.legal(image))
            if not np.array_equal(turned, legal):
                alone = sorted(set(turned.tolist()) ^ set(legal.tolist()))
                difference = f"action {alone[0]} (there) is legal in one of them only"
        else:
            if not np.array_equal(subject.owners(image, 0), subject.owners(sample.state, 0)[symmetry.cells]):
                difference = "ownership is not turned with the board"
            elif subject.score(image) != subject.score(sample.state):
                difference = "the score is another"
        if difference:
            subject.report(
                ERROR,
                "symmetries",
                "game",
                found=f"symmetry {number} does not take this position to its image: {difference}",
                expected="a permuted game that stays the same game: legality, outcome, planes and targets turned alike",
                remedy="take symmetries out that the rules do not have (gravity, direction of play); remember that "
                "planes_after.flat[c] = planes_before.flat[cells[c]] and policy_after[a] = policy_before[actions[a]]",
            )
            return
        if k < len(actions):
            image = subject.play(image, int(renamed[actions[k]]))
