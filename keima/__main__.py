"""`python -m keima`, the same as `keima`."""

import sys

from keima.selfplay.commands import main

if __name__ == "__main__":
    sys.exit(main())
