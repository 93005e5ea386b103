"""The process in which `keima doctor` runs a game: whatever the game does to it, the doctor lives on.

It is started for each stage: INTERPRETED, with NUMBA_DISABLE_JIT=1, where every kernel is plain Python and an index out
of bounds has a line number; CHECKED, compiled with NUMBA_BOUNDSCHECK=1, in place of that for kernels that do not run as
plain Python; COMPILED, where what plain Python did is done again and compared. Each line that goes to stdout is JSON:

    {"begin": "encoding"}            what is under way: told of when the process dies or hangs
    {"finding": {...}}               the fields of keima.games.doctor.report.Finding
    {"said": ["encoding", "..."]}    what a check has looked at, once it is through; also the questions that it has
                                     judged, a list, and those that it could not with the reason, an object
    {"refused": "..."}               the game's name or parameters are bad input
    {"not plain": "..."}             why the kernels do not run as plain Python
    {"statistics": {...}}, {"speed": {...}}, {"done": true}
"""

import dataclasses
import json
import os
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from keima.games.contract import ONGOING, Game, GameError
from keima.games.doctor.drawing import check_drawing, check_positions
from keima.games.doctor.loading import (
    Unloadable,
    check_compiling,
    check_facts,
    check_kernels,
    check_parameters,
    facts_in_words,
    load_game,
)
from keima.games.doctor.lookalikes import check_distinctness
from keima.games.doctor.optional_kernels import check_hash, check_legal_or_over
from keima.games.doctor.planes import check_encoding
from keima.games.doctor.point_of_view import check_point_of_view
from keima.games.doctor.report import ERROR, Finding
from keima.games.doctor.rules import (
    check_board,
    check_cloning,
    check_notation,
    check_outcome,
    check_play,
    check_reset,
    check_targets,
)
from keima.games.doctor.subject import NotPlain, Stopped, Subject, explain
from keima.games.doctor.symmetries import check_symmetries
from keima.games.doctor.walk import walk

INTERPRETED, CHECKED, COMPILED = "interpreted", "checked", "compiled"
CAREFUL_POSITIONS = 1200
"""In the stages before the last, which are slow but see every index."""
COMPILED_POSITIONS = 20_000
TWIN = "twin.npz"
"""What plain Python made of its positions, for the compiled kernels to be compared with."""
TWIN_BYTES = 64_000_000
TIMED_POSITIONS = 256

CHECKS: dict[str, Callable[[Subject], str]] = {
    "reset": check_reset,
    "play": check_play,
    "outcome": check_outcome,
    "cloning": check_cloning,
    "legal or over": check_legal_or_over,
    "hash": check_hash,
    "notation": check_notation,
    "board": check_board,
    "positions": check_positions,
    "drawing": check_drawing,
    "encoding": check_encoding,
    "point of view": check_point_of_view,
    "distinctness": check_distinctness,
    "symmetries": check_symmetries,
    "targets": check_targets,
}
"""The checks of a game's positions, in their order, by the names that findings carry."""

Tell = Callable[[str, Any], None]


def examine(game: Game, stage: str, folder: Path, num_games: int, seed: int, tell: Tell) -> Subject | None:
    """Runs one stage's checks on a game that has loaded; returns its subject, None where there was none to be had."""
    tell("begin", "facts")
    try:
        wrong = check_kernels(game) + check_facts(game)
    except Exception as error:
        wrong = [Finding(ERROR, "facts", f"a fact raises {explain(error)}", "a value", "correct the property")]
    for finding in wrong:
        tell("finding", dataclasses.asdict(finding))
    if wrong:
        return None
    tell("said", ["loading", f"{Path(str(sys.modules[type(game).__module__].__file__)).name} makes {game.label}"])
    tell("said", ["facts", facts_in_words(game)])
    if stage != INTERPRETED:
        tell("begin", "compiling")
        wrong = check_compiling(game)
        for finding in wrong:
            tell("finding", dataclasses.asdict(finding))
        if wrong:
            return None
        tell("said", ["compiling", "every kernel compiles"])
    subject = Subject(game, interpreted=stage == INTERPRETED)
    try:
        run_checks(subject, num_games, COMPILED_POSITIONS if stage == COMPILED else CAREFUL_POSITIONS, seed, tell)
        if stage == COMPILED:
            if subject.random_games:
                _compare_and_measure(subject, folder / TWIN, num_games, seed, tell)
        elif subject.is_sound:  # else the parameters' games would have the same errors
            tell("begin", "parameters")
            findings, said = check_parameters(game, seed, interpreted=subject.interpreted)
            for finding in findings:
                tell("finding", dataclasses.asdict(finding))
            if not findings:
                tell("said", ["parameters", said])
            if subject.interpreted:
                save_twin(subject, folder / TWIN)
    except NotPlain as reason:
        tell("not plain", str(reason))
        return None  # what was found so far may come of positions that were left out
    for finding in subject.findings.values():
        tell("finding", dataclasses.asdict(finding))
    return subject


