"""The course of a watched training in page and JSON."""

from __future__ import annotations

import json
import re

from datakit.core.storage import write_json
from evalkit.report import from_run
from evalkit.report.html import page
from evalkit.report.watched import watched_course, watched_section


def entry(step, loss, forgetting, kl):
    measured = {"suite": 0.9 - forgetting, "forgetting": forgetting, "general_loss": 1.5 + kl, "kl": kl}
    return {"step": step, "validation_loss": loss, **measured}


HISTORY = [entry(0, 2.0, 0.0, 0.0), {"step": 1, "loss": 1.0}, entry(50, 0.5, 0.02, 0.125), entry(100, 0.6, 0.08, 0.3)]


def test_page_and_json_have_the_course(run_folder):
    facts = {"history": HISTORY, "ended": "forgetting 0.08 is over 0.05 at step 100", "kept_step": 50}
    write_json(run_folder / "models" / "full-1" / "train.json", facts)
    write_json(run_folder / "models" / "lora-1" / "train.json", {"history": HISTORY[1:2]})
    report = from_run(run_folder)
    assert [(course["arm"], len(course["points"])) for course in report.watched] == [("full", 3)]
    text = page(report)
    assert 'id="h-watched"' in text
    assert "Ended early: forgetting 0.08 is over 0.05 at step 100. The state after step 50 is kept." in text
    table = text[text.index('aria-label="full while training"') :]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table)[:3]
    assert [row[0] for row in rows] == ["0", "50", "100"]
    assert re.findall(r"<td>(.*?)</td>", rows[1][1]) == ["0.500", "88.0", "1.625", "0.125"]
    chart = text[text.index('id="h-watched"') :]
    assert re.search(r'aria-label="Score on the part[^"]*step 50 -2.0, step 100 -8.0', chart.replace("−", "-"))
    assert json.dumps(report.watched)


def test_nothing_is_said_of_trainings_that_were_not_watched(run_folder):
    assert watched_course({"history": [{"step": 0, "validation_loss": 1.0}]}) is None
    assert watched_section([]) == ""
    assert "h-watched" not in page(from_run(run_folder))


def test_names_are_escaped():
    course = {"arm": "<b>", "seed": 1, "ended": None, "kept_step": None, "points": HISTORY[:1] + HISTORY[2:]}
    assert "<b>" not in watched_section([course, {**course, "seed": 2}])
