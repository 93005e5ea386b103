"""What `keima bench` measured, for people."""

import textwrap
from collections.abc import Iterable, Sequence

from keima.selfplay.bench.measuring import BUSY, Spread
from keima.selfplay.bench.result import Bench, LearnerSpeed, SelfPlaySpeed

LABEL_WIDTH = 34
WIDTH = 110


def in_words(bench: Bench) -> str:
    """The result as text of some fifty lines: tables, rates a second as median and best of the rounds."""
    lines = [*_head(bench), *_backends(bench), *_selfplay(bench), *_steps(bench), *_actors(bench), *_learner(bench)]
    return "\n".join([*lines, *_start_up(bench)])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths[0] = max(widths[0], LABEL_WIDTH)
    return [
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]


def _head(bench: Bench) -> list[str]:
    machine, network = bench.machine, bench.network
    weights = "random weights" if network.weights == "random" else network.weights
    settings = ", ".join(f"{name} {value:g}" for name, value in bench.settings.items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    lines = [
        f"{bench.game}: {network.blocks} blocks x {network.channels} channels, {network.parameters:,} parameters "
        f"({weights})",
        *textwrap.wrap(settings, WIDTH),
        *textwrap.wrap(
            f"{machine['processor'] or machine['system']}, {count(machine['cores'], 'core')}, "
            f"{machine['memory_bytes'] / 1e9:.0f} GB{', ' + machine['gpu'] if machine['gpu'] else ''}; {versions}",
            WIDTH,
        ),
    ]
    if machine["load_average"] > BUSY:
        lines.append(
            f"The machine was busy before it began (load {machine['load_average']:g}): trust the best rounds and the "
            "shares more than the medians."
        )
    return lines


def _backends(bench: Bench) -> list[str]:
    rows = [["evaluations/s, one thread", "median", "best", "policies off", "values off"]]
    for speed in bench.backends:
        name = f"  {speed.backend}{' (used below)' if speed.backend == bench.backend else ''}"
        rows.append(
            [name, *_rates(speed.evaluations_per_s), f"{speed.policy_distance:.4f}", f"{speed.value_distance:.4f}"]
        )
    sizes = [["  batch size", *(f"{speed.batch_size}" for speed in bench.batch_sizes)]]
    sizes.append([f"  {bench.backend}, median", *(f"{s.evaluations_per_s.median:,.0f}" for s in bench.batch_sizes)])
    batch = int(bench.settings["selfplay.parallel_games"])
    return ["", f"Ceilings: nothing but the network, {batch} positions a call", *table(rows), *table(sizes)]


def _plays(bench: Bench) -> list[SelfPlaySpeed]:
    return [bench.cache_off, *([bench.cache_on] if bench.cache_on is not None else [])]


def _selfplay(bench: Bench) -> list[str]:
    plays = _plays(bench)
    rows = [["", *(_cell for play in plays for _cell in (_cache(play), "best"))]]
    for label, name in (
        ("evaluations/s", "evaluations_per_s"),
        ("simulations/s", "simulations_per_s"),
        ("positions/s", "positions_per_s"),
    ):
        rows.append([f"  {label}", *(cell for play in plays for cell in _rates(getattr(play, name)))])
    shares = [cell for play in plays for cell in _shares(play.share_of_ceiling)]
    rows.append(["  evaluations, share of the ceiling", *shares])
    rows.append(["  found in the cache", *(cell for play in plays for cell in (f"{play.hit_share:.1%}", ""))])
    rows.append(
        [
            "  evaluations/s while it evaluates",
            *(cell for play in plays for cell in (f"{play.network_evaluations_per_s:,.0f}", "")),
        ]
    )
    return ["", f"Self-play: one actor in this process on one thread, {bench.backend}", *table(rows)]


def _steps(bench: Bench) -> list[str]:
    plays = _plays(bench)
    parallel_games = int(bench.settings["selfplay.parallel_games"])
    rows = [["", *(cell for play in plays for cell in (_cache(play), ""))]]

    def row(label: str, name: str) -> None:
        cells: list[str] = []
        for play in plays:
            us = getattr(play.step, name)
            cells += [f"{us:,.0f} us", f"{us / play.step.total_us:.1%}"]
        rows.append([f"  {label}", *cells])

    parts = [
        ("the step", "total_us"),
        ("network", "network_us"),
        ("compiled search", "search_us"),
        ("  rules (measured apart)", "rules_us"),
        ("  cache (measured apart)", "cache_us"),
        ("  entering it (measured apart)", "entering_us"),
        ("  trees (the rest)", "tree_us"),
        ("Python (the rest)", "python_us"),
    ]
    for label, name in parts:
        row(label, name)
    return ["", f"Where it goes: a step of self-play, one evaluator call for {parallel_games} games", *table(rows)]


def _actors(bench: Bench) -> list[str]:
    actors = bench.actors
    rows = [["positions/s, without a learner", "median", "best"]]
    rows.append(["  one actor, the others stopped", *_rates(actors.positions_per_s_of_one)])
    rows.append([f"  {count(actors.actors, 'actor')}", *_rates(actors.positions_per_s)])
    rows.append([f"  {count(actors.actors, 'actor')}, evaluations/s", *_rates(actors.evaluations_per_s)])
    rows.append([f"  {count(actors.actors, 'actor')}, simulations/s", *_rates(actors.simulations_per_s)])
    scaling = f"{count(actors.actors, 'actor')} play {actors.scaling:.2f} times as fast as one."
    return ["", "Actors in processes of their own, as in a run", *table(rows), f"  {scaling}"]


def _learner(bench: Bench) -> list[str]:
    rows = [["samples/s", "median", "best", "a step", "batch", "averaging", "the rest"]]
    rows += [_learner_row(speed) for speed in bench.learner]
    balance = bench.balance
    asked = (
        f"  At {bench.actors.positions_per_s.median:,.0f} positions/s and {balance.samples_per_position:g} samples a "
        f"position {balance.samples_per_s_asked:,.0f} samples/s are asked for: {balance.learner_share:.0%} of a "
        "thread's time."
    )
    size = int(bench.settings["learner.batch_size"])
    return [
        "",
        f"The learner: batches of {size} from {bench.learner_window_positions:,} positions",
        *table(rows),
        asked,
    ]


def _learner_row(speed: LearnerSpeed) -> list[str]:
    times = (speed.step_us, speed.draw_us, speed.average_us, speed.train_us)
    return [
        f"  {count(speed.threads, 'thread')}",
        *_rates(speed.samples_per_s),
        *(f"{us / 1e3:.2f} ms" for us in times),
    ]


def _start_up(bench: Bench) -> list[str]:
    rows = [["seconds from the process's start", "warm", "cold"]]
    for label, name in (
        ("a net player's first move", "first_move_s"),
        ("then self-play's first step", "first_step_s"),
    ):
        cold = "not measured" if bench.start_up_cold is None else f"{getattr(bench.start_up_cold, name):.1f}"
        rows.append([f"  {label}", f"{getattr(bench.start_up_warm, name):.1f}", cold])
    memory = [["peak memory", "actor", "learner"]]
    memory.append(
        ["  of a process", megabytes(bench.actors.peak_memory_bytes), megabytes(bench.learner_peak_memory_bytes)]
    )
    return ["", "Starting up, and memory", *table(rows), *table(memory)]


def _cache(play: SelfPlaySpeed) -> str:
    return f"cache of {play.cache_mb:g} MB" if play.cache_mb else "without cache"


def _rates(spread: Spread) -> list[str]:
    return [f"{spread.median:,.0f}", f"{spread.best:,.0f}"]


def _shares(spread: Spread) -> Iterable[str]:
    return [f"{spread.median:.1%}", f"{spread.best:.1%}"]


def count(number: int, what: str) -> str:
    """`1 actor`, `2 actors`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def megabytes(number: int | None) -> str:
    """Of bytes; "unknown" for None."""
    return "unknown" if number is None else f"{number / 1e6:,.0f} MB"
