"""Details written by lighteval itself on its dummy model."""

from __future__ import annotations

import json
import shutil

import pytest

from evalkit import compare, gate
from evalkit.errors import LogError, NotComparable
from evalkit.importers import importer_of, read_foreign

pytestmark = pytest.mark.slow  # lighteval takes ten seconds to start


def details(folder, task="pick"):
    return next(folder.rglob(f"details_{task}*.parquet"))


def test_scores_are_lightevals_own(lighteval_logs):
    log = read_foreign(lighteval_logs / "before")
    said = json.loads(next((lighteval_logs / "before").rglob("results_*.json")).read_text())["results"]
    rows = log.primary().to_pylist()
    for task, metric in (("pick|0", "acc"), ("words|0", "em")):
        scores = [row["score"] for row in rows if row["task"] == task]
        assert len(scores) == 24
        assert sum(scores) / 24 == pytest.approx(said[task][metric])
    assert log.header.model == "dummy-before"
    assert log.header.tasks["pick|0"].chance == pytest.approx(1 / 3)


def test_answers_are_the_likeliest_choice(lighteval_logs):
    for row in read_foreign(lighteval_logs / "before").primary().to_pylist():
        assert (row["answer"] == row["target"]) == (row["score"] == 1)
        assert row["status"] == "ok"


def test_prompts_that_the_log_lacks_are_said_and_the_gate_tells(lighteval_logs):
    found = compare(read_foreign(lighteval_logs / "before"), read_foreign(lighteval_logs / "after"))
    assert found.row("pick|0").difference != 0
    assert found.row("words|0").difference == 0
    assert all("prompts not verified" in row.note for row in found.general)
    assert any("whether the prompts were the same is not known" in note for note in found.notes)
    assert "Not verified that both were asked the same: pick|0, words|0" in gate(found).sentence


def test_without_results_settings_are_not_known(lighteval_logs, tmp_path):
    file = details(lighteval_logs / "before")
    alone = shutil.copy(file, tmp_path / file.name)
    log = read_foreign(alone)
    assert any("not found" in note for note in log.header.notes)
    with pytest.raises(NotComparable, match="not set"):
        compare(log, read_foreign(details(lighteval_logs / "after")))


def test_truncated_parquet_is_named(lighteval_logs, tmp_path):
    file = details(lighteval_logs / "before")
    cut = tmp_path / file.name
    cut.write_bytes(file.read_bytes()[:-200])
    assert importer_of(cut) == "lighteval"
    with pytest.raises(LogError, match="cannot be read") as raised:
        read_foreign(cut)
    assert file.name in str(raised.value)


def test_several_models_are_not_one(lighteval_logs, tmp_path):
    date = "2001-01-01T00-00-00.000000"
    for model in ("a", "b"):
        folder = tmp_path / "details" / model / date
        folder.mkdir(parents=True)
        shutil.copy(details(lighteval_logs / "before"), folder / f"details_pick|0_{date}.parquet")
    with pytest.raises(LogError, match="several models"):
        read_foreign(tmp_path)
