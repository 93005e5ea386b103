"""A tournament from its beginning, or from where it was, to its end: players in, games on file, progress shown."""

import contextlib
import dataclasses
import platform
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keima.agent.system.interrupts import stopped_in_order
from keima.agent.system.processes import available_cores
from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS, Game, GameError
from keima.selfplay.tournament.arena import DEFAULT_CACHE_MB, DEFAULT_TABLES
from keima.selfplay.tournament.driver import Driver, Finished
from keima.selfplay.tournament.lineup import Entrant, choose_backends, enter, start_engines
from keima.selfplay.tournament.openings import (
    DEFAULT_PLIES,
    BookOpenings,
    Opening,
    Openings,
    RandomOpenings,
    actions_of,
    begun,
    check_plies,
    start_text_of,
)
from keima.selfplay.tournament.ratings import check_anchors
from keima.selfplay.tournament.referee import Referee
from keima.selfplay.tournament.schedule import (
    AdaptiveSchedule,
    FixedSchedule,
    Pairing,
    Result,
    Schedule,
    SprtSchedule,
    gauntlet,
    round_robin,
)
from keima.selfplay.tournament.sprt import Sprt, SprtState, Verdict, count_pairs
from keima.selfplay.tournament.store import Store, StoredGame, StoredPlayer, line_digest
from keima.selfplay.tournament.worker import WorkerTask

DEFAULT_GAMES = 20
"""Games a pair."""
SPRT_GAMES = 20_000
"""Games after which a test is given up undecided, where nothing else is said."""
TABLES_OF_MANY_NETS = 512
"""Games a worker plays side by side where more than two networks share its tables, for larger batches."""
TABLES_OF_A_TEST = 64
"""Games a worker plays side by side where a test may be decided any time, and those under way are not needed then."""
PLAIN_LINE_S = 10.0
"""How often progress is told where there is no terminal."""

PairingName = Literal["round-robin", "gauntlet", "adaptive"]
SidesName = Literal["both", "first", "second"]


@dataclass(frozen=True)
class Settings:
    """How a tournament is played; kept in its file, so that a continued tournament has the same settings."""

    pairing: PairingName = "round-robin"
    games: int = DEFAULT_GAMES
    """A pair; with adaptive pairing, on average."""
    opening_plies: int = DEFAULT_PLIES
    book: str | None = None
    """A file of openings, in place of random ones."""
    seed: int = 0
    sprt: tuple[float, float] | None = None
    """The two hypotheses of a test between two players, in Elo."""
    sides: SidesName = "both"
    """Whether a pair plays each opening from both sides, or the first named of the two is always first or second."""
    referee: str | None = None
    """Who says which stones are dead where a game ends on the board; see selfplay/tournament/referee.py."""

    def __post_init__(self) -> None:
        if self.games < 2 or self.games % 2:
            raise GameError(f"--games: expected an even number, for openings are played from both sides: {self.games}")
        if self.sprt is not None:
            Sprt(*self.sprt)
        if self.sides != "both" and (self.sprt is not None or self.pairing == "adaptive"):
            raise GameError(f"--sides {self.sides}: expected a round robin or a gauntlet, without --sprt")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Settings":
        known = {field.name for field in dataclasses.fields(cls)}
        found = {name: value for name, value in values.items() if name in known}
        if found.get("sprt") is not None:
            found["sprt"] = tuple(found["sprt"])
        return cls(**found)

    def changed(self, **given: Any) -> "Settings":
        """These with what was asked for: all that is not None."""
        return dataclasses.replace(self, **{name: value for name, value in given.items() if value is not None})

    def openings(self, game: Game) -> Openings:
        if self.book is not None:
            return BookOpenings(game, Path(self.book))
        return RandomOpenings(game, self.opening_plies, self.seed)


