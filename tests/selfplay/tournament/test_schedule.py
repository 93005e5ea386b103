"""Schedules: everybody gets what is due, from both sides; nothing is played twice; games go where they tell."""

import random
from collections import Counter
from itertools import combinations

import pytest

from keima.games.contract import DRAW, FIRST_WINS, SECOND_WINS
from keima.selfplay.tournament.schedule import (
    AdaptiveSchedule,
    FixedSchedule,
    Pairing,
    Result,
    SprtSchedule,
    gauntlet,
    round_robin,
)


class Numbered:
    """Opening n is (n,), or as many different ones as are wanted."""

    text = "numbers"

    def __init__(self, different=10**9):
        self.different = different

    def __getitem__(self, number):
        return (number % self.different,)


def drawn(schedule):
    found = []
    while (pairings := schedule.draw()) is not None:
        assert pairings
        found += pairings
    return found


def test_round_robin_is_balanced():
    schedule = FixedSchedule(round_robin(range(5)), 6, Numbered(), [])
    games = drawn(schedule)
    assert len(games) == schedule.total == 10 * 6
    assert schedule.played == 0
    for a, b in combinations(range(5), 2):
        own = [game for game in games if {game.first, game.second} == {a, b}]
        assert Counter(game.first for game in own) == {a: 3, b: 3}
        # Each opening once from each side, and the same ones for every pair.
        assert {(game.first, game.opening) for game in own} == {(p, (n,)) for p in (a, b) for n in range(3)}


@pytest.mark.parametrize(("sides", "first", "second"), [("first", 0, 1), ("second", 1, 0)])
def test_one_player_may_always_have_the_same_side(sides, first, second):
    schedule = FixedSchedule([(0, 1)], 6, Numbered(), [], sides)
    games = drawn(schedule)
    assert games == [Pairing(first, second, (n,)) for n in range(6)]
    assert schedule.total == 6
    # What was played before is not played again; games from the other side are none of these.
    later = FixedSchedule([(0, 1)], 6, Numbered(), [*games[1:3], Pairing(second, first, (0,))], sides)
    assert later.played == 2
    assert drawn(later) == [games[0], *games[3:]]


def test_rounds_are_openings():
    schedule = FixedSchedule(round_robin(range(3)), 4, Numbered(), [])
    first = schedule.draw()
    assert {game.opening for game in first} == {(0,)}
    assert len(first) == 6


def test_a_gauntlet_is_the_first_against_the_others():
    games = drawn(FixedSchedule(gauntlet([4, 1, 2]), 2, Numbered(), []))
    assert Counter(frozenset((g.first, g.second)) for g in games) == {frozenset((4, 1)): 2, frozenset((4, 2)): 2}


@pytest.mark.parametrize("different", [10**9, 3])
def test_what_was_played_is_not_played_again(different):
    whole = drawn(FixedSchedule(round_robin(range(4)), 10, Numbered(different), []))
    generator = random.Random(1)
    for share in (0.1, 0.5, 0.95, 1.0):
        history = generator.sample(whole, int(share * len(whole)))
        schedule = FixedSchedule(round_robin(range(4)), 10, Numbered(different), history)
        assert schedule.played == len(history)
        assert Counter(drawn(schedule)) + Counter(history) == Counter(whole)


def test_a_player_who_comes_later_plays_what_the_others_have_played():
    before = drawn(FixedSchedule(round_robin(range(3)), 4, Numbered(), []))
    added = drawn(FixedSchedule(round_robin(range(4)), 4, Numbered(), before))
    assert all(3 in (game.first, game.second) for game in added)
    assert len(added) == 3 * 4
    assert {game.opening for game in added} == {game.opening for game in before}


def test_games_with_other_openings_do_not_count():
    schedule = FixedSchedule([(0, 1)], 4, Numbered(), [Pairing(0, 1, (99,)), Pairing(0, 1, (0,)), Pairing(0, 1, (0,))])
    assert schedule.played == 1
    assert len(drawn(schedule)) == 3


# --- a test of two players


def play(schedule, outcome_of, shuffle=None):
    """Plays to the end with so many games under way; returns what was played, in the order of results."""
    under_way, played = [], []
    while not schedule.decided:
        while len(under_way) < 8:
            games = schedule.draw()
            if not games:
                break
            under_way += games
        if not under_way:
            break
        game = under_way.pop(shuffle.randrange(len(under_way)) if shuffle else 0)
        played.append(Result(game, outcome_of(game)))
        schedule.enter(played[-1])
    return played


