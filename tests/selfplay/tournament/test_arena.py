"""Games side by side are those that the players would play one by one, whatever is played beside them."""

import threading
from collections import Counter

import numpy as np
import pytest

from keima import games
from keima.agent.contracts.player import Player, Resignation
from keima.agent.players.policy_player import PolicyPlayer
from keima.agent.players.search_player import SearchPlayer
from keima.agent.players.simple_players import RandomPlayer
from keima.games.contract import DRAW, FIRST_WINS, ONGOING, SECOND_WINS, GameError
from keima.games.position import Position
from keima.mcts.evaluator import Evaluate
from keima.mcts.rollout import RolloutEvaluator
from keima.mcts.search import PLAYOUT_SETTINGS, SearchSettings
from keima.selfplay.tournament import arena as arena_module
from keima.selfplay.tournament.arena import Arena, GameTask
from keima.selfplay.tournament.contestants import (
    Answer,
    AskedAtOnce,
    AskedInThread,
    NetworkContestant,
    PlayoutContestant,
    Thinking,
)
from keima.selfplay.tournament.match import play_all

WINNER = {FIRST_WINS: 0, SECOND_WINS: 1}


class WholeNumbers(Evaluate):
    """An evaluator whose sums are exact, so that they do not depend on the batch; keeps the sizes of its batches."""

    def __init__(self, game, seed):
        random = np.random.default_rng(seed)
        cells = game.num_planes * game.shape[0] * game.shape[1]
        self.policy = random.integers(-8, 9, (cells, game.num_actions)).astype(np.float32)
        self.value = random.integers(-8, 9, cells).astype(np.float32)
        self.sizes = []
        self.score_weight = 0.0

    def __call__(self, planes):
        self.sizes.append(len(planes))
        flat = np.round(planes.reshape(len(planes), -1) * 4)
        return flat @ self.policy / 16, np.tanh(flat @ self.value / 64)


def tasks(game, count, players=2, plies=3, seed=1):
    """Games of all pairs of players in turn, after random openings."""
    random, found = np.random.default_rng(seed), []
    pairs = [(a, b) for a in range(players) for b in range(players)]
    while len(found) < count:
        position = Position(game)
        for _ in range(plies):
            position.play(int(random.choice(position.legal_actions())))
        found.append(GameTask(len(found), pairs[len(found) % len(pairs)], tuple(position.actions), len(found)))
    return found


def replayed(game, actions):
    position = Position(game)
    for action in actions:
        position.play(action)
    return position


@pytest.mark.parametrize("name", ["connect4", "othello:4", "tictactoe"])
def test_networks_play_as_their_players_do_with_a_fresh_tree(name):
    game = games.load(name)
    nets = [WholeNumbers(game, 1), WholeNumbers(game, 2)]
    arena = Arena(game, [NetworkContestant(nets[0], 24), NetworkContestant(nets[1], 0)], tables=5)
    played = play_all(arena, tasks(game, 12))
    assert [p.task.number for p in played] == list(range(12))
    for p in played:
        position = replayed(game, p.task.opening)
        for action in p.actions[len(p.task.opening) :]:
            if p.task.players[position.player] == 0:
                player = SearchPlayer("", game, nets[0], 24)
            else:
                player = PolicyPlayer("", game, nets[1])
            assert player.choose(position) == action
            position.play(action)
        assert position.outcome == p.outcome != ONGOING
        assert not p.reason


def test_networks_count_scores_each_by_its_own_weight():
    game = games.load("othello:4")
    nets = [WholeNumbers(game, 1), WholeNumbers(game, 1)]
    nets[1].score_weight = 0.8
    arena = Arena(game, [NetworkContestant(net, 40) for net in nets], tables=5)
    changed = 0
    for p in play_all(arena, tasks(game, 12)):
        position = replayed(game, p.task.opening)
        for action in p.actions[len(p.task.opening) :]:
            chosen = [SearchPlayer("", game, net, 40).choose(position) for net in nets]
            assert chosen[p.task.players[position.player]] == action
            changed += chosen[0] != chosen[1]
            position.play(action)
    assert changed > 0


