import contextlib
import dataclasses
import io
import itertools
import math
import os
import pty
import signal
import subprocess
import sys

import pytest
from rich import console as console_module
from rich.cells import cell_len
from rich.console import Console

from keima.selfplay.run.diagnosis import Diagnosis
from keima.selfplay.run.panel import Panel, Progress, duration, panel_lines, sparkline

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"

DUPLICATES = Diagnosis(
    "duplicate_games",
    "92 % duplicate games among the last 500: the network learns a few games by heart",
    "vary the openings with --set selfplay.opening_random_fraction=0.2",
)
STARVED = Diagnosis("learner_starved", "learner starved: it waits for new games 97 % of the time", "--set a.b=8")

BUSY = Progress(
    run="connect4-1 [bold]棋",
    game="connect4",
    elapsed_s=754,
    budget_s=1200,
    phase="measuring strength",
    games=12_345,
    positions=456_789,
    positions_per_s=1234.4,
    evaluations_per_s=45_678,
    steps=3210,
    replay_ratio=3.98,
    replay_ratio_target=4.0,
    losses={"policy": 1.2344, "value": 0.5},
    strength="71 % raw policy, 80 % at 64 simulations",
    strength_history=(0.3, 0.5, 0.6, 0.71),
    actors=("playing", "restarting", "playing"),
    network="4 blocks x 32 channels",
    diagnoses=(DUPLICATES, STARVED),
)
FRESH = Progress(run="r", game="connect4", elapsed_s=0, budget_s=1200)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def terminal(width=80, height=24):
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None, _environ={})


def texts(progress, width, height, **options):
    return [line.plain for line in panel_lines(progress, width, height, **options)]


# --- what the panel holds


def test_everything_is_there_where_there_is_room():
    assert texts(BUSY, 90, 30) == [
        "━" * 40 + "─" * 24 + " 12:34 of 20:00, 7:26 left",
        "measuring strength",
        "strength 71 % raw policy, 80 % at 64 simulations · ▁▄▆█",
        "played   12,345 games · 457k positions",
        "speed    1,234 positions/s · 45,678 evaluations/s",
        "learned  3,210 steps · 3.98 of 4.00 samples a position",
        "losses   policy 1.234 · value 0.500",
        "actors   2 playing · 1 restarting",
        "network  4 blocks x 32 channels",
        "! 92 % duplicate games among the last 500: the network learns a few games by heart; vary ",
        "the openings with --set selfplay.opening_random_fraction=0.2",
        "! learner starved: it waits for new games 97 % of the time; --set a.b=8",
    ]


def test_false_resignations_are_told_once_there_are_any_to_check():
    progress = dataclasses.replace(BUSY, checked_resignations=1234, false_resignation_share=0.0312)
    assert "played   12,345 games · 457k positions · false resignations 3.1% of 1,234" in texts(progress, 90, 30)
    (line,) = plain_lines((0, dataclasses.replace(progress, diagnoses=(), strength="", phase="", actors=())))
    assert "positions 456,789  false resignations 3.1% of 1,234  positions/s" in line


def test_nothing_known_yet():
    assert texts(FRESH, 60, 30) == [
        "─" * 34 + " 0:00 of 20:00, 20:00 left",
        "played   0 games · 0 positions",
        "learned  0 steps",
    ]


def test_the_least_important_goes_first_where_there_is_none():
    assert texts(BUSY, 60, 1)[0].endswith("12:34 of 20:00, 7:26 left")
    lines = texts(BUSY, 60, 5)
    assert [line.split()[0] for line in lines[1:]] == ["measuring", "strength", "!", "learns"]
    assert lines[-1].endswith(" ...")
    assert texts(dataclasses.replace(BUSY, diagnoses=()), 60, 4)[-1].startswith("played")


def test_a_line_keeps_whole_figures():
    narrow = texts(dataclasses.replace(BUSY, diagnoses=()), 34, 30)
    assert narrow[0].endswith(" 7:26 left")
    assert "speed    1,234 positions/s" in narrow
    assert "played   12,345 games" in narrow


