"""Players as text: what is read, one spelling for each, and what is refused."""

import pickle
import random

import pytest

from keima.agent.contracts.player_spec import (
    ACCEPTED_OPTIONS,
    CHECKPOINT,
    ENGINES,
    KINDS,
    OPTIONS,
    PlayerSpec,
    engine_options,
    parse,
)
from keima.games.contract import GameError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("random", "random"),
        (" random  seed=007 ", "random seed=7"),
        ("rollout", "rollout"),
        ("rollout:", "rollout"),
        ("rollout:0100 seed=3", "rollout:100 seed=3"),
        ("rollout simulations=100", "rollout:100"),
        ("alphabeta depth=4", "alphabeta:4"),
        ("shipped temperature=0.30\tsimulations=400", "shipped simulations=400 temperature=0.3"),
        ("shipped seconds=2.0", "shipped seconds=2"),
        ("raw", "raw"),
        ("raw:shipped", "raw"),
        ("raw:./runs//a/", "raw:runs/a"),
        ("./runs/a/ name=me", "runs/a name=me"),
        ('"my runs/a"', '"my runs/a"'),
        ("my runs/a seed=1", '"my runs/a" seed=1'),
        ("./random", "./random"),
        ("./gtp:x", "./gtp:x"),
        ('"lr=0.1"', '"lr=0.1"'),
        ("./lr=0.1", '"lr=0.1"'),
        ("rolout:100", "rolout:100"),  # a file's name, as far as anyone knows who does not look
        ('gtp:"gnugo --mode gtp" seconds=2', 'gtp:"gnugo --mode gtp" seconds=2'),
        ("gtp:gnugo  --mode gtp seconds=2", 'gtp:"gnugo --mode gtp" seconds=2'),
        ("gtp:gnugo", 'gtp:"gnugo"'),
        ("gtp:'gnugo' --level=10", 'gtp:"gnugo --level=10"'),
        ("gtp:\"sh -c 'echo a'\"", "gtp:\"sh -c 'echo a'\""),
        ('uci:"stockfish" set="Threads=1 ,Hash=16"', 'uci:"stockfish" set="Hash=16, Threads=1"'),
        (r'gtp:"say \"a b\""', "gtp:\"say 'a b'\""),
        ('random name="a \\"b\\" \\\\c"', 'random name="a \\"b\\" \\\\c"'),
    ],
)
def test_one_spelling(text: str, canonical: str):
    spec = parse(text)
    assert spec.text == canonical
    assert parse(canonical) == spec
    assert hash(parse(canonical)) == hash(spec)
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_what_is_read():
    spec = parse('uci:"stockfish" nodes=1000 level=3 name="Fish" set="Hash=16,Threads=1"')
    assert spec == PlayerSpec(
        "uci", "stockfish", {"nodes": 1000, "level": 3, "name": "Fish", "set": "Hash=16, Threads=1"}
    )
    assert spec.label == "Fish"
    assert engine_options(spec) == {"Hash": "16", "Threads": "1"}
    assert parse("shipped").label == "shipped"
    assert parse("runs/a") == PlayerSpec(CHECKPOINT, "runs/a", {})
    assert parse("rollout:100") == PlayerSpec("rollout", None, {"simulations": 100})
    assert engine_options(parse("gtp:gnugo")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no player '': expected one of random, rollout, .*, or a checkpoint or a run's folder"),
        ("simulations=3", "no player 'simulations=3'"),
        ('""', "got an empty text"),
        ("random:5", "random: takes nothing after a colon, got '5'"),
        ("shipped foo", "shipped: expected options as simulations=400, got 'foo'"),
        ("shipped simulation=4", r"unknown option 'simulation' \(did you mean simulations\?\); it takes simulations, "),
        ("exact depth=1", "exact: unknown option 'depth'; it takes seed, name"),
        ("shipped simulations=-4", "shipped: simulations: expected a whole number from 0 to 1000000, got '-4'"),
        ("shipped simulations=4.5", "expected a whole number"),
        ("shipped simulations=99999999999999999999999", "expected a whole number"),
        ("shipped seconds=nan", "shipped: seconds: expected a number from 0.001 to 86400, got 'nan'"),
        ("shipped seconds=1.2.3", "expected a number"),
        ("shipped seconds=", "expected a number"),
        ("shipped temperature=11", "from 0 to 10"),
        ("random backend=torch-f32", "random: unknown option .backend.; it takes seed, name"),
        ("shipped seed=1 seed=2", "the option seed is said twice"),
        ("shipped seed=²", "expected a whole number"),
        ('shipped name=""', "shipped: name: expected 1 to 200 printable characters"),
        ("rollout:²", "rollout: expected a number of playouts from 1 to 1000000, got '²'"),
        ("rollout:0", "from 1 to 1000000, got '0'"),
        ("rollout simulations=0", "rollout: expected at least 1 simulation, got 0"),
        ("rollout:3 simulations=3", "rollout: simulations are said twice, 3 and 3"),
        ("alphabeta:many", "alphabeta: expected a number of plies from 1 to 1000, got 'many'"),
        ("gtp:", "gtp: expected the command of an engine, as gtp:\"ENGINE --its-options\", got ''"),
        ('gtp:"a', "a double quote is not closed"),
        ("gtp:'a", "gtp: a quote is not closed in the command"),
        ("uci:x set=3", "uci: set: expected \"Name=value, Name=value\", got '3'"),
        ("a\x00b", "expected printable characters"),
    ],
)
def test_what_is_refused(text: str, message: str):
    with pytest.raises(GameError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_limits_are_filled_in_where_nothing_is_said():
    assert parse("shipped name=a").completed(simulations=64, seconds=None).text == "shipped name=a simulations=64"
    assert parse("shipped seconds=2").completed(simulations=64).text == "shipped seconds=2"
    assert parse("rollout").completed(simulations=64).text == "rollout:64"
    assert parse("rollout:5").completed(simulations=64).text == "rollout:5"
    assert parse("exact").completed(simulations=64, seconds=1).text == "exact"
    assert parse("gtp:x").completed(simulations=64, seconds=1.0).text == 'gtp:"x" seconds=1'
    assert parse("uci:x").completed(nodes=10, seconds=1.0).text == 'uci:"x" nodes=10 seconds=1'


def test_every_option_is_one_that_is_known():
    for kind, accepted in ACCEPTED_OPTIONS.items():
        assert set(accepted) <= set(OPTIONS), kind
        assert "name" in accepted
    assert {CHECKPOINT, *KINDS} == set(ACCEPTED_OPTIONS)
    assert set(ENGINES) < set(KINDS)


def test_any_text_is_read_or_refused_and_what_is_read_has_one_spelling():
    generator = random.Random(3)
    parts = [*KINDS, *OPTIONS, *":=\"'\\ \t./,", "runs/a", "1", "0.5", "é", "\n", "a b", "\x01", '="', '" ']
    read = [
        spec
        for _ in range(20_000)
        if (spec := read_or_refused("".join(generator.choices(parts, k=generator.randrange(1, 9)))))
    ]
    assert len(read) > 2000
    for spec in read:
        assert parse(spec.text) == spec
        assert parse(spec.text).text == spec.text


def read_or_refused(text: str) -> PlayerSpec | None:
    try:
        return parse(text)
    except GameError:
        return None
