"""The user's own task on the page: figures, further models beside the arm, and the classes one by one."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from evalkit.report.tables import kl_figure, verdict_word
from evalkit.report.words import interval, score, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.classes import ClassRow
    from evalkit.report.model import ArmResult, Report

__all__ = ["classes_table", "own_task"]


def own_task(report: Report, arm: ArmResult) -> str:
    """A paragraph per task, one per further model, and the table of classes; empty without a task."""
    lines = []
    for row in arm.comparison.gains:
        figures = [f"{row.metric} {score(row.before)} → {score(row.after)}"]
        figures.append(f"{signed(row.difference)} {interval(row.interval)}")
        figures += [
            f"{metric.name.replace('_', '-')} {score(metric.before)} → {score(metric.after)}, "
            f"{signed(metric.difference)} {interval(metric.interval)}"
            for metric in row.metrics
        ]
        if row.kl is not None:
            figures.append(f"KL to the base on its prompts {kl_figure(row.kl, row.kl_interval)} nats per token")
        text = f"{row.n:,} rows: {'; '.join([', '.join(figures[:2]), *figures[2:]])}"
        lines.append(
            f"<p class='own'>Your task <strong>{escape(row.task)}</strong>, {_text(text)} "
            f"{verdict_word(row.verdict)}</p>"
        )
    return "".join([*lines, *_beside(report, arm), classes_table(arm.classes)])


def _text(text: str) -> str:
    """Escaped; hyphens inside names stay hyphens, a minus before a number becomes one."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", escape(text))


def _beside(report: Report, arm: ArmResult) -> list[str]:
    lines = []
    for other in report.beside:
        row = other.rows.get((arm.name, arm.seed))
        if row is None:
            continue
        text = f"{score(row.before)} → {score(row.after)}, {signed(row.difference)} {interval(row.interval)}"
        note = f" ({escape(row.note)})" if row.note else ""
        lines.append(
            f"<p class='own'>Against <strong>{escape(other.name)}</strong>, {_text(text)}{note} "
            f"{verdict_word(row.verdict)}</p>"
        )
    return lines


def classes_table(rows: Sequence[ClassRow]) -> str:
    """The classes, worst first, folded away; empty without classes."""
    if not rows:
        return ""
    numbers = ((name, "number") for name in ("rows", "before", "after", "gained", "lost"))
    heads = (("class", ""), *numbers, ("most taken for", ""))
    head = "".join(
        f'<th scope="col" class="{kind}"><button type="button" class="sort">{name}</button></th>'
        for name, kind in heads
    )
    body = "".join(_line(row) for row in rows)
    return (
        f"<details class='classes'><summary>{len(rows)} classes, worst first</summary>"
        '<div class="scroll"><table class="sortable"><caption class="hidden">Classes of your task</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _line(row: ClassRow) -> str:
    numbers = (
        *((row.n, f"{row.n:,}"), (row.before, score(row.before)), (row.after, score(row.after))),
        *((row.gained, str(row.gained)), (row.lost, str(row.lost))),
    )
    cells = "".join(f'<td class="number" data-sort="{key}">{text}</td>' for key, text in numbers)
    taken = "" if row.confused_with is None else f"{escape(row.confused_with[:60])} ({row.confused})"
    return f'<tr><th scope="row" dir="auto">{escape(row.label[:60])}</th>{cells}<td dir="auto">{taken}</td></tr>'
