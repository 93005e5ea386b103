"""Who thinks when: the players' moves, what the user asked for, the analysis, all by turns in one thread.

After every change of the session `schedule` starts what is due, in this order: what the user asked for, a player's
move, judging what was not judged yet, analysing the position looked at. The analysis gives way to anything else.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from keima.agent.contracts.player import MoveResult, Resignation
from keima.agent.contracts.thinking import Limit, SearchInfo, ShouldStop
from keima.agent.system.progress import Progress
from keima.agent.terminal.match import Match
from keima.agent.terminal.match_setup import PlayerChoice, Sides
from keima.agent.terminal.opponent import Adviser, Opponent
from keima.agent.terminal.screen.worker import Work, Worker
from keima.agent.terminal.session import Judgement, Session
from keima.games.contract import Game, GameError
from keima.games.position import Position

ANALYSIS = Limit(simulations=20_000, seconds=60)
"""What the analysis of a position may cost."""
JUDGING = Limit(simulations=48, seconds=0.3)
"""What judging each position of a game may cost."""
WATCHED_MOVE_S = 0.7
"""How long a move stands at least before the next one where two players are watched, in seconds."""

Key = tuple[int, ...]
"""The moves that lead to a position."""
MOVE, REQUEST, BACKGROUND = "move", "request", "background"


class Scheduler:
    """Runs one session's players. Its methods are for the screen's thread."""

    def __init__(
        self,
        game: Game,
        sides: Sides,
        adviser: PlayerChoice,
        *,
        post: Callable[[Callable[[], None]], None],
        changed: Callable[[], None],
        say: Callable[[str], None],
        later: Callable[[float, Callable[[], None]], object],
        start_text: str = "",
    ) -> None:
        """`post`: has the screen's thread call a function; `changed`: there is something new to show; `say`: tells the
        user; `later`: calls a function after so many seconds; `start_text`: see `Match`."""
        self._post, self._changed, self._say, self._later = post, changed, say, later
        self._progress = Progress(lambda text: post(lambda: self._tell_progress(text)), live=False)
        self.is_analysing = False
        self.progress = ""
        """What takes long, in words."""
        self._worker = Worker(post)
        self._kind = ""  # of the job that runs
        self._is_stale = False  # the job's result is not wanted any more
        self._began_s = 0.0
        self._moved_s = 0.0
        self._requests: deque[tuple[Work, Callable[[Any], None]]] = deque()
        self._search_info: dict[Key, SearchInfo] = {}
        self._analysed: set[Key] = set()
        self.match = Match(game, sides, adviser, self._progress, start_text)

    def begin(self, sides: Sides, adviser: PlayerChoice) -> None:
        """A new game between these players (None: the user). Nothing is scheduled yet."""
        self._drop_job()
        self._requests.clear()
        self._search_info.clear()
        self._analysed.clear()
        self.match.begin(sides, adviser)

    def close(self) -> None:
        """Ends all thinking, and players that are programs of their own."""
        self._requests.clear()
        self._drop_job()
        self._worker.close()
        self.match.close()

    # --- how things stand

    @property
    def session(self) -> Session:
        """The match's."""
        return self.match.session

    @property
    def mover(self) -> Opponent | None:
        """The player whose move is being thought about."""
        return self.match.mover() if self._kind == MOVE and not self._is_stale else None

    @property
    def is_answering(self) -> bool:
        """Whether something is being worked on that the user asked for."""
        return self._kind == REQUEST or bool(self._requests)

    @property
    def thinking_s(self) -> float:
        """For how long the job has run, in seconds."""
        return time.monotonic() - self._began_s

    def info_of(self, position: Position) -> SearchInfo | None:
        """What is known of a position."""
        return self._search_info.get(tuple(position.actions))

    # --- what is due

    def changed(self) -> None:
        """To be called after the session was changed or looks at another position."""
        session = self.session
        if session.position.is_over:
            session.judgements[session.plies] = Judgement.of_outcome(session.position.outcome)
        if self._kind == BACKGROUND or (self._kind == MOVE and not session.awaits_agent):
            self._drop_job()
        self.schedule()
        self._changed()

    def ask(self, work: Callable[[Adviser, ShouldStop], Any], answer: Callable[[Any], None]) -> None:
        """Has the adviser work on something the user asked for; `answer` gets the result."""
        adviser = self.match.adviser
        self._requests.append((lambda should_stop: work(adviser, should_stop), answer))
        if self._kind == BACKGROUND:
            self._drop_job()
        self.schedule()

    def schedule(self) -> None:
        """Starts what is due, where nothing runs."""
        if self._worker.is_busy:
            return
        session = self.session
        if self._requests:
            work, answer = self._requests.popleft()
            self._start(REQUEST, work, answer)
        elif session.awaits_agent:
            wait_s = 0.0 if any(session.humans) else self._moved_s + WATCHED_MOVE_S - time.monotonic()
            if wait_s > 0:
                self._later(wait_s, self.schedule)
            else:
                self._start_move()
        elif self.is_analysing:
            self._start_analysis()

    def _start(self, kind: str, work: Work, done: Callable[[Any], None]) -> None:
        self._kind, self._is_stale, self._began_s = kind, False, time.monotonic()
        self._worker.start(work, lambda result, error: self._finish(done, result, error))

    def _finish(self, done: Callable[[Any], None], result: Any, error: BaseException | None) -> None:
        kind, is_stale = self._kind, self._is_stale
        self._kind, self.progress = "", ""
        if not is_stale and error is not None:
            if not isinstance(error, GameError):
                raise error
            self._say(str(error))
            if kind == MOVE:
                self.session.is_paused = True
                self._say("`go` has it try again; Ctrl-N chooses another opponent.")
            elif kind == BACKGROUND:
                self.is_analysing = False
        elif not is_stale:
            done(result)
        self.schedule()
        self._changed()

    def _drop_job(self) -> None:
        if self._worker.is_busy:
            self._is_stale = True
            self._worker.stop()

    def _tell_progress(self, text: str) -> None:
        self.progress = text.strip()
        self._changed()

    # --- moves

    def _start_move(self) -> None:
        position, agent = self.session.position.copy(), self.match.mover()

        def work(should_stop: ShouldStop) -> MoveResult:
            return agent.choose(position, should_stop=should_stop, report=lambda info: self._report(position, info))

        self._start(MOVE, work, lambda result: self._moved(position, agent, result))

    def _moved(self, before: Position, agent: Opponent, result: MoveResult) -> None:
        session = self.session
        if not session.awaits_agent or session.position.actions != before.actions:
            return
        if self.match.mover() is not agent:
            return
        self.match.play(result)
        if isinstance(result, Resignation):
            self._say(result.message)
        self._moved_s = time.monotonic()
        if session.position.is_over:
            session.judgements[session.plies] = Judgement.of_outcome(session.position.outcome)
        self.match.ponder()

    # --- thoughts

    def _report(self, position: Position, info: SearchInfo) -> None:
        """Keeps what was thought; called by the thinking thread."""
        self._post(lambda: self._note(position, info))

    def _note(self, position: Position, info: SearchInfo) -> None:
        key, session = tuple(position.actions), self.session
        self._search_info[key] = info
        if tuple(session.position.actions[: len(key)]) == key and info.value is not None:
            draw = info.wdl[1] if info.wdl is not None else 0.0
            session.judgements[len(key)] = Judgement.of(position.player, info.value, draw)
        self._changed()

    def _start_analysis(self) -> None:
        session, adviser = self.session, self.match.adviser
        missing = [ply for ply in range(session.plies + 1) if ply not in session.judgements]
        if missing:
            whole = session.position.copy()
            self._start(BACKGROUND, lambda should_stop: self._judge(adviser, whole, missing, should_stop), _nothing)
            return
        position = session.shown.copy()
        key = tuple(position.actions)
        if key in self._analysed or position.is_over:
            return

        def work(should_stop: ShouldStop) -> None:
            adviser.thinker().think(
                position, ANALYSIS, should_stop=should_stop, report=lambda info: self._report(position, info)
            )

        self._start(BACKGROUND, work, lambda _: self._analysed.add(key))

    def _judge(self, adviser: Adviser, whole: Position, missing: list[int], should_stop: ShouldStop) -> None:
        """Judges positions of a game that are not over; in the thinking thread."""
        thinker = adviser.thinker()
        wanted = set(missing)
        position = whole.begun_again()
        for ply in range(len(whole.actions) + 1):
            if should_stop():
                return
            if ply in wanted and not position.is_over:
                self._report(position.copy(), thinker.think(position, JUDGING, should_stop=should_stop))
            if ply < len(whole.actions):
                position.play(whole.actions[ply])


def _nothing(result: object) -> None:
    """There is nothing to do with it."""
