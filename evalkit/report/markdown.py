"""report.md: a comment for a pull request, under 60 lines, without any text of a private source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evalkit.notes import notes_of_arms
from evalkit.report.items import examples
from evalkit.report.model import main_gain
from evalkit.report.words import format_loss, headline, interval, score, shorten, signed

if TYPE_CHECKING:
    from evalkit.comparison import Row
    from evalkit.report.items import Flip
    from evalkit.report.model import ArmResult, Report

__all__ = ["MARKER", "escape", "markdown"]

MARKER = "<!-- datakit-report -->"
"""First line of every report.md: how a bot finds the comment it wrote before."""

MAX_LINES = 59
MAX_ROWS = 22
MAX_ARMS = 10
MAX_NOTES = 8

_SPECIAL = re.compile(r"([\\`*_{}\[\]!|~])")
_HTML = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;"})
_LINKS = re.compile(r"(@|#|://|www\.|GH-)", re.IGNORECASE)
_SIGNS = {"pass": "✅", "regressed": "❌", "unsure": "❔"}


def escape(text: str | None, length: int = 120) -> str:
    """Text from a model or a data set as inert Markdown: one line, no links, no mentions, no HTML."""
    inert = _SPECIAL.sub(r"\\\1", shorten(text, length)).translate(_HTML)
    return _LINKS.sub(lambda match: f"{match[0][0]}\u200b{match[0][1:]}", inert)


def markdown(report: Report) -> str:
    """The whole file; fewer examples and rows where it would grow past 59 lines."""
    status, sentence = headline(report)
    ranked = report.ranked()
    head = [MARKER, f"## {escape(report.title)}: {_SIGNS[status]} {status}", "", escape(sentence, 600), ""]
    body = [*_arms(report, ranked), *(_tasks(report, ranked[0]) if ranked else [])]
    notes = _notes(report, ranked)
    tail = _reproduce(report)
    for count in (3, 2, 1, 0):
        lines = [*head, *body, *_examples(examples(report, count)), *notes, *tail]
        if len(lines) <= MAX_LINES:
            break
    return "\n".join(lines[:MAX_LINES]) + "\n"


def _arms(report: Report, ranked: list[ArmResult]) -> list[str]:
    trained = any(arm.comparison.gains for arm in ranked)
    own = ["task before", "after", "gain, 95 %"] if trained else []
    heads = ["arm", *own, "general mean, 95 %", "gate"]
    lines = [_line(heads), _line(["---", *(["--:", "--:", ":--"] if trained else []), ":--", "---"])]
    for arm in ranked[:MAX_ARMS]:
        row, mean = main_gain(arm.comparison), arm.comparison.suite_mean
        gain = [] if row is None else [score(row.before), score(row.after), _difference(row)]
        gain += [""] * (len(own) - len(gain))
        general = "" if mean is None else f"{signed(mean.difference)} {interval(mean.interval)}"
        lines.append(_line([escape(report.label(arm), 30), *gain, general, arm.gate.status]))
    lines += [
        _line([escape(other.name, 30), "", score(other.score), *[""] * (len(heads) - 3)])
        for other in report.beside[:MAX_ARMS]
    ]
    if len(ranked) > MAX_ARMS:
        lines.append(_line([f"{len(ranked) - MAX_ARMS} more in report.html", *[""] * (len(heads) - 1)]))
    return [*lines, ""]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _difference(row: Row) -> str:
    return f"{signed(row.difference)} {interval(row.interval)}"


def _tasks(report: Report, arm: ArmResult) -> list[str]:
    rows = sorted(arm.comparison.general, key=lambda row: row.difference)
    if not rows:
        return []
    lines = [
        f"**{escape(report.label(arm))} against {escape(report.base)}**, worst first",
        "",
        "| task | items | before | after | points, 95 % | verdict |",
        "|---|--:|--:|--:|:--|---|",
    ]
    lines += [
        f"| {escape(row.task, 40)} | {row.n:,} | {score(row.before)} | {score(row.after)} | {_difference(row)} "
        f"| {'**regressed**' if row.verdict == 'regressed' else row.verdict} |"
        for row in rows[:MAX_ROWS]
    ]
    if len(rows) > MAX_ROWS:
        lines.append(f"| {len(rows) - MAX_ROWS} more in report.html | | | | | |")
    return [*lines, ""]


def _examples(chosen: list[Flip]) -> list[str]:
    if not chosen:
        return []
    lines = [
        f"- {escape(flip.task, 60)}: {escape(flip.prompt, 160)} — base: {escape(flip.before, 60)}, "
        f"{escape(flip.arm, 30)}: {escape(flip.after, 60)}"
        for flip in chosen
    ]
    return ["**Forgotten**", "", *lines, ""]


def _notes(report: Report, ranked: list[ArmResult]) -> list[str]:
    notes = []
    for arm in ranked:
        notes += [
            f"- {escape(report.label(arm))}, {escape(row.task)}: {loss}"
            for row in arm.comparison.general
            if row.verdict == "regressed" and (loss := format_loss(row))
        ]
        if arm.comparison.identical:
            notes.append(f"- {escape(report.label(arm))}: every answer equals the base's; was the adapter applied?")
        if arm.comparison.dropped:
            notes.append(f"- {escape(report.label(arm))}: {sum(arm.comparison.dropped.values()):,} items left out")
    if report.private:
        notes.append("- A source is private: texts of the task are left out.")
    said = notes_of_arms({report.label(arm): arm.comparison for arm in ranked})
    notes += [f"- {escape(note, 240)}" for note in said]
    if len(notes) > MAX_NOTES:
        notes = [*notes[: MAX_NOTES - 1], f"- {len(notes) - MAX_NOTES + 1} more notes in report.html"]
    return [*notes, ""] if notes else []


def _reproduce(report: Report) -> list[str]:
    lines = [
        "Intervals are over items and speak about these checkpoints. "
        "Regressed: a loss beyond chance that may exceed the tolerable one."
    ]
    if report.reproduce:
        commands = [" ".join(command.split()).replace("`", "") for command in report.reproduce[:4]]
        lines += ["", "```", *commands, "```"]
    return lines
