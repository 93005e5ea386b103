"""A training run's options: their defaults, their bounds and an explanation of each.

A config file holds only what differs from the defaults. `keima train --set section.key=value` goes before the file.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo

from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import GameError

Backend = Literal["torch-f32", "torch-bf16", "openvino-f32", "openvino-bf16", "openvino-int8", "cuda-bf16", "cuda-f16"]
"""The names of keima.agent.inference.factory.BACKENDS, written down here since that module imports torch."""


class ConfigError(GameError):
    """An option is unknown or has a value it cannot have. The message is for the user."""


def fixed(value: int | Literal["auto"]) -> int:
    """An option's number. Raises ConfigError for one that is still "auto": keima.selfplay.bench.plan settles it for new
    runs."""
    if value == "auto":
        raise ConfigError(
            'selfplay.parallel_games, learner.batch_size: "auto" is for new runs; `keima plan` says the numbers'
        )
    return value


def window_size(total_positions: int, c: int, alpha: float, beta: float) -> int:
    """How many of the newest positions to train on once `total_positions` have been played.

    Everything up to `c` positions, then c * (1 + beta * ((total / c)^alpha - 1) / alpha): early, poor games are
    left behind while the window still grows (KataGo, arXiv 1902.10565, appendix C). For 0 < alpha <= 1 and
    0 <= beta <= 1 the window's oldest position never moves back, so what has left it is never needed again.
    """
    grown: float = c * (1 + beta * ((total_positions / c) ** alpha - 1) / alpha)
    return max(c, round(grown))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SearchConfig(_Section):
    """The search in self-play; the fields are those of keima.mcts.search.SearchSettings, and what the values are made
    of."""

    simulations: int = Field(32, ge=1, le=1_000_000, description="Simulations a move.")
    root_policy: Literal["gumbel", "puct"] = Field(
        "gumbel", description="gumbel learns from few simulations; puct, AlphaZero's, needs hundreds."
    )
    max_considered: int = Field(16, ge=1, description="gumbel: actions tried at the root.")
    c_visit: float = Field(50.0, ge=0, description="gumbel: weight of Q against the prior, before any visits.")
    c_scale: float = Field(1.0, gt=0, description="gumbel: weight of Q against the prior; lower for softer targets.")
    gumbel_scale: float = Field(1.0, ge=0, description="gumbel: noise at the root; 0: none.")
    c_puct: float = Field(1.25, ge=0, description="puct: weight of exploration.")
    c_puct_base: float = Field(19652.0, gt=0, description="puct: visits after which exploration grows.")
    fpu_reduction: float = Field(
        0.1, ge=0, description="puct: how much worse than its parent an untried move is taken."
    )
    dirichlet_weight: float = Field(0.25, ge=0, le=1, description="puct: share of noise in the root's priors.")
    dirichlet_total: float = Field(10.83, gt=0, description="puct: the noise's alpha, summed over the legal moves.")
    forced_playouts: float = Field(
        0.0, ge=0, description="puct: visits forced on moves that were tried, and kept out of the targets; usually 2."
    )
    look_ahead: bool = Field(
        True, description="Whether a move that wins at once is seen wherever the search comes; not with score_weight."
    )
    score_weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="How much of a position's value is its score, where the game has one; the rest is win or loss. The "
        "net plays so ever after.",
    )


class SelfplayConfig(_Section):
    """Who plays the games, how many at once, and how they begin."""

    actors: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        "auto",
        description="How many play side by side, each on a core: processes, or on a GPU the threads of one process; "
        '"auto": one a core, on a GPU two fewer.',
    )
    parallel_games: Annotated[int, Field(ge=1, le=65536)] | Literal["auto"] = Field(
        128,
        description="Games an actor plays at once, evaluated in one batch; on a GPU each plays two such groups in "
        'turn; "auto": measured when the run begins (keima plan).',
    )
    backend: Literal["auto"] | Backend = Field(
        "auto", description='What runs the network in the actors; "auto": the fastest sound one, measured at the start.'
    )
    cache_mb: float = Field(
        64.0, ge=0, description="Memory of an actor, in 10^6 bytes, for evaluations of positions seen again; 0: none."
    )
    segment_positions: int = Field(
        2048, ge=1, description="Training positions in finished games at which an actor hands them over."
    )
    full_search_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Fraction of moves searched in full, with noise, to be trained on; the others are searched fast.",
    )
    fast_simulations: int = Field(
        6, ge=1, description="Simulations of a fast search, never more than search.simulations."
    )
    start_positions: str = Field(
        "", description="A file of positions, one a line, that games may begin with; empty: the game's own alone."
    )
    start_positions_fraction: float = Field(
        0.5, ge=0, le=1, description="Fraction of games that begin with one of these, where there are any."
    )
    opening_random_fraction: float = Field(
        0.1, ge=0, le=1, description="Fraction of games that begin with moves drawn uniformly."
    )
    opening_random_mean_plies: float = Field(
        4.0, ge=0, description="About how many such moves: one, and an exponential draw of this mean."
    )
    opening_policy_mean_plies: float = Field(
        2.0, ge=0, description="Moves then drawn from the network's policy before the search takes over, on average."
    )
    opening_policy_temperature: float = Field(1.0, gt=0, description="Temperature at which these are drawn.")
    move_temperature: float = Field(
        1.0,
        ge=0,
        description="Temperature at which early moves are drawn from the policy target; 0: the search's choice.",
    )
    move_temperature_plies: int = Field(0, ge=0, description="Plies of a game that count as early for that.")
    decided_value: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Beyond this value, for the same side decided_plies in a row, a game is decided: it is played to "
        "its end, but searched fast; 0: no game is.",
    )
    decided_plies: int = Field(6, ge=1, description="Searched plies in a row for that, both sides' among them.")
    decided_full_fraction: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Fraction of a decided game's moves searched in full all the same, to be trained on.",
    )
    decided_check_fraction: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Fraction of games that are searched as if no game were ever decided, which shows how often the "
        "side given up did not lose.",
    )

    @field_validator("start_positions")
    @classmethod
    def _found_from_anywhere(cls, value: str) -> str:
        """The whole path: a run goes on in another folder, too."""
        return str(Path(value).expanduser().resolve()) if value else value


class ReplayConfig(_Section):
    """What is kept of the games and how often it is trained on."""

    window_min: int = Field(
        50_000, ge=100, description="Positions to train on; from this many on the window grows slower than the run (c)."
    )
    window_alpha: float = Field(0.75, gt=0, le=1, description="Exponent of the window's growth.")
    window_beta: float = Field(0.4, ge=0, le=1, description="Rate of the window's growth when it sets in.")
    max_disk_gb: float = Field(4.0, gt=0, description="Disk space for games, in 10^9 bytes; the oldest go first.")
    samples_per_position: float = Field(
        4.0, gt=0, le=100, description="Times a new position is trained on; above 8 a network learns games by heart."
    )
    surprise_fraction: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Fraction of a game's samples that goes where the search corrected the network most; usually 0.5.",
    )

    def window(self, total_positions: int) -> int:
        """The size of the training window, in positions; see keima.selfplay.replay.window.window_size."""
        return window_size(total_positions, self.window_min, self.window_alpha, self.window_beta)


class LearnerConfig(_Section):
    """How the network is trained."""

    batch_size: Annotated[int, Field(ge=2, le=1 << 20)] | Literal["auto"] = Field(
        512, description='Positions a step; "auto": measured when the run begins (keima plan).'
    )
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Step size of AdamW.")
    muon_rate: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Step size of Muon, which then trains the convolutions in AdamW's place: a share of their length.",
    )
    warmup_steps: int = Field(100, ge=0, description="Steps over which the learning rates rise from 0.")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="How the learning rates fall over the run's minutes (or max_steps)."
    )
    final_learning_rate_fraction: float = Field(
        0.05, ge=0, le=1, description="cosine, linear: the fraction of the learning rates that is left at the end."
    )
    weight_decay: float = Field(3e-5, ge=0, description="Pull of the weights towards 0.")
    max_gradient_norm: float = Field(5.0, gt=0, description="Longer gradients are shortened to this.")
    value_weight: float = Field(1.5, ge=0, description="Weight of the win/draw/loss loss; the policy's is 1.")
    ownership_weight: float = Field(1.5, ge=0, description="Weight of the ownership loss, a mean over cells.")
    score_weight: float = Field(
        0.1, ge=0, description="Weight of the final score's loss, -log of the probability given to it."
    )
    opponent_policy_weight: float = Field(
        0.15, ge=0, description="Weight of the opponent-policy head's loss (network.opponent_policy_head)."
    )
    soft_policy_weight: float = Field(
        2.0, ge=0, description="Weight of the soft policy's loss (network.soft_policy_head); KataGo's is 8."
    )
    value_target_mix: float = Field(
        0.25, ge=0, le=1, description="Share of the search's value in the value target; the rest is the outcome."
    )
    value_target_decay: float = Field(
        0.0, ge=0, lt=1, description="What a ply takes off the weight of later searches in that value; 0 is this one."
    )
    ema_decay: float = Field(
        0.998,
        ge=0,
        lt=1,
        description="The exponential moving average of the weights, which plays: what a step leaves of it.",
    )


class GrowthConfig(_Section):
    """A run that begins with a small network, which is fast, and goes over to a larger one made of it."""

    at_progress: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="The run's progress at which the network grows; 0: never.",
    )
    blocks: int = Field(0, ge=0, le=80, description="Residual blocks then; 0: as many as before.")
    channels: int = Field(0, ge=0, le=1024, description="Channels then; 0: as many as before.")
    distill_steps: int = Field(
        200,
        ge=0,
        description="Steps in which the larger network learns from the smaller one too, which plays on meanwhile.",
    )

    def network(self, small: NetworkConfig) -> NetworkConfig:
        """What a small network grows to."""
        sizes = {"blocks": self.blocks or small.blocks, "channels": self.channels or small.channels}
        return small.model_copy(update=sizes)


class RunConfig(_Section):
    """The run as a whole."""

    minutes: float = Field(20.0, gt=0, description="How long to train, in minutes; pauses between resumes not counted.")
    max_steps: int = Field(0, ge=0, description="Training steps after which it ends, even before its minutes; 0: none.")
    measure_every_minutes: float = Field(2.0, gt=0, description="Minutes between measurements of strength.")
    measure_simulations: int = Field(64, ge=0, description="Simulations a move then, beside the raw policy.")
    checkpoint_minutes: float = Field(1.0, gt=0, description="Minutes between checkpoints.")
    hung_seconds: float = Field(60.0, gt=0, description="An actor silent for longer is replaced.")


class TrainConfig(_Section):
    """Everything a training run depends on."""

    game: str = Field(description="The game: a name, perhaps with parameters (othello:6), or a path to a .py file.")
    board_mix: dict[str, float] = Field(
        {},
        description="The game on other boards, to play and train on too, and each one's share of the positions, as "
        '{"go:7" = 0.3}.',
    )
    seed: int = Field(0, ge=0, lt=1 << 63, description="Seed of all randomness.")
    start_from: str = Field(
        "",
        description="A trained net (a checkpoint, a run's folder, shipped) whose weights it begins with; empty: none.",
    )
    network: NetworkConfig = Field(NetworkConfig(), description="The network's sizes.")
    search: SearchConfig = Field(SearchConfig(), description="The search in self-play.")
    selfplay: SelfplayConfig = Field(SelfplayConfig(), description="Who plays the games, and how they begin.")
    replay: ReplayConfig = Field(ReplayConfig(), description="What is kept of the games.")
    learner: LearnerConfig = Field(LearnerConfig(), description="How the network is trained.")
    growth: GrowthConfig = Field(GrowthConfig(), description="When the network becomes larger.")
    run: RunConfig = Field(RunConfig(), description="The run as a whole.")


SECTIONS: dict[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in TrainConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}


def options() -> dict[str, FieldInfo]:
    """Every option by its full name: `seed`, `search.simulations`."""
    found = {name: field for name, field in TrainConfig.model_fields.items() if name not in SECTIONS}
    for section, model in SECTIONS.items():
        found |= {f"{section}.{name}": field for name, field in model.model_fields.items()}
    return found
