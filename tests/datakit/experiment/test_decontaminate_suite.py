"""``decontaminate: {against: suite}``: items of the suite, planted among the rows, are found by build and run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.cli import root
from datakit.core.storage import read_table

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


@pytest.mark.slow
def test_run_does_the_same_before_it_trains(project: Path, planted: list[tuple[str, str]]) -> None:
    done = CliRunner().invoke(root, ["run", str(project / "small.yaml"), "-o", str(project / "out"), "--quiet"])
    assert done.exit_code in (0, 3), (done.output, done.exception)
    items, rows = found(project / "out")
    assert set(planted) <= items
    assert len(rows) == 3
    assert (project / "out" / "report.json").is_file()
