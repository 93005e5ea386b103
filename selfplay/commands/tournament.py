"""`keima tournament` and `keima rate`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from keima.agent.command_line import MOST_SEED, Flag, Json, Seconds, Simulations, Within, app, shown
from keima.agent.system.interrupts import INTERRUPTED, ended_by_interrupts
from keima.selfplay.commands.folders import LOADING, RUNS, new_tournament, run_folder

if TYPE_CHECKING:
    from keima.games.contract import Game
    from keima.selfplay.tournament.tournament import Tournament


# Long: half of it is the docstring, which is the command's help.
# Many parameters: one an option of the command.
@app.command
@ended_by_interrupts()  # until the tournament has handlers of its own, which keep what is over
def tournament(  # as many parameters as options, each a line, and a line for each in the help
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
        from keima.selfplay.tournament.report import parse_anchors, standings, tell_of
        from keima.selfplay.tournament.store import Store
        from keima.selfplay.tournament.tournament import begin, test_of

        asked = _Asked(file, output, players, parse_anchors(anchor or []))
        asked.limits = {"simulations": simulations, "seconds": seconds, "nodes": nodes}
        asked.settings = {
            "games": games,
            "pairing": pairing,
            "sides": sides,
            "opening_plies": opening_plies,
            "book": None if book is None else str(book.absolute()),
            "sprt": sprt,
            "referee": referee,
            "seed": seed,
        }
        asked.complete(game, config)
        if report:
            assert asked.file is not None
            with Store(asked.file, asked.game, read_only=True) as store:
                told = standings(store, asked.anchors), test_of(store)
        else:
            found = begin(
                asked.file or new_tournament(asked.game.name if asked.game else ""),
                asked.game,
                asked.players,
                merge=merge or [],
                limits={**asked.limits, "checkpoints": checkpoints},
                workers=workers,
                backend=backend,
                anchors=asked.anchors,
                **asked.settings,
            )
            found.prepare(tell)
    if report:
        tell_of(*told, asked.output, as_json=as_json)
        return 0
    for line in asked.left_out:
        print(line, file=sys.stderr)
    return _play(found, asked.anchors, asked.output, as_json=as_json)


@dataclass
class _Asked:
    """What a tournament is asked for, by the command and by a config."""

    file: Path | None
    output: Path | None
    players: tuple[str, ...]
    anchors: dict[str, float]
    game: "Game | None" = None
    limits: dict[str, Any] = field(default_factory=dict)
    """None where nothing was asked, as in `settings`."""
    settings: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    """Players of the config who cannot play here, in words."""

    def complete(self, game: str | None, config: str | None) -> None:
        """Adds what the config says where the command says nothing, and loads the game. Raises GameError."""
        from keima.agent.system.storage import check_folder
        from keima.games import load
        from keima.games.contract import GameError

        if config is not None:
            from keima.selfplay.tournament.config import plan

            planned = plan(config)
            self.game = planned.game
            self.players = (*planned.players, *([] if game is None else [game]), *self.players)
            self.anchors = {**planned.anchors, **self.anchors}
            self.settings |= {name: value for name, value in planned.settings.items() if self.settings[name] is None}
            self.limits |= {name: value for name, value in planned.limits.items() if self.limits[name] is None}
            self.file = self.file or RUNS / f"ladder-{planned.name}.sqlite"
            self.output = self.output or RUNS / f"ladder-{planned.name}"
            self.left_out = planned.left_out
        elif game is not None:
            try:
                self.game = load(game)
            except GameError:
                if self.file is None or not self.file.exists():
                    raise
                self.players = (game, *self.players)  # the file knows the game, and this is one more who plays
        if self.output is not None:
            self.output = self.output.expanduser()
            check_folder(self.output, "--output")


def _play(found: "Tournament", anchors: dict[str, float], output: Path | None, *, as_json: bool) -> int:
    """Plays the tournament, or what is left of it, and says how it stands; returns the exit code."""
    from keima.selfplay.tournament.report import standings, tell_of
    from keima.selfplay.tournament.tournament import how_to_go_on, test_of

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

        folder = run_folder(run, must_exist=True)
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
