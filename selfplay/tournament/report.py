"""What a tournament's file says: the ladder, who beat whom, what went wrong; in words, tables, files and pictures."""

import contextlib
import dataclasses
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keima.agent.system.storage import write_atomically
from keima.games.contract import SECOND_WINS, GameError
from keima.selfplay.tournament import ladder, plots
from keima.selfplay.tournament.contestants import Thinking
from keima.selfplay.tournament.levels import levels_toml, make_levels
from keima.selfplay.tournament.ratings import Ratings, Tally, bounded_players, check_anchors, rate, tally
from keima.selfplay.tournament.sprt import SprtState
from keima.selfplay.tournament.store import Store, StoredGame

REPEATED_SHARE = 0.05
"""With more games than this that repeat others, more varied openings are advised."""
SHOWN_REASONS = 5
"""Reasons for forfeits that are told, the most frequent first."""


@dataclass(frozen=True)
class RefereeCount:
    """What referees did in a tournament: numbers of games."""

    names: tuple[str, ...]
    asked: int
    """Games that ended on the board and that a referee was asked about."""
    decided: int
    """Of these, those with an answer; the rules decided the others."""
    overruled: int
    """Games with another result than by the rules alone."""
    contradicted: int
    """Games that somebody else won by the referee's own count."""
    failures: Counter[str]
    """Why there was no answer."""

    @classmethod
    def of(cls, games: Sequence[StoredGame]) -> "RefereeCount | None":
        """None where none was asked."""
        verdicts = [game.verdict for game in games if game.verdict is not None]
        if not verdicts:
            return None
        return cls(
            names=tuple(dict.fromkeys(verdict.referee for verdict in verdicts if verdict.decides)),
            asked=len(verdicts),
            decided=sum(verdict.decides for verdict in verdicts),
            overruled=sum(verdict.overrules for verdict in verdicts),
            contradicted=sum(verdict.contradicts_itself for verdict in verdicts),
            failures=Counter(verdict.failure for verdict in verdicts if not verdict.decides),
        )

    @property
    def notes(self) -> list[str]:
        """In words."""
        name = " and ".join(self.names) or "the referee"
        found = [
            f"{name} decided {self.decided} of the {self.asked} games that ended on the board; by the rules alone "
            f"{self.overruled} of them would have another result"
        ]
        if self.contradicted:
            found.append(f"  in {self.contradicted} its own count has another winner than the stones it calls dead")
        for reason, times in self.failures.most_common(SHOWN_REASONS):
            found.append(f"  {times} x decided by the rules: {reason}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        failures = [{"reason": reason, "games": times} for reason, times in self.failures.most_common()]
        return {**dataclasses.asdict(self), "names": list(self.names), "failures": failures}


@dataclass(frozen=True)
class Standings:
    """A tournament's ratings and games so far."""

    game: str
    names: tuple[str, ...]
    """Every player of the file, in the order they came."""
    ratings: Ratings
    tally: Tally
    forfeits: Counter[tuple[str, str]]
    """By (who forfeited, why): how many games."""
    resigned: int
    """Games that were given up."""
    referee: RefereeCount | None = None
    """None where no referee was asked."""
    thinking: Mapping[str, Thinking] = field(default_factory=dict)
    """By player, where it was measured: of those who are asked for one move at a time."""

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the games, besides who won them."""
        found = [] if self.referee is None else self.referee.notes
        if self.forfeits:
            count = self.forfeits.total()
            found.append(f"{count} of {self.tally.games} games were forfeited:")
            for (name, reason), times in self.forfeits.most_common(SHOWN_REASONS):
                found.append(f"  {times} x {name}: {reason}")
            if len(self.forfeits) > SHOWN_REASONS:
                found.append(f"  and {len(self.forfeits) - SHOWN_REASONS} reasons more; the file has them all")
        if self.tally.repeated:
            found.append(
                f"{self.tally.repeated} of {self.tally.games} games repeat another one of the same players on the same "
                "sides; together they count as one"
            )
            if self.tally.repeated > REPEATED_SHARE * self.tally.games:
                found.append("  more plies of opening, or a larger book, make more of them differ")
        if self.thinking:
            paces = ", ".join(_pace(name, thought) for name, thought in self.thinking.items())
            found.append(f"seconds a move, and the longest: {paces}")
        return found


def _pace(name: str, thought: Thinking) -> str:
    """How long a player thinks, in words."""
    return f"{name} {thought.seconds / thought.moves:.2f} ({thought.longest_s:.2f})"


def _thinking(games: Iterable[StoredGame], names: Mapping[int, str]) -> dict[str, Thinking]:
    """How long each player thought in these games, as far as it was measured."""
    found: dict[str, Thinking] = {}
    for game in games:
        for player, thought in zip((game.first, game.second), game.thinking or (), strict=False):
            if thought.moves:
                found[names[player]] = found.get(names[player], Thinking()) + thought
    return found


def standings(store: Store, anchors: Mapping[str, float] | None = None) -> Standings:
    """The ratings of everybody in a tournament's file.

    anchors: Elo that players, by name or text, are to keep. Raises GameError where there is no game yet.
    """
    players = {player.id: player for player in store.players()}
    fixed = store.by_name(anchors or {})
    check_anchors(fixed, [player.name for player in players.values()])
    games = list(store.games())
    if not games:
        raise GameError(f"{store.path}: no games yet")
    results = tally(
        (
            players[game.first].name,
            players[game.second].name,
            game.outcome,
            None if game.forfeited else game.line,
        )
        for game in games
    )
    played = {name for result in results.results for name in (result.first, result.second)}
    fixed = {name: elo for name, elo in fixed.items() if name in played}
    return Standings(
        game=store.game.label,
        names=tuple(player.name for player in players.values()),
        # Who lost everything would be in everyone's interval.
        ratings=rate(results.results, anchors=fixed, centre=bounded_players(results.results)),
        tally=results,
        forfeits=Counter((players[loser_of(game)].name, game.reason) for game in games if game.forfeited),
        resigned=sum(game.resigned for game in games),
        referee=RefereeCount.of(games),
        thinking=_thinking(games, {player.id: player.name for player in players.values()}),
    )


def loser_of(game: StoredGame) -> int:
    """The number of the player who lost; for games that somebody lost."""
    return game.first if game.outcome == SECOND_WINS else game.second


def parse_anchors(texts: Sequence[str]) -> dict[str, float]:
    """Anchors from `NAME=ELO`. Raises GameError."""
    anchors = {}
    for text in texts:
        name, equals, elo = text.rpartition("=")
        try:
            anchors[name.strip()] = float(elo)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise GameError(f"--anchor: expected NAME=ELO, as rollout:200=0, got {text!r}")
    return anchors


def as_dict(found: Standings, test: SprtState | None = None) -> dict[str, Any]:
    """All of it as JSON has it."""
    return {
        "game": found.game,
        **ladder.as_dict(found.ratings, found.tally.results),
        "games": found.tally.games,
        "repeated": found.tally.repeated,
        "resigned": found.resigned,
        "forfeits": [{"player": n, "reason": reason, "games": c} for (n, reason), c in found.forfeits.most_common()],
        "referee": None if found.referee is None else found.referee.as_dict(),
        "thinking": {name: dataclasses.asdict(thought) for name, thought in found.thinking.items()},
        "sprt": None if test is None else _sprt_as_dict(test),
    }


def _sprt_as_dict(test: SprtState) -> dict[str, Any]:
    """JSON has no NaN: before the first pair there is no score."""
    score = None if math.isnan(test.score) else test.score
    return {**dataclasses.asdict(test), "score": score, "verdict": test.verdict.value}


def in_words(found: Standings, test: SprtState | None = None) -> str:
    """The ladder, the test where there is one, what one should know of the games, and the cross table."""
    parts = [ladder.ladder_table(found.ratings)]
    if test is not None:
        parts.append(f"SPRT of {found.names[0]} against {found.names[1]}: {test.text}")
    if found.notes:
        parts.append("\n".join(found.notes))
    if len(found.ratings.players) > 2:
        parts.append(ladder.cross_table(found.ratings, found.tally.results))
    return "\n\n".join(parts)


def write(found: Standings, folder: Path, test: SprtState | None = None) -> list[Path]:
    """Writes ladder.txt, .json, .csv and .png and cross.csv into a folder, which is made; returns the files' paths.

    Where settings of one net played, each stronger by nature than the last, also levels.toml, which `keima play --elo`
    reads once it is `configs/levels/GAME.toml`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "ladder.txt": in_words(found, test) + "\n",
        "ladder.json": json.dumps(as_dict(found, test), indent=1) + "\n",
        "ladder.csv": ladder.as_csv(found.ratings),
        "cross.csv": ladder.cross_csv(found.ratings, found.tally.results),
    }
    with contextlib.suppress(GameError):  # no such settings
        measured = f"{found.tally.games:,} games: keima tournament {found.game} {' '.join(map(repr, found.names))}"
        files["levels.toml"] = levels_toml(make_levels(found.ratings), measured)
    for name, text in files.items():
        write_atomically(folder / name, text.encode(), "let `keima tournament --file FILE --report` write them")
    picture = folder / "ladder.png"
    plots.plot_ladder(found.ratings, picture, f"{found.game}: {found.tally.games:,} games")
    return [*(folder / name for name in files), picture]


def tell_of(found: Standings, test: SprtState | None, output: Path | None, *, as_json: bool) -> None:
    """Prints it, and writes it into `output` where that is asked for."""
    print(json.dumps(as_dict(found, test)) if as_json else in_words(found, test))
    if output is not None:
        files = write(found, output, test)
        print(f"written: {', '.join(str(file) for file in files)}", file=sys.stderr)