def test_networks_search_each_with_its_own_c_puct():
    game = games.load("othello:4")
    net = WholeNumbers(game, 1)
    arena = Arena(
        game, [NetworkContestant(net, 40), NetworkContestant(net, 40, settings=SearchSettings(c_puct=0.1))], tables=5
    )
    changed = 0
    for p in play_all(arena, tasks(game, 12)):
        position = replayed(game, p.task.opening)
        for action in p.actions[len(p.task.opening) :]:
            chosen = [
                SearchPlayer("", game, net, 40, settings=s).choose(position) for s in (None, SearchSettings(c_puct=0.1))
            ]
            assert chosen[p.task.players[position.player]] == action
            changed += chosen[0] != chosen[1]
            position.play(action)
    assert changed > 0


@pytest.mark.parametrize("cache_mb", [0, 1])
@pytest.mark.parametrize("tables", [1, 7, 40])
def test_a_game_does_not_depend_on_the_others(tables, cache_mb):
    game = games.load("connect4")

    def contestants():
        net = WholeNumbers(game, 1)
        return [
            NetworkContestant(net, 12, 0.5),
            NetworkContestant(net, 5),
            NetworkContestant(WholeNumbers(game, 3), 8),
            PlayoutContestant(15),
            AskedAtOnce(RandomPlayer),
        ]

    found = play_all(Arena(game, contestants(), tables, cache_mb), tasks(game, 40, players=5))
    again = play_all(Arena(game, contestants(), 25, 0), list(reversed(tasks(game, 40, players=5))))
    assert found == again


def test_positions_seen_again_come_from_the_cache():
    game = games.load("tictactoe")
    arenas = [Arena(game, [NetworkContestant(WholeNumbers(game, 1), 20)], 10, mb) for mb in (0, 4)]
    found = [play_all(arena, tasks(game, 30, players=1, plies=2)) for arena in arenas]
    assert found[0] == found[1]
    assert arenas[0].cache_hits == 0 < arenas[1].cache_hits
    assert arenas[1].evaluations + arenas[1].cache_hits == arenas[0].evaluations
    assert arenas[0].simulations == arenas[1].simulations > 0


def test_networks_keep_their_evaluations_apart():
    game = games.load("tictactoe")
    nets = [WholeNumbers(game, seed) for seed in (1, 2)]
    together = play_all(Arena(game, [NetworkContestant(net, 9) for net in nets], 8, 4), tasks(game, 24))
    apart = [
        play_all(Arena(game, [NetworkContestant(net, 9) for net in nets], 1, 0), [task])[0] for task in tasks(game, 24)
    ]
    assert together == apart


def test_players_with_one_network_share_its_batches():
    game = games.load("connect4")
    shared, other = WholeNumbers(game, 1), WholeNumbers(game, 2)
    contestants = [NetworkContestant(shared, 6), NetworkContestant(shared, 9), NetworkContestant(other, 6)]
    arena = Arena(game, contestants, 16, 0)
    for task in tasks(game, 16, players=2):
        arena.begin(task)
    arena.step()
    assert shared.sizes == [16]  # all roots, of both players
    assert other.sizes == []


def test_a_network_says_how_many_positions_suit_it():
    game = games.load("connect4")
    net = WholeNumbers(game, 1)
    net.batch_of = lambda count: min(count, 3)
    played = play_all(Arena(game, [NetworkContestant(net, 4)], 10, 0), tasks(game, 10, players=1))
    assert max(net.sizes) == 3
    assert len(played) == 10