def test_no_size_breaks_it():
    for width in range(1, 100, 3):
        for height in range(1, 25):
            lines = panel_lines(BUSY, width, height)
            assert 1 <= len(lines) <= height
            assert all(cell_len(line.plain) <= width for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (50, 15), (30, 9), (29, 9), (40, 7), (12, 4), (5, 2), (200, 60)])
@pytest.mark.parametrize("progress", [BUSY, FRESH])
def test_drawn_panel_fits_the_terminal_with_a_line_for_the_cursor(size, progress):
    console = terminal(*size)
    panel = Panel(console)
    panel.update(progress)
    with console.capture() as capture:
        console.print(panel._view, end="")
    lines = capture.get().split("\n")
    assert len(lines) <= size[1] + 1  # the text ends in a line break: what is behind it is no line
    assert lines[-1] == ""
    assert lines[-2].strip() == ""
    assert all(cell_len(line) <= size[0] for line in lines)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_ascii_where_there_is_no_unicode(is_terminal):
    for width in (90, 40):
        assert all(line.isascii() for line in texts(BUSY, width, 30, ascii_only=True))
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=file, force_terminal=is_terminal, width=80, height=24, _environ={})
    with Panel(console) as panel:
        panel.update(dataclasses.replace(BUSY, game="棋", phase="計る"))
    file.seek(0)
    assert "??" in file.read()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), ""),
        ((0.5,), "▁"),
        ((0.0, 0.5, 1.0), "▁▅█"),
        ((0.500, 0.501, 0.500), "▁▁▁"),
        ((0.0, math.nan, 1.0), "▁ █"),
    ],
)
def test_sparkline(values, expected):
    assert sparkline(values) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (59.9, "0:59"), (425, "7:05"), (4025, "1:07:05"), (-3, "0:00")]
)
def test_duration(seconds, expected):
    assert duration(seconds) == expected


# --- on a terminal


def test_panel_is_redrawn_and_stays_at_the_end():
    console, clock = terminal(), Clock()
    with Panel(console, clock) as panel:
        panel.update(FRESH)
        drawn = console.file.getvalue()
        assert drawn.startswith(HIDE_CURSOR)
        clock.now = 0.1
        panel.update(BUSY)
        assert console.file.getvalue() == drawn  # too soon
        clock.now = 1.0
        panel.update(BUSY)
        assert "12,345 games" in console.file.getvalue()[len(drawn) :]
        panel.message("resumed [from] step 12")
        panel.update(dataclasses.replace(BUSY, games=99_000))  # too soon, but the last
    written = console.file.getvalue()
    assert "resumed [from] step 12" in written
    assert "99,000 games" in written
    assert SHOW_CURSOR in written[written.rindex(HIDE_CURSOR) :]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_terminal_is_restored_when_the_run_breaks(error):
    console = terminal()
    stdout = sys.stdout

    def run():
        with Panel(console) as panel:
            panel.update(BUSY)
            raise error

    with pytest.raises(type(error)):
        run()
    written = console.file.getvalue()
    assert written.count(HIDE_CURSOR) == 1
    assert written.rindex(SHOW_CURSOR) > written.rindex(HIDE_CURSOR)
    assert sys.stdout is stdout


def interrupted_drawing(step: int) -> tuple[str, bool]:
    """All that is written where Ctrl-C comes at the `step`-th step of rich's console; whether there are so many."""
    console, steps = terminal(), 0

    def trace(frame, event, argument):
        nonlocal steps
        if frame.f_code.co_filename != console_module.__file__ or "buffer" not in frame.f_code.co_name:
            return None
        steps += 1
        if steps == step:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    try:
        with Panel(console, itertools.count().__next__) as panel:
            panel.update(FRESH)
            sys.settrace(trace)
            panel.update(BUSY)
            sys.settrace(None)
        return console.file.getvalue(), False
    except KeyboardInterrupt:
        return console.file.getvalue(), True


def test_the_cursor_is_shown_again_wherever_ctrl_c_comes():
    before = sys.gettrace()
    steps = 0
    try:
        while True:
            written, interrupted = interrupted_drawing(steps + 1)
            if not interrupted:
                break
            steps += 1
            assert written.rindex(SHOW_CURSOR) > written.rindex(HIDE_CURSOR)
    finally:
        sys.settrace(before)
    assert steps > 20


