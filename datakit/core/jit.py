"""numba's compiler with the settings of every kernel. Imported by kernel files alone, which are imported on first use.

Kernels hold no lock of the interpreter, so that plain threads run them side by side: numba's own parallel loops would
compile for several times as long, and its portable threading layer aborts the process when two threads of it meet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["inlined", "jit", "reordering"]

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
