"""What happens between two steps besides training: one callback per file. The loop asks each after every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from train.journal import Journal

__all__ = ["Callback", "Moment"]


@dataclass(frozen=True, slots=True)
class Moment:
    """The state after an optimizer step; a callback reads it and changes nothing.

    Attributes:
        step: Optimizer steps done.
        steps: Of how many.
        model: In training mode.
        optimizer: With its state.
        journal: What was written down so far.
    """

    step: int
    steps: int
    model: Any
    optimizer: torch.optim.Optimizer
    journal: Journal


class Callback(Protocol):
    """Asked after every step; the clock stands still while it works."""

    def due(self, step: int) -> bool:
        """Whether it wants to be called after this step."""
        ...

    def __call__(self, moment: Moment) -> None:
        """Does its work."""
        ...
