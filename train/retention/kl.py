"""Forward KL divergence from the start model: what it thought likely has to stay likely.

    KL(batch) = sum over tokens t of sum over v of p0(v | before t) [ log p0(v | before t) - log p(v | before t) ]
    term(step) = weight * KL / number of tokens

p0 is the start model, p the one in training. Taken on the trained tokens, or on general rows that are drawn for every
batch; then the batch's share of the step is the general rows' mean times the batch's weight. Forgetting goes with the
divergence from the start model on the new task (Shenfeld et al., arXiv 2509.04259).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from train.data import collate
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
    """On general rows, drawn anew for every batch with torch's own random numbers, which a resumed training restores.

    Args:
        weight: Of the divergence beside the loss.
        reference: The start model.
        rows: General rows to draw from.
        size: So many are drawn for a batch.
        pad: Token id to pad with.
    """

    def __init__(self, weight: float, reference: Reference, rows: Sequence[Row], *, size: int, pad: int) -> None:
        self._weight, self._reference, self._rows, self._size, self._pad = weight, reference, rows, size, pad

    def __call__(self, model: Any, batch: Any, loss: Loss) -> torch.Tensor:
        """Mean divergence per general token, times the batch's weight."""
        import torch

        drawn = [self._rows[at] for at in torch.randint(len(self._rows), (self._size,)).tolist()]
        general = collate(drawn, pad=self._pad).to(model.device)
        found = forward_kl(self._reference(model, general), logits_at(model, general))
        return found * (self._weight * float(batch.weight) / len(general.targets))


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
