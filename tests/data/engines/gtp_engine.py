"""An engine for the tests that speaks GTP and plays tic-tac-toe's first empty cell, with one fault named in argv[1].

argv[2], for faults that happen once: a file that says whether it has happened.
"""

import os
import subprocess
import sys
import time

CELLS = [column + row for row in "321" for column in "abc"]
COMMANDS = ["name", "version", "list_commands", "boardsize", "clear_board", "komi", "play", "genmove", "undo", "quit"]
FAULT = sys.argv[1] if len(sys.argv) > 1 else "none"


def once() -> bool:
    """Whether the fault is still to happen; it is noted as having happened."""
    if os.path.exists(sys.argv[2]):
        return False
    open(sys.argv[2], "w").close()
    return True


def answer(text: str = "", sign: str = "=") -> None:
    if FAULT == "quirky":
        print(f"info: {text}\n\n", end="")
        sys.stdout.write(f"{sign} {text.upper()}\r\n\r\n")
    else:
        sys.stdout.write(f"{sign}{number} {text}\n\n")
    sys.stdout.flush()


def genmove(played: list[str]) -> str:
    """The move; or the fault."""
    if FAULT == "crash" or (FAULT == "crash once" and once()):
        print("Traceback: out of luck\n", file=sys.stderr)
        sys.exit(3)
    if FAULT == "killed":
        os.kill(os.getpid(), 9)
    if FAULT == "hang":
        print("thinking hard", file=sys.stderr, flush=True)
        time.sleep(3600)
    if FAULT == "children":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        print(f"child {child.pid}", file=sys.stderr, flush=True)
        time.sleep(3600)
    if FAULT == "orphan":  # the child goes on and holds the pipes open
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        sys.exit(4)
    if FAULT == "flood stderr":
        for _ in range(64):
            sys.stderr.write("x" * 99_999 + "\n")  # 6.4 MB, in lines and in large pieces
        sys.stderr.flush()
    if FAULT == "flood stdout":
        while True:
            print("chatter")
    if FAULT == "endless line":
        while True:
            sys.stdout.write("y" * 100_000)
    if FAULT == "half":
        sys.stdout.write(f"={number} a3\n")
        sys.stdout.flush()
        time.sleep(3600)
    if FAULT == "nonsense":
        for _ in range(2000):
            print("I would rather not\n")
        sys.stdout.flush()
    if FAULT == "illegal":
        return played[0] if played else "z9"
    if FAULT == "resign":
        return "resign"
    return next(cell for cell in CELLS if cell not in played)


if FAULT == "silent":
    time.sleep(3600)
if FAULT == "no start":
    sys.exit("no licence")
if FAULT == "quirky":
    print("Welcome!\n\nengine ready")
played: list[str] = []
number = ""
log = open(sys.argv[2], "a") if FAULT == "log" else None  # noqa: SIM115 (for as long as the program runs)
for line in sys.stdin:
    number, command, *arguments = line.split() if line[0].isdigit() else ["", *line.split()]
    if log:
        print(command, *arguments, file=log, flush=True)
    if command == "quit":
        answer()
        break
    if command == "name":
        answer("Faulty")
    elif command == "version":
        answer("1.0")
    elif command == "list_commands":
        answer("unknown command", "?") if FAULT == "quirky" else answer("\n".join(COMMANDS))
    elif command == "clear_board" and FAULT == "stubborn":
        answer("not now", "?")
    elif command == "boardsize" and FAULT == "one size":
        answer("unacceptable size", "?")
    elif command in ("boardsize", "clear_board", "komi"):
        if command == "clear_board":
            played = []
        answer()
    elif command == "play":
        if FAULT == "refuse":
            answer("illegal move", "?")
        else:
            played.append(arguments[1])
            answer()
    elif command == "undo" and FAULT != "quirky":
        played.pop()
        answer()
    elif command == "genmove":
        move = genmove(played)
        played.append(move)
        answer(move)
    else:
        answer("unknown command", "?")
