"""Rules, komi and size as SGF files name them."""

import pytest

from keima.agent.records.sgf import from_sgf
from keima.games import load
from keima.games.contract import GameError


@pytest.mark.parametrize(
    ("written", "parameters"),
    [
        ("Japanese", "rules=japanese,ko=simple"),
        ("japanese rules", "rules=japanese,ko=simple"),
        ("AGA", "rules=aga,ko=situational"),
        ("French", "rules=aga,ko=situational"),
        ("", ""),
        ("koPOSITIONALscoreAREAtaxNONEsui0whbN", "rules=chinese"),
        ("koSITUATIONALscoreAREAtaxNONEsui0whbN-1fpok", "rules=aga,ko=situational"),
        ("koSIMPLEscoreTERRITORYtaxSEKIsui0", "rules=japanese,ko=simple"),
        ("koPOSITIONALscoreAREAsui1", "suicide=yes"),
        ('{"ko":"SIMPLE","scoring":"AREA","tax":"NONE","whiteHandicapBonus":"N"}', "rules=chinese,ko=simple"),
    ],
)
def test_rules_that_are_known(written, parameters):
    warnings: list[str] = []
    assert from_sgf(f"(;GM[1]SZ[9]RU[{written}];B[ee])".encode(), warn=warnings.append).game == load(
        f"go:9,{parameters}".rstrip(",")
    )
    assert warnings == []


@pytest.mark.parametrize(
    "written",
    ["martian", "koPOSITIONALscoreAREAtaxALLsui0", "koPOSITIONALscoreAREAtaxNONEsui0button1", '{"ko":3}', "{"],
)
def test_rules_that_are_not_known_are_those_there_were(written):
    for base in (None, load("go:19,rules=japanese,ko=simple,komi=6.5,handicap=2,limit=400")):
        warnings: list[str] = []
        game = from_sgf(
            f"(;GM[1]SZ[9]RU[{written}];B[ee])".encode(), None, "x.sgf", base=base, warn=warnings.append
        ).game
        assert game == load("go:9" if base is None else "go:9,rules=japanese,ko=simple,komi=6.5")
        assert warnings == [f"x.sgf: rules that are not known, {written!r}: those there were are kept"]


@pytest.mark.parametrize(("written", "komi"), [("7.3", 7.5), ("6.9", 6.5), ("-3.2", -3.5), ("9.0", 9), ("99999", 400)])
def test_komi_that_the_rules_do_not_have_is_the_one_by_which_the_same_side_wins(written, komi):
    assert from_sgf(f"(;GM[1]SZ[9]KM[{written}];B[ee])".encode()).game.komi == komi


def test_a_base_is_for_its_own_game():
    data = b"(;GM[4]SZ[9];B[ee])"
    assert from_sgf(data, base=load("go:9,komi=3.5")).game == load("gomoku:9")
    assert from_sgf(data, base=load("gomoku:15,win=4")).game == load("gomoku:9,win=4")
    with pytest.raises(GameError, match="gomoku: win is at most the size, 9, got 12"):
        from_sgf(data, base=load("gomoku:15,win=12"))
