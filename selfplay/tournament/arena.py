"""Games of many players side by side in one process, with the positions that a network is asked about in one batch.

    arena = Arena(game, [NetworkContestant(evaluate, 64), PlayoutContestant(1000), AskedAtOnce(RandomPlayer)])
    arena.begin(GameTask(number=0, players=(0, 1), opening=(3, 3), seed=7))
    while arena.busy:
        for played in arena.step():
            ...

selfplay/tournament/contestants.py says how each kind of player plays. A game depends on its players, its opening and
its seed alone, as far as the evaluators' answers do not depend on what else is in a batch.
"""

import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import PLAYER, Game, GameError
from keima.games.position import Position
from keima.mcts.cache import allocate_cache
from keima.mcts.evaluator import Evaluate
from keima.mcts.leaf_loop import EVALUATIONS, HITS, SIMULATIONS, allocate_inputs
from keima.mcts.random import seeded
from keima.mcts.search import PLAYOUT_SETTINGS
from keima.mcts.tree import EDGE, NODE, allocate, allocate_scratch, default_max_edges
from keima.selfplay.tournament.arena_kernel import (
    ANSWERED,
    ASKED,
    ASKING,
    CONTESTANT,
    EMPTY,
    NETWORK,
    OPENED,
    OVER,
    PLAYOUTS,
    RUNNING,
    TABLE,
    WAITING,
    Room,
    play_on,
)
from keima.selfplay.tournament.contestants import (
    Answer,
    Asked,
    Contestant,
    NetworkContestant,
    PlayoutContestant,
    Thinking,
)
from keima.selfplay.tournament.openings import Opening, begun
from keima.selfplay.tournament.verdict import Verdict

DEFAULT_TABLES = 256
SLICE_SIMULATIONS = 2000
"""After so many simulations with playouts, at most, a table waits until the others had their turn."""
SLICE_S = 0.02
"""How long such turns of a step should take together: a playout may take a microsecond or a millisecond, by the game,
and whoever is asked beside waits for the next step."""
PLAYOUT_TABLES = 8
"""Tables at which such a turn is taken in a step: the oldest games', which so come to their end first. Playouts gain
nothing from a batch, and if all games went on evenly, none would be over for a long time."""
PATIENCE_S = 0.2
"""How long a step waits for players who are asked, where there is nothing else to do."""
MAX_TREE_BYTES = 1 << 29
"""Fewer tables are set up where the trees of all of them would take more than this."""
DEFAULT_CACHE_MB = 64.0


@dataclass(frozen=True)
class GameTask:
    """A game to be played."""

    number: int
    players: tuple[int, int]
    """Which contestants move first and second."""
    opening: Opening
    """What it begins with; the game goes on after it."""
    seed: int


@dataclass(frozen=True)
class PlayedGame:
    """A game that is over."""

    task: GameTask
    actions: tuple[int, ...]
    """All of them, the opening's included."""
    outcome: int
    """FIRST_WINS, SECOND_WINS or DRAW; a forfeited game's, too, and a referee's where one decides."""
    reason: str = ""
    """Why the loser lost where it was not on the board: what its engine did."""
    resigned: bool = False
    """Whether that was to give the game up; otherwise, with a reason, the game was forfeited."""
    verdict: Verdict | None = None
    """What a referee said, where one was asked."""
    thinking: tuple[Thinking, Thinking] = field(default=(Thinking(), Thinking()), compare=False)
    """How long the first and the second player thought, as far as they were asked and did so in a thread."""


