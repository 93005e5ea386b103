"""Thinking with limits, reports and stop requests, by search players and a policy's; pondering in the background."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from keima.agent.contracts.thinking import REPORT_EVERY_S, Limit, Ponderer, SearchInfo, Thinker
from keima.agent.players import search_player
from keima.agent.players.factory import make_player
from keima.agent.players.policy_player import PolicyPlayer
from keima.agent.players.search_player import SearchPlayer
from keima.games import load
from keima.games.contract import GameError
from keima.games.position import Position, position_after
from keima.mcts.evaluator import Evaluate
from keima.mcts.search import SearchSettings

GAME = load("connect4")


class Gradual(Evaluate):
    """An evaluator that likes the last action best, and values positions by what lies in the first column."""

    def __init__(self, game=GAME):
        self._game = game
        self.positions = 0
        self.threads: set[int] = set()

    def __call__(self, planes):
        self.positions += len(planes)
        self.threads.add(threading.get_ident())
        logits = np.tile(np.linspace(0, 3, self._game.num_actions, dtype=np.float32), (len(planes), 1))
        own, others = planes[:, 0, :, 0].sum(1), planes[:, 1, :, 0].sum(1)
        return logits, np.tanh(own - others).astype(np.float32)


def by_thirds(planes):
    return np.tile(np.array([0.5, 0.3, 0.2], np.float32), (len(planes), 1))


class Clock(Evaluate):
    """Time that passes by a step each time it is asked for."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def monotonic(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def searcher(simulations=200, **options):
    return SearchPlayer("x", GAME, Gradual(), simulations, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None), "expected simulations or seconds, got neither"),
        ((0, None), "simulations: expected at least 1, got 0"),
        ((None, 0.0), "seconds: expected a number above 0, got 0"),
        ((5, float("nan")), "seconds: expected a number above 0, got nan"),
        ((5, float("inf")), "seconds: expected a number above 0, got inf"),
    ],
)
def test_a_limit_that_allows_nothing_is_refused(arguments, message):
    with pytest.raises(GameError, match=message):
        Limit(*arguments)


@pytest.mark.parametrize("leaves", [1, 7])
@pytest.mark.parametrize("simulations", [1, 2, 60, 333])
def test_a_limit_of_simulations_is_kept_to(simulations, leaves):
    info = searcher(settings=SearchSettings(leaves_per_batch=leaves)).think(Position(GAME), Limit(simulations))
    assert info.visits == simulations == sum(line.visits for line in info.variations)
    assert sorted(line.action for line in info.variations) == list(range(7))


def test_thoughts_are_those_of_the_search():
    game = load("gomoku:7")  # whose end is too far for any proof
    player = SearchPlayer("x", game, Gradual(game), 300, outcomes=by_thirds)
    position = position_after(game, ["d4", "d5", "c3"])
    info = player.think(position)
    assert info.variations[0].action == player.choose(position) == player.pick(info)
    assert info.wdl == pytest.approx((0.5, 0.3, 0.2))
    assert info.policy_move == game.num_actions - 1
    assert sum(line.prior for line in info.variations) == pytest.approx(1, abs=1e-6)
    values = [line.value * line.visits for line in info.variations if line.visits]
    root_value = Gradual(game)(game.planes(position.state)[None])[1][0]
    assert info.value == pytest.approx((sum(values) + root_value) / 301, abs=1e-5)
    for line in info.variations:
        twin = position.copy()
        for action in line.actions:
            twin.play(action)  # legal throughout
        assert line.actions[0] == line.action
    assert position.moves_text() == ["d4", "d5", "c3"]


def test_what_is_won_by_force_is_said_to_be_proven():
    position = position_after(GAME, ["4", "1", "4", "1", "4", "1"])
    info = searcher(500).think(position)
    best = info.variations[0]
    assert (best.action, best.value, best.proven, best.actions) == (3, 1.0, True, (3,))
    assert info.value == 1.0
    assert info.visits < 500  # nothing is left to find


