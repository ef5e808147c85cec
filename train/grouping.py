"""Rows of a packed sequence side by side in a few padded groups, for attention alone.

A call of the attention for a single short row costs as much again as what it computes. Rows of about one length are
therefore attended to in one call; what is padding is never seen, since a causal row does not look ahead.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from train.data import cut

__all__ = ["Grouping", "gathered", "grouped", "spread"]

#: What one more call costs, in pairs of tokens: about .1 ms beside .02 us a pair (forward and back, heads of 32).
_CALL = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Where the tokens of a packed sequence lie when its rows stand in padded groups, one group behind the other.

    Attributes:
        shapes: Rows and length of every group.
        tokens: Token of every place, (places,); at padding any token.
        places: Place of every token, (tokens,).
        padding: Places that are padding, (paddings,).
    """

    shapes: tuple[tuple[int, int], ...]
    tokens: torch.Tensor
    places: torch.Tensor
    padding: torch.Tensor

    @property
    def alone(self) -> bool:
        """Whether each row is best attended to alone."""
        return all(rows == 1 for rows, _ in self.shapes)


@functools.lru_cache(maxsize=2)
def grouped(ends: torch.Tensor) -> Grouping:
    """The cheapest groups, shortest rows first.

    Kept for the layers that follow: the tensor is known by its identity, and nobody writes into it.

    Args:
        ends: Where the rows begin and end, (rows + 1,).
    """
    import numpy as np

    bounds = ends.numpy().astype(np.int64)
    lengths = np.diff(bounds)
    order = np.argsort(lengths, kind="stable")
    squares = [int(lengths[row]) ** 2 for row in order]
    sizes = cut(squares, batch_size=len(squares), overhead=_CALL)
    shapes, tokens, places, padding, place, done = [], [], np.empty(bounds[-1], dtype=np.int64), [], 0, 0
    for size in sizes:
        rows = order[done : done + size]
        longest = int(lengths[rows[-1]])
        within = np.arange(longest)
        real = within < lengths[rows, None]
        at = np.where(real, bounds[rows, None] + within, bounds[rows, None])
        own = place + np.arange(size * longest).reshape(size, longest)
        places[at[real]] = own[real]
        tokens.append(at.reshape(-1))
        padding.append(own[~real])
        shapes.append((size, longest))
        place, done = place + size * longest, done + size
    parts = (np.concatenate(tokens), places, np.concatenate(padding))
    return Grouping(tuple(shapes), *(torch.from_numpy(part) for part in parts))


def _lying(x: torch.Tensor) -> torch.Tensor:
    """(rows, heads, length, size) as (rows * length, heads * size), which is how models hold it."""
    return x.transpose(1, 2).reshape(-1, x.shape[1] * x.shape[3])


def _standing(flat: torch.Tensor, shapes: tuple[tuple[int, int], ...], heads: int) -> tuple[torch.Tensor, ...]:
    """The groups of (places, heads * size), each (rows, heads, length, size)."""
    parts = torch.split(flat, [rows * length for rows, length in shapes])
    return tuple(
        part.view(rows, length, heads, -1).transpose(1, 2) for part, (rows, length) in zip(parts, shapes, strict=True)
    )


def _joined(parts: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return _lying(parts[0]) if len(parts) == 1 else torch.cat([_lying(part) for part in parts])


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, grouping: Grouping) -> tuple[torch.Tensor, ...]:
        ctx.grouping, ctx.heads = grouping, x.shape[1]
        return _standing(_lying(x).index_select(0, grouping.tokens), grouping.shapes, x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (grad,) = _standing(
            _joined(grads).index_select(0, ctx.grouping.places), ((1, len(ctx.grouping.places)),), ctx.heads
        )
        return grad, None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grouping: Grouping, *parts: torch.Tensor) -> torch.Tensor:
        ctx.grouping, ctx.heads = grouping, parts[0].shape[1]
        (found,) = _standing(_joined(parts).index_select(0, grouping.places), ((1, len(grouping.places)),), ctx.heads)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat = _lying(grad).index_select(0, ctx.grouping.tokens)
        flat.index_fill_(0, ctx.grouping.padding, 0.0)
        return None, *_standing(flat, ctx.grouping.shapes, ctx.heads)


def spread(x: torch.Tensor, grouping: Grouping) -> tuple[torch.Tensor, ...]:
    """The groups of a packed sequence; what stands at padding is any token's, and its gradient must be zero.

    Args:
        x: (1, heads, tokens, size).
        grouping: Of its rows.

    Returns:
        Per group (rows, heads, length, size).
    """
    found: tuple[torch.Tensor, ...] = _Spread.apply(x, grouping)  # type: ignore[no-untyped-call]
    return found


def gathered(parts: list[torch.Tensor], grouping: Grouping) -> torch.Tensor:
    """The packed sequence of groups, (1, heads, tokens, size); the gradient at padding is zero."""
    found: torch.Tensor = _Gathered.apply(grouping, *parts)  # type: ignore[no-untyped-call]
    return found
