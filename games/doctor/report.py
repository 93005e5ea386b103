"""What the doctor found: findings, gathered and put into words."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
SHOWN_MOVES = 24
WIDTH = 110

CHECKS = {
    "loading": "the file loads and makes a game",
    "facts": "the class's constants fit together",
    "parameters": "the smallest and largest values play",
    "compiling": "numba compiles every kernel",
    "legal moves": "within range, each once, none missing",
    "reset": "writes the whole row",
    "play": "hands the move over and comes to an end",
    "outcome": "codes, and from whose point of view",
    "memory": "kernels stay within their buffers",
    "purity": "asking changes nothing",
    "exceptions": "kernels raise nothing",
    "endless loops": "kernels return",
    "cloning": "a position is its row",
    "legal or over": "legal_or_over says what outcome and legal_actions say",
    "hash": "position_hash tells apart what planes and legal moves do",
    "notation": "moves to text and back",
    "board": "the board as people see it",
    "positions": "positions to text and back",
    "drawing": "labels, texts and cells of moves fit the board",
    "encoding": "every cell written, 0 to 1",
    "point of view": "planes are seen by the side to move",
    "distinctness": "distinct positions look distinct",
    "symmetries": "a permuted game stays the same game",
    "targets": "ownership and score fit the outcome",
    "compiled as written": "compiled code does what the Python says",
    "crash": "the process lives",
    "learner": "a small net learns some positions by heart",
}
"""Every check by the name its findings carry, in the order they are told of."""
ONLY_WHEN_WRONG = ("exceptions", "endless loops", "crash")
"""Checks that are told of by their findings alone."""


@dataclass(frozen=True)
class Finding:
    """Something wrong, or worth knowing, in words for whoever wrote the game."""

    severity: str
    """ERROR: the contract is broken. WARNING: suspicious, but a game may mean it. NOTE: information."""
    check: str
    found: str
    expected: str
    remedy: str
    moves: tuple[str, ...] | None = None
    """The moves that lead there from the start, in the game's notation; None where no position is meant."""
    kind: str = ""
    """Which of the things that the check looks at it is about; empty where `found` says all."""


@dataclass
class Report:
    """What the doctor found."""

    game: str
    findings: list[Finding] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    """By check, what it has looked at; checks that were not run or not finished are not in it."""
    judged: set[tuple[str, str]] = field(default_factory=set)
    """Checks and their questions that a stage has judged."""
    unjudged: dict[tuple[str, str], str] = field(default_factory=dict)
    """By check and question, why no stage could judge it."""
    statistics: dict[str, Any] = field(default_factory=dict)
    """Of random games; empty where they could not be played."""
    speed: dict[str, float] = field(default_factory=dict)
    """Nanoseconds a call of each kernel."""
    overfit: dict[str, Any] = field(default_factory=dict)
    """The learner's losses; empty where it was left out."""

    @property
    def is_sound(self) -> bool:
        """Whether there are no errors; warnings a game may mean."""
        return self.count(ERROR) == 0

    def count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def add(self, finding: Finding) -> None:
        """Adds a finding; of two of one kind, as two stages may make, the one after fewer moves stays."""
        for i, known in enumerate(self.findings):
            if (known.check, known.kind or known.found) == (finding.check, finding.kind or finding.found):
                if len(finding.moves or ()) < len(known.moves or ()):
                    self.findings[i] = finding
                return
        self.findings.append(finding)

    def say(self, check: str, text: str, judged: Iterable[str] = (), unjudged: Mapping[str, str] | None = None) -> None:
        """Adds what a check has looked at in a stage, the questions that it has judged there, and why not others.

        Where another stage has judged what this one could not, it keeps its word.
        """
        self.judged |= {(check, question) for question in judged}
        open_ones = {(check, question): why for question, why in (unjudged or {}).items()}
        if check not in self.said or not open_ones or not open_ones.keys() <= self.judged:
            self.said[check] = text
        self.unjudged = {asked: why for asked, why in (self.unjudged | open_ones).items() if asked not in self.judged}

    def open_questions(self, check: str) -> str:
        """What the check could not judge and why, in words; empty where there is nothing."""
        return "; ".join(f"{question}: {why}" for (of, question), why in self.unjudged.items() if of == check)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "game": self.game,
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "notes": self.count(NOTE),
            "checks": {name: self.status(name) for name in CHECKS if self.status(name)},
            "said": self.said,
            "not_judged": {name: self.open_questions(name) for name in CHECKS if self.open_questions(name)},
            "findings": [asdict(finding) for finding in self.findings],
            "random_games": self.statistics,
            "nanoseconds_a_call": self.speed,
            "overfit": self.overfit,
        }

    def status(self, check: str) -> str:
        """The worst that a check has found, "ok", "unknown" where it could not judge all that it asks, "not run", or
        nothing for one that is told of by findings alone."""
        severities = [finding.severity for finding in self.findings if finding.check == check]
        for severity in (ERROR, WARNING):
            if severity in severities:
                return severity
        if check in self.said:
            return "unknown" if self.open_questions(check) else "ok"
        return "" if check in ONLY_WHEN_WRONG else "not run"


