"""How a game's rules become machine code: signatures, the decorators, and kernels that are passed by address.

What a kernel is for, games/contract.py says; a game file needs nothing from here.
"""

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import config, types
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from keima.games.errors import GameError

State = NDArray[np.int64]
KernelFunction = Callable[..., Any]

_STATE = types.int64[::1]
_PARAMETERS = types.int64[::1]
_ACTIONS = types.int32[::1]
_PLANES = types.float32[:, :, ::1]

SIGNATURES = {
    "reset": types.void(_STATE, _PARAMETERS),
    "legal_actions": types.int64(_STATE, _ACTIONS),
    "play": types.void(_STATE, types.int64),
    "outcome": types.int64(_STATE),
    "encode": types.void(_STATE, _PLANES),
    "ownership": types.void(_STATE, types.int8[::1]),
    "score": types.int64(_STATE),
    "legal_or_over": types.int64(_STATE, _ACTIONS),
    "position_hash": types.int64(_STATE),
}
OPTIONAL_KERNELS = ("ownership", "score", "legal_or_over", "position_hash")

# First-class function types: what compiled code that takes a game's kernels writes in its signature.
RESET, LEGAL_ACTIONS, PLAY, OUTCOME, ENCODE, OWNERSHIP, SCORE, _, _ = (
    types.FunctionType(signature) for signature in SIGNATURES.values()
)


def compiled_for(*signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function at once for the one signature given, or for whatever it is called with where none is."""
    # error_model="numpy": a division by zero is the game's bug to find in its tests, not a branch in the search's
    # inner loop. nogil: actors and a responsive terminal search in threads.
    decorate: Callable[[Callable[..., Any]], Any] = numba.njit(  # type: ignore[call-overload]  # options of any kind
        *signature, cache=True, nogil=True, error_model="numpy", **options
    )
    return decorate


kernel = compiled_for()


class FirstClassKernel(types.WrapperAddressProtocol):  # type: ignore[misc]
    """A game's kernel compiled for its one exact signature, passed to compiled code by address.

    Passing the jitted function itself would work too, but looks its address up on every call (20 microseconds
    for each argument); here that happens once. Calling it from Python works as usual.
    """

    def __init__(self, function: Any, signature: Any) -> None:
        self._function = function  # keeps the machine code behind the address alive
        self._signature = signature
        result = function.get_compile_result(signature)
        self._address = result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name)

    def __wrapper_address__(self) -> int:
        return int(self._address)

    def signature(self) -> Any:
        return self._signature

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


@kernel
def _no_ownership(state: State, owners: NDArray[np.int8]) -> None:
    owners[:] = 0


@kernel
def _no_score(state: State) -> int:
    return 0


@kernel
def _no_legal_or_over(state: State, actions: NDArray[np.int32]) -> int:
    return 0


_DEFAULTS = {
    "ownership": _no_ownership,
    "score": _no_score,
    "legal_or_over": _no_legal_or_over,
    "position_hash": _no_score,
}
"""What stands for the optional kernels that a game does not have."""


class Kernels(NamedTuple):
    """A game's compiled rules, in the order of `SIGNATURES`, and which of those that the search may use are there."""

    reset: KernelFunction
    legal_actions: KernelFunction
    play: KernelFunction
    outcome: KernelFunction
    encode: KernelFunction
    ownership: KernelFunction
    score: KernelFunction
    legal_or_over: KernelFunction
    position_hash: KernelFunction
    has_legal_or_over: bool
    has_position_hash: bool


KERNELS_TYPE = types.NamedTuple(
    (*(types.FunctionType(signature) for signature in SIGNATURES.values()), types.boolean, types.boolean), Kernels
)
"""The numba type of a game's `kernels`, which compiled code calls by address."""


def kernels_of(module: ModuleType) -> Kernels:
    """The rules in a game's module, compiled or read from the cache (seconds or milliseconds) when first asked for.

    Raises GameError for a kernel that is missing or does not compile.
    """
    cached: Kernels | None = module.__dict__.get("_keima_kernels")
    if cached is None:
        missing = [name for name in SIGNATURES if name not in OPTIONAL_KERNELS and not hasattr(module, name)]
        if missing:
            raise GameError(f"{module.__file__}: expected a @kernel named {missing[0]}, found none")
        functions = {name: getattr(module, name, _DEFAULTS.get(name)) for name in SIGNATURES}
        cached = Kernels(
            *(_first_class(module.__file__, name, function) for name, function in functions.items()),
            *(hasattr(module, name) for name in ("legal_or_over", "position_hash")),
        )
        module.__dict__["_keima_kernels"] = cached
    return cached


def _first_class(file: str | None, name: str, function: Any) -> Any:
    if config.DISABLE_JIT:  # type: ignore[attr-defined]  # numba sets it from the environment
        return function
    if not hasattr(function, "get_compile_result"):
        raise GameError(f"{file}: expected {name} to be a function marked @kernel, got {type(function).__name__}")
    try:
        return FirstClassKernel(function, SIGNATURES[name])
    except (NumbaError, TypeError) as error:  # the latter for a wrong number of arguments
        # Numba's message runs over many lines: what is wrong, where, the source and the compiler's own steps.
        reasons = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Failed in")]
        line = re.search(r"line \d+", str(error))
        where = f" ({line.group()})" if line else ""
        raise GameError(f"{file}: {name} does not compile: {reasons[0]}{where}") from error
