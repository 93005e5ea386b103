"""The doctor: it finds nothing wrong with sound games, and each planted bug by the check that is meant to find it.

The planted bugs are small edits of one sound game. Most are looked for with uncompiled kernels in this process, which
takes no compiler; the processes, the compiled stage and the comparison of both have tests of their own.
"""

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numba.core.config
import pytest

from keima import games
from keima.games.contract import GameError
from keima.games.doctor import examination, loading, worker
from keima.games.doctor.examination import examine
from keima.games.doctor.loading import Unloadable, load_game
from keima.games.doctor.report import CHECKS, ERROR, NOTE, ONLY_WHEN_WRONG, WARNING, Finding, Report, in_words
from keima.games.doctor.subject import Subject
from tests.paths import DATA

GAMES = Path(games.__file__).parent
CLAIM, SOW = ((DATA / name).read_text() for name in ("claim.py", "sow.py"))

# Sow with a row that is kept as the side to move sees it: its pits first, the opponent's behind them.
SOW_BY_MOVER = [
    (
        "        return np.stack([state[HOLES + SIDE :][::-1], state[HOLES : HOLES + SIDE]])\n",
        "        sides = state[HOLES:].reshape(2, SIDE)\n"
        "        return np.stack([sides[1 - state[PLAYER]][::-1], sides[state[PLAYER]]])\n",
    ),
    ("        if state[HOLES + state[PLAYER] * SIDE + pit] > 0:\n", "        if state[HOLES + pit] > 0:\n"),
    (
        "    seeds, hole = state[HOLES + me * SIDE + action], action\n    state[HOLES + me * SIDE + action] = 0\n",
        "    seeds, hole = state[HOLES + action], action\n    state[HOLES + action] = 0\n",
    ),
    ("        state[HOLES + (me * SIDE + hole) % (2 * SIDE)] += 1\n", "        state[HOLES + hole] += 1\n"),
    (
        "        state[PLAYER] = 1 - me\n",
        "        state[PLAYER] = 1 - me\n"
        "        mine = state[HOLES : HOLES + SIDE].copy()\n"
        "        state[HOLES : HOLES + SIDE] = state[HOLES + SIDE :]\n"
        "        state[HOLES + SIDE :] = mine\n",
    ),
    ("        side = me ^ row\n", "        side = row\n"),
    ("    me = state[PLAYER]\n    for row", "    for row"),
    (
        "    return state[HOLES + PITS] - state[HOLES + SIDE + PITS]\n",
        "    return (state[HOLES + PITS] - state[HOLES + SIDE + PITS]) * (1 - 2 * state[PLAYER])\n",
    ),
]


class Bug(NamedTuple):
    """A planted bug, and how it is to be told of."""

    check: str
    severity: str
    pattern: str
    edits: list[tuple[str, str]]  # old text, whole lines of the game's file, and new
    game: str  # the file's text


def planted_bugs() -> dict[str, Bug]:
    """Those of planted_bugs.txt, whose first lines explain it."""
    bugs = {}
    for entry in (DATA / "planted_bugs.txt").read_text().split("\n== ")[1:]:
        name, told, changes = entry.rstrip("\n").split("\n", 2)
        check, severity, pattern = re.fullmatch(r"(.+?), (\w+): (.+)", told).groups()
        edits = []
        for change in changes.split("\n...\n"):
            lines = change.split("\n")
            old, new = ("".join(line[1:] + "\n" for line in lines if line[0] in f" {sign}") for sign in "-+")
            edits.append((old, new))
        bugs[name] = Bug(check, severity, pattern, edits, SOW if name.startswith("sow: ") else CLAIM)
    return bugs


BUGS = planted_bugs()
UNLOADABLE = ("syntax", "import", "no class", "no shape", "runs", "not a dataclass")


def edited(edits: list[tuple[str, str]], source: str = CLAIM) -> str:
    """The game's file with each old text, which must be in it once, replaced by the new one."""
    for old, new in edits:
        assert f"\n{source}".count(f"\n{old}" if old.endswith("\n") else old) == 1, old
        source = source.replace(old, new, 1)
    return source


