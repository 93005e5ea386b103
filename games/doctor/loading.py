"""The checks of `keima doctor` that come before the first position: the file, the facts, the compiler."""

import inspect
import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from keima.games import find, names
from keima.games.compilation import OPTIONAL_KERNELS, SIGNATURES, FirstClassKernel
from keima.games.contract import Game, GameError
from keima.games.doctor.planes import check_encoding
from keima.games.doctor.report import ERROR, WARNING, Finding
from keima.games.doctor.rules import check_reset
from keima.games.doctor.subject import NotPlain, Stopped, Subject, explain
from keima.games.doctor.walk import walk
from keima.games.parameters import parse_parameters

TRIES = 1000
"""Values from a parameter's bound inward that are tried where the bound is refused, as by what another parameter is."""
VARIANT_POSITIONS = 100
"""Positions of the one game that is played with a parameter's bound."""
ARGUMENTS = {
    "reset": "state, parameters",
    "legal_actions": "state, actions",
    "play": "state, action",
    "outcome": "state",
    "encode": "state, planes",
    "ownership": "state, owners",
    "score": "state",
    "legal_or_over": "state, actions",
    "position_hash": "state",
}


class Unloadable(Exception):  # noqa: N818 (what is wrong is the finding it carries)
    """The file does not make a game."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.found)
        self.finding = finding


def load_game(text: str) -> Game:
    """The game that `text` names. Raises Unloadable for a file that is wrong, GameError for bad input."""
    name, _, parameters = text.strip().partition(":")
    path = Path(name).expanduser().resolve()
    known = path.is_file() if name.endswith(".py") else name in names()
    if not known:
        find(text)  # it says what is wrong with the input
    try:
        game = find(name)
    except Exception as error:
        raise Unloadable(_loading_finding(path, error)) from error
    return parse_parameters(type(game), parameters) if parameters else game


def _loading_finding(path: Path, error: Exception) -> Finding:
    cause = error.__cause__ or error
    line = cause.lineno if isinstance(cause, SyntaxError) else None
    for frame in traceback.extract_tb(cause.__traceback__):
        if Path(frame.filename) == path:
            line = frame.lineno
    where = f" at line {line} (`{linecache.getline(str(path), line).strip()}`)" if line else ""
    found = explain(cause).removeprefix(f"{path}: ")
    if "expected a class derived from Game" in found:
        remedy = "write `from keima.games.contract import Game` and `class MyGame(Game):`, with Game by that very name"
    elif isinstance(cause, SyntaxError):
        remedy = "correct the line; Python itself cannot read the file"
    elif isinstance(cause, ImportError):
        remedy = "install the module, or do without it; a game file needs numpy and keima.games.contract"
    else:
        remedy = "correct the file; what stands outside of functions is run when the game is loaded"
    return Finding(
        ERROR, "loading", f"the file stops{where}: {found}", "a file that loads and makes a game", remedy=remedy
    )


def check_kernels(game: Game) -> list[Finding]:
    """That every kernel is there and takes what it is handed."""
    module = sys.modules[type(game).__module__]
    findings = []
    for name, arguments in ARGUMENTS.items():
        function = getattr(module, name, None)
        head = f"@kernel def {name}({arguments})"
        if function is None:
            if name not in OPTIONAL_KERNELS:
                findings.append(
                    Finding(
                        ERROR,
                        "loading",
                        f"there is no function {name}",
                        f"a function {head} in the file, outside of the class",
                        f"write {name}, or correct its name",
                    )
                )
            continue
        if not callable(function):
            found, remedy = f"{name} is a {type(function).__name__}", "give the other thing another name"
        else:
            count = len(inspect.signature(getattr(function, "py_func", function)).parameters)
            if count == len(SIGNATURES[name].args):
                continue
            found, remedy = f"{name} takes {count} arguments", f"write def {name}({arguments})"
        findings.append(Finding(ERROR, "loading", found, head, remedy))
    return findings


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_facts(game: Game) -> list[Finding]:
    """The game's constants, and whether they fit together."""
    return [Finding(ERROR, "facts", *wrong) for wrong in _wrong_facts(game)]


