"""The process in which the learner and starting up are measured; see keima.selfplay.bench.measuring.WORKER.

It is a fresh process because the peak of memory and the time from a process's first line cannot be measured otherwise.
The task is one JSON object, the last argument. The answer is one JSON object, the last line on stdout.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def start_up(folder: Path, backend: str, started_s: float) -> dict[str, Any]:
    """Seconds since the process was started: to a net player's first move, and then to self-play's first step.

    The second includes the first: both need what is compiled for both, as an actor and a player need it.
    """
    from keima.agent.players.factory import make_player
    from keima.games import load
    from keima.games.position import Position
    from keima.selfplay.actors.messages import weights_path
    from keima.selfplay.config.loader import load_config

    config = load_config(str(folder / "config.toml"))
    game = load(config.game)
    player = make_player(str(weights_path(folder, 0)), game)
    player.choose(Position(game))
    first_move_s = time.monotonic() - started_s

    import torch

    from keima.agent.inference.factory import make_evaluator
    from keima.agent.nets.checkpoint import load_checkpoint
    from keima.selfplay.actors.generation import SelfPlay
    from keima.selfplay.config.schema import fixed

    torch.set_num_threads(1)
    network = load_checkpoint(weights_path(folder, 0), game).network
    games = SelfPlay(game, config.search, config.selfplay)
    games.step(make_evaluator(game, network, backend, fixed(config.selfplay.parallel_games)))
    return {"first_move_s": first_move_s, "first_step_s": time.monotonic() - started_s}


def learner(folder: Path, batch_sizes: list[int], threads: list[int], seconds: float, rounds: int) -> dict[str, Any]:
    """Training samples a second by batch size and threads, and the peak of this process's memory."""
    from keima.selfplay.bench.learning_speed import measure
    from keima.selfplay.bench.measuring import peak_memory_bytes

    found = measure(folder, batch_sizes, threads, seconds, rounds)
    return {"speeds": found, "peak_memory_bytes": peak_memory_bytes()}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"the start": start_up, "the learner": learner}


def main() -> None:
    # A copy of the pipe, since what libraries print must not come after the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    task = json.loads(sys.argv[-1])
    what, started_s = task.pop("what"), task.pop("started_s")
    task["folder"] = Path(task["folder"])
    if what == "the start":
        task["started_s"] = started_s
    from keima.games.contract import GameError

    try:
        answer = TASKS[what](**task)
    except GameError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), file=answers, flush=True)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
