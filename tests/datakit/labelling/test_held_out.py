"""Gold, and all that is related to it, reaches no training split, however the data is split."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from conftest import rows
from reviews import RECIPE, dataset

from datakit.build import build
from datakit.core.step import StepContext
from datakit.mixing import SplitParams, SplitStep, split


def test_gold_and_its_duplicates_stay_out_also_where_nothing_splits(project, tmp_path):
    recipe = project()
    recipe.write_text(re.sub(r"    - split.*\n", "", recipe.read_text()))
    build(recipe, output=tmp_path / "run")
    parts = dataset(tmp_path / "run")
    assert {split: len(examples) for split, examples in parts.items()} == {"train": 80, "test": 40}
    assert not any(example.fields["truth"] for example in parts["train"])


@pytest.mark.parametrize("shares", ["validation: 0.1, test: 0", "validation: 0, test: 0", "by: side"])
def test_gold_stays_out_however_the_data_is_split(project, tmp_path, shares):
    recipe = project()
    recipe.write_text(recipe.read_text().replace("validation: 0.1, test: 0.2", shares))
    if "by" in shares:
        text = (tmp_path / "reviews.csv").read_text().splitlines()
        sides = ["side", *("train" if n % 3 else "test" for n in range(120))]
        (tmp_path / "reviews.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(text, sides, strict=True)))
    build(recipe, output=tmp_path / "run")
    parts = dataset(tmp_path / "run")
    assert not any(example.fields["truth"] for example in parts["train"])
    assert sum(bool(e.fields["truth"]) for examples in parts.values() for e in examples) == 40


def with_days(tmp_path):
    """A column of days, every day twice, in an order of its own."""
    text = (tmp_path / "reviews.csv").read_text().splitlines()
    days = ["day", *(f"2026-{1 + n * 7 % 60 // 28:02d}-{1 + n * 7 % 60 % 28:02d}" for n in range(120))]
    (tmp_path / "reviews.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(text, days, strict=True)))


@pytest.mark.parametrize("shares", ["validation: 0.1, test: 0.2", "validation: 0.1, test: 0"])
def test_gold_stays_out_of_a_split_by_time_and_the_periods_stay(project, tmp_path, shares):
    recipe = project()
    recipe.write_text(recipe.read_text().replace("validation: 0.1, test: 0.2", f"{shares}, time: day"))
    with_days(tmp_path)
    build(recipe, output=tmp_path / "run")
    parts = dataset(tmp_path / "run")
    place = "test" if "0.2" in shares else "validation"
    gold = {split: sum(bool(e.fields["truth"]) for e in examples) for split, examples in parts.items()}
    assert {split: count for split, count in gold.items() if count} == {place: 40}
    days = {
        split: sorted(e.fields["day"] for e in examples if not e.fields["truth"]) for split, examples in parts.items()
    }
    assert days["train"][-1] < days["validation"][0]
    # The last fifth of the days is the test's, as without gold.
    if place == "test":
        assert days["validation"][-1] < days["test"][0]
        every = sorted(e.fields["day"] for examples in parts.values() for e in examples)
        assert abs(every.index(days["test"][0]) - 96) <= 3
    card = (tmp_path / "run" / "data" / "README.md").read_text()
    assert f"40 gold rows of all times, and what is related to them, stand in {place}" in card


def test_gold_is_in_no_training_part_of_any_fold(project, tmp_path):
    recipe, tested = project(), Counter()
    for fold in range(4):
        text = RECIPE.format(url=re.search(r'server: "([^"]+)"', recipe.read_text())[1], extra="gold: truth")
        recipe.write_text(text.replace("validation: 0.1, test: 0.2", f"validation: 0.1, folds: 4, fold: {fold}"))
        build(recipe, output=tmp_path / f"run-{fold}")
        parts = dataset(tmp_path / f"run-{fold}")
        for side in ("train", "validation"):
            assert not any(example.fields["truth"] for example in parts[side])
        assert sum(bool(example.fields["truth"]) for example in parts["test"]) == 40
        tested.update(example.id for example in parts["test"] if not example.fields["truth"])
    assert len(tested) == 80
    assert set(tested.values()) == {1}


def test_duplicates_of_gold_stay_out_by_time_and_in_folds(tmp_path):
    table = rows(60).append_column("held_out", [[n in (5, 47) for n in range(60)]])
    table = table.append_column("cluster", [[str(n // 10) for n in range(60)]])
    fields = [json.dumps({"day": n // 10}) for n in range(60)]
    table = table.set_column(table.column_names.index("fields"), "fields", [fields])
    for more in ({"time": "day"}, {"folds": 3}, {"time": "day", "validation": 0.3}):
        step = SplitStep(SplitParams(**{"validation": 0, "test": 0.2, **more}), StepContext())
        sides = step.apply(table).table["split"].to_pylist()
        assert set(sides[0:10]) == set(sides[40:50]) == {"test"}
        assert sides.count("train") >= 20


def test_related_rows_of_gold_stay_out_too():
    table = rows(60).append_column("held_out", [[n == 5 for n in range(60)]])
    table = table.append_column("cluster", [[str(n // 10) for n in range(60)]])
    sides = split(table, validation=0.2, test=0.2)["split"].to_pylist()
    assert set(sides[0:10]) == {"test"}
    assert "train" in sides
