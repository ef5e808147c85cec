"""Losses of language models as sums, so that whoever calls divides by the global count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from train.chunks import chunked_nll, worth_chunking
from train.fused import seen_only_at
from train.objectives import Loss

if TYPE_CHECKING:
    import torch

    from train.data import Batch

__all__ = ["head_sees_only", "logits_at", "nll", "token_nll"]


@contextlib.contextmanager
def head_sees_only(model: Any, positions: torch.Tensor) -> Iterator[None]:
    """The model's output layer gets only these positions of the hidden states.

    With completion-only training most logits would be thrown away, and over a large vocabulary they are most of the
    memory. A hook before the output layer keeps what the model does after it (scaling, soft-capping) in place. The last
    feed-forward network is told as well (:mod:`train.fused.last`).
    """
    head = model.get_output_embeddings()
    if head is None:
        with seen_only_at(positions):
            yield
        return

    def select(_module: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0].flatten(0, -2).index_select(0, positions).unsqueeze(0), *arguments[1:])

    hook = head.register_forward_pre_hook(select)
    try:
        with seen_only_at(positions):
            yield
    finally:
        hook.remove()


def logits_at(model: Any, batch: Batch) -> torch.Tensor:
    """What the model thinks of every trained token: (trained, vocabulary), in the type it computes in.

    Args:
        model: A Hugging Face causal language model.
        batch: On the model's device.
    """
    with head_sees_only(model, batch.positions):
        logits: torch.Tensor = model(**batch.inputs).logits
    logits = logits.flatten(0, -2)
    if logits.shape[0] != batch.targets.shape[0]:  # a model whose output layer is no module of its own
        logits = logits.index_select(0, batch.positions)
    return logits


def token_nll(model: Any, batch: Batch) -> torch.Tensor:
    """Negative log-likelihood of every trained token in nats, float32, (trained,)."""
    from torch.nn import functional

    return functional.cross_entropy(logits_at(model, batch).float(), batch.targets, reduction="none")


def nll(model: Any, batch: Batch) -> Loss:
    """Negative log-likelihood of the batch's trained tokens in nats, summed, float32: - sum of log p(t | before t).

    Over a large vocabulary the logits are computed in chunks (:mod:`train.chunks`) and not kept.
    """
    from torch.nn import functional

    head = model.get_output_embeddings()
    if worth_chunking(head, batch.targets.shape[0]):
        total = chunked_nll(model, head, batch)
        if total is not None:
            return Loss(total)
    logits = logits_at(model, batch)
    return Loss(functional.cross_entropy(logits.float(), batch.targets, reduction="sum"), logits)
