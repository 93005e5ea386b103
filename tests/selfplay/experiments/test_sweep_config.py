"""Configs of sweeps and ablations: the shipped ones, how options are written, and what is said of wrong ones."""

import pytest

from keima.games.contract import GameError
from keima.selfplay.config.loader import load_config
from keima.selfplay.experiments.sweep_config import parse_sweep, read_sweep, shipped_sweeps

ABLATION = 'base = "tictactoe"\nminutes = 2\n{more}\n[variants.fast]\nlearner.learning_rate = 0.01\n'
SWEEP = 'base = "tictactoe"\nminutes = 2\n{more}\n[space]\nsearch.simulations = {{ low = 4, high = 8 }}\n'


def ablation(more=""):
    return parse_sweep(ABLATION.format(more=more), "mine.toml")


def sweep(more=""):
    return parse_sweep(SWEEP.format(more=more), "mine.toml")


def in_space(line):
    return parse_sweep(f'base = "tictactoe"\nminutes = 2\n[space]\n{line}\n', "mine.toml")


@pytest.mark.parametrize("name", shipped_sweeps())
def test_every_shipped_config_is_sound(name):
    config = parse_sweep(*read_sweep(name))
    assert config.is_ablation == name.startswith("ablations/")
    for overrides in config.variants.values():
        assert config.train_config(overrides, seed=1) != config.train_config({}, seed=1)


def test_sweeps_and_ablations_are_shipped():
    assert {"ablations/connect4", "sweeps/connect4"} <= {*shipped_sweeps()}


def test_a_trial_trains_with_the_base_what_all_have_and_its_own():
    config = ablation("set.learner.batch_size = 64\nset.learner.learning_rate = 0.5")
    fast = config.train_config(config.variants["fast"], seed=7)
    base = config.train_config({}, seed=7)
    assert (fast.seed, fast.run.minutes, fast.learner.batch_size, fast.learner.learning_rate) == (7, 2, 64, 0.01)
    assert base.learner.learning_rate == 0.5
    assert base.replay == load_config("tictactoe").replay
    assert min(base.run.measure_every_minutes, base.run.checkpoint_minutes) > 1e6  # all its time is for training
    result = config.result_config(config.variants["fast"])
    assert result.learner == fast.learner
    assert result.run == load_config("tictactoe").run


def test_options_may_be_written_in_either_way():
    dotted = ablation("set.network.blocks = 1\nset.network.channels = 8").set
    table = ablation("[set.network]\nblocks = 1\nchannels = 8").set
    quoted = ablation('[set]\n"network.blocks" = 1\n"network.channels" = 8').set
    assert dotted == table == quoted == {"network.blocks": 1, "network.channels": 8}


def test_a_range_is_of_the_options_kind():
    config = in_space("learner.ema_decay = {low = 0, high = 0.9, step = 0.1}\nnetwork.blocks = {low = 1, high = 3}")
    assert isinstance(config.space["learner.ema_decay"].low, float)
    assert isinstance(config.space["network.blocks"].high, int)


def test_a_config_to_train_with_is_no_sweeps():
    with pytest.raises(GameError, match="expected a sweep's config, but it is one for `keima train mine"):
        parse_sweep('game = "connect4"\n[run]\nminutes = 5', "mine.toml")


