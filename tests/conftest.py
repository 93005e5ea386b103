"""What all tests share."""

import os

# Workers side by side have a core each; torch and its like would otherwise start a thread a core in every one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
