"""What keeps a model from forgetting while it learns: terms beside the loss, one file each.

Each is a sum over the batch that the loop divides, like the loss, by the weight of the whole step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from train.objectives import Loss

__all__ = ["Term"]


class Term(Protocol):
    """Something added to the loss of every batch."""

    def __call__(self, model: Any, batch: Any, loss: Loss) -> torch.Tensor:
        """A sum over the batch, divided by the same number as the loss; a scalar with a gradient.

        Args:
            model: In training mode.
            batch: On its device.
            loss: Of the objective on this batch.
        """
        ...
