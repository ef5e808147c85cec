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

__all__ = ["L2ToStart", "squared_change"]


class L2ToStart:
    """The penalty; made before the first step, when it keeps a copy of what is trained and no low-rank factor.

    Args:
        weight: Of half the squared distance.
        model: At the start; sharded, if it is.
    """

    def __init__(self, weight: float, model: Any) -> None:
        self._weight = weight
        self._factors = _factors(model)
        low = {parameter for a, b, _ in self._factors for parameter in (a, b)}
        trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
        self._start = [(parameter, _here(parameter.detach()).clone()) for parameter in trained if parameter not in low]

    def __call__(self) -> torch.Tensor | None:
        """Of sharded weights the part that is here; its gradient is that of the whole."""
        change = squared_change([(_here(now), then) for now, then in self._start], self._factors)
        return None if change is None else change * (0.5 * self._weight)


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
    for a, b, scale in factors:
        # Rows of A and of B may be sharded; their product takes all of both.
        a, b = (value.full_tensor() if hasattr(value, "full_tensor") else value for value in (a, b))
        parts.append(scale**2 * ((b.T @ b) * (a @ a.T)).sum())
    return torch.stack(parts).sum() if parts else None


def _here(value: Any) -> torch.Tensor:
    """The shard of this process; a tensor that is not sharded as it is."""
    found: torch.Tensor = value.to_local() if hasattr(value, "to_local") else value
    return found


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
