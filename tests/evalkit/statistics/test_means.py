"""Clustered errors against statsmodels, t intervals against scipy, and the coverage of betting intervals."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evalkit.statistics import betting, cluster_totals, clustered_error, stratified, t_interval


def test_clustered_error_is_cluster_robust_least_squares():
    random = np.random.default_rng(1)
    clusters = random.integers(0, 40, size=300)
    d = random.choice([-1.0, 0.0, 1.0], size=300) + random.normal(size=40)[clusters]
    fit = sm.OLS(d, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
    count = len(set(clusters))
    expected = fit.bse[0] * np.sqrt(count / (count - 1))
    assert clustered_error(*cluster_totals(d, clusters)) == pytest.approx(expected, rel=1e-10)


def test_without_clusters_it_is_the_standard_error_of_the_mean():
    d = np.random.default_rng(2).normal(size=50)
    assert clustered_error(*cluster_totals(d, None)) == pytest.approx(stats.sem(d), rel=1e-12)


def test_one_cluster_has_no_error():
    assert np.isnan(clustered_error(*cluster_totals([1.0, 0.0], ["a", "a"])))
    assert t_interval(0.5, float("nan"), 1) == (float("-inf"), float("inf"))


def test_t_interval_is_that_of_scipy():
    assert t_interval(0.1, 0.02, 12) == pytest.approx(stats.t.interval(0.95, 11, 0.1, 0.02))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.randoms())
@settings(max_examples=60, deadline=None)
def test_betting_knows_no_order_and_mirrors(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    low, high = betting(values)
    assert betting(shuffled) == (low, high)
    assert betting([-x for x in values]) == pytest.approx((-high, -low), abs=1e-9)
    assert -1 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1


@pytest.mark.parametrize("shape", ["rare", "even"])
def test_betting_covers(shape):
    """At least 95 % of samples of 30, where the truth is rare losses (Student's t covers about half) or uniform."""
    random, held = np.random.default_rng(3), 0
    for _ in range(300):
        if shape == "rare":
            values, truth = -(random.random(30) < 0.03).astype(float) * 0.9, -0.027
        else:
            values, truth = random.uniform(-1, 0.6, size=30), -0.2
        low, high = betting(values)
        held += low <= truth <= high
    assert held / 300 >= 0.95


def test_stratified_is_the_usual_error_where_intervals_are_symmetric():
    d, error = np.array([0.01, -0.02, 0.00]), np.array([0.01, 0.02, 0.005])
    mean, low, high = stratified(d, d - 1.96 * error, d + 1.96 * error)
    assert float(mean) == pytest.approx(-0.01 / 3)
    assert float(high - mean) == pytest.approx(1.96 * np.sqrt(np.sum(error**2)) / 3)
    assert float(mean - low) == pytest.approx(float(high - mean))
