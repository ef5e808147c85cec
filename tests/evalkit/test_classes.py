"""The table of classes beside scikit-learn's figures on the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from evalkit.classes import per_class
from evalkit.errors import EvalError
from evalkit.log import EvalLog, TaskInfo

LABELS = ("refund", "cancel", "invoice", "other")


def make(log: Callable[..., EvalLog], gold: Sequence[str], answers: Sequence[str], model: str) -> EvalLog:
    def rows(row: dict) -> dict:
        at = int(row["item_id"])
        return row | {"target": gold[at], "answer": answers[at], "target_hash": gold[at]}

    scores = [float(one == other) for one, other in zip(gold, answers, strict=True)]
    return log({"task": scores}, model=model, infos={"task": TaskInfo(kind="gain", metric="accuracy")}, rows=rows)


def test_recall_precision_and_f1_are_those_of_scikit_learn(make_log: Callable[..., EvalLog]) -> None:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    draw = np.random.default_rng(0)
    gold = draw.choice(LABELS, 300, p=[0.5, 0.3, 0.15, 0.05]).tolist()
    before, after = (
        [one if draw.random() < share else str(draw.choice(LABELS)) for one in gold] for share in (0.3, 0.7)
    )
    found = per_class(make(make_log, gold, before, "base"), make(make_log, gold, after, "lora"))
    precision, recall, f1, support = precision_recall_fscore_support(gold, after, labels=[r.label for r in found.rows])
    matrix = confusion_matrix(gold, after, labels=LABELS)
    assert [row.items for row in found.rows] == support.tolist()
    for row, own in zip(found.rows, zip(precision, recall, f1, strict=True), strict=True):
        assert (row.precision, row.after, row.f1) == pytest.approx(own)
        changed = [(b == g, a == g) for g, b, a in zip(gold, before, after, strict=True) if g == row.label]
        assert (row.gained, row.lost) == (changed.count((False, True)), changed.count((True, False)))
        wrong = {name: count for name, count in zip(LABELS, matrix[LABELS.index(row.label)], strict=True)}
        del wrong[row.label]
        assert row.confused == max(wrong.values())
        assert row.confused_with is None or wrong[row.confused_with] == row.confused
    assert found.worst == min(found.rows, key=lambda row: row.after).label
    assert found.table().num_rows == len(LABELS)


def test_one_class_all_right_and_all_wrong(make_log: Callable[..., EvalLog]) -> None:
    right, wrong = ["a"] * 5, ["b"] * 5
    lost = per_class(make(make_log, right, right, "base"), make(make_log, right, wrong, "lora")).rows[0]
    assert (lost.before, lost.after, lost.lost, lost.confused_with, lost.precision) == (1.0, 0.0, 5, "b", None)
    kept = per_class(make(make_log, right, right, "base"), make(make_log, right, right, "lora")).rows[0]
    assert (kept.gained, kept.lost, kept.f1, kept.confused_with) == (0, 0, 1.0, None)


def test_a_task_that_is_not_there_is_named(make_log: Callable[..., EvalLog]) -> None:
    log = make(make_log, ["a"], ["a"], "base")
    with pytest.raises(EvalError, match=r"no task 'gone' in both logs\. They have: task"):
        per_class(log, log, task="gone")
