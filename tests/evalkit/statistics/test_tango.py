"""Tango's interval against published values, a numerical inversion of the score test, and its exact coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from evalkit.statistics import coverage, tango

PUBLISHED = [
    # lost, gained, n, alpha, digits, interval, source
    (7, 1, 21, 0.05, 3, (-0.517, -0.026), "Fagerland, Lydersen and Laake 2014: airway reactivity, Bentur 2009"),
    (16, 6, 161, 0.05, 4, (-0.1240, -0.0054), "Fagerland, Lydersen and Laake 2017, ch. 8: Cavo 2012"),
    (8, 16, 86, 0.05, 3, (-0.020, 0.207), "Agresti and Min 2005"),
    (1, 3, 14, 0.05, 4, (-0.1670, 0.4327), "Tang, Li and Tang 2010"),
    (2, 25, 102, 0.05, 3, (0.139, 0.321), "Chang 2024"),
    (25, 28, 618, 0.10, 4, (-0.0148, 0.0247), "R, PropCIs::scoreci.mp(25, 28, 618, 0.9)"),
]

tables = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60)).filter(lambda t: sum(t) > 0)


@pytest.mark.parametrize(("lost", "gained", "n", "alpha", "digits", "expected", "source"), PUBLISHED)
def test_published_values(lost, gained, n, alpha, digits, expected, source):
    low, high = tango(lost, gained, n, alpha=alpha)
    assert (round(float(low), digits), round(float(high), digits)) == expected, source


def score_statistic(delta: float, lost: int, gained: int, n: int) -> float:
    """z at a hypothesised difference, the nuisance P(lost) found by maximising the trinomial likelihood itself."""
    rest = n - lost - gained

    def loss(q: float) -> float:
        parts = ((lost, q), (gained, q + delta), (rest, 1 - 2 * q - delta))
        return -sum(count * np.log(max(p, 1e-300)) for count, p in parts if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    q = min((low, q, high), key=loss)
    variance = (2 * q + delta - delta**2) / n
    return ((gained - lost) / n - delta) / np.sqrt(variance)


@pytest.mark.parametrize(("lost", "gained", "n"), [(3, 7, 40), (0, 4, 25), (12, 0, 30), (0, 0, 20), (45, 20, 500)])
def test_inverts_the_score_test(lost, gained, n):
    z, estimate = norm.ppf(0.975), (gained - lost) / n
    low = brentq(lambda delta: score_statistic(delta, lost, gained, n) - z, -1 + 1e-9, estimate - 1e-6)
    high = brentq(lambda delta: score_statistic(delta, lost, gained, n) + z, estimate + 1e-6, 1 - 1e-9)
    assert [float(end) for end in tango(lost, gained, n)] == pytest.approx([low, high], abs=2e-6)


@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_no_flips_is_symmetric_and_known_in_closed_form(n):
    z = norm.ppf(0.975)
    low, high = tango(0, 0, n)
    assert float(high) == pytest.approx(z**2 / (n + z**2), abs=1e-12)
    assert float(low) == -float(high)


@pytest.mark.parametrize("n", [1, 7, 300])
def test_all_lost_or_all_gained_reaches_the_end(n):
    assert float(tango(n, 0, n)[0]) == pytest.approx(-1, abs=1e-12)
    assert float(tango(0, n, n)[1]) == pytest.approx(1, abs=1e-12)
    assert float(tango(n, 0, n)[1]) < 1


@given(tables)
@settings(max_examples=60, deadline=None)
def test_holds_the_estimate_mirrors_and_stays_in_range(table):
    lost, gained, _ = table
    n = sum(table)
    low, high = tango(lost, gained, n)
    mirrored = tango(gained, lost, n)
    assert -1 <= low <= (gained - lost) / n + 1e-12
    assert (gained - lost) / n - 1e-12 <= high <= 1
    assert (float(low), float(high)) == (-float(mirrored[1]), -float(mirrored[0]))
    wider = tango(lost, gained, n, alpha=0.01)
    assert wider[0] <= low
    assert high <= wider[1]


def test_arrays_give_what_single_tables_give():
    lost, gained = np.array([0, 3, 12]), np.array([[1], [8]])
    low, _ = tango(lost, gained, 50)
    assert low.shape == (2, 3)
    assert low[1, 2] == tango(12, 8, 50)[0]


CELLS = [
    (n, psi, difference)
    for n in (50, 200, 1000)
    for psi in (0.02, 0.10, 0.30)
    for difference in (0.0, -0.01, -0.02, -0.05)
    if abs(difference) <= psi
]


@pytest.mark.parametrize(("n", "psi", "difference"), CELLS)
def test_exact_coverage(n, psi, difference):
    found = coverage(n, psi, difference)
    assert found >= 0.93
    if n * psi >= 5:
        assert found <= 0.97


def test_coverage_sums_the_whole_distribution():
    """With an interval that always holds the truth the sum is the total probability."""
    assert coverage(50, 0.3, -0.05, alpha=1e-12) == pytest.approx(1, abs=1e-9)
