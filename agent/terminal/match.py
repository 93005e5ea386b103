"""Who plays whom at one board: the session, the players, whoever gives advice."""

from keima.agent.contracts.player import MoveResult, Resignation
from keima.agent.records.files import load as load_record
from keima.agent.records.files import save as save_record
from keima.agent.records.record import GameRecord
from keima.agent.system.progress import Progress
from keima.agent.terminal.match_setup import PlayerChoice, Sides
from keima.agent.terminal.opponent import Adviser, Opponent
from keima.agent.terminal.session import Session
from keima.games.contract import Game

HUMAN = "human"
"""What the user is called in records."""

Agents = tuple[Opponent | None, Opponent | None]
"""Who plays each side; None where the user does."""


class Match:
    """Users and players at one board, game after game. For one thread; players think in whichever asks them to."""

    def __init__(
        self, game: Game, sides: Sides, adviser: PlayerChoice, progress: Progress, start_text: str = ""
    ) -> None:
        """`sides`: who plays each (None: the user); `progress`: where it is told what takes long; `start_text`: the
        position that games begin with, as text, where that is not the game's own."""
        self.game = game
        self._start_text = start_text
        self.session = Session(game, (True, True), start_text)
        self.agents: Agents = (None, None)
        self.adviser: Adviser
        self.remarks: tuple[str, ...] = ()
        """What is to be told about the choice of players."""
        self._progress = progress
        self.begin(sides, adviser)

    def begin(self, sides: Sides, adviser: PlayerChoice) -> None:
        """A new game between other players. Their being made ready begins, in the background."""
        self.close()
        resolved = [(None, "") if choice is None else choice.resolved(self.game) for choice in sides]
        self.remarks = tuple(dict.fromkeys(remark for _, remark in resolved if remark))
        first, second = (
            None if choice is None else Opponent(self.game, choice, self._progress) for choice, _ in resolved
        )
        self.agents = (first, second)
        self.adviser = Adviser(self.game, adviser.resolved(self.game)[0], self._progress)
        self.session = Session(self.game, (first is None, second is None), self._start_text)

    def close(self) -> None:
        """Ends players' pondering, and players that are programs of their own."""
        for agent in self.players():
            agent.close()

    def players(self) -> list[Opponent]:
        """Those who play and are not the user."""
        return [agent for agent in self.agents if agent is not None]

    def mover(self) -> Opponent:
        """The player who has to move; only where the session awaits one."""
        agent = self.agents[self.session.position.player]
        assert agent is not None
        return agent

    def introductions(self) -> list[str]:
        """A line on each player that is ready and was not introduced yet."""
        return [said for agent in self.players() if (said := agent.introduction())]

    def play(self, result: MoveResult) -> None:
        """Plays what the player has answered whose turn it is."""
        if isinstance(result, Resignation):
            self.session.agent_resigns()
        else:
            self.session.play(result, by_human=False)

    def ponder(self) -> None:
        """Has players who think on the user's time do so, where it is his turn."""
        session = self.session
        if session.is_at_end and not session.is_over and not session.awaits_agent:
            for agent in self.players():
                agent.ponder(session.position)

    def new_game(self) -> None:
        """Begins another game, in which players remember nothing of the last one; the sides stay."""
        self._begin_game()
        self.session.new()

    def swap(self) -> None:
        """Exchanges the sides. Raises GameError where both are the user's."""
        self.session.swap()
        self.agents = (self.agents[1], self.agents[0])

    def save(self, file: str) -> None:
        """Writes the game so far to a file. Raises GameError or OSError."""
        first, second = (HUMAN if agent is None else agent.name for agent in self.agents)
        save_record(self.session.record((first, second)), file)

    def load(self, file: str) -> str:
        """Puts the game in a file on the board and says in a line what it is. Raises GameError, and changes nothing
        then."""
        return self.show_record(load_record(file, self.game))

    def show_record(self, record: GameRecord) -> str:
        """Puts a recorded game on the board and says in a line what it is. Raises GameError, and changes nothing
        then."""
        self.session.load(record)
        self._begin_game()
        first, second = (name or side for name, side in zip(record.players, self.game.players, strict=True))
        return f"Loaded: {first} against {second}, {self.session.plies} moves, {record.result}."

    def _begin_game(self) -> None:
        for agent in self.players():
            agent.begin_game()
