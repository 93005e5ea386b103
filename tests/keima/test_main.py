"""`python -m keima` is the command."""

import subprocess
import sys


def test_it_is_the_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "keima", "games"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "connect4" in done.stdout
    refused = subprocess.run(
        [sys.executable, "-m", "keima", "train", "nim"], cwd=tmp_path, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("keima: unknown game 'nim'")
