"""The losses of proximal policy optimisation (Schulman et al., arXiv 1707.06347), as sums over tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["policy_loss", "value_loss"]


def policy_loss(
    logprobs: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor, *, clip: float
) -> torch.Tensor:
    """Clipped surrogate, to be made small.

        ratio = exp(logprobs - old)
        loss  = - sum min(ratio * A, clamp(ratio, 1 - clip, 1 + clip) * A)

    A token whose ratio left the interval in the direction of its advantage gives no gradient any more.

    Args:
        logprobs: (answers, tokens), of the policy as it is, with a gradient.
        old: The same when the answers were sampled.
        advantages: (answers, tokens).
        mask: True for tokens of the answer.
        clip: Half the width of the interval around 1.
    """
    import torch

    ratio = torch.exp(logprobs - old)
    plain, clipped = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    return -(torch.minimum(plain, clipped) * mask).sum()


def value_loss(
    values: torch.Tensor, old: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor, *, clip: float
) -> torch.Tensor:
    """Half the squared error of the critic, with its step limited as the policy's is.

        loss = 1/2 sum max((V - R)^2, (old + clamp(V - old, -clip, clip) - R)^2)

    Args:
        values: (answers, tokens), of the critic as it is, with a gradient.
        old: The same when the answers were sampled.
        returns: (answers, tokens), advantage plus old value.
        mask: True for tokens of the answer.
        clip: Largest step that lowers the loss.
    """
    import torch

    near = old + (values - old).clamp(-clip, clip)
    return 0.5 * (torch.maximum((values - returns) ** 2, (near - returns) ** 2) * mask).sum()
