"""A peer's self-play, to be measured beside Keima's: Connect Four by pgx, the search by mctx, all compiled by XLA.

    python3 -m venv peer-venv
    peer-venv/bin/pip install jax pgx mctx
    peer-venv/bin/python tests/peers/pgx_mctx.py                       # a JSON line a burst
    peer-venv/bin/python tests/peers/pgx_mctx.py --batches 256 --precisions float32 --rounds 3

It needs an environment of its own and nothing of Keima; tests/peers/compare.py runs it beside Keima, in turns.

What is there in the peer's favour: one move of all games, search and rules and reset, is one compiled function; the
network is inference only, its normalizations folded away, its weights constants that the compiler knows; all
convolutions are XLA's own (as products of matrices they took twice as long or more); XLA's preset for fast code is
on, which gave 5 %; warm-up is not timed. With random weights the network has the layers of Keima's but for its pooling
(3.17 million multiply-adds a position, 0.05 % fewer). With `--weights` it is Keima's to the last weight, which matters:
a trained policy makes trees deeper. mctx evaluates a root and then a leaf for every simulation, so a move takes
simulations + 1 evaluations, and all of them are counted: also those of positions in which the game is over, which the
search has no use for.

Bursts take whole moves, so they are longer than `--seconds` where batches are large. Rates are to be taken by CPU
time, which other processes on the machine change less than they change the clock's.
"""

import argparse
import dataclasses
import importlib.metadata
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

BLOCKS, CHANNELS = 4, 32
POLICY_CHANNELS = VALUE_CHANNELS = 8
VALUE_HIDDEN = 64
CELLS, PLANES, ACTIONS = 42, 2, 7
RANDOM = "random"
XLA_FLAGS = "--xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_RUNTIME"
SPREAD_PLIES = 60
"""Moves at random before anything is measured, so that the games under way are of all lengths."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to run the peer."""

    policy: str  # gumbel or muzero
    precision: str  # float32 or bfloat16
    batch: int  # games side by side
    weights: str  # RANDOM, or a file as compare.py writes it


def main() -> None:
    options = _parse()
    _hold_to_one_core(options.core, options.xla_flags)
    rows = itertools.product(options.policies, options.precisions, options.batches, options.weights)
    contenders = [Contender(*row) for row in rows]
    games = []
    for contender in contenders:
        print(f"compiling {contender}", file=sys.stderr, flush=True)
        games.append(Games(contender, options.simulations))
    if options.serve:
        ready = [
            {**dataclasses.asdict(contender), "judgement": judgement(contender, options.judge)}
            for contender in contenders
        ]
        _say({"ready": ready, "versions": versions()})
        for line in sys.stdin:
            number, seconds = json.loads(line)
            _say(games[number].burst(seconds))
        return
    for _ in range(options.rounds):
        for played in games:
            _say(played.burst(options.seconds))


def _one_of(*known: str) -> Callable[[str], list[str]]:
    """A reader of an option that names some of these, with commas between."""

    def read(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(known):
            raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, got {','.join(sorted(unknown))}")
        return text.split(",")

    return read


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=_numbers, default=[32, 64, 128, 256, 512, 1024], help="games side by side")
    parser.add_argument("--precisions", type=_one_of("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument(
        "--policies", type=_one_of("gumbel", "muzero"), default=["gumbel"], help="gumbel, muzero or both"
    )
    parser.add_argument("--simulations", type=int, default=100, help="simulations a move")
    parser.add_argument("--rounds", type=int, default=5, help="bursts of each contender")
    parser.add_argument("--seconds", type=float, default=2.0, help="a burst, at least; of the clock")
    parser.add_argument("--core", type=int, help="the core to keep to; by default the last one there is")
    parser.add_argument(
        "--xla-flags", default=XLA_FLAGS, help='further flags for XLA ("" where it does not know these)'
    )
    parser.add_argument("--weights", action="append", help='"random", the default, or an .npz file; may be given again')
    parser.add_argument("--judge", type=_numbers, default=[], help="moves to a position whose judgement --serve tells")
    parser.add_argument(
        "--serve", action="store_true", help="a burst for each line '[contender's number, seconds]' of the input"
    )
    options = parser.parse_args()
    options.weights = options.weights or [RANDOM]
    return options


def _hold_to_one_core(core: int | None, xla_flags: str) -> None:
    """Before JAX is imported: its pools of threads are as large as the cores that it may use."""
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if core is None else core})
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {xla_flags}"
    os.environ["JAX_PLATFORMS"] = "cpu"


