"""A sweep's search, with strengths made up in place of trials."""

import sys
import tomllib

import optuna
import pytest

from keima.games.contract import GameError
from keima.selfplay.config.loader import load_config
from keima.selfplay.experiments.hyperparameters import BEST_FILE, CONFIRM_FILE, STUDY_FILE, Search
from keima.selfplay.experiments.sweep_config import parse_sweep
from keima.selfplay.experiments.trial import Measurement, Result, Trial, failed, save_result

CONFIG = """
base = "tictactoe"
minutes = 3
trials = {trials}
seed = 5
set.network.blocks = 1
measure.objective = 16
measure.simulations = [0, 16]
[space]
learner.learning_rate = {{ low = 1e-3, high = 1e-2, log = true }}
learner.batch_size = {{ choices = [64, 256] }}
search.simulations = {{ low = 4, high = 64, log = true }}
replay.samples_per_position = {{ low = 2.0, high = 6.0, step = 0.5 }}
"""


def config(trials=4):
    return parse_sweep(CONFIG.format(trials=trials), "mine.toml")


def strength(trial: Trial) -> float:
    """Of 1000: made up, and better with a high rate."""
    return round(80_000 * trial.overrides["learner.learning_rate"]) + trial.overrides["learner.batch_size"] / 8


def run(folder, search: Search, trial: Trial, tell: bool = True) -> None:
    (folder / "trials" / trial.name).mkdir(parents=True)
    measured = [Measurement(0, "positions", 1, 10), Measurement(16, "positions", strength(trial), 1000)]
    result = Result(trial.name, trial.variant, trial.seed, trial.overrides, measurements=measured)
    save_result(folder / "trials" / trial.name, result)
    if tell:
        search.take(result)


def run_all(folder, search: Search) -> list[Trial]:
    trials = []
    while (trial := search.next_trial()) is not None:
        run(folder, search, trial)
        trials.append(trial)
    return trials


def test_the_base_first_then_what_lies_in_the_space(tmp_path):
    trials = run_all(tmp_path, Search(tmp_path, config()))
    base = load_config("tictactoe")
    assert trials[0].overrides == {
        "learner.learning_rate": base.learner.learning_rate,
        "learner.batch_size": base.learner.batch_size,
        "search.simulations": base.search.simulations,
        "replay.samples_per_position": base.replay.samples_per_position,
    }
    assert [trial.name for trial in trials] == ["trial-000", "trial-001", "trial-002", "trial-003"]
    assert [trial.seed for trial in trials] == [5, 6, 7, 8]  # no two are favoured by the same chance
    assert len({str(trial.overrides) for trial in trials}) == 4
    for trial in trials:
        options = trial.overrides
        assert 1e-3 <= options["learner.learning_rate"] <= 1e-2
        assert options["learner.batch_size"] in (64, 256)
        assert isinstance(options["search.simulations"], int)
        assert options["replay.samples_per_position"] % 0.5 == 0
        config().train_config(options, trial.seed)


def test_a_base_outside_the_space_is_left_out(tmp_path):
    outside = parse_sweep(CONFIG.format(trials=2).replace("[64, 256]", "[32, 64]"), "mine.toml")
    assert Search(tmp_path, outside).next_trial().overrides["learner.batch_size"] in (32, 64)


def test_an_interrupted_search_proposes_what_an_uninterrupted_one_does(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    plain = [trial.overrides for trial in run_all(tmp_path / "one", Search(tmp_path / "one", config(14)))]
    assert len(plain) == 14  # past the first ten, which are random whatever the results
    folder, found = tmp_path / "two", []
    for number in range(14):
        if number in (0, 1, 5, 12):
            search = Search(folder, config(14))
        trial = search.next_trial()
        if number == 12:  # killed while it ran: it is run again
            search = Search(folder, config(14))
            assert search.next_trial() == trial
        run(folder, search, trial, tell=number != 4)  # killed before it was told of one
        found.append(trial.overrides)
    assert found == plain
    assert search.next_trial() is None


def test_a_trial_half_drawn_when_the_sweep_was_killed_is_left_out(tmp_path):
    Search(tmp_path, config())
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path / STUDY_FILE}")
    study.ask({"learner.batch_size": optuna.distributions.CategoricalDistribution([64, 256])})
    trials = run_all(tmp_path, Search(tmp_path, config()))
    assert [trial.name for trial in trials] == ["trial-001", "trial-002", "trial-003", "trial-004"]
    assert trials[0].overrides["learner.learning_rate"] == load_config("tictactoe").learner.learning_rate


def test_a_failed_trial_counts_and_is_not_learnt_from(tmp_path):
    search = Search(tmp_path, config())
    trial = search.next_trial()
    (tmp_path / "trials" / trial.name).mkdir(parents=True)
    save_result(tmp_path / "trials" / trial.name, failed(trial, "broken"))
    search.take(failed(trial, "broken"))
    assert search.headline() == ("", ())
    assert len(run_all(tmp_path, search)) == 3
    title, table, _ = search.report()
    assert title == "3 of 4 trials (1 failed), strongest first"
    assert "000" not in {row[0] for row in table}


def test_more_trials_may_be_asked_for_later(tmp_path):
    assert len(run_all(tmp_path, Search(tmp_path, config(2)))) == 2
    assert [trial.name for trial in run_all(tmp_path, Search(tmp_path, config(4)))] == ["trial-002", "trial-003"]


def test_the_report_and_what_is_written(tmp_path):
    search = Search(tmp_path, config(12))
    trials = run_all(tmp_path, search)
    best = max(trials, key=strength)
    words, curve = search.headline()
    assert words.startswith(f"{strength(best) / 10:.1f} % with 16 simulations, the best so far (")
    assert curve == tuple(strength(trial) / 1000 for trial in trials)
    _, table, notes = search.report()
    assert table[0][:4] == ["trial", "16 simulations", "raw", "learner.learning_rate"]
    assert table[1][0] == best.name.removeprefix("trial-")
    assert table[1][1].startswith(f"{strength(best) / 10:.1f} % (")
    shares = [float(row[1].split()[0]) for row in table[1:]]
    assert shares == sorted(shares, reverse=True)
    assert "learner.learning_rate" in notes.partition("PED-ANOVA): ")[2].split()[0]  # the most important

    said = "\n".join(search.conclude())
    assert f"--set learner.batch_size={best.overrides['learner.batch_size']}" in said
    written = load_config(str(tmp_path / BEST_FILE))
    assert written.learner.learning_rate == best.overrides["learner.learning_rate"]
    assert written.network.blocks == 1
    assert written.run == load_config("tictactoe").run  # its own time, not a trial's
    text = (tmp_path / CONFIRM_FILE).read_text()
    confirmation = parse_sweep(text, "confirm.toml")
    strongest = sorted(trials, key=strength, reverse=True)[:3]
    assert confirmation.variants == {trial.name: trial.overrides for trial in strongest}
    assert not {*confirmation.seeds} & {trial.seed for trial in trials}
    assert tomllib.loads(text)["minutes"] == 3
    assert confirmation.set == {"network.blocks": 1}


def test_without_optuna_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(GameError, match=r"needs optuna, which is not installed: pip install 'keima\[tune\]'"):
        Search(tmp_path, config())
