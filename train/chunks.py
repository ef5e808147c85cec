"""Cross-entropy over a large vocabulary without its logits: a chunk at a time, computed again in the backward.

    loss = - sum over trained tokens t of log softmax(W h_t + b)[t]

For n tokens and V words the logits, their float32 copy and their gradient are 12 n V bytes: 7 GB for 4,096 tokens over
150,000 words. In chunks it is a chunk's. Where a model does something between its output layer and the logits (a
scale, a cap), that is noticed by comparing one token's logits with the output layer's own, and logits are used whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from train.fused import seen_only_at

if TYPE_CHECKING:
    import torch

    from train.data import Batch

__all__ = ["chunked_nll", "linear_nll", "worth_chunking"]

_WHOLE = 1 << 26  # logits: 256 MB in float32; fewer are faster whole
_CHUNK = 1 << 24


def worth_chunking(head: Any, tokens: int) -> bool:
    """Whether the logits of so many tokens are too many to be computed whole.

    Args:
        head: The model's output layer; an adapter's, which computes more than a product, is left alone.
        tokens: Trained tokens of the batch.
    """
    import torch

    return type(head) is torch.nn.Linear and tokens * head.weight.shape[0] > _WHOLE


def chunked_nll(model: Any, head: Any, batch: Batch) -> torch.Tensor | None:
    """The summed loss; None where the logits are not the output layer's own."""
    import torch
    from torch.nn import functional

    seen: list[torch.Tensor] = []

    def select(_module: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        seen.append(arguments[0].flatten(0, -2).index_select(0, batch.positions))
        return (seen[0][:1].unsqueeze(0), *arguments[1:])

    hook = head.register_forward_pre_hook(select)
    try:
        with seen_only_at(batch.positions):
            logits = model(**batch.inputs).logits.flatten(0, -2)
    finally:
        hook.remove()
    if len(seen) != 1 or logits.shape[0] != 1:
        return None
    with torch.no_grad():
        own = functional.linear(seen[0][:1], head.weight, head.bias)
        if not torch.allclose(own.float(), logits.float(), rtol=1e-3, atol=1e-3):
            return None
    return linear_nll(seen[0], head.weight, head.bias, batch.targets)


def linear_nll(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    *,
    chunk: int | None = None,
) -> torch.Tensor:
    """- sum of log softmax(weight hidden + bias)[target], float32.

    Args:
        hidden: (n, size).
        weight: (vocabulary, size).
        bias: (vocabulary,), or None.
        targets: (n,).
        chunk: Tokens at a time; so many that the logits stay within 64 MB by default.
    """
    import torch
    from torch.nn import functional
    from torch.utils.checkpoint import checkpoint

    def part(rows: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = functional.linear(rows, weight, bias).float()
        return functional.cross_entropy(logits, wanted, reduction="sum")

    size = chunk or max(1, _CHUNK // weight.shape[0])
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    for rows, wanted in zip(torch.split(hidden, size), torch.split(targets, size), strict=True):
        total = total + checkpoint(part, rows, wanted, use_reentrant=False, preserve_rng_state=False)
    return total