def versions() -> dict[str, str]:
    """Of what is measured."""
    return {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "pgx", "mctx")}


def judgement(contender: Contender, moves: list[int]) -> list[float]:
    """The network's policy [A] and value of the position after these moves."""
    import jax
    import jax.numpy as jnp
    import pgx

    environment = pgx.make("connect_four")
    state = environment.init(jax.random.key(0))
    for move in moves:
        state = environment.step(state, jnp.int32(move))
    logits, values = jax.jit(_network(contender))(state.observation[None])
    return [*jax.nn.softmax(logits[0]).tolist(), float(values[0])]


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


class Games:
    """`batch` games of Connect Four side by side, each begun anew when it ends. Compiled when made."""

    def __init__(self, contender: Contender, simulations: int) -> None:
        import jax
        import pgx

        self._contender = contender
        self._simulations = simulations
        environment = pgx.make("connect_four")
        key = jax.random.key(0)
        state = jax.vmap(environment.init)(jax.random.split(key, contender.batch))
        state = _spread(environment, state, key)
        self._move = jax.jit(_mover(environment, contender, simulations), donate_argnums=0)
        self._carry: Any = (state, key)
        self._play()

    def burst(self, seconds: float) -> dict[str, Any]:
        """Plays whole moves of all games for at least so long; what that took."""
        moves = games = 0
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        while time.perf_counter() - wall_s < seconds:
            games += self._play()
            moves += self._contender.batch
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        return {
            **dataclasses.asdict(self._contender),
            "evaluations": moves * (self._simulations + 1),
            "simulations": moves * self._simulations,
            "moves": moves,
            "games": games,
            "cpu_s": cpu_s,
            "wall_s": wall_s,
        }

    def _play(self) -> int:
        """One move of every game; how many games ended."""
        self._carry, _targets, ended = self._move(self._carry)
        return int(ended)  # waits until all is computed


def _mover(environment: Any, contender: Contender, simulations: int) -> Callable[[Any], Any]:
    """A function (state, key) -> (state, key), policy targets [batch, A], games that ended."""
    import jax
    import jax.numpy as jnp
    import mctx

    search = {"gumbel": mctx.gumbel_muzero_policy, "muzero": mctx.muzero_policy}[contender.policy]
    judge = _network(contender)
    games = jnp.arange(contender.batch)

    def expand(params: None, key: Any, action: Any, state: Any) -> tuple[Any, Any]:
        player = state.current_player
        state = jax.vmap(environment.step)(state, action)
        logits, value = judge(state.observation)
        step = mctx.RecurrentFnOutput(
            reward=state.rewards[games, player],
            discount=jnp.where(state.terminated, 0.0, -1.0),
            prior_logits=jnp.where(state.legal_action_mask, logits, jnp.finfo(logits.dtype).min),
            value=jnp.where(state.terminated, 0.0, value),
        )
        return step, state

    def move(carry: tuple[Any, Any]) -> Any:
        state, key = carry
        key, search_key, reset_key = jax.random.split(key, 3)
        logits, value = judge(state.observation)
        found = search(
            params=None,
            rng_key=search_key,
            root=mctx.RootFnOutput(prior_logits=logits, value=value, embedding=state),
            recurrent_fn=expand,
            num_simulations=simulations,
            invalid_actions=~state.legal_action_mask,
        )
        state = jax.vmap(environment.step)(state, found.action)
        ended = state.terminated
        return (_begin_anew(environment, state, reset_key), key), found.action_weights, ended.sum()

    return move


