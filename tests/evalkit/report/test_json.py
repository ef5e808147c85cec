"""report.json is complete, valid JSON, and says what the comparison says."""

from __future__ import annotations

import json
import math

from evalkit.report import write_report


def test_every_figure_is_there(make_report, tmp_path):
    report = make_report(reproduce=["datakit run x"], data_facts={"rows": 3})
    value = json.loads(write_report(report, tmp_path)["json"].read_text())
    assert value["format"] == 1
    assert value["reproduce"] == ["datakit run x"]
    assert value["data"] == {"rows": 3}
    assert value["settings"]["versions"] == {"torch": "2.13.0"}
    for arm, entry in zip(report.arms, value["arms"], strict=True):
        assert entry["gate"]["exit_code"] == arm.gate.exit_code
        for row, own in zip(arm.comparison.general, entry["general"], strict=True):
            assert own["items"] == row.n
            assert own["difference"] == row.difference
            assert own["interval"] == list(row.interval)
            assert own["adjusted_p"] == row.adjusted_p
            assert own["verdict"] == row.verdict
            assert own["lost"] - own["gained"] == round(-row.difference * row.n)
        assert entry["gains"][0]["metrics"][0]["name"] == "macro_f1"


def test_numbers_that_are_none_become_null(make_log, tmp_path):
    from evalkit.report import from_logs

    before = make_log({"a": [1, 0]}, rows=lambda row: row | {"cluster": "one"})
    report = from_logs([before], {("x", None): [before]}, title="t")
    assert math.isnan(report.arms[0].comparison.row("a").paired.standard_error)
    value = json.loads(write_report(report, tmp_path)["json"].read_text())
    assert value["arms"][0]["general"][0]["standard_error"] is None


def test_equal_logs_give_equal_bytes(make_report, tmp_path):
    paths = [write_report(make_report(), tmp_path / name) for name in ("one", "two")]
    for kind in ("json", "md", "html"):
        assert paths[0][kind].read_bytes() == paths[1][kind].read_bytes()
