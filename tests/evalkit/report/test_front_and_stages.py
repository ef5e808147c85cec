"""The front and the matrix of stages as figures, in the page, in report.json, and as lines."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from evalkit.log import TaskInfo
from evalkit.report.data import document
from evalkit.report.front_figure import front_figure, front_of_report, front_sentence
from evalkit.report.html import page
from evalkit.report.stage_figure import heat_map, stage_lines, stage_section, stage_sentence
from evalkit.stages import stage_facts, stage_matrix

TASKS = ("<one>", "two", "three")
R = [[0.9, 0.3, 0.2], [0.6, 0.8, 0.4], [0.5, 0.7, 1.0]]


@pytest.fixture
def cell(make_log):
    def one(row):
        scores = [[float(number < 100 * share) for number in range(100)] for share in row]
        infos = {task: TaskInfo(kind="gain") for task in TASKS}
        return make_log(dict(zip(TASKS, scores, strict=True)), infos=infos)

    return stage_facts(stage_matrix(one([0.1, 0.2, 0.3]), [one(row) for row in R], TASKS, arm="full", seed=1))


def test_the_matrix_stands_in_the_page_and_its_names_stay_text(cell, make_report):
    section = stage_section([cell])
    assert "<one>" not in section
    heat = ElementTree.fromstring(heat_map(cell))
    texts = [node.text for node in heat.iter() if node.tag.endswith("text")]
    for row in R:
        for value in row:
            assert f"{100 * value:.1f}" in texts
    assert len([node for node in heat.iter() if node.get("class") == "new"]) == len(TASKS)
    report = replace(make_report(), stages=[cell])
    assert section in page(report)
    assert document(report)["stages"][0]["scores"] == R
    assert stage_section([]) == ""
    assert "Task after task" not in page(make_report())


def test_what_was_forgotten_is_said(cell):
    sentence = stage_sentence(cell)
    assert sentence.startswith("Forgotten since it was learnt: <one> -40.0 [")
    assert "Mean forgetting +25.0 points (gem), forward transfer +10.0." in sentence
    lines = stage_lines([cell])
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["STAGES", "full", "<one>", "two", "three"]
    assert lines[2].split() == ["after", "<one>", "90.0", "30.0", "20.0"]


def test_an_arm_that_is_worse_in_both_is_not_on_the_front(make_report):
    report = make_report({"full": 0.4, "lora": 0.03})
    front = front_of_report(report)
    assert front is not None
    assert document(report)["front"]["points"][0]["name"] == "full"
    figure = front_figure(front, margin=0.02, statuses={arm.name: arm.gate.status for arm in report.arms})
    ElementTree.fromstring(figure)
    for point in front.points:
        assert f"{point.name} {100 * point.share:.0f} %" in figure
    assert figure in page(report)
    assert "these checkpoints" in front_sentence(front)
    assert not re.search(r"nan", figure)


def test_one_arm_has_no_front(make_report):
    report = make_report({"lora": 0.03})
    assert front_of_report(report) is None
    assert document(report)["front"] is None
