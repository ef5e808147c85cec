"""Loops over float32 arrays that read what they need once, and the entry by which threads share one of them.

Imported on first use, and called through :mod:`train.fused.loops` alone, by address: a call is a table of whole numbers
(shares taken so far, shares, items, number of the loop, then its own arguments, arrays among them by their addresses),
so that one pointer serves all loops, on any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numba
import numpy as np

from datakit.core.jit import called_by_address, counted, floats, inlined, integers, reordering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Integers: TypeAlias = NDArray[np.int64]

__all__ = ["LOOPS", "entry"]

#: By their numbers. They stand in this file since compiled code lies in a cache until its own file changes.
LOOPS = (
    "NORM",
    "NORM_GRADIENTS",
    "GATE",
    "GATE_GRADIENTS",
    "GATE_AND_GRADIENTS",
    "TURN",
    "TURN_BACK",
    "GATHER",
    "ADD",
)
_NORM, _NORM_GRADIENTS, _GATE, _GATE_GRADIENTS, _GATE_AND_GRADIENTS, _TURN, _TURN_BACK, _GATHER, _ADD = range(9)
_HEAD = 4  # numbers of a call before the loop's own

_ONE = np.float32(1)
_BLOCK = 64  # rows whose part of a weight's gradient is summed before it is added: rounding stays that of short sums

# exp(x) = 2^n exp(f) with |f| <= ln 2 / 2: ln 2 in two parts, for the rest the polynomial
# of Cephes (relative error 2e-7).
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_FAR, _HALF = np.float32(87), np.float32(0.5)
_BIAS, _MANTISSA = np.int32(127), np.int32(23)


@reordering
def _rms_norm(x: Floats, weight: Floats, eps: Any, y: Floats, scales: Floats) -> None:
    """Y = weight x / sqrt(mean(x^2) + eps), row by row; ``scales`` gets the root's inverse.

    Args:
        x: (rows, size).
        weight: (size,).
        eps: float32.
        y: (rows, size), written.
        scales: (rows,), written.
    """
    rows, size = x.shape
    for i in range(rows):
        total = np.float32(0)
        for j in range(size):
            total += x[i, j] * x[i, j]
        scale = _ONE / np.sqrt(total / np.float32(size) + eps)
        scales[i] = scale
        for j in range(size):
            y[i, j] = x[i, j] * scale * weight[j]


@reordering
def _rms_norm_gradients(
    grad: Floats, x: Floats, weight: Floats, scales: Floats, beside: Floats, grad_x: Floats, grad_weight: Floats
) -> None:
    """grad_x = r (w g) - x r^3 mean(w g x) + beside, grad_weight = sum over rows of g x r, where r is the row's scale.

    Args:
        grad: (rows, size).
        x: (rows, size).
        weight: (size,).
        scales: (rows,).
        beside: (rows, size), what comes to x by another way; of no rows where nothing does.
        grad_x: (rows, size), written.
        grad_weight: (size,), added to; of length 0 where it is not wanted.
    """
    rows, size = x.shape
    part = np.zeros(grad_weight.shape[0], dtype=np.float32)
    for i in range(rows):
        scale, total = scales[i], np.float32(0)
        for j in range(size):
            total += grad[i, j] * weight[j] * x[i, j]
        for j in range(part.shape[0]):
            part[j] += grad[i, j] * x[i, j] * scale
        common = scale * scale * scale * total / np.float32(size)
        for j in range(size):
            grad_x[i, j] = grad[i, j] * weight[j] * scale - x[i, j] * common
        if i < beside.shape[0]:
            for j in range(size):
                grad_x[i, j] += beside[i, j]
        if i % _BLOCK == _BLOCK - 1 or i == rows - 1:
            for j in range(part.shape[0]):
                grad_weight[j] += part[j]
                part[j] = np.float32(0)


@inlined
def _sigmoid(value: Any) -> Any:
    z = min(max(-value, -_FAR), _FAR)
    n = np.floor(z * _LOG2E + _HALF)
    f = (z - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_P0 * f + _P1) * f + _P2) * f + _P3) * f + _P4) * f + _P5
    power = np.int32((np.int32(n) + _BIAS) << _MANTISSA).view(np.float32)
    return _ONE / (_ONE + (p * f * f + f + _ONE) * power)


@reordering
def _gate(opened: Floats, through: Floats, y: Floats) -> None:
    """Y = silu(opened) through, all flat; silu(a) = a sigmoid(a)."""
    for i in range(y.shape[0]):
        y[i] = opened[i] * _sigmoid(opened[i]) * through[i]


@reordering
def _gate_gradients(grad: Floats, opened: Floats, through: Floats, grad_opened: Floats, grad_through: Floats) -> None:
    """With s = sigmoid(a): grad_opened = g u s (1 + a (1 - s)), grad_through = g a s; all flat."""
    for i in range(grad.shape[0]):
        s = _sigmoid(opened[i])
        silu = opened[i] * s
        grad_through[i] = grad[i] * silu
        grad_opened[i] = grad[i] * through[i] * (s + silu * (_ONE - s))


@reordering
def _gate_and_gradients(
    grad: Floats, opened: Floats, through: Floats, y: Floats, grad_opened: Floats, grad_through: Floats
) -> None:
    """:func:`_gate` and :func:`_gate_gradients` in one pass; all flat."""
    for i in range(grad.shape[0]):
        s = _sigmoid(opened[i])
        silu = opened[i] * s
        y[i] = silu * through[i]
        grad_through[i] = grad[i] * silu
        grad_opened[i] = grad[i] * through[i] * (s + silu * (_ONE - s))


@inlined
def _flat(address: Any, first: Any, last: Any) -> Any:
    return numba.carray(floats(address + 4 * first), (last - first,))


@inlined
def _rows(address: Any, first: Any, last: Any, size: Any) -> Any:
    return numba.carray(floats(address + 4 * first * size), (last - first, size))


@inlined
def _heads(address: Any, heads: Any, size: Any) -> Any:
    return numba.carray(floats(address), (heads, size))


@inlined
def _index(address: Any, place: Any) -> Any:
    """What an index array has at a place; the place itself where there is no array."""
    return integers(address)[place] if address else place


@inlined
def _lying(groups: Any, place: Any, size: Any) -> Any:
    """Address of a row in arrays that continue one another: ``groups`` has each one's end and address."""
    at, first, known = 0, np.int64(0), integers(groups)
    while place >= known[at]:
        first = known[at]
        at += 2
    return known[at + 1] + 4 * (place - first) * size


