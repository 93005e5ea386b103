"""What all tests share."""

import os
import signal

# Workers side by side have a core each; torch and its like would otherwise start a thread a core in every one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell without job control starts what is put in the background (`make test &` in a script) with Ctrl-C ignored,
# and so would be every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
