"""Forgetting over sequences of tasks, against values worked out by hand from each convention's definition."""

from __future__ import annotations

import pytest

from evalkit.errors import EvalError
from evalkit.forgetting import CONVENTIONS, retention, sequence_forgetting

# R[t, i]; task 0 peaks after task 1 was learnt
R = [[0.8, 0.1, 0.1], [0.9, 0.7, 0.2], [0.5, 0.6, 0.9]]


@pytest.mark.parametrize(
    ("convention", "value", "divisor"),
    [
        ("gem", ((0.8 - 0.5) + (0.7 - 0.6)) / 2, 2),
        ("gem-code", ((0.8 - 0.5) + (0.7 - 0.6)) / 3, 3),
        ("trace", ((0.8 - 0.5) + (0.7 - 0.6)) / 2, 2),
        ("avalanche", ((0.8 - 0.5) + (0.7 - 0.6)) / 2, 2),
        ("mammoth", ((0.9 - 0.5) + (0.7 - 0.6)) / 2, 2),
        ("chaudhry", ((0.9 - 0.5) + (0.7 - 0.6)) / 2, 2),
    ],
)
def test_conventions(convention, value, divisor):
    found = sequence_forgetting(R, convention)
    assert found.value == pytest.approx(value)
    assert found.divisor == divisor
    assert found.reference


def test_best_before_it_was_learnt_counts_for_one_convention_only():
    """A task that was better before its own turn: the best ever (chaudhry), the best since (mammoth)."""
    r = [[0.5, 0.9, 0.0], [0.5, 0.6, 0.0], [0.5, 0.5, 0.5]]
    assert sequence_forgetting(r, "chaudhry").value == pytest.approx(0.4 / 2)
    assert sequence_forgetting(r, "mammoth").value == pytest.approx(0.1 / 2)


def test_no_forgetting_is_zero_everywhere():
    assert {sequence_forgetting([[0.5, 0.0], [0.5, 0.7]], name).value for name in CONVENTIONS} == {0.0}


def test_bad_tables_are_refused():
    with pytest.raises(EvalError, match="square"):
        sequence_forgetting([[0.1, 0.2]])
    with pytest.raises(EvalError, match="no convention 'other'"):
        sequence_forgetting(R, "other")


def test_retention():
    assert retention(0.75, 0.5, 0.25) == pytest.approx(0.5)
    assert retention(0.25, 0.5, 0.25) is None
