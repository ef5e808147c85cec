"""RMS norms, gated units and rotary positions of a model, each in one pass while a block runs.

The parts are known by their shape (a norm's weight and epsilon; gate, up and down projection; the rotary function of
the attention's file), and each kind is tried out on random input first, results and gradients: one that computes
anything else, such as a norm that adds one to its weight, stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["FusedPasses"]

_CLOSE = 1e-5  # of the largest value
_ROTARY = "apply_rotary_pos_emb"


class FusedPasses:
    """Within the block the model's parts run fused; in other types than float32, or on a GPU, they run as ever.

    Args:
        model: On the CPU, in float32, with its adapter.

    Attributes:
        names: Kinds of parts that are fused: ``norm``, ``gate``, ``rotary``.
    """

    def __init__(self, model: Any) -> None:
        self._parts = list(_parts(model))
        self._functions = list(_rotary_functions(model))
        kinds = {name for name, _, _ in self._parts} | ({"rotary"} if self._functions else set())
        self.names = tuple(sorted(kinds))

    def __enter__(self) -> FusedPasses:
        for _, module, forward in self._parts:
            module.forward = forward
        for module, function in self._functions:
            setattr(module, _ROTARY, function)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _, module, _ in self._parts:
            del module.forward
        for module, function in self._functions:
            setattr(module, _ROTARY, function.__wrapped__)


def _parts(model: Any) -> Iterator[tuple[str, Any, Callable[..., Any]]]:
    known: dict[Any, bool] = {}
    for module in model.modules():
        found = _norm(module) or _gate(module)
        if found is None or "forward" in module.__dict__:  # somebody else put a forward of theirs there
            continue
        name, forward, size = found
        kind = (type(module), size)
        if kind not in known:
            known[kind] = _same(module, forward, size)
        if known[kind]:
            yield name, module, forward


def _norm(module: Any) -> tuple[str, Callable[..., Any], int] | None:
    from train.fused.functions import rms_norm

    weight: Any = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or eps is None or getattr(weight, "ndim", 0) != 1:
        return None
    own = module.forward

    def forward(x: torch.Tensor, *more: Any, **options: Any) -> Any:
        if more or options or not _plain(x, module.weight):
            return own(x, *more, **options)
        return rms_norm(x, module.weight, eps)

    return "norm", forward, int(weight.shape[0])


def _gate(module: Any) -> tuple[str, Callable[..., Any], int] | None:
    import torch
    from transformers.activations import ACT2FN

    from train.fused.functions import gated

    parts: list[Any] = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    silu = (torch.nn.SiLU, type(ACT2FN["silu"]))
    if not all(isinstance(part, torch.nn.Module) for part in parts):
        return None
    if not isinstance(getattr(module, "act_fn", None), silu) or not hasattr(parts[0], "in_features"):
        return None
    own = module.forward

    def forward(x: torch.Tensor, *more: Any, **options: Any) -> Any:
        if more or options or not _plain(x):
            return own(x, *more, **options)
        opened, through = module.gate_proj(x), module.up_proj(x)
        both = gated(opened, through) if _plain(opened, through) else module.act_fn(opened) * through
        return module.down_proj(both)

    return "gate", forward, int(parts[0].in_features)


def _plain(*tensors: torch.Tensor) -> bool:
    import torch

    return all(type(one) in (torch.Tensor, torch.nn.Parameter) for one in tensors) and all(
        one.dtype == torch.float32 and one.device.type == "cpu" for one in tensors
    )


def _same(module: Any, forward: Callable[..., Any], size: int) -> bool:
    """Whether both give the same result and the same gradient of the input, on random numbers."""
    import torch

    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, size, generator=random)
    trained = module.training
    module.eval()
    try:
        found = [_tried(call, x) for call in (module.forward, forward)]
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return False
    finally:
        module.train(trained)
    return all(_close(one, other) for one, other in zip(*found, strict=True))


def _tried(call: Callable[..., Any], *inputs: torch.Tensor) -> list[torch.Tensor]:
    import torch

    with torch.enable_grad():
        own = [part.clone().requires_grad_() for part in inputs]
        found = call(*own)
        values = list(found) if isinstance(found, tuple) else [found]
        total = sum((value * torch.linspace(0.5, 1.5, value.numel()).view_as(value)).sum() for value in values)
        return [*values, *torch.autograd.grad(total, own)]


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).abs().max() <= _CLOSE * (1 + other.abs().max()))


def _rotary_functions(model: Any) -> Iterator[tuple[ModuleType, Any]]:
    """Files of the model's code whose attention turns queries and keys by the usual function."""
    names = {type(module).__module__ for module in model.modules() if type(module).__name__.endswith("Attention")}
    for name in sorted(names):
        file = sys.modules.get(name)
        own = getattr(file, _ROTARY, None)
        if file is None or own is None or hasattr(own, "__wrapped__"):
            continue
        fused = _rotary(own)
        if _turns_alike(own, fused):
            yield file, fused


def _rotary(own: Callable[..., Any]) -> Any:
    from train.fused.functions import rotary

    def turned(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *rest: Any, **named: Any) -> Any:
        usual = not rest and not named and cos.ndim == 3 and q.ndim == k.ndim == 4
        if not usual or cos.shape[-1] != q.shape[-1] or cos.requires_grad or not _plain(q, k, cos, sin):
            return own(q, k, cos, sin, *rest, **named)
        return rotary(q, k, cos, sin)

    turned.__wrapped__ = own  # type: ignore[attr-defined]
    return turned


def _turns_alike(own: Callable[..., Any], fused: Callable[..., Any]) -> bool:
    import torch

    random = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, heads, 3, 8, generator=random) for heads in (4, 2))
    angles = torch.randn(2, 3, 8, generator=random)
    cos, sin = angles.cos(), angles.sin()
    try:
        found = [_tried(lambda *parts, call=call: call(*parts, cos, sin), q, k) for call in (own, fused)]
    except (TypeError, ValueError, RuntimeError):
        return False
    return all(_close(one, other) for one, other in zip(*found, strict=True))