def test_changes_of_mind_are_those_that_a_watcher_sees():
    """Against the twin that is asked for one simulation after the other; where all of them ask the evaluator."""
    game = load("gomoku:7")
    last = game.num_actions - 1
    position = position_after(game, ["d4", "d5", "c3"])
    info = SearchPlayer("x", game, Gradual(game), 250).think(position)
    twin = SearchPlayer("x", game, Gradual(game), 250)
    seen = [(0, last)]
    for simulations in range(1, 251):
        action = twin.think(position, Limit(simulations)).variations[0].action
        if action != seen[-1][1]:
            seen.append((simulations, action))
    assert info.changes == tuple(seen)
    assert len(seen) > 1
    assert twin.think(position, Limit(250)).changes == info.changes
    twin.forget()
    assert twin.think(position, Limit(1)).changes[0] == (0, last)


def test_reports_come_while_it_searches_and_the_last_is_the_answer(monkeypatch):
    clock = Clock(0.01)
    monkeypatch.setattr(search_player, "time", clock)
    reports: list[SearchInfo] = []
    info = searcher(100).think(Position(GAME), report=reports.append)
    assert reports[-1] == info
    assert reports[0].visits == 0  # after the root's evaluation alone
    assert len(reports) > 5
    visits = [report.visits for report in reports]
    assert visits == sorted(visits)
    seconds = [report.seconds for report in reports[:-1]]
    assert min(np.diff(seconds)) >= REPORT_EVERY_S
    assert all(sum(line.visits for line in report.variations) == report.visits for report in reports)


@pytest.mark.parametrize("leaves", [1, 8])
def test_a_limit_of_seconds_ends_between_two_batches(monkeypatch, leaves):
    clock = Clock(0.0)
    monkeypatch.setattr(search_player, "time", clock)

    class Slow(Gradual):
        def __call__(self, planes):
            clock.now_s += 0.1
            return super().__call__(planes)

    player = SearchPlayer("x", GAME, Slow(), 50, settings=SearchSettings(leaves_per_batch=leaves))
    info = player.think(Position(GAME), Limit(seconds=2.0))
    assert 2.0 <= info.seconds < 2.1 + 1e-9
    assert info.visits == pytest.approx(19 * leaves, abs=2 * leaves)


def test_simulations_that_need_no_evaluation_do_not_outlast_the_clock(monkeypatch):
    """Two moves before the end all is proven soon, and each simulation may end in a finished game."""
    clock = Clock(0.5)
    monkeypatch.setattr(search_player, "time", clock)
    player = searcher(Limit(seconds=3.0))
    looks = []
    monkeypatch.setattr(
        player, "_note_change", lambda search, note=player._note_change: (looks.append(search.visits()), note(search))
    )
    player.think(Position(GAME))
    assert max(np.diff(looks)) <= search_player.PIECE


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_stop_request_is_answered_between_two_batches(after):
    asked = []

    def should_stop():
        asked.append(True)
        return len(asked) > after

    info = searcher(settings=SearchSettings(leaves_per_batch=4)).think(Position(GAME), should_stop=should_stop)
    assert info.visits <= 4 * after
    assert len(info.variations) == 7
    assert info.changes[0] == (0, 6)


def test_the_tree_is_kept_when_the_limit_changes():
    player = searcher(200)
    position = Position(GAME)
    first = player.think(position, Limit(100))
    assert player.think(position, Limit(50)).visits == 100
    more = player.think(position, Limit(150))
    assert more.visits == 150
    assert more.changes[: len(first.changes)] == first.changes
    afresh = searcher(200).think(position, Limit(150))
    assert [line.visits for line in more.variations] == [line.visits for line in afresh.variations]
    assert player.think(position, Limit(1000)).visits == 1000  # larger than the tree was


def test_a_search_whose_evaluation_failed_starts_afresh():
    class Failing(Gradual):
        fails = False

        def __call__(self, planes):
            if self.fails and self.positions > 50:
                raise GameError("broken")
            return super().__call__(planes)

    evaluate = Failing()
    player = SearchPlayer("x", GAME, evaluate, 200, settings=SearchSettings(leaves_per_batch=4))
    evaluate.fails = True
    with pytest.raises(GameError, match="broken"):
        player.think(Position(GAME))
    evaluate.fails = False
    twin = searcher(200, settings=SearchSettings(leaves_per_batch=4))
    assert player.think(Position(GAME)).variations == twin.think(Position(GAME)).variations


def test_nobody_thinks_about_a_game_that_is_over():
    position = position_after(GAME, ["4", "1", "4", "1", "4", "1", "4"])
    for player in (searcher(), PolicyPlayer("x", GAME, Gradual())):
        with pytest.raises(GameError, match="the game is over"):
            player.think(position)


