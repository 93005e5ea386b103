"""An engine for the tests that speaks UCI, or USI where argv[1] says so, with one fault named in argv[2].

It knows no rules: argv[3] lists the moves it plays, by how many moves were played before.
"""

import os
import sys
import time

PROTOCOL, FAULT = sys.argv[1:3]
MOVES = sys.argv[3].split() if len(sys.argv) > 3 else []

if FAULT == "no start":
    sys.exit("no licence")
if FAULT == "silent":
    time.sleep(3600)
count = 0
for line in sys.stdin:
    words = line.split()
    if words[0] == PROTOCOL:
        print("id name Faulty 1.0")
        print("option name Skill Level type spin default 20 min 0 max 20")
        print("option name Style type string default <empty>")
        print(f"{PROTOCOL}ok")
    elif words[0] == "isready":
        print("readyok")
    elif words[0] == "setoption":
        print(line.strip(), file=sys.stderr)
    elif words[0] == "position":
        count = len(words[words.index("moves") + 1 :]) if "moves" in words else 0
        print(line.strip(), file=sys.stderr)
    elif words[0] == "go":
        print(line.strip(), file=sys.stderr)
        if FAULT == "crash" or (FAULT == "crash once" and not os.path.exists(sys.argv[4])):
            if FAULT == "crash once":
                open(sys.argv[4], "w").close()
            print("Traceback: out of luck\n", file=sys.stderr)
            sys.exit(3)
        if FAULT == "hang":
            time.sleep(3600)
        if FAULT == "flood stderr":
            for _ in range(64):
                sys.stderr.write("x" * 99_999 + "\n")
        if FAULT == "nonsense":
            print("bestmove")
        elif FAULT == "illegal":
            print("bestmove a1a8")
        elif FAULT == "unreadable":
            print("bestmove zz99")
        elif FAULT == "none":
            print("bestmove (none)")
        elif FAULT == "resign":
            print("bestmove resign")
        else:
            print("info depth 1 score cp 0 nodes 1 pv")
            print(f"bestmove {MOVES[count]}")
    elif words[0] == "quit":
        break
    sys.stdout.flush()
    sys.stderr.flush()
