"""The commands that need a player at most: `keima games`, `new`, `evaluate`, `play`, `gtp` and `export`.

Each imports what it needs when it runs; see agent/command_line.py.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from keima.agent.command_line import Flag, Json, Seconds, Seed, Simulations, Within, app, shown
from keima.agent.system.interrupts import ended_by_interrupts

if TYPE_CHECKING:
    from keima.agent.players.levels import Level


@app.command
def games() -> None:
    """List the games, with their parameters."""
    import dataclasses
    import inspect
    import textwrap

    from keima.games import load, names

    shown = [load(name) for name in names()]
    width = max(len(game.name) for game in shown)
    for game in shown:
        # A description of several lines stands beside the name.
        described = textwrap.indent(inspect.getdoc(type(game)) or "", " " * (width + 2))
        print(f"{game.name:<{width + 2}}{described.lstrip()}".rstrip())
        for field in dataclasses.fields(game):
            meta = field.metadata
            accepted = " or ".join(meta["choices"]) or f"{meta['low']} to {meta['high']}"
            print(f"{'':<{width}}    {field.name}={field.default}: {meta['help']} ({accepted})")
    print("\nParameters follow a colon: othello:6 or gomoku:9,win=4.")
    print("The path of a .py file is a game, too; the file is code, and is run.")


@app.command
def new(file: Path, /) -> None:
    """Write a small game with comments into a new file, to be turned into your own.

    Args:
        file: The file to write, as mygame.py; one that exists is left alone.
    """
    from keima.games.new_game import write_new_game

    name = write_new_game(file)
    shown = file if file.is_absolute() else f"./{file}"
    print(f"{file}: the game {name}; see `keima doctor {shown}`, then `keima train {shown} --minutes 5`")


@app.command
@ended_by_interrupts()
def evaluate(
    game: str,
    /,
    *,
    model: str | None = None,
    positions: str | None = None,
    simulations: Annotated[int, Parameter(validator=Within(0, 1_000_000))] = 64,
    as_json: Json = False,
) -> None:
    """Measure how well a net plays against exact results.

    Args:
        game: A game with exact results: connect4, or tictactoe, which needs no positions.
        model: A checkpoint, a run's folder or `shipped`; by default the newest net under runs/, else the shipped one.
        positions: A file of positions with the exact score of every move, or the name of a shipped one, as
            connect4_judging; by default those shipped with the game.
        simulations: Simulations a move; 0 is the net's policy alone.
        as_json: Prints one JSON object.
    """
    import dataclasses
    import json
    import time
    from functools import partial

    from keima.agent.analysis.evaluation import evaluate_positions, find_positions, losing_lines, read_positions
    from keima.agent.solvers import EXHAUSTIBLE_PLIES
    from keima.games import load
    from keima.games.contract import GameError

    loaded = load(game)
    file = find_positions(positions, loaded)
    if file is None and loaded.max_plies > EXHAUSTIBLE_PLIES:
        raise GameError(f"evaluate: expected --positions FILE, exact scores for {game}; none are shipped")
    scored = read_positions(file, loaded) if file is not None else []

    from keima.agent.inference.loaded_network import load_network
    from keima.agent.nets.checkpoint import find_checkpoint
    from keima.mcts.search import SearchSettings, choose_actions

    network = load_network(find_checkpoint(model, loaded), loaded)
    settings = SearchSettings(simulations) if simulations else None
    choose = partial(choose_actions, loaded, network.evaluate, settings=settings)
    facts: dict[str, Any] = {
        "game": loaded.label,
        "model": str(network.path),
        "step": network.metadata.step,
        "simulations": simulations,
    }
    start_s = time.monotonic()
    with shown("choosing moves"):
        result = evaluate_positions(scored, choose) if file is not None else losing_lines(loaded, choose)
    facts |= {"positions" if name == "count" else name: value for name, value in dataclasses.asdict(result).items()}
    facts["seconds"] = round(time.monotonic() - start_s, 3)
    print(json.dumps(facts) if as_json else _evaluation_in_words(facts))


# Many parameters: one an option of the command.
@app.command
@ended_by_interrupts()
def play(
    game: str,
    /,
    *,
    model: str | None = None,
    opponent: str | None = None,
    elo: Annotated[int | None, Parameter(validator=Within(-10_000, 10_000))] = None,
    simulations: Simulations = None,
    seconds: Seconds = None,
    side: Literal["first", "second", "both"] | None = None,
    watch: str | None = None,
    record: Path | None = None,
    position: str | None = None,
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
        position: Where the game begins: a board with the side to move, as "X.O/.X./... O", or moves from the start, as
            "b2 a1"; games/README.md has each game's way.
        ponder: The opponent thinks on your time, too.
        seed: Seeds players that use chance.
        plain: Line by line in any case, with no colours and no line that is rewritten.
    """
    from keima.agent.terminal.match_setup import PlayerChoice, Setting, Sides

    chosen = _only_one_of(model, opponent)
    if elo is not None:
        level = _level(game, elo, chosen, simulations, seconds)
        chosen, elo = level.player, level.elo
    theirs = PlayerChoice(chosen, simulations, seconds, seed, ponder, elo)
    yours = None if watch is None else PlayerChoice(watch, simulations, seconds, seed)
    asked = any(value is not None for value in (chosen, simulations, seconds, side, watch, record, position)) or ponder
    if side == "both" or (record is not None and side is None and chosen is None and watch is None):
        sides: Sides = (None, None)
    else:
        sides = (theirs, yours) if side == "second" else (yours, theirs)
    setting = Setting(game, sides, theirs, record, _start(game, record, position))
    if plain or not _is_screen():
        from keima.agent.terminal import line_mode as terminal

        terminal.play(setting, plain=plain)
        return
    from keima.agent.terminal.screen.app import play as play_on_screen

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
    gtp_version: str | None = None,
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
        gtp_version: The answer to the command `version`; Lizzie refuses what is below 0.15, as Leela Zero counts.
    """
    from keima.agent.go.rules import match_game
    from keima.agent.protocols.gtp.engine import GtpEngine, serve
    from keima.agent.protocols.gtp.input_lines import StreamLines
    from keima.agent.protocols.gtp.player import MatchPlayers
    from keima.games import load

    def log(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    players = MatchPlayers(_only_one_of(model, opponent), simulations, seconds, seed, log)
    engine = GtpEngine(
        match_game(load(game), game),
        players.player_for,
        simulations=players.simulations,
        seconds=players.seconds,
        log=log,
        version=gtp_version,
    )
    try:
        if sys.stdin is not None:
            with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as unbuffered:
                serve(engine, StreamLines(unbuffered), write)
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
    from keima.agent.system.storage import check_folder, write_atomically
    from keima.games.contract import GameError

    if output is not None:
        output = output.expanduser()
        if output.suffix != ".onnx":  # it could be the checkpoint
            raise GameError(f"--output: expected a name that ends in .onnx, got {output}")
        if not output.parent.is_dir():
            raise GameError(f"--output {output}: no such folder as {output.parent}")
        if output.is_dir():
            raise GameError(f"--output {output}: expected a file, but it is a folder")
        check_folder(output.parent, "--output")
    with ended_by_interrupts(), shown("writing and comparing the network"):
        from keima.agent.inference.onnx_export import TOLERANCE
        from keima.agent.inference.onnx_export import export as export_network
        from keima.agent.nets.checkpoint import find_checkpoint, load_checkpoint
        from keima.agent.nets.shipped import shipped_net
        from keima.games import load

        loaded = load(game)
        checkpoint = load_checkpoint(find_checkpoint(model, loaded), loaded)
        exported = export_network(checkpoint)
    # The shipped net lies where Keima is installed: nothing of the user's belongs there.
    beside = checkpoint.path if checkpoint.path != shipped_net(loaded) else Path(checkpoint.path.name)
    output = output or beside.with_suffix(".onnx")
    write_atomically(output, exported.data)
    print(
        f"{output}: {loaded.label}, step {checkpoint.metadata.step}, {len(exported.data) / 1e6:.1f} MB; OpenVINO's "
        f"answers to {exported.positions} positions are torch's, give or take {exported.largest_difference:.0e} "
        f"(accepted: {TOLERANCE:.0e})"
    )


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


def _start(game: str, record: Path | None, position: str | None) -> str:
    """The position asked for, checked before anything else is done; empty for the game's own first one."""
    if position is None:
        return ""
    from keima.games import load
    from keima.games.contract import GameError
    from keima.games.position import Position

    if record is not None:
        raise GameError("expected --record or --position, got both")
    if Position.from_text(load(game), position).is_over:
        raise GameError(f"--position {position!r}: expected a position to play on from, but the game is over in it")
    return position


def _only_one_of(model: str | None, opponent: str | None) -> str | None:
    """The player asked for, by either option."""
    if model is None:
        return opponent
    from keima.agent.nets.shipped import SHIPPED
    from keima.games.contract import GameError

    if opponent is not None:
        raise GameError("expected --model or --opponent, got both")
    if model != SHIPPED and not Path(model).expanduser().exists():
        raise GameError(f"{model}: no such checkpoint or run folder")
    return model


def _level(game: str, elo: int, chosen: str | None, simulations: int | None, seconds: float | None) -> "Level":
    """The player whose rating is nearest to what was asked for."""
    from keima.agent.players.levels import level_for
    from keima.games import load
    from keima.games.contract import GameError

    if chosen is not None or simulations is not None or seconds is not None:
        raise GameError("--elo says how strong the opponent is: expected it without another player or its limits")
    return level_for(load(game), elo)


def _is_screen() -> bool:
    """Whether stdin and stdout are a terminal that can be drawn on."""
    ends = (sys.stdin, sys.stdout)
    return all(end is not None and end.isatty() for end in ends) and os.environ.get("TERM", "dumb") != "dumb"
