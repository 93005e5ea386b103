"""`keima train` and `keima sweep`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from keima.agent.command_line import MOST_SEED, Flag, Within, app, shown
from keima.agent.system.interrupts import INTERRUPTED, ended_by_interrupts
from keima.selfplay.commands.folders import LOADING, new_run_folder, run_folder

MIN_MINUTES, MAX_MINUTES = 0.0001, 1_000_000
"""How long one may ask to train."""

Settings = Annotated[list[str] | None, Parameter(name="--set", negative="", show_default=False)]


# Long: half of it is the docstring, which is the command's help.
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
        folder = run_folder(resume, must_exist=True)
        with shown(LOADING):
            from keima.selfplay.run.start import resume as resume_run

        return 0 if resume_run(folder, minutes, settings or []) else INTERRUPTED
    if game is None:
        raise GameError("train: expected a game or a config file, or --resume RUN; `keima games` lists the games")
    from keima.games import load
    from keima.selfplay.actors.start_positions import starts_for
    from keima.selfplay.config.loader import load_config

    _refuse_twice(game, minutes, seed, start, settings or [])
    named = {"seed": seed, "start_from": None if start is None else repr(start)}
    given = [f"{name}={value}" for name, value in named.items() if value is not None]
    config = load_config(game, [*(settings or []), *given])
    starts_for(load(config.game), config)  # says at once what is wrong with a file of positions
    if run is not None:
        folder = run_folder(run, must_exist=False)
    else:
        folder = new_run_folder(Path(config.game.partition(":")[0]).stem)
    is_taken = _is_taken(folder, overwrite=overwrite)
    with shown(LOADING) as begin:
        from keima.selfplay.bench.plan import settled
        from keima.selfplay.learning.initial_weights import grown_for_start
        from keima.selfplay.run.start import train as train_run

        config = settled(grown_for_start(config), begin)
    return 0 if train_run(config, folder, minutes, replace=is_taken) else INTERRUPTED


def _refuse_twice(game: str, minutes: float | None, seed: int | None, start: str | None, settings: list[str]) -> None:
    """Raises GameError where a setting is given by an option of its own and by --set."""
    from keima.games.contract import GameError

    said = {"seed": ("--seed ", seed), "start_from": ("--from ", start), "run.minutes": ("--minutes ", minutes)}
    said["game"] = ("the argument ", None if game.endswith(".toml") else game)
    for setting in settings:
        option, value = said.get(setting.partition("=")[0].strip(), ("", None))
        if value is not None:
            raise GameError(f"{option}{value} and --set {setting} say the same: expected one of them")


def _is_taken(folder: Path, *, overwrite: bool) -> bool:
    """Whether there is a run in the folder, which is to be deleted. Raises GameError where none may be begun there."""
    # Hidden files alone are what a run leaves that was killed before it was one.
    if not folder.exists() or (folder.is_dir() and all(path.name[0] == "." for path in folder.iterdir())):
        return False
    from keima.games.contract import GameError
    from keima.selfplay.run.run_folder import is_run

    if not is_run(folder):
        raise GameError(f"{folder} exists and is no run's folder: name another with --run")
    if not overwrite:
        raise GameError(f"{folder} exists: go on with --resume {folder}, replace it with --overwrite, or name another")
    return True


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
        folder = run_folder(resume, must_exist=True)
        with shown(LOADING):
            from keima.selfplay.experiments.sweep import resume as resume_sweep

        return 0 if resume_sweep(folder) else INTERRUPTED
    assert config is not None
    text, source = read_sweep(config)
    kind = "ablation" if parse_sweep(text, source).is_ablation else "sweep"
    folder = run_folder(run if run is not None else f"{kind}-{Path(config).stem}", must_exist=False)
    with shown(LOADING):
        from keima.selfplay.experiments.sweep import begin

    return 0 if begin(text, source, folder) else INTERRUPTED