def in_words(report: Report) -> str:
    """The report for people: a line for each check, then the findings, then what random games are like."""
    lines = []
    for check, about in CHECKS.items():
        status = report.status(check)
        if status:
            said = report.said.get(check, about) if status in ("ok", "unknown") else about
            lines.append(f"{status:<8} {check:<20} {said}")
            lines += textwrap.wrap(
                f"not judged: {report.open_questions(check)}" if status == "unknown" else "",
                WIDTH,
                initial_indent=" " * 30,
                subsequent_indent=" " * 32,
            )
    for finding in report.findings:
        lines += ["", *_finding_in_words(finding)]
    if report.statistics:
        lines += ["", *_statistics_in_words(report.statistics)]
    if report.speed:
        calls = ", ".join(f"{name} {_duration(ns)}" for name, ns in report.speed.items())
        lines += textwrap.wrap(f"A call takes: {calls}.", WIDTH)
    counts = [f"{report.count(s)} {s}{'' if report.count(s) == 1 else 's'}" for s in (ERROR, WARNING, NOTE)]
    verdict = "the contract is fulfilled" if report.is_sound else "the contract is broken"
    lines += ["", f"{report.game}: {', '.join(counts)}; {verdict}."]
    return "\n".join(lines)


def _finding_in_words(finding: Finding) -> list[str]:
    lines = [f"{finding.severity.upper()}: {finding.check}"]
    parts = [("found", finding.found), ("expected", finding.expected), ("to do", finding.remedy)]
    if finding.moves is not None:
        parts.insert(0, ("after", _moves_in_words(finding.moves)))
    for name, text in parts:
        lines += textwrap.wrap(
            text, WIDTH, initial_indent=f"  {name:<9} ", subsequent_indent=" " * 12, break_long_words=False
        )
    return lines


def _moves_in_words(moves: tuple[str, ...]) -> str:
    if not moves:
        return "no move: the initial position"
    if len(moves) > SHOWN_MOVES:
        return f"{' '.join(moves[:SHOWN_MOVES])} and {len(moves) - SHOWN_MOVES} more moves (--json has them)"
    return " ".join(moves)


def _statistics_in_words(facts: dict[str, Any]) -> list[str]:
    text = (
        f"{facts['games']} random games: {facts['plies_mean']:.1f} moves on average, at most {facts['plies_max']}; "
        f"{facts['legal_mean']:.1f} legal moves, at most {facts['legal_max']}; the first player wins "
        f"{facts['first_player_wins']:.1%}, the second {facts['second_player_wins']:.1%}, {facts['draws']:.1%} are "
        f"drawn; {facts['moves_per_second']:,} moves a second."
    )
    return textwrap.wrap(text, WIDTH)


def _duration(nanoseconds: float) -> str:
    return f"{nanoseconds:.0f} ns" if nanoseconds < 10_000 else f"{nanoseconds / 1000:.0f} µs"
