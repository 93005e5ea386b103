"""The nets of an ablation play each other, and the table says by how much Elo they differ from the base."""

import pytest
import torch

from keima import games
from keima.agent.nets.checkpoint import MODEL_FILE, Metadata, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.selfplay.experiments import ablation_games
from keima.selfplay.experiments.ablation import Ablation
from keima.selfplay.experiments.sweep_config import parse_sweep
from keima.selfplay.experiments.trial import Result, save_result
from keima.selfplay.tournament import tournament
from keima.selfplay.tournament.store import Store

ABLATION = """
base = "tictactoe"
minutes = 1
seeds = {seeds}
measure.simulations = [0, 3]
measure.among = 2
[variants.fast]
learner.learning_rate = 0.01
"""


def ablation(folder, seeds):
    """An ablation whose trials are done, each with a random net."""
    plan = Ablation(folder, parse_sweep(ABLATION.format(seeds=seeds), "mine.toml"))
    game, config = games.load("tictactoe"), NetworkConfig(blocks=1, channels=8)
    while (trial := plan.next_trial()) is not None:
        place = folder / "trials" / trial.name
        place.mkdir(parents=True)
        torch.manual_seed(trial.seed + 10 * bool(trial.overrides))
        metadata = Metadata("tictactoe", game.rules_version, config.model_dump(), trial.name, 0)
        save_checkpoint(place / MODEL_FILE, Network(game, config), metadata)
        save_result(place, Result(trial.name, trial.variant, trial.seed, trial.overrides))
    return plan


@pytest.mark.slow
def test_its_nets_play_each_other(tmp_path, monkeypatch, capsys):
    # Which backend is the fastest takes a while to measure.
    monkeypatch.setattr(
        tournament, "choose_backends", lambda game, entrants, *_: {e.text: "torch-f32" for e in entrants}
    )
    plan = ablation(tmp_path, [0])
    title, table, notes = plan.report()
    assert title == "seed 0"
    assert table[0][2:4] == ["raw, Elo against base", "3 simulations, Elo against base"]
    assert table[2][:4] == ["fast", "1", "", ""]
    assert notes == "The nets play each other once all trials are done."
    assert plan.finish()
    for simulations in (0, 3):
        with Store(tmp_path / f"games-{simulations}.sqlite", read_only=True) as store:
            assert store.num_games() == 2
            assert [player.name for player in store.players()] == ["base-0", "fast-0"]
            assert {game.opening for game in store.games()} == {ablation_games.OPENING_PLIES}
    elo = ablation_games.elo(tmp_path, 3, ["base-0"])
    assert elo["base-0"] == (0.0, (0.0, 0.0))
    value, (low, high) = elo["fast-0"]
    assert low < value < high
    _, table, notes = plan.report()
    assert table[2][3] == f"{value:+.0f} ({low:+.0f} to {high:+.0f})"
    assert "intervals of the measurement alone" in notes

    # Another seed joins: those who were there play only with the new ones. Now the base's mean is 0.
    plan = ablation(tmp_path, [0, 1])
    assert plan.finish()
    with Store(tmp_path / "games-3.sqlite", read_only=True) as store:
        assert store.num_games() == 6 * 2
        starts = len(store.sessions())
    elo = ablation_games.elo(tmp_path, 3, ["base-0", "base-1"])
    assert elo["base-0"][0] + elo["base-1"][0] == pytest.approx(0, abs=1e-6)
    difference = (elo["fast-0"][0] + elo["fast-1"][0]) / 2
    _, table, notes = plan.report()
    assert table[2][3].replace("**", "").startswith(f"{difference:+.0f} (")
    assert "2 degrees of freedom" in notes
    assert plan.finish()  # nothing is left
    with Store(tmp_path / "games-3.sqlite", read_only=True) as store:
        assert len(store.sessions()) == starts
    assert ablation_games.elo(tmp_path, 3, ["gone-0"]) == {}
    assert ablation_games.elo(tmp_path, 4, ["base-0"]) == {}
    assert "choosing what runs the networks" in capsys.readouterr().out