def run_checks(subject: Subject, num_games: int, num_positions: int, seed: int, tell: Tell) -> None:
    """Walks through the game and runs every check of its positions."""
    try:
        tell("begin", "legal moves")
        walk(subject, num_games, num_positions, seed)
    except Stopped:
        return  # there is no first position
    said = f"{len(subject.samples)} positions, {sum(len(s.legal) for s in subject.samples)} legal moves"
    tell("said", ["legal moves", said])
    for name, check in CHECKS.items():
        tell("begin", name)
        subject.here = None
        try:
            said = check(subject)
        except Stopped:
            continue
        except NotPlain:
            raise
        except Exception as error:
            _report_exception(subject, name, error)
            continue
        if not any(checked == name and finding.severity == ERROR for (checked, _), finding in subject.findings.items()):
            judged = [question for checked, question in subject.judged if checked == name]
            unjudged = {q: why for (checked, q), why in subject.open_questions.items() if checked == name}
            tell("said", [name, said, judged, unjudged])
    if not any(check in ("memory", "purity", "exceptions", "endless loops") for check, _ in subject.findings):
        tell("said", ["memory", "every index within its array"])
        tell("said", ["purity", "only play and reset write to the row"])


def _report_exception(subject: Subject, check: str, error: Exception) -> None:
    """A method of the game's class has raised, or has returned what it should not."""
    where = subject.line_of(error)
    if isinstance(error, NotImplementedError):
        found, expected = f"the class does not say its {check}", "a method that answers in every position"
        remedy = f"write {check} in the game's class"
    elif where:
        found, expected, remedy = f"{explain(error)}{where}", "no exception", "correct the method"
    else:
        found = f"the game's {check} cannot be examined: {explain(error)}"
        expected, remedy = "what games/contract.py says", "compare with it what the class's methods return"
    subject.report(ERROR, check, "raises", found=found, expected=expected, remedy=remedy)


