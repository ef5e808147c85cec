"""Classes one by one, against counting by hand and scikit-learn's confusion matrix."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sklearn.metrics import confusion_matrix

from evalkit.classes import per_class
from evalkit.log import TaskInfo

LABELS = ("account", "exchange", "refund")
GAIN = {"task": TaskInfo(kind="gain", metric="accuracy")}


def logs(make_log, answers, targets, **options):
    """Logs of models that gave these answers."""
    made = []
    for own in answers:
        given = iter(list(own))
        wanted = iter(list(targets))

        def rows(row, given=given, wanted=wanted):
            return row | {"answer": next(given), "target": next(wanted)}

        scores = [float(answer == target) for answer, target in zip(own, targets, strict=True)]
        made.append(make_log({"task": scores}, infos=GAIN, rows=rows, **options))
    return made


def test_rows_are_those_of_a_confusion_matrix(make_log):
    draw = random.Random(3)
    targets = [draw.choice(LABELS) for _ in range(200)]
    before = [draw.choice(LABELS) for _ in targets]
    after = [target if draw.random() < 0.8 else draw.choice(LABELS) for target in targets]
    rows = per_class(*logs(make_log, [before, after], targets), "task")
    matrix = confusion_matrix(targets, after, labels=LABELS)
    assert [row.after for row in rows] == sorted(row.after for row in rows)
    for row in rows:
        at = LABELS.index(row.label)
        assert row.n == matrix[at].sum()
        assert row.after == pytest.approx(matrix[at, at] / row.n)
        wrong = {LABELS[k]: matrix[at, k] for k in range(3) if k != at}
        assert row.confused == max(wrong.values())
        assert wrong[row.confused_with] == row.confused
        own = [(b, a) for b, a, t in zip(before, after, targets, strict=True) if t == row.label]
        assert row.before == pytest.approx(sum(b == row.label for b, _ in own) / row.n)
        assert row.gained == sum(b != row.label and a == row.label for b, a in own)
        assert row.lost == sum(b == row.label and a != row.label for b, a in own)


def test_a_class_without_a_wrong_answer_is_taken_for_none(make_log):
    targets = ["a", "b"] * 5
    rows = per_class(*logs(make_log, [targets, targets], targets), "task")
    assert [(row.label, row.confused_with, row.confused) for row in rows] == [("a", None, 0), ("b", None, 0)]


@pytest.mark.parametrize("targets", [[str(n) for n in range(20)], ["same"] * 20], ids=["open answers", "one class"])
def test_what_has_no_classes(make_log, targets):
    assert per_class(*logs(make_log, [targets, targets], targets), "task") == ()
    assert per_class(*logs(make_log, [targets, targets], targets), "other") == ()


def test_private_texts_make_no_classes(make_log):
    targets = ["a", "b"] * 10
    assert per_class(*logs(make_log, [targets, targets], targets, settings={"private": True}), "task") == ()


def test_hostile_labels_are_text_in_the_table(make_log):
    from evalkit.report.own import classes_table

    targets = ["<script>alert(1)</script>", "b"] * 10
    text = classes_table(per_class(*logs(make_log, [targets, targets], targets), "task"))
    assert "<script>" not in text
    assert Counter(text.split("<"))["/table>"] or "</table>" in text
