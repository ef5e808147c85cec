"""Dropped rows as Parquet: every one of them, with its reason, and raw ones only where nobody else looks."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from datakit.build import build
from datakit.core.example import SCHEMA
from datakit.ledger import read_ledger

RECIPE = """\
format: 1
data:
  license: cc0-1.0
  sources:
    notes: {path: notes.jsonl, license: mit}
    books: {path: books.txt, use: text}
  steps: [STEPS]
model: pocket
"""
MAIL = "kim.writer@example.com"


@pytest.fixture
def project(tmp_path):
    rows = [f"note number {n} about a lamp" for n in range(30)]
    rows += ["note number 3 about a lamp", f"write to {MAIL} about the lamp", f"write to {MAIL} about the lamp"]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    (tmp_path / "books.txt").write_text("one line\nanother line\none line\n")
    (tmp_path / "mine.py").write_text(
        "def check(e):\n    return 'nine' if (e.text or '').endswith('9 about a lamp') else None\n"
    )
    return tmp_path


def built(project, steps, name="run"):
    (project / "r.yaml").write_text(RECIPE.replace("STEPS", steps))
    build(project / "r.yaml", output=project / name)
    return project / name


def test_every_dropped_row_is_there_with_what_the_ledger_says(project):
    run = built(project, "{dedup: {threshold: 1.0}}, {filter: {use: 'mine:check'}}")
    rows = [row for file in sorted((run / "dropped").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    ledger = [row for row in read_ledger(run).to_pylist() if row["action"] in ("dropped", "merged")]
    assert {(row["id"], row["step"], row["reason"], row["evidence"]) for row in rows} == {
        (row["example_id"], row["step"], row["reason"], row["evidence"]) for row in ledger
    }
    assert len(rows) == len(ledger) == 3 + 3  # two notes, one line of the book, three nines
    texts = {row["id"]: row["text"] for row in rows}
    assert sorted(texts[row["id"]] for row in rows if row["reason"] == "nine") == [
        f"note number {n} about a lamp" for n in (19, 29, 9)
    ]
    schema = pq.read_schema(run / "dropped" / "02-filter.parquet")
    assert schema.names == [*SCHEMA.names, "step", "action", "reason", "evidence"]


def test_what_was_dropped_before_personal_data_was_replaced_is_private(project):
    run = built(project, "{dedup: {threshold: 1.0}}, {pii: {replace: tag}}, {filter: {use: 'mine:check'}}")
    assert [file.name for file in (run / "dropped").iterdir()] == ["03-filter.parquet"]
    raw = run / "private" / "dropped" / "01-dedup.parquet"
    assert MAIL in "".join(pq.read_table(raw).column("text").to_pylist())
    assert raw.stat().st_mode & 0o777 == 0o600
    public = [file for file in run.rglob("*") if file.is_file() and "private" not in file.relative_to(run).parts]
    for file in public:
        text = str(pq.read_table(file).to_pylist()) if file.suffix == ".parquet" else file.read_text()
        assert MAIL not in text


def test_nothing_dropped_leaves_no_folder(project):
    run = built(project, "{dedup: {threshold: 1.0}}")
    assert (run / "dropped").is_dir()
    built(project, "split")
    assert not (run / "dropped").exists()


def test_licences_of_sources_stand_in_the_card(project):
    card = (built(project, "split") / "data" / "README.md").read_text()
    assert "| notes | train | 33 | notes.jsonl | mit | no |" in card
    assert "| books | text | 3 | books.txt | cc0-1.0 | no |" in card
    assert "not compared with benchmark items" in card
