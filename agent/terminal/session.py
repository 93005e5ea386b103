"""A session at the board, without input or output: the game so far, the move looked at, who plays which side.

The full screen and the line mode both drive one of these with the same commands. Walking back shows an earlier
position and changes nothing; a move made there leaves out what followed it.
"""

import datetime
import difflib
from dataclasses import dataclass

from keima.agent.records.record import RESULTS, GameRecord
from keima.agent.terminal.command_table import BY_NAME
from keima.games.contract import DRAW, ONGOING, Game, GameError
from keima.games.position import Position

RESIGNATION = "resignation"
"""How records say that a game was given up."""
WINNERS = {RESULTS[side]: side for side in (0, 1)}


@dataclass(frozen=True)
class Judgement:
    """How a position was judged, as shares of 1 seen by the FIRST player."""

    win: float
    draw: float
    loss: float

    @classmethod
    def of(cls, player: int, value: float, draw: float = 0.0) -> "Judgement":
        """From `value` in [-1, 1] of the side to move, and how likely the net holds a draw to be.

        The value, which a search has improved, decides the balance: win - loss = value. The draws take what room
        it leaves, 1 - |value| at most.
        """
        value = min(max(value, -1.0), 1.0)
        draw = min(max(draw, 0.0), 1.0 - abs(value))
        ahead = value if player == 0 else -value
        return cls((1 - draw + ahead) / 2, draw, (1 - draw - ahead) / 2)

    @classmethod
    def of_outcome(cls, outcome: int) -> "Judgement":
        """Of a finished game."""
        return cls(*(float(outcome == code) for code in (0, DRAW, 1)))