class Arena:
    """Tables at which games are played. The same contestants and tasks give the same games."""

    def __init__(
        self,
        game: Game,
        contestants: Sequence[Contestant],
        tables: int = DEFAULT_TABLES,
        cache_mb: float = DEFAULT_CACHE_MB,
    ) -> None:
        """tables: games at a time, at most; see MAX_TREE_BYTES. cache_mb: for evaluations of positions seen again."""
        self.game = game
        self.contestants = list(contestants)
        self._evaluators: list[Evaluate] = []
        self._asked = {i: c for i, c in enumerate(self.contestants) if isinstance(c, Asked)}
        self._records = np.zeros(len(self.contestants), CONTESTANT)
        for record, contestant in zip(self._records, self.contestants, strict=True):
            self._describe(record, contestant)
        max_nodes = int(self._records["simulations"].max(initial=0)) + 2
        max_edges = default_max_edges(max_nodes, game.max_legal)
        tree_bytes = max_nodes * NODE.itemsize + max_edges * EDGE.itemsize
        tables = max(1, min(tables, MAX_TREE_BYTES // tree_bytes))
        self.tables = tables
        """Games at a time."""
        rng = np.zeros(tables, np.uint64)  # seeded for each game
        self._forest = allocate(tables, max_nodes, max_edges, game.state_size, game.max_legal, rng)
        self._tables = np.zeros(tables, TABLE)
        self._moves = np.zeros((tables, game.max_plies), np.int32)
        self._inputs = allocate_inputs(game, tables)
        self._batch = np.zeros_like(self._inputs.planes)
        self._cache = allocate_cache(int(cache_mb * 1e6) if self._evaluators else 0, game.max_legal)
        self._room = Room(
            self._tables,
            self._moves,
            self._records,
            np.concatenate([self._search_settings(contestant) for contestant in self.contestants]),
            np.arange(max(1, len(self._evaluators)), dtype=np.uint64),
        )
        self._scratch = allocate_scratch(game.state_size, game.max_legal, game.num_actions)
        self._no_answers = np.zeros((0, game.num_actions), np.float32), np.zeros(0, np.float32)
        self._tally = np.zeros(4, np.int64)
        self._slice = 16  # simulations with playouts in a table's turn; what they take is found out
        self._tasks: dict[int, GameTask] = {}  # by table
        self._positions: dict[int, Position] = {}  # of tables at which somebody is asked
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._unanswered: set[int] = set()  # tables whose player has been asked
        self._thinking: dict[tuple[int, int], Thinking] = {}  # by table and side

    @property
    def busy(self) -> bool:
        """Whether there is a game that is not over."""
        return bool(self._tasks)

    @property
    def free_tables(self) -> int:
        return self.tables - len(self._tasks)

    @property
    def evaluations(self) -> int:
        """Positions that networks were asked about so far."""
        return int(self._tally[EVALUATIONS])

    @property
    def simulations(self) -> int:
        return int(self._tally[SIMULATIONS])

    @property
    def cache_hits(self) -> int:
        return int(self._tally[HITS])

    def begin(self, task: GameTask) -> None:
        """Puts a game at a free table. Raises GameError for an opening that is not playable or ends the game."""
        table = int(np.flatnonzero(self._tables["status"] == EMPTY)[0])
        try:
            position = begun(self.game, task.opening)
        except GameError as error:
            raise GameError(f"opening {task.opening}: {error}") from None
        if position.is_over:
            raise GameError(f"opening {task.opening}: the game is over after it")
        self._forest.root_states[table] = position.state
        self._forest.rng[table] = seeded(task.seed, 1)[0]
        plies = len(position.actions)
        self._moves[table, :plies] = position.actions
        record = self._tables[table]
        record["plies"], record["players"], record["status"] = plies, task.players, OPENED
        self._tasks[table] = task
        for seat, player in enumerate(task.players):
            if player in self._asked:
                self._asked[player].begin(table, task.seed + seat)

    def step(self) -> list[PlayedGame]:
        """Plays on as far as one batch of one network brings the games; the games that are over then.

        Where only players who are asked have something to do, it waits for their answers, but not long.
        """
        self._take_answers()
        status = self._tables["status"]
        self._play_on(np.flatnonzero((status == OPENED) | (status == ANSWERED)), *self._no_answers)
        running = sorted(np.flatnonzero(status == RUNNING).tolist(), key=lambda table: self._tasks[table].number)
        self._play_out(running[:PLAYOUT_TABLES])
        finished = self._evaluate_most_wanted()
        for table in np.flatnonzero(self._tables["status"] == ASKING).tolist():
            if table not in self._unanswered:
                self._ask(table)
        finished += [self._finish(table) for table in np.flatnonzero(self._tables["status"] == OVER).tolist()]
        # A player may have lost a game by its answer: such games are over without a move.
        return finished + self._take_losses()

    def close(self) -> None:
        """Ends the players who are asked, with the programs they have started."""
        for contestant in self._asked.values():
            contestant.close()

    # --- searching

    def _describe(self, record: np.void, contestant: Contestant) -> None:
        if isinstance(contestant, NetworkContestant):
            known = [i for i, evaluate in enumerate(self._evaluators) if evaluate is contestant.evaluate]
            if not known:
                self._evaluators.append(contestant.evaluate)
            record["kind"], record["evaluator"] = NETWORK, known[0] if known else len(self._evaluators) - 1
            record["simulations"], record["temperature"] = contestant.simulations, contestant.temperature
        elif isinstance(contestant, PlayoutContestant):
            record["kind"] = PLAYOUTS
            record["simulations"], record["temperature"] = contestant.simulations, contestant.temperature
        else:
            record["kind"] = ASKED

    def _search_settings(self, contestant: Contestant) -> NDArray[np.void]:
        """SETTINGS [1] of a contestant's search; of no meaning for one who is asked."""
        if isinstance(contestant, NetworkContestant):
            return contestant.settings.record(self.game, contestant.evaluate.score_weight)
        return PLAYOUT_SETTINGS.record(self.game)

    def _play_on(
        self,
        turn: NDArray[np.int64],
        logits: NDArray[np.float32],
        values: NDArray[np.float32],
        playouts: int = 0,
    ) -> None:
        if len(turn) == 0:
            return
        failed = play_on(
            *(self.game.kernels, self._forest, self._room, self._cache, self._inputs, turn, (logits, values)),
            *(self._scratch, playouts, self._tally),
        )
        if failed:
            raise GameError(f"{self.game.name}: a game went on after max_plies = {self.game.max_plies} moves")

    def _play_out(self, running: list[int]) -> None:
        """Gives these tables a turn of simulations with playouts, no more than take SLICE_S."""
        if not running:
            return
        start_s = time.perf_counter()
        self._play_on(np.array(running, np.int64), *self._no_answers, self._slice)
        took_s = time.perf_counter() - start_s
        if took_s > 2 * SLICE_S:
            self._slice = max(1, self._slice // 2)
        elif took_s < SLICE_S / 2:
            self._slice = min(SLICE_SIMULATIONS, self._slice * 2)

    def _evaluate_most_wanted(self) -> list[PlayedGame]:
        """Asks the network for which most tables wait; those for which few do wait until they are more.

        The evaluator says how many of the waiting positions suit it.
        A network that cannot answer loses the games in which it was to move; these are returned.
        """
        waiting = np.flatnonzero(self._tables["status"] == WAITING)
        if len(waiting) == 0:
            return []
        wanted = self._tables["evaluator"][waiting]
        evaluator = int(np.bincount(wanted).argmax())
        turn = waiting[wanted == evaluator]
        turn = turn[: self._evaluators[evaluator].batch_of(len(turn))]
        try:
            logits, values = self._evaluators[evaluator](self._gathered(turn))
        except GameError as error:
            return [self._lose(table, str(error)) for table in turn.tolist()]
        self._play_on(turn, logits, values)
        return []

    def _gathered(self, turn: NDArray[np.int64]) -> NDArray[np.float32]:
        if len(turn) == self.tables:
            return self._inputs.planes
        return np.take(self._inputs.planes, turn, axis=0, out=self._batch[: len(turn)])

    # --- asking

    def _take_answers(self) -> None:
        """Enters the answers that are there into their tables; waits for one where nothing else is to be done."""
        status = self._tables["status"]
        others = ((status == OPENED) | (status == WAITING) | (status == RUNNING)).any()
        timeout = PATIENCE_S if self._unanswered and not others else 0
        self._losses: list[PlayedGame] = []
        while self._unanswered:
            try:
                answer = self._answers.get(timeout=timeout) if timeout else self._answers.get_nowait()
            except queue.Empty:
                return
            timeout = 0
            self._unanswered.discard(answer.table)
            position = self._positions[answer.table]
            if answer.seconds and not answer.failure:
                side = answer.table, position.player
                thought = Thinking(1, answer.seconds, answer.seconds)
                self._thinking[side] = self._thinking.get(side, Thinking()) + thought
            if answer.failure:
                self._losses.append(self._lose(answer.table, answer.failure, resigned=answer.resigned))
            elif answer.action not in position.legal_actions():
                self._losses.append(self._lose(answer.table, f"illegal move: action {answer.action}"))
            else:
                self._tables[answer.table]["answer"] = answer.action
                self._tables[answer.table]["status"] = ANSWERED

    def _take_losses(self) -> list[PlayedGame]:
        losses, self._losses = self._losses, []
        return losses

    def _ask(self, table: int) -> None:
        if table not in self._positions:
            self._positions[table] = begun(self.game, self._tasks[table].opening)
        position = self._positions[table]
        for action in self._moves[table, len(position.actions) : self._tables[table]["plies"]].tolist():
            position.play(action)
        self._unanswered.add(table)
        player = self._tables[table]["players"][position.player]
        self._asked[int(player)].ask(table, position, self._answers)

    # --- games that are over

    def _finish(self, table: int) -> PlayedGame:
        return self._remove(table, int(self._tables[table]["outcome"]))

    def _lose(self, table: int, reason: str, *, resigned: bool = False) -> PlayedGame:
        """The game is lost by who is to move."""
        return self._remove(table, 1 - int(self._forest.root_states[table, PLAYER]), reason, resigned)

    def _remove(self, table: int, outcome: int, reason: str = "", resigned: bool = False) -> PlayedGame:
        task = self._tasks.pop(table)
        self._positions.pop(table, None)
        self._tables[table]["status"] = EMPTY
        for player in set(task.players) & set(self._asked):
            self._asked[player].end(table)
        actions = tuple(self._moves[table, : self._tables[table]["plies"]].tolist())
        first, second = (self._thinking.pop((table, side), Thinking()) for side in (0, 1))
        return PlayedGame(task, actions, outcome, reason, resigned, thinking=(first, second))