def _wrong_facts(game: Game) -> Iterator[tuple[str, str, str]]:
    """What was found, what was expected, what to do."""
    sound = True
    for fact in ("num_planes", "num_actions", "state_size", "max_plies", "max_legal", "rules_version"):
        value = getattr(game, fact)
        if not _is_whole(value) or value < 1:
            sound = False
            yield f"{fact} is {value!r}", "a whole number from 1", f"correct {fact}"
    shape, planes = game.shape, game.policy_planes
    if not (isinstance(shape, tuple) and len(shape) == 2 and all(_is_whole(n) and n > 0 for n in shape)):
        sound = False
        yield f"shape is {shape!r}", "the board's rows and columns, two whole numbers", "write shape = (rows, columns)"
    if not _is_whole(planes) or planes < 0:
        sound = False
        yield f"policy_planes is {planes!r}", "a whole number from 0", "write 0 where actions are no cells"
    if sound and game.max_legal > game.num_actions:
        yield (
            f"max_legal is {game.max_legal}, num_actions {game.num_actions}",
            "max_legal of at most num_actions",
            "leave max_legal out: it is num_actions then",
        )
    if sound and planes * shape[0] * shape[1] > game.num_actions:
        yield (
            f"policy_planes = {planes} makes {planes} * {shape[0]} * {shape[1]} actions on cells, of num_actions = "
            f"{game.num_actions} in all",
            "policy_planes * H * W of at most num_actions",
            "correct policy_planes or num_actions; policy_planes = 0 where actions are no cells",
        )
    players, pieces = game.players, game.pieces
    if not (isinstance(players, tuple) and len(players) == 2 and all(isinstance(p, str) and p for p in players)):
        yield f"players is {players!r}", "two names", 'write players = ("Black", "White")'
    if not isinstance(pieces, str) or len(pieces) < 2 or len(set(pieces)) < len(pieces) or re.search(r"\s", pieces):
        yield (
            f"pieces is {pieces!r}",
            "a character for each code of `board`, all different and no space, the first for an empty cell",
            'write pieces = ".XO"',
        )
    if game.has_score and not game.max_score > 0:
        yield f"max_score is {game.max_score!r}", "the largest score there can be", "correct max_score"


def facts_in_words(game: Game) -> str:
    height, width = game.shape
    return (
        f"{game.num_actions} actions, at most {game.max_legal} legal; {game.num_planes} planes of {height} x {width}; "
        f"{game.state_size} entries a row"
    )


def check_compiling(game: Game) -> list[Finding]:
    """That every kernel compiles for the one signature it is called with."""
    module = sys.modules[type(game).__module__]
    findings = []
    for name, signature in SIGNATURES.items():
        function = getattr(module, name, None)
        if function is None:
            continue
        if not hasattr(function, "get_compile_result"):
            findings.append(
                Finding(
                    ERROR,
                    "compiling",
                    f"{name} is a plain function",
                    f"@kernel above def {name}",
                    "write it: from keima.games.contract import kernel",
                )
            )
            continue
        try:
            FirstClassKernel(function, signature)
        except (NumbaError, TypeError, ValueError, NotImplementedError) as error:
            findings.append(_compiling_finding(name, str(module.__file__), error))
    return findings


