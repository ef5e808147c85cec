"""report.html: one file that needs nothing else and asks nobody; texts of models and data reach it as JSON only."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from evalkit.report.figures import mark
from evalkit.report.front_figure import front_of_report, front_sentence, price_figure
from evalkit.report.own import own_task
from evalkit.report.payload import Payload, payload
from evalkit.report.stage_figure import stage_section
from evalkit.report.tables import arms_table, clean_table, drift_table, forest_table, seeds_table, verdict_word
from evalkit.report.watched import watched_section
from evalkit.report.words import headline, lead, rest, score, verdict, warnings

if TYPE_CHECKING:
    from evalkit.report.model import ArmResult, Report

__all__ = ["page"]


def _asset(name: str) -> str:
    return files("evalkit.report").joinpath("assets", name).read_text(encoding="utf-8")


def page(report: Report, items: Payload | None = None) -> str:
    """The whole page; equal reports give equal bytes.

    Args:
        report: The report.
        items: Its items, where the caller writes those that stand in files beside the page.
    """
    items = items or payload(report)
    style, script = _asset("page.css") + _asset("curve.css"), _asset("page.js")
    # Only our own script may run, and nothing may be fetched, whatever a text should manage to smuggle in.
    fingerprint = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Files beside the page: 'self' on a server, the scheme where the page is opened from a disk.
    beside = " 'self' file:" if items.files else ""
    scripts = f"script-src 'sha256-{fingerprint}'{beside}"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; {scripts}; base-uri 'none'"
    top = [_title(report), _arms(report), stage_section(report.stages), _tasks(report)]
    top.append(watched_section(report.watched))
    sections = [*top, _clean(report), _items(report), _drift(report), _facts(report), _notes()]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}; form-action \'none\'">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(_utf8(report.title))} · {escape(headline(report)[0])}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n{_utf8(''.join(sections))}"
        f'<script type="application/json" id="items-data">{items.inline}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _title(report: Report) -> str:
    status, _ = headline(report)
    ranked = report.ranked()
    sentence = f"<p>{_code_safe(verdict(report))} {_code_safe(rest(report))}</p>" if ranked else ""
    facts = [] if report.base == "base" else [f"base: {report.base}"]
    if ranked:
        comparison = ranked[0].comparison
        items = sum(row.n for row in comparison.general)
        facts.append(f"{len(comparison.general)} general tasks, {items:,} items")
        facts += [f"{len(report.arms)} trained models"] if len(report.arms) > 1 else []
    return (
        f'<header class="{status}"><p class="crumb">{escape(report.title)}</p>'
        f'<p class="badge">{verdict_word(status)}</p>'
        f"<h1>{_code_safe(lead(report))}</h1>{sentence}"
        f'<p class="facts">{escape(" · ".join(facts))}</p></header><main>\n'
    )


def _code_safe(text: str) -> str:
    """Escaped; hyphens inside names stay hyphens, a minus before a number becomes one."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", escape(text))


def _arms(report: Report) -> str:
    front, warnings = front_of_report(report), _warnings(report)
    figure = price_figure(report, front)
    if not figure and len(report.arms) < 2:
        return f"<section>{warnings}</section>" if warnings else ""
    plot, told = "", "" if front is None else _code_safe(front_sentence(front))
    if figure:
        plot = (
            f'<figure class="trade-figure">{figure}<figcaption>Up is better on the task, right is better on everything '
            "else. Lines are 95 % intervals; the shaded side is beyond the tolerable loss. "
            f"{told}</figcaption></figure>"
        )
    return (
        f'<section aria-labelledby="h-arms"><h2 id="h-arms">{"Gain against forgetting" if plot else "At a glance"}</h2>'
        f'<div class="pair">{plot}<div>{arms_table(report)}</div></div>{seeds_table(report)}{warnings}'
        "</section>\n"
    )


def _warnings(report: Report) -> str:
    said = warnings(report, clean=False)
    entries = "".join(f"<li>{escape(text)}</li>" for text in said)
    return f'<ul class="warnings">{entries}</ul>' if said else ""


def _tasks(report: Report) -> str:
    ranked = [arm for arm in report.ranked() if arm.comparison.general]
    if not ranked:
        return ""
    tabs, panels = [], []
    for at, arm in enumerate(ranked):
        tabs.append(
            f'<button type="button" role="tab" id="tab-{at}" aria-controls="panel-{at}" '
            f'aria-selected="{"true" if at == 0 else "false"}" tabindex="{0 if at == 0 else -1}">'
            f"{mark(arm.gate.status)}{escape(report.label(arm))}"
            f'<span class="hidden">, {arm.gate.status}</span></button>'
        )
        panels.append(
            f'<div role="tabpanel" id="panel-{at}" aria-labelledby="tab-{at}"{"" if at == 0 else " hidden"}>'
            f"{_sentence(arm) if len(ranked) > 1 else ''}{own_task(report, arm)}{forest_table(report, arm)}</div>"
        )
    bar = f'<div role="tablist" aria-label="Arm">{"".join(tabs)}</div>' if len(ranked) > 1 else ""
    return (
        '<section aria-labelledby="h-tasks"><h2 id="h-tasks">What changed, task by task</h2>'
        f"{bar}{''.join(panels)}{_margin(report)}</section>\n"
    )