class Scored(Gradual):
    """Of whose values a fifth is a score: half of what it can be for the first player, wherever the game goes."""

    score_weight = 0.2

    def __call__(self, planes):
        logits, values = super().__call__(planes)
        first_to_move = planes[:, :2].sum((1, 2, 3)) % 2 == 0
        return logits, (0.8 * values + 0.2 * np.where(first_to_move, 0.5, -0.5)).astype(np.float32)

    def outcomes(self, planes):
        values = super().__call__(planes)[1]
        return np.stack([(1 + values) / 2, 0 * values, (1 - values) / 2], 1)


def test_values_are_told_as_win_less_loss_where_the_search_counts_scores_too():
    game = load("othello:6")
    position = Position(game)
    position.play(position.legal_actions()[0])
    info = {}
    for outcomes in (None, Scored(game).outcomes):
        player = SearchPlayer("x", game, Scored(game), 100, outcomes=outcomes)
        info[outcomes is None] = player.think(position)
    counted, told = info[True], info[False]
    assert told.value == pytest.approx((counted.value + 0.1) / 0.8, abs=1e-5)  # the second player is to move
    for one, other in zip(told.variations, counted.variations, strict=True):
        if one.visits:
            assert one.value == pytest.approx((other.value + 0.1) / 0.8, abs=1e-5)
    alone = PolicyPlayer("x", game, Scored(game), outcomes=Scored(game).outcomes).think(position)
    assert alone.value == pytest.approx(alone.wdl[0] - alone.wdl[2])


def test_a_policy_thinks_once():
    player = PolicyPlayer("x", GAME, Gradual(), outcomes=by_thirds)
    reports: list[SearchInfo] = []
    info = player.think(Position(GAME), Limit(seconds=5), report=reports.append)
    assert reports == [info]
    assert [line.action for line in info.variations] == [6, 5, 4, 3, 2, 1, 0]
    assert (info.visits, info.value, info.changes) == (0, 0.0, ((0, 6),))
    assert info.wdl == pytest.approx((0.5, 0.3, 0.2))
    assert player.pick(info) == player.choose(Position(GAME)) == 6


@pytest.mark.parametrize("text", ["rollout:30", "shipped", "raw:shipped"])
def test_players_with_an_evaluator_are_thinkers(text):
    player = make_player(text, GAME)
    assert isinstance(player, Thinker)
    info = player.think(position_after(GAME, ["4", "4"]), Limit(20))
    assert (info.wdl is None) == text.startswith("rollout")
    if info.wdl is not None:
        assert sum(info.wdl) == pytest.approx(1, abs=1e-5)
        assert min(info.wdl) >= 0


# --- temperature


def test_a_temperature_spreads_the_choice_by_visits():
    position = position_after(GAME, ["4", "4", "3"])
    info = searcher(200).think(position)
    visits = {line.action: line.visits for line in info.variations}
    for temperature in (0.5, 1.0, 2.0):
        player = searcher(200, temperature=temperature, seed=3)
        drawn = np.bincount([player.pick(info) for _ in range(4000)], minlength=7) / 4000
        powers = np.array([visits[a] ** (1 / temperature) for a in range(7)])
        np.testing.assert_allclose(drawn, powers / powers.sum(), atol=0.035)
    twins = [searcher(200, temperature=1.0, seed=4) for _ in range(2)]
    chosen = [[twin.choose(position) for _ in range(40)] for twin in twins]
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) > 1


def test_a_small_temperature_draws_the_best_and_what_is_won_is_won():
    position = position_after(GAME, ["4", "1", "4", "1", "4", "1"])
    assert {searcher(100, temperature=10.0, seed=s).choose(position) for s in range(20)} == {3}
    start = Position(GAME)
    best = searcher(200).choose(start)
    assert {searcher(200, temperature=0.01, seed=s).choose(start) for s in range(20)} == {best}


def test_a_policy_draws_by_its_priors():
    player = PolicyPlayer("x", GAME, Gradual(), temperature=1.0, seed=1)
    info = player.think(Position(GAME))
    drawn = np.bincount([player.pick(info) for _ in range(4000)], minlength=7) / 4000
    np.testing.assert_allclose(drawn, [line.prior for line in info.variations][::-1], atol=0.035)