@pytest.fixture
def write(tmp_path):
    """Writes a game file; the games that were loaded are forgotten when the test is over."""
    before = set(sys.modules)

    def write(source: str, name: str = "claim") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        return str(path)

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("keima_game_"):
            del sys.modules[name]


GO_PARTS = [f"keima.games.{path.stem}" for path in Path(games.__file__).parent.glob("go_*.py")] + [
    "keima.games.ladders"
]


@pytest.fixture
def uncompiled(monkeypatch, write):
    """Games that are loaded meanwhile keep their kernels as plain Python functions; so do the files of Go's parts,
    which are loaded anew."""
    monkeypatch.setattr(numba.core.config, "DISABLE_JIT", 1)
    monkeypatch.setattr(worker, "CAREFUL_POSITIONS", 500)
    compiled = {name: sys.modules.pop(name) for name in GO_PARTS if name in sys.modules}
    yield write
    for name in GO_PARTS:
        sys.modules.pop(name, None)
    sys.modules.update(compiled)


def stage(text: str, folder: Path, which: str = worker.INTERPRETED) -> Report:
    """One stage's report on a game, made in this process."""
    report = Report(text)

    def tell(kind, value):
        json.dumps(value, default=worker._plain)
        if kind == "finding":
            report.add(Finding(**value))
        elif kind == "said":
            report.say(*value)

    worker.examine(load_game(text), which, folder, 60, 0, tell)
    return report


def matching(report: Report, check: str, severity: str, pattern: str) -> list[Finding]:
    """The findings of a check that say what is looked for."""
    return [
        f
        for f in report.findings
        if (f.check, f.severity) == (check, severity)
        and re.search(pattern, " ".join([f.found, f.expected, f.remedy]), re.DOTALL)
    ]


# --- sound games


@pytest.mark.parametrize("name", games.names())
def test_nothing_is_wrong_with_shipped_games(name, tmp_path, uncompiled, monkeypatch):
    monkeypatch.setattr(loading, "VARIANT_POSITIONS", 20)
    size = ":5" if name == "go" else ""  # uncompiled, it is slow
    report = stage(str(GAMES / f"{name}.py{size}"), tmp_path)
    assert [f for f in report.findings if f.severity != NOTE] == []
    assert not [
        check
        for check in CHECKS
        if report.status(check) != "ok"
        and check not in (*ONLY_WHEN_WRONG, "compiling", "compiled as written", "learner")
    ]


@pytest.mark.parametrize("name", games.names())
def test_nor_with_their_compiled_kernels(name, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "COMPILED_POSITIONS", 500)
    monkeypatch.setattr(worker, "_compare_and_measure", lambda *arguments: None)
    report = stage(name, tmp_path, worker.COMPILED)
    assert [f for f in report.findings if f.severity != NOTE] == []


def test_nothing_is_wrong_with_the_game_that_bugs_are_planted_in(tmp_path, uncompiled):
    report = stage(uncompiled(CLAIM), tmp_path)
    assert report.findings == []
    assert report.said["symmetries"] == "8 of them, 8 followed through games"
    assert report.said["parameters"] == "size=2, size=4 play"
    assert report.said["point of view"].startswith("no pieces") is False


@pytest.mark.parametrize("edits", [[], SOW_BY_MOVER], ids=["as it is", "row of the side to move"])
def test_nor_with_one_whose_board_shows_nobodys_pieces(edits, tmp_path, uncompiled):
    report = stage(uncompiled(edited(edits, SOW)), tmp_path)
    assert report.findings == []
    assert report.said["point of view"] == (
        "no pieces that only one side places, 400 moves looked at, 60 positions with the other side to move"
    )
    assert report.unjudged == {}


# --- what cannot be judged


