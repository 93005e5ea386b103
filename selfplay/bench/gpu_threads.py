"""How fast the threads of a GPU's actor play: `python -m keima.selfplay.bench.gpu_threads GAME`; no learner, no run.

For finding how many threads and parallel games suit a card, in seconds each; everything else is `keima bench`'s.
Where threads wait for evaluations, the card is what limits; where they do not, the search on their cores is.
"""

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from keima.agent.inference.factory import default_backend
from keima.agent.nets.network import Network
from keima.games import load
from keima.games.contract import Game, GameError
from keima.selfplay.actors.threaded_actor import GROUPS, Player, make_players
from keima.selfplay.bench.measuring import random_network
from keima.selfplay.config.loader import load_config
from keima.selfplay.config.schema import TrainConfig

LEAST_TURNS = 20
"""Of each thread in a measurement, however long they take."""


@dataclass(frozen=True)
class ThreadsSpeed:
    """What all threads did together."""

    simulations_per_s: float
    evaluations_per_s: float
    moves_per_s: float
    waiting_share: float
    """Of the threads' time, for evaluations."""


def measure(
    game: Game, config: TrainConfig, network: Network, backend: str, threads: int, seconds: float
) -> ThreadsSpeed:
    """Plays for `seconds` at least, counted from when every thread has had each of its groups evaluated.

    Raises what a thread raised.
    """
    players = make_players([game] * threads, config, network, backend, (config.seed,))
    ending, failures = threading.Event(), []

    def play(player: Player) -> None:
        try:
            for games in player.groups:
                player.submit(games)
            while not ending.is_set():
                games = player.receive()
                if games.finished_positions >= config.selfplay.segment_positions:
                    games.take_finished(0, 0)
                player.submit(games)
        except Exception as error:
            failures.append(error)
            ending.set()

    workers = [threading.Thread(target=play, args=(player,), daemon=True) for player in players]
    for worker in workers:
        worker.start()
    try:
        _wait_for_turns(players, GROUPS, ending)
        before, start_s = _done(players), time.perf_counter()
        turns = max(player.turns for player in players)
        ending.wait(seconds)
        _wait_for_turns(players, turns + LEAST_TURNS, ending)
        after, passed_s = _done(players), time.perf_counter() - start_s
    finally:
        ending.set()
        for worker in workers:
            worker.join()
    if failures:
        raise failures[0]
    simulations, evaluations, moves, waited_s = (
        (now - earlier) / passed_s for now, earlier in zip(after, before, strict=True)
    )
    return ThreadsSpeed(simulations, evaluations, moves, waited_s / threads)


def _wait_for_turns(players: Sequence[Player], turns: int, ending: threading.Event) -> None:
    while min(player.turns for player in players) < turns and not ending.wait(0.01):
        pass


def _done(players: Sequence[Player]) -> tuple[float, ...]:
    games = [group for player in players for group in player.groups]
    return (
        sum(group.simulations for group in games),
        sum(group.evaluations for group in games),
        sum(group.moves for group in games),
        sum(player.waited_s for player in players),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m keima.selfplay.bench.gpu_threads", description=__doc__)
    parser.add_argument("game", help="a game or a config file, as for keima train")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="as for keima train")
    parser.add_argument("--backend", default=default_backend(), help="default: %(default)s")
    parser.add_argument("--threads", type=_numbers, default=[1], metavar="N,N,...", help="default: 1")
    parser.add_argument(
        "--parallel_games", type=_numbers, default=[2048], metavar="N,N,...", help="a group's; default: 2048"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement; default: %(default)s")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for threads, parallel_games in itertools.product(options.threads, options.parallel_games):
        config = load_config(options.game, [*options.set, f"selfplay.parallel_games={parallel_games}"])
        game = load(config.game)
        found = measure(game, config, random_network(game, config), options.backend, threads, options.seconds)
        print(
            f"{options.backend}, {threads} threads x {GROUPS} x {parallel_games} games: "
            f"{found.simulations_per_s:,.0f} simulations, {found.evaluations_per_s:,.0f} evaluations, "
            f"{found.moves_per_s:,.0f} moves a second; "
            f"waiting for evaluations {100 * found.waiting_share:.0f} % of the time",
            flush=True,
        )


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected numbers of at least 1, got {text}")
    return numbers


if __name__ == "__main__":
    try:
        main()
    except GameError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