def outcomes(pairing):
    """Made up, but always the same."""
    return (pairing.first * 3 + pairing.opening[0] * 7 + pairing.opening[0] // 3) % 3


@pytest.mark.parametrize("seed", range(5))
def test_a_test_is_told_pairs_of_games_in_the_order_of_openings(seed):
    told = []

    def decided(pairs):
        told.append(list(pairs))
        return len(pairs) == 20

    schedule = SprtSchedule(decided, 1000, Numbered(), [])
    played = play(schedule, outcomes, random.Random(seed))
    expected = [(outcomes(Pairing(0, 1, (n,))), outcomes(Pairing(1, 0, (n,)))) for n in range(20)]
    assert schedule.pairs == expected
    assert [len(pairs) for pairs in told] == list(range(1, 21))
    assert 40 <= len(played) <= 200
    assert schedule.draw() is None
    # After a kill, whatever order the games are on file in.
    again = SprtSchedule(decided, 1000, Numbered(), random.Random(seed + 1).sample(played[:30], 30))
    play(again, outcomes)
    assert again.pairs == expected


def test_a_test_ends_undecided_with_its_games():
    schedule = SprtSchedule(lambda pairs: False, 10, Numbered(), [])
    assert len(play(schedule, outcomes)) == 10
    assert not schedule.decided
    assert len(schedule.pairs) == 5


# --- where a game tells most


def results_of(pair, count, score):
    """Games of a pair; `score` of 10 are won by the first of the two, whoever moves first."""
    found = []
    for n in range(count):
        for first, second in (pair, pair[::-1]):
            wins = n % 10 < score
            found.append(
                Result(Pairing(first, second, (n,)), FIRST_WINS if wins == (first == pair[0]) else SECOND_WINS)
            )
    return found


def test_games_go_to_pairs_of_which_less_is_known():
    known = results_of((0, 1), 40, 5) + results_of((0, 2), 2, 5) + results_of((1, 2), 2, 5)
    schedule = AdaptiveSchedule(range(3), len(known) + 40, Numbered(), known)
    pairs = Counter(frozenset((g.first, g.second)) for g in schedule.draw())
    assert pairs[frozenset((0, 1))] == 0
    assert pairs[frozenset((0, 2))] == pairs[frozenset((1, 2))] > 0


def test_games_go_to_pairs_whose_winner_is_open():
    # 2 is out of reach of both; as many games each.
    known = results_of((0, 1), 20, 5) + results_of((2, 0), 20, 10) + results_of((2, 1), 20, 10)
    schedule = AdaptiveSchedule(range(3), len(known) + 200, Numbered(), known)
    pairs = Counter(frozenset((g.first, g.second)) for g in schedule.draw())
    assert pairs[frozenset((0, 1))] > max(pairs[frozenset((0, 2))], pairs[frozenset((1, 2))])


def test_who_has_not_played_plays_first():
    known = results_of((0, 1), 10, 5) + results_of((0, 2), 10, 5) + results_of((1, 2), 10, 5)
    schedule = AdaptiveSchedule(range(4), len(known) + 16, Numbered(), known)
    assert all(3 in (game.first, game.second) for game in schedule.draw())


def test_adaptive_pairing_plays_openings_from_both_sides_and_ends():
    schedule = AdaptiveSchedule(range(4), 120, Numbered(), [])
    played = play(schedule, outcomes)
    assert len(played) == schedule.total == 120
    games = Counter(result.pairing for result in played)
    assert set(games.values()) == {1}
    for pairing in games:
        assert Pairing(pairing.second, pairing.first, pairing.opening) in games


def test_an_opening_that_was_played_from_one_side_is_played_from_the_other_first():
    known = [Result(Pairing(0, 1, (0,)), DRAW)]
    schedule = AdaptiveSchedule(range(2), 5, Numbered(), known)
    assert schedule.draw()[0] == Pairing(1, 0, (0,))


def test_adaptive_pairing_does_not_depend_on_who_is_ready_first():
    rounds = []
    for seed in range(4):
        schedule = AdaptiveSchedule(range(5), 400, Numbered(), [])
        seen = []
        original = schedule.draw

        def draw(original=original, seen=seen):
            found = original()
            if found:
                seen.append(found)
            return found

        schedule.draw = draw
        play(schedule, outcomes, random.Random(seed))
        rounds.append(seen)
    assert rounds[0] == rounds[1] == rounds[2] == rounds[3]
    assert len(rounds[0]) >= 10


def test_a_short_book_comes_again():
    schedule = AdaptiveSchedule(range(2), 20, Numbered(3), [])
    played = play(schedule, outcomes)
    assert Counter(result.pairing for result in played) == {
        Pairing(a, 1 - a, (n,)): 4 if n == 0 else 3 for a in (0, 1) for n in range(3)
    }
