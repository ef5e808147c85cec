from __future__ import annotations

import json
from collections import Counter, defaultdict

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datakit.core.errors import StepError
from datakit.core.example import Example, to_table
from datakit.core.step import StepContext
from datakit.mixing import SplitParams, SplitStep, split


def table_of(rows):
    """Rows of (group number, cluster number or None, customer or None, label)."""
    examples = [
        Example(
            id=f"{index:032x}",
            group=f"{group:032x}",
            source="s",
            origin=f"a:{index}",
            text="t",
            label=label,
            fields={} if customer is None else {"customer": customer},
        )
        for index, (group, _, customer, label) in enumerate(rows)
    ]
    clusters = pa.array([None if cluster is None else f"c{cluster}" for _, cluster, _, _ in rows], pa.string())
    return to_table(examples).append_column("cluster", clusters)


small = st.integers(0, 60)
rows_strategy = st.lists(
    st.tuples(small, st.none() | small, st.none() | st.integers(0, 40), st.sampled_from("abc")),
    min_size=40,
    max_size=150,
)


@settings(max_examples=60, deadline=None)
@given(rows_strategy, st.integers(0, 5), st.sampled_from([None, "label"]), st.randoms())
def test_nothing_related_is_separated_and_order_does_not_matter(rows, seed, stratify, random):
    rows = [*rows, *((1000 + n, None, None, "a") for n in range(40))]
    rows = [*rows[:-1], (rows[-1][0], None, 0, "a")]  # somebody has a customer
    table = table_of(rows)
    options = {"validation": 0.1, "test": 0.15, "group": "customer", "stratify": stratify, "seed": seed}
    sides = split(table, **options)["split"].to_pylist()
    for part in (0, 1, 2):
        found = defaultdict(set)
        for row, side in zip(rows, sides, strict=True):
            if row[part] is not None:
                found[row[part]].add(side)
        assert all(len(names) == 1 for names in found.values())
    order = list(range(len(rows)))
    random.shuffle(order)
    assert split(table.take(order), **options)["split"].to_pylist() == [sides[index] for index in order]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.sampled_from("aaab")), min_size=30, max_size=200),
    st.floats(0.05, 0.3),
    st.floats(0.05, 0.3),
    st.sampled_from([None, "label"]),
)
def test_sizes_are_within_the_biggest_set(sets, validation, test, stratify):
    rows = [(number, None, None, label) for number, (size, label) in enumerate(sets) for _ in range(size)]
    biggest = max(size for size, _ in sets)
    try:
        sides = Counter(split(table_of(rows), validation=validation, test=test, stratify=stratify)["split"].to_pylist())
    except StepError:
        assert min(validation, test) * len(rows) < biggest
        return
    assert abs(sides["validation"] - validation * len(rows)) <= biggest
    assert abs(sides["test"] - test * len(rows)) <= biggest


@pytest.mark.parametrize("labels", [2, 7, 77])
def test_every_label_has_its_share_everywhere(labels):
    rows = [(n, None, None, f"l{n * n % labels}") for n in range(20 * labels)]
    sides = split(table_of(rows), validation=0.1, test=0.15, stratify="label")["split"].to_pylist()
    totals = Counter(row[3] for row in rows)
    found = Counter((row[3], side) for row, side in zip(rows, sides, strict=True))
    for label, total in totals.items():
        assert abs(found[label, "test"] - 0.15 * total) < 1.5
        assert abs(found[label, "validation"] - 0.1 * total) < 1.5
    assert abs(Counter(sides)["test"] - 0.15 * len(rows)) <= 1


def test_labels_rarer_than_the_splits_still_give_the_asked_sizes():
    rows = [(n, None, None, f"l{n // 3}") for n in range(900)]
    sides = Counter(split(table_of(rows), validation=0.1, test=0.15, stratify="label")["split"].to_pylist())
    assert abs(sides["validation"] - 90) <= 2
    assert abs(sides["test"] - 135) <= 2


def test_the_seed_changes_who_goes_where_and_nothing_else():
    table = table_of([(n, None, None, "a") for n in range(1000)])
    one, other = (split(table, seed=seed)["split"].to_pylist() for seed in (1, 2))
    assert Counter(one) == Counter(other) == {"train": 750, "test": 150, "validation": 100}
    same = sum(a == b for a, b in zip(one, other, strict=True))
    assert 500 < same < 700  # independent draws agree on .75^2 + .15^2 + .1^2 = 59.5 %


def test_new_rows_leave_the_input_alone():
    table = table_of([(n, None, None, "a") for n in range(100)])
    before = table.to_pylist()
    split(table)
    assert table.to_pylist() == before


def test_the_data_s_own_split():
    rows = [
        Example(id=str(n), group="g" if n < 2 else str(n), source="s", origin="a:1", fields={"part": part})
        for n, part in enumerate(["train", "dev", "Test", "valid"])
    ]
    step = SplitStep(SplitParams(by="part"), StepContext())
    assert step.apply(to_table(rows)).table["split"].to_pylist() == ["train", "validation", "test", "validation"]
    assert step.notes() == ["1 sets of related rows stand on more than one side of the data's own split"]
    bad = to_table([Example(id="1", group="1", source="s", origin="f.csv:9", fields={"part": "x"})])
    with pytest.raises(StepError, match=r"^f\.csv:9: 'x' in column 'part' is no split"):
        split(bad, by="part")


def test_a_column_by_the_file_s_name_is_found_behind_our_name():
    table = table_of([(n, None, None, "ab"[n % 2]) for n in range(100)])
    context = StepContext(columns={"s": {"label": "intent"}})
    sides = SplitStep(SplitParams(stratify="intent"), context).apply(table).table["split"].to_pylist()
    assert sides == split(table, stratify="label")["split"].to_pylist()


def test_errors():
    table = table_of([(n, None, 1, "a") for n in range(50)])
    with pytest.raises(StepError, match=r"no column 'custmer'.*Did you mean 'customer'"):
        split(table, group="custmer")
    with pytest.raises(StepError, match="would be empty"):
        split(table, group="customer")
    with pytest.raises(ValidationError, match="leave nothing for train"):
        SplitParams(validation=0.5, test=0.5)


def test_a_hundred_thousand_rows_in_seconds():
    import time

    rows = [(n, n // 3, None, f"l{n % 10}") for n in range(100_000)]
    table = to_table([])  # the rows below are made column-wise: Example objects would take longer than the split
    size = len(rows)
    columns = {name: pa.nulls(size, table.schema.field(name).type) for name in table.column_names}
    columns |= {
        "id": pa.array([str(n) for n in range(size)]),
        "group": pa.array([str(n) for n in range(size)]),
        "label": pa.array([row[3] for row in rows]),
        "fields": pa.array([json.dumps({"n": n}) for n in range(size)]),
        "cluster": pa.array([str(row[1]) for row in rows]),
    }
    start = time.perf_counter()
    sides = Counter(split(pa.table(columns), stratify="label")["split"].to_pylist())
    assert time.perf_counter() - start < 20
    assert abs(sides["test"] - 15_000) <= 3