class Session:
    """One game after the other at one board; sides are 0 and 1, plies are counted from 0, the first position."""

    def __init__(self, game: Game, humans: tuple[bool, bool], start_text: str = "") -> None:
        """`humans`: whether each side's moves are the user's; the others are a player's.

        start_text: the position it begins with, see `Game.text_to_position`; the game's own first one where empty.
        """
        self.game = game
        self.humans = humans
        self.position = Position.from_text(game, start_text) if start_text else Position(game)
        self.shown_ply = 0
        """The position looked at: the one after so many moves."""
        self.resigned: int | None = None
        """The side that gave the game up."""
        self.is_paused = False
        """Whether no player moves by itself, as after loading a game, until the user moves or says `go`."""
        self.judgements: dict[int, Judgement] = {}
        """By ply, as far as positions were judged; whoever judges fills it in."""
        self.comments: dict[int, str] = {}
        """By ply."""
        self.loaded: GameRecord | None = None
        """The record that the game was read from."""
        self._made_by_human: list[bool] = []  # each move so far, whoever has the side now

    # --- how things stand

    @property
    def plies(self) -> int:
        return len(self.position.actions)

    @property
    def is_at_end(self) -> bool:
        """Whether the position looked at is the last one."""
        return self.shown_ply == self.plies

    @property
    def shown(self) -> Position:
        """The position looked at; not to be played on."""
        if self.is_at_end:
            return self.position
        position = self.position.copy()
        while len(position.actions) > self.shown_ply:
            position.undo()
        return position

    @property
    def outcome(self) -> int:
        """ONGOING, or how the game ended, by the rules or by resignation."""
        return self.position.outcome if self.resigned is None else 1 - self.resigned

    @property
    def is_over(self) -> bool:
        return self.outcome != ONGOING

    @property
    def awaits_agent(self) -> bool:
        """Whether a player who is not the user has to move now."""
        return self.is_at_end and not self.is_over and not self.is_paused and not self.humans[self.position.player]

    @property
    def only_human(self) -> int | None:
        """The side of the user who plays against another player; None where both sides or neither are the user's."""
        return self.humans.index(True) if sum(self.humans) == 1 else None

    def verdict(self) -> str:
        """How the game ended, in a sentence; empty while it goes on."""
        outcome = self.outcome
        if outcome == ONGOING:
            return ""
        if outcome == DRAW:
            return "The game is drawn."
        human = self.only_human
        verdict = "" if human is None else ": you win" if outcome == human else ": you lose"
        resigned = "" if self.resigned is None else f"{self.game.players[self.resigned]} resigns. "
        return f"{resigned}{self.game.players[outcome]} wins{verdict}."

    @property
    def moves_again(self) -> bool:
        """Whether the side to move in the position looked at made the move before it, too."""
        last = self.last_move()
        return last is not None and not self.shown.is_over and last[0].player == self.shown.player

    def last_move(self) -> tuple[Position, int] | None:
        """The last move before the position looked at, and the position it was made in; None at the start."""
        if self.shown_ply == 0:
            return None
        before = self.shown.copy()
        action = before.actions[-1]
        before.undo()
        return before, action

    # --- moves

    def play(self, action: int, *, by_human: bool = True) -> None:
        """Plays a move in the position looked at, and looks at the next one; leaves out what followed there.

        Raises GameError where it is not legal, or where the user's move is not asked for.
        """
        if self.is_over and self.is_at_end:
            raise GameError("the game is over")
        if by_human and self.awaits_agent:
            raise GameError(f"it is {self.game.players[self.position.player]}'s turn, who is thinking")
        if action not in self.shown.legal_actions():
            raise GameError(f"action {action} is not legal here")
        self._cut()
        self.position.play(action)
        self._made_by_human.append(by_human)
        self.shown_ply += 1
        self.is_paused = False

    def play_text(self, text: str) -> int:
        """Plays the move that `text` names; returns its action. Raises GameError."""
        if self.is_over and self.is_at_end:
            raise GameError(f"the game is over: expected new, undo, swap or quit, got {text!r}")
        shown = self.shown
        try:
            action = self.game.text_to_action(shown.state, text)
        except GameError as error:
            # A word that is nearly a command was not meant as a move.
            close = difflib.get_close_matches(text.lower().split(" ")[0], BY_NAME, n=1, cutoff=0.75)
            raise GameError(f"{error} (did you mean `{close[0]}`?)" if close else str(error)) from None
        self.play(action)
        return action

    def undo(self) -> int:
        """Takes back the user's last move and what followed it, and returns how many moves that were; the last move
        where both sides or neither are the user's. Raises GameError where there is none."""
        self.shown_ply = self.plies
        if self.resigned is not None:
            self.resigned = None
            return 0
        one_side = self.only_human is not None
        if not self.position.actions or (one_side and not any(self._made_by_human)):
            raise GameError("there is no move of yours to take back" if one_side else "there is no move to take back")
        taken = 0
        while True:
            self.position.undo()
            taken += 1
            if self._made_by_human.pop() or not one_side:
                break
        self.shown_ply = self.plies
        self._forget_after_end()
        return taken

    def resign(self) -> None:
        """Gives the game up: the user's side, or the side to move where that is not one. Raises GameError."""
        if self.is_over:
            raise GameError("the game is over: there is nothing to resign")
        self.shown_ply = self.plies
        self.resigned = self.position.player if self.only_human is None else self.only_human

    def agent_resigns(self) -> None:
        """The player to move, who is not the user, gives the game up."""
        self.resigned = self.position.player

    def swap(self) -> None:
        """Exchanges the sides. Raises GameError where the user has both."""
        if self.humans == (True, True):
            raise GameError("both sides are yours: there is nobody to swap with")
        self.humans = (self.humans[1], self.humans[0])
        self.is_paused = False

    def new(self) -> None:
        """Begins another game; the sides stay."""
        self._reset(self.position.begun_again(), [])
        self.is_paused = False

    def record(self, players: tuple[str, str]) -> GameRecord:
        """The game so far as a record, by players of these names; where the user has both sides, those of the game that
        was loaded."""
        return GameRecord(
            self.game,
            self.position.actions,
            self.loaded.players if self.loaded is not None and self.humans == (True, True) else players,
            RESULTS[self.outcome],
            self.comments,
            datetime.date.today().isoformat() if self.loaded is None else self.loaded.date,
            ending=RESIGNATION if self.resigned is not None else "",
            setup=self._setup(),
            start_text=self.position.start_text,
        )

    def _setup(self) -> int:
        """How many moves only set the position up of the game that was loaded, where it still begins with them."""
        if (
            self.loaded is None
            or self.position.actions[: self.loaded.setup] != self.loaded.actions[: self.loaded.setup]
        ):
            return 0
        return self.loaded.setup

    def load(self, record: GameRecord) -> None:
        """Puts a recorded game on the board, at its end and paused. Raises GameError, and changes nothing then."""
        if record.game != self.game:
            raise GameError(
                f"a record of {record.game.spec}, expected one of {self.game.spec}: open it with "
                f"`keima play {record.game.spec} --record FILE`"
            )
        position, made_by_human = record.start(), []
        for action in record.actions:
            made_by_human.append(self.humans[position.player])  # whose side it is, he may take back
            position.play(action)
        self._reset(position, made_by_human)
        self.loaded = record
        self.comments = dict(record.comments)
        if position.outcome == ONGOING and record.ending == RESIGNATION and record.result in WINNERS:
            self.resigned = 1 - WINNERS[record.result]
        self.is_paused = True

    def _reset(self, position: Position, made_by_human: list[bool]) -> None:
        self.position, self._made_by_human = position, made_by_human
        self.shown_ply = len(position.actions)
        self.resigned = None
        self.loaded = None
        self.judgements = {}
        self.comments = {}

    # --- looking around

    def show(self, ply: int) -> None:
        """Looks at the position after `ply` moves, or the nearest there is."""
        self.shown_ply = min(max(ply, 0), self.plies)

    def walk(self, moves: int) -> None:
        """Looks so many moves on, or back for a negative number. Raises GameError where nothing is there."""
        before = self.shown_ply
        self.show(before + moves)
        if self.shown_ply == before:
            raise GameError("this is the last position" if moves > 0 else "this is the first position")

    def go(self) -> None:
        """Lets the game go on from the position looked at. Raises GameError where there is nothing to go on with."""
        if self.shown.is_over or (self.is_at_end and self.is_over):
            raise GameError("the game is over: there is nothing to go on with")
        self._cut()
        self.is_paused = False

    def _cut(self) -> None:
        """Leaves out what follows the position looked at."""
        if self.is_at_end:
            return
        while self.plies > self.shown_ply:
            self.position.undo()
            self._made_by_human.pop()
        self.resigned = None
        self._forget_after_end()

    def _forget_after_end(self) -> None:
        for remembered in (self.judgements, self.comments):
            for ply in [ply for ply in remembered if ply > self.plies]:
                del remembered[ply]
