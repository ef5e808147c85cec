"""A report as plain values: what report.json holds, and what the page is drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalkit.report.front_figure import front_of_report
from evalkit.report.items import examples
from evalkit.report.model import main_gain, summaries
from evalkit.report.words import explanation, headline, lead

if TYPE_CHECKING:
    from evalkit.comparison import Row, SuiteMean
    from evalkit.drift import Drift
    from evalkit.report.beside import Beside
    from evalkit.report.model import ArmResult, Report
    from evalkit.set_pairs import SetMetric

__all__ = ["document"]


def document(report: Report) -> dict[str, Any]:
    """Every figure of the report, ready for JSON: NaN and infinity become null, differences stay in [-1, 1]."""
    status, sentence = headline(report)
    ranked = report.ranked()
    value = {
        "title": report.title,
        "base": report.base,
        "status": status,
        "title_sentence": lead(report),
        "sentence": sentence,
        "shown_first": report.label(ranked[0]) if ranked else None,
        "private": report.private,
        "margin_reason": report.margin_reason,
        "arms": [_arm(report, arm) for arm in report.arms],
        "summaries": [asdict(summary) for summary in summaries(report)],
        "front": None if (front := front_of_report(report)) is None else asdict(front),
        "stages": list(report.stages),
        "watched": list(report.watched),
        "beside": [_beside(report, other) for other in report.beside],
        "forgotten": [asdict(flip) for flip in examples(report)],
        "data": report.data_facts,
        "settings": report.settings,
        "reproduce": list(report.reproduce),
    }
    cleaned: dict[str, Any] = _clean(value)
    return cleaned


def _arm(report: Report, arm: ArmResult) -> dict[str, Any]:
    comparison = arm.comparison
    gain = main_gain(comparison)
    return {
        "name": arm.name,
        "seed": arm.seed,
        "label": report.label(arm),
        "model": comparison.after,
        "suite": comparison.suite,
        "gate": asdict(arm.gate),
        "gain": None if gain is None else {"task": gain.task, "value": gain.difference, "interval": gain.interval},
        "suite_mean": _mean(comparison.suite_mean),
        "gains": [_row(row) for row in comparison.gains],
        "general": [_row(row) for row in comparison.general],
        "drift": [_drift(drift) for drift in comparison.drift],
        "dropped": dict(comparison.dropped),
        "settings_that_differ": list(comparison.settings),
        "identical": comparison.identical,
        "noise": None if comparison.noise is None else asdict(comparison.noise),
        "without_contaminated": [
            {"task": clean.task, "left_out": clean.items, "row": None if clean.row is None else _row(clean.row)}
            for clean in comparison.clean
        ],
        "notes": list(comparison.notes),
        "alpha": comparison.alpha,
        "train": arm.train_facts,
        "classes": [asdict(row) for row in arm.classes],
    }


def _set_metric(metric: SetMetric) -> dict[str, Any]:
    return {name: value for name, value in asdict(metric).items() if name != "influences"}


def _beside(report: Report, other: Beside) -> dict[str, Any]:
    rows = {(arm.name, arm.seed): report.label(arm) for arm in report.arms}
    against = {rows[key]: _row(row) for key, row in other.rows.items()}
    return {"name": other.name, "task": other.task, "score": other.score, "items": other.n, "arms": against}


def _row(row: Row) -> dict[str, Any]:
    figures = asdict(row.paired)
    figures["items"] = figures.pop("n")
    figures |= {"verdict": row.verdict, "beyond_margin": row.beyond_margin, "ruled_out": row.paired.ruled_out}
    return {
        "task": row.task,
        "kind": row.kind,
        "metric": row.metric,
        "filter": row.filter,
        "description": row.description,
        **figures,
        "adjusted_p": row.adjusted_p,
        "statuses": dict(row.statuses),
        "metrics": [_set_metric(metric) for metric in row.metrics],
        "kl_to_base": row.kl,
        "kl_interval": row.kl_interval,
        "in_gate": row.in_gate,
        "note": row.note,
        "explanation": explanation(row),
    }


def _mean(mean: SuiteMean | None) -> dict[str, Any] | None:
    return None if mean is None else {**asdict(mean), "ruled_out": mean.ruled_out}


def _drift(drift: Drift) -> dict[str, Any]:
    return asdict(drift)


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_clean(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    return str(value).encode("utf-8", "replace").decode()
