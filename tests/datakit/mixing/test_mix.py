"""Mixing: published formulas by hand, exact totals, and nothing repeated or lost beyond what was asked."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datakit.core.errors import RecipeError, StepError
from datakit.core.example import Example, to_table
from datakit.core.step import StepContext
from datakit.mixing import MixParams, MixStep, mix
from datakit.mixing.mix import portions
from datakit.recipe import DataRecipe, check_steps


def table_of(sizes, split=None):
    rows = [(name, number) for name, size in sizes.items() for number in range(size)]
    table = to_table(
        Example(id=f"{name}-{number:04d}", group=f"{name}-{number:04d}", source=name, origin="f:1", text=str(number))
        for name, number in rows
    )
    return table if split is None else table.append_column("split", pa.array(split, pa.string()))


def counts(table):
    return dict(Counter(table.column("source").to_pylist()))


def test_weights_give_proportions_as_large_as_the_scarcest_part_allows():
    mixed = mix(table_of({"a": 1000, "b": 100}), weights={"a": 3, "b": 1})
    assert counts(mixed) == {"a": 300, "b": 100}


def test_a_part_without_a_weight_is_dropped_with_the_reason():
    step = MixStep(MixParams(weights={"a": 1}), StepContext())
    output = step.apply(table_of({"a": 5, "b": 2}))
    output.balance("mix", 7)
    assert counts(output.table) == {"a": 5}
    dropped = output.ledger.to_pylist()
    assert {row["example_id"] for row in dropped} == {"b-0000", "b-0001"}
    assert {row["reason"] for row in dropped} == {"mixed_out"}


def test_cap_is_examples_proportional_mixing():
    """T5's K: min(e, K), no row repeated, so every part gives min(e, K) rows."""
    assert counts(mix(table_of({"a": 50, "b": 3000, "c": 700}), cap=700)) == {"a": 50, "b": 700, "c": 700}


def test_temperature_is_the_root_of_the_capped_sizes():
    """T5, section 3.5.2: rates (min(e, K))^(1/T); 10,000 rows of 400, 2,500 and 8,100 at T = 2 are 20 : 50 : 90."""
    parts = portions({"a": 400, "b": 2500, "c": 8100}, MixParams(temperature=2, rows=1600, max_repeats=1))
    assert {name: part.wanted for name, part in parts.items()} == {"a": 200, "b": 500, "c": 900}


def test_rows_are_repeated_evenly_and_only_where_asked():
    step = MixStep(MixParams(weights={"a": 1, "b": 1}, rows=50, max_repeats=3), StepContext(seed=3))
    output = step.apply(table_of({"a": 60, "b": 10}))
    output.balance("mix", 70)
    assert counts(output.table) == {"a": 25, "b": 25}
    times = Counter(row["parent"] or row["id"] for row in output.table.to_pylist() if row["source"] == "b")
    assert sorted(times.values()) == [2] * 5 + [3] * 5
    ids = output.table.column("id").to_pylist()
    assert len(set(ids)) == len(ids)
    assert set(output.table.column("group").to_pylist()) <= {f"{s}-{n:04d}" for s in "ab" for n in range(60)}


def test_more_rows_than_there_are_names_the_most_and_the_repeats_that_would_do():
    with pytest.raises(StepError) as error:
        mix(table_of({"a": 100, "b": 10}), weights={"a": 1, "b": 1}, rows=100)
    assert "50 of 'b', which has 10" in str(error.value)
    assert "At most 20 rows" in str(error.value)
    assert "max_repeats: 5" in str(error.value)
    assert counts(mix(table_of({"a": 100, "b": 10}), weights={"a": 1, "b": 1}, rows=100, max_repeats=5)) == {
        "a": 50,
        "b": 50,
    }


def test_an_unknown_part_is_named_with_the_nearest():
    with pytest.raises(StepError, match="Did you mean 'chats'"):
        mix(table_of({"chats": 3}), weights={"chat": 1})


def test_after_a_split_only_training_rows_are_mixed():
    split = ["train"] * 6 + ["test"] * 4 + ["train"] * 2
    mixed = mix(table_of({"a": 10, "b": 2}, split), weights={"a": 1, "b": 1})
    rows = Counter(zip(mixed.column("source").to_pylist(), mixed.column("split").to_pylist(), strict=True))
    assert rows == {("a", "train"): 2, ("b", "train"): 2, ("a", "test"): 4}


def test_by_another_column():
    table = to_table(
        Example(id=str(n), group=str(n), source="s", origin="f:1", text="t", fields={"lang": "ko" if n < 3 else "en"})
        for n in range(12)
    )
    mixed = mix(table, by="lang", weights={"ko": 1, "en": 1})
    assert Counter(int(i) < 3 for i in mixed.column("id").to_pylist()) == {True: 3, False: 3}
    with pytest.raises(StepError, match="no column 'lnag'"):
        mix(table, by="lnag")


sizes_of = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1)


@given(sizes_of, st.data(), st.integers(0, 3), st.randoms())
def test_totals_are_exact_near_the_rates_and_order_does_not_matter(sizes, data, seed, random):
    weights = {name: data.draw(st.integers(1, 9)) for name in sizes}
    repeats = data.draw(st.integers(1, 4))
    params = MixParams(weights=weights, max_repeats=repeats)
    parts = portions(sizes, params)
    total = sum(part.wanted for part in parts.values())
    rates = {name: Fraction(weight, sum(weights.values())) for name, weight in weights.items()}
    most = min(sizes[name] * repeats / rates[name] for name in sizes)
    assert total == int(most)
    for name, part in parts.items():
        assert part.wanted <= sizes[name] * repeats
        assert abs(part.wanted - rates[name] * total) < 1
    table = table_of(sizes)
    output = MixStep(params, StepContext(seed=seed)).apply(table)
    output.balance("mix", table.num_rows)
    order = list(range(table.num_rows))
    random.shuffle(order)
    again = MixStep(params, StepContext(seed=seed)).apply(table.take(order))
    assert sorted(again.table.column("id").to_pylist()) == sorted(output.table.column("id").to_pylist())


@pytest.mark.parametrize(
    "params",
    [
        {"weights": {}},
        {"weights": {"a": 0}},
        {"weights": {"a": float("inf")}},
        {"weights": {"a": 1}, "cap": 3},
        {"weights": {"a": 1}, "temperature": 2},
        {"temperature": 0.5},
        {"rows": 0},
        {"max_repeats": 0},
    ],
)
def test_parameters_that_cannot_be(params):
    with pytest.raises(ValidationError):
        MixParams(**params)


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ([{"mix": {"max_repeats": 2}}, {"split": {}}], "put split before mix"),
        ([{"mix": {}}, {"dedup": {}}], "put dedup before mix"),
        ([{"mix": {}}, {"mix": {"cap": 3}}], "twice"),
    ],
)
def test_places_where_a_mix_cannot_be_right(steps, word):
    recipe = DataRecipe.model_validate({"sources": {"s": {"path": "x.csv"}}, "steps": steps})
    with pytest.raises(RecipeError, match=word):
        check_steps(recipe)
