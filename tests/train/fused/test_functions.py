"""The one-pass functions against PyTorch's many passes, in double precision where that is the truth."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from train.fused.functions import gated, rms_norm, rotary

EPS = 1e-6


def draws(*shapes: tuple[int, ...], scale: float = 1.0) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    return [(torch.randn(*shape, generator=random) * scale).requires_grad_() for shape in shapes]


def norm_by_hand(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)


def turned_by_hand(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos[:, None] + torch.cat([-second, first], dim=-1) * sin[:, None]


def agree(ours, truth, inputs: list[torch.Tensor], tolerance: float = 2e-6) -> None:
    """Results and gradients agree, relative to the largest."""
    exact = [part.detach().double().requires_grad_(part.requires_grad) for part in inputs]
    found, wanted = ours(*inputs), truth(*exact)
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(4))
    pairs = [(found, wanted)]
    own = [part for part in inputs if part.requires_grad]
    theirs = [part for part in exact if part.requires_grad]
    pairs += zip(torch.autograd.grad(found, own, grad), torch.autograd.grad(wanted, theirs, grad.double()), strict=True)
    for one, other in pairs:
        assert (one.double() - other).abs().max() <= tolerance * (1 + other.abs().max())


@pytest.mark.parametrize("shape", [(1, 1, 8), (2, 7, 24), (1, 300, 128), (5, 1), (0, 16)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_rms_norm(shape: tuple[int, ...], scale: float) -> None:
    x, weight = draws(shape, (shape[-1],), scale=scale)
    if not x.numel():
        assert rms_norm(x, weight, EPS).shape == x.shape
        return
    agree(lambda x, w: rms_norm(x, w, EPS), norm_by_hand, [x, weight], tolerance=1e-5)


def test_rms_norm_of_a_frozen_weight() -> None:
    x, weight = draws((3, 16), (16,))
    agree(lambda x, w: rms_norm(x, w, EPS), norm_by_hand, [x, weight.detach()])


def test_the_gradient_of_a_norm_s_weight_over_many_rows() -> None:
    x, weight = draws((20_000, 16), (16,))
    agree(lambda x, w: rms_norm(x, w, EPS), norm_by_hand, [x, weight], tolerance=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 200.0])
def test_gated(scale: float) -> None:
    agree(gated, lambda a, u: functional.silu(a) * u, draws((2, 50, 33), (2, 50, 33), scale=scale))


def test_a_gradient_that_is_not_contiguous() -> None:
    a, u = draws((6, 4), (6, 4))
    found = torch.autograd.grad(gated(a, u).t().reshape(-1).sum(), [a, u])
    wanted = torch.autograd.grad((functional.silu(a) * u).t().reshape(-1).sum(), [a, u])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("lines", [1, 2])
def test_rotary(heads: int, lines: int) -> None:
    q, k, angles = draws((2, heads, 5, 8), (2, 1, 5, 8), (lines, 5, 8))
    cos, sin = angles.detach().cos(), angles.detach().sin()
    agree(
        lambda q, k, *turn: rotary(q, k, *turn)[0],
        lambda q, k, *turn: turned_by_hand(q, *turn),
        [q, k.detach(), cos, sin],
    )
    agree(
        lambda q, k, *turn: rotary(q, k, *turn)[1],
        lambda q, k, *turn: turned_by_hand(k, *turn),
        [q.detach(), k, cos, sin],
    )


def test_nan_and_infinity_stay_visible() -> None:
    broken = torch.tensor([[1.0, float("nan"), 2.0, float("inf")]])
    ones = torch.ones(1, 4)
    assert rms_norm(broken, torch.ones(4), EPS).isnan().any()
    assert gated(broken, ones).isnan().tolist() == [[False, True, False, False]]
    assert gated(broken, ones)[0, 3] == float("inf")


def test_equal_inputs_give_equal_bits() -> None:
    x, weight = draws((1, 500, 96), (96,))
    grads = [torch.autograd.grad(rms_norm(x, weight, EPS).pow(3).sum(), [x, weight]) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))


def test_what_does_not_fit_is_refused_before_it_is_read_by_address() -> None:
    x = torch.randn(3, 16)
    with pytest.raises(ValueError, match=r"a weight of \(8,\) for rows of 16"):
        rms_norm(x, torch.ones(8), EPS)
    with pytest.raises(ValueError, match=r"torch.float64 on cpu, not float32 on the CPU"):
        rms_norm(x.double(), torch.ones(16), EPS)
    with pytest.raises(ValueError, match="differ"):
        gated(x, x[:2])


@pytest.mark.parametrize("weight", [torch.randn(32)[::2], torch.ones(1).expand(16)])
def test_a_weight_with_gaps(weight: torch.Tensor) -> None:
    agree(lambda x, w: rms_norm(x, w, EPS), norm_by_hand, [*draws((3, 16)), weight])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_another_default_type_changes_nothing(kind: torch.dtype) -> None:
    x, weight = draws((300, 96), (96,))

    def found() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(rms_norm(x, weight, EPS).pow(2).sum(), [x, weight])

    before = found()
    torch.set_default_dtype(kind)
    try:
        after = found()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