def _begin_anew(environment: Any, state: Any, key: Any) -> Any:
    """The state, with a new game in place of each that has ended."""
    import jax
    import jax.numpy as jnp

    ended = state.terminated
    fresh = jax.vmap(environment.init)(jax.random.split(key, len(ended)))
    return jax.tree.map(lambda new, old: jnp.where(ended.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, state)


def _spread(environment: Any, state: Any, key: Any) -> Any:
    """The games after SPREAD_PLIES moves at random."""
    import jax
    import jax.numpy as jnp

    def move(state: Any, key: Any) -> tuple[Any, None]:
        action_key, reset_key = jax.random.split(key)
        action = jax.random.categorical(action_key, jnp.log(state.legal_action_mask.astype(jnp.float32)))
        return _begin_anew(environment, jax.vmap(environment.step)(state, action), reset_key), None

    return jax.jit(lambda state: jax.lax.scan(move, state, jax.random.split(key, SPREAD_PLIES))[0])(state)


def _network(contender: Contender) -> Callable[[Any], tuple[Any, Any]]:
    """A function: observations bool [n, 6, 7, 2] -> logits float32 [n, 7], values float32 [n] in [-1, 1].

    In the contender's precision but for the softmax.
    """
    import jax
    import jax.numpy as jnp

    arrays = _random_weights() if contender.weights == RANDOM else _read_weights(contender.weights)
    weights = {name: jnp.asarray(array, contender.precision) for name, array in arrays.items()}
    relu = jax.nn.relu

    def convolution(x: Any, name: str) -> Any:
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout) + bias

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def of_whole_board(y: Any, name: str) -> Any:
        pooled = y[..., : len(weights[f"{name}.weight"]) // 2]
        return linear(jnp.concatenate([pooled.mean((1, 2)), pooled.max((1, 2))], 1), name)[:, None, None]

    def judge(observations: Any) -> tuple[Any, Any]:
        x = relu(convolution(observations.astype(contender.precision), "stem"))
        for block in range(BLOCKS):
            y = relu(convolution(x, f"{block}.first"))
            if f"{block}.from_pool.weight" in weights:
                y += of_whole_board(y, f"{block}.from_pool")
            x = relu(x + convolution(y, f"{block}.second"))
        n = len(x)
        logits = linear(relu(linear(x, "policy.reduce")).reshape(n, -1), "policy.dense")
        hidden = relu(linear(relu(linear(x, "value.reduce")).reshape(n, -1), "value.hidden"))
        outcome = jax.nn.softmax(linear(hidden, "value.outcome").astype(jnp.float32))
        return logits.astype(jnp.float32), outcome[:, 0] - outcome[:, 2]

    return judge


def _random_weights() -> dict[str, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    shapes = {
        "stem": (3, 3, PLANES, CHANNELS),
        **{f"{block}.{part}": (3, 3, CHANNELS, CHANNELS) for block in range(BLOCKS) for part in ("first", "second")},
        "policy.reduce": (CHANNELS, POLICY_CHANNELS),
        "policy.dense": (POLICY_CHANNELS * CELLS, ACTIONS),
        "value.reduce": (CHANNELS, VALUE_CHANNELS),
        "value.hidden": (VALUE_CHANNELS * CELLS, VALUE_HIDDEN),
        "value.outcome": (VALUE_HIDDEN, 3),
    }
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = random.normal(size=shape) * (2 / np.prod(shape[:-1])) ** 0.5
        weights[f"{name}.bias"] = np.zeros(shape[-1])
    return weights


def _read_weights(path: str) -> dict[str, Any]:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return dict(file)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