def test_playouts_are_as_strong_as_the_player_with_playouts():
    game = games.load("connect4")
    contestants = [
        PlayoutContestant(20),
        AskedAtOnce(lambda seed: SearchPlayer("", game, RolloutEvaluator(game, seed), 20, settings=PLAYOUT_SETTINGS)),
    ]
    jobs = [task for task in tasks(game, 200, plies=6) if task.players in ((0, 1), (1, 0))]
    played = play_all(Arena(game, contestants), jobs)
    points = sum(0.5 if p.outcome == DRAW else p.task.players[WINNER[p.outcome]] == 0 for p in played)
    assert points / len(played) == pytest.approx(0.5, abs=0.2)  # four standard deviations


@pytest.mark.parametrize(("simulations", "temperature"), [(0, 1.0), (0, 2.5), (30, 1.0), (30, 0.5)])
def test_a_temperature_draws_as_the_players_do(simulations, temperature):
    game = games.load("tictactoe")
    net = WholeNumbers(game, 4)
    opening = (0, 8)
    # With the usual c_puct the search finds a win here, which is played whatever the temperature.
    contestant = NetworkContestant(net, simulations, temperature, SearchSettings(c_puct=1.25))
    played = play_all(
        Arena(game, [contestant, AskedAtOnce(RandomPlayer)], 64),
        [GameTask(i, (0, 1), opening, i) for i in range(1500)],
    )
    found = Counter(p.actions[2] for p in played)
    position = replayed(game, opening)
    player = PolicyPlayer("", game, net)
    if simulations:
        player = SearchPlayer("", game, net, simulations, settings=SearchSettings(c_puct=1.25))
    lines = player.think(position).variations
    weights = np.array([line.visits if simulations else line.prior for line in lines]) ** (1 / temperature)
    for line, share in zip(lines, weights / weights.sum(), strict=True):
        assert found[line.action] / 1500 == pytest.approx(share, abs=0.05)


class Failing(Player):
    """Plays `answers` in turn, the last again and again; one that is an error is raised."""

    name = "failing"

    def __init__(self, *answers):
        self.answers = list(answers)

    def choose(self, position):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return position.legal_actions()[0] if answer is None else answer


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("answers", "reason", "resigned"),
    [
        ((None, GameError("it has crashed")), "it has crashed", False),
        ((77,), "illegal move: action 77", False),
        ((-1,), "illegal move: action -1", False),
        ((Resignation("it resigns"),), "it resigns", True),
    ],
)
def test_who_fails_loses(side, answers, reason, resigned):
    game = games.load("connect4")
    failing = AskedAtOnce(lambda seed: Failing(*answers))
    arena = Arena(game, [failing, PlayoutContestant(5)], 4)
    players = (0, 1) if side == 0 else (1, 0)
    played = play_all(arena, [GameTask(i, players, (3, 3), i) for i in range(3)])
    for p in played:
        assert p.outcome == 1 - side
        assert (p.reason, p.resigned) == (reason, resigned)
        assert replayed(game, p.actions).player == side  # all moves but the one that failed


def test_a_network_that_answers_no_numbers_loses_its_games():
    game = games.load("connect4")

    class Broken(Evaluate):
        def __call__(self, planes):
            raise GameError("not numbers")

    played = play_all(Arena(game, [NetworkContestant(Broken(), 4), PlayoutContestant(4)], 4), tasks(game, 8))
    lost = [p for p in played if p.reason]
    assert {p.reason for p in lost} == {"not numbers"}
    assert all(p.task.players[1 - p.outcome] == 0 for p in lost)
    assert len(lost) == sum(0 in p.task.players for p in played) == 6


