"""The command line: `keima games`, `train`, `play` and all the others.

This table sits above everything else and nothing imports it. Each command imports what it needs when it runs, which
is why `keima --help` answers at once. The help is drawn from the docstrings.

Exit codes: 0; 1 where the doctor found errors; 2 for bad usage, bad input and closed pipes, with one line on stderr;
130 after Ctrl-C.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from agent.interrupts import INTERRUPTED, ended_by_interrupts

FOUND_ERRORS = 1
"""What the doctor answers where a game breaks the contract."""
BAD_INPUT = 2
RUNS = Path("runs")
"""Where runs are kept: below the folder that the command is typed in."""


LOADING = "loading; the first time, compiling the search"


def _version() -> str:
    from importlib.metadata import version

    return f"keima {version('keima')}"


app = App(
    name="keima",
    help="Keima teaches itself a board game from its rules, and then plays it.",
    help_format="plaintext",
    version=_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says so in its own words
)

Simulations = Annotated[int | None, Parameter(validator=Number(gte=0, lte=1_000_000))]
Seconds = Annotated[float | None, Parameter(validator=Number(gt=0, lte=86_400))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
Flag = Parameter(negative="")


@app.command
def games() -> None:
    """List the games, with their parameters."""
    import dataclasses
    import inspect

    from games import load, names

    shown = [load(name) for name in names()]
    width = max(len(game.name) for game in shown)
    for game in shown:
        print(f"{game.name:<{width}}  {inspect.getdoc(type(game)) or ''}".rstrip())
        for field in dataclasses.fields(game):
            meta = field.metadata
            accepted = " or ".join(meta["choices"]) or f"{meta['low']} to {meta['high']}"
            print(f"{'':<{width}}    {field.name}={field.default}: {meta['help']} ({accepted})")
    print("\nParameters follow a colon: othello:6 or gomoku:9,win=4.")
    print("The path of a .py file is a game, too; the file is code, and is run.")


@app.command
@ended_by_interrupts()  # until the run has handlers of its own, which save what there is
def train(
    game: str | None = None,
    /,
    *,
    run: str | None = None,
    minutes: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    seed: Annotated[int | None, Parameter(validator=Number(gte=0, lt=2**63))] = None,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="", show_default=False)] = None,
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
        resume: Goes on with a run, named or given by its folder, as if it had not stopped.
        overwrite: Deletes an existing run of that name first.
    """
    from games.contract import GameError

    if resume is not None:
        if game is not None or run is not None or settings or seed is not None or overwrite or start is not None:
            raise GameError("--resume goes on with the run's own settings: expected it alone or with --minutes")
        folder = _run_folder(resume, must_exist=True)
        with _shown(LOADING):
            from selfplay.run import resume as resume_run

        return 0 if resume_run(folder, minutes) else INTERRUPTED
    if game is None:
        raise GameError("train: expected a game or a config file, or --resume RUN; `keima games` lists the games")
    from selfplay.config import load_config

    named = {"seed": seed, "start_from": None if start is None else repr(start)}
    given = [f"{name}={value}" for name, value in named.items() if value is not None]
    config = load_config(game, [*(settings or []), *given])
    if run is not None:
        folder = _run_folder(run, must_exist=False)
    else:
        folder = _new_run_folder(Path(config.game.partition(":")[0]).stem)
    # Hidden files alone are what a run leaves that was killed before it was one.
    if folder.exists() and (not folder.is_dir() or any(path.name[0] != "." for path in folder.iterdir())):
        if not overwrite:
            raise GameError(
                f"{folder} exists: go on with --resume {folder}, replace it with --overwrite, or name another"
            )
        from selfplay.run import delete_run
        from selfplay.start import lies_in, load_start

        load_start(config)  # before anything is lost
        if lies_in(config, folder):
            raise GameError(f"{folder}: holds the net to begin with; give the new run another name with --run")
        delete_run(folder)
    with _shown(LOADING) as begin:
        from selfplay.plan import settled
        from selfplay.run import train as train_run

        config = settled(config, begin)
    return 0 if train_run(config, folder, minutes) else INTERRUPTED


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
    from games.contract import GameError

    if (config is None) == (resume is None) or (resume is not None and run is not None):
        raise GameError("sweep: expected a config, perhaps with --run NAME, or --resume SWEEP alone")
    from selfplay.sweep_config import parse_sweep, read_sweep

    if resume is not None:
        folder = _run_folder(resume, must_exist=True)
        with _shown(LOADING):
            from selfplay.sweep import resume as resume_sweep

        return 0 if resume_sweep(folder) else INTERRUPTED
    assert config is not None
    text, source = read_sweep(config)
    kind = "ablation" if parse_sweep(text, source).is_ablation else "sweep"
    folder = _run_folder(run if run is not None else f"{kind}-{Path(config).stem}", must_exist=False)
    with _shown(LOADING):
        from selfplay.sweep import begin

    return 0 if begin(text, source, folder) else INTERRUPTED


