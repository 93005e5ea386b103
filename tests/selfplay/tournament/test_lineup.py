"""Who takes part: texts completed to one spelling, runs thinned, players made as their texts say."""

import queue
import shutil
import sys
import threading

import pytest

from keima import games
from keima.agent.nets.shipped import require_shipped_net
from keima.games.contract import GameError
from keima.games.position import position_after
from keima.mcts.search import PLAY_SETTINGS
from keima.selfplay.tournament.contestants import (
    Answer,
    AskedAtOnce,
    AskedInThread,
    NetworkContestant,
    PlayoutContestant,
)
from keima.selfplay.tournament.lineup import (
    MANY,
    choose_backends,
    enter,
    make_contestants,
    run_checkpoints,
    start_engines,
    thinned,
)


@pytest.fixture
def connect4():
    return games.load("connect4")


def texts(entrants):
    return [entrant.text for entrant in entrants]


def test_what_a_move_costs_is_spelt_out(connect4):
    found = enter(["shipped", "rollout", "raw", "random", "alphabeta:3", "shipped seconds=2"], connect4)
    assert texts(found) == [
        "shipped simulations=200",
        "rollout:500",
        "raw",
        "random",
        "alphabeta:3",
        "shipped seconds=2",
    ]
    limited = enter(["shipped", "rollout", "rollout:7", "raw", "random"], connect4, simulations=16)
    assert texts(limited) == ["shipped simulations=16", "rollout:16", "rollout:7", "raw", "random"]
    assert texts(enter(["shipped", "random"], connect4, seconds=0.5)) == ["shipped seconds=0.5", "random"]


def test_two_spellings_are_one_player(connect4):
    assert len(enter(["shipped", "shipped   simulations=200", "rollout", "rollout:500"], connect4)) == 2


def test_two_players_of_one_name(connect4):
    with pytest.raises(GameError, match="are both called 'A'"):
        enter(["rollout:5 name=A", "rollout:6 name=A"], connect4)


def test_networks_are_known_by_their_content(connect4, tmp_path):
    net = require_shipped_net(connect4)
    shutil.copy(net, tmp_path / "a.safetensors")
    shutil.copy(net, tmp_path / "b.safetensors")
    (tmp_path / "b.safetensors").write_bytes(net.read_bytes() + b" ")
    shipped, a, b = enter(["shipped", f"{tmp_path}/a.safetensors", f"raw:{tmp_path}/b.safetensors"], connect4)
    assert shipped.digest == a.digest != b.digest
    assert a.name == "a simulations=200"