def _compiling_finding(name: str, file: str, error: Exception) -> Finding:
    """Numba's message, which runs over many lines (the compiler's own steps, its candidates), in two."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines()]
    reason = next((line for line in lines if line and not line.startswith("Failed in")), type(error).__name__)
    wanted = re.search(r">>> (.+)", text)
    remedy = "write it with numbers, tuples, loops and arrays alone; numba's documentation lists what compiles"
    if "No conversion from none to" in reason:
        reason, remedy = "it returns nothing on one of its paths", "end every path with a return"
    elif re.match(r"No (implementation|conversion)", reason) and wanted:
        reason = f"there is no {wanted[1]} in compiled code"
    elif "Cannot unify" in reason:
        remedy = "give the variable one type on all paths: all whole numbers, or all floats"
    elif "readonly" in reason or "read-only" in reason or "Cannot modify" in reason:
        remedy = "globals are constants in compiled code; what changes belongs in the state row"
    elif reason.startswith("NameError"):
        remedy = "define it above the kernel, or correct the name"
    reason = re.sub(r"Literal\[(\w+)\]\([^()]*\)", r"\1", reason)
    name_of_file = re.escape(Path(file).name)  # numba shortens paths
    line = re.search(rf'File "(?:[^"\n]*/)?{name_of_file}", line (\d+)', text)
    line = line or re.search(rf"{name_of_file} \((\d+)\)", text)
    reason = re.sub(r",? defined at .*", "", reason)
    where = f" at line {line[1]} (`{linecache.getline(file, int(line[1])).strip()}`)" if line else ""
    return Finding(
        ERROR, "compiling", f"{name} does not compile{where}: {reason}", "a kernel that numba compiles", remedy
    )


def check_parameters(game: Game, seed: int, *, interpreted: bool) -> tuple[list[Finding], str]:
    """That the smallest and the largest value of each parameter make games that can be played."""
    findings: list[Finding] = []
    tried = []
    for spec in fields(game):
        bounds = spec.metadata["choices"] or (spec.metadata["low"], spec.metadata["high"])
        for bound, inward in zip(bounds, (1, -1) if not spec.metadata["choices"] else (0,) * len(bounds), strict=True):
            if bound is None:
                findings.append(
                    Finding(
                        WARNING,
                        "parameters",
                        f"{spec.name} has no {'low' if inward > 0 else 'high'}",
                        "bounds that are tried before memory is allocated for any number a user types",
                        f"write {spec.name}: int = parameter(..., low=..., high=...)",
                    )
                )
                continue
            step = 0.5 * inward if isinstance(spec.default, float) else inward
            values = [bound + step * k for k in range(TRIES)] if inward else [bound]
            variant = _variant(game, spec.name, values, findings)
            if variant is not None:
                tried.append(f"{spec.name}={getattr(variant, spec.name)}")
                findings += _played(variant, tried[-1], seed, interpreted)
    return findings, f"{', '.join(tried)} play" if tried else "the game has none"


def _variant(game: Game, name: str, values: list[Any], findings: list[Finding]) -> Game | None:
    """The game with the first of the values that it accepts. Parameters may refuse each other, by a GameError."""
    refusal = ""
    for value in values:
        try:
            return parse_parameters(type(game), f"{name}={value}")
        except GameError as error:
            refusal = str(error)
        except Exception as error:
            refusal = explain(error)
            break
    else:
        findings.append(
            Finding(
                WARNING,
                "parameters",
                f"{name} is refused from {values[0]} on: {refusal}",
                "bounds near values that can be used",
                "state the values that can be used in parameter(...)",
            )
        )
        return None
    findings.append(
        Finding(
            ERROR,
            "parameters",
            f"{name}={value} raises {refusal}",
            "a game, or a GameError that says what is expected",
            "raise GameError in __post_init__ for values that do not go together, or correct the bound",
        )
    )
    return None


def _played(variant: Game, what: str, seed: int, interpreted: bool) -> Iterator[Finding]:
    """Findings in a game of the variant that the game with its usual parameters need not have."""
    found = check_facts(variant)
    if not found:
        subject = Subject(variant, interpreted=interpreted)
        try:
            walk(subject, 1, VARIANT_POSITIONS, seed)
            check_reset(subject)
            check_encoding(subject, VARIANT_POSITIONS)
        except Stopped:
            pass
        except NotPlain:
            raise
        except Exception as error:
            found = [Finding(ERROR, "", explain(error) + subject.line_of(error), "a game that can be played", "")]
        found = [*found, *(f for f in subject.findings.values() if f.severity == ERROR)]
    for finding in found:
        yield replace(
            finding,
            check="parameters",
            found=f"with {what}: {finding.found}",
            remedy=finding.remedy or f"correct what depends on {what.partition('=')[0]}",
        )
