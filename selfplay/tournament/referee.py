"""A referee: another program that says which stones are dead in a game that was ended by passes.

Engines for Go pass as soon as nothing is left to be gained, and leave dead stones on the board. Rules that count every
stone as alive (Tromp and Taylor's) would give such a game to the wrong side. So an engine is asked that need not play
in the game. It is shown the moves and names the dead stones; these are taken off, and the game's own rules count the
rest with the game's own komi. The engine's own count is kept, too. It decides where an engine counts but names no
stones.

    referee = Referee(game, 'gtp:"gnugo --mode gtp --chinese-rules"')
    referee.judge(actions)  # a Verdict

Games that a player resigned or forfeited need no referee. A referee that fails is started anew and asked once more. If
it fails again, the rules decide, and the reason is kept with the game.
"""

import dataclasses
import queue
import threading
from collections.abc import Sequence
from typing import Protocol, cast

from keima.agent.contracts.player_spec import parse
from keima.agent.engines.gtp import GtpPlayer
from keima.agent.players.factory import make_player
from keima.games.contract import Game, GameError, State
from keima.games.position import Position
from keima.selfplay.tournament.arena import PlayedGame
from keima.selfplay.tournament.openings import begun, start_text_of
from keima.selfplay.tournament.verdict import Verdict, outcome_of, points_of

ATTEMPTS = 2
"""How often a referee is asked about a game, at most: a new process each time after the first."""
EXAMPLE = 'gtp:"gnugo --mode gtp --chinese-rules"'


class Countable(Protocol):
    """What a game must offer beyond the contract for a referee to be of use; games/go.py does."""

    def without(self, state: State, cells: Sequence[int]) -> State:
        """The position with what stands on these cells taken off, for counting."""


class Referee:
    """An engine that is asked about games, one after the other; it is started when it is first needed."""

    def __init__(self, game: Game, text: str) -> None:
        """text: a player of kind gtp. Raises GameError for any other, and for a game that needs no referee."""
        spec = parse(text)
        if spec.kind != "gtp":
            raise GameError(f"--referee: expected a program that speaks GTP, as {EXAMPLE}, got {text!r}")
        if not (hasattr(game, "without") and game.has_score):
            raise GameError(f"--referee: it is for games that are counted when both pass; {game.name} needs none")
        self.text = spec.text
        """The one spelling of this referee."""
        self._spec = spec
        self._game = game
        self._player: GtpPlayer | None = None
        self._closed = False

    def start(self) -> str:
        """Starts the engine and checks that it can judge; returns its name. Raises GameError."""
        if self._player is None:
            self._player = cast(GtpPlayer, make_player(self._spec, self._game))
        if not any(self._player.knows(command) for command in ("final_status_list", "final_score")):
            raise GameError(f"--referee: {self._player.name} has neither final_status_list nor final_score")
        return self._player.name

    def judge(self, actions: Sequence[int], start_text: str = "") -> Verdict:
        """The engine's verdict on a game with these moves, which is over; `start_text` see `Position`."""
        position = begun(self._game, (start_text,) if start_text else ())
        for action in actions:
            position.play(action)
        found = Verdict(self._spec.label, position.outcome, self._game.points(position.state))
        for _ in range(ATTEMPTS):
            try:
                found = dataclasses.replace(found, referee=self.start(), failure="")
                assert self._player is not None
                return self._asked(self._player, position, found)
            except GameError as error:  # an engine that failed is closed by that, and started anew when it is asked
                found = dataclasses.replace(found, failure=str(error))
                if self._closed:
                    break
        return found

    def close(self) -> None:
        """Ends the engine, from any thread; an answer that is being waited for fails."""
        self._closed = True
        if self._player is not None:
            self._player.close()

    def _asked(self, player: GtpPlayer, position: Position, found: Verdict) -> Verdict:
        """The verdict with the engine's answers. Raises EngineError."""
        dead = player.dead_stones(position)
        own_count = player.final_score(position) or ""
        if dead is not None:
            points = self._game.points(cast(Countable, self._game).without(position.state, dead))
        else:
            counted = points_of(own_count)
            if counted is None:
                failure = f"{found.referee} says neither which stones are dead nor who won"
                return dataclasses.replace(found, own_count=own_count, failure=failure)
            points = counted
        return dataclasses.replace(
            found,
            outcome=outcome_of(points),
            points=points,
            dead=tuple(self._game.cell_to_text(cell) for cell in dead or ()),
            own_count=own_count,
        )


class RefereesDesk:
    """Games that wait for a referee. The referee works in a thread, so other games go on."""

    def __init__(self, referee: Referee) -> None:
        self._referee = referee
        self._games: queue.SimpleQueue[PlayedGame | None] = queue.SimpleQueue()
        self._judged: queue.SimpleQueue[PlayedGame] = queue.SimpleQueue()
        self._waiting = 0
        threading.Thread(target=self._work, name="referee", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether there are games that have not been collected."""
        return self._waiting > 0

    def submit(self, played: PlayedGame) -> None:
        """Hands in a game that is over on the board."""
        self._waiting += 1
        self._games.put(played)

    def collect(self, timeout_s: float = 0.0) -> list[PlayedGame]:
        """The games that have been judged since the last call; waits so long for the first one, where there is one
        to wait for.
        """
        judged: list[PlayedGame] = []
        while self._waiting:
            try:
                judged.append(self._judged.get(timeout=timeout_s) if timeout_s else self._judged.get_nowait())
            except queue.Empty:
                break
            self._waiting -= 1
            timeout_s = 0.0
        return judged

    def close(self) -> None:
        """Ends the referee."""
        self._games.put(None)
        self._referee.close()

    def _work(self) -> None:
        while (played := self._games.get()) is not None:
            self._judged.put(judged(played, self._referee.judge(played.actions, start_text_of(played.task.opening))))


def judged(played: PlayedGame, verdict: Verdict) -> PlayedGame:
    """The game as the referee has it."""
    outcome = played.outcome if verdict.outcome is None else verdict.outcome
    return dataclasses.replace(played, outcome=outcome, verdict=verdict)
