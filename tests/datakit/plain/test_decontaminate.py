"""``datakit decontaminate`` on plain files: what was planted goes, the rest stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.cli import root

LEAK = "Which of the two travellers carried the heavier bag across the long bridge on that windy day?"


def test_against_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("items.jsonl").write_text(json.dumps({"question": LEAK, "answer": "The younger one"}) + "\n")
    clean = '{"text":  "An entirely different sentence about shipping and prices", "n": 1.0}\n'
    asked = {"role": "user", "content": f"please: {LEAK.upper()}"}
    turns = [asked, {"role": "assistant", "content": "The younger one"}]
    Path("a.jsonl").write_text(clean + json.dumps({"text": f"Well. {LEAK} Hm."}) + "\n" + clean)
    Path("chat.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    for source, kept in (("a.jsonl", clean * 2), ("chat.jsonl", "")):
        call = ["decontaminate", source, "--against", "items.jsonl", "-o", "b.jsonl", "--json"]
        done = CliRunner().invoke(root, call)
        assert done.exit_code == 0, (done.output, done.exception)
        assert Path("b.jsonl").read_text() == kept
        (row,) = [json.loads(line) for line in Path("b.jsonl.dropped.jsonl").read_text().splitlines()]
        assert (row["step"], row["reason"], row["evidence"]["task"]) == ("decontaminate", "contaminated", "items")


@pytest.mark.slow
def test_against_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datakit.core.storage import read_table
    from evalkit import export_items
    from evalkit.suite import load_suite

    monkeypatch.chdir(tmp_path)
    items = read_table(export_items(load_suite("pocket"), tmp_path / "items.parquet")).to_pylist()
    longest = max(items, key=lambda item: len(item["prompt"]))
    Path("a.jsonl").write_text(json.dumps({"text": longest["prompt"]}) + '\n{"text": "nothing of the kind"}\n')
    done = CliRunner().invoke(root, ["decontaminate", "a.jsonl", "--against", "pocket", "-o", "b.jsonl", "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert Path("b.jsonl").read_text() == '{"text": "nothing of the kind"}\n'


def test_report_keeps_all_rows_and_says_which_hold_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("items.jsonl").write_text(json.dumps({"question": LEAK, "answer": "The younger one"}) + "\n")
    half = " ".join(LEAK.split()[:14])
    Path("a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ("clean", half, LEAK)))
    call = ["decontaminate", "a.jsonl", "--against", "items.jsonl", "-o", "b.jsonl", "--action", "report", "--json"]
    done = CliRunner().invoke(root, call)
    assert done.exit_code == 0, (done.output, done.exception)
    told = json.loads(done.stdout)
    assert (told["rows_out"], told["dropped_rows"], told["found_rows"]) == (3, None, "b.jsonl.found.jsonl")
    assert Path("b.jsonl").read_bytes() == Path("a.jsonl").read_bytes()
    assert not Path("b.jsonl.dropped.jsonl").exists()
    rows = [json.loads(line) for line in Path("b.jsonl.found.jsonl").read_text().splitlines()]
    assert [(row["origin"], row["row"]["text"]) for row in rows] == [("a.jsonl:2", half), ("a.jsonl:3", LEAK)]
    shares = [row["evidence"]["covered"] for row in rows]
    assert shares == [round(14 / len(LEAK.split()), 4), 1.0]
    assert {row["evidence"]["item_id"] for row in rows} == {"1"}
