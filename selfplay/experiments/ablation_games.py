"""Games between the nets of an ablation, which say how strong each variant is where nothing exact does.

The ablation's folder gets a tournament's file for each number of simulations, games-SIMULATIONS.sqlite: a round robin
of all trials, which goes on when trials are added, and which `keima tournament --file FILE --report` shows.
"""

from collections.abc import Sequence
from pathlib import Path

from keima.agent.contracts.player_spec import CHECKPOINT, PlayerSpec, Value
from keima.games.contract import Game
from keima.selfplay.experiments.sweep_config import Measure
from keima.selfplay.tournament.report import standings
from keima.selfplay.tournament.store import Store
from keima.selfplay.tournament.tournament import begin

OPENING_PLIES = 4
"""Random moves before a game."""
Elo = tuple[float, tuple[float, float]]
"""With its 95 % interval, that of the games alone."""


def play(folder: Path, game: Game, trials: Sequence[str], measure: Measure) -> bool:
    """Plays the games that are left between these trials' nets; False where Ctrl-C stopped it. Raises GameError."""
    for simulations in measure.simulations:
        texts = []
        for name in trials:
            options: dict[str, Value] = {"name": name, "simulations": simulations}
            texts.append(PlayerSpec(CHECKPOINT, str((folder / "trials" / name).resolve()), options).text)
        tournament = begin(
            _file(folder, simulations),
            game,
            texts,
            everybody=False,
            games=measure.among,
            opening_plies=OPENING_PLIES,
        )
        with tournament:
            tournament.prepare(lambda doing: print(f"games between the nets: {doing}", flush=True))
            if not tournament.play():
                return False
    return True


def elo(folder: Path, simulations: int, base: Sequence[str]) -> dict[str, Elo]:
    """The Elo of each trial's net as far as there are games, 0 the mean of these trials'; empty without one of them.

    Intervals are relative to the first of these.
    """
    if not base or not _file(folder, simulations).exists():
        return {}
    with Store(_file(folder, simulations), read_only=True) as store:
        if not store.num_games() or base[0] not in [player.name for player in store.players()]:
            return {}
        rated = {player.name: player for player in standings(store, {base[0]: 0.0}).ratings.players}
    if base[0] not in rated:
        return {}
    linked = {name: player for name, player in rated.items() if player.group == rated[base[0]].group}
    middle = sum(linked[name].elo for name in base if name in linked) / sum(name in linked for name in base)
    return {p.name: (p.elo - middle, (p.low - middle, p.high - middle)) for p in linked.values()}


def _file(folder: Path, simulations: int) -> Path:
    return folder / f"games-{simulations}.sqlite"
