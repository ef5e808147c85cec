"""Stages in the report: the matrix R[t, i] as a heat map and a table, measures of forgetting by convention, sentences.

Everything is drawn from the plain values of ``stages.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evalkit.report.words import interval, score, shorten, signed

__all__ = ["heat_map", "stage_lines", "stage_section", "stage_sentence"]

_LEFT, _TOP, _WIDE, _HIGH, _MOST = 130, 34, 92, 36, 14


def stage_section(cells: Sequence[Mapping[str, Any]]) -> str:
    """The section of the page; empty where there are no stages."""
    if not cells:
        return ""
    parts = "".join(_cell_part(cell, cells) for cell in cells)
    return (
        f'<section aria-labelledby="h-stages"><h2 id="h-stages">Task after task</h2>{parts}'
        '<p class="quiet">Rows: the model after each stage. Columns: the tasks. Outlined: just learnt. Figures are '
        "points of the score on each task's own test rows; intervals are 95 % and over items.</p></section>\n"
    )


def _cell_part(cell: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    title = f"<h3>{escape(_name(cell, cells))}</h3>" if len(cells) > 1 else ""
    return (
        f'{title}<p class="sentence">{escape(stage_sentence(cell)).replace(" -", " −").replace("[-", "[−")}</p>'
        f'<figure class="scroll" tabindex="0" aria-label="Scores after each stage">{heat_map(cell)}</figure>'
        f"{_forgotten_table(cell)}{_measures(cell)}"
    )


def _name(cell: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    several = sum(other["arm"] == cell["arm"] for other in cells) > 1
    return f"{cell['arm']} (seed {cell['seed']})" if several else str(cell["arm"])


def stage_sentence(cell: Mapping[str, Any]) -> str:
    """What was forgotten on the way, task by task, as far as the items allow to say."""
    rows = cell["forgotten"]
    lost = [row for row in rows if row["interval"][1] < 0]
    kept = [row["task"] for row in rows if row["interval"][1] >= 0]
    told = [f"{row['task']} {signed(row['difference'])} {interval(tuple(row['interval']))}" for row in lost]
    first = f"Forgotten since it was learnt: {', '.join(told)}." if told else "No certain loss on an earlier task."
    second = f" No certain loss: {', '.join(kept)}." if told and kept else ""
    measure = next(one for one in cell["measures"] if one["convention"] == "gem")
    return (
        f"{first}{second} Mean forgetting {signed(measure['forgetting'])} points (gem), forward transfer "
        f"{_known(measure['forward_transfer'])}."
    )


def _known(value: float | None) -> str:
    return "–" if value is None else signed(value)


def heat_map(cell: Mapping[str, Any]) -> str:
    """The matrix with the base as its first row; the shade is the score, which also stands in the cell."""
    stages, rows = list(cell["stages"]), [list(cell["base"]), *(list(row) for row in cell["scores"])]
    names = ["base", *(f"after {stage}" for stage in stages)]
    width, height = _LEFT + _WIDE * len(stages) + 4, _TOP + _HIGH * len(rows) + 4
    body = [
        f'<text class="head" x="{_LEFT + _WIDE * at + _WIDE / 2}" y="{_TOP - 12}" text-anchor="middle">'
        f"{escape(shorten(stage, _MOST))}<title>{escape(stage)}</title></text>"
        for at, stage in enumerate(stages)
    ]
    for down, (name, values) in enumerate(zip(names, rows, strict=True)):
        middle = _TOP + _HIGH * down + _HIGH / 2 + 4
        short = escape(shorten(name, _MOST + 4))
        body.append(f'<text class="head" x="{_LEFT - 10}" y="{middle}" text-anchor="end">{short}</text>')
        for at, value in enumerate(values):
            box = f'x="{_LEFT + _WIDE * at}" y="{_TOP + _HIGH * down}" width="{_WIDE}" height="{_HIGH}"'
            body.append(f'<rect class="cell" {box} fill-opacity="{round(0.06 + 0.5 * value, 3)}"/>')
            across = _LEFT + _WIDE * at + _WIDE / 2
            body.append(f'<text x="{across}" y="{middle}" text-anchor="middle">{score(value)}</text>')
    body += [  # above the cells beside them
        f'<rect class="new" x="{_LEFT + _WIDE * at + 1}" y="{_TOP + _HIGH * (at + 1) + 1}" width="{_WIDE - 2}" '
        f'height="{_HIGH - 2}"/>'
        for at in range(len(stages))
    ]
    said = "; ".join(
        f"{name}: {', '.join(f'{stage} {score(value)}' for stage, value in zip(stages, values, strict=True))}"
        for name, values in zip(names, rows, strict=True)
    )
    sizes = f"max-width:{width}px;min-width:{min(width, 420)}px"
    return (
        f'<svg class="heat" role="img" viewBox="0 0 {width} {height}" style="{sizes}" '
        f'aria-label="{escape(said)}">{"".join(body)}</svg>'
    )


def _forgotten_table(cell: Mapping[str, Any]) -> str:
    learnt = {row["task"]: row for row in cell["learnt"]}
    later = {row["task"]: row for row in cell["forgotten"]}
    rows = []
    for task, items in zip(cell["stages"], cell["items"], strict=True):
        first, last = learnt[task], later.get(task)
        since = "" if last is None else _with_ends(last)
        end = score(first["after"] if last is None else last["after"])
        rows.append(
            f'<tr><th scope="row">{escape(task)}</th><td class="number">{items:,}</td>'
            f'<td class="number">{score(first["before"])}</td><td class="number">{score(first["after"])}</td>'
            f'<td class="number">{end}</td><td class="number">{_with_ends(first)}</td>'
            f'<td class="number">{since}</td></tr>'
        )
    names = ("items", "base", "just learnt", "at the end", "learnt − base", "end − just learnt")
    heads = "".join(f'<th class="number">{name}</th>' for name in names)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="What was learnt and forgotten">'
        f'<table class="seeds"><thead><tr><th>Task</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _with_ends(row: Mapping[str, Any]) -> str:
    text = f"{signed(row['difference'])} <span class='ends'>{interval(tuple(row['interval']))}</span>"
    return text.replace("-", "−")


def _measures(cell: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(one["convention"])}</th>'
        + "".join(
            f'<td class="number">{_known(one[name]).replace("-", "−")}</td>'
            for name in ("forgetting", "backward_transfer", "forward_transfer")
        )
        + f'<td class="number">{one["divisor"]}</td><td>{escape(one["reference"])}</td></tr>'
        for one in cell["measures"]
    )
    return (
        "<details><summary>Forgetting by convention</summary><div class='scroll'><table><thead><tr><th>Convention</th>"
        "<th class='number'>forgetting</th><th class='number'>backward transfer</th>"
        "<th class='number'>forward transfer</th><th class='number'>divisor</th><th>reference</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def stage_lines(cells: Sequence[Mapping[str, Any]], *, width: int = 80) -> list[str]:
    """The matrices as a terminal shows them; tasks that do not fit beside each other follow below."""
    from evalkit.report.curve_words import INDENT, folded

    result = []
    for cell in cells:
        stages = list(cell["stages"])
        rows = [("base", cell["base"]), *zip((f"after {stage}" for stage in stages), cell["scores"], strict=True)]
        fit = max(1, (width - INDENT - 20) // 10)
        for start in range(0, len(stages), fit):
            shown = stages[start : start + fit]
            title = "STAGES" if not start else ""
            heads = "".join(f"{shorten(stage, 9):>10}" for stage in shown)
            result.append(f"{title:<{INDENT}}{shorten(_name(cell, cells), 19):<20}{heads}")
            for name, values in rows:
                figures = "".join(f"{score(value):>10}" for value in values[start : start + fit])
                result.append(f"{'':<{INDENT}}{shorten(name, 19):<20}{figures}")
        result += folded("", stage_sentence(cell), width)
    return result
