"""`keima doctor`, `keima bench` and `keima plan`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from keima.agent.command_line import Flag, Json, Seed, Within, app, shown
from keima.agent.system.interrupts import ended_by_interrupts
from keima.selfplay.commands.folders import LOADING
from keima.selfplay.commands.train import Settings

FOUND_ERRORS = 1
"""What the doctor answers where a game breaks the contract."""


@app.command
@ended_by_interrupts()
def doctor(
    game: str,
    /,
    *,
    quick: Annotated[bool, Flag] = False,
    games: Annotated[int, Parameter(validator=Within(1, 1_000_000))] = 200,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Examine a game's rules, planes and notation, and say what is wrong and what to do; exit code 1 for errors.

    Args:
        game: A game, as `keima games` lists them, or a game file's path (.py: code, which is run).
        quick: Leaves out the last check, in which a small net learns some positions by heart, a minute at most.
        games: Random games to look at.
        seed: Seeds these games and the net.
        as_json: Prints one JSON object.
    """
    import json

    with shown("starting the examination") as begin:
        from keima.games.doctor.examination import examine
        from keima.games.doctor.report import in_words

        report = examine(game, num_games=games, seed=seed, begin=begin)
        if not quick and report.is_sound:
            begin(LOADING)
            from keima.games import load
            from keima.selfplay.learning.overfit import overfit

            overfit(load(game), seed, tell=begin).add_to(report)
    print(json.dumps(report.as_json()) if as_json else in_words(report))
    return 0 if report.is_sound else FOUND_ERRORS


@app.command
@ended_by_interrupts()
def bench(
    game: str,
    /,
    *,
    model: str | None = None,
    settings: Settings = None,
    seconds: Annotated[float, Parameter(validator=Within(0.001, 600))] = 1.0,
    quick: Annotated[bool, Flag] = False,
    profile: Path | None = None,
    as_json: Json = False,
) -> None:
    """Measure how fast everything runs here, and where the time goes: about a minute.

    Args:
        game: A game, as `keima games` lists them, a game file's path (.py: code, which is run), or a config (.toml).
        model: A checkpoint, a run's folder or `shipped`; by default a net of the config's sizes with random weights.
        settings: Changes one setting of the config: --set key=value, as often as needed.
        seconds: How long to measure each thing; longer is more exact.
        quick: A quarter of that time, and not the start with nothing compiled.
        profile: Also writes profiles, as texts, into this folder.
        as_json: Prints one JSON object.
    """
    import json

    from keima.agent.system.storage import check_folder
    from keima.selfplay.config.loader import load_config

    if profile is not None:
        profile = profile.expanduser()
        check_folder(profile, "--profile")
    config = load_config(game, settings or [])
    with shown(LOADING) as begin:
        from keima.selfplay.bench.bench import measure
        from keima.selfplay.bench.plan import settled
        from keima.selfplay.bench.report import in_words

        config = settled(config, begin)
        result = measure(
            config, model=model, seconds=seconds / 4 if quick else seconds, quick=quick, profile=profile, tell=begin
        )
    print(json.dumps(result.as_json()) if as_json else in_words(result))
    if profile is not None and not as_json:
        print(f"\nProfiles: {', '.join(str(path) for path in sorted(profile.glob('*.txt')))}")


@app.command
@ended_by_interrupts()
def plan(
    game: str,
    /,
    *,
    settings: Settings = None,
    again: Annotated[bool, Flag] = False,
    as_json: Json = False,
) -> None:
    """Say which settings suit this machine, and how long training takes to named strengths; measures for a minute.

    Args:
        game: A game, as `keima games` lists them, a game file's path (.py: code, which is run), or a config (.toml).
        settings: Changes one setting of the config: --set key=value, as often as needed.
        again: Measures anew; otherwise what was measured here before is used.
        as_json: Prints one JSON object.
    """
    import json

    from keima.selfplay.config.loader import load_config

    config = load_config(game, settings or [])
    with shown(LOADING) as begin:
        from keima.selfplay.bench.plan import make_plan
        from keima.selfplay.bench.plan_report import in_words

        result = make_plan(config, again=again, tell=begin)
    print(json.dumps(result.as_json()) if as_json else in_words(result))
