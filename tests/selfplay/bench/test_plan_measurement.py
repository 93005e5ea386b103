"""The minute's measurement: everything is in it, and it is kept."""

import dataclasses

import pytest

from keima.agent.system.processes import available_cores
from keima.games import load
from keima.selfplay.actors import actor_pool as pool_module
from keima.selfplay.bench import plan_measurement
from keima.selfplay.bench.plan import decide
from keima.selfplay.bench.plan_measurement import Measured, measure, measured_here, window_bytes_a_position
from keima.selfplay.config.loader import load_config
from keima.selfplay.replay.window import ReplayWindow
from tests.selfplay import fake_actors
from tests.selfplay.kill_and_resume import CONFIG

GAME = load("tictactoe")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "given.toml").write_text(
        CONFIG.format(actors=1).replace("parallel_games = 16", 'parallel_games = "auto"')
    )
    return load_config(str(tmp_path / "given.toml"), ["selfplay.backend=torch-f32"])


@pytest.fixture
def quickly(monkeypatch):
    """Measures for no time, with actors that stand in and a learner in this process."""
    monkeypatch.setattr(plan_measurement, "SECONDS", 0.001)
    monkeypatch.setattr(plan_measurement, "PARALLEL_GAMES", (16, 32))
    monkeypatch.setattr(plan_measurement, "BATCH_SIZES", (16, 32))
    monkeypatch.setattr(pool_module, "run_actor", fake_actors.plays)
    tasks = []

    def work(module, task):
        tasks.append(task)
        rounds = [{"samples": 100.0 * size, "seconds": 1.0} for size in (1, 3)]
        speeds = [
            {"batch_size": b, "threads": t, "rounds": rounds} for b in task["batch_sizes"] for t in task["threads"]
        ]
        return {"speeds": speeds, "peak_memory_bytes": 5}

    monkeypatch.setattr(plan_measurement, "work_apart", work)
    return tasks


def test_everything_is_measured(config, quickly):
    told = []
    measured = measure(GAME, config, told.append)
    cores = available_cores()
    assert (measured.cores, measured.backend, measured.learner_peak_bytes) == (cores, "torch-f32", 5)
    assert [found.parallel_games for found in measured.parallel_games] == [16, 32]
    assert {found.actors for found in measured.actors} == {1, max(1, cores - 1), cores}
    assert {found.batch_size for found in measured.learner} == {16, 32, 64}  # the config's own too
    assert {found.threads for found in measured.learner} == {1, max(1, cores - 1)}
    assert all(found.samples_per_s == 300 for found in measured.learner)  # the best round
    assert [(found.blocks, found.channels) for found in measured.networks] == [(1, 8), (1, 4), (1, 16)]
    rates = [found.evaluations_per_s for found in (*measured.parallel_games, *measured.networks)]
    assert min([*rates, *(found.positions_per_s for found in measured.actors)]) > 0
    assert "measuring the learner" in told
    # And it is enough to decide by.
    assert decide(GAME, config, measured, ()).pace.positions_per_s > 0


def test_the_network_that_a_run_grows_to_is_measured_too(config, quickly):
    growth = config.growth.model_copy(update={"at_progress": 0.5, "blocks": 3})
    measured = measure(GAME, config.model_copy(update={"growth": growth}), str)
    assert (3, 8) in [(found.blocks, found.channels) for found in measured.networks]


def test_a_measurement_is_kept_until_something_changes(config, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    given = Measured(
        cores=1,
        load_average=0.0,
        memory_bytes=1,
        learner_apart=False,
        backend="torch-f32",
        parallel_games=[],
        actors=[],
        learner=[],
        networks=[],
        actor_peak_bytes=None,
        learner_peak_bytes=None,
        window_bytes_a_position=1.0,
    )
    asked = []
    monkeypatch.setattr(plan_measurement, "measure", lambda game, config, tell: asked.append(config) or given)

    def found(config, again=False):
        return measured_here(GAME, config, again=again, tell=pytest.fail)

    assert found(config) == found(config) == given
    assert len(asked) == 1
    found(config, again=True)
    assert len(asked) == 2
    longer = config.model_copy(update={"run": config.run.model_copy(update={"minutes": 1.0})})
    found(longer)
    assert len(asked) == 2  # of no consequence
    other = config.model_copy(update={"search": config.search.model_copy(update={"simulations": 99})})
    found(other)
    assert len(asked) == 3
    (kept, _) = sorted((tmp_path / "keima" / "plans").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for damage in ("{", "{}", '{"cores": "many"}'):
        kept.write_text(damage)
        assert found(config) == given
    assert len(asked) == 6
    assert dataclasses.is_dataclass(found(config))


def test_a_cache_that_cannot_be_written_is_no_error(config, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(plan_measurement, "measure", lambda game, config, tell: "measured")
    monkeypatch.setattr(plan_measurement.dataclasses, "asdict", lambda measured: {})
    assert measured_here(GAME, config, again=False, tell=pytest.fail) == "measured"


def test_the_window_s_memory_is_not_told_too_small():
    games = [fake_actors.tictactoe_segment((k,), games=300) for k in range(8)]
    window, largest = ReplayWindow(), 0.0
    for segment in games:
        window.append(segment)
        columns = (window._games, window._plies, window._policies, window._training)
        taken = sum(array.nbytes for column in columns for array in column.arrays.values())
        largest = max(largest, taken / window.num_positions)
    assert window_bytes_a_position(games) >= largest
