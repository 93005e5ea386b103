"""Config files and `--set`, whatever is in them: a config, or one line that says what is wrong."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keima.games.contract import GameError
from keima.selfplay.config.loader import load_config, parse_toml, to_toml, to_toml_value
from keima.selfplay.config.schema import ConfigError, options
from tests.paths import ROOT

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False, width=32))
VALUES = st.recursive(
    st.one_of(st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)


@given(VALUES)
def test_toml_gives_back_what_was_written(value):
    assert tomllib.loads(f"value = {to_toml_value(value)}")["value"] == value


def taken_or_refused(source, overrides=()):
    """The config, or the message."""
    try:
        return load_config(str(source), overrides), ""
    except GameError as error:
        return None, str(error)


@given(
    st.one_of(TEXT, st.sampled_from([*options(), "search", "selfplay.slots"])),
    st.one_of(TEXT, VALUES.map(json.dumps)),
)
def test_a_setting_is_taken_or_refused_in_one_line(key, value):
    config, message = taken_or_refused("tictactoe", [f"{key}={value}"])
    assert (config is None) == bool(message)
    assert "\n" not in message


@given(st.sampled_from(sorted(options())), VALUES)
def test_a_file_is_read_or_refused_in_one_line(tmp_path_factory, key, value):
    path = tmp_path_factory.mktemp("config") / "given.toml"
    section, _, name = key.rpartition(".")
    table = {section: {name: value}} if section else {name: value}
    text = "".join(f"{k} = {to_toml_value(v)}\n" for k, v in ({"game": "tictactoe"} | table).items())
    path.write_text(text, encoding="utf-8")
    config, message = taken_or_refused(path)
    assert "\n" not in message
    if config is None:
        assert message.startswith(str(path))
        return
    again = path.with_name("again.toml")
    again.write_text(to_toml(config), encoding="utf-8")
    assert load_config(str(again)) == config


@given(TEXT)
def test_no_text_is_read_as_a_table_in_silence(text):
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(ConfigError, match=r"^given\.toml: not valid TOML"):
            parse_toml("given.toml", text)
    else:
        assert parse_toml("given.toml", text) == expected


def test_a_game_without_a_config_varies_its_openings(tmp_path):
    (tmp_path / "mine.py").write_text((ROOT / "games" / "tictactoe.py").read_text())
    config = load_config(str(tmp_path / "mine.py"))
    assert config.selfplay.opening_random_fraction == 0.5
    assert (config.learner.schedule, config.learner.value_target_mix) == ("cosine", 0.5)
    assert load_config(str(tmp_path / "mine.py"), ["learner.batch_size=64"]).learner.batch_size == 64
    assert load_config(str(tmp_path / "mine.py")).learner.batch_size == 256  # nothing of it is left behind
