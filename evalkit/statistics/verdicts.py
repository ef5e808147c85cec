"""The four verdicts of a difference, given the loss its user calls tolerable."""

from __future__ import annotations

from typing import Literal

__all__ = ["Verdict", "beyond_margin", "verdict"]

Verdict = Literal["gained", "held", "regressed", "unsure"]


def verdict(interval: tuple[float, float], margin: float, *, significant: bool = True) -> Verdict:
    """What an interval of after - before says.

    Args:
        interval: Lower and upper end.
        margin: Tolerable loss m >= 0.
        significant: In a suite, whether Holm's adjusted p-value is at most alpha; without it no row is regressed.

    Returns:
        ``gained`` where lo > 0; ``held`` where lo > -m; ``regressed`` where lo <= -m, hi < 0 and significant;
        ``unsure`` otherwise.
    """
    low, high = interval
    if low > 0:
        return "gained"
    if low > -margin:
        return "held"
    return "regressed" if high < 0 and significant else "unsure"


def beyond_margin(interval: tuple[float, float], margin: float) -> Literal["certain", "possible"]:
    """Whether the loss of a regressed row is beyond the margin for certain (hi < -m) or possibly."""
    return "certain" if interval[1] < -margin else "possible"
