"""The matrix of a sequence of tasks is read from logs, and its measures are those of evalkit.sequences."""

from __future__ import annotations

import pytest

from evalkit.errors import EvalError
from evalkit.log import TaskInfo
from evalkit.sequences import sequence
from evalkit.stages import stage_facts, stage_matrix

TASKS = ("one", "two", "three")
R = [[0.9, 0.3, 0.2], [0.6, 0.8, 0.4], [0.5, 0.7, 1.0]]
BASE = [0.1, 0.2, 0.3]


def scores(share: float) -> list[float]:
    return [float(number < 100 * share) for number in range(100)]


@pytest.fixture
def logs(make_log):
    infos = {task: TaskInfo(kind="gain") for task in TASKS}

    def one(row, name):
        tasks = {task: scores(share) for task, share in zip(TASKS, row, strict=True)}
        return make_log({**tasks, "general": scores(0.9)}, model=name, infos=infos)

    return one(BASE, "base"), [one(row, f"after {at}") for at, row in enumerate(R)]


def test_the_matrix_and_its_measures(logs):
    base, after = logs
    found = stage_matrix(base, after, TASKS, arm="full", seed=1)
    assert [list(row) for row in found.scores] == R
    assert list(found.base) == BASE
    for measure in found.measures:
        assert measure == sequence(R, convention=measure.convention, baseline=BASE)
    gem = next(one for one in found.measures if one.convention == "gem")
    assert gem.backward_transfer == pytest.approx(((0.5 - 0.9) + (0.7 - 0.8)) / 2)
    assert gem.forward_transfer == pytest.approx(((0.3 - 0.2) + (0.4 - 0.3)) / 2)
    assert [row.difference for row in found.learnt] == pytest.approx([0.8, 0.6, 0.7])
    assert [(row.task, row.difference) for row in found.forgotten] == [
        ("one", pytest.approx(-0.4)),
        ("two", pytest.approx(-0.1)),
    ]
    assert found.forgotten[0].interval[1] < 0
    assert found.general == (0.0, 0.0, 0.0)
    assert stage_facts(found)["scores"] == R


def test_one_log_per_stage(logs):
    base, after = logs
    with pytest.raises(EvalError, match="2 logs for 3 stages"):
        stage_matrix(base, after[:2], TASKS, arm="full", seed=1)
