"""The table at the end of a run."""

from __future__ import annotations

import pytest

from evalkit.report.terminal import cells, lines


def test_the_table_of_the_recipe(make_report):
    text = lines(make_report())
    assert all(cells(line) <= 80 for line in text)
    assert text[0].startswith("YOUR TASK 500 rows: base ")
    assert any(line.startswith("GENERAL   lora - base") for line in text)
    row = next(line for line in text if line.split()[:1] == ["sums"])
    assert row.split()[1] == "500"
    assert any("all eight" in line for line in text)
    assert any(line.strip().startswith("full: REGRESSED") for line in text)
    assert sum('e.g. "' in line for line in text) == 3
    assert text[-1].startswith(("PASS", "REGRESSED", "UNSURE")) or text[-1].startswith(" " * 10)


def test_columns_stand_under_their_heads(make_report):
    text = lines(make_report())
    head = next(line for line in text if line.startswith("GENERAL"))
    row = next(line for line in text if line.split()[:1] == ["sums"])
    for name, value in zip(("items", "before", "after"), row.split()[1:4], strict=True):
        assert head.index(name) + len(name) == row.index(value) + len(value)


def test_the_longest_figures_fit(make_report):
    text = lines(make_report({"a-forgetful-arm": 0.9}, log_options={"items": 60}))
    assert any("REGRESSED" in line for line in text)
    assert all(cells(line) <= 80 for line in text)


@pytest.mark.parametrize("prompt", ["대한민국의 수도는 어디입니까 " * 4, "unbroken" * 30, "[red]markup[/red] {x}"])
def test_wide_long_and_strange_texts_fit(make_report, prompt):
    report = make_report(rows=lambda row: row | {"prompt": prompt, "answer": prompt})
    assert all(cells(line) <= 80 for line in lines(report))


def test_wide_letters_take_two_columns():
    assert cells("서울ab") == 6


def test_many_arms_fit(make_report):
    arms = {f"an-arm-with-a-long-name-{number}": 0.03 * number for number in range(6)}
    assert all(cells(line) <= 80 for line in lines(make_report(arms, log_options={"items": 80})))


def test_a_loss_that_is_none_after_holm_is_explained(make_log, make_scores):
    from evalkit.report import from_logs

    logs = {f"t{at}": make_scores(0, 0, 60, 0) for at in range(9)} | {"odd": make_scores(7, 0, 53, 0)}
    before = make_log({name: pair[0] for name, pair in logs.items()})
    after = make_log({name: pair[1] for name, pair in logs.items()}, model="tuned")
    report = from_logs([before], {("tuned", 1): [after]}, title="t")
    row = report.arms[0].comparison.row("odd")
    assert row.verdict == "unsure"
    assert row.interval[1] < -row.margin
    said = " ".join(" ".join(lines(report)).split())
    assert "odd: a loss in this row alone, not after correcting for the number of tasks" in said


def test_equal_answers_and_items_left_out_are_told(make_log):
    from evalkit.report import from_logs

    long, short = make_log({"a": [1, 0, 1, 1]}), make_log({"a": [1, 0]}, model="tuned")
    pairing = {"join": "intersection"}
    report = from_logs([long], {("tuned", 1): [short]}, title="t", pairing=pairing)
    said = " ".join(" ".join(lines(report)).split())
    assert "every answer equals the base's" in said
    assert "2 items stand in one log only" in said
