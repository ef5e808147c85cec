"""Generalised advantage estimation (Schulman et al., arXiv 1506.02438), over the tokens of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["gae", "whitened"]


def gae(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, *, discount: float, decay: float
) -> torch.Tensor:
    """Advantage of every token.

        delta_t = r_t + discount * V_(t+1) - V_t
        A_t     = delta_t + discount * decay * A_(t+1)

    V behind the last token of an answer is 0: the answer is over.

    Args:
        rewards: (answers, tokens), what was earned by saying the token.
        values: (answers, tokens), the critic's estimate before it was said.
        mask: (answers, tokens), True for tokens of the answer; these stand side by side from the first column.
        discount: Of what comes later; 1 where an answer is judged as a whole.
        decay: ``lambda`` of the paper: 1 trusts what was earned, 0 the critic.
    """
    import torch

    advantages = torch.zeros_like(rewards)
    later = torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(later)
    for token in reversed(range(rewards.shape[1])):
        inside = mask[:, token].to(rewards.dtype)
        delta = rewards[:, token] + discount * following - values[:, token]
        later = (delta + discount * decay * later) * inside
        following = values[:, token] * inside
        advantages[:, token] = later
    return advantages


def whitened(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over the masked tokens, 0 elsewhere; a lone token, or equal ones, become 0."""
    inside = values[mask]
    spread = inside.std(unbiased=False)
    return (values - inside.mean()) / (spread + 1e-8) * mask
