"""The table a person sees at the end of a run, 80 columns wide."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from evalkit.report.items import examples
from evalkit.report.model import main_gain
from evalkit.report.words import (
    explanation,
    format_loss,
    headline,
    interval,
    score,
    several,
    shorten,
    signed,
    unsteered,
    warnings,
)

if TYPE_CHECKING:
    from evalkit.classes import ClassRow
    from evalkit.comparison import Row, SuiteMean
    from evalkit.report.model import ArmResult, Report

__all__ = ["WIDTH", "cells", "lines"]

WIDTH = 80
INDENT = 10
NAME = 16

_WORDS = {"pass": "PASS", "regressed": "REGRESSED", "unsure": "UNSURE"}


def lines(report: Report, *, width: int = WIDTH, count: int = 3) -> list[str]:
    """Lines of the table; plain text, markup in users' texts is left as it is.

    Args:
        report: The report.
        width: Columns.
        count: Forgotten items shown at most.
    """
    ranked = report.ranked()
    if not ranked:
        return _block("GENERAL", "no arm was evaluated", width)
    result = _task(report, ranked, width)
    result += _general(report, ranked[0], width)
    for arm in ranked[1:]:
        result += _losses(report, arm, width)
    for note in warnings(report):
        result += _block("NOTE", note, width)
    for flip in examples(report, count):
        asked = f'"{shorten(flip.prompt, 60)}"' if flip.prompt else flip.task
        text = f"e.g. {asked}  base: {shorten(flip.before, 30)}  "
        result += _block("", f"{text}{flip.arm}: {shorten(flip.after, 30)}", width)
    status, sentence = headline(report)
    return result + _block(_WORDS[status], sentence.rstrip("."), width)


def _block(label: str, text: str, width: int) -> list[str]:
    text = unsteered(text)  # names and notes too
    return [
        f"{label if at == 0 else '':<{INDENT}}{line}".rstrip() for at, line in enumerate(_wrap(text, width - INDENT))
    ]


def cells(text: str) -> int:
    """Columns a text takes on a terminal: Hangul and its like take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _wrap(text: str, room: int) -> list[str]:
    """Lines of at most ``room`` columns, broken at spaces, inside a word only where it is longer than a line."""
    result = [""]
    for word in text.split(" "):
        if cells(result[-1]) + cells(word) + bool(result[-1]) <= room:
            result[-1] += f" {word}" if result[-1] else word
            continue
        if result[-1]:
            result.append("")
        for letter in word:
            if cells(result[-1] + letter) > room:
                result.append("")
            result[-1] += letter
    return result


def _task(report: Report, ranked: list[ArmResult], width: int) -> list[str]:
    rows = [(arm, row) for arm in report.arms if (row := main_gain(arm.comparison)) is not None]
    if not rows:
        return []
    first, scores = rows[0][1], dict[str, list[float]]()
    for arm, row in rows:
        scores.setdefault(arm.name, []).append(row.after)
    parts = [f"{first.n:,} rows: base {score(first.before)}"]
    parts += [f"{other.name} {score(other.score)}" for other in report.beside]
    parts += [f"{name} {score(sum(own) / len(own))}" for name, own in scores.items()]
    if any(len(own) > 1 for own in scores.values()):
        parts.append("(means of seeds)")
    result = _block("YOUR TASK", "  ".join(part.replace(" ", "\u00a0") for part in parts), width)
    shown = main_gain(ranked[0].comparison)
    if shown is not None:
        texts = [f"{shown.metric} {signed(shown.difference)} {interval(shown.interval)}"]
        texts += [f"{metric.name} {signed(metric.difference)} {interval(metric.interval)}" for metric in shown.metrics]
        result += _block("", f"{report.label(ranked[0])}: {', '.join(texts)} {shown.verdict}", width)
    for other in report.beside:
        row = other.rows.get((ranked[0].name, ranked[0].seed))
        if row is not None:
            note = f" ({row.note})" if row.note else ""
            text = f"{report.label(ranked[0])} - {other.name}: {signed(row.difference)} {interval(row.interval)}"
            result += _block("", f"{text} {row.verdict}{note}", width)
    if ranked[0].classes and ranked[0].classes[0].after < 1:
        result += _block("", _worst(ranked[0].classes[0]), width)
    return [line.replace("\u00a0", " ") for line in result]


