"""What keeps a model from forgetting while it learns: terms beside the loss, one file each.

Each is a sum over the batch that the loop divides, like the loss, by the weight of the whole step; what has rows of its
own is divided by theirs, and what looks at the weights alone by nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from train.data import Batch
    from train.masking import Row
    from train.objectives import Loss

__all__ = ["Pull", "Rehearsal", "Term"]


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


class Rehearsal(Protocol):
    """Something added to the loss of every step, on rows of its own."""

    def rows(self, step: int) -> Sequence[Row]:
        """The step's rows, a function of its number: a training that goes on, cut otherwise, has the same.

        Args:
            step: Counted from 1.
        """
        ...

    def __call__(self, model: Any, batch: Batch) -> torch.Tensor:
        """A sum over a batch of them, which the loop divides by the weight of the step's rows; with a gradient.

        Args:
            model: In training mode.
            batch: On its device.
        """
        ...


class Pull(Protocol):
    """Something added to the loss of every step that depends on the weights alone."""

    def __call__(self) -> torch.Tensor | None:
        """It, with a gradient for the weights, or the shards of weights, of this process; None where nothing moved."""
        ...
