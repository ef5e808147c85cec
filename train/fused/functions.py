"""RMS norm, gated unit and rotary positions as functions that autograd knows, on the CPU in float32.

PyTorch has none of the three as one call on the CPU: a norm is five passes over the activations and ten back, each of
them written and read again. Here it is one each way, and nothing is kept but what comes in.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["gated", "rms_norm", "rotary"]


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().numpy()
    return array


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        import numpy as np

        x = x.contiguous()
        y, scales = torch.empty_like(x), torch.empty(x.shape[:-1])
        size = x.shape[-1]
        _kernels().rms_norm(
            _array(x).reshape(-1, size), _array(weight), np.float32(eps), _array(y).reshape(-1, size), _flat(scales)
        )
        ctx.save_for_backward(x, weight, scales)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        x, weight, scales = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else weight.new_zeros(0)
        rows = [_array(part.contiguous()).reshape(-1, x.shape[-1]) for part in (grad, x, grad_x)]
        _kernels().rms_norm_gradients(rows[0], rows[1], _array(weight), _flat(scales), rows[2], _array(grad_weight))
        return grad_x, grad_weight if ctx.needs_input_grad[1] else None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, opened: torch.Tensor, through: torch.Tensor) -> torch.Tensor:
        opened, through = opened.contiguous(), through.contiguous()
        y = torch.empty_like(opened)
        _kernels().gate(_flat(opened), _flat(through), _flat(y))
        ctx.save_for_backward(opened, through)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        opened, through = ctx.saved_tensors
        grad_opened, grad_through = torch.empty_like(opened), torch.empty_like(through)
        parts = (grad.contiguous(), opened, through, grad_opened, grad_through)
        _kernels().gate_gradients(*(_flat(part) for part in parts))
        return grad_opened, grad_through


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        angles = [_array(part.expand(len(q), *part.shape[1:]).contiguous()) for part in (cos, sin)]
        ctx.angles = [part.reshape(-1, part.shape[-1]) for part in angles]
        kernel = _kernels().rotate
        return _turned(kernel, q, ctx.angles), _turned(kernel, k, ctx.angles)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_q: torch.Tensor, grad_k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        kernel = _kernels().rotate_back
        return _turned(kernel, grad_q, ctx.angles), _turned(kernel, grad_k, ctx.angles), None, None


def _turned(kernel: Any, x: torch.Tensor, angles: list[Any]) -> torch.Tensor:
    """``x`` is (batch, heads, tokens, size) and lies in memory as (batch, tokens, heads, size), as models have it."""
    lying = x.transpose(1, 2).contiguous()
    y = torch.empty_like(lying)
    shape = (-1, *lying.shape[2:])
    kernel(_array(lying).reshape(shape), *angles, _array(y).reshape(shape))
    return y.transpose(1, 2)


@functools.cache
def _kernels() -> ModuleType:
    """The compiled loops, imported on first use."""
    from train.fused import kernels

    return kernels


def _flat(tensor: torch.Tensor) -> NDArray[np.float32]:
    return _array(tensor).reshape(-1)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMS norm, weight x / sqrt(mean(x^2) + eps) over the last dimension (arXiv 1910.07467), float32 on the CPU.

    Args:
        x: (..., size).
        weight: (size,).
        eps: Added to the mean.
    """
    found: torch.Tensor = _RmsNorm.apply(  # type: ignore[no-untyped-call]
        x, weight, eps
    )
    return found


def gated(opened: torch.Tensor, through: torch.Tensor) -> torch.Tensor:
    """silu(opened) through, the gated unit of arXiv 2002.05202; equal shapes, float32 on the CPU."""
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
    """
    found: tuple[torch.Tensor, torch.Tensor] = _Rotary.apply(q, k, cos, sin)  # type: ignore[no-untyped-call]
    return found
