"""numba's compiler with the settings of every kernel. Imported by kernel files alone, which are imported on first use.

Kernels hold no lock of the interpreter, so that plain threads run them side by side: numba's own parallel loops would
compile for several times as long, and its portable threading layer aborts the process when two threads of it meet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic

__all__ = ["called_by_address", "counted", "floats", "inlined", "integers", "jit", "reordering"]

#: Sums may be taken in another order and products joined with sums; NaN and infinity stay what they are.
_LOOSE = {"reassoc", "contract", "arcp", "nsz"}

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compiles on first call; machine code is kept beside the source, or in the user's cache folder.

    Where neither can be written the function is compiled anew in each process.
    """
    return _compiled(function, forceinline=False)


def inlined(function: F) -> F:
    """The same for a part of a kernel, which is never called: an array handed over costs seven registers."""
    return _compiled(function, forceinline=True)


def reordering(function: F) -> F:
    """The same as :func:`jit` for sums of floating-point numbers, which vector units take in an order of their own."""
    return _compiled(function, fastmath=_LOOSE)


def _compiled(function: F, **options: Any) -> F:
    settings = {"nogil": True, "error_model": "numpy", **options}
    try:
        return cast("F", numba.njit(cache=True, **settings)(function))
    except RuntimeError:  # "no locator available": no folder for the machine code
        return cast("F", numba.njit(**settings)(function))


def called_by_address(function: F) -> Any:
    """Compiles now a function of one address, of 64-bit whole numbers, for callers outside of Python: ``.address``."""
    signature = numba.void(numba.types.CPointer(numba.int64))
    try:
        return numba.cfunc(signature, cache=True, error_model="numpy")(function)
    except RuntimeError:  # as above
        return numba.cfunc(signature, error_model="numpy")(function)


def _pointer(kind: Any) -> Any:
    def typed(_: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return numba.types.CPointer(kind)(numba.int64), generate

    return typed


#: In compiled code: the float32 numbers, or the 64-bit whole numbers, at an address.
floats, integers = (intrinsic(_pointer(kind)) for kind in (numba.float32, numba.int64))


@intrinsic  # type: ignore[untyped-decorator]
def counted(_: Any, address: Any) -> Any:
    """In compiled code: the number at an address, which becomes one larger; no two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = context.get_constant(numba.int64, 1)
        return builder.atomic_rmw("add", arguments[0], one, "acq_rel")

    return numba.int64(address), generate