@reordering
def _turned(x: Floats, cos: Floats, sin: Floats, y: Floats) -> None:
    """Rotary positions of one token: y = x cos + (-second half, first half) sin.

    Args:
        x: (heads, size), size even.
        cos: (size,).
        sin: (size,).
        y: As x, written.
    """
    heads, size = x.shape
    half = size // 2
    for h in range(heads):
        for j in range(half):
            y[h, j] = x[h, j] * cos[j] - x[h, j + half] * sin[j]
        for j in range(half):
            y[h, j + half] = x[h, j + half] * cos[j + half] + x[h, j] * sin[j + half]


@reordering
def _turned_back(grad: Floats, cos: Floats, sin: Floats, grad_x: Floats) -> None:
    """The transpose of :func:`_turned`, same shapes."""
    heads, size = grad.shape
    half = size // 2
    for h in range(heads):
        for j in range(half):
            grad_x[h, j] = grad[h, j] * cos[j] + grad[h, j + half] * sin[j + half]
        for j in range(half):
            grad_x[h, j + half] = grad[h, j + half] * cos[j + half] - grad[h, j] * sin[j]


@reordering
def _turn(own: Integers, first: int, last: int) -> None:
    heads, size, x, cos, sin, tokens, y = own[0], own[1], own[2], own[3], own[4], own[5], own[6]
    width = 4 * heads * size
    for place in range(first, last):
        token = _index(tokens, place)
        angles = _flat(cos, token * size, (token + 1) * size), _flat(sin, token * size, (token + 1) * size)
        _turned(_heads(x + token * width, heads, size), angles[0], angles[1], _heads(y + place * width, heads, size))