class Tournament:
    """One start of a tournament; a context manager, which closes its file."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        entrants: Sequence[Entrant],
        *,
        workers: int | None = None,
        backend: str | None = None,
        console: Console | None = None,
    ) -> None:
        """entrants: who plays now; the file may have others. workers: processes; by default one for each core.

        backend: what runs the networks; by default the fastest sound one.
        """
        if len(entrants) < 2:
            raise GameError(
                f"a tournament: expected at least two players, got {', '.join(e.text for e in entrants) or 'none'}; "
                "equal ones count once"
            )
        if settings.sprt is not None and len(entrants) != 2:
            raise GameError(f"--sprt is for two players, got {len(entrants)}")
        self.store = store
        self._game = store.game
        self._settings = settings
        self._entrants = list(entrants)
        self._players = [store.add_player(e.text, e.name, e.digest) for e in self._entrants]
        self._workers = workers or available_cores()
        self._backend = backend
        self._console = console or Console(file=sys.stderr)
        self._backends: dict[str, str] = {}
        self._stopped = threading.Event()
        self._forfeits = 0

    def prepare(self, tell: Callable[[str], None]) -> None:
        """Does what takes a while before the games; does nothing where everything is played.

        tell: called with a line on what is being done. Raises GameError.
        """
        schedule, _ = self._schedule()
        if _is_over(schedule):
            return
        for warning in start_engines(self._entrants, self._game, tell):
            self._say(warning)
        if self._settings.referee is not None:
            tell("starting the referee")
            referee = Referee(self._game, self._settings.referee)
            try:
                referee.start()
            finally:
                referee.close()
        tell("choosing what runs the networks")
        self._backends = choose_backends(self._game, self._entrants, DEFAULT_TABLES // 2, self._backend)

    def play(self) -> bool:
        """Plays the remaining games; False where Ctrl-C stopped it before the end. Finished games are kept. Raises
        GameError.
        """
        schedule, history = self._schedule()
        if _is_over(schedule):
            return True
        session = self.store.begin_session(self._about(self._backends))
        players = tuple((e.text, e.weights) for e in self._entrants)
        referee = self._settings.referee or ""
        task = WorkerTask(self._game.spec, players, self._backends, self._tables(), DEFAULT_CACHE_MB, referee)
        workers = min(self._workers, max(1, (schedule.total - schedule.played) // 2))
        driver = Driver(
            self._entrants, schedule, task, workers, self._settings.seed, history=history, on_event=self._say
        )
        with stopped_in_order(self._stopped), driver, self._shown(schedule) as show:
            while not self._stopped.is_set():
                finished = driver.receive()
                if finished is None:
                    break
                self._record(finished, session)
                show(driver)
            self._record(driver.stop(), session)
            show(driver)
        return _is_over(schedule)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.store.close()

    # --- what there is

    def _schedule(self) -> tuple[Schedule, list[Pairing]]:
        """What is to be played, and the games there are between those who play."""
        openings, settings = self._settings.openings(self._game), self._settings
        numbers = list(range(len(self._entrants)))
        results = _results(self.store, self._players)
        history = [result.pairing for result in results]
        if settings.sprt is not None:
            return _sprt_schedule(settings, openings, results), history
        if settings.pairing == "adaptive":
            total = settings.games * len(round_robin(numbers))
            return AdaptiveSchedule(numbers, total, openings, results), history
        pairs = round_robin(numbers) if settings.pairing == "round-robin" else gauntlet(numbers)
        return FixedSchedule(pairs, settings.games, openings, history, settings.sides), history

    def _tables(self) -> int:
        if any(entrant.is_timed for entrant in self._entrants):
            return 1
        if self._settings.sprt is not None:
            return TABLES_OF_A_TEST
        networks = {entrant.weights for entrant in self._entrants if entrant.weights}
        return DEFAULT_TABLES if len(networks) <= 2 else TABLES_OF_MANY_NETS

    def _about(self, backends: dict[str, str]) -> dict[str, Any]:
        return {
            "keima": version("keima"),
            "machine": platform.machine(),
            "workers": self._workers,
            "settings": dataclasses.asdict(self._settings),
            "backends": backends,
        }

    # --- games

    def _record(self, finished: Sequence[Finished], session: int) -> None:
        if not finished:
            return
        games = [self._stored(game) for game in finished]
        self._forfeits += sum(game.forfeited for game in games)
        self.store.record(games, session)

    def _stored(self, finished: Finished) -> StoredGame:
        played, pairing = finished.played, finished.pairing
        start = start_text_of(pairing.opening)
        position = begun(self._game, (start,) if start else ())
        for action in played.actions:
            position.play(action)
        opening = len(actions_of(pairing.opening))
        return StoredGame(
            first=self._players[pairing.first].id,
            second=self._players[pairing.second].id,
            opening=opening,
            moves=tuple(position.moves_text()),
            outcome=played.outcome,
            reason=played.reason,
            resigned=played.resigned,
            line=line_digest(self._game, played.actions, opening, start),
            position=start,
            seed=played.task.seed,
            verdict=played.verdict,
            thinking=played.thinking if any(side.moves for side in played.thinking) else None,
        )

    # --- what is shown

    def _say(self, text: str) -> None:
        self._console.print(text, style="yellow", markup=False, highlight=False)

    @contextlib.contextmanager
    def _shown(self, schedule: Schedule) -> Iterator[Callable[[Driver], None]]:
        """Shows how far the tournament is while the block lasts; yields what shows it anew."""
        start_s, last_s, before = time.monotonic(), time.monotonic(), schedule.played

        def told(driver: Driver) -> str:
            passed_s = max(time.monotonic() - start_s, 1e-9)
            speed = f"{(schedule.played - before) / passed_s:.1f} games/s"
            if driver.evaluations:
                speed += f", {driver.evaluations / passed_s:,.0f} evaluations/s"
            return speed + (f", {self._forfeits} forfeited" if self._forfeits else "")

        if not self._console.is_terminal:

            def tell(driver: Driver) -> None:
                nonlocal last_s
                if time.monotonic() - last_s < PLAIN_LINE_S or not driver.was_ready:
                    return
                last_s = time.monotonic()
                done = schedule.played - before
                left_s = (last_s - start_s) / done * (schedule.total - schedule.played) if done else float("nan")
                left = f", {_minutes(left_s)} left" if done else ""
                self._console.print(
                    f"{schedule.played} of {schedule.total} games{left}, {told(driver)}", highlight=False
                )

            yield tell
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("games,"))
        with Progress(
            *columns, TimeRemainingColumn(), TextColumn("left, {task.fields[told]}"), console=self._console
        ) as progress:
            bar = progress.add_task("loading", total=schedule.total, completed=schedule.played, told="")

            def draw(driver: Driver) -> None:
                progress.update(
                    bar,
                    description="playing" if driver.was_ready else "loading",
                    completed=schedule.played,
                    total=schedule.total,
                    told=told(driver),
                )

            yield draw


def begin(
    path: Path,
    game: Game | None,
    texts: Sequence[str],
    *,
    everybody: bool = True,
    merge: Sequence[Path] = (),
    anchors: Mapping[str, float] | None = None,
    limits: Mapping[str, Any] | None = None,
    workers: int | None = None,
    backend: str | None = None,
    **given: Any,
) -> Tournament:
    """A tournament with a file that is new or has been played before.

    everybody: whether the file's players take part, too. merge: files whose players and games are added first.
    anchors: for `report.standings`, to be wrong before anything is played. limits: for `lineup.enter`. given: settings
    to change; None leaves what the file says. Raises GameError, and a file that is not there yet is not made by a
    command that is wrong.
    """
    fresh = not path.exists()
    if backend is not None:
        from keima.agent.inference.factory import check_backend  # imports torch

        check_backend(backend)
    if game is not None:
        enter(texts, game, **(limits or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    store = Store(path, game)
    try:
        for other in merge:
            with Store(other, read_only=True) as source:
                store.merge(source)
        before = Settings.from_json(store.settings)
        settings = before.changed(**given)
        if settings.referee is not None:
            settings = settings.changed(referee=Referee(store.game, settings.referee).text)
        if settings.referee != before.referee and store.num_games():
            raise GameError(
                f"--referee: the games in {path} were decided by {before.referee or 'the rules'}: expected the same "
                "again, or another file"
            )
        if settings.sprt is not None and given.get("games") is None and "games" not in store.settings:
            settings = settings.changed(games=SPRT_GAMES)
        if given.get("opening_plies") is not None and settings.book is None:
            check_plies(store.game, settings.opening_plies)
        settings.openings(store.game)
        known = [player.text for player in store.players()] if everybody else []
        entrants = enter([*known, *texts], store.game, **(limits or {}))
        tournament = Tournament(store, settings, entrants, workers=workers, backend=backend)
        check_anchors(store.by_name(anchors or {}), [player.name for player in store.players()])
        store.save_settings(dataclasses.asdict(settings))
        return tournament
    except BaseException:
        store.close()
        if fresh:
            path.unlink(missing_ok=True)
        raise


def test_of(store: Store) -> SprtState | None:
    """Where the test between a tournament's two players stands; None where none was asked for. Raises GameError."""
    settings, players = Settings.from_json(store.settings), store.players()
    if settings.sprt is None or len(players) != 2:
        return None
    schedule = _sprt_schedule(settings, settings.openings(store.game), _results(store, players))
    return _state_of(Sprt(*settings.sprt), schedule.pairs)


