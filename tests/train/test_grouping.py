"""Rows side by side for the attention: where tokens lie, and that results and gradients are those of rows alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.attention import attend
from train.grouping import gathered, grouped, spread


def ends_of(lengths: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_token_has_one_place_and_keeps_its_order(lengths: list[int]) -> None:
    grouping = grouped(ends_of(lengths))
    count = sum(rows * length for rows, length in grouping.shapes)
    assert sum(rows for rows, _ in grouping.shapes) == len(lengths)
    assert len(grouping.tokens) == count == sum(lengths) + len(grouping.padding)
    assert grouping.tokens[grouping.places].tolist() == list(range(sum(lengths)))
    assert sorted([*grouping.places.tolist(), *grouping.padding.tolist()]) == list(range(count))
    start = 0
    for length in lengths:  # a row's tokens lie one behind the other, from the beginning of a row of its group
        places = grouping.places[start : start + length].tolist()
        assert places == list(range(places[0], places[0] + length))
        start += length


def test_short_rows_stand_together_and_long_ones_alone() -> None:
    assert grouped(ends_of([40, 42, 41, 500, 39])).shapes == ((4, 42), (1, 500))
    assert grouped(ends_of([300, 500])).alone


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
@pytest.mark.parametrize("window", [None, 16])
def test_attention_of_each_row_alone(heads: tuple[int, int], window: int | None) -> None:
    lengths = [9, 30, 31, 12, 1, 28]
    random = torch.Generator().manual_seed(0)
    shapes = [(1, count, sum(lengths), 8) for count in (heads[0], heads[1], heads[1])]
    parts = [torch.randn(*shape, generator=random).requires_grad_() for shape in shapes]
    ends = ends_of(lengths)
    assert not grouped(ends).alone
    found, _ = attend(torch.nn.Module(), *parts, None, cu_seq_lens_q=ends, max_length_q=31, sliding_window=window)
    alone = []
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        q, k, v = (part[:, :, start:end].double() for part in parts)
        k, v = (part.repeat_interleave(heads[0] // heads[1], dim=1) for part in (k, v))
        places = torch.arange(end - start)
        back = places[:, None] - places
        seen = (back >= 0) & (back < (window or len(places)))
        alone.append((q @ k.mT / 8**0.5).masked_fill(~seen, float("-inf")).softmax(-1) @ v)
    wanted = torch.cat(alone, dim=2).transpose(1, 2)
    assert torch.allclose(found.double(), wanted, atol=1e-6)
    grad = torch.randn(found.shape, generator=random)
    pairs = zip(torch.autograd.grad(found, parts, grad), torch.autograd.grad(wanted, parts, grad.double()), strict=True)
    for one, other in pairs:
        assert torch.allclose(one, other, atol=1e-6)


def test_spread_and_gathered_are_each_other_s_inverse() -> None:
    grouping = grouped(ends_of([5, 7, 6]))
    x = torch.randn(1, 2, 18, 4).requires_grad_()
    again = gathered(list(spread(x, grouping)), grouping)
    assert torch.equal(again, x)
    assert torch.equal(torch.autograd.grad(again.sum(), x)[0], torch.ones_like(x))
