"""report.csv: one line per arm and task, all figures as numbers, for spreadsheets and plots of one's own."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.report.model import ArmResult, Report

__all__ = ["COLUMNS", "csv_text"]

COLUMNS = (
    *("arm", "seed", "kind", "task", "metric", "filter", "items", "before", "after", "difference", "low", "high"),
    *("p_value", "adjusted_p", "margin", "verdict", "beyond_margin", "lost", "gained"),
    *("minimum_detectable_effect", "items_needed"),
)


def csv_text(report: Report) -> str:
    """The table as UTF-8 CSV (RFC 4180); scores and differences in [-1, 1], empty where a figure is not defined.

    A text that a spreadsheet would take for a formula is written with an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for arm in report.arms:
        for row in _rows(arm):
            writer.writerow([_value(row.get(name)) for name in COLUMNS])
    return out.getvalue().encode("utf-8", "replace").decode()


def _rows(arm: ArmResult) -> Iterator[dict[str, Any]]:
    for row in arm.comparison.rows:
        paired = row.paired
        yield {
            "arm": arm.name,
            "seed": arm.seed,
            "kind": row.kind,
            "task": row.task,
            "metric": row.metric,
            "filter": row.filter,
            "items": row.n,
            "before": row.before,
            "after": row.after,
            "difference": row.difference,
            "low": row.interval[0],
            "high": row.interval[1],
            "p_value": paired.p_value,
            "adjusted_p": row.adjusted_p,
            "margin": row.margin,
            "verdict": row.verdict,
            "beyond_margin": row.beyond_margin,
            "lost": paired.lost,
            "gained": paired.gained,
            "minimum_detectable_effect": paired.minimum_detectable_effect,
            "items_needed": paired.items_needed,
        }
    mean = arm.comparison.suite_mean
    if mean is not None:
        yield {
            "arm": arm.name,
            "seed": arm.seed,
            "kind": "suite_mean",
            "task": arm.comparison.suite,
            "difference": mean.difference,
            "low": mean.interval[0],
            "high": mean.interval[1],
            "margin": mean.margin,
            "verdict": mean.verdict,
            "beyond_margin": mean.beyond_margin,
        }


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value or value in (float("inf"), float("-inf")) else repr(value)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
