"""Model cards in the Hub's format: a ``model-index`` of the scores, and what was gained and forgotten beside them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from evalkit.report.markdown import escape
from evalkit.report.words import explanation, interval, score, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.comparison import Row
    from evalkit.report.model import ArmResult, Report

__all__ = ["cards"]

# lm-eval's names of metrics to those of the Hub's list, where it has one.
_METRICS = {"acc": "accuracy", "acc_norm": "accuracy", "exact_match": "exact_match", "macro_f1": "f1"}


def cards(report: Report, *, library: str | None = None) -> dict[str, str]:
    """File name to card, ``card-ARM.md`` for every arm; it becomes README.md of the folder that is published.

    Args:
        report: What was measured.
        library: What loads the folder; by default what loads the arm's own.

    Raises:
        MissingDependency: huggingface_hub is not installed.
    """
    found: dict[str, str] = {}
    for arm in report.ranked():
        name = re.sub(r"[^\w.-]+", "-", report.label(arm)).strip("-.") or "arm"
        found[f"card-{name}.md"] = _card(report, arm, name, library or _library(arm))
    return found


def _card(report: Report, arm: ArmResult, name: str, library: str) -> str:
    from datakit.core.require import require

    hub = require("huggingface_hub", extra="eval")
    results = [
        hub.EvalResult(
            task_type="text-generation",
            dataset_type=_name(row.task),
            dataset_name=_name(row.task),
            metric_type=_METRICS.get(row.metric, row.metric),
            metric_name=row.metric,
            metric_value=round(row.after, 6),
        )
        for row in arm.comparison.rows
    ]
    options: dict[str, Any] = {"model_name": f"{_name(report.title)}-{name}", "eval_results": results or None}
    if re.fullmatch(r"[\w.-]+/[\w.-]+", report.base):
        options["base_model"] = report.base
    front = hub.ModelCardData(library_name=library, tags=["datakit"], **options).to_yaml()
    return f"---\n{front}\n---\n\n{chr(10).join(_body(report, arm))}\n"


def _name(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split()) or "unnamed"


def _library(arm: ArmResult) -> str:
    settings = arm.train_facts.get("arm")
    adapter = settings.get("adapter") if isinstance(settings, dict) else None
    return {None: "transformers", "full": "transformers", "loreft": "datakit", "direft": "datakit"}.get(adapter, "peft")


def _body(report: Report, arm: ArmResult) -> Iterator[str]:
    yield f"# {escape(report.title)}: {escape(report.label(arm))}"
    yield ""
    yield f"Fine-tuned from {escape(report.base)} and compared with it item by item. {escape(arm.gate.sentence, 600)}"
    for heading, rows in (("The task", arm.comparison.gains), ("General tasks", arm.comparison.general)):
        if rows:
            yield from ("", f"## {heading}", "", *_table(rows))
    mean = arm.comparison.suite_mean
    if mean is not None:
        yield ""
        yield f"Mean of all {mean.tasks}: {signed(mean.difference)} points {interval(mean.interval)}, {mean.verdict}."
    lost = [row for row in arm.comparison.general if row.verdict == "regressed"]
    if lost:
        yield from ("", "## What it forgot", "")
        yield from (f"- {escape(row.task)}: {escape(explanation(row), 300)}" for row in lost)
    yield ""
    yield (
        "Differences are after − before on the same items, with 95 % intervals over items: "
        "they speak about this checkpoint."
    )


def _table(rows: tuple[Row, ...]) -> list[str]:
    lines = ["| task | metric | items | base | this model | points, 95 % | verdict |", "|---|---|--:|--:|--:|:--|---|"]
    lines += [
        f"| {escape(row.task, 60)} | {escape(row.metric, 30)} | {row.n:,} | {score(row.before)} | {score(row.after)} "
        f"| {signed(row.difference)} {interval(row.interval)} | {row.verdict} |"
        for row in rows
    ]
    return lines
