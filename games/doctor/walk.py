"""Finding positions to look at, and seeing on the way that the game can be played at all."""

import contextlib
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import ONGOING, PLAYER, State
from keima.games.doctor.report import ERROR, WARNING
from keima.games.doctor.subject import RUBBISH, RandomGame, Sample, Stopped, Subject

MAX_BYTES = 64_000_000
"""Memory for the state rows of all samples."""
MAX_MOVES = 1_000_000
"""Legal moves of all samples: positions of large boards take longer to look at, and fewer of them do."""
MAX_SECONDS = 15.0
"""Of the process's own time: for rules that are slow uncompiled, as those of large games are."""
NEAR_THE_START = 4
"""One in so many samples is found by playing everything from the start on: short ways to what is wrong."""


def walk(subject: Subject, num_games: int, num_positions: int, seed: int) -> None:
    """Finds positions: those nearest to the start, then those of random games. Reports what is wrong on the way.

    Fills the subject's `samples`, in which no row is twice, and `random_games`; the first game is finished however
    many positions it takes. Raises Stopped where there is no first position.
    """
    _Walk(subject, num_positions).walk(num_games, seed)


class _Walk:
    def __init__(self, subject: Subject, num_positions: int) -> None:
        self.subject = subject
        self.samples = subject.samples
        self.max_positions = min(num_positions, max(100, MAX_BYTES // (8 * subject.game.state_size)))
        self.known: dict[bytes, int] = {}
        self.num_moves = 0
        self.start_s = time.process_time()

    def walk(self, num_games: int, seed: int) -> None:
        subject = self.subject
        subject.here = (-1, ())
        start = self.add(subject.reset(), -1, -1, 0)
        if self.samples[start].outcome != ONGOING:
            subject.here = (start, ())
            raise subject.stop(
                ERROR,
                "outcome",
                "start",
                found="outcome says that the game is over in the initial position",
                expected="ONGOING (-1) until a player has moved",
                remedy="return ONGOING where nothing is decided; codes are absolute: 0 means that the first player won",
            )
        subject.here = None
        self.look_near_the_start()
        random = np.random.default_rng(seed)
        for _ in range(num_games):
            if self.is_enough():
                break
            self.play_game(random)

    def is_enough(self, share: int = 1) -> bool:
        return (
            len(self.samples) >= self.max_positions // share
            or self.num_moves >= MAX_MOVES // share
            or time.process_time() - self.start_s >= MAX_SECONDS / share
        )

    def look_near_the_start(self) -> None:
        queue = deque([0])
        while queue:
            index = queue.popleft()
            for action in self.samples[index].legal:
                if self.is_enough(NEAR_THE_START):
                    return
                before = len(self.samples)
                with contextlib.suppress(Stopped):
                    if self.follow(index, int(action)) == before:  # it is new
                        queue.append(before)

    def play_game(self, random: np.random.Generator) -> None:
        game = RandomGame([], [0])
        with contextlib.suppress(Stopped):
            while self.samples[game.samples[-1]].outcome == ONGOING:
                if len(game.actions) >= self.subject.game.max_plies:
                    self.report_length(game)
                    return
                if self.is_enough() and self.subject.random_games:
                    return  # unfinished: it tells of nothing
                game.actions.append(int(random.choice(self.samples[game.samples[-1]].legal)))
                game.samples.append(self.follow(game.samples[-1], game.actions[-1]))
            self.subject.random_games.append(game)

    def follow(self, index: int, action: int) -> int:
        """The sample after an action in a sample. Raises Stopped."""
        subject = self.subject
        subject.here = (index, (action,))
        try:
            sample = self.samples[index]
            following = subject.play(sample.state, action)
            if np.array_equal(following, sample.state):
                subject.report(
                    WARNING,
                    "play",
                    "no change",
                    found="play leaves the state row as it was",
                    expected="a move that changes the row: at least the side to move, or a count of moves",
                    remedy="have play write what the move does into the state",
                )
            return self.add(following, index, action, sample.ply + 1)
        finally:
            subject.here = None

    def add(self, state: State, parent: int, action: int, ply: int) -> int:
        key = state.tobytes()
        if key not in self.known:
            legal, outcome = self.look(state)
            self.known[key] = len(self.samples)
            self.num_moves += len(legal)
            self.samples.append(Sample(state, parent, action, ply, legal, outcome))
        return self.known[key]

    def look(self, state: State) -> tuple[NDArray[np.int32], int]:
        """The legal actions, none where the game is over, and the outcome. Raises Stopped where they are of no use."""
        subject = self.subject
        if state[PLAYER] not in (0, 1):
            raise subject.stop(
                ERROR,
                "play",
                "player",
                found=f"state[PLAYER] is {state[PLAYER]}",
                expected="0 (the first player) or 1 (the second): state[0] is the side to move in every game",
                remedy="keep other things out of state[0]; change sides with state[PLAYER] = 1 - state[PLAYER]",
            )
        outcome = subject.outcome(state)
        if outcome != ONGOING:
            return np.empty(0, np.int32), outcome
        legal = subject.legal(state)
        self.look_at_actions(state, legal.tolist())
        again = subject.legal(state, RUBBISH[1])
        if not np.array_equal(legal, again):
            raise subject.stop(
                ERROR,
                "legal moves",
                "again",
                found=f"legal_actions lists {legal.tolist()[:12]} and, asked again, {again.tolist()[:12]}",
                expected="the same actions in the same order whenever the same position is asked",
                remedy="use nothing but the state row: no random numbers, no globals, no earlier content of `actions`",
            )
        return legal, outcome

    def look_at_actions(self, state: State, actions: list[int]) -> None:
        """Raises Stopped for a list of legal actions that cannot be."""
        subject, num_actions = self.subject, self.subject.game.num_actions
        outside = [a for a in actions if not 0 <= a < num_actions]
        if outside:
            raise subject.stop(
                ERROR,
                "legal moves",
                "range",
                found=f"legal_actions lists the action {outside[0]}",
                expected=f"actions from 0 to num_actions - 1 = {num_actions - 1} in all of actions[:n]",
                remedy="return as many as were written, and number actions from 0; or raise num_actions",
            )
        if len(set(actions)) < len(actions):
            twice = next(a for a in actions if actions.count(a) > 1)
            raise subject.stop(
                ERROR,
                "legal moves",
                "twice",
                found=f"legal_actions lists {subject.action_text(state, twice)} (action {twice}) "
                f"{actions.count(twice)} times",
                expected="every legal action once",
                remedy="leave out what is listed already; moves that differ need numbers that differ",
            )
        if not actions:
            raise subject.stop(
                ERROR,
                "legal moves",
                "none",
                found="legal_actions lists none although outcome says that the game goes on",
                expected="a legal action in every position where the game goes on",
                remedy="have outcome end the game there, or add a pass as an action",
            )

    def report_length(self, game: RandomGame) -> None:
        subject = self.subject
        played = zip(game.samples, game.actions, strict=False)
        subject.report(
            ERROR,
            "play",
            "length",
            found=f"the game goes on after {len(game.actions)} moves",
            expected=f"an end after at most max_plies = {subject.game.max_plies} moves: there is room for no more",
            remedy="raise max_plies to the longest game the rules allow, or end games that go on for too long as draws",
            moves=[subject.action_text(self.samples[i].state, a) for i, a in played],
        )
