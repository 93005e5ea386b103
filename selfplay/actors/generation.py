"""Self-play of many games side by side: the Python shell that allocates, calls the evaluator and takes finished
games."""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from keima.games.contract import Game, GameError
from keima.mcts.cache import allocate_cache
from keima.mcts.compiled import entry_point
from keima.mcts.evaluator import Judge
from keima.mcts.leaf_loop import HITS, NO_LEAF, SIMULATIONS, allocate_inputs
from keima.mcts.random import seeded
from keima.mcts.search import SearchSettings
from keima.mcts.selection import SETTINGS
from keima.mcts.tree import allocate, allocate_scratch, default_max_edges
from keima.selfplay.actors.game_kernels import (
    FAST_KIND,
    FINISHED,
    FREE,
    FULL_KIND,
    MAX_FINISHED,
    PLAY_SETTINGS,
    PLY,
    RAW_POLICY_KIND,
    RECORD,
    SLOT,
    Records,
    step,
)
from keima.selfplay.config.schema import SearchConfig, SelfplayConfig, fixed
from keima.selfplay.replay.segment import (
    HAS_POLICY_TARGET,
    MAX_SURPRISE,
    NO_START,
    Segment,
)


def search_settings(config: SearchConfig) -> SearchSettings:
    """The search's settings in self-play, noise included."""
    return SearchSettings(**config.model_dump(exclude={"score_weight"}))


