"""`import keima` is free, has every public name, and is one module whichever way it is reached."""

import subprocess
import sys

import pytest

import keima
import keima.api


def test_importing_is_cheap_and_names_come_on_first_use():
    code = (
        "import sys, keima\n"
        "heavy = {'torch', 'numba', 'numpy', 'gymnasium', 'pydantic', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), 'load_net' in dir(keima))\n"
        "keima.position_after('tictactoe', ['b2'])\n"
        "print('numba' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] True", "True False"]


def test_the_names_are_those_of_the_api():
    assert keima.__all__ == keima.api.__all__ == sorted(keima.__all__)
    for name in keima.__all__:
        assert getattr(keima, name) is vars(keima.api)[name]
        assert vars(keima.api)[name].__doc__, f"{name}: expected a docstring"


def test_a_name_that_is_none():
    with pytest.raises(AttributeError, match="module 'keima' has no attribute 'serach'"):
        keima.serach  # noqa: B018
