import dataclasses
import importlib.resources
import tomllib

import pytest

from keima.agent.nets.shipped import shipped_name
from keima.games import load, names
from keima.games.contract import GameError
from keima.mcts.search import SearchSettings
from keima.selfplay.actors.generation import search_settings
from keima.selfplay.config.loader import UNKNOWN_GAME, load_config, to_toml
from keima.selfplay.config.schema import SECTIONS, ConfigError, SearchConfig, TrainConfig, options, window_size

SHIPPED = sorted(
    p.name.removesuffix(".toml") for p in importlib.resources.files("keima.configs").iterdir() if ".toml" in p.name
)


def refusal(source, *overrides):
    """The one line that says what is wrong."""
    with pytest.raises(GameError) as caught:
        load_config(str(source), overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


# --- growth


def test_a_network_grows_to_the_sizes_given():
    config = load_config("othello", ["growth.at_progress=0.3", "growth.blocks=6", "network.channels=24"])
    assert config.growth.network(config.network) == config.network.model_copy(update={"blocks": 6})
    wider = load_config("othello", ["growth.at_progress=0.3", "growth.channels=480"])
    assert wider.growth.network(wider.network) == wider.network.model_copy(update={"channels": 480})
    assert load_config("othello", ["growth.blocks=1"]).growth.at_progress == 0  # never: any size will do


def test_a_network_does_not_shrink(config_file):
    assert refusal("othello", "network.blocks=4", "growth.at_progress=0.3", "growth.blocks=2") == (
        "--set growth.blocks=2: growth.blocks: expected at least network.blocks, 4, got 2; growth.at_progress=0 lets "
        "the network be as it is"
    )
    expected = "growth.at_progress: expected growth.blocks or growth.channels larger than the network's"
    expected += ", or 0, which lets it be as it is"
    assert refusal("othello", "growth.at_progress=0.3") == f"--set growth.at_progress=0.3: {expected}"
    path = config_file('game = "connect4"\n[network]\nchannels = 32\n[growth]\nat_share = 0.5\nchannels = 16\n')
    assert refusal(path).startswith(f"{path}: growth.channels: expected at least network.channels, 32, got 16")


# --- where a config comes from


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_config_loads_and_is_of_its_game(name):
    with (importlib.resources.files("keima.configs") / f"{name}.toml").open("rb") as file:
        written = tomllib.load(file)
    config = load_config(written["game"])
    assert config == load_config(str(importlib.resources.files("keima.configs") / f"{name}.toml"))
    assert shipped_name(load(config.game)) == name
    for key in options():  # only what differs from the defaults
        section, _, option = key.rpartition(".")
        table = written.get(section, {}) if section else written
        assert option not in table or table[option] != options()[key].default


def test_every_game_has_a_shipped_config():
    assert {name for name in SHIPPED if name.isalnum()} == set(names())


def test_some_parameters_have_a_config_of_their_own():
    assert "go-size=7_komi=9.0" in SHIPPED
    assert load_config("go:7,komi=9").run != load_config("go:7").run == load_config("go").run


def test_parameters_of_the_game_use_its_config():
    config = load_config("othello:6")
    assert config.game == "othello:size=6"
    assert config == load_config("othello").model_copy(update={"game": "othello:size=6"})


def test_a_game_file_gets_what_suits_an_unknown_game(tmp_path):
    game_file = tmp_path / "connect4.py"  # a shipped game's name does not make it that game
    game_file.write_text(importlib.resources.files("games").joinpath("tictactoe.py").read_text())
    config = load_config(str(game_file), ["seed=4"])
    assert config == TrainConfig.model_validate({"game": str(game_file), "seed": 4} | UNKNOWN_GAME)


def test_a_config_file(config_file):
    config = load_config(str(config_file('game = "othello:6"\n[network]\nblocks = 3\n[learner]\nlearning_rate = 1\n')))
    assert config.game == "othello:size=6"
    assert config.network.blocks == 3
    assert config.learner.learning_rate == 1.0
    assert config.search == SearchConfig()


def test_overrides():
    overrides = ["network.blocks=2", "search.root_policy=puct", "run.minutes = 0.5", 'selfplay.actors="auto"']
    config = load_config("connect4", [*overrides, "network.blocks=3", "game=tictactoe"])
    assert config.network.blocks == 3  # the last one counts
    assert config.search.root_policy == "puct"
    assert config.run.minutes == 0.5
    assert config.selfplay.actors == "auto"
    assert config.game == "tictactoe"
    assert load_config("connect4", ["selfplay.actors=3"]).selfplay.actors == 3


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_config("connect4").seed = 3


# --- writing it out


@pytest.mark.parametrize("name", SHIPPED)
def test_to_toml_round_trip(name, config_file):
    shipped = importlib.resources.files("keima.configs") / f"{name}.toml"
    config = load_config(str(shipped), ["learner.learning_rate=1e-5", "selfplay.actors=2"])
    text = to_toml(config)
    assert load_config(str(config_file(text))) == config
    written = tomllib.loads(text)
    for key in options():  # every value, also those that are defaults
        section, _, option = key.rpartition(".")
        assert option in (written[section] if section else written)


@pytest.mark.parametrize("text", ['quote " and \\', "é 棋 \U0001f600", "tab\tand\x7f\x01", "line\nbreak"])
def test_to_toml_any_text(text):
    assert tomllib.loads(to_toml(TrainConfig(game=text)))["game"] == text


# --- what the options say of themselves


def test_every_option_is_documented():
    assert len(options()) > 30
    for name, field in options().items():
        assert field.description, name
        assert field.description[-1] == ".", name
        assert "\n" not in field.description, name
    for section in SECTIONS.values():
        assert section.__doc__


def test_search_section_is_what_the_search_takes():
    settings = search_settings(SearchConfig(simulations=5))
    assert settings.simulations == 5
    assert settings.gumbel_scale == 1.0
    known = {field.name for field in dataclasses.fields(SearchSettings)}
    assert known - set(SearchConfig.model_fields) == {
        "leaves_per_batch"
    }  # training evaluates many trees at once instead
    assert set(SearchConfig.model_fields) - known == {"score_weight"}  # the evaluator's, and kept with the network


def test_window_rule():
    replay = load_config("connect4").replay
    assert replay.window(10**6) == window_size(10**6, replay.window_min, replay.window_alpha, replay.window_beta)


# --- what is said of a wrong one


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("search.simulations=many", 'search.simulations: expected a whole number, got "many"'),
        ("search.simulations=32.5", "search.simulations: expected a whole number, got 32.5"),
        ("search.simulations=true", "search.simulations: expected a whole number, got true"),
        ("search.simulations=0", "search.simulations: expected at least 1, got 0"),
        ("network.blocks=900", "network.blocks: expected at most 80, got 900"),
        ("replay.window_alpha=0", "replay.window_alpha: expected more than 0, got 0"),
        ("learner.ema_decay=1", "learner.ema_decay: expected less than 1, got 1"),
        ("run.minutes=20m", 'run.minutes: expected a number, got "20m"'),
        ("run.minutes=", 'run.minutes: expected a number, got ""'),
        ("run.minutes=nan", "run.minutes: expected a finite number, got NaN"),
        ("search.root_policy=gumble", 'search.root_policy: expected "gumbel" or "puct", got "gumble"'),
        ("selfplay.actors=all", 'selfplay.actors: expected a whole number or "auto", got "all"'),
        ("selfplay.actors=0", 'selfplay.actors: expected at least 1 or "auto", got 0'),
        ("game=3", "game: expected text, got 3"),
        ("game=conect4", "unknown game 'conect4' (did you mean connect4?)"),
        ("search.simulation=3", "unknown option search.simulation; the nearest there is: search.simulations"),
        ("simulations=3", "unknown option simulations; the nearest there is: search.simulations"),
        ("selfplay.simulations=3", "unknown option selfplay.simulations; the nearest there is: search.simulations"),
        ("lerner.learning_rat=3", "unknown option lerner.learning_rat; the nearest there is: learner.learning_rate"),
        ("zzz=3", "unknown option zzz; the sections are: network, search, selfplay, replay, learner, growth, run"),
        ("search=3", "search is a section; expected one of its options, as search.simulations"),
        ("seed", "expected section.key=value, as in search.simulations=64"),
    ],
)
def test_wrong_override(override, complaint):
    message = refusal("connect4", "seed=3", override)
    assert message.startswith(f"--set {override}: {complaint}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed = 3", "game: expected a value, got nothing"),
        ('game = "hex"\n[serch]\nx = 1', "unknown option serch; the nearest there is: search"),
        ('game = "hex"\nsearch = 3', "search: expected a section, [search], got 3"),
        (
            'game = "hex"\n[search]\nsimulatons = 3',
            "unknown option search.simulatons; the nearest there is: search.simul",
        ),
        ('game = "hex"\n[search]\nsimulations = "3"', 'search.simulations: expected a whole number, got "3"'),
        ('game = "hex"\n[search.simulations]\nx = 3', 'search.simulations: expected a whole number, got {"x": 3}'),
        ('game = "hex"\nseed = 2020-01-01', 'seed: expected a whole number, got "2020-01-01"'),
        ('game = "nosuch"', "unknown game 'nosuch'"),
        ('game = "hex:size=99"', "hex: size is from 2 to 19, got 99"),
        ('game = "hex', "not valid TOML: Unterminated string"),
    ],
)
def test_wrong_file(config_file, text, complaint):
    path = config_file(text)
    assert refusal(path).startswith(f"{path}: {complaint}")


def test_wrong_file_with_overrides_blames_the_right_one(config_file):
    path = config_file('game = "hex"\nsearch = 3')
    assert refusal(path, "search.simulations=4").startswith(f"{path}: search: expected a section")
    path = config_file('game = "hex"\n[search]\nsimulations = 0\n')
    assert refusal(path, "network.blocks=2").startswith(f"{path}: search.simulations")
    assert load_config(str(path), ["search.simulations=4"]).search.simulations == 4


def test_no_such_file_or_no_text(tmp_path):
    assert refusal(tmp_path / "no.toml") == f"{tmp_path / 'no.toml'}: no such config file"
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not text" in refusal(tmp_path / "binary.toml")
    (tmp_path / "folder.toml").mkdir()
    assert refusal(tmp_path / "folder.toml").endswith(": Is a directory")


def test_unknown_game():
    assert "unknown game 'conect4' (did you mean connect4?)" in refusal("conect4")
    assert issubclass(ConfigError, GameError)
