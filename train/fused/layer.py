"""A whole decoder layer as one function that autograd knows, for packed rows on the CPU in float32.

A small model's layer is fifty calls forth and eighty back, each of which costs as much as what it computes, and writes
what the next one reads again. Here the products are PyTorch's and all between them is ours: norms, rotary positions and
gates in one pass each, rows side by side for the attention as they are turned, sums inside the products, and scratch
memory that every layer uses anew. What the layer keeps for the way back is less than autograd would.

    h = x + attention(norm(x)) Wo,  y = h + (silu(norm(h) Wg) norm(h) Wu) Wd

In the last layer all behind the attention is computed for the trained tokens alone (:mod:`train.fused.last`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from train.fused import loops

if TYPE_CHECKING:
    from train.fused.grouping import Grouping

__all__ = ["LayerShape", "Rows", "Scratch", "decoder_layer"]

_attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_attention_back = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What a layer is besides its weights.

    Attributes:
        heads: Of the queries.
        key_heads: Of keys and values; divides the heads.
        size: Of a head.
        eps: Of both norms, the first and the second.
        scaling: Of the scores.
    """

    heads: int
    key_heads: int
    size: int
    eps: tuple[float, float]
    scaling: float


@dataclass(frozen=True, slots=True)
class Rows:
    """The packed rows of a batch.

    Attributes:
        cos: Of the rotary positions, (tokens, size).
        sin: As cos.
        grouping: How rows stand side by side for the attention.
        scratch: Memory for what no layer keeps.
        seen: Tokens that are looked at behind the layer, (seen,); None for all.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    grouping: Grouping
    scratch: Scratch
    seen: torch.Tensor | None = None


class Scratch:
    """Memory that the next layer overwrites."""

    def __init__(self) -> None:
        self._held: dict[str, torch.Tensor] = {}
        self._views: dict[tuple[str, int, int], torch.Tensor] = {}

    def __call__(self, name: str, rows: int, width: int) -> torch.Tensor:
        """(rows, width), whatever was in it."""
        found = self._views.get((name, rows, width))
        if found is None:
            held = self._held.get(name)
            if held is None or held.numel() < rows * width:
                held = self._held[name] = torch.empty(rows * width, dtype=torch.float32)
                self._views.clear()
            if len(self._views) > 64:  # of as many shapes as a few batches have
                self._views.clear()
            found = self._views[name, rows, width] = held[: rows * width].view(rows, width)
        return found


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, shape: LayerShape, rows: Rows, *weights: torch.Tensor) -> torch.Tensor:
        scratch = rows.scratch
        w1, wq, wk, wv, wo, w2, wg, wu, wd = weights
        w1, w2 = w1.contiguous(), w2.contiguous()
        n = x.shape[0]
        grouping, seen = rows.grouping, rows.seen
        places = grouping.tokens.shape[0]
        scales, normed = torch.empty(n, dtype=torch.float32), torch.empty_like(x)
        loops.rms_norm(x, w1, shape.eps[0], normed, scales)
        turned = []
        for weight, heads in ((wq, shape.heads), (wk, shape.key_heads)):
            flat = torch.mm(normed, weight.t(), out=scratch("flat", n, weight.shape[0]))
            turned.append(torch.empty(places, heads * shape.size, dtype=torch.float32))
            loops.turn(flat, shape.size, rows.cos, rows.sin, turned[-1], grouping.tokens)
        flat = torch.mm(normed, wv.t(), out=scratch("flat", n, wv.shape[0]))
        q, k, v = (*turned, flat.index_select(0, grouping.tokens))
        found, sums = [], []
        for own in zip(*(_groups(part, grouping, shape) for part in (q, k, v)), strict=True):
            output, total = _attention(*own, 0.0, True, scale=shape.scaling)
            found.append(output)
            sums.append(total)
        at = grouping.places if seen is None else grouping.places.index_select(0, seen)
        attended = torch.empty(at.shape[0], wq.shape[0], dtype=torch.float32)
        loops.gather(_lying(found), at, attended)

        h = torch.addmm(x if seen is None else x.index_select(0, seen), attended, wo.t())
        scales_2, normed_2 = torch.empty(h.shape[0], dtype=torch.float32), torch.empty_like(h)
        loops.rms_norm(h, w2, shape.eps[1], normed_2, scales_2)
        opened, through = torch.mm(normed_2, wg.t()), torch.mm(normed_2, wu.t())
        both = scratch("wide", *opened.shape)
        loops.gate(opened, through, both)
        y = torch.addmm(h, both, wd.t())
        ctx.shape, ctx.rows, ctx.groups = shape, rows, len(found)
        of_norms = (scales, normed, scales_2, normed_2)
        ctx.save_for_backward(x, *of_norms, q, k, v, at, attended, h, opened, through, *found, *sums, *weights)
        return y if seen is None else torch.zeros_like(x).index_copy_(0, seen, y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scales, normed, scales_2, normed_2, q, k, v, at, attended, h, opened, through, *more = ctx.saved_tensors
        found, sums, weights = more[: ctx.groups], more[ctx.groups : 2 * ctx.groups], more[2 * ctx.groups :]
        w1, wq, wk, wv, wo, w2, wg, wu, wd = weights
        w1, w2 = w1.contiguous(), w2.contiguous()
        shape, rows = ctx.shape, ctx.rows
        grouping, seen = rows.grouping, rows.seen
        scratch, width, m = rows.scratch, x.shape[1], h.shape[0]
        wanted = ctx.needs_input_grad[3:]
        grads: list[torch.Tensor | None] = [None] * 9

        def of_weight(number: int, out: torch.Tensor, into: torch.Tensor) -> None:
            grads[number] = torch.mm(out.t(), into) if wanted[number] else None

        dy = grad.contiguous() if seen is None else grad.index_select(0, seen)
        both = torch.mm(dy, wd, out=scratch("wide", *opened.shape))
        value, d_opened, d_through = (scratch(name, *opened.shape) for name in ("value", "opened", "through"))
        loops.gate_and_gradients(both, opened, through, value, d_opened, d_through)
        of_weight(8, dy, value)
        of_weight(6, d_opened, normed_2)
        of_weight(7, d_through, normed_2)
        d_normed = torch.mm(d_opened, wg, out=scratch("d_normed", m, width)).addmm_(d_through, wu)
        dh = torch.empty_like(h)
        grads[5] = loops.rms_norm_gradients(d_normed, h, w2, scales_2, dh, beside=dy, wanted=wanted[5])

        of_weight(4, dh, attended)
        d_attended = torch.mm(dh, wo, out=scratch("attended", *attended.shape))
        d_found = d_attended.new_zeros(grouping.tokens.shape[0], shape.heads * shape.size)
        d_found.index_copy_(0, at, d_attended)
        parts = zip(
            _groups(d_found, grouping, shape),
            *(_groups(part, grouping, shape) for part in (q, k, v)),
            found,
            sums,
            strict=True,
        )
        back = [_attention_back(*part, 0.0, True, scale=shape.scaling) for part in parts]
        d_normed = scratch("d_normed", *x.shape)
        for number, weight in enumerate((wq, wk, wv)):
            flat, lying = scratch("flat", x.shape[0], weight.shape[0]), _lying([group[number] for group in back])
            if number < 2:
                loops.turn_back(lying, shape.size, rows.cos, rows.sin, flat, grouping.places)
            else:
                loops.gather(lying, grouping.places, flat)
            of_weight(number + 1, flat, normed)
            d_normed = d_normed.addmm_(flat, weight) if number else torch.mm(flat, weight, out=d_normed)
        dx, beside = torch.empty_like(x), dh if seen is None else None
        grads[0] = loops.rms_norm_gradients(d_normed, x, w1, scales, dx, beside=beside, wanted=wanted[0])
        if seen is not None:
            loops.add_rows(dh, dx, seen)
        return (dx, None, None, *grads)


def _groups(flat: torch.Tensor, grouping: Grouping, shape: LayerShape) -> list[torch.Tensor]:
    """The groups of (places, heads * size), each (rows, heads, length, size)."""
    parts = torch.split(flat, grouping.sizes)
    return [
        part.view(rows, length, -1, shape.size).transpose(1, 2)
        for part, (rows, length) in zip(parts, grouping.shapes, strict=True)
    ]


def _lying(parts: list[torch.Tensor]) -> list[torch.Tensor]:
    """Groups (rows, heads, length, size), each as (places, heads * size)."""
    return [part.transpose(1, 2).reshape(-1, part.shape[1] * part.shape[3]) for part in parts]


def decoder_layer(x: torch.Tensor, shape: LayerShape, rows: Rows, weights: list[torch.Tensor]) -> torch.Tensor:
    """What a layer makes of packed rows; where ``rows.seen`` is given, the others' results are zeros.

    Args:
        x: (tokens, width), float32, contiguous, on the CPU, as all that follows.
        shape: Of the layer.
        rows: Of the batch.
        weights: First norm, query, key, value and output projection, second norm, gate, up and down projection.

    Returns:
        (tokens, width).
    """
    found: torch.Tensor = _Layer.apply(x, shape, rows, *weights)  # type: ignore[no-untyped-call]
    return found