@pytest.mark.parametrize("temperature", [-0.1, 11.0, float("nan")])
def test_a_temperature_that_makes_no_sense_is_refused(temperature):
    with pytest.raises(GameError, match="temperature: expected a number from 0 to 10"):
        searcher(temperature=temperature)


# --- pondering


def test_pondering_leaves_what_it_found_to_the_next_search():
    """Ended by the tree's being searched to its limit, so that nothing depends on how fast that is."""
    evaluate = Gradual()
    ponderer = Ponderer(SearchPlayer("x", GAME, evaluate, 100), Limit(simulations=2000))
    position = position_after(GAME, ["4"])
    ponderer.ponder(position)
    position.play_text("1")  # what is pondered is the position as it was
    thread = ponderer._thread
    assert thread is not None
    thread.join()
    assert not ponderer.is_pondering
    before = evaluate.positions
    assert 1000 < before <= 2001  # a few simulations see the end, and ask nobody
    assert evaluate.threads == {thread.ident}
    info = ponderer.think(position)
    assert info.visits > 100
    assert evaluate.positions == before  # nothing was left to search
    assert ponderer.choose(position) == ponderer.pick(info)


def test_pondering_is_stopped_by_whatever_comes_next():
    ponderer = Ponderer(searcher(50))
    position = Position(GAME)
    for _ in range(20):
        ponderer.ponder(position)
        ponderer.ponder(position)
        position.play(ponderer.choose(position))
        assert not ponderer.is_pondering
        if position.is_over:
            break
    ponderer.ponder(position)
    ponderer.stop()
    ponderer.stop()
    ponderer.forget()
    assert not ponderer.is_pondering


def test_pondering_waits_for_a_search_under_way_and_can_be_stopped_while_it_does():
    began, go_on = threading.Event(), threading.Event()

    class Held(Gradual):
        def __call__(self, planes):
            began.set()
            assert go_on.wait(60)
            return super().__call__(planes)

    ponderer = Ponderer(SearchPlayer("x", GAME, Held(), 50))
    info: list[SearchInfo] = []
    search = threading.Thread(target=lambda: info.append(ponderer.think(Position(GAME))))
    search.start()
    assert began.wait(60)
    ponderer.ponder(position_after(GAME, ["4"]))
    assert ponderer.is_pondering
    ponderer.stop()  # comes back though the search goes on
    assert search.is_alive()
    ponderer.ponder(position_after(GAME, ["4"]))
    go_on.set()
    search.join()
    assert info[0].visits == 50
    ponderer.stop()


def test_threads_that_ponder_and_think_at_once_do_not_block_each_other():
    ponderer, position = Ponderer(searcher(20)), position_after(GAME, ["4"])
    found: list[int] = []

    def play():
        for _ in range(15):
            ponderer.ponder(position)
            found.append(ponderer.think(position).visits)
            ponderer.stop()

    threads = [threading.Thread(target=play) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(found) == 60
    assert min(found) >= 20
    assert not ponderer.is_pondering


def test_what_goes_wrong_while_pondering_is_raised_once_by_the_next_call():
    class Broken(Gradual):
        def __call__(self, planes):
            if self.positions >= 30:
                raise GameError("the net is broken")
            return super().__call__(planes)

    evaluate = Broken()
    ponderer = Ponderer(SearchPlayer("x", GAME, evaluate, 20))
    ponderer.ponder(Position(GAME))
    assert ponderer._thread is not None
    ponderer._thread.join()
    with pytest.raises(GameError, match="the net is broken"):
        ponderer.think(Position(GAME))
    evaluate.positions = 0
    assert ponderer.think(Position(GAME)).visits == 20


def test_a_program_may_end_while_it_ponders():
    script = (
        "from keima.agent.players.factory import make_player\n"
        "from keima.agent.contracts.thinking import Ponderer\n"
        "from keima.games.position import Position\n"
        "from games import load\n"
        "game = load('connect4')\n"
        "ponderer = Ponderer(make_player('shipped', game))\n"
        "ponderer.think(Position(game))\n"
        "ponderer.ponder(Position(game))\n"
        "print('THE END')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "THE END\n"), done.stderr


def test_nothing_is_pondered_when_the_game_is_over():
    ponderer = Ponderer(searcher(50))
    ponderer.ponder(position_after(GAME, ["4", "1", "4", "1", "4", "1", "4"]))
    assert not ponderer.is_pondering
    ponderer.stop()
