"""The check of symmetries: a game played turned stays the same game. Dimensions: C planes of H x W cells, A actions."""

import contextlib

import numpy as np

from keima.games.contract import ONGOING, PLAYER, Symmetry
from keima.games.doctor.report import ERROR, NOTE, WARNING
from keima.games.doctor.subject import FEW, Stopped, Subject


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
    if len(usable) > 1:
        why_not = "each turns the start into another position" if len(followed) < 2 else ""
        subject.judge("symmetries", "whether a game played turned stays the same game", why_not)
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
