"""The compiled loops of :mod:`train.fused.kernels` over tensors, shared by PyTorch's own threads.

Between two products of a small model there is nothing else to do for a second core; started from Python, or in another
pool, it would come too late for loops of a tenth of a millisecond. PyTorch's threads wait for work by looking for it:
they are asked through the library that it starts them with, where that is GNU's OpenMP (GOMP_parallel of its ABI).
Elsewhere the loops run on the thread that calls.

Tensors are float32, on the CPU and contiguous; index tensors int64. Nothing here looks whether they are: they are
read and written by address.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path

import torch

__all__ = [
    "Loop",
    "add_rows",
    "gate",
    "gate_and_gradients",
    "gate_gradients",
    "gather",
    "rms_norm",
    "rms_norm_gradients",
    "turn",
    "turn_back",
]

_LEAST = 16_384  # numbers that a loop goes through, below which one thread is as fast as two
_PACK = [struct.Struct(f"={count}q").pack_into for count in range(16)]


class Loop(IntEnum):
    """Numbers of the loops, as the entry knows them."""

    NORM = 0
    NORM_GRADIENTS = 1
    GATE = 2
    GATE_GRADIENTS = 3
    GATE_AND_GRADIENTS = 4
    TURN = 5
    TURN_BACK = 6
    GATHER = 7
    ADD = 8


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, y: torch.Tensor, scales: torch.Tensor) -> None:
    """Y = weight x / sqrt(mean(x^2) + eps), row by row; ``scales`` gets the root's inverse.

    Args:
        x: (..., size).
        weight: (size,).
        eps: Added to the mean.
        y: As x, written.
        scales: (...), written.
    """
    _run(Loop.NORM, scales.numel(), x, (x.shape[-1], x, weight, _bits(eps), y, scales))


def rms_norm_gradients(
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    grad_x: torch.Tensor,
    *,
    beside: torch.Tensor | None = None,
    wanted: bool = True,
) -> torch.Tensor | None:
    """grad_x = r (w g) - x r^3 mean(w g x) + beside, where r is the row's scale.

    Args:
        grad: (..., size).
        x: As grad.
        weight: (size,).
        scales: (...).
        grad_x: As grad, written.
        beside: As grad, what comes to x by another way.
        wanted: Whether the weight's gradient is.

    Returns:
        The weight's gradient, sum over rows of g x r, (size,).
    """
    size, rows = x.shape[-1], scales.numel()
    own = torch.zeros(_threads(x), size, dtype=torch.float32) if wanted else None
    parts = (size, grad, x, weight, scales, 0 if beside is None else beside, grad_x, 0 if own is None else own)
    _run(Loop.NORM_GRADIENTS, rows, x, parts)
    return None if own is None else own.sum(0)


def gate(opened: torch.Tensor, through: torch.Tensor, y: torch.Tensor) -> None:
    """Y = silu(opened) through, equal shapes; silu(a) = a sigmoid(a)."""
    _run(Loop.GATE, y.numel(), y, (opened, through, y))


def gate_gradients(
    grad: torch.Tensor,
    opened: torch.Tensor,
    through: torch.Tensor,
    grad_opened: torch.Tensor,
    grad_through: torch.Tensor,
) -> None:
    """With s = sigmoid(a): grad_opened = g u s (1 + a (1 - s)), grad_through = g a s; equal shapes."""
    _run(Loop.GATE_GRADIENTS, grad.numel(), grad, (grad, opened, through, grad_opened, grad_through))


def gate_and_gradients(
    grad: torch.Tensor,
    opened: torch.Tensor,
    through: torch.Tensor,
    y: torch.Tensor,
    grad_opened: torch.Tensor,
    grad_through: torch.Tensor,
) -> None:
    """:func:`gate` and :func:`gate_gradients` in one pass."""
    _run(Loop.GATE_AND_GRADIENTS, grad.numel(), grad, (grad, opened, through, y, grad_opened, grad_through))


def turn(
    x: torch.Tensor, size: int, cos: torch.Tensor, sin: torch.Tensor, y: torch.Tensor, tokens: torch.Tensor | None
) -> None:
    """Rotary positions of heads: y[p] = x[t] cos[t] + (-second half, first half of x[t]) sin[t] with t = tokens[p].

    Args:
        x: (tokens, heads * size).
        size: Of a head, even.
        cos: (tokens, size).
        sin: (tokens, size).
        y: (places, heads * size), written.
        tokens: (places,); None where places are tokens.
    """
    own = (x.shape[1] // size, size, x, cos, sin, 0 if tokens is None else tokens, y)
    _run(Loop.TURN, y.shape[0], y, own)


def turn_back(
    grads: Sequence[torch.Tensor],
    size: int,
    cos: torch.Tensor,
    sin: torch.Tensor,
    grad_x: torch.Tensor,
    places: torch.Tensor | None,
) -> None:
    """The transpose of :func:`turn`: grad_x[t] = grad[places[t]] turned back.

    Args:
        grads: (places, heads * size) in parts, one after the other.
        size: Of a head.
        cos: (tokens, size).
        sin: (tokens, size).
        grad_x: (tokens, heads * size), written.
        places: (tokens,); None where tokens are places.
    """
    known = _known(grads)
    own = (grad_x.shape[1] // size, size, known, cos, sin, 0 if places is None else places, grad_x)
    _run(Loop.TURN_BACK, grad_x.shape[0], grad_x, own)


def gather(parts: Sequence[torch.Tensor], places: torch.Tensor, y: torch.Tensor) -> None:
    """y[r] = x[places[r]].

    Args:
        parts: x, (any, size), in parts, one after the other.
        places: (rows,).
        y: (rows, size), written.
    """
    _run(Loop.GATHER, y.shape[0], y, (y.shape[1], _known(parts), places, y))


def add_rows(x: torch.Tensor, y: torch.Tensor, places: torch.Tensor) -> None:
    """y[places[r]] += x[r]; (any, size) each, no place twice."""
    _run(Loop.ADD, x.shape[0], x, (x.shape[1], x, y, places))


def _known(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Where each part ends, in rows, and its address."""
    found, end = [], 0
    for part in parts:
        end += part.shape[0]
        found += [end, part.data_ptr()]
    return torch.tensor(found, dtype=torch.int64)


