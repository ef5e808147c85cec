"""Tango's score interval for the difference of two paired proportions, vectorised over tables, and its coverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["coverage", "tango"]

Floats = NDArray[np.float64]

_HALVINGS = 60  # of an interval no longer than 2: below the spacing of doubles


def _variance(delta: Floats, lost: Floats, gained: Floats, n: Floats) -> Floats:
    """n^2 times the variance of the estimated difference if the true one were ``delta`` (restricted likelihood).

    With x = gained, y = lost and q the restricted estimate of P(lost), it is n (2 q + delta (1 - delta)); q solves
    2n q^2 + b q + c = 0 (Tango 1998, eq. 7). The root is taken in the form that does not cancel.
    """
    b = (2 * n - gained + lost) * delta - gained - lost
    minus_c = lost * delta * (1 - delta)
    root = np.sqrt(np.maximum(b * b + 8 * n * minus_c, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where(b > 0, 2 * minus_c / (root + b), (root - b) / (4 * n))
    return np.maximum(n * (2 * q + delta * (1 - delta)), 0.0)


def _upper(lost: Floats, gained: Floats, n: Floats, z: float) -> Floats:
    estimate = (gained - lost) / n
    low, high = estimate.copy(), np.ones_like(estimate)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rejected = n * middle - (gained - lost) > z * np.sqrt(_variance(middle, lost, gained, n))
        low, high = np.where(rejected, low, middle), np.where(rejected, middle, high)
    return (low + high) / 2


def tango(lost: ArrayLike, gained: ArrayLike, n: ArrayLike, *, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Score interval for P(gained) - P(lost), by inverting the score test.

    The statistic falls monotonically in the hypothesised difference, so each end is found by halving; the lower end
    is the mirrored upper end of the table with lost and gained exchanged. Fractions of items are allowed.

    Args:
        lost: Items right before and wrong after (n10); array or number.
        gained: Items wrong before and right after (n01).
        n: Items, at least 1 and at least lost + gained.
        alpha: 1 - confidence, two-sided.

    Returns:
        Lower and upper ends, arrays of the broadcast shape, inside [-1, 1].

    Source: T. Tango, Statistics in Medicine 17 (1998) 891-908.
    """
    from scipy.special import ndtri

    x, y, size = np.broadcast_arrays(
        np.asarray(lost, np.float64), np.asarray(gained, np.float64), np.asarray(n, np.float64)
    )
    z = float(ndtri(1 - alpha / 2))
    ends = _upper(np.stack([y, x]), np.stack([x, y]), np.stack([size, size]), z)
    return -ends[0], ends[1]


def coverage(n: int, discordance: float, difference: float, *, alpha: float = 0.05) -> float:
    """Exact probability that the interval holds the true difference, summed over all tables (n10, n01).

    Args:
        n: Items.
        discordance: P(lost) + P(gained).
        difference: P(gained) - P(lost); its size is at most ``discordance``.
        alpha: 1 - confidence of the interval.
    """
    from scipy.special import gammaln

    p_lost, p_gained = (discordance - difference) / 2, (discordance + difference) / 2
    reach = [int(min(n, n * p + 10 * np.sqrt(n * p * (1 - p)) + 20)) if p > 0 else 0 for p in (p_lost, p_gained)]
    lost, gained = (axis.ravel() for axis in np.mgrid[0 : reach[0] + 1, 0 : reach[1] + 1])
    inside = lost + gained <= n
    lost, gained = lost[inside], gained[inside]
    rest = n - lost - gained
    log_p = gammaln(n + 1) - gammaln(lost + 1) - gammaln(gained + 1) - gammaln(rest + 1)
    for count, p in ((lost, p_lost), (gained, p_gained), (rest, 1 - discordance)):
        log_p = log_p + (count * np.log(p) if p > 0 else np.where(count > 0, -np.inf, 0.0))
    lower, upper = tango(lost, gained, n, alpha=alpha)
    held = (lower <= difference + 1e-12) & (difference <= upper + 1e-12)
    return float(np.sum(np.exp(log_p[held])))
