"""Options by their old names, in files and in `--set`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keima.games.contract import GameError
from keima.selfplay.config.loader import load_config, to_toml
from keima.selfplay.config.renamed import RENAMED, flat_with_new_names, with_new_names
from keima.selfplay.config.schema import options

VALUES = {
    "also": {"go:7": 0.25},
    "growth.at_share": 0.5,
    "learner.final_learning_rate_share": 0.25,
    "learner.reply_weight": 0.5,
    "network.reply_head": True,
    "replay.surprise_share": 0.75,
    "selfplay.decided_check_share": 0.5,
    "selfplay.decided_full_share": 0.25,
    "selfplay.full_search_share": 0.5,
    "selfplay.opening_random_share": 0.75,
    "selfplay.slots": 24,
}


def value_of(config, key):
    section, _, name = key.rpartition(".")
    return getattr(getattr(config, section) if section else config, name)


def test_every_renamed_option_has_a_name_of_today_and_none_of_before():
    assert VALUES.keys() == RENAMED.keys()
    assert set(RENAMED.values()) <= options().keys()
    assert not RENAMED.keys() & options().keys()


@pytest.mark.parametrize("old", RENAMED)
def test_old_names_are_read_and_a_line_says_the_new_one(old, tmp_path, capsys):
    path = tmp_path / "given.toml"
    lines = dict.fromkeys(["game", *RENAMED], "")
    lines[old] = VALUES[old]
    section, _, name = old.rpartition(".")
    value = '{"go:7" = 0.25}' if old == "also" else str(VALUES[old]).lower()
    text = f"{name} = {value}\n" if not section else f"[{section}]\n{name} = {value}\n"
    grown = "[growth]\nchannels = 64\n" if old != "growth.at_share" else "channels = 64\n"
    path.write_text(f'game = "go:9"\n{text}{grown}')
    from_file = load_config(str(path))
    assert value_of(from_file, RENAMED[old]) == (VALUES[old] if old != "also" else {"go:size=7": 0.25})
    told = capsys.readouterr().err
    assert told == f"{path}: read as before, but renamed since: {old} is now {RENAMED[old]}\n"
    load_config(str(path))
    assert not capsys.readouterr().err  # said once
    path.write_text('game = "go:9"\n[growth]\nchannels = 64\n')
    assert load_config(str(path), [f"{old}={value}"]) == from_file
    assert f"--set {old}={value}: " in capsys.readouterr().err


def test_both_names_at_once_are_refused(tmp_path):
    path = tmp_path / "given.toml"
    path.write_text('game = "go:9"\n[selfplay]\nslots = 8\nparallel_games = 16\n')
    with pytest.raises(GameError, match=r"unknown option selfplay\.slots"):
        load_config(str(path))


@given(st.dictionaries(st.sampled_from([*RENAMED, *RENAMED.values(), "seed", "game"]), st.integers(0, 9)))
def test_nothing_is_lost_by_renaming(values):
    renamed, old_names = flat_with_new_names(values)
    assert set(old_names) <= RENAMED.keys()
    assert len(renamed) == len(values)
    for key, value in values.items():
        assert renamed[RENAMED[key] if key in old_names else key] == value
    assert flat_with_new_names(renamed) == (renamed, [])


@given(st.dictionaries(st.sampled_from(sorted(RENAMED)), st.integers(0, 9)))
def test_tables_are_renamed_as_flat_ones_are(values):
    tables = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (tables.setdefault(section, {}) if section else tables)[name] = value
    before = {key: dict(one) if isinstance(one, dict) else one for key, one in tables.items()}
    renamed, old_names = with_new_names(tables)
    assert set(old_names) == set(values)
    assert tables == before  # left as they were
    flat = {
        f"{section}.{name}" if isinstance(one, dict) else section: value
        for section, one in renamed.items()
        for name, value in (one if isinstance(one, dict) else {section: one}).items()
    }
    assert flat == flat_with_new_names(values)[0]


def test_a_config_written_today_has_no_old_names(tmp_path, capsys):
    path = tmp_path / "config.toml"
    path.write_text(to_toml(load_config("go:9")))
    load_config(str(path))
    assert not capsys.readouterr().err
