from __future__ import annotations

import json

import pytest

import datakit
from datakit.core.errors import StorageError, UsageError
from datakit.core.example import source_id
from datakit.ledger import count_step, read_ledger, story
from datakit.recipe import DataRecipe

LINES = [json.dumps({"text": f"ticket {n}", "label": "ab"[n % 2], "mail": f"u{n}@example.com"}) for n in range(60)]


@pytest.fixture
def run(tmp_path):
    lines = [*LINES[:5], "broken", *LINES[5:]]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.py").write_text("def check(e):\n    return 'seven' if e.text.endswith('7') else None\n")
    source = {"path": "t.jsonl", "on_bad_row": "skip"}
    plan = {"sources": {"tickets": source}, "steps": [{"filter": {"use": "mine:check"}}, {"split": {}}]}
    datakit.build(DataRecipe.model_validate(plan), output=tmp_path / "run", folder=tmp_path)
    return tmp_path / "run"


def test_a_row_that_is_kept(run):
    wanted = source_id("tickets", "t.jsonl", 1, LINES[0].encode())
    found = story(run, wanted)
    assert (found.id, found.source, found.origin, found.lines) == (wanted, "tickets", "t.jsonl:1", ())
    assert found.split in ("train", "validation", "test")
    assert story(run, wanted[:10]) == story(run, "t.jsonl:1") == found
    assert found.raw is None
    assert story(run, wanted, raw=True).raw == {"text": "ticket 0", "label": "a", "fields": {"mail": "u0@example.com"}}


def test_a_row_that_a_step_dropped(run):
    found = story(run, "t.jsonl:9")
    assert [(line.step, line.action, line.reason) for line in found.lines] == [("filter", "dropped", "seven")]
    assert found.split is None
    assert found.source == "tickets"


def test_a_row_that_could_not_be_read(run):
    found = story(run, "t.jsonl:6")
    assert [(line.step, line.reason) for line in found.lines] == [("source:tickets", "bad_json")]
    assert (found.source, found.origin, found.split) == ("tickets", "t.jsonl:6", None)


def test_without_private_the_story_is_shorter_but_true(run):
    import shutil

    kept, dropped = story(run, "t.jsonl:1"), story(run, "t.jsonl:9").id
    shutil.rmtree(run / "private")
    assert story(run, "t.jsonl:1") == kept
    assert story(run, dropped).lines[0].reason == "seven"
    assert story(run, dropped).origin is None


def test_what_is_no_example_or_several(run, tmp_path):
    with pytest.raises(UsageError, match="no example 'zzz'"):
        story(run, "zzz")
    with pytest.raises(UsageError, match=r"is the beginning of \d+ examples"):
        story(run, "")
    with pytest.raises(StorageError, match="no run with a ledger"):
        story(tmp_path, "a")


def test_counts_agree_with_the_ledger(run):
    ledger = read_ledger(run)
    count = count_step("x", 61, 54, ledger)
    assert count.dropped == {"bad_json": 1, "seven": 6}
    assert count.lost == 7
    assert count.sentence() == "seven 6 dropped · bad_json 1 dropped"
