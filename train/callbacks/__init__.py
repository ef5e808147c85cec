"""What happens between two steps besides training: one callback per file. The loop asks each after every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from train.journal import Journal

__all__ = ["Callback", "Moment", "Stateful"]


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


@runtime_checkable
class Stateful(Protocol):
    """A callback that remembers something from step to step; it is saved with the training and put back."""

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON takes it."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what :meth:`state` gave."""
        ...
