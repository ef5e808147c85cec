"""RMS norm, gated unit and rotary positions as functions that autograd knows, on the CPU in float32.

PyTorch has none of the three as one call on the CPU: a norm is five passes over the activations and ten back, each of
them written and read again. Here it is one each way, and nothing is kept but what comes in.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from train.fused import loops

__all__ = ["gated", "rms_norm", "rotary"]


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        y, scales = torch.empty_like(x), torch.empty(x.shape[:-1], dtype=x.dtype)
        loops.rms_norm(x, weight, eps, y, scales)
        ctx.save_for_backward(x, weight, scales)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        x, weight, scales = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        wanted = ctx.needs_input_grad[1]
        grad_weight = loops.rms_norm_gradients(grad.contiguous(), x, weight, scales, grad_x, wanted=wanted)
        return grad_x, grad_weight, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, opened: torch.Tensor, through: torch.Tensor) -> torch.Tensor:
        opened, through = opened.contiguous(), through.contiguous()
        y = torch.empty_like(opened)
        loops.gate(opened, through, y)
        ctx.save_for_backward(opened, through)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        opened, through = ctx.saved_tensors
        grad_opened, grad_through = torch.empty_like(opened), torch.empty_like(through)
        loops.gate_gradients(grad.contiguous(), opened, through, grad_opened, grad_through)
        return grad_opened, grad_through


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        angles = [part.expand(len(q), *part.shape[1:]).contiguous() for part in (cos, sin)]
        cos, sin = ctx.angles = [part.reshape(-1, part.shape[-1]) for part in angles]
        return _turned(q, cos, sin), _turned(k, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_q: torch.Tensor, grad_k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        cos, sin = ctx.angles
        return _turned(grad_q, cos, sin, back=True), _turned(grad_k, cos, sin, back=True), None, None


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, back: bool = False) -> torch.Tensor:
    """``x`` is (batch, heads, tokens, size) and lies in memory as (batch, tokens, heads, size), as models have it."""
    lying = x.transpose(1, 2).contiguous()
    y = torch.empty_like(lying)
    batch, tokens, heads, size = lying.shape
    flat, to = (part.view(batch * tokens, heads * size) for part in (lying, y))
    if back:
        loops.turn_back([flat], size, cos, sin, to, None)
    else:
        loops.turn(flat, size, cos, sin, to, None)
    return y.transpose(1, 2)


def _looked_at(*tensors: torch.Tensor) -> None:
    """What goes on by address has to be what it is taken for."""
    for one in tensors:
        if one.dtype != torch.float32 or one.device.type != "cpu":
            raise ValueError(f"{one.dtype} on {one.device}, not float32 on the CPU")


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMS norm, weight x / sqrt(mean(x^2) + eps) over the last dimension (arXiv 1910.07467), float32 on the CPU.

    Args:
        x: (..., size).
        weight: (size,).
        eps: Added to the mean.

    Raises:
        ValueError: They do not fit, or are not float32 on the CPU.
    """
    _looked_at(x, weight)
    if weight.shape != x.shape[-1:]:
        raise ValueError(f"a weight of {tuple(weight.shape)} for rows of {x.shape[-1]}")
    found: torch.Tensor = _RmsNorm.apply(  # type: ignore[no-untyped-call]
        x, weight, eps
    )
    return found


def gated(opened: torch.Tensor, through: torch.Tensor) -> torch.Tensor:
    """silu(opened) through, the gated unit of arXiv 2002.05202; equal shapes, float32 on the CPU.

    Raises:
        ValueError: They do not fit, or are not float32 on the CPU.
    """
    _looked_at(opened, through)
    if opened.shape != through.shape:
        raise ValueError(f"{tuple(opened.shape)} and {tuple(through.shape)} differ")
    found: torch.Tensor = _Gated.apply(  # type: ignore[no-untyped-call]
        opened, through
    )
    return found


def rotary(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotary positions (arXiv 2104.09864), the two halves of a head turned against each other; float32 on the CPU.

    Args:
        q: (batch, heads, tokens, size), size even.
        k: As q, with heads of its own.
        cos: (batch or 1, tokens, size).
        sin: As cos.

    Raises:
        ValueError: They are not float32 on the CPU.
    """
    _looked_at(q, k, cos, sin)
    found: tuple[torch.Tensor, torch.Tensor] = _Rotary.apply(q, k, cos, sin)  # type: ignore[no-untyped-call]
    return found
