"""Subsets are nested, whole and balanced, whatever the order of the rows."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datakit.core.errors import StepError
from datakit.mixing.subset import nested_subsets


def table(groups: list[str]) -> pa.Table:
    return pa.table({"id": [f"{at}" for at in range(len(groups))], "group": groups})


@given(
    labels=st.lists(st.sampled_from("aab"), min_size=2, max_size=60),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_nested_whole_and_balanced(labels, seed, data):
    groups = [f"g{at}" for at in range(len(labels)) for _ in range(2)]  # two renderings of each example
    strata = [label for label in labels for _ in range(2)]
    sizes = sorted(data.draw(st.sets(st.integers(1, len(labels)), min_size=1, max_size=4)))
    found = nested_subsets(table(groups), sizes, strata=strata, seed=seed)
    smaller: set[str] = set()
    for size, rows in found.items():
        chosen = rows.column("group").to_pylist()
        assert len(set(chosen)) == size
        assert len(chosen) == 2 * size, "an example keeps all it was rendered to"
        assert smaller <= set(chosen)
        smaller = set(chosen)
        for label in set(labels):
            share = labels.count(label) / len(labels)
            own = sum(labels[int(group[1:])] == label for group in smaller)
            assert abs(own - share * size) <= 1


def test_the_order_of_rows_plays_no_role_and_the_seed_does():
    groups = [f"g{at}" for at in range(50)]
    first = set(nested_subsets(table(groups), [20], seed=1)[20].column("group").to_pylist())
    assert first == set(nested_subsets(table(groups[::-1]), [20], seed=1)[20].column("group").to_pylist())
    assert first != set(nested_subsets(table(groups), [20], seed=2)[20].column("group").to_pylist())


def test_more_than_there_are():
    with pytest.raises(StepError, match="60 examples are asked for and the training split has 50"):
        nested_subsets(table([f"g{at}" for at in range(50)]), [10, 60])