@functools.lru_cache(maxsize=16)
def _bits(value: float) -> int:
    found: int = struct.unpack("=i", struct.pack("=f", value))[0]
    return found


class _Table(threading.local):
    """Of the call in progress; each thread of Python has its own."""

    def __init__(self) -> None:
        self.numbers = (ctypes.c_int64 * 16)()
        self.address = ctypes.addressof(self.numbers)


_table = _Table()


def _threads(size_of: torch.Tensor) -> int:
    return torch.get_num_threads() if size_of.numel() >= _LEAST else 1


def _run(loop: Loop, items: int, size_of: torch.Tensor, own: Sequence[torch.Tensor | int]) -> None:
    """Runs a loop over its items, by as many threads as its size is worth, and waits for all."""
    threads = _threads(size_of)
    numbers = [one if type(one) is int else one.data_ptr() for one in own]  # type: ignore[union-attr]
    _PACK[len(numbers) + 4](_table.numbers, 0, 0, threads, items, loop, *numbers)
    _team()(_table.address, threads)


@functools.cache
def _team() -> Callable[[int, int], object]:
    """Has the loops' entry called with a table's address, by so many threads.

    Raises:
        RuntimeError: The loops cannot be compiled, or are of another version.
    """
    try:
        from train.fused.kernels import LOOPS, entry
    except Exception as error:  # numba's own kinds, a damaged or full cache folder
        raise RuntimeError(f"the compiled loops are not to be had: {error}") from error
    if tuple(loop.name for loop in Loop) != LOOPS:  # compiled code lies in a cache, known by its own file alone
        raise RuntimeError("the compiled loops are of another version")
    alone = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(entry.address)
    for file in (Path(torch.__file__).parent / "lib").glob("libgomp*.so*"):
        parallel = getattr(ctypes.CDLL(str(file)), "GOMP_parallel", None)  # loaded before: PyTorch is linked to it
        if parallel is not None and torch.backends.openmp.is_available():  # type: ignore[no-untyped-call]
            parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            parallel.restype = None
            return functools.partial(_together, parallel, entry.address)
    return lambda table, threads: alone(table)


def _together(parallel: Callable[..., None], entry: int, table: int, threads: int) -> None:
    parallel(entry, table, threads, 0)
