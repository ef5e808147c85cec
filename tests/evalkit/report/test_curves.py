"""Curves as a page and as lines: every figure is there, nothing is fetched or run, names stay text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from evalkit.choice import choose_under
from evalkit.compare import compare
from evalkit.curve import Curve, CurvePoint, curve_facts
from evalkit.report.curve_lines import curve_name, gain_lines, mean_lines
from evalkit.report.curve_page import curve_page
from evalkit.report.curve_words import curve_table, first_sentence
from evalkit.report.lines import Line, Mark, line_chart


@pytest.fixture(scope="module")
def _logs():
    return {}


@pytest.fixture
def curve(suite_logs, _logs):
    """A training that forgets more and more."""
    if "made" not in _logs:
        logs = suite_logs({"a": 0.0, "b": 0.03, "c": 0.5}, items=200)
        states = {step: logs[name] for step, name in ((10, "a"), (20, "b"), (30, "c"))}
        points = tuple(CurvePoint(step, compare(logs["base"], log)) for step, log in states.items())
        _logs["made"] = Curve("full<b>", 1, "step", points, choose_under(logs["base"], states, 0.01))
    return _logs["made"]


def test_the_first_point_of_a_loss_is_holms_verdict_there(curve):
    first = curve.first_regressed()
    for task in curve.tasks:
        at = [point.at for point in curve.points if point.comparison.row(task).verdict == "regressed"]
        assert first.get(task) == (at[0] if at else None)
    assert first
    assert "step 30" in first_sentence(curve)


def test_the_page_is_alone_and_names_stay_text(curve):
    page = curve_page([curve], title="<script>alert(1)</script>", reproduce="datakit curve x")
    assert "<script" not in page
    assert "full<b>" not in page
    assert not re.search(r"(src|href)=", page)
    assert "default-src 'none'" in page
    charts = re.findall(r"<svg class=\"lines\".*?</svg>", page, flags=re.S)
    assert len(charts) == 2 + len(curve.tasks)
    for chart in charts:
        ElementTree.fromstring(chart)
        assert 'role="img" ' in chart
    for point in curve.points:
        for row in point.comparison.general:
            assert f"{100 * row.difference:+.1f}".replace("-", "−").replace("+0.0", "0.0") in page
    assert page == curve_page([curve], title="<script>alert(1)</script>", reproduce="datakit curve x")


def test_the_terminal_has_eighty_columns(curve):
    lines = curve_table(curve, curve_name(curve, [curve]))
    assert all(len(line) <= 80 for line in lines)
    assert [line for line in lines if line.strip().startswith(("10 ", "20 ", "30 "))]
    assert any(line.startswith("BEST      Best under") or "No point keeps" in line for line in lines)


def test_three_seeds_make_one_line_with_the_two_level_interval(curve):
    from dataclasses import replace

    curves = [replace(curve, arm="full", seed=seed) for seed in (1, 2, 3)]
    for lines in (gain_lines(curves), mean_lines(curves)):
        assert [line.name for line in lines] == ["full"]
        assert all(mark.ends is not None for mark in lines[0].marks)
    assert [line.name for line in mean_lines(curves[:2])] == ["full 1", "full 2"]


def test_the_facts_hold_the_choice(curve):
    facts = curve_facts(curve)
    assert [point["at"] for point in facts["points"]] == [10, 20, 30]
    assert facts["choice"]["at"] == curve.choice.at
    assert facts["choice"]["reported_on_the_rest"]["general"][0]["items"] < 200


@pytest.mark.parametrize("unit", ["step", "examples"])
def test_a_chart_of_one_point_and_of_wide_intervals(unit):
    marks = [Mark(50, 0.0, (-1.0, 1.0), "unsure")]
    ElementTree.fromstring(line_chart("x", [Line("a", 0, marks)], unit=unit, margin=0.02))
    assert line_chart("x", [], unit=unit) == ""