def test_what_cannot_be(connect4, tmp_path):
    with pytest.raises(GameError, match=r"no player 'bogus': .*expected one of random"):
        enter(["bogus"], connect4)
    with pytest.raises(GameError, match="exact: hex has no solver"):
        enter(["exact"], games.load("hex"))
    with pytest.raises(GameError, match="no net is shipped for hex"):
        enter(["shipped"], games.load("hex"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(GameError, match="expected a checkpoint, a run's folder or its folder of checkpoints"):
        enter([f"{tmp_path}/empty"], connect4)


@pytest.mark.parametrize("most", [2, 3, 5, 8])
def test_checkpoints_are_thinned_evenly_and_for_good(tmp_path, most):
    paths = [tmp_path / f"step-{n:08d}.safetensors" for n in range(100)]
    before = set()
    for count in range(1, 101):
        chosen = thinned(paths[:count], most)
        assert len(chosen) == min(count, len(chosen)) <= max(most, 2)
        assert chosen == sorted(chosen)
        assert chosen[0] == paths[0]
        assert chosen[-1] == paths[count - 1]
        # Nothing comes back: but for the newest one, all were there before or are new.
        assert set(chosen[:-1]) - before <= set(paths[count - 2 : count])
        before |= set(chosen)
    assert len(thinned(paths[:most], most)) == most
    assert thinned([], most) == []


def test_a_folder_of_checkpoints_is_a_whole_run(connect4, tmp_path):
    folder = tmp_path / "mine" / "checkpoints"
    folder.mkdir(parents=True)
    for step in range(0, 900, 100):
        shutil.copy(require_shipped_net(connect4), folder / f"step-{step:08d}.safetensors")
    found = enter([f"{folder} simulations=8"], connect4, checkpoints=4)
    assert [entrant.name for entrant in found] == [f"mine@{n} simulations=8" for n in (0, 400, 800)]
    assert run_checkpoints(tmp_path / "mine") == run_checkpoints(folder) == sorted(folder.iterdir())
    shutil.copy(require_shipped_net(connect4), tmp_path / "mine" / "model.safetensors")
    assert [entrant.name for entrant in enter([f"{tmp_path}/mine"], connect4)] == ["mine simulations=200"]


def test_players_are_what_their_texts_say(connect4, monkeypatch):
    from keima.selfplay.tournament import lineup

    made = []
    monkeypatch.setattr(
        lineup, "_evaluator", lambda game, weights, backend: made.append((weights, backend)) or object()
    )
    names = [
        "random",
        "rollout:50 temperature=0.5",
        "shipped c_puct=0.70 simulations=9",
        "shipped backend=openvino-f32 simulations=9",
        "raw temperature=2",
        "shipped seconds=1",
        "exact",
        "alphabeta:2",
        'gtp:"some engine"',
    ]
    entrants = enter(names, connect4)
    weights = str(require_shipped_net(connect4))
    backends = choose_backends(connect4, entrants, 64, "torch-f32")
    assert backends == {
        "shipped c_puct=0.7 simulations=9": "torch-f32",
        "shipped backend=openvino-f32 simulations=9": "openvino-f32",
        "raw temperature=2": "torch-f32",
        "shipped seconds=1": "torch-f32",
    }
    found = make_contestants(connect4, [(e.text, e.weights) for e in entrants], backends)
    at_random, playouts, net, other, raw, timed, exact, alphabeta, engine = found
    assert isinstance(at_random, AskedAtOnce)
    assert isinstance(playouts, PlayoutContestant)
    assert (playouts.simulations, playouts.temperature) == (50, 0.5)
    assert isinstance(net, NetworkContestant)
    assert isinstance(raw, NetworkContestant)
    assert (net.simulations, net.temperature, raw.simulations, raw.temperature) == (9, 0, 0, 2)
    assert isinstance(other, NetworkContestant)
    assert (net.settings.c_puct, other.settings.c_puct) == (0.7, PLAY_SETTINGS.c_puct)
    assert net.evaluate is raw.evaluate
    assert net.evaluate is not other.evaluate
    assert made == [(weights, "torch-f32"), (weights, "openvino-f32")]
    assert all(isinstance(player, AskedInThread) for player in (timed, exact, alphabeta, engine))
    assert [player.capacity for player in (timed, exact, alphabeta, engine)] == [1, 32, 32, 1]
    assert [e.games_at_once for e in entrants] == [MANY, MANY, MANY, MANY, MANY, 1, 32, 32, 1]
    assert [e.is_timed for e in entrants] == [False] * 5 + [True] + [False] * 3
    for player in (timed, exact, alphabeta, engine):
        player.close()


@pytest.mark.parametrize(("text", "alike"), [("exact", False), ("exact seed=5", True)])
def test_exact_has_one_solver_for_all_games_and_chance_for_each(text, alike, monkeypatch):
    import keima.agent.solvers

    game, find_solver, threads = games.load("tictactoe"), keima.agent.solvers.find_solver, []

    def counted_solver(game):
        threads.append(threading.current_thread().name)
        return find_solver(game)

    monkeypatch.setattr(keima.agent.solvers, "find_solver", counted_solver)
    (exact,) = make_contestants(game, [(text, "")], {})
    assert isinstance(exact, AskedInThread)
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    position, moves = position_after(game, ["b2"]), {}
    for table, seed in ((0, 1), (1, 2), (2, 1)):
        exact.begin(table, seed)
        played = []
        for _ in range(40):
            exact.ask(table, position, answers)
            played.append(game.action_to_text(position.state, answers.get().action))
        moves[table] = played
        exact.end(table)
    exact.close()
    assert threads == ["player"]
    assert set(moves[0]) == {"a1", "a3", "c1", "c3"}  # an edge loses
    assert moves[0] == moves[2]
    assert (moves[0] == moves[1]) is alike


def test_what_runs_a_network_is_measured_for_as_many_positions_as_it_is_asked_of(connect4, monkeypatch):
    import keima.agent.inference.autotuning

    asked = []

    def choose(game, network, batch_size):
        asked.append(batch_size)
        return keima.agent.inference.autotuning.BackendChoice(f"backend-for-{batch_size}", {}, {})

    monkeypatch.setattr(keima.agent.inference.autotuning, "choose_backend", choose)
    entrants = enter(["shipped simulations=9", "raw", "shipped seconds=1", "random"], connect4)
    found = choose_backends(connect4, entrants, 64)
    assert found == {"shipped simulations=9": "backend-for-64", "raw": "backend-for-64"} | {
        "shipped seconds=1": "backend-for-16"
    }
    assert sorted(asked) == [16, 64]  # once for each


def test_a_backend_that_cannot_run_is_refused_before_any_game(connect4):
    for texts, backend in (["shipped backend=abacus"], None), (["shipped"], "abacus"):
        with pytest.raises(GameError, match=r"backend abacus is none of Keima's: expected one of torch-f32, "):
            choose_backends(connect4, enter(texts, connect4), 64, backend)


@pytest.mark.parametrize(
    ("text", "timed"),
    [("uci:stockfish", True), ("uci:stockfish nodes=5", False), ("usi:x depth=2", False), ("gtp:gnugo level=1", False)],
)
def test_engines_that_are_told_nothing_get_a_time(text, timed, connect4):
    (entrant,) = enter([text], connect4)
    assert entrant.is_timed == timed
    assert entrant.games_at_once == 1


def test_engines_are_tried_before_the_games():
    tictactoe = games.load("tictactoe")
    engine = "tests/data/engines/gtp_engine.py"
    told = []
    good, dead = enter(
        [f'gtp:"{sys.executable} {engine}" name=good', f'gtp:"{sys.executable} -c pass" name=dead timeout=5', "random"],
        tictactoe,
    )[:2]
    assert start_engines([good], tictactoe, told.append) == []
    (warning,) = start_engines([dead, good], tictactoe, told.append)
    assert warning.endswith("it forfeits its games as long as it does so")
    assert told == ["starting good", "starting dead", "starting good"]
    with pytest.raises(GameError, match="no program 'no-such-engine'"):
        start_engines(enter(["gtp:no-such-engine"], tictactoe), tictactoe, told.append)