def test_a_check_that_could_not_judge_says_so_and_why(tmp_path, uncompiled):
    mirror = """    def symmetries(self):
        cells, pits = np.arange(2 * SIDE).reshape(2, SIDE)[:, ::-1].reshape(-1), np.arange(PITS)[::-1].copy()
        return [identity(self), Symmetry(cells, pits)]

    def board"""
    edits = [
        ("    def board", mirror),
        ("PLAYER, SECOND_WINS, Game, kernel", "PLAYER, SECOND_WINS, Game, Symmetry, identity, kernel"),
    ]
    report = stage(uncompiled(edited(edits, SOW)), tmp_path)
    assert report.status("symmetries") == "unknown"
    assert "each turns the start into another position" in report.open_questions("symmetries")
    assert re.search(
        r"^unknown +symmetries .*\n +not judged: whether a game played turned", in_words(report), re.MULTILINE
    )
    assert "symmetries" in report.as_json()["not_judged"]


def test_a_side_is_not_exchanged_in_compiled_kernels(tmp_path, monkeypatch, write):
    monkeypatch.setattr(worker, "COMPILED_POSITIONS", 500)
    monkeypatch.setattr(worker, "_compare_and_measure", lambda *arguments: None)
    report = stage(write(SOW), tmp_path, worker.COMPILED)
    assert {check for check in CHECKS if report.status(check) == "unknown"} == {
        *("outcome", "board", "point of view", "targets")
    }
    assert "no pieces that only one side places" in report.open_questions("point of view")


def test_what_one_stage_has_judged_stays_judged():
    report = Report("claim")
    report.say("board", "200 boards", ["whose view"], {"other": "why"})
    report.say("board", "900 boards", [], {"whose view": "compiled"})
    assert report.said["board"] == "200 boards"
    assert report.status("board") == "unknown"
    report.say("board", "300 boards", ["other"])
    assert (report.status("board"), report.said["board"]) == ("ok", "300 boards")


# --- planted bugs


@pytest.mark.parametrize("check", ["outcome", "targets"])
def test_a_row_of_the_side_to_move_takes_an_absolute_outcome_and_score(check, tmp_path, uncompiled):
    row, mover = "state[HOLES + PITS] - state[HOLES + SIDE + PITS]", " * (1 - 2 * state[PLAYER])"
    edits = [
        *SOW_BY_MOVER,
        ("    points = score(state)\n", f"    points = ({row}){mover if check == 'targets' else ''}\n"),
    ]
    if check == "targets":
        edits.append((f"    return ({row}){mover}\n", f"    return {row}\n"))
    report = stage(uncompiled(edited(edits, SOW)), tmp_path)
    pattern = {"outcome": "the same winner whoever is to move, though", "targets": "it keeps its sign in"}[check]
    assert matching(report, check, ERROR, pattern), report.findings
    assert {finding.check for finding in report.findings} == {check}


def test_the_bugs_are_many():
    assert len(BUGS) >= 60
    assert {bug.check for bug in BUGS.values()} >= set(CHECKS) - {
        *("compiling", "compiled as written", "endless loops", "crash", "learner")  # have tests of their own
    }


@pytest.mark.parametrize("name", UNLOADABLE)
def test_a_file_that_makes_no_game(name, uncompiled):
    bug = BUGS[name]
    with pytest.raises(Unloadable) as raised:
        load_game(uncompiled(edited(bug.edits, bug.game)))
    report = Report("claim")
    report.add(raised.value.finding)
    assert matching(report, bug.check, bug.severity, bug.pattern), raised.value.finding


@pytest.mark.parametrize("name", [name for name in BUGS if name not in UNLOADABLE])
def test_a_planted_bug_is_found(name, tmp_path, uncompiled):
    bug = BUGS[name]
    report = stage(uncompiled(edited(bug.edits, bug.game)), tmp_path)
    assert matching(report, bug.check, bug.severity, bug.pattern), "\n".join(map(str, report.findings))
    assert all(f.found and f.expected and f.remedy for f in report.findings)
    assert report.status(bug.check) in (("ok",) if bug.severity == NOTE else (bug.severity, ERROR))


def test_a_loop_that_does_not_end_is_found(uncompiled):
    source = edited([("    return n\n", "    while state[STONES] == 1:\n        pass\n    return n\n")])
    subject = Subject(load_game(uncompiled(source)), interpreted=True, seconds=0.05)
    worker.run_checks(subject, 3, 50, 0, lambda kind, value: None)
    finding = subject.findings["endless loops", "legal_actions"]
    assert re.search(r"not returned after 0.05 s at line \d+ \(`(while|pass)", finding.found)
    assert len(finding.moves or ()) == 1


