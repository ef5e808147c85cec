"""Rows side by side for the attention: where tokens lie."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.fused.grouping import grouped


def ends_of(lengths: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_token_has_one_place_and_keeps_its_order(lengths: list[int]) -> None:
    grouping = grouped(ends_of(lengths))
    count = sum(rows * length for rows, length in grouping.shapes)
    assert sum(rows for rows, _ in grouping.shapes) == len(lengths)
    assert len(grouping.tokens) == count == sum(grouping.sizes)
    assert grouping.tokens[grouping.places].tolist() == list(range(sum(lengths)))
    assert len(set(grouping.places.tolist())) == sum(lengths)
    start = 0
    for length in lengths:  # a row's tokens lie one behind the other, from the beginning of a row of its group
        places = grouping.places[start : start + length].tolist()
        assert places == list(range(places[0], places[0] + length))
        start += length


def test_short_rows_stand_together_and_long_ones_alone() -> None:
    assert grouped(ends_of([40, 42, 41, 500, 39])).shapes == ((4, 42), (1, 500))
    assert grouped(ends_of([500, 300])).shapes == ((1, 300), (1, 500))
