"""Curves become lines of a chart: one per arm and seed, or, from three seeds on, one per arm over its seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.report.lines import Line, Mark
from evalkit.report.model import MIN_SEEDS, ArmResult, Report, main_gain, summaries

if TYPE_CHECKING:
    from evalkit.comparison import Comparison, Row, SuiteMean
    from evalkit.curve import Curve, CurvePoint

__all__ = ["curve_name", "gain_lines", "mean_lines", "task_lines"]

Value = Callable[["Comparison"], "Row | SuiteMean | None"]


def curve_name(curve: Curve, curves: Sequence[Curve]) -> str:
    """The arm, with its seed where it has several."""
    several = sum(other.arm == curve.arm for other in curves) > 1
    return f"{curve.arm} {curve.seed}" if several else curve.arm


def gain_lines(curves: Sequence[Curve]) -> list[Line]:
    """The user's own task; empty lines where there is none."""
    return _lines(curves, main_gain, lambda found: replace(found, general=(), suite_mean=None))


def mean_lines(curves: Sequence[Curve]) -> list[Line]:
    """The mean over the general tasks."""
    return _lines(curves, lambda found: found.suite_mean, lambda found: replace(found, gains=()))


def task_lines(curves: Sequence[Curve], task: str) -> list[Line]:
    """One general task, with the point where it first regressed (where an arm has one or two seeds)."""

    def row(found: Comparison) -> Row | None:
        return next((row for row in found.general if row.task == task), None)

    def alone(found: Comparison) -> Comparison:
        return replace(found, gains=(), general=tuple(row for row in found.general if row.task == task))

    return _lines(curves, row, alone, task=task)


def _lines(
    curves: Sequence[Curve], value: Value, reduced: Callable[[Comparison], Comparison], task: str | None = None
) -> list[Line]:
    lines: list[Line] = []
    for arm in dict.fromkeys(curve.arm for curve in curves):
        own = [curve for curve in curves if curve.arm == arm]
        if len(own) >= MIN_SEEDS:
            lines.append(Line(arm, len(lines), _over_seeds(own, reduced)))
            continue
        for curve in own:
            marks = [mark for point in curve.points if (mark := _mark(point, value)) is not None]
            flag = curve.first_regressed().get(task) if task else None
            lines.append(Line(curve_name(curve, curves), len(lines), marks, flag))
    return lines


def _mark(point: CurvePoint, value: Value) -> Mark | None:
    found = value(point.comparison)
    return None if found is None else Mark(point.at, found.difference, found.interval, found.verdict)


def _over_seeds(curves: Sequence[Curve], reduced: Callable[[Comparison], Comparison]) -> list[Mark]:
    """Means over seeds with the two-level bootstrap; points that not every seed has are left out."""
    from evalkit.statistics import verdict

    marks = []
    shared = set.intersection(*({point.at for point in curve.points} for curve in curves))
    for at in sorted(shared):
        found = [reduced(next(p.comparison for p in curve.points if p.at == at)) for curve in curves]
        arms = [ArmResult(curve.arm, curve.seed, one) for curve, one in zip(curves, found, strict=True)]
        summary = summaries(Report("", "base", arms))[0]
        estimate = summary.general if found[0].general else summary.gain
        if estimate is None:
            continue
        rows = found[0].general or found[0].gains
        margin = sum(row.margin for row in rows) / len(rows)
        said = "" if estimate.interval is None else verdict(estimate.interval, margin)
        marks.append(Mark(at, estimate.value, estimate.interval, said))
    return marks
