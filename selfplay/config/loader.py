"""Where a run's options are read from: the config that comes with a game, a file, `--set`; and the messages for wrong
ones.
"""

import difflib
import importlib.resources
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from keima.agent.nets.shipped import shipped_name
from keima.games import load
from keima.games.contract import Game, GameError
from keima.selfplay.config.renamed import RENAMED, tell_new_names, with_new_names
from keima.selfplay.config.schema import SECTIONS, ConfigError, TrainConfig, options

UNKNOWN_GAME: dict[str, dict[str, Any]] = {
    "selfplay": {"opening_random_fraction": 0.5},
    "learner": {"batch_size": 256, "learning_rate": 5e-3, "schedule": "cosine", "value_target_mix": 0.5},
}
"""What a game trains with that comes without a config, where that is not the schema's default.

Half of the games begin at random, so that a side that is ahead at first does not win all games. Two games without their
configs, trained for four minutes beside their like with the schema's defaults, then 60 games with 64 simulations:
Breakthrough 6x8 95.0 %, Othello 6x6 65.8 %. With Muon, two samples a position and growth as well, which longer runs
gain from, Breakthrough lost all of 40 games after five minutes: a short run has too few steps for these.
"""


def load_config(game_or_path: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """The config for a game (the shipped one for its parameters, or for it) or from a `.toml` file, with overrides.

    game_or_path: what `games.load` takes, or a path ending in `.toml`.
    overrides: `section.key=value`, values as in TOML; a bare word is a string.
    Raises ConfigError, or GameError where it is the game that is wrong.
    """
    if game_or_path.endswith(".toml"):
        source = game_or_path
        values = parse_toml(source, read_text(Path(source).expanduser()))
    else:
        game = load(game_or_path)
        name = _shipped_config(game)
        source = f"configs/{name}" if name else game_or_path
        values = (
            parse_toml(source, (importlib.resources.files("keima.configs") / name).read_text())
            if name
            else {section: dict(table) for section, table in UNKNOWN_GAME.items()}
        )
        values["game"] = game.spec
    values, old_names = with_new_names(values)
    tell_new_names(source, old_names)
    sources: dict[str, str] = {}
    for override in overrides:
        key, value = _parse_override(override)
        if key in RENAMED:
            tell_new_names(f"--set {override}", [key])
            key = RENAMED[key]
        section, _, name = key.rpartition(".")
        table = values.setdefault(section, {}) if section else values
        if isinstance(table, dict):  # else the file is at fault, and validation says so
            table[name] = value
            sources[key] = "--set " + " ".join(override.split())
    try:
        config = TrainConfig.model_validate(values, strict=True)
    except ValidationError as error:
        raise ConfigError(_explain(error, source, sources)) from None
    _check_growth(config, source, sources)
    try:
        game = load(config.game)
    except GameError as error:
        raise ConfigError(f"{sources.get('game', source)}: {error}") from error
    return config.model_copy(
        update={"game": game.spec, "board_mix": _checked_board_mix(config, game, sources.get("board_mix", source))}
    )


def _shipped_config(game: Game) -> str:
    """The name of the config that comes with a game and these parameters, else with the game; '' where none does."""
    name = shipped_name(game)
    names = [] if name is None else [f"{name}.toml", f"{game.name}.toml"]
    return next((name for name in names if (importlib.resources.files("keima.configs") / name).is_file()), "")


def _checked_board_mix(config: TrainConfig, game: Game, where: str) -> dict[str, float]:
    """The shares of other boards by their games' specs. Raises ConfigError."""
    checked: dict[str, float] = {}
    for text, share in config.board_mix.items():
        try:
            other = load(text)
        except GameError as error:
            raise ConfigError(f"{where}: board_mix: {error}") from error
        if other.source != game.source:
            raise ConfigError(f"{where}: board_mix: expected {game.name} with other parameters, got {text}")
        if other.label == game.label or other.spec in checked:
            raise ConfigError(
                f"{where}: board_mix: {text} is there already: expected other parameters than {other.spec}'s"
            )
        if not game.policy_planes or other.num_planes != game.num_planes:
            raise ConfigError(
                f"{where}: board_mix: a network of {game.spec} plays nothing but that; expected no other boards"
            )
        if not 0 < share < 1 or sum(checked.values()) + share >= 1:
            raise ConfigError(
                f"{where}: board_mix: expected shares of more than 0 that leave some for {game.spec}, got {share:g}"
            )
        checked[other.spec] = share
    return checked


def _check_growth(config: TrainConfig, source: str, sources: Mapping[str, str]) -> None:
    growth, network = config.growth, config.network
    for name in ("blocks", "channels"):
        wanted, least = getattr(growth, name), getattr(network, name)
        if growth.at_progress and 0 < wanted < least:
            where = sources.get(f"growth.{name}", source)
            raise ConfigError(
                f"{where}: growth.{name}: expected at least network.{name}, {least}, got {wanted}; "
                "growth.at_progress=0 lets the network be as it is"
            )
    if growth.at_progress and growth.network(network) == network:
        where = sources.get("growth.at_progress", source)
        raise ConfigError(
            f"{where}: growth.at_progress: expected growth.blocks or growth.channels larger than the network's, or 0, "
            "which lets it be as it is"
        )


def to_toml(config: TrainConfig) -> str:
    """The config with every value written out and explained, as `load_config` reads it back."""
    lines = []
    for key, field in options().items():
        section, _, name = key.rpartition(".")
        if section and f"[{section}]" not in lines:
            lines += ["", f"[{section}]"]
        value = getattr(getattr(config, section) if section else config, name)
        lines += [f"# {field.description}", f"{name} = {to_toml_value(value)}"]
    return "\n".join(lines) + "\n"


def to_toml_value(value: Any) -> str:
    """A number, a text, true or false, or a list or a table of such, as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_toml_value(key)} = {to_toml_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml_value, value)) + "]"
    # JSON's strings are TOML's, but for this character and the escapes that ensure_ascii would write.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_text(path: Path) -> str:
    """A config file's text. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected a TOML file, got something that is not text") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def parse_toml(source: str, text: str) -> dict[str, Any]:
    """The text's tables; `source` is where it is from, for the message. Raises ConfigError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from None


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in override.partition("="))
    key, override = (" ".join(one.split()) for one in (key, override))  # in messages, which are a line
    if not equals:
        raise ConfigError(f"--set {override}: expected section.key=value, as in search.simulations=64")
    if key not in options() and key not in RENAMED:
        raise ConfigError(f"--set {override}: {_unknown(key)}")
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return key, text
    return key, table["value"] if set(table) == {"value"} else text


def _unknown(key: str) -> str:
    if key in SECTIONS:
        return f"{key} is a section; expected one of its options, as {key}.{next(iter(SECTIONS[key].model_fields))}"

    def likeness(name: str) -> float:
        # Whole names, and last parts alone: the section may be missing or the wrong one.
        pairs = ((key, name), (key.rpartition(".")[2], name.rpartition(".")[2]))
        return max(difflib.SequenceMatcher(None, one, other).ratio() for one, other in pairs)

    nearest = max([*options(), *SECTIONS], key=likeness)
    if likeness(nearest) < 0.5:
        return f"unknown option {key}; the sections are: {', '.join(SECTIONS)}"
    return f"unknown option {key}; the nearest there is: {nearest}"


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "missing": "a value",
    "finite_number": "a finite number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
}


def _explain(error: ValidationError, source: str, sources: Mapping[str, str]) -> str:
    """The first thing that is wrong, in one line."""
    errors = error.errors()
    key = _option_of(errors[0]["loc"])
    mine = [e for e in errors if _option_of(e["loc"]) == key]  # several where an option may be of several types
    where = sources.get(key, source)
    if mine[0]["type"] == "extra_forbidden":
        return f"{where}: {_unknown(key)}"
    if mine[0]["type"] == "model_type":
        expected = f"a section, [{key}]"
    else:
        expected = expected_in_words(mine)
    got = "nothing" if mine[0]["type"] == "missing" else json.dumps(mine[0]["input"], ensure_ascii=False, default=str)
    return f"{where}: {key}: expected {expected}, got {got}"


def expected_in_words(errors: Sequence[Mapping[str, Any]]) -> str:
    """What pydantic expected in one place; several where any of several types would do."""
    return " or ".join(_EXPECTED.get(e["type"], e["msg"]).format(**e.get("ctx", {})).replace("'", '"') for e in errors)


def _option_of(location: tuple[int | str, ...]) -> str:
    """A location's option: without the parts pydantic adds for the alternatives of a type."""
    names = [str(part) for part in location]
    depth = 2 if names[0] in SECTIONS else 1
    return ".".join(names[:depth])