def _worst(row: ClassRow) -> str:
    """The class that is worst after training."""
    taken = f", {row.confused} taken for {shorten(row.confused_with, 24)}" if row.confused_with else ""
    text = f"worst class {shorten(row.label, 24)}: {score(row.before)} to {score(row.after)} of {row.n} rows"
    return f"{text}{taken}"


def _general(report: Report, arm: ArmResult, width: int) -> list[str]:
    rows: list[tuple[str, Row | SuiteMean]] = [(row.task, row) for row in arm.comparison.general]
    if not rows:
        return _drift(arm, width)
    mean = arm.comparison.suite_mean
    if mean is not None and len(rows) > 1:
        rows.append((f"all {several(len(rows))}", mean))
    figures = [_figures(row) for _, row in rows]
    title = f"{report.label(arm)} - base"
    room = width - INDENT - max(len(text) for text in figures)
    name = min(room, max(NAME, 1 + max(len(text) for text in (title, *(own for own, _ in rows)))))
    title = title if len(title) < name else shorten(report.label(arm), name - 1)
    result = [f"{'GENERAL':<{INDENT}}{title:<{name}}{'items':>6}{'before':>7}{'after':>7}  points, 95 %"]
    result += [
        f"{'':<{INDENT}}{shorten(own, name - 1):<{name}}{text}" for (own, _), text in zip(rows, figures, strict=True)
    ]
    for row in arm.comparison.general:
        if row.verdict == "regressed" and (loss := format_loss(row)):
            result += _block("", f"{row.task}: {loss}", width)
        if row.verdict == "unsure" and row.interval[1] < 0:  # it looks like a regression, and is none
            said = explanation(row).rstrip(".")
            result += _block("", f"{row.task}: {said[0].lower()}{said[1:]}", width)
    return result + _drift(arm, width)


def _figures(row: Row | SuiteMean) -> str:
    """Everything of a line but its name; a mean over tasks has no items and no scores of its own."""
    from evalkit.comparison import Row

    start = f"{row.n:>6,}{score(row.before):>7}{score(row.after):>7}" if isinstance(row, Row) else " " * 20
    word = "REGRESSED" if row.verdict == "regressed" else row.verdict
    return f"{start}{signed(row.difference):>7} {interval(row.interval)}  {word}"


def _drift(arm: ArmResult, width: int) -> list[str]:
    result = []
    for drift in arm.comparison.drift:
        rise, unit = (drift.per_token, "nats per token") if drift.per_token else (drift.bits_per_byte, "bits per byte")
        if rise is not None:
            ends = "" if rise.interval is None else f" [{rise.interval[0]:+.3f}, {rise.interval[1]:+.3f}]"
            text = f"{drift.task}: {rise.before:.3f} to {rise.after:.3f} {unit}, {rise.difference:+.3f}{ends}"
            result += _block("", text, width)
    return result


def _losses(report: Report, arm: ArmResult, width: int) -> list[str]:
    """An arm that is not shown in full: its regressed tasks, worst first, else its mean."""
    lost = sorted((row for row in arm.comparison.general if row.verdict == "regressed"), key=lambda row: row.difference)
    if not lost:
        mean = arm.comparison.suite_mean
        if mean is None:
            return []
        text = f"mean of {several(mean.tasks)} {signed(mean.difference)} {interval(mean.interval)} {mean.verdict}"
        return _block("", f"{report.label(arm)}: {text}", width)
    texts = [f"{row.task} {signed(row.difference)} {interval(row.interval)}" for row in lost[:3]]
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    reason = format_loss(lost[0])
    explained = f" ({lost[0].task}: {reason})" if reason else ""
    return _block("", f"{report.label(arm)}: REGRESSED {', '.join(texts)}{more}{explained}", width)
