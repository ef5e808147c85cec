"""Hidden, lost, partly or unsure: told from four logs of the items that were not trained on."""

from __future__ import annotations

import pytest

from evalkit.recovery import recovery, recovery_facts, training_half
from evalkit.report.recovery_words import recovery_lines, recovery_sentence

ITEMS = 400


def scores(share: float) -> list[float]:
    return [float((number * 7919 % 1000) / 1000 < share) for number in range(ITEMS)]


@pytest.fixture
def judged(make_log):
    def judge(base, tuned, base_after, tuned_after):
        logs = [make_log({"format": scores(share)}, model="m") for share in (base, tuned, base_after, tuned_after)]
        trained, measured = training_half(logs[0], "format")
        names = ("base", "tuned", "base_after", "tuned_after")
        return recovery("format", **dict(zip(names, logs, strict=True)), measured=measured, trained=len(trained))

    return judge


@pytest.mark.parametrize(
    ("shares", "status"),
    [
        ((0.95, 0.0, 0.95, 0.95), "hidden"),
        ((0.95, 0.3, 0.95, 0.3), "lost"),
        ((0.95, 0.1, 0.95, 0.6), "partly"),
        ((0.95, 0.95, 0.95, 0.95), "unsure"),
    ],
)
def test_the_status(judged, shares, status):
    found = judged(*shares)
    assert found.status == status
    assert not found.is_taught
    lines = recovery_lines(found)
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith(status.upper()) for line in lines)
    assert recovery_facts(found)["items"] + found.trained == ITEMS


def test_a_base_that_rises_too_is_said(judged):
    found = judged(0.5, 0.1, 0.9, 0.9)
    assert found.status == "hidden"
    assert found.is_taught
    assert "learnt anew" in recovery_sentence(found)


def test_halves_keep_clusters_and_equal_documents_together(make_log):
    def rows(row):
        number = int(row["item_id"])
        return row | {"cluster": f"c{number // 4}" if number < 200 else row["item_id"], "doc_hash": f"d{number // 2}"}

    log = make_log({"a": scores(0.5), "other": scores(0.5)}, rows=rows)
    trained, measured = training_half(log, "a", seed=3)
    assert len(trained) + len(measured) == ITEMS
    assert not trained & measured
    assert abs(len(trained) - 200) < 60
    for start in range(0, 200, 4):
        assert len({f"{number:05d}" in trained for number in range(start, start + 4)}) == 1
    for start in range(200, 400, 2):
        assert len({f"{number:05d}" in trained for number in range(start, start + 2)}) == 1