def test_a_sweep_has_one_objective():
    assert sweep().measure.target == 64
    assert sweep("measure.simulations = [16, 0]").measure.target == 0
    assert sweep("measure.simulations = [16, 0]\nmeasure.objective = 16").measure.target == 16


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("variant = 1", "mine.toml: unknown option variant; the options are: base, minutes,"),
        ("seeds = 3", "mine.toml: seeds: expected a list, got 3"),
        ('seeds = [0, "a"]', 'mine.toml: seeds: expected a whole number, got "a"'),
        ("seeds = [0, 0]", "mine.toml: seeds: expected different ones, got [0, 0]"),
        ("seeds = []", "mine.toml: seeds: expected"),
        ("trials = 3", "mine.toml: trials: not an option of an ablation"),
        ("measure.objective = 64", "mine.toml: measure.objective: not an option of an ablation"),
        ("measure.simulations = [4, 4]", "mine.toml: measure.simulations: expected different ones"),
        ("measure.games = 5", "mine.toml: measure.games: expected an even number, got 5"),
        ("measure.among = 5", "mine.toml: measure.among: expected an even number, got 5"),
        ("measure.among = 4\nmeasure.games = 4", "mine.toml: measure.games: not beside measure.among"),
        ("measure.position = 5", "mine.toml: unknown option measure.position; the options are: simulations, "),
        ('measure.positions = "no.txt"', "mine.toml: no.txt: expected a file of positions"),
        ("set.run.minutes = 5", "mine.toml: [set]: run.minutes: not to be set here; `minutes` says it"),
        ("set.seed = 5", "mine.toml: [set]: seed: not to be set here; `seeds` (an ablation) or `seed` (a sweep)"),
        ("set.game = 5", "mine.toml: [set]: game: not to be set here; `base` says which game"),
        ("set = 5", "mine.toml: set: expected a table, got 5"),
        (
            "set.search.simulation = 5",
            "search.simulation=5: unknown option search.simulation; the nearest there is: se",
        ),
        ("set.search.simulations = 0", "search.simulations=0: search.simulations: expected at least 1, got 0"),
        ('set.selfplay.parallel_games = "auto"', '"auto" is for new runs; `keima plan` says the numbers'),
        ('[variants.b]\nlearner.batch_size = "auto"', '"auto" is for new runs; `keima plan` says the numbers'),
        ("[variants.fast2]", "mine.toml: [variants.fast2]: expected options that differ from the base's, got none"),
        ("[variants.base]\nnetwork.blocks = 1", "mine.toml: [variants.base]: expected a name of letters, digits"),
        ('[variants."a/b"]\nnetwork.blocks = 1', "mine.toml: [variants.a/b]: expected a name of letters, digits"),
        ("[variants.b]\nnetwork.block = 1", "[variants.b]: network.block=1: unknown option network.block; the nearest"),
        ("variants.b = 1", "mine.toml: variants.b: expected a table, got 1"),
        ("space.network.blocks = {low = 1, high = 2}", "or [variants.NAME], for an ablation; got both"),
    ],
)
def test_wrong_ablations(more, complaint):
    with pytest.raises(GameError) as raised:
        ablation(more)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "mine.toml: expected [space], for a sweep, or [variants.NAME], for an ablation; got neither"),
        ("learner.learning_rate = 0.5", "mine.toml: space.learner.learning_rate: expected a table, got 0.5"),
        ("learner.learning_rate = {hi = 1}", "unknown option space.learner.learning_rate.hi; the options are: low, "),
        ("learner.learning_rate = {high = 1}", "expected low and a larger high, or choices; got None and 1"),
        ("learner.learning_rate = {low = 0.5, high = 0.5}", "expected low and a larger high, or choices; got 0.5"),
        ("learner.learning_rate = {low = 0, high = 1, log = true}", "expected a low above 0, and no step, where log"),
        ("learner.learning_rate = {low = 0.1, high = 3}", "learner.learning_rate: expected at most 1, got 3.0"),
        ("learner.learning_rate = {low = 0.1, high = 0.2, step = 1}", "expected a step above 0 and within the range"),
        ("search.simulations = {low = 1.5, high = 3}", "search.simulations: expected a whole number, got 1.5"),
        ("search.simulations = {low = 1, high = 3, step = 0.5}", "expected a step that is a whole number, got 0.5"),
        ('search.simulations = {low = "a", high = 3}', "space.search.simulations.low: expected a whole number or a nu"),
        ("search.simulations = {choices = [3]}", "expected low and high, or choices, two at least and nothing else"),
        ("search.simulations = {choices = [3, 4], low = 1}", "expected low and high, or choices, two at least and no"),
        ("search.simulations = {choices = [3, [4]]}", "expected true or false or a whole number or a number or text"),
        ('search.root_policy = {choices = ["gumbel", "pukt"]}', 'search.root_policy: expected "gumbel" or "puct", got'),
        ("search = {low = 1, high = 2}", "mine.toml: space.search.low: expected a table, got 1"),
        ("search.nosuch = {low = 1, high = 2}", "unknown option search.nosuch"),
        ("run.minutes = {low = 1, high = 2}", "[space]: run.minutes: not to be set here; `minutes` says it"),
    ],
)
def test_wrong_spaces(line, complaint):
    with pytest.raises(GameError) as raised:
        in_space(line)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("base =", "mine.toml: not valid TOML"),
        ("minutes = 1\n[variants.a]\nseed = 1\n", "mine.toml: base: expected a value, got nothing"),
        ('base = "tictactoe"\n[variants.a]\nseed = 1\n', "mine.toml: minutes: expected a value, got nothing"),
        (ABLATION.format(more="").replace("= 2", "= 0"), "mine.toml: minutes: expected more than 0, got 0"),
        (ABLATION.format(more="").replace("tictactoe", "tictacto"), "mine.toml: unknown game 'tictacto' (did you mean"),
        (ABLATION.format(more="").replace("tictactoe", "no.toml"), "mine.toml: no.toml: no such config file"),
        (SWEEP.format(more="measure.objective = 7"), "mine.toml: measure.objective: expected one of measure.simulatio"),
        (SWEEP.format(more="measure.among = 2"), "mine.toml: measure.among: not an option of a sweep"),
        (SWEEP.format(more="seeds = [1]"), "mine.toml: seeds: not an option of a sweep"),
    ],
)
def test_other_wrong_ones(text, complaint):
    with pytest.raises(GameError) as raised:
        parse_sweep(text, "mine.toml")
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_where_a_config_comes_from(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("x")
    assert read_sweep(str(path)) == ("x", str(path))
    assert read_sweep("sweeps/connect4.toml")[0] == read_sweep("sweeps/connect4")[0]
    with pytest.raises(GameError, match=r"nosuch.toml: no such config file"):
        read_sweep("nosuch.toml")
    with pytest.raises(
        GameError, match=r"expected a sweep's config, a .toml file or a shipped one: ablations/connect4"
    ):
        read_sweep("sweeps/nosuch")