def _sprt_schedule(settings: Settings, openings: Openings, results: Sequence[Result]) -> SprtSchedule:
    assert settings.sprt is not None
    return SprtSchedule(partial(_is_decided, Sprt(*settings.sprt)), settings.games, openings, results)


def _results(store: Store, players: Sequence[StoredPlayer]) -> list[Result]:
    """The games between these players, who have numbers in this order."""
    number = {player.id: i for i, player in enumerate(players)}
    openings: dict[tuple[str, ...], Opening] = {}
    results = []
    for game in store.games():
        if game.first in number and game.second in number:
            moves = (game.position, *game.moves[: game.opening])
            if moves not in openings:
                position = begun(store.game, (game.position,) if game.position else ())
                for move in moves[1:]:
                    position.play_text(move)
                start = (position.start_text,) if position.start_text else ()
                openings[moves] = (*start, *position.actions)
            results.append(Result(Pairing(number[game.first], number[game.second], openings[moves]), game.outcome))
    return results


def _is_over(schedule: Schedule) -> bool:
    return schedule.decided or schedule.played >= schedule.total


def _state_of(test: Sprt, pairs: Sequence[tuple[int, int]]) -> SprtState:
    """Where a test stands after pairs of games; outcomes as `SprtSchedule` gives them."""
    points = {FIRST_WINS: 1.0, DRAW: 0.5, SECOND_WINS: 0.0}
    return test.state(count_pairs((points[first], 1 - points[second]) for first, second in pairs))


def _is_decided(test: Sprt, pairs: Sequence[tuple[int, int]]) -> bool:
    return _state_of(test, pairs).verdict is not Verdict.GOES_ON


def how_to_go_on(path: Path) -> str:
    """The command that goes on with a tournament."""
    return f"keima tournament --file {shlex.quote(str(path))}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
