"""How gain and forgetting go along a training, or with the number of examples: comparisons with one base, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evalkit.choice import Choice
    from evalkit.comparison import Comparison, Row, SuiteMean

__all__ = ["Curve", "CurvePoint", "curve_facts"]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One model on the way.

    Attributes:
        at: Optimizer steps, training examples, or per cent of the way from the base to the tuned model.
        comparison: Base to this model, Holm's adjustment over the suite at this point.
    """

    at: int
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Curve:
    """Models of one arm in order.

    Attributes:
        arm: Name of the arm.
        seed: Training seed.
        unit: What the points are numbered by.
        points: Rising.
        choice: The best one under a budget, where one was asked for.
        notes: What the points leave out, and why.
    """

    arm: str
    seed: int
    unit: Literal["step", "examples", "percent"]
    points: tuple[CurvePoint, ...]
    choice: Choice | None = None
    notes: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the general tasks."""
        return tuple(row.task for row in self.points[0].comparison.general) if self.points else ()

    def first_regressed(self) -> dict[str, int]:
        """Task to the first point at which it regressed, earliest first; a task that never did is not there."""
        found: dict[str, int] = {}
        for point in self.points:
            for row in point.comparison.general:
                if row.verdict == "regressed":
                    found.setdefault(row.task, point.at)
        return found


def curve_facts(curve: Curve) -> dict[str, Any]:
    """The curve as plain values for JSON."""
    return {
        "arm": curve.arm,
        "seed": curve.seed,
        "unit": curve.unit,
        "points": [{"at": point.at, **_comparison(point.comparison)} for point in curve.points],
        "first_regressed": curve.first_regressed(),
        "choice": None if curve.choice is None else _choice(curve.choice),
        "notes": list(curve.notes),
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "budget": choice.budget,
        "at": choice.at,
        "chosen_on": "items with hash(doc) mod 10 < 3",
        "candidates": [{"at": one.at, "gain": one.gain, "loss": one.loss} for one in choice.candidates],
        "reported_on_the_rest": None if choice.comparison is None else _comparison(choice.comparison),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "gains": [_row(row) for row in found.gains],
        "general": [_row(row) for row in found.general],
        "suite_mean": None if found.suite_mean is None else _figures(found.suite_mean),
    }


def _row(row: Row) -> dict[str, Any]:
    counts = {"task": row.task, "items": row.paired.n, "before": row.before, "after": row.after}
    return {**counts, **_figures(row), "adjusted_p": row.adjusted_p}


def _figures(value: Row | SuiteMean) -> dict[str, Any]:
    return {"difference": value.difference, "interval": list(value.interval), "verdict": value.verdict}
