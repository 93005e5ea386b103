"""A run's checkpoints on a ladder: new ones join, and each has its time."""

import json

import pytest
import torch

from keima import games
from keima.agent.nets.checkpoint import Metadata, save_checkpoint
from keima.agent.nets.network import Network
from keima.agent.nets.network_config import NetworkConfig
from keima.games.contract import GameError
from keima.selfplay import commands
from keima.selfplay.tournament import tournament
from keima.selfplay.tournament.report import standings
from keima.selfplay.tournament.run_ladder import RATINGS_FILE, REFERENCE, begin_ladder, timed_ratings
from keima.selfplay.tournament.store import Store, StoredGame


def add_checkpoint(folder, step):
    game, config = games.load("tictactoe"), NetworkConfig(blocks=1, channels=8)
    torch.manual_seed(step)
    metadata = Metadata("tictactoe", game.rules_version, config.model_dump(), "mine", step)
    save_checkpoint(folder / "checkpoints" / f"step-{step:08d}.safetensors", Network(game, config), metadata)


@pytest.fixture
def run(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.toml").write_text('game = "tictactoe"\n')
    for step in (0, 100, 200):
        add_checkpoint(folder, step)
    lines = [{"step": step, "minutes": step / 50} for step in (0, 60, 100, 150, 200, 300)]
    # The last line is being written.
    (folder / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 9')
    # Which backend is the fastest takes a while to measure.
    monkeypatch.setattr(
        tournament,
        "choose_backends",
        lambda game, entrants, *_: {e.text: "torch-f32" for e in entrants if e.weights},
    )
    return folder


def test_checkpoints_are_rated_with_their_times_and_later_ones_join(run, capsys):
    arguments = ["rate", str(run), "--simulations", "2", "--games", "2", "--workers", "1"]
    assert commands.main(arguments) == 0
    out = capsys.readouterr().out
    assert "mine@200 simulations=2" in out
    assert {file.name for file in (run / "ratings").iterdir()} >= {"ladder.txt", "ladder.png", "progress.png"}
    assert list((run / "tensorboard" / "ratings").iterdir())
    with Store(run / RATINGS_FILE) as store:
        before = store.num_games()
        found = standings(store, {REFERENCE: 0.0})
        points = timed_ratings(run, store, found)
    assert before == 6 * 2
    assert [(point.step, point.minutes) for point in points] == [(0, 0), (100, 2), (200, 4)]
    assert found.ratings[REFERENCE].elo == 0
    add_checkpoint(run, 300)
    assert commands.main([*arguments, "--json", "--checkpoints", "4"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {player["name"] for player in told["players"]} >= {"mine@300 simulations=2", "mine@0 simulations=2"}
    assert told["games"] == 20


def test_a_checkpoint_counts_with_the_most_simulations(run):
    path = run.resolve() / "checkpoints" / "step-00000100.safetensors"
    with Store(run / RATINGS_FILE, games.load("tictactoe")) as store:
        few, most, raw, other = (
            store.add_player(text, text.rpartition("/")[2], "").id
            for text in (
                f"{path} simulations=1",
                f"{path} simulations=4",
                f"raw:{path}",
                "/elsewhere/step-1.safetensors",
            )
        )
        game = {"opening": 0, "moves": (), "reason": "", "resigned": False, "seed": 0}
        played = [
            StoredGame(a, b, outcome=2, line=f"{a} {b}", **game) for a, b in ((few, most), (raw, other), (raw, few))
        ]
        store.record(played, store.begin_session({}))
        (point,) = timed_ratings(run, store, standings(store))
    assert point.rating.name == "step-00000100.safetensors simulations=4"


@pytest.mark.parametrize(
    ("missing", "message"), [("config.toml", "expected a run's folder"), ("checkpoints", "no checkpoints yet")]
)
def test_what_is_no_run_to_rate(run, missing, message):
    if missing == "checkpoints":
        for path in (run / "checkpoints").iterdir():
            path.unlink()
    else:
        (run / missing).unlink()
    with pytest.raises(GameError, match=message):
        begin_ladder(run, simulations=4, checkpoints=8, games=2)
    assert not (run / RATINGS_FILE).exists()
