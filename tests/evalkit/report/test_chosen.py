"""Items that decided something in a training are no part of the report, for every arm alike."""

from __future__ import annotations

import pytest

from datakit.core.storage import write_json
from evalkit.report import from_run
from evalkit.report.html import page
from evalkit.report.markdown import markdown
from evalkit.report.words import warnings

WATCH = {"every": 50, "items": 200, "stop": {"forgetting": 0.05}, "keep": "last"}


def sizes(report):
    return {arm.name: [row.n for row in arm.comparison.general] for arm in report.arms}


@pytest.mark.parametrize("place", ["models", "stages/01-first/models"])
def test_all_arms_lose_the_same_items_and_the_report_says_why(place, run_folder):
    before = sizes(from_run(run_folder))
    write_json(run_folder / place / "full-1" / "train.json", {"arm": {"watch": WATCH}})
    report = from_run(run_folder)
    found = sizes(report)
    assert found["full"] == found["lora"]
    assert all(0.6 < now / then < 0.8 for now, then in zip(found["full"], before["full"], strict=True))
    assert sizes(from_run(run_folder, arm="lora")) == {"lora": found["lora"]}, "also where it is shown alone"
    items = {tuple(row.items for row in arm.comparison.general) for arm in report.arms}
    assert len(items) == 1
    assert [row.n for arm in report.arms for row in arm.comparison.gains] == [500, 500], "the user's task is whole"
    lost = sum(before["full"]) - sum(found["full"])
    (said,) = [text for text in warnings(report) if "left out of every arm" in text]
    assert said.startswith(f"Of the general tasks {lost:,} of {sum(before['full']):,} items")
    assert "'full-1'" in said
    assert said.replace("'", "&#x27;") in page(report)
    assert "left out of every arm" in markdown(report)


@pytest.mark.parametrize("watch", [None, {**WATCH, "stop": {}, "keep": "best"}, {**WATCH, "items": 0}])
def test_what_the_suite_did_not_decide_is_reported_whole(watch, run_folder):
    before = sizes(from_run(run_folder))
    write_json(run_folder / "models" / "full-1" / "train.json", {"arm": {"watch": watch}})
    assert sizes(from_run(run_folder)) == before


def test_a_model_that_is_no_cell_of_the_report_changes_nothing(run_folder):
    before = sizes(from_run(run_folder))
    write_json(run_folder / "models" / "gone-1" / "train.json", {"arm": {"watch": WATCH}})
    assert sizes(from_run(run_folder)) == before
