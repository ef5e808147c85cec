"""Tests of no difference against scipy, statsmodels, published p-values and full enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from evalkit.statistics import holm, mcnemar, sign_flip


@pytest.mark.parametrize(
    ("lost", "gained", "expected"),
    [(45, 20, 0.0026), (95, 70, 0.061), (16, 6, 0.052479)],  # measures.md twice; Fagerland et al. 2017, Cavo 2012
)
def test_mcnemar_published(lost, gained, expected):
    assert float(mcnemar(lost, gained)) == pytest.approx(expected, abs=5e-5 if expected < 0.05 else 5e-4)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test(lost, gained):
    expected = binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
    assert float(mcnemar(lost, gained)) == pytest.approx(expected, rel=1e-9)


def test_sign_flip_against_every_pattern():
    sums = np.array([0.5, -1.0, 2.0, 1.5, 0.0, 0.25, -0.75, 1.0, 2.5, 0.5])
    totals = np.array([np.dot(signs, sums) for signs in product((-1, 1), repeat=len(sums))])
    exact = np.mean(np.abs(totals) >= abs(sums.sum()) - 1e-9)
    found = sign_flip(sums, draws=20_000)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.randoms())
def test_sign_flip_knows_neither_order_nor_direction(sums, random):
    shuffled = list(sums)
    random.shuffle(shuffled)
    p = sign_flip(sums, draws=200)
    assert sign_flip(shuffled, draws=200) == p == sign_flip([-x for x in sums], draws=200)
    assert 1 / 201 <= p <= 1


def test_sign_flip_without_any_difference_is_one():
    assert sign_flip([0.0, 0.0]) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)  # the reference takes 0.1 s a call
def test_holm_is_that_of_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)