def test_of_many_positions_the_one_after_the_fewest_moves_is_told(tmp_path, uncompiled):
    source = edited([("    return n\n", "    return n + (state[STONES] >= 2 and state[CELLS] == 1) * 100\n")])
    (finding,) = matching(stage(uncompiled(source), tmp_path), "legal moves", ERROR, "legal_actions returns 10")
    assert finding.moves is not None
    assert len(finding.moves) == 2
    assert "a3" in finding.moves  # cell 0


# --- compiled


def test_what_does_not_compile_is_told_in_two_lines(tmp_path, write):
    broken = [
        ("    return n\n", "    if n > 1:\n        return n\n"),
        ("    row, column = cell // size, cell % size\n", '    row, column = cell // size, cell + "a"\n'),
        ("    points = score(state)\n", "    points = scores(state)\n"),
        ("@kernel\ndef encode", "def encode"),
        ("        owners[cell] =", "        owners.append(0)\n        owners[cell] ="),
        ("    points = 0\n", '    points = 0 if state[0] else "none"\n'),
    ]
    report = stage(write(edited(broken)), tmp_path, worker.COMPILED)
    for pattern in (
        "legal_actions does not compile.*returns nothing on one of its paths.*end every path",
        r"play does not compile at line \d+ \(`row, column = .*there is no add\(int64, str\)",
        "outcome does not compile.*name 'scores' is not defined.*correct the name",
        "encode is a plain function.*@kernel above def encode",
        r"ownership does not compile at line \d+ \(`owners.append\(0\)`\).*Unknown attribute 'append'",
        r"score does not compile at line \d+.*Cannot unify.*one type on all paths",
    ):
        assert matching(report, "compiling", ERROR, pattern), (pattern, report.findings)
    assert all(len(f.found) < 300 and "\n" not in f.found for f in report.findings)
    assert "compiling" not in report.said


def test_compiled_kernels_are_compared_with_the_uncompiled_ones(tmp_path, uncompiled, monkeypatch):
    """The comparison itself: what plain Python made of one game is compared with kernels that make something else."""
    stage(uncompiled(CLAIM, "sound"), tmp_path)
    twin = tmp_path / worker.TWIN
    for kernel, old, new in (
        ("reset", "    state[SIZE] = parameters[0]", "    state[SIZE] = parameters[0]\n    state[CELLS] = 1"),
        ("play", "    state[STONES] += 1\n", "    state[STONES] += 1 + (state[STONES] == 3)\n"),
        ("outcome", "(SECOND_WINS if points < 0 else DRAW)", "DRAW"),
        ("legal_actions", "    return n\n", "    actions[:n] = actions[:n][::-1].copy()\n    return n\n"),
        ("encode", "= code == 2 - me", "= 0.5 * (code == 2 - me)"),
    ):
        subject = Subject(load_game(uncompiled(edited([(old, new)]), kernel)), interpreted=True)
        worker.compare_with_twin(subject, twin)
        assert ("compiled as written", kernel) in subject.findings, kernel
    subject = Subject(load_game(uncompiled(CLAIM, "twin")), interpreted=True)
    assert worker.compare_with_twin(subject, twin).endswith("positions are the same uncompiled")
    assert subject.findings == {}


# --- the processes


def test_a_sound_file_from_start_to_end(write, tmp_path):
    stages = []
    report = examine(write(CLAIM) + ":2", num_games=50, seed=3, begin=stages.append)
    assert [f for f in report.findings if f.severity == ERROR] == []
    assert not [c for c in CHECKS if report.status(c) == "not run" and c != "learner"]
    assert report.statistics["games"] == 50
    assert report.statistics["plies_max"] == 4
    assert report.statistics["legal_max"] == 4
    assert set(report.speed) == {"reset", "legal_actions", "play", "outcome", "encode", "ownership", "score"}
    assert all(ns > 0 for ns in report.speed.values())
    assert stages[0] == "examining the rules, uncompiled"
    assert any("speed" in stage for stage in stages)
    said = in_words(report)
    assert re.search(r"50 random games: 4\.0 moves on average, at most 4", said)
    assert "A call takes: reset" in said
    assert said.splitlines()[-1].endswith("the contract is fulfilled.")
    assert json.loads(json.dumps(report.as_json()))["errors"] == 0


