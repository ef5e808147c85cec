"""report.md: short, marked, and inert whatever the texts say."""

from __future__ import annotations

import pytest

from evalkit.report.markdown import MARKER, escape, markdown


def test_it_fits_a_pull_request(make_report):
    text = markdown(make_report(reproduce=["datakit run support.yaml"]))
    lines = text.splitlines()
    assert lines[0] == MARKER == "<!-- datakit-report -->"
    assert len(lines) < 60
    assert "| lora | " in text
    assert text.count("— base: ") == 3
    assert "datakit run support.yaml" in text


def test_many_tasks_and_arms_stay_under_sixty_lines(make_report):
    arms = {f"arm{number}": 0.02 * number for number in range(1, 15)}
    text = markdown(
        make_report(arms, log_options={"tasks": 30, "items": 20}, reproduce=[f"line {n}" for n in range(9)])
    )
    assert len(text.splitlines()) < 60
    assert "more in report.html" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a | b\n| c", "a \\| b \\| c"),
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("[click](http://evil)", "\\[click\\](http:\u200b//evil)"),
        ("@admin #12", "@\u200badmin #\u200b12"),
        ("`rm` **b**", "\\`rm\\` \\*\\*b\\*\\*"),
        ("한국어", "한국어"),
        ("lone \ud800", "lone ?"),
    ],
)
def test_texts_are_inert(text, expected):
    assert escape(text) == expected


def test_examples_are_escaped(make_report):
    report = make_report(
        {"full": 0.5}, rows=lambda row: row | {"prompt": "<img src=x> | @here", "answer": "```\n# big"}
    )
    text = markdown(report)
    assert "<img" not in text
    assert "@here" not in text
    assert "\n# big" not in text
