"""Bootstraps against scipy's BCa, normal theory and a known variance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from evalkit.statistics import bootstrap_mean, bootstrap_totals, two_level
from evalkit.statistics.resampling import _distinct


def test_bca_is_that_of_scipy_for_a_skewed_mean():
    x = np.random.default_rng(0).exponential(size=60)
    ours = bootstrap_totals(
        np.column_stack([x, np.ones_like(x)]), lambda totals: totals[:, 0] / totals[:, 1], resamples=20_000
    )
    theirs = stats.bootstrap((x,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    assert ours.estimate == pytest.approx(x.mean())
    assert ours.interval == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_equal_rows_drawn_as_one_cell_change_nothing_but_the_draws():
    x = np.repeat([0.0, 1.0, 1.0, 3.0], 50)
    found = bootstrap_mean(x, np.ones_like(x), resamples=20_000)
    assert found.interval == pytest.approx((x.mean() - 1.96 * stats.sem(x), x.mean() + 1.96 * stats.sem(x)), abs=0.01)


def test_order_does_not_matter():
    x = np.random.default_rng(1).normal(size=40)
    assert bootstrap_mean(x, np.ones(40)) == bootstrap_mean(x[::-1], np.ones(40))


def test_a_constant_has_no_width():
    assert bootstrap_mean([1.0, 1.0], [1, 1]).interval == (1.0, 1.0)


def simulated(seeds: int, items: int, seed_sd: float, random: np.random.Generator) -> np.ndarray:
    return random.normal(size=(seeds, 1)) * seed_sd + random.normal(size=(1, items)) + np.zeros((seeds, items))


def test_two_level_adds_both_variances():
    random = np.random.default_rng(2)
    d = simulated(40, 100, 0.3, random)
    found = two_level([d], resamples=4_000)
    seeds, items = d.mean(axis=1).var(ddof=1) / 40, d.mean(axis=0).var(ddof=1) / 100
    assert found.draws.var() == pytest.approx(seeds + items, rel=0.12)
    assert found.seed_share[0] == pytest.approx(seeds / (seeds + items), abs=0.06)
    assert found.estimates[0] == pytest.approx(d.mean())


def test_arms_are_drawn_together():
    """Two arms that differ by a constant on every item differ by it in every joint draw."""
    random = np.random.default_rng(3)
    d = simulated(4, 80, 0.2, random)
    found = two_level([np.stack([d, d - 0.05])])
    assert np.allclose(found.draws[:, 0] - found.draws[:, 1], 0.05)


def test_no_seed_effect_has_no_share():
    d = np.tile(np.random.default_rng(4).normal(size=50), (3, 1))
    assert two_level([d]).seed_share[0] == pytest.approx(0, abs=1e-12)


def test_two_seeds_say_nothing_of_a_method():
    with pytest.raises(ValueError, match="at least 3 seeds"):
        two_level([np.zeros((2, 10))])


_SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 3))


@given(arrays(np.float64, _SHAPES, elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])))
def test_distinct_rows_are_numpys(features):
    rows, counts = np.unique(features, axis=0, return_counts=True)
    found = _distinct(features)
    assert found[0].tolist() == rows.tolist()
    assert found[1].tolist() == counts.tolist()
