"""The best model under a budget of forgetting is chosen on three tenths of the items and reported on the others."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.choice import choose_under
from evalkit.errors import EvalError
from evalkit.log import TaskInfo
from evalkit.selection import split_log

INFOS = {"own": TaskInfo(kind="gain"), "a": TaskInfo(), "b": TaskInfo()}
ITEMS = 400


def scores(share: float) -> list[float]:
    """The first items right, as many as the share says of any part of them: right ones are spread evenly."""
    return [float((number * 7919 % 1000) / 1000 < share) for number in range(ITEMS)]


@pytest.fixture
def models(make_log):
    """Base, and three states that learn more and forget more."""

    def one(name, own, general):
        return make_log({"own": scores(own), "a": scores(general), "b": scores(general)}, model=name, infos=INFOS)

    return one("base", 0.2, 0.9), {10: one("10", 0.5, 0.9), 20: one("20", 0.7, 0.895), 30: one("30", 0.9, 0.5)}


def test_the_largest_gain_within_the_budget(models):
    base, states = models
    assert choose_under(base, states, 0.0).at == 10
    found = choose_under(base, states, 0.03)
    assert found.at == 20
    assert [one.at for one in found.candidates] == [10, 20, 30]
    assert choose_under(base, states, 1.0).at == 30
    rest = split_log(base)[1]
    assert found.comparison is not None
    assert found.comparison.row("a").paired.n == rest.items.num_rows // 3
    reported = ids(rest, "own")
    truth = np.mean([score for at, score in enumerate(scores(0.7)) if f"{at:05d}" in reported])
    assert found.comparison.row("own").after == pytest.approx(truth)


def ids(log, task):
    return {row["item_id"] for row in log.items.to_pylist() if row["task"] == task}


def test_where_nothing_keeps_to_the_budget_nothing_is_chosen(models):
    base, states = models
    found = choose_under(base, {30: states[30]}, 0.01)
    assert found.at is None
    assert found.comparison is None
    assert found.candidates[0].loss > 0.3


def test_without_a_general_task_there_is_nothing_to_keep_to(make_log):
    log = make_log({"own": scores(0.5)}, infos=INFOS)
    with pytest.raises(EvalError, match="no general task"):
        choose_under(log, {1: log}, 0.01)
    with pytest.raises(EvalError, match="no model"):
        choose_under(log, {}, 0.01)
