"""A referee for the tests that speaks GTP: what it is to say is in its arguments, with one fault or none.

    go_referee.py FAULT DEAD SCORE [FILE]

DEAD: the stones it calls dead, or "?" where it refuses to say. SCORE: likewise. FILE: for `log`, what it is told; for
`crash once`, whether it has crashed.
"""

import os
import sys
import time

FAULT, DEAD, SCORE = sys.argv[1:4]
FILE = sys.argv[4] if len(sys.argv) > 4 else ""
COMMANDS = [
    "boardsize",
    "clear_board",
    "komi",
    "kgs-rules",
    "fixed_handicap",
    "set_random_seed",
    "time_settings",
    "level",
]
COMMANDS += ["name", "version", "list_commands", "play", "undo", "quit"]
COMMANDS += [] if FAULT == "no judge" else ["final_status_list", "final_score"]


def answer(text: str = "") -> None:
    sign = "?" if text == "?" else "="
    print(f"{sign} {'cannot say' if sign == '?' else text}\n", flush=True)


for line in sys.stdin:
    _, command, *arguments = line.split()
    if FAULT == "log":
        with open(FILE, "a") as log:
            print(command, *arguments, file=log)
    if command == "quit":
        break
    if command in ("name", "version"):
        answer({"name": "Judge", "version": "2"}[command])
    elif command == "list_commands":
        answer("\n".join(COMMANDS))
    elif command == "kgs-rules" and FAULT == "no rules":
        answer("?")
    elif command == "final_score":
        answer(SCORE)
    elif command == "final_status_list":
        if FAULT == "crash" or (FAULT == "crash once" and not os.path.exists(FILE)):
            if FILE:
                open(FILE, "w").close()
            sys.exit("out of its depth")
        if FAULT == "hang":
            time.sleep(3600)
        answer(DEAD)
    elif command in COMMANDS:
        answer()
    else:
        answer("?")
