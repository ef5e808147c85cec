"""Forgetting over sequences of tasks, against values worked out by hand from each source's definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from evalkit import forgetting
from evalkit.errors import EvalError
from evalkit.forgetting import CONVENTIONS, retention, sequence

# R[t, i]; task 0 peaks after task 1 was learnt
R = [[0.8, 0.1, 0.1], [0.9, 0.7, 0.2], [0.5, 0.6, 0.9]]
BASELINE = [0.3, 0.05, 0.1]


@pytest.mark.parametrize(
    ("convention", "lost", "backward", "forward", "divisor"),
    [
        ("gem", 0.3 + 0.1, -0.3 - 0.1, 0.05 + 0.1, 2),
        ("gem-code", 0.3 + 0.1, -0.3 - 0.1, 0.05 + 0.1, 3),
        ("trace", 0.3 + 0.1, -0.3 - 0.1, None, 3),
        ("avalanche", 0.3 + 0.1, -0.3 - 0.1, 0.05 + 0.1, 2),
        ("mammoth", 0.4 + 0.1, -0.3 - 0.1, 0.05 + 0.1, 2),
        ("chaudhry", 0.4 + 0.1, None, None, 2),
    ],
)
def test_conventions(convention, lost, backward, forward, divisor):
    found = sequence(R, convention=convention, baseline=BASELINE)
    assert found.forgetting == pytest.approx(lost / divisor)
    assert found.backward_transfer == (None if backward is None else pytest.approx(backward / divisor))
    assert found.forward_transfer == (None if forward is None else pytest.approx(forward / divisor))
    assert (found.divisor, found.convention) == (divisor, convention)
    assert found.reference
    assert sum(found.per_task) / divisor == pytest.approx(found.forgetting)


def test_best_before_it_was_learnt_counts_for_one_convention_only():
    """A task that was better before its own turn: the best ever (chaudhry), the best since (mammoth)."""
    r = [[0.5, 0.9, 0.0], [0.5, 0.6, 0.0], [0.5, 0.5, 0.5]]
    assert sequence(r, convention="chaudhry").forgetting == pytest.approx(0.4 / 2)
    assert sequence(r, convention="mammoth").forgetting == pytest.approx(0.1 / 2)


def test_a_task_that_got_better_is_negative_forgetting_except_where_the_last_row_counts():
    r = [[0.5, 0.0], [0.7, 0.6]]
    assert sequence(r).forgetting == pytest.approx(-0.2)
    assert sequence(r).backward_transfer == pytest.approx(0.2)
    assert sequence(r, convention="chaudhry").forgetting == pytest.approx(-0.2)
    assert sequence(r, convention="mammoth").forgetting == 0


def mammoth(results):
    """Forgetting with every row cut to the tasks seen so far and filled up with zeros, maximum over all rows."""
    count = len(results)
    seen = np.array([[*row[: at + 1], *[0.0] * (count - at - 1)] for at, row in enumerate(results)])
    return float(np.mean([seen[:, task].max() - seen[-1][task] for task in range(count - 1)]))


@given(st.integers(2, 6).flatmap(lambda n: nps.arrays(float, (n, n), elements=st.floats(0, 1))))
def test_definitions_hold_for_any_table(r):
    count = len(r)
    changes = [r[-1, task] - r[task, task] for task in range(count)]
    assert sequence(r).backward_transfer == pytest.approx(sum(changes) / (count - 1))
    assert sequence(r, convention="gem-code").backward_transfer == pytest.approx(np.mean(changes))
    assert sequence(r, convention="trace").backward_transfer == pytest.approx(np.mean(changes))
    assert sequence(r, convention="mammoth").forgetting == pytest.approx(mammoth(r.tolist()))
    best = [r[:-1, task].max() - r[-1, task] for task in range(count - 1)]
    assert sequence(r, convention="chaudhry").forgetting == pytest.approx(np.mean(best))
    for name in ("gem", "gem-code", "trace", "avalanche"):
        found = sequence(r, convention=name)
        assert found.forgetting == -found.backward_transfer


def test_no_forgetting_is_zero_everywhere():
    assert {sequence([[0.5, 0.0], [0.5, 0.7]], convention=name).forgetting for name in CONVENTIONS} == {0.0}


def test_forward_transfer_needs_a_baseline_and_scores_of_later_tasks():
    unseen = [[0.8, float("nan")], [0.5, 0.6]]
    assert sequence(R).forward_transfer is None
    assert sequence(unseen, baseline=[0.1, 0.2]).forward_transfer is None
    assert sequence(unseen, convention="chaudhry").forgetting == pytest.approx(0.3)


def test_bad_tables_are_refused():
    with pytest.raises(EvalError, match="square"):
        sequence([[0.1, 0.2]])
    with pytest.raises(EvalError, match="no convention 'other'"):
        sequence(R, convention="other")
    with pytest.raises(EvalError, match=r"task 0 after task 1 is missing \(R\[1, 0\]\)"):
        sequence([[0.5, 0.1], [float("nan"), 0.5]])
    with pytest.raises(EvalError, match="one score for each of 3 tasks"):
        sequence(R, baseline=[0.1])


def test_it_stands_in_the_room_of_forgetting():
    assert forgetting.sequence is sequence


def test_retention():
    assert retention(0.75, 0.5, 0.25) == pytest.approx(0.5)
    assert retention(0.25, 0.5, 0.25) is None
