"""Tournaments as files: read, completed, told what is wrong; those that are shipped can be played."""

import importlib.resources
from pathlib import Path

import pytest

from keima.agent.contracts.player_spec import parse
from keima.games.contract import GameError
from keima.selfplay.config.schema import ConfigError
from keima.selfplay.tournament.config import (
    LIMITS,
    SETTINGS,
    TournamentConfig,
    plan,
    read_tournament,
    shipped_tournaments,
)
from keima.selfplay.tournament.openings import BookOpenings
from keima.selfplay.tournament.referee import Referee
from keima.selfplay.tournament.tournament import Settings

MINIMAL = 'game = "tictactoe"\nplayers = ["random", "rollout:5"]\n'


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_what_is_said_and_what_is_not(tmp_path):
    planned = plan(written(tmp_path, MINIMAL))
    assert (planned.name, planned.game.label, planned.players) == ("mine", "tictactoe", ("random", "rollout:5"))
    assert dict(planned.settings) == dict.fromkeys(SETTINGS)
    assert dict(planned.limits) == dict.fromkeys(LIMITS)
    assert (planned.anchors, planned.left_out) == ({}, ())
    text = MINIMAL + (
        'games = 8\npairing = "gauntlet"\nsides = "second"\nopening_plies = 2\nreferee = "gtp:x"\nseed = 3\n'
        "simulations = 9\nseconds = 0.5\nnodes = 7\n[anchors]\nrandom = 5\n"
    )
    full = plan(written(tmp_path, text))
    assert dict(full.settings) == {
        **dict.fromkeys(SETTINGS),
        "games": 8,
        "pairing": "gauntlet",
        "sides": "second",
        "opening_plies": 2,
        "referee": "gtp:x",
        "seed": 3,
    }
    assert dict(full.limits) == {"simulations": 9, "seconds": 0.5, "nodes": 7}
    assert full.anchors == {"random": 5}


def test_a_book_lies_beside_its_config(tmp_path):
    config, _ = read_tournament(written(tmp_path, MINIMAL + 'book = "book.txt"\n'))
    assert config.book == "book.txt"  # as it is written, where nothing lies there
    (tmp_path / "book.txt").write_text("a1\n")
    config, _ = read_tournament(str(tmp_path / "mine.toml"))
    assert config.book == str(tmp_path / "book.txt")


def test_players_who_are_not_to_be_had_are_left_out_with_their_anchors(tmp_path):
    text = MINIMAL + (
        "optional = ['gtp:no-such-engine name=absent', 'exact', 'no/such/net simulations=4 name=net', 'alphabeta:2']\n"
        "[anchors]\nabsent = 5\nnet = 7\nexact = 9\n"
    )
    planned = plan(written(tmp_path, text))
    assert planned.players == ("random", "rollout:5", "exact", "alphabeta:2")
    assert planned.anchors == {"exact": 9}
    engine, net = planned.left_out
    assert engine.startswith("without absent: no program 'no-such-engine' on PATH")
    assert net.startswith("without net: no player 'no/such/net'")
    with pytest.raises(GameError, match="random: unknown option 'nodes'"):  # is wrong wherever it is read
        plan(written(tmp_path, MINIMAL + "optional = ['random nodes=5']\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("game = ", "not valid TOML"),
        ('players = ["random"]', "game: expected a value, got nothing"),
        ('game = "tictactoe"\nplayers = "random"', 'players: expected a list, got "random"'),
        (MINIMAL + "anchors = 5", "anchors: expected a table, got 5"),
        (MINIMAL + "gamess = 5", "unknown option gamess; the options are: game, players, optional, games, "),
        (MINIMAL + 'pairing = "swiss"', 'pairing: expected "round-robin", "gauntlet" or "adaptive", got "swiss"'),
        (MINIMAL.replace("tictactoe", "bogus"), "unknown game"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, message):
    with pytest.raises(GameError) as caught:
        plan(written(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_config(tmp_path):
    with pytest.raises(ConfigError, match=r"ladders/none: expected a tournament's config, .* ladders/go9"):
        read_tournament("ladders/none")
    with pytest.raises(ConfigError, match="no such config file"):
        read_tournament(str(tmp_path / "none.toml"))


def test_every_option_is_explained_or_the_commands():
    # Those without a word are choices of the command line, explained there.
    silent = {name for name, field in TournamentConfig.model_fields.items() if field.description is None}
    assert silent <= {"pairing", "sides", "seed"}


@pytest.mark.parametrize("name", shipped_tournaments())
def test_the_shipped_ones_can_be_played(name):
    config, _ = read_tournament(name)
    shipped = importlib.resources.files("keima.configs") / "ladders"
    assert config.book is None or Path(config.book).parent == Path(str(shipped))
    from keima.games import load

    game = load(config.game)
    specs = [parse(text) for text in [*config.players, *config.optional]]
    assert len({spec.text for spec in specs}) == len(specs) >= 2
    assert set(config.anchors) <= {spec.label for spec in specs}
    values = config.model_dump()
    settings = Settings().changed(**{option: values[option] for option in SETTINGS})
    assert settings.openings(game)[0]
    if config.referee is not None:
        Referee(game, config.referee)


def test_openings_for_9x9_are_different_positions():
    from keima.games import load

    game = load("go:9")
    book = BookOpenings(game, Path(str(importlib.resources.files("keima.configs") / "ladders" / "go9-openings.txt")))
    openings = [book[number] for number in range(63)]
    assert book[63] == book[0]
    images = {frozenset(tuple(int(s.actions[a]) for a in opening) for s in game.symmetries()) for opening in openings}
    assert len(images) == 63
