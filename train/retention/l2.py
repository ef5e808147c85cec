"""L2 to the start (L2-SP; Li et al., arXiv 1802.01483): weights are pulled back to where they began.

    term(step) = weight / 2 * || change ||^2

The change is that of the model's own weights: of a full model, trained weights minus start weights; of a low-rank
adapter the product scale * B A that is added to a weight, whose squared norm is scale^2 * trace((B^T B)(A A^T)): no
matrix of the weight's size is made. Of another adapter, its parameters minus their start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from train.objectives import Loss

__all__ = ["L2ToStart", "squared_change"]


class L2ToStart:
    """The penalty; made before the first step, when it keeps a copy of what is trained and no low-rank factor.

    Args:
        weight: Of half the squared distance.
        model: At the start.
    """

    def __init__(self, weight: float, model: Any) -> None:
        self._weight = weight
        self._factors = _factors(model)
        low = {parameter for a, b, _ in self._factors for parameter in (a, b)}
        trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
        self._start = [(parameter, parameter.detach().clone()) for parameter in trained if parameter not in low]

    def __call__(self, model: Any, batch: Any, loss: Loss) -> torch.Tensor:
        """Times the batch's weight, because the loop divides by the step's."""
        import torch

        change = squared_change(self._start, self._factors)
        if change is None:
            return torch.zeros((), device=model.device)
        return change * (0.5 * self._weight * float(batch.weight))


def squared_change(
    start: list[tuple[torch.Tensor, torch.Tensor]], factors: list[tuple[torch.Tensor, torch.Tensor, float]]
) -> torch.Tensor | None:
    """Sum of squared changes; None where nothing is trained.

    Args:
        start: Parameters with their values at the start.
        factors: A of shape (rank, in), B of shape (out, rank), and the scale of B A.
    """
    import torch

    parts = [(now - then).square().sum() for now, then in start]
    parts += [scale**2 * ((b.T @ b) * (a @ a.T)).sum() for a, b, scale in factors]
    return torch.stack(parts).sum() if parts else None


def _factors(model: Any) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    """A, B and scale of every low-rank change of a linear layer that PEFT added."""
    found = []
    for module in model.modules():
        if not hasattr(module, "lora_A") or getattr(module, "lora_magnitude_vector", None):
            continue
        for name in module.lora_A:
            a, b = module.lora_A[name].weight, module.lora_B[name].weight
            if a.requires_grad and a.ndim == 2:
                found.append((a, b, float(module.scaling[name])))
    return found