class SelfPlay:
    """B slots of games of one player against itself. The same seed and the same evaluators give the same games."""

    def __init__(
        self,
        game: Game,
        search: SearchConfig,
        play: SelfplayConfig,
        seed: int | tuple[int, ...] = 0,
        starts: NDArray[np.int64] | None = None,
    ) -> None:
        """starts: rows [N, state_size] that `play.start_positions_fraction` of the games begin with."""
        self.game = game
        full = search_settings(search)
        without_noise = dataclasses.replace(full, gumbel_scale=0.0, dirichlet_weight=0.0, forced_playouts=0.0)
        self.settings = np.zeros(3, SETTINGS)
        for kind, settings in ((FULL_KIND, full), (FAST_KIND, without_noise), (RAW_POLICY_KIND, without_noise)):
            self.settings[kind] = settings.record(game, search.score_weight)[0]
        self.play_settings = np.zeros(1, PLAY_SETTINGS)
        for name in PLAY_SETTINGS.names or ():
            self.play_settings[name] = search.simulations if name == "simulations" else getattr(play, name)
        # Trees have room for no more.
        self.play_settings["fast_simulations"] = min(play.fast_simulations, search.simulations)
        slots = fixed(play.parallel_games)
        max_nodes = search.simulations + 2
        max_edges = default_max_edges(max_nodes, game.max_legal)
        self._forest = allocate(slots, max_nodes, max_edges, game.state_size, game.max_legal, seeded(seed, slots))
        self._slots = np.zeros(slots, SLOT)
        self._slots["leaf"] = NO_LEAF
        # Finished games are taken after each step; a slot that finishes as many as it may has none under way.
        count = MAX_FINISHED * slots
        self._records = Records(
            records=np.zeros(count, RECORD),
            plies=np.zeros((count, game.max_plies), PLY),
            policies=np.zeros((count, game.max_plies * game.max_legal), np.float32),
            queues=np.tile(np.arange(count, dtype=np.int32), (2, 1)),
            counts=np.array([count, 0]),
            starts=np.empty((0, game.state_size), np.int64) if starts is None else np.ascontiguousarray(starts),
        )
        self._inputs = allocate_inputs(game, slots)
        self._cache = allocate_cache(int(play.cache_mb * 1e6), game.max_legal)
        self._tally = np.zeros(4, np.int64)
        self._answers = np.zeros((slots, game.num_actions), np.float32), np.zeros(slots, np.float32)
        self._scratch = allocate_scratch(game.state_size, game.max_legal, game.num_actions)
        self._parameters = game.parameter_row()
        self._enter: Callable[..., int] = step
        self._finished: list[tuple[NDArray[np.void], NDArray[np.float32], int, int]] = []
        self.evaluations = 0
        """Positions handed to the evaluator so far."""
        self.moves = 0
        """Moves made so far."""
        self.finished_positions = 0
        """Training positions in finished games that have not been taken yet."""

    def step(self, evaluate: Judge) -> None:
        """Plays on until every slot has a leaf, and evaluates these: one evaluator call for B positions."""
        self.receive(*evaluate(self.search()))

    def search(self) -> NDArray[np.float32]:
        """Plays on until every slot has a leaf; the leaves' planes [B, C, H, W], valid until the next call.

        To be followed by `receive` before it is called again: for evaluators whose answers come later.
        """
        self._play_on()
        self._collect_finished()
        return self._inputs.planes

    def receive(self, logits: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        """The evaluator's answers, [B, A] and [B], to what `search` returned. They are read and overwritten by it.

        Raises TypeError for arrays of another type or shape.
        """
        for answer, expected in zip((logits, values), self._answers, strict=True):
            fits = answer.dtype == np.float32 and answer.shape == expected.shape and answer.flags.carray
            if not fits:
                raise TypeError(
                    f"evaluator: expected float32{list(expected.shape)}, contiguous and writeable, "
                    f"got {answer.dtype}{list(answer.shape)}"
                )
        self._answers = logits, values
        self.evaluations += len(self._inputs.planes)

    def _play_on(self) -> None:
        moves = self._enter(
            *(self.game.kernels, self._parameters, self._forest, self.settings, self.play_settings, self._slots),
            *(self._records, self._cache, self._inputs, self._answers, self._scratch, self._tally),
        )
        if self._enter is step:
            self._enter = entry_point(step)  # the first call has looked at the types of all that is handed over
        if moves < 0:
            raise GameError(f"{self.game.name}: a game went on after max_plies = {self.game.max_plies} moves")
        self.moves += moves

    def forget_evaluations(self) -> None:
        """To be called when the evaluator's answers have changed: what the cache holds is of the old ones."""
        self._cache.generation[0] += np.uint64(1)

    @property
    def simulations(self) -> int:
        """Simulations made so far; more than evaluations, for some end in finished games or in the cache."""
        return int(self._tally[SIMULATIONS])

    @property
    def cache_hits(self) -> int:
        """Evaluations that the cache saved so far."""
        return int(self._tally[HITS])

    def take_finished(self, actor: int, weights_version: int) -> Segment:
        """The games finished since the last call, as a segment; there must be one at least."""
        plies = np.concatenate([plies for plies, *_ in self._finished])
        starts = np.array([start for *_, start in self._finished], np.int32)
        used = np.unique(starts[starts != NO_START])  # ascending, as start_rows has them
        segment = Segment(
            game_lengths=np.array([len(plies) for plies, *_ in self._finished], np.int32),
            outcomes=np.array([outcome for _, _, outcome, _ in self._finished], np.int8),
            actions=np.ascontiguousarray(plies["action"]),
            legal_counts=np.ascontiguousarray(plies["legal_count"]),
            policies=np.concatenate([policies for _, policies, *_ in self._finished]).astype(np.float16),
            root_values=np.ascontiguousarray(plies["root_value"]),
            # NaN, as all that comes of a network that is lost, must not reach the weights of positions.
            surprises=np.nan_to_num(np.minimum(plies["surprise"], MAX_SURPRISE)).astype(np.float16),
            flags=plies["flags"].astype(np.uint8),
            proven=plies["proven"].astype(np.int8),
            actor=actor,
            weights_version=weights_version,
            game=self.game.label,
            rules_version=self.game.rules_version,
            starts=np.where(starts == NO_START, NO_START, np.searchsorted(used, starts)).astype(np.int32)
            if len(used)
            else None,
            start_rows=self._records.starts[used] if len(used) else None,
        )
        self._finished.clear()
        self.finished_positions = 0
        return segment

    def _collect_finished(self) -> None:
        records, plies, policies, queues, counts, _ = self._records
        for index in queues[FINISHED, : counts[FINISHED]]:
            record = records[index]
            played = plies[index, : record["plies"]]
            self.finished_positions += int(np.count_nonzero(played["flags"] & HAS_POLICY_TARGET))
            self._finished.append(
                (
                    played.copy(),
                    policies[index, : record["policies"]].copy(),
                    int(record["outcome"]),
                    int(record["start"]),
                )
            )
            queues[FREE, counts[FREE]] = index
            counts[FREE] += 1
        counts[FINISHED] = 0
