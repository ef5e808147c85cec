"""Items that stand in the training data: read from a run, and the comparison with and without them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from datakit.core.storage import write_json, write_table
from evalkit import compare, paired
from evalkit.contamination import contaminated_items, without_items
from evalkit.errors import LogError
from evalkit.report import from_run


def found(rows):
    columns = ("task", "item_id", "side", "covered", "example_id")
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(columns)})


@pytest.fixture
def logs(make_log, make_scores):
    before, after = make_scores(20, 40, 100, 40)
    return (
        make_log({"seen": before, "fresh": before}),
        make_log({"seen": after, "fresh": after}, model="tuned"),
        before,
        after,
    )


def test_the_rows_are_given_again_without_the_items(logs):
    base, tuned, before, after = logs
    ids = [f"{at:05d}" for at in range(20, 50)]  # thirty of those that were learnt
    whole = compare(base, tuned, contaminated={"seen": ids, "unknown": ["1"]})
    assert whole.row("seen").paired == compare(base, tuned).row("seen").paired
    assert [clean.task for clean in whole.clean] == ["seen"]
    rest = np.setdiff1d(np.arange(200), np.arange(20, 50))
    clean = whole.clean[0]
    assert (clean.items, clean.row.n) == (30, 170)
    assert clean.row.paired == paired(np.array(before)[rest], np.array(after)[rest])
    assert any("30 items stand in the training data; without them -5.9" in note for note in whole.notes)
    assert whole.row("seen").verdict == "gained"
    assert clean.row.difference < 0


def test_a_task_that_was_seen_as_a_whole_has_no_row_left(logs):
    base, tuned, *_ = logs
    whole = compare(base, tuned, contaminated={"seen": {f"{at:05d}" for at in range(200)}})
    assert whole.clean[0].row is None
    assert any("no other is left" in note for note in whole.notes)


def test_nothing_found_changes_nothing(logs):
    base, tuned, *_ = logs
    assert compare(base, tuned, contaminated={}) == compare(base, tuned)
    assert compare(base, tuned, contaminated={"seen": ["nowhere"]}).clean == ()
    assert without_items(base, {}).items.equals(base.items)


def test_a_run_says_what_its_build_found(logs, tmp_path):
    base, tuned, *_ = logs
    base.write(tmp_path / "evals" / "base")
    tuned.write(tmp_path / "evals" / "lora-1")
    write_json(tmp_path / "manifest.json", {"name": "demo", "arms": ["lora"]}, format=1)
    assert contaminated_items(tmp_path) is None
    assert from_run(tmp_path).arms[0].comparison.clean == ()
    rows = [
        ("seen", "00001", "prompt", 0.9, "x"),
        ("seen", "00001", "answer", 1.0, "y"),
        ("fresh", "00002", "prompt", 0.0, "z"),
    ]
    write_table(tmp_path / "contamination.parquet", found(rows))
    assert contaminated_items(tmp_path) == {"seen": {"00001"}}
    clean = from_run(tmp_path).arms[0].comparison.clean
    assert [(one.task, one.items) for one in clean] == [("seen", 1)]


def test_a_foreign_file_is_refused(tmp_path):
    write_table(tmp_path / "contamination.parquet", pa.table({"task": ["a"]}))
    with pytest.raises(LogError, match=r"columns \['item_id', 'covered'\] are missing"):
        contaminated_items(tmp_path)