@reordering
def _turn_back(own: Integers, first: int, last: int) -> None:
    heads, size, groups, cos, sin, places, grad_x = own[0], own[1], own[2], own[3], own[4], own[5], own[6]
    for token in range(first, last):
        grad = _heads(_lying(groups, _index(places, token), heads * size), heads, size)
        angles = _flat(cos, token * size, (token + 1) * size), _flat(sin, token * size, (token + 1) * size)
        _turned_back(grad, angles[0], angles[1], _heads(grad_x + 4 * token * heads * size, heads, size))


@reordering
def _gather(own: Integers, first: int, last: int) -> None:
    size, groups, places, y = own[0], own[1], own[2], own[3]
    for row in range(first, last):
        x, own_row = floats(_lying(groups, _index(places, row), size)), floats(y + 4 * row * size)
        for j in range(size):
            own_row[j] = x[j]


@reordering
def _add(own: Integers, first: int, last: int) -> None:
    size, x, y, places = own[0], own[1], own[2], own[3]
    for row in range(first, last):
        part, whole = floats(x + 4 * row * size), floats(y + 4 * _index(places, row) * size)
        for j in range(size):
            whole[j] += part[j]


@reordering
def _norms(loop: int, own: Integers, share: int, first: int, last: int) -> None:
    if loop == _NORM:
        size, x, weight, y, scales = own[0], own[1], own[2], own[4], own[5]
        eps = np.int32(own[3]).view(np.float32)
        rows = _rows(x, first, last, size), _rows(y, first, last, size)
        _rms_norm(rows[0], _flat(weight, 0, size), eps, rows[1], _flat(scales, first, last))
    else:
        size, grad, x, weight, scales = own[0], own[1], own[2], own[3], own[4]
        beside, grad_x, grad_weight = own[5], own[6], own[7]
        _rms_norm_gradients(
            _rows(grad, first, last, size),
            _rows(x, first, last, size),
            _flat(weight, 0, size),
            _flat(scales, first, last),
            _rows(beside, first, last if beside else first, size),
            _rows(grad_x, first, last, size),
            _flat(grad_weight, share * size, (share + 1) * size if grad_weight else share * size),
        )


@reordering
def _gates(loop: int, own: Integers, first: int, last: int) -> None:
    a, b, c = (_flat(own[0], first, last), _flat(own[1], first, last), _flat(own[2], first, last))
    if loop == _GATE:
        _gate(a, b, c)
        return
    d, e = _flat(own[3], first, last), _flat(own[4], first, last)
    if loop == _GATE_GRADIENTS:
        _gate_gradients(a, b, c, d, e)
    else:
        _gate_and_gradients(a, b, c, d, e, _flat(own[5], first, last))


@reordering
def _share(loop: int, own: Integers, share: int, first: int, last: int) -> None:
    if loop <= _NORM_GRADIENTS:
        _norms(loop, own, share, first, last)
    elif loop <= _GATE_AND_GRADIENTS:
        _gates(loop, own, first, last)
    elif loop == _TURN:
        _turn(own, first, last)
    elif loop == _TURN_BACK:
        _turn_back(own, first, last)
    elif loop == _GATHER:
        _gather(own, first, last)
    elif loop == _ADD:
        _add(own, first, last)


@called_by_address
def entry(address: Any) -> None:
    """Takes shares of a call until none is left; every thread that helps calls it once."""
    call = numba.carray(address, (_HEAD + 8,))
    shares, items, own = call[1], call[2], call[_HEAD:]
    share = counted(address)
    while share < shares:
        _share(call[3], own, share, items * share // shares, items * (share + 1) // shares)
        share = counted(address)
