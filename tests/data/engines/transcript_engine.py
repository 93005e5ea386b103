"""An engine for the tests that holds its client to a transcript, the file argv[1]: `> ` what it must be sent, `< ` what
it answers. It ends with code 9, and says what it expected, at the first line that is another; and writes `held` to the
file argv[2] at the end.
"""

import sys
from pathlib import Path

for line in Path(sys.argv[1]).read_text().splitlines():
    direction, text = line[:2], line[2:]
    if direction == "> ":
        got = sys.stdin.readline().rstrip("\n")
        if got != text:
            sys.exit(f"expected {text!r}, got {got!r}")
    elif direction == "< ":
        print(text, flush=True)
Path(sys.argv[2]).write_text("held")
