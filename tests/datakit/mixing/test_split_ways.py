"""Splits by time and by folds, and what a split says of itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.model_selection import StratifiedGroupKFold

from datakit.core.errors import StepError
from datakit.core.example import Example, to_table
from datakit.core.step import StepContext
from datakit.mixing import SplitParams, SplitStep, folds, split


def dated(times, clusters=None, label=None):
    table = to_table(
        Example(
            id=f"{n:05d}",
            group=f"{n:05d}",
            source="s",
            origin=f"f.csv:{n + 2}",
            text="t",
            label=None if label is None else label[n],
            fields={"when": time},
        )
        for n, time in enumerate(times)
    )
    return table if clusters is None else table.append_column("cluster", pa.array(clusters, pa.string()))


def test_time_puts_the_newest_rows_into_test():
    first = datetime(2026, 1, 1)
    days = [(first + timedelta(days=n * 7 % 100)).date().isoformat() for n in range(100)]
    sides = split(dated(days), validation=0.1, test=0.2, time="when")["split"].to_pylist()
    assert Counter(sides) == {"train": 70, "validation": 10, "test": 20}
    of = defaultdict(list)
    for day, side in zip(days, sides, strict=True):
        of[side].append(day)
    assert max(of["train"]) < min(of["validation"]) <= max(of["validation"]) < min(of["test"])


def test_a_set_stands_where_its_oldest_row_stands():
    """Row 9 repeats row 0: in the test split it would be known from training."""
    clusters = ["c0", *(f"c{n}" for n in range(1, 9)), "c0"]
    sides = split(dated(range(10), clusters), validation=0.2, test=0.2, time="when")["split"].to_pylist()
    assert sides[9] == sides[0] == "train"
    assert sides[8] == "test"


@given(st.lists(st.integers(0, 12), min_size=30, max_size=80), st.randoms())
def test_rows_of_one_moment_are_not_separated_and_order_does_not_matter(times, random):
    table = dated(times)
    try:
        sides = split(table, validation=0.2, test=0.2, time="when")["split"].to_pylist()
    except StepError:
        assert max(Counter(times).values()) > 0.15 * len(times)
        return
    assert len(set(zip(times, sides, strict=True))) == len(set(times))
    rank = {"train": 0, "validation": 1, "test": 2}
    ordered = [rank[side] for _, side in sorted(zip(times, sides, strict=True), key=lambda pair: pair[0])]
    assert ordered == sorted(ordered)
    order = list(range(len(times)))
    random.shuffle(order)
    again = split(table.take(order), validation=0.2, test=0.2, time="when")["split"].to_pylist()
    assert again == [sides[n] for n in order]


@pytest.mark.parametrize("bad", [None, "", "yesterday", float("nan")])
def test_a_row_without_a_time_is_named(bad):
    with pytest.raises(StepError, match=r"is no time.*f\.csv:5|f\.csv:5.*is no time"):
        split(dated([1, 2, 3, bad, 5, 6, 7, 8]), time="when")


def test_numbers_and_dates_cannot_be_ordered_together():
    with pytest.raises(StepError, match="numbers and dates"):
        split(dated([1, 2, "2026-01-01", 4]), time="when")


def test_zones_are_respected():
    """09:00 in Seoul is midnight in Greenwich."""
    times = ["2026-01-01T09:00:00+09:00", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00", "2026-01-01T11:00:00+09:00"]
    sides = split(dated(times), validation=0, test=0.25, time="when")["split"].to_pylist()
    assert sides == ["train", "train", "train", "test"]


def test_each_row_is_in_the_test_split_of_one_fold():
    table = dated(range(103), clusters=[f"c{n // 3}" for n in range(103)])
    found = Counter()
    for fold in range(5):
        params = SplitParams(folds=5, fold=fold, validation=0.1)
        made = SplitStep(params, StepContext(seed=1)).apply(table).table
        rows = Counter(made["split"].to_pylist())
        assert 18 <= rows["test"] <= 23
        assert 8 <= rows["validation"] <= 12
        sides = dict(zip(made["id"].to_pylist(), made["split"].to_pylist(), strict=True))
        found.update(row for row, side in sides.items() if side == "test")
        by_cluster = defaultdict(set)
        for row, side in sides.items():
            by_cluster[int(row) // 3].add(side)
        assert all(len(names) == 1 for names in by_cluster.values())
    assert set(found.values()) == {1}
    assert len(found) == 103


def test_folds_are_as_balanced_as_a_reference_makes_them():
    """Spread of the label's share over the folds, beside scikit-learn's StratifiedGroupKFold on the same groups."""
    labels = ["a" if n % 7 == 0 else "b" for n in range(420)]
    groups = [n // 3 for n in range(420)]
    table = dated(range(420), clusters=[str(g) for g in groups], label=labels)
    ours = folds(table, 6, stratify="label", seed=0)
    theirs = [0] * 420
    splitter = StratifiedGroupKFold(n_splits=6, shuffle=True, random_state=0)
    for number, (_, test) in enumerate(splitter.split(labels, labels, groups)):
        for row in test:
            theirs[row] = number

    def spread(assigned):
        shares = []
        for fold in range(6):
            own = [label for label, where in zip(labels, assigned, strict=True) if where == fold]
            shares.append(own.count("a") / len(own))
        return max(shares) - min(shares)

    assert spread(ours) <= spread(theirs) + 0.03
    assert max(Counter(ours).values()) - min(Counter(ours).values()) <= 3


def test_the_notes_say_what_came_out():
    labels = ["a", "b"] * 50
    step = SplitStep(SplitParams(stratify="label"), StepContext())
    step.apply(dated(range(100), label=labels))
    assert step.notes() == ["stratified by 'label': the share of a value differs by at most 3.3 points between splits"]
    step = SplitStep(SplitParams(time="when", validation=0.0, test=0.5), StepContext())
    step.apply(dated(range(4)))
    assert step.notes() == ["train: 'when' from 0 to 1", "test: 'when' from 2 to 3"]
    step = SplitStep(SplitParams(folds=4, fold=2), StepContext())
    step.apply(dated(range(40)))
    assert step.notes() == ["test is fold 2 of 4, numbered from 0"]


@pytest.mark.parametrize(
    "params",
    [
        {"time": "a", "folds": 3},
        {"by": "a", "time": "b"},
        {"time": "a", "stratify": "label"},
        {"fold": 1},
        {"folds": 3, "fold": 3},
        {"folds": 2, "validation": 0.5},
    ],
)
def test_ways_that_contradict_one_another(params):
    with pytest.raises(ValidationError):
        SplitParams(**params)
