"""A trained network as whoever plays with it has it: one object that judges positions, results and territory.

What is made of several networks, an ensemble, is one more such object, with an evaluator, outcomes and a territory of
its own.
"""

from dataclasses import dataclass
from pathlib import Path

from keima.agent.contracts.player import Outcomes
from keima.agent.contracts.territory import Territory
from keima.agent.inference.evaluator import Evaluator
from keima.agent.inference.factory import make_evaluator
from keima.agent.inference.net_territory import NetTerritory
from keima.agent.inference.outcome_judge import OutcomeJudge
from keima.agent.nets.checkpoint import Metadata, load_checkpoint
from keima.games.contract import Game


@dataclass(frozen=True)
class LoadedNetwork:
    """A network of one game, ready to judge. Not for two threads at once."""

    game: Game
    evaluate: Evaluator
    """Policy logits and values, for a search."""
    outcomes: Outcomes
    """Win, draw and loss apart."""
    territory: Territory | None
    """How games are expected to end; None for a game without ownership or score."""
    metadata: Metadata
    """What the checkpoint says of itself: the game it was trained on, the run, its step, what was measured."""
    path: Path
    """The checkpoint's file."""

    @property
    def name(self) -> str:
        return f"{self.metadata.run} at step {self.metadata.step}"


def load_network(
    path: str | Path, game: Game, backend: str | None = None, batch_size: int | None = None
) -> LoadedNetwork:
    """The network of a checkpoint, or of a run's newest one.

    `backend`, `batch_size`: see `keima.agent.inference.factory.make_evaluator`. Raises GameError for another game's
    checkpoint or a corrupt one, and for a backend that is unknown or cannot run here.
    """
    checkpoint = load_checkpoint(path, game)
    network = checkpoint.network
    return LoadedNetwork(
        game,
        make_evaluator(game, network, backend, batch_size),
        OutcomeJudge(game, network),
        NetTerritory(game, network) if game.has_ownership and game.has_score else None,
        checkpoint.metadata,
        checkpoint.path,
    )
