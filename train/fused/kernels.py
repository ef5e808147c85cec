"""Loops over float32 arrays that read what they need once. Imported on first use; see functions.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from datakit.core.jit import inlined, reordering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Places: TypeAlias = NDArray[np.int64]

__all__ = [
    "add_rows",
    "gate",
    "gate_and_gradients",
    "gate_gradients",
    "rms_norm",
    "rms_norm_gradients",
    "rotate",
    "rotate_at",
    "rotate_back",
    "rotate_back_at",
    "rows_at",
    "scaled",
]

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
def rms_norm(x: Floats, weight: Floats, eps: Any, y: Floats, scales: Floats) -> None:
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
def rms_norm_gradients(
    grad: Floats, x: Floats, weight: Floats, scales: Floats, grad_x: Floats, grad_weight: Floats
) -> None:
    """grad_x = r (w g) - x r^3 mean(w g x), grad_weight = sum over rows of g x r, where r is the row's scale.

    Args:
        grad: (rows, size).
        x: (rows, size).
        weight: (size,).
        scales: (rows,).
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
def gate(opened: Floats, through: Floats, y: Floats) -> None:
    """Y = silu(opened) through, all flat; silu(a) = a sigmoid(a)."""
    for i in range(y.shape[0]):
        y[i] = opened[i] * _sigmoid(opened[i]) * through[i]


@reordering
def gate_gradients(grad: Floats, opened: Floats, through: Floats, grad_opened: Floats, grad_through: Floats) -> None:
    """With s = sigmoid(a): grad_opened = g u s (1 + a (1 - s)), grad_through = g a s; all flat."""
    for i in range(grad.shape[0]):
        s = _sigmoid(opened[i])
        silu = opened[i] * s
        grad_through[i] = grad[i] * silu
        grad_opened[i] = grad[i] * through[i] * (s + silu * (_ONE - s))


@reordering
def rotate(x: Floats, cos: Floats, sin: Floats, y: Floats) -> None:
    """Rotary positions: y = x cos + (-second half, first half) sin.

    Args:
        x: (tokens, heads, size), size even.
        cos: (tokens, size).
        sin: (tokens, size).
        y: As x, written.
    """
    tokens, heads, size = x.shape
    half = size // 2
    for t in range(tokens):
        for h in range(heads):
            for j in range(half):
                y[t, h, j] = x[t, h, j] * cos[t, j] - x[t, h, j + half] * sin[t, j]
                y[t, h, j + half] = x[t, h, j + half] * cos[t, j + half] + x[t, h, j] * sin[t, j + half]


@reordering
def rotate_back(grad: Floats, cos: Floats, sin: Floats, grad_x: Floats) -> None:
    """The transpose of :func:`rotate`, same shapes."""
    tokens, heads, size = grad.shape
    half = size // 2
    for t in range(tokens):
        for h in range(heads):
            for j in range(half):
                grad_x[t, h, j] = grad[t, h, j] * cos[t, j] + grad[t, h, j + half] * sin[t, j + half]
                grad_x[t, h, j + half] = grad[t, h, j + half] * cos[t, j + half] - grad[t, h, j] * sin[t, j]


@reordering
def gate_and_gradients(
    grad: Floats, opened: Floats, through: Floats, y: Floats, grad_opened: Floats, grad_through: Floats
) -> None:
    """:func:`gate` and :func:`gate_gradients` in one pass; all flat."""
    for i in range(grad.shape[0]):
        s = _sigmoid(opened[i])
        silu = opened[i] * s
        y[i] = silu * through[i]
        grad_through[i] = grad[i] * silu
        grad_opened[i] = grad[i] * through[i] * (s + silu * (_ONE - s))


@reordering
def scaled(x: Floats, weight: Floats, scales: Floats, y: Floats) -> None:
    """What :func:`rms_norm` wrote, from the scales it found; same shapes."""
    rows, size = x.shape
    for i in range(rows):
        for j in range(size):
            y[i, j] = x[i, j] * scales[i] * weight[j]


@reordering
def add_rows(x: Floats, y: Floats, places: Places) -> None:
    """y[places[i]] += x[i]; (rows, size) each, no place twice."""
    rows, size = x.shape
    for i in range(rows):
        place = places[i]
        for j in range(size):
            y[place, j] += x[i, j]


@reordering
def rotate_at(x: Floats, cos: Floats, sin: Floats, tokens: Places, y: Floats) -> None:
    """y[p] = :func:`rotate` of token tokens[p].

    Args:
        x: (tokens, heads, size), size even.
        cos: (tokens, size).
        sin: (tokens, size).
        tokens: (places,).
        y: (places, heads, size), written.
    """
    _, heads, size = x.shape
    half = size // 2
    for p in range(y.shape[0]):
        t = tokens[p]
        for h in range(heads):
            for j in range(half):
                y[p, h, j] = x[t, h, j] * cos[t, j] - x[t, h, j + half] * sin[t, j]
            for j in range(half):
                y[p, h, j + half] = x[t, h, j + half] * cos[t, j + half] + x[t, h, j] * sin[t, j + half]


@reordering
def rotate_back_at(grad: Floats, cos: Floats, sin: Floats, places: Places, first: int, grad_x: Floats) -> None:
    """grad_x[t] = :func:`rotate_back` of grad[places[t] - first] where that is a place of ``grad``.

    Args:
        grad: (places, heads, size), those from ``first`` on.
        cos: (tokens, size).
        sin: (tokens, size).
        places: (tokens,).
        first: Place that ``grad`` begins with.
        grad_x: (tokens, heads, size), written.
    """
    tokens, heads, size = grad_x.shape
    half, end = size // 2, grad.shape[0]
    for t in range(tokens):
        p = places[t] - first
        if p < 0 or p >= end:
            continue
        for h in range(heads):
            for j in range(half):
                grad_x[t, h, j] = grad[p, h, j] * cos[t, j] + grad[p, h, j + half] * sin[t, j]
            for j in range(half):
                grad_x[t, h, j + half] = grad[p, h, j + half] * cos[t, j + half] - grad[p, h, j] * sin[t, j]


@reordering
def rows_at(x: Floats, places: Places, first: int, y: Floats) -> None:
    """y[t] = x[places[t] - first] where that is a row of x; (rows, size) each."""
    size, end = x.shape[1], x.shape[0]
    for t in range(y.shape[0]):
        p = places[t] - first
        if p >= 0 and p < end:
            for j in range(size):
                y[t, j] = x[p, j]
