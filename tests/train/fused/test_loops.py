"""The compiled loops in shares: with any number of threads, the numbers are PyTorch's in double precision."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional

from train.fused import loops


@pytest.fixture(params=[1, 2, 3, 7])
def threads(request, monkeypatch) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    monkeypatch.setattr(loops, "_LEAST", 0)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(params=["PyTorch's threads", "the one that calls"])
def team(request, monkeypatch, tmp_path) -> None:
    if request.param == "the one that calls":
        (tmp_path / "torch").mkdir()
        monkeypatch.setattr(torch, "__file__", str(tmp_path / "torch" / "__init__.py"))  # no OpenMP beside it
    loops._team.cache_clear()
    assert (type(loops._team()).__name__ == "partial") == (request.param == "PyTorch's threads")
    monkeypatch.undo()
    yield
    loops._team.cache_clear()


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    assert one.shape == other.shape
    assert (one.double() - other).abs().max() <= 2e-6 * (1 + other.abs().max())


@pytest.mark.parametrize("rows", [1, 2, 5, 300])
def test_norms(rows: int, threads: int, team) -> None:
    x, grad, beside, weight = draws(rows, 24), draws(rows, 24, seed=1), draws(rows, 24, seed=2), draws(24, seed=3)
    y, scales, grad_x = torch.empty_like(x), torch.empty(rows), torch.empty_like(x)
    loops.rms_norm(x, weight, 1e-5, y, scales)
    exact = [part.double().requires_grad_() for part in (x, weight)]
    wanted = exact[1] * exact[0] * torch.rsqrt(exact[0].pow(2).mean(-1, keepdim=True) + 1e-5)
    close(y, wanted)
    of_weight = loops.rms_norm_gradients(grad, x, weight, scales, grad_x, beside=beside)
    wanted.backward(grad.double())
    close(of_weight, exact[1].grad)
    close(grad_x, exact[0].grad + beside)
    assert loops.rms_norm_gradients(grad, x, weight, scales, grad_x, wanted=False) is None
    close(grad_x, exact[0].grad)


@pytest.mark.parametrize("count", [1, 6, 1000])
def test_gates(count: int, threads: int, team) -> None:
    grad, opened, through = (3 * draws(count, seed=seed) for seed in range(3))
    exact = [part.double().requires_grad_() for part in (opened, through)]
    wanted = functional.silu(exact[0]) * exact[1]
    wanted.backward(grad.double())
    y, *both = (torch.empty(count) for _ in range(3))
    loops.gate(opened, through, y)
    close(y, wanted)
    for loop, first in ((loops.gate_gradients, []), (loops.gate_and_gradients, [y])):
        for part in (y, *both):
            part.fill_(-7)
        loop(grad, opened, through, *first, *both)
        close(both[0], exact[0].grad)
        close(both[1], exact[1].grad)
    close(y, wanted)


def test_turning_at_places_and_back(threads: int, team) -> None:
    tokens, places = torch.tensor([0, 0, 4, 3, 2, 1, 1, 4]), torch.tensor([0, 5, 4, 3, 7])
    x, angles = draws(5, 24), draws(5, 8, seed=1)
    cos, sin = angles.cos(), angles.sin()
    y = torch.empty(8, 24)
    loops.turn(x, 8, cos, sin, y, tokens)

    def turned(part: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        heads = part.double().view(-1, 3, 8)[at]
        first, second = heads.chunk(2, dim=-1)
        return (heads * cos[at, None] + torch.cat([-second, first], dim=-1) * sin[at, None]).view(-1, 24)

    close(y, turned(x, tokens))
    own = x.double().requires_grad_()
    grad = draws(8, 24, seed=2)
    kept = torch.zeros(8, 24).double()
    kept[places] = grad[places].double()
    turned(own, tokens).backward(kept)
    back = torch.empty(5, 24)
    for cuts in ([8], [1, 7], [3, 2, 3], [1] * 8):
        back.fill_(-7)
        loops.turn_back(grad.split(cuts), 8, cos, sin, back, places)
        close(back, own.grad)
    whole = torch.empty(5, 24)
    loops.turn(x, 8, cos, sin, whole, None)
    close(whole, turned(x, torch.arange(5)))


def test_rows_are_gathered_and_added(threads: int, team) -> None:
    x, places = draws(9, 5), torch.tensor([8, 0, 3, 3])
    y = torch.empty(4, 5)
    for cuts in ([9], [2, 1, 6], [4, 5]):
        loops.gather(x.split(cuts), places, y.fill_(-7))
        assert torch.equal(y, x[places])
    whole, once = draws(9, 5, seed=1), torch.tensor([8, 0, 3])
    wanted = whole.index_add(0, once, x[:3])
    loops.add_rows(x[:3].contiguous(), whole, once)
    assert torch.equal(whole, wanted)


def test_callers_on_several_threads_of_python(threads: int) -> None:
    """A call's table is the caller's own, also while others wait inside of theirs."""
    wrong = []

    def call(seed: int) -> None:
        opened, through = draws(3000, seed=seed), draws(3000, seed=seed + 100)
        y = torch.empty(3000)
        for _ in range(50):
            loops.gate(opened, through, y.fill_(-7))
            if not torch.allclose(y, functional.silu(opened) * through, atol=1e-5):
                wrong.append(seed)

    callers = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_small_loops_stay_on_one_thread(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(loops, "_team", lambda: lambda table, threads: asked.append(threads))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    for count in (loops._LEAST - 1, loops._LEAST):
        loops.gate(*(torch.empty(count) for _ in range(3)))
    assert asked == [1, 2]


@pytest.mark.parametrize("found", [("GATE",), OSError("the cache folder is full")])
def test_compiled_loops_that_cannot_be_used_leave_the_model_its_own(found, monkeypatch) -> None:
    """Of another version, out of a cache; or not to be had at all."""
    import sys
    from types import SimpleNamespace

    from tests.train.fused.test_passes import model_of
    from train.fused import FusedPasses

    class Broken:
        def __getattr__(self, name: str) -> object:
            raise found

    broken = SimpleNamespace(LOOPS=found, entry=None) if isinstance(found, tuple) else Broken()
    monkeypatch.setitem(sys.modules, "train.fused.kernels", broken)
    loops._team.cache_clear()
    with pytest.raises(RuntimeError, match="compiled loops"):
        loops._team()
    assert FusedPasses(model_of("llama")).names == ()
    monkeypatch.undo()
    loops._team.cache_clear()
    assert FusedPasses(model_of("llama")).names == ("gate", "norm", "rotary")
