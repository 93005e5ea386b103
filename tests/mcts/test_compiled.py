"""Compiled functions called by their machine code."""

import numba
import numpy as np
import pytest
from numba import types

from keima.mcts.compiled import compiled, entry_point, search_kernel

jitted = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT is set")


@search_kernel
def largest(row):
    found = row[0]
    for i in range(len(row)):
        found = max(found, row[i])
    return found


@compiled(types.int64(types.int64[:, ::1], types.int64[::1]))
def write_largest(rows, out):
    for b in range(len(rows)):
        out[b] = largest(rows[b])
    return len(rows)


def test_machine_code_does_what_the_function_does():
    rows = np.arange(12).reshape(3, 4)
    out, other = np.zeros((2, 3), np.int64)
    assert entry_point(write_largest)(rows, out) == write_largest(rows, other) == 3
    assert out.tolist() == other.tolist() == [3, 7, 11]


@jitted
def test_a_function_without_one_signature_has_no_entry_point():
    with pytest.raises(ValueError, match="largest: expected one signature, got 0"):
        entry_point(compiled()(largest.py_func))


def test_what_was_not_compiled_is_its_own_entry_point():
    assert entry_point(max) is max


@jitted
def test_the_search_does_not_allocate():
    with pytest.raises(Exception, match="NRT required"):
        compiled(types.int64(types.int64))(lambda n: len(np.zeros(n)))