def test_a_resized_terminal_is_drawn_anew():
    console, clock = terminal(), Clock()
    with Panel(console, clock) as panel:
        panel.update(BUSY)
        console.width = 50
        clock.now = 1.0
        before = len(console.file.getvalue())
        panel.update(BUSY)
        after = console.file.getvalue()[before:]
        assert after.startswith("\x1b[2J\x1b[H")  # clear, home
        assert "╭─  keima connect4" in after


def test_ctrl_c_on_a_real_terminal():
    """A process on a pseudo-terminal, interrupted while it shows the panel."""
    program = (
        "import time\n"
        "from keima.selfplay.run.panel import Panel, Progress\n"
        "with Panel() as panel:\n"
        "    while True:\n"
        "        panel.update(Progress('run', 'connect4', 1.0, 600.0))\n"
        "        time.sleep(0.05)\n"
    )
    main, terminal_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=terminal_end, stdout=terminal_end, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    os.close(terminal_end)
    written = b""
    while b"keima" not in written:
        written += os.read(main, 4096)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            read = os.read(main, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not read:
            break
        written += read
    os.close(main)
    assert process.wait() == -signal.SIGINT
    text = written.decode()
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)
    assert text.rindex(SHOW_CURSOR) > text.rindex("keima")


# --- where there is no terminal


def plain_lines(*updates):
    """The lines printed for updates of (time in seconds, progress)."""
    file, clock = io.StringIO(), Clock()
    with Panel(Console(file=file, _environ={}), clock) as panel:
        for now, progress in updates:
            clock.now = now
            panel.update(progress)
    return file.getvalue().splitlines()


def test_a_line_every_ten_seconds():
    lines = plain_lines(*((second / 2, FRESH) for second in range(42)))
    assert lines == ["0:00 of 20:00  connect4  games 0  positions 0  steps 0"] * 3


def test_plain_line_has_the_figures():
    (line,) = plain_lines((0, dataclasses.replace(BUSY, diagnoses=(), strength="", phase="", actors=())))
    assert line == (
        "12:34 of 20:00  connect4  games 12,345  positions 456,789  positions/s 1,234  evaluations/s 45,678  "
        "steps 3,210  policy 1.234  value 0.500"
    )


def test_a_line_for_each_event_once():
    def at(second, **changes):
        return second, dataclasses.replace(FRESH, elapsed_s=second, **changes)

    lines = plain_lines(
        at(0, phase="compiling the search, once"),
        at(1, phase="compiling the search, once"),
        at(2, actors=("playing", "playing")),
        at(3, actors=("playing", "waiting")),
        at(4, actors=("waiting", "playing"), strength="71 %"),
        at(6, actors=("waiting", "playing"), strength="72 %", diagnoses=(DUPLICATES, STARVED)),
    )
    assert lines == [
        "0:00  compiling the search, once",
        "0:00 of 20:00  connect4  games 0  positions 0  steps 0",
        "0:02  actors: 2 playing",
        "0:03  actors: 1 playing, 1 waiting",
        "0:04  strength: 71 %",
        "0:06  strength: 72 %",
    ]


def test_messages_among_the_lines():
    file = io.StringIO()
    with Panel(Console(file=file, _environ={})) as panel:
        panel.message("resumed [from] step 12")
    assert file.getvalue() == "resumed [from] step 12\n"


def test_a_dumb_terminal_gets_lines():
    file = io.StringIO()
    with Panel(Console(file=file, force_terminal=True, _environ={"TERM": "dumb"})) as panel:
        panel.update(FRESH)
    assert file.getvalue() == "0:00 of 20:00  connect4  games 0  positions 0  steps 0\n"


def test_a_closed_pipe_is_told_of_by_python():
    reader, writer = os.pipe()
    os.close(reader)
    file = open(writer, "w")  # noqa: SIM115 (closing it fails too)
    with pytest.raises(BrokenPipeError), Panel(Console(file=file, _environ={})) as panel:
        panel.update(FRESH)
    with contextlib.suppress(BrokenPipeError):
        file.close()
