"""The last layer's attention and feed-forward network, computed where something is scored and nowhere else.

What a last layer makes of the other tokens reaches nothing but the output layer, which does not look at them. Its keys
and values are computed of all tokens, since the scored ones look at them. A layer is a share of 1/layers of the work,
of a small model a large one. ``scoring`` tries it out on the model before it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

__all__ = ["last_layer", "only_here"]

Array = np.ndarray[Any, Any]
#: Above this share of scored tokens the layer is left alone.
_MOST = 0.5


def last_layer(base: Any) -> Any | None:
    """The last of a model's decoder layers; None where it is not found."""
    decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
    layers = getattr(decoder, "layers", None)
    return layers[-1] if layers is not None and len(layers) else None


@contextmanager
def only_here(layer: Any | None, lines: Array, places: Array, batch: int, width: int) -> Iterator[None]:
    """Within it the layer is right at ``(lines, places)`` and anything elsewhere.

    Args:
        layer: From :func:`last_layer`; None changes nothing.
        lines: Line of the batch, per scored place.
        places: Place in the line.
        batch: Lines of the batch.
        width: Tokens of each.
    """
    counts = np.bincount(lines, minlength=batch) if len(lines) else np.zeros(batch, dtype=np.intp)
    if layer is None or not len(lines) or counts.max() > _MOST * width:
        yield
        return
    flat = np.unique(lines * width + places)
    own, at = np.divmod(flat, width)
    rows = np.zeros((batch, int(np.bincount(own, minlength=batch).max())), dtype=np.int64)
    for line in range(batch):
        here = at[own == line]
        if here.size:
            rows[line] = np.pad(here, (0, rows.shape[1] - here.size), mode="edge")
    with ExitStack() as stack:
        stack.enter_context(_attention(layer, rows, width))
        stack.enter_context(_network(getattr(layer, "mlp", None), own, at, batch, width))
        yield


@contextmanager
def _network(part: Any | None, lines: Array, places: Array, batch: int, width: int) -> Iterator[None]:
    """The feed-forward network is given the scored tokens as one line; its answer goes back to their places."""
    if part is None:
        yield
        return
    narrowed: list[bool] = []

    def narrow(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        narrowed.append(len(args) == 1 and args[0].ndim == 3 and args[0].shape[:2] == (batch, width))
        return (args[0][lines, places][None],) if narrowed[-1] else None

    def widen(_: Any, __: Any, found: Any) -> Any:
        if not narrowed.pop():
            return None
        whole = found.new_zeros(batch, width, found.shape[-1])
        whole[lines, places] = found[0]
        return whole

    handles = [part.register_forward_pre_hook(narrow), part.register_forward_hook(widen)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _attention(layer: Any, rows: Array, width: int) -> Iterator[None]:
    """Within the layer, scaled dot-product attention has the scored tokens' queries alone."""
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    class Some(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is functional.scaled_dot_product_attention:
                return some(func, *args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    def some(attend: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, **more: Any) -> Any:
        causal = bool(more.pop("is_causal", False))
        if query.ndim != 4 or (query.shape[0], query.shape[2]) != (len(rows), width):
            return attend(query, key, value, attn_mask=attn_mask, is_causal=causal, **more)
        at = torch.from_numpy(rows).to(query.device)[:, None, :, None]
        picked = query.gather(2, at.expand(-1, query.shape[1], -1, query.shape[3]))
        if attn_mask is not None:
            mask = attn_mask.expand(len(rows), -1, -1, -1)
            attn_mask = mask.gather(2, at.expand(-1, mask.shape[1], -1, mask.shape[3]))
        elif causal:
            attn_mask = torch.arange(key.shape[2], device=query.device) <= at
        found = attend(picked, key, value, attn_mask=attn_mask, **more)
        whole = found.new_zeros(*query.shape[:3], found.shape[3])
        return whole.scatter_(2, at.expand(-1, found.shape[1], -1, found.shape[3]), found)

    mode: Any = Some()
    handles = [
        layer.register_forward_pre_hook(lambda *_: mode.__enter__() and None),
        layer.register_forward_hook(lambda *_: mode.__exit__(None, None, None), always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
