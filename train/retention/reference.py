"""The start model beside the one in training: its adapter switched off, or a frozen copy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from datakit.core.adapters import switched_off
from train.losses import logits_at

if TYPE_CHECKING:
    import torch

    from train.data import Batch

__all__ = ["AdapterOff", "Frozen", "Reference", "has_switch"]


class Reference(Protocol):
    """What the start model thinks."""

    def __call__(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits of the start model at the batch's trained tokens, (trained, vocabulary), without a gradient.

        Args:
            model: The model in training.
            batch: On its device.
        """
        ...


class AdapterOff:
    """The base under an adapter: costs a pass, no memory."""

    def __call__(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits with the adapter switched off."""
        import torch

        with torch.no_grad(), _evaluating(model), switched_off(model):
            return logits_at(model, batch)


class Frozen:
    """A second model that is not trained.

    Args:
        model: In evaluation mode, on the device of the model in training.
    """

    def __init__(self, model: Any) -> None:
        self._model = model.requires_grad_(False).eval()

    def __call__(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits of the copy."""
        import torch

        with torch.no_grad():
            return logits_at(self._model, batch)


def has_switch(model: Any) -> bool:
    """Whether the adapter can be switched off so that the base is left: low-rank ones of PEFT, our interventions."""
    kind = type(getattr(model, "base_model", None)).__name__
    return hasattr(model, "reft") or (hasattr(model, "disable_adapter") and kind == "LoraModel")


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