def _sentence(arm: ArmResult) -> str:
    return f'<p class="sentence">{_code_safe(arm.gate.sentence)}</p>'


def _margin(report: Report) -> str:
    margins = sorted({row.margin for arm in report.arms for row in arm.comparison.general})
    if not margins:
        return ""
    loss = score(margins[0]) if len(margins) == 1 else f"{score(margins[0])} to {score(margins[-1])}"
    reason = f": {report.margin_reason.strip().rstrip('.')}" if report.margin_reason else ""
    return f'<p class="quiet margin-note">Tolerable is a loss of {loss} points per task{escape(reason)}.</p>'


def _items(report: Report) -> str:
    if not any(arm.comparison.flips.num_rows for arm in report.arms):
        return ""
    note = ""
    if report.private:
        note = "<p class='quiet'>A source is private: the texts of your own task are left out.</p>"

    def choice(name: str, label: str) -> str:
        return f'<label>{label}<select id="f-{name}"><option value="">all</option></select></label>'

    return (
        '<section aria-labelledby="h-items"><h2 id="h-items">Forgotten and learnt items</h2>'
        f'{note}<div class="filters" role="search" aria-label="Filter items">'
        '<label class="grow">Search<input type="search" id="f-text" placeholder="in questions and answers" '
        f'autocomplete="off"></label>{choice("direction", "Change")}{choice("arm", "Arm")}{choice("task", "Task")}'
        f'{choice("status", "How it failed")}</div><p id="count" class="quiet" role="status" aria-live="polite"></p>'
        '<div id="items"></div><button type="button" id="more" hidden>Show more</button>'
        "<noscript><p>The browser of items needs JavaScript; everything else on this page does not.</p></noscript>"
        "</section>\n"
    )


def _clean(report: Report) -> str:
    table = clean_table(report)
    if not table:
        return ""
    return (
        '<section aria-labelledby="h-clean"><h2 id="h-clean">Without the items that stand in the training data</h2>'
        "<p class='quiet'>The build looked for the suite's items in the rows that were trained on. A task that looks "
        "better with them than without was learnt by heart; verdict, mean and gate above are with them.</p>"
        f"{table}</section>\n"
    )


def _drift(report: Report) -> str:
    table = drift_table(report)
    if not table:
        return ""
    return (
        '<section aria-labelledby="h-drift"><h2 id="h-drift">Drift on general text</h2>'
        f'<p class="quiet">Cross-entropy without labels, clustered by document. A diagnostic; the gate does not look '
        f"at it.</p>{table}</section>\n"
    )


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for key, item in value.items() for row in _flat(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, float):
        value = f"{value:.6g}"
    return [(path, "none" if value is None else str(value)[:200])]


def _list(value: Any) -> str:
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in _flat(value)[:120])
    return f"<dl>{rows}</dl>"


def _facts(report: Report) -> str:
    blocks = []
    if report.reproduce:
        commands = escape("\n".join(report.reproduce))
        blocks.append(f'<details open><summary>Make this again</summary><pre tabindex="0">{commands}</pre></details>')
    for name, value in (("Data", report.data_facts), ("Settings and versions", report.settings)):
        if value:
            blocks.append(f"<details><summary>{name}</summary>{_list(value)}</details>")
    trained = {report.label(arm): arm.train_facts for arm in report.arms if arm.train_facts}
    blocks += [
        f"<details><summary>Training: {escape(name)}</summary>{_list(own)}</details>" for name, own in trained.items()
    ]
    if not blocks:
        return ""
    return f'<section aria-labelledby="h-facts"><h2 id="h-facts">Behind the figures</h2>{"".join(blocks)}</section>\n'


def _notes() -> str:
    return (
        "</main><footer><p>Differences are in points (after − before) on the same items. Intervals cover 95 % "
        "and are over items: they speak about these checkpoints, not about a method, unless several seeds are named. "
        "A task counts as regressed only if that also holds after Holm's adjustment for the number of tasks. "
        "The arm shown first was chosen by its gate and its gain on these same items. "
        "Every figure is in report.json.</p></footer>\n"
    )