@app.command
@ended_by_interrupts()
def evaluate(
    game: str,
    /,
    *,
    model: str | None = None,
    positions: Path | None = None,
    simulations: Annotated[int, Parameter(validator=Number(gte=0, lte=1_000_000))] = 64,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure how well a net plays against exact results.

    Args:
        game: A game with exact results: connect4, or tictactoe, which needs no positions.
        model: A checkpoint, a run's folder or `shipped`; by default the newest net under runs/, else the shipped one.
        positions: A file of positions with the exact score of every move; by default those shipped with the game.
        simulations: Simulations a move; 0 is the net's policy alone.
        as_json: Prints one JSON object.
    """
    import dataclasses
    import json
    import time
    from functools import partial

    from agent.evaluation import evaluate_positions, losing_lines, read_positions, shipped_positions
    from agent.solvers import EXHAUSTIBLE_PLIES
    from games import load
    from games.contract import GameError

    loaded = load(game)
    positions = positions or shipped_positions(loaded)
    if positions is None and loaded.max_plies > EXHAUSTIBLE_PLIES:
        raise GameError(f"evaluate: expected --positions FILE, exact scores for {game}; none are shipped")
    scored = read_positions(positions, loaded) if positions is not None else []

    from agent.checkpoint import find_checkpoint, load_checkpoint
    from agent.inference import make_evaluator
    from mcts.search import SearchSettings, choose_actions

    checkpoint = load_checkpoint(find_checkpoint(model, loaded), loaded)
    settings = SearchSettings(simulations) if simulations else None
    choose = partial(choose_actions, loaded, make_evaluator(loaded, checkpoint.network), settings=settings)
    facts: dict[str, Any] = {
        "game": loaded.label,
        "model": str(checkpoint.path),
        "step": checkpoint.metadata.step,
        "simulations": simulations,
    }
    start_s = time.monotonic()
    with _shown("choosing moves"):
        result = evaluate_positions(scored, choose) if positions is not None else losing_lines(loaded, choose)
    facts |= {"positions" if name == "count" else name: value for name, value in dataclasses.asdict(result).items()}
    facts["seconds"] = round(time.monotonic() - start_s, 3)
    print(json.dumps(facts) if as_json else _evaluation_in_words(facts))


@app.command
@ended_by_interrupts()
def play(
    game: str,
    /,
    *,
    model: str | None = None,
    opponent: str | None = None,
    elo: Annotated[int | None, Parameter(validator=Number(gte=-10_000, lte=10_000))] = None,
    simulations: Simulations = None,
    seconds: Annotated[float | None, Parameter(validator=Number(gt=0, lte=86_400))] = None,
    side: Literal["first", "second", "both"] | None = None,
    watch: str | None = None,
    record: Path | None = None,
    ponder: Annotated[bool, Flag] = False,
    seed: Seed = 0,
    plain: Annotated[bool, Flag] = False,
) -> None:
    """Play against a net, or another player: full screen on a terminal, else line by line.

    Args:
        game: A game, as `keima games` lists them, or a game file's path (.py: code, which is run).
        model: A checkpoint, a run's folder or `shipped`; by default the newest net under runs/, else the shipped one.
        opponent: Another player: random, rollout:500, alphabeta:4, exact, raw:CHECKPOINT, gtp:"COMMAND", uci:"COMMAND".
        elo: An opponent of about this strength, where ratings are shipped with the game.
        simulations: Simulations a move.
        seconds: Seconds a move.
        side: Whether you move first (the default) or second, or both sides are yours.
        watch: A player for your side, too: both play, and you watch.
        record: A saved game to begin with, to look at or to go on with: .keima.txt, .sgf; both sides are yours unless
            you say otherwise.
        ponder: The opponent thinks on your time, too.
        seed: Seeds players that use chance.
        plain: Line by line in any case, with no colours and no line that is rewritten.
    """
    from agent.choice import Choice, Setting, Sides

    chosen = _only_one_of(model, opponent)
    if elo is not None:
        chosen = _player_of_level(game, elo, chosen, simulations, seconds)
    theirs = Choice(chosen, simulations, seconds, seed, ponder)
    yours = None if watch is None else Choice(watch, simulations, seconds, seed)
    asked = any(value is not None for value in (chosen, simulations, seconds, side, watch, record)) or ponder
    if side == "both" or (record is not None and side is None and chosen is None and watch is None):
        sides: Sides = (None, None)
    else:
        sides = (theirs, yours) if side == "second" else (yours, theirs)
    setting = Setting(game, sides, theirs, record)
    if plain or not _is_screen():
        from agent import terminal

        terminal.play(setting, plain=plain)
        return
    from agent.screen.app import play as play_on_screen

    play_on_screen(setting, is_chosen=asked)


@app.command
@ended_by_interrupts()
def gtp(
    game: str,
    /,
    *,
    model: str | None = None,
    opponent: str | None = None,
    simulations: Simulations = None,
    seconds: Seconds = None,
    seed: Seed = 0,
) -> None:
    """Speak the Go Text Protocol, version 2, on stdin and stdout, in the game's own notation.

    Go is played by Chinese rules unless the game says others, as go:9,rules=japanese, and given up where it is lost.

    Args:
        game: A game, as `keima games` lists them, or a game file's path (.py: code, which is run).
        model: A checkpoint, a run's folder or `shipped`; by default the newest net under runs/, else the shipped one.
        opponent: Another player, as text: random, rollout:500, alphabeta:4, exact, raw:CHECKPOINT; with options, as
            "shipped resign=0", which never resigns.
        simulations: Simulations a move at most. Without this and --seconds, time settings alone limit a move.
        seconds: Seconds a move at most.
        seed: Seeds players that use chance.
    """
    from agent.gtp import GtpEngine, serve
    from agent.gtp_lines import StreamLines
    from agent.gtp_moves import RESIGN_BELOW
    from agent.gtp_rules import match_game
    from agent.player_spec import parse
    from agent.players import Player, SearchPlayer, default_player, make_player
    from agent.thinking import Limit, Thinker
    from games import load
    from games.contract import Game
    from games.position import Position

    chosen = _only_one_of(model, opponent)
    # What was asked for holds whatever the time settings allow; without it they alone say how long a move takes.
    asked: dict[str, Any] = {"simulations": simulations, "seconds": seconds}
    if chosen is not None:
        asked |= parse(chosen).options

    def player_for(game: Game) -> Player:
        limits: dict[str, Any] = {"simulations": simulations, "seconds": seconds}
        if chosen is not None:
            player = make_player(chosen, game, **limits, seed=seed)
        else:
            player, introduction = default_player(game, **limits, seed=seed)
            log(introduction)
        if isinstance(player, SearchPlayer) and game.name == "go" and "resign" not in asked:
            player.resign_below(RESIGN_BELOW)
        if isinstance(player, Thinker):  # what compiles on first use does so before a clock runs
            player.think(Position(game), Limit(simulations=1))
            player.forget()
        return player

    def log(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    loaded = match_game(load(game), game)
    engine = GtpEngine(loaded, player_for, simulations=asked["simulations"], seconds=asked["seconds"], log=log)
    try:
        if sys.stdin is not None:
            serve(engine, StreamLines(sys.stdin.buffer), write)
    finally:
        engine.close()


@app.command
def export(
    game: str,
    /,
    *,
    model: str | None = None,
    output: Path | None = None,
) -> None:
    """Write a net as an ONNX file, for other programs; its metadata says what goes in and what comes out.

    Args:
        game: A game, as `keima games` lists them, or a game file's path (.py: code, which is run).
        model: A checkpoint, a run's folder or `shipped`; by default the newest net under runs/, else the shipped one.
        output: The file to write, .onnx; by default beside the checkpoint.
    """
    from games.contract import GameError

    if output is not None:
        output = output.expanduser()
        if output.suffix != ".onnx":  # it could be the checkpoint
            raise GameError(f"--output: expected a name that ends in .onnx, got {output}")
        if not output.parent.is_dir():
            raise GameError(f"--output {output}: no such folder as {output.parent}")
    with ended_by_interrupts(), _shown("writing and comparing the network"):
        from agent.checkpoint import find_checkpoint, load_checkpoint
        from agent.export import TOLERANCE
        from agent.export import export as export_network
        from agent.shipped import shipped_net
        from games import load

        loaded = load(game)
        checkpoint = load_checkpoint(find_checkpoint(model, loaded), loaded)
        exported = export_network(checkpoint)
    from agent.storage import write_atomically

    # The shipped net lies where Keima is installed: nothing of the user's belongs there.
    beside = checkpoint.path if checkpoint.path != shipped_net(loaded) else Path(checkpoint.path.name)
    output = output or beside.with_suffix(".onnx")
    write_atomically(output, exported.data)
    print(
        f"{output}: {loaded.label}, step {checkpoint.metadata.step}, {len(exported.data) / 1e6:.1f} MB; OpenVINO's "
        f"answers to {exported.positions} positions are torch's, give or take {exported.largest_difference:.0e} "
        f"(accepted: {TOLERANCE:.0e})"
    )


@app.command
@ended_by_interrupts()
def doctor(
    game: str,
    /,
    *,
    quick: Annotated[bool, Flag] = False,
    games: Annotated[int, Parameter(validator=Number(gte=1, lte=1_000_000))] = 200,
    seed: Seed = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
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

    with _shown("starting the examination") as begin:
        from games.doctor.examination import examine
        from games.doctor.report import in_words

        report = examine(game, num_games=games, seed=seed, begin=begin)
        if not quick and report.is_sound:
            begin(LOADING)
            from games import load
            from selfplay.overfit import overfit

            overfit(load(game), seed, tell=begin).add_to(report)
    print(json.dumps(report.as_json()) if as_json else in_words(report))
    return 0 if report.is_sound else FOUND_ERRORS


@app.command
@ended_by_interrupts()
def bench(
    game: str,
    /,
    *,
    model: Path | None = None,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="", show_default=False)] = None,
    seconds: Annotated[float, Parameter(validator=Number(gt=0, lte=600))] = 1.0,
    quick: Annotated[bool, Flag] = False,
    profile: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure how fast everything runs here, and where the time goes: about a minute.

    Args:
        game: A game, as `keima games` lists them, a game file's path (.py: code, which is run), or a config (.toml).
        model: A checkpoint or a run's folder; by default a net of the config's sizes with random weights.
        settings: Changes one setting of the config: --set key=value, as often as needed.
        seconds: How long to measure each thing; longer is more exact.
        quick: A quarter of that time, and not the start with nothing compiled.
        profile: Also writes profiles, as texts, into this folder.
        as_json: Prints one JSON object.
    """
    import json

    from selfplay.config import load_config

    config = load_config(game, settings or [])
    with _shown(LOADING) as begin:
        from selfplay.bench import measure
        from selfplay.bench_report import in_words
        from selfplay.plan import settled

        model = model.expanduser() if model is not None else None
        profile = profile.expanduser() if profile is not None else None
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
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="", show_default=False)] = None,
    again: Annotated[bool, Flag] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say which settings suit this machine, and how long training takes to named strengths; measures for a minute.

    Args:
        game: A game, as `keima games` lists them, a game file's path (.py: code, which is run), or a config (.toml).
        settings: Changes one setting of the config: --set key=value, as often as needed.
        again: Measures anew; otherwise what was measured here before is used.
        as_json: Prints one JSON object.
    """
    import json

    from selfplay.config import load_config

    config = load_config(game, settings or [])
    with _shown(LOADING) as begin:
        from selfplay.plan import make_plan
        from selfplay.plan_report import in_words

        result = make_plan(config, again=again, tell=begin)
    print(json.dumps(result.as_json()) if as_json else in_words(result))


@app.command
@ended_by_interrupts()  # until the tournament has handlers of its own, which keep what is over
def tournament(
    game: str | None = None,
    /,
    *players: str,
    file: Path | None = None,
    games: Annotated[int | None, Parameter(validator=Number(gte=2, lte=1_000_000))] = None,
    config: str | None = None,
    pairing: Literal["round-robin", "gauntlet", "adaptive"] | None = None,
    sides: Literal["both", "first", "second"] | None = None,
    opening_plies: Annotated[int | None, Parameter(validator=Number(gte=0, lte=1000))] = None,
    book: Path | None = None,
    sprt: tuple[float, float] | None = None,
    simulations: Simulations = None,
    seconds: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    nodes: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    referee: str | None = None,
    checkpoints: Annotated[int, Parameter(validator=Number(gte=2, lte=1000))] = 8,
    workers: Annotated[int | None, Parameter(validator=Number(gte=1, lte=1024))] = None,
    backend: str | None = None,
    seed: Annotated[int | None, Parameter(validator=Number(gte=0, lt=2**63))] = None,
    anchor: Annotated[list[str] | None, Parameter(negative="", show_default=False)] = None,
    merge: Annotated[list[Path] | None, Parameter(negative="", show_default=False)] = None,
    report: Annotated[bool, Flag] = False,
    output: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
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
    from games.contract import GameError

    if file is None and config is None and (game is None or report or merge):
        raise GameError("tournament: expected a game and players, or --file FILE; see `keima tournament --help`")
    with _shown(LOADING) as tell:
        from games import load
        from selfplay.tournament.report import parse_anchors, standings, tell_of
        from selfplay.tournament.tournament import begin, how_to_go_on

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
            from selfplay.tournament.config import plan as plan_tournament

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
        found = begin(
            file or _new_tournament(loaded.name if loaded else ""),
            loaded,
            players,
            merge=merge or [],
            limits={**limits, "checkpoints": checkpoints},
            workers=workers,
            backend=backend,
            **settings,
        )
        if not report:
            found.prepare(tell)
    for line in left_out:
        print(line, file=sys.stderr)
    with found:
        done = report or found.play()
        if found.store.num_games():
            tell_of(standings(found.store, anchors), found.test, output, as_json=as_json)
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
    simulations: Annotated[int, Parameter(validator=Number(gte=0, lte=1_000_000))] = 64,
    checkpoints: Annotated[int, Parameter(validator=Number(gte=2, lte=1000))] = 8,
    games: Annotated[int | None, Parameter(validator=Number(gte=2, lte=1_000_000))] = None,
    against: Annotated[list[str] | None, Parameter(negative="", show_default=False)] = None,
    workers: Annotated[int | None, Parameter(validator=Number(gte=1, lte=1024))] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
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
    with _shown(LOADING) as tell:
        from selfplay.tournament.report import standings, tell_of
        from selfplay.tournament.run_ladder import OUTPUT, REFERENCE, begin_ladder, draw

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


def _evaluation_in_words(facts: dict[str, Any]) -> str:
    how = f"{facts['simulations']} simulations" if facts["simulations"] else "its policy alone"
    said = f"{facts['model']} (step {facts['step']}), {how}, in {facts['seconds']:.1f} s:\n"
    if "lines" in facts:
        return f"{said}loses {facts['losses']} of {facts['lines']} lines of play against every opponent's move"

    def share(name: str) -> str:
        low, high = facts[f"{name}_interval"]
        return f"{facts[name]:.1%} (95 % interval {low:.1%} to {high:.1%})"

    return (
        f"{said}keeps the exact value in {share('value_preserving')} of {facts['positions']} positions\n"
        f"plays a best move in {share('optimal')}"
    )


@contextlib.contextmanager
def _shown(stage: str) -> Iterator[Callable[[str], None]]:
    """Says on stderr what is being done, once it takes long; yields what is told of each later stage."""
    from agent.terminal import Progress

    def write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    progress = Progress(write, live=sys.stderr.isatty())
    progress.begin(stage)
    with progress.shown():
        yield progress.begin


def _only_one_of(model: str | None, opponent: str | None) -> str | None:
    """The player asked for, by either option."""
    if model is None:
        return opponent
    from agent.shipped import SHIPPED
    from games.contract import GameError

    if opponent is not None:
        raise GameError("expected --model or --opponent, got both")
    if model != SHIPPED and not Path(model).expanduser().exists():
        raise GameError(f"{model}: no such checkpoint or run folder")
    return model


def _player_of_level(game: str, elo: int, chosen: str | None, simulations: int | None, seconds: float | None) -> str:
    """The player whose rating is nearest to what was asked for."""
    from agent.levels import level_for
    from games import load
    from games.contract import GameError

    if chosen is not None or simulations is not None or seconds is not None:
        raise GameError("--elo says how strong the opponent is: expected it without another player or its limits")
    return level_for(load(game), elo).player


def _is_screen() -> bool:
    """Whether stdin and stdout are a terminal that can be drawn on."""
    ends = (sys.stdin, sys.stdout)
    return all(end is not None and end.isatty() for end in ends) and os.environ.get("TERM", "dumb") != "dumb"


def _run_folder(text: str, *, must_exist: bool) -> Path:
    """The folder of a run given by name or by path."""
    from games.contract import GameError

    path = Path(text).expanduser()
    folder = path if path.is_dir() or len(path.parts) > 1 else RUNS / text
    if must_exist and not folder.is_dir():
        known = sorted(p.name for p in RUNS.glob("*") if p.is_dir())
        raise GameError(f"no run {text!r}; under {RUNS}/ there is: {', '.join(known) or 'none'}")
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


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line; returns the exit code. Commands return theirs, or None for 0."""
    code = _run(arguments)
    loading = any(thread.name == "opponent" for thread in threading.enumerate())
    if loading or (arguments is None and "agent.opponent" in sys.modules):
        # A player that is still being loaded may be inside a compiler: its thread cannot be stopped, and the
        # interpreter must not be taken down under it. And what nets need takes seconds to be taken down in order, in
        # which a user who has left a game waits for his prompt.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):  # closed, or none
                stream.flush()
        os._exit(code)
    return code


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal's own ^C stands on the line
        return _complain("interrupted", INTERRUPTED)
    except (BrokenPipeError, SystemExit):  # rich, which prints the help, exits where a pipe breaks
        # What is buffered cannot be written any more; without this the interpreter tries again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain("the output was closed before its end")
    except CycloptsError as error:
        error.verbose = False
        return _complain(_usage(str(error)))
    except Exception as error:
        if not _is_for_the_user(error):
            raise
        return _complain(_os_problem(error) if isinstance(error, OSError) else str(error))


def _is_for_the_user(error: Exception) -> bool:
    """Whether an error's message says what the user should know; anything else is a defect, shown as it is."""
    contract: Any = sys.modules.get("games.contract")  # not imported here: it takes numba along
    return isinstance(error, OSError) or (contract is not None and isinstance(error, contract.GameError))


def _os_problem(error: OSError) -> str:
    """An error of the operating system in its own words, with the file it is about."""
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _usage(message: str) -> str:
    """A complaint about usage, in the style of the others."""
    return f"{message[:1].lower()}{message[1:]}"


def _complain(message: str, code: int = BAD_INPUT) -> int:
    with contextlib.suppress(OSError):
        print(f"keima: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code
