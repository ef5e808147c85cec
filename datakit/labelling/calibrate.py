"""Whether a confidence of .9 is right nine times in ten, and how to make it so from a gold sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from datakit.core.require import require

__all__ = ["Bin", "CoveragePoint", "Method", "calibrated", "coverage", "ece", "reliability", "suggested_threshold"]

Method = Literal["auto", "isotonic", "platt", "none"]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_MIN_ISOTONIC, _MIN_PLATT, _FOLDS = 200, 30, 5


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability plot: examples with a confidence in (low, high]."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """What a threshold does: examples at or above it, and how many of those are right (Wilson's 95 % interval)."""

    threshold: float
    coverage: float
    accuracy: float
    low: float
    high: float
    n: int


def reliability(confidence: Floats, right: Flags, *, bins: int = 10) -> list[Bin]:
    """Bins of equal width over [0, 1], empty ones left out (Guo et al. 2017, arXiv 1706.04599)."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            ends = number / bins, (number + 1) / bins
            found.append(Bin(*ends, int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean())))
    return found


def ece(confidence: Floats, right: Flags, *, bins: int = 10) -> float | None:
    """Expected calibration error: mean distance of confidence and accuracy over the bins, weighted by their rows."""
    if not len(confidence):
        return None
    return sum(one.n * abs(one.confidence - one.accuracy) for one in reliability(confidence, right, bins=bins)) / len(
        confidence
    )


def calibrated(
    confidence: Floats, right: Flags, every: Floats, *, method: Method = "auto", seed: int = 0
) -> tuple[Floats, Floats, str] | None:
    """Calibrates confidences on a gold sample.

    Args:
        confidence: Of the gold sample.
        right: Whether its labels are.
        every: Confidences of all examples.
        method: ``isotonic`` (a rising step function), ``platt`` (logistic in the log-odds), ``auto`` (isotonic from
            200 rows, Platt from 30, nothing below, and nothing where rows that were left out come out no better by
            it: Brier's score), ``none``.
        seed: Of the folds.

    Returns:
        Calibrated confidences of all examples; of the gold sample, each from a fit on the other folds, so that what is
        said of the calibration is not said of rows it was made from; and the method. None where nothing was done.
    """
    chosen = _chosen(method, right)
    if chosen is None:
        return None
    fit = _isotonic if chosen == "isotonic" else _platt
    everywhere = fit(confidence, right)(every)
    fold = np.random.default_rng(seed).permutation(len(right)) % _FOLDS
    honest = np.empty(len(right))
    for number in range(_FOLDS):
        inside = fold == number
        rest = right[~inside]
        constant = bool(rest.all() or not rest.any())
        honest[inside] = rest.mean() if constant else fit(confidence[~inside], rest)(confidence[inside])
    if method == "auto" and _brier(honest, right) >= _brier(confidence, right):
        return None
    return everywhere, honest, chosen


def _brier(confidence: Floats, right: Flags) -> float:
    return float(((confidence - right) ** 2).mean())


def _chosen(method: Method, right: Flags) -> str | None:
    if method == "none" or len(right) < 2 * _FOLDS or right.all() or not right.any():
        return None  # with no error, or nothing right, there is no slope to learn
    if method != "auto":
        return method
    return "isotonic" if len(right) >= _MIN_ISOTONIC else "platt" if len(right) >= _MIN_PLATT else None


def _isotonic(confidence: Floats, right: Flags) -> Callable[[Floats], Floats]:
    isotonic = require("sklearn.isotonic", extra="label")
    fitted = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(confidence, right.astype(np.float64))
    return lambda values: np.asarray(fitted.predict(values), np.float64)


def _platt(confidence: Floats, right: Flags) -> Callable[[Floats], Floats]:
    linear = require("sklearn.linear_model", extra="label")
    fitted = linear.LogisticRegression(C=1e4)
    fitted.fit(_odds(confidence), right)
    return lambda values: np.asarray(fitted.predict_proba(_odds(values))[:, 1], np.float64)


def _odds(confidence: Floats) -> Floats:
    inside = np.clip(confidence, 1e-4, 1 - 1e-4)
    return np.log(inside / (1 - inside))[:, None]


def coverage(confidence: Floats, right: Flags) -> list[CoveragePoint]:
    """For every confidence that occurs, from the highest down: what a threshold there keeps, and its accuracy."""
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, hits = confidence[order], np.cumsum(right[order])
    ends = np.flatnonzero(np.append(np.diff(sorted_confidence) != 0, True)) if len(order) else np.array([], int)
    points = []
    for end in ends:
        n, good = int(end) + 1, int(hits[end])
        points.append(CoveragePoint(float(sorted_confidence[end]), n / len(order), good / n, *_wilson(good, n), n))
    return points


def _wilson(good: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    share = good / n
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - spread) / (1 + z * z / n)), min(1.0, (middle + spread) / (1 + z * z / n))


def suggested_threshold(points: list[CoveragePoint], *, accuracy: float) -> CoveragePoint | None:
    """The threshold that keeps most rows with an accuracy that is surely above the wanted one (lower end); or None."""
    fine = [point for point in points if point.low >= accuracy]
    return max(fine, key=lambda point: point.coverage) if fine else None