def save_twin(subject: Subject, path: Path) -> None:
    """Writes what plain Python made of its positions."""
    plane_bytes = 4 * subject.game.num_planes * subject.game.shape[0] * subject.game.shape[1]
    samples = subject.samples[: max(1, TWIN_BYTES // plane_bytes)]
    np.savez(
        path,
        states=np.array([s.state for s in samples]),
        parents=np.array([s.parent for s in samples]),
        actions=np.array([s.action for s in samples]),
        outcomes=np.array([s.outcome for s in samples]),
        legal=np.concatenate([s.legal for s in samples]),
        legal_counts=np.array([len(s.legal) for s in samples]),
        planes=np.array([subject.planes(s.state) for s in samples]),
    )


def compare_with_twin(subject: Subject, path: Path) -> str:
    """Does with the compiled kernels what was done uncompiled; whatever differs is a finding."""
    with np.load(path) as file:
        twin = dict(file)
    ends = np.cumsum(twin["legal_counts"])
    states, count = twin["states"], len(twin["states"])
    own = [subject.reset()]
    for i in range(count):
        parent, action = int(twin["parents"][i]), int(twin["actions"][i])
        state = own[0] if parent < 0 else subject.play(states[parent], action)
        legal = twin["legal"][ends[i] - twin["legal_counts"][i] : ends[i]]
        outcome = int(twin["outcomes"][i])
        difference = ""
        if not np.array_equal(state, states[i]):
            k = int(np.flatnonzero(state != states[i])[0])
            kernel = "reset" if parent < 0 else "play"
            difference = f"{kernel} makes state[{k}] {state[k]} compiled and {states[i][k]} uncompiled"
        elif subject.outcome(states[i]) != outcome:
            difference = f"outcome is {subject.outcome(states[i])} compiled and {outcome} uncompiled"
        elif outcome == ONGOING and not np.array_equal(subject.legal(states[i]), legal):
            compiled = subject.legal(states[i]).tolist()
            difference = f"legal_actions lists {compiled[:12]} compiled and {legal.tolist()[:12]} uncompiled"
        elif not np.array_equal(subject.planes(states[i]), twin["planes"][i], equal_nan=True):
            cell = np.argwhere(subject.planes(states[i]) != twin["planes"][i])[0]
            difference = f"encode differs at planes[{', '.join(map(str, cell))}]"
        if difference:
            subject.report(
                ERROR,
                "compiled as written",
                difference.split()[0],
                found=difference,
                expected="the same from compiled code as from Python, which the file reads as",
                remedy="look for whole numbers beyond 63 bits (1 << 63, products), a variable that is set on one path "
                "only, an index below 0, an int where a float is meant",
                moves=_moves_text(subject, twin, i),
            )
    return f"{count} positions are the same uncompiled"


def _moves_text(subject: Subject, twin: dict[str, Any], index: int) -> list[str]:
    moves: list[str] = []
    while (parent := int(twin["parents"][index])) >= 0:
        moves.insert(0, subject.action_text(twin["states"][parent], int(twin["actions"][index])))
        index = parent
    return moves


def _compare_and_measure(subject: Subject, twin: Path, num_games: int, seed: int, tell: Tell) -> None:
    if twin.exists():
        tell("begin", "compiled as written")
        said = compare_with_twin(subject, twin)
        tell("said", ["compiled as written", said])
    if not subject.is_sound:
        return
    tell("begin", "speed")
    from keima.games.doctor.speed import kernel_times, random_games

    ongoing = [subject.samples[i] for i in subject.shallow_first(TIMED_POSITIONS, ongoing=True)]
    over = [subject.samples[i] for i in subject.shallow_first(TIMED_POSITIONS, ongoing=False)]
    times = kernel_times(
        subject.game,
        np.array([s.state for s in ongoing]),
        np.array([int(s.legal[i % len(s.legal)]) for i, s in enumerate(ongoing)]),
        np.array([s.state for s in over]),
    )
    tell("speed", times)
    tell("statistics", random_games(subject.game, num_games, seed))


def main(arguments: list[str]) -> None:
    """STAGE FOLDER GAMES SEED GAME."""
    stage, folder, num_games, seed, text = arguments
    # The process ends with the doctor, however that one ended; Ctrl-C is the doctor's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_doctor, args=(sys.stdin, folder), daemon=True).start()
    warnings.simplefilter("ignore")  # numpy's, of overflows: the compiled code's answer tells whether they matter
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the game prints

    def tell(kind: str, value: Any) -> None:
        lines.write(json.dumps({kind: value}, default=_plain) + "\n")

    tell("begin", "loading")
    try:
        game = load_game(text)
    except Unloadable as error:
        tell("finding", dataclasses.asdict(error.finding))
    except GameError as error:
        tell("refused", str(error))
    else:
        examine(game, stage, Path(folder), int(num_games), int(seed), tell)
    tell("done", True)
    lines.flush()
    os._exit(0)  # the thread waits for stdin


def _plain(value: Any) -> Any:
    """numpy's numbers as JSON's."""
    return value.item() if isinstance(value, np.generic) else repr(value)


def _end_with_the_doctor(stdin: TextIO, folder: str) -> None:
    """Waits for the end of stdin, which comes when the doctor's process has ended, and leaves nothing behind."""
    stdin.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
