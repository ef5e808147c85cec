"""Forward KL divergence from the start model: what it thought likely has to stay likely.

    KL(batch) = sum over tokens t of sum over v of p0(v | before t) [ log p0(v | before t) - log p(v | before t) ]
    term(step) = weight * KL / number of tokens

p0 is the start model, p the one in training. Taken on the trained tokens, or on general rows that are drawn for every
step. Forgetting goes with the divergence from the start model on the new task (Shenfeld et al., arXiv 2509.04259).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datakit.core.hashing import digest
from train.losses import logits_at

if TYPE_CHECKING:
    import torch

    from train.data import Batch
    from train.masking import Row
    from train.objectives import Loss
    from train.retention.reference import Reference

__all__ = ["KlOnGeneral", "KlOnTrained", "forward_kl"]


class KlOnTrained:
    """On the tokens that are trained.

    Args:
        weight: Of the divergence beside the loss.
        reference: The start model.
    """

    def __init__(self, weight: float, reference: Reference) -> None:
        self._weight, self._reference = weight, reference

    def __call__(self, model: Any, batch: Batch, loss: Loss) -> torch.Tensor:
        """The objective's logits are used again where it kept them."""
        logits = logits_at(model, batch) if loss.logits is None else loss.logits
        return self._weight * forward_kl(self._reference(model, batch), logits, batch.weights)


class KlOnGeneral:
    """On general rows: their mean per token, whatever the step's own rows weigh.

    Args:
        weight: Of the divergence beside the mean loss.
        reference: The start model.
        general: General rows to draw from.
        size: So many are drawn for a step.
        seed: Of the training.
    """

    def __init__(self, weight: float, reference: Reference, general: Sequence[Row], *, size: int, seed: int) -> None:
        self._weight, self._reference, self._general, self._size, self._seed = weight, reference, general, size, seed

    def rows(self, step: int) -> list[Row]:
        """Drawn with replacement, from the seed and the step alone."""
        return random.Random(digest("train", self._seed, "general", step)).choices(self._general, k=self._size)

    def __call__(self, model: Any, batch: Batch) -> torch.Tensor:
        """Summed over the batch's tokens."""
        return self._weight * forward_kl(self._reference(model, batch), logits_at(model, batch))


def forward_kl(start: torch.Tensor, now: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """KL(start || now) in nats, summed over the tokens, float32.

    Args:
        start: Logits of the start model, (tokens, vocabulary).
        now: Logits of the model in training, of the same shape.
        weights: Of the tokens, (tokens,); None is 1 for each.
    """
    before, after = start.float().log_softmax(-1), now.float().log_softmax(-1)
    each = (before.exp() * (before - after)).sum(-1)
    return each.sum() if weights is None else (each * weights).sum()
