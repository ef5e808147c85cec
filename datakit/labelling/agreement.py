"""How far labels agree with people, and voters with one another: accuracy, kappa, alpha, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Figure", "Level", "accuracy", "alpha_figure", "bootstrap", "cohen_kappa", "krippendorff_alpha", "set_f1"]

Level = Literal["nominal", "ordinal", "interval"]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval; None where it is not defined.

    Attributes:
        value: Of the sample.
        low: Percentile bootstrap over examples, 2.5 %.
        high: 97.5 %.
        n: Examples.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def accuracy(gold: Integers, said: Integers) -> float | None:
    """Share of equal pairs."""
    return float((gold == said).mean()) if len(gold) else None


def cohen_kappa(gold: Integers, said: Integers, classes: int) -> float | None:
    """Cohen's kappa of two codings (J. Cohen, Educational and Psychological Measurement 20, 1960, 37-46).

    None where both use one class alone: there is nothing that chance could not explain, nor anything it could.
    """
    if not len(gold):
        return None
    table = np.bincount(gold * classes + said, minlength=classes * classes).reshape(classes, classes)
    n = table.sum()
    expected = float(table.sum(axis=1) @ table.sum(axis=0)) / n**2
    return None if expected == 1 else (float(np.trace(table)) / n - expected) / (1 - expected)


def krippendorff_alpha(counts: Integers, *, level: Level = "nominal", values: Floats | None = None) -> float | None:
    """Krippendorff's alpha (K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011).

    Args:
        counts: ``counts[i, k]``: how many voters gave example i the value k; examples with one vote do not count.
        level: Of measurement.
        values: The numbers that the classes stand for, for ``interval``; 0, 1, ... by default.

    Returns:
        1 is perfect, 0 is chance; None where no two votes can be paired, or all are one value.
    """
    said = counts[counts.sum(axis=1) > 1].astype(np.float64)
    if not len(said):
        return None
    each = said.sum(axis=1)
    pairs = (said.T * (1 / (each - 1))) @ said - np.diag((said / (each - 1)[:, None]).sum(axis=0))
    margin = pairs.sum(axis=1)
    total = margin.sum()
    distance = _distance(margin, level, values)
    expected = float((np.outer(margin, margin) * distance).sum()) / (total - 1)
    return None if expected == 0 else 1 - float((pairs * distance).sum()) / expected


def _distance(margin: Floats, level: Level, values: Floats | None) -> Floats:
    classes = len(margin)
    if level == "nominal":
        return 1.0 - np.eye(classes)
    if level == "interval":
        numbers = np.arange(classes, dtype=np.float64) if values is None else values
        return np.subtract.outer(numbers, numbers) ** 2
    # Ordinal: how many values lie between, those at the ends by half.
    middle = np.cumsum(margin) - margin / 2
    return np.subtract.outer(middle, middle) ** 2


def set_f1(gold: Sequence[frozenset[str]], said: Sequence[frozenset[str]]) -> float | None:
    """F1 of the parts of all examples together (micro); None where neither side has any."""
    both = sum(len(one & other) for one, other in zip(gold, said, strict=True))
    sizes = sum(map(len, gold)) + sum(map(len, said))
    return 2 * both / sizes if sizes else None


def bootstrap(n: int, figure: Callable[[Integers], float | None], *, draws: int = 1000, seed: int = 0) -> Figure:
    """A figure of ``n`` examples with its percentile interval.

    Args:
        n: Examples.
        figure: From positions (with repetition) to the figure; None where it is not defined for a draw.
        draws: Bootstrap samples.
        seed: Of the samples.
    """
    if not n:
        return Figure(None, None, None, 0)
    generator = np.random.default_rng(seed)
    value = figure(np.arange(n))
    drawn = [figure(generator.integers(0, n, n)) for _ in range(draws)]
    known = [one for one in drawn if one is not None]
    if value is None or len(known) < draws / 2:
        return Figure(value, None, None, n)
    low, high = np.percentile(known, [2.5, 97.5])
    return Figure(value, float(low), float(high), n)


def alpha_figure(counts: Integers, *, level: Level = "nominal", draws: int = 1000, seed: int = 0) -> Figure:
    """Krippendorff's alpha with a bootstrap interval over examples.

    For nominal values alpha follows from sums over examples, so that a draw is a weighting of those sums and not a
    matrix of pairs: with 77 classes and 10,000 examples the difference is minutes.
    """
    counts = counts[counts.sum(axis=1) > 1]
    if level != "nominal" or not len(counts):
        return bootstrap(len(counts), lambda at: krippendorff_alpha(counts[at], level=level), draws=draws, seed=seed)
    said = counts.sum(axis=1)
    sums = np.column_stack([(counts * (counts - 1)).sum(axis=1) / (said - 1), counts]).astype(np.float64)
    generator, n = np.random.default_rng(seed), len(counts)
    weights = np.stack([np.bincount(generator.integers(0, n, n), minlength=n) for _ in range(draws)])
    drawn = [_alpha_of_sums(total) for total in weights @ sums]
    known = [one for one in drawn if one is not None]
    value = _alpha_of_sums(sums.sum(axis=0))
    if value is None or len(known) < draws / 2:
        return Figure(value, None, None, n)
    low, high = np.percentile(known, [2.5, 97.5])
    return Figure(value, float(low), float(high), n)


def _alpha_of_sums(total: Floats) -> float | None:
    """From the votes that agree within examples, and the number of each value."""
    agreeing, margin = total[0], total[1:]
    n = margin.sum()
    expected = 1 - float((margin * (margin - 1)).sum()) / (n * (n - 1))
    return None if expected == 0 else 1 - (1 - agreeing / n) / expected
