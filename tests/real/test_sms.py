"""The whole loop on a real file as it is: examples/sms_spam.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datakit.experiment.run import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.real
def test_the_sms_example(tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAKIT_REAL_DATA", str(real_data))
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    out = run(ROOT / "examples" / "sms_spam.yaml", output=tmp_path / "run").folder
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [arm["name"] for arm in report["arms"]] == ["full", "lora"]
    for arm in report["arms"]:
        task = arm["gains"][0]
        assert task["items"] > 900
        assert task["after"] > 0.93, "spam is easy to tell"
        assert task["interval"][0] > 0.1, "the base guesses the larger class"
        assert len(arm["general"]) == 12
        assert all(row["items"] == 500 for row in arm["general"])
        assert len(arm["drift"]) == 1

    rows = [row for file in sorted((out / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    text = json.dumps(rows, ensure_ascii=False)
    assert "08452810075" not in text, "a premium number of the third message"
    assert "<PHONE_NUMBER>" in text
    used = {row["template"].partition("/")[0].partition(":")[0] for row in rows}
    assert used == {"classify.en", "sms_spam_templates.yaml"}, "our wordings and promptsource's format"
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert str(real_data) not in json.dumps(manifest), "no path of this machine"
