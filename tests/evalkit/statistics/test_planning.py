"""Planning figures against closed forms, statsmodels, published figures and the simulation's own plain version."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from evalkit.statistics import (
    chance_unchanged_passes,
    holm,
    items_needed,
    mcnemar,
    minimum_detectable_effect,
    tango,
    wilson,
)


def test_gsm8k_sees_2_4_points():
    assert 100 * minimum_detectable_effect(0.10, 1319) == pytest.approx(2.4, abs=0.05)


def test_items_needed_is_the_other_side_of_the_effect():
    n = items_needed(0.1, 0.02)
    assert n is not None
    assert minimum_detectable_effect(0.1, n) <= 0.02 < minimum_detectable_effect(0.1, n - 1)
    assert items_needed(0.1, 0.0) is None


def test_power_of_the_effect_by_simulation():
    """A true loss of the minimum detectable size is seen in about 80 % of runs."""
    n, psi = 2_000, 0.1
    effect = minimum_detectable_effect(psi, n)
    counts = np.random.default_rng(0).multinomial(n, [(psi + effect) / 2, (psi - effect) / 2, 1 - psi], size=2_000)
    d = (counts[:, 0] - counts[:, 1]) / n
    error = np.sqrt((counts[:, 0] + counts[:, 1]) / n**2)
    assert np.mean(d / error > 1.96) == pytest.approx(0.80, abs=0.03)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 50), (50, 50)])
def test_wilson_is_that_of_statsmodels(hits, n):
    assert wilson(hits, n) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)


def test_an_unchanged_model_passes_in_about_98_of_100():
    flips = np.linspace(0.04, 0.10, 8)
    assert chance_unchanged_passes([500] * 8, flips=flips) == pytest.approx(0.98, abs=0.015)


def test_demanding_held_of_every_row_would_pass_almost_never():
    flips = np.linspace(0.04, 0.10, 8)
    assert chance_unchanged_passes([500] * 8, flips=flips, every_row_held=True) < 0.01


def test_simulation_agrees_with_a_plain_one():
    """The same rule, suite by suite, with the public functions."""
    random, passed, runs, n, psi, margin = np.random.default_rng(7), 0, 300, 300, 0.09, 0.02
    for _ in range(runs):
        discordant = random.binomial(n, psi, size=5)
        lost = random.binomial(discordant, 0.5)
        low, high = tango(lost, discordant - lost, n)
        adjusted = holm(mcnemar(lost, discordant - lost))
        difference = (discordant - 2 * lost) / n
        suite_low = difference.mean() - np.sqrt(np.sum((difference - low) ** 2)) / 5
        passed += not ((low <= -margin) & (high < 0) & (adjusted <= 0.05)).any() and suite_low > -margin
    expected = chance_unchanged_passes([n] * 5, flips=psi, margin=margin)
    assert passed / runs == pytest.approx(expected, abs=0.06)
