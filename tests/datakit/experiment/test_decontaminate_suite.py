"""``decontaminate: {against: suite}``: items of the suite, planted among the rows, are found by build and run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.cli import root
from datakit.core.storage import read_table
from evalkit.contamination import contaminated_items
from evalkit.log import EvalLog

RECIPE = """\
format: 1
name: small
seeds: [1]
data:
  sources: {tickets: {path: tickets.csv, columns: {text: text, label: queue}}}
  steps:
    - decontaminate: {against: suite}
    - split: {validation: 0.15, test: 0.2, stratify: label, group: customer}
    - template: {use: classify}
model: pocket
arms: {full: {adapter: full, learning_rate: 1e-3, steps: 2}}
evaluate: {suite: pocket, limit: 4}
"""


@pytest.fixture
def planted(project: Path) -> list[tuple[str, str]]:
    """Task and id of the suite's items whose prompts stand in some of the tickets."""
    from evalkit import export_items
    from evalkit.suite import load_suite

    items = read_table(export_items(load_suite("pocket"), project / "items.parquet")).to_pylist()
    chosen = [next(item for item in items if item["task"] == task) for task in ("sentiment", "sums", "entailment")]
    with (project / "tickets.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, item in zip(rows, chosen, strict=False):
        long = len(item["prompt"].split()) >= 8
        row["text"] = f"Hello! {item['prompt'].upper()} Thanks." if long else item["prompt"].upper()
    with (project / "tickets.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (project / "small.yaml").write_text(RECIPE, encoding="utf-8")
    return [(item["task"], item["item_id"]) for item in chosen]


def found(folder: Path) -> tuple[set[tuple[str, str]], set[str]]:
    """Items that stand in contamination.parquet, and rows."""
    rows = read_table(folder / "contamination.parquet").to_pylist()
    return {(row["task"], row["item_id"]) for row in rows}, {row["example_id"] for row in rows}


def test_build_takes_planted_items_out(project: Path, planted: list[tuple[str, str]]) -> None:
    done = CliRunner().invoke(root, ["build", str(project / "small.yaml"), "-o", str(project / "out"), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    (step,) = [step for step in json.loads(done.output)["steps"] if step["name"] == "decontaminate"]
    assert step["dropped"] == {"contaminated": 3}
    items, rows = found(project / "out")
    assert set(planted) <= items
    assert len(rows) == 3


def test_rows_that_are_gone_are_no_training_data(project: Path, planted: list[tuple[str, str]]) -> None:
    """What was dropped, or went to another split, teaches nothing; what is only reported does."""
    for action in ("drop", "report"):
        text = RECIPE.replace("{against: suite}", f"{{against: suite, action: {action}}}")
        (project / "small.yaml").write_text(text, encoding="utf-8")
        done = CliRunner().invoke(root, ["build", str(project / "small.yaml"), "-o", str(project / action)])
        assert done.exit_code == 0, (done.output, done.exception)
    assert contaminated_items(project / "drop") == {}
    files = (project / "report" / "data").glob("train-*")
    trained = {group for path in files for group in read_table(path)["group"].to_pylist()}
    rows = read_table(project / "report" / "contamination.parquet").to_pylist()
    assert all(row["in_training"] == (row["example_id"] in trained) for row in rows)
    seen = {(row["task"], row["item_id"]) for row in rows if row["in_training"]}
    found = contaminated_items(project / "report") or {}
    assert seen == {(task, item) for task, items in found.items() for item in items}
    assert seen


@pytest.mark.slow
def test_a_run_reports_with_and_without_what_was_seen(project: Path, planted: list[tuple[str, str]]) -> None:
    text = RECIPE.replace("{against: suite}", "{against: suite, action: report}")
    text = text.replace("test: 0.2", "test: 0.1").replace("validation: 0.15", "validation: 0.05")
    (project / "small.yaml").write_text(text, encoding="utf-8")
    out = project / "out"
    done = CliRunner().invoke(root, ["run", str(project / "small.yaml"), "-o", str(out)])
    assert done.exit_code == 0, (done.output, done.exception)
    arm = json.loads((out / "report.json").read_text())["arms"][0]
    shown = {one["task"]: one for one in arm["without_contaminated"]}
    primary = EvalLog.read(out / "evals" / "full-1" / "pocket.json").primary()
    evaluated = set(zip(primary["task"].to_pylist(), primary["item_id"].to_pylist(), strict=True))
    found = contaminated_items(out) or {}
    seen = {task: sum((task, item) in evaluated for item in items) for task, items in found.items()}
    assert {task: count for task, count in seen.items() if count} == {
        task: one["left_out"] for task, one in shown.items()
    }
    assert shown, "no planted item was both trained on and evaluated"
    for one in shown.values():
        whole = next(row for row in arm["general"] if row["task"] == one["task"])
        assert one["row"]["items"] == whole["items"] - one["left_out"]
    page, note = (out / "report.html").read_text(), (out / "report.md").read_text()
    assert "Without the items that stand in the training data" in page
    assert 'table class="clean"' in page
    printed = " ".join(done.output.split())
    for task, one in shown.items():
        said = f"Task '{task}': {one['left_out']:,} item"
        assert said in note.replace("\\", "")
        assert said in printed