def test_bounds_are_checked_where_kernels_do_not_run_as_plain_python(write):
    """Comparisons subtracted from each other are numbers to numba and an error to numpy."""
    careless = """    state[STONES] += (size > 0) - (size < 0)
    state[CELLS + 8 + state[STONES] // 9] *= 1
"""
    source = edited([("    state[STONES] += 1\n", careless)])
    report = examine(write(source), num_games=20, seed=0)
    assert matching(report, "compiled as written", NOTE, r"not compared.*play at line \d+.*numpy boolean subtract")
    (finding,) = matching(report, "memory", ERROR, "play goes past the end of an array.*correct the index")
    assert len(finding.moves or ()) == 9


def test_a_game_that_ends_the_process_does_not_end_the_doctor(write):
    source = edited(
        [
            ("        points += SIGNS", "        os._exit(7)\n        points += SIGNS"),
            ("import numpy", "import os, numpy"),
        ]
    )
    report = examine(write(source), num_games=2, seed=0)
    assert matching(report, "crash", ERROR, "ended with exit code 7 during the check 'legal moves', interpreted")
    assert report.status("crash") == ERROR


def test_a_game_that_prints_and_hangs(write, monkeypatch):
    monkeypatch.setattr(examination, "HUNG_S", 3.0)
    source = edited([("SIZE, STONES", "import time\nprint('{', flush=True)\ntime.sleep(1000)\nSIZE, STONES")])
    report = examine(write(source), num_games=2, seed=0)
    assert matching(report, "crash", ERROR, "nothing is heard for 3 s during the check 'loading'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conect4", "unknown game 'conect4' .did you mean connect4"),
        ("nowhere.py", "nowhere.py: no such game file"),
        ("othello:7", "othello: size is an even number, got 7"),
    ],
)
def test_bad_input_is_no_finding(text, message):
    with pytest.raises(GameError, match=message):
        examine(text, num_games=2, seed=0)


# --- reports


def finding(severity, check, moves=None, found="f", kind=""):
    return Finding(severity, check, found, "e", "r", moves, kind)


def test_of_findings_that_say_the_same_the_shorter_one_stays():
    report = Report("claim")
    for found, moves in (("12 times", ("a1", "a2")), ("13 times", ("a3",)), ("14 times", ("b1", "b2"))):
        report.add(finding(ERROR, "play", moves, found, "length"))
    report.add(finding(WARNING, "play", (), kind="player"))
    assert [f.moves for f in report.findings] == [("a3",), ()]
    assert report.status("play") == ERROR
    assert report.status("memory") == "not run"
    assert report.status("crash") == ""
    assert not report.is_sound


def test_a_report_in_words():
    report = Report("claim", said={"board": "3 boards drawn"})
    report.add(finding(ERROR, "play", ()))
    report.add(finding(WARNING, "outcome", tuple("abcdefghijklmnopqrstuvwxyz")))
    report.add(finding(NOTE, "symmetries", None, "words " * 40))
    lines = in_words(report).splitlines()
    assert lines[0] == "not run  loading              the file loads and makes a game"
    assert "ok       board                3 boards drawn" in lines
    assert "error    play                 hands the move over and comes to an end" in lines
    start = lines.index("ERROR: play")
    assert lines[start + 1 : start + 5] == [
        "  after     no move: the initial position",
        "  found     f",
        "  expected  e",
        "  to do     r",
    ]
    assert "  after     a b c d e f g h i j k l m n o p q r s t u v w x and 2 more moves (--json has them)" in lines
    assert lines[-1] == "claim: 1 error, 1 warning, 1 note; the contract is broken."
    assert max(map(len, lines)) <= 120
