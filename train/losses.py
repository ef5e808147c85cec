"""The loss of supervised fine-tuning, as a sum, so that whoever calls divides by the global count of trained tokens.

    loss(step) = - sum over trained tokens t of log p(t | tokens before t)  /  number of trained tokens in the step

A mean per batch, averaged over accumulated batches, would weigh tokens of short answers more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from train.data import Batch

__all__ = ["head_sees_only", "nll_sum"]


@contextlib.contextmanager
def head_sees_only(model: Any, positions: torch.Tensor) -> Iterator[None]:
    """The model's output layer gets only these positions of the hidden states.

    With completion-only training most logits would be thrown away, and over a large vocabulary they are most of the
    memory. A hook before the output layer keeps what the model does after it (scaling, soft-capping) in place.
    """
    head = model.get_output_embeddings()
    if head is None:
        yield
        return

    def select(_module: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0].flatten(0, -2).index_select(0, positions).unsqueeze(0), *arguments[1:])

    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


def nll_sum(model: Any, batch: Batch) -> torch.Tensor:
    """Summed negative log-likelihood of the batch's trained tokens in nats, float32, a scalar.

    Args:
        model: A Hugging Face causal language model.
        batch: On the model's device.
    """
    from torch.nn import functional

    with head_sees_only(model, batch.positions):
        logits = model(input_ids=batch.ids, use_cache=False).logits
    logits = logits.flatten(0, -2)
    if logits.shape[0] != batch.targets.shape[0]:  # a model whose output layer is no module of its own
        logits = logits.index_select(0, batch.positions)
    return functional.cross_entropy(logits.float(), batch.targets, reduction="sum")
