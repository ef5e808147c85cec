"""Builds with every step there is: personal data, duplicates, splits, templates."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

import datakit
from datakit.build import build
from datakit.core.errors import RecipeError
from datakit.ledger import read_ledger, story
from datakit.recipe import read_data_recipe

RECIPE = """\
name: support
seeds: [3]
data:
  sources:
    tickets: {path: tickets.jsonl, columns: {text: body, label: queue}, on_bad_row: skip}
    mails: {path: mails.txt, use: replay}
  steps:
    - pii: {replace: surrogate, key: "env:PII_KEY"}
    - dedup: {on: text, threshold: 0.8}
    - split: {validation: 0.1, test: 0.2, stratify: label, group: customer}
    - template: {use: classify, per_row: 2}
"""

WORDS = ["printer", "invoice", "parcel", "window", "battery", "order", "refund", "screen", "cable", "manual", "driver"]


def planted() -> list[str]:
    mails = [f"person{n}.x@mail{n}.example.com" for n in range(40)]
    cards = ["4111111111111111", "5500005555555559"]
    return [*mails, *cards]


@pytest.fixture
def project(tmp_path, monkeypatch):
    pytest.importorskip("presidio_analyzer")
    monkeypatch.setenv("PII_KEY", "a key of the test")
    secrets = planted()
    rows = []
    for n in range(240):
        text = " ".join(WORDS[(n * step + n // 7) % len(WORDS)] for step in (1, 3, 5, 9, 11, 13)) + f" case {n * 37}"
        text += f", write to {secrets[n % len(secrets)]}" if n % 3 == 0 else ""
        queue = secrets[1] if n % 60 == 59 else ["billing", "shipping"][n % 2]
        rows.append({"body": text, "queue": queue, "customer": n // 2, "note": {"by": [secrets[n % len(secrets)]]}})
    rows += rows[:20]
    lines = [json.dumps(row) for row in rows]
    lines.insert(7, f"broken {secrets[3]}")
    (tmp_path / "tickets.jsonl").write_text("\n".join(lines))
    (tmp_path / "mails.txt").write_text("".join(f"Mail number {n} to {mail}.\n" for n, mail in enumerate(secrets)))
    (tmp_path / "support.yaml").write_text(RECIPE)
    return tmp_path


def public(run: Path) -> dict[str, bytes]:
    files = [path for path in run.rglob("*") if path.is_file() and "private" not in path.relative_to(run).parts]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files}


def test_no_planted_value_leaves_private(project):
    result = build(project / "support.yaml", output=project / "run")
    tables = [json.dumps(datakit.read(result.folder).to_pylist()), json.dumps(read_ledger(project / "run").to_pylist())]
    tables += [json.dumps(datakit.read(path).to_pylist()) for path in result.replay.values()]
    plain = b"".join(public(project / "run").values()).decode("utf-8", "replace")
    for value in planted():
        assert all(value not in text for text in [plain, *tables, repr(result)])
    assert len(result.labels["tickets"]) == 3
    assert planted()[3] in (project / "run" / "private" / "bad_rows-tickets.jsonl").read_text()


def test_rows_balance_and_related_rows_stay_together(project):
    result = build(project / "support.yaml", output=project / "run")
    for count in result.steps:
        assert count.rows_in + count.created == count.rows_out + count.lost
    dedup = next(count for count in result.steps if count.name == "dedup")
    assert dedup.dropped["exact_duplicate"] >= 20
    sides = defaultdict(set)
    for split in result.splits:
        for row in datakit.read(result.folder / f"{split}-00000-of-00001.parquet").to_pylist():
            sides["group", row["group"]].add(split)
            sides["customer", json.loads(row["fields"])["customer"]].add(split)
            assert row["label"] in row["choices"]
            assert row["messages"][-1]["content"] == row["label"]
    assert all(len(names) == 1 for names in sides.values())


def test_the_story_goes_from_the_file_to_the_templates(project):
    build(project / "support.yaml", output=project / "run")
    found = story(project / "run", "tickets.jsonl:1")
    assert [line.step for line in found.lines][:1] == ["pii"]
    assert len(found.rows) == 2
    assert len({row.template for row in found.rows}) == 2
    assert story(project / "run", found.rows[1].id) == found
    copy = story(project / "run", "tickets.jsonl:243")
    dropped = copy.lines[-1]
    assert (dropped.step, dropped.reason, copy.split) == ("dedup", "exact_duplicate", None)


def test_two_builds_of_everything_are_byte_identical(project):
    build(project / "support.yaml", output=project / "one")
    build(project / "support.yaml", output=project / "two")
    assert public(project / "one") == public(project / "two")


def test_a_step_s_parameters_are_checked_with_file_and_line(project):
    (project / "support.yaml").write_text(RECIPE.replace("threshold: 0.8", "treshold: 0.8"))
    with pytest.raises(RecipeError, match=r"yaml:9: data\.steps\.1\.dedup\.treshold: .*Did you mean 'threshold'"):
        read_data_recipe(project / "support.yaml")
    (project / "support.yaml").write_text(RECIPE.replace('"env:PII_KEY"', "hunter2"))
    with pytest.raises(RecipeError) as caught:
        read_data_recipe(project / "support.yaml")
    assert "hunter2" not in str(caught.value)