def test_games_go_on_beside_one_whose_player_thinks_long():
    game = games.load("connect4")
    may_go_on = threading.Event()

    class Slow(Failing):
        def choose(self, position):
            assert may_go_on.wait(60)
            return super().choose(position)

    slow = AskedInThread(lambda seed: Slow(None), capacity=1, one_for_all=True)
    arena = Arena(game, [slow, PlayoutContestant(5)], 8)
    arena.begin(GameTask(0, (0, 1), (), 0))
    for number in range(1, 8):
        arena.begin(GameTask(number, (1, 1), (), number))
    finished = []
    while len(finished) < 7:
        finished += arena.step()
    assert {p.task.number for p in finished} == set(range(1, 8))
    assert arena.busy
    may_go_on.set()
    while arena.busy:
        finished += arena.step()
    assert finished[-1].task.number == 0
    assert not finished[-1].reason


def test_players_are_made_for_games_and_told_of_their_ends():
    events = []

    class Told:
        capacity = 9

        def begin(self, table, seed):
            events.append(("begin", seed))

        def ask(self, table, position, answers):
            answers.put(Answer(table, position.legal_actions()[0]))

        def end(self, table):
            events.append(("end",))

        def close(self):
            events.append(("close",))

    game = games.load("tictactoe")
    play_all(Arena(game, [Told(), PlayoutContestant(3)], 1), [GameTask(0, (1, 0), (), 50), GameTask(1, (0, 0), (), 60)])
    # The two sides of one player get different numbers to draw from.
    assert events == [("begin", 51), ("end",), ("begin", 60), ("begin", 61), ("end",), ("close",)]


def test_a_player_for_all_games_is_told_of_each_and_its_thinking_is_timed():
    begun = []

    class Engine(Failing):
        def begin_game(self, seed):
            begun.append(seed)

    game = games.load("tictactoe")
    engine = AskedInThread(lambda seed: Engine(None), capacity=1, one_for_all=True)
    jobs = [GameTask(0, (0, 1), (), 50), GameTask(1, (1, 0), (), 60)]
    played = play_all(Arena(game, [engine, PlayoutContestant(3)], 1), jobs)
    assert begun == [50, 61]
    for task, result in zip(jobs, played, strict=True):
        side = task.players.index(0)
        own, other = result.thinking[side], result.thinking[1 - side]
        assert own.moves == len(result.actions[side::2])
        assert own.seconds >= own.longest_s > 0
        assert other == Thinking()


def test_turns_with_playouts_get_shorter_where_playouts_take_long(monkeypatch):
    game = games.load("connect4")
    arena = Arena(game, [PlayoutContestant(400)], 8)
    turns = []
    monkeypatch.setattr(arena, "_play_on", lambda *arguments: turns.append(arguments[-1]))
    clock = iter([0.0, 1.0, 5.0, 6.0, 9.0, 9.0, 9.5, 9.5])
    monkeypatch.setattr(arena_module.time, "perf_counter", lambda: next(clock))
    for _ in range(4):
        arena._play_out([0, 1])
    assert turns == [16, 8, 4, 8]  # two that took a second, then two that took no time
    arena._play_out([])  # nobody's turn


def test_what_is_no_opening():
    arena = Arena(games.load("tictactoe"), [PlayoutContestant(2)])
    with pytest.raises(GameError, match="action 4 is not legal here"):
        arena.begin(GameTask(0, (0, 0), (4, 4), 0))
    with pytest.raises(GameError, match="the game is over after it"):
        arena.begin(GameTask(0, (0, 0), (0, 3, 1, 4, 2), 0))


@pytest.mark.parametrize("contestant", [PlayoutContestant(3), AskedAtOnce(RandomPlayer)])
def test_a_game_that_does_not_end_is_found_out(contestant):
    connect4 = games.load("connect4")
    short = type("Short", (type(connect4),), {"max_plies": 6, "__module__": type(connect4).__module__})()
    with pytest.raises(GameError, match="went on after max_plies = 6"):
        play_all(Arena(short, [contestant], 2), [GameTask(0, (0, 0), (), 0)])


def test_large_trees_leave_room_for_fewer_tables():
    game = games.load("connect4")
    assert Arena(game, [PlayoutContestant(100)]).tables == 256
    assert Arena(game, [PlayoutContestant(100_000)]).tables < 40
