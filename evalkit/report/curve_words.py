"""What curves say in sentences, and as a table of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.report.model import MIN_SEEDS, main_gain
from evalkit.report.terminal import WIDTH
from evalkit.report.words import interval, points, shorten, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row, SuiteMean
    from evalkit.curve import Curve, CurvePoint

__all__ = ["best_sentence", "curve_table", "first_sentence", "folded", "speaks_of"]

INDENT = 10  # the column after a line's label


def folded(label: str, text: str, width: int = WIDTH) -> list[str]:
    """A label, and a text folded beside it; figures with their interval stay on one line."""
    parts = textwrap.wrap(text.replace(", +", ",\u00a0+").replace(", -", ",\u00a0-"), width - INDENT)
    return [f"{label if at == 0 else '':<{INDENT}}{part}".replace("\u00a0", " ") for at, part in enumerate(parts)]


def first_sentence(curve: Curve) -> str:
    """Where tasks first regressed."""
    found = curve.first_regressed()
    if not curve.tasks:
        return ""
    if not found:
        return "Nothing regressed at any point."
    by_point: dict[int, list[str]] = {}
    for task, at in found.items():
        by_point.setdefault(at, []).append(task)
    told = "; ".join(f"{_place(curve, at)}: {', '.join(tasks)}" for at, tasks in by_point.items())
    return f"First regressed at {told}."


def _place(curve: Curve, at: int) -> str:
    return {"step": f"step {at:,}", "examples": f"{at:,} examples", "percent": f"{at} % of the way"}[curve.unit]


def best_sentence(curve: Curve) -> str:
    """The choice under the budget, and what it showed on the items it was not chosen on."""
    choice = curve.choice
    if choice is None:
        return ""
    budget = points(choice.budget)
    if choice.at is None or choice.comparison is None:
        least = min(choice.candidates, key=lambda one: one.loss)
        return (
            f"No point keeps the mean loss to {budget} points on the items to choose on; the least loses "
            f"{points(least.loss)} ({_place(curve, least.at)})."
        )
    gain, mean = main_gain(choice.comparison), choice.comparison.suite_mean
    parts = [] if gain is None else [f"{signed(gain.difference)} {interval(gain.interval)} on the task"]
    parts += [] if mean is None else [f"{signed(mean.difference)} {interval(mean.interval)} in general"]
    kept = _kept(mean, choice.budget)
    return (
        f"Best under a mean loss of {budget}: {_place(curve, choice.at)}, {', '.join(parts)}{kept} "
        "(chosen on three tenths of the items, measured on the rest)."
    )


def _kept(mean: SuiteMean | None, budget: float) -> str:
    if mean is None:
        return ""
    if mean.interval[0] > -budget:
        return "; a larger loss is ruled out"
    return "; a larger loss is not ruled out" if mean.difference >= -budget else "; on the rest it loses more"


def speaks_of(curves: Sequence[Curve]) -> str:
    """What the intervals speak about."""
    seeds = {arm: sum(curve.arm == arm for curve in curves) for arm in (curve.arm for curve in curves)}
    if all(count >= MIN_SEEDS for count in seeds.values()):
        return "Lines and bands are over the seeds and the items: they speak about the method."
    return "Intervals are over items and speak about these checkpoints, not about a method."


def curve_table(curve: Curve, name: str, *, width: int = WIDTH) -> list[str]:
    """Lines of at most ``width`` columns."""
    label = {"step": "CURVE", "examples": "EXAMPLES", "percent": "BETWEEN"}[curve.unit]
    result = [f"{label:<{INDENT}}{shorten(name, 30)}, against the base, points, 95 %"]
    result.append(f"{'':<{INDENT}}{curve.unit:>8}  {'your task':<22}{'general, mean':<22}regressed")
    result += [_line(point, width) for point in curve.points]
    for text, title in ((first_sentence(curve), "FIRST"), (best_sentence(curve), "BEST")):
        if text:
            result += folded(title, text.rstrip("."), width)
    for note in curve.notes:
        result += folded("NOTE", note.rstrip("."), width)
    return result


def _line(point: CurvePoint, width: int) -> str:
    lost = [row.task for row in point.comparison.general if row.verdict == "regressed"]
    gain, mean = _figures(main_gain(point.comparison)), _figures(point.comparison.suite_mean)
    start = f"{'':<{INDENT}}{point.at:>8,}  {gain:<22}{mean:<22}"
    named = ", ".join(lost)
    if len(start) + len(named) > width:
        named = f"{len(lost)} tasks" if len(lost) > 1 else shorten(named, width - len(start))
    return f"{start}{named}".rstrip()


def _figures(value: Row | SuiteMean | None) -> str:
    return "" if value is None else f"{signed(value.difference):>5} {interval(value.interval)}"
