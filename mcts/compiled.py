"""How the search is compiled, and how compiled code is called for every batch.

Numba counts references to the arrays that compiled code holds, with an atomic operation for each slice and for many a
call, which took half of a simulation's time. Nothing in the search allocates, and whoever calls it holds on to
all arrays until it returns, so it is compiled without: what would allocate does not compile.
"""

from collections.abc import Callable
from typing import Any

from numba.core.dispatcher import Dispatcher

from keima.games.compilation import compiled_for

_OPTIONS = {"_nrt": False, "no_cfunc_wrapper": True}
"""numba's "no run-time", an option since its first days; and no code for calls by address, which nobody makes."""


def compiled(*signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function of the search, for the one signature where it is called from Python."""
    return compiled_for(*signature, **_OPTIONS)


inner_kernel = compiled_for(**_OPTIONS, no_cpython_wrapper=True)
"""Compiles what other compiled functions of the search call, and Python never does."""

inlined = compiled_for(**_OPTIONS, inline="always")
"""Compiles a function of the search into each that calls it, by numba itself and so without fail.

For what takes a Tree, a Scratch or Kernels and is called for every node: a call hands over each field of each array in
them, a hundred numbers, which took longer than what was called.
"""


search_kernel = compiled()
"""Compiles what other compiled functions of the search call."""


def entry_point(function: Callable[..., Any]) -> Callable[..., Any]:
    """The machine code of a function that was given one signature; its arguments' types are not checked any more.

    For what is called for every batch with a dozen arrays and kernels: numba's dispatcher takes some 20 to 50 us to
    see of what types they are. Wrong types are not refused but corrupt memory, so call `function` itself once with
    what is to be handed over again and again, and check whatever else comes. Without a compiler (NUMBA_DISABLE_JIT)
    this is the function itself. Raises ValueError where there are several signatures.
    """
    if not isinstance(function, Dispatcher):
        return function
    if len(function.overloads) != 1:
        raise ValueError(f"{function.py_func.__name__}: expected one signature, got {len(function.overloads)}")
    version: Any = next(iter(function.overloads.values()))
    entry: Callable[..., Any] = version.entry_point
    return entry
