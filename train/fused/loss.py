"""Losses of trained tokens, in one pass each way where a training says so (:mod:`train.fused.chosen`)."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

__all__ = ["FusedLoss", "cross_entropy"]

_fused: ContextVar[bool] = ContextVar("fused", default=False)


class FusedLoss:
    """Within the block :func:`cross_entropy` is ours for float32 on the CPU."""

    def __init__(self) -> None:
        import torch

        self._token: Token[bool] | None = None
        logits = torch.zeros(1, 2, requires_grad=True)
        with self:  # what is compiled on first use is compiled here, not in a step
            torch.autograd.backward(cross_entropy(logits, torch.zeros(1, dtype=torch.int64), reduction="sum"))

    def __enter__(self) -> FusedLoss:
        self._token = _fused.set(True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._token is not None:
            _fused.reset(self._token)


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, reduction: Literal["none", "sum"] = "none"
) -> torch.Tensor:
    """- log softmax(logits) at the targets, in nats.

    Args:
        logits: (tokens, classes).
        targets: Classes, (tokens,).
        reduction: The sum, or one loss per token.
    """
    from torch.nn import functional

    if not _fused.get() or logits.device.type != "cpu" or str(logits.dtype) != "torch.float32":
        return functional.cross_entropy(logits, targets, reduction=reduction)
    from train.fused.functions import token_losses

    losses = token_losses(logits, targets)
    return losses.sum() if reduction == "sum" else losses
