"""The commands that train, measure and rate: `keima train`, `sweep`, `doctor`, `bench`, `plan`, `tournament`, `rate`.

Where `keima` begins: agent's commands join the same table, and nothing imports this. Each command imports what it needs
when it runs; see agent/command_line.py.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

import keima.agent.commands  # noqa: F401 - they join the table
from keima.agent.command_line import MOST_SEED, Flag, Json, Seconds, Seed, Simulations, Within, app, main, shown
from keima.agent.system.interrupts import INTERRUPTED, ended_by_interrupts

__all__ = ["app", "main"]

RUNS = Path("runs")
"""Where runs are kept: below the folder that the command is typed in."""
LOADING = "loading; the first time, compiling the search"
FOUND_ERRORS = 1
"""What the doctor answers where a game breaks the contract."""

MIN_MINUTES, MAX_MINUTES = 0.0001, 1_000_000
"""How long one may ask to train."""

Settings = Annotated[list[str] | None, Parameter(name="--set", negative="", show_default=False)]


@app.command
@ended_by_interrupts()  # until the run has handlers of its own, which save what there is
def train(
    game: str | None = None,
    /,
    *,
    run: str | None = None,
    minutes: Annotated[float | None, Parameter(validator=Within(MIN_MINUTES, MAX_MINUTES))] = None,
    seed: Annotated[int | None, Parameter(validator=Within(0, MOST_SEED))] = None,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    settings: Settings = None,
    resume: str | None = None,
    overwrite: Annotated[bool, Flag] = False,
) -> int:
    """Train a net on a game, from nothing or from another net, by playing against itself.

    Args:
        game: A game, as `keima games` lists them, a game file's path (.py: code, which is run), or a config (.toml).
        run: The run's name, a folder below runs/; one that does not exist yet by default.
        minutes: How long to train, in minutes.
        seed: With the same seed and one actor, a run repeats itself exactly.
        start: A trained net (a checkpoint, a run's folder, or shipped) to begin with: of the same game, also on a board
            of another size where its network does not depend on that, and no larger than the config's network.
        settings: Changes one setting of the config: --set key=value, as often as needed.
        resume: Goes on with a run, named or given by its folder, as if it had not stopped; with --set otherwise than
            before from now on, in what a run may change.
        overwrite: Deletes an existing run of that name first.
    """
    from keima.games.contract import GameError

    if resume is not None:
        if game is not None or run is not None or seed is not None or overwrite or start is not None:
            raise GameError(
                "--resume goes on with the run as it was begun: expected it alone, or with --minutes and --set"
            )
        folder = _run_folder(resume, must_exist=True)
        with shown(LOADING):
            from keima.selfplay.run.start import resume as resume_run

        return 0 if resume_run(folder, minutes, settings or []) else INTERRUPTED
    if game is None:
        raise GameError("train: expected a game or a config file, or --resume RUN; `keima games` lists the games")
    from keima.selfplay.config.loader import load_config

    said = {"seed": ("--seed ", seed), "start_from": ("--from ", start), "run.minutes": ("--minutes ", minutes)}
    said["game"] = ("the argument ", None if game.endswith(".toml") else game)
    for setting in settings or []:
        option, value = said.get(setting.partition("=")[0].strip(), ("", None))
        if value is not None:
            raise GameError(f"{option}{value} and --set {setting} say the same: expected one of them")
    named = {"seed": seed, "start_from": None if start is None else repr(start)}
    given = [f"{name}={value}" for name, value in named.items() if value is not None]
    config = load_config(game, [*(settings or []), *given])
    if run is not None:
        folder = _run_folder(run, must_exist=False)
    else:
        folder = _new_run_folder(Path(config.game.partition(":")[0]).stem)
    # Hidden files alone are what a run leaves that was killed before it was one.
    is_taken = folder.exists() and (not folder.is_dir() or any(path.name[0] != "." for path in folder.iterdir()))
    if is_taken:
        from keima.selfplay.run.run_folder import is_run

        if not is_run(folder):
            raise GameError(f"{folder} exists and is no run's folder: name another with --run")
        if not overwrite:
            raise GameError(
                f"{folder} exists: go on with --resume {folder}, replace it with --overwrite, or name another"
            )
    with shown(LOADING) as begin:
        from keima.selfplay.bench.plan import settled
        from keima.selfplay.learning.initial_weights import grown_for_start
        from keima.selfplay.run.start import train as train_run

        config = settled(grown_for_start(config), begin)
    return 0 if train_run(config, folder, minutes, replace=is_taken) else INTERRUPTED


@app.command
@ended_by_interrupts()  # until the sweep has handlers of its own, which have the trial saved
def sweep(
    config: str | None = None,
    /,
    *,
    run: str | None = None,
    resume: str | None = None,
) -> int:
    """Train many nets for the same time each, to find better settings or to judge some; a config says which.

    The same command again, or --resume, goes on after Ctrl-C or a kill.

    Args:
        config: A sweep's or an ablation's config (.toml), or one that is shipped, as ablations/connect4.
        run: Its name, a folder below runs/; by default sweep- or ablation- and the config's name.
        resume: Goes on with a sweep, named or given by its folder, as it was begun.
    """
    from keima.games.contract import GameError

    if (config is None) == (resume is None) or (resume is not None and run is not None):
        raise GameError("sweep: expected a config, perhaps with --run NAME, or --resume SWEEP alone")
    from keima.selfplay.experiments.sweep_config import parse_sweep, read_sweep

    if resume is not None:
        folder = _run_folder(resume, must_exist=True)
        with shown(LOADING):
            from keima.selfplay.experiments.sweep import resume as resume_sweep

        return 0 if resume_sweep(folder) else INTERRUPTED
    assert config is not None
    text, source = read_sweep(config)
    kind = "ablation" if parse_sweep(text, source).is_ablation else "sweep"
    folder = _run_folder(run if run is not None else f"{kind}-{Path(config).stem}", must_exist=False)
    with shown(LOADING):
        from keima.selfplay.experiments.sweep import begin

    return 0 if begin(text, source, folder) else INTERRUPTED


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


@app.command
@ended_by_interrupts()  # until the tournament has handlers of its own, which keep what is over
def tournament(
    game: str | None = None,
    /,
    *players: str,
    file: Path | None = None,
    games: Annotated[int | None, Parameter(validator=Within(2, 1_000_000))] = None,
    config: str | None = None,
    pairing: Literal["round-robin", "gauntlet", "adaptive"] | None = None,
    sides: Literal["both", "first", "second"] | None = None,
    opening_plies: Annotated[int | None, Parameter(validator=Within(0, 1000))] = None,
    book: Path | None = None,
    sprt: Annotated[tuple[float, float] | None, Flag] = None,
    simulations: Simulations = None,
    seconds: Seconds = None,
    nodes: Annotated[int | None, Parameter(validator=Within(1, 10**15))] = None,
    referee: str | None = None,
    checkpoints: Annotated[int, Parameter(validator=Within(2, 1000))] = 8,
    workers: Annotated[int | None, Parameter(validator=Within(1, 1024))] = None,
    backend: str | None = None,
    seed: Annotated[int | None, Parameter(validator=Within(0, MOST_SEED))] = None,
    anchor: Annotated[list[str] | None, Parameter(negative="", show_default=False)] = None,
    merge: Annotated[list[Path] | None, Parameter(negative="", show_default=False)] = None,
    report: Annotated[bool, Flag] = False,
    output: Path | None = None,
    as_json: Json = False,
) -> int:
    """Let players play each other and rate them; a file keeps every game, and the same command goes on after a kill.

    Args:
        game: A game, as `keima games` lists them, or a game file's path (.py: code, which is run).
        players: random, rollout:1000, alphabeta:4, exact, raw, "shipped simulations=400", a checkpoint, a run's folder,
            runs/NAME/checkpoints for a whole run, gtp:"COMMAND", uci:"COMMAND", usi:"COMMAND"; with options in quotes.
        file: The tournament's file (.sqlite), new or one to go on with, where its players take part too.
        games: Games a pair, an even number; with --sprt at most so many. By default 20.
        config: A tournament's config (.toml), or one that is shipped, as ladders/go9, says the game, the players and
            all that follows; the command has the last word. Its games are kept in runs/ladder-NAME.sqlite.
        pairing: Everybody against everybody; the first against all others; or where a game tells most.
        sides: Each opening from both sides, or the first named of each two always first or always second.
        opening_plies: Random moves before a game, the same from both sides; by default 6.
        book: A file of openings, a line of moves each, in their place.
        sprt: Two players: stop as soon as it is decided which of two differences in Elo fits better, as --sprt 0 20.
        simulations: Simulations a move, of players that do not say.
        seconds: Seconds a move, of players that do not say. Then each core plays one game at a time.
        nodes: Nodes a move, of engines that do not say.
        referee: Who says which stones are dead where Go ends by passes, as 'gtp:"gnugo --mode gtp --chinese-rules"'.
        checkpoints: How many of a whole run's checkpoints.
        workers: Processes; by default one a core.
        backend: What runs the networks; by default the fastest that is sound, see `keima bench`.
        seed: Of openings and of players that use chance.
        anchor: A player's Elo that is fixed, as --anchor rollout:1000=0; as often as needed.
        merge: Another tournament's file, whose players and games are added.
        report: Plays nothing; says what there is.
        output: A folder for the ladder as pictures, CSV and JSON, and for levels that `keima play --elo` reads.
        as_json: Prints one JSON object.
    """
    from keima.games.contract import GameError

    if file is None and config is None and (game is None or report or merge):
        raise GameError("tournament: expected a game and players, or --file FILE; see `keima tournament --help`")
    if report and merge:
        raise GameError("--report plays nothing and adds nothing: expected it without --merge")
    with shown(LOADING) as tell:
        from keima.agent.system.storage import check_folder
        from keima.games import load
        from keima.selfplay.tournament.report import parse_anchors, standings, tell_of
        from keima.selfplay.tournament.store import Store
        from keima.selfplay.tournament.tournament import begin, how_to_go_on, test_of

        anchors, loaded = parse_anchors(anchor or []), None
        left_out: tuple[str, ...] = ()
        limits: dict[str, Any] = {"simulations": simulations, "seconds": seconds, "nodes": nodes}
        settings: dict[str, Any] = {
            "games": games,
            "pairing": pairing,
            "sides": sides,
            "opening_plies": opening_plies,
            "book": None if book is None else str(book.absolute()),
            "sprt": sprt,
            "referee": referee,
            "seed": seed,
        }
        if config is not None:
            from keima.selfplay.tournament.config import plan as plan_tournament

            planned = plan_tournament(config)
            loaded, players = planned.game, (*planned.players, *([] if game is None else [game]), *players)
            anchors = {**planned.anchors, **anchors}
            settings |= {name: value for name, value in planned.settings.items() if settings[name] is None}
            limits |= {name: value for name, value in planned.limits.items() if limits[name] is None}
            file = file or RUNS / f"ladder-{planned.name}.sqlite"
            output = output or RUNS / f"ladder-{planned.name}"
            left_out = planned.left_out
        elif game is not None:
            try:
                loaded = load(game)
            except GameError:
                if file is None or not file.exists():
                    raise
                players = (game, *players)  # the file knows the game, and this is one more who plays
        if output is not None:
            output = output.expanduser()
            check_folder(output, "--output")
        if report:
            assert file is not None
            with Store(file, loaded, read_only=True) as store:
                told = standings(store, anchors), test_of(store)
        else:
            found = begin(
                file or _new_tournament(loaded.name if loaded else ""),
                loaded,
                players,
                merge=merge or [],
                limits={**limits, "checkpoints": checkpoints},
                workers=workers,
                backend=backend,
                anchors=anchors,
                **settings,
            )
            found.prepare(tell)
    if report:
        tell_of(*told, output, as_json=as_json)
        return 0
    for line in left_out:
        print(line, file=sys.stderr)
    with found:
        done = found.play()
        if found.store.num_games():
            tell_of(standings(found.store, anchors), test_of(found.store), output, as_json=as_json)
        if not done:
            print(
                f"stopped; nothing that was over is lost, and this goes on: {how_to_go_on(found.store.path)}",
                file=sys.stderr,
            )
    return 0 if done else INTERRUPTED


@app.command
@ended_by_interrupts()  # until the tournament has handlers of its own, which keep what is over
def rate(
    run: str,
    /,
    *,
    simulations: Annotated[int, Parameter(validator=Within(0, 1_000_000))] = 64,
    checkpoints: Annotated[int, Parameter(validator=Within(2, 1000))] = 8,
    games: Annotated[int | None, Parameter(validator=Within(2, 1_000_000))] = None,
    against: Annotated[list[str] | None, Parameter(negative="", show_default=False)] = None,
    workers: Annotated[int | None, Parameter(validator=Within(1, 1024))] = None,
    as_json: Json = False,
) -> int:
    """Put a run's checkpoints on a ladder, while it trains or after: Elo against training time, for TensorBoard too.

    Games go where they tell most; those of earlier ratings count. rollout:200 plays along and has 0 Elo.

    Args:
        run: A run, named or given by its folder, which gets ratings/ with tables and pictures.
        simulations: Simulations a move; 0 rates the net's policy alone.
        checkpoints: How many checkpoints, spread evenly over the run.
        games: Games a pair on average, an even number; by default 20.
        against: Another player who takes part, as often as needed.
        workers: Processes; by default one a core.
        as_json: Prints one JSON object.
    """
    with shown(LOADING) as tell:
        from keima.selfplay.tournament.report import standings, tell_of
        from keima.selfplay.tournament.run_ladder import OUTPUT, REFERENCE, begin_ladder, draw

        folder = _run_folder(run, must_exist=True)
        found = begin_ladder(
            folder,
            simulations=simulations,
            checkpoints=checkpoints,
            games=games,
            against=against or [],
            workers=workers,
        )
        found.prepare(tell)
    with found:
        done = found.play()
        if found.store.num_games():
            rated = standings(found.store, {REFERENCE: 0.0})
            tell_of(rated, None, folder / OUTPUT, as_json=as_json)
            files = draw(folder, found.store, rated)
            print(f"Elo against training time: {', '.join(map(str, files))}", file=sys.stderr)
        if not done:
            print("stopped; nothing that was over is lost, and the same command goes on", file=sys.stderr)
    return 0 if done else INTERRUPTED


def _run_folder(text: str, *, must_exist: bool) -> Path:
    """The folder of a run given by name or by path; with `must_exist` one that is there, else one that may be made."""
    from keima.games.contract import GameError

    path = Path(text).expanduser()
    folder = path if path.is_dir() or os.sep in text else RUNS / text
    if must_exist and not folder.is_dir():
        known = sorted(p.name for p in RUNS.glob("*") if p.is_dir())
        raise GameError(f"no run {text!r}; under {RUNS}/ there is: {', '.join(known) or 'none'}")
    if not must_exist and Path.cwd().is_relative_to(folder.resolve()):
        raise GameError(f"--run {text}: expected a name, or a folder of the run's own, not the one that you are in")
    return folder


def _new_run_folder(game: str) -> Path:
    """The first of runs/connect4, runs/connect4-2, ... that does not exist."""
    folder, number = RUNS / game, 1
    while folder.exists():
        number += 1
        folder = RUNS / f"{game}-{number}"
    return folder


def _new_tournament(game: str) -> Path:
    """The first of runs/tournament-connect4.sqlite, runs/tournament-connect4-2.sqlite, ... that does not exist."""
    path, number = RUNS / f"tournament-{game}.sqlite", 1
    while path.exists():
        number += 1
        path = RUNS / f"tournament-{game}-{number}.sqlite"
    return path
